//! Requests and random texts for the tests of this directory. Each test is a crate of its own and uses a part of it.
#![allow(dead_code)]

#[path = "../../../../policies/core/tests/common/texts.rs"]
pub mod texts;

use serde_json::{Value, json};

/// A request in the form that a policy-server sends.
pub fn request((group, kind): (&str, &str), operation: &str, object: &Value) -> Value {
    json!({
        "uid": "1299d386-525b-4032-98ae-1949f69f9cfc",
        "kind": {"group": group, "version": "v1", "kind": kind},
        "resource": {"group": group, "version": "v1", "resource": "things"},
        "name": "nginx", "namespace": "default", "operation": operation,
        "userInfo": {"username": "alice", "uid": "u", "groups": ["system:authenticated", "developers"]},
        "object": object, "oldObject": null, "dryRun": false, "options": {"kind": "CreateOptions"},
    })
}

/// The payload of a request to create a Pod.
pub fn create(pod: &Value, settings: &Value) -> String {
    json!({"request": request(("", "Pod"), "CREATE", pod), "settings": settings}).to_string()
}

/// A Pod with this container.
pub fn pod(container: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "nginx"}, "spec": {"containers": [container]}})
}
