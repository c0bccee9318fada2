//! The tests of Kyverno's pod security policies.

use podfence_cluster::{
    gatekeeper::Equivalent,
    standards::{Level, singles},
};
use serde_json::{Value, json};

use crate::{Case, common::create, corpus::text};

/// What stands for a policy of Kyverno's, or for the rule of it that a suite is about.
fn policies(policy: &str) -> Vec<(&'static str, Value)> {
    let at_level = |level, exclude: &[&str]| ("pod-security-standards", json!({"level": level, "exclude": exclude}));
    match policy {
        "baseline/disallow-capabilities" => vec![baseline("capabilities")],
        "baseline/disallow-host-namespaces" => vec![baseline("host-namespaces")],
        "baseline/disallow-host-path" => vec![baseline("host-path")],
        "baseline/disallow-host-ports" => vec![baseline("host-ports")],
        "baseline/disallow-host-ports-range" => {
            vec![("host-ports", json!({"hostPorts": [{"min": 5000, "max": 6000}]}))]
        }
        "baseline/disallow-host-process" => vec![baseline("host-process")],
        "baseline/disallow-privileged-containers" => vec![baseline("privileged")],
        // Without an exception for user namespaces.
        "baseline/disallow-proc-mount" => vec![("proc-mount", json!({}))],
        "baseline/disallow-selinux" => {
            // The types before Kubernetes 1.31.
            let types = ["container_t", "container_init_t", "container_kvm_t"];
            let options = types.map(|of| json!({"type": of, "level": "*"}));
            vec![("selinux", json!({"allowedSELinuxOptions": options}))]
        }
        "baseline/restrict-apparmor-profiles" => vec![baseline("apparmor")],
        "baseline/restrict-seccomp" => vec![baseline("seccomp")],
        "baseline/restrict-sysctls" => vec![baseline("sysctls")],
        "psp-migration/check-supplemental-groups" => vec![users(
            "supplementalGroups",
            json!({"rule": "MayRunAs", "ranges": [{"min": 100, "max": 200}, {"min": 500, "max": 600}]}),
        )],
        // The name with `CAP_` is in that policy as it is here, and compared so.
        "psp-migration/restrict-adding-capabilities" => {
            let allowed = ["NET_BIND_SERVICE", "CAP_CHOWN"];
            vec![("capabilities", json!({"requiredDropCapabilities": [], "allowedCapabilities": allowed}))]
        }
        "psp-migration/restrict-runtimeClassName" => {
            let allowed = ["prodclass", "expclass"];
            vec![("runtime-class", json!({"allowedRuntimeClasses": allowed, "required": false}))]
        }
        "restricted/disallow-capabilities-strict" => vec![("capabilities", json!({}))],
        // One rule of the policy; the other asks for the drop.
        "restricted/disallow-capabilities-strict#adding-capabilities-strict" => {
            vec![("capabilities", json!({"requiredDropCapabilities": []}))]
        }
        "restricted/disallow-privilege-escalation" => vec![("allow-privilege-escalation", json!({}))],
        "restricted/require-run-as-non-root-user" => {
            vec![users("runAsUser", json!({"rule": "MayRunAs", "ranges": [{"min": 1, "max": i32::MAX}]}))]
        }
        "restricted/require-run-as-nonroot" => {
            vec![("users", json!({"runAsNonRoot": true, "runAsUser": {"rule": "RunAsAny"}}))]
        }
        "restricted/restrict-seccomp-strict" => vec![("seccomp", json!({}))],
        "restricted/restrict-volume-types" => vec![("volumes", json!({}))],
        "subrule/podsecurity-subrule-baseline" => vec![at_level("baseline", &[])],
        "subrule/restricted/restricted-latest" => vec![at_level("restricted", &[])],
        // There, a control is left out for some images only: here, that is a policy of its own.
        "subrule/restricted/restricted-exclude-capabilities" => {
            let images = ["ghcr.io/kyverno/test-nginx*", "nginx*", "redis*"];
            vec![
                at_level("restricted", &["capabilities_baseline", "capabilities_restricted"]),
                ("capabilities", json!({"exempt": {"images": images}})),
            ]
        }
        "subrule/restricted/restricted-exclude-seccomp" => {
            vec![at_level("restricted", &["seccompProfile_baseline", "seccompProfile_restricted"])]
        }
        other => panic!("nothing stands for {other}"),
    }
}

/// A policy as it is part of the baseline level.
fn baseline(policy: &'static str) -> (&'static str, Value) {
    let single = singles(Level::Baseline).into_iter().find(|single| single.policy == policy);
    (policy, Value::Object(single.expect("a policy of the level").settings))
}

/// A rule for one field; any user and group otherwise.
fn users(field: &str, rule: Value) -> (&'static str, Value) {
    let mut settings = json!({"runAsNonRoot": false, "runAsUser": {"rule": "RunAsAny"}});
    settings[field] = rule;
    ("users", settings)
}

pub fn cases(line: &Value) -> Vec<Case> {
    let policy = text(line, "policy");
    let policies = policies(policy).into_iter().map(|(policy, settings)| match settings {
        Value::Object(settings) => Equivalent { policy, settings },
        other => panic!("{other} is not an object"),
    });
    // One suite repeats names of another.
    let rules = line["rules"].as_array().map_or(0, Vec::len);
    vec![Case {
        name: format!("{policy}/{}{}", text(line, "name"), if rules > 0 { "#" } else { "" }),
        request: create(&line["object"]),
        policies: policies.collect(),
        is_allowed: match text(line, "expect") {
            "good" => true,
            "bad" => false,
            other => panic!("{other} is not a verdict"),
        },
    }]
}
