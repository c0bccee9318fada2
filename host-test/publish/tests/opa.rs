//! What is published for OPA: modules with the version of their ABI, and a bundle of them, the same each time.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use podfence_host::{Host, Limits};
use podfence_publish::opa::{Contents, bundle, package};
use podfence_support::{module, opa_module, root};
use serde_json::json;

fn host() -> Host {
    Host::new(Limits::default()).expect("an engine")
}

fn built(policy: &str) -> Vec<u8> {
    let path = root().join("target/opa/built").join(policy).with_extension("wasm");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make opa` builds it", path.display()))
}

#[test]
fn a_module_gets_the_version_of_its_abi_and_nothing_else() {
    let packaged = package(&host(), &built("privileged"), "privileged").expect("a package");
    assert_eq!(packaged, opa_module("privileged"));
    assert_eq!(packaged.len(), built("privileged").len() + 62);
}

#[test]
fn what_is_no_module_of_the_policy_is_refused() {
    let wat = |text: &str| wat::parse_str(text).expect("a module");
    let cases = [
        (
            opa_module("privileged"),
            "expected a module for OPA as it was built, with globals and exports, and without the version of the ABI",
        ),
        (
            wat("(module)"),
            "expected a module for OPA as it was built, with globals and exports, and without the version of the ABI",
        ),
        (
            built("users"),
            r#"its queries are {"podfence/users/violation":0}; expected {"podfence/privileged/violation":0}"#,
        ),
        (b"rubbish".to_vec(), "invalid module: magic header not detected: bad magic number - expected=["),
        (module("privileged"), "unknown imports: wapc::"),
    ];
    for (module, expected) in cases {
        let error = package(&host(), &module, "privileged").expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_bundle_has_a_manifest_that_opa_understands() {
    let modules: BTreeMap<String, Vec<u8>> =
        ["users", "privileged"].map(|policy| (policy.to_owned(), opa_module(policy))).into_iter().collect();
    let bundled = bundle(&host(), &modules, "0.2.0").expect("a bundle");
    assert_eq!(bundle(&host(), &modules, "0.2.0").expect("a bundle"), bundled);
    let mut archive = tar::Archive::new(GzDecoder::new(bundled.as_slice()));
    let files: Vec<(String, u64, Vec<u8>)> = archive
        .entries()
        .expect("an archive")
        .map(|entry| {
            let mut entry = entry.expect("an entry");
            let name = String::from_utf8(entry.path_bytes().into_owned()).expect("a name");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("the bytes");
            (name, entry.header().mtime().expect("a time"), bytes)
        })
        .collect();
    let manifest = json!({
        "revision": "0.2.0",
        "roots": ["podfence"],
        "wasm": [
            {"entrypoint": "podfence/privileged/violation", "module": "/privileged/policy.wasm"},
            {"entrypoint": "podfence/users/violation", "module": "/users/policy.wasm"},
        ],
        "rego_version": 1,
    });
    let expected = [
        ("/.manifest".to_owned(), 0, manifest.to_string().into_bytes()),
        ("/privileged/policy.wasm".to_owned(), 0, opa_module("privileged")),
        ("/users/policy.wasm".to_owned(), 0, opa_module("users")),
    ];
    assert_eq!(files, expected);
}

#[test]
fn a_bundle_of_other_modules_is_refused() {
    for (modules, expected) in [
        (BTreeMap::new(), (String::new(), "a bundle needs at least one module")),
        (
            BTreeMap::from([("users".to_owned(), opa_module("privileged"))]),
            (
                "users".to_owned(),
                r#"its queries are {"podfence/privileged/violation":0}; expected {"podfence/users/violation":0}"#,
            ),
        ),
        (
            BTreeMap::from([("privileged".to_owned(), built("privileged"))]),
            ("privileged".to_owned(), "no export `opa_wasm_abi_version`"),
        ),
    ] {
        let (policy, error) = bundle(&host(), &modules, "0.2.0").expect_err("an error");
        assert_eq!((policy, error.to_string().as_str()), expected);
    }
}

#[test]
fn a_bundle_says_its_version_and_its_policies() {
    let modules: BTreeMap<String, Vec<u8>> =
        ["users", "privileged"].map(|policy| (policy.to_owned(), opa_module(policy))).into_iter().collect();
    let bundled = bundle(&host(), &modules, "0.2.0").expect("a bundle");
    let policies = ["privileged", "users"].map(str::to_owned).to_vec();
    assert_eq!(Contents::read(&bundled).expect("a bundle"), Contents { revision: "0.2.0".to_owned(), policies });

    let archive = |path: &str, text: &str| {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(text.len() as u64);
        header.set_cksum();
        archive.append(&header, text.as_bytes()).expect("memory");
        archive.into_inner().and_then(GzEncoder::finish).expect("memory")
    };
    let empty = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let empty = empty.into_inner().and_then(GzEncoder::finish).expect("memory");
    let wasm = |entrypoint: &str| json!({"revision": "1", "wasm": [{"entrypoint": entrypoint}]}).to_string();
    for (bytes, expected) in [
        (archive("/policy.wasm", ""), "its first file is not /.manifest"),
        (archive("/.manifest", "{}"), "its manifest: missing field `revision` at line 1 column 2"),
        (archive("/.manifest", &wasm("other/users/violation")), "its manifest has an entrypoint of no policy"),
        (archive("/.manifest", &wasm("podfence/../violation")), "its manifest has an entrypoint of no policy"),
        (opa_module("users"), "invalid gzip header"),
        (empty, "it has no files"),
    ] {
        let error = Contents::read(&bytes).expect_err(expected).to_string();
        assert_eq!(error, format!("expected a bundle of `podfence bundle`: {expected}"));
    }
}
