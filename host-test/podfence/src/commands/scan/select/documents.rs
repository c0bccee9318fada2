//! The documents of `--policies`, of all projects that are known.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use podfence_cluster::documents::{self, Document};
use podfence_cluster::gatekeeper::TEMPLATES;
use podfence_cluster::migrate::{Effect, Options, migrate};
use podfence_cluster::pod_security::Configuration;
use podfence_cluster::published;
use podfence_cluster::validating::{ReadError, Unbound, Validating, is_policy_of_api_server};
use podfence_host::Mode;
use serde_json::Value;

use crate::commands::{no_policies, policy_documents};
use crate::text::origin;

/// What there is in the documents.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// Policies and groups, in the order of the documents.
    pub(super) policies: Vec<Document>,
    /// The configuration of the built-in PodSecurity admission.
    pub(super) configuration: Option<Configuration>,
    /// Policies that the API server evaluates itself.
    pub(super) validating: Validating,
    /// What is not a policy, and may be a parameter of one.
    others: Vec<Value>,
    /// What was left out, and what is not as in the cluster.
    pub(super) notes: Vec<String>,
}

/// What a document is.
enum Kind {
    Kubewarden,
    Constraint,
    Configuration,
    /// A policy of a kind that Podfence cannot evaluate.
    Unknown,
    /// One that the API server evaluates itself, or its binding.
    ApiServer,
    /// No policy.
    Other,
}

impl Documents {
    /// Reads files and directories.
    ///
    /// # Errors
    /// A file cannot be read, a policy is wrong or of a kind that is not known, or there is no policy at all in a file
    /// or directory.
    pub(super) fn read(paths: &[PathBuf], skip_unknown: bool) -> Result<Documents> {
        let mut read = Documents::default();
        let mut unknown = Vec::new();
        for path in paths {
            let (mut is_policy, mut found) = (false, Vec::new());
            for (file, value) in policy_documents(path)? {
                match kind_of(&value) {
                    Kind::Other => {
                        found.push(title(&value));
                        read.others.push(value);
                        continue;
                    }
                    Kind::ApiServer => match read.validating.add(&value) {
                        Err(ReadError::Unsupported(problem)) => unknown.push(format!("{}: {problem}", origin(&file))),
                        added => added.with_context(|| origin(&file))?,
                    },
                    Kind::Unknown => unknown.push(format!("{}: {}", origin(&file), title(&value))),
                    Kind::Kubewarden => {
                        let policies = documents::read(std::slice::from_ref(&value));
                        read.policies.extend(policies.with_context(|| origin(&file))?);
                    }
                    Kind::Constraint => read.add_constraint(&value).with_context(|| origin(&file))?,
                    Kind::Configuration => read.add_configuration(&value).with_context(|| origin(&file))?,
                }
                is_policy = true;
            }
            if !is_policy {
                return Err(no_policies(path, &found));
            }
        }
        if unknown.is_empty() {
            return Ok(read);
        }
        if !skip_unknown {
            bail!(
                "policies that Podfence has no equivalent of; --skip-unknown leaves them out:\n  {}",
                unknown.join("\n  ")
            );
        }
        read.notes.extend(unknown.into_iter().map(|unknown| format!("{unknown}: no equivalent; it is left out")));
        Ok(read)
    }

    /// Puts the policies of the API server in force, with what among the documents is a parameter of theirs. `knows_user`
    /// is whether it was said who creates the objects.
    pub(super) fn bind(&mut self, unbound: Unbound, knows_user: bool) {
        self.notes.extend(self.validating.bind(unbound));
        self.notes.extend(self.validating.notes_of_creations());
        self.notes.extend(self.validating.warnings(knows_user));
        for object in std::mem::take(&mut self.others) {
            if self.validating.takes_as_param(&object) {
                self.validating.params_mut().add(&object);
            }
        }
    }

    /// Adds the policies that decide as a constraint. In a file, pods stand in the templates of workloads, so that
    /// these are judged as well where it judges pods.
    fn add_constraint(&mut self, constraint: &Value) -> Result<()> {
        let options = Options { workloads: true, mode: Mode::Protect, ..Options::new(published::registry()) };
        let migration = migrate(std::slice::from_ref(constraint), &options);
        if let Some(left_out) = migration.warnings.iter().find(|warning| warning.effect == Effect::LeftOut) {
            bail!("{left_out}");
        }
        let mut policies = documents::read(&migration.policies)?;
        for policy in &mut policies {
            policy.name = title(constraint);
        }
        self.policies.append(&mut policies);
        // The others are about updates, and about warnings to users, which there are none of in a scan.
        let is_about_this = |path: &str| path.starts_with("spec.match") || path.starts_with("spec.parameters");
        let warnings = migration.warnings.iter().filter(|warning| is_about_this(&warning.path));
        self.notes.extend(warnings.map(ToString::to_string));
        Ok(())
    }

    fn add_configuration(&mut self, document: &Value) -> Result<()> {
        let Some(configuration) = Configuration::read(document).map_err(anyhow::Error::msg)? else {
            bail!("{}: no plugin PodSecurity", title(document));
        };
        if self.configuration.replace(configuration).is_some() {
            bail!("{}: a second configuration of PodSecurity; expected one", title(document));
        }
        Ok(())
    }
}

fn kind_of(document: &Value) -> Kind {
    let api_version = document["apiVersion"].as_str().unwrap_or_default();
    let kind = document["kind"].as_str().unwrap_or_default();
    let (group, _) = api_version.split_once('/').unwrap_or_default();
    match (group, kind) {
        _ if Configuration::is(api_version, kind) => Kind::Configuration,
        (
            "policies.kubewarden.io",
            "ClusterAdmissionPolicy" | "AdmissionPolicy" | "ClusterAdmissionPolicyGroup" | "AdmissionPolicyGroup",
        ) => Kind::Kubewarden,
        ("constraints.gatekeeper.sh", _) if TEMPLATES.iter().any(|template| template.kind == kind) => Kind::Constraint,
        ("constraints.gatekeeper.sh", _) => Kind::Unknown,
        _ if is_policy_of_api_server(document) => Kind::ApiServer,
        ("kyverno.io" | "policies.kyverno.io", _) if kind.ends_with("Policy") => Kind::Unknown,
        ("policy" | "extensions", "PodSecurityPolicy") => Kind::Unknown,
        _ => Kind::Other,
    }
}

/// How messages call a document.
fn title(document: &Value) -> String {
    let kind = document["kind"].as_str().unwrap_or("a document without kind");
    match document["metadata"]["name"].as_str() {
        Some(name) => format!("{kind}/{name}"),
        None => kind.to_owned(),
    }
}
