//! Compares objects with what the API server's own decoder and defaults make of them: `decode/recorded.jsonl`.

use podfence_cel::{Decoder, decoded};
use serde_json::{Value, json};

#[test]
fn as_the_api_server_shows_them() {
    let mut differences = Vec::new();
    for line in include_str!("decode/recorded.jsonl").lines() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let found = decoded(&row["manifest"]);
        assert!(found.known, "{line}");
        compare("", &found.object, &row["shown"], &mut differences);
        let decoder = Decoder::of_manifest(&row["manifest"]);
        let text = row["manifest"].to_string();
        let of_text = decoder.decode(&mut serde_json::Deserializer::from_str(&text)).expect("JSON");
        assert_eq!(of_text, found.object, "{line}");
    }
    assert_eq!(differences, Vec::<String>::new());
}

#[test]
fn of_two_members_of_one_name_the_last_one_counts() {
    let cases = [
        (r#"{"replicas": 2, "replicas": null}"#, json!(1)),
        (r#"{"replicas": null, "replicas": 2}"#, json!(2)),
        (r#"{"replicas": 2, "replicas": 3}"#, json!(3)),
    ];
    for (spec, expected) in cases {
        let text = format!(r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "spec": {spec}}}"#);
        let decoder = Decoder::of("apps/v1", "Deployment");
        let found = decoder.decode(&mut serde_json::Deserializer::from_str(&text)).expect("JSON");
        assert_eq!(found["spec"]["replicas"], expected, "{spec}");
    }
}

#[test]
fn a_status_may_be_left_out_of_every_kind() {
    for (api_version, kind) in [("v1", "Pod"), ("apps/v1", "Deployment"), ("example.com/v1", "Thing")] {
        let bare = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
        let mut manifest = bare.clone();
        manifest["status"] = json!({"phase": "Running", "replicas": 3});
        let decoder = Decoder::of_manifest(&manifest).without_status();
        assert_eq!(decoder.decode_value(&manifest), decoder.decode_value(&bare), "{kind}");
    }
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
