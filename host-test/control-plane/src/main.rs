//! `make cluster-test`: whether the policies are right in a living cluster.
//!
//! `cluster-test [FILTER]` runs the histories of the sets of policies whose names contain the filter; `standards` is
//! the comparison with the built-in admission, `deployed` what `deploy/` and `podfence migrate` write, `validating` the
//! comparison of ValidatingAdmissionPolicies in the API server and in `podfence`, `guards` the policies for other objects
//! than pods, and `functions` the comparison with Kubernetes' own functions. `costs` measures what admission costs, and
//! tests nothing.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use podfence_cluster::deploy::{self, Options, Settings};
use podfence_cluster::policy;
use podfence_control_plane::configuration::Modules;
use podfence_control_plane::control_plane::{ControlPlane, StartError};
use podfence_control_plane::histories::{self, Set, World};
use podfence_control_plane::kubelet::Kubelet;
use podfence_control_plane::refusals::REFUSALS;
use podfence_control_plane::webhook::Webhook;
use podfence_control_plane::{costs, deployed, functions, guards, samples, standards, validating};
use podfence_fixtures::generated;
use podfence_host::Mode;
use podfence_scan::custom_kinds;
use serde_json::{Value, json};

/// The filter that runs the comparison with the built-in admission.
const STANDARDS: &str = "standards";

/// The filter that sets up what is deployed and migrated.
const DEPLOYED: &str = "deployed";

/// The filter that runs the comparison of ValidatingAdmissionPolicies.
const VALIDATING: &str = "validating";

/// The filter that runs the policies for other objects than pods.
const GUARDS: &str = "guards";

/// The filter that runs the comparison with Kubernetes' own functions, which needs no control plane.
const FUNCTIONS: &str = "functions";

/// The filter that measures what admission costs, and does nothing else.
const COSTS: &str = "costs";

/// How many random pods are compared, unless `PODFENCE_PODS` says it.
const PODS: usize = 5000;

/// How many objects of each kind are drawn for Kubernetes' own functions, unless `PODFENCE_PODS` says it.
const OBJECTS: usize = 10_000;

/// How many differences from these functions are shown: one mistake makes many.
const MOST_SHOWN: usize = 20;

/// Histories wait more than they work.
const AT_ONCE: usize = 8;

fn main() -> ExitCode {
    let filter = std::env::args().nth(1).unwrap_or_default();
    match run(&filter) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(StartError(problem)) => {
            eprintln!("cluster-test: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(filter: &str) -> Result<bool, StartError> {
    let start = Instant::now();
    let root = podfence_support::root();
    let binaries = root.join("target/control-plane");
    let modules = Modules::load();
    let mut problems = Vec::new();
    if filter.is_empty() || filter == FUNCTIONS {
        problems.extend(check_functions(&binaries.join("functions"), &modules)?);
    }
    if filter == FUNCTIONS {
        return Ok(show(&problems, start));
    }
    let plane = ControlPlane::start(&binaries, &binaries.join("run"), &validating::namespaces())?;
    let kubelet = Kubelet::start(&plane.client);
    let webhook = Webhook::start(&plane.authority)?;
    prepare(&plane);
    println!("the control plane runs after {} s", start.elapsed().as_secs());
    let world = World { client: &plane.client, webhook: &webhook, kubelet: &kubelet, modules: &modules };
    if filter == COSTS {
        return show_costs(&world);
    }
    if filter.is_empty() || filter == STANDARDS {
        problems.extend(check_standards(&world));
    }
    if filter.is_empty() || filter == DEPLOYED {
        let start = Instant::now();
        let found = deployed::check(&world, || plane.kubectl());
        println!("{} checks of what is deployed and migrated, in {} s", found.checks, start.elapsed().as_secs());
        problems.extend(found.problems);
    }
    if ![STANDARDS, DEPLOYED, VALIDATING, GUARDS].contains(&filter) {
        problems.extend(check_histories(&world, filter));
    }
    if filter.is_empty() || filter == VALIDATING {
        problems.extend(check_validating(&plane));
    }
    // The last one: it takes away what makes the cluster.
    if filter.is_empty() || filter == GUARDS {
        problems.extend(check_guards(&world, &plane));
    }
    Ok(show(&problems, start))
}

/// Prints the problems; whether there are none.
fn show(problems: &[String], start: Instant) -> bool {
    for problem in problems {
        println!("FAILED {problem}");
    }
    println!("{} problems after {} s", problems.len(), start.elapsed().as_secs());
    problems.is_empty()
}

/// What pods and policies name: runtime classes, and a custom kind.
fn prepare(plane: &ControlPlane) {
    for name in ["gvisor", "kata"] {
        let class = json!({
            "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": name,
        });
        plane.client.create("/apis/node.k8s.io/v1/runtimeclasses", &class);
    }
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let of = samples::CUSTOM;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", of.plural, of.group)},
        "spec": {
            "group": of.group, "scope": "Namespaced",
            "names": {"plural": of.plural, "singular": "rollout", "kind": of.kind, "listKind": "RolloutList"},
            "versions": [{
                "name": of.version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            }],
        },
    });
    plane.client.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition);
}

/// Settings with which a policy changes Pods; none for one that changes nothing, or templates alone.
fn mutating_settings(policy: &str) -> Option<Value> {
    match policy {
        "capabilities" => Some(json!({"mutate": true, "defaultAddCapabilities": ["NET_BIND_SERVICE"]})),
        "apparmor" | "seccomp" => Some(json!({"defaultProfile": "RuntimeDefault"})),
        "runtime-class" => Some(json!({"defaultRuntimeClass": "gvisor", "allowedRuntimeClasses": ["gvisor", "kata"]})),
        "users" | "user-namespaces" | "allow-privilege-escalation" | "read-only-root-filesystem" => {
            Some(json!({"mutate": true}))
        }
        _ => None,
    }
}

fn policy_of(document: &Value) -> &str {
    policy::policy_of(document).unwrap_or_default()
}

/// The documents of `deploy/`, for the custom kind as well.
fn protect(choice: &str, settings: &[(&str, Value)]) -> Vec<Value> {
    let settings = settings.iter().map(|(policy, settings)| ((*policy).to_owned(), settings.clone()));
    let options = Options {
        kinds: custom_kinds::find(samples::CUSTOM.group, samples::CUSTOM.kind).into_iter().collect(),
        settings: Settings::read(settings.collect()).expect("settings of policies"),
        ..Options::default()
    };
    deploy::documents(&options, choice, Mode::Protect)
}

/// Each policy alone, judging and changing, and all of them together.
fn sets() -> Vec<Set> {
    // Without settings it lets no pod in at all.
    let singles = protect("policies", &[("runtime-class", json!({"allowedRuntimeClasses": ["gvisor"]}))]);
    let mutating: Vec<(&str, Value)> =
        singles.iter().filter_map(|of| Some((policy_of(of), mutating_settings(policy_of(of))?))).collect();
    // The API server has given the bad Pods a token before a policy could change that.
    let with_token = ("service-account-token", json!({"allowedServiceAccounts": ["*/default"]}));
    let together = protect("policies", &[&mutating[..], &[with_token]].concat());
    let mut sets = Vec::new();
    let all_bad: Vec<Value> = singles.iter().flat_map(|document| samples::bad(policy_of(document))).collect();
    let restricted = protect("restricted", &[]);
    sets.push(Set {
        name: "all".to_owned(),
        documents: singles.iter().chain(&restricted).cloned().collect(),
        bad: all_bad.clone(),
    });
    sets.push(Set {
        name: "all-mutating".to_owned(),
        documents: together.iter().chain(&restricted).cloned().collect(),
        bad: all_bad.clone(),
    });
    for document in &singles {
        let policy = policy_of(document);
        let bad = samples::bad(policy);
        let with_twin: Vec<Value> = together.iter().filter(|of| policy_of(of) == policy).cloned().collect();
        if with_twin.len() > 1 {
            sets.push(Set { name: format!("mutating-{policy}"), documents: with_twin, bad: bad.clone() });
        }
        sets.push(Set { name: format!("alone-{policy}"), documents: vec![document.clone()], bad });
    }
    for choice in ["baseline", "restricted", "baseline-group", "restricted-group"] {
        let documents = protect(choice, &[]);
        sets.push(Set { name: format!("level-{choice}"), documents, bad: all_bad.clone() });
    }
    sets
}

/// The number in a variable, or another one.
fn number<N: FromStr>(variable: &str, otherwise: N) -> N {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

fn check_functions(program: &Path, modules: &Modules) -> Result<Vec<String>, StartError> {
    let start = Instant::now();
    let (seed, count) = (number("PODFENCE_SEED", 0), number("PODFENCE_PODS", OBJECTS));
    let found = functions::compare(program, modules, seed, count)
        .map_err(|error| StartError(format!("{}: {error}; make control-plane builds it", program.display())))?;
    println!("the policies and Kubernetes' own functions, seed {seed}, in {} s:", start.elapsed().as_secs());
    for (kind, count) in &found.objects {
        println!("{count:>6} {kind}");
    }
    println!("{:>6} that the API server does not take", found.invalid);
    let mut problems = found.differences;
    for (what, [not, is]) in &found.counts {
        println!("{:>6} {what}: {is}", not + is);
        if *not == 0 || *is == 0 {
            problems.push(format!("{what}: {is} of {}", not + is));
        }
    }
    let left_out = problems.len().saturating_sub(MOST_SHOWN);
    problems.truncate(MOST_SHOWN);
    if left_out > 0 {
        problems.push(format!("and {left_out} more differences from Kubernetes' own functions"));
    }
    Ok(problems)
}

fn check_guards(world: &World<'_>, plane: &ControlPlane) -> Vec<String> {
    let start = Instant::now();
    let found = guards::check(world, plane);
    println!("policies for other objects than pods, in {} s:", start.elapsed().as_secs());
    let mut problems = found.problems;
    for (policy, [accepted, rejected, invalid]) in &found.written {
        println!("{accepted:>6} {policy}: let in; {rejected} rejected, {invalid} that the API server does not take");
        if *accepted < 20 || *rejected < 20 {
            problems.push(format!("guards: {policy}: {accepted} let in, {rejected} rejected, {invalid} not taken"));
        }
    }
    println!("written by the cluster itself, and let in:");
    for (what, [all, exempt]) in &found.own {
        println!("{all:>6} {what}; {exempt} of them are refused to others");
    }
    problems
}

fn check_standards(world: &World<'_>) -> Vec<String> {
    let start = Instant::now();
    let pods = number("PODFENCE_PODS", PODS);
    let found = match standards::compare(world.client, world.modules, pods) {
        Ok(found) => found,
        Err(late) => return vec![late.0],
    };
    println!("pod-security-standards and the built-in admission, in {} s:", start.elapsed().as_secs());
    let mut problems = found.differences;
    for (what, [accepted, rejected]) in &found.counts {
        println!("{:>6} {what}: {accepted} let in, {rejected} rejected", accepted + rejected);
        if *accepted == 0 || *rejected == 0 && !what.ends_with("privileged") {
            problems.push(format!("{what}: {accepted} let in, {rejected} rejected"));
        }
    }
    println!("{:>6} that the API server does not take", found.invalid);
    problems
}

fn check_validating(plane: &ControlPlane) -> Vec<String> {
    let start = Instant::now();
    let found = match validating::compare(&plane.client, &plane.audit_log()) {
        Ok(found) => found,
        Err(late) => return vec![late.0],
    };
    println!("ValidatingAdmissionPolicies here and in the API server, in {} s:", start.elapsed().as_secs());
    if let Some(why) = &found.skipped {
        println!("       skipped: the expressions of the corpus: {why}");
    }
    let mut problems = found.problems;
    for (what, count) in &found.counts {
        println!("{count:>6} {what}");
    }
    for what in validating::SEEN.iter().filter(|what| !found.counts.contains_key(*what)) {
        problems.push(format!("validating: no {what}"));
    }
    problems
}

/// Prints what admission costs; with `BLESS=1`, writes it into the README.
fn show_costs(world: &World<'_>) -> Result<bool, StartError> {
    let table = costs::measure(world).map_err(|late| StartError(late.0))?;
    print!("{table}");
    if generated::is_blessing() {
        let path = podfence_support::root().join("README.md");
        let text = std::fs::read_to_string(&path)?;
        std::fs::write(&path, generated::between(&text, "costs", &table).map_err(StartError)?)?;
    }
    Ok(true)
}

fn check_histories(world: &World<'_>, filter: &str) -> Vec<String> {
    let sets: Vec<Set> = sets().into_iter().filter(|set| set.name.contains(filter)).collect();
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(set) = sets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let outcome = histories::run(world, set);
                    println!(
                        "{:<38} {:>6} requests judged, {:>4} pods started, {:>3} s, {}",
                        set.name,
                        outcome.judged,
                        outcome.started,
                        start.elapsed().as_secs(),
                        if outcome.problems.is_empty() { "ok" } else { "FAILED" },
                    );
                    outcomes.lock().expect("no thread panics").push(outcome);
                }
            });
        }
    });
    let (mut problems, mut refused) = (Vec::new(), BTreeMap::<usize, usize>::new());
    for outcome in outcomes.into_inner().expect("no thread panics") {
        problems.extend(outcome.problems);
        for (index, count) in outcome.refused {
            *refused.entry(index).or_default() += count;
        }
    }
    println!("refused, and rightly:");
    for (index, refusal) in REFUSALS.iter().enumerate() {
        let count = refused.get(&index).copied().unwrap_or_default();
        let kinds = if refusal.kinds.is_empty() { "any kind".to_owned() } else { refusal.kinds.join(", ") };
        println!("{count:>6} {} {} {kinds}: {}", refusal.user, refusal.operation, refusal.reason);
        if count == 0 && filter.is_empty() {
            problems.push(format!("nothing was refused as {} {} {kinds}", refusal.user, refusal.operation));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use podfence_control_plane::samples::Kind;
    use podfence_core::Policy;
    use podfence_reference::compare;
    use podfence_reference::opinions::OPINIONS;
    use podfence_scan::AdmissionRequest;
    use podfence_scan::request::{GroupVersionKind, Metadata, creation};

    /// The reply of the policy to the creation of an object, as the API server completes it.
    fn changed(policy: &Policy, kind: Kind, pod: &Value, settings: &Value) -> Option<Value> {
        let mut pod = pod.clone();
        for (field, value) in
            [("serviceAccountName", "a"), ("serviceAccount", "a"), ("schedulerName", "default-scheduler")]
        {
            pod["spec"][field] = json!(value);
        }
        let object = kind.object("a", &pod, "bad");
        let of = Metadata { name: Some("a"), namespace: Some("default"), uid: None };
        let request = creation(GroupVersionKind::new(&kind.api_version(), kind.kind), &of, 0);
        let request = AdmissionRequest { object: Some(object), ..request };
        let reply = compare::reply(policy, &json!({"request": request, "settings": settings}).to_string());
        let reply: Value = serde_json::from_str(&reply).expect("a reply is JSON");
        reply.get("mutated_object").cloned()
    }

    #[test]
    fn every_policy_that_changes_pods_does_so() {
        for opinion in OPINIONS.iter().filter(|opinion| opinion.mutate.is_some()) {
            let (policy, name) = (opinion.policy, opinion.policy.name);
            let settings = mutating_settings(name).unwrap_or_else(|| json!({"mutate": true}));
            let bad = samples::bad(name);
            let changes =
                |kind: &str| bad.iter().any(|pod| changed(policy, samples::kind(kind), pod, &settings).is_some());
            assert!(changes("Deployment"), "{name}");
            assert_eq!(changes("Pod"), mutating_settings(name).is_some(), "{name}");
        }
        for opinion in OPINIONS.iter().filter(|opinion| opinion.mutate.is_none()) {
            assert_eq!(mutating_settings(opinion.policy.name), None, "{}", opinion.policy.name);
        }
    }

    #[test]
    fn every_policy_is_in_a_set() {
        let sets = sets();
        let documents = || sets.iter().flat_map(|set| &set.documents);
        for policy in samples::policies() {
            assert!(documents().any(|document| policy_of(document) == policy), "{policy}");
        }
    }

    #[test]
    fn every_set_that_changes_objects_has_twins() {
        for set in sets().iter().filter(|set| set.name.contains("mutating")) {
            let count = |mutating: bool| set.documents.iter().filter(|of| of["spec"]["mutating"] == mutating).count();
            let twins = set.documents.iter().filter(|of| of["metadata"]["name"].as_str().is_some_and(is_twin)).count();
            assert!(count(true) > 0 && count(true) == twins && count(false) >= twins, "{}", set.name);
        }
    }

    fn is_twin(name: &str) -> bool {
        name.ends_with("-check")
    }
}
