//! Generates the metadata of a policy, `metadata.yml`, which `kwctl annotate` and a policy-server read.
//!
//! The sources are the policy's declarations, its docs and Cargo's manifests.

use std::path::Path;

use podfence_core::{Policy, Scope, workload::WORKLOADS};
use podfence_fixtures::Suite;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    facts::{PolicyTool, Project},
    fixes, generate,
};

/// The annotation that holds the README. It is written into the module, but not into `metadata.yml`.
pub const USAGE: &str = "io.kubewarden.policy.usage";

/// The annotation that lists the settings that make the policy change objects: each with the value that does, or
/// without a value if any does. A deployment with one of them must allow mutation.
pub const MUTATING_SETTINGS: &str = "podfence.mutatingSettings";

/// The annotation that lists the controls of the policy, as its violations name them.
pub const CONTROLS: &str = "podfence.controls";

/// The facts that the metadata, the form and the package of a policy are generated from.
pub(crate) struct Facts<'p> {
    pub policy: &'p Policy,
    pub project: Project,
    pub tool: PolicyTool,
    /// The first sentence of the docs.
    pub description: String,
    /// Of its rules, sorted.
    pub controls: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    protocol_version: &'static str,
    rules: Vec<Rule>,
    mutating: bool,
    background_audit: bool,
    execution_mode: &'static str,
    policy_type: &'static str,
    context_aware_resources: [&'static str; 0],
    annotations: Map<String, Value>,
}

/// Requests that the policy evaluates.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rule {
    api_groups: [&'static str; 1],
    api_versions: [&'static str; 1],
    resources: Vec<String>,
    operations: Vec<&'static str>,
}

impl<'p> Facts<'p> {
    /// Reads the manifests and docs of the policy in a directory.
    ///
    /// # Errors
    /// A file cannot be read, or is invalid.
    pub(crate) fn load(policy: &'p Policy, suite: &Suite, dir: &Path) -> Result<Self, String> {
        let root =
            dir.ancestors().nth(2).ok_or_else(|| format!("{}: expected a directory in policies/", dir.display()))?;
        let project = Project::load(root)?;
        let (tool, description) = (PolicyTool::load(dir)?, generate::description(dir)?);
        let controls = fixes::controls(policy, suite);
        for (item, checked) in &tool.cis {
            if let Some(unknown) = checked.iter().find(|control| !controls.contains(&control.as_str())) {
                let known = controls.join(", ");
                return Err(format!("Cargo.toml: cis: {item}: no control {unknown:?}; expected some of {known}"));
            }
        }
        Ok(Self { policy, project, tool, description, controls })
    }

    fn reads_volumes(&self) -> bool {
        self.policy.fields.iter().any(|field| field.scope == Scope::PersistentVolume)
    }

    /// Returns the kinds whose objects the policy evaluates.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        let own = self.policy.kinds();
        if !own.is_empty() {
            return own.iter().map(|kind| kind.kind).collect();
        }
        let volumes = self.reads_volumes().then_some("PersistentVolume");
        WORKLOADS.iter().map(|workload| workload.kind).chain(volumes).collect()
    }

    /// Returns the rules of the policy: every kind that it reads, and, of pods, the subresource through which
    /// `kubectl debug` adds containers.
    ///
    /// Rules have `pods/resize` only if the policy evaluates resizes: it changes neither containers nor images, so others
    /// would always accept it.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        let own = self.policy.kinds().iter().map(|kind| (kind.group, kind.plural));
        if own.len() != 0 {
            return Rule::of_resources(own);
        }
        let mut rules = Rule::of_resources(WORKLOADS.iter().map(|workload| (workload.group, workload.plural)));
        if self.reads_volumes() {
            // The source of a volume is immutable. Updates bind and delete it, and must not fail for volumes that
            // are older than the policy.
            rules.push(Rule::new("", "persistentvolumes".to_owned(), vec!["CREATE"]));
        }
        // A separate rule without CREATE: the audit scanner skips such a rule, but would refuse the policy for a
        // subresource in another rule.
        let mut changes = Rule::new("", "pods/ephemeralcontainers".to_owned(), vec!["UPDATE"]);
        changes.resources.extend(self.policy.evaluates_resizes.then(|| "pods/resize".to_owned()));
        rules.push(changes);
        rules
    }

    pub(crate) fn is_mutating(&self) -> bool {
        self.policy.mutate.is_some()
    }

    /// Returns the settings that make the policy change objects, in the order of declaration:
    /// `mutate=true, defaultProfile`.
    fn mutating_settings(&self) -> String {
        let settings = self.policy.settings.declarations.iter().filter(|setting| !setting.docs.mutates_if.is_empty());
        let settings = settings.map(|setting| match setting.docs.mutates_if {
            "set" => setting.path.to_owned(),
            value => format!("{}={value}", setting.path),
        });
        settings.collect::<Vec<_>>().join(", ")
    }

    /// Returns the kinds that the policy evaluates, as one text.
    pub(crate) fn resources(&self) -> String {
        self.kinds().join(", ")
    }

    fn annotations(&self) -> Map<String, Value> {
        let Self { policy: Policy { name, .. }, project, tool, description, controls } = self;
        let authors: Vec<&str> = project.authors.iter().map(|author| author.address.as_str()).collect();
        let annotations = [
            ("io.kubewarden.policy.title", (*name).to_owned()),
            ("io.kubewarden.policy.version", project.package.version.clone()),
            ("io.kubewarden.policy.description", description.clone()),
            ("io.kubewarden.policy.author", authors.join(", ")),
            ("io.kubewarden.policy.url", project.page(name)),
            ("io.kubewarden.policy.source", project.package.repository.clone()),
            ("io.kubewarden.policy.license", project.package.license.clone()),
            ("io.kubewarden.policy.severity", tool.severity.name().to_owned()),
            ("io.kubewarden.policy.category", project.tool.category.clone()),
            ("io.kubewarden.policy.ociUrl", project.module(name)),
            (CONTROLS, controls.join(", ")),
            ("io.artifacthub.displayName", tool.display_name.clone()),
            ("io.artifacthub.resources", self.resources()),
            ("io.artifacthub.keywords", project.keywords(name, &tool.replaces).join(", ")),
        ];
        let mutating = Some((MUTATING_SETTINGS, self.mutating_settings())).filter(|(_, settings)| !settings.is_empty());
        annotations.into_iter().chain(mutating).map(|(key, value)| (key.to_owned(), json!(value))).collect()
    }

    /// Generates `metadata.yml`.
    pub(crate) fn metadata(&self) -> Result<String, String> {
        let metadata = Metadata {
            protocol_version: "v1",
            rules: self.rules(),
            mutating: self.is_mutating(),
            background_audit: true,
            execution_mode: "kubewarden-wapc",
            policy_type: "kubernetes",
            context_aware_resources: [],
            annotations: self.annotations(),
        };
        generate::yaml_file(&metadata)
    }
}

impl Rule {
    /// A rule for each group of these resources, for what is written to them.
    fn of_resources(resources: impl Iterator<Item = (&'static str, &'static str)>) -> Vec<Self> {
        let mut rules: Vec<Self> = Vec::new();
        for (group, plural) in resources {
            match rules.iter_mut().find(|rule| rule.api_groups == [group]) {
                Some(rule) => rule.resources.push(plural.to_owned()),
                None => rules.push(Self::new(group, plural.to_owned(), vec!["CREATE", "UPDATE"])),
            }
        }
        rules
    }

    fn new(group: &'static str, resource: String, operations: Vec<&'static str>) -> Self {
        Self { api_groups: [group], api_versions: ["v1"], resources: vec![resource], operations }
    }
}
