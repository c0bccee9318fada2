//! Findings for tests.

use podfence_scan::finding::{Finding, ObjectName, Position, Problem, Severity, Span};
use podfence_scan::report::{Report, Summary};
use serde_json::Value;

/// A manifest with a privileged container.
pub(super) const WEB: &str = "\
kind: Deployment
spec:
  template:
    spec:
      containers:
      - name: web
        securityContext:
          privileged: true
";

/// A text without the indentation that it has in a test.
pub(super) fn flush(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let indent = |line: &str| line.len() - line.trim_start().len();
    let least = text.lines().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    let mut flush = String::new();
    for line in text.trim_end().lines() {
        flush.push_str(line.get(least..).unwrap_or(""));
        flush.push('\n');
    }
    flush
}

/// The position of a byte, counted as the reader does.
pub(super) fn position(text: &str, byte: usize) -> Position {
    let before = &text[..byte];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    Position { line: before.matches('\n').count() + 1, col: before[line_start..].chars().count() + 1, byte }
}

/// Where `part` is the first time in `text` from `from` on.
pub(super) fn span_from(text: &str, part: &str, from: usize) -> Span {
    let start = from + text[from..].find(part).unwrap();
    Span { start: position(text, start), end: position(text, start + part.len()) }
}

/// Where `part` is the first time in `text`.
pub(super) fn span(text: &str, part: &str) -> Span {
    span_from(text, part, 0)
}

/// An error of the policy `privileged` in the container `web` of Deployment `shop/web`.
pub(super) fn finding(span: Span) -> Finding {
    Finding {
        policy: "privileged".to_owned(),
        policy_document: None,
        control: "privileged".to_owned(),
        severity: Severity::Error,
        level: None,
        object: ObjectName {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            namespace: Some("shop".to_owned()),
            name: "web".to_owned(),
        },
        container: Some("web".to_owned()),
        path: "spec.template.spec.containers[0].securityContext.privileged".to_owned(),
        value: Value::Bool(true),
        message: "container \"web\" must not set securityContext.privileged=true".to_owned(),
        fix: "set securityContext.privileged to false or remove it".to_owned(),
        docs: "https://podfence.example/privileged".to_owned(),
        file: "deploy/web.yaml".to_owned(),
        via: None,
        span,
        related: Vec::new(),
        fingerprint: "00112233445566778899aabbccddeeff".to_owned(),
        mend: None,
        document: 0,
        setting: None,
        suppressed: None,
    }
}

/// A missing field at the name of the container.
pub(super) fn missing(span: Span, control: &str, field: &str, value: &str) -> Finding {
    Finding {
        policy: "pod-security-standards".to_owned(),
        control: control.to_owned(),
        path: format!("spec.template.spec.containers[0].securityContext.{field}"),
        value: Value::Null,
        message: format!("container \"web\" must set securityContext.{field}={value}"),
        fix: format!("set securityContext.{field} to {value}"),
        docs: "https://podfence.example/pod-security-standards".to_owned(),
        ..finding(span)
    }
}

/// A broken document.
pub(super) fn problem() -> Problem {
    Problem {
        file: "deploy/broken.yaml".to_owned(),
        position: Some(Position { line: 3, col: 7, byte: 20 }),
        message: "expected a key, found \"]\"".to_owned(),
    }
}

/// A report of one file with one object.
pub(super) fn report(findings: Vec<Finding>) -> Report {
    let count = |severity| {
        findings.iter().filter(|finding| finding.severity == severity && finding.suppressed.is_none()).count()
    };
    let summary = Summary {
        files: 1,
        documents: 1,
        judged: 1,
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        suppressed: findings.iter().filter(|finding| finding.suppressed.is_some()).count(),
        ..Summary::default()
    };
    Report { findings, summary, ..Report::default() }
}
