//! Scans of the cases of other engines' suites: the verdicts are those of the suites.

use std::collections::{BTreeMap, BTreeSet};

use podfence_support::{corpus, corpus_path};
use serde_json::{Value, json};

use super::{findings, text, workplace};

/// The lines of a corpus, or a message that the test is skipped.
fn cases(name: &str) -> Option<Vec<Value>> {
    let Some(lines) = corpus(name) else {
        eprintln!("skipped: {} is not there", corpus_path(name).display());
        return None;
    };
    Some(lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// The objects in which a scan of a stream finds errors, by name.
fn rejected(objects: &[Value], arguments: &[&str]) -> BTreeSet<String> {
    let workplace = workplace();
    let stream: Vec<String> = objects.iter().map(Value::to_string).collect();
    workplace.write("stream.yaml", stream.join("\n---\n"));
    for argument in arguments.iter().filter(|argument| argument.starts_with('{')) {
        workplace.write("policies.json", argument);
    }
    let mut command = vec!["scan", "stream.yaml", "--format", "json"];
    command.extend(arguments.iter().map(|of| if of.starts_with('{') { "policies.json" } else { of }));
    let printed = workplace.run(&command);
    // A constraint that forbids nothing gets no policy.
    if printed.error.contains("forbids nothing") {
        return BTreeSet::new();
    }
    let report: Value =
        serde_json::from_str(&printed.out).unwrap_or_else(|_| panic!("{arguments:?}: {}", printed.error));
    assert_eq!(report["problems"], json!([]), "{arguments:?}");
    let summary = &report["summary"];
    let counted = ["judged", "notSelected", "exempt"].iter().filter_map(|of| summary[*of].as_u64()).sum::<u64>();
    assert_eq!(counted, objects.len() as u64, "{arguments:?}: {summary}");
    let findings = findings(&report);
    let errors = findings.iter().filter(|finding| finding["severity"] == "error");
    errors.map(|finding| text(&finding["object"]["name"]).to_owned()).collect()
}

fn named(mut object: Value, name: String) -> Value {
    object["metadata"]["name"] = Value::String(name);
    object
}

#[test]
fn pods_are_rejected_as_in_the_suite_of_the_built_in_admission() {
    let Some(cases) = cases("pod-security-standards") else { return };
    let mut levels: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for case in &cases {
        for version in case["versions"].as_array().into_iter().flatten() {
            levels.entry(format!("{}:{}", text(&case["level"]), text(version))).or_default().push(case);
        }
    }
    let mut checked = 0;
    for (level, cases) in levels {
        let pods: Vec<Value> =
            cases.iter().map(|case| named(case["pod"].clone(), text(&case["id"]).to_owned())).collect();
        let failing = cases.iter().filter(|case| case["expect"] == "fail").map(|case| text(&case["id"]).to_owned());
        assert_eq!(rejected(&pods, &["--enforce", &level]), failing.collect(), "{level}");
        checked += pods.len();
    }
    assert!(checked > 4_000, "{checked}");
}

#[test]
fn objects_are_rejected_by_constraints_as_in_the_suites_of_gatekeeper() {
    let Some(cases) = cases("gatekeeper-suites") else { return };
    let mut constraints: BTreeMap<String, (Value, Vec<&Value>)> = BTreeMap::new();
    // Files hold no updates; and a rule that demands a group in one of no ranges is an error.
    let is_for_files = |case: &&Value| case["case"] != "update" && case["suite_test"] != "fsgroup-empty-ranges";
    for case in cases.iter().filter(is_for_files) {
        let constraint = json!({
            "apiVersion": "constraints.gatekeeper.sh/v1beta1",
            "kind": case["template_kind"],
            "metadata": {"name": case["constraint"]},
            "spec": {"match": case["match"], "parameters": case["constraint_params"]},
        });
        constraints.entry(constraint.to_string()).or_insert_with(|| (constraint, Vec::new())).1.push(case);
    }
    let mut different = Vec::new();
    for (constraint, (_, cases)) in &constraints {
        let name = |index: usize| format!("case-{index}");
        let objects: Vec<Value> =
            cases.iter().enumerate().map(|(index, case)| named(case["object"].clone(), name(index))).collect();
        let rejected = rejected(&objects, &["--policies", constraint]);
        for (index, case) in cases.iter().enumerate() {
            if rejected.contains(&name(index)) != case["expect_violations"].as_bool().unwrap_or_default() {
                different.push(format!("{} {}", text(&case["suite_test"]), text(&case["case"])));
            }
        }
    }
    // Why is in host-test/CONFORMANCE.md.
    let known = [
        "apparmor example-allowed-override",
        "default-seccomp-required example-allowed-container",
        "default-seccomp-required example-allowed-global",
    ];
    assert_eq!(different, known);
}

/// The most bytes of `--format json` for each object of real repositories, with the default policies: 3 KiB. A tenth of
/// the findings is about a hostPath volume, whose message has the path.
const MOST_BYTES: usize = 3 * 1024;

#[test]
fn reports_of_real_workloads_are_small() {
    let Some(lines) = cases("real-workloads") else { return };
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut objects = 0;
    for line in lines.iter().filter(|line| line["object"].is_object()) {
        let mut file = format!("{}/{}", text(&line["repo"]), text(&line["path"]));
        if ![".yaml", ".yml", ".json"].iter().any(|extension| file.ends_with(extension)) {
            file += ".yaml";
        }
        files.entry(file).or_default().push(serde_json::to_string_pretty(&line["object"]).expect("JSON"));
        objects += 1;
    }
    let workplace = workplace();
    for (file, documents) in &files {
        workplace.write(&format!("tree/{file}"), documents.join("\n---\n"));
    }
    let others = ["sarif", "gitlab", "openreports", "junit", "concise"];
    let outputs: Vec<String> = others.iter().map(|format| format!("{format}=report.{format}")).collect();
    let mut command = vec!["scan", "tree", "--no-ignore", "--format", "json"];
    command.extend(outputs.iter().flat_map(|output| ["--output", output]));
    let json = workplace.run(&command).out;
    let report: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(report["summary"]["documents"], objects);
    assert!(findings(&report).len() > 10_000);

    let per_object = |bytes: usize| bytes / objects;
    eprintln!("bytes an object: json {}", per_object(json.len()));
    for format in others {
        eprintln!("bytes an object: {format} {}", per_object(workplace.read(&format!("report.{format}")).len()));
    }
    assert!(per_object(json.len()) <= MOST_BYTES, "{} bytes an object", per_object(json.len()));
}
