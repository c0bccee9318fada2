//! `k8s-openapi` as the oracle for the shape of objects: each field that is read exists in its types,
//! and any object that they can produce is read the same way.

mod evaluation;
mod objects;

use evaluation::Expectation;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{PersistentVolume, Pod, PodTemplate, ReplicationController},
};
use k8s_openapi::serde::{Serialize, de::DeserializeOwned};
use objects::Judged;
use podfence_core::{Declaration, JsonType, LISTS, Policy, Scope, base_fields, json::pad, workload::WORKLOADS};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

static POLICIES: [&Policy; 4] = [
    &podfence_capabilities::POLICY,
    &podfence_host_path::POLICY,
    &podfence_privileged::POLICY,
    &podfence_seccomp::POLICY,
];

/// A type of Kubernetes: its group, its kind, and what is left of an object that went through it.
struct Type {
    group: &'static str,
    kind: &'static str,
    round_trip: fn(Value) -> Result<Value, serde_json::Error>,
}

const fn of<T: k8s_openapi::Resource + Serialize + DeserializeOwned>() -> Type {
    Type {
        group: T::GROUP,
        kind: T::KIND,
        round_trip: |object| serde_json::to_value(serde_json::from_value::<T>(object)?),
    }
}

const WORKLOAD_TYPES: [Type; 9] = [
    of::<Pod>(),
    of::<PodTemplate>(),
    of::<ReplicationController>(),
    of::<ReplicaSet>(),
    of::<Deployment>(),
    of::<StatefulSet>(),
    of::<DaemonSet>(),
    of::<Job>(),
    of::<CronJob>(),
];

/// The type of an object at the root, and the object with this value at a path.
fn lost(ty: &Type, path: &str, value: Value) -> Option<String> {
    let mut object = at(path, value);
    object["apiVersion"] = json!(if ty.group.is_empty() { "v1".into() } else { format!("{}/v1", ty.group) });
    object["kind"] = json!(ty.kind);
    match (ty.round_trip)(object.clone()) {
        Ok(kept) if contains(&kept, &object) => None,
        Ok(kept) => Some(format!("{} has no {path}: of {object} it keeps {kept}", ty.kind)),
        Err(error) => Some(format!("{} does not read {object}: {error}", ty.kind)),
    }
}

/// A value inside the objects and lists that a dotted path goes through.
fn at(path: &str, value: Value) -> Value {
    if path.is_empty() {
        return value;
    }
    // A key with dots in it is quoted and the last one: `annotations["a.b/*"]`.
    if let Some((before, key)) = path.strip_suffix("\"]").and_then(|path| path.split_once("[\"")) {
        return at(before, json!({key.replace('*', "x"): value}));
    }
    let (key, rest) = path.split_once('.').unwrap_or((path, ""));
    let inner = at(rest, value);
    match key.strip_suffix("[*]") {
        Some(list) => json!({list: [inner]}),
        None => json!({key: inner}),
    }
}

fn contains(all: &Value, part: &Value) -> bool {
    match (all, part) {
        (Value::Object(all), Value::Object(part)) => {
            part.iter().all(|(key, value)| all.get(key).is_some_and(|all| contains(all, value)))
        }
        (Value::Array(all), Value::Array(part)) => {
            all.len() == part.len() && all.iter().zip(part).all(|(all, part)| contains(all, part))
        }
        _ => all == part,
    }
}

fn sample(kind: JsonType) -> Value {
    match kind {
        JsonType::Bool => json!(true),
        JsonType::Integer => json!(7),
        JsonType::String => json!("text"),
        JsonType::StringList => json!(["text"]),
        JsonType::Object => json!({}),
        JsonType::ObjectList => json!([{}]),
        JsonType::Any | JsonType::Deferred => panic!("a pod has no field of any type"),
    }
}

fn join(path: &str, rest: &str) -> String {
    if path.is_empty() { rest.to_owned() } else { format!("{path}.{rest}") }
}

/// Where a field stands below a pod template (or below a PersistentVolume).
fn paths(entry: &Declaration) -> Vec<String> {
    let in_pod = || vec![format!("spec.{}", entry.path)];
    let in_containers = || LISTS.iter().map(|list| format!("spec.{}[*].{}", list.path, entry.path)).collect();
    match entry.scope {
        Scope::Pod | Scope::PersistentVolume => in_pod(),
        Scope::Container => in_containers(),
        Scope::Both => [in_pod(), in_containers()].concat(),
        Scope::Metadata => vec![format!("metadata.{}", entry.path)],
        Scope::Root => panic!("a pod has no root fields"),
    }
}

fn missing(entry: &Declaration) -> Vec<String> {
    let mut missing = Vec::new();
    for path in paths(entry) {
        if let Scope::PersistentVolume = entry.scope {
            missing.extend(lost(&of::<PersistentVolume>(), &path, sample(entry.json_type)));
            continue;
        }
        for (ty, workload) in WORKLOAD_TYPES.iter().zip(WORKLOADS) {
            missing.extend(lost(ty, &join(workload.template, &path), sample(entry.json_type)));
        }
    }
    missing
}

#[test]
fn every_kind_of_workload_is_one_of_kubernetes() {
    let ours: Vec<_> = WORKLOADS.iter().map(|workload| (workload.group, workload.kind)).collect();
    let theirs: Vec<_> = WORKLOAD_TYPES.iter().map(|ty| (ty.group, ty.kind)).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn every_field_that_is_read_exists() {
    let mut missing: Vec<String> = base_fields().iter().flat_map(self::missing).collect();
    for policy in POLICIES {
        assert!(!policy.fields.is_empty(), "{} reads nothing", policy.name);
        missing.extend(policy.fields.iter().flat_map(self::missing));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn a_field_that_does_not_exist_is_noticed() {
    let entry = |scope, path, json_type| Declaration { scope, path, json_type, ..base_fields()[0] };
    assert!(missing(&entry(Scope::Container, "securityContext.privileged", JsonType::Bool)).is_empty());
    for wrong in [
        entry(Scope::Container, "securityContext.privilege", JsonType::Bool),
        entry(Scope::Both, "securityContext.privileged", JsonType::Bool),
        entry(Scope::Container, "securityContext.privileged", JsonType::String),
        entry(Scope::Pod, "volumes[*].local.path", JsonType::String),
        entry(Scope::Metadata, "annotation[\"a.b/*\"]", JsonType::String),
        entry(Scope::PersistentVolume, "volumes", JsonType::ObjectList),
    ] {
        assert!(!missing(&wrong).is_empty(), "{}", wrong.path);
    }
    assert!(missing(&entry(Scope::Metadata, "annotations[\"a.b/*\"]", JsonType::String)).is_empty());
}

/// The paths that a policy finds wrong in an object, sorted; none if it accepts it.
fn judge(
    policy: &Policy,
    group: &str,
    kind: &str,
    object: &Value,
    settings: &Value,
    object_first: bool,
) -> Vec<String> {
    let kind = json!({"group": group, "version": "v1", "kind": kind});
    let mut request = Map::new();
    request.insert("operation".into(), json!("CREATE"));
    // The walker reads the object at once where its kind stands before it.
    let members = [("kind", &kind), ("object", object)];
    for (key, value) in if object_first { [members[1], members[0]] } else { members } {
        request.insert(key.into(), value.clone());
    }
    let payload = json!({"request": request, "settings": settings}).to_string();
    let reply = podfence_core::validate(policy, &pad(payload.as_bytes()));
    let reply: Value = serde_json::from_str(&reply).expect("a reply is JSON");
    if reply["accepted"] == true {
        assert!(reply.get("mutated_object").is_none(), "nothing was asked to change");
        return Vec::new();
    }
    assert_eq!(reply["code"], 403, "{} cannot read {payload}: {reply}", policy.name);
    let violations = reply["audit_annotations"]["violations"].as_str().expect("a rejection has violations");
    let violations: Vec<Value> = serde_json::from_str(violations).expect("violations are JSON");
    let mut paths: Vec<String> =
        violations.iter().map(|violation| violation["path"].as_str().expect("a path").to_owned()).collect();
    paths.sort();
    paths
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, max_shrink_iters: 4096, ..ProptestConfig::default() })]

    #[test]
    fn every_pod_of_kubernetes_is_judged_as_by_hand(
        template in objects::templates(), kind in 0..WORKLOADS.len(), settings in evaluation::settings(),
        object_first in any::<bool>(),
    ) {
        let workload = &WORKLOADS[kind];
        let object = objects::wrap(workload.kind, &template.0);
        let pod = Judged::new(&template.0, &settings.common);
        for Expectation { policy, settings, paths } in settings.judge(&pod) {
            let policy = POLICIES.iter().find(|known| known.name == policy).expect("a policy");
            let mut expected: Vec<String> = paths.iter().map(|path| join(workload.template, path)).collect();
            expected.sort();
            let found = judge(policy, workload.group, workload.kind, &object, &settings, object_first);
            prop_assert_eq!(found, expected, "{} with {} on {}", policy.name, settings, object);
        }
    }

    #[test]
    fn every_persistent_volume_of_kubernetes_is_judged_as_by_hand(
        volume in objects::persistent_volumes(), settings in evaluation::settings(), object_first in any::<bool>(),
    ) {
        let object = json!(volume.0);
        let mut expected = settings.host_path.wrong_in_volume(&volume.0);
        expected.sort();
        let settings = settings.host_path.to_json();
        let policy = &podfence_host_path::POLICY;
        let found = judge(policy, "", "PersistentVolume", &object, &settings, object_first);
        prop_assert_eq!(found, expected, "with {} on {}", settings, object);
    }
}
