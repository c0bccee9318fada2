//! `podfence package`: what it writes, records and compares, and nothing where something is wrong.
#![forbid(unsafe_code)]

use std::fs;

use podfence_host::{Host, Limits};
use podfence_publish::package::{Digest, Source, package};
use podfence_support::{Printed, Workplace, module, policies};

/// A directory with the files of `privileged`, and its module.
fn workplace() -> Workplace {
    let workplace = Workplace::new(env!("CARGO_BIN_EXE_podfence"));
    for file in ["metadata.yml", "questions-ui.yml", "README.md"] {
        let text = fs::read(policies().join("privileged").join(file)).expect("a file");
        workplace.write(&format!("policies/privileged/{file}"), text);
    }
    workplace.write("privileged.wasm", module("privileged"));
    workplace
}

/// Runs `podfence package`: its exit code, and what it prints to standard output and standard error.
fn run(workplace: &Workplace, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Printed { code, out, error } = workplace.run(&[&["package"], arguments].concat());
    (code, out, error)
}

/// The package of `privileged`.
fn packaged() -> Vec<u8> {
    let host = Host::new(Limits::default()).expect("an engine");
    let source = Source::load(&policies().join("privileged")).expect("the files of the policy");
    package(&host, &module("privileged"), &source).expect("a package")
}

#[test]
fn files_that_are_not_the_policys_are_refused() {
    let metadata = workplace().text("policies/privileged/metadata.yml");
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
            "policies/privileged/questions-ui.yml: line 1, column 2: JSON: found the end, expected a key in quotes",
        ),
        ("README.md", "", "policies/privileged/README.md: is empty"),
    ];
    for (file, text, expected) in cases {
        let workplace = workplace();
        workplace.write(&format!("policies/privileged/{file}"), text.as_bytes());
        let expected = format!("error: {expected}\n");
        assert_eq!(run(&workplace, &["privileged.wasm", "--out", "out"]), (Some(2), String::new(), expected));
        assert!(!workplace.path("out").exists());
    }
    let workplace = workplace();
    workplace.write("other.wasm", b"");
    let (code, _, error) = run(&workplace, &["other.wasm"]);
    assert_eq!((code, error.as_str()), (Some(2), "error: other.wasm: is empty\n"));
    workplace.write("other.wasm", module("privileged"));
    let (code, _, error) = run(&workplace, &["other.wasm"]);
    assert_eq!(code, Some(2));
    assert!(error.starts_with("error: policies/other/metadata.yml: No such file"), "{error}");
}

#[test]
fn a_package_is_recorded_and_compared() {
    let workplace = workplace();
    let arguments = ["privileged.wasm", "--out", "out", "--lock", "packages.lock"];
    let locked = [&arguments[..], &["--locked"]].concat();
    let (code, _, error) = run(&workplace, &locked);
    assert_eq!(code, Some(2));
    assert!(error.starts_with("error: packages.lock: No such file"), "{error}");

    // What was recorded of a policy that is there stays, what was of another goes.
    let other = |name: &str| format!("{name}:\n  bytes: 1\n  sha256: \"00\"\n");
    workplace.write("packages.lock", format!("{}{}", other("gone"), other("kept")).as_bytes());
    workplace.make_directory("policies/kept");
    let (code, _, error) = run(&workplace, &locked);
    let packaged = packaged();
    let Digest { bytes, sha256 } = Digest::of(&packaged);
    assert_eq!(
        (code, error),
        (
            Some(1),
            "privileged: not recorded\npackages.lock: `make bless` records the packages as they are now\n".to_owned()
        )
    );
    assert!(!workplace.path("out").exists());

    let (code, out, error) = run(&workplace, &arguments);
    assert_eq!((code, error.as_str()), (Some(0), "1 package in out; next: podfence sbom out/*.wasm\n"));
    assert!(out.contains(&format!(" privileged   {bytes}   {sha256} ")), "{out}");
    assert_eq!(workplace.read("out/privileged.wasm"), packaged);
    let lock = workplace.text("packages.lock");
    let comment = "# What is published of each policy; `make bless` records it.\n";
    assert_eq!(lock, format!("{comment}{}privileged:\n  bytes: {bytes}\n  sha256: {sha256}\n", other("kept")));
    assert_eq!(run(&workplace, &locked).0, Some(0));

    let metadata = workplace.text("policies/privileged/metadata.yml").replace(env!("CARGO_PKG_VERSION"), "0.1.1");
    workplace.write("policies/privileged/metadata.yml", metadata.as_bytes());
    let (code, _, error) = run(&workplace, &locked);
    assert_eq!(code, Some(1));
    let recorded = format!("recorded are {bytes} bytes, sha256 {sha256}\n");
    assert!(error.starts_with(&format!("privileged: {bytes} bytes, sha256 ")) && error.contains(&recorded), "{error}");
    assert_eq!(workplace.read("out/privileged.wasm"), packaged);
}

#[test]
fn a_lock_that_is_none_is_explained() {
    let workplace = workplace();
    for (text, expected) in [
        ("- a\n", "expected bytes and sha256 of each policy: invalid type: sequence, expected a map"),
        ("privileged: {bytes: 1}\n", "expected bytes and sha256 of each policy: missing field `sha256`"),
        (
            "privileged: {bytes: 1, sha256: x, md5: y}\n",
            "expected bytes and sha256 of each policy: unknown field `md5`, expected `bytes` or `sha256`",
        ),
    ] {
        workplace.write("packages.lock", text.as_bytes());
        let (code, _, error) = run(&workplace, &["privileged.wasm", "--out", "out", "--lock", "packages.lock"]);
        assert_eq!((code, error), (Some(2), format!("error: packages.lock: {expected}\n")));
        assert!(!workplace.path("out").exists());
    }
}

#[test]
fn a_module_is_never_overwritten() {
    let workplace = workplace();
    let (code, _, error) = run(&workplace, &["privileged.wasm", "--out", "."]);
    let expected =
        "error: privileged.wasm: --out is the module's directory, so the package would replace it; name another one\n";
    assert_eq!((code, error.as_str()), (Some(2), expected));
    workplace.write("copy/privileged.wasm", module("privileged"));
    let (code, _, error) = run(&workplace, &["privileged.wasm", "copy/privileged.wasm", "--out", "out"]);
    let expected = "error: copy/privileged.wasm: another module has the same name; their packages would be one file\n";
    assert_eq!((code, error.as_str()), (Some(2), expected));
}
