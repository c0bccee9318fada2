//! From what a cluster is fenced with today to Podfence: reads PodSecurityPolicies, constraints of the Gatekeeper
//! library, what the built-in admission is told, and the official policies of Kubewarden, and writes
//! ClusterAdmissionPolicies that refuse what those refuse.
//!
//! Nothing is dropped silently: what has no equivalent is a [`Warning`]. Where Podfence cannot decide as the source
//! did, it is the stricter one if that is possible, and a warning says so.

mod gatekeeper;
pub mod kubewarden;
pub(crate) mod psa;
mod psp;
mod read;

use std::collections::HashMap;
use std::fmt;

use serde_json::{Value, json};

use crate::deploy::{cluster_admission_policy, module_url};
use crate::published;

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

/// What becomes of a source that warns.
const NO_WARNINGS: &str = "no policy warns who makes a request and lets it pass: in mode monitor, only the logs, \
                           metrics and reports of Kubewarden tell of it";

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
    let configuration = documents.iter().find(|document| is_configuration(document));
    let exempt = configuration.and_then(|document| psa::exemptions(document));
    for (index, document) in documents.iter().enumerate() {
        let origin = origin(document, index);
        let mut outcome = Outcome {
            origin: &origin,
            document_name: text(document, "/metadata/name"),
            options,
            exempt: exempt.as_ref(),
            has_configuration: configuration.is_some(),
            migration: &mut migration,
            names: &mut names,
        };
        let Some(migrate) = source(document) else {
            let (version, kind) = kind(document);
            outcome.warn("", &format!("{} is nothing that can be migrated", called(version, kind)));
            continue;
        };
        let is_source =
            migrate(document, &mut outcome).map_err(|problem| MigrateError { origin: origin.clone(), problem })?;
        outcome.migration.sources += usize::from(is_source);
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

/// Writes the policies of a document; tells whether there was anything to migrate.
type Migrate = fn(&Value, &mut Outcome<'_>) -> Result<bool, String>;

/// How a document is migrated, if it is of a kind that can be.
fn source(document: &Value) -> Option<Migrate> {
    match kind(document) {
        _ if is_psp(document) => Some(psp::migrate),
        _ if is_configuration(document) => Some(psa::configuration),
        ("v1", "Namespace") => Some(psa::namespace),
        (version, kind) if gatekeeper::is_constraint(version, kind) => Some(gatekeeper::migrate),
        (version, kind) if kubewarden::is_policy(version, kind) => Some(kubewarden::migrate),
        _ => None,
    }
}

fn is_configuration(document: &Value) -> bool {
    let (version, kind) = kind(document);
    psa::is_configuration(version, kind)
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
    match (kind(document).1, text(document, "/metadata/name")) {
        ("", _) => format!("document {}", index + 1),
        (kind, "") => kind.to_owned(),
        (kind, name) => format!("{kind}/{name}"),
    }
}

/// The labels of a document.
///
/// # Errors
/// One is no string.
fn labels_of(document: &Value) -> Result<Vec<(&str, &str)>, String> {
    let labels = document.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let read = labels.map(|(key, value)| match value.as_str() {
        Some(value) => Ok((key.as_str(), value)),
        None => Err(format!("metadata.labels[{key:?}]: expected a string, found {value}")),
    });
    read.collect()
}

/// Leaves out entries of `allowedHostPaths` that are read-only below one that is not: any entry that may be written
/// made a path writable in the sources, while the longest one decides in Podfence.
fn without_covered(paths: &mut Vec<Value>) {
    let writable: Vec<String> =
        paths.iter().filter(|path| path["readOnly"] != true).map(|path| text(path, "/pathPrefix").to_owned()).collect();
    let covers = |prefix: &String, path: &str| {
        let rest = path.strip_prefix(prefix.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    paths.retain(|path| {
        path["readOnly"] != true || !writable.iter().any(|prefix| covers(prefix, text(path, "/pathPrefix")))
    });
}

/// Where the policies and warnings of one document go.
struct Outcome<'m> {
    origin: &'m str,
    /// Empty if it has none.
    document_name: &'m str,
    options: &'m Options,
    /// Whom the built-in admission does not judge, as a setting.
    exempt: Option<&'m Value>,
    has_configuration: bool,
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
            self.warn_once("", &text);
        }
    }

    /// Warns of what is the same in all documents of a kind.
    fn warn_once(&mut self, path: &str, text: &str) {
        if !self.migration.warnings.iter().any(|warning| warning.text == text) {
            self.warn(path, text);
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
        self.document(policy, settings);
    }

    /// Adds a policy with its settings, for more to be said of it.
    fn document(&mut self, policy: &str, settings: Value) -> &mut Value {
        self.document_for(policy, policy, settings, self.options.workloads)
    }

    /// The same under another name than the policy's, and with or without workloads.
    fn document_for(&mut self, part: &str, policy: &str, settings: Value, workloads: bool) -> &mut Value {
        let name = match object_name(self.document_name) {
            name if name.is_empty() => format!("podfence-{part}"),
            name => format!("podfence-{name}-{part}"),
        };
        let name = self.unique(name);
        let document = cluster_admission_policy(policy, &name, &self.module(policy), settings, rules(workloads));
        self.push(document)
    }

    fn push(&mut self, document: Value) -> &mut Value {
        self.migration.policies.push(document);
        self.migration.policies.last_mut().expect("it was pushed")
    }

    /// The URL of a policy's module.
    fn module(&self, policy: &str) -> String {
        module_url(&self.options.registry, policy)
    }
}

/// A name as a part of the name of an object.
fn object_name(name: &str) -> String {
    let is_allowed = |letter: &char| matches!(letter, 'a'..='z' | '0'..='9' | '-' | '.');
    let name = name.to_ascii_lowercase();
    name.chars().map(|letter| if is_allowed(&letter) { letter } else { '-' }).take(LONGEST_NAME).collect()
}

/// The requests that policies evaluate: those about pods, or about workloads as well.
fn rules(workloads: bool) -> Value {
    let mut rules = published::pod_rules();
    if !workloads {
        for rule in rules.iter_mut().filter_map(|rule| rule["resources"].as_array_mut()) {
            rule.retain(|resource| resource == "pods" || resource == "pods/ephemeralcontainers");
        }
        rules.retain(|rule| rule["resources"].as_array().is_some_and(|resources| !resources.is_empty()));
    }
    Value::Array(rules)
}

fn rule(group: &str, resources: &[&str], operations: &[&str]) -> Value {
    json!({"apiGroups": [group], "apiVersions": ["v1"], "resources": resources, "operations": operations})
}
