//! Objects in which every object has a member that nobody knows, spelled as no serialiser would: a change has
//! to keep it to the byte.

use serde_json::Value;

/// Its number, its escapes and its spaces would not survive being read into a value and written again.
const MEMBER: &str = r#""e\u0078ample.com/x" :  [1.50, {"securityContext":null , "\u0061dd": [ ]}]"#;

/// The text of an object with such members, and the text that a change has to make of it.
pub(super) fn with_unknown_members(before: &Value, after: &Value) -> (String, String) {
    (print(Some(before), before), print(Some(before), after))
}

/// Prints what `after` has and `before` had with such members, and what is new as it is.
fn print(before: Option<&Value>, after: &Value) -> String {
    match (before, after) {
        (Some(Value::Object(before)), Value::Object(after)) => {
            let (old, new): (Vec<_>, Vec<_>) = after.iter().partition(|(key, _)| before.contains_key(*key));
            // New members stand in front of the others.
            let new = new.into_iter().map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())));
            let old = old.into_iter().map(|(key, value)| {
                let key_text = Value::from(key.as_str());
                format!("\n{key_text} : {} ", print(before.get(key), value))
            });
            let members: Vec<String> = new.chain(old).collect();
            let comma = if members.is_empty() { "" } else { "," };
            format!("{{{}{comma}{MEMBER} }}", members.join(","))
        }
        (Some(Value::Array(before)), Value::Array(after)) if after.iter().all(Value::is_object) => {
            let elements: Vec<String> =
                after.iter().zip(before).map(|(after, before)| print(Some(before), after)).collect();
            format!("[{}]", elements.join(" ,\t"))
        }
        (_, value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_new_has_no_unknown_member() {
        let before = json!({"a": [{"b": null}], "c": ["d"]});
        let after = json!({"n": {"m": 1}, "a": [{"b": {}}], "c": ["d", "e"]});
        let (text, changed) = with_unknown_members(&before, &after);
        assert_eq!(text, format!("{{\n\"a\" : [{{\n\"b\" : null ,{MEMBER} }}] ,\n\"c\" : [\"d\"] ,{MEMBER} }}"));
        assert_eq!(
            changed,
            format!(
                "{{\"n\":{{\"m\":1}},\n\"a\" : [{{\n\"b\" : {{}} ,{MEMBER} }}] ,\n\"c\" : [\"d\",\"e\"] ,{MEMBER} }}"
            )
        );
        assert!(serde_json::from_str::<Value>(&changed).is_ok());
    }
}
