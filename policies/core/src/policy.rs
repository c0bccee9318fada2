//! A policy, and the evaluation of one request from end to end.

use alloc::{string::String, vec::Vec};

#[cfg(feature = "opa")]
use crate::violation::put_result;
use crate::{
    arena::Arena,
    decode::{Decoded, Decoder, Locate, Location, Object},
    exempt,
    json::{Text, pad},
    pod::{BASE, Edits, Pod, runtime_class},
    request::{
        GROUP, KIND, OPERATION, Request, SETTINGS, SUB_RESOURCE, Subject, USER, decode_at, locate_known, spec_of,
    },
    resource::{Kind, Resource},
    schema::{Declaration, Node, SPEC},
    settings::{
        Definition, Settings,
        common::{self, EXEMPT_RUNTIME_CLASSES, EXEMPT_USERS, OTHER_KINDS, WARN},
        common_of_objects,
    },
    text::{is, is_among, own, problem, put, put_start, quote, quote_start},
    update,
    violation::Violations,
};

/// Looks for violations in an object that is not a pod. Pure: no JSON, no host calls.
pub type CheckObject = for<'v> fn(&Resource<'v>, &Settings<'_>, &mut Violations<'v>);

/// Looks for violations in a pod. Pure: no JSON, no host calls.
pub type Check = for<'v> fn(&Pod<'v>, &Settings<'v>, &mut Violations<'v>);

/// Makes the changes that settings ask for.
pub type Mutate = for<'v> fn(&Pod<'v>, &Settings<'_>, &mut Edits<'v>);

/// Makes changes and evaluates the changed object; `None` if there are none. Made by [`mutated`].
pub type Mutation = fn(&ParsedRequest<'_>) -> Option<Result<String, Unreadable>>;

/// What a policy evaluates, and its check. Only the code for this is in its module: a policy is known at compile time.
#[derive(Clone, Copy)]
pub enum Target {
    /// Pods, wherever they are.
    Pods(Check),
    /// Objects of the policy's own kinds.
    Objects {
        /// The kinds.
        kinds: &'static [Kind],
        /// Users that are exempt whatever the settings say: they write such objects in every cluster.
        exempt_users: &'static [&'static str],
        /// Looks for violations.
        check: CheckObject,
    },
}

impl Target {
    fn locate(&self) -> Locate {
        match self {
            Self::Pods(_) => locate_known,
            Self::Objects { .. } => |_, _| Some(Location::WHOLE),
        }
    }
}

/// A parsed request.
pub struct ParsedRequest<'c> {
    policy: &'c Policy,
    check: Check,
    settings: &'c Settings<'c>,
    text: &'c Text<'c>,
    object: &'c str,
    locations: &'c [Location<'c>],
    subject: Subject,
    pods: &'c [Pod<'c>],
    /// The spec before an update of a pod.
    old: Option<Object<'c>>,
    is_update: bool,
}

/// A policy: the fields it reads, its settings and its check. Made by [`policy!`](crate::policy).
pub struct Policy {
    /// Its name, which is its directory's.
    pub name: &'static str,
    /// The table for decoding a pod.
    pub nodes: &'static [Node],
    /// Its settings.
    pub settings: Definition,
    /// What it evaluates, and its check.
    pub target: Target,
    /// Changes objects, if the policy can.
    pub mutate: Option<Mutation>,
    /// Its verdicts and texts are those of the built-in PodSecurity admission.
    pub is_built_in: bool,
    /// Its check is asked about each update that changes something of a Pod's containers or resources, and compares them
    /// with the old ones itself.
    pub evaluates_resizes: bool,
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
        target: Target,
        mutate: Option<Mutation>,
        is_built_in: bool,
        fields: &'static [Declaration],
    ) -> Self {
        Self {
            name,
            nodes,
            settings,
            target,
            mutate,
            is_built_in,
            evaluates_resizes: false,
            #[cfg(feature = "docs")]
            fields,
        }
    }

    /// This policy, which evaluates resizes if it is `true`.
    #[doc(hidden)]
    pub const fn evaluating_resizes(self, evaluates_resizes: bool) -> Self {
        Self { evaluates_resizes, ..self }
    }

    /// The kinds whose objects it evaluates as they are; empty if it evaluates pods.
    pub fn kinds(&self) -> &'static [Kind] {
        match self.target {
            Target::Pods(_) => &[],
            Target::Objects { kinds, .. } => kinds,
        }
    }

    /// The settings that it has in common with others.
    pub fn common_settings(&self) -> &'static [Declaration] {
        match self.target {
            Target::Pods(_) => common::SETTINGS,
            Target::Objects { .. } => common_of_objects::SETTINGS,
        }
    }

    /// The users that are exempt whatever the settings say.
    pub fn exempt_users(&self) -> &'static [&'static str] {
        match self.target {
            Target::Pods(_) => &[],
            Target::Objects { exempt_users, .. } => exempt_users,
        }
    }
}

/// Subresources that do not change what a pod may do.
static HARMLESS_SUB_RESOURCES: [&str; 9] =
    ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status", "scale"];

/// Why a request cannot be evaluated, as a sentence.
type Unreadable = String;

/// Why a request is not evaluated.
enum Stop {
    Skipped(&'static str),
    Unreadable(Unreadable),
}

impl From<Unreadable> for Stop {
    fn from(problem: Unreadable) -> Self {
        Self::Unreadable(problem)
    }
}

#[inline(never)]
fn read_text<'a>(padded: &'a [u8], arena: &'a Arena) -> Result<Text<'a>, Unreadable> {
    Text::new(padded, arena).map_err(|_| own("not JSON: expected UTF-8"))
}

/// Evaluates a payload `{"request":…,"settings":…}` in padded JSON (see [`pad`]).
///
/// The reply is a Kubewarden `ValidationResponse` in JSON.
pub fn validate(policy: &Policy, payload: &[u8]) -> String {
    match evaluate(policy, payload) {
        Ok(Some(reply)) => reply,
        Ok(None) => accept(),
        Err(Stop::Skipped(reason)) => skip(reason),
        Err(Stop::Unreadable(problem)) => reject("400", &problem, None, ""),
    }
}

/// Evaluates an input `{"review":…,"parameters":…}` in padded JSON (see [`pad`]).
///
/// The reply is a list in JSON, with `{"msg":…,"details":…}` for each violation.
#[cfg(feature = "opa")]
pub fn results(policy: &Policy, input: &[u8]) -> String {
    match evaluate(policy, input) {
        Ok(Some(results)) => results,
        Ok(None) | Err(Stop::Skipped(_)) => own("[]"),
        Err(Stop::Unreadable(problem)) => unreadable(&problem),
    }
}

/// What cannot be evaluated is a violation: OPA's hosts take everything else for an acceptance.
#[cfg(feature = "opa")]
fn unreadable(problem: &str) -> String {
    let (mut message, mut results) = (String::new(), own("["));
    put_start(&mut message, problem, MOST_TEXT / 2);
    put_result(&mut results, &message, "{}");
    put(&mut results, "]");
    results
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
            quote_start(&message, MOST_TEXT / 2, &mut reply);
            put(&mut reply, "}");
        }
    }
    reply
}

fn read_settings(policy: &Policy, payload: &[u8]) -> Result<(), Unreadable> {
    let arena = Arena::new();
    let text = read_text(payload, &arena)?;
    Decoder::at(&text, 0, &[]).root(true)?;
    Settings::read(&policy.settings, &text, Some(0), "").map(drop)
}

/// Most bytes of the text and of the annotation together.
const MOST_TEXT: usize = 256 << 10;

/// Most characters of a warning: the API server cuts all warnings of a request if they are longer than 4096 together.
/// Eight are for the end of a text that is cut.
const MOST_WARNING: usize = 1000 - 8;
const MOST_BUILT_IN_WARNING: usize = 4096 - 8;

#[cold]
#[inline(never)]
fn reject(code: &str, message: &str, violations: Option<&str>, warning: &str) -> String {
    let mut reply = own(r#"{"accepted":false,"message":"#);
    quote_start(message, MOST_TEXT / 2, &mut reply);
    put(&mut reply, r#","code":"#);
    put(&mut reply, code);
    if let Some(violations) = violations {
        put_annotation(&mut reply, "violations", violations);
    }
    put_warning(&mut reply, warning);
    put(&mut reply, "}");
    reply
}

fn put_annotation(reply: &mut String, name: &str, value: &str) {
    put(reply, r#","audit_annotations":{"#);
    quote(name, reply);
    put(reply, ":");
    quote(value, reply);
    put(reply, "}");
}

fn put_warning(reply: &mut String, warning: &str) {
    if !warning.is_empty() {
        put(reply, r#","warnings":["#);
        quote(warning, reply);
        put(reply, "]");
    }
}

fn accept() -> String {
    own(r#"{"accepted":true}"#)
}

/// Accepts what was not evaluated, with the reason.
#[inline(never)]
fn skip(reason: &str) -> String {
    let mut reply = own(r#"{"accepted":true"#);
    put_annotation(&mut reply, "skipped", reason);
    put(&mut reply, "}");
    reply
}

/// The rules that the object of a request breaks, one for each violation, and the message; neither exemptions
/// nor changes count.
///
/// # Errors
/// The request cannot be evaluated; as a sentence.
#[cfg(feature = "docs")]
pub fn broken_rules(policy: &Policy, payload: &[u8]) -> Result<(Vec<&'static crate::Rule>, String), String> {
    let arena = Arena::new();
    let text = read_text(payload, &arena)?;
    let mut request = Request::read(&text, policy.nodes, policy.target.locate())?;
    let settings = request.settings(&policy.settings)?;
    let mut found = Violations::default();
    match &policy.target {
        Target::Pods(check) => {
            let (subject, locations) = request.locations(&settings);
            let Decoded { places, outer } = request.object(&locations)?;
            for place in places {
                found.enter(place);
                let pod = Pod::new(place, spec_of(place)?, outer, subject, None, &settings, true, &arena);
                check(&pod, &settings, &mut found);
            }
        }
        Target::Objects { kinds, check, .. } => {
            let Some(kind) = kind_of(kinds, &request) else { return Err(request.kind_text()) };
            let object = request.object(&[Location::WHOLE])?.object();
            check(&Resource::new(kind, object, None, &arena), &settings, &mut found);
        }
    }
    Ok((found.rules().collect(), found.text(Some(&settings), MOST_TEXT)))
}

const WRONG_OPERATION: &str = if cfg!(feature = "opa") {
    "review.operation: expected CREATE, UPDATE, DELETE or CONNECT"
} else {
    "request.operation: expected CREATE, UPDATE, DELETE or CONNECT"
};

/// The reply, if it does not just accept.
fn evaluate(policy: &Policy, payload: &[u8]) -> Result<Option<String>, Stop> {
    let arena = Arena::new();
    let text = read_text(payload, &arena)?;
    let mut request = Request::read(&text, policy.nodes, policy.target.locate())?;
    let settings = request.settings(&policy.settings).map_err(|wrong| problem(SETTINGS.path, &wrong, ""))?;
    let envelope = request.envelope();
    let operation = envelope.word(OPERATION);
    #[cfg(feature = "opa")]
    let operation = if envelope.get(OPERATION).is_some() { operation } else { request.operation_of_object()? };
    let is_update = is(operation, "UPDATE");
    if is_among(operation, &["DELETE", "CONNECT"]) {
        return Err(Stop::Skipped(match policy.target {
            Target::Pods(_) => "the operation runs no pod",
            Target::Objects { .. } => "the operation writes no object",
        }));
    }
    if !is_update && !is(operation, "CREATE") {
        return Err(own(WRONG_OPERATION).into());
    }
    let sub_resource = envelope.word(SUB_RESOURCE);
    if !sub_resource.is_empty() && is_among(sub_resource, &HARMLESS_SUB_RESOURCES) {
        return Err(Stop::Skipped(match policy.target {
            Target::Pods(_) => "the subresource changes no pod",
            Target::Objects { .. } => "the subresource changes nothing that is evaluated",
        }));
    }
    let exemption = exempt::of_request(&settings, envelope);
    #[cfg(feature = "opa")]
    let exemption = exemption.or_else(|| exempt::of_namespace(&settings));
    if let Some(exemption) = exemption {
        return Err(Stop::Skipped(exemption));
    }
    match policy.target {
        Target::Pods(check) => evaluate_pods(policy, check, &mut request, &settings, is_update),
        Target::Objects { kinds, exempt_users, check } => {
            if is_among(envelope.word(USER), exempt_users) {
                return Err(Stop::Skipped(EXEMPT_USERS.path));
            }
            let Some(kind) = kind_of(kinds, &request) else { return Err(wrong_kind(kinds, &request, &settings)) };
            let found = find_in_object(policy, kind, check, &mut request, &settings, is_update)?;
            Ok(refusal(policy, found, &settings))
        }
    }
}

/// What a request is answered whose kind the policy does not evaluate.
#[cold]
fn wrong_kind(kinds: &[Kind], request: &Request<'_>, settings: &Settings) -> Stop {
    if is(settings.get(OTHER_KINDS).unwrap_or_default(), "accept") {
        return Stop::Skipped("the policy does not evaluate the kind");
    }
    let mut text = request.kind_text();
    put(&mut text, " is not a ");
    for (index, kind) in kinds.iter().enumerate() {
        put(&mut text, if index == 0 { "" } else { " or " });
        put(&mut text, kind.kind);
    }
    put(&mut text, ". If a rule sends it here on purpose, set otherKinds: accept");
    text.into()
}

/// The kind of a request's object, if it is one of these.
fn kind_of(kinds: &'static [Kind], request: &Request<'_>) -> Option<&'static Kind> {
    let (group, kind) = (request.envelope().word(GROUP), request.envelope().word(KIND));
    kinds.iter().find(|known| known.is(group, kind))
}

/// Looks for violations in the object of a request, beside what was there before an update.
fn find_in_object<'a>(
    policy: &Policy,
    kind: &'static Kind,
    check: CheckObject,
    request: &mut Request<'a>,
    settings: &Settings<'a>,
    is_update: bool,
) -> Result<Violations<'a>, Stop> {
    let locations = [Location::WHOLE];
    let object = request.object(&locations)?.object();
    // What cannot be read of the old object is no reason to keep the new one out: it counts as changed.
    let old = if is_update { request.old_object(&locations, policy.nodes).ok() } else { None };
    let old = old.filter(|old| !old.places.is_empty()).map(Decoded::object);
    if old.is_some_and(|old| object.has_same_values(old)) {
        return Err(Stop::Skipped("the update changes nothing that is evaluated"));
    }
    let mut found = Violations::default();
    check(&Resource::new(kind, object, old, request.arena()), settings, &mut found);
    Ok(found)
}

/// Evaluates the pods in the object of a request.
fn evaluate_pods<'a>(
    policy: &Policy,
    check: Check,
    request: &mut Request<'a>,
    settings: &Settings<'a>,
    is_update: bool,
) -> Result<Option<String>, Stop> {
    let (subject, locations) = request.locations(settings);
    if locations.is_empty() {
        let is_accepted = is(settings.get(OTHER_KINDS).unwrap_or_default(), "accept");
        return Err(if is_accepted { Stop::Skipped("the kind holds no pod") } else { request.other_kind().into() });
    }
    let verdict = evaluate_each(policy, check, request, settings, subject, &locations, is_update);
    if !matches!(verdict, Ok(None) | Err(Stop::Skipped(_)))
        && let Some(reason) = request.is_left_alone(subject, policy.is_built_in)
    {
        return Err(Stop::Skipped(reason));
    }
    verdict
}

fn evaluate_each<'a>(
    policy: &Policy,
    check: Check,
    request: &mut Request<'a>,
    settings: &Settings<'a>,
    subject: Subject,
    locations: &[Location<'a>],
    is_update: bool,
) -> Result<Option<String>, Stop> {
    let decoded = request.object(locations);
    let is_template = matches!(subject, Subject::Workload(_) | Subject::Custom);
    let mut old = Decoded::default();
    if is_update {
        let nodes = match subject {
            Subject::Pod if !policy.evaluates_resizes => &BASE,
            Subject::Pod | Subject::PersistentVolume => policy.nodes,
            _ => &[],
        };
        match request.old_object(locations, nodes) {
            Ok(object) => old = object,
            // What cannot be read of it is no reason to keep the new object out: it counts as changed.
            Err(_) if is_template || policy.evaluates_resizes => {}
            Err(problem) => return Err(problem.into()),
        }
    }
    let Decoded { places, outer } = match decoded {
        Ok(decoded) => decoded,
        Err(problem) => {
            // A template that was there before may stay, readable or not.
            if is_update
                && is_template
                && let Ok(texts) = request.object_texts(locations)
                && !texts.places.is_empty()
                && !update::runs_something_new(policy.evaluates_resizes, subject, texts.places, old)
            {
                return Err(Stop::Skipped(UNCHANGED));
            }
            return Err(problem.into());
        }
    };
    if places.is_empty()
        && let Some(location) = locations.iter().find(|location| !location.is_optional)
    {
        return Err(problem(location.path, "expected at least one pod template, found none", "").into());
    }
    let mut skipped = "the object has no pod template";
    let old_spec = old.places.first().map(|old| old.object.get(SPEC).unwrap_or_default());
    let old_spec = old_spec.filter(|_| matches!(subject, Subject::Pod));
    // Most of a pod cannot be changed once it is there.
    let editable = !(is_update && matches!(subject, Subject::Pod));
    let mut pods = Vec::new();
    for place in places {
        let place_alone = core::slice::from_ref(place);
        if is_update && !update::runs_something_new(policy.evaluates_resizes, subject, place_alone, old) {
            skipped = UNCHANGED;
            continue;
        }
        let spec = spec_of(place)?;
        if exempt::covers_runtime_class(settings, runtime_class(spec)) {
            skipped = EXEMPT_RUNTIME_CLASSES.path;
        } else {
            pods.push(Pod::new(place, spec, outer, subject, old_spec, settings, editable, request.arena()));
        }
    }
    if pods.is_empty() {
        return Err(Stop::Skipped(skipped));
    }
    if let Some(mutation) = policy.mutate {
        let (text, object) = (request.text(), request.object_text());
        let pods = &*pods;
        let old = old_spec;
        let parsed = ParsedRequest { policy, check, settings, text, object, locations, subject, pods, old, is_update };
        if let Some(reply) = mutation(&parsed) {
            return Ok(Some(reply?));
        }
    }
    Ok(rejection(policy, check, &pods, settings))
}

const UNCHANGED: &str = "the update changes nothing that runs";

/// Makes changes and evaluates the changed object: a change is returned only if nothing is left to reject.
///
/// It is called through [`Mutation`], so that only modules that change something have the code for it.
#[cfg(not(feature = "opa"))]
#[doc(hidden)]
pub fn mutated(mutate: Mutate, request: &ParsedRequest<'_>) -> Option<Result<String, Unreadable>> {
    let edits = Edits::of(request.pods, |pod, edits| mutate(pod, request.settings, edits));
    let edited = edits.apply(request.text, request.object)?;
    Some(evaluate_edited(request, &edited).map(|rejection| {
        rejection.unwrap_or_else(|| {
            // The API server refuses every change of such a template; the controller's pods will be changed.
            if request.is_update && matches!(request.subject, Subject::Workload(workload) if workload.is_immutable()) {
                return accept();
            }
            let mut reply = own(r#"{"accepted":true,"mutated_object":"#);
            put(&mut reply, &edited);
            if request.settings.is(WARN) {
                put_warning(&mut reply, &edits.report(request.policy.name, MOST_WARNING));
            }
            put(&mut reply, "}");
            reply
        })
    }))
}

/// Evaluates an object as it is, which a policy would change: OPA's hosts take no changes. If nothing in it is to be
/// rejected, that it lacks the changes is.
#[cfg(feature = "opa")]
#[doc(hidden)]
pub fn mutated(mutate: Mutate, request: &ParsedRequest<'_>) -> Option<Result<String, Unreadable>> {
    let edits = Edits::of(request.pods, |pod, edits| mutate(pod, request.settings, edits));
    edits.apply(request.text, request.object)?;
    let found = found_in(request.check, request.pods, request.settings);
    // The API server would refuse the change of such a template.
    if found.is_empty()
        && request.is_update
        && matches!(request.subject, Subject::Workload(workload) if workload.is_immutable())
    {
        return None;
    }
    if !found.is_empty() {
        return Some(Ok(found.to_results(request.settings, MOST_TEXT, UNCHANGED_HERE)));
    }
    let mut message = edits.report("the policy would have", MOST_WARNING);
    put(&mut message, UNCHANGED_HERE);
    Some(Ok(unreadable(&message)))
}

/// What follows a text about an object that a policy would change.
#[cfg(feature = "opa")]
const UNCHANGED_HERE: &str = "; no host of this module changes objects: change the manifest, or the parameters";

#[cfg(not(feature = "opa"))]
fn evaluate_edited(request: &ParsedRequest<'_>, edited: &str) -> Result<Option<String>, Unreadable> {
    let &ParsedRequest { policy, check, settings, locations, subject, old, .. } = request;
    let (padded, arena) = (pad(edited.as_bytes()), Arena::new());
    let text = read_text(&padded, &arena)?;
    let Decoded { places, outer } = decode_at(&text, 0, locations, policy.nodes)?;
    let mut pods = Vec::new();
    for place in places {
        if request.pods.iter().any(|pod| pod.place.path == place.path) {
            pods.push(Pod::new(place, spec_of(place)?, outer, subject, old, settings, false, &arena));
        }
    }
    Ok(rejection(policy, check, &pods, settings))
}

fn found_in<'v>(check: Check, pods: &[Pod<'v>], settings: &Settings<'v>) -> Violations<'v> {
    let mut found = Violations::default();
    for pod in pods {
        found.enter(pod.place);
        check(pod, settings, &mut found);
    }
    found
}

fn rejection<'v>(policy: &Policy, check: Check, pods: &[Pod<'v>], settings: &Settings<'v>) -> Option<String> {
    refusal(policy, found_in(check, pods, settings), settings)
}

/// The reply for what was found, if that is anything.
#[cfg(feature = "opa")]
fn refusal(_: &Policy, found: Violations<'_>, settings: &Settings) -> Option<String> {
    if found.is_empty() { None } else { Some(found.to_results(settings, MOST_TEXT, "")) }
}

/// The reply for what was found, if that is anything.
#[cfg(not(feature = "opa"))]
fn refusal(policy: &Policy, found: Violations<'_>, settings: &Settings) -> Option<String> {
    if found.is_empty() {
        return None;
    }
    let message = found.text(Some(settings), MOST_TEXT / 2);
    let violations = found.to_json(Some(settings), MOST_TEXT.saturating_sub(message.len()));
    let mut warning = String::new();
    if settings.is(WARN) {
        if policy.is_built_in {
            let text = found.text(Some(settings), MOST_BUILT_IN_WARNING - WOULD.len());
            put(&mut warning, WOULD);
            put_start(
                &mut warning,
                text.strip_prefix("violates").unwrap_or(&text),
                MOST_BUILT_IN_WARNING - WOULD.len(),
            );
        } else {
            put_start(&mut warning, &found.text(Some(settings), MOST_WARNING), MOST_WARNING);
        }
    }
    Some(reject("403", &message, Some(&violations), &warning))
}

/// What the built-in admission's warnings start with, where its rejections have `violates`.
const WOULD: &str = "would violate";
