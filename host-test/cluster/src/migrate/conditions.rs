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

/// The condition that a Service is not of type `ExternalName`. The policy `services` accepts none that leads into the
/// cluster, whatever its settings are, and other projects do not look at the name.
pub(super) fn without_external_names() -> Condition {
    const EXPRESSION: &str = "!has(object.spec) || !has(object.spec.type) || object.spec.type != 'ExternalName'";
    Condition { name: "not-external-name", expression: EXPRESSION.to_owned() }
}

/// An expression of a selector.
pub(super) fn expression(key: &str, operator: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Value {
    let values: Vec<String> = values.into_iter().map(Into::into).collect();
    match operator {
        "Exists" | "DoesNotExist" => json!({"key": key, "operator": operator}),
        _ => json!({"key": key, "operator": operator, "values": values}),
    }
}

/// An expression about the name of a namespace. What cannot be a name is one of no namespace, and the API server takes no
/// such expression; `None` if nothing is left to exclude.
pub(super) fn namespaces(operator: &str, names: impl IntoIterator<Item = impl Into<String>>) -> Option<Value> {
    let names: Vec<String> = names.into_iter().map(Into::into).filter(|name: &String| is_label_value(name)).collect();
    match (operator, names.is_empty()) {
        ("NotIn", true) => None,
        // Each namespace has this label.
        ("In", true) => Some(expression(NAMESPACE_NAME, "DoesNotExist", names)),
        _ => Some(expression(NAMESPACE_NAME, operator, names)),
    }
}

/// The expressions of a selector, its `matchLabels` rewritten: the controller drops those of a namespaceSelector.
///
/// # Errors
/// It is not a selector; the field, and what is expected there.
pub(super) fn expressions_of(selector: &Map<String, Value>) -> Result<Vec<Value>, String> {
    let mut expressions = match selector.get("matchExpressions") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(expressions)) => {
            for (index, of) in expressions.iter().enumerate() {
                if !is_expression(of) {
                    return Err(format!("matchExpressions[{index}]: expected key, operator and values, found {of}"));
                }
            }
            expressions.clone()
        }
        Some(other) => return Err(format!("matchExpressions: expected a list, found {other}")),
    };
    match selector.get("matchLabels") {
        None | Some(Value::Null) => {}
        Some(Value::Object(labels)) => {
            for (key, value) in labels {
                let read = value.as_str().filter(|value| is_label_value(value) && !key.is_empty());
                let value = read.ok_or(format!("matchLabels.{key}: expected the value of a label, found {value}"))?;
                expressions.push(expression(key, "In", [value]));
            }
        }
        Some(other) => return Err(format!("matchLabels: expected an object, found {other}")),
    }
    Ok(expressions)
}

/// Whether the API server takes it as an expression of a selector.
fn is_expression(value: &Value) -> bool {
    let values = value["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let are_values = values.iter().all(|value| value.as_str().is_some_and(is_label_value));
    value["key"].as_str().is_some_and(|key| !key.is_empty())
        && match value["operator"].as_str() {
            Some("In" | "NotIn") => are_values && !values.is_empty(),
            Some("Exists" | "DoesNotExist") => values.is_empty(),
            _ => false,
        }
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

/// Whether a text is one of these.
pub(super) fn is_in(subject: &str, texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("{subject} in [{}]", texts.join(", "))
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
    fn what_is_no_name_is_one_of_no_namespace() {
        let named = |operator, values: &[&str]| json!({"key": NAMESPACE_NAME, "operator": operator, "values": values});
        assert_eq!(namespaces("NotIn", ["a", "b c"]), Some(named("NotIn", &["a"])));
        assert_eq!(namespaces("NotIn", ["b c"]), None);
        assert_eq!(namespaces("In", ["a", "b c"]), Some(named("In", &["a"])));
        let none = json!({"key": NAMESPACE_NAME, "operator": "DoesNotExist"});
        assert_eq!(namespaces("In", ["b c"]), Some(none));
    }

    #[test]
    fn labels_of_a_selector_become_expressions() {
        let of = |selector: Value| expressions_of(selector.as_object().unwrap());
        let kept = json!({"key": "b", "operator": "Exists"});
        assert_eq!(
            of(json!({"matchLabels": {"team": "a"}, "matchExpressions": [kept]})),
            Ok(vec![kept, json!({"key": "team", "operator": "In", "values": ["a"]})])
        );
        assert_eq!(
            of(json!({"matchLabels": {"a": 1}})),
            Err("matchLabels.a: expected the value of a label, found 1".to_owned())
        );
        assert_eq!(of(json!({"matchLabels": []})), Err("matchLabels: expected an object, found []".to_owned()));
        for wrong in
            [json!(1), json!({"key": "a", "operator": "In"}), json!({"key": "a", "operator": "Is", "values": []})]
        {
            let problem = format!("matchExpressions[0]: expected key, operator and values, found {wrong}");
            assert_eq!(of(json!({"matchExpressions": [wrong]})), Err(problem));
        }
        let problem = "matchExpressions: expected a list, found {}".to_owned();
        assert_eq!(of(json!({"matchExpressions": {}})), Err(problem));
    }
}
