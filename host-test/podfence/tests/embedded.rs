//! A podfence that holds its modules needs no other file, and its modules are the published ones.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;

use podfence_support::{Workplace, root};
use serde::Deserialize;
use serde_json::Value;

const BAD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec:\n  hostPID: true\n  containers: [{name: c, image: i}]\n";

#[derive(Deserialize)]
struct Locked {
    bytes: usize,
    sha256: String,
}

fn locked() -> BTreeMap<String, Locked> {
    let lock = fs::read_to_string(root().join("packages.lock")).expect("packages.lock");
    let locked: BTreeMap<String, Locked> = serde_saphyr::from_str(&lock).expect("YAML");
    assert!(locked.len() > 10 && locked.values().all(|of| of.bytes > 0));
    locked
}

fn workplace() -> Workplace {
    Workplace::new(env!("CARGO_BIN_EXE_podfence"))
}

#[test]
fn the_modules_are_the_published_ones() {
    let workplace = workplace();
    let mut expected = format!("podfence {}\n", env!("CARGO_PKG_VERSION"));
    for (name, Locked { sha256, .. }) in locked() {
        expected += &format!("{name} sha256:{sha256}\n");
    }
    assert_eq!(workplace.succeeds(&["--version", "-v"]), expected);
    assert_eq!(workplace.succeeds(&["scan", "--verbose", "--version"]), expected);
    assert_eq!(workplace.succeeds(&["--version"]), format!("podfence {}\n", env!("CARGO_PKG_VERSION")));
}

/// Beside a copy of the program, there are no modules.
#[test]
fn one_file_is_enough() {
    let workplace = workplace();
    let program = workplace.path(&format!("podfence{}", std::env::consts::EXE_SUFFIX));
    fs::copy(env!("CARGO_BIN_EXE_podfence"), &program).expect("a copy");
    workplace.write("manifests/bad.yaml", BAD);
    workplace.write(
        "policies/policy.yaml",
        "apiVersion: policies.kubewarden.io/v1\nkind: ClusterAdmissionPolicy\nmetadata: {name: p}\nspec:\n  module: \
         registry://registry.example.com/host-namespaces:v1\n  settings: {}\n  rules:\n  - {apiGroups: [\"\"], \
         apiVersions: [v1], resources: [pods], operations: [CREATE]}\n  mutating: false\n",
    );
    let digest = |name: &str| Value::from(format!("sha256:{}", locked()[name].sha256));
    for (arguments, policy) in [
        (&["--enforce", "baseline"][..], "pod-security-standards"),
        (&["--policy", "host-namespaces"], "host-namespaces"),
        (&["--policies", "policies"], "host-namespaces"),
    ] {
        let mut command = std::process::Command::new(&program);
        command.current_dir(workplace.directory()).args(["scan", "manifests", "--format", "json"]).args(arguments);
        let output = command.output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["policies"][0]["digest"], digest(policy), "{arguments:?}");
    }
    for arguments in [
        &["run", "host-namespaces", "-r", "manifests/bad.yaml"][..],
        &["run", "--policies", "policies", "-r", "manifests/bad.yaml"],
    ] {
        let mut command = std::process::Command::new(&program);
        let output = command.current_dir(workplace.directory()).args(arguments).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(workplace.succeeds(&["inspect", "privileged"]).contains(&locked()["privileged"].sha256));
}

#[test]
fn a_directory_that_is_named_wins() {
    let workplace = workplace();
    workplace.write("bad.yaml", BAD);
    workplace.make_directory("empty");
    let error = workplace.fails(2, &["scan", "--modules", "empty"]);
    assert_eq!(
        error,
        "error: no module pod-security-standards.wasm in empty: build the modules with `make modules`, or name a \
         directory of modules with --modules\n"
    );
    workplace.write("own/privileged.wasm", "no module");
    let error = workplace.fails(2, &["scan", "--modules", "own", "--policy", "privileged"]);
    assert!(error.starts_with("error: own/privileged.wasm: "), "{error}");
}
