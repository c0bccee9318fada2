//! What is published: every module with its metadata, the same each time and as `packages.lock` has it, and
//! nothing where something is wrong.

use std::collections::BTreeMap;

use podfence_docs::USAGE;
use podfence_fixtures::{discover, generated::is_blessing};
use podfence_host::{Host, Limits, inspect};
use podfence_publish::package::{Digest, PackagesLock, Source, package};
use podfence_support::{module, policies, root};

fn host() -> Host {
    Host::new(Limits::default()).expect("an engine")
}

fn source(policy: &str) -> Source {
    Source::load(&policies().join(policy)).expect("the files of the policy")
}

/// The digests are those of a pinned compiler, so a difference is a change of what is published.
#[test]
fn every_package_is_a_module_and_its_metadata_as_recorded() {
    let host = host();
    let mut packages = BTreeMap::new();
    for policy in discover(&policies()).expect("the policies") {
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
    let recorded = PackagesLock::load(&root().join("packages.lock")).expect("packages.lock");
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
             {\"skipInitContainers\":false,\"skipEphemeralContainers\":false,\"otherKinds\":\"reject\",\"warn\":false}: \
             unknown setting \"skipEphemeralContainers\"",
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
