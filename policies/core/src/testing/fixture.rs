//! The fixture file, read strictly.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use super::FixtureError;

/// The members of an AdmissionRequest in the order in which the policy-server sends them.
pub(super) const REQUEST: [&str; 15] = [
    "uid",
    "kind",
    "resource",
    "subResource",
    "requestKind",
    "requestResource",
    "requestSubResource",
    "name",
    "namespace",
    "operation",
    "userInfo",
    "object",
    "oldObject",
    "dryRun",
    "options",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    /// For the reader of the file alone.
    #[serde(rename = "regression")]
    _regression: Option<String>,
    #[serde(default, deserialize_with = "present")]
    settings: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    pod: Option<Value>,
    metadata: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    object: Option<Value>,
    json: Option<String>,
    #[serde(default)]
    request: Map<String, Value>,
    old: Option<Value>,
    accept: Option<bool>,
    reject: Option<Vec<String>>,
    unreadable: Option<String>,
    mutate: Option<Value>,
    settings_error: Option<String>,
}

/// Tells `null` from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// One case.
#[derive(Clone)]
pub(super) struct Case {
    pub name: String,
    pub settings: Value,
    pub subject: Subject,
    /// Members that replace those of the usual request.
    pub request: Map<String, Value>,
    pub expectation: Expectation,
}

/// What is judged.
#[derive(Clone)]
pub(super) enum Subject {
    Pod { spec: Value, metadata: Option<Value>, old: Option<Value> },
    Object(Value),
    Json(String),
    Nothing,
}

/// What comes of it.
#[derive(Clone)]
pub(super) enum Expectation {
    Accept,
    Reject(String),
    Unreadable(String),
    Mutate(Value),
    SettingsError(String),
}

/// Reads the fixtures of a policy.
pub(super) fn load(path: &Path) -> Result<Vec<Case>, FixtureError> {
    let text = fs::read_to_string(path).map_err(|source| FixtureError::Read { path: path.to_owned(), source })?;
    let format = |problem: String| FixtureError::Format { path: path.to_owned(), problem };
    // A file that has `yes` in it means a text.
    let options = serde_saphyr::options! { strict_booleans: true };
    let entries: Vec<Entry> =
        serde_saphyr::from_str_with_options(&text, options).map_err(|error| format(error.to_string()))?;
    if entries.is_empty() {
        return Err(format("it has no case".to_owned()));
    }
    let mut lines = BTreeMap::new();
    let mut cases = Vec::with_capacity(entries.len());
    for entry in entries {
        let (name, line) = (entry.name.value.clone(), entry.name.referenced.line());
        let case = match lines.insert(name.clone(), line) {
            Some(first) => Err(format!("the name is there twice, first in line {first}")),
            None => entry.into_case(),
        };
        cases.push(case.map_err(|problem| FixtureError::Case { path: path.to_owned(), line, name, problem })?);
    }
    Ok(cases)
}

impl Entry {
    fn into_case(self) -> Result<Case, String> {
        let expectation = one_of(
            "accept, reject, unreadable, mutate and settings_error",
            [
                self.accept.map(|_| Expectation::Accept),
                self.reject.as_ref().map(|texts| Expectation::Reject(texts.join(", "))),
                self.unreadable.map(Expectation::Unreadable),
                self.mutate.map(Expectation::Mutate),
                self.settings_error.map(Expectation::SettingsError),
            ],
        )?
        .ok_or("it needs one of accept, reject, unreadable, mutate and settings_error")?;
        if self.accept == Some(false) {
            return Err("accept can only be true; say what is rejected instead".to_owned());
        }
        if self.reject.is_some_and(|texts| texts.is_empty()) {
            return Err("reject needs a text".to_owned());
        }
        if self.pod.is_none() && (self.metadata.is_some() || self.old.is_some()) {
            return Err("metadata and old stand beside pod".to_owned());
        }
        if let Some(unknown) = self.request.keys().find(|key| !REQUEST.contains(&key.as_str())) {
            return Err(format!("request has no {unknown}; it has {}", REQUEST.join(", ")));
        }
        if self.old.is_some() && self.request.contains_key("oldObject") {
            return Err("old is the same as request.oldObject, keep one".to_owned());
        }
        let (metadata, old) = (self.metadata, self.old);
        let subject = one_of(
            "pod, object and json",
            [
                self.pod.map(|spec| Subject::Pod { spec, metadata, old }),
                self.object.map(Subject::Object),
                self.json.map(Subject::Json),
            ],
        )?
        .unwrap_or(Subject::Nothing);
        match (&subject, &expectation) {
            (Subject::Nothing, Expectation::SettingsError(_)) if self.request.is_empty() => {}
            (_, Expectation::SettingsError(_)) => return Err("settings_error has no subject".to_owned()),
            (Subject::Nothing, Expectation::Mutate(_)) => return Err("mutate needs a subject".to_owned()),
            (Subject::Nothing, _) if self.request.is_empty() => {
                return Err("it needs one of pod, object, json and request".to_owned());
            }
            (Subject::Json(_), Expectation::Mutate(after)) if !after.is_string() => {
                return Err("mutate beside json is a text".to_owned());
            }
            _ => {}
        }
        if !matches!(subject, Subject::Nothing) && self.request.contains_key("object") {
            return Err("request.object is the same as the subject, keep one".to_owned());
        }
        Ok(Case {
            name: self.name.value,
            settings: self.settings.unwrap_or_else(|| Value::Object(Map::new())),
            subject,
            request: self.request,
            expectation,
        })
    }
}

fn one_of<T, const N: usize>(names: &str, given: [Option<T>; N]) -> Result<Option<T>, String> {
    let mut given = given.into_iter().flatten();
    let one = given.next();
    if given.next().is_some() { Err(format!("it can have only one of {names}")) } else { Ok(one) }
}
