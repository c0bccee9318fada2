//! From what limits the pods of a cluster today to Podfence: reads PodSecurityPolicies with their RBAC, the labels and
//! the configuration of Pod Security Admission, constraints of the Gatekeeper library, and the official policies of
//! Kubewarden, and writes policies that refuse what those refuse.
//!
//! Nothing is dropped silently: what is not as it was is a [`Warning`]. A document that cannot be migrated stops no other.

mod conditions;
mod embedded;
mod gatekeeper;
pub mod kubewarden;
mod parameters;
pub(crate) mod psa;
mod psp;
mod rbac;
mod read;
mod resources;
mod rules;
mod write;

use std::collections::BTreeMap;
use std::fmt;

use podfence_host::Mode;
use serde_json::Value;

use crate::documents::items;

pub use write::MIGRATED_FROM;

use write::Writer;

/// What becomes of the documents of an input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Migration {
    /// Policies and groups, a validating twin behind its policy.
    pub policies: Vec<Value>,
    /// What they do not do as the sources did, each once.
    pub warnings: Vec<Warning>,
    /// What was read, and what became of it, in the order of the input.
    pub sources: Vec<Source>,
}

/// How the policies are made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the modules are, without a scheme: `registry.example.com/podfence`.
    pub registry: String,
    /// Whether workloads (Deployments and the like) are judged, too, where the source judges only pods.
    pub workloads: bool,
    /// Whether policies reject what their source rejected. What only reported stays in mode monitor.
    pub mode: Mode,
    /// The minor version of the cluster's Kubernetes; the newest that the modules know otherwise.
    pub kubernetes: Option<u32>,
    /// Kinds of constraints that are forks of the Gatekeeper library's, each with the library's.
    pub kind_aliases: BTreeMap<String, String>,
}

impl Options {
    /// Policies of this registry in mode monitor, for pods alone.
    pub fn new(registry: &str) -> Self {
        Self {
            registry: registry.to_owned(),
            workloads: false,
            mode: Mode::Monitor,
            kubernetes: None,
            kind_aliases: BTreeMap::new(),
        }
    }
}

/// How the policies differ from their source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// They decide the same. What is worth knowing all the same.
    Note,
    /// They reject more, or want more.
    Stricter,
    /// They reject less, or change less.
    Weaker,
    /// Something was not migrated.
    LeftOut,
}

/// Something that the policies do not do as their sources did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Which difference it makes.
    pub effect: Effect,
    /// The documents, for example `PodSecurityPolicy/restricted`; at least one.
    pub sources: Vec<String>,
    /// The field in them, for example `spec.allowedCSIDrivers`; empty for a document as a whole.
    pub path: String,
    /// What is different.
    pub text: String,
}

/// How policies for other objects than pods read an update, where other projects evaluate the object as a whole.
const OLD_VALUES: &str = "on UPDATE, what the object had before is not evaluated again";

/// Whose requests the policies for other objects than pods leave alone.
const API_SERVER: &str = "what the API server itself writes, as the user system:apiserver, is exempt";

/// How many documents a message lists.
const MOST_NAMED: usize = 8;

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", listed(&self.sources))?;
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        out.write_str(&self.text)
    }
}

/// Names in one line; of many, the first ones.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A document that was read, or several that are migrated as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is called, for example `PodSecurityPolicy/restricted`.
    pub name: String,
    /// How many documents were written for it.
    pub documents: usize,
    /// How many warnings of each effect name it.
    pub effects: BTreeMap<Effect, usize>,
}

impl Migration {
    /// Whether the policies do what the sources did: nothing was left out, and nothing is weaker.
    pub fn is_complete(&self) -> bool {
        !self.warnings.iter().any(|warning| matches!(warning.effect, Effect::Weaker | Effect::LeftOut))
    }

    /// Whether there was anything to migrate that could be read.
    pub fn has_sources(&self) -> bool {
        let is_read = |of: &Source| of.documents > 0 || !of.effects.contains_key(&Effect::LeftOut);
        self.sources.iter().any(is_read)
    }
}

/// Reads documents, and writes the policies that take their place.
///
/// Documents that limit no pods are skipped, since sources often stand beside Deployments and the like.
pub fn migrate(documents: &[Value], options: &Options) -> Migration {
    let documents: Vec<&Value> = documents.iter().flat_map(items).collect();
    let mut writer = Writer::new(options);
    let mut sorted = Sorted::default();
    for (index, document) in documents.iter().enumerate() {
        sorted.add(origin(document, index), document, &mut writer);
    }
    psp::migrate(&sorted.policies, &sorted.access, &mut writer);
    psa::migrate(&sorted.configurations, &sorted.namespaces, &mut writer);
    gatekeeper::migrate(&sorted.constraints, &sorted.gatekeeper, &mut writer);
    for (origin, document) in &sorted.kubewarden {
        kubewarden::migrate(origin, document, &mut writer);
    }
    writer.finish()
}

/// A document with what messages call it.
type Named<'d> = (String, &'d Value);

/// Documents by what they are.
#[derive(Default)]
struct Sorted<'d> {
    /// PodSecurityPolicies.
    policies: Vec<Named<'d>>,
    /// Roles and bindings.
    access: Vec<Named<'d>>,
    namespaces: Vec<Named<'d>>,
    /// What holds the configuration of Pod Security Admission.
    configurations: Vec<embedded::Configuration<'d>>,
    constraints: Vec<Named<'d>>,
    /// What changes the meaning of constraints: Config and ExpansionTemplate.
    gatekeeper: Vec<Named<'d>>,
    kubewarden: Vec<Named<'d>>,
}

impl<'d> Sorted<'d> {
    fn add(&mut self, origin: String, document: &'d Value, writer: &mut Writer<'_>) {
        let (version, kind) = kind(document);
        let group = version.split_once('/').map_or("", |(group, _)| group);
        match (group, kind) {
            ("policy" | "extensions", "PodSecurityPolicy") => self.policies.push((origin, document)),
            ("rbac.authorization.k8s.io", "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding") => {
                self.access.push((origin, document));
            }
            ("", "Namespace") => self.namespaces.push((origin, document)),
            ("constraints.gatekeeper.sh", _) => self.constraints.push((origin, document)),
            ("config.gatekeeper.sh", "Config") | ("expansion.gatekeeper.sh", "ExpansionTemplate") => {
                self.gatekeeper.push((origin, document));
            }
            // The library's templates come with its constraints.
            ("templates.gatekeeper.sh", "ConstraintTemplate") => {}
            (
                "policies.kubewarden.io",
                "ClusterAdmissionPolicy" | "AdmissionPolicy" | "ClusterAdmissionPolicyGroup" | "AdmissionPolicyGroup",
            ) => self.kubewarden.push((origin, document)),
            ("policies.kubewarden.io", "PolicyServer") | ("kustomize.config.k8s.io", _) => {}
            ("mutations.gatekeeper.sh" | "kyverno.io" | "policies.kyverno.io", _)
            | (
                "admissionregistration.k8s.io",
                "ValidatingAdmissionPolicy"
                | "MutatingAdmissionPolicy"
                | "ValidatingWebhookConfiguration"
                | "MutatingWebhookConfiguration",
            )
            | ("security.openshift.io", "SecurityContextConstraints") => {
                writer.warn(Effect::LeftOut, &origin, "", &format!("Podfence cannot migrate {}", with_article(kind)));
            }
            _ => self.add_other(origin, document, writer),
        }
    }

    /// The configuration of Pod Security Admission is in documents of many kinds.
    fn add_other(&mut self, origin: String, document: &'d Value, writer: &mut Writer<'_>) {
        let found = embedded::find(&origin, document);
        if embedded::has_disabled(document) {
            let text = "the plugin PodSecurity is disabled, so its configuration has no effect, and is not migrated";
            writer.warn(Effect::Note, &origin, "", text);
            return self.configurations.extend(found);
        }
        if !found.is_empty() {
            self.configurations.extend(found);
        } else if let Some(file) = embedded::file_of(document) {
            let text = format!("the configuration is in {file}: migrate that file");
            writer.warn(Effect::LeftOut, &origin, "", &text);
        } else {
            let (_, kind) = kind(document);
            let text = match kind {
                "" => "skipped: it has no apiVersion and kind".to_owned(),
                kind => format!("skipped: podfence cannot migrate {}", with_article(kind)),
            };
            writer.warn(Effect::Note, &origin, "", &text);
        }
    }
}

fn with_article(kind: &str) -> String {
    let is_vowel = |letter: char| "AEIOU".contains(letter);
    format!("{} {kind}", if kind.starts_with(is_vowel) { "an" } else { "a" })
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `apiVersion` and `kind`.
fn kind(document: &Value) -> (&str, &str) {
    (text(document, "/apiVersion"), text(document, "/kind"))
}

/// How messages call a document.
fn origin(document: &Value, index: usize) -> String {
    let name = match (text(document, "/metadata/namespace"), text(document, "/metadata/name")) {
        ("", name) => name.to_owned(),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    match (kind(document).1, &*name) {
        ("", _) => format!("document {}", index + 1),
        (kind, "") => kind.to_owned(),
        (kind, name) => format!("{kind}/{name}"),
    }
}

/// The labels of a document.
///
/// # Errors
/// One is not a string.
fn labels_of(document: &Value) -> Result<BTreeMap<String, String>, String> {
    let labels = document.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let read = labels.map(|(key, value)| match value.as_str() {
        Some(value) => Ok((key.clone(), value.to_owned())),
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

/// Whether an entry of `allowedHostPaths` is one that the policy takes: absolute, without `..`.
fn is_plain_path(path: &str) -> bool {
    let drive = path.as_bytes();
    let is_drive = matches!(drive, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    (path.starts_with('/') || is_drive) && !path.split(['/', '\\']).any(|part| part == "..")
}

/// Whether the setting `exempt` takes a name: one, or a prefix with one `*` at its end.
fn is_exemption(name: &str) -> bool {
    !name.is_empty() && !name.strip_suffix('*').unwrap_or(name).contains('*')
}
