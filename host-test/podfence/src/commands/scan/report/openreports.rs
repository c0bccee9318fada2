use std::collections::BTreeMap;
use std::io::{self, Write};

use podfence_scan::finding::{Finding, ObjectName, Severity};
use podfence_scan::report::Report;
use serde_json::{Value, json};

use super::{control, importance};
use crate::text::json as json_text;

/// A List of Reports of `openreports.io/v1alpha1`, one for each namespace, and a ClusterReport for what is in none. An
/// object is the subject of its findings; problems are results `error` of the ClusterReport. Suppressed findings are
/// `skip`.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn openreports(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut results: BTreeMap<Option<&str>, Vec<Value>> = BTreeMap::new();
    for problem in &report.problems {
        let line = problem.position.map_or(0, |position| position.line);
        results.entry(None).or_default().push(json!({
            "source": SOURCE, "policy": "scan", "rule": "problem", "result": "error", "message": problem.message,
            "properties": {"file": problem.file, "line": line.to_string()},
        }));
    }
    for finding in &report.findings {
        results.entry(finding.object.namespace.as_deref()).or_default().push(result(finding));
    }
    let items: Vec<Value> = results.into_iter().map(|(namespace, results)| of_namespace(namespace, results)).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    writeln!(out, "{}", json_text(&list)?)
}

/// What the reports are of.
const SOURCE: &str = "podfence";

fn of_namespace(namespace: Option<&str>, results: Vec<Value>) -> Value {
    let count = |of: &str| results.iter().filter(|result| result["result"] == of).count();
    let counts = ["pass", "fail", "warn", "error", "skip"].map(|of| (of.to_owned(), json!(count(of))));
    let mut metadata = json!({"name": "podfence-scan", "labels": {"app.kubernetes.io/managed-by": SOURCE}});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({
        "apiVersion": "openreports.io/v1alpha1",
        "kind": if namespace.is_some() { "Report" } else { "ClusterReport" },
        "metadata": metadata,
        "source": SOURCE,
        "summary": serde_json::Map::from_iter(counts),
        "results": results,
    })
}

fn result(finding: &Finding) -> Value {
    let verdict = match (finding.suppressed.is_some(), finding.severity) {
        (true, _) => "skip",
        (false, Severity::Error) => "fail",
        (false, Severity::Warning) => "warn",
    };
    let fix = if finding.fix.is_empty() { String::new() } else { format!("; {}", finding.fix) };
    let mut properties = json!({
        "file": finding.file,
        "line": finding.span.start.line.to_string(),
        "column": finding.span.start.col.to_string(),
        "path": finding.path,
    });
    if let Some(suppressed) = &finding.suppressed {
        properties["suppressed"] = json!(suppressed.reason);
    }
    let mut result = json!({
        "source": SOURCE,
        "policy": finding.policy,
        "rule": control(finding),
        "category": "Pod Security",
        "severity": importance(finding),
        "result": verdict,
        "message": format!("{}{fix}", finding.what()),
        "properties": properties,
    });
    let ObjectName { api_version, kind, namespace, name } = &finding.object;
    if !kind.is_empty() {
        let mut subject = json!({"apiVersion": api_version, "kind": kind, "name": name});
        if let Some(namespace) = namespace {
            subject["namespace"] = json!(namespace);
        }
        result["resources"] = json!([subject]);
    }
    result
}

#[cfg(test)]
mod tests {
    use podfence_scan::finding::{Suppressed, SuppressionKind};

    use super::super::sample::{WEB, finding, missing, problem, report, span};
    use super::*;

    fn written(report: &Report) -> Value {
        let mut bytes = Vec::new();
        openreports(report, &mut bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn each_namespace_has_a_report() {
        let accepted = Suppressed { kind: SuppressionKind::Comment, reason: "known".to_owned() };
        let other = ObjectName { namespace: Some("a".to_owned()), ..finding(span(WEB, "true")).object };
        let mut report = report(vec![
            finding(span(WEB, "true")),
            Finding {
                severity: Severity::Warning,
                ..missing(span(WEB, "web"), "runAsNonRoot", "runAsNonRoot", "true")
            },
            Finding { object: other, suppressed: Some(accepted), ..finding(span(WEB, "true")) },
        ]);
        report.problems = vec![problem()];
        let list = written(&report);
        let of = |index: usize| &list["items"][index];
        let kinds: Vec<_> =
            (0..3).map(|index| (of(index)["kind"].clone(), of(index)["metadata"]["namespace"].clone())).collect();
        let expected = [("ClusterReport", Value::Null), ("Report", json!("a")), ("Report", json!("shop"))]
            .map(|(a, b)| (json!(a), b));
        assert_eq!(kinds, expected);
        assert_eq!(of(0)["summary"], json!({"pass": 0, "fail": 0, "warn": 0, "error": 1, "skip": 0}));
        assert_eq!(of(1)["summary"], json!({"pass": 0, "fail": 0, "warn": 0, "error": 0, "skip": 1}));
        assert_eq!(of(2)["summary"], json!({"pass": 0, "fail": 1, "warn": 1, "error": 0, "skip": 0}));
        let expected = json!({
            "source": "podfence", "policy": "privileged", "rule": "privileged", "category": "Pod Security",
            "severity": "critical", "result": "fail",
            "message": "container \"web\" must not set securityContext.privileged=true; set securityContext.privileged to \
                false or remove it",
            "properties": {
                "file": "deploy/web.yaml", "line": "8", "column": "23",
                "path": "spec.template.spec.containers[0].securityContext.privileged",
            },
            "resources": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "shop"}],
        });
        assert_eq!(of(2)["results"][0], expected);
        assert_eq!(of(2)["results"][1]["severity"], "medium");
        assert_eq!(written(&Report::default())["items"], json!([]));
    }
}
