//! The interpreter of fixtures itself: what it refuses, and that it notices what is wrong.

use std::{fs, path::PathBuf};

use podfence_core::{
    Definition, Policy,
    testing::{self, Replay, Suite},
};
use podfence_privileged::POLICY;

/// A directory of a policy `privileged` with these fixtures.
fn policy(test: &str, fixtures: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fixtures").join(test).join("privileged");
    fs::create_dir_all(dir.join("src")).expect("a directory");
    fs::write(dir.join("fixtures.yaml"), fixtures).expect("a file");
    dir
}

fn refusal(test: &str, fixtures: &str) -> String {
    let dir = policy(test, fixtures);
    let error = Suite::load(&dir).err().expect("these fixtures are refused").to_string();
    error.replace(&format!("{}/", dir.display()), "")
}

fn replays(test: &str, fixtures: &str) -> Vec<Replay> {
    Suite::load(&policy(test, fixtures)).expect("fixtures").replays()
}

#[test]
fn cases_that_make_no_sense_are_refused_with_their_line() {
    for (test, fixtures, expected) in [
        (
            "twice",
            "- {name: a, pod: {}, accept: true}\n- {name: a, pod: {}, accept: true}\n",
            "fixtures.yaml:2: a: the name is there twice, first in line 1",
        ),
        (
            "no-expectation",
            "- {name: a, pod: {}}\n",
            "fixtures.yaml:1: a: it needs one of accept, reject, unreadable, mutate and settings_error",
        ),
        (
            "two-expectations",
            "- {name: a, pod: {}, accept: true, unreadable: b}\n",
            "fixtures.yaml:1: a: it can have only one of accept, reject, unreadable, mutate and settings_error",
        ),
        (
            "accept-false",
            "- {name: a, pod: {}, accept: false}\n",
            "fixtures.yaml:1: a: accept can only be true; say what is rejected instead",
        ),
        ("empty-reject", "- {name: a, pod: {}, reject: []}\n", "fixtures.yaml:1: a: reject needs a text"),
        (
            "two-subjects",
            "- {name: a, pod: {}, json: '{}', accept: true}\n",
            "fixtures.yaml:1: a: it can have only one of pod, object and json",
        ),
        (
            "no-subject",
            "\n- name: a\n  accept: true\n",
            "fixtures.yaml:2: a: it needs one of pod, object, json and request",
        ),
        (
            "old-alone",
            "- {name: a, json: '{}', old: {}, accept: true}\n",
            "fixtures.yaml:1: a: metadata and old stand beside pod",
        ),
        (
            "settings-and-pod",
            "- {name: a, pod: {}, settings_error: b}\n",
            "fixtures.yaml:1: a: settings_error has no subject",
        ),
        (
            "two-objects",
            "- {name: a, pod: {}, request: {object: 1}, accept: true}\n",
            "fixtures.yaml:1: a: request.object is the same as the subject, keep one",
        ),
        (
            "two-old-objects",
            "- {name: a, pod: {}, old: {}, request: {oldObject: 1}, accept: true}\n",
            "fixtures.yaml:1: a: old is the same as request.oldObject, keep one",
        ),
        ("mutated-json", "- {name: a, json: '{}', mutate: {}}\n", "fixtures.yaml:1: a: mutate beside json is a text"),
        (
            "mutated-nothing",
            "- {name: a, request: {operation: DELETE}, mutate: {}}\n",
            "fixtures.yaml:1: a: mutate needs a subject",
        ),
        ("empty", "[]\n", "fixtures.yaml: it has no case"),
    ] {
        assert_eq!(refusal(test, fixtures), expected);
    }
    let unknown = refusal("request", "- {name: a, pod: {}, request: {verb: create}, accept: true}\n");
    assert!(unknown.starts_with("fixtures.yaml:1: a: request has no verb; it has uid, kind,"), "{unknown}");
}

#[test]
fn files_that_are_not_of_this_format_are_refused_with_their_line() {
    for (test, fixtures, line, expected) in [
        ("unknown-key", "- name: a\n  pods: {}\n  accept: true\n", "line 2", "pods"),
        ("key-twice", "- name: a\n  pod: {}\n  pod: {}\n  accept: true\n", "line 3", "duplicate"),
        ("key-twice-inside", "- name: a\n  pod:\n    a: 1\n    a: 1\n  accept: true\n", "line 4", "duplicate"),
        ("no-name", "- pod: {}\n  accept: true\n", "line 2", "missing field `name`"),
        ("no-yaml", "- name: [\n", "line", ""),
    ] {
        let refusal = refusal(test, fixtures);
        assert!(refusal.contains(line) && refusal.contains(expected), "{refusal}");
    }
    let missing = Suite::load(&PathBuf::from("nowhere")).err().expect("there is no such file").to_string();
    assert!(missing.starts_with("nowhere/fixtures.yaml: "), "{missing}");
}

#[test]
fn a_pod_is_replayed_in_every_kind() {
    let replays = replays("kinds", "- {name: a, pod: {containers: 1}, unreadable: 'spec.containers: b'}\n");
    let forms: Vec<&str> = replays.iter().map(|replay| replay.form.as_str()).collect();
    assert_eq!(
        forms,
        [
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ReplicaSet",
            "Deployment",
            "StatefulSet",
            "DaemonSet",
            "Job",
            "CronJob",
            "Gadget",
            "Pod, object before kind",
            "settings",
        ]
    );
    let messages = ["spec.containers: b", "spec.jobTemplate.spec.template.spec.containers: b"];
    for (form, message) in [0, 8].into_iter().zip(messages) {
        let reply = format!(r#"{{"accepted":false,"code":400,"message":"{message}"}}"#);
        assert_eq!(replays[form].check(Ok(reply.as_bytes())), Ok(()));
    }
    let payload = String::from_utf8_lossy(&replays[4].payload);
    let object = r#""object":{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"example"},"spec":{"template":{"spec":{"containers":1}}}},"oldObject":null,"dryRun":false},"settings":{}}"#;
    assert!(payload.starts_with(r#"{"request":{"uid":"#) && payload.ends_with(object), "{payload}");
    let payload = String::from_utf8_lossy(&replays[10].payload);
    assert!(
        payload.starts_with(r#"{"settings":{},"request":{"dryRun":false,"oldObject":null,"object":{"#),
        "{payload}"
    );
}

#[test]
fn a_reply_that_is_not_the_expected_one_is_a_mismatch() {
    let replays = replays("replies", "- {name: a, pod: {}, accept: true}\n- {name: b, pod: {}, mutate: {c: 1}}\n");
    let check = |replay: &Replay, reply: &str| match replay.check(Ok(reply.as_bytes())) {
        Ok(()) => String::new(),
        Err(mismatch) => mismatch.got,
    };
    let find = |fixture: &str, form: &str| {
        let mut replays = replays.iter().filter(|replay| replay.fixture == fixture);
        replays.find(|replay| replay.form == form).expect("a replay in this form")
    };
    let (accept, settings, mutate) = (find("a", "Pod"), find("a", "settings"), find("b", "Pod"));
    assert_eq!(check(accept, r#"{"accepted":true}"#), "");
    assert_eq!(check(accept, r#"{"accepted":false,"code":403,"message":"m"}"#), "rejected with code 403:\nm");
    assert_eq!(
        check(accept, r#"{"accepted":false,"message":"m"}"#),
        "accepted: false, code: None, message: Some(\"m\")"
    );
    assert_eq!(check(accept, r#"{"accepted":true,"mutated_object":{ }}"#), "accepted and changed to:\n{ }");
    assert!(check(accept, r#"{"accepted":true,"allowed":true}"#).starts_with("a reply that is not one (unknown field"));
    assert!(check(accept, "").starts_with("a reply that is not one"));
    assert_eq!(check(settings, r#"{"valid":true}"#), "");
    assert_eq!(check(settings, r#"{"valid":false,"message":"m"}"#), "invalid settings:\nm");
    let changed = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"example"},"spec":{"c":1}}"#;
    let reply = |object: &str| format!(r#"{{"accepted":true,"mutated_object":{object}}}"#);
    assert_eq!(check(mutate, &reply(changed)), "");
    let spaced = changed.replace(":1", ": 1");
    assert_eq!(check(mutate, &reply(&spaced)), format!("accepted and changed to:\n{spaced}"));
    let failed = mutate.check(Err("unreachable")).expect_err("an error is not accepted");
    let changed_again = find("b", "Pod, changed");
    assert_eq!(check(changed_again, &reply(changed)), format!("accepted and changed to:\n{changed}"));
    assert_eq!(failed.got, "an error of the module:\nunreachable");
    assert_eq!(failed.expected, format!("accepted and changed to:\n{changed}"));
}

#[test]
fn violations_agree_with_the_message_and_the_object() {
    let replays = replays("violations", "- {name: a, pod: {containers: [{name: c, x: 1}]}, reject: ['r (\"c\")']}\n");
    let good = r#"{"control":"k","reason":"r","container":"c","path":"spec.containers[0].x","value":1,"fix":"f"}"#;
    let check = |violations: &str| {
        let reply = serde_json::json!({
            "accepted": false, "code": 403, "message": "r (\"c\")", "audit_annotations": { "violations": violations },
        });
        replays[0].check(Ok(reply.to_string().as_bytes())).map_err(|mismatch| mismatch.expected)
    };
    assert_eq!(check(&format!("[{good}]")), Ok(()));
    assert_eq!(check("[]"), Err("at least one violation".to_owned()));
    assert!(check("").is_err_and(|expected| expected.starts_with("audit_annotations.violations to be a list")));
    for (part, other, expected) in [
        (r#""control":"k""#, r#""control":"""#, "violation 0 to name a control and a fix"),
        (r#""fix":"f""#, r#""fix":"""#, "violation 0 to name a control and a fix"),
        (r#""reason":"r""#, r#""reason":"s""#, "violation 0 to have a reason that is in the message"),
        (r#""container":"c""#, r#""container":"d""#, "violation 0 to be of a container that the message names"),
        (r#""value":1"#, r#""value":null"#, "violation 0 to have the value that is at its path, 1"),
        ("[0].x", "[1].x", "violation 0 to have the value that is at its path, null"),
        ("[0].x", "[a].x", "violation 0 to have a path: a is no index"),
    ] {
        assert_eq!(check(&format!("[{}]", good.replace(part, other))), Err(expected.to_owned()));
    }
    let incomplete = check(&format!("[{}]", good.replace(r#""container":"c","#, "")));
    assert!(incomplete.is_err_and(|expected| expected.contains("missing field `container`")));
}

const REJECTED: &str = "
- name: a container of every list is rejected
  pod:
    initContainers: [{name: a, securityContext: {privileged: true}}]
    containers: [{name: b, securityContext: {privileged: true}}]
    ephemeralContainers: [{name: c, securityContext: {privileged: true}}]
  reject: ['privileged (containers \"a\", \"b\", \"c\" must not set securityContext.privileged=true)']
";

#[test]
fn a_field_that_no_fixture_rejects_is_told() {
    assert_eq!(testing::coverage(&POLICY, &policy("covered", REJECTED)), Ok(()));
    let uncovered = REJECTED.replace("    ephemeralContainers: [{name: c, securityContext: {privileged: true}}]\n", "");
    assert_eq!(
        testing::coverage(&POLICY, &policy("uncovered", &uncovered)),
        Err(
            "1 wrong fields:\n\nspec.ephemeralContainers[*].securityContext.privileged of a Pod is documented, but no \
             fixture is rejected for it: add one to fixtures.yaml\n"
                .to_owned()
        )
    );
}

#[test]
fn a_rejected_field_that_is_not_documented_is_told() {
    let settings = &POLICY.settings;
    let undocumented = Policy {
        name: POLICY.name,
        shapes: POLICY.shapes,
        settings: Definition {
            entries: settings.entries,
            shapes: settings.shapes,
            defaults: settings.defaults,
            validate: settings.validate,
        },
        check: POLICY.check,
        mutate: POLICY.mutate,
        fields: &[],
    };
    let report = testing::coverage(&undocumented, &policy("undocumented", REJECTED)).expect_err("it has no fields");
    let first = "3 wrong fields:\n\na container of every list is rejected: spec.initContainers[*].securityContext.privileged \
                 is rejected but not documented: give its line in fields! a doc comment that says what is allowed\n";
    assert!(report.starts_with(first), "{report}");
}

#[test]
fn a_fixture_that_comes_out_otherwise_is_told_with_its_forms() {
    let wrong = "- {name: a, pod: {containers: [{name: b, securityContext: {privileged: true}}]}, accept: true}\n";
    let report = testing::fixtures(&POLICY, &policy("wrong", wrong)).expect_err("it is rejected");
    assert_eq!(
        report,
        "1 wrong fixtures:\n\na\n  as Pod; PodTemplate; ReplicationController; ReplicaSet; Deployment; StatefulSet; \
         DaemonSet; Job; CronJob; Gadget; Pod, object before kind\n  expected: accepted\n  got: rejected with code \
         403:\n    privileged (container \"b\" must not set securityContext.privileged=true)\n"
    );
}

#[test]
fn a_setting_without_a_fixture_is_told() {
    let report = testing::settings(&POLICY, &policy("settings", REJECTED)).expect_err("no fixture has settings");
    assert_eq!(
        report,
        "2 wrong settings:\n\nskipInitContainers: no fixture judges a pod with it: add one to fixtures.yaml\n\n\
         skipEphemeralContainers: no fixture judges a pod with it: add one to fixtures.yaml\n"
    );
}

/// Docs of a policy that stands for two others.
const DOCS: &str = "//! A danger.
//!
//! # Replaces
//!
//! - **PodSecurityPolicy**: none
//! - **Pod Security Standards**: none: it has no name
//!   there.
//! - **Gatekeeper**: `K8sPSPDanger`. The same,
//!   but more.
//! - **Kubewarden**: none
//! - **Kyverno**: `danger`, `risk`. The same.
#![no_std]
";

#[test]
fn what_a_policy_replaces_is_told_for_each_origin() {
    let dir = policy("replaces", REJECTED);
    let replaces = |docs: &str| {
        fs::write(dir.join("src/lib.rs"), docs).expect("a file");
        testing::generate::replaces(&dir).map_err(|error| error.rsplit_once("lib.rs: ").expect("a path").1.to_owned())
    };
    let expected = [
        "none",
        "none: it has no name there.",
        "`K8sPSPDanger`. The same, but more.",
        "none",
        "`danger`, `risk`. The same.",
    ];
    assert_eq!(replaces(DOCS), Ok(expected.map(str::to_owned)));
    assert_eq!(testing::generate::docs(&dir), Ok("A danger.".to_owned()));
    for (from, to, problem) in [
        ("# Replaces", "# Instead of", "the docs (//!) need a list under `# Replaces`: what the policy stands for"),
        (
            "//! - **Kubewarden**: none\n",
            "",
            "`# Replaces` has 4 items; there are PodSecurityPolicy, Pod Security Standards, Gatekeeper, Kubewarden, Kyverno",
        ),
        ("**Kubewarden**", "**Kyverno**", "expected `- **Kubewarden**: …`, found `- **Kyverno**: none`"),
        (
            "`danger`, `risk`. The same.",
            "`danger`, `risk`",
            "Kyverno: expected `none`, or names in backticks, a full stop and what differs, found ``danger`, `risk``",
        ),
        (
            "`danger`, `risk`. The same.",
            "nothing.",
            "Kyverno: expected `none`, or names in backticks, a full stop and what differs, found `nothing.`",
        ),
    ] {
        assert_eq!(replaces(&DOCS.replace(from, to)), Err(problem.to_owned()));
    }
}

#[test]
fn a_row_stands_where_its_policy_belongs() {
    let table = "| Policy |\n|---|\n| [`a`](a) | 1 |\n| [`c`](c) | 2 |\n";
    for (row, expected) in [
        ("| [`b`](b) | 3 |\n", "| Policy |\n|---|\n| [`a`](a) | 1 |\n| [`b`](b) | 3 |\n| [`c`](c) | 2 |\n"),
        ("| [`c`](c) | 3 |\n", "| Policy |\n|---|\n| [`a`](a) | 1 |\n| [`c`](c) | 3 |\n"),
    ] {
        assert_eq!(testing::generate::with_row(table, row), expected);
    }
}

#[test]
fn a_readme_that_is_not_current_is_told() {
    let dir = policy("readme", &format!("{REJECTED}- {{name: b, pod: {{}}, accept: true}}\n"));
    fs::write(dir.join("src/lib.rs"), DOCS).expect("a file");
    fs::write(dir.join("README.md"), "<!-- something else -->\n").expect("a file");
    if testing::generate::is_blessing() {
        return;
    }
    let report = testing::readme(&POLICY, &dir).expect_err("it is not current");
    assert!(
        report.ends_with("README.md:1: not what is generated any more; `make bless` (BLESS=1) refreshes it"),
        "{report}"
    );
    fs::write(dir.join("src/lib.rs"), "fn main() {}\n").expect("a file");
    let report = testing::readme(&POLICY, &dir).expect_err("there are no docs");
    assert!(report.ends_with("src/lib.rs:1: a policy starts with docs (//!) that name the danger"), "{report}");
}
