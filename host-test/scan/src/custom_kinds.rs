//! The custom kinds that hold pods and that users need not describe: `custom-kinds.yaml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::yaml;

/// A custom kind, and where it holds pods.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CustomKind {
    /// The API group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// Its versions that a rule names.
    pub api_versions: Vec<String>,
    /// Its plural, as rules name it.
    pub resources: String,
    /// Where the pods are.
    pub pods: Vec<PodPath>,
}

/// A place of pods in a custom kind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodPath {
    /// Of a template, as in the setting `podSpecPaths`.
    pub path: String,
    /// Whether an object may lack it.
    #[serde(default)]
    pub optional: bool,
}

static PROJECTS: LazyLock<BTreeMap<String, Vec<CustomKind>>> = LazyLock::new(|| {
    let document = yaml::documents(include_str!("custom-kinds.yaml")).next().and_then(Result::ok);
    serde_json::from_str(&document.expect("custom-kinds.yaml is YAML").json).expect("custom-kinds.yaml is valid")
});

/// The projects by name, each with its custom kinds.
pub fn projects() -> impl Iterator<Item = (&'static str, &'static [CustomKind])> {
    PROJECTS.iter().map(|(name, kinds)| (name.as_str(), kinds.as_slice()))
}

/// The custom kind of this group and name.
pub fn find(group: &str, kind: &str) -> Option<&'static CustomKind> {
    PROJECTS.values().flatten().find(|of| of.kind == kind && of.group == group)
}

impl CustomKind {
    /// The project that it is of.
    pub fn project(&self) -> &'static str {
        projects().find(|(_, kinds)| kinds.contains(self)).map_or("", |(project, _)| project)
    }

    /// The rule of a policy that sends objects of this kind to it.
    pub fn rule(&self) -> Value {
        json!({
            "apiGroups": [self.group],
            "apiVersions": self.api_versions,
            "resources": [self.resources],
            "operations": ["CREATE", "UPDATE"],
        })
    }

    /// The entries of the setting `podSpecPaths`.
    fn entries(&self) -> impl Iterator<Item = Value> {
        self.pods.iter().map(|pod| {
            let mut entry = json!({"group": self.group, "kind": self.kind, "path": pod.path});
            if pod.optional {
                entry["optional"] = Value::Bool(true);
            }
            entry
        })
    }
}

/// Adds the entries of `podSpecPaths` to settings. What they say of a kind themselves stays alone.
pub fn add_to_settings(kinds: &[&CustomKind], settings: &mut Map<String, Value>) {
    let key = "podSpecPaths";
    let given = settings.get(key).cloned().unwrap_or_else(|| json!([]));
    // What is not a list is the module's to refuse.
    let Value::Array(given) = given else { return };
    let is_given =
        |kind: &CustomKind| given.iter().any(|entry| entry["group"] == kind.group && entry["kind"] == kind.kind);
    let added: Vec<Value> = kinds.iter().filter(|kind| !is_given(kind)).flat_map(|kind| kind.entries()).collect();
    if !added.is_empty() {
        settings.insert(key.to_owned(), [given, added].concat().into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_in_the_table_once() {
        let mut kinds: Vec<_> = PROJECTS.values().flatten().map(|kind| (&kind.group, &kind.kind)).collect();
        let all = kinds.len();
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds.len(), all);
    }

    #[test]
    fn plurals_are_regular() {
        for kind in PROJECTS.values().flatten() {
            assert_eq!(crate::request::plural(&kind.kind), kind.resources);
        }
    }

    #[test]
    fn what_the_settings_say_of_a_kind_stays_alone() {
        let kinds: Vec<&CustomKind> = ["argo-rollouts", "knative"].iter().flat_map(|of| &PROJECTS[*of]).collect();
        let given = json!({"podSpecPaths": [{"group": "serving.knative.dev", "kind": "Service", "path": "x"}]});
        let Value::Object(mut settings) = given else { unreachable!() };
        add_to_settings(&kinds, &mut settings);
        let expected = json!([
            {"group": "serving.knative.dev", "kind": "Service", "path": "x"},
            {"group": "argoproj.io", "kind": "Rollout", "path": "spec.template", "optional": true},
            {"group": "serving.knative.dev", "kind": "Configuration", "path": "spec.template"},
        ]);
        assert_eq!(settings["podSpecPaths"], expected);

        let Value::Object(mut wrong) = json!({"podSpecPaths": 1}) else { unreachable!() };
        add_to_settings(&kinds, &mut wrong);
        assert_eq!(wrong["podSpecPaths"], 1);
    }
}
