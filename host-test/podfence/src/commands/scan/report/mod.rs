//! Writes what a scan found: for people, for editors and grep, and for programs.

mod concise;
mod github;
mod gitlab;
mod human;
mod json;
mod junit;
mod openreports;
#[cfg(test)]
mod sample;
mod sarif;
mod snippet;

use std::io::{self, Write};

use clap::ValueEnum;
use podfence_cluster::published::{self, Published};
use podfence_scan::finding::{Finding, ObjectName, Severity};
use podfence_scan::report::Report;
use podfence_scan::standard::STANDARDS;
use podfence_scan::suppress::is_same_control;

use crate::text::visible;

use concise::concise;
use github::github;
use gitlab::gitlab;
use human::{Human, human};
pub(super) use human::{not_judged, write_sum};
use json::json;
use junit::junit;
use openreports::openreports;
use sarif::sarif;

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people: the place in the file, and how to fix it
    Human,
    /// For editors and grep: a line for each finding
    Concise,
    /// For programs: podfence/scan/v1
    Json,
    /// For code scanning: SARIF 2.1.0
    Sarif,
    /// For test reports: JUnit XML
    Junit,
    /// For GitHub Actions: annotations of the changes
    Github,
    /// For GitLab: a code quality report
    Gitlab,
    /// For dashboards of clusters: Reports of openreports.io/v1alpha1
    Openreports,
}

impl Format {
    /// Whether it is for people, who may have colours. In the others nothing is to be stripped.
    pub(super) fn is_for_people(self) -> bool {
        matches!(self, Format::Human | Format::Concise)
    }
}

/// Writes a report; `source` returns the text of a file.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn write(
    format: Format,
    report: &Report,
    source: &mut dyn FnMut(&str) -> Option<String>,
    is_verbose: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Human => human(report, source, Human { verbose: is_verbose, width: WIDTH }, out),
        Format::Concise => concise(report, out),
        Format::Json => json(report, out),
        Format::Sarif => sarif(report, source, out),
        Format::Junit => junit(report, out),
        Format::Github => github(report, out),
        Format::Gitlab => gitlab(report, &within_project(), out),
        Format::Openreports => openreports(report, out),
    }
}

/// Where the working directory is in GitLab's project, with a `/` behind it; empty at its root and elsewhere.
fn within_project() -> String {
    let working = std::env::current_dir().unwrap_or_default();
    let project = std::env::var_os("CI_PROJECT_DIR").unwrap_or_default();
    match working.strip_prefix(&project) {
        Ok(within) if !project.is_empty() && !within.as_os_str().is_empty() => format!("{}/", within.display()),
        _ => String::new(),
    }
}

/// Longer lines of a file are cut.
const WIDTH: usize = 160;

/// What identifies the kind of a finding: its control, which a comment `# podfence: ignore[…]` names. A policy may have
/// many controls, so its name would say less, and a comment with it would suppress more.
///
/// A ValidatingAdmissionPolicy is the exception: `validations[0]` says less than its name, and a comment names the policy.
fn code(finding: &Finding) -> &str {
    let document = finding.policy_document.as_deref().unwrap_or_default();
    if document.starts_with("ValidatingAdmissionPolicy/") { &finding.policy } else { control(finding) }
}

/// The control, where a policy has one.
fn control(finding: &Finding) -> &str {
    if finding.control.is_empty() { &finding.policy } else { &finding.control }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// How severe a finding is, of critical, high, medium and low: as the policy of its control says, also where
/// `pod-security-standards` finds it. A warning is medium at most.
fn importance(finding: &Finding) -> &'static str {
    let has_control = |of: &&Published| of.controls.iter().any(|of| is_same_control(of, &finding.control));
    let mut others = published::all().iter().filter(|of| of.policy != STANDARDS);
    let of_standards = (finding.policy == STANDARDS).then(|| others.find(has_control)).flatten();
    let importance = of_standards.or_else(|| published::find(&finding.policy)).map_or("medium", |of| &of.severity);
    match (finding.severity, importance) {
        (Severity::Warning, "critical" | "high") => "medium",
        _ => importance,
    }
}

/// `Deployment shop/web`; empty for what is not an object.
fn object(object: &ObjectName) -> String {
    let ObjectName { kind, namespace, name, .. } = object;
    match namespace {
        _ if kind.is_empty() => String::new(),
        _ if name.is_empty() => format!("{kind} without a name"),
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_by_what_it_has() {
        let named = |kind: &str, namespace: Option<&str>, name: &str| {
            object(&ObjectName {
                api_version: "v1".to_owned(),
                kind: kind.to_owned(),
                namespace: namespace.map(str::to_owned),
                name: name.to_owned(),
            })
        };
        assert_eq!(named("Pod", Some("shop"), "web"), "Pod shop/web");
        assert_eq!(named("Pod", None, "web"), "Pod web");
        assert_eq!(named("Pod", Some("shop"), ""), "Pod without a name");
        assert_eq!(named("", None, ""), "");
    }

    #[test]
    fn a_finding_is_as_severe_as_the_policy_of_its_control() {
        for (policy, control, severity, expected) in [
            ("privileged", "privileged", Severity::Error, "critical"),
            (STANDARDS, "hostPathVolumes", Severity::Error, "critical"),
            (STANDARDS, "seccompProfile_restricted", Severity::Error, "medium"),
            (STANDARDS, "capabilities_baseline", Severity::Error, "high"),
            (STANDARDS, "capabilities_restricted", Severity::Warning, "medium"),
            ("scan", "duplicate-key", Severity::Error, "medium"),
        ] {
            let of = sample::finding(sample::span(sample::WEB, "true"));
            let finding = Finding { policy: policy.to_owned(), control: control.to_owned(), severity, ..of };
            assert_eq!(importance(&finding), expected, "{policy} {control}");
        }
    }

    #[test]
    fn nothing_in_a_text_is_hidden() {
        let text = "a\u{1b}[2J\n\t\u{202e}b\u{9b}\u{200b}é👩\u{200d}🚀";
        assert_eq!(visible(text), "a\\u{1b}[2J\\n\\u{9}\\u{202e}b\\u{9b}\\u{200b}é👩\u{200d}🚀");
    }
}
