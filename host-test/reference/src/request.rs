//! The policy's side of a request: what it reads of it, in the order in which it can end, and what it replies.

use podfence_core::workload::WORKLOADS;
use serde_json::Value;

use crate::fields::{Fields, Node, join, mismatch};
use crate::opinion::{Mutable, Opinion, Pod, Violation, get, list, set, text, texts};

/// What a policy should reply.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Accepted,
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
    match read(fields, request, settings) {
        Ok(subject) => decide(opinion, &subject, settings),
        Err(verdict) => verdict,
    }
}

/// The part of a request that the opinion is asked about.
struct Subject<'v> {
    object: &'v Value,
    /// The path of the pod in the object.
    template: &'v str,
    /// The object at that path, which holds metadata and spec.
    pod: &'v Value,
    /// The Pod that an update replaces.
    old: Option<&'v Value>,
    /// Whether the pod exists already.
    is_running: bool,
}

/// Reads a request.
///
/// # Errors
/// The verdict, where the opinion is not needed for it.
fn read<'v>(fields: &'v Fields, request: &'v Value, settings: &'v Value) -> Result<Subject<'v>, Verdict> {
    // The policy stops at the first mismatch, which depends on the order of the members.
    let mismatches = envelope_mismatches(request);
    if !mismatches.is_empty() {
        return Err(Verdict::Unreadable(mismatches));
    }
    let operation = text(request, "operation");
    match operation {
        "CREATE" | "UPDATE" => {}
        "DELETE" | "CONNECT" => return Err(Verdict::Accepted),
        _ => return Err(unreadable("request.operation: expected CREATE, UPDATE, DELETE or CONNECT")),
    }
    if HARMLESS.contains(&text(request, "subResource")) || is_exempt(request, settings) {
        return Err(Verdict::Accepted);
    }
    let (template, root) = place(request, settings, fields)?;
    let is_pod = text(request, "kind.kind") == "Pod" && text(request, "kind.group").is_empty();
    let is_running = operation == "UPDATE" && is_pod;

    let object = get(request, "object");
    if object.is_null() {
        return Err(unreadable("request.object: expected an object, found nothing"));
    }
    let pod = read_pod(object, template, root).map_err(Verdict::Unreadable)?;
    let old = match get(request, "oldObject") {
        old if old.is_null() || !is_running => None,
        old => Some(read_pod(old, "", &fields.old_pod).map_err(|problems| {
            Verdict::Unreadable(problems.iter().map(|problem| format!("request.oldObject: {problem}")).collect())
        })?),
    };
    if get(pod, "spec").is_null() {
        return Err(unreadable(&format!("{}: expected an object, found nothing", join(template, "spec"))));
    }

    let runtime_class = text(pod, "spec.runtimeClassName");
    let is_exempt = !runtime_class.is_empty() && texts(settings, "exempt.runtimeClasses").contains(&runtime_class);
    if is_exempt || old.is_some_and(|old| !is_significant(pod, old)) {
        return Err(Verdict::Accepted);
    }
    Ok(Subject { object, template, pod, old, is_running })
}

/// Changes and checks a pod.
fn decide(opinion: &Opinion, subject: &Subject<'_>, settings: &Value) -> Verdict {
    let mut pod = subject.pod.clone();
    if let Some(mutate) = opinion.mutate {
        let old = subject.old.map(ephemeral_containers);
        mutate(&mut Mutable { template: &mut pod, settings, old, is_running: subject.is_running });
    }
    let is_changed = pod != *subject.pod;
    let checked = Pod::new(&pod, settings);
    let mut violations = (opinion.check)(&checked);
    let message = opinion.message.filter(|_| !violations.is_empty()).map(|message| message(&checked));
    let mut object = subject.object.clone();
    match subject.template {
        "" => object = pod,
        template => set(&mut object, template, pod),
    }
    if !violations.is_empty() {
        for violation in violations.iter_mut().filter(|_| !subject.template.is_empty()) {
            violation.path = format!("{}.{}", subject.template, violation.path);
        }
        violations.sort();
        return Verdict::Rejected(Rejection { violations, message, object });
    }
    if is_changed { Verdict::Mutated(object) } else { Verdict::Accepted }
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

/// Whether the namespace, the user or a group is exempt.
fn is_exempt(request: &Value, settings: &Value) -> bool {
    let has = |setting: &str, name: &str| !name.is_empty() && texts(settings, setting).contains(&name);
    has("exempt.namespaces", text(request, "namespace"))
        || has("exempt.users", text(request, "userInfo.username"))
        || texts(request, "userInfo.groups").iter().any(|group| has("exempt.groups", group))
}

/// The path of the pod in objects of this kind, and the fields there.
fn place<'v>(request: &Value, settings: &'v Value, fields: &'v Fields) -> Result<(&'v str, &'v Node), Verdict> {
    let [group, kind] = ["kind.group", "kind.kind"].map(|path| text(request, path));
    if let Some(workload) = WORKLOADS.iter().find(|workload| workload.group == group && workload.kind == kind) {
        return Ok((workload.template, &fields.pod));
    }
    if let (Some(root), "", "PersistentVolume") = (&fields.persistent_volume, group, kind) {
        return Ok(("", root));
    }
    let is_declared = |custom: &&Value| custom["group"] == *get(request, "kind.group") && custom["kind"] == kind;
    if let Some(custom) = list(settings, "podSpecPaths").iter().find(is_declared) {
        return Ok((text(custom, "path"), &fields.pod));
    }
    if text(settings, "otherKinds") == "accept" {
        return Err(Verdict::Accepted);
    }
    let [group, kind] = [group, kind].map(Value::from);
    Err(unreadable(&format!(
        "request.kind: this policy judges pods and cannot read kind {kind} of group {group}; say where its pod template \
         is with podSpecPaths, or set otherKinds to accept"
    )))
}

/// Reads the value at a path in an object, with these fields.
///
/// # Errors
/// The possible messages: the policy stops at the first mismatch that it meets.
fn read_pod<'v>(object: &'v Value, template: &str, root: &Node) -> Result<&'v Value, Vec<String>> {
    let (mut at, mut path) = (object, String::new());
    for key in template.split('.').filter(|key| !key.is_empty()) {
        path = join(&path, key);
        at = match at.get(key) {
            Some(inner) if inner.is_object() => inner,
            Some(other) => return Err(vec![mismatch(&path, "an object", other)]),
            None => return Err(vec![format!("{path}: expected an object, found nothing")]),
        };
    }
    if !at.is_object() {
        return Err(vec![mismatch(&path, "an object", at).trim_start_matches(": ").to_owned()]);
    }
    let mut mismatches = Vec::new();
    root.mismatches(at, &path, &mut mismatches);
    if mismatches.is_empty() { Ok(at) } else { Err(mismatches) }
}

/// Whether an update of a Pod changes an image or adds an ephemeral container.
fn is_significant(new: &Value, old: &Value) -> bool {
    let images = |pod: &Value, name: &str| -> Vec<Value> {
        list(pod, &format!("spec.{name}")).iter().map(|container| get(container, "image").clone()).collect()
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
