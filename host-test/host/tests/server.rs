//! What a policy-server does to requests and replies on their way: it sorts the keys of what has no type of its own.

use podfence_host::evaluate::{settings_text, validate_payload};
use podfence_host::{Host, Limits, Mode, Policy};
use podfence_scan::AdmissionRequest;
use podfence_support::replying;
use serde_json::{Map, Value, json};

fn settings() -> Map<String, Value> {
    let settings = json!({"b": [{"d": 1, "c": 2}], "a": null});
    settings.as_object().cloned().expect("an object")
}

fn request() -> AdmissionRequest {
    let object = json!({"z": {"b": 1, "a": [{"y": 1, "x": 2}]}, "k": "é"});
    let request = json!({
        "uid": "1", "kind": {"version": "v1", "kind": "Pod"}, "resource": {"version": "v1", "resource": "pods"},
        "operation": "UPDATE", "userInfo": {"username": "jane"}, "object": object, "oldObject": object, "options": object,
    });
    serde_json::from_value(request).expect("a request")
}

#[test]
fn keys_of_objects_options_and_settings_are_sorted() {
    let payload = String::from_utf8(validate_payload(&request(), &settings())).expect("a text");
    let object = r#"{"k":"é","z":{"a":[{"x":2,"y":1}],"b":1}}"#;
    let settings_sorted = r#"{"a":null,"b":[{"c":2,"d":1}]}"#;
    let expected = format!(
        r#"{{"request":{{"uid":"1","kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},"operation":"UPDATE","userInfo":{{"username":"jane"}},"object":{object},"oldObject":{object},"options":{object}}},"settings":{settings_sorted}}}"#
    );
    assert_eq!(payload, expected);
    assert_eq!(settings_text(&settings()), settings_sorted);
}

#[test]
fn operations_of_a_patch_are_in_the_order_of_sorted_keys() {
    const REPLY: &str = r#"{"accepted":true,"mutated_object":{"n":{"q":1,"p":2},"z":{"b":2},"a":3}}"#;
    let host = Host::new(Limits::default()).expect("an engine");
    let policy = Policy {
        name: "mutates".to_owned(),
        module: host.load(&wat::parse_str(replying(REPLY)).expect("a module")).expect("a policy"),
        settings: settings(),
        mode: Mode::Protect,
        allowed_to_mutate: true,
        message: None,
    };
    let patch = policy.evaluate(&request()).response.patch_operations().expect("a patch");
    let expected = r#"[{"op":"add","path":"/a","value":3},{"op":"add","path":"/n","value":{"p":2,"q":1}},{"op":"replace","path":"/z/b","value":2},{"op":"remove","path":"/z/a"},{"op":"remove","path":"/k"}]"#;
    assert_eq!(patch.to_string(), expected);
}
