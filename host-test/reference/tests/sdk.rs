//! `kubewarden-policy-sdk` as the oracle for the contract: it reads every reply of the policies without a loss and would
//! write the same, and the policies read the requests that it reads.
#![forbid(unsafe_code)]

mod support;

use kubewarden_policy_sdk::request::{GroupVersionKind, KubernetesAdmissionRequest, ValidationRequest};
use kubewarden_policy_sdk::response::ValidationResponse;
use kubewarden_policy_sdk::settings::SettingsValidationResponse;
use podfence_capabilities::POLICY as CAPABILITIES;
use podfence_core::{Policy, json::pad};
use podfence_host_path::POLICY as HOST_PATH;
use podfence_privileged::POLICY as PRIVILEGED;
use podfence_reference::case::Case;
use podfence_reference::compare::Oracle;
use podfence_reference::opinion::Opinion;
use podfence_seccomp::POLICY as SECCOMP;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{create, pod, request, texts};

static POLICIES: [&Policy; 4] = [&CAPABILITIES, &HOST_PATH, &PRIVILEGED, &SECCOMP];

/// The reply of a policy in the SDK's type, which must hold all of it.
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

/// The SDK writes a null for a member that it lacks; the policies write nothing.
fn without_nulls(mut reply: Value) -> Value {
    if let Some(members) = reply.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    reply
}

/// The reply of one of the SDK's functions.
fn sdk_reply(result: Result<Vec<u8>, impl std::fmt::Debug>) -> Value {
    without_nulls(serde_json::from_slice(&result.expect("the SDK replies")).expect("its reply is JSON"))
}

mod replies {
    podfence_reference::test_policies!(super::replies_as_the_sdk);
}

/// Compares replies to random requests with those of the SDK's functions.
fn replies_as_the_sdk(opinion: &'static Opinion) {
    let oracle = Oracle::new(opinion);
    for seed in 0..50 {
        let payload = Case::draw(seed, opinion, &oracle.fields).payload();
        let ours = reply(opinion.policy, payload.as_bytes());
        let sdk = match (ours.accepted, ours.mutated_object.clone()) {
            (true, None) => sdk_reply(kubewarden_policy_sdk::accept_request()),
            (true, Some(object)) => sdk_reply(kubewarden_policy_sdk::mutate_request(object)),
            (false, _) => sdk_reply(kubewarden_policy_sdk::reject_request(
                ours.message.clone(),
                ours.code,
                ours.audit_annotations.clone(),
                ours.warnings.clone(),
            )),
        };
        if ours.accepted {
            // The SDK's functions accept without annotations and warnings.
            let mut ours = without_nulls(json!(ours));
            let annotations = ours.as_object_mut().and_then(|members| members.remove("audit_annotations"));
            let is_reason = |annotations: Value| annotations["skipped"].is_string();
            assert!(annotations.is_none_or(is_reason), "{payload}");
            ours.as_object_mut().and_then(|members| members.remove("warnings"));
            assert_eq!(ours, sdk, "{payload}");
            continue;
        }
        assert_eq!(without_nulls(json!(ours)), sdk, "{payload}");
        if ours.code != Some(403) {
            assert!(ours.audit_annotations.is_none(), "{payload}");
            continue;
        }
        let annotations = ours.audit_annotations.expect("a rejection has annotations");
        assert_eq!(annotations.keys().collect::<Vec<_>>(), ["violations"]);
        let violations: Vec<Value> = serde_json::from_str(&annotations["violations"]).expect("violations are JSON");
        assert!(!violations.is_empty(), "{payload}");
        for violation in &violations {
            let members = violation.as_object().expect("a violation is an object");
            let mut keys: Vec<_> = members.keys().map(String::as_str).collect();
            keys.sort_unstable();
            keys.retain(|key| *key != "edit");
            assert_eq!(keys, ["container", "control", "fix", "message", "path", "reason", "value"]);
            if let Some(edit) = members.get("edit") {
                let mut keys: Vec<_> = edit.as_object().expect("an object").keys().map(String::as_str).collect();
                keys.sort_unstable();
                assert_eq!(keys, ["op", "path", "usual", "value"], "{violation}");
            }
            for key in ["control", "reason", "message", "path", "fix"] {
                assert!(members[key].is_string(), "{key} in {violation}");
            }
        }
    }
}

#[test]
fn unreadable_payloads_are_refused_with_code_400() {
    let objects = [
        json!({"spec": {"containers": "none"}}),
        json!({"spec": {"containers": [{"name": 1}]}}),
        json!({"metadata": {}}),
        json!([]),
        Value::Null,
    ];
    let good = pod(&json!({}));
    let requests = [request(("", "Pod"), "PATCH", &good), request(("", "Service"), "CREATE", &good)];
    let payloads: Vec<String> = ["", "{", "null", "[]", "{}", r#"{"request":{}}"#]
        .map(str::to_owned)
        .into_iter()
        .chain([r#"{"request":{"operation":"CREATE"},"settings":{}}"#.to_owned()])
        .chain(objects.iter().map(|object| create(object, &json!({}))))
        .chain(requests.map(|request| json!({"request": request, "settings": {}}).to_string()))
        .chain([json!({"unknown": "\u{1}\"é"}), json!([])].map(|settings| create(&good, &settings)))
        .collect();
    for policy in POLICIES {
        for payload in &payloads {
            let refused = reply(policy, payload.as_bytes());
            assert_eq!((refused.accepted, refused.code), (false, Some(400)), "{} on {payload}", policy.name);
            assert!(refused.audit_annotations.is_none() && refused.mutated_object.is_none());
        }
        assert!(!reply(policy, b"{\"request\":\xff}").accepted);
    }
}

#[test]
fn the_sdk_reads_replies_about_settings() {
    let invalid: [(&Policy, &[u8]); 9] = [
        (&PRIVILEGED, br#"{"skipInitContainer":true}"#),
        // For a wrong type, the SDK itself fails; the policies reply that the settings are invalid.
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
fn the_policies_read_the_fields_of_a_request_that_the_sdk_reads() {
    let bad = pod(&json!({"name": "a", "image": "nginx", "securityContext": {"privileged": true}}));
    let wire: Value = create(&bad, &json!({})).parse().expect("a payload is JSON");
    let read: ValidationRequest<Value> = ValidationRequest::new(wire.to_string().as_bytes()).expect("the SDK reads it");
    assert_eq!(read.request.object, bad);

    let exempt = [
        json!({"users": [read.request.user_info.username]}),
        json!({"groups": [read.request.user_info.groups.iter().next()]}),
        json!({"namespaces": [read.request.namespace]}),
        json!({"images": [read.request.object["spec"]["containers"][0]["image"]]}),
    ];
    let accepts = |settings: &Value| reply(&PRIVILEGED, create(&bad, settings).as_bytes()).accepted;
    assert!(!accepts(&json!({})));
    for exempt in exempt {
        assert!(accepts(&json!({"exempt": exempt})), "exempt: {exempt}");
    }
    let mut sub_resource = wire.clone();
    sub_resource["request"]["subResource"] = json!("status");
    let read: ValidationRequest<Value> = ValidationRequest::new(sub_resource.to_string().as_bytes()).unwrap();
    assert_eq!(read.request.sub_resource, "status");
    assert!(reply(&PRIVILEGED, sub_resource.to_string().as_bytes()).accepted);
}

/// The SDK's request type is for reading: it writes `sub_resource`, `user_info` and `old_object`, which no host sends.
/// The policies read the other members, which have the names of the wire.
#[test]
fn the_policies_read_a_request_that_the_sdk_writes() {
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
                let request = request(("", kind), operation, &object);
                let on_the_wire = json!({"request": request, "settings": written.settings});
                assert_eq!(
                    json!(reply(&PRIVILEGED, json!(written).to_string().as_bytes())),
                    json!(reply(&PRIVILEGED, on_the_wire.to_string().as_bytes())),
                );
            }
        }
    }
    let lost = json!(KubernetesAdmissionRequest { sub_resource: "status".into(), ..Default::default() });
    assert!(lost.get("subResource").is_none(), "the SDK writes the names of the wire now: compare them as well");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sdk_reads_the_replies_to_random_texts(
        object in texts::values(), settings in texts::values(), spaces in texts::spaces(),
        operation in proptest::sample::select(vec!["CREATE", "UPDATE", "DELETE"]),
    ) {
        for policy in POLICIES {
            let payload = format!(
                r#"{{"request":{{"kind":{{"group":"","kind":"Pod"}},"operation":"{operation}","object":{}}},"settings":{}}}"#,
                object.print(&spaces), settings.print(&spaces),
            );
            let reply = reply(policy, payload.as_bytes());
            prop_assert_eq!(reply.accepted, reply.code.is_none());
            let valid = settings_reply(policy, settings.print(&spaces).as_bytes());
            prop_assert_eq!(valid.valid, valid.message.is_none());
            prop_assert!(valid.valid || !reply.accepted || operation == "DELETE");
        }
    }
}
