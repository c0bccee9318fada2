//! Writes what a scan found: for people, for editors and grep, and for programs.

mod concise;
mod human;
mod json;
#[cfg(test)]
mod sample;
mod snippet;

use std::io::{self, Write};

use clap::ValueEnum;
use podfence_scan::finding::{Finding, ObjectName, Severity};
use podfence_scan::report::Report;

use crate::text::visible;

use concise::concise;
use human::{Human, human};
pub(super) use human::{not_judged, write_sum};
use json::json;

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people: the place in the file, and how to fix it
    Human,
    /// For editors and grep: a line for each finding
    Concise,
    /// For programs: podfence/scan/v1
    Json,
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
    }
}

/// Longer lines of a file are cut.
const WIDTH: usize = 160;

/// What identifies the kind of a finding: its control, which a comment `# podfence: ignore[…]` names. A policy may have
/// many controls, so its name would say less, and a comment with it would suppress more.
fn code(finding: &Finding) -> &str {
    if finding.control.is_empty() { &finding.policy } else { &finding.control }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// `Deployment shop/web`; empty for what is no object.
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
    fn nothing_in_a_text_is_hidden() {
        let text = "a\u{1b}[2J\n\t\u{202e}b\u{9b}\u{200b}é👩\u{200d}🚀";
        assert_eq!(visible(text), "a\\u{1b}[2J\\n\\u{9}\\u{202e}b\\u{9b}\\u{200b}é👩\u{200d}🚀");
    }
}
