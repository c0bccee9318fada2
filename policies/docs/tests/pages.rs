//! Tests the README of a policy and the tables of all policies.

use std::{fs, path::PathBuf};

use podfence_docs::{Replaces, generate, policy_tests};
use podfence_fixtures::generated;
use podfence_privileged::POLICY;

/// Makes a directory of a policy `privileged`, without a README.
fn policy(test: &str, replaces: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("docs").join(test).join("privileged");
    let manifest = format!("[package.metadata.podfence]\ndisplay-name = \"P\"\nseverity = \"low\"\n{replaces}");
    fs::create_dir_all(dir.join("src")).expect("a directory");
    fs::write(dir.join("Cargo.toml"), manifest).expect("a file");
    fs::write(dir.join("src/lib.rs"), "//! Rejects what is bad.\n//!\n//! It is bad.\n").expect("a file");
    fs::write(dir.join("fixtures.yaml"), FIXTURES).expect("a file");
    dir
}

const FIXTURES: &str = "
- name: a container of every list is rejected
  pod: {containers: [{name: b, securityContext: {privileged: true}}]}
  reject: ['privileged (container \"b\" must not set securityContext.privileged=true)']
- {name: b, pod: {}, accept: true}
";

#[test]
fn replaced_names_are_data() {
    let replaces = "replaces.gatekeeper = {names = ['K8sPSPDanger'], differs = 'The same, but more.'}
replaces.pod-security-standards = {names = ['danger', 'risk'], level = 'baseline', differs = 'The same.'}
replaces.kyverno = {differs = 'It has another model.'}
";
    let replaces = Replaces::load(&policy("replaces", replaces)).expect("a table");
    let text = |replaced: &Option<podfence_docs::Replaced>| replaced.as_ref().map(ToString::to_string);
    assert_eq!(text(&replaces.gatekeeper).as_deref(), Some("`K8sPSPDanger`. The same, but more."));
    assert_eq!(text(&replaces.pod_security_standards).as_deref(), Some("`danger`, `risk` (baseline). The same."));
    assert_eq!(text(&replaces.kyverno).as_deref(), Some("none. It has another model."));
    assert!(replaces.kubewarden.is_none() && Replaces::names(replaces.kubewarden.as_ref()).is_empty());
    assert_eq!(Replaces::names(replaces.gatekeeper.as_ref()), ["K8sPSPDanger"]);
    for (wrong, problem) in [
        ("replaces.gatekeper = {differs = 'x'}", "unknown field `gatekeper`"),
        ("replaces.gatekeeper = {names = ['x']}", "missing field `differs`"),
    ] {
        let error = Replaces::load(&policy("wrong", wrong)).err().unwrap_or_default();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_row_is_sorted_into_its_table() {
    let table = "| Policy |\n|---|\n| [`a`](a) | 1 |\n| [`c`](c) | 2 |\n";
    for (row, expected) in [
        ("| [`b`](b) | 3 |\n", "| Policy |\n|---|\n| [`a`](a) | 1 |\n| [`b`](b) | 3 |\n| [`c`](c) | 2 |\n"),
        ("| [`c`](c) | 3 |\n", "| Policy |\n|---|\n| [`a`](a) | 1 |\n| [`c`](c) | 3 |\n"),
    ] {
        assert_eq!(generate::with_row(table, row), expected);
    }
}

#[test]
fn a_readme_that_is_missing_or_out_of_date_is_reported() {
    if generated::is_blessing() {
        return;
    }
    let dir = policy("readme", "");
    assert_eq!(generate::docs(&dir), Ok("Rejects what is bad.\n\nIt is bad.".to_owned()));
    let _ = fs::remove_file(dir.join("README.md"));
    let report = policy_tests::readme(&POLICY, &dir).expect_err("it is missing");
    assert!(report.ends_with("README.md: does not exist; `make bless` (BLESS=1) writes it"), "{report}");
    fs::write(dir.join("README.md"), "<!-- something else -->\n").expect("a file");
    let report = policy_tests::readme(&POLICY, &dir).expect_err("it is not current");
    assert!(report.ends_with("README.md:1: out of date; `make bless` (BLESS=1) refreshes it"), "{report}");
    fs::write(dir.join("src/lib.rs"), "//! A danger.\n").expect("a file");
    let report = policy_tests::readme(&POLICY, &dir).expect_err("there are no docs");
    assert!(report.ends_with("src/lib.rs:1: expected docs that start with `//! Rejects …`"), "{report}");
}
