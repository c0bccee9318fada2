//! A policy, and how a request is judged by one.

use alloc::string::String;

use crate::{
    exempt,
    json::{Text, pad, quote},
    pod::{self, Edits, Pod},
    request::{OPERATION, Place, Request, SUB_RESOURCE, read_at, spec_of},
    settings::{Definition, Settings, common::OTHER_KINDS, problem},
    shape::Shape,
    text::{is_among, own, put},
    view::{Object, Walk},
    violation::Violations,
};

/// Looks for violations in a pod. It sees no JSON and no host.
pub type Check = for<'v> fn(&Pod<'v>, &Settings<'_>, &mut Violations<'v>);

/// Makes the changes that settings ask for.
pub type Mutate = for<'v> fn(&Pod<'v>, &Settings<'_>, &mut Edits<'v>);

/// Makes changes and judges what came of them; `None` if there are none. Made by [`mutated`].
pub type Mutation = fn(&Case<'_>) -> Option<Result<String, Unreadable>>;

/// What was read of a request that asks for a verdict.
pub struct Case<'c> {
    policy: &'c Policy,
    settings: &'c Settings<'c>,
    text: &'c Text<'c>,
    object: &'c str,
    place: Place<'c>,
    pod: &'c Pod<'c>,
    old: Option<Object<'c>>,
}

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
    pub mutate: Option<Mutation>,
    /// The fields that it reads.
    #[cfg(not(target_arch = "wasm32"))]
    pub fields: &'static [crate::Entry],
}

/// Subresources that do not change what a pod may do.
static HARMLESS_SUB_RESOURCES: [&str; 9] =
    ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status", "scale"];

/// Why there is no verdict: what could not be read.
type Unreadable = String;

const NOT_UTF8: &str = "not JSON: expected UTF-8";

/// Judges a payload `{"request":…,"settings":…}` in padded JSON (see [`pad`]).
///
/// The reply is a Kubewarden `ValidationResponse` in JSON.
pub fn validate(policy: &Policy, payload: &[u8]) -> String {
    judge(policy, payload).unwrap_or_else(|unreadable| reject("400", &unreadable, None))
}

/// Judges settings in padded JSON (see [`pad`]).
///
/// The reply is a Kubewarden `SettingsValidationResponse` in JSON.
pub fn validate_settings(policy: &Policy, payload: &[u8]) -> String {
    let mut reply = String::new();
    match read_settings(policy, payload) {
        Ok(()) => put(&mut reply, r#"{"valid":true}"#),
        Err(message) => {
            put(&mut reply, r#"{"valid":false,"message":"#);
            quote(&message, &mut reply);
            put(&mut reply, "}");
        }
    }
    reply
}

fn read_settings(policy: &Policy, payload: &[u8]) -> Result<(), Unreadable> {
    let text = Text::new(payload).map_err(|_| own(NOT_UTF8))?;
    let mut walk = Walk::at(&text, 0, &[]);
    if let Err(stop) = walk.reader.skip().and_then(|()| walk.reader.end()) {
        return Err(walk.explain(stop.into()));
    }
    Settings::read(&policy.settings, &text, Some(0)).map(drop)
}

#[cold]
#[inline(never)]
fn reject(code: &str, message: &str, violations: Option<&str>) -> String {
    let mut reply = own(r#"{"accepted":false,"message":"#);
    quote(message, &mut reply);
    put(&mut reply, r#","code":"#);
    put(&mut reply, code);
    if let Some(violations) = violations {
        put(&mut reply, r#","audit_annotations":{"violations":"#);
        quote(violations, &mut reply);
        put(&mut reply, "}");
    }
    put(&mut reply, "}");
    reply
}

fn accept() -> String {
    own(r#"{"accepted":true}"#)
}

fn judge(policy: &Policy, payload: &[u8]) -> Result<String, Unreadable> {
    let text = Text::new(payload).map_err(|_| own(NOT_UTF8))?;
    let mut request = Request::read(text, policy.shapes)?;
    let settings = request.settings(&policy.settings).map_err(|wrong| problem("settings", &wrong, ""))?;
    let envelope = request.envelope();
    let is_update = match envelope.word(OPERATION) {
        "CREATE" => false,
        "UPDATE" => true,
        "DELETE" | "CONNECT" => return Ok(accept()),
        _ => {
            return Err(own("request.operation: expected CREATE, UPDATE, DELETE or CONNECT"));
        }
    };
    let sub_resource = envelope.word(SUB_RESOURCE);
    if !sub_resource.is_empty() && is_among(sub_resource, &HARMLESS_SUB_RESOURCES)
        || exempt::covers_request(&settings, envelope)
    {
        return Ok(accept());
    }
    let Some(place) = request.place(&settings) else {
        return if settings.get(OTHER_KINDS) == Some("accept") { Ok(accept()) } else { Err(request.other_kind()) };
    };
    let is_pod = place.is_pod();
    let object = request.object(place)?;
    let old = if is_update && is_pod { request.old_object(place)? } else { None };
    let old_spec = old.map(|old| old.get(pod::SPEC).unwrap_or_default());
    let spec = spec_of(object, place)?;
    if old_spec.is_some_and(|old| !pod::is_significant(spec, old)) {
        return Ok(accept());
    }
    // Most of a pod cannot be changed once it is there.
    let editable = !(is_update && is_pod);
    let pod = Pod::new(object, spec, old_spec, &settings, editable);
    if exempt::covers_runtime_class(&settings, pod.runtime_class()) {
        return Ok(accept());
    }
    if let Some(mutation) = policy.mutate {
        let (text, object) = (request.text(), request.object_text());
        let case = Case { policy, settings: &settings, text, object, place, pod: &pod, old: old_spec };
        if let Some(reply) = mutation(&case) {
            return reply;
        }
    }
    Ok(rejection(policy, &pod, &settings, place).unwrap_or_else(accept))
}

/// Makes changes and judges what came of them: a change is returned only if nothing is left to reject.
///
/// It is called through [`Mutation`], so that only modules that change something have the code for it.
#[doc(hidden)]
pub fn mutated(mutate: Mutate, case: &Case<'_>) -> Option<Result<String, Unreadable>> {
    let mut edits = Edits::default();
    mutate(case.pod, case.settings, &mut edits);
    let edited = edits.apply(case.text, case.object)?;
    Some(judge_edited(case, &edited).map(|rejection| {
        rejection.unwrap_or_else(|| {
            let mut reply = own(r#"{"accepted":true,"mutated_object":"#);
            put(&mut reply, &edited);
            put(&mut reply, "}");
            reply
        })
    }))
}

fn judge_edited(case: &Case<'_>, edited: &str) -> Result<Option<String>, Unreadable> {
    let padded = pad(edited.as_bytes());
    let text = Text::new(&padded).map_err(|_| own(NOT_UTF8))?;
    let object = read_at(&text, 0, case.place, case.policy.shapes)?;
    let pod = Pod::new(object, spec_of(object, case.place)?, case.old, case.settings, false);
    Ok(rejection(case.policy, &pod, case.settings, case.place))
}

fn rejection(policy: &Policy, pod: &Pod<'_>, settings: &Settings, place: Place<'_>) -> Option<String> {
    let mut found = Violations::default();
    (policy.check)(pod, settings, &mut found);
    if found.is_empty() {
        return None;
    }
    Some(reject("403", &found.message(Some(settings)), Some(&found.to_json(place.path))))
}
