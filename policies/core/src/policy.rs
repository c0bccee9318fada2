//! A policy, and how a request is judged by one.

use alloc::{string::String, vec::Vec};

use crate::{
    exempt,
    json::{Text, pad, quote},
    pod::{self, Edits, Pod},
    request::{OPERATION, Place, Request, SUB_RESOURCE, read_at, spec_of},
    settings::{Definition, Settings, common::OTHER_KINDS},
    shape::Shape,
    view::View,
    violation::Violations,
};

/// Looks for violations in a pod. It sees no JSON and no host.
pub type Check = for<'v> fn(&Pod<'v>, &Settings<'_>, &mut Violations<'v>);

/// Makes the changes that settings ask for.
pub type Mutate = for<'v> fn(&Pod<'v>, &Settings<'_>, &mut Edits<'v>);

/// A policy: what it reads, and what it makes of it. Written by [`policy!`](crate::policy).
pub struct Policy {
    /// Its name, which is its directory's.
    pub name: &'static str,
    /// The table for reading a pod.
    pub shapes: &'static [Shape],
    /// Its settings.
    pub settings: Definition,
    /// What it looks for.
    pub check: Check,
    /// What it changes, if it can.
    pub mutate: Option<Mutate>,
    /// The fields that it reads.
    #[cfg(not(target_arch = "wasm32"))]
    pub fields: &'static [crate::Entry],
}

/// Subresources that do not change what a pod may do.
const HARMLESS_SUB_RESOURCES: [&str; 9] =
    ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status", "scale"];

/// What came of a request.
enum Verdict {
    Accept,
    /// With the changed object.
    Mutate(String),
    /// With the violations as JSON.
    Reject {
        message: String,
        violations: String,
    },
}

/// Why nothing came of it: what could not be read.
type Unreadable = String;

/// Judges a payload `{"request":…,"settings":…}` in padded JSON (see [`pad`]).
///
/// The reply is a Kubewarden `ValidationResponse` in JSON.
pub fn validate(policy: &Policy, payload: &[u8]) -> String {
    match judge(policy, payload) {
        Ok(Verdict::Accept) => String::from(r#"{"accepted":true}"#),
        Ok(Verdict::Mutate(object)) => [r#"{"accepted":true,"mutated_object":"#, &object, "}"].concat(),
        Ok(Verdict::Reject { message, violations }) => reject("403", &message, Some(&violations)),
        Err(message) => reject("400", &message, None),
    }
}

/// Judges settings in padded JSON (see [`pad`]).
///
/// The reply is a Kubewarden `SettingsValidationResponse` in JSON.
pub fn validate_settings(policy: &Policy, payload: &[u8]) -> String {
    let result = Text::new(payload).map_err(|malformed| String::from(malformed.expected)).and_then(|text| {
        let mut reader = crate::json::Reader::at(&text, 0);
        match reader.skip().and_then(|()| reader.end()) {
            Ok(()) => Settings::read(&policy.settings, &text, Some(0)).map(drop),
            Err(_) => Err(["not JSON: expected ", reader.malformed().expected].concat()),
        }
    });
    match result {
        Ok(()) => String::from(r#"{"valid":true}"#),
        Err(message) => {
            let mut reply = String::from(r#"{"valid":false,"message":"#);
            quote(&message, &mut reply);
            reply.push('}');
            reply
        }
    }
}

#[cold]
#[inline(never)]
fn reject(code: &str, message: &str, violations: Option<&str>) -> String {
    let mut reply = String::from(r#"{"accepted":false,"message":"#);
    quote(message, &mut reply);
    reply.push_str(r#","code":"#);
    reply.push_str(code);
    if let Some(violations) = violations {
        reply.push_str(r#","audit_annotations":{"violations":"#);
        quote(violations, &mut reply);
        reply.push('}');
    }
    reply.push('}');
    reply
}

fn judge(policy: &Policy, payload: &[u8]) -> Result<Verdict, Unreadable> {
    let text = Text::new(payload).map_err(|_| String::from("not JSON: expected UTF-8"))?;
    let mut request = Request::read(text, policy.shapes)?;
    let settings = request.settings(&policy.settings).map_err(|problem| ["settings: ", &problem].concat())?;
    let envelope = request.envelope();
    let is_update = match envelope.get(OPERATION).unwrap_or_default() {
        "CREATE" => false,
        "UPDATE" => true,
        "DELETE" | "CONNECT" => return Ok(Verdict::Accept),
        _ => {
            return Err(String::from("request.operation: expected CREATE, UPDATE, DELETE or CONNECT"));
        }
    };
    if envelope.get(SUB_RESOURCE).is_some_and(|name| HARMLESS_SUB_RESOURCES.contains(&name))
        || exempt::covers_request(&settings, envelope)
    {
        return Ok(Verdict::Accept);
    }
    let Some(place) = request.place(&settings) else {
        return if settings.get(OTHER_KINDS) == Some("accept") {
            Ok(Verdict::Accept)
        } else {
            Err(request.other_kind())
        };
    };
    let is_pod = place.is_pod();
    let object = request.object(place)?;
    let old = if is_update && is_pod { request.old_object(place)? } else { None };
    let old_spec = pod::spec_or_empty(old.as_ref());
    let spec = spec_of(&object, place)?;
    if old_spec.is_some_and(|old| !pod::is_significant(spec, old)) {
        return Ok(Verdict::Accept);
    }
    // Most of a pod cannot be changed once it is there.
    let editable = !(is_update && is_pod);
    let pod = Pod::new(object.root(), spec, old_spec, &settings, editable);
    if exempt::covers_runtime_class(&settings, pod.runtime_class()) {
        return Ok(Verdict::Accept);
    }
    if let Some(mutate) = policy.mutate {
        let mut edits = Edits::default();
        mutate(&pod, &settings, &mut edits);
        if let Some(edited) = edits.apply(request.text(), request.object_text()) {
            return judge_edited(policy, &settings, edited, place, old_spec);
        }
    }
    Ok(verdict(policy, &pod, &settings, place).unwrap_or(Verdict::Accept))
}

/// A change is returned only if nothing is left to reject.
fn judge_edited(
    policy: &Policy,
    settings: &Settings,
    edited: String,
    place: Place<'_>,
    old: Option<crate::Object<'_>>,
) -> Result<Verdict, Unreadable> {
    let padded: Vec<u8> = pad(edited.as_bytes());
    let text = Text::new(&padded).map_err(|malformed| String::from(malformed.expected))?;
    let object: View<'_> = read_at(&text, 0, place, policy.shapes)?;
    let pod = Pod::new(object.root(), spec_of(&object, place)?, old, settings, false);
    Ok(verdict(policy, &pod, settings, place).unwrap_or(Verdict::Mutate(edited)))
}

fn verdict(policy: &Policy, pod: &Pod<'_>, settings: &Settings, place: Place<'_>) -> Option<Verdict> {
    let mut violations = Violations::default();
    (policy.check)(pod, settings, &mut violations);
    (!violations.is_empty()).then(|| Verdict::Reject {
        message: violations.message(Some(settings)),
        violations: violations.to_json(place.path),
    })
}
