//! What is published about each policy: its module, its rules and the settings that mutate, from the generated
//! metadata, which is embedded.

use std::sync::LazyLock;

use podfence_scan::names;
use serde::Deserialize;
use serde_json::{Map, Value};

include!(concat!(env!("OUT_DIR"), "/metadata.rs"));

/// The annotation that says where the module is: `REGISTRY/POLICY`.
const URL: &str = "io.kubewarden.policy.ociUrl";

/// The annotation that says where its docs are.
const DOCS: &str = "io.kubewarden.policy.url";

/// The annotation with the first sentence of its docs.
const DESCRIPTION: &str = "io.kubewarden.policy.description";

/// The annotation that says how severe a violation is.
const SEVERITY: &str = "io.kubewarden.policy.severity";

/// The annotation that says what kind of policy it is.
const CATEGORY: &str = "io.kubewarden.policy.category";

/// The annotation that lists the settings that mutate: `mutate=true, defaultProfile`.
const MUTATING_SETTINGS: &str = "podfence.mutatingSettings";

/// The annotation that lists its controls: `seccompProfile`.
const CONTROLS: &str = "podfence.controls";

/// The subresource through which the resources of a pod are changed.
pub(crate) const RESIZE: &str = "pods/resize";

/// What is published about a policy.
#[derive(Debug)]
pub struct Published {
    /// The name of the policy.
    pub policy: &'static str,
    /// Where the modules are, without a scheme: `registry.example.com/podfence`.
    pub registry: String,
    /// What it rejects, in one sentence.
    pub description: String,
    /// The URL of its docs.
    pub docs: String,
    /// How severe a violation is, as the audit scanner reports it.
    pub severity: String,
    /// What kind of policy it is, as the audit scanner reports it.
    pub category: String,
    /// The controls that its violations name, sorted.
    pub controls: Vec<String>,
    /// The requests that the policy evaluates.
    pub rules: Value,
    /// Settings with which it changes objects, each with the value that does; any value if there is none.
    mutating_settings: Vec<(String, Option<String>)>,
}

#[derive(Deserialize)]
struct Metadata {
    rules: Value,
    annotations: std::collections::BTreeMap<String, String>,
}

static PUBLISHED: LazyLock<Vec<Published>> =
    LazyLock::new(|| METADATA.iter().map(|(policy, metadata)| Published::read(policy, metadata)).collect());

/// All policies, sorted by name.
pub fn all() -> &'static [Published] {
    &PUBLISHED
}

/// A policy by its name.
pub fn find(policy: &str) -> Option<&'static Published> {
    all().iter().find(|published| published.policy == policy)
}

/// A name that no policy has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", names::unknown_policy(.0, all().iter().map(|of| of.policy)))]
pub struct UnknownPolicy(pub String);

/// A policy by the name that a user wrote.
///
/// # Errors
/// No policy has this name.
pub fn named(policy: &str) -> Result<&'static Published, UnknownPolicy> {
    find(policy).ok_or_else(|| UnknownPolicy(policy.to_owned()))
}

/// The registry of the policies, without a scheme.
pub fn registry() -> &'static str {
    all().first().map_or("", |published| &published.registry)
}

/// The rules of a policy that evaluates pods and nothing else.
pub(crate) fn pod_rules() -> Vec<Value> {
    let published = find("pod-security-standards").and_then(|published| published.rules.as_array());
    published.expect("generated metadata").clone()
}

/// Whether settings make a policy change objects.
pub fn is_mutating(policy: &str, settings: &Value) -> bool {
    let written = Value::to_string;
    let declared = find(policy).into_iter().flat_map(|published| &published.mutating_settings);
    declared.into_iter().any(|(name, expected)| match (&settings[name.as_str()], expected) {
        (Value::Null, _) => false,
        (value, Some(expected)) => written(value) == *expected,
        (_, None) => true,
    })
}

/// Changes settings so that a policy changes no objects. What it may set stays allowed.
pub(crate) fn stop_mutating(policy: &str, settings: &mut Map<String, Value>) {
    for (name, expected) in find(policy).into_iter().flat_map(|published| &published.mutating_settings) {
        match (expected.as_deref(), settings.get_mut(name)) {
            (Some("true"), Some(value)) => *value = Value::Bool(false),
            _ => drop(settings.shift_remove(name)),
        }
    }
}

impl Published {
    /// Whether it evaluates pods, and not objects of other kinds alone.
    pub fn evaluates_pods(&self) -> bool {
        let rules = self.rules.as_array().into_iter().flatten();
        rules.filter_map(|rule| rule["resources"].as_array()).flatten().any(|resource| resource == "pods")
    }

    /// Whether it evaluates changes of a pod's resources.
    pub(crate) fn evaluates_resizes(&self) -> bool {
        let rules = self.rules.as_array().into_iter().flatten();
        rules.filter_map(|rule| rule["resources"].as_array()).flatten().any(|resource| resource == RESIZE)
    }

    /// The settings that make it change objects, each with the value that does; `None` for any value.
    pub fn mutating_settings(&self) -> &[(String, Option<String>)] {
        &self.mutating_settings
    }

    /// Reads embedded metadata, which a test proves to be as the generator writes it.
    fn read(policy: &'static str, metadata: &str) -> Self {
        let Metadata { rules, annotations } = serde_saphyr::from_str(metadata).expect("generated metadata");
        let url = annotations.get(URL).and_then(|url| url.strip_suffix(policy)?.strip_suffix('/'));
        let settings = annotations.get(MUTATING_SETTINGS).map_or("", String::as_str);
        let setting = |text: &str| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        };
        let text = |annotation| annotations.get(annotation).expect("generated metadata").clone();
        Self {
            policy,
            description: text(DESCRIPTION),
            docs: text(DOCS),
            severity: text(SEVERITY),
            category: text(CATEGORY),
            controls: text(CONTROLS).split(", ").map(str::to_owned).collect(),
            registry: url.expect("generated metadata").to_owned(),
            rules,
            mutating_settings: settings.split(", ").filter(|text| !text.is_empty()).map(setting).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_evaluates_pods_or_other_kinds() {
        for (policy, expected) in [("privileged", true), ("host-path", true), ("role-bindings", false)] {
            assert_eq!(find(policy).expect("a policy").evaluates_pods(), expected, "{policy}");
        }
    }

    #[test]
    fn settings_mutate_as_the_policies_declare() {
        for (policy, settings, expected) in [
            ("capabilities", json!({"mutate": true}), true),
            ("capabilities", json!({"mutate": false}), false),
            ("capabilities", json!({}), false),
            ("seccomp", json!({"defaultProfile": "RuntimeDefault"}), true),
            ("runtime-class", json!({"defaultRuntimeClass": "gvisor"}), true),
            ("allow-privilege-escalation", json!({"default_allow_privilege_escalation": false}), true),
            ("privileged", json!({"mutate": true}), false),
        ] {
            assert_eq!(is_mutating(policy, &settings), expected, "{policy} {settings}");
        }
    }
}
