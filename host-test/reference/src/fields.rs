//! The fields that a policy declares, as a tree, and the check of a value's types against them.

use podfence_core::{Declaration, JsonType, Kind, LISTS, Policy, Scope, base_fields, object_fields};
use serde_json::Value;

use crate::opinion::{Pool, Values};

/// A field, or an object or list on the way to one.
#[derive(Clone)]
pub struct Node {
    pub json_type: JsonType,
    /// The known members. A key that ends in `*` stands for each key that starts so and has no entry of its own.
    pub members: Vec<(String, Node)>,
    /// The values to try, if this is a field.
    pub pool: Pool,
    /// Whether it is a field.
    pub is_field: bool,
}

/// The trees of the objects that a policy reads.
pub struct Fields {
    /// Starts at the object that holds a pod's metadata and spec.
    pub pod: Node,
    /// Starts at a PersistentVolume, if the policy reads one.
    pub persistent_volume: Option<Node>,
    /// Starts at the Pod that an update replaces.
    pub old_pod: Node,
    /// Starts at the object that holds a pod template, and has the fields outside of the template.
    pub workload: Node,
    /// The paths of the fields of a PersistentVolume.
    pub volume_paths: Vec<String>,
    /// Starts at the object, of a policy that evaluates no pods.
    pub object: Node,
    /// The kinds of such a policy; empty for others.
    pub kinds: &'static [Kind],
    /// The users that are exempt from it whatever the settings say.
    pub exempt_users: &'static [&'static str],
    /// Whether all that it reads of a Pod counts in an update, and not images alone.
    pub evaluates_resizes: bool,
}

impl Fields {
    /// The trees of one policy.
    pub fn new(policy: &Policy, values: &[Values]) -> Self {
        let (kinds, exempt_users) = (policy.kinds(), policy.exempt_users());
        let fields = Self::of(policy.fields, values);
        let old_pod = if policy.evaluates_resizes { fields.pod.clone() } else { fields.old_pod };
        Self { kinds, exempt_users, evaluates_resizes: policy.evaluates_resizes, old_pod, ..fields }
    }

    /// The trees of these fields and those that every policy reads.
    pub fn of(fields: &[Declaration], values: &[Values]) -> Self {
        let all = [base_fields(), fields].concat();
        let persistent_volume = all.iter().any(|entry| entry.scope == Scope::PersistentVolume).then(|| {
            let mut spec = Node::new(JsonType::Object);
            spec.insert_all(&all, &[Scope::PersistentVolume], values);
            Node::new(JsonType::Object).with("spec", spec)
        });
        let mut workload = Node::new(JsonType::Object);
        workload.insert_all(&all, &[Scope::Workload], values);
        let of_volumes = all.iter().filter(|entry| entry.scope == Scope::PersistentVolume);
        let volume_paths = of_volumes.map(|entry| format!("spec.{}", entry.path)).collect();
        let mut object = Node::new(JsonType::Object);
        object.insert_all(&[object_fields(), fields].concat(), &[Scope::Object], values);
        Self {
            pod: pod(&all, values),
            persistent_volume,
            old_pod: pod(base_fields(), values),
            workload,
            volume_paths,
            object,
            kinds: &[],
            exempt_users: &[],
            evaluates_resizes: false,
        }
    }
}

fn pod(entries: &[Declaration], values: &[Values]) -> Node {
    let mut container = Node::new(JsonType::ObjectList);
    container.insert_all(entries, &[Scope::Container, Scope::Both], values);
    container.is_field = true;
    let mut spec = Node::new(JsonType::Object);
    spec.insert_all(entries, &[Scope::Pod, Scope::Both], values);
    for list in LISTS {
        spec = spec.with(list.path, container.clone());
    }
    let mut metadata = Node::new(JsonType::Object);
    metadata.insert_all(entries, &[Scope::Metadata], values);
    let pod = Node::new(JsonType::Object).with("spec", spec);
    if metadata.members.is_empty() { pod } else { pod.with("metadata", metadata) }
}

impl Node {
    fn new(json_type: JsonType) -> Self {
        Self { json_type, members: Vec::new(), pool: Pool::of_type(json_type), is_field: false }
    }

    fn with(mut self, key: &str, node: Node) -> Self {
        self.members.push((key.to_owned(), node));
        self
    }

    fn insert_all(&mut self, entries: &[Declaration], scopes: &[Scope], values: &[Values]) {
        for entry in entries.iter().filter(|entry| scopes.contains(&entry.scope)) {
            let node = self.reach(entry.path);
            node.json_type = entry.json_type;
            node.is_field = true;
            node.pool = Pool::find(entry.path, entry.json_type, values);
        }
    }

    /// The node at a declared path; makes it and the nodes on the way.
    fn reach(&mut self, path: &str) -> &mut Node {
        let (key, is_list, rest) = split(path);
        let at = self.members.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
            self.members.push((key.to_owned(), Node::new(JsonType::Object)));
            self.members.len() - 1
        });
        let node = &mut self.members[at].1;
        if is_list {
            node.json_type = JsonType::ObjectList;
        }
        if rest.is_empty() { node } else { node.reach(rest) }
    }

    /// The node of a key.
    pub fn member(&self, key: &str) -> Option<&Node> {
        let exact = self.members.iter().find(|(known, _)| !known.ends_with('*') && known == key);
        let by_prefix =
            |(known, _): &&(String, Node)| known.strip_suffix('*').is_some_and(|start| key.starts_with(start));
        exact.or_else(|| self.members.iter().find(by_prefix)).map(|(_, node)| node)
    }

    /// Adds the message of the policy for each value of another type than expected.
    pub fn mismatches(&self, value: &Value, path: &str, found: &mut Vec<String>) {
        match (self.json_type, value) {
            (_, Value::Null)
            | (JsonType::Any, _)
            | (JsonType::Bool, Value::Bool(_))
            | (JsonType::String, Value::String(_)) => {}
            (JsonType::Integer, Value::Number(number)) if number.as_i64().is_some() => {}
            (JsonType::Object, Value::Object(_)) => self.mismatches_inside(value, path, found),
            (JsonType::ObjectList | JsonType::StringList, Value::Array(elements)) => {
                for (index, element) in elements.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    match (self.json_type, element) {
                        (JsonType::ObjectList, Value::Object(_)) => self.mismatches_inside(element, &path, found),
                        (JsonType::StringList, Value::String(_)) => {}
                        (JsonType::ObjectList, _) => found.push(mismatch(&path, "an object", element)),
                        _ => found.push(mismatch(&path, "a string", element)),
                    }
                }
            }
            _ => found.push(mismatch(path, self.json_type.expectation(), value)),
        }
    }

    /// Adds the texts of the fields in a value, in their order, each with its path.
    pub fn texts(&self, value: &Value, path: &str, found: &mut Vec<(String, String)>) {
        for (key, value) in value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            match self.member(key) {
                Some(node) if node.is_field => found.push((join(path, key), value.to_string())),
                Some(node) => node.texts(value, &join(path, key), found),
                None => {}
            }
        }
    }

    /// The mismatches in a pod, or in the spec of one.
    pub fn mismatches_at(&self, value: &Value, is_spec: bool, path: &str, found: &mut Vec<String>) {
        let spec = self.member("spec").filter(|_| is_spec);
        spec.unwrap_or(self).mismatches(value, path, found);
    }

    fn mismatches_inside(&self, object: &Value, path: &str, found: &mut Vec<String>) {
        for (key, value) in object.as_object().into_iter().flatten() {
            if let Some(node) = self.member(key) {
                node.mismatches(value, &join(path, key), found);
            }
        }
    }
}

/// Splits a path into its first key, whether `[*]` follows, and the rest.
fn split(path: &str) -> (&str, bool, &str) {
    // A key with dots in it is quoted and the last one: `annotations["a.b/*"]`.
    if let Some(quoted) = path.strip_prefix('"') {
        return (quoted.trim_end_matches("\"]"), false, "");
    }
    let (key, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
    match rest.strip_prefix("[*]") {
        Some(rest) => (key, true, rest.trim_start_matches('.')),
        None => (key, false, rest.get(1..).unwrap_or_default()),
    }
}

/// Adds a key to a path, as messages do.
pub fn join(path: &str, key: &str) -> String {
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        format!("{path}[{}]", Value::from(key))
    } else if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The message for a value of another type than expected.
pub fn mismatch(path: &str, expected: &str, value: &Value) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("{path}: expected {expected}, found {found}")
}
