//! The snippets of the page on installing: they are read by their readers, and their commands run.

use std::collections::BTreeMap;

use podfence_support::{Workplace, root};
use serde_json::Value;

use super::release::{Release, VERSION, machine};
use super::{strings, text, yaml};

const PAGE: &str = "host-test/podfence/README.md";
const MARK: &str = "<!-- snippet: ";
const TARGET: &str = "x86_64-unknown-linux-musl";

/// The snippets by name.
fn snippets() -> BTreeMap<String, String> {
    let page = text(PAGE);
    let parts = page.split(MARK).skip(1).map(|part| {
        let (name, rest) = part.split_once(" -->\n```").expect("a block after the mark");
        let (_, block) = rest.split_once('\n').expect("a line");
        let (block, _) = block.split_once("```").expect("the end of the block");
        (name.to_owned(), block.to_owned())
    });
    parts.collect()
}

fn snippet(name: &str) -> String {
    let snippet = snippets().remove(name).unwrap_or_else(|| panic!("{PAGE}: no snippet {name}"));
    let lines = snippet.lines().count();
    assert!(lines <= 10, "{name}: {lines} lines");
    snippet
}

#[test]
fn every_snippet_is_tested() {
    let names: Vec<String> = snippets().into_keys().collect();
    assert_eq!(names, ["code scanning", "container", "github", "gitlab", "pre-commit", "shell"]);
}

#[test]
fn the_readme_shows_the_same() {
    for name in ["github", "pre-commit"] {
        let block = format!("```yaml\n{}```\n", snippet(name));
        assert!(text("README.md").contains(&block), "README.md: expected the snippet {name} of {PAGE}:\n{block}");
    }
}

/// The pages name the release that they come with.
#[test]
fn versions_are_this_version() {
    for page in [PAGE, "README.md"] {
        let text = text(page);
        for before in ["podfence@v", "rev: v", "releases/download/v", "refs/tags/v", "podfence-", "podfence:v"] {
            let after = text.match_indices(before).map(|(at, _)| &text[at + before.len()..]);
            for version in after.filter(|after| after.starts_with(|letter: char| letter.is_ascii_digit())) {
                assert!(version.starts_with(VERSION), "{page}: {before}{}", version.lines().next().unwrap_or_default());
            }
        }
    }
}

/// Two files of a shop, and podfence.
fn shop() -> Workplace {
    let workplace = Workplace::new(env!("CARGO_BIN_EXE_podfence"));
    for name in ["exporter.yaml", "web.yaml"] {
        let path = root().join("host-test/podfence/tests/scan/shop").join(name);
        workplace.write(&format!("deploy/{name}"), std::fs::read(path).expect("a manifest"));
    }
    workplace
}

/// Runs podfence itself with these arguments: it finds what is to be found, and writes what is asked for.
fn scans(arguments: &[&str], code: i32, writes: Option<&str>) {
    let workplace = shop();
    let modules = podfence_support::modules();
    let modules = ["--modules", modules.to_str().expect("UTF-8")];
    let (scan, rest) = arguments.split_first().expect("a command");
    workplace.ends(&[&[*scan], &modules[..], rest].concat(), code);
    if let Some(file) = writes {
        assert!(!workplace.read(file).is_empty(), "{file}");
    }
}

/// The steps that use the action, and what each gives it.
fn uses(workflow: &Value) -> (&Value, &Value) {
    let steps = workflow["jobs"]["podfence"]["steps"].as_array().expect("steps");
    let action = |step: &&Value| step["uses"] == format!("podfence/podfence@v{VERSION}");
    let step = steps.iter().find(action).expect("a step that uses the action");
    (&step["with"], &workflow["permissions"])
}

#[test]
fn the_workflows_of_github_give_inputs_that_the_action_has() {
    let inputs = yaml(&text("action.yml"))["inputs"].clone();
    for (name, permissions, arguments, code, writes) in [
        ("github", "contents: read", &["scan", "--format", "github", "--", "deploy"][..], 1, None),
        (
            "code scanning",
            "contents: read, security-events: write",
            &["scan", "--format", "github", "--fail-on", "never", "--output", "sarif=podfence.sarif", "--", "."],
            0,
            Some("podfence.sarif"),
        ),
    ] {
        let workflow = yaml(&snippet(name));
        let (with, asked) = uses(&workflow);
        assert_eq!(*asked, yaml(&format!("{{{permissions}}}")), "{name}");
        // As the action passes them on.
        let given =
            |input: &str| with.get(input).unwrap_or(&inputs[input]["default"]).as_str().expect("a text").to_owned();
        let names = with.as_object().expect("inputs").keys();
        assert!(names.clone().all(|input| inputs.get(input).is_some()), "{name}: {names:?}");
        let release = Release::new(TARGET, "podfence");
        let workplace = machine("Linux", "x86_64", &[])
            .with("PODFENCE_URL", &release.url())
            .with("RUNNER_TEMP", "temp")
            .with("PATHS", &given("paths"))
            .with("ARGS", &given("args"))
            .with("FORMAT", &given("format"))
            .with("SARIF", &given("sarif"));
        let script = root().join("host-test/podfence/install/action.sh");
        assert_eq!(workplace.succeeds(&[script]), printed(arguments), "{name}");
        scans(arguments, code, writes);
    }
}

/// What the program of a release of these tests prints.
fn printed(arguments: &[&str]) -> String {
    arguments.iter().map(|argument| format!("<{argument}>\n")).collect()
}

/// Runs lines of shell on a machine with this archive, from a release that is here.
fn runs(lines: &str, archive: &str, changed: bool, programs: &[(&str, &str)]) -> (Option<i32>, String) {
    let release = Release::new(TARGET, "podfence");
    let digest = release.digest(archive);
    if changed {
        release.put(archive, "another");
    }
    let public = format!("https://github.com/podfence/podfence/releases/download/v{VERSION}");
    assert!(lines.contains(&public), "{lines}");
    let workplace = machine("Linux", "x86_64", programs)
        .with("PODFENCE_SHA256", &digest)
        .with("NAME", archive.trim_end_matches(".tar.gz"));
    // Each line must succeed, as in a pipeline.
    let ended = workplace.run(&["-e", "-c", &lines.replace(&public, &release.url())]);
    (ended.code, ended.out)
}

#[test]
fn the_lines_of_shell_verify_and_scan() {
    let archive = format!("podfence-{VERSION}-{TARGET}.tar.gz");
    let (code, out) = runs(&snippet("shell"), &archive, false, &[]);
    assert_eq!((code, out.as_str()), (Some(0), format!("{archive}: OK\n<scan>\n").as_str()));
    let (code, out) = runs(&snippet("shell"), &archive, true, &[]);
    assert_eq!((code, out.as_str()), (Some(1), format!("{archive}: FAILED\n").as_str()));
    scans(&["scan"], 1, None);
}

#[test]
fn the_job_of_gitlab_verifies_scans_and_reports() {
    let job = yaml(&snippet("gitlab"))["podfence"].clone();
    assert_eq!(job["variables"]["NAME"], format!("podfence-{VERSION}-{TARGET}"));
    let archive = format!("podfence-{VERSION}-{TARGET}.tar.gz");
    let report = job["artifacts"]["reports"]["codequality"].as_str().expect("a file").to_owned();
    assert_eq!(job["artifacts"]["when"], "always", "findings end the job with 1");
    let lines = strings(&job["script"]).join("\n");
    // Where there is no wget, curl stands for it.
    let wget = [("wget", "case $1 in -q) exec curl --silent --fail --remote-name \"$2\" ;; *) exit 9 ;; esac")];
    let output = format!("gitlab={report}");
    let arguments = ["scan", "--output", &output];
    let (code, out) = runs(&lines, &archive, false, &wget);
    assert_eq!((code, out), (Some(0), format!("{archive}: OK\n{}", printed(&arguments))));
    assert_eq!(runs(&lines, &archive, true, &wget).0, Some(1));
    scans(&arguments, 1, Some(&report));
}

#[test]
fn the_configuration_of_pre_commit_names_a_hook() {
    let repository = yaml(&snippet("pre-commit"))["repos"][0].clone();
    assert_eq!(repository["repo"], "https://github.com/podfence/podfence");
    assert_eq!(repository["rev"], format!("v{VERSION}"));
    let hooks = yaml(&text(".pre-commit-hooks.yaml"));
    let hooks: Vec<&Value> = hooks.as_array().expect("hooks").iter().map(|hook| &hook["id"]).collect();
    assert!(hooks.contains(&&repository["hooks"][0]["id"]), "{hooks:?}");
}

#[test]
fn the_container_is_told_to_scan() {
    let line = snippet("container");
    let (docker, arguments) = line.trim().split_once(&format!(":v{VERSION} ")).expect("the image");
    assert!(docker.starts_with("docker run --rm --network none --volume \"$PWD:/work:ro\" "), "{docker}");
    scans(&arguments.split(' ').collect::<Vec<_>>(), 1, None);
}
