//! The form of an opinion: what a policy should decide, over plain JSON, and the values to try.
//!
//! An opinion follows the documentation of its policy and is plainly right, however slow. From the policy and the
//! core it takes only the list of fields and their types.

use podfence_core::{JsonType, Policy};
use serde_json::{Map, Value};

use crate::draw::Draw;

/// What a policy should decide, written a second time.
pub struct Opinion {
    /// The policy that it evaluates.
    pub policy: &'static Policy,
    /// Values to try in the policy's fields.
    pub values: &'static [Values],
    /// Draws settings to try, under their own names.
    pub settings: fn(&mut Draw) -> Value,
    /// Finds the violations in a pod.
    pub check: fn(&Pod<'_>) -> Vec<Violation>,
    /// Writes the whole message of a rejection. Without it, a message only has to hold each reason.
    pub message: Option<fn(&Pod<'_>) -> String>,
    /// Makes the changes that the settings ask for.
    pub mutate: Option<fn(&mut Mutable<'_>)>,
}

/// Values for the field that a policy declares with this path.
#[derive(Clone, Copy)]
pub struct Values {
    pub path: &'static str,
    pub pool: Pool,
}

/// Values to try in a field: strings, or JSON for other types.
#[derive(Clone, Copy)]
pub struct Pool {
    /// How often the field is unset in a usual pod, in percent.
    pub unset: u8,
    /// Values in a usual pod.
    pub usual: &'static [&'static str],
    /// Values in an odd pod.
    pub odd: &'static [&'static str],
}

impl Pool {
    /// The pool of a field that no opinion has values for.
    pub fn of_type(json_type: JsonType) -> Self {
        let (unset, usual, odd): (u8, &[&str], &[&str]) = match json_type {
            JsonType::Bool => (50, &["false"], &["true"]),
            JsonType::Integer | JsonType::Any => (50, &["1"], &["0", "-1", "65536"]),
            JsonType::String | JsonType::StringList => (50, &["text"], &["", "*", "é\"\\"]),
            // These are seldom unset, because the fields that matter are inside.
            JsonType::Object | JsonType::ObjectList | JsonType::Deferred => (4, &[], &[]),
        };
        Self { unset, usual, odd }
    }

    /// The pool of the field with this path.
    pub fn find(path: &str, json_type: JsonType, values: &[Values]) -> Self {
        let known = values.iter().chain(EVERYWHERE).find(|values| values.path == path);
        known.map_or_else(|| Self::of_type(json_type), |values| values.pool)
    }
}

/// Makes the values of a field; see [`Pool`].
pub const fn values(
    path: &'static str,
    unset: u8,
    usual: &'static [&'static str],
    odd: &'static [&'static str],
) -> Values {
    Values { path, pool: Pool { unset, usual, odd } }
}

/// Values for the fields that every policy reads.
const EVERYWHERE: &[Values] = &[
    values("name", 3, &["a", "b", "c"], &["", "a\"b", "é", "a,b"]),
    values("image", 5, &["nginx", "registry.example.com/app:1", "registry.example.com/"], &["", "*"]),
    values("restartPolicy", 60, &["Always"], &["OnFailure", "", "always"]),
    values("os.name", 75, &["linux", "linux", "windows"], &["Windows", "", "windows "]),
    values("runtimeClassName", 60, &["gvisor", "kata"], &["", "runc", "*"]),
];

/// A violation. The members stand in the order in which violations are sorted to be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Starts at the object that holds the pod's metadata and spec.
    pub path: String,
    pub control: String,
    /// The name of the container, if the violation is in one.
    pub container: Option<String>,
}

/// A violation outside of containers.
pub fn violation(control: &str, path: impl Into<String>) -> Violation {
    Violation { path: path.into(), control: control.to_owned(), container: None }
}

/// The value at a dotted path; null if it is missing.
pub fn get<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, key| value.get(key).unwrap_or(&Value::Null))
}

/// The string at a dotted path; empty if it is missing or not a string.
pub fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    get(value, path).as_str().unwrap_or_default()
}

/// The elements of the list at a dotted path.
pub fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    get(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// The strings in the list at a dotted path.
pub fn texts<'v>(value: &'v Value, path: &str) -> Vec<&'v str> {
    list(value, path).iter().filter_map(Value::as_str).collect()
}

/// The strings of a setting, or its default.
pub fn setting_texts<'v>(settings: &'v Value, name: &str, default: &[&'v str]) -> Vec<&'v str> {
    if settings.get(name).is_some() { texts(settings, name) } else { default.to_vec() }
}

/// Sets the value at a dotted path, and makes the objects on the way.
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

/// A pod, or the object of a policy that evaluates no pods, and the settings to evaluate it with.
pub struct Pod<'v> {
    /// The object that holds the pod's metadata and spec, or the object.
    pub template: &'v Value,
    pub spec: &'v Value,
    pub settings: &'v Value,
    /// Whether it is a template, and not a Pod as the API server has completed it.
    pub is_template: bool,
    /// The object that holds the template, or the Pod.
    pub workload: &'v Value,
    /// The Pod that an update replaces, or the object, if the policy evaluates no pods and it can be read.
    pub old: Option<&'v Value>,
    /// The namespace of the request.
    pub namespace: &'v str,
}

/// In front of the path of a violation that starts at the object that holds the template.
pub const WORKLOAD: &str = "workload:";

/// A container that is not exempt.
pub struct Container<'v> {
    /// The list that it is in.
    pub list: &'static str,
    pub value: &'v Value,
    pub name: &'v str,
    path: String,
}

impl<'v> Pod<'v> {
    pub fn new(template: &'v Value, settings: &'v Value) -> Self {
        let spec = get(template, "spec");
        Self { template, spec, settings, old: None, is_template: false, workload: &Value::Null, namespace: "" }
    }

    /// Lists the elements of a list in an object that were not in it before an update, word for word, with their indexes.
    pub fn new_elements(&self, path: &str) -> Vec<(usize, &'v Value)> {
        // The order of members counts.
        let old: Vec<String> = self.old.map_or(&[][..], |old| list(old, path)).iter().map(Value::to_string).collect();
        list(self.template, path)
            .iter()
            .enumerate()
            .filter(|(_, element)| !old.contains(&element.to_string()))
            .collect()
    }

    /// Lists the containers whose images are not exempt.
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

    /// Whether a setting is on.
    pub fn is(&self, setting: &str) -> bool {
        get(self.settings, setting) == true
    }

    /// The value at a path in a container, or else in the pod's spec.
    pub fn effective(&self, container: &Container<'v>, path: &str) -> &'v Value {
        let own = get(container.value, path);
        if own.is_null() { get(self.spec, path) } else { own }
    }

    /// Lists the values that are set at a path, in the pod's spec and in its containers, each with a violation there.
    pub fn both(&self, path: &str) -> Vec<(&'v Value, Violation)> {
        let mut both = vec![(get(self.spec, path), violation("", format!("spec.{path}")))];
        both.extend(
            self.containers().iter().map(|container| (get(container.value, path), container.violation("", path))),
        );
        both.retain(|(value, _)| !value.is_null());
        both
    }
}

impl Container<'_> {
    /// A violation at a path in this container.
    pub fn violation(&self, control: &str, path: &str) -> Violation {
        let path = format!("{}.{path}", self.path);
        Violation { path, control: control.to_owned(), container: Some(self.name.to_owned()) }
    }
}

impl Violation {
    /// The same violation of this control.
    pub fn of(self, control: &str) -> Self {
        Self { control: control.to_owned(), ..self }
    }

    /// The same violation, further inside.
    pub fn at(self, rest: &str) -> Self {
        Self { path: format!("{}{rest}", self.path), ..self }
    }
}

/// Whether a container's image is exempt.
pub fn is_exempt(container: &Value, settings: &Value) -> bool {
    let image = text(container, "image");
    !image.is_empty() && texts(settings, "exempt.images").iter().any(|entry| is_matched(entry, image))
}

/// Whether an entry is a name, or a prefix of it with a star.
pub fn is_matched(entry: &str, name: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == entry,
    }
}

/// A pod to change.
pub struct Mutable<'v> {
    pub template: &'v mut Value,
    pub settings: &'v Value,
    /// The names and images of the ephemeral containers before an update of a Pod.
    pub old: Option<Vec<(String, String)>>,
    /// Whether the pod exists already: then Kubernetes allows few changes.
    pub is_running: bool,
    /// See [`Pod::is_template`].
    pub is_template: bool,
    /// The namespace of the request.
    pub namespace: &'v str,
}

impl Mutable<'_> {
    /// A copy, to look at during the changes.
    pub fn before(&self) -> Value {
        self.template.clone()
    }

    pub fn is(&self, setting: &str) -> bool {
        get(self.settings, setting) == true
    }

    /// Whether a container is exempt, which the pod's fields would reach.
    pub fn has_exempt_containers(&self) -> bool {
        let spec = get(self.template, "spec");
        LISTS.iter().flat_map(|name| list(spec, name)).any(|container| is_exempt(container, self.settings))
    }

    /// Sets a field of the spec, if it may change.
    pub fn set(&mut self, path: &str, new: Value) {
        if !self.is_running {
            set(self.template, &format!("spec.{path}"), new);
        }
    }

    /// Changes each container that is not exempt and may change.
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
