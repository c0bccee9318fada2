//! What is published: every module with its metadata, the same each time and as `packages.lock` has it, and
//! nothing where something is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use host_test::package::{Digest, Lock, Source, package};
use host_test::{Host, Limits, inspect};
use podfence_core::testing::{USAGE, generate::is_blessing};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).expect("the root").to_owned()
}

fn host() -> Host {
    Host::new(Limits::default()).expect("an engine")
}

fn module(policy: &str) -> Vec<u8> {
    let path = root().join("target/policies").join(policy).with_extension("wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make all` builds it", path.display()))
}

fn source(policy: &str) -> Source {
    Source::load(&root().join("policies").join(policy)).expect("the files of the policy")
}

fn policies() -> Vec<String> {
    let directories = fs::read_dir(root().join("policies")).expect("the policies");
    let mut policies: Vec<String> = directories
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("fixtures.yaml").exists())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    policies.sort();
    policies
}

/// The digests are those of a pinned compiler, so a difference is a change of what is published.
#[test]
fn every_package_is_a_module_and_its_metadata_as_recorded() {
    let host = host();
    let mut packages = BTreeMap::new();
    for policy in policies() {
        let module = module(&policy);
        let packaged = package(&host, &module, &source(&policy)).unwrap_or_else(|error| panic!("{policy}: {error}"));
        assert!(packaged.starts_with(&module), "{policy}");
        let metadata = inspect::metadata(&packaged).expect("JSON").expect("a section");
        assert!(metadata["annotations"][USAGE].as_str().expect("a text").starts_with(&format!("# {policy}\n")));
        packages.insert(policy, Digest::of(&packaged));
    }
    // `make bless` records what is blessed after this.
    if is_blessing() {
        return;
    }
    let recorded = Lock::load(&root().join("packages.lock")).expect("packages.lock");
    let mut wrong = recorded.differences(&packages);
    let gone = recorded.0.keys().filter(|policy| !packages.contains_key(*policy));
    wrong.extend(gone.map(|policy| format!("{policy}: recorded, but no policy")));
    assert!(wrong.is_empty(), "`make bless` records what is meant:\n{}", wrong.join("\n"));
}

#[test]
fn what_is_not_the_raw_module_of_the_policy_is_refused() {
    let (host, raw) = (host(), module("privileged"));
    let packaged = package(&host, &raw, &source("privileged")).expect("a package");
    let mut with_empty_section = raw.clone();
    // A custom section: its id, its length, the length of its name, its name.
    with_empty_section.extend([0, 23, 22]);
    with_empty_section.extend(inspect::METADATA_SECTION.bytes());
    let annotated = "it has a section io.kubewarden.metadata already: package the module as it was built";
    let no_wasm = "not a wasm module: it does not start with the bytes `\\0asm` and version 1";
    let cases: [(&str, &[u8], &str); 6] = [
        ("nothing", b"", "the file is empty"),
        ("text", b"(module)", no_wasm),
        ("a module without waPC", b"\0asm\x01\0\0\0", "no export `memory`"),
        ("a package", &packaged, annotated),
        ("an empty section", &with_empty_section, annotated),
        (
            "another policy",
            &module("host-path"),
            "the module of privileged refuses settings of privileged, \
             {\"skipInitContainers\":false,\"skipEphemeralContainers\":false,\"otherKinds\":\"reject\"}: \
             unknown setting \"skipInitContainers\"",
        ),
    ];
    for (what, bytes, expected) in cases {
        let error = package(&host, bytes, &source("privileged")).expect_err(what).to_string();
        assert!(error.starts_with(expected), "{what}: {error}");
    }
    for length in [9, raw.len() / 2, raw.len() - 1] {
        let error = package(&host, &raw[..length], &source("privileged")).expect_err("a part").to_string();
        assert!(error.starts_with("invalid module: "), "{length} bytes: {error}");
    }
}

/// A directory with the files of `privileged`, and its module.
struct Workplace(TempDir);

impl Workplace {
    fn new() -> Workplace {
        let workplace = Workplace(tempfile::tempdir().expect("a directory"));
        for file in ["metadata.yml", "questions-ui.yml", "README.md"] {
            let text = fs::read(root().join("policies/privileged").join(file)).expect("a file");
            workplace.write(&format!("policies/privileged/{file}"), &text);
        }
        workplace.write("privileged.wasm", &module("privileged"));
        workplace
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    /// Runs `podfence package`: its exit code, and what it prints to standard output and standard error.
    fn package(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podfence"));
        let output = command.current_dir(&self.0).arg("package").args(arguments).output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

#[test]
fn files_that_are_not_the_policys_are_refused() {
    let metadata = Workplace::new().text("policies/privileged/metadata.yml");
    let without = |part: &str| {
        assert!(metadata.contains(part), "{part}");
        metadata.replace(part, "")
    };
    let with = |part: &str, other: &str| {
        assert!(metadata.contains(part), "{part}");
        metadata.replacen(part, other, 1)
    };
    let cases = [
        ("metadata.yml", "", "policies/privileged/metadata.yml: is empty"),
        ("metadata.yml", "a: 1\n---\nb: 2\n", "policies/privileged/metadata.yml: expected one document, found 2"),
        ("metadata.yml", "- a\n", "policies/privileged/metadata.yml: annotations: expected an object"),
        (
            "metadata.yml",
            &with("title: privileged", "title: host-path"),
            "policies/privileged/metadata.yml: io.kubewarden.policy.title: expected \"privileged\", found \"host-path\"",
        ),
        ("metadata.yml", &without("protocolVersion: v1\n"), "privileged.wasm: metadata: protocolVersion is not v1"),
        ("metadata.yml", &without("mutating: false\n"), "privileged.wasm: metadata: mutating is not a boolean"),
        (
            "metadata.yml",
            &with("- pods\n", "- pods\n  - \"*\"\n"),
            "privileged.wasm: metadata: rules[0].resources: expected \"*\" alone",
        ),
        (
            "metadata.yml",
            &with("- pods\n", "- pods/ephemeralcontainers\n"),
            "privileged.wasm: metadata: rules[0]: pods/ephemeralcontainers with CREATE: the audit scanner knows no \
             subresources; give it a rule of its own with UPDATE",
        ),
        (
            "questions-ui.yml",
            "{",
            "policies/privileged/questions-ui.yml: is not JSON: EOF while parsing an object at line 1 column 1",
        ),
        ("README.md", "", "policies/privileged/README.md: is empty"),
    ];
    for (file, text, expected) in cases {
        let workplace = Workplace::new();
        workplace.write(&format!("policies/privileged/{file}"), text.as_bytes());
        let expected = format!("error: {expected}\n");
        assert_eq!(workplace.package(&["privileged.wasm", "--out", "out"]), (Some(2), String::new(), expected));
        assert!(!workplace.path("out").exists());
    }
    let workplace = Workplace::new();
    workplace.write("other.wasm", b"");
    let (code, _, error) = workplace.package(&["other.wasm"]);
    assert_eq!((code, error.as_str()), (Some(2), "error: other.wasm: is empty\n"));
    workplace.write("other.wasm", &module("privileged"));
    let (code, _, error) = workplace.package(&["other.wasm"]);
    assert_eq!(code, Some(2));
    assert!(error.starts_with("error: policies/other/metadata.yml: No such file"), "{error}");
}

#[test]
fn a_package_is_recorded_and_compared() {
    let workplace = Workplace::new();
    let arguments = ["privileged.wasm", "--out", "out", "--lock", "packages.lock"];
    let locked = [&arguments[..], &["--locked"]].concat();
    let (code, _, error) = workplace.package(&locked);
    assert_eq!(code, Some(2));
    assert!(error.starts_with("error: packages.lock: No such file"), "{error}");

    // What was recorded of a policy that is there stays, what was of another goes.
    let other = |name: &str| format!("{name}:\n  bytes: 1\n  sha256: \"00\"\n");
    workplace.write("packages.lock", format!("{}{}", other("gone"), other("kept")).as_bytes());
    fs::create_dir(workplace.path("policies/kept")).expect("a directory");
    let (code, _, error) = workplace.package(&locked);
    let packaged = package(&host(), &module("privileged"), &source("privileged")).expect("a package");
    let Digest { bytes, sha256 } = Digest::of(&packaged);
    assert_eq!(
        (code, error),
        (Some(1), "privileged: not recorded\npackages.lock: `make bless` records what is meant\n".to_owned())
    );
    assert!(!workplace.path("out").exists());

    let (code, out, error) = workplace.package(&arguments);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(out.contains(&format!(" privileged   {bytes}   {sha256} ")), "{out}");
    assert_eq!(fs::read(workplace.path("out/privileged.wasm")).expect("a package"), packaged);
    let lock = workplace.text("packages.lock");
    let comment = "# What is published of each policy; `make bless` records it.\n";
    assert_eq!(lock, format!("{comment}{}privileged:\n  bytes: {bytes}\n  sha256: {sha256}\n", other("kept")));
    assert_eq!(workplace.package(&locked).0, Some(0));

    let metadata = workplace.text("policies/privileged/metadata.yml").replace("0.1.0", "0.1.1");
    workplace.write("policies/privileged/metadata.yml", metadata.as_bytes());
    let (code, _, error) = workplace.package(&locked);
    assert_eq!(code, Some(1));
    let recorded = format!("recorded are {bytes} bytes, sha256 {sha256}\n");
    assert!(error.starts_with(&format!("privileged: {bytes} bytes, sha256 ")) && error.contains(&recorded), "{error}");
    assert_eq!(fs::read(workplace.path("out/privileged.wasm")).expect("a package"), packaged);
}

#[test]
fn a_lock_that_is_none_is_explained() {
    let workplace = Workplace::new();
    for (text, expected) in [
        ("- a\n", "expected bytes and sha256 of each policy: invalid type: sequence, expected a map"),
        ("privileged: {bytes: 1}\n", "expected bytes and sha256 of each policy: missing field `sha256`"),
        (
            "privileged: {bytes: 1, sha256: x, md5: y}\n",
            "expected bytes and sha256 of each policy: unknown field `md5`, expected `bytes` or `sha256`",
        ),
    ] {
        workplace.write("packages.lock", text.as_bytes());
        let (code, _, error) = workplace.package(&["privileged.wasm", "--out", "out", "--lock", "packages.lock"]);
        assert_eq!((code, error), (Some(2), format!("error: packages.lock: {expected}\n")));
        assert!(!workplace.path("out").exists());
    }
}

#[test]
fn a_module_is_never_overwritten() {
    let workplace = Workplace::new();
    let (code, _, error) = workplace.package(&["privileged.wasm", "--out", "."]);
    let expected = "error: privileged.wasm: --out is where it is; expected another directory\n";
    assert_eq!((code, error.as_str()), (Some(2), expected));
    workplace.write("copy/privileged.wasm", &module("privileged"));
    let (code, _, error) = workplace.package(&["privileged.wasm", "copy/privileged.wasm", "--out", "out"]);
    let expected = "error: copy/privileged.wasm: another module has that name, too\n";
    assert_eq!((code, error.as_str()), (Some(2), expected));
}
