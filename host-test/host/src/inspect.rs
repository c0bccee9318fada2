//! What a module is, and whether a policy-server or a host of OPA's modules would load it.

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::engine::{Host, describe};
use crate::opa;
use crate::suite::Abi;
use crate::wapc::CallError;

/// The custom section that `kwctl annotate` writes.
pub const METADATA_SECTION: &str = "io.kubewarden.metadata";

/// Everything that can be told about a module without a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// The size of the file.
    pub bytes: usize,
    /// The digest of the file, in hexadecimal.
    pub sha256: String,
    /// Which hosts it is for.
    pub abi: Abi,
    /// What it asks of the host.
    pub imports: Vec<Import>,
    /// What it offers to the host.
    pub exports: Vec<Export>,
    /// Its exported memory.
    pub memory: Option<MemorySize>,
    /// The first metadata section, where there is one.
    pub metadata: Option<Value>,
    /// The reply to `protocol_version`; none of a module for OPA.
    pub protocol_version: Option<String>,
    /// The queries that a module for OPA answers, and their numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoints: Option<Value>,
    /// Why its hosts would not load it. Empty when they would.
    pub obstacles: Vec<String>,
    /// What is worth knowing and keeps nobody from loading it.
    pub notes: Vec<String>,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// For example `wapc`.
    pub module: String,
    /// For example `__guest_request`.
    pub name: String,
    /// For example `(i32, i32) -> ()`.
    #[serde(rename = "type")]
    pub ty: String,
}

/// One export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Export {
    /// For example `__guest_call`.
    pub name: String,
    /// For example `(i32, i32) -> i32`.
    #[serde(rename = "type")]
    pub ty: String,
}

/// The declaration of a memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemorySize {
    /// At the start.
    pub initial: u64,
    /// None when it may grow as far as the host lets it.
    pub maximum: Option<u64>,
}

/// Why the metadata section cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("section {METADATA_SECTION} is not JSON: {0}")]
pub struct MetadataError(String);

/// The module's metadata: its first section of that name, as the server reads it.
///
/// # Errors
/// When the section is not JSON.
pub fn metadata(bytes: &[u8]) -> Result<Option<Value>, MetadataError> {
    match metadata_sections(bytes).first() {
        None => Ok(None),
        Some(section) => serde_json::from_slice(section).map(Some).map_err(|error| MetadataError(error.to_string())),
    }
}

/// What is in each metadata section, in the order of the file.
pub fn metadata_sections(bytes: &[u8]) -> Vec<&[u8]> {
    let payloads = wasmparser::Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let sections = payloads.filter_map(|payload| match payload {
        wasmparser::Payload::CustomSection(section) if section.name() == METADATA_SECTION => Some(section.data()),
        _ => None,
    });
    sections.collect()
}

/// The digest of a file, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Describes a module, and tries what a policy-server or a host of OPA's modules does at start.
pub fn inspect(host: &Host, bytes: &[u8]) -> Inspection {
    let mut inspection = Inspection {
        bytes: bytes.len(),
        sha256: sha256(bytes),
        abi: Abi::Wapc,
        imports: Vec::new(),
        exports: Vec::new(),
        memory: None,
        metadata: None,
        protocol_version: None,
        entrypoints: None,
        obstacles: Vec::new(),
        notes: Vec::new(),
    };
    match host.compile(bytes) {
        Ok(module) => {
            inspection.list(&module);
            if opa::is_opa(&module) {
                inspection.abi = Abi::Opa;
                inspection.try_to_start_for_opa(host, module);
            } else {
                inspection.try_to_start(host, &module);
            }
            inspection.read_metadata(bytes);
        }
        Err(error) => inspection.obstacles.push(error.to_string()),
    }
    inspection
}

impl Inspection {
    /// Whether its hosts would load it.
    pub fn loads(&self) -> bool {
        self.obstacles.is_empty()
    }

    fn list(&mut self, module: &wasmtime::Module) {
        self.imports = module
            .imports()
            .map(|import| Import {
                module: import.module().to_owned(),
                name: import.name().to_owned(),
                ty: describe(&import.ty()),
            })
            .collect();
        self.exports = module
            .exports()
            .map(|export| Export { name: export.name().to_owned(), ty: describe(&export.ty()) })
            .collect();
        self.memory =
            module.get_export("memory").as_ref().and_then(wasmtime::ExternType::memory).map(|memory| MemorySize {
                initial: memory.minimum().saturating_mul(memory.page_size()),
                maximum: memory.maximum().map(|pages| pages.saturating_mul(memory.page_size())),
            });
    }

    /// What a call came to; none is an obstacle.
    fn or_obstacle<T>(&mut self, what: &str, outcome: Result<T, CallError>) -> Option<T> {
        outcome.map_err(|error| self.obstacles.push(format!("{what}: {}", error.reason()))).ok()
    }

    fn try_to_start(&mut self, host: &Host, module: &wasmtime::Module) {
        let module = match host.link(module) {
            Ok(module) => module,
            Err(error) => return self.obstacles.push(error.to_string()),
        };
        let Some(mut instance) = self.or_obstacle("it does not start", module.instantiate()) else { return };
        let reply = instance.call("protocol_version", b"");
        let Some(reply) = self.or_obstacle("no answer to protocol_version", reply) else { return };
        match serde_json::from_slice::<String>(&reply) {
            Ok(version) => {
                if version != "v1" {
                    self.obstacles.push(format!("protocol version `{version}`; only v1 is known"));
                }
                self.protocol_version = Some(version);
            }
            Err(error) => self.obstacles.push(format!("the answer to protocol_version is not text: {error}")),
        }
    }

    fn try_to_start_for_opa(&mut self, host: &Host, module: wasmtime::Module) {
        let module = match host.link_opa(module) {
            Ok(module) => module,
            Err(error) => return self.obstacles.push(error.to_string()),
        };
        let Some(mut instance) = self.or_obstacle("it does not start", module.instantiate()) else { return };
        let listings = [("entrypoints", instance.entrypoints()), ("builtins", instance.builtins())];
        let [entrypoints, builtins] = listings.map(|(name, listing)| {
            let listing = listing.map_err(|error| format!("no answer to {name}: {}", error.reason()))?;
            serde_json::from_slice::<Map<String, Value>>(&listing)
                .map_err(|error| format!("the answer to {name} is not a JSON object: {error}"))
        });
        match entrypoints {
            Ok(entrypoints) => self.entrypoints = Some(Value::Object(entrypoints)),
            Err(problem) => self.obstacles.push(problem),
        }
        match builtins {
            Ok(builtins) if builtins.is_empty() => {}
            Ok(builtins) => {
                let names: Vec<&str> = builtins.keys().map(String::as_str).collect();
                self.notes.push(format!("it calls functions that not all hosts have: {}", names.join(", ")));
            }
            Err(problem) => self.obstacles.push(problem),
        }
    }

    fn read_metadata(&mut self, bytes: &[u8]) {
        let sections = metadata_sections(bytes).len();
        if sections > 1 {
            self.notes.push(format!("{sections} sections {METADATA_SECTION}: the first one counts"));
        }
        match metadata(bytes) {
            // Only Kubewarden reads it.
            Ok(None) if self.abi == Abi::Opa => {}
            Ok(None) => self
                .notes
                .push(format!("no section {METADATA_SECTION}, which a registry needs: `podfence package` writes it")),
            Ok(Some(metadata)) => {
                self.obstacles.extend(metadata_obstacles(&metadata, self.abi));
                self.notes.extend(rule_notes(&metadata));
                self.metadata = Some(metadata);
            }
            Err(error) => self.obstacles.push(error.to_string()),
        }
    }
}

fn metadata_obstacles(metadata: &Value, abi: Abi) -> Vec<String> {
    let mut obstacles = Vec::new();
    if metadata.get("protocolVersion").and_then(Value::as_str) != Some("v1") {
        obstacles.push("metadata: protocolVersion is not v1".to_owned());
    }
    if metadata.get("mutating").and_then(Value::as_bool).is_none() {
        obstacles.push("metadata: mutating is not a boolean".to_owned());
    }
    match (abi, metadata.get("executionMode").and_then(Value::as_str)) {
        (Abi::Wapc, None | Some("kubewarden-wapc")) | (Abi::Opa, Some("gatekeeper")) => {}
        (Abi::Wapc, Some(mode)) => obstacles.push(format!("metadata: executionMode {mode} is not waPC")),
        (Abi::Opa, mode) => {
            let mode = mode.unwrap_or("kubewarden-wapc");
            obstacles.push(format!("metadata: executionMode {mode} is not gatekeeper, which modules for OPA need"));
        }
    }
    if abi == Abi::Opa && metadata.get("mutating").and_then(Value::as_bool) == Some(true) {
        obstacles.push("metadata: mutating is true, but a module for OPA changes nothing".to_owned());
    }
    obstacles
}

/// What is wrong with the rules, which are for those who write a manifest, and for the audit scanner.
fn rule_notes(metadata: &Value) -> Vec<String> {
    let rules = metadata["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() {
        return vec!["metadata: rules: expected a list with a rule in it".to_owned()];
    }
    let mut notes = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        for key in ["apiGroups", "apiVersions", "resources", "operations"] {
            let items = texts(&rule[key]);
            if items.is_empty() {
                notes.push(format!("metadata: rules[{at}].{key}: expected a list with a text in it"));
            } else if items.len() > 1 && items.contains(&"*") {
                notes.push(format!("metadata: rules[{at}].{key}: expected \"*\" alone"));
            }
        }
        let is_created = texts(&rule["operations"]).iter().any(|operation| ["CREATE", "*"].contains(operation));
        for resource in texts(&rule["resources"]).iter().filter(|resource| is_created && resource.contains('/')) {
            notes.push(format!(
                "metadata: rules[{at}]: {resource} with CREATE: the audit scanner knows no subresources; give it a \
                 rule of its own with UPDATE"
            ));
        }
    }
    notes
}

/// A list of texts; nothing if it is anything else.
fn texts(value: &Value) -> Vec<&str> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default()
}
