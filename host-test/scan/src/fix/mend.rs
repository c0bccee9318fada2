//! Mends the findings of a file, with the proof that they are gone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Edit, Wanted, edit};
use crate::finding::{Finding, ObjectName};
use crate::object::path_within;

/// How a finding is mended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mend {
    /// The edit, with a path in the object.
    #[serde(flatten)]
    pub edit: Edit,
    /// Where in the document the object is.
    #[serde(skip)]
    pub within: String,
}

impl Mend {
    /// The edit with a path from the root of the document on.
    pub fn in_document(&self) -> Edit {
        let path = path_within(&self.within, &self.edit.path).into_owned();
        Edit { path, ..self.edit.clone() }
    }
}

/// What a scan of a text finds.
pub struct Scan {
    /// The findings, with what suppresses them.
    pub findings: Vec<Finding>,
    /// How many problems there are.
    pub problems: usize,
}

/// What came of a file.
pub struct Mended {
    /// The text afterwards; the old one if nothing was mended.
    pub text: String,
    /// What a scan of it finds.
    pub findings: Vec<Finding>,
    /// How many findings were mended.
    pub count: usize,
    /// The findings that were to be mended and are not, each with the reason.
    pub refused: Vec<(Finding, String)>,
}

/// What makes a finding the same in two scans of a file.
type Key = (usize, ObjectName, String, Option<String>, String, String, String);

/// So often a text is edited and scanned: what is mended may uncover something else.
const MOST_ROUNDS: usize = 8;

/// So often the edits start from the beginning, without those that did not help.
const MOST_STARTS: usize = 8;

/// Edits a text, of which a scan found `found`, so that what `is_wanted` is mended. The edited text is scanned again: a
/// finding that is still there keeps its edit out, and with a new problem nothing is edited.
pub fn mend(
    text: &str,
    found: Scan,
    is_wanted: &dyn Fn(&Finding) -> bool,
    scan: &mut dyn FnMut(&str) -> Scan,
) -> Mended {
    let mut refused: BTreeMap<Key, (Finding, String)> = BTreeMap::new();
    for _ in 0..MOST_STARTS {
        match attempt(text, &found, is_wanted, scan, &mut refused) {
            Some(Ok(mended)) => return Mended { refused: refused.into_values().collect(), ..mended },
            Some(Err(why)) => {
                for finding in found.findings.iter().filter(|finding| is_mendable(finding, is_wanted)) {
                    refused.insert(key(finding), (finding.clone(), why.to_owned()));
                }
                break;
            }
            None => {}
        }
    }
    Mended { text: text.to_owned(), findings: found.findings, count: 0, refused: refused.into_values().collect() }
}

/// Edits a text until nothing is left to mend; none if something was found to be no help, which starts again.
///
/// # Errors
/// Why nothing can be mended.
fn attempt(
    text: &str,
    found: &Scan,
    is_wanted: &dyn Fn(&Finding) -> bool,
    scan: &mut dyn FnMut(&str) -> Scan,
    refused: &mut BTreeMap<Key, (Finding, String)>,
) -> Option<Result<Mended, &'static str>> {
    let mut mended = Mended { text: text.to_owned(), findings: found.findings.clone(), count: 0, refused: Vec::new() };
    // What uncovers itself elsewhere was left alone before, for example for its owner.
    let documents: BTreeSet<usize> =
        found.findings.iter().filter(|of| is_mendable(of, is_wanted)).map(|of| of.document).collect();
    for _ in 0..MOST_ROUNDS {
        let targets: Vec<&Finding> = mended
            .findings
            .iter()
            .filter(|of| is_mendable(of, is_wanted) && !refused.contains_key(&key(of)))
            .filter(|of| documents.contains(&of.document))
            .collect();
        // Of containers that inherit from their pod, all may have the same edit.
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut indexes = BTreeMap::new();
        let mut edits = Vec::with_capacity(targets.len());
        for finding in &targets {
            let Some(mend) = &finding.mend else { continue };
            let one = Wanted { document: finding.document, edit: mend.in_document() };
            let index = *indexes.entry((one.document, one.edit.path.clone())).or_insert(wanted.len());
            if index == wanted.len() {
                wanted.push(one);
            }
            edits.push(index);
        }
        let edited = edit(&mended.text, &wanted);
        let mut made = BTreeMap::new();
        for (finding, index) in targets.into_iter().zip(edits) {
            match &edited.outcomes[index] {
                Ok(()) => _ = made.insert(key(finding), finding.clone()),
                Err(why) => _ = refused.insert(key(finding), (finding.clone(), why.clone())),
            }
        }
        if made.is_empty() {
            return Some(Ok(mended));
        }
        let again = scan(&edited.text);
        if again.problems > found.problems {
            return Some(Err("the edited file cannot be judged"));
        }
        let is_there: BTreeSet<Key> = again.findings.iter().filter(|of| of.suppressed.is_none()).map(key).collect();
        let mut helps = true;
        mended.count += made.len();
        for (key, finding) in made {
            if is_there.contains(&key) {
                helps = false;
                refused.insert(key, (finding, "it is still rejected after the edit".to_owned()));
            }
        }
        if !helps {
            return None;
        }
        mended.text = edited.text;
        mended.findings = again.findings;
    }
    Some(Err("each edit makes another one necessary"))
}

fn is_mendable(finding: &Finding, is_wanted: &dyn Fn(&Finding) -> bool) -> bool {
    finding.mend.is_some() && finding.suppressed.is_none() && is_wanted(finding)
}

fn key(finding: &Finding) -> Key {
    (
        finding.document,
        finding.object.clone(),
        finding.policy.clone(),
        finding.level.clone(),
        finding.control.clone(),
        finding.path.clone(),
        finding.value.to_string(),
    )
}
