//! Random requests, and what of them is judged at all.

use podfence_core::workload::WORKLOADS;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::fields::{Fields, join, mismatch};
use crate::opinion::{Mutable, Opinion, Pod, Wrong, get, list, set, text, texts};
use crate::pods;

/// What a policy should reply.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Accepted,
    /// Accepted as this.
    Mutated(Value),
    Rejected(Rejection),
    /// Any of these messages.
    Unreadable(Vec<String>),
}

#[derive(Debug, PartialEq)]
pub struct Rejection {
    /// From the object's root, sorted.
    pub wrong: Vec<Wrong>,
    pub message: Option<String>,
    /// What is wrong: the object, or what became of it.
    pub object: Value,
}

const CUSTOM: (&str, &str, &str) = ("argoproj.io", "Rollout", "spec.template");
const HARMLESS: [&str; 9] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status", "scale"];
const NAMESPACES: [&str; 3] = ["default", "kube-system", ""];
const USERS: [&str; 3] = ["jane", "system:serviceaccount:kube-system:replicaset-controller", ""];
const GROUPS: [&str; 3] = ["system:masters", "system:authenticated", ""];

/// Settings that every policy has.
pub fn common_settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    if settings.draw.percent(15) {
        let mut exempt = Members::new(settings.draw);
        exempt.texts("images", &["nginx", "registry.example.com/*", "registry.example.com/", "", "*"]);
        exempt.texts("namespaces", &NAMESPACES);
        exempt.texts("users", &USERS);
        exempt.texts("groups", &GROUPS);
        exempt.texts("runtimeClasses", &["gvisor", "", "runc"]);
        let exempt = exempt.done();
        settings.put("exempt", exempt);
    }
    if settings.draw.percent(30) {
        let (group, kind, path) = CUSTOM;
        settings.put("podSpecPaths", json!([{"group": group, "kind": kind, "path": path}]));
    }
    if settings.draw.percent(10) {
        settings.text("otherKinds", &["accept", "reject"]);
    }
    settings.done()
}

/// A request.
pub fn draw(draw: &mut Draw, fields: &Fields) -> Value {
    let (group, kind, template) = match draw.below(100) {
        0..65 => ("", "Pod", ""),
        65..90 => {
            let workload = &WORKLOADS[draw.below(WORKLOADS.len())];
            (workload.group, workload.kind, workload.template)
        }
        90..93 => CUSTOM,
        93..98 if fields.persistent_volume.is_some() => ("", "PersistentVolume", ""),
        93..98 => ("", "Pod", ""),
        _ => *draw.one(&[&("", "Service", ""), &("extensions", "Deployment", "spec.template"), &("", "Job", "spec")]),
    };
    let root = match &fields.persistent_volume {
        Some(root) if kind == "PersistentVolume" => root,
        _ => &fields.pod,
    };
    let pod = pods::draw(draw, root);
    let is_update = draw.percent(15);
    let mut members = vec![
        ("uid", json!("1299d386-525b-4032-98ae-1949f69f9cfc")),
        ("kind", json!({"group": group, "version": "v1", "kind": kind})),
        ("operation", json!(operation(draw, is_update))),
        ("namespace", json!(draw.one(&NAMESPACES))),
        ("userInfo", json!({"username": draw.one(&USERS), "groups": draw.some(&GROUPS, 0, 2)})),
    ];
    if draw.percent(5) {
        let sub_resources = [&HARMLESS[..], &["ephemeralcontainers", "resize", "", "Status"]].concat();
        members.push(("subResource", json!(draw.one(&sub_resources))));
    }
    if is_update && draw.percent(90) {
        let old = old_pod(draw, &pod, root);
        members.push(("oldObject", placed(draw, old, template)));
    }
    members.push(("object", placed(draw, pod, template)));
    if draw.percent(2) {
        let at = draw.below(members.len());
        members[at].1 = draw.any(1);
    }
    // A host sends the kind first. Whoever does not is understood all the same.
    if draw.percent(20) {
        draw.shuffle(&mut members);
    }
    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn operation(draw: &mut Draw, is_update: bool) -> &'static str {
    match draw.below(100) {
        0..97 if is_update => "UPDATE",
        0..97 => "CREATE",
        97 => "DELETE",
        98 => "CONNECT",
        _ => draw.one(&["create", "", "PATCH"]),
    }
}

/// What is replaced: the same, with some changes, or something else.
fn old_pod(draw: &mut Draw, pod: &Value, root: &crate::fields::Node) -> Value {
    let mut old = pod.clone();
    for name in crate::opinion::LISTS {
        let Some(containers) = old.get_mut("spec").and_then(|spec| spec.get_mut(name)).and_then(Value::as_array_mut)
        else {
            continue;
        };
        match draw.below(6) {
            0 => drop(containers.pop()),
            1 => containers.reverse(),
            2 => containers.iter_mut().filter(|container| container.is_object()).for_each(|container| {
                let image = draw.one(&["nginx", "registry.example.com/app:1", ""]);
                container["image"] = json!(image);
            }),
            _ => {}
        }
    }
    if draw.percent(10) { pods::draw(draw, root) } else { old }
}

/// A pod in the object that holds it at a path.
fn placed(draw: &mut Draw, pod: Value, template: &str) -> Value {
    if template.is_empty() {
        return pod;
    }
    if draw.percent(1) {
        return draw.any(1);
    }
    let mut object = json!({"metadata": {"name": "x", "annotations": {"x": "y"}}, "spec": {"replicas": 2}});
    set(&mut object, template, pod);
    object
}

/// What a policy should say of a request.
pub fn judge(opinion: &Opinion, fields: &Fields, request: &Value, settings: &Value) -> Verdict {
    let mut mistyped = envelope_mismatches(request);
    if !mistyped.is_empty() {
        // The reading stops at the first of them.
        return Verdict::Unreadable(mistyped);
    }
    let operation = text(request, "operation");
    match operation {
        "CREATE" | "UPDATE" => {}
        "DELETE" | "CONNECT" => return Verdict::Accepted,
        _ => {
            let expected = "request.operation: expected CREATE, UPDATE, DELETE or CONNECT";
            return Verdict::Unreadable(vec![expected.to_owned()]);
        }
    }
    let sub_resource = text(request, "subResource");
    if HARMLESS.contains(&sub_resource) || is_exempt(request, settings) {
        return Verdict::Accepted;
    }
    let Some((template, root)) = place(request, settings, fields) else {
        if text(settings, "otherKinds") == "accept" {
            return Verdict::Accepted;
        }
        let [group, kind] = ["kind.group", "kind.kind"].map(|path| Value::from(text(request, path)));
        return Verdict::Unreadable(vec![format!(
            "request.kind: this policy judges pods and cannot read kind {kind} of group {group}; say where its pod \
             template is with podSpecPaths, or set otherKinds to accept"
        )]);
    };
    let is_pod = text(request, "kind.kind") == "Pod" && text(request, "kind.group").is_empty();
    let object = get(request, "object");
    if object.is_null() {
        return Verdict::Unreadable(vec!["request.object: expected an object, found nothing".to_owned()]);
    }
    let pod = read(object, template, root, &mut mistyped);
    let old_object = if operation == "UPDATE" && is_pod { get(request, "oldObject") } else { &Value::Null };
    let mut old_mistyped = Vec::new();
    let old = if old_object.is_null() { None } else { read(old_object, "", &fields.old_pod, &mut old_mistyped) };
    // The new object is read first, and only then is it asked for its spec.
    if mistyped.is_empty() {
        mistyped = old_mistyped.iter().map(|problem| format!("request.oldObject: {problem}")).collect();
    }
    let Some(pod) = pod.filter(|_| mistyped.is_empty()) else { return Verdict::Unreadable(mistyped) };
    if get(pod, "spec").is_null() {
        return Verdict::Unreadable(vec![format!("{}: expected an object, found nothing", join(template, "spec"))]);
    }
    if old.is_some_and(|old| !is_significant(pod, old)) {
        return Verdict::Accepted;
    }
    let runtime_class = text(pod, "spec.runtimeClassName");
    if !runtime_class.is_empty() && texts(settings, "exempt.runtimeClasses").contains(&runtime_class) {
        return Verdict::Accepted;
    }
    let mut mutated = pod.clone();
    if let Some(mutate) = opinion.mutate {
        let is_running = operation == "UPDATE" && is_pod;
        mutate(&mut Mutable { template: &mut mutated, settings, old: old.map(ephemeral_containers), is_running });
    }
    let judged = Pod::new(&mutated, settings);
    let mut wrong = (opinion.judge)(&judged);
    let is_changed = mutated != *pod;
    let message = opinion.message.filter(|_| !wrong.is_empty()).map(|message| message(&judged));
    let mut object = object.clone();
    match template {
        "" => object = mutated.clone(),
        template => set(&mut object, template, mutated.clone()),
    }
    if wrong.is_empty() {
        return if is_changed { Verdict::Mutated(object) } else { Verdict::Accepted };
    }
    for wrong in wrong.iter_mut().filter(|_| !template.is_empty()) {
        wrong.path = format!("{template}.{}", wrong.path);
    }
    wrong.sort();
    Verdict::Rejected(Rejection { wrong, message, object })
}

/// What is mistyped of the request, outside of the objects in it.
fn envelope_mismatches(request: &Value) -> Vec<String> {
    let mut mistyped = Vec::new();
    let mut demand = |path: &str, expected: &str, is: fn(&Value) -> bool| {
        let value = get(request, path);
        if !value.is_null() && !is(value) {
            mistyped.push(mismatch(&format!("request.{path}"), expected, value));
        }
    };
    for object in ["kind", "userInfo", "object"] {
        demand(object, "an object", Value::is_object);
    }
    for text in ["kind.group", "kind.kind", "operation", "subResource", "namespace", "userInfo.username"] {
        demand(text, "a string", Value::is_string);
    }
    demand("userInfo.groups", "a list", Value::is_array);
    for (index, group) in list(request, "userInfo.groups").iter().enumerate().filter(|(_, group)| !group.is_string()) {
        mistyped.push(mismatch(&format!("request.userInfo.groups[{index}]"), "a string", group));
    }
    mistyped
}

fn is_exempt(request: &Value, settings: &Value) -> bool {
    let has = |setting: &str, name: &str| !name.is_empty() && texts(settings, setting).contains(&name);
    has("exempt.namespaces", text(request, "namespace"))
        || has("exempt.users", text(request, "userInfo.username"))
        || texts(request, "userInfo.groups").iter().any(|group| has("exempt.groups", group))
}

/// Where the pod of a kind is, and what it should look like there.
fn place<'p>(request: &Value, settings: &'p Value, fields: &'p Fields) -> Option<(&'p str, &'p crate::fields::Node)> {
    let [group, kind] = ["kind.group", "kind.kind"].map(|path| text(request, path));
    if let Some(workload) = WORKLOADS.iter().find(|workload| workload.group == group && workload.kind == kind) {
        return Some((workload.template, &fields.pod));
    }
    if let (Some(root), "", "PersistentVolume") = (&fields.persistent_volume, group, kind) {
        return Some(("", root));
    }
    let is_asked = |custom: &&Value| custom["group"] == get(request, "kind.group").clone() && custom["kind"] == kind;
    let custom = list(settings, "podSpecPaths").iter().find(is_asked)?;
    Some((text(custom, "path"), &fields.pod))
}

/// What is at a path in an object; nothing, with the reason, where it cannot be read.
fn read<'v>(
    object: &'v Value,
    template: &str,
    root: &crate::fields::Node,
    mistyped: &mut Vec<String>,
) -> Option<&'v Value> {
    let (mut at, mut path) = (object, String::new());
    for key in template.split('.').filter(|key| !key.is_empty()) {
        path = join(&path, key);
        match at.get(key) {
            Some(inner) if inner.is_object() => at = inner,
            Some(other) => mistyped.push(mismatch(&path, "an object", other)),
            None => mistyped.push(format!("{path}: expected an object, found nothing")),
        }
        if !mistyped.is_empty() {
            return None;
        }
    }
    if !at.is_object() {
        mistyped.push(mismatch(&path, "an object", at).trim_start_matches(": ").to_owned());
        return None;
    }
    root.mismatches(at, &path, mistyped);
    mistyped.is_empty().then_some(at)
}

/// Whether an update of a Pod changes what is judged.
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

/// Settings as somebody sends them: some under another name.
pub fn renamed(draw: &mut Draw, opinion: &Opinion, settings: &Value) -> Value {
    let mut sent = settings.clone();
    let entries = podfence_core::common::SETTINGS.iter().chain(opinion.policy.settings.declarations);
    for entry in entries.filter(|entry| !entry.aliases.is_empty()) {
        let value = get(&sent, entry.path).clone();
        if value.is_null() || draw.percent(80) {
            continue;
        }
        let keys: Vec<&str> = entry.path.split('.').collect();
        let (key, outside) = keys.split_last().expect("a path has a key");
        let members = outside.iter().fold(&mut sent, |at, key| &mut at[key]);
        members.as_object_mut().and_then(|members| members.shift_remove(*key));
        set(&mut sent, draw.one(entry.aliases), value);
    }
    sent
}
