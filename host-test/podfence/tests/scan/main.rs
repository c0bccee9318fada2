//! `podfence scan` over trees of files: what is found where, what is accepted, and how it ends.

mod checks;
mod corpora;
mod fixing;
mod formats;
#[cfg(unix)]
mod hostile;
#[cfg(unix)]
mod render;
mod validating;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use podfence_fixtures::generated;
use podfence_support::{Printed, Workplace, root};
use serde::Deserialize;
use serde_json::Value;

const CASES: &str = include_str!("cases.yaml");

/// A privileged Pod; the finding is at 8:35.
const BAD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec:\n  containers:\n  - name: c\n    image: i\n    securityContext: {privileged: true}\n";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    files: BTreeMap<String, String>,
    input: Option<String>,
    arguments: Option<Vec<String>>,
    code: i32,
    #[serde(default)]
    finds: Vec<String>,
    #[serde(default)]
    problems: Vec<String>,
    /// What standard error has.
    error: Option<String>,
    #[serde(default)]
    counts: BTreeMap<String, u64>,
    #[serde(default)]
    hints: Vec<String>,
    #[serde(default)]
    notes: Vec<String>,
}

fn workplace() -> Workplace {
    Workplace::new(env!("CARGO_BIN_EXE_podfence"))
}

/// Runs the program with this standard input.
fn run(workplace: &Workplace, arguments: &[&str], input: &str) -> Printed {
    let mut command = workplace.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    // A program that reads nothing may have ended.
    let _ = child.stdin.take().expect("standard input").write_all(input.as_bytes());
    Printed::of(child.wait_with_output().expect("the program ends"))
}

/// The findings of a report in the order of files and lines, each with the members of its object.
fn findings(report: &Value) -> Vec<Value> {
    let mut findings = Vec::new();
    for object in report["objects"].as_array().into_iter().flatten() {
        for finding in object["findings"].as_array().into_iter().flatten() {
            let mut finding = finding.clone();
            for member in ["file", "via", "object"] {
                finding[member] = object[member].clone();
            }
            findings.push(finding);
        }
    }
    findings.sort_by_key(|finding| (text(&finding["file"]).to_owned(), finding["bytes"][0].as_u64()));
    findings
}

fn place(finding: &Value) -> String {
    format!("{}:{}:{}", text(&finding["file"]), finding["line"], finding["col"])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// As `finds` has it.
fn shown(finding: &Value) -> String {
    let mut shown = format!("{} {} {}", place(finding), text(&finding["severity"]), text(&finding["control"]));
    if let Some(via) = finding["via"].as_str() {
        shown += &format!(" via {via}");
    }
    if let Some(suppressed) = finding.get("suppressed") {
        shown += &format!(" ({}: {})", text(&suppressed["kind"]), text(&suppressed["reason"]));
    }
    shown
}

fn problem(problem: &Value) -> String {
    let position = match &problem["position"] {
        Value::Null => String::new(),
        position => format!(":{}:{}", position["line"], position["col"]),
    };
    format!("{}{position} {}", text(&problem["file"]), text(&problem["message"]))
}

/// What is wrong with the outcome of a case.
fn check(case: &Case) -> Vec<String> {
    let workplace = workplace();
    for (name, text) in &case.files {
        workplace.write(name, text.replace("{bad}", BAD));
    }
    let usual = ["--enforce", "baseline"].map(str::to_owned).to_vec();
    let arguments = case.arguments.as_ref().unwrap_or(&usual);
    let mut command = vec!["scan", "--format", "json"];
    command.extend(arguments.iter().map(String::as_str));
    let input = case.input.as_ref().map(|input| input.replace("{bad}", BAD));
    let Printed { code, out, error } = run(&workplace, &command, input.as_deref().unwrap_or_default());
    let report: Value = serde_json::from_str(&out).unwrap_or_default();
    let list = |member: &Value, show: fn(&Value) -> String| -> Vec<String> {
        member.as_array().into_iter().flatten().map(show).collect()
    };
    let summary = &report["summary"];
    let words = |value: &Value| text(value).to_owned();
    let mut differences = Vec::new();
    let mut compare = |what: &str, expected: String, found: String| {
        if expected != found {
            differences.push(format!("{}: {what}:\n  expected {expected}\n  found    {found}", case.name));
        }
    };
    compare("code", format!("{:?}", Some(case.code)), format!("{code:?}"));
    let is_said = match &case.error {
        Some(expected) => error.contains(expected),
        None => error.is_empty(),
    };
    let said = if is_said { String::new() } else { error };
    compare("error", String::new(), said);
    let found: Vec<String> = findings(&report).iter().map(shown).collect();
    compare("findings", case.finds.join("\n           "), found.join("\n           "));
    let mut problems = list(&report["problems"], problem);
    for (found, expected) in problems.iter_mut().zip(&case.problems) {
        if let Some(start) = expected.strip_suffix('*').filter(|start| found.starts_with(start)) {
            *found = format!("{start}*");
        }
    }
    compare("problems", case.problems.join("\n           "), problems.join("\n           "));
    for (name, expected) in &case.counts {
        compare(name, expected.to_string(), summary[name].to_string());
    }
    compare("hints", case.hints.join("; "), list(&summary["hints"], words).join("; "));
    compare("notes", case.notes.join("; "), list(&summary["notes"], words).join("; "));
    differences
}

#[test]
fn scans_find_what_the_cases_say() {
    let cases: Vec<Case> = serde_saphyr::from_str(CASES).expect("cases.yaml");
    let differences: Vec<String> = cases.iter().flat_map(check).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What the README shows: `podfence scan` over the files in `shop`.
#[test]
fn the_readme_shows_a_real_run() -> Result<(), String> {
    let workplace = workplace();
    for (name, text) in
        [("web.yaml", include_str!("shop/web.yaml")), ("exporter.yaml", include_str!("shop/exporter.yaml"))]
    {
        workplace.write(&format!("shop/{name}"), text);
    }
    let (out, _) = workplace.ends(&["scan", "shop"], 1);
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path).expect("a README");
    let screen = format!("```console\n$ podfence scan shop\n{}```\n", out.trim_start());
    generated::is_current(&path, &generated::between(&readme, "scan", &screen)?)
}

#[test]
fn the_outcome_does_not_depend_on_the_number_of_threads() {
    let workplace = workplace();
    for index in 0..40 {
        workplace.write(&format!("{index}.yaml"), format!("{BAD}---\n{BAD}"));
    }
    let outcomes = ["1", "2", "7"].map(|jobs| workplace.ends(&["scan", "--format", "json", "--jobs", jobs], 1).0);
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
}

#[test]
fn a_baseline_accepts_what_is_in_it_and_no_more() {
    let workplace = workplace();
    workplace.write("podfence.yaml", "enforce: baseline\nbaseline: accepted.json\n");
    workplace.write("a.yaml", BAD);
    workplace.ends(&["scan"], 2);
    assert_eq!(workplace.ends(&["scan", "--write-baseline"], 0).1, "accepted.json: 1 entry\n");
    let (out, _) = workplace.ends(&["scan"], 0);
    assert_eq!(out, "No findings in 1 object of 1 file. Suppressed: 1 finding.\n");

    // Moved, it is the same finding; twice, one more.
    std::fs::create_dir(workplace.path("moved")).expect("a directory");
    std::fs::rename(workplace.path("a.yaml"), workplace.path("moved/b.yaml")).expect("a file");
    workplace.ends(&["scan"], 0);
    workplace.write("a.yaml", BAD);
    assert!(workplace.ends(&["scan", "--format", "concise"], 1).0.lines().count() == 1);

    workplace.write("moved/b.yaml", BAD.replace("true", "false"));
    workplace.write("a.yaml", BAD.replace("true", "false"));
    workplace.write("accepted.json", workplace.text("accepted.json").replace("a.yaml", "moved/b.yaml"));
    let (out, _) = workplace.ends(&["scan"], 0);
    assert!(out.contains("accepted.json: 1 finding is fixed; write the baseline again"), "{out}");
}

#[test]
fn a_baseline_keeps_what_was_not_read_and_counts_for_what_it_says() {
    let workplace = workplace();
    workplace.write("podfence.yaml", "enforce: baseline\nbaseline: accepted.json\n");
    workplace.write("a/a.yaml", BAD);
    workplace.write("b/b.yaml", BAD.replace("name: bad", "name: other"));
    assert_eq!(workplace.ends(&["scan", "--write-baseline"], 0).1, "accepted.json: 2 entries\n");
    assert_eq!(workplace.ends(&["scan", "a", "--write-baseline"], 0).1, "accepted.json: 2 entries\n");
    workplace.write("empty/values.yaml", "replicas: 1\n");
    let error = workplace.fails(2, &["scan", "empty", "--write-baseline"]);
    assert!(error.contains("nothing was judged") && error.contains("the baseline stays as it was"), "{error}");
    workplace.ends(&["scan"], 0);

    // Who reviews the file must not be told another name than the one that is accepted.
    workplace.write("accepted.json", workplace.text("accepted.json").replace("\"bad\"", "\"harmless\""));
    assert!(workplace.ends(&["scan", "--format", "concise"], 1).0.starts_with("a/a.yaml:8:35: error[privileged] "));
}

#[test]
fn exceptions_are_accepted_once_a_person_gave_a_reason() {
    let workplace = workplace();
    workplace.write("a.yaml", BAD);
    let exceptions = workplace.ends(&["scan", "--write-exceptions"], 0).0;
    workplace.write("podfence.yaml", &exceptions);
    assert!(workplace.fails(2, &["scan"]).contains("podfence.yaml: line 9, column 11: "), "{exceptions}");
    workplace.write("podfence.yaml", exceptions.replace("TODO", "sets sysctls"));
    let (out, _) = workplace.ends(&["scan", "--enforce", "baseline"], 0);
    assert_eq!(out, "No findings in 1 object of 1 file. Suppressed: 1 finding.\n");
}

#[test]
fn reports_go_to_files_as_well() {
    let workplace = workplace();
    workplace.write("a.yaml", BAD);
    let command = ["scan", "--enforce", "baseline", "--format", "concise", "--output", "json=report.json"];
    let (out, _) = workplace.ends(&command, 1);
    let expected = "a.yaml:8:35: error[privileged] Pod default/bad: container \"c\" must not set \
        securityContext.privileged=true; set securityContext.privileged to false or remove it; add the capabilities \
        that are needed instead; https://github.com/podfence/podfence/tree/v0.2.0/policies/pod-security-standards\n";
    assert_eq!(out, expected);
    let report: Value = serde_json::from_str(&workplace.text("report.json")).expect("JSON");
    assert_eq!(report["version"], "podfence/scan/v1");
    assert_eq!(report["summary"]["errors"], 1);
    assert_eq!(
        workplace.fails(2, &["scan", "--output", "xml=a"]).lines().next(),
        Some("error: invalid value 'xml=a' for '--output <FORMAT=FILE>': invalid variant: xml")
    );
}

#[test]
fn the_configuration_in_the_docs_is_one() {
    let docs = std::fs::read_to_string(root().join("host-test/scan/README.md")).expect("a page");
    let (_, behind) = docs.split_once("## Configuration").expect("a section");
    let (_, behind) = behind.split_once("```yaml\n").expect("an example");
    let (example, _) = behind.split_once("```").expect("an end");
    let workplace = workplace();
    workplace.write("podfence.yaml", example.replace("baseline: .podfence-baseline.json\n", ""));
    workplace.write("a.yaml", BAD);
    let (out, error) = workplace.ends(&["scan", "--format", "concise"], 1);
    assert!(out.contains("\na.yaml:8:35: error[privileged] "), "{out}{error}");
}

#[cfg(unix)]
#[test]
fn bench_measures_a_scan_step_by_step() {
    let workplace = workplace();
    workplace.write("manifests/bad.yaml", BAD);
    workplace.write("manifests/values.yaml", "replicas: 1\n");
    workplace.write("README.md", "<!-- scan-figures:start -->\n<!-- scan-figures:end -->\n");
    let modules = root().join("target/policies");
    let modules = modules.to_str().expect("UTF-8");
    let bench = ["bench", "--scan", "manifests", "--rounds", "1", "--modules", modules, "--beside", "cat manifests/*"];
    let figures = workplace.succeeds(&[&bench[..], &["-o", "json", "--figures", "README.md"]].concat());
    let figures: Value = serde_json::from_str(&figures).expect("JSON");
    assert_eq!((&figures["files"], &figures["objects"]), (&2.into(), &1.into()));
    let is_positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0);
    let steps = figures["steps"].as_array().expect("a list");
    assert!(steps.iter().all(|step| is_positive(&step["perObject"])), "{figures}");
    let names: Vec<&str> = steps.iter().map(|step| text(&step["name"])).collect();
    assert_eq!(names, ["the events of the parser", "the reader", "the scan"]);
    let commands: Vec<&str> =
        figures["commands"].as_array().expect("a list").iter().map(|of| text(&of["command"])).collect();
    let ours = ["podfence scan --jobs 1 --format json", "podfence scan --jobs 1 --format human"];
    assert_eq!(commands, [ours[0], ours[1], "cat manifests/*"]);
    assert!(is_positive(&figures["twoThreads"]) && is_positive(&figures["start"]["byTheClock"]), "{figures}");
    assert!(is_positive(&figures["memory"]["onePod"]) && is_positive(&figures["memory"]["findings"]), "{figures}");
    let readme = workplace.text("README.md");
    assert!(readme.contains("\n| the reader | the events of the parser | "), "{readme}");

    let human = workplace.succeeds(&bench);
    for expected in ["1 objects in 2 files", "the reader", "cat manifests/*", "two threads", "start: ", "memory: "] {
        assert!(human.contains(expected), "{expected} in {human}");
    }
}

#[cfg(unix)]
#[test]
fn bench_says_why_a_scan_cannot_be_measured() {
    let workplace = workplace();
    workplace.write("manifests/bad.yaml", BAD);
    workplace.write("empty/values.yaml", "replicas: 1\n");
    let modules = root().join("target/policies");
    let modules = modules.to_str().expect("UTF-8");
    for (directory, beside, expected) in [
        ("none", "true", "error: none: No such file or directory (os error 2)\n"),
        ("empty", "true", "error: empty: there are no objects to measure with\n"),
        ("manifests", "no-such-command", "error: no-such-command: exit status: 127\n"),
    ] {
        let bench = ["bench", "--scan", directory, "--rounds", "1", "--modules", modules, "--beside", beside];
        assert_eq!(workplace.ends(&bench, 2).1, expected);
    }
    let both = workplace.ends(&["bench", "a.wasm", "--scan", "manifests"], 2).1;
    assert!(both.contains("cannot be used with"), "{both}");
}
