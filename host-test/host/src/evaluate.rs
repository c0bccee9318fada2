//! From an admission request and settings to the AdmissionResponse that a policy-server sends:
//! the verdict on every failure, the patch, the modes and the custom message.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use podfence_scan::AdmissionRequest;
use podfence_scan::payload::check_size;
pub use podfence_scan::payload::{CreationText, LARGEST_BODY, TooLarge};
pub use podfence_scan::settings::settings_text;
use podfence_scan::settings::sorted;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::Module;
use crate::wapc::CallError;

/// What the server does with a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Verdicts are enforced.
    #[default]
    Protect,
    /// Every request is allowed, unchanged.
    Monitor,
}

/// A module with its settings, as the server is configured to run it.
pub struct Policy {
    /// How the server's messages call it.
    pub name: String,
    /// The code.
    pub module: Module,
    /// What the module gets beside each request; made by [`settings_object`].
    pub settings: Map<String, Value>,
    /// What becomes of the verdict.
    pub mode: Mode,
    /// Whether a patch is passed on; without it, a patch is a rejection.
    pub allowed_to_mutate: bool,
    /// Replaces the message of a rejection, which then becomes a cause.
    pub message: Option<String>,
}

/// The response, and why the policy could not judge, if so.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// What the server would send.
    pub response: AdmissionResponse,
    /// Set when `response` tells of a failure rather than of a judgement.
    pub failure: Option<Failure>,
}

impl Evaluation {
    /// What the server sends in a mode: in mode monitor, every request is allowed, unchanged. Warnings and annotations
    /// stay.
    pub fn in_mode(self, mode: Mode) -> Evaluation {
        match mode {
            Mode::Protect => self,
            Mode::Monitor => Evaluation { response: self.response.in_monitor(), failure: self.failure },
        }
    }
}

/// Why a policy could not judge a request. The display text is the server's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The call brought no reply.
    #[error("{}", call_message(.0))]
    Call(CallError),
    /// The reply is not JSON, or not a validation response.
    #[error("internal server error: invalid response from policy: {0}")]
    Reply(String),
    /// An object came back where none was sent.
    #[error(
        "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed"
    )]
    MutatedNothing,
    /// The request is larger than [`LARGEST_BODY`].
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl Failure {
    /// The cause for a person, without the server's phrases and without a backtrace.
    pub fn reason(&self) -> String {
        match self {
            Failure::Call(error) => error.reason(),
            Failure::Reply(error) => format!("invalid response: {error}"),
            other => other.to_string(),
        }
    }
}

fn call_message(error: &CallError) -> String {
    match error {
        CallError::Timeout => error.to_string(),
        other => format!("internal server error: Guest call failure: {other}"),
    }
}

/// Why a policy does not start with its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Settings are an object or null.
    #[error("settings must be an object, found {0}")]
    NotAnObject(&'static str),
    /// The policy says that they are invalid.
    #[error("{0}")]
    Invalid(String),
    /// The policy could not tell.
    #[error("{}", call_message(.0))]
    Call(CallError),
    /// The policy's answer is not a settings validation response.
    #[error("invalid settings response from policy: {0}")]
    Reply(String),
}

/// The settings as the server passes them on: null becomes `{}`.
///
/// # Errors
/// For anything else than an object.
pub fn settings_object(settings: Value) -> Result<Map<String, Value>, SettingsError> {
    match settings {
        Value::Null => Ok(Map::new()),
        Value::Object(object) => Ok(object),
        Value::Bool(_) => Err(SettingsError::NotAnObject("a boolean")),
        Value::Number(_) => Err(SettingsError::NotAnObject("a number")),
        Value::String(_) => Err(SettingsError::NotAnObject("a string")),
        Value::Array(_) => Err(SettingsError::NotAnObject("a list")),
    }
}

/// `AdmissionResponse` of `admission.k8s.io/v1`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionResponse {
    /// The request's.
    pub uid: String,
    /// The verdict.
    pub allowed: bool,
    /// `JSONPatch` where there is a patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_type: Option<String>,
    /// An RFC 6902 patch as base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// Message and code of the verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// For the audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_annotations: Option<BTreeMap<String, String>>,
    /// For the user who made the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<String>>,
}

impl AdmissionResponse {
    /// The patch, decoded. `None` where there is none.
    pub fn patch_operations(&self) -> Option<Value> {
        let bytes = BASE64.decode(self.patch.as_ref()?).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn in_monitor(self) -> Self {
        Self { allowed: true, patch_type: None, patch: None, status: None, ..self }
    }

    /// Why the policy accepted the request without judging it: its audit annotation `skipped`.
    pub fn skipped(&self) -> Option<&str> {
        Some(self.audit_annotations.as_ref()?.get("skipped")?)
    }

    /// The status message, or the empty text.
    pub fn message(&self) -> &str {
        self.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default()
    }
}

/// The part of `Status` that a policy-server fills in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// HTTP code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The policy's message where a custom one took its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// The part of `StatusDetails` that a policy-server fills in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Details {
    /// One per message.
    pub causes: Vec<Cause>,
}

/// The part of `StatusCause` that a policy-server fills in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Cause {
    /// Whose message it is: `spec.policies.<member>` of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A policy's reply to `validate`, with the changed object in this form.
#[derive(Debug, Clone, Deserialize)]
pub struct ValidationResponse<M> {
    /// The verdict.
    pub accepted: bool,
    /// Why.
    pub message: Option<String>,
    /// HTTP code.
    pub code: Option<u16>,
    /// The object as the policy wants it; it may be what was sent.
    pub mutated_object: Option<M>,
    /// For the audit log.
    pub audit_annotations: Option<BTreeMap<String, String>>,
    /// For the user who made the request.
    pub warnings: Option<Vec<String>>,
}

impl<'r, M: Deserialize<'r>> ValidationResponse<M> {
    /// Reads a reply.
    ///
    /// # Errors
    /// It is not JSON, or not a validation response.
    pub fn read(reply: &'r [u8]) -> Result<Self, Failure> {
        serde_json::from_slice(reply).map_err(|error| Failure::Reply(error.to_string()))
    }
}

impl<M> ValidationResponse<M> {
    /// Why the policy accepted the request without judging it: its audit annotation `skipped`.
    pub fn skipped(&self) -> Option<&str> {
        Some(self.audit_annotations.as_ref()?.get("skipped")?)
    }
}

/// A policy's reply to `validate_settings`.
#[derive(Debug, Deserialize)]
struct SettingsResponse {
    valid: bool,
    message: Option<String>,
}

/// The payload of `validate`, as the server writes it.
#[derive(Serialize)]
struct Payload<'a> {
    request: &'a AdmissionRequest,
    settings: &'a Value,
}

/// The payload of `validate`: compact JSON, as the server sends it to a module.
pub fn validate_payload(request: &AdmissionRequest, settings: &Map<String, Value>) -> Vec<u8> {
    payload(&as_sent(request), settings)
}

fn payload(request: &AdmissionRequest, settings: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(&Payload { request, settings: &sorted(settings) }).expect("JSON values serialise")
}

/// A request as the server has read it: the keys of what it does not know the types of are sorted.
fn as_sent(request: &AdmissionRequest) -> AdmissionRequest {
    let mut request = request.clone();
    let untyped = [&mut request.object, &mut request.old_object, &mut request.options];
    untyped.into_iter().flatten().for_each(Value::sort_all_objects);
    request
}

impl Policy {
    /// What the server does at start, and why it would not start.
    ///
    /// # Errors
    /// When the settings are invalid, or the module cannot tell.
    pub fn validate_settings(&self) -> Result<(), SettingsError> {
        let payload = settings_text(&self.settings);
        let reply = self.module.call("validate_settings", payload.as_bytes()).map_err(SettingsError::Call)?;
        let response: SettingsResponse =
            serde_json::from_slice(&reply).map_err(|error| SettingsError::Reply(error.to_string()))?;
        if response.valid {
            return Ok(());
        }
        let message = response.message;
        Err(SettingsError::Invalid(message.unwrap_or_else(|| "invalid settings, without a message".to_owned())))
    }

    /// Judges one request in a fresh instance.
    pub fn evaluate(&self, request: &AdmissionRequest) -> Evaluation {
        let Evaluation { response, failure } = self.evaluate_alone(request);
        Evaluation { response: self.constrain(response), failure }
    }

    /// The same without what the server makes of a response: the mode, whether a patch may be, and the custom message.
    pub fn evaluate_alone(&self, request: &AdmissionRequest) -> Evaluation {
        match self.judge(request) {
            Ok(response) => Evaluation { response, failure: None },
            Err(failure) => Evaluation { response: failed(request, &failure), failure: Some(failure) },
        }
    }

    fn judge(&self, request: &AdmissionRequest) -> Result<AdmissionResponse, Failure> {
        let request = as_sent(request);
        let payload = payload(&request, &self.settings);
        check_size(&payload)?;
        let reply = self.module.call("validate", &payload).map_err(Failure::Call)?;
        respond(&request, ValidationResponse::read(&reply)?)
    }

    /// The mode first, then mutation, then the custom message: the server's order.
    fn constrain(&self, response: AdmissionResponse) -> AdmissionResponse {
        if self.mode == Mode::Monitor {
            return response.in_monitor();
        }
        if response.patch.is_some() && !self.allowed_to_mutate {
            return self.mutation_refused(response);
        }
        match &self.message {
            Some(message) if !response.allowed => replace_message(response, message),
            _ => response,
        }
    }

    fn mutation_refused(&self, response: AdmissionResponse) -> AdmissionResponse {
        let message = mutation_refused(&self.name);
        AdmissionResponse {
            allowed: false,
            patch_type: None,
            patch: None,
            status: Some(Status { message: Some(message), ..Status::default() }),
            ..response
        }
    }
}

/// What the server says of a policy that changes an object and may not.
pub fn mutation_refused(policy: &str) -> String {
    format!(
        "Request rejected by policy {policy}. The policy attempted to mutate the request, but it is currently configured to not allow mutations."
    )
}

fn failed(request: &AdmissionRequest, failure: &Failure) -> AdmissionResponse {
    let code = (*failure != Failure::MutatedNothing).then_some(500);
    AdmissionResponse {
        uid: request.uid.clone(),
        status: Some(Status { message: Some(failure.to_string()), code, details: None }),
        ..AdmissionResponse::default()
    }
}

fn respond(request: &AdmissionRequest, verdict: ValidationResponse<Value>) -> Result<AdmissionResponse, Failure> {
    let patch = match (&request.object, verdict.mutated_object) {
        (_, None) => None,
        (None, Some(_)) => return Err(Failure::MutatedNothing),
        (Some(object), Some(mut mutated)) => {
            // The order of the operations follows that of the keys.
            mutated.sort_all_objects();
            encode_patch(object, &mutated)
        }
    };
    let status = (verdict.message.is_some() || verdict.code.is_some()).then_some(Status {
        message: verdict.message,
        code: verdict.code,
        details: None,
    });
    Ok(AdmissionResponse {
        uid: request.uid.clone(),
        allowed: verdict.accepted,
        patch_type: patch.is_some().then(|| "JSONPatch".to_owned()),
        patch,
        status,
        audit_annotations: verdict.audit_annotations,
        warnings: verdict.warnings,
    })
}

fn encode_patch(object: &Value, mutated: &Value) -> Option<String> {
    let patch = json_patch::diff(object, mutated);
    if patch.0.is_empty() {
        return None;
    }
    let json = serde_json::to_vec(&patch).expect("a patch serialises");
    Some(BASE64.encode(json))
}

fn replace_message(mut response: AdmissionResponse, custom: &str) -> AdmissionResponse {
    let status = response.status.get_or_insert_default();
    // The policy's message becomes a cause, also where it has none.
    let ours = status.message.replace(custom.to_owned()).unwrap_or_default();
    let details = status.details.get_or_insert_default();
    details.causes.push(Cause { field: None, message: Some(ours) });
    response
}
