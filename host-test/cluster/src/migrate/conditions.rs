//! Selectors, and conditions in CEL for what selectors cannot express.

use serde_json::{Map, Value, json};

use crate::matching::NAMESPACE_NAME;

/// A condition of a policy: a name that is unique in it, and an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) name: &'static str,
    pub(super) expression: String,
}

impl Condition {
    pub(super) fn written(&self) -> Value {
        json!({"name": self.name, "expression": self.expression})
    }
}

/// An expression of a selector.
pub(super) fn expression(key: &str, operator: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Value {
    let values: Vec<String> = values.into_iter().map(Into::into).collect();
    match operator {
        "Exists" | "DoesNotExist" => json!({"key": key, "operator": operator}),
        _ => json!({"key": key, "operator": operator, "values": values}),
    }
}

/// An expression about the name of a namespace.
pub(super) fn namespaces(operator: &str, names: impl IntoIterator<Item = impl Into<String>>) -> Value {
    expression(NAMESPACE_NAME, operator, names)
}

/// The expressions of a selector, its `matchLabels` rewritten: the controller drops those of a namespaceSelector.
///
/// # Errors
/// It is no selector; the field, and what is expected there.
pub(super) fn expressions_of(selector: &Map<String, Value>) -> Result<Vec<Value>, String> {
    let mut expressions = match selector.get("matchExpressions") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(expressions)) => expressions.clone(),
        Some(other) => return Err(format!("matchExpressions: expected a list, found {other}")),
    };
    match selector.get("matchLabels") {
        None | Some(Value::Null) => {}
        Some(Value::Object(labels)) => {
            for (key, value) in labels {
                let value = value.as_str().ok_or(format!("matchLabels.{key}: expected a string, found {value}"))?;
                expressions.push(expression(key, "In", [value]));
            }
        }
        Some(other) => return Err(format!("matchLabels: expected an object, found {other}")),
    }
    Ok(expressions)
}

/// A text of CEL.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    for letter in text.chars() {
        match letter {
            '\'' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('\'');
    quoted
}

/// Whether a text is as one of Gatekeeper's patterns, which have a `*` at their ends.
pub(super) fn matches(subject: &str, patterns: &[&str]) -> String {
    let parts: Vec<String> = patterns
        .iter()
        .map(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(rest), Some(_)) => format!("{subject}.contains({})", quoted(rest.strip_suffix('*').unwrap_or(""))),
            (Some(end), None) => format!("{subject}.endsWith({})", quoted(end)),
            (None, Some(start)) => format!("{subject}.startsWith({})", quoted(start)),
            (None, None) => format!("{subject} == {}", quoted(pattern)),
        })
        .collect();
    parts.join(" || ")
}

/// The expression, negated.
pub(super) fn not(expression: &str) -> String {
    format!("!({expression})")
}

/// Whether a value can be one of a label.
pub(super) fn is_label_value(value: &str) -> bool {
    let is_end = |letter: char| letter.is_ascii_alphanumeric();
    value.len() <= 63
        && (value.is_empty() || value.starts_with(is_end) && value.ends_with(is_end))
        && value.chars().all(|letter| is_end(letter) || "-_.".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_functions_of_cel() {
        for (pattern, expected) in [
            ("kube-*", "n.startsWith('kube-')"),
            ("*-system", "n.endsWith('-system')"),
            ("*team*", "n.contains('team')"),
            ("*", "n.contains('')"),
            ("a'b", r"n == 'a\'b'"),
        ] {
            assert_eq!(matches("n", &[pattern]), expected);
        }
        assert_eq!(matches("n", &["a", "b*"]), "n == 'a' || n.startsWith('b')");
    }

    #[test]
    fn labels_of_a_selector_become_expressions() {
        let of = |selector: Value| expressions_of(selector.as_object().unwrap());
        let kept = json!({"key": "b", "operator": "Exists"});
        assert_eq!(
            of(json!({"matchLabels": {"team": "a"}, "matchExpressions": [kept]})),
            Ok(vec![kept, json!({"key": "team", "operator": "In", "values": ["a"]})])
        );
        assert_eq!(of(json!({"matchLabels": {"a": 1}})), Err("matchLabels.a: expected a string, found 1".to_owned()));
        assert_eq!(of(json!({"matchLabels": []})), Err("matchLabels: expected an object, found []".to_owned()));
        let problem = "matchExpressions: expected a list, found {}".to_owned();
        assert_eq!(of(json!({"matchExpressions": {}})), Err(problem));
    }
}
