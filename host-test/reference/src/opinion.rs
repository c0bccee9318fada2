//! What is written of each policy: how it should judge, over plain JSON, and what to try on it.
//!
//! It is written from the statements of what a policy does, and so that it is plainly right, however slow:
//! nothing here is the policy's, or the core's, but the list of fields and their types.

use podfence_core::{JsonType, Policy};
use serde_json::{Map, Value};

use crate::draw::Draw;

/// A second opinion.
pub struct Opinion {
    /// The policy that it is about.
    pub policy: &'static Policy,
    /// Values to try in its fields.
    pub values: &'static [Values],
    /// Settings to try, under their own names.
    pub settings: fn(&mut Draw) -> Value,
    /// What is wrong with a pod.
    pub judge: fn(&Pod<'_>) -> Vec<Wrong>,
    /// The whole message of a rejection, if the opinion goes so far.
    pub message: Option<fn(&Pod<'_>) -> String>,
    /// The changes that the settings ask for.
    pub mutate: Option<fn(&mut Mutable<'_>)>,
}

/// Values for a field, by its path as it is stated.
pub struct Values {
    pub path: &'static str,
    pub pool: Pool,
}

/// What is tried in a field: texts, and for other types JSON.
#[derive(Clone, Copy)]
pub struct Pool {
    /// How often nothing is there, in a hundred, in pods that mean well.
    pub unset: u8,
    /// Values of pods that mean well.
    pub usual: &'static [&'static str],
    /// Other ones.
    pub odd: &'static [&'static str],
}

impl Pool {
    /// For what nobody has said anything about.
    pub fn of_type(json_type: JsonType) -> Self {
        let (unset, usual, odd): (u8, &[&str], &[&str]) = match json_type {
            JsonType::Bool => (50, &["false"], &["true"]),
            JsonType::Integer | JsonType::Any => (50, &["1"], &["0", "-1", "65536"]),
            JsonType::String | JsonType::StringList => (50, &["text"], &["", "*", "é\"\\"]),
            // Much is inside of these.
            JsonType::Object | JsonType::ObjectList | JsonType::Deferred => (4, &[], &[]),
        };
        Self { unset, usual, odd }
    }

    pub fn find(path: &str, json_type: JsonType, values: &[Values]) -> Self {
        let known = values.iter().chain(EVERYWHERE).find(|values| values.path == path);
        known.map_or_else(|| Self::of_type(json_type), |values| values.pool)
    }
}

pub const fn values(
    path: &'static str,
    unset: u8,
    usual: &'static [&'static str],
    odd: &'static [&'static str],
) -> Values {
    Values { path, pool: Pool { unset, usual, odd } }
}

/// Of the fields that every policy reads.
const EVERYWHERE: &[Values] = &[
    values("name", 3, &["a", "b", "c"], &["", "a\"b", "é", "a,b"]),
    values("image", 5, &["nginx", "registry.example.com/app:1", "registry.example.com/"], &["", "*"]),
    values("restartPolicy", 60, &["Always"], &["OnFailure", "", "always"]),
    values("os.name", 75, &["linux", "linux", "windows"], &["Windows", "", "windows "]),
    values("runtimeClassName", 60, &["gvisor", "kata"], &["", "runc", "*"]),
];

/// Something wrong: in the order in which it is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wrong {
    /// From the object that holds the pod's metadata and spec.
    pub path: String,
    pub control: String,
    /// The name of the container that it is in.
    pub container: Option<String>,
}

/// Something wrong outside of containers.
pub fn wrong(control: &str, path: impl Into<String>) -> Wrong {
    Wrong { path: path.into(), control: control.to_owned(), container: None }
}

/// What stands at a dotted path; null where nothing does.
pub fn get<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, key| value.get(key).unwrap_or(&Value::Null))
}

/// The text at a dotted path; empty where none is.
pub fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    get(value, path).as_str().unwrap_or_default()
}

/// The elements at a dotted path.
pub fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    get(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// The texts at a dotted path.
pub fn texts<'v>(value: &'v Value, path: &str) -> Vec<&'v str> {
    list(value, path).iter().filter_map(Value::as_str).collect()
}

/// The texts of a setting, which has a default.
pub fn setting_texts<'v>(settings: &'v Value, name: &str, default: &[&'v str]) -> Vec<&'v str> {
    if settings.get(name).is_some() { texts(settings, name) } else { default.to_vec() }
}

/// Sets what is at a dotted path, through objects that are made where there are none.
pub fn set(value: &mut Value, path: &str, new: Value) {
    let mut at = value;
    for key in path.split('.') {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[key];
    }
    *at = new;
}

pub const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// A pod and the settings that it is judged by.
pub struct Pod<'v> {
    /// What holds the pod's metadata and spec.
    pub template: &'v Value,
    pub spec: &'v Value,
    pub settings: &'v Value,
}

/// A container that is judged.
pub struct Container<'v> {
    /// Which list it is in.
    pub list: &'static str,
    pub value: &'v Value,
    pub name: &'v str,
    path: String,
}

impl<'v> Pod<'v> {
    pub fn new(template: &'v Value, settings: &'v Value) -> Self {
        Self { template, spec: get(template, "spec"), settings }
    }

    /// The containers whose images are not exempt.
    pub fn containers(&self) -> Vec<Container<'v>> {
        let mut containers = Vec::new();
        for list in LISTS {
            for (index, value) in self::list(self.spec, list).iter().enumerate() {
                if !is_exempt(value, self.settings) {
                    let path = format!("spec.{list}[{index}]");
                    containers.push(Container { list, value, name: text(value, "name"), path });
                }
            }
        }
        containers
    }

    pub fn is_windows(&self) -> bool {
        text(self.spec, "os.name") == "windows"
    }

    /// A setting that is on.
    pub fn is(&self, setting: &str) -> bool {
        get(self.settings, setting) == true
    }

    /// What a container has at a path, or else the pod.
    pub fn effective(&self, container: &Container<'v>, path: &str) -> &'v Value {
        let own = get(container.value, path);
        if own.is_null() { get(self.spec, path) } else { own }
    }

    /// The pod and its containers: what each has at a path, if that is set, and how to say that it is wrong.
    pub fn both(&self, path: &str) -> Vec<(&'v Value, Wrong)> {
        let mut both = vec![(get(self.spec, path), wrong("", format!("spec.{path}")))];
        both.extend(self.containers().iter().map(|container| (get(container.value, path), container.wrong("", path))));
        both.retain(|(value, _)| !value.is_null());
        both
    }
}

impl Container<'_> {
    /// Something wrong in it.
    pub fn wrong(&self, control: &str, path: &str) -> Wrong {
        let path = format!("{}.{path}", self.path);
        Wrong { path, control: control.to_owned(), container: Some(self.name.to_owned()) }
    }
}

impl Wrong {
    pub fn of(self, control: &str) -> Self {
        Self { control: control.to_owned(), ..self }
    }

    /// The same, further inside.
    pub fn at(self, rest: &str) -> Self {
        Self { path: format!("{}{rest}", self.path), ..self }
    }
}

fn is_exempt(container: &Value, settings: &Value) -> bool {
    let image = text(container, "image");
    let is_image = |exempt: &&str| match exempt.strip_suffix('*') {
        Some(start) => image.starts_with(start),
        None => image == *exempt,
    };
    !image.is_empty() && texts(settings, "exempt.images").iter().any(is_image)
}

/// A pod that may be changed.
pub struct Mutable<'v> {
    pub template: &'v mut Value,
    pub settings: &'v Value,
    /// The ephemeral containers before an update of a Pod, by name and image.
    pub old: Option<Vec<(String, String)>>,
    /// Whether the pod is there already, and little of it may change.
    pub is_running: bool,
}

impl Mutable<'_> {
    /// As it is before all changes.
    pub fn before(&self) -> Value {
        self.template.clone()
    }

    pub fn is(&self, setting: &str) -> bool {
        get(self.settings, setting) == true
    }

    /// Sets what the spec has at a path, if it may change.
    pub fn set(&mut self, path: &str, new: Value) {
        if !self.is_running {
            set(self.template, &format!("spec.{path}"), new);
        }
    }

    /// Changes each container that is judged and may change.
    pub fn containers(&mut self, mut change: impl FnMut(&mut Value)) {
        for list in LISTS {
            for container in self.template["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                let known = (text(container, "name").to_owned(), text(container, "image").to_owned());
                let is_new =
                    list == "ephemeralContainers" && self.old.as_ref().is_some_and(|old| !old.contains(&known));
                if !is_exempt(container, self.settings) && (is_new || !self.is_running) {
                    change(container);
                }
            }
        }
    }
}
