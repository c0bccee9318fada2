//! An instance that answered other calls answers as a fresh one.

use std::collections::BTreeSet;

use podfence_fixtures::{Suite, discover};
use podfence_host::evaluate::{CreationText, Failure, LARGEST_BODY, ValidationResponse, validate_payload};
use podfence_host::{CallError, Host, Limits, Reused};
use podfence_scan::{AdmissionRequest, request};
use podfence_support::{module, policies};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

fn host() -> Host {
    Host::new(Limits::default()).expect("an engine")
}

#[test]
fn a_used_instance_answers_as_a_fresh_one() {
    let host = host();
    for policy in discover(&policies()).expect("the policies") {
        let module = host.load(&module(&policy)).expect("a policy");
        let replays = Suite::load(&policies().join(&policy)).expect("fixtures").replays();
        let fresh: Vec<_> = replays.iter().map(|replay| module.call(replay.operation, &replay.payload)).collect();
        let mut reused = Reused::new(&module);
        // Backwards, each call follows another one than forwards; the step makes a third order.
        let forwards = 0..replays.len();
        let stepping = (0..7).flat_map(|start| (start..replays.len()).step_by(7));
        for index in forwards.clone().chain(forwards.rev()).chain(stepping) {
            let replay = &replays[index];
            let reply = reused.call(replay.operation, &replay.payload);
            assert_eq!(reply, fresh[index], "{policy}: {} ({})", replay.fixture, replay.form);
        }
    }
}

/// Traps in the second call of an instance.
const SECOND_CALL_TRAPS: &str = r#"(module
    (import "wapc" "__guest_response" (func $response (param i32 i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "{\"accepted\":true}")
    (global $calls (mut i32) (i32.const 0))
    (func (export "__guest_call") (param i32 i32) (result i32)
        (if (global.get $calls) (then unreachable))
        (global.set $calls (i32.const 1))
        (call $response (i32.const 0) (i32.const 17))
        (i32.const 1)))"#;

#[test]
fn an_instance_that_failed_is_not_called_again() {
    let module = host().load(&wat::parse_str(SECOND_CALL_TRAPS).unwrap()).unwrap();
    let mut reused = Reused::new(&module);
    for _ in 0..2 {
        assert_eq!(reused.call("validate", b"").as_deref(), Ok(br#"{"accepted":true}"#.as_slice()));
        assert!(matches!(reused.call("validate", b""), Err(CallError::Trap { .. })));
    }
}

fn requests() -> Vec<AdmissionRequest> {
    let manifests = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "é\"-", "uid": "u"}, "spec": {"a": 1.50}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}},
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"}},
        {"apiVersion": "v1", "kind": "PersistentVolume"},
    ]});
    request::requests(manifests.to_string().as_bytes(), &request::Sender::default()).expect("manifests")
}

#[test]
fn a_payload_of_texts_says_the_same() {
    let mut text = CreationText::default();
    for request in requests() {
        let object = request.object.as_ref().expect("a creation").to_string();
        text.set(&AdmissionRequest { object: None, ..request.clone() }, &object);
        for settings in [json!({}), json!({"level": "baseline"})] {
            let Value::Object(settings) = settings else { unreachable!() };
            let expected: Value = serde_json::from_slice(&validate_payload(&request, &settings)).unwrap();
            let settings = Value::Object(settings).to_string();
            let found: Value = serde_json::from_slice(text.payload(&settings).unwrap()).unwrap();
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_payload_of_texts_is_answered_as_the_other() {
    let host = host();
    let mut text = CreationText::default();
    for policy in discover(&policies()).expect("the policies") {
        let module = host.load(&module(&policy)).expect("a policy");
        for request in requests() {
            let object = request.object.as_ref().expect("a creation").to_string();
            text.set(&AdmissionRequest { object: None, ..request.clone() }, &object);
            let expected = module.call("validate", &validate_payload(&request, &Map::new()));
            assert_eq!(module.call("validate", text.payload("{}").unwrap()), expected, "{policy}");
        }
    }
}

#[test]
fn a_payload_of_texts_has_the_limit_of_a_server() {
    let request = AdmissionRequest { object: None, ..requests().remove(0) };
    let mut text = CreationText::default();
    text.set(&request, &format!("{:?}", "a".repeat(LARGEST_BODY)));
    assert!(text.payload("{}").is_err_and(|error| error.size > LARGEST_BODY));
    text.set(&request, "{}");
    assert!(text.payload("{}").is_ok());
}

#[test]
fn a_reply_is_read_without_its_object() {
    let reply = br#"{"accepted":true,"mutated_object":{"a":[1,2]},"audit_annotations":{"skipped":"why"}}"#;
    let reply = ValidationResponse::<IgnoredAny>::read(reply).unwrap();
    assert!(reply.accepted && reply.mutated_object.is_some());
    assert_eq!(reply.skipped(), Some("why"));
    let annotations: BTreeSet<&str> = reply.audit_annotations.iter().flatten().map(|(key, _)| key.as_str()).collect();
    assert_eq!(annotations, BTreeSet::from(["skipped"]));
    assert!(matches!(ValidationResponse::<IgnoredAny>::read(b"{}"), Err(Failure::Reply(_))));
}
