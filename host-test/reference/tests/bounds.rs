//! However much a pod holds, the answer is of a size that a host can take.

use podfence_core::{json::pad, validate};
use podfence_privileged::POLICY;

fn reply(containers: usize) -> String {
    let container = r#"{"securityContext":{"privileged":true}}"#;
    let containers = vec![container; containers].join(",");
    let request = format!(
        r#"{{"request":{{"kind":{{"group":"","version":"v1","kind":"Pod"}},"operation":"CREATE","object":{{"spec":{{"containers":[{containers}]}}}}}},"settings":{{}}}}"#
    );
    validate(&POLICY, &pad(request.as_bytes()))
}

#[test]
fn ten_thousand_containers_are_each_told() {
    let reply = reply(10_000);
    assert!(reply.contains("spec.containers[9999].securityContext.privileged"));
    assert!(reply.len() < 4 << 20, "{} bytes", reply.len());
}

#[test]
fn more_are_too_many() {
    let expected = r#"{"accepted":false,"message":"spec.containers[10000]: expected at most 10000 elements, found more","code":400}"#;
    assert_eq!(reply(10_001), expected);
    assert_eq!(reply(50_000), expected);
}
