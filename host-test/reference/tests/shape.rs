//! The types of `k8s-openapi` and the policies agree on the shape of objects: each field that a policy reads exists in
//! the types, and the policy reads every object that they write.
#![forbid(unsafe_code)]

mod support;

use std::any::TypeId;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{PersistentVolume, Pod, PodTemplate, ReplicationController, Service},
    networking::v1::NetworkPolicy,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use k8s_openapi::serde::{Serialize, de::DeserializeOwned};
use podfence_core::{Declaration, JsonType, Kind, LISTS, Scope, base_fields, object_fields, workload::WORKLOADS};
use podfence_reference::case::Case;
use podfence_reference::compare::{Class, Oracle};
use podfence_reference::draw::Draw;
use podfence_reference::fields::Fields;
use podfence_reference::opinion::{Opinion, Pool, Values, set};
use podfence_reference::opinions::OPINIONS;
use podfence_reference::{pods, requests};
use serde_json::{Map, Value, json};

/// A type of Kubernetes: its group, its kind, and a function that reads an object into the type and writes it again.
struct Type {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    is_namespaced: fn() -> bool,
    round_trip: fn(Value) -> Result<Value, serde_json::Error>,
}

const fn of<T: k8s_openapi::Resource<Scope: 'static> + Serialize + DeserializeOwned>() -> Type {
    Type {
        group: T::GROUP,
        kind: T::KIND,
        plural: T::URL_PATH_SEGMENT,
        is_namespaced: || TypeId::of::<T::Scope>() == TypeId::of::<NamespaceResourceScope>(),
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

/// The types of the kinds that policies evaluate without a pod in them.
const OBJECT_TYPES: [Type; 6] = [
    of::<Service>(),
    of::<NetworkPolicy>(),
    of::<Role>(),
    of::<ClusterRole>(),
    of::<RoleBinding>(),
    of::<ClusterRoleBinding>(),
];

/// The type of a kind.
fn type_of(kind: &Kind) -> &'static Type {
    static TYPES: [Type; 6] = OBJECT_TYPES;
    let found = TYPES.iter().find(|ty| (ty.group, ty.kind) == (kind.group, kind.kind));
    found.unwrap_or_else(|| panic!("{} {}: add it to OBJECT_TYPES", kind.group, kind.kind))
}

impl Type {
    fn write(&self, mut object: Value) -> Result<Value, serde_json::Error> {
        object["apiVersion"] = json!(if self.group.is_empty() { "v1".into() } else { format!("{}/v1", self.group) });
        object["kind"] = json!(self.kind);
        (self.round_trip)(object)
    }
}

/// Why a type has no such value at this path; `None` if it has.
fn lost(ty: &Type, path: &str, value: Value) -> Option<String> {
    let object = at(path, value);
    match ty.write(object.clone()) {
        Ok(kept) if contains(&kept, &object) => None,
        Ok(kept) => Some(format!("{} has no {path}: of {object} it keeps {kept}", ty.kind)),
        Err(error) => Some(format!("{} does not read {object}: {error}", ty.kind)),
    }
}

/// Puts a value into the objects and lists of a dotted path.
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

/// Whether a value has all members of another one.
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

/// Values of a type, of which a field must take one.
fn samples(json_type: JsonType) -> Vec<Value> {
    match json_type {
        JsonType::Bool => vec![json!(true)],
        JsonType::Integer => vec![json!(7)],
        JsonType::String => vec![json!("text")],
        JsonType::StringList => vec![json!(["text"])],
        JsonType::Object => vec![json!({})],
        JsonType::ObjectList => vec![json!([{}])],
        JsonType::Any | JsonType::Deferred => vec![json!(7), json!([7]), json!("text"), json!({})],
    }
}

fn join(path: &str, rest: &str) -> String {
    if path.is_empty() { rest.to_owned() } else { format!("{path}.{rest}") }
}

/// The paths of a field below a pod template or a PersistentVolume. A `*` stands for each of these keys.
fn paths(entry: &Declaration, keys: &[&str]) -> Vec<String> {
    // Within a path, it stands for the source of a projected volume; this one has all that is read of any.
    let path = entry.path.replace(".*.", ".downwardAPI.");
    let fields: Vec<String> = match path.strip_suffix(".*") {
        Some(start) => keys.iter().map(|key| member(start, key)).collect(),
        None => vec![path],
    };
    let below = |place: &str| fields.iter().map(|field| format!("{place}.{field}")).collect::<Vec<_>>();
    let in_containers = || LISTS.iter().flat_map(|list| below(&format!("spec.{}[*]", list.path))).collect();
    match entry.scope {
        Scope::Pod | Scope::PersistentVolume => below("spec"),
        Scope::Container => in_containers(),
        Scope::Both => [below("spec"), in_containers()].concat(),
        Scope::Metadata => below("metadata"),
        Scope::Workload | Scope::Object => fields,
        Scope::Root => panic!("a pod has no root fields"),
    }
}

fn member(path: &str, key: &str) -> String {
    if key.contains('.') { format!("{path}[\"{key}\"]") } else { format!("{path}.{key}") }
}

/// The types that lack a field, each with the reason.
fn missing(entry: &Declaration, keys: &[&str], kinds: &[Kind]) -> Vec<String> {
    let mut missing = Vec::new();
    let mut look_up = |ty: &Type, path: &str| {
        let lost: Vec<_> = samples(entry.json_type).into_iter().map(|sample| lost(ty, path, sample)).collect();
        if lost.iter().all(Option::is_some) {
            missing.extend(lost.into_iter().flatten().next());
        }
    };
    for path in paths(entry, keys) {
        if let Scope::Object = entry.scope {
            kinds.iter().for_each(|kind| look_up(type_of(kind), &path));
            continue;
        }
        if let Scope::PersistentVolume = entry.scope {
            look_up(&of::<PersistentVolume>(), &path);
            continue;
        }
        if let Scope::Workload = entry.scope {
            // Any kind of workload that has it is enough.
            look_up(&of::<StatefulSet>(), &path);
            continue;
        }
        for (ty, workload) in WORKLOAD_TYPES.iter().zip(WORKLOADS) {
            look_up(ty, &join(workload.template, &path));
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
fn every_kind_of_a_policy_is_one_of_kubernetes() {
    for kind in OPINIONS.iter().flat_map(|opinion| opinion.policy.kinds()) {
        let ty = type_of(kind);
        assert_eq!((kind.plural, kind.is_namespaced), (ty.plural, (ty.is_namespaced)()), "{}", kind.kind);
    }
}

/// Whether a policy reads a field of containers on the pod, where Kubernetes has no such field, to give a hint.
fn is_misplaced(entry: &Declaration) -> bool {
    let of_containers = ["capabilities", "allowPrivilegeEscalation", "readOnlyRootFilesystem"];
    let name = entry.path.strip_prefix("securityContext.").unwrap_or_default();
    entry.scope == Scope::Pod && of_containers.contains(&name)
}

#[test]
fn every_field_that_is_read_exists() {
    let mut missing: Vec<String> = base_fields().iter().flat_map(|entry| self::missing(entry, &[], &[])).collect();
    for opinion in OPINIONS {
        let kinds = opinion.policy.kinds();
        let of_core = if kinds.is_empty() { &[] } else { object_fields() };
        for entry in opinion.policy.fields.iter().chain(of_core).filter(|entry| !is_misplaced(entry)) {
            let keys = Pool::find(entry.path, entry.json_type, opinion.values).usual;
            missing.extend(self::missing(entry, keys, kinds));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn a_field_that_does_not_exist_is_noticed() {
    const BINDING: [Kind; 1] = [Kind::namespaced("rbac.authorization.k8s.io", "RoleBinding", "rolebindings")];
    let missing = |entry: &Declaration, keys: &[&str]| missing(entry, keys, &BINDING);
    let entry = |scope, path, json_type| Declaration { scope, path, json_type, ..base_fields()[0] };
    assert!(missing(&entry(Scope::Container, "securityContext.privileged", JsonType::Bool), &[]).is_empty());
    for wrong in [
        entry(Scope::Container, "securityContext.privilege", JsonType::Bool),
        entry(Scope::Both, "securityContext.privileged", JsonType::Bool),
        entry(Scope::Container, "securityContext.privileged", JsonType::String),
        entry(Scope::Pod, "volumes[*].local.path", JsonType::String),
        entry(Scope::Metadata, "annotation[\"a.b/*\"]", JsonType::String),
        entry(Scope::PersistentVolume, "volumes", JsonType::ObjectList),
        entry(Scope::Pod, "volumes[*].*", JsonType::Object),
        entry(Scope::Object, "subjects[*].groups", JsonType::StringList),
    ] {
        assert!(!missing(&wrong, &["hostPorts"]).is_empty(), "{}", wrong.path);
    }
    assert!(missing(&entry(Scope::Metadata, "annotations[\"a.b/*\"]", JsonType::String), &[]).is_empty());
}

mod objects {
    podfence_reference::test_policies!(super::reads_every_object);
}

/// The number of objects for each policy. A debug build is slow, and its tests are run often.
const CASES: u64 = if cfg!(debug_assertions) { 50 } else { 1000 };

/// Compares a policy with its opinion on objects that the types of Kubernetes write. They have the fields of all
/// policies, and others.
fn reads_every_object(opinion: &'static Opinion) {
    let oracle = Oracle::new(opinion);
    let all = OPINIONS.iter().flat_map(|opinion| opinion.policy.fields).copied().collect::<Vec<_>>();
    let others = OPINIONS.iter().flat_map(|opinion| opinion.values);
    let fields = Fields::of(&all, &opinion.values.iter().chain(others).copied().collect::<Vec<Values>>());
    let volume = fields.persistent_volume.as_ref().filter(|_| oracle.fields.persistent_volume.is_some());
    let mut classes = Vec::new();
    let kinds = oracle.fields.kinds;
    for seed in 0..CASES {
        let mut draw = Draw::new(seed);
        let at = draw.below(WORKLOADS.len());
        let object = match volume {
            _ if !kinds.is_empty() => {
                type_of(&kinds[draw.below(kinds.len())]).write(pods::draw_typed(&mut draw, &oracle.fields.object))
            }
            Some(root) if draw.percent(20) => of::<PersistentVolume>().write(pods::draw_typed(&mut draw, root)),
            _ => {
                let mut pod = pods::draw_typed(&mut draw, &fields.pod);
                add_unread_fields(&mut pod, &mut draw);
                let mut object = if WORKLOADS[at].template.is_empty() { pod.clone() } else { json!({}) };
                if !WORKLOADS[at].template.is_empty() {
                    set(&mut object, WORKLOADS[at].template, pod);
                }
                WORKLOAD_TYPES[at].write(object)
            }
        };
        // Some values are out of the range of the types.
        let Ok(object) = object else { continue };
        let group =
            object["apiVersion"].as_str().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
        let kind = object["kind"].as_str().expect("an object has a kind");
        let request = support::request((group, kind), "CREATE", &object);
        let mut members: Vec<(String, Value)> =
            request.as_object().expect("a request is an object").clone().into_iter().collect();
        // The policy reads the object at once only if its kind stands before it.
        if draw.percent(50) {
            members.reverse();
        }
        let case = Case::new(Value::Object(Map::from_iter(members)), requests::settings(&mut draw, opinion), seed);
        match oracle.compare(&case) {
            Ok(agreement) => classes.push(agreement.class),
            Err(problem) => panic!("{}: {problem}\n{case}", opinion.policy.name),
        }
    }
    assert!(classes.len() * 2 > CASES as usize, "the types wrote only {} of {CASES} objects", classes.len());
    assert!(classes.contains(&Class::Accepted) && classes.contains(&Class::Rejected), "{classes:?}");
}

/// Adds fields that no policy reads. Parts of them look like fields that a policy reads.
fn add_unread_fields(pod: &mut Value, draw: &mut Draw) {
    let mut add = |value: &mut Value, fields: Value| {
        let fields = fields.as_object().into_iter().flatten().filter(|_| draw.percent(50));
        let fields: Vec<_> = fields.map(|(key, value)| (key.clone(), value.clone())).collect();
        value.as_object_mut().into_iter().for_each(|members| members.extend(fields.clone()));
    };
    for list in LISTS {
        for container in pod["spec"].get_mut(list.path).and_then(Value::as_array_mut).into_iter().flatten() {
            add(
                container,
                json!({
                    "args": ["\"privileged\":true", "é\\"], "workingDir": "spec",
                    "env": [{"name": "privileged", "value": "true"}, {"name": "securityContext"}],
                    "resources": {"limits": {"cpu": "1.5"}},
                    "volumeDevices": [{"name": "v", "devicePath": "/"}],
                }),
            );
        }
    }
    add(
        &mut pod["spec"],
        json!({
            "nodeSelector": {"hostNetwork": "true"}, "tolerations": [{"key": "hostPID"}], "terminationGracePeriodSeconds": 1,
            "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "containers"}]}},
        }),
    );
    add(
        &mut pod["metadata"],
        json!({
            "labels": {"spec": "{\"containers\":[]}"}, "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "x", "fieldsV1": {"f:spec": {"f:containers": {}}}}],
        }),
    );
}
