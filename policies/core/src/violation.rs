//! A finding as data, and the text of a verdict, which is the one that the built-in PodSecurity
//! admission gives: `reason (detail)`, several joined with `, `.

use alloc::{string::String, vec::Vec};

use crate::{
    Field,
    json::quote,
    pod::{Container, LISTS},
    settings::Settings,
    text,
    view::{Object, types},
};

/// What a control demands, and how it says that something does not meet it.
pub struct Rule {
    /// The control, as the built-in admission calls it where it has one.
    pub control: &'static str,
    /// The short text. Rules of one control with one reason share its parentheses.
    pub reason: &'static str,
    /// The long text, with:
    ///
    /// - `{who}`: `pod`, `container "a"`, `pod and containers "a", "b"`, `volumes "v", "w"`
    /// - `{values}`: the values, quoted, sorted, each once
    /// - `{numbers}`: the same without quotes
    /// - `{list}`: the values as found, without quotes
    /// - `{allowed}`: what the setting has, quoted, joined with `or`
    /// - `{who:one|many}`, `{values:one|many}`: a word that depends on how many there are
    pub detail: &'static str,
    /// How to mend it.
    pub fix: &'static str,
    /// The path of the setting that decided, with which the detail ends, unless it has `{allowed}`.
    pub setting: Option<&'static str>,
}

/// What a violation is about.
#[derive(Clone, Copy)]
pub enum Subject<'v> {
    /// The pod itself.
    Pod,
    /// A container.
    Container(Container<'v>),
    /// A volume, by name.
    Volume(&'v str),
}

/// A place in the object, and what stands there.
#[derive(Clone, Copy)]
pub struct Place<'v> {
    subject: Subject<'v>,
    path: &'static str,
    elements: [Option<usize>; 2],
    value: Option<Object<'v>>,
    /// What `{values}` has instead of the value.
    name: Option<&'v str>,
}

impl<'v> Place<'v> {
    pub(crate) fn new(subject: Subject<'v>, path: &'static str, value: Option<Object<'v>>) -> Self {
        Self { subject, path, elements: [None; 2], value, name: None }
    }

    /// An element of the list here: which, and what it is.
    #[must_use]
    pub fn element(mut self, index: usize, value: Object<'v>) -> Self {
        match self.elements {
            [None, _] => self.elements[0] = Some(index),
            _ => self.elements[1] = Some(index),
        }
        self.value = Some(value);
        self
    }

    /// The same place, of which this is what counts.
    #[must_use]
    pub fn value(mut self, value: Option<Object<'v>>) -> Self {
        self.value = value;
        self
    }

    /// The same place, which the text tells by this name and not by its value.
    #[must_use]
    pub fn named(mut self, name: &'v str) -> Self {
        self.name = Some(name);
        self
    }

    /// The same place, as one of a volume.
    #[must_use]
    pub fn of_volume(mut self, name: &'v str) -> Self {
        self.subject = Subject::Volume(name);
        self
    }

    /// Its path below the pod template.
    fn push_path(&self, path: &mut String) {
        path.push_str("spec.");
        if let Subject::Container(container) = self.subject {
            path.push_str(LISTS[container.role as usize].path);
            push_index(path, container.index);
            path.push('.');
        }
        let mut elements = self.elements.iter().flatten();
        let mut pieces = self.path.split("[*]");
        path.push_str(pieces.next().unwrap_or(""));
        for piece in pieces {
            elements.next().into_iter().for_each(|&index| push_index(path, index));
            path.push_str(piece);
        }
        elements.for_each(|&index| push_index(path, index));
    }

    fn value_text(&self) -> &'v str {
        self.name.or_else(|| self.value.map(|value| value.text().unwrap_or(value.raw()))).unwrap_or_default()
    }

    fn container(&self) -> Option<&Container<'v>> {
        match &self.subject {
            Subject::Container(container) => Some(container),
            _ => None,
        }
    }
}

fn push_index(path: &mut String, index: usize) {
    path.push('[');
    path.push_str(&text::number(index as i64));
    path.push(']');
}

struct Violation<'v> {
    rule: &'static Rule,
    place: Place<'v>,
}

/// Everything that a check found, rule by rule.
#[derive(Default)]
pub struct Violations<'v> {
    found: Vec<Violation<'v>>,
    rules: Vec<&'static Rule>,
}

impl<'v> Violations<'v> {
    /// Adds one.
    pub fn add(&mut self, rule: &'static Rule, place: Place<'v>) {
        if !self.rules.iter().any(|&known| core::ptr::eq(known, rule)) {
            self.rules.push(rule);
        }
        self.found.push(Violation { rule, place });
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The text of the verdict; with settings, what would have been allowed is told.
    pub fn message(&self, settings: Option<&Settings>) -> String {
        let mut message = String::new();
        let mut last: Option<&Rule> = None;
        for &rule in &self.rules {
            let group = Group { rule, found: &self.found, settings };
            match last {
                Some(last) if last.control == rule.control && last.reason == rule.reason => message.push_str("; "),
                _ => {
                    message.push_str(if last.is_some() { "), " } else { "" });
                    group.push(rule.reason, &mut message);
                    message.push_str(" (");
                }
            }
            group.push(rule.detail, &mut message);
            if let (Some(name), Some(settings), false) = (rule.setting, settings, rule.detail.contains("{allowed}")) {
                let allowed = settings.get(Field::<types::Any>::new(name));
                for part in ["; ", name, ": ", allowed.map_or("[]", Object::raw)] {
                    message.push_str(part);
                }
            }
            last = Some(rule);
        }
        message.push(')');
        message
    }

    /// Every violation as compact JSON: `[{"control","reason","container","path","value","fix"}]`.
    /// Paths start at the object, in which the pod is at `template`.
    pub fn to_json(&self, template: &str) -> String {
        let mut json = String::from("[");
        for violation in &self.found {
            let place = &violation.place;
            let mut path = String::from(template);
            path.push_str(if template.is_empty() { "" } else { "." });
            place.push_path(&mut path);
            let group = Group { rule: violation.rule, found: core::slice::from_ref(violation), settings: None };
            let mut reason = String::new();
            group.push(violation.rule.reason, &mut reason);
            let member = |json: &mut String, key: &str, value: Option<&str>| {
                json.push_str(key);
                match value {
                    Some(value) => quote(value, json),
                    None => json.push_str("null"),
                }
            };
            json.push_str(if json.len() == 1 { "" } else { "," });
            member(&mut json, "{\"control\":", Some(violation.rule.control));
            member(&mut json, ",\"reason\":", Some(&reason));
            member(&mut json, ",\"container\":", place.container().map(|container| container.name));
            member(&mut json, ",\"path\":", Some(&path));
            json.push_str(",\"value\":");
            json.push_str(place.value.map_or("null", Object::raw));
            member(&mut json, ",\"fix\":", Some(violation.rule.fix));
            json.push('}');
        }
        json.push(']');
        json
    }
}

/// The violations of one rule.
struct Group<'g, 'v> {
    rule: &'static Rule,
    found: &'g [Violation<'v>],
    settings: Option<&'g Settings<'g>>,
}

impl<'v> Group<'_, 'v> {
    fn places(&self) -> impl Iterator<Item = &Place<'v>> {
        self.found.iter().filter(|v| core::ptr::eq(v.rule, self.rule)).map(|v| &v.place)
    }

    fn push(&self, template: &str, message: &mut String) {
        let mut rest = template;
        while let Some((plain, behind)) = rest.split_once('{') {
            let (placeholder, behind) = behind.split_once('}').unwrap_or((behind, ""));
            message.push_str(plain);
            let (what, words) = placeholder.split_once(':').unwrap_or((placeholder, ""));
            let count = match what {
                "who" => self.push_subjects(words.is_empty().then_some(&mut *message)),
                "list" => {
                    let list: Vec<&str> = self.places().map(Place::value_text).collect();
                    push_list(&list, "", ", ", message);
                    list.len()
                }
                "allowed" => {
                    let settings = self.settings.zip(self.rule.setting);
                    let allowed = settings.and_then(|(settings, name)| settings.get(Field::<types::Texts>::new(name)));
                    push_list(&allowed.unwrap_or_default().texts().collect::<Vec<_>>(), "\"", " or ", message);
                    0
                }
                _ => {
                    let mut values: Vec<&str> = self.places().map(Place::value_text).collect();
                    text::sort(&mut values, |value| value);
                    values.dedup();
                    if words.is_empty() {
                        push_list(&values, if what == "values" { "\"" } else { "" }, ", ", message);
                    }
                    values.len()
                }
            };
            if let Some((one, many)) = words.split_once('|') {
                message.push_str(if count == 1 { one } else { many });
            }
            rest = behind;
        }
        message.push_str(rest);
    }

    /// Pushes `pod and containers "a", "b"`; says how many containers or volumes there are.
    fn push_subjects(&self, message: Option<&mut String>) -> usize {
        let mut names = Vec::new();
        let (mut pod, mut noun) = (false, "");
        let mut last = None;
        for place in self.places() {
            match place.subject {
                Subject::Pod => pod = true,
                Subject::Container(container) => {
                    // Of one container, all violations of a rule are next to each other.
                    if last.replace((container.role, container.index)) != Some((container.role, container.index)) {
                        names.push(container.name);
                    }
                    noun = "container";
                }
                Subject::Volume(name) => {
                    names.push(name);
                    noun = "volume";
                }
            }
        }
        if let Some(message) = message {
            message.push_str(if pod { "pod" } else { "" });
            message.push_str(if pod && !names.is_empty() { " and " } else { "" });
            if !names.is_empty() {
                message.push_str(noun);
                message.push_str(if names.len() == 1 { " " } else { "s " });
                push_list(&names, "\"", ", ", message);
            }
        }
        names.len()
    }
}

fn push_list(words: &[&str], quotes: &str, separator: &str, message: &mut String) {
    for (index, word) in words.iter().enumerate() {
        for part in [if index == 0 { "" } else { separator }, quotes, word, quotes] {
            message.push_str(part);
        }
    }
}
