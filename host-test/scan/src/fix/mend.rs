//! Mends the findings of a file, with the proof that they are gone.

use std::collections::HashMap;

use serde::Serialize;

use super::{Edit, Wanted, edit};
use crate::finding::{Finding, ObjectName};
use crate::object::path_within;
use crate::sort::sorted;

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

/// Elements by text, each once: the last one counts.
struct Keyed<T> {
    index: HashMap<String, usize>,
    elements: Vec<(String, T)>,
}

impl<T> Keyed<T> {
    fn new() -> Keyed<T> {
        Keyed { index: HashMap::new(), elements: Vec::new() }
    }

    fn contains(&self, key: &str) -> bool {
        self.index.contains_key(key)
    }

    fn insert(&mut self, key: String, element: T) {
        match self.index.get(&key) {
            Some(&index) => self.elements[index].1 = element,
            None => {
                self.index.insert(key.clone(), self.elements.len());
                self.elements.push((key, element));
            }
        }
    }
}

/// Findings that were not mended, each with the reason.
type Refused = Keyed<(Finding, String)>;

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
    let mut refused = Refused::new();
    for _ in 0..MOST_STARTS {
        match attempt(text, &found, is_wanted, scan, &mut refused) {
            Some(Ok(mended)) => return Mended { refused: in_order(refused), ..mended },
            Some(Err(why)) => {
                for finding in found.findings.iter().filter(|finding| is_mendable(finding, is_wanted)) {
                    refused.insert(key(finding), (finding.clone(), why.to_owned()));
                }
                break;
            }
            None => {}
        }
    }
    Mended { text: text.to_owned(), findings: found.findings, count: 0, refused: in_order(refused) }
}

fn in_order(refused: Refused) -> Vec<(Finding, String)> {
    fn key(finding: &Finding) -> (usize, &ObjectName, &str, Option<&str>, &str, &str) {
        let Finding { document, object, policy, level, control, path, .. } = finding;
        (*document, object, policy, level.as_deref(), control, path)
    }
    let refused = refused.elements.into_iter().map(|(_, of)| of).collect();
    sorted(refused, |(a, _), (b, _)| key(a).cmp(&key(b)))
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
    refused: &mut Refused,
) -> Option<Result<Mended, &'static str>> {
    let mut mended = Mended { text: text.to_owned(), findings: found.findings.clone(), count: 0, refused: Vec::new() };
    // What uncovers itself elsewhere was left alone before, for example for its owner.
    let documents = found.findings.iter().filter(|of| is_mendable(of, is_wanted)).map(|of| of.document);
    let documents = sorted(documents.collect(), Ord::cmp);
    for _ in 0..MOST_ROUNDS {
        let targets: Vec<&Finding> = mended
            .findings
            .iter()
            .filter(|of| is_mendable(of, is_wanted) && !refused.contains(&key(of)))
            .filter(|of| documents.binary_search(&of.document).is_ok())
            .collect();
        // Of containers that inherit from their pod, all may have the same edit.
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut indexes: HashMap<String, usize> = HashMap::new();
        let mut edits = Vec::with_capacity(targets.len());
        for finding in &targets {
            let Some(mend) = &finding.mend else { continue };
            let one = Wanted { document: finding.document, edit: mend.in_document() };
            let index = *indexes.entry(format!("{} {}", one.document, one.edit.path)).or_insert(wanted.len());
            if index == wanted.len() {
                wanted.push(one);
            }
            edits.push(index);
        }
        let edited = edit(&mended.text, &wanted);
        let mut made = Keyed::new();
        for (finding, index) in targets.into_iter().zip(edits) {
            match &edited.outcomes[index] {
                Ok(()) => made.insert(key(finding), finding.clone()),
                Err(why) => refused.insert(key(finding), (finding.clone(), why.clone())),
            }
        }
        if made.elements.is_empty() {
            return Some(Ok(mended));
        }
        let again = scan(&edited.text);
        if again.problems > found.problems {
            return Some(Err("the edited file cannot be judged"));
        }
        let mut there = Keyed::new();
        for finding in again.findings.iter().filter(|of| of.suppressed.is_none()) {
            there.insert(key(finding), ());
        }
        let mut helps = true;
        mended.count += made.elements.len();
        for (key, finding) in made.elements {
            if there.contains(&key) {
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

/// What makes a finding the same in two scans of a file.
fn key(finding: &Finding) -> String {
    let Finding { document, object, policy, level, control, path, value, .. } = finding;
    let ObjectName { api_version, kind, namespace, name } = object;
    let namespace = namespace.as_deref().unwrap_or_default();
    let level = level.as_deref().unwrap_or_default();
    // Quoted, so that no two keys run into one.
    format!("{document} {:?} {value}", [api_version, kind, namespace, name, policy, level, control, path])
}
