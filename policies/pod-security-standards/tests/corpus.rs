//! Replays the fixtures of the built-in admission: every pod, at every version that it was written for.

use std::{fs::File, io::Read, path::Path};

use flate2::read::GzDecoder;
use podfence_core::{json::pad, validate};
use podfence_pod_security_standards::POLICY;
use serde_json::{Value, json};

/// The corpus is beside the workspace, since another project owns it.
const CORPUS: &str = "../../../shared/corpus/pod-security-standards.jsonl.gz";

/// The number of decisions in the corpus.
const DECISIONS: usize = 4537;

#[test]
fn every_decision_is_that_of_the_built_in_admission() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CORPUS);
    let Ok(file) = File::open(&path) else {
        // Writes to stderr directly, since the test harness hides the output of passing tests.
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            format!("SKIPPED: {} does not exist\n", path.display()).as_bytes(),
        );
        return;
    };
    let mut lines = String::new();
    GzDecoder::new(file).read_to_string(&mut lines).expect("a packed text");
    let (mut decisions, mut wrong) = (0, Vec::new());
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).expect("a line of JSON");
        for version in case["versions"].as_array().expect("versions") {
            decisions += 1;
            if let Err(problem) = decide(&case, version.as_str().expect("a version")) {
                wrong.push(format!("{} ({}) at {version}: {problem}", case["id"], case["check"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong decisions:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(decisions, DECISIONS);
}

/// Evaluates a pod.
///
/// # Errors
/// The verdict differs from that of the built-in admission.
fn decide(case: &Value, version: &str) -> Result<(), String> {
    let level = case["level"].as_str().expect("a level");
    let payload = json!({
        "request": {
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "operation": "CREATE",
            "object": case["pod"],
        },
        "settings": { "level": level, "version": version },
    });
    let reply = validate(&POLICY, &pad(payload.to_string().as_bytes()));
    let reply: Value = serde_json::from_str(&reply).expect("a reply");
    let message = reply["message"].as_str().unwrap_or_default();
    match (case["expect"].as_str(), reply["accepted"].as_bool()) {
        (Some("pass"), Some(true)) => Ok(()),
        (Some("fail"), Some(false)) => is_about(case, level, version, &reply),
        _ => Err(format!("expected it to {}, got {message:?}", case["expect"])),
    }
}

/// Pairs of a control and another one that its pods violate as well: Kubernetes refuses pods that violate only one.
const COMPANIONS: [[&str; 2]; 3] = [
    ["windowsHostProcess", "hostNamespaces"],
    ["privileged", "allowPrivilegeEscalation"],
    ["allowPrivilegeEscalation", "capabilities_restricted"],
];

/// Pairs of a baseline control and the one that replaces it at the restricted level.
const OVERRIDES: [[&str; 2]; 4] = [
    ["capabilities_baseline", "capabilities_restricted"],
    ["hostPathVolumes", "restrictedVolumes"],
    ["procMount", "procMount_restricted"],
    ["seccompProfile_baseline", "seccompProfile_restricted"],
];

/// Checks that a rejection is for the control that the pod was written for.
///
/// # Errors
/// The reply has other violations, or another message.
fn is_about(case: &Value, level: &str, version: &str, reply: &Value) -> Result<(), String> {
    let message = reply["message"].as_str().unwrap_or_default();
    let is_headed = message.starts_with(&format!("violates PodSecurity \"{level}:{version}\": "));
    let violations = reply["audit_annotations"]["violations"].as_str().unwrap_or_default();
    let violations: Vec<Value> = serde_json::from_str(violations).map_err(|error| error.to_string())?;
    let is_expected = |control: &Value| {
        let expected = case["checkID"].as_str().unwrap_or_default();
        control == expected || OVERRIDES.iter().any(|[overridden, by]| *overridden == expected && control == by)
    };
    let is_companion = |control: &Value| COMPANIONS.iter().any(|[of, also]| case["checkID"] == *of && control == also);
    let controls: Vec<&Value> = violations.iter().map(|violation| &violation["control"]).collect();
    let is_right = controls.iter().all(|control| is_expected(control) || is_companion(control))
        && controls.iter().any(|control| is_expected(control));
    if is_headed && is_right && reply["code"] == 403 { Ok(()) } else { Err(format!("got {reply}")) }
}
