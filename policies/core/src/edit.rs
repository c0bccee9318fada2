//! Changes to a JSON text that keep every byte they do not touch.

use alloc::{string::String, vec::Vec};

use crate::{
    json::{Bracket, NotJson, Reader, Text},
    text::{self, cut, is, own, put, quote, split},
};

/// Replaces a part of a text.
pub(crate) struct Splice {
    at: usize,
    removed: usize,
    inserted: String,
}

/// Sets members (key and JSON) of an object. The object is at a dotted path below the one at an
/// offset, and is made if it is not there.
pub(crate) fn merge(
    text: &Text<'_>,
    object: usize,
    path: &str,
    members: &[(&'static str, String)],
    splices: &mut Vec<Splice>,
) {
    let mut object = object;
    let mut rest = path;
    while !rest.is_empty() {
        let (key, behind) = split(rest, b'.');
        match find(text, object, key) {
            Ok(Member::Found { start, end }) if is(text.part(start, end), "null") => {
                splices.push(Splice { at: start, removed: end - start, inserted: nested(behind, members) });
                return;
            }
            Ok(Member::Found { start, .. }) => object = start,
            Ok(Member::Missing { only }) => {
                let mut inserted = String::new();
                push_member(&mut inserted, key, &nested(behind, members));
                insert(object, inserted, only, splices);
                return;
            }
            // The reader was here before and found an object.
            Err(_) => return,
        }
        rest = behind;
    }
    let (mut inserted, mut all) = (String::new(), true);
    for (key, json) in members {
        match find(text, object, key) {
            Ok(Member::Found { start, end }) => {
                splices.push(Splice { at: start, removed: end - start, inserted: own(json) });
                all = false;
            }
            Ok(Member::Missing { only }) => {
                push_member(&mut inserted, key, json);
                all &= only;
            }
            Err(_) => return,
        }
    }
    if !inserted.is_empty() {
        insert(object, inserted, all, splices);
    }
}

/// Puts members in front of the others of an object.
fn insert(object: usize, mut members: String, only: bool, splices: &mut Vec<Splice>) {
    if !only {
        put(&mut members, ",");
    }
    splices.push(Splice { at: object + 1, removed: 0, inserted: members });
}

/// An object with these members, inside objects with the keys of a dotted path.
fn nested(path: &str, members: &[(&'static str, String)]) -> String {
    let mut json = own("{");
    if path.is_empty() {
        for (key, value) in members {
            push_member(&mut json, key, value);
        }
    } else {
        let (key, behind) = split(path, b'.');
        push_member(&mut json, key, &nested(behind, members));
    }
    put(&mut json, "}");
    json
}

fn push_member(json: &mut String, key: &str, value: &str) {
    if !json.is_empty() && !json.ends_with('{') {
        put(json, ",");
    }
    quote(key, json);
    put(json, ":");
    put(json, value);
}

enum Member {
    Found {
        start: usize,
        end: usize,
    },
    /// `only`: the object has no member at all.
    Missing {
        only: bool,
    },
}

fn find(text: &Text<'_>, object: usize, wanted: &str) -> Result<Member, NotJson> {
    let mut reader = Reader::at(text, object);
    reader.open(Bracket::Object)?;
    if reader.is_empty(Bracket::Object) {
        return Ok(Member::Missing { only: true });
    }
    loop {
        let key = reader.key()?;
        reader.peek();
        let start = reader.position();
        reader.skip()?;
        if is(key, wanted) {
            return Ok(Member::Found { start, end: reader.position() });
        }
        if !reader.more(Bracket::Object)? {
            return Ok(Member::Missing { only: false });
        }
    }
}

/// Applies splices to a part of a text that starts at an offset; `None` if there are none.
pub(crate) fn splice(part: &str, offset: usize, mut splices: Vec<Splice>) -> Option<String> {
    if splices.is_empty() {
        return None;
    }
    text::sort_by(&mut splices, |a, b| a.at < b.at);
    let mut edited = String::with_capacity(part.len() + 64 * splices.len());
    let mut done = 0;
    for splice in &splices {
        let at = splice.at - offset;
        put(&mut edited, cut(part, done, at));
        put(&mut edited, &splice.inserted);
        done = at + splice.removed;
    }
    put(&mut edited, cut(part, done, part.len()));
    Some(edited)
}
