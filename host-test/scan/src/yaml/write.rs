//! Writes the JSON of a document from its events.

use std::hash::{BuildHasher, RandomState};

use super::Broken;
use super::event::{Bytes, Event, Events};
use super::scalar::{Scalar, is_merge, quote, resolve};

/// What came of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// The whole document.
    All,
    /// Nothing that counts: it has anchors, merge keys or keys that may be duplicates.
    NeedsTree,
}

/// What takes down where the parts of a document stand, as they are written.
pub(super) trait Mark {
    /// The key of the value that comes next, with the hash of its JSON.
    fn key(&mut self, hash: u64, at: &Bytes);
    /// A scalar, or the start of a list or an object.
    fn value(&mut self, kind: Kind, at: &Bytes);
    /// The end of the innermost list or object.
    fn end(&mut self, at: &Bytes);
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar,
    List,
    Map,
}

/// For a reader who does not ask where anything stands.
pub(super) struct Nowhere;

impl Mark for Nowhere {
    #[inline]
    fn key(&mut self, _: u64, _: &Bytes) {}
    #[inline]
    fn value(&mut self, _: Kind, _: &Bytes) {}
    #[inline]
    fn end(&mut self, _: &Bytes) {}
}

/// A list or an object that is being written.
struct Open {
    is_map: bool,
    is_first: bool,
    /// Where its keys start among the hashes.
    keys: usize,
}

/// Writes the one document that the events are of. Keys are hashed with `hasher`.
///
/// # Errors
/// What kubectl cannot read.
pub(super) fn write<'t>(
    events: &mut impl Events<'t>,
    json: &mut String,
    hasher: &RandomState,
    marks: &mut impl Mark,
) -> Result<Written, Broken> {
    let mut open: Vec<Open> = Vec::new();
    let mut hashes: Vec<u64> = Vec::new();
    let mut is_value_due = false;
    let mut is_done = false;
    while let Some((event, span)) = events.next()? {
        if matches!(event, Event::Comment) {
            continue;
        }
        if is_done {
            return Err(Broken { at: span.start, message: BEHIND_THE_END.to_owned() });
        }
        let broken = |message| Broken { at: span.start, message };
        if let Event::End = event {
            let Some(closed) = open.pop() else { continue };
            json.push(if closed.is_map { '}' } else { ']' });
            marks.end(&span);
            if has_equal(&mut hashes[closed.keys..]) {
                return Ok(Written::NeedsTree);
            }
            hashes.truncate(closed.keys);
        } else {
            let is_key = match open.last_mut() {
                None => false,
                Some(parent) => {
                    if is_value_due {
                        json.push(':');
                    } else if !parent.is_first {
                        json.push(',');
                    }
                    parent.is_first = false;
                    parent.is_map && !is_value_due
                }
            };
            is_value_due = is_key;
            let start = json.len();
            match event {
                Event::Scalar { anchor: 0, text, is_plain, tag } => {
                    if is_key && is_merge(&text, is_plain, tag) {
                        return Ok(Written::NeedsTree);
                    }
                    let scalar = resolve(text, is_plain, tag).map_err(broken)?;
                    if is_key {
                        match scalar {
                            Scalar::Text(text) => quote(&text, json),
                            other => quote(&other.key().map_err(broken)?, json),
                        }
                        let hash = hasher.hash_one(&json[start..]);
                        hashes.push(hash);
                        marks.key(hash, &span);
                        continue;
                    }
                    scalar.write(json).map_err(broken)?;
                    marks.value(Kind::Scalar, &span);
                }
                Event::Literal(text) => {
                    json.push_str(&text);
                    marks.value(Kind::Scalar, &span);
                }
                Event::List { .. } | Event::Map { .. } if is_key => return Err(broken(COMPLEX_KEY.to_owned())),
                Event::List { anchor: 0 } => {
                    json.push('[');
                    marks.value(Kind::List, &span);
                    open.push(Open { is_map: false, is_first: true, keys: hashes.len() });
                }
                Event::Map { anchor: 0 } => {
                    json.push('{');
                    marks.value(Kind::Map, &span);
                    open.push(Open { is_map: true, is_first: true, keys: hashes.len() });
                }
                _ => return Ok(Written::NeedsTree),
            }
        }
        is_done = open.is_empty();
    }
    if json.is_empty() {
        json.push_str("null");
    }
    Ok(Written::All)
}

pub(super) const COMPLEX_KEY: &str = "invalid map key: found a list or an object, expected text";

pub(super) const BEHIND_THE_END: &str = "the document has ended, and kubectl ignores the rest; expected \
                                         `---` on a line of its own between documents";

/// Whether two hashes are equal. Equal keys have equal hashes; a tree shows whether the opposite holds.
fn has_equal(hashes: &mut [u64]) -> bool {
    if hashes.len() <= 16 {
        return hashes.iter().enumerate().any(|(index, hash)| hashes[..index].contains(hash));
    }
    hashes.sort_unstable();
    hashes.windows(2).any(|pair| pair[0] == pair[1])
}
