//! What holds of every text.

use podfence_scan::object;
use podfence_scan::yaml::{self, Document, Parts};
use serde_json::Value;

/// Reads a file. Returns how many documents could be read.
pub fn hold(bytes: &[u8]) -> usize {
    let text = yaml::decode(bytes);
    let (mut end, mut read) = (0, 0);
    for document in yaml::documents(&text).filter_map(Result::ok) {
        assert!(document.bytes().start >= end, "{text:?}");
        end = document.bytes().end;
        check_places(&text, &document);
        object::content(document.json);
        read += 1;
    }
    check_taken_down(&text);
    read
}

/// The paths in a value, and of what is in none.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    found.extend(["none", "[1000]", "[\"a/b\"].name"].map(|none| format!("{path}.{none}").replace(".[", "[")));
    match value {
        Value::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                paths(element, &format!("{path}[{index}]"), found);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                let key = Value::from(key.as_str());
                paths(member, &format!("{path}[{key}]"), found);
            }
        }
        _ => {}
    }
}

/// The places that were taken down are those of the tree.
fn check_taken_down(text: &str) {
    for document in yaml::documents_with_places(text).filter_map(Result::ok) {
        let (Ok(parts @ Parts::Places(_)), Ok(tree)) = (document.parts(), document.tree()) else { continue };
        let mut all = Vec::new();
        // What is nested too deeply for it has its places compared nowhere.
        let Ok(value) = serde_json::from_str(&document.json) else { continue };
        paths(&value, "", &mut all);
        for path in &all {
            assert_eq!(parts.at(path), tree.at(path), "{path} of {text:?}");
        }
        assert_eq!(parts.first_key(), tree.first_key(), "{text:?}");
    }
}

/// Each scalar's text reads as that scalar, the tree writes what the events wrote, and places are within the document.
fn check_places(text: &str, document: &Document<'_>) {
    let tree = document.tree().expect("it was read before");
    assert_eq!(tree.to_json(), document.json, "{text:?}");
    let bytes = document.bytes();
    for (span, json) in tree.scalars() {
        assert!(bytes.start <= span.start && span.end <= bytes.end, "{span:?} is not in {bytes:?} of {text:?}");
        let part = &text[span.clone()];
        // Alone, the first three are not part of the scalar, and the others make something else of it.
        let is_part = ["\u{feff}", "---", "..."].iter().any(|start| part.starts_with(start));
        if is_part || part.ends_with([':', '-', '?']) {
            continue;
        }
        let (alone, expected) = match document.is_json() {
            true => (format!("{{\"k\":{part}}}"), format!("{{\"k\":{json}}}")),
            false => (part.to_owned(), json.to_owned()),
        };
        let alone = yaml::documents(&alone).next().transpose();
        let alone = alone.unwrap_or_else(|broken| panic!("{broken:?}: {part:?} of {text:?}"));
        let alone = alone.map_or("null".to_owned(), |document| document.json);
        assert_eq!(alone, expected, "{part:?} of {text:?}");
    }
}
