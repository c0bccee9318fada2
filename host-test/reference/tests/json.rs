//! The parser through a whole request: text that is not JSON is refused wherever it stands, also where no policy reads.
#![forbid(unsafe_code)]

mod support;

use podfence_core::json::pad;
use podfence_privileged::POLICY;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;
use support::texts::{self, Json};

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }
}

fn documents() -> impl Strategy<Value = String> {
    (texts::values(), texts::spaces()).prop_map(|(value, spaces)| value.print(&spaces))
}

/// Bytes that make most texts invalid.
fn breakages() -> impl Strategy<Value = Vec<u8>> {
    select(vec!["\"", "\\", "{", "}", "]", ",", ":", "-", "1", "\0", "nul"]).prop_map(|text| text.as_bytes().to_vec())
}

fn reply(payload: &[u8]) -> Value {
    let reply = podfence_core::validate(&POLICY, &pad(payload));
    serde_json::from_str(&reply).expect("a reply is JSON")
}

fn payload(operation: &str, before: &[u8], inside: &[u8], behind: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 9] = [
        br#"{"w":"#,
        before,
        br#","request":{"operation":""#,
        operation.as_bytes(),
        br#"","kind":{"kind":"Pod","group":""},"object":{"spec":{"x":"#,
        inside,
        br#","containers":[]}},"y":"#,
        behind,
        b"}}",
    ];
    parts.concat()
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_field_that_no_policy_reads_must_be_json(
        operation in select(vec!["CREATE", "UPDATE", "DELETE"]), values in [documents(), documents(), documents()],
    ) {
        let [before, inside, behind] = &values;
        let payload = payload(operation, before.as_bytes(), inside.as_bytes(), behind.as_bytes());
        // A document may have a number that is too big.
        let is_json = serde_json::from_slice::<Value>(&payload).is_ok();
        prop_assert_eq!(&reply(&payload)["accepted"], is_json);
    }

    #[test]
    fn a_request_that_is_not_json_is_refused(
        operation in select(vec!["CREATE", "UPDATE", "DELETE"]),
        values in [documents(), documents(), documents()],
        at in any::<Index>(), inserted in breakages(),
    ) {
        let [before, inside, behind] = &values;
        let mut payload = payload(operation, before.as_bytes(), inside.as_bytes(), behind.as_bytes());
        let at = at.index(payload.len() + 1);
        payload.splice(at..at, inserted);
        let reply = reply(&payload);
        if serde_json::from_slice::<Value>(&payload).is_err() {
            prop_assert_eq!(&reply["accepted"], false);
            prop_assert_eq!(&reply["code"], 400);
        }
    }

    #[test]
    fn settings_that_are_not_json_are_refused(text in documents(), at in any::<Index>(), inserted in breakages()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len() + 1);
        bytes.splice(at..at, inserted);
        let reply = podfence_core::validate_settings(&POLICY, &pad(&bytes));
        let reply: Value = serde_json::from_str(&reply).expect("a reply is JSON");
        if serde_json::from_slice::<Value>(&bytes).is_err() {
            prop_assert_eq!(&reply["valid"], false);
        }
    }
}

#[test]
fn a_duplicate_of_a_key_that_is_read_is_refused() {
    let twice = Json::Object(vec![("\"spec\"".into(), Json::object([])), ("\"sp\\u0065c\"".into(), Json::object([]))]);
    let payload = format!(
        r#"{{"request":{{"operation":"CREATE","kind":{{"kind":"Pod"}},"object":{}}}}}"#,
        twice.print(&[String::new()]),
    );
    assert_eq!(reply(payload.as_bytes())["code"], 400);
}
