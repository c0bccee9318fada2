//! What is published for OPA and other hosts of its modules: each module with the globals of the ABI, and the bundle of
//! all.

use std::collections::BTreeMap;

use flate2::{Compression, GzBuilder};
use podfence_host::{CallError, Format, Host, LoadError, opa};
use serde_json::{Value, json};
use tar::{EntryType, Header};
use wasm_encoder::{ConstExpr, Encode, ExportKind, GlobalType, Module, RawSection, ValType};
use wasmparser::{BinaryReaderError, Parser, Payload, TypeRef};

/// The ABI that the core has: its exports, by value, which the compiler cannot export.
const GLOBALS: [(&str, i32); 2] = [("opa_wasm_abi_version", 1), ("opa_wasm_abi_minor_version", 3)];

/// The only root of the bundle: what stands before the first `/` of each query.
const ROOT: &str = "podfence";

/// Why a module or a bundle is not made.
#[derive(Debug, thiserror::Error)]
pub enum OpaError {
    /// No module.
    #[error("invalid module: {0}")]
    Invalid(#[from] BinaryReaderError),
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

/// Adds the globals behind those that are there, which keep their numbers.
fn with_globals(module: &[u8]) -> Result<Vec<u8>, OpaError> {
    let (mut first, mut sections) = (0, 0);
    let mut written = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    first += u32::from(matches!(import?.ty, TypeRef::Global(_)));
                }
            }
            Payload::GlobalSection(globals) => {
                sections += 1;
                first += globals.count();
                let items = without_count(module, globals.range(), globals.count());
                let mut more = Vec::new();
                for (_, value) in GLOBALS {
                    GlobalType { val_type: ValType::I32, mutable: false, shared: false }.encode(&mut more);
                    ConstExpr::i32_const(value).encode(&mut more);
                }
                append(&mut written, 6, globals.count(), &[items, &more]);
                continue;
            }
            Payload::ExportSection(exports) => {
                sections += 1;
                let items = without_count(module, exports.range(), exports.count());
                let mut more = Vec::new();
                for export in exports.clone() {
                    if GLOBALS.iter().any(|(name, _)| export.as_ref().is_ok_and(|export| export.name == *name)) {
                        return Err(OpaError::NotBuilt);
                    }
                }
                for (number, (name, _)) in (first..).zip(GLOBALS) {
                    name.encode(&mut more);
                    ExportKind::Global.encode(&mut more);
                    number.encode(&mut more);
                }
                append(&mut written, 7, exports.count(), &[items, &more]);
                continue;
            }
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            written.section(&RawSection { id, data: &module[range] });
        }
    }
    if sections == 2 { Ok(written.finish()) } else { Err(OpaError::NotBuilt) }
}

/// The content of a section behind the number of its items.
fn without_count(module: &[u8], range: std::ops::Range<usize>, count: u32) -> &[u8] {
    let mut number = Vec::new();
    count.encode(&mut number);
    &module[range][number.len()..]
}

fn append(module: &mut Module, id: u8, count: u32, items: &[&[u8]]) {
    let mut data = Vec::new();
    (count + GLOBALS.len() as u32).encode(&mut data);
    items.iter().for_each(|items| data.extend_from_slice(items));
    module.section(&RawSection { id, data: &data });
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
    let mut files = [("/.manifest".to_owned(), manifest.as_bytes())].into_iter().chain(files);
    let mut archive = tar::Builder::new(GzBuilder::new().mtime(0).write(Vec::new(), Compression::best()));
    let written = files.try_for_each(|(path, bytes)| archive.append(&header(&path, bytes), bytes));
    let archive = written.and_then(|()| archive.into_inner()?.finish());
    Ok(archive.expect("memory can be written"))
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
