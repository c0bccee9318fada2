//! Edits of files that mend what policies reject, each with a proof.
//!
//! An edit inserts, replaces or removes parts of the text; every other byte stays. The edited text is read again, and
//! taken only if the JSON of each document is the old one with exactly the edits applied, which is computed from the
//! JSON alone, and if all comments are there in their order. What would be edited at a place that others share (an
//! alias, a merge key), or that cannot be edited without losing a comment, stays as it is.

mod edit;
mod mend;
mod text;

use serde_json::Value;

pub use edit::{Edit, Op, apply};
pub use mend::{Mend, Mended, Scan, mend};
pub use text::Splice;

use crate::sort::order;
use crate::yaml::{Bytes, Document, documents};
use text::{Insertion, plan};

/// An edit of a document of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The index of the document.
    pub document: usize,
    /// With a path from the root of the document on.
    pub edit: Edit,
}

/// A text after edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The text; the old one if nothing could be edited.
    pub text: String,
    /// What came of each edit: why it was not made.
    pub outcomes: Vec<Result<(), String>>,
}

/// Edits the text of a file. Nothing is edited without its proof.
pub fn edit(text: &str, wanted: &[Wanted]) -> Edited {
    let refused = |why: &str| Edited { text: text.to_owned(), outcomes: vec![Err(why.to_owned()); wanted.len()] };
    let old = match editable(text) {
        Ok(old) => old,
        Err(why) => return refused(&why),
    };
    let mut outcomes: Vec<Result<(), String>> = vec![Err("found no such document".to_owned()); wanted.len()];
    let mut edited = String::with_capacity(text.len() + 64 * wanted.len());
    let (mut copied, mut expected) = (0, Vec::with_capacity(old.len()));
    for (index, document) in old.iter().enumerate() {
        let of_document: Vec<usize> = (0..wanted.len()).filter(|&of| wanted[of].document == index).collect();
        if of_document.is_empty() {
            expected.push(document.json.clone());
            continue;
        }
        let edits: Vec<&Edit> = of_document.iter().map(|&of| &wanted[of].edit).collect();
        let (new, results) = edit_document(document, &edits);
        for (of, result) in of_document.into_iter().zip(results) {
            outcomes[of] = result;
        }
        let Bytes { start, end } = document.bytes();
        edited.push_str(&text[copied..start]);
        edited.push_str(&new.text);
        expected.push(new.json);
        copied = end;
    }
    edited.push_str(&text[copied..]);
    // Each document was proved alone; this is that they stand beside each other as before.
    let is_proved = editable(&edited).is_ok_and(|new| {
        new.len() == expected.len() && new.iter().zip(&expected).all(|(new, json)| is_same(&new.json, json))
    });
    if is_proved { Edited { text: edited, outcomes } } else { refused(WRONG) }
}

/// The documents of a text that may be edited; none of them if it may be a template, or one cannot be read.
///
/// # Errors
/// Why none may be edited.
pub fn editable(text: &str) -> Result<Vec<Document<'_>>, String> {
    if text.contains("{{") {
        return Err("the file has `{{`, and may be a template".to_owned());
    }
    documents(text)
        .collect::<Result<_, _>>()
        .map_err(|broken| format!("the file has a document that cannot be read: {}", broken.message))
}

/// The changes that one edit makes of a document, which are in bytes of the file.
///
/// # Errors
/// Why it cannot be made.
pub fn splices(document: &Document<'_>, edit: &Edit) -> Result<Vec<Splice>, String> {
    let offset = document.bytes().start;
    let current = Current { text: document.text().to_owned(), json: document.json.clone() };
    let (_, mut splices) = current.with(&[edit])?;
    for splice in &mut splices {
        splice.at = splice.at.start + offset..splice.at.end + offset;
    }
    Ok(splices)
}

const WRONG: &str = "the edited text would not be read as it should";

/// So many edits of a document are tried one by one, where not all can be made, and so many bytes are read for it.
const MOST_SINGLE: usize = 200;
const MOST_READ: usize = 16 << 20;

/// A document as it is after some edits.
struct Current {
    text: String,
    json: String,
}

/// Makes those edits of a document that can be made.
fn edit_document(document: &Document<'_>, edits: &[&Edit]) -> (Current, Vec<Result<(), String>>) {
    let mut current = Current { text: document.text().to_owned(), json: document.json.clone() };
    if let Ok((new, _)) = current.with(edits) {
        return (new, vec![Ok(()); edits.len()]);
    }
    let mut outcomes = vec![Err("too many edits of a document, of which one cannot be made".to_owned()); edits.len()];
    // Elements are removed from the last to the first, so that indexes stay what they are.
    let steps: Vec<Vec<_>> = edits.iter().map(|edit| crate::yaml::Steps(&edit.path).collect()).collect();
    let order = order(edits.len(), &|a, b| {
        let is_removal = |of: usize| edits[of].op == Op::Remove;
        (is_removal(a), &steps[b]).cmp(&(is_removal(b), &steps[a]))
    });
    let most = MOST_SINGLE.min(MOST_READ / current.text.len().max(1));
    for of in order.into_iter().take(most) {
        outcomes[of] = current.with(&edits[of..=of]).map(|(new, _)| current = new);
    }
    (current, outcomes)
}

impl Current {
    /// The document after more edits, and its changes.
    fn with(&self, edits: &[&Edit]) -> Result<(Current, Vec<Splice>), String> {
        self.try_with(edits, Insertion::AtEnd).or_else(|why| {
            // Behind a block scalar, for example, nothing can be inserted.
            self.try_with(edits, Insertion::BeforeLast).map_err(|_| why)
        })
    }

    fn try_with(&self, edits: &[&Edit], insertion: Insertion) -> Result<(Current, Vec<Splice>), String> {
        let document = only(&self.text)?;
        if !document.duplicates().is_empty() {
            return Err("the document has a key twice".to_owned());
        }
        let tree = document.tree().map_err(|broken| broken.message)?;
        let splices = plan(&self.text, document.is_json(), &tree, edits, insertion)?;
        let text = text::splice(&self.text, &splices);
        let mut expected: Value = serde_json::from_str(&self.json).map_err(|error| error.to_string())?;
        apply(&mut expected, edits)?;
        let wrong = || if self.text.contains(['&', '*']) { SHARED } else { WRONG };
        let new = only(&text).map_err(|_| wrong())?;
        let read: Value = serde_json::from_str(&new.json).map_err(|error| error.to_string())?;
        if read != expected {
            return Err(wrong().to_owned());
        }
        if comments(&document)? != comments(&new)? {
            return Err("the part to remove contains a comment".to_owned());
        }
        let json = new.json;
        Ok((Current { text, json }, splices))
    }
}

/// Why nothing is edited that came by an alias or a merge key.
const SHARED: &str = "the value is shared with other places by an anchor, an alias or a merge key";

fn only(text: &str) -> Result<Document<'_>, String> {
    let mut documents = documents(text);
    match (documents.next(), documents.next()) {
        (Some(Ok(document)), None) => Ok(document),
        _ => Err("the document cannot be read alone".to_owned()),
    }
}

fn comments(document: &Document<'_>) -> Result<Vec<String>, String> {
    let tree = document.tree().map_err(|broken| broken.message)?;
    let start = document.bytes().start;
    let text = |bytes: &Bytes| document.text()[bytes.start - start..bytes.end - start].trim_end().to_owned();
    Ok(tree.comments.iter().map(text).collect())
}

fn is_same(one: &str, other: &str) -> bool {
    one == other || serde_json::from_str::<Value>(one).ok() == serde_json::from_str::<Value>(other).ok()
}
