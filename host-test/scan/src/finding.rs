//! What a scan reports: findings, each with its place in a file, and problems, which are inputs that could not be read
//! or judged.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fix::Mend;

/// How much a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Reported; fails a run only with `--fail-on warning`.
    Warning,
    /// Fails a run.
    Error,
}

/// A place in the text of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in Unicode scalar values.
    pub col: usize,
    /// From 0, in bytes of the text as UTF-8.
    pub byte: usize,
}

/// A part of the text of a file; `end` is behind the last character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// Of the first character.
    pub start: Position,
    /// Behind the last character.
    pub end: Position,
}

/// Which object a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectName {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// None for what is in no namespace.
    pub namespace: Option<String>,
    /// `metadata.name`, else `metadata.generateName`, else empty.
    pub name: String,
}

/// A setting of a policy that decides a finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// As the settings name it: `allowed`, `exempt.images`.
    pub name: String,
    /// What it is set to.
    pub value: Value,
}

impl fmt::Display for Setting {
    /// `allowed: ["registry.example.com"]`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.name, self.value)
    }
}

/// Something that a policy rejects, or that is wrong with a document itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The policy, for example `privileged`; `scan` for what no policy finds, such as a duplicate key.
    pub policy: String,
    /// The document that the policy is of, for example `ValidatingAdmissionPolicy/registry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_document: Option<String>,
    /// The control, for example `hostPathVolumes`.
    pub control: String,
    /// How much it counts.
    pub severity: Severity,
    /// The level of the Pod Security Standards that it is of, as `--enforce` takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// The object.
    pub object: ObjectName,
    /// The container, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Where in the object, as in the violations of a policy: `spec.containers[0].securityContext.privileged`.
    pub path: String,
    /// What stands there; null where nothing does.
    pub value: Value,
    /// What is wrong.
    pub message: String,
    /// The setting that decides, such as what is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<Box<Setting>>,
    /// How to fix it.
    pub fix: String,
    /// How `--fix` fixes it.
    #[serde(rename = "edit", skip_serializing_if = "Option::is_none")]
    pub mend: Option<Box<Mend>>,
    /// A page about the policy.
    pub docs: String,
    /// The file, as it is named in output: relative to the working directory, with `/`.
    pub file: String,
    /// The template that a renderer made the object of, from a comment `# Source: PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Which of the documents of the file the object is in, from 0.
    #[serde(skip)]
    pub document: usize,
    /// Where in the file.
    pub span: Span,
    /// Other places that matter: an alias of an anchor, the first of two equal keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Span>,
    /// Identifies the finding across runs, whatever the name of the file and the line: 32 hexadecimal digits.
    pub fingerprint: String,
    /// Why it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppressed>,
}

impl Finding {
    /// What is wrong, with the setting that decides: `container "a" must not use image "b"; allowed: ["c"]`.
    pub fn what(&self) -> String {
        let setting = self.setting.as_ref().map(|setting| format!("; {setting}")).unwrap_or_default();
        format!("{}{setting}", self.message)
    }
}

/// Why a finding does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suppressed {
    /// What says so.
    pub kind: SuppressionKind,
    /// The reason that is given there.
    pub reason: String,
}

/// What says that a finding does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SuppressionKind {
    /// A comment in the file.
    Comment,
    /// An `ignore` entry of the configuration.
    Config,
    /// The baseline file.
    Baseline,
}

/// An input that could not be read, judged or understood. A run with a problem ends with exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Where in it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// What was found, what was expected, and what to do.
    pub message: String,
}
