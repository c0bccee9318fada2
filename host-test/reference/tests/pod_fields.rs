//! `pod-fields.yaml` says of each field of a pod which policies judge it, or why none does.
//!
//! Which fields there are is held against the newest Kubernetes that k8s-openapi knows, and what the policies read
//! against what they declare. `policies/FIELDS.md` is generated from the file.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use k8s_openapi::{api::core::v1::PodSpec, schemars::schema_for};
use podfence_core::{Declaration, Scope, base_fields};
use podfence_fixtures::generated;
use podfence_reference::opinions::OPINIONS;
use serde_json::{Map, Value};

const FILE: &str = "host-test/reference/pod-fields.yaml";
const TEXT: &str = include_str!("../pod-fields.yaml");

/// Who reads the fields that the core reads itself.
const CORE: &str = "every policy";

/// Fields that a policy looks for at the pod to say that they do nothing there: Kubernetes has them at containers only.
const MISPLACED: [(&str, &str); 3] = [
    ("allow-privilege-escalation", "spec.securityContext.allowPrivilegeEscalation"),
    ("capabilities", "spec.securityContext.capabilities"),
    ("read-only-root-filesystem", "spec.securityContext.readOnlyRootFilesystem"),
];

/// Parts of paths that hold the same fields, and how the file writes them.
const WRITTEN_ONCE: [(&str, &str); 5] = [
    (".livenessProbe.", ".*Probe."),
    (".readinessProbe.", ".*Probe."),
    (".startupProbe.", ".*Probe."),
    (".postStart.", ".*."),
    (".preStop.", ".*."),
];

/// A struct of Kubernetes, and a path as the file writes it.
type Key = (String, String);

#[derive(Default)]
struct Entry {
    judged_by: BTreeSet<String>,
    /// These need it to judge another field.
    read_by: BTreeSet<String>,
    irrelevant: String,
}

#[test]
fn every_field_is_classified() {
    let mut problems = Vec::new();
    let entries = entries(&mut problems);
    let mut fields = BTreeMap::new();
    let structs = entries.keys().map(|(name, _)| name.as_str()).collect();
    walk(schema_for!(PodSpec).as_value(), "PodSpec", "spec", &structs, &mut fields);
    let reads = reads();

    for (name, path) in fields.keys().filter(|key| !entries.contains_key(key)) {
        problems.push(format!("{name}: {path}: is new; say which policies judge it, or why it is irrelevant"));
    }
    for (key, entry) in &entries {
        let wrong = match fields.get(key) {
            Some(places) => disagreements(entry, places, &reads),
            None => vec!["does not exist".to_owned()],
        };
        problems.extend(wrong.iter().map(|wrong| format!("{}: {}: {wrong}", key.0, key.1)));
    }
    let exists = |read: &Read| fields.values().flatten().any(|place| read.is_of(place) || is_inside(place, &read.path));
    let misplaced =
        reads.iter().filter(|(_, read)| !exists(read)).map(|(reader, read)| (*reader, &*read.path)).collect();
    for (reader, path) in BTreeSet::from(MISPLACED).symmetric_difference(&misplaced) {
        let what = if misplaced.contains(&(reader, path)) { "does not exist" } else { "is not misplaced" };
        problems.push(format!("{path}, which {reader} declares: {what}"));
    }
    assert!(problems.is_empty(), "{FILE}:\n{}", problems.join("\n"));

    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate is two directories below it");
    let path = root.join("policies/FIELDS.md");
    generated::is_current(&path, &page(&entries)).unwrap_or_else(|problem| panic!("{problem}"));
}

fn entries(problems: &mut Vec<String>) -> BTreeMap<Key, Entry> {
    let structs: Map<String, Value> = serde_saphyr::from_str(TEXT).expect("a mapping of structs");
    let mut entries = BTreeMap::new();
    for (name, fields) in &structs {
        let fields = fields.as_object().expect("a mapping of fields");
        if !fields.keys().is_sorted() {
            problems.push(format!("{name}: its fields are not sorted"));
        }
        for (path, said) in fields {
            let mut entry = Entry::default();
            for (key, value) in said.as_object().expect("a mapping") {
                let list = || serde_json::from_value(value.clone()).expect("a list of policies");
                match key.as_str() {
                    "judged by" => entry.judged_by = list(),
                    "read by" => entry.read_by = list(),
                    "irrelevant" => entry.irrelevant = value.as_str().expect("a reason").to_owned(),
                    key => problems.push(format!("{name}: {path}: {key}: is not known")),
                }
            }
            entries.insert((name.clone(), path.clone()), entry);
        }
    }
    if !structs.keys().is_sorted() {
        problems.push("the structs are not sorted".to_owned());
    }
    entries
}

/// Collects the fields of a struct with all their places. A field is followed into its struct if the file has that.
fn walk(root: &Value, name: &str, place: &str, structs: &BTreeSet<&str>, fields: &mut BTreeMap<Key, BTreeSet<String>>) {
    const PACKAGE: &str = "io.k8s.api.core.v1.";
    // The root is not among the definitions.
    let schema = root["$defs"].get(format!("{PACKAGE}{name}")).unwrap_or(root);
    for (key, schema) in schema["properties"].as_object().expect("a struct has properties") {
        let items = schema.get("items");
        let inner = items.unwrap_or(schema)["$ref"].as_str().and_then(|reference| reference.split_once(PACKAGE));
        match inner.map(|(_, inner)| inner).filter(|inner| structs.contains(inner)) {
            // The three lists of containers are one place, as in a policy's declaration.
            Some(inner @ ("Container" | "EphemeralContainer")) => {
                walk(root, inner, "spec.containers[*]", structs, fields);
            }
            Some(inner) => {
                let place = format!("{place}.{key}{}", if items.is_some() { "[*]" } else { "" });
                walk(root, inner, &place, structs, fields);
            }
            None => {
                let place = format!("{place}.{key}");
                let written =
                    WRITTEN_ONCE.iter().fold(place.clone(), |path, (part, written)| path.replace(part, written));
                // An ephemeral container has the fields of other containers again.
                let known = fields.keys().find(|(_, path)| *path == written).cloned();
                fields.entry(known.unwrap_or_else(|| (name.to_owned(), written))).or_default().insert(place);
            }
        }
    }
}

/// A field that a policy declares, by its path in a pod.
struct Read {
    path: String,
    is_restricted: bool,
}

impl Read {
    /// Whether it is a field, is inside of it, or is a pattern for it.
    fn is_of(&self, place: &str) -> bool {
        let pattern = self.path.strip_suffix('*').filter(|start| start.ends_with('.'));
        self.path == place
            || is_inside(&self.path, place)
            || pattern.is_some_and(|start| place.strip_prefix(start).is_some_and(|key| !key.contains('.')))
    }
}

fn is_inside(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.starts_with(['.', '[']))
}

/// What each policy and the core read of a pod's spec.
fn reads() -> Vec<(&'static str, Read)> {
    let policies = OPINIONS.iter().map(|opinion| (opinion.policy.name, opinion.policy.fields));
    let mut reads = Vec::new();
    for (reader, fields) in policies.chain([(CORE, base_fields())]) {
        for Declaration { scope, path, docs, .. } in fields {
            let starts: &[&str] = match scope {
                Scope::Pod => &["spec"],
                Scope::Container => &["spec.containers[*]"],
                Scope::Both => &["spec", "spec.containers[*]"],
                // Not in the spec of a pod.
                _ => &[],
            };
            let read = |start| Read { path: format!("{start}.{path}"), is_restricted: !docs.allowed.is_empty() };
            reads.extend(starts.iter().map(|start| (reader, read(start))));
        }
    }
    reads
}

/// What an entry says of a field, and the policies do not.
fn disagreements(entry: &Entry, places: &BTreeSet<String>, reads: &[(&str, Read)]) -> Vec<String> {
    let mut problems = Vec::new();
    if entry.judged_by.is_empty() == entry.irrelevant.is_empty() {
        problems.push("is either judged or irrelevant".to_owned());
    }
    let said: BTreeSet<&str> = entry.judged_by.iter().chain(&entry.read_by).map(String::as_str).collect();
    if said.len() < entry.judged_by.len() + entry.read_by.len() {
        problems.push("who judges it needs not be among those who read it".to_owned());
    }
    for reader in &said {
        if !reads.iter().any(|(known, _)| known == reader) {
            problems.push(format!("{reader}: is not a policy that reads a pod"));
        }
    }
    for place in places {
        let declared: Vec<_> = reads.iter().filter(|(_, read)| read.is_of(place)).collect();
        let readers: BTreeSet<&str> = declared.iter().map(|(reader, _)| *reader).collect();
        problems.extend(said.difference(&readers).map(|reader| format!("{reader} does not declare {place}")));
        problems.extend(readers.difference(&said).map(|reader| format!("{reader} declares {place}; say so")));
        for (reader, _) in declared.iter().filter(|(_, read)| read.is_restricted && read.path == *place) {
            if entry.read_by.contains(*reader) {
                problems.push(format!("{reader} does not only read {place}, it allows some values"));
            }
        }
    }
    problems
}

/// `policies/FIELDS.md`.
fn page(entries: &BTreeMap<Key, Entry>) -> String {
    let mut checked = String::from("| Field | Policies |\n|---|---|\n");
    let mut unchecked = String::from("| Field | Why |\n|---|---|\n");
    let fields: BTreeMap<&str, &Entry> = entries.iter().map(|((_, path), entry)| (path.as_str(), entry)).collect();
    for (path, entry) in fields {
        let policies: Vec<_> = entry.judged_by.iter().map(|name| format!("[`{name}`]({name}/README.md)")).collect();
        let (table, cell) = match &*entry.irrelevant {
            "" => (&mut checked, policies.join(", ")),
            reason => (&mut unchecked, reason.to_owned()),
        };
        writeln!(table, "| `{path}` | {cell} |").expect("a text takes all");
    }
    format!("{INTRODUCTION}{checked}{UNCHECKED}{unchecked}")
}

const INTRODUCTION: &str = "\
<!-- Generated from host-test/reference/pod-fields.yaml; `make bless` refreshes it. -->

# Which field is checked by which policy

The tables list each field of the `spec` of a pod, as the newest Kubernetes has it. A test fails if a field of Kubernetes
or of a policy is missing here.

- `spec.containers[*]` stands for `spec.initContainers[*]` and `spec.ephemeralContainers[*]` as well.
- `*Probe` stands for `livenessProbe`, `readinessProbe` and `startupProbe`, and `lifecycle.*` for `postStart` and
  `preStop`.
- A field that is not listed belongs to the field that holds it.

The README of a policy names the values that it allows. It also names the annotations and the kinds of objects, apart
from pods, that it reads.

## Checked

Of a volume, the type is checked; only `flex-volumes`, `host-path`, `images` and `service-account-token` restrict what is
in it.

";

const UNCHECKED: &str = "
## Not checked

";
