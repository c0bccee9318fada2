//! The parser and `serde_json` on one text. The fuzz target `parser` includes this file.

use podfence_core::{
    Arena,
    json::{Bracket, Reader, Text, pad},
};
use serde_json::{Map, Value};

/// Panics unless the parser and `serde_json` agree on whether this is JSON and on what it says.
///
/// # Panics
/// They do not agree.
pub fn agree(bytes: &[u8]) {
    let theirs = serde_json::from_slice::<Value>(bytes);
    let (padded, arena) = (pad(bytes), Arena::new());
    let text = Text::new(&padded, &arena).ok();
    let skipped = text.as_ref().is_some_and(is_skipped);
    let ours = text.as_ref().and_then(read_text);
    let shown = String::from_utf8_lossy(bytes);
    if skipped != theirs.is_ok() && is_at_the_end_of_doubles(bytes) {
        return;
    }
    assert_eq!(skipped, theirs.is_ok(), "skipping and serde_json ({:?}) disagree on {shown}", theirs.err());
    assert_eq!(ours, theirs.ok(), "reading and serde_json disagree on {shown}");
}

/// Whether a number in the text starts with the digits of the largest double and has more than all of
/// them. `serde_json` rounds it twice on its way to an `f64`, so that it refuses some that are in range
/// (`1797693134862315700e290`) and accepts some that are not; the parser compares digits.
fn is_at_the_end_of_doubles(bytes: &[u8]) -> bool {
    let numbers = bytes.split(|byte| !matches!(byte, b'0'..=b'9' | b'.'));
    numbers.into_iter().any(|number| {
        let digits: Vec<u8> =
            number.iter().copied().filter(|&byte| byte != b'.').skip_while(|&byte| byte == b'0').collect();
        digits.len() > 17 && (digits.starts_with(b"1797693134862315") || digits.starts_with(b"1797693134862316"))
    })
}

/// Whether the whole text is one value that can be stepped over.
fn is_skipped(text: &Text<'_>) -> bool {
    let mut reader = Reader::at(text, 0);
    reader.skip().is_ok() && reader.end().is_ok()
}

fn read_text(text: &Text<'_>) -> Option<Value> {
    let mut reader = Reader::at(text, 0);
    let value = read(&mut reader)?;
    reader.end().ok()?;
    Some(value)
}

/// Reads a value as a check would: each string, key and integer through the parser's own function.
fn read(reader: &mut Reader<'_>) -> Option<Value> {
    match reader.peek() {
        b'{' => {
            let mut members = Map::new();
            reader.open(Bracket::Object).ok()?;
            let mut more = !reader.is_empty(Bracket::Object);
            while more {
                let key = reader.key().ok()?.to_owned();
                members.insert(key, read(reader)?);
                more = reader.more(Bracket::Object).ok()?;
            }
            Some(Value::Object(members))
        }
        b'[' => {
            let mut elements = Vec::new();
            reader.open(Bracket::List).ok()?;
            let mut more = !reader.is_empty(Bracket::List);
            while more {
                elements.push(read(reader)?);
                more = reader.more(Bracket::List).ok()?;
            }
            Some(Value::Array(elements))
        }
        b'"' => Some(Value::String(reader.string().ok()?.to_owned())),
        b'-' | b'0'..=b'9' => {
            let start = reader.position();
            let integer = reader.integer().ok()?;
            let raw = reader.since(start);
            match integer {
                // To serde_json this is a float, to Kubernetes an integer; it is nothing to either.
                Some(0) if raw == "-0" => Some(Value::from(-0.0)),
                Some(integer) => Some(Value::from(integer)),
                // Nobody reads floats, so that it is none of the integers is all there is to compare.
                None => serde_json::from_str(raw).ok().filter(|number: &Value| !number.is_i64()),
            }
        }
        // Of the literals, a check looks at the first byte.
        first => {
            reader.skip().ok()?;
            match first {
                b't' => Some(Value::Bool(true)),
                b'f' => Some(Value::Bool(false)),
                _ => Some(Value::Null),
            }
        }
    }
}
