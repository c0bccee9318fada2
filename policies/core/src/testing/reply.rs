//! What a policy replied, compared with what is expected.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    Mismatch,
    replay::{Expected, Replay},
};

/// A `ValidationResponse` of Kubewarden.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verdict {
    accepted: bool,
    message: Option<String>,
    code: Option<u16>,
    mutated_object: Option<Box<RawValue>>,
    #[serde(default)]
    audit_annotations: BTreeMap<String, String>,
    #[serde(default)]
    warnings: Vec<String>,
}

/// A `SettingsValidationResponse` of Kubewarden.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsVerdict {
    valid: bool,
    message: Option<String>,
}

/// One entry of `audit_annotations.violations`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Violation {
    control: String,
    reason: String,
    /// Left out and `null` are not the same.
    #[serde(deserialize_with = "Option::deserialize")]
    container: Option<String>,
    pub path: String,
    value: Value,
    pub fix: String,
}

pub(super) fn check(replay: &Replay, reply: Result<&[u8], &str>) -> Result<(), Mismatch> {
    let expected = replay.expected.to_string();
    let differs = |got: String| Mismatch { expected: expected.clone(), got };
    let reply = reply.map_err(|error| differs(format!("an error of the module:\n{error}")))?;
    let text = std::str::from_utf8(reply).map_err(|error| differs(format!("a reply that is not UTF-8: {error}")))?;
    let odd = |error: serde_json::Error| differs(format!("a reply that is not one ({error}):\n{text}"));
    if replay.operation == "validate_settings" {
        let got = serde_json::from_str::<SettingsVerdict>(text).map_err(odd)?.to_string();
        return if got == expected { Ok(()) } else { Err(differs(got)) };
    }
    let verdict: Verdict = serde_json::from_str(text).map_err(odd)?;
    let got = verdict.to_string();
    if got != expected {
        return Err(differs(got));
    }
    match &replay.expected {
        Expected::Reject(message) => check_violations(&verdict, message, &replay.object),
        _ => Ok(()),
    }
}

/// The violations in a reply; none if it has none.
pub(super) fn violations(reply: &str) -> Vec<Violation> {
    let verdict = serde_json::from_str::<Verdict>(reply).ok();
    verdict
        .and_then(|verdict| serde_json::from_str(verdict.audit_annotations.get("violations")?).ok())
        .unwrap_or_default()
}

fn check_violations(verdict: &Verdict, message: &str, object: &Value) -> Result<(), Mismatch> {
    let json = verdict.audit_annotations.get("violations").map_or("", String::as_str);
    let differs =
        |expected: String| Mismatch { expected, got: format!("audit_annotations.violations:\n{json}\nof:\n{message}") };
    let violations: Vec<Violation> = serde_json::from_str(json)
        .map_err(|error| differs(format!("audit_annotations.violations to be a list of violations ({error})")))?;
    if violations.is_empty() {
        return Err(differs("at least one violation".to_owned()));
    }
    for (index, violation) in violations.iter().enumerate() {
        let differs = |expected: &str| Err(differs(format!("violation {index} {expected}")));
        if violation.control.is_empty() || violation.fix.is_empty() {
            return differs("to name a control and a fix");
        }
        if violation.reason.is_empty() || !message.contains(&violation.reason) {
            return differs("to have a reason that is in the message");
        }
        if let Some(container) = &violation.container
            && !message.contains(&format!("\"{container}\""))
        {
            return differs("to be of a container that the message names");
        }
        match at(object, &violation.path) {
            Err(problem) => return differs(&format!("to have a path: {problem}")),
            Ok(value) if *value != violation.value => {
                return differs(&format!("to have the value that is at its path, {value}"));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// What is at a path like `spec.containers[1].ports["a.b"]`; null if nothing is there.
fn at<'o>(object: &'o Value, path: &str) -> Result<&'o Value, String> {
    let mut value = object;
    let mut rest = path;
    while !rest.is_empty() {
        let next = if let Some(quoted) = rest.strip_prefix('[').filter(|inside| inside.starts_with('"')) {
            let mut keys = serde_json::Deserializer::from_str(quoted).into_iter::<String>();
            let key = keys.next().and_then(Result::ok).ok_or_else(|| format!("no key at {rest}"))?;
            rest = quoted[keys.byte_offset()..].strip_prefix(']').ok_or_else(|| format!("no ] in {rest}"))?;
            value.get(&key)
        } else if let Some(inside) = rest.strip_prefix('[') {
            let (index, behind) = inside.split_once(']').ok_or_else(|| format!("no ] in {rest}"))?;
            rest = behind;
            value.get(index.parse::<usize>().map_err(|_| format!("{index} is no index"))?)
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, behind) = rest.split_at(end);
            if key.is_empty() {
                return Err(format!("no key at {rest}"));
            }
            rest = behind;
            value.get(key)
        };
        rest = rest.strip_prefix('.').unwrap_or(rest);
        value = next.unwrap_or(&Value::Null);
    }
    Ok(value)
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accept => write!(f, "accepted"),
            Self::Mutate(object) => write!(f, "accepted and changed to:\n{object}"),
            Self::Reject(message) => write!(f, "rejected with code 403:\n{message}"),
            Self::Unreadable(message) => write!(f, "rejected with code 400:\n{message}"),
            Self::ValidSettings => write!(f, "valid settings"),
            Self::InvalidSettings(message) => write!(f, "invalid settings:\n{message}"),
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.accepted, self.code, &self.message) {
            (true, None, None) => write!(f, "accepted")?,
            (false, Some(code), Some(message)) => write!(f, "rejected with code {code}:\n{message}")?,
            (accepted, code, message) => write!(f, "accepted: {accepted}, code: {code:?}, message: {message:?}")?,
        }
        if let Some(object) = &self.mutated_object {
            write!(f, " and changed to:\n{}", object.get())?;
        }
        if self.code != Some(403) && !self.audit_annotations.is_empty() {
            write!(f, "\nwith audit annotations: {:?}", self.audit_annotations)?;
        }
        if !self.warnings.is_empty() {
            write!(f, "\nwith warnings: {:?}", self.warnings)?;
        }
        Ok(())
    }
}

impl std::fmt::Display for SettingsVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.valid, &self.message) {
            (true, None) => write!(f, "valid settings"),
            (false, Some(message)) => write!(f, "invalid settings:\n{message}"),
            (valid, message) => write!(f, "valid: {valid}, message: {message:?}"),
        }
    }
}
