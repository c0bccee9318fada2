//! A policy, and the evaluation of one request from end to end.

use alloc::string::String;

use crate::{
    arena::Arena,
    decode::{Decoder, Location},
    exempt,
    json::{Text, pad},
    pod::{BASE, Edits, Pod, ephemeral_containers},
    request::{OPERATION, Request, SUB_RESOURCE, decode_at, spec_of},
    schema::{Declaration, Node, SPEC},
    settings::{Definition, Settings, common::OTHER_KINDS},
    text::{is_among, own, problem, put, quote},
    update,
    violation::Violations,
};

/// Looks for violations in a pod. Pure: no JSON, no host calls.
pub type Check = for<'v> fn(&Pod<'v>, &Settings<'_>, &mut Violations<'v>);

/// Makes the changes that settings ask for.
pub type Mutate = for<'v> fn(&Pod<'v>, &Settings<'_>, &mut Edits<'v>);

/// Makes changes and evaluates the changed object; `None` if there are none. Made by [`mutated`].
pub type Mutation = fn(&ParsedRequest<'_>) -> Option<Result<String, Unreadable>>;

/// A parsed request.
pub struct ParsedRequest<'c> {
    policy: &'c Policy,
    settings: &'c Settings<'c>,
    text: &'c Text<'c>,
    object: &'c str,
    location: Location<'c>,
    pod: &'c Pod<'c>,
    /// See [`Pod::new`].
    old: Option<&'c [(&'c str, &'c str)]>,
}

/// A policy: the fields it reads, its settings and its check. Made by [`policy!`](crate::policy).
pub struct Policy {
    /// Its name, which is its directory's.
    pub name: &'static str,
    /// The table for decoding a pod.
    pub nodes: &'static [Node],
    /// Its settings.
    pub settings: Definition,
    /// Looks for violations.
    pub check: Check,
    /// Changes objects, if the policy can.
    pub mutate: Option<Mutation>,
    /// The fields that it reads.
    #[cfg(feature = "docs")]
    pub fields: &'static [Declaration],
}

impl Policy {
    /// A policy of these parts.
    #[doc(hidden)]
    #[cfg_attr(not(feature = "docs"), allow(unused_variables))]
    pub const fn new(
        name: &'static str,
        nodes: &'static [Node],
        settings: Definition,
        check: Check,
        mutate: Option<Mutation>,
        fields: &'static [Declaration],
    ) -> Self {
        Self {
            name,
            nodes,
            settings,
            check,
            mutate,
            #[cfg(feature = "docs")]
            fields,
        }
    }
}

/// Subresources that do not change what a pod may do.
static HARMLESS_SUB_RESOURCES: [&str; 9] =
    ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status", "scale"];

/// Why a request cannot be evaluated, as a sentence.
type Unreadable = String;

const NOT_UTF8: &str = "not JSON: expected UTF-8";

/// Evaluates a payload `{"request":…,"settings":…}` in padded JSON (see [`pad`]).
///
/// The reply is a Kubewarden `ValidationResponse` in JSON.
pub fn validate(policy: &Policy, payload: &[u8]) -> String {
    evaluate(policy, payload).unwrap_or_else(|unreadable| reject("400", &unreadable, None))
}

/// Validates settings in padded JSON (see [`pad`]).
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
    let arena = Arena::new();
    let text = Text::new(payload, &arena).map_err(|_| own(NOT_UTF8))?;
    let mut decoder = Decoder::at(&text, 0, &[]);
    if let Err(stop) = decoder.reader.skip().and_then(|()| decoder.reader.end()) {
        return Err(decoder.explain(stop.into()));
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

/// The rules that the object of a request breaks, one for each violation, and the message; neither exemptions
/// nor changes count.
///
/// # Errors
/// The request cannot be evaluated; as a sentence.
#[cfg(feature = "docs")]
pub fn broken_rules(
    policy: &Policy,
    payload: &[u8],
) -> Result<(alloc::vec::Vec<&'static crate::Rule>, String), String> {
    let arena = Arena::new();
    let text = Text::new(payload, &arena).map_err(|_| own(NOT_UTF8))?;
    let mut request = Request::read(text, policy.nodes)?;
    let settings = request.settings(&policy.settings)?;
    let location = request.location(&settings).ok_or("no pod")?;
    let object = request.object(location)?;
    let pod = Pod::new(object, spec_of(object, location)?, None, &settings, true);
    let mut found = Violations::default();
    (policy.check)(&pod, &settings, &mut found);
    Ok((found.rules().collect(), found.message(Some(&settings))))
}

fn evaluate(policy: &Policy, payload: &[u8]) -> Result<String, Unreadable> {
    let arena = Arena::new();
    let text = Text::new(payload, &arena).map_err(|_| own(NOT_UTF8))?;
    let mut request = Request::read(text, policy.nodes)?;
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
    let Some(location) = request.location(&settings) else {
        return if settings.get(OTHER_KINDS) == Some("accept") { Ok(accept()) } else { Err(request.other_kind()) };
    };
    let is_pod = location.is_pod();
    let object = request.object(location)?;
    let old = if is_update && is_pod { request.old_object(location, &BASE)? } else { None };
    let old_spec = old.map(|old| old.get(SPEC).unwrap_or_default());
    let old_ephemeral = old_spec.map(ephemeral_containers);
    let spec = spec_of(object, location)?;
    if let (Some(old), Some(ephemeral)) = (old_spec, &old_ephemeral)
        && !update::is_significant(spec, old, ephemeral)
    {
        return Ok(accept());
    }
    // Most of a pod cannot be changed once it is there.
    let editable = !(is_update && is_pod);
    let old = old_ephemeral.as_deref();
    let pod = Pod::new(object, spec, old, &settings, editable);
    if exempt::covers_runtime_class(&settings, pod.runtime_class()) {
        return Ok(accept());
    }
    if let Some(mutation) = policy.mutate {
        let (text, object) = (request.text(), request.object_text());
        let parsed = ParsedRequest { policy, settings: &settings, text, object, location, pod: &pod, old };
        if let Some(reply) = mutation(&parsed) {
            return reply;
        }
    }
    Ok(rejection(policy, &pod, &settings, location).unwrap_or_else(accept))
}

/// Makes changes and evaluates the changed object: a change is returned only if nothing is left to reject.
///
/// It is called through [`Mutation`], so that only modules that change something have the code for it.
#[doc(hidden)]
pub fn mutated(mutate: Mutate, request: &ParsedRequest<'_>) -> Option<Result<String, Unreadable>> {
    let mut edits = Edits::default();
    mutate(request.pod, request.settings, &mut edits);
    let edited = edits.apply(request.text, request.object)?;
    Some(evaluate_edited(request, &edited).map(|rejection| {
        rejection.unwrap_or_else(|| {
            let mut reply = own(r#"{"accepted":true,"mutated_object":"#);
            put(&mut reply, &edited);
            put(&mut reply, "}");
            reply
        })
    }))
}

fn evaluate_edited(request: &ParsedRequest<'_>, edited: &str) -> Result<Option<String>, Unreadable> {
    let &ParsedRequest { policy, settings, location, old, .. } = request;
    let (padded, arena) = (pad(edited.as_bytes()), Arena::new());
    let text = Text::new(&padded, &arena).map_err(|_| own(NOT_UTF8))?;
    let object = decode_at(&text, 0, location, policy.nodes)?;
    let pod = Pod::new(object, spec_of(object, location)?, old, settings, false);
    Ok(rejection(policy, &pod, settings, location))
}

fn rejection(policy: &Policy, pod: &Pod<'_>, settings: &Settings, location: Location<'_>) -> Option<String> {
    let mut found = Violations::default();
    (policy.check)(pod, settings, &mut found);
    if found.is_empty() {
        return None;
    }
    Some(reject("403", &found.message(Some(settings)), Some(&found.to_json(location.path))))
}
