//! The objects of a document, as kubectl would send them: the document itself, or what is in its list `items`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::request::{self, AdmissionRequest, GroupVersionKind};

/// An object of an input, as kubectl would send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its type.
    pub kind: GroupVersionKind,
    /// `metadata.name`, else `metadata.generateName`, else empty.
    pub name: String,
    /// Whether `name` is `metadata.generateName`.
    pub is_generated: bool,
    /// `metadata.namespace` as it is written.
    pub namespace: Option<String>,
    /// `metadata.uid`.
    pub uid: Option<String>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// The controller among `metadata.ownerReferences`.
    pub controller: Option<Owner>,
    /// As compact JSON.
    pub json: String,
    /// Where it is in its document: `items[0]`, or empty for the document itself.
    pub path: String,
}

/// An object that owns another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: Option<String>,
}

/// What a document holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One object, which is not a list.
    One(Box<Object>),
    /// The items of a list.
    List {
        /// Each item, or why it is unsuitable.
        items: Vec<Result<Object, Unsuitable>>,
        /// The list, without its JSON. kubectl takes any kind with `items` for a list, and makes only the items.
        list: Box<Object>,
    },
    /// No object.
    None(Unsuitable),
}

/// What is not an object, or none that can be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsuitable {
    /// Where it is in its document.
    pub path: String,
    /// What was found, and what was expected.
    pub problem: String,
    /// Whether it lacks `apiVersion` or `kind`, as values files and patches do.
    pub is_untyped: bool,
    /// Its `kind`, or empty.
    pub kind: String,
    /// As compact JSON, if it is untyped.
    pub json: String,
}

impl Unsuitable {
    fn new(path: &str, problem: &str) -> Unsuitable {
        Unsuitable {
            path: path.to_owned(),
            problem: problem.to_owned(),
            is_untyped: false,
            kind: String::new(),
            json: String::new(),
        }
    }
}

/// The members that say what an object is. All of them as they are: a wrong type is the API server's to refuse.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'j> {
    #[serde(borrow)]
    api_version: Option<&'j RawValue>,
    #[serde(borrow)]
    kind: Option<&'j RawValue>,
    #[serde(borrow)]
    metadata: Option<&'j RawValue>,
    // Not an Option, for which null is nothing; kubectl reads an empty list.
    #[serde(borrow, default)]
    items: Items<'j>,
}

#[derive(Default)]
struct Items<'j>(Option<&'j RawValue>);

impl<'j, 'de: 'j> Deserialize<'de> for Items<'j> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|items| Items(Some(items)))
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Metadata<'j> {
    #[serde(borrow)]
    name: Option<&'j RawValue>,
    #[serde(borrow)]
    generate_name: Option<&'j RawValue>,
    #[serde(borrow)]
    namespace: Option<&'j RawValue>,
    #[serde(borrow)]
    uid: Option<&'j RawValue>,
    #[serde(borrow)]
    labels: Option<&'j RawValue>,
    #[serde(borrow)]
    owner_references: Option<&'j RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnerReference<'j> {
    #[serde(borrow, default)]
    api_version: Cow<'j, str>,
    #[serde(borrow, default)]
    kind: Cow<'j, str>,
    #[serde(borrow, default)]
    name: Cow<'j, str>,
    uid: Option<String>,
    controller: Option<bool>,
}

/// What is in a document, which is the JSON that a reader of manifests wrote.
pub fn content(json: String) -> Content {
    match read(&json) {
        Read::Is(Content::None(mut unsuitable)) => {
            if unsuitable.is_untyped {
                unsuitable.json = json;
            }
            Content::None(unsuitable)
        }
        Read::Is(content) => content,
        Read::One(mut object) => {
            object.json = json;
            Content::One(object)
        }
    }
}

enum Read {
    Is(Content),
    /// Without its JSON.
    One(Box<Object>),
}

fn read(json: &str) -> Read {
    let head = match head(json, "") {
        Ok(head) => head,
        Err(unsuitable) => return Read::Is(Content::None(unsuitable)),
    };
    let kind = text(head.kind).unwrap_or_default();
    let Some(items) = head.items.0 else {
        if kind == "List" {
            return Read::Is(Content::None(Unsuitable::new(
                "",
                "found a List without `items`, expected a list of them",
            )));
        }
        return match object(&head, None, "") {
            Ok(object) => Read::One(Box::new(object)),
            Err(unsuitable) => Read::Is(Content::None(unsuitable)),
        };
    };
    let api_version = text(head.api_version).unwrap_or_default();
    if kind.is_empty() {
        return Read::Is(Content::None(untyped("", &head)));
    }
    let elements: Option<Vec<&RawValue>> = serde_json::from_str(items.get()).ok().and_then(|list: Option<_>| {
        // `items: null` is an empty list.
        list.or_else(|| Some(Vec::new()))
    });
    let Some(elements) = elements else {
        return Read::Is(Content::None(Unsuitable::new(
            "items",
            "found no list, expected one: kubectl takes it for one",
        )));
    };
    let of_list = (api_version.as_str(), kind.strip_suffix("List").unwrap_or(&kind));
    let list = Box::new(of_type(&head, &api_version, kind.clone(), ""));
    let items = elements.iter().enumerate().map(|(index, element)| {
        let path = format!("items[{index}]");
        let head = self::head(element.get(), &path)?;
        if head.items.0.is_some() {
            return Err(Unsuitable::new(&path, "found a list in a list, which kubectl refuses; expected an object"));
        }
        let mut item = object(&head, Some(of_list), &path)?;
        item.json = if head.kind.is_none() && head.api_version.is_none() {
            let (api_version, kind) = (quoted(of_list.0), quoted(of_list.1));
            let members = element.get().trim_start_matches('{');
            let comma = if members.trim_start().starts_with('}') { "" } else { "," };
            format!("{{\"apiVersion\":{api_version},\"kind\":{kind}{comma}{members}")
        } else {
            element.get().to_owned()
        };
        Ok(item)
    });
    Read::Is(Content::List { items: items.collect(), list })
}

fn head<'j>(json: &'j str, path: &str) -> Result<Head<'j>, Unsuitable> {
    if !json.starts_with('{') {
        let mut unsuitable = Unsuitable::new(path, "found no object, expected one with apiVersion and kind");
        unsuitable.is_untyped = true;
        return Err(unsuitable);
    }
    serde_json::from_str(json).map_err(|error| Unsuitable::new(path, &error.to_string()))
}

fn untyped(path: &str, head: &Head<'_>) -> Unsuitable {
    let is_missing = |value: Option<&RawValue>| text(value).is_none_or(|text| text.is_empty());
    let missing = match (is_missing(head.api_version), is_missing(head.kind)) {
        (true, true) => "no apiVersion and no kind",
        (true, false) => "no apiVersion",
        _ => "no kind",
    };
    let mut unsuitable = Unsuitable::new(path, &format!("found {missing}, expected a Kubernetes object"));
    unsuitable.is_untyped = true;
    unsuitable.kind = text(head.kind).unwrap_or_default();
    unsuitable
}

/// An object, with the type that a list gives to items without one.
fn object(head: &Head<'_>, of_list: Option<(&str, &str)>, path: &str) -> Result<Object, Unsuitable> {
    let (api_version, kind) = match (text(head.api_version), text(head.kind), of_list) {
        (Some(api_version), Some(kind), _) if !api_version.is_empty() && !kind.is_empty() => (api_version, kind),
        (None, None, Some((api_version, kind)))
            if head.kind.is_none() && head.api_version.is_none() && !kind.is_empty() =>
        {
            (api_version.to_owned(), kind.to_owned())
        }
        _ => return Err(untyped(path, head)),
    };
    let metadata = metadata(head);
    let texts = [("name", metadata.name), ("generateName", metadata.generate_name), ("namespace", metadata.namespace)];
    for (key, value) in texts.into_iter().filter_map(|(key, value)| Some((key, value?.get()))) {
        let found = match value.as_bytes() {
            [b'"', ..] | b"null" => continue,
            [b'{', ..] => "an object".to_owned(),
            [b'[', ..] => "a list".to_owned(),
            _ => format!("{value}; quote it"),
        };
        let path = path_within(path, "metadata");
        return Err(Unsuitable::new(&format!("{path}.{key}"), &format!("expected text, found {found}")));
    }
    Ok(of_type(head, &api_version, kind, path))
}

fn metadata<'j>(head: &Head<'j>) -> Metadata<'j> {
    head.metadata.and_then(|metadata| serde_json::from_str(metadata.get()).ok()).unwrap_or_default()
}

fn of_type(head: &Head<'_>, api_version: &str, kind: String, path: &str) -> Object {
    let metadata = metadata(head);
    let name = text(metadata.name).filter(|name| !name.is_empty());
    let is_generated = name.is_none();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    Object {
        kind: GroupVersionKind { group: group.to_owned(), version: version.to_owned(), kind },
        name: name.or_else(|| text(metadata.generate_name)).unwrap_or_default(),
        is_generated,
        namespace: text(metadata.namespace).filter(|namespace| !namespace.is_empty()),
        uid: text(metadata.uid).filter(|uid| !uid.is_empty()),
        labels: labels(metadata.labels),
        controller: metadata.owner_references.and_then(controller),
        json: String::new(),
        path: path.to_owned(),
    }
}

fn text(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

fn labels(value: Option<&RawValue>) -> BTreeMap<String, String> {
    let members: Map<String, Value> =
        value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default();
    let mut labels = BTreeMap::new();
    for (key, value) in members {
        if let Value::String(value) = value {
            labels.insert(key, value);
        }
    }
    labels
}

fn controller(value: &RawValue) -> Option<Owner> {
    let references: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
    let mut owners = references.iter().filter_map(|of| serde_json::from_str::<OwnerReference<'_>>(of.get()).ok());
    let owner = owners.find(|owner| owner.controller == Some(true))?;
    Some(Owner {
        api_version: owner.api_version.into_owned(),
        kind: owner.kind.into_owned(),
        name: owner.name.into_owned(),
        uid: owner.uid,
    })
}

impl Object {
    /// The request that creates it, without the object.
    pub fn creation(&self) -> AdmissionRequest {
        let of = request::Metadata {
            name: (!self.is_generated && !self.name.is_empty()).then_some(&self.name),
            namespace: self.namespace.as_deref().filter(|of| !of.is_empty()),
            uid: self.uid.as_deref(),
        };
        request::creation(self.kind.clone(), &of, 0)
    }

    /// One about which nothing is known but its type.
    pub fn new(kind: GroupVersionKind) -> Object {
        Object {
            kind,
            name: String::new(),
            is_generated: false,
            namespace: None,
            uid: None,
            labels: BTreeMap::new(),
            controller: None,
            json: String::new(),
            path: String::new(),
        }
    }

    /// `apiVersion`.
    pub fn api_version(&self) -> String {
        match self.kind.group.as_str() {
            "" => self.kind.version.clone(),
            group => format!("{group}/{}", self.kind.version),
        }
    }

    /// A path of this object as one of its document.
    pub fn path_in_document<'p>(&self, path: &'p str) -> Cow<'p, str> {
        path_within(&self.path, path)
    }
}

/// A path of an object that is at another path of its document, as one of the document.
pub fn path_within<'p>(object: &str, path: &'p str) -> Cow<'p, str> {
    match (object.is_empty(), path.is_empty()) {
        (true, _) => path.into(),
        (_, true) => object.to_owned().into(),
        _ if path.starts_with('[') => format!("{object}{path}").into(),
        _ => format!("{object}.{path}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(json: &str) -> Vec<String> {
        match content(json.to_owned()) {
            Content::One(object) => vec![format!("{} {} {}", object.api_version(), object.kind.kind, object.name)],
            Content::List { items, list } => {
                let name = |item: Result<Object, Unsuitable>| match item {
                    Ok(object) => {
                        let Object { path, name, json, .. } = &object;
                        format!("{path} {} {} {name} {json}", object.api_version(), object.kind.kind)
                    }
                    Err(of) => format!("{}: {}", of.path, of.problem),
                };
                std::iter::once(list.kind.kind).chain(items.into_iter().map(name)).collect()
            }
            Content::None(of) => vec![format!("{}: {}", of.path, of.problem)],
        }
    }

    #[test]
    fn what_has_items_is_a_list() {
        for (json, expected) in [
            (r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}"#, vec!["v1 Pod a"]),
            (
                r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generateName":"a-"}}"#,
                vec!["apps/v1 Deployment a-"],
            ),
            (r#"{"apiVersion":"v1","kind":"List","items":null}"#, vec!["List"]),
            (
                r#"{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"a"}},{}]}"#,
                vec![
                    "PodList",
                    r#"items[0] v1 Pod a {"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}"#,
                    r#"items[1] v1 Pod  {"apiVersion":"v1","kind":"Pod"}"#,
                ],
            ),
            (
                r#"{"apiVersion":"v1","kind":"Pod","items":[{"apiVersion":"v1","kind":"Pod","items":[]},1,{"kind":"Pod"}]}"#,
                vec![
                    "Pod",
                    "items[0]: found a list in a list, which kubectl refuses; expected an object",
                    "items[1]: found no object, expected one with apiVersion and kind",
                    "items[2]: found no apiVersion, expected a Kubernetes object",
                ],
            ),
            (r#"{"apiVersion":"v1","kind":"List"}"#, vec![": found a List without `items`, expected a list of them"]),
            (
                r#"{"apiVersion":"v1","kind":"List","items":{}}"#,
                vec!["items: found no list, expected one: kubectl takes it for one"],
            ),
            (
                r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":true}}"#,
                vec!["metadata.name: expected text, found true; quote it"],
            ),
            (
                r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":[]}}]}"#,
                vec!["List", "items[0].metadata.namespace: expected text, found a list"],
            ),
            (r#"{"replicas":1}"#, vec![": found no apiVersion and no kind, expected a Kubernetes object"]),
            (r#"{"apiVersion":"v1","kind":5}"#, vec![": found no kind, expected a Kubernetes object"]),
            ("[1]", vec![": found no object, expected one with apiVersion and kind"]),
        ] {
            assert_eq!(names(json), expected, "{json}");
        }
    }

    #[test]
    fn the_controller_and_the_labels_are_read() {
        let json = r#"{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"a","labels":{"a":"b","c":1},
            "ownerReferences":[{"kind":"X"},{"apiVersion":"apps/v1","kind":"Deployment","name":"d","controller":true}]}}"#;
        let Content::One(object) = content(json.to_owned()) else { panic!("no object") };
        let owner = Owner { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "d".into(), uid: None };
        assert_eq!(object.controller, Some(owner));
        assert_eq!(object.labels, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    }
}
