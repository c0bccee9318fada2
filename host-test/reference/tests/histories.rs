//! Objects over time: random histories of an object that is older than the policies, through each policy and through
//! all that change objects together.
#![forbid(unsafe_code)]

use podfence_core::workload::WORKLOADS;
use podfence_reference::compare::{Oracle, reply};
use podfence_reference::draw::Draw;
use podfence_reference::opinion::{Opinion, get, list, set, text};
use podfence_reference::opinions::OPINIONS;
use podfence_reference::{pods, requests};
use serde_json::{Value, json};

/// The number of histories of each policy. A debug build is slow, and its tests are run often.
const HISTORIES: u64 = if cfg!(debug_assertions) { 60 } else { 3000 };

/// The acts after an object was made.
const ACTS: usize = 8;

/// A policy with settings.
struct Installed {
    opinion: &'static Opinion,
    settings: Value,
}

/// A verdict.
#[derive(Debug, PartialEq)]
struct Verdict {
    is_accepted: bool,
    mutated: Option<Value>,
    /// Why it was not evaluated.
    skipped: Option<String>,
    message: String,
}

impl Verdict {
    /// Whether the object may be as it is.
    fn is_plain(&self) -> bool {
        self.is_accepted && self.mutated.is_none()
    }
}

/// An object of a kind, in a cluster.
#[derive(Clone, Copy)]
struct Kind {
    group: &'static str,
    kind: &'static str,
    /// The path of the pod.
    template: &'static str,
}

impl Kind {
    fn draw(draw: &mut Draw) -> Self {
        let workload = &WORKLOADS[draw.below(WORKLOADS.len())];
        Self { group: workload.group, kind: workload.kind, template: workload.template }
    }

    fn is_pod(self) -> bool {
        self.template.is_empty()
    }

    /// The part of an object that runs, as text.
    fn pod(self, object: &Value) -> String {
        match self.template {
            "" => {
                let images = |list: &str| -> Vec<Value> {
                    self::list(object, &format!("spec.{list}")).iter().map(|one| one["image"].clone()).collect()
                };
                let debug: Vec<(Value, Value)> = list(object, "spec.ephemeralContainers")
                    .iter()
                    .map(|one| (one["name"].clone(), one["image"].clone()))
                    .collect();
                json!([images("initContainers"), images("containers"), debug]).to_string()
            }
            template => get(object, template).to_string(),
        }
    }

    fn object(self, pod: Value) -> Value {
        if self.is_pod() {
            return pod;
        }
        let mut object = json!({"metadata": {"name": "old", "finalizers": ["a"]}, "spec": {"replicas": 1}});
        set(&mut object, self.template, pod);
        object
    }
}

impl Installed {
    /// Sends a request.
    fn send(&self, kind: Kind, sub_resource: &str, object: &Value, old: Option<&Value>) -> Verdict {
        let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
        let mut request = json!({
            "kind": {"group": kind.group, "version": "v1", "kind": kind.kind}, "operation": operation,
            "namespace": "default", "userInfo": {"username": "jane", "groups": ["system:authenticated"]},
            "object": object, "oldObject": old,
        });
        if !sub_resource.is_empty() {
            request["subResource"] = json!(sub_resource);
        }
        let payload = json!({"request": request, "settings": self.settings}).to_string();
        let reply: Value = serde_json::from_str(&reply(self.opinion.policy, &payload)).expect("a reply is JSON");
        Verdict {
            is_accepted: reply["accepted"] == true,
            mutated: reply.get("mutated_object").cloned(),
            skipped: reply["audit_annotations"]["skipped"].as_str().map(str::to_owned),
            message: text(&reply, "message").to_owned(),
        }
    }
}

/// What is done to an object: the object afterwards, and the subresource.
fn act(draw: &mut Draw, kind: Kind, object: &Value, number: usize) -> (Value, &'static str) {
    let mut new = object.clone();
    if !new["metadata"].is_object() {
        new["metadata"] = json!({});
    }
    let containers = kind.template.to_owned() + if kind.is_pod() { "spec" } else { ".spec" };
    match draw.below(8) {
        0 => new["metadata"]["labels"] = json!({"act": number}),
        1 => new["metadata"]["finalizers"] = json!([]),
        2 => new["spec"]["replicas"] = json!(number),
        3 => new["status"] = json!({"act": number}),
        // A restart, and a rollback to another template.
        4 if !kind.is_pod() => {
            set(
                &mut new,
                &format!("{}.metadata", kind.template),
                json!({"annotations": {"restarted": number.to_string()}}),
            );
        }
        5 => {
            let spec = containers.split('.').fold(&mut new, |at, key| &mut at[key]);
            if let Some(first) = spec.get_mut("containers").and_then(|containers| containers.get_mut(0))
                && first.is_object()
            {
                first["image"] = json!(format!("image:{number}"));
            }
        }
        6 if kind.is_pod() => {
            let mut debug = list(&new, "spec.ephemeralContainers").to_vec();
            debug.push(json!({"name": format!("debug-{number}"), "image": "busybox"}));
            new["spec"]["ephemeralContainers"] = json!(debug);
            return (new, "ephemeralcontainers");
        }
        _ => new["metadata"]["annotations"] = json!({"act": number.to_string()}),
    }
    (new, "")
}

/// Runs the histories of one policy.
fn keeps_a_cluster_going(opinion: &'static Opinion) {
    let oracle = Oracle::new(opinion);
    if !oracle.fields.kinds.is_empty() {
        return keeps_objects(opinion, &oracle);
    }
    let (mut kept, mut changed) = (0, 0);
    for seed in 0..HISTORIES {
        let mut draw = Draw::new(seed);
        let mut settings = requests::settings(&mut draw, opinion);
        // Who is exempt is not evaluated at all.
        settings.as_object_mut().map(|settings| settings.remove("exempt"));
        let installed = Installed { opinion, settings };
        let kind = Kind::draw(&mut draw);
        let pod = pods::draw(&mut draw, &oracle.fields.pod);
        if !pod["spec"].is_object() {
            continue;
        }
        // Made before the policy was there.
        let mut object = kind.object(pod);
        for number in 0..ACTS {
            let (new, sub_resource) = act(&mut draw, kind, &object, number);
            let verdict = installed.send(kind, sub_resource, &new, Some(&object));
            let at = || format!("seed {seed}, {}: {} with {}: {verdict:?}", kind.kind, installed.settings, new);
            if kind.pod(&new) == kind.pod(&object) {
                // An unreadable Pod is unreadable whatever is done to it; no API server has one.
                if kind.is_pod() && verdict.message.contains(": expected ") {
                    break;
                }
                assert!(verdict.is_plain(), "what runs stays as it was, so nothing is refused or changed: {}", at());
                kept += 1;
                object = new;
                continue;
            }
            check_acceptance(&installed, kind, &new, &object, sub_resource, &verdict);
            if verdict.is_accepted {
                changed += 1;
                object = verdict.mutated.unwrap_or(new);
            }
        }
        check_copies(&installed, &object, kind);
    }
    assert!(kept > HISTORIES && changed > HISTORIES / 10, "{kept} and {changed} of {HISTORIES}");
}

/// What a policy does not read of an object may change, whatever the object was when the policy came.
fn keeps_objects(opinion: &'static Opinion, oracle: &Oracle) {
    let mut rejected = 0;
    // Few objects are rejected: in a role, a verb, a group and a resource must meet.
    for seed in 0..10 * HISTORIES {
        let mut draw = Draw::new(seed);
        let mut settings = requests::settings(&mut draw, opinion);
        settings.as_object_mut().map(|settings| settings.remove("exempt"));
        let installed = Installed { opinion, settings };
        let of = &oracle.fields.kinds[draw.below(oracle.fields.kinds.len())];
        let kind = Kind { group: of.group, kind: of.kind, template: "" };
        let old = pods::draw_typed(&mut draw, &oracle.fields.object);
        rejected += u64::from(!installed.send(kind, "", &old, None).is_accepted);
        for member in ["labels", "finalizers", "managedFields"] {
            let mut new = old.clone();
            if !new["metadata"].is_object() {
                new["metadata"] = json!({});
            }
            new["metadata"][member] = json!([]);
            let verdict = installed.send(kind, "", &new, Some(&old));
            assert!(verdict.is_plain(), "seed {seed}, {}: {} with {new}: {verdict:?}", of.kind, installed.settings);
        }
    }
    assert!(rejected > HISTORIES / 10, "{rejected} of {}", 10 * HISTORIES);
}

/// What is accepted and new was evaluated, and a change is made once.
fn check_acceptance(
    installed: &Installed,
    kind: Kind,
    new: &Value,
    old: &Value,
    sub_resource: &str,
    verdict: &Verdict,
) {
    if !verdict.is_accepted {
        return;
    }
    let is_immutable = kind.kind == "Job";
    let result = verdict.mutated.as_ref().unwrap_or(new);
    let at = || format!("{}: {} with {new} from {old}: {verdict:?}", kind.kind, installed.settings);
    assert!(verdict.skipped.is_none(), "something new runs, so it is evaluated: {}", at());
    assert!(!(is_immutable && verdict.mutated.is_some()), "the template of a Job cannot be changed: {}", at());
    let again = installed.send(kind, sub_resource, result, Some(old));
    assert!(again.is_plain(), "the same request again changes nothing: {} then {again:?}", at());
    // A running pod is only changed in its new containers, and a Job not at all.
    if !is_immutable && !kind.is_pod() {
        let made = installed.send(kind, "", result, None);
        assert!(made.is_plain(), "what runs passes the policy: {} then {made:?}", at());
    }
}

/// A controller's copies are left alone, whatever they hold; everything else that is owned is evaluated like any.
fn check_copies(installed: &Installed, object: &Value, kind: Kind) {
    let pod = if kind.is_pod() { object.clone() } else { get(object, kind.template).clone() };
    let owner = |is_controller: bool| json!([{"kind": "Deployment", "name": "old", "controller": is_controller}]);
    for workload in &WORKLOADS {
        let kind = Kind { group: workload.group, kind: workload.kind, template: workload.template };
        let mut made = kind.object(pod.clone());
        if !made["metadata"].is_object() {
            made["metadata"] = json!({});
        }
        let free = installed.send(kind, "", &made, None);
        made["metadata"]["ownerReferences"] = owner(false);
        let owned = installed.send(kind, "", &made, None);
        assert_eq!(free.is_accepted, owned.is_accepted, "an owner that is not a controller: {made}");
        made["metadata"]["ownerReferences"] = owner(true);
        let copy = installed.send(kind, "", &made, None);
        if ["ReplicaSet", "ReplicationController"].contains(&kind.kind) {
            assert!(copy.is_plain(), "{}: {} with {made}: {copy:?}", kind.kind, installed.settings);
        } else {
            assert_eq!(free.is_accepted, copy.is_accepted, "{}: {} with {made}", kind.kind, installed.settings);
            assert_eq!(free.mutated.is_some(), copy.mutated.is_some(), "{}: {made}", kind.kind);
        }
    }
}

mod alone {
    podfence_reference::test_policies!(super::keeps_a_cluster_going);
}

/// A policy after which another one asks less: `users` accepts root in a user namespace, so the order counts.
const FIRST: &str = "user-namespaces";

/// The policies that change objects, as they are installed together, without [`FIRST`].
fn mutating() -> Vec<Installed> {
    let settings = |name: &str| match name {
        "capabilities" => Some(json!({"mutate": true, "defaultAddCapabilities": ["NET_BIND_SERVICE"]})),
        "apparmor" | "seccomp" => Some(json!({"defaultProfile": "RuntimeDefault"})),
        "runtime-class" => Some(json!({"defaultRuntimeClass": "gvisor", "allowedRuntimeClasses": ["gvisor", "kata"]})),
        "users" => Some(json!({
            "mutate": true, "supplementalGroups": {"requireStrict": true},
            "fsGroup": {"rule": "MustRunAs", "ranges": [{"min": 1000, "max": 2000}]},
        })),
        "allow-privilege-escalation" | "read-only-root-filesystem" | "service-account-token" => {
            Some(json!({"mutate": true}))
        }
        _ => None,
    };
    let installed =
        OPINIONS.iter().filter_map(|opinion| Some(Installed { opinion, settings: settings(opinion.policy.name)? }));
    installed.collect()
}

#[test]
fn every_policy_that_changes_objects_is_among_those_together() {
    let names: Vec<&str> = mutating().iter().map(|installed| installed.opinion.policy.name).collect();
    let mutating = OPINIONS.iter().filter(|opinion| opinion.mutate.is_some()).map(|opinion| opinion.policy.name);
    let (first, all): (Vec<&str>, Vec<&str>) = mutating.partition(|name| *name == FIRST);
    assert_eq!((first, names), (vec![FIRST], all));
}

/// Sends an object through policies, one after the other, as the API server does; `None` if one rejects it.
fn through(policies: &[&Installed], kind: Kind, object: &Value) -> Option<Value> {
    policies.iter().try_fold(object.clone(), |object, installed| {
        let verdict = installed.send(kind, "", &object, None);
        verdict.is_accepted.then(|| verdict.mutated.unwrap_or(object))
    })
}

#[test]
fn together_they_reach_the_same_object_in_any_order() {
    let installed = mutating();
    let values: Vec<_> = installed.iter().flat_map(|installed| installed.opinion.values).copied().collect();
    let declared: Vec<_> = installed.iter().flat_map(|installed| installed.opinion.policy.fields).copied().collect();
    let fields = podfence_reference::fields::Fields::of(&declared, &values);
    let (mut accepted, mut changed) = (0, 0);
    for seed in 0..HISTORIES * 10 {
        let mut draw = Draw::new(seed);
        let kind = Kind::draw(&mut draw);
        let object = kind.object(pods::draw(&mut draw, &fields.pod));
        let mut order: Vec<&Installed> = installed.iter().collect();
        let first = through(&order, kind, &object);
        draw.shuffle(&mut order);
        let second = through(&order, kind, &object);
        assert_eq!(first, second, "seed {seed}: {object}");
        let Some(result) = first else { continue };
        accepted += 1;
        changed += u64::from(result != object);
        assert_eq!(
            through(&order, kind, &result).as_ref(),
            Some(&result),
            "seed {seed}: sent again, it is changed again"
        );
    }
    assert!(accepted > HISTORIES / 4 && changed > HISTORIES / 4, "{accepted} accepted, {changed} changed");
}
