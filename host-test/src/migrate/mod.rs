//! From what a cluster is fenced with today to Podfence: reads PodSecurityPolicies, and writes
//! ClusterAdmissionPolicies that refuse what those refuse.
//!
//! Nothing is dropped silently: what has no equivalent is a [`Warning`], and where Podfence can only be stricter
//! or laxer than the source, it is stricter, and a warning says so.

mod psp;
mod read;

use std::collections::HashMap;
use std::fmt;

use serde_json::{Value, json};

/// What becomes of the documents of an input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Migration {
    /// ClusterAdmissionPolicies, in the order of the documents.
    pub policies: Vec<Value>,
    /// What they do not do as the sources did.
    pub warnings: Vec<Warning>,
    /// How many documents were migrated; one that asks for nothing leads to no policies.
    pub sources: usize,
}

/// How the policies are made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the modules are, without a scheme: `registry.example.com/podfence`.
    pub registry: String,
    /// Whether workloads (Deployments and the like) are judged, too, where the source judges only pods.
    pub workloads: bool,
}

/// Something that the policies do not do as the source did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The document, for example `PodSecurityPolicy/restricted`.
    pub source: String,
    /// The field in it, for example `spec.allowedCSIDrivers`; empty for the document as a whole.
    pub path: String,
    /// What is different.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.source)?;
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        out.write_str(&self.text)
    }
}

/// A document that is of a known kind, but cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct MigrateError {
    /// The document, for example `PodSecurityPolicy/restricted`.
    pub origin: String,
    /// The field, and what was expected there.
    pub problem: String,
}

/// Names of objects have up to 253 letters; there are others before and behind a document's.
const LONGEST_NAME: usize = 200;

/// Reads documents, and writes the policies that take their place.
///
/// A document of a kind that is not known is a warning, since sources often stand beside Roles and the like; an
/// input without any source leads to no policies.
///
/// # Errors
/// A source that cannot be understood as a whole.
pub fn migrate(documents: &[Value], options: &Options) -> Result<Migration, MigrateError> {
    let (mut migration, mut names) = (Migration::default(), HashMap::new());
    let documents: Vec<&Value> = documents.iter().flat_map(items).collect();
    for (index, document) in documents.iter().enumerate() {
        let origin = origin(document, index);
        let name = object_name(document);
        let mut outcome = Outcome { origin: &origin, name, options, migration: &mut migration, names: &mut names };
        let Some(migrate) = source(document) else {
            let (version, kind) = kind(document);
            outcome.warn("", &format!("{} is nothing that can be migrated", called(version, kind)));
            continue;
        };
        outcome.migration.sources += 1;
        migrate(document, &mut outcome).map_err(|problem| MigrateError { origin: origin.clone(), problem })?;
    }
    let several: Vec<String> = documents.iter().filter(|of| is_psp(of)).map(|of| origin(of, 0)).collect();
    if several.len() > 1 {
        migration.warnings.push(Warning {
            source: several.join(", "),
            path: String::new(),
            text: "a pod needed one PodSecurityPolicy that let it through; it needs all of these policies, so apply \
                   each set only where its PodSecurityPolicy was used"
                .to_owned(),
        });
    }
    Ok(migration)
}

/// Writes the policies of a document.
type Migrate = fn(&Value, &mut Outcome<'_>) -> Result<(), String>;

/// How a document is migrated, if it is of a kind that can be.
fn source(document: &Value) -> Option<Migrate> {
    match kind(document) {
        _ if is_psp(document) => Some(psp::migrate),
        _ => None,
    }
}

fn is_psp(document: &Value) -> bool {
    matches!(kind(document), ("policy/v1beta1" | "extensions/v1beta1", "PodSecurityPolicy"))
}

/// The items of a List, which are documents as well; or the document itself.
fn items(document: &Value) -> Vec<&Value> {
    match document.get("items").and_then(Value::as_array) {
        Some(items) if kind(document).1.ends_with("List") => items.iter().collect(),
        _ => vec![document],
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `apiVersion` and `kind`.
fn kind(document: &Value) -> (&str, &str) {
    (text(document, "/apiVersion"), text(document, "/kind"))
}

fn called(version: &str, kind: &str) -> String {
    match (version, kind) {
        ("", "") => "what has no apiVersion and kind".to_owned(),
        _ => format!("kind {kind:?} of {version:?}"),
    }
}

/// How messages call a document.
fn origin(document: &Value, index: usize) -> String {
    match (kind(document).1, name(document)) {
        ("", _) => format!("document {}", index + 1),
        (kind, name) => format!("{kind}/{name}"),
    }
}

fn name(document: &Value) -> &str {
    match text(document, "/metadata/name") {
        "" => "unnamed",
        name => name,
    }
}

/// The name of a document as a part of the name of an object.
fn object_name(document: &Value) -> String {
    let is_allowed = |letter: &char| matches!(letter, 'a'..='z' | '0'..='9' | '-' | '.');
    let name = name(document).to_ascii_lowercase();
    name.chars().map(|letter| if is_allowed(&letter) { letter } else { '-' }).take(LONGEST_NAME).collect()
}

/// Where the policies and warnings of one document go.
struct Outcome<'m> {
    origin: &'m str,
    name: String,
    options: &'m Options,
    migration: &'m mut Migration,
    /// Of the policies, each with the last number that was put behind it.
    names: &'m mut HashMap<String, usize>,
}

impl Outcome<'_> {
    fn warn(&mut self, path: &str, text: &str) {
        let warning = Warning { source: self.origin.to_owned(), path: path.to_owned(), text: text.to_owned() };
        self.migration.warnings.push(warning);
    }

    /// Says once for whom the policies count where the source judged nothing but pods.
    fn pods_only(&mut self, who: &str) {
        if !self.options.workloads {
            let text = format!(
                "{who} pods, not what they are made from, and so do these policies; --workloads has them judge \
                 Deployments and the like, too"
            );
            let is_said = self.migration.warnings.iter().any(|warning| warning.text == text);
            if !is_said {
                self.warn("", &text);
            }
        }
    }

    /// A name that no other policy has: what comes later would replace what has the same.
    fn unique(&mut self, name: String) -> String {
        let mut unique = name.clone();
        while self.names.contains_key(&unique) {
            let number = self.names.entry(name.clone()).or_insert(1);
            *number += 1;
            unique = format!("{name}-{number}");
        }
        self.names.insert(unique.clone(), 1);
        unique
    }

    /// Adds a policy with its settings.
    fn add(&mut self, policy: &str, settings: Value) {
        let name = self.unique(format!("podfence-{}-{policy}", self.name));
        self.migration.policies.push(json!({
            "apiVersion": "policies.kubewarden.io/v1",
            "kind": "ClusterAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "module": format!("registry://{}/{policy}:v{}", self.options.registry, env!("CARGO_PKG_VERSION")),
                "mutating": is_mutating(&settings),
                "settings": settings,
                "rules": rules(self.options.workloads),
            },
        }));
    }
}

/// Whether settings ask a policy to change objects.
fn is_mutating(settings: &Value) -> bool {
    settings["mutate"] == true
        || ["defaultProfile", "defaultRuntimeClass"].iter().any(|name| settings[name].is_string())
}

/// What is judged. Ephemeral containers have a rule of their own, for the audit scanner knows no subresources.
fn rules(workloads: bool) -> Value {
    let rule = |group: &str, resources: &[&str], operations: &[&str]| json!({"apiGroups": [group], "apiVersions": ["v1"], "resources": resources, "operations": operations});
    const BOTH: &[&str] = &["CREATE", "UPDATE"];
    let mut rules = if workloads {
        vec![
            rule("", &["pods", "podtemplates", "replicationcontrollers"], BOTH),
            rule("apps", &["replicasets", "deployments", "statefulsets", "daemonsets"], BOTH),
            rule("batch", &["jobs", "cronjobs"], BOTH),
        ]
    } else {
        vec![rule("", &["pods"], BOTH)]
    };
    rules.push(rule("", &["pods/ephemeralcontainers"], &["UPDATE"]));
    Value::Array(rules)
}
