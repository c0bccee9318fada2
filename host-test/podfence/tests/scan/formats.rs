//! The formats of others, held against their schemas and against what their readers take.

use std::collections::HashSet;

use boon::{Compiler, Schemas};
use podfence_support::{Printed, Workplace};
use serde_json::Value;

use super::{BAD, workplace};

pub(super) const SARIF: &str = include_str!("schemas/sarif-2.1.0.json");
pub(super) const OPENREPORTS: &str = include_str!("schemas/openreports-v1alpha1.json");

/// A tree with errors, warnings, what a comment accepts, what cannot be read, and a name that nobody should choose.
fn tree() -> Workplace {
    let workplace = workplace();
    workplace.write("bad.yaml", BAD);
    workplace.write("again.yaml", BAD);
    workplace.write("in-shop.yaml", BAD.replace("name: bad", "name: bad, namespace: shop"));
    workplace.write("accepted.yaml", BAD.replace("true}", "true} # podfence: ignore[privileged] sets sysctls"));
    workplace.write("broken.yaml", "a: [");
    workplace.write("a b,:%é.yaml", BAD);
    workplace
}

fn scan(workplace: &Workplace, format: &str) -> Printed {
    let mut command = workplace.command(&["scan", "--format", format]);
    command.env_remove("CI_PROJECT_DIR");
    Printed::of(command.output().expect("the program runs"))
}

/// Why JSON is not as a schema says, or an empty text.
pub(super) fn against(schema: &str, json: &Value) -> String {
    let mut compiler = Compiler::new();
    let schema = serde_json::from_str(schema).expect("a schema");
    compiler.add_resource("schema.json", schema).expect("a schema");
    let mut schemas = Schemas::new();
    let index = compiler.compile("schema.json", &mut schemas).expect("a schema");
    schemas.validate(json, index).err().map(|error| format!("{error:#}")).unwrap_or_default()
}

#[test]
fn sarif_is_as_its_schema_says() {
    let printed = scan(&tree(), "sarif");
    assert_eq!(printed.code, Some(2));
    let sarif: Value = serde_json::from_str(&printed.out).expect("JSON");
    assert_eq!(against(SARIF, &sarif), "");
    let run = &sarif["runs"][0];
    let uris: HashSet<&str> = results(run)
        .filter_map(|of| of.pointer("/locations/0/physicalLocation/artifactLocation/uri")?.as_str())
        .collect();
    let expected = ["bad.yaml", "again.yaml", "in-shop.yaml", "accepted.yaml", "a%20b%2C%3A%25%C3%A9.yaml"];
    assert_eq!(uris, HashSet::from(expected));
    assert_eq!(results(run).filter(|result| result.get("suppressions").is_some()).count(), 1);
    let of_bad = |of: &&Value| of["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "bad.yaml";
    let fixes: Vec<bool> = results(run).filter(of_bad).map(|result| result.get("fixes").is_some()).collect();
    assert!(fixes.contains(&true), "{fixes:?}");
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    assert!(against(SARIF, &serde_json::json!({"version": "2.1.0"})).contains("runs"), "the schema asks for something");
}

fn results(run: &Value) -> impl Iterator<Item = &Value> {
    run["results"].as_array().into_iter().flatten()
}

#[test]
fn reports_are_as_the_custom_resource_says() {
    let printed = scan(&tree(), "openreports");
    let list: Value = serde_json::from_str(&printed.out).expect("JSON");
    let items = list["items"].as_array().expect("items");
    let named: Vec<(&Value, &Value)> = items.iter().map(|of| (&of["kind"], &of["metadata"]["namespace"])).collect();
    let expected = [("ClusterReport", Value::Null), ("Report", "default".into()), ("Report", "shop".into())];
    assert_eq!(named.len(), expected.len());
    for ((kind, namespace), (expected_kind, expected_namespace)) in named.into_iter().zip(&expected) {
        assert_eq!((kind, namespace), (&Value::from(*expected_kind), expected_namespace));
    }
    for item in items {
        assert_eq!(against(OPENREPORTS, item), "");
    }
    assert!(!against(OPENREPORTS, &serde_json::json!({"results": [{"policy": "a", "result": "bad"}]})).is_empty());
}

#[test]
fn gitlab_gets_issues_that_it_keeps_apart() {
    let workplace = tree();
    let issues: Value = serde_json::from_str(&scan(&workplace, "gitlab").out).expect("JSON");
    let issues = issues.as_array().expect("a list");
    let mut fingerprints = HashSet::new();
    for issue in issues {
        let text = |key: &str| issue[key].as_str().unwrap_or_else(|| panic!("{key}: {issue}"));
        assert!(["blocker", "major", "minor"].contains(&text("severity")), "{issue}");
        assert!(!text("description").is_empty() && !text("check_name").is_empty(), "{issue}");
        assert!(fingerprints.insert(text("fingerprint")), "twice: {issue}");
        assert!(workplace.path(issue["location"]["path"].as_str().expect("a path")).is_file(), "{issue}");
        assert!(issue["location"]["lines"]["begin"].as_u64() >= Some(1), "{issue}");
    }
    assert!(issues.len() > 10, "{}", issues.len());

    // In a directory of the project, paths are those of the project.
    let mut command = workplace.command(&["scan", "bad.yaml", "--format", "gitlab"]);
    let root = workplace.path("");
    command.env("CI_PROJECT_DIR", root.parent().expect("a directory"));
    let printed = Printed::of(command.output().expect("the program runs"));
    let directory = root.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(printed.out.contains(&format!("\"{directory}/bad.yaml\"")), "{}", printed.out);
}

#[test]
fn github_gets_commands_that_it_reads() {
    let printed = scan(&tree(), "github");
    assert_eq!(printed.code, Some(2));
    let mut counts = [0, 0];
    for line in printed.out.lines() {
        let (head, message) = line.strip_prefix("::").and_then(|rest| rest.split_once("::")).expect("a command");
        let (command, properties) = head.split_once(' ').expect("properties");
        match command {
            "error" => counts[0] += 1,
            "warning" => counts[1] += 1,
            other => assert_eq!(other, "notice"),
        }
        assert!(!message.is_empty() && !properties.contains(':'), "{line}");
        for property in properties.split(',') {
            let (name, value) = property.split_once('=').expect("a value");
            assert!(["file", "line", "col", "endLine", "endColumn", "title"].contains(&name), "{line}");
            assert!(!value.is_empty(), "{line}");
        }
    }
    assert_eq!(counts, [5, 10]);
    assert!(printed.out.contains("::error file=a b%2C%3A%25é.yaml,line=8,col=35,"), "{}", printed.out);
    assert!(printed.error.contains("1 problem. "), "{}", printed.error);
}

#[test]
fn junit_has_a_suite_for_each_file() {
    let printed = scan(&tree(), "junit");
    let count = |text: &str| printed.out.matches(text).count();
    assert_eq!(count("<testsuite name="), 7, "{}", printed.out);
    assert_eq!((count("<failure "), count("<error ")), (4, 1), "{}", printed.out);
}
