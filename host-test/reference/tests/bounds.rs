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
