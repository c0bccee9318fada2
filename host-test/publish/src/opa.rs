//! What is published for OPA and other hosts of its modules: each module with the globals of the ABI, and the bundle of
//! all.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use podfence_host::{CallError, Format, Host, LoadError, opa};
use serde::Deserialize;
use serde_json::{Value, json};
use tar::{EntryType, Header};
use wasm_encoder::{
    ConstExpr, ExportKind, ExportSection, GlobalSection, GlobalType, Module, ValType,
    reencode::{self, Reencode},
};
use wasmparser::{BinaryReaderError, ExportSectionReader, GlobalSectionReader, Parser, Payload, TypeRef};

/// The ABI that the core has: its exports, by value, which the compiler cannot export.
const GLOBALS: [(&str, i32); 2] = [("opa_wasm_abi_version", 1), ("opa_wasm_abi_minor_version", 3)];

/// The first file of a bundle.
const MANIFEST: &str = "/.manifest";

/// The most bytes of that file.
const LARGEST_MANIFEST: u64 = 1 << 20;

/// The only root of the bundle: what stands before the first `/` of each query.
const ROOT: &str = "podfence";

/// Why a module or a bundle is not made.
#[derive(Debug, thiserror::Error)]
pub enum OpaError {
    /// No module.
    #[error("invalid module: {0}")]
    Invalid(#[from] BinaryReaderError),
    /// It has something that cannot be written again.
    #[error("cannot be written again: {0}")]
    Unwritable(#[from] reencode::Error),
    /// It has no section to put them in, or has them already.
    #[error("expected a module for OPA as it was built, with globals and exports, and without the version of the ABI")]
    NotBuilt,
    /// Hosts would not load what came of it.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It does not answer.
    #[error("it does not answer: {}", .0.reason())]
    Call(#[from] CallError),
    /// It answers another query than the one of its file.
    #[error("its queries are {found}; expected {expected}")]
    Entrypoints {
        /// Those of the module.
        found: String,
        /// That of a policy of this name.
        expected: String,
    },
    /// Input that is none must be a violation: everything else is an acceptance to a host.
    #[error("it accepts input without a review: {0}")]
    Accepts(String),
    /// No module.
    #[error("a bundle needs at least one module")]
    Empty,
    /// No bundle.
    #[error("expected a bundle of `podfence bundle`: {0}")]
    NotBundle(String),
}

/// The query that a module answers.
pub fn entrypoint(policy: &str) -> String {
    format!("{ROOT}/{policy}/violation")
}

/// The module of a policy with the version of its ABI. The same input gives the same bytes.
///
/// # Errors
/// It is not the module of that policy as it was built, or does not answer as it should.
pub fn package(host: &Host, module: &[u8], policy: &str) -> Result<Vec<u8>, OpaError> {
    let packaged = with_globals(module)?;
    check(host, &packaged, policy)?;
    Ok(packaged)
}

/// The module with the globals behind those that are there, which keep their numbers.
fn with_globals(module: &[u8]) -> Result<Vec<u8>, OpaError> {
    let (mut first, mut sections) = (0, 0);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    first += u32::from(matches!(import?.ty, TypeRef::Global(_)));
                }
            }
            Payload::GlobalSection(globals) => {
                sections += 1;
                first += globals.count();
            }
            Payload::ExportSection(exports) => {
                sections += 1;
                for export in exports {
                    let export = export?;
                    if GLOBALS.iter().any(|(name, _)| export.name == *name) {
                        return Err(OpaError::NotBuilt);
                    }
                }
            }
            _ => {}
        }
    }
    if sections != 2 {
        return Err(OpaError::NotBuilt);
    }
    let mut written = Module::new();
    WithGlobals { first }.parse_core_module(&mut written, Parser::new(0), module)?;
    Ok(written.finish())
}

/// Writes a module again, with the globals of the ABI.
struct WithGlobals {
    /// The number of the first one.
    first: u32,
}

type Rewritten = Result<(), reencode::Error>;

impl Reencode for WithGlobals {
    type Error = std::convert::Infallible;

    fn parse_global_section(&mut self, globals: &mut GlobalSection, section: GlobalSectionReader<'_>) -> Rewritten {
        reencode::utils::parse_global_section(self, globals, section)?;
        for (_, value) in GLOBALS {
            let of_type = GlobalType { val_type: ValType::I32, mutable: false, shared: false };
            globals.global(of_type, &ConstExpr::i32_const(value));
        }
        Ok(())
    }

    fn parse_export_section(&mut self, exports: &mut ExportSection, section: ExportSectionReader<'_>) -> Rewritten {
        reencode::utils::parse_export_section(self, exports, section)?;
        for (number, (name, _)) in (self.first..).zip(GLOBALS) {
            exports.export(name, ExportKind::Global, number);
        }
        Ok(())
    }
}

/// Loads it as a host would, and asks it in both of its ways.
fn check(host: &Host, module: &[u8], policy: &str) -> Result<(), OpaError> {
    let mut instance = host.load_opa(module)?.instantiate()?;
    let expected = json!({ entrypoint(policy): 0 });
    let found = instance.entrypoints()?;
    if serde_json::from_slice::<Value>(&found).ok().as_ref() != Some(&expected) {
        let found = String::from_utf8_lossy(&found).into_owned();
        return Err(OpaError::Entrypoints { found, expected: expected.to_string() });
    }
    for reply in [instance.evaluate(b"{}", Format::Json)?, instance.evaluate_in_context(b"{}")?] {
        let results = opa::results(&reply).map_err(OpaError::Accepts)?;
        if results == "[]" {
            return Err(OpaError::Accepts(results));
        }
    }
    Ok(())
}

/// The bundle of these modules, by policy: a `tar.gz` that OPA loads as it is. The same input gives the same bytes.
///
/// # Errors
/// A module is not one of [`package`] for its policy.
pub fn bundle(host: &Host, modules: &BTreeMap<String, Vec<u8>>, revision: &str) -> Result<Vec<u8>, (String, OpaError)> {
    if modules.is_empty() {
        return Err((String::new(), OpaError::Empty));
    }
    for (policy, module) in modules {
        check(host, module, policy).map_err(|error| (policy.clone(), error))?;
    }
    // The file of a module has this name, or OPA takes it for data.
    let path = |policy: &str| format!("/{policy}/policy.wasm");
    let entries = modules.keys().map(|policy| json!({"entrypoint": entrypoint(policy), "module": path(policy)}));
    let manifest = json!({
        "revision": revision,
        "roots": [ROOT],
        "wasm": entries.collect::<Vec<_>>(),
        "rego_version": 1,
    });
    let manifest = manifest.to_string();
    let files = modules.iter().map(|(policy, module)| (path(policy), module.as_slice()));
    let mut files = [(MANIFEST.to_owned(), manifest.as_bytes())].into_iter().chain(files);
    let mut archive = tar::Builder::new(GzBuilder::new().mtime(0).write(Vec::new(), Compression::best()));
    let written = files.try_for_each(|(path, bytes)| archive.append(&header(&path, bytes), bytes));
    let archive = written.and_then(|()| archive.into_inner()?.finish());
    Ok(archive.expect("memory can be written"))
}

/// What the manifest of a [`bundle`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Its version.
    pub revision: String,
    /// The policies, sorted.
    pub policies: Vec<String>,
}

/// The manifest, as far as it is of interest.
#[derive(Deserialize)]
struct BundleManifest {
    revision: String,
    wasm: Vec<Entrypoint>,
}

#[derive(Deserialize)]
struct Entrypoint {
    entrypoint: String,
}

impl Contents {
    /// Reads the manifest of a bundle, which is its first file.
    ///
    /// # Errors
    /// It is not a bundle of [`bundle`].
    pub fn read(bundle: &[u8]) -> Result<Contents, OpaError> {
        let unreadable = |error: std::io::Error| OpaError::NotBundle(error.to_string());
        let not_bundle = |problem: &str| OpaError::NotBundle(problem.to_owned());
        let mut archive = tar::Archive::new(GzDecoder::new(bundle));
        let first = archive.entries().map_err(unreadable)?.next();
        let first = first.ok_or_else(|| not_bundle("it has no files"))?.map_err(unreadable)?;
        if *first.path_bytes() != *MANIFEST.as_bytes() {
            return Err(not_bundle("its first file is not /.manifest"));
        }
        let mut text = Vec::new();
        first.take(LARGEST_MANIFEST).read_to_end(&mut text).map_err(unreadable)?;
        let manifest = serde_json::from_slice(&text);
        let BundleManifest { revision, wasm } =
            manifest.map_err(|error| OpaError::NotBundle(format!("its manifest: {error}")))?;
        let policy = |of: &Entrypoint| {
            let path = of.entrypoint.strip_prefix(ROOT)?.strip_prefix('/')?.strip_suffix("/violation")?;
            (!path.is_empty() && !path.contains(['/', '.'])).then(|| path.to_owned())
        };
        let policies = wasm.iter().map(policy).collect::<Option<Vec<_>>>();
        let policies = policies.ok_or_else(|| not_bundle("its manifest has an entrypoint of no policy"))?;
        Ok(Contents { revision, policies })
    }
}

/// Whether bytes are compressed as a bundle is, which no module is.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The header of a file without an owner or a time. The name starts with `/`, as in the manifest, or OPA finds no module.
fn header(path: &str, bytes: &[u8]) -> Header {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    header
}
