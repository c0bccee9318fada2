use std::collections::HashMap;
use std::io::{self, Write};

use podfence_scan::finding::Severity;
use podfence_scan::report::Report;
use serde::Serialize;

use super::{code, object};
use crate::text::pretty_json;

/// An issue of GitLab's code quality report.
#[derive(Serialize)]
struct Issue {
    description: String,
    check_name: String,
    fingerprint: String,
    severity: &'static str,
    location: Location,
}

#[derive(Serialize)]
struct Location {
    path: String,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: usize,
}

/// A code quality report of GitLab: problems are blockers, errors major, warnings minor. Paths are relative to the root
/// of the project, which `prefix` leads to: empty, or a directory that ends with `/`. Suppressed findings are left out.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn gitlab(report: &Report, prefix: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut issues = Vec::new();
    // GitLab keeps one issue of each fingerprint.
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut unique = |fingerprint: String| {
        let ordinal = seen.entry(fingerprint.clone()).or_default();
        *ordinal += 1;
        if *ordinal == 1 { fingerprint } else { format!("{fingerprint}-{ordinal}") }
    };
    let location = |file: &str, line| Location { path: format!("{prefix}{file}"), lines: Lines { begin: line } };
    for problem in &report.problems {
        issues.push(Issue {
            description: problem.message.clone(),
            check_name: "problem".to_owned(),
            fingerprint: unique(format!("problem-{}-{}", problem.file, problem.message)),
            severity: "blocker",
            location: location(&problem.file, problem.position.map_or(1, |position| position.line)),
        });
    }
    for finding in report.findings.iter().filter(|finding| finding.suppressed.is_none()) {
        let fix = if finding.fix.is_empty() { String::new() } else { format!("; {}", finding.fix) };
        issues.push(Issue {
            description: format!("{}: {}{fix}", object(&finding.object), finding.what()),
            check_name: code(finding).to_owned(),
            fingerprint: unique(finding.fingerprint.clone()),
            severity: match finding.severity {
                Severity::Error => "major",
                Severity::Warning => "minor",
            },
            location: location(&finding.file, finding.span.start.line),
        });
    }
    writeln!(out, "{}", pretty_json(&issues)?)
}

#[cfg(test)]
mod tests {
    use podfence_scan::finding::{Finding, Suppressed, SuppressionKind};
    use serde_json::{Value, json};

    use super::super::sample::{WEB, finding, missing, problem, report, span};
    use super::*;

    fn written(report: &Report, prefix: &str) -> Value {
        let mut bytes = Vec::new();
        gitlab(report, prefix, &mut bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn each_finding_is_an_issue_with_a_fingerprint_of_its_own() {
        let accepted = Suppressed { kind: SuppressionKind::Comment, reason: "known".to_owned() };
        let mut report = report(vec![
            finding(span(WEB, "true")),
            finding(span(WEB, "true")),
            Finding { suppressed: Some(accepted), ..finding(span(WEB, "true")) },
            Finding {
                severity: Severity::Warning,
                fingerprint: "11".to_owned(),
                ..missing(span(WEB, "web"), "runAsNonRoot", "runAsNonRoot", "true")
            },
        ]);
        report.problems = vec![problem()];
        let of = |description: &str, check: &str, fingerprint: &str, severity: &str, path: &str, line: usize| {
            json!({
                "description": description, "check_name": check, "fingerprint": fingerprint, "severity": severity,
                "location": {"path": path, "lines": {"begin": line}},
            })
        };
        let privileged = "Deployment shop/web: container \"web\" must not set securityContext.privileged=true; set \
                          securityContext.privileged to false or remove it";
        let root = "Deployment shop/web: container \"web\" must set securityContext.runAsNonRoot=true; set \
                    securityContext.runAsNonRoot to true";
        let fingerprint = "00112233445566778899aabbccddeeff";
        let again = format!("{fingerprint}-2");
        let broken = "expected a key, found \"]\"";
        let of_problem = format!("problem-deploy/broken.yaml-{broken}");
        let expected = json!([
            of(broken, "problem", &of_problem, "blocker", "app/deploy/broken.yaml", 3),
            of(privileged, "privileged", fingerprint, "major", "app/deploy/web.yaml", 8),
            of(privileged, "privileged", &again, "major", "app/deploy/web.yaml", 8),
            of(root, "runAsNonRoot", "11", "minor", "app/deploy/web.yaml", 6),
        ]);
        assert_eq!(written(&report, "app/"), expected);
        assert_eq!(written(&Report::default(), ""), json!([]));
    }
}
