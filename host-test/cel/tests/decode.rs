//! Compares objects with what the API server's own decoder and defaults make of them: `decode/recorded.jsonl`.

use podfence_cel::decoded;
use serde_json::Value;

#[test]
fn as_the_api_server_shows_them() {
    let mut differences = Vec::new();
    for line in include_str!("decode/recorded.jsonl").lines() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let found = decoded(&row["manifest"]);
        assert!(found.known, "{line}");
        compare("", &found.object, &row["shown"], &mut differences);
    }
    assert_eq!(differences, Vec::<String>::new());
}

/// Adds the paths at which two values differ.
fn compare(path: &str, found: &Value, expected: &Value, differences: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in other {
                compare(&format!("{path}.{key}"), one.get(key).unwrap_or(&Value::from("ABSENT")), value, differences);
            }
            let extra = one.iter().filter(|(key, _)| !other.contains_key(*key));
            differences.extend(extra.map(|(key, value)| format!("{path}.{key}: found {value}, expected none")));
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            pairs.for_each(|(index, (one, other))| compare(&format!("{path}[{index}]"), one, other, differences));
        }
        _ if found == expected => {}
        _ => differences.push(format!("{path}: found {found}, expected {expected}")),
    }
}
