//! Real expressions: what the API server says of them today.

use serde_json::{Value, json};

use super::sample::pair_anywhere;
use super::{CORPORA, IN_A_CORPUS};

/// The namespace of one list of policies.
pub(super) fn namespace(number: usize) -> String {
    format!("validating-corpus-{number}")
}

/// The same as a manifest.
pub(super) fn of_namespace(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": namespace(number), "labels": {"environment": "prod", "team": "a"}},
    })
}

/// An expression, its variables as names and texts, and whether it reads parameters.
pub(super) struct Expression {
    text: String,
    variables: Vec<Value>,
    has_params: bool,
}

/// Expressions of validations that the API server takes, as many as fit; `None` if there is no corpus.
pub(super) fn read() -> Option<Vec<Expression>> {
    let rows = podfence_support::corpus("cel-truth")?;
    let rows = rows.iter().map(|row| serde_json::from_str::<Value>(row).expect("JSON"));
    let taken = rows.filter(|row| row["kind"] == "validation" && row["refused"].is_null());
    let read = taken.map(|row| {
        let variables = row["vars"].as_array().into_iter().flatten();
        Expression {
            text: row["expr"].as_str().unwrap_or_default().to_owned(),
            variables: variables.map(|of| json!({"name": of[0], "expression": of[1]})).collect(),
            has_params: row["params"] == true,
        }
    });
    Some(read.take(CORPORA * IN_A_CORPUS).collect())
}

/// A policy for each expression, bound to the namespace of its list.
pub(super) fn documents(expressions: &[Expression]) -> Vec<Value> {
    let pairs = expressions.iter().enumerate().map(|(index, of)| {
        let mut spec = json!({"variables": of.variables, "validations": [{"expression": of.text}]});
        let only = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace(index / IN_A_CORPUS)}});
        let mut bind = json!({"validationActions": ["Audit"], "matchResources": {"namespaceSelector": only}});
        if of.has_params {
            spec["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
            bind["paramRef"] = json!({"name": "limits", "namespace": "validating", "parameterNotFoundAction": "Deny"});
        }
        pair_anywhere(&format!("corpus-{index}"), spec, bind)
    });
    pairs.flatten().collect()
}
