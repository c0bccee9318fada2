//! `kubewarden-policy-sdk` as the contract's oracle: each reply that we make is one of its replies and
//! means the same, and what it reads in a request, we read.

#[path = "../../../policies/core/tests/common/mod.rs"]
mod common;

use kubewarden_policy_sdk::request::{GroupVersionKind, KubernetesAdmissionRequest, ValidationRequest};
use kubewarden_policy_sdk::response::ValidationResponse;
use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use podfence_capabilities::POLICY as CAPABILITIES;
use podfence_core::{Policy, json::pad};
use podfence_host_path::POLICY as HOST_PATH;
use podfence_privileged::POLICY as PRIVILEGED;
use podfence_seccomp::POLICY as SECCOMP;
use proptest::prelude::*;
use serde_json::{Value, json};

static POLICIES: [&Policy; 4] = [&CAPABILITIES, &HOST_PATH, &PRIVILEGED, &SECCOMP];

/// Our reply as the SDK reads it. What the SDK has no field for, or holds in another type, would be lost.
fn reply(policy: &Policy, payload: &[u8]) -> ValidationResponse {
    let reply = podfence_core::validate(policy, &pad(payload));
    let read: ValidationResponse = serde_json::from_str(&reply).expect("the SDK reads our reply");
    let ours: Value = serde_json::from_str(&reply).expect("our reply is JSON");
    assert_eq!(ours, without_nulls(json!(read)), "the SDK reads all of {reply}");
    read
}

fn settings_reply(policy: &Policy, settings: &[u8]) -> SettingsValidationResponse {
    let reply = podfence_core::validate_settings(policy, &pad(settings));
    let read: SettingsValidationResponse = serde_json::from_str(&reply).expect("the SDK reads our reply");
    let ours: Value = serde_json::from_str(&reply).expect("our reply is JSON");
    assert_eq!(ours, without_nulls(json!(read)), "the SDK reads all of {reply}");
    read
}

/// The SDK writes a null for what it has not got, we write nothing.
fn without_nulls(mut reply: Value) -> Value {
    if let Some(members) = reply.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    reply
}

/// What the SDK's own functions reply.
fn sdk_reply(result: Result<Vec<u8>, impl std::fmt::Debug>) -> Value {
    without_nulls(serde_json::from_slice(&result.expect("the SDK replies")).expect("its reply is JSON"))
}

/// A request as a policy-server writes it.
fn request(kind: (&str, &str), operation: &str, object: &Value, settings: &Value) -> Value {
    let (group, kind) = kind;
    json!({
        "request": {
            "uid": "1299d386-525b-4032-98ae-1949f69f9cfc",
            "kind": {"group": group, "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": "things"},
            "name": "nginx", "namespace": "default", "operation": operation,
            "userInfo": {"username": "alice", "uid": "u", "groups": ["system:authenticated", "developers"]},
            "object": object, "oldObject": null, "dryRun": false, "options": {"kind": "CreateOptions"},
        },
        "settings": settings,
    })
}

fn pod(container: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "nginx"}, "spec": {"containers": [container]}})
}

fn judge(policy: &Policy, object: &Value, settings: &Value) -> ValidationResponse {
    reply(policy, request(("", "Pod"), "CREATE", object, settings).to_string().as_bytes())
}

#[test]
fn an_acceptance_is_the_sdks() {
    let object = pod(&json!({"name": "a", "image": "nginx"}));
    let accepted = judge(&PRIVILEGED, &object, &json!({}));
    assert!(accepted.accepted);
    assert_eq!(without_nulls(json!(accepted)), sdk_reply(kubewarden_policy_sdk::accept_request()));
}

#[test]
fn a_rejection_is_the_sdks_and_says_each_violation() {
    let bad = json!({"name": "a\"\\\n\u{1}é", "image": "nginx", "securityContext": {
        "privileged": true,
        "capabilities": {"add": ["NET_ADMIN", "SYS_\"TIME\u{7f}"]},
        "seccompProfile": {"type": "Unconfined"},
    }});
    let mut object = pod(&bad);
    object["spec"]["volumes"] = json!([{"name": "v", "hostPath": {"path": "/"}}]);
    for policy in POLICIES {
        let rejected = judge(policy, &object, &json!({}));
        assert_eq!((rejected.accepted, rejected.code), (false, Some(403)), "{}", policy.name);
        let again = sdk_reply(kubewarden_policy_sdk::reject_request(
            rejected.message.clone(),
            rejected.code,
            rejected.audit_annotations.clone(),
            rejected.warnings.clone(),
        ));
        assert_eq!(without_nulls(json!(rejected)), again);

        let annotations = rejected.audit_annotations.expect("a rejection has annotations");
        assert_eq!(annotations.keys().collect::<Vec<_>>(), ["violations"]);
        let violations: Vec<Value> = serde_json::from_str(&annotations["violations"]).expect("violations are JSON");
        assert!(!violations.is_empty());
        for violation in &violations {
            let members = violation.as_object().expect("a violation is an object");
            let mut keys: Vec<_> = members.keys().map(String::as_str).collect();
            keys.sort_unstable();
            assert_eq!(keys, ["container", "control", "fix", "path", "reason", "value"]);
            for key in ["control", "reason", "path", "fix"] {
                assert!(members[key].is_string(), "{key} in {violation}");
            }
            let stands_there = object.pointer(&pointer(members["path"].as_str().unwrap())).cloned().unwrap_or_default();
            assert_eq!(members["value"], stands_there, "what stands at {}", members["path"]);
        }
    }
}

/// `spec.containers[0].name` as RFC 6901 writes it.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace(['.', '['], "/").replace(']', ""))
}

#[test]
fn what_cannot_be_read_is_the_sdks_rejection_with_code_400() {
    let unreadable = [
        json!({"spec": {"containers": "none"}}),
        json!({"spec": {"containers": [{"name": 1}]}}),
        json!({"metadata": {}}),
        json!([]),
        Value::Null,
    ];
    for policy in POLICIES {
        let payloads = unreadable.iter().map(|object| request(("", "Pod"), "CREATE", object, &json!({})).to_string());
        let others = [
            String::new(),
            "{".into(),
            "null".into(),
            "[]".into(),
            "{}".into(),
            r#"{"request":{}}"#.into(),
            r#"{"request":{"operation":"CREATE"},"settings":{}}"#.into(),
            request(("", "Pod"), "PATCH", &pod(&json!({})), &json!({})).to_string(),
            request(("", "Service"), "CREATE", &pod(&json!({})), &json!({})).to_string(),
            request(("", "Pod"), "CREATE", &pod(&json!({})), &json!({"unknown": "\u{1}\"é"})).to_string(),
            request(("", "Pod"), "CREATE", &pod(&json!({})), &json!([])).to_string(),
        ];
        for payload in payloads.chain(others) {
            let refused = reply(policy, payload.as_bytes());
            assert_eq!((refused.accepted, refused.code), (false, Some(400)), "{} on {payload}", policy.name);
            assert!(refused.audit_annotations.is_none() && refused.mutated_object.is_none());
            let again = kubewarden_policy_sdk::reject_request(refused.message.clone(), refused.code, None, None);
            assert_eq!(without_nulls(json!(refused)), sdk_reply(again));
        }
        assert!(!reply(policy, b"{\"request\":\xff}").accepted);
    }
}

#[test]
fn a_mutation_is_the_sdks() {
    let object = pod(&json!({"name": "a", "image": "nginx", "future": [1.50, {"x": "\u{e9}"}]}));
    let mutations = [(&CAPABILITIES, json!({"mutate": true})), (&SECCOMP, json!({"defaultProfile": "RuntimeDefault"}))];
    for (policy, settings) in mutations {
        let mutated = judge(policy, &object, &settings);
        let changed = mutated.mutated_object.clone().expect("something changes");
        assert_eq!(without_nulls(json!(mutated)), sdk_reply(kubewarden_policy_sdk::mutate_request(changed.clone())));
        assert_eq!(changed["spec"]["containers"][0]["future"], object["spec"]["containers"][0]["future"]);
        assert_ne!(changed, object);
    }
}

#[test]
fn settings_replies_are_the_sdks() {
    let invalid: [(&Policy, &[u8]); 9] = [
        (&PRIVILEGED, br#"{"skipInitContainer":true}"#),
        // The SDK's own shim answers a wrong type with an error; ours says that the settings are invalid.
        (&PRIVILEGED, br#"{"skipInitContainers":"yes"}"#),
        (&PRIVILEGED, br#"{"skipInitContainers":true,"skip_init_containers":true}"#),
        (&CAPABILITIES, br#"{"requiredDropCapabilities":["KILL"],"defaultAddCapabilities":["KILL"]}"#),
        (&HOST_PATH, br#"{"allowedHostPaths":[{"pathPrefix":"\u0001\"../"}]}"#),
        (&SECCOMP, br#"{"defaultProfile":"*"}"#),
        (&SECCOMP, b"[]"),
        (&SECCOMP, b""),
        (&SECCOMP, b"{\"\xff\":1}"),
    ];
    for (policy, settings) in invalid {
        let reply = settings_reply(policy, settings);
        assert!(!reply.valid, "{} on {}", policy.name, String::from_utf8_lossy(settings));
        assert!(reply.message.is_some_and(|message| !message.is_empty()));
    }
    for policy in POLICIES {
        let reply = settings_reply(policy, b"{}");
        assert!(reply.valid && reply.message.is_none(), "{}", policy.name);
        assert!(settings_reply(policy, br#"{"exempt":{"images":["a*"]},"otherKinds":"accept"}"#).valid);
    }
}

#[test]
fn what_the_sdk_reads_in_a_request_counts_for_us() {
    let bad = pod(&json!({"name": "a", "image": "nginx", "securityContext": {"privileged": true}}));
    let wire = request(("", "Pod"), "CREATE", &bad, &json!({}));
    let read: ValidationRequest<Value> = ValidationRequest::new(wire.to_string().as_bytes()).expect("the SDK reads it");
    assert_eq!(read.request.object, bad);

    let exempt = [
        json!({"users": [read.request.user_info.username]}),
        json!({"groups": [read.request.user_info.groups.iter().next()]}),
        json!({"namespaces": [read.request.namespace]}),
        json!({"images": [read.request.object["spec"]["containers"][0]["image"]]}),
    ];
    assert!(!judge(&PRIVILEGED, &bad, &json!({})).accepted);
    for exempt in exempt {
        assert!(judge(&PRIVILEGED, &bad, &json!({"exempt": exempt})).accepted, "exempt: {exempt}");
    }
    let mut sub_resource = wire.clone();
    sub_resource["request"]["subResource"] = json!("status");
    let read: ValidationRequest<Value> = ValidationRequest::new(sub_resource.to_string().as_bytes()).unwrap();
    assert_eq!(read.request.sub_resource, "status");
    assert!(reply(&PRIVILEGED, sub_resource.to_string().as_bytes()).accepted);
}

/// The SDK's request type is for reading: it writes `sub_resource`, `user_info` and `old_object`, which
/// no host sends. What it writes under the names of the wire, we read as if a host had sent it.
#[test]
fn a_request_that_the_sdk_wrote_is_read_the_same() {
    let good = pod(&json!({"name": "a"}));
    let bad = pod(&json!({"name": "a", "securityContext": {"privileged": true}}));
    for object in [good, bad, Value::Null] {
        for kind in ["Pod", "Deployment", "Service"] {
            for operation in ["CREATE", "UPDATE", "DELETE", "CONNECT", ""] {
                let written = ValidationRequest {
                    settings: json!({"exempt": {"namespaces": ["kube-system"]}}),
                    request: KubernetesAdmissionRequest {
                        kind: GroupVersionKind { kind: kind.into(), version: "v1".into(), group: String::new() },
                        operation: operation.into(),
                        namespace: "default".into(),
                        object: object.clone(),
                        ..KubernetesAdmissionRequest::default()
                    },
                };
                let on_the_wire = request(("", kind), operation, &object, &written.settings);
                assert_eq!(
                    json!(reply(&PRIVILEGED, json!(written).to_string().as_bytes())),
                    json!(reply(&PRIVILEGED, on_the_wire.to_string().as_bytes())),
                );
            }
        }
    }
    let lost = json!(KubernetesAdmissionRequest { sub_resource: "status".into(), ..Default::default() });
    assert!(lost.get("subResource").is_none(), "the SDK writes the wire's names now: compare them here too");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes in, the reply is one that the SDK reads, and not an acceptance by accident.
    #[test]
    fn every_reply_to_random_requests_is_the_sdks(
        object in common::texts::values(), settings in common::texts::values(), spaces in common::texts::spaces(),
        operation in proptest::sample::select(vec!["CREATE", "UPDATE", "DELETE"]),
    ) {
        for policy in POLICIES {
            let payload = format!(
                r#"{{"request":{{"kind":{{"group":"","kind":"Pod"}},"operation":"{operation}","object":{}}},"settings":{}}}"#,
                object.print(&spaces), settings.print(&spaces),
            );
            let judged = reply(policy, payload.as_bytes());
            // Random text does not make a pod spec.
            prop_assert_eq!(judged.accepted, judged.code.is_none());
            let valid = settings_reply(policy, settings.print(&spaces).as_bytes());
            prop_assert_eq!(valid.valid, valid.message.is_none());
            prop_assert!(valid.valid || !judged.accepted || operation == "DELETE");
        }
    }
}
