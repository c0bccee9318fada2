//! The files that GitHub, pre-commit and builders of images read: what they may do, and that what they name exists.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use podfence_support::{Workplace, root};
use serde_json::Value;

use super::{strings, text, yaml};

const INSTALL: &str = "host-test/podfence/install";

/// All `run` of steps, with the names of what surrounds them.
fn scripts(steps: &Value) -> Vec<&str> {
    steps.as_array().into_iter().flatten().filter_map(|step| step["run"].as_str()).collect()
}

#[test]
fn the_action_passes_every_input_on_and_evaluates_none() {
    let action = yaml(&text("action.yml"));
    let steps = &action["runs"]["steps"];
    assert_eq!(scripts(steps), [format!("sh \"$GITHUB_ACTION_PATH/{INSTALL}/action.sh\"")]);
    let environment = steps[0]["env"].as_object().expect("an environment");
    let inputs: BTreeSet<String> = action["inputs"].as_object().expect("inputs").keys().cloned().collect();
    let used: BTreeSet<String> = environment
        .values()
        .filter_map(|value| value.as_str()?.strip_prefix("${{ inputs.")?.strip_suffix(" }}"))
        .map(str::to_owned)
        .collect();
    assert_eq!(used, inputs);
    let read = text(&format!("{INSTALL}/action.sh")) + &text(&format!("{INSTALL}/download.sh"));
    for variable in environment.keys() {
        assert!(read.contains(&format!("${variable}")) || read.contains(&format!("${{{variable}:-")), "{variable}");
    }
    assert_eq!(environment["PODFENCE_SIGNATURE"], "required");
    let page = text("host-test/podfence/README.md");
    for input in &inputs {
        assert!(page.contains(&format!("\n| `{input}` | ")), "{input} is not in the table of inputs");
    }
}

/// pre-commit gives a hook the names of the files that change.
#[test]
fn the_hooks_judge_the_files_that_change() {
    let hooks = yaml(&text(".pre-commit-hooks.yaml"));
    let entries: Vec<Vec<&str>> = hooks
        .as_array()
        .expect("hooks")
        .iter()
        .map(|hook| hook["entry"].as_str().expect("an entry").split(' ').collect())
        .collect();
    let [[script, first @ ..], [command, second @ ..]] = [&entries[0][..], &entries[1][..]] else {
        panic!("{entries:?}")
    };
    assert_eq!(entries.len(), 2);
    assert_eq!((*command, first), ("podfence", second));
    let mode = fs::metadata(root().join(script)).expect("the script of the hook").permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "{script} is not executable");
    let workplace = Workplace::new(env!("CARGO_BIN_EXE_podfence"));
    let modules = podfence_support::modules();
    for (name, content, code) in [
        ("values.yaml", "image: {tag: latest}\n".to_owned(), 0),
        ("templates/deployment.yaml", "kind: {{ .Values.kind }}\n".to_owned(), 0),
        ("good.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: good}\nspec: {containers: [{name: c, image: i}]}\n".to_owned(), 0),
        ("bad.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {hostPID: true, containers: [{name: c, image: i}]}\n".to_owned(), 1),
        ("broken.yaml", "apiVersion: v1\nkind: [Pod\n".to_owned(), 2),
    ] {
        workplace.write(name, content);
        let more = ["--modules", modules.to_str().expect("UTF-8"), name];
        workplace.ends(&[first, &more].concat(), code);
    }
}

#[test]
fn the_image_has_the_program_and_no_root() {
    let recipe = text(&format!("{INSTALL}/Containerfile"));
    let instructions: Vec<(&str, &str)> = recipe
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ' ']))
        .map(|line| line.split_once(' ').expect("an instruction with arguments"))
        .collect();
    let all = |instruction: &str| -> Vec<&str> {
        instructions.iter().filter(|(name, _)| *name == instruction).map(|(_, arguments)| *arguments).collect()
    };
    assert_eq!(all("FROM"), ["scratch"]);
    assert_eq!(all("RUN"), [""; 0], "there is no shell in it");
    let user = all("USER").pop().expect("a user").split(':').map(|id| id.parse::<u32>().expect("a number"));
    assert!(user.clone().count() == 2 && user.clone().all(|id| id > 0));
    assert_eq!(all("ENTRYPOINT"), ["[\"/usr/bin/podfence\"]"]);
    let sources: Vec<&str> = all("COPY").iter().filter_map(|copy| copy.split(' ').next()).collect();
    assert_eq!(sources, ["LICENSE", "${TARGETARCH}/podfence"]);
    let layout = text(&format!("{INSTALL}/image.sh"));
    for part in ["LICENSE", "platform=amd64", "platform=arm64", "/podfence\""] {
        assert!(layout.contains(part), "{part}");
    }
    for label in ["title", "description", "licenses", "source", "version", "revision"] {
        assert!(recipe.contains(&format!("org.opencontainers.image.{label}=")), "{label}");
    }
}

/// The jobs of the workflows.
fn jobs() -> Vec<(String, Value)> {
    let mut jobs = Vec::new();
    for name in ["ci", "release"] {
        let workflow = yaml(&text(&format!(".github/workflows/{name}.yml")));
        // What a job has beyond that, it asks for.
        let least = &workflow["permissions"];
        assert!(
            *least == serde_json::json!({}) || *least == serde_json::json!({"contents": "read"}),
            "{name}: {least}"
        );
        let of_workflow = workflow["jobs"].as_object().expect("jobs");
        jobs.extend(of_workflow.iter().map(|(job, value)| (format!("{name}: {job}"), value.clone())));
    }
    jobs
}

fn writes(job: &Value) -> Vec<&str> {
    let permissions = job["permissions"].as_object().into_iter().flatten();
    permissions.filter(|(_, value)| *value == "write").map(|(name, _)| name.as_str()).collect()
}

#[test]
fn actions_are_pinned_and_scripts_hold_no_expression() {
    for (name, job) in jobs() {
        assert!(job["timeout-minutes"].is_u64(), "{name} has no end");
        for step in job["steps"].as_array().expect("steps") {
            if let Some(uses) = step["uses"].as_str() {
                let (_, commit) = uses.split_once('@').expect("a version");
                assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: {uses}");
                let keeps = uses.starts_with("actions/checkout@") && step["with"]["persist-credentials"] != false;
                assert!(!keeps, "{name}: the checkout keeps its token");
            }
        }
        for script in scripts(&job["steps"]) {
            assert!(!script.contains("${{"), "{name}: {script}");
        }
    }
}

/// What builds runs code of every dependency.
#[test]
fn what_has_an_identity_or_a_secret_builds_nothing() {
    let mut trusted = Vec::new();
    for (name, job) in jobs() {
        if writes(&job).is_empty() && !job.to_string().contains("secrets.") {
            continue;
        }
        for script in scripts(&job["steps"]) {
            for builder in ["cargo", "make", "rustup", "npm", "pip", "host-test/", ".ci/", "curl", "wget"] {
                assert!(!script.contains(builder), "{name}: {builder}: {script}");
            }
        }
        trusted.push((name, writes(&job).join(" ")));
    }
    let expected =
        [("release: publish", ""), ("release: sign", "attestations id-token"), ("release: release", "contents")];
    assert_eq!(trusted, expected.map(|(name, writes)| (name.to_owned(), writes.to_owned())));
}

/// The release has an archive for each machine that `download.sh` knows.
#[test]
fn every_machine_that_downloads_has_a_release() {
    let release = yaml(&text(".github/workflows/release.yml"));
    let built = release["jobs"]["programs"]["strategy"]["matrix"]["include"].as_array().expect("a matrix");
    let built: BTreeSet<&str> = built.iter().map(|row| row["target"].as_str().expect("a target")).collect();
    let script = text(&format!("{INSTALL}/download.sh"));
    let known: BTreeSet<&str> =
        script.split("target=").skip(1).filter_map(|rest| rest.split([' ', '\n']).next()).collect();
    assert_eq!(known, built);
    let page = text("host-test/podfence/README.md");
    for target in built {
        assert!(page.contains(&format!("`{target}`")), "{target}");
    }
    let needs = |job: &str| strings(&release["jobs"][job]["needs"]).join(" ");
    assert_eq!(needs("publish"), "build archives");
}
