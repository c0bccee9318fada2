//! The policy's side of a request: what it reads of it, in the order in which it can end, and what it replies.

use podfence_core::workload::WORKLOADS;
use serde_json::Value;

use crate::fields::{Fields, Node, join, mismatch};
use crate::opinion::{Mutable, Opinion, Pod, Violation, WORKLOAD, get, is_matched, list, text, texts};

/// What a policy should reply.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Accepted,
    /// Accepts without evaluating, for this reason.
    Skipped(String),
    /// Accepts this object instead.
    Mutated(Value),
    Rejected(Rejection),
    /// Replies with any of these messages.
    Unreadable(Vec<String>),
}

#[derive(Debug, PartialEq)]
pub struct Rejection {
    /// Sorted; their paths start at the object.
    pub violations: Vec<Violation>,
    /// The whole message, if the opinion writes it.
    pub message: Option<String>,
    /// The object with the violations, after all changes.
    pub object: Value,
}

/// Subresources that do not change what a pod may do.
pub const HARMLESS: [&str; 9] =
    ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status", "scale"];

/// Evaluates a request.
pub fn evaluate(opinion: &Opinion, fields: &Fields, request: &Value, settings: &Value) -> Verdict {
    if !fields.kinds.is_empty() {
        return evaluate_object(opinion, fields, request, settings).unwrap_or_else(|verdict| verdict);
    }
    let verdict = match read(fields, request, settings) {
        Ok(subject) => decide(opinion, &subject, settings),
        Err(verdict) => verdict,
    };
    match (&verdict, left_alone(opinion, request)) {
        (Verdict::Mutated(_) | Verdict::Rejected(_) | Verdict::Unreadable(_), Some(reason))
            if is_evaluated(request, settings) =>
        {
            Verdict::Skipped(reason)
        }
        _ => verdict,
    }
}

/// Evaluates a request of a policy that evaluates no pods.
///
/// # Errors
/// The verdict, where the opinion is not needed for it.
fn evaluate_object(opinion: &Opinion, fields: &Fields, request: &Value, settings: &Value) -> Result<Verdict, Verdict> {
    let operation = read_envelope(
        request,
        settings,
        "the operation writes no object",
        "the subresource changes nothing that is evaluated",
    )?;
    if fields.exempt_users.contains(&text(request, "userInfo.username")) {
        return Err(skipped("exempt.users"));
    }
    let [group, kind] = ["kind.group", "kind.kind"].map(|path| text(request, path));
    if !fields.kinds.iter().any(|known| known.group == group && known.kind == kind) {
        if text(settings, "otherKinds") == "accept" {
            return Err(skipped("the policy does not evaluate the kind"));
        }
        let kind = if kind.is_empty() { "an object without kind" } else { kind };
        let dot = if group.is_empty() { "" } else { "." };
        let known: Vec<&str> = fields.kinds.iter().map(|kind| kind.kind).collect();
        return Err(unreadable(&format!(
            "{kind}{dot}{group} is not a {}. If a rule sends it here on purpose, set otherKinds: accept",
            known.join(" or ")
        )));
    }
    let object = get(request, "object");
    if object.is_null() {
        return Err(unreadable("request.object: expected an object, found nothing"));
    }
    let mut mismatches = Vec::new();
    fields.object.mismatches(object, "", &mut mismatches);
    if !mismatches.is_empty() {
        return Err(Verdict::Unreadable(mismatches));
    }
    let is_readable = |old: &&Value| {
        let mut mismatches = Vec::new();
        fields.object.mismatches(old, "", &mut mismatches);
        old.is_object() && mismatches.is_empty()
    };
    let old = Some(get(request, "oldObject")).filter(|_| operation == "UPDATE").filter(is_readable);
    let texts = |object: &Value| {
        let mut texts = Vec::new();
        fields.object.texts(object, "", &mut texts);
        texts
    };
    if old.is_some_and(|old| texts(old) == texts(object)) {
        return Err(skipped("the update changes nothing that is evaluated"));
    }
    let evaluated = Pod { old, ..Pod::new(object, settings) };
    let mut violations = (opinion.check)(&evaluated);
    if violations.is_empty() {
        return Ok(Verdict::Accepted);
    }
    violations.sort();
    let message = opinion.message.map(|message| message(&evaluated));
    Ok(Verdict::Rejected(Rejection { violations, message, object: object.clone() }))
}

/// Reads a request except its object; returns the operation.
///
/// # Errors
/// The verdict, if the object does not count.
fn read_envelope<'v>(
    request: &'v Value,
    settings: &Value,
    other_operation: &str,
    other_sub_resource: &str,
) -> Result<&'v str, Verdict> {
    // The policy stops at the first mismatch, which depends on the order of the members.
    let mismatches = envelope_mismatches(request);
    if !mismatches.is_empty() {
        return Err(Verdict::Unreadable(mismatches));
    }
    let operation = text(request, "operation");
    match operation {
        "CREATE" | "UPDATE" => {}
        "DELETE" | "CONNECT" => return Err(skipped(other_operation)),
        _ => return Err(unreadable("request.operation: expected CREATE, UPDATE, DELETE or CONNECT")),
    }
    if HARMLESS.contains(&text(request, "subResource")) {
        return Err(skipped(other_sub_resource));
    }
    if let Some(setting) = exemption(request, settings) {
        return Err(skipped(setting));
    }
    Ok(operation)
}

/// The part of a request that the opinion is asked about.
struct Subject<'v> {
    object: &'v Value,
    /// Each place with a pod that is new.
    places: Vec<Place<'v>>,
    /// The Pod that an update replaces.
    old: Option<&'v Value>,
    /// Whether the pod exists already.
    is_running: bool,
    /// Whether the API server refuses changes.
    is_immutable: bool,
    namespace: &'v str,
}

/// A place in an object.
struct Place<'v> {
    /// The path, with the index of each list.
    path: String,
    /// The object at that path, which holds metadata and spec, or is the spec.
    pod: &'v Value,
    is_spec: bool,
}

/// Where the pods are in objects of a kind.
struct Location<'v> {
    path: &'v str,
    is_optional: bool,
    is_spec: bool,
}

/// Reads a request.
///
/// # Errors
/// The verdict, where the opinion is not needed for it.
fn read<'v>(fields: &'v Fields, request: &'v Value, settings: &'v Value) -> Result<Subject<'v>, Verdict> {
    let operation = read_envelope(request, settings, "the operation runs no pod", "the subresource changes no pod")?;
    let (locations, root) = locations(request, settings, fields)?;
    let object = get(request, "object");
    if object.is_null() {
        return Err(unreadable("request.object: expected an object, found nothing"));
    }
    let is_update = operation == "UPDATE";
    let is_pod = is_kind(request, "", "Pod");
    let is_volume = is_kind(request, "", "PersistentVolume");
    let (mut found, mut mismatches) = (Vec::new(), Vec::new());
    for location in &locations {
        match find_places(object, std::slice::from_ref(location)) {
            Ok(places) => found.extend(places),
            Err(problems) => mismatches.extend(problems),
        }
    }
    if !is_pod && !is_volume {
        fields.workload.mismatches(object, "", &mut mismatches);
    }
    for place in &found {
        root.mismatches_at(place.pod, place.is_spec, &place.path, &mut mismatches);
    }
    let read = if mismatches.is_empty() { Ok(found) } else { Err(mismatches) };

    let old_object = Some(get(request, "oldObject")).filter(|old| is_update && !old.is_null());
    let old = match old_object.map(|old| find_places(old, &locations)) {
        None => Vec::new(),
        Some(old) if is_pod || is_volume => {
            let root = if is_pod { &fields.old_pod } else { root };
            let old = old.and_then(|old| {
                let mut mismatches = Vec::new();
                old.iter().for_each(|old| root.mismatches(old.pod, "", &mut mismatches));
                if mismatches.is_empty() { Ok(old) } else { Err(mismatches) }
            });
            let old = if fields.evaluates_resizes { Ok(old.unwrap_or_default()) } else { old };
            old.map_err(|problems| {
                let mut problems: Vec<String> =
                    problems.iter().map(|problem| format!("request.oldObject: {problem}")).collect();
                problems.extend(read.as_ref().err().into_iter().flatten().cloned());
                Verdict::Unreadable(problems)
            })?
        }
        Some(old) => old.unwrap_or_default(),
    };
    // The order of members counts.
    let written = Value::to_string;
    let is_new = |place: &Place<'_>| {
        let Some(old) = old.iter().find(|old| old.path == place.path) else { return true };
        match () {
            () if fields.evaluates_resizes && is_pod => spec_texts(fields, place.pod) != spec_texts(fields, old.pod),
            () if is_pod => changes_containers(place.pod, old.pod),
            () if is_volume => {
                fields.volume_paths.iter().any(|path| written(get(place.pod, path)) != written(get(old.pod, path)))
            }
            () => written(place.pod) != written(old.pod),
        }
    };
    let mut places = match read {
        Ok(places) => places,
        Err(problems) => {
            let unchanged = find_places(object, &locations)
                .is_ok_and(|places| is_update && !places.is_empty() && !places.iter().any(is_new));
            let may_stay = unchanged && !is_pod && !is_volume;
            return Err(if may_stay { skipped(UNCHANGED) } else { Verdict::Unreadable(problems) });
        }
    };
    if places.is_empty() {
        return Err(match locations.iter().find(|location| !location.is_optional) {
            Some(location) => unreadable(&format!("{}: expected at least one pod template, found none", location.path)),
            None => skipped("the object has no pod template"),
        });
    }
    let mut reason = UNCHANGED;
    let mut problem = None;
    places.retain(|place| {
        if problem.is_some() || is_update && !is_new(place) {
            reason = UNCHANGED;
            return false;
        }
        let spec = if place.is_spec { place.pod } else { get(place.pod, "spec") };
        if spec.is_null() {
            problem = Some(format!("{}: expected an object, found nothing", join(&place.path, "spec")));
            return false;
        }
        let runtime_class = text(spec, "runtimeClassName");
        let is_exempt = has(settings, "exempt.runtimeClasses", runtime_class);
        if is_exempt {
            reason = "exempt.runtimeClasses";
        }
        !is_exempt
    });
    if let Some(problem) = problem {
        return Err(unreadable(&problem));
    }
    if places.is_empty() {
        return Err(skipped(reason));
    }
    let is_running = is_update && is_pod;
    let is_immutable = is_update && is_kind(request, "batch", "Job");
    let old = old.first().map(|old| old.pod).filter(|_| is_pod);
    Ok(Subject { object, places, old, is_running, is_immutable, namespace: text(request, "namespace") })
}

const UNCHANGED: &str = "the update changes nothing that runs";

fn is_kind(request: &Value, group: &str, kind: &str) -> bool {
    text(request, "kind.group") == group && text(request, "kind.kind") == kind
}

/// Whether a request comes as far as to be evaluated.
fn is_evaluated(request: &Value, settings: &Value) -> bool {
    envelope_mismatches(request).is_empty()
        && ["CREATE", "UPDATE"].contains(&text(request, "operation"))
        && !HARMLESS.contains(&text(request, "subResource"))
        && exemption(request, settings).is_none()
}

/// Why an object is neither changed nor rejected: a mirror pod, or the copy of a controller's template.
fn left_alone(opinion: &Opinion, request: &Value) -> Option<String> {
    let metadata = get(request, "object.metadata");
    let annotations = get(metadata, "annotations");
    let owners = get(metadata, "ownerReferences");
    let is_object = |value: &Value| value.is_null() || value.is_object();
    let is_owner = |owner: &Value| {
        let controller = get(owner, "controller");
        owner.is_object() && (controller.is_null() || controller.is_boolean())
    };
    let is_list = owners.is_null() || owners.as_array().is_some_and(|owners| owners.iter().all(is_owner));
    if !is_object(metadata) || !is_object(annotations) || !is_list {
        return None;
    }
    let is_mirror = annotations.get("kubernetes.io/config.mirror").is_some_and(|mirror| !mirror.is_null());
    if is_kind(request, "", "Pod") && is_mirror && opinion.policy.name != "pod-security-standards" {
        return Some("mirror pod".to_owned());
    }
    let is_copy = is_kind(request, "apps", "ReplicaSet") || is_kind(request, "", "ReplicationController");
    let is_controlled = list(metadata, "ownerReferences").iter().any(|owner| get(owner, "controller") == true);
    (is_copy && is_controlled).then(|| "its controller's template and its pods are evaluated instead".to_owned())
}

/// Changes and checks the pods.
fn decide(opinion: &Opinion, subject: &Subject<'_>, settings: &Value) -> Verdict {
    let mut object = subject.object.clone();
    let (mut violations, mut messages, mut is_changed) = (Vec::new(), Vec::new(), false);
    for place in &subject.places {
        let (is_template, namespace) = (!place.path.is_empty(), subject.namespace);
        let mut pod = if place.is_spec { serde_json::json!({"spec": place.pod}) } else { place.pod.clone() };
        let before = pod.clone();
        if let Some(mutate) = opinion.mutate {
            let old = subject.old.map(ephemeral_containers);
            let is_running = subject.is_running;
            mutate(&mut Mutable { template: &mut pod, settings, old, is_running, is_template, namespace });
        }
        is_changed |= pod != before;
        let checked =
            Pod { is_template, workload: subject.object, old: subject.old, namespace, ..Pod::new(&pod, settings) };
        let mut found = (opinion.check)(&checked);
        messages.extend(opinion.message.filter(|_| !found.is_empty()).map(|message| message(&checked)));
        for violation in &mut found {
            violation.path = match violation.path.strip_prefix(WORKLOAD) {
                Some(path) => path.to_owned(),
                None if place.is_spec => {
                    format!("{}{}", place.path, violation.path.strip_prefix("spec").unwrap_or_default())
                }
                None if place.path.is_empty() => continue,
                None => format!("{}.{}", place.path, violation.path),
            };
        }
        violations.extend(found);
        let pod = if place.is_spec { pod["spec"].take() } else { pod };
        put(&mut object, &place.path, pod);
    }
    if !violations.is_empty() {
        violations.sort();
        let message = (messages.len() == 1 && subject.places.len() == 1).then(|| messages.swap_remove(0));
        return Verdict::Rejected(Rejection { violations, message, object });
    }
    if is_changed && !subject.is_immutable { Verdict::Mutated(object) } else { Verdict::Accepted }
}

/// Replaces the value at the path of a place.
fn put(object: &mut Value, path: &str, new: Value) {
    let at = path.split(['.', '[']).filter(|step| !step.is_empty()).fold(object, |at, step| {
        match step.strip_suffix(']').map(str::parse::<usize>) {
            Some(Ok(index)) => &mut at[index],
            _ => &mut at[step],
        }
    });
    *at = new;
}

fn skipped(reason: &str) -> Verdict {
    Verdict::Skipped(reason.to_owned())
}

fn unreadable(message: &str) -> Verdict {
    Verdict::Unreadable(vec![message.to_owned()])
}

/// The values of another type than expected, outside of the objects.
fn envelope_mismatches(request: &Value) -> Vec<String> {
    let mut mismatches = Vec::new();
    let mut expect = |path: &str, expected: &str, is: fn(&Value) -> bool| {
        let value = get(request, path);
        if !value.is_null() && !is(value) {
            mismatches.push(mismatch(&format!("request.{path}"), expected, value));
        }
    };
    for object in ["kind", "userInfo", "object"] {
        expect(object, "an object", Value::is_object);
    }
    for text in ["kind.group", "kind.kind", "operation", "subResource", "namespace", "userInfo.username"] {
        expect(text, "a string", Value::is_string);
    }
    expect("userInfo.groups", "a list", Value::is_array);
    for (index, group) in list(request, "userInfo.groups").iter().enumerate().filter(|(_, group)| !group.is_string()) {
        mismatches.push(mismatch(&format!("request.userInfo.groups[{index}]"), "a string", group));
    }
    mismatches
}

/// The setting that exempts the namespace, the user or a group.
fn exemption(request: &Value, settings: &Value) -> Option<&'static str> {
    let groups = texts(request, "userInfo.groups");
    if has(settings, "exempt.namespaces", text(request, "namespace")) {
        Some("exempt.namespaces")
    } else if has(settings, "exempt.users", text(request, "userInfo.username")) {
        Some("exempt.users")
    } else {
        groups.iter().any(|group| has(settings, "exempt.groups", group)).then_some("exempt.groups")
    }
}

/// Whether a list of names, and of prefixes with a star, has this name.
fn has(settings: &Value, setting: &str, name: &str) -> bool {
    !name.is_empty() && texts(settings, setting).iter().any(|entry| is_matched(entry, name))
}

/// Where the pods are in objects of this kind, and the fields there.
fn locations<'v>(
    request: &Value,
    settings: &'v Value,
    fields: &'v Fields,
) -> Result<(Vec<Location<'v>>, &'v Node), Verdict> {
    let whole = |path| vec![Location { path, is_optional: false, is_spec: false }];
    let [group, kind] = ["kind.group", "kind.kind"].map(|path| text(request, path));
    if let Some(workload) = WORKLOADS.iter().find(|workload| workload.group == group && workload.kind == kind) {
        return Ok((whole(workload.template), &fields.pod));
    }
    if let (Some(root), "", "PersistentVolume") = (&fields.persistent_volume, group, kind) {
        return Ok((whole(""), root));
    }
    let custom =
        list(settings, "podSpecPaths").iter().filter(|custom| custom["group"] == group && custom["kind"] == kind);
    let custom: Vec<_> = custom
        .map(|custom| Location {
            path: text(custom, "path"),
            is_optional: custom["optional"] == true,
            is_spec: custom["at"] == "spec",
        })
        .collect();
    if !custom.is_empty() {
        return Ok((custom, &fields.pod));
    }
    if text(settings, "otherKinds") == "accept" {
        return Err(skipped("the kind holds no pod"));
    }
    let kind = if kind.is_empty() { "an object without kind" } else { kind };
    let dot = if group.is_empty() { "" } else { "." };
    Err(unreadable(&format!(
        "{kind}{dot}{group} is not a pod or workload. If a rule sends it here on purpose, set otherKinds: accept; if it is a \
         custom workload, add it to podSpecPaths"
    )))
}

/// Finds the places that locations lead to in an object.
///
/// # Errors
/// The possible messages: the policy stops at the first one.
fn find_places<'v>(object: &'v Value, locations: &[Location<'_>]) -> Result<Vec<Place<'v>>, Vec<String>> {
    let mut places = Vec::new();
    for location in locations {
        let steps = location.path.replace("[*]", ".*");
        let steps: Vec<&str> = steps.split('.').filter(|step| !step.is_empty()).collect();
        walk(object, &steps, String::new(), location, &mut places).map_err(|problem| vec![problem])?;
    }
    Ok(places)
}

fn walk<'v>(
    at: &'v Value,
    steps: &[&str],
    path: String,
    location: &Location<'_>,
    places: &mut Vec<Place<'v>>,
) -> Result<(), String> {
    let wrong = |expected: &str| mismatch(&path, expected, at).trim_start_matches(": ").to_owned();
    match steps {
        _ if at.is_null() && location.is_optional => {}
        [] if !at.is_object() => return Err(wrong("an object")),
        [] => places.push(Place { path, pod: at, is_spec: location.is_spec }),
        ["*", rest @ ..] => match at {
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    walk(element, rest, format!("{path}[{index}]"), location, places)?;
                }
            }
            Value::Object(members) => {
                for (key, member) in members {
                    walk(member, rest, join(&path, key), location, places)?;
                }
            }
            _ => return Err(wrong("a list or an object")),
        },
        [key, rest @ ..] => match at {
            Value::Object(members) => match members.get(*key) {
                Some(inner) => walk(inner, rest, join(&path, key), location, places)?,
                None if location.is_optional => {}
                None => return Err(format!("{}: expected an object, found nothing", join(&path, key))),
            },
            _ => return Err(wrong("an object")),
        },
    }
    Ok(())
}

/// What the policy reads of the spec of a Pod, as texts.
fn spec_texts(fields: &Fields, pod: &Value) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    fields.pod.member("spec").into_iter().for_each(|spec| spec.texts(get(pod, "spec"), "", &mut texts));
    texts
}

/// Whether an update of a Pod changes an image or adds an ephemeral container.
fn changes_containers(new: &Value, old: &Value) -> bool {
    let images = |pod: &Value, name: &str| -> Vec<String> {
        list(pod, &format!("spec.{name}")).iter().map(|container| text(container, "image").to_owned()).collect()
    };
    let old_ephemeral = ephemeral_containers(old);
    ["initContainers", "containers"].iter().any(|name| images(new, name) != images(old, name))
        || ephemeral_containers(new).iter().any(|container| !old_ephemeral.contains(container))
}

/// The names and images of the ephemeral containers.
fn ephemeral_containers(pod: &Value) -> Vec<(String, String)> {
    let containers = list(pod, "spec.ephemeralContainers").iter();
    containers.map(|container| (text(container, "name").to_owned(), text(container, "image").to_owned())).collect()
}
