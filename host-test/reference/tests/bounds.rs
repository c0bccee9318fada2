//! The largest reply is small enough for a host, and a larger pod is refused.
#![forbid(unsafe_code)]

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
fn ten_thousand_containers_are_each_reported() {
    let reply = reply(10_000);
    assert!(reply.contains("spec.containers[9999].securityContext.privileged"));
    assert!(reply.len() < 4 << 20, "{} bytes", reply.len());
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
