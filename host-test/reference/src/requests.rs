//! Random requests and settings.

use podfence_core::json::pad;
use podfence_core::workload::WORKLOADS;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::fields::{Fields, Node};
use crate::opinion::{LISTS, Opinion, get, set};
use crate::pods;
use crate::request::HARMLESS;

/// Entries of `podSpecPaths`: group, kind and path, and what else an entry may say.
const CUSTOM: [(&str, &str, &str, &str); 5] = [
    ("argoproj.io", "Rollout", "spec.template", "optional"),
    ("jobset.x-k8s.io", "JobSet", "spec.jobs[*].template", ""),
    ("example.com", "Box", "spec.pod", "at"),
    ("lws.example.com", "LeaderWorkerSet", "spec.set.leaderTemplate", "optional"),
    ("lws.example.com", "LeaderWorkerSet", "spec.set.workerTemplate", ""),
];
const NAMESPACES: [&str; 3] = ["default", "kube-system", ""];
const USERS: [&str; 3] = ["jane", "system:serviceaccount:kube-system:replicaset-controller", ""];
const GROUPS: [&str; 3] = ["system:masters", "system:authenticated", ""];

/// Draws the settings that every policy has, or every one that evaluates no pods.
fn common_settings(draw: &mut Draw, of_pods: bool) -> Value {
    let mut settings = Members::new(draw);
    if settings.draw.percent(15) {
        let mut exempt = Members::new(settings.draw);
        if of_pods {
            exempt.texts("images", &["nginx", "registry.example.com/*", "registry.example.com/", "*"]);
        }
        exempt.texts("namespaces", &["default", "kube-*", "kube-system", "kube*system"]);
        exempt.texts("users", &["jane", "system:serviceaccount:*", "*"]);
        exempt.texts("groups", &["system:masters", "system:auth*", ""]);
        if of_pods {
            exempt.texts("runtimeClasses", &["gvisor", "kat*", "runc"]);
        }
        let exempt = exempt.done();
        settings.put("exempt", exempt);
    }
    if of_pods && settings.draw.percent(30) {
        let entries = CUSTOM.map(|(group, kind, path, more)| {
            let mut entry = json!({"group": group, "kind": kind, "path": path});
            match more {
                "at" => entry["at"] = json!("spec"),
                "optional" if settings.draw.percent(70) => entry["optional"] = json!(true),
                _ => {}
            }
            entry
        });
        settings.put("podSpecPaths", json!(entries));
    }
    if settings.draw.percent(10) {
        settings.text("otherKinds", &["accept", "reject"]);
    }
    if settings.draw.percent(20) {
        settings.flag("warn");
    }
    settings.done()
}

/// Draws a request.
pub fn draw(draw: &mut Draw, fields: &Fields) -> Value {
    if !fields.kinds.is_empty() {
        return draw_object(draw, fields);
    }
    let (group, kind, template) = match draw.below(100) {
        0..65 => ("", "Pod", ""),
        65..90 => {
            let workload = &WORKLOADS[draw.below(WORKLOADS.len())];
            (workload.group, workload.kind, workload.template)
        }
        90..93 => {
            let (group, kind, path, _) = *draw.one(&CUSTOM.each_ref());
            (group, kind, path)
        }
        93..98 if fields.persistent_volume.is_some() => ("", "PersistentVolume", ""),
        93..98 => ("", "Pod", ""),
        _ => *draw.one(&[&("", "Service", ""), &("extensions", "Deployment", "spec.template"), &("", "Job", "spec")]),
    };
    let root = match &fields.persistent_volume {
        Some(root) if kind == "PersistentVolume" => root,
        _ => &fields.pod,
    };
    let pod = pods::draw(draw, root);
    let is_update = draw.percent(20);
    let mut members = envelope(draw, group, kind, is_update, &USERS);
    if draw.percent(5) {
        let sub_resources = [&HARMLESS[..], &["ephemeralcontainers", "resize", "", "Status"]].concat();
        members.push(("subResource", json!(draw.one(&sub_resources))));
    }
    if is_update && draw.percent(90) {
        let old = old_pod(draw, &pod, root);
        members.push(("oldObject", placed(draw, old, fields, kind, template)));
    }
    members.push(("object", placed(draw, pod, fields, kind, template)));
    finished(draw, members)
}

/// Draws a request with an object that is not a pod.
fn draw_object(draw: &mut Draw, fields: &Fields) -> Value {
    let known = &fields.kinds[draw.below(fields.kinds.len())];
    let (group, kind) = match draw.below(100) {
        0..96 => (known.group, known.kind),
        _ => *draw.one(&[&("", "Pod"), &("apps", "Deployment"), &("example.com", known.kind), &(known.group, "Other")]),
    };
    let object = pods::draw(draw, &fields.object);
    let is_update = draw.percent(40);
    let users = [&USERS[..], if draw.percent(10) { fields.exempt_users } else { &[] }].concat();
    let mut members = envelope(draw, group, kind, is_update, &users);
    if draw.percent(3) {
        members.push(("subResource", json!(draw.one(&HARMLESS))));
    }
    if is_update && draw.percent(90) {
        let mut old = object.clone();
        match draw.below(10) {
            0 => old = pods::draw(draw, &fields.object),
            1 => old = draw.any(1),
            2 => {}
            _ => change_lists(draw, &mut old),
        }
        members.push(("oldObject", old));
    }
    members.push(("object", object));
    finished(draw, members)
}

/// Removes elements from lists of objects, or changes their order.
fn change_lists(draw: &mut Draw, value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| change_lists(draw, member)),
        Value::Array(elements) => {
            elements.iter_mut().for_each(|element| change_lists(draw, element));
            match draw.below(4) {
                0 => drop(elements.pop()),
                1 => elements.reverse(),
                2 if !elements.is_empty() => drop(elements.remove(0)),
                _ => {}
            }
        }
        _ => {}
    }
}

/// Draws the members of a request except its objects.
fn envelope(draw: &mut Draw, group: &str, kind: &str, is_update: bool, users: &[&str]) -> Vec<(&'static str, Value)> {
    vec![
        ("uid", json!("1299d386-525b-4032-98ae-1949f69f9cfc")),
        ("kind", json!({"group": group, "version": "v1", "kind": kind})),
        ("operation", json!(operation(draw, is_update))),
        ("namespace", json!(draw.one(&NAMESPACES))),
        ("userInfo", json!({"username": draw.one(users), "groups": draw.some(&GROUPS, 0, 2)})),
    ]
}

/// The request with these members; at times one is something else, or they come in another order.
fn finished(draw: &mut Draw, mut members: Vec<(&'static str, Value)>) -> Value {
    if draw.percent(2) {
        let at = draw.below(members.len());
        members[at].1 = draw.any(1);
    }
    // A host sends the kind first, but any order must do.
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

/// Draws the object that an update replaces: like the new one with some changes, or another one.
fn old_pod(draw: &mut Draw, pod: &Value, root: &Node) -> Value {
    let mut old = pod.clone();
    for name in LISTS {
        let Some(containers) = old.get_mut("spec").and_then(|spec| spec.get_mut(name)).and_then(Value::as_array_mut)
        else {
            continue;
        };
        match draw.below(8) {
            0 => drop(containers.pop()),
            1 => containers.reverse(),
            2 => containers.iter_mut().filter_map(Value::as_object_mut).for_each(|container| {
                container.shift_remove("resources");
            }),
            3 => containers.iter_mut().filter(|container| container.is_object()).for_each(|container| {
                let image = draw.one(&["nginx", "registry.example.com/app:1", ""]);
                container["image"] = json!(image);
            }),
            _ => {}
        }
    }
    if draw.percent(10) {
        old.get_mut("spec").and_then(Value::as_object_mut).map(|spec| spec.shift_remove("resources"));
    }
    if draw.percent(10) { pods::draw(draw, root) } else { old }
}

/// Puts a pod into an object of a kind, at a path, and sets what else counts there.
fn placed(draw: &mut Draw, pod: Value, fields: &Fields, kind: &str, template: &str) -> Value {
    if draw.percent(1) && !template.is_empty() {
        return draw.any(1);
    }
    let mut object = if template.is_empty() {
        pod
    } else {
        let mut object = match draw.percent(30) {
            // With the fields outside of the template, of which most kinds have none.
            true => pods::draw(draw, &fields.workload),
            false => json!({"metadata": {"name": "x", "annotations": {"x": "y"}}, "spec": {"replicas": 2}}),
        };
        let pod = if kind == "Box" { pod["spec"].clone() } else { pod };
        match template.split_once("[*].") {
            _ if kind == "Rollout" && draw.percent(20) => {}
            Some((list, rest)) => {
                let elements = (0..draw.below(3)).map(|number| {
                    let mut element = json!({"name": number});
                    set(&mut element, rest, pod.clone());
                    element
                });
                let elements: Vec<Value> = elements.collect();
                set_in_object(&mut object, list, json!(elements));
            }
            None => set_in_object(&mut object, template, pod),
        }
        object
    };
    if draw.percent(4) {
        set_in_object(&mut object, "metadata", json!({"annotations": {"kubernetes.io/config.mirror": "abc"}}));
    }
    if draw.percent(6) {
        let owners = json!([{"name": "a"}, {"name": "b", "controller": draw.percent(70)}]);
        set_in_object(&mut object, "metadata", json!({"ownerReferences": owners}));
    }
    object
}

/// Sets a value, unless something else than an object is on the way.
fn set_in_object(object: &mut Value, path: &str, new: Value) {
    let mut at = &*object;
    for key in path.split('.') {
        if !at.is_null() && !at.is_object() {
            return;
        }
        at = at.get(key).unwrap_or(&Value::Null);
    }
    set(object, path, new);
}

/// Draws settings that the policy accepts, under their own names.
pub fn settings(draw: &mut Draw, opinion: &Opinion) -> Value {
    // Some settings contradict others.
    for _ in 0..100 {
        let mut settings = if draw.percent(20) { json!({}) } else { (opinion.settings)(draw) };
        let common = common_settings(draw, opinion.policy.kinds().is_empty());
        let members = settings.as_object_mut().expect("settings are an object");
        members.extend(common.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        let reply = podfence_core::validate_settings(opinion.policy, &pad(settings.to_string().as_bytes()));
        if reply == r#"{"valid":true}"# {
            return settings;
        }
    }
    panic!("{}: the policy refuses 100 random settings in a row", opinion.policy.name);
}

/// Gives some settings the names that they have in other projects.
pub fn renamed(draw: &mut Draw, opinion: &Opinion, settings: &Value) -> Value {
    let mut sent = settings.clone();
    let entries = opinion.policy.common_settings().iter().chain(opinion.policy.settings.declarations);
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
