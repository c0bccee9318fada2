//! A change keeps every byte that it does not touch, however the object is spelled. A changed object passes the check
//! and is not changed again.
#![forbid(unsafe_code)]

mod spans;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use podfence_core::Policy;
use podfence_reference::case::{Case, quoted};
use podfence_reference::compare::{Class, Oracle, reply};
use podfence_reference::draw::Draw;
use podfence_reference::opinion::Opinion;
use podfence_reference::opinions::OPINIONS;
use podfence_reference::request::{Verdict, evaluate};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use serde_json::value::RawValue;
use spans::{differences, without};
use support::texts::{self, Json};

/// The number of changes for each policy. A debug build is slow, and its tests are run often.
const CASES: u32 = if cfg!(debug_assertions) { 64 } else { 512 };

/// Members that no policy reads, in spellings that no serializer has.
fn unread_members() -> impl Strategy<Value = Vec<(String, Json)>> {
    let keys = select(vec![r#""x""#, r#""y\u00e9""#, r#""capabilities ""#, r#""securitycontext""#, r#""\"add""#]);
    vec((keys.prop_map(str::to_owned), texts::valid_values()), 1..4)
}

/// Spells a value, and adds some of these members to its objects.
fn spelled(value: &Value, unread: &[(String, Json)], draw: &mut Draw) -> Json {
    match value {
        Value::Object(members) => {
            let spelled = |(key, value): (&String, &Value)| (quoted(key, draw), spelled(value, unread, draw));
            let mut members: Vec<(String, Json)> = members.iter().map(spelled).collect();
            while draw.percent(30) {
                let at = draw.below(members.len() + 1);
                members.insert(at, unread[draw.below(unread.len())].clone());
            }
            Json::Object(members)
        }
        Value::Array(elements) => Json::List(elements.iter().map(|element| spelled(element, unread, draw)).collect()),
        Value::String(string) => Json::Scalar(quoted(string, draw)),
        other => Json::Scalar(other.to_string()),
    }
}

/// The payload with this text as the request's object.
fn payload(request: &Value, object: &str, settings: &Value) -> String {
    let members = request.as_object().expect("a request is an object").iter().map(|(key, value)| {
        let value = if key == "object" { object.to_owned() } else { value.to_string() };
        format!("{}:{value}", Value::from(key.as_str()))
    });
    format!(r#"{{"request":{{{}}},"settings":{settings}}}"#, members.collect::<Vec<_>>().join(","))
}

/// The settings without those that ask for changes.
fn without_changes(policy: &Policy, settings: &Value) -> Value {
    let mut settings = settings.clone();
    let members = settings.as_object_mut().expect("settings are an object");
    for entry in policy.settings.declarations.iter().filter(|entry| !entry.docs.mutates_if.is_empty()) {
        members.shift_remove(entry.path);
    }
    settings
}

/// The first case from this seed on that the opinion changes.
fn changed_case(oracle: &Oracle, seed: u64) -> Case {
    let mut cases = (0..).map(|n| Case::draw(seed.wrapping_add(n), oracle.opinion, &oracle.fields));
    let is_changed = |case: &Case| {
        matches!(evaluate(oracle.opinion, &oracle.fields, &case.request, &case.settings), Verdict::Mutated(_))
    };
    cases.find(is_changed).expect("seeds do not end")
}

fn check(oracle: &Oracle, seed: u64, unread: &[(String, Json)], spaces: &[String]) -> Result<(), TestCaseError> {
    let policy = oracle.opinion.policy;
    let Case { mut request, settings, .. } = changed_case(oracle, seed);
    // White space around the object is not part of it.
    let before = spelled(&request["object"], unread, &mut Draw::new(seed)).print(spaces).trim().to_owned();
    request["object"] = serde_json::from_str(&before).expect("an object is JSON");

    let reply_text = reply(policy, &payload(&request, &before, &settings));
    let case = Case::new(request, settings, 0);
    let agreement = oracle.compare_reply(&case, &reply_text);
    let agreement = agreement.map_err(|problem| TestCaseError::fail(format!("{problem}\n{case}")))?;
    prop_assert_eq!(agreement.class, Class::Mutated, "{}", case);

    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&reply_text).expect("a reply is JSON");
    let after = members["mutated_object"].get();
    let after_value: Value = serde_json::from_str(after).expect("a changed object is JSON");
    let changed = differences(&case.request["object"], &after_value);
    prop_assert_eq!(without(after, &changed), without(&before, &changed), "outside of {:?}", changed);

    for settings in [case.settings.clone(), without_changes(policy, &case.settings)] {
        let again = reply(policy, &payload(&case.request, after, &settings));
        // The runtime class that was set may be an exempt one.
        let is_exempt = again == r#"{"accepted":true,"audit_annotations":{"skipped":"exempt.runtimeClasses"}}"#;
        let again = if is_exempt { r#"{"accepted":true}"# } else { &again };
        prop_assert_eq!(again, r#"{"accepted":true}"#, "the changed object with {}: {}", settings, after);
    }
    Ok(())
}

#[test]
fn a_change_keeps_every_other_byte_and_is_complete() {
    let changing: Vec<&Opinion> = OPINIONS.iter().filter(|opinion| opinion.mutate.is_some()).copied().collect();
    std::thread::scope(|scope| {
        for opinion in changing {
            scope.spawn(move || {
                let oracle = Oracle::new(opinion);
                let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
                let strategy = (any::<u64>().no_shrink(), unread_members(), texts::spaces());
                let result = TestRunner::new(config)
                    .run(&strategy, |(seed, unread, spaces)| check(&oracle, seed, &unread, &spaces));
                result.unwrap_or_else(|error| panic!("{}: {error}", opinion.policy.name));
            });
        }
    });
}
