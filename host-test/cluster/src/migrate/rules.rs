//! The requests that policies get to see.

use podfence_core::workload::{WORKLOADS, Workload};
use serde_json::{Value, json};

use crate::published::{self, Published, RESIZE};

/// The operations that change what an object is.
pub(super) const BOTH: &[&str] = &["CREATE", "UPDATE"];

/// The resources that are pods themselves, and what only changes one.
pub(super) const PODS: [&str; 2] = ["pods", "pods/ephemeralcontainers"];

/// Those about pods, the containers of `kubectl debug` included.
pub(super) fn of_pods() -> Value {
    kept(|resource| PODS.contains(&resource))
}

/// Those about what pods are made from.
pub(super) fn of_workloads() -> Value {
    kept(|resource| !PODS.contains(&resource))
}

/// Those about both.
pub(super) fn of_all() -> Value {
    kept(|_| true)
}

fn kept(is_kept: impl Fn(&str) -> bool) -> Value {
    let mut rules = published::pod_rules();
    for rule in rules.iter_mut().filter_map(|rule| rule["resources"].as_array_mut()) {
        rule.retain(|resource| resource.as_str().is_some_and(&is_kept));
    }
    rules.retain(|rule| rule["resources"].as_array().is_some_and(|resources| !resources.is_empty()));
    Value::Array(rules)
}

/// The same for a policy: those that evaluate resizes of pods match them where they match other changes of pods.
pub(super) fn of(policy: &str, mut rules: Value) -> Value {
    let is_asked = published::find(policy).is_some_and(Published::evaluates_resizes);
    for resources in rules.as_array_mut().into_iter().flatten().filter_map(|rule| rule["resources"].as_array_mut()) {
        let has = |name: &str| resources.iter().any(|resource| resource == name);
        if is_asked && has(PODS[1]) && !has(RESIZE) {
            resources.push(json!(RESIZE));
        }
    }
    rules
}

/// Those about workloads of some kinds.
pub(super) fn of_kinds(is_kept: impl Fn(&Workload) -> bool) -> Value {
    let kept = WORKLOADS.iter().filter(|workload| workload.kind != "Pod" && is_kept(workload));
    kept.map(|workload| rule(workload.group, &[workload.plural], BOTH)).collect()
}

pub(super) fn rule(group: &str, resources: &[&str], operations: &[&str]) -> Value {
    json!({"apiGroups": [group], "apiVersions": ["v1"], "resources": resources, "operations": operations})
}
