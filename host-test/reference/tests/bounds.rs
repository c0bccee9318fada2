//! The largest reply is small enough for a host, a larger pod is refused, and of a long word the start is shown.
#![forbid(unsafe_code)]

use podfence_core::{Policy, json::pad};
use podfence_reference::compare;
use serde_json::{Value, json};

fn reply(containers: usize) -> String {
    let containers = vec![json!({"securityContext": {"privileged": true}}); containers];
    let kind = json!({"group": "", "kind": "Pod"});
    let request = json!({"kind": kind, "operation": "CREATE", "object": {"spec": {"containers": containers}}});
    let payload = json!({"request": request, "settings": {}});
    compare::reply(&podfence_privileged::POLICY, &payload.to_string())
}

#[test]
fn of_ten_thousand_violations_those_that_do_not_fit_are_counted() {
    let reply: Value = reply(10_000).parse().expect("JSON");
    let (message, violations) = (&reply["message"], &reply["audit_annotations"]["violations"]);
    let (message, violations) = (message.as_str().expect("a text"), violations.as_str().expect("a text"));
    assert!(message.len() + violations.len() <= 256 << 10, "{} and {} bytes", message.len(), violations.len());
    let list: Vec<Value> = serde_json::from_str(violations).expect("a list");
    let (more, shown) = list.split_last().expect("an element");
    assert_eq!(more["more"].as_u64(), Some(10_000 - shown.len() as u64));
    assert!(shown.len() > 500, "{} violations", shown.len());
    assert_eq!(shown[500]["path"], "spec.containers[500].securityContext.privileged");
    let quoted = message.matches("\"\"").count();
    assert!(message.ends_with(&format!(", and {} more", 10_000 - quoted)) || quoted == 10_000, "{quoted}");
}

#[test]
fn more_containers_are_refused() {
    let expected: Value = json!({
        "accepted": false, "code": 400,
        "message": "spec.containers[10000]: expected at most 10000 elements, found more",
    });
    for containers in [10_001, 50_000] {
        assert_eq!(reply(containers).parse::<Value>().expect("JSON"), expected);
    }
}

/// A violation of each policy with a word that is as long as a request may be, in a letter that JSON writes with six.
const LONG: usize = 300_000;

fn words() -> Vec<(&'static Policy, Value)> {
    let long = "\0".repeat(LONG);
    let container = |member: Value| json!({"containers": [member]});
    vec![
        (&podfence_privileged::POLICY, container(json!({"name": long, "securityContext": {"privileged": true}}))),
        (
            &podfence_capabilities::POLICY,
            container(json!({"name": "a", "securityContext": {"capabilities": {"add": [long]}}})),
        ),
        (
            &podfence_selinux::POLICY,
            json!({"containers": [], "securityContext": {"seLinuxOptions": {"user": long, "role": long}}}),
        ),
        (&podfence_sysctls::POLICY, json!({"containers": [], "securityContext": {"sysctls": [{"name": long}]}})),
        (&podfence_volumes::POLICY, json!({"containers": [], "volumes": [{"name": long, "nfs": {"path": long}}]})),
        (
            &podfence_apparmor::POLICY,
            container(json!({"name": "a", "securityContext": {"appArmorProfile": {"type": long}}})),
        ),
        (
            &podfence_pod_security_standards::POLICY,
            container(
                json!({"name": long, "securityContext": {"privileged": true, "runAsUser": 0, "procMount": long}}),
            ),
        ),
    ]
}

#[test]
fn of_a_long_word_the_start_is_shown() {
    for (policy, spec) in words() {
        for settings in [json!({}), json!({"warn": true})] {
            let name = policy.name;
            let kind = json!({"group": "", "kind": "Pod"});
            let annotations =
                json!({format!("container.apparmor.security.beta.kubernetes.io/{}", "\0".repeat(LONG)): "x"});
            let object = json!({"metadata": {"annotations": annotations}, "spec": spec});
            let request = json!({"kind": kind, "operation": "CREATE", "object": object});
            let text = compare::reply(policy, &json!({"request": request, "settings": settings}).to_string());
            assert!(text.len() < 600 << 10, "{name}: {} bytes", text.len());
            let reply: Value = text.parse().expect("JSON");
            assert_eq!(reply["code"], 403, "{name}");
            let message = reply["message"].as_str().expect("a text");
            assert!(message.len() < 64 << 10, "{name}: {} bytes", message.len());
            assert!(!message.contains(&"\0".repeat(4097)), "{name}");
            let annotation = reply["audit_annotations"]["violations"].as_str().expect("a text");
            let violations: Vec<Value> = serde_json::from_str(annotation).expect("a list");
            assert!(violations[0]["control"].is_string(), "{name}");
            assert!(annotation.contains('…'), "{name}");
            let warnings = reply["warnings"].as_array().map_or(0, |warnings| warnings[0].as_str().map_or(0, str::len));
            assert!(warnings <= if policy.is_built_in { 4096 } else { 1000 }, "{name}: {warnings}");
        }
    }
}

#[test]
fn a_message_about_what_cannot_be_read_ends() {
    let long = "\0".repeat(LONG);
    for request in [
        json!({"kind": {"group": "", "kind": long}, "operation": "CREATE", "object": {}}),
        json!({"kind": {"group": long, "kind": "Pod"}, "operation": "CREATE", "object": {}}),
    ] {
        let reply = compare::reply(&podfence_privileged::POLICY, &json!({"request": request}).to_string());
        let reply: Value = reply.parse().expect("JSON");
        let message = reply["message"].as_str().expect("a text");
        assert!(message.len() <= (128 << 10) + "…".len() && message.ends_with("\0…"), "{}", message.len());
    }
    let settings = json!({long.clone(): true}).to_string();
    for reply in [
        podfence_core::validate_settings(&podfence_privileged::POLICY, &pad(settings.as_bytes())),
        compare::reply(&podfence_privileged::POLICY, &format!(r#"{{"request":{{}},"settings":{settings}}}"#)),
    ] {
        let reply: Value = reply.parse().expect("JSON");
        assert!(reply["message"].as_str().is_some_and(|text| text.len() <= (128 << 10) + "…".len()));
    }
}
