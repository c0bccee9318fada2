use std::collections::BTreeMap;
use std::io::{self, Write};

use podfence_scan::finding::{Finding, Position, Severity, Span, SuppressionKind};
use podfence_scan::fix::{self, Splice};
use podfence_scan::lines::Lines;
use podfence_scan::report::Report;
use serde_json::{Map, Value, json};

use super::{control, importance, object, severity};
use crate::text::json as json_text;

/// The most results that GitHub takes of a run.
const MOST: usize = 25_000;

/// What relative URIs are relative to: the root of the repository, if the scan ran there.
const ROOT: &str = "%SRCROOT%";

/// SARIF 2.1.0, as GitHub's and other code scanners read it. Suppressed findings are in it, and say so; problems are
/// notifications of a run that was not successful.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn sarif(
    report: &Report,
    source: &mut dyn FnMut(&str) -> Option<String>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let rules = Rules::of(&report.findings);
    let mut results: Vec<Value> = report.findings.iter().map(|finding| result(finding, &rules)).collect();
    add_fixes(report, source, &mut results);
    let mut notifications: Vec<Value> = report
        .problems
        .iter()
        .map(|problem| {
            let region = problem.position.map(|at| region(Span { start: at, end: at }));
            json!({
                "level": "error",
                "message": {"text": problem.message},
                "locations": [{"physicalLocation": location(&problem.file, region)}],
            })
        })
        .collect();
    if results.len() > MOST {
        let text = format!("{} results: GitHub takes no more than {MOST} of a run", results.len());
        notifications.push(json!({"level": "warning", "message": {"text": text}}));
    }
    let sarif = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "podfence",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules.values,
            }},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {ROOT: {"description": {"text": "the working directory of the scan"}}},
            "invocations": [{
                "executionSuccessful": report.problems.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    });
    writeln!(out, "{}", json_text(&sarif)?)
}

/// The kinds of findings, each once.
struct Rules {
    values: Vec<Value>,
    indexes: BTreeMap<String, usize>,
}

impl Rules {
    fn of(findings: &[Finding]) -> Self {
        let mut rules = Self { values: Vec::new(), indexes: BTreeMap::new() };
        for finding in findings {
            let id = id(finding);
            match rules.indexes.get(&id) {
                // One rule has the errors and the warnings.
                Some(&index) if finding.severity == Severity::Error => {
                    rules.values[index]["properties"]["security-severity"] = json!(score(finding));
                }
                Some(_) => {}
                None => {
                    rules.values.push(rule(&id, finding));
                    rules.indexes.insert(id, rules.indexes.len());
                }
            }
        }
        rules
    }
}

/// Of a kind of finding. Two policies may have a control of one name, and differ in severity and docs.
fn id(finding: &Finding) -> String {
    format!("{}/{}", finding.policy, control(finding))
}

/// GitHub's bands begin at 9.0, 7.0, 4.0 and 0.1.
fn score(finding: &Finding) -> &'static str {
    match importance(finding) {
        "critical" => "9.0",
        "high" => "7.0",
        "low" => "3.0",
        _ => "5.0",
    }
}

fn rule(id: &str, finding: &Finding) -> Value {
    let mut rule = json!({
        "id": id,
        "shortDescription": {"text": format!("{} ({})", control(finding), finding.policy)},
        "properties": {"tags": ["security", finding.policy], "security-severity": score(finding)},
    });
    if !finding.docs.is_empty() {
        rule["helpUri"] = json!(finding.docs);
    }
    if !finding.fix.is_empty() {
        rule["help"] = json!({"text": finding.fix});
    }
    rule
}

fn result(finding: &Finding, rules: &Rules) -> Value {
    let id = id(finding);
    let name = object(&finding.object);
    let place = location(&finding.file, Some(region(finding.span)));
    let mut at = json!({"physicalLocation": place});
    if !name.is_empty() {
        at["logicalLocations"] = json!([{"fullyQualifiedName": name, "kind": "resource"}]);
    }
    let fix = if finding.fix.is_empty() { String::new() } else { format!("; {}", finding.fix) };
    let about = if name.is_empty() { String::new() } else { format!("{name}: ") };
    let mut result = json!({
        "ruleId": id,
        "ruleIndex": rules.indexes[&id],
        "level": severity(finding.severity),
        "message": {"text": format!("{about}{}{fix}", finding.what())},
        "locations": [at],
        "partialFingerprints": {"primaryLocationLineHash": finding.fingerprint, "podfence/v1": finding.fingerprint},
    });
    if !finding.related.is_empty() {
        let related = finding.related.iter().enumerate();
        let related = related.map(|(index, span)| {
            let place = location(&finding.file, Some(region(*span)));
            json!({"id": index, "physicalLocation": place, "message": {"text": "belongs to it"}})
        });
        result["relatedLocations"] = related.collect();
    }
    if let Some(suppressed) = &finding.suppressed {
        let kind = match suppressed.kind {
            SuppressionKind::Comment => "inSource",
            SuppressionKind::Config | SuppressionKind::Baseline => "external",
        };
        result["suppressions"] = json!([{"kind": kind, "justification": suppressed.reason}]);
    }
    result
}

/// So many results have fixes: GitHub shows no more of a run. And so many bytes of documents are read for them.
const MOST_FIXES: usize = 5_000;
const MOST_READ: usize = 16 << 20;

/// Adds the edits that `--fix` would make, each for itself. Findings are sorted by file.
fn add_fixes(report: &Report, source: &mut dyn FnMut(&str) -> Option<String>, results: &mut [Value]) {
    let is_open = |finding: &Finding| finding.suppressed.is_none() && finding.mend.is_some();
    let mut open: Vec<usize> = (0..results.len()).filter(|&index| is_open(&report.findings[index])).collect();
    open.truncate(MOST_FIXES);
    let mut left = MOST_READ;
    for of_file in open.chunk_by(|&a, &b| report.findings[a].file == report.findings[b].file) {
        let file = &report.findings[of_file[0]].file;
        let Some(text) = source(file) else { continue };
        let Ok(documents) = fix::editable(&text) else { continue };
        let lines = Lines::new(&text);
        for &index in of_file {
            let Finding { mend: Some(mend), fix: how, .. } = &report.findings[index] else { continue };
            let Some(document) = documents.get(report.findings[index].document) else { continue };
            let Some(rest) = left.checked_sub(document.text().len()) else { continue };
            left = rest;
            let Ok(splices) = fix::splices(document, &mend.in_document()) else { continue };
            let replacement = |of: &Splice| json!({"deletedRegion": region(lines.span(&of.at)), "insertedContent": {"text": of.text}});
            let change = json!({
                "artifactLocation": location(file, None)["artifactLocation"],
                "replacements": splices.iter().map(replacement).collect::<Vec<_>>(),
            });
            results[index]["fixes"] = json!([{"description": {"text": how}, "artifactChanges": [change]}]);
        }
    }
}

fn location(file: &str, region: Option<Value>) -> Value {
    let mut artifact = Map::from_iter([("uri".to_owned(), json!(uri(file)))]);
    if !file.starts_with('/') {
        artifact.insert("uriBaseId".to_owned(), json!(ROOT));
    }
    let mut location = json!({"artifactLocation": artifact});
    if let Some(region) = region {
        location["region"] = region;
    }
    location
}

fn region(Span { start, end }: Span) -> Value {
    let Position { line, col, .. } = start;
    json!({"startLine": line, "startColumn": col, "endLine": end.line, "endColumn": end.col})
}

/// The path as a part of a URI (RFC 3986): a relative reference, or with a scheme where it is absolute.
fn uri(file: &str) -> String {
    let mut uri = if file.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in file.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(byte.into()),
            other => uri += &format!("%{other:02X}"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use podfence_scan::finding::Suppressed;
    use podfence_scan::fix::{Edit, Mend, Op};

    use super::super::sample::{WEB, finding, missing, problem, report, span};
    use super::*;

    fn written(report: &Report) -> Value {
        let mut bytes = Vec::new();
        sarif(report, &mut |_| Some(WEB.to_owned()), &mut bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn findings_are_results_and_problems_notifications() {
        let accepted = Suppressed { kind: SuppressionKind::Baseline, reason: "known".to_owned() };
        let mut report = report(vec![
            Finding { related: vec![span(WEB, "kind")], ..finding(span(WEB, "true")) },
            Finding {
                severity: Severity::Warning,
                suppressed: Some(accepted),
                file: "a b/ü%.yaml".to_owned(),
                ..missing(span(WEB, "web"), "runAsNonRoot", "runAsNonRoot", "true")
            },
        ]);
        report.problems = vec![problem()];
        let run = &written(&report)["runs"][0];
        let place = |uri: &str, line: usize, from: usize, to: usize| {
            json!({
                "artifactLocation": {"uri": uri, "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": line, "startColumn": from, "endLine": line, "endColumn": to},
            })
        };
        let fingerprint = "00112233445566778899aabbccddeeff";
        let fingerprints = json!({"primaryLocationLineHash": fingerprint, "podfence/v1": fingerprint});
        let logical = json!([{"fullyQualifiedName": "Deployment shop/web", "kind": "resource"}]);
        let expected = json!([
            {
                "ruleId": "privileged/privileged", "ruleIndex": 0, "level": "error",
                "message": {"text": "Deployment shop/web: container \"web\" must not set \
                    securityContext.privileged=true; set securityContext.privileged to false or remove it"},
                "locations": [
                    {"physicalLocation": place("deploy/web.yaml", 8, 23, 27), "logicalLocations": logical},
                ],
                "partialFingerprints": fingerprints,
                "relatedLocations": [{
                    "id": 0, "physicalLocation": place("deploy/web.yaml", 1, 1, 5), "message": {"text": "belongs to it"},
                }],
            },
            {
                "ruleId": "pod-security-standards/runAsNonRoot", "ruleIndex": 1, "level": "warning",
                "message": {"text": "Deployment shop/web: container \"web\" must set \
                    securityContext.runAsNonRoot=true; set securityContext.runAsNonRoot to true"},
                "locations": [
                    {"physicalLocation": place("a%20b/%C3%BC%25.yaml", 6, 15, 18), "logicalLocations": logical},
                ],
                "partialFingerprints": fingerprints,
                "suppressions": [{"kind": "external", "justification": "known"}],
            },
        ]);
        assert_eq!(run["results"], expected);
        let rule = json!({
            "id": "privileged/privileged", "shortDescription": {"text": "privileged (privileged)"},
            "properties": {"tags": ["security", "privileged"], "security-severity": "9.0"},
            "helpUri": "https://podfence.example/privileged",
            "help": {"text": "set securityContext.privileged to false or remove it"},
        });
        assert_eq!(run["tool"]["driver"]["rules"][0], rule);
        assert_eq!(run["tool"]["driver"]["rules"][1]["properties"]["security-severity"], "5.0");
        let invocation = json!([{
            "executionSuccessful": false,
            "toolExecutionNotifications": [{
                "level": "error", "message": {"text": "expected a key, found \"]\""},
                "locations": [{"physicalLocation": place("deploy/broken.yaml", 3, 7, 7)}],
            }],
        }]);
        assert_eq!(run["invocations"], invocation);
    }

    #[test]
    fn an_edit_is_a_fix_with_what_is_replaced() {
        let edit = Edit {
            op: Op::Remove,
            path: "spec.template.spec.containers[0].securityContext.privileged".to_owned(),
            value: Value::Null,
            usual: true,
        };
        let mend = Some(Box::new(Mend { edit, within: String::new() }));
        let report = report(vec![Finding { mend, ..finding(span(WEB, "true")) }]);
        let fixes = json!([{
            "description": {"text": "set securityContext.privileged to false or remove it"},
            "artifactChanges": [{
                "artifactLocation": {"uri": "deploy/web.yaml", "uriBaseId": "%SRCROOT%"},
                "replacements": [{
                    "deletedRegion": {"startLine": 6, "startColumn": 18, "endLine": 8, "endColumn": 27},
                    "insertedContent": {"text": ""},
                }],
            }],
        }]);
        assert_eq!(written(&report)["runs"][0]["results"][0]["fixes"], fixes);
    }

    #[test]
    fn nothing_found_is_an_empty_list() {
        let run = &written(&Report::default())["runs"][0];
        assert_eq!((&run["results"], &run["tool"]["driver"]["rules"]), (&json!([]), &json!([])));
        assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    }

    #[test]
    fn more_than_github_takes_is_said() {
        let report = report(vec![finding(span(WEB, "true")); MOST + 1]);
        let invocation = &written(&report)["runs"][0]["invocations"][0];
        let text = "25001 results: GitHub takes no more than 25000 of a run";
        assert_eq!(invocation["toolExecutionNotifications"][0]["message"]["text"], text);
        assert_eq!(invocation["executionSuccessful"], true);
    }
}
