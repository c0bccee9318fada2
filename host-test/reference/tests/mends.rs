//! Applies the edits that violations propose to the objects of all fixtures: each edit mends what it is of, and an end
//! comes to them.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::Path;

use podfence_core::{Policy, json::pad, validate};
use podfence_fixtures::Suite;
use podfence_reference::opinion::Opinion;
use podfence_scan::fix::{Edit, apply};
use podfence_scan::judge::Violation;
use serde_json::Value;

mod policies {
    podfence_reference::test_policies!(super::edits_mend);
}

/// So many edits may depend on each other.
const MOST_ROUNDS: usize = 8;

fn edits_mend(opinion: &'static Opinion) {
    let policy = opinion.policy;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies").join(policy.name);
    let suite = Suite::load(&directory).expect("fixtures");
    let mut wrong = Vec::new();
    for replay in suite.replays().iter().filter(|replay| replay.operation == "validate") {
        let mut payload: Value = serde_json::from_slice(&replay.payload).unwrap_or_default();
        // What an API server no longer changes is mended in a file all the same.
        if payload["request"]["operation"] == "CREATE"
            && let Err(problem) = mend(policy, &mut payload)
        {
            wrong.push(format!("{} ({}): {problem}", replay.fixture, replay.form));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}: {} wrong, such as\n{}",
        policy.name,
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n")
    );
}

fn mend(policy: &Policy, payload: &mut Value) -> Result<(), String> {
    let mut mended = BTreeSet::new();
    for _ in 0..MOST_ROUNDS {
        let found = violations(&validate(policy, &pad(payload.to_string().as_bytes())));
        if let Some(again) = found.iter().map(key).find(|key| mended.contains(key)) {
            return Err(format!("its edit does not mend {again:?}"));
        }
        let edits: Vec<&Edit> = found.iter().filter_map(|of| of.edit.as_deref()).collect();
        if edits.is_empty() {
            return Ok(());
        }
        apply(&mut payload["request"]["object"], &edits)?;
        mended = found.iter().filter(|of| of.edit.is_some()).map(key).collect();
    }
    Err("no end comes to the edits".to_owned())
}

fn violations(reply: &str) -> Vec<Violation> {
    let reply: Value = serde_json::from_str(reply).expect("a reply");
    let listed = reply["audit_annotations"]["violations"].as_str();
    listed.map(|listed| serde_json::from_str(listed).unwrap_or_default()).unwrap_or_default()
}

fn key(violation: &Violation) -> (String, String, String) {
    (violation.control.clone(), violation.path.clone(), violation.value.to_string())
}
