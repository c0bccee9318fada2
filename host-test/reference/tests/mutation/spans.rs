//! Parts of a JSON text, byte for byte.

use std::ops::Range;

use podfence_core::{
    Arena,
    json::{Bracket, Reader, Text, pad},
};
use serde_json::{Map, Value};

/// Cuts members out of a JSON text; a path names one by keys and indices. The comma behind it is cut as well, or else
/// the comma before it.
///
/// The first one in the text is cut first: then the member that a policy put in front of all others takes its comma
/// along, and the text is what it was.
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

/// The range of the key and the value of a member.
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

/// Moves to the value of a member; returns the start of its key.
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

/// The paths to the values that changed. A path ends where a value was missing or null before, because a policy makes it
/// as a whole, and at a list that has another length.
pub fn differences(before: &Value, after: &Value) -> Vec<Vec<String>> {
    if before == after {
        return Vec::new();
    }
    let inside = |step: String, before: &Value, after: &Value| {
        let paths = differences(before, after).into_iter();
        paths.map(|path| [std::slice::from_ref(&step), &path[..]].concat()).collect::<Vec<_>>()
    };
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let keys = after.keys().chain(before.keys().filter(|key| !after.contains_key(*key)));
            let value = |object: &Map<String, Value>, key| object.get(key).cloned().unwrap_or_default();
            keys.flat_map(|key| inside(key.clone(), &value(before, key), &value(after, key))).collect()
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            let pairs = before.iter().zip(after).enumerate();
            pairs.flat_map(|(index, (before, after))| inside(index.to_string(), before, after)).collect()
        }
        _ => vec![Vec::new()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_cut_out() {
        let cut = |text: &str, path: &str| without(text, &[path.split('.').map(str::to_owned).collect()]);
        assert_eq!(cut(r#"{ "a" : 1 , "b":2}"#, "a"), r#"{  "b":2}"#);
        assert_eq!(cut(r#"{"b":2 , "a" : {"c":1} }"#, "a"), r#"{"b":2  }"#);
        assert_eq!(cut(r#"{ "\u0061":[1, 2]}"#, "a"), "{ }");
        assert_eq!(cut(r#"[0,{"a":1,"b":[{"c":3}]}]"#, "1.b.0.c"), r#"[0,{"a":1,"b":[{}]}]"#);
        assert_eq!(cut(r#"{"a":1}"#, "b"), r#"{"a":1}"#);
    }

    #[test]
    fn differences_end_at_the_outermost_new_value() {
        let before = json!({"a": 1, "b": {"c": null, "d": [1], "e": [1, 2]}});
        let after = json!({"a": 1, "b": {"c": {"x": 1}, "d": [1, 2], "e": [1, 3]}, "f": {"g": 1}});
        let paths: Vec<String> = differences(&before, &after).iter().map(|path| path.join(".")).collect();
        assert_eq!(paths, ["b.c", "b.d", "b.e.1", "f"]);
    }
}
