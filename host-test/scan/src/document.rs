//! The report as one JSON document, `podfence/scan/v1`: what programs read.
//!
//! What many findings share is in it once: the object and its file, the page about a policy, and the usual fix of a
//! control. A tree of a thousand workloads has ten thousand findings, and these are most of their bytes.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::finding::{Finding, ObjectName, Problem, Setting, Severity, Span, Suppressed};
use crate::fix::{Edit, Op};
use crate::report::{Annotated, Judging, Report, Skipped, Summary};
use crate::sort::sorted;

/// A report as it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'r> {
    version: &'static str,
    tool: Tool,
    policies: &'r [Judging],
    /// By policy.
    help: Members<'r, Help<'r>>,
    /// Those with findings.
    objects: Vec<Reported<'r>>,
    problems: &'r [Problem],
    #[serde(skip_serializing_if = "<[Skipped]>::is_empty")]
    skipped: &'r [Skipped],
    #[serde(skip_serializing_if = "<[Annotated]>::is_empty")]
    annotations: &'r [Annotated],
    summary: &'r Summary,
}

#[derive(Debug, Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

/// What the findings of a policy share.
#[derive(Debug, Serialize)]
struct Help<'r> {
    /// A page about the policy.
    docs: &'r str,
    /// By control, the fix that most findings have.
    fixes: Members<'r, &'r str>,
    /// By control, the edit that most findings have, at their path.
    #[serde(skip_serializing_if = "Members::is_empty")]
    edits: Members<'r, Change<'r>>,
}

/// Members in the order of their names. A map of the standard library has thrice the code, for each type in it.
#[derive(Debug)]
struct Members<'r, V>(Vec<(&'r str, V)>);

impl<V> Members<'_, V> {
    fn get(&self, name: &str) -> Option<&V> {
        let index = self.0.binary_search_by(|(of, _)| (*of).cmp(name)).ok()?;
        Some(&self.0[index].1)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<V: Serialize> Serialize for Members<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// An object of a file with its findings.
#[derive(Debug, Serialize)]
struct Reported<'r> {
    file: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'r str>,
    /// None for what is about no object.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'r ObjectName>,
    findings: Vec<Entry<'r>>,
}

/// A finding without what it shares with others.
#[derive(Debug, Serialize)]
struct Entry<'r> {
    policy: &'r str,
    /// The document that the policy is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<&'r str>,
    control: &'r str,
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'r str>,
    path: &'r str,
    /// None where nothing stands.
    #[serde(skip_serializing_if = "Value::is_null")]
    value: &'r Value,
    message: &'r str,
    /// The setting that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    setting: Option<&'r Setting>,
    /// Where it is not that of the help.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'r str>,
    /// How `--fix` fixes it, where that is not the edit of the help at its path; null where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<Option<ShortEdit<'r>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    docs: Option<&'r str>,
    #[serde(flatten)]
    place: Place,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<Place>,
    fingerprint: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<&'r Suppressed>,
}

/// What is done at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
struct Change<'r> {
    op: Op,
    /// None for what is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'r Value>,
    usual: bool,
}

/// An edit without what is in the help.
#[derive(Debug, Serialize)]
struct ShortEdit<'r> {
    /// Where it is not that of the finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'r str>,
    #[serde(flatten)]
    change: Option<Change<'r>>,
}

/// A part of a file, short: line and column where it starts, both where it ends, and the bytes from and to.
#[derive(Debug, Serialize)]
struct Place {
    line: usize,
    col: usize,
    end: [usize; 2],
    bytes: [usize; 2],
}

impl From<&Span> for Place {
    fn from(&Span { start, end }: &Span) -> Place {
        Place { line: start.line, col: start.col, end: [end.line, end.col], bytes: [start.byte, end.byte] }
    }
}

impl<'r> From<&'r Report> for Document<'r> {
    fn from(Report { policies, findings, problems, skipped, annotations, summary }: &'r Report) -> Document<'r> {
        let help = help(findings);
        let mut objects: Vec<Reported<'r>> = Vec::new();
        let mut indexes = BTreeMap::new();
        for finding in findings {
            let index = *indexes.entry((&finding.file, &finding.via, &finding.object)).or_insert_with(|| {
                objects.push(Reported::of(finding));
                objects.len() - 1
            });
            objects[index].findings.push(Entry::of(finding, &help));
        }
        let tool = Tool { name: "podfence", version: env!("CARGO_PKG_VERSION") };
        Document { version: "podfence/scan/v1", tool, policies, help, objects, problems, skipped, annotations, summary }
    }
}

impl<'r> Reported<'r> {
    /// Without findings yet.
    fn of(finding: &'r Finding) -> Reported<'r> {
        let ObjectName { api_version, kind, namespace: _, name } = &finding.object;
        let is_object = [api_version, kind, name].iter().any(|text| !text.is_empty());
        Reported {
            file: &finding.file,
            via: finding.via.as_deref(),
            object: is_object.then_some(&finding.object),
            findings: Vec::new(),
        }
    }
}

impl<'r> Entry<'r> {
    // Every member is named: one that comes must be written here or left out on purpose.
    fn of(finding: &'r Finding, help: &Members<'r, Help<'r>>) -> Entry<'r> {
        let Finding {
            policy,
            policy_document,
            control,
            severity,
            level,
            object: _,
            container,
            path,
            value,
            message,
            setting,
            fix,
            mend: _,
            docs,
            file: _,
            via: _,
            document: _,
            span,
            related,
            fingerprint,
            suppressed,
        } = finding;
        let shared = help.get(policy);
        Entry {
            policy,
            document: policy_document.as_deref(),
            control,
            severity: *severity,
            level: level.as_deref(),
            container: container.as_deref(),
            path,
            value,
            message,
            setting: setting.as_deref(),
            fix: Some(fix.as_str()).filter(|fix| shared.and_then(|of| of.fixes.get(control)) != Some(fix)),
            edit: short_edit(finding, shared.and_then(|of| of.edits.get(control))),
            docs: Some(docs.as_str()).filter(|docs| shared.is_none_or(|of| of.docs != *docs)),
            place: span.into(),
            related: related.iter().map(Place::from).collect(),
            fingerprint,
            suppressed: suppressed.as_ref(),
        }
    }
}

impl<'r> Change<'r> {
    fn of(Edit { op, path: _, value, usual }: &'r Edit) -> Change<'r> {
        Change { op: *op, value: (!value.is_null()).then_some(value), usual: *usual }
    }
}

/// The edit of a finding, as far as the help for its control says something else: `Some(None)` if only the help has one.
fn short_edit<'r>(finding: &'r Finding, shared: Option<&Change<'r>>) -> Option<Option<ShortEdit<'r>>> {
    let Some(mend) = &finding.mend else { return shared.map(|_| None) };
    let edit = ShortEdit {
        path: (mend.edit.path != finding.path).then_some(&mend.edit.path),
        change: Some(Change::of(&mend.edit)).filter(|change| Some(change) != shared),
    };
    (edit.path.is_some() || edit.change.is_some()).then_some(Some(edit))
}

fn help(findings: &[Finding]) -> Members<'_, Help<'_>> {
    let by_control =
        sorted(findings.iter().collect(), |a: &&Finding, b| (&a.policy, &a.control).cmp(&(&b.policy, &b.control)));
    let of_policies = by_control.chunk_by(|a, b| a.policy == b.policy);
    Members(of_policies.map(|of| (of[0].policy.as_str(), Help::of(of))).collect())
}

impl<'r> Help<'r> {
    /// Of the findings of one policy, sorted by control.
    fn of(findings: &[&'r Finding]) -> Help<'r> {
        let docs = most(findings.iter().map(|finding| finding.docs.as_str()).collect());
        let mut help = Help { docs, fixes: Members(Vec::new()), edits: Members(Vec::new()) };
        for findings in findings.chunk_by(|a, b| a.control == b.control) {
            let control = findings[0].control.as_str();
            let fix = most(findings.iter().map(|finding| finding.fix.as_str()).collect());
            help.fixes.0.push((control, fix));
            help.edits.0.extend(most_edit(findings).map(|change| (control, change)));
        }
        help
    }
}

/// The text that stands there most often; the first in the alphabet of several.
fn most(texts: Vec<&str>) -> &str {
    let texts = sorted(texts, Ord::cmp);
    let counted = texts.chunk_by(|a, b| a == b).rev().max_by_key(|same| same.len());
    counted.map_or("", |same| same[0])
}

/// What most edits do; the first of several.
fn most_edit<'r>(findings: &[&'r Finding]) -> Option<Change<'r>> {
    let mut counts: Vec<(Change<'r>, usize)> = Vec::new();
    for mend in findings.iter().filter_map(|finding| finding.mend.as_ref()) {
        let change = Change::of(&mend.edit);
        match counts.iter_mut().find(|(known, _)| *known == change) {
            Some((_, count)) => *count += 1,
            None => counts.push((change, 1)),
        }
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(change, _)| change)
}
