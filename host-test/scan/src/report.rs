//! Everything that a scan reports. All formats are made of it.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::finding::{Finding, Problem};
use crate::sort::sorted;

/// Everything that a scan found.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The policies that judged.
    pub policies: Vec<Judging>,
    /// Sorted by file, byte, policy and control.
    pub findings: Vec<Finding>,
    /// Inputs that could not be read, judged or understood.
    pub problems: Vec<Problem>,
    /// What was not judged and is not a problem; empty unless it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// What policies say for the audit log; empty unless it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotated>,
    /// How much of the input was judged, and what came of it.
    pub summary: Summary,
}

/// An object or a document that was not judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// The file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// For example `Service shop/web: without a pod`.
    pub why: String,
}

/// What a policy says of an object for the audit log of the API server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotated {
    /// The file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// For example `Deployment shop/web`.
    pub object: String,
    /// The policy and the key, for example `registry/images`.
    pub key: String,
    /// The text.
    pub value: String,
}

/// A policy that judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judging {
    /// For example `privileged`.
    pub name: String,
    /// Of the module: `sha256:` and 64 hexadecimal digits; empty for a policy that is linked in or has no module.
    pub digest: String,
    /// The settings that it was evaluated with.
    pub settings: Map<String, Value>,
}

impl Judging {
    /// With the level that it judges by, `LEVEL` or `LEVEL:VERSION`, also where it is the default of the setting.
    pub fn at_level(mut self, level: &str) -> Judging {
        let level = level.split(':').next().unwrap_or(level);
        self.settings.entry("level").or_insert_with(|| level.into());
        self
    }

    /// Each once, by name and settings.
    pub fn each_once(judging: impl Iterator<Item = Judging>) -> Vec<Judging> {
        let keyed = judging.map(|of| (Value::Object(of.settings.clone()).to_string(), of)).collect();
        let keyed = sorted(keyed, |(a, one), (b, other)| (&one.name, a).cmp(&(&other.name, b)));
        let mut judging: Vec<Judging> = keyed.into_iter().map(|(_, of)| of).collect();
        judging.dedup();
        judging
    }
}

/// Counts. Each document of the input is in exactly one of those from `judged` to `unreadable`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Files that were read.
    pub files: usize,
    /// Documents in them.
    pub documents: usize,
    /// Objects that a policy judged.
    pub judged: usize,
    /// Objects of kinds that have no pod, and that no policy sees.
    pub without_pods: usize,
    /// Values files, patches, configurations of CI: no Kubernetes object.
    pub no_objects: usize,
    /// Objects that look as if they have pods, but nothing judges their kind.
    pub not_judged: usize,
    /// Objects with pods that no policy's rules match.
    pub not_selected: usize,
    /// Objects that are left alone because their controller is in the input.
    pub owned: usize,
    /// Objects that are exempt from all policies.
    pub exempt: usize,
    /// Documents that could not be read.
    pub unreadable: usize,
    /// Files that are Helm templates, which are not rendered.
    pub templates: usize,
    /// Findings that count as errors.
    pub errors: usize,
    /// Findings that count as warnings.
    pub warnings: usize,
    /// Findings that do not count.
    pub suppressed: usize,
    /// What to run to judge more, for example ``Render templates: `helm template CHART | podfence scan -` ``.
    pub hints: Vec<String>,
    /// What to clean up: entries that suppress nothing or are over, and what is fixed since the baseline was written.
    pub notes: Vec<String>,
}

impl Summary {
    /// Adds the counts of another one.
    pub fn add(&mut self, other: &Summary) {
        let counts = [
            (&mut self.files, other.files),
            (&mut self.documents, other.documents),
            (&mut self.judged, other.judged),
            (&mut self.without_pods, other.without_pods),
            (&mut self.no_objects, other.no_objects),
            (&mut self.not_judged, other.not_judged),
            (&mut self.not_selected, other.not_selected),
            (&mut self.owned, other.owned),
            (&mut self.exempt, other.exempt),
            (&mut self.unreadable, other.unreadable),
            (&mut self.templates, other.templates),
            (&mut self.errors, other.errors),
            (&mut self.warnings, other.warnings),
            (&mut self.suppressed, other.suppressed),
        ];
        counts.into_iter().for_each(|(count, more)| *count += more);
    }
}
