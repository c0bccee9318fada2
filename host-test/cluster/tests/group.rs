//! What a group makes of what its members say, in modules with one reply each.

use std::collections::BTreeMap;

use podfence_cluster::expression::Expression;
use podfence_cluster::group::Group;
use podfence_host::{AdmissionResponse, Host, Limits, Mode, Policy};
use podfence_scan::request;
use podfence_support::replying;
use serde_json::{Value, json};

const MEMBERS: [(&str, &str); 5] = [
    ("accepts", r#"{"accepted":true,"warnings":["w"],"audit_annotations":{"a":"b"}}"#),
    ("rejects", r#"{"accepted":false,"message":"no","code":403,"warnings":["w"],"audit_annotations":{"a":"b"}}"#),
    ("silent", r#"{"accepted":false}"#),
    ("mutates", r#"{"accepted":true,"mutated_object":{"kind":"Pod"},"warnings":["w"]}"#),
    ("broken", "{}"),
];

/// A policy whose module has this reply to everything.
fn member(host: &Host, name: &str, reply: &str) -> Policy {
    Policy {
        name: name.to_owned(),
        module: host.load(&wat::parse_str(replying(reply)).expect("a module")).expect("a policy"),
        settings: serde_json::Map::new(),
        mode: Mode::Protect,
        allowed_to_mutate: false,
        message: None,
    }
}

fn response(expression: &str, mode: Mode) -> AdmissionResponse {
    let host = Host::new(Limits::default()).expect("an engine");
    let members: BTreeMap<String, Policy> =
        MEMBERS.iter().map(|(name, reply)| ((*name).to_owned(), member(&host, name, reply))).collect();
    let expression = Expression::parse(expression).expect("an expression");
    let group = Group { members, expression, message: "the group says no".to_owned(), mode };
    let pod = request::requests(b"{apiVersion: v1, kind: Pod, metadata: {name: web}}", &request::Sender::default())
        .expect("a request")
        .remove(0);
    group.evaluate(&pod).response
}

#[test]
fn rejections_of_members_are_causes_and_the_rest_is_dropped() {
    let cause = |name: &str, message: &str| json!({"field": format!("spec.policies.{name}"), "message": message});
    let mutation = "mutation is not allowed inside of policy group";
    let invalid = "internal server error: invalid response from policy: missing field `accepted` at line 1 column 2";
    let cases: [(&str, Option<Vec<Value>>); 7] = [
        ("accepts()", None),
        ("!mutates()", None),
        ("rejects() || accepts()", None),
        ("accepts() && rejects()", Some(vec![cause("rejects", "no")])),
        ("silent()", Some(vec![json!({"field": "spec.policies.silent"})])),
        ("rejects() || mutates()", Some(vec![cause("mutates", mutation), cause("rejects", "no")])),
        ("broken()", Some(vec![cause("broken", invalid)])),
    ];
    for (expression, causes) in cases {
        let mut expected = json!({"uid": "00000000-0000-4000-8000-000000000001", "allowed": causes.is_none()});
        if let Some(causes) = causes {
            expected["status"] = json!({"message": "the group says no", "details": {"causes": causes}});
        }
        let found = serde_json::to_value(response(expression, Mode::Protect)).expect("it serialises");
        assert_eq!(found, expected, "{expression}");
        let monitored = serde_json::to_value(response(expression, Mode::Monitor)).expect("it serialises");
        assert_eq!(monitored, json!({"uid": expected["uid"], "allowed": true}), "{expression}");
    }
}
