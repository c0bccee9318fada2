//! What admission costs at the API server: the time of creating a pod by dry run, with nothing that judges it, with the
//! built-in admission, with a ValidatingAdmissionPolicy, and with policies behind webhooks.
//!
//! The cases take turns, each round in another order, so that the differences in one run mean something on a noisy
//! machine. The webhook is the one of
//! this test, which evaluates the built modules as a policy-server does; a policy-server has more to do for a request.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use podfence_cluster::deploy::{self, Options};
use podfence_cluster::policy;
use podfence_host::Mode;
use serde_json::{Value, json};

use crate::client::Client;
use crate::configuration::{in_namespace, install};
use crate::histories::World;
use crate::samples::kind;
use crate::wait::{Late, until};

/// How often each case creates a pod.
const ROUNDS: usize = 1000;

/// A namespace in which one thing judges.
struct Case {
    namespace: &'static str,
    /// As the table calls it.
    what: &'static str,
    /// The times in microseconds.
    times: Vec<u64>,
}

const CASES: [(&str, &str); 6] = [
    ("costs-none", "nothing"),
    ("costs-built-in", "the built-in admission, `restricted`"),
    ("costs-expressions", "a ValidatingAdmissionPolicy of one expression"),
    ("costs-webhook", "a webhook that accepts without evaluation"),
    ("costs-level", "`pod-security-standards`, `restricted`"),
    ("costs-group", "`restricted-group`, the same level as a group"),
];

/// Measures, and returns a table in Markdown: the median of each case, and what is above the first one.
///
/// # Errors
/// A case does not begin to judge.
pub fn measure(world: &World<'_>) -> Result<String, Late> {
    let client = world.client;
    let pod = pod();
    for (namespace, _) in CASES {
        client.create("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}));
        let account = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        until(|| format!("{namespace}: its service account"), || client.get(&account).is_done().then_some(()))?;
    }
    set_up(world);
    for (namespace, what) in CASES.iter().skip(1).filter(|(namespace, _)| *namespace != "costs-webhook") {
        let is_denied = || create(client, namespace, &privileged()).1.then_some(());
        until(|| format!("{what} judges"), is_denied)?;
    }
    let asked = || world.webhook.calls("costs-webhook").len();
    until(
        || "the webhook is asked".to_owned(),
        || {
            create(client, "costs-webhook", &pod);
            (asked() > 0).then_some(())
        },
    )?;
    let mut cases = CASES.map(|(namespace, what)| Case { namespace, what, times: Vec::new() });
    for round in 0..ROUNDS {
        for turn in 0..cases.len() {
            let case = &mut cases[(round + turn * stride(round)) % CASES.len()];
            let (time, is_denied) = create(client, case.namespace, &pod);
            if is_denied {
                return Err(Late(format!("{}: the pod that complies is denied", case.what)));
            }
            case.times.push(time);
            world.webhook.forget(case.namespace);
        }
    }
    Ok(table(&mut cases))
}

/// How far the next case is from the last one: what follows which differs, since a request leaves the caches as the next
/// one finds them. Prime to the number of cases, so that each has its turn.
fn stride(round: usize) -> usize {
    if round.is_multiple_of(2) { 1 } else { CASES.len() - 1 }
}

/// A pod of three containers that complies with `restricted`.
fn pod() -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example.com/app:1",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        })
    };
    let containers = ["a", "b", "c"].map(container);
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "measured"},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": containers,
        },
    })
}

fn privileged() -> Value {
    let mut pod = pod();
    pod["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    pod
}

/// Creates by dry run: the time in microseconds, and whether it was denied.
fn create(client: &Client, namespace: &str, pod: &Value) -> (u64, bool) {
    let path = format!("{}?dryRun=All", kind("Pod").collection(namespace));
    let start = Instant::now();
    let reply = client.create(&path, pod);
    let time = start.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
    (time, !reply.is_done())
}

/// Sets up what judges in each namespace.
fn set_up(world: &World<'_>) {
    let client = world.client;
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    client.merge("/api/v1/namespaces/costs-built-in", &labels);
    expressions(client);
    let webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    for (choice, namespace) in [("restricted", "costs-level"), ("restricted-group", "costs-group")] {
        for document in documents(choice) {
            let name = format!("{namespace}-{}", policy::policy_of(&document).unwrap_or("members"));
            let installed = install(&in_namespace(&document, namespace, &name), world.modules, world.webhook);
            client.create(webhooks, &installed.configuration);
        }
    }
    // The same configuration in front of an answer that costs nothing.
    let level = documents("restricted").into_iter().next().expect("a document");
    let installed = install(&in_namespace(&level, "costs-webhook", "costs-webhook"), world.modules, world.webhook);
    world.webhook.route(&installed.route, Arc::new(|_| None));
    client.create(webhooks, &installed.configuration);
}

fn documents(choice: &str) -> Vec<Value> {
    deploy::documents(&Options::default(), choice, Mode::Protect)
}

fn expressions(client: &Client) {
    let of = "/apis/admissionregistration.k8s.io/v1";
    client.create(
        &format!("{of}/validatingadmissionpolicies"),
        &json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "costs"},
            "spec": {
                "matchConstraints": {"resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
                ]},
                "validations": [{
                    "expression": "object.spec.containers.all(c, !(has(c.securityContext) \
                        && has(c.securityContext.privileged) && c.securityContext.privileged))",
                }],
            },
        }),
    );
    client.create(
        &format!("{of}/validatingadmissionpolicybindings"),
        &json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "costs"},
            "spec": {
                "policyName": "costs", "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": "costs-expressions"},
                }},
            },
        }),
    );
}

fn table(cases: &mut [Case]) -> String {
    let medians: Vec<f64> = cases.iter_mut().map(|case| median(&mut case.times) as f64 / 1000.0).collect();
    let none = medians.first().copied().unwrap_or_default();
    let mut table = String::from("| What judges | Time of a request | Above nothing |\n|---|--:|--:|\n");
    for (case, median) in cases.iter().zip(medians) {
        let above = median - none;
        writeln!(table, "| {} | {median:.2} ms | {above:+.2} ms |", case.what).expect("text can be written");
    }
    table
}

fn median(times: &mut [u64]) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_medians_and_what_is_above_the_first() {
        let mut cases = [
            Case { namespace: "a", what: "nothing", times: vec![9000, 1000, 2000] },
            Case { namespace: "b", what: "a webhook", times: vec![5000, 4500, 90000] },
        ];
        let expected = "| What judges | Time of a request | Above nothing |\n|---|--:|--:|\n\
            | nothing | 2.00 ms | +0.00 ms |\n| a webhook | 5.00 ms | +3.00 ms |\n";
        assert_eq!(table(&mut cases), expected);
    }
}
