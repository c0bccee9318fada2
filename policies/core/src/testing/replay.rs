//! Every fixture in every form in which a host can send it.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{
    FixtureError, Mismatch,
    fixture::{self, Case, Expectation, REQUEST, Subject},
    reply,
    unknown::with_unknown_members,
};
use crate::{
    Policy,
    json::pad,
    workload::{WORKLOADS, Workload},
};

/// A kind that only `podSpecPaths` knows.
const CUSTOM: Workload = Workload { group: "example.com", kind: "Gadget", template: "spec.pod.template" };

/// The fixtures of one policy.
pub struct Suite {
    /// The policy's name, which is its directory's.
    pub policy: String,
    pub(super) cases: Vec<Case>,
}

impl Suite {
    /// Reads `fixtures.yaml` in the directory of a policy.
    ///
    /// # Errors
    /// It cannot be read, or is not as the [module](super) says.
    pub fn load(policy_dir: &Path) -> Result<Self, FixtureError> {
        let policy = policy_dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { policy, cases: fixture::load(&policy_dir.join("fixtures.yaml"))? })
    }

    /// Every fixture in every form, in the order of the file.
    pub fn replays(&self) -> Vec<Replay> {
        self.cases.iter().flat_map(Case::replays).collect()
    }
}

/// A fixture in one form: a call to a policy, and the reply that is expected.
pub struct Replay {
    /// The fixture's name.
    pub fixture: String,
    /// The kind of the object, or what else is special: `Deployment`, `Pod, object before kind`, `settings`.
    pub form: String,
    /// `validate` or `validate_settings`.
    pub operation: &'static str,
    /// What the policy is sent.
    pub payload: Vec<u8>,
    pub(super) expected: Expected,
    /// The object that is judged.
    pub(super) object: Value,
}

/// The reply that is expected, in this form.
#[derive(Clone)]
pub(super) enum Expected {
    Accept,
    Reject(String),
    Unreadable(String),
    /// With the text of the object.
    Mutate(String),
    ValidSettings,
    InvalidSettings(String),
}

impl Replay {
    /// Compares a reply of the policy, or the error that it ended in, with what is expected.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn check(&self, reply: Result<&[u8], &str>) -> Result<(), Mismatch> {
        reply::check(self, reply)
    }

    /// Calls a policy natively.
    pub(super) fn run(&self, policy: &Policy) -> String {
        let payload = pad(&self.payload);
        match self.operation {
            "validate" => crate::validate(policy, &payload),
            _ => crate::validate_settings(policy, &payload),
        }
    }
}

/// An object as it is sent, and what it says of itself.
struct Sent {
    group: String,
    version: String,
    kind: String,
    text: String,
    object: Value,
}

impl Sent {
    fn new(object: Value, text: String) -> Self {
        let member = |key| object.get(key).and_then(Value::as_str);
        let (group, version) = match member("apiVersion").unwrap_or("v1").split_once('/') {
            Some((group, version)) => (group.to_owned(), version.to_owned()),
            None => (String::new(), member("apiVersion").unwrap_or("v1").to_owned()),
        };
        Self { group, version, kind: member("kind").unwrap_or("Pod").to_owned(), text, object }
    }

    fn pod_in(workload: &Workload, spec: &Value, metadata: Option<&Value>) -> Self {
        let object = wrap(workload, spec, metadata);
        let text = object.to_string();
        Self::new(object, text)
    }
}

/// The object of a kind that has this pod.
fn wrap(workload: &Workload, spec: &Value, metadata: Option<&Value>) -> Value {
    let mut inside = Map::new();
    if let Some(metadata) = metadata {
        inside.insert("metadata".to_owned(), metadata.clone());
    }
    inside.insert("spec".to_owned(), spec.clone());
    let mut inside = Value::Object(inside);
    for key in workload.template.rsplit('.').filter(|key| !key.is_empty()) {
        inside = json!({ key: inside });
    }
    let api_version = match workload.group {
        "" => "v1".to_owned(),
        group => format!("{group}/v1"),
    };
    let mut object = json!({ "apiVersion": api_version, "kind": workload.kind, "metadata": { "name": "example" } });
    if let (Some(object), Value::Object(members)) = (object.as_object_mut(), inside) {
        object.extend(members);
    }
    object
}

impl Case {
    /// Whether the kind of the object makes no difference to this case.
    fn is_for_every_kind(&self) -> bool {
        let special = ["kind", "subResource", "oldObject"];
        matches!(self.subject, Subject::Pod { old: None, .. })
            && !special.iter().any(|key| self.request.contains_key(*key))
            && self.request.get("operation").is_none_or(|operation| operation == "CREATE")
    }

    /// The same case with other settings.
    pub(super) fn with_settings(&self, settings: Value) -> Self {
        Self { settings, ..self.clone() }
    }

    pub(super) fn replays(&self) -> Vec<Replay> {
        let pod = &WORKLOADS[0];
        let mut replays = Vec::new();
        let first = match &self.subject {
            Subject::Pod { spec, metadata, .. } => {
                if self.is_for_every_kind() {
                    for workload in &WORKLOADS[1..] {
                        let sent = Sent::pod_in(workload, spec, metadata.as_ref());
                        let expected = self.expected(workload);
                        replays.extend(self.replay_with_unknown_members(&sent, &expected));
                        replays.push(self.replay(&sent, &self.settings, expected));
                    }
                    if let Some(settings) = with_custom_kind(&self.settings) {
                        let sent = Sent::pod_in(&CUSTOM, spec, metadata.as_ref());
                        replays.push(self.replay(&sent, &settings, self.expected(&CUSTOM)));
                    }
                }
                Sent::pod_in(pod, spec, metadata.as_ref())
            }
            Subject::Object(object) => Sent::new(object.clone(), object.to_string()),
            Subject::Json(text) => Sent::new(serde_json::from_str(text).unwrap_or_default(), text.clone()),
            Subject::Nothing => Sent::new(Value::Null, "null".to_owned()),
        };
        let expected = self.expected(pod);
        replays.insert(0, self.replay(&first, &self.settings, expected.clone()));
        if let Expected::Mutate(text) = &expected {
            replays.push(self.replay_changed(text));
        }
        if !matches!(self.subject, Subject::Json(_)) {
            replays.extend(self.replay_with_unknown_members(&first, &expected));
        }
        replays.push(self.replay_backwards(&first, expected));
        replays.push(self.replay_settings());
        replays
    }

    fn expected(&self, workload: &Workload) -> Expected {
        match &self.expectation {
            Expectation::Accept => Expected::Accept,
            Expectation::Reject(message) => Expected::Reject(message.clone()),
            Expectation::Unreadable(message) => Expected::Unreadable(below(workload.template, message)),
            Expectation::SettingsError(message) => Expected::Unreadable(format!("settings: {message}")),
            Expectation::Mutate(after) => Expected::Mutate(match (&self.subject, after) {
                (Subject::Pod { metadata, .. }, after) => wrap(workload, after, metadata.as_ref()).to_string(),
                (Subject::Json(_), Value::String(text)) => text.trim().to_owned(),
                (_, after) => after.to_string(),
            }),
        }
    }

    fn replay(&self, sent: &Sent, settings: &Value, expected: Expected) -> Replay {
        let request = text_of_object(self.request(sent).iter());
        Replay {
            fixture: self.name.clone(),
            form: sent.kind.clone(),
            operation: "validate",
            payload: format!(r#"{{"request":{request},"settings":{settings}}}"#).into_bytes(),
            expected,
            object: sent.object.clone(),
        }
    }

    fn replay_backwards(&self, sent: &Sent, expected: Expected) -> Replay {
        let (settings, request) = (&self.settings, text_of_object(self.request(sent).iter().rev()));
        Replay {
            form: format!("{}, object before kind", sent.kind),
            payload: format!(r#"{{"settings":{settings},"request":{request}}}"#).into_bytes(),
            ..self.replay(sent, settings, expected)
        }
    }

    /// What came of a change meets the policy and is not changed again.
    fn replay_changed(&self, text: &str) -> Replay {
        let sent = Sent::new(serde_json::from_str(text).unwrap_or_default(), text.to_owned());
        Replay { form: format!("{}, changed", sent.kind), ..self.replay(&sent, &self.settings, Expected::Accept) }
    }

    /// A change keeps to the byte what nobody knows, and is not made again.
    fn replay_with_unknown_members(&self, sent: &Sent, expected: &Expected) -> Vec<Replay> {
        let Expected::Mutate(after) = expected else { return Vec::new() };
        let after = serde_json::from_str(after).unwrap_or_default();
        let (text, changed) = with_unknown_members(&sent.object, &after);
        let form = format!("{}, unknown members", sent.kind);
        let sent = Sent::new(sent.object.clone(), text);
        let replay = self.replay(&sent, &self.settings, Expected::Mutate(changed.clone()));
        vec![
            Replay { form: form.clone(), ..replay },
            Replay { form: format!("{form}, changed"), ..self.replay_changed(&changed) },
        ]
    }

    fn replay_settings(&self) -> Replay {
        Replay {
            fixture: self.name.clone(),
            form: "settings".to_owned(),
            operation: "validate_settings",
            payload: self.settings.to_string().into_bytes(),
            expected: match &self.expectation {
                Expectation::SettingsError(message) => Expected::InvalidSettings(message.clone()),
                _ => Expected::ValidSettings,
            },
            object: Value::Null,
        }
    }

    /// The members of the AdmissionRequest, as JSON, in the order of a host.
    fn request(&self, sent: &Sent) -> Vec<(&'static str, String)> {
        let kind = json!({ "group": sent.group, "version": sent.version, "kind": sent.kind });
        let plural = format!("{}s", sent.kind.to_lowercase());
        let resource = json!({ "group": sent.group, "version": sent.version, "resource": plural });
        let old = match &self.subject {
            Subject::Pod { old: Some(old), metadata, .. } => Some(wrap(&WORKLOADS[0], old, metadata.as_ref())),
            _ => None,
        };
        let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
        let usual = |member: &str| match member {
            "uid" => Some(json!("7f0b2891-916f-4ed6-b7cd-27bff1815a8c")),
            "kind" | "requestKind" => Some(kind.clone()),
            "resource" | "requestResource" => Some(resource.clone()),
            "name" => Some(json!("example")),
            "namespace" => Some(json!("default")),
            "operation" => Some(json!(operation)),
            "userInfo" => Some(json!({ "username": "jane", "groups": ["system:authenticated"] })),
            "oldObject" => Some(old.clone().unwrap_or_default()),
            "dryRun" => Some(json!(false)),
            _ => None,
        };
        let text = |member: &str| match (self.request.get(member), member) {
            (Some(given), _) => Some(given.to_string()),
            (None, "object") => Some(sent.text.clone()),
            (None, _) => usual(member).map(|value| value.to_string()),
        };
        REQUEST.iter().filter_map(|&member| Some((member, text(member)?))).collect()
    }
}

fn text_of_object<'m>(members: impl Iterator<Item = &'m (&'static str, String)>) -> String {
    let members: Vec<String> = members.map(|(key, json)| format!(r#""{key}":{json}"#)).collect();
    format!("{{{}}}", members.join(","))
}

/// The settings with one more entry in `podSpecPaths`; `None` if they have no room for it.
fn with_custom_kind(settings: &Value) -> Option<Value> {
    let mut settings = settings.clone();
    let paths = settings.as_object_mut()?.entry("podSpecPaths").or_insert_with(|| json!([]));
    let custom = json!({ "group": CUSTOM.group, "kind": CUSTOM.kind, "path": CUSTOM.template });
    paths.as_array_mut()?.push(custom);
    Some(settings)
}

/// A message about a pod as one about the same pod in a template.
fn below(template: &str, message: &str) -> String {
    let is_path = ["spec", "metadata"]
        .iter()
        .any(|root| message.strip_prefix(root).is_some_and(|rest| rest.starts_with(['.', '[', ':'])));
    if is_path && !template.is_empty() { format!("{template}.{message}") } else { message.to_owned() }
}
