//! Whether each namespace with pods has a NetworkPolicy that denies everything by default.

use serde::Deserialize;
use serde_json::Value;

use crate::object::Object;
use crate::request::GroupVersionKind;

/// The control of what is found of it.
pub const CONTROL: &str = "default-deny";

/// A direction of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the pods.
    Ingress,
    /// From the pods.
    Egress,
}

impl Direction {
    /// As `policyTypes` have it.
    pub(crate) fn policy_type(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Egress => "Egress",
        }
    }

    /// The field of its rules.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// A namespace in which a direction is denied, or is to be.
pub(crate) type Denied = (String, Direction);

/// The directions in which an object denies everything for all pods of its namespace. Without `policyTypes`, a policy
/// without rules is one for ingress.
pub(crate) fn denied_by(object: &Object) -> Vec<Direction> {
    if object.kind != GroupVersionKind::new("networking.k8s.io/v1", "NetworkPolicy") {
        return Vec::new();
    }
    let Ok(policy) = serde_json::from_str::<Value>(&object.json) else { return Vec::new() };
    let spec = &policy["spec"];
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    let selector = &spec["podSelector"];
    let is_selector = selector.is_object() || selector.is_null() && spec.is_object();
    if !(is_selector && is_empty(&selector["matchLabels"]) && is_empty(&selector["matchExpressions"])) {
        return Vec::new();
    }
    let applies = |direction: &Direction| match spec["policyTypes"].as_array() {
        Some(types) if !types.is_empty() => types.iter().any(|of| of == direction.policy_type()),
        _ => *direction == Direction::Ingress,
    };
    let mut directions = vec![Direction::Ingress, Direction::Egress];
    directions.retain(|direction| applies(direction) && is_empty(&spec[direction.field()]));
    directions
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Egress, Ingress};

    #[test]
    fn policies_without_rules_for_all_pods_deny_by_default() {
        for (spec, expected) in [
            (r#"{"podSelector":{}}"#, &[Ingress][..]),
            (r#"{"policyTypes":[]}"#, &[Ingress]),
            (r#"{"podSelector":{"matchLabels":{},"matchExpressions":null},"policyTypes":["Egress"]}"#, &[Egress]),
            (r#"{"podSelector":{},"policyTypes":["Ingress","Egress"]}"#, &[Ingress, Egress]),
            (r#"{"podSelector":{},"policyTypes":["Ingress","Egress"],"ingress":[],"egress":null}"#, &[Ingress, Egress]),
            (r#"{"podSelector":{},"policyTypes":["Ingress","Egress"],"egress":[{}]}"#, &[Ingress]),
            (r#"{"podSelector":{},"ingress":[{"from":[]}]}"#, &[]),
            (r#"{"podSelector":{"matchLabels":{"a":"b"}}}"#, &[]),
            (r#"{"podSelector":{"matchExpressions":[{"key":"a","operator":"Exists"}]}}"#, &[]),
            (r#"{"podSelector":"all"}"#, &[]),
            (r#"{"podSelector":{},"ingress":"none"}"#, &[]),
            ("null", &[]),
        ] {
            let kind = GroupVersionKind::new("networking.k8s.io/v1", "NetworkPolicy");
            let object = Object { json: format!(r#"{{"spec":{spec}}}"#), ..Object::new(kind) };
            assert_eq!(denied_by(&object), expected, "{spec}");
        }
        let other = GroupVersionKind::new("projectcalico.org/v3", "NetworkPolicy");
        let other = Object { json: r#"{"spec":{"podSelector":{}}}"#.to_owned(), ..Object::new(other) };
        assert_eq!(denied_by(&other), []);
    }
}
