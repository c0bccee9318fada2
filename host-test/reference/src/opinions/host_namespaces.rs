use podfence_host_namespaces::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, get, values, violation};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("hostNetwork", 40, &["false", "true"], &["true"]),
        values("hostPID", 40, &["false", "false", "true"], &["true"]),
        values("hostIPC", 40, &["false", "false", "true"], &["true"]),
        values("shareProcessNamespace", 40, &["false", "true"], &["true"]),
    ],
    settings,
    check,
    message: None,
    mutate: None,
};

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    for name in ["allowHostNetwork", "allowHostPID", "allowHostIPC", "allowShareProcessNamespace"] {
        settings.flag(name);
    }
    settings.done()
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (field, setting) in
        [("hostNetwork", "allowHostNetwork"), ("hostPID", "allowHostPID"), ("hostIPC", "allowHostIPC")]
    {
        if get(pod.spec, field) == true && !pod.is(setting) {
            found.push(violation("hostNamespaces", format!("spec.{field}")));
        }
    }
    let is_forbidden = get(pod.settings, "allowShareProcessNamespace") == false;
    if get(pod.spec, "shareProcessNamespace") == true && is_forbidden {
        found.push(violation("shareProcessNamespace", "spec.shareProcessNamespace"));
    }
    found
}
