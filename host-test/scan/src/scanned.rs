//! What came of all files, and the report of it.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::file::{FileOutcome, Key};
use crate::finding::{Finding, Problem, Severity};
use crate::report::{Annotated, Judging, Report, Skipped, Summary};
use crate::sort::sorted;

/// What came of all files.
#[derive(Default)]
pub struct Scanned {
    /// Findings, those that are suppressed too.
    pub findings: Vec<Finding>,
    /// What could not be read or judged.
    pub problems: Vec<Problem>,
    /// What was not judged, if it is told.
    pub skipped: Vec<Skipped>,
    /// What policies say for the audit log, if it is told.
    pub annotations: Vec<Annotated>,
    /// Group and kind of the objects without pods that no policy judged.
    pub other_kinds: BTreeSet<(String, String)>,
    /// Counts; those of findings are the report's.
    pub summary: Summary,
}

impl Scanned {
    /// Puts the outcomes of files together: what is owned by an object of the input is left alone.
    pub fn together(outcomes: impl ExactSizeIterator<Item = FileOutcome>) -> Scanned {
        let mut scanned = Scanned::default();
        let mut found = Vec::with_capacity(outcomes.len());
        let mut objects: HashMap<Key, Vec<Option<String>>> = HashMap::new();
        let mut owned = Vec::new();
        let mut denied = HashSet::new();
        for outcome in outcomes {
            found.push(outcome.findings);
            scanned.problems.extend(outcome.problems);
            scanned.skipped.extend(outcome.skipped);
            scanned.annotations.extend(outcome.annotations);
            scanned.summary.add(&outcome.summary);
            owned.extend(outcome.owned);
            denied.extend(outcome.denied);
            scanned.other_kinds.extend(outcome.other_kinds);
            for (key, uid) in outcome.objects {
                objects.entry(key).or_default().push(uid);
            }
        }
        let is_here = |(key, uid): &(Key, Option<String>)| {
            let known = objects.get(key).map(Vec::as_slice).unwrap_or_default();
            known.iter().any(|of| uid.is_none() || of.is_none() || of == uid)
        };
        for (skipped, owner) in owned {
            if is_here(&owner) {
                scanned.summary.judged -= 1;
                scanned.summary.owned += 1;
                scanned.skipped.push(skipped);
            }
        }
        scanned.findings.reserve_exact(found.iter().map(Vec::len).sum());
        let counted = found.into_iter().flatten().filter(|found| !found.owner.as_deref().is_some_and(is_here));
        // What is reported counts as denied from then on, so that it is reported once.
        let counted = counted.filter(|found| found.unless.as_deref().is_none_or(|of| denied.insert(of.clone())));
        scanned.findings.extend(counted.map(|found| found.finding));
        scanned
    }

    /// The report, findings in the order of files and lines.
    pub fn report(self, policies: Vec<Judging>) -> Report {
        let Scanned { findings, problems, skipped, annotations, other_kinds: _, mut summary } = self;
        let findings = sorted(findings, |a, b| order(a).cmp(&order(b)));
        let count = |severity| findings.iter().filter(|of| of.suppressed.is_none() && of.severity == severity).count();
        summary.errors = count(Severity::Error);
        summary.warnings = count(Severity::Warning);
        summary.suppressed = findings.len() - summary.errors - summary.warnings;
        Report { policies, findings, problems, skipped, annotations, summary }
    }
}

fn order(finding: &Finding) -> (&str, usize, &str, &str, &str) {
    (&finding.file, finding.span.start.byte, &finding.policy, &finding.control, &finding.path)
}
