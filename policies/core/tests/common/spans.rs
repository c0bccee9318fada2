//! Parts of a JSON text, byte for byte.

use std::ops::Range;

use podfence_core::{
    Arena,
    json::{Bracket, Reader, Text, pad},
};
use serde_json::Value;

/// Cuts members out of a text that is JSON; each path names one by keys and by numbers of elements.
/// Together with a member goes the comma that was behind it, or else the one that was before it.
///
/// They go one after the other and the first in the text first: so one that was put in front of the
/// others leaves the text as it was.
pub fn without(text: &str, members: &[Vec<String>]) -> String {
    let mut text = text.to_owned();
    let mut members = members.to_vec();
    loop {
        let (padded, arena) = (pad(text.as_bytes()), Arena::new());
        let padded = Text::new(&padded, &arena).expect("a text");
        members.retain(|path| member(&padded, path).is_some());
        let Some(first) = members.iter().filter_map(|path| member(&padded, path)).min_by_key(|range| range.start)
        else {
            return text;
        };
        text.replace_range(with_comma(&text, first), "");
    }
}

fn with_comma(text: &str, member: Range<usize>) -> Range<usize> {
    let (before, behind) = (text[..member.start].trim_end(), &text[member.end..]);
    let spaces = behind.len() - behind.trim_start().len();
    if behind.trim_start().starts_with(',') {
        member.start..member.end + spaces + 1
    } else if before.ends_with(',') {
        before.len() - 1..member.end
    } else {
        member
    }
}

/// Where the key and the value of a member stand.
fn member(text: &Text<'_>, path: &[String]) -> Option<Range<usize>> {
    let mut reader = Reader::at(text, 0);
    let mut start = 0;
    for step in path {
        start = match reader.peek() {
            b'{' => enter_object(&mut reader, step)?,
            b'[' => enter_list(&mut reader, step.parse().ok()?)?,
            _ => return None,
        };
    }
    reader.skip().ok()?;
    Some(start..reader.position())
}

/// Moves to the value of a member; says where its key starts.
fn enter_object(reader: &mut Reader<'_>, wanted: &str) -> Option<usize> {
    reader.open(Bracket::Object).ok()?;
    if reader.is_empty(Bracket::Object) {
        return None;
    }
    loop {
        reader.peek();
        let start = reader.position();
        if reader.key().ok()? == wanted {
            return Some(start);
        }
        reader.skip().ok()?;
        if !reader.more(Bracket::Object).ok()? {
            return None;
        }
    }
}

fn enter_list(reader: &mut Reader<'_>, wanted: usize) -> Option<usize> {
    reader.open(Bracket::List).ok()?;
    if reader.is_empty(Bracket::List) {
        return None;
    }
    for _ in 0..wanted {
        reader.skip().ok()?;
        if !reader.more(Bracket::List).ok()? {
            return None;
        }
    }
    reader.peek();
    Some(reader.position())
}

/// The part of a path at whose end nothing stands, or a null: what has to be made there is made whole.
pub fn made_at(object: &Value, path: &[String]) -> Vec<String> {
    let mut value = object;
    for (index, step) in path.iter().enumerate() {
        value = match value {
            Value::Array(elements) => &elements[step.parse::<usize>().expect("a number")],
            value => &value[step.as_str()],
        };
        if value.is_null() {
            return path[..=index].to_vec();
        }
    }
    path.to_vec()
}
