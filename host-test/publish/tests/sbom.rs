//! Bills of materials say what is in a module, and nothing that changes from one day to the next.

use std::collections::BTreeSet;
use std::path::Path;

use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue};
use cyclonedx_bom::prelude::{Bom, Component, SpecVersion};
use podfence_publish::sbom::sbom;
use podfence_support::root;

fn bill(directory: &Path) -> (String, Bom) {
    let json = sbom(b"module", directory).expect("a bill");
    let bom = Bom::parse_from_json_with_version(json.as_slice(), SpecVersion::V1_5).expect("CycloneDX");
    (String::from_utf8(json).expect("UTF-8"), bom)
}

fn components(bom: &Bom) -> &[Component] {
    &bom.components.as_ref().expect("components").0
}

fn sha256(component: &Component) -> Option<&str> {
    let hashes = &component.hashes.as_ref()?.0;
    match hashes.as_slice() {
        [Hash { alg: HashAlgorithm::SHA_256, content: HashValue(content) }] => Some(content),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_policy_is_made_of_core_and_what_the_compiler_brings() {
    let directory = root().join("policies/privileged");
    let (json, bom) = bill(&directory);
    assert_eq!(bill(&directory).0, json, "the same sources give the same bytes");
    assert_eq!(bom.serial_number, None);
    let metadata = bom.metadata.as_ref().expect("metadata");
    assert_eq!(metadata.timestamp, None);
    let subject = metadata.component.as_ref().expect("a subject");
    assert_eq!(subject.name.to_string(), "podfence-privileged");
    assert_eq!(sha256(subject), Some("120970d812836f19888625587a4606a5ad23cef31c8684e601771552548fc6b9"));
    let names: BTreeSet<String> = components(&bom).iter().map(|component| component.name.to_string()).collect();
    assert_eq!(names, BTreeSet::from(["podfence-core".to_owned(), "rust-std".to_owned()]));
    let pinned = std::fs::read_to_string(root().join("rust-toolchain.toml")).expect("the pinned compiler");
    let compiler = components(&bom).iter().find(|component| component.name.to_string() == "rust-std");
    let version = compiler.and_then(|compiler| compiler.version.as_ref()).expect("a version").to_string();
    assert!(pinned.contains(&format!("channel = \"{version}\"")), "{version}");
}

#[test]
fn what_comes_from_a_registry_has_the_checksum_of_the_lock_file() {
    let (_, bom) = bill(Path::new(env!("CARGO_MANIFEST_DIR")));
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("the lock file");
    let serde = components(&bom).iter().find(|component| component.name.to_string() == "serde").expect("serde");
    let version = serde.version.as_ref().expect("a version").to_string();
    assert_eq!(serde.purl.as_ref().map(ToString::to_string), Some(format!("pkg:cargo/serde@{version}")));
    let checksum = sha256(serde).expect("a checksum");
    assert!(lock.contains(&format!("name = \"serde\"\nversion = \"{version}\"\n")));
    assert!(lock.contains(&format!("checksum = \"{checksum}\"")));
    // What only tests need is in no module.
    assert!(!components(&bom).iter().any(|component| component.name.to_string() == "tempfile"));
}

#[test]
fn a_directory_without_a_package_is_told() {
    let error = sbom(b"module", &root().join("policies/nothing")).expect_err("no package");
    assert!(error.to_string().contains("policies/nothing/Cargo.toml"), "{error}");
    let error = sbom(b"module", &root()).expect_err("a workspace");
    assert!(error.to_string().ends_with("Cargo.toml: not the manifest of a package"), "{error}");
}
