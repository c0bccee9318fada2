//! Constraints of the Gatekeeper library.

use podfence_core::workload::{WORKLOADS, Workload};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{NO_WARNINGS, Outcome, read::read, rule, without_covered};
use crate::gatekeeper::{GatekeeperError, Parameters, TEMPLATES, equivalents};

#[derive(Deserialize)]
#[serde(expecting = "a constraint")]
struct Constraint {
    spec: Option<ConstraintSpec>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", expecting = "the spec of a constraint")]
struct ConstraintSpec {
    enforcement_action: Option<String>,
    scoped_enforcement_actions: Option<Vec<Value>>,
    r#match: Option<Match>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", expecting = "a match")]
struct Match {
    kinds: Option<Vec<Kinds>>,
    namespaces: Option<Vec<String>>,
    excluded_namespaces: Option<Vec<String>>,
    label_selector: Option<Map<String, Value>>,
    namespace_selector: Option<Map<String, Value>>,
    scope: Option<String>,
    name: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "apiGroups and kinds")]
struct Kinds {
    api_groups: Option<Vec<String>>,
    kinds: Option<Vec<String>>,
}

/// Whether constraints of this kind have equivalents.
pub(super) fn is_constraint(version: &str, kind: &str) -> bool {
    version.starts_with("constraints.gatekeeper.sh/") && TEMPLATES.iter().any(|template| template.kind == kind)
}

/// Writes the policies of a constraint.
///
/// # Errors
/// A field is of another type.
pub(super) fn migrate(document: &Value, outcome: &mut Outcome<'_>) -> Result<bool, String> {
    let (Constraint { spec }, unknown) = read(document)?;
    for path in unknown.iter().filter(|path| path.starts_with("spec.")) {
        outcome.warn(path, "no field of a constraint; it is left out");
    }
    let spec = spec.unwrap_or_default();
    let kind = document["kind"].as_str().unwrap_or_default();
    let mut parameters = spec.parameters.clone().unwrap_or_default();
    let equivalents = loop {
        match equivalents(kind, &parameters) {
            Ok(equivalents) => break equivalents,
            Err(GatekeeperError::Parameter { parameter, .. }) => {
                outcome.warn(&format!("spec.parameters.{parameter}"), "the template has no such parameter");
                parameters.remove(&parameter);
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    for of in equivalents.iter().filter(|of| of.policy == "users") {
        has_ranges(kind, &of.settings)?;
    }
    let matched = spec.r#match.as_ref();
    let rules = match matched {
        Some(matched) => matched.rules(outcome),
        None => Some(super::rules(outcome.options.workloads)),
    };
    let Some(rules) = rules else { return Ok(true) };
    let selector = matched.and_then(|matched| matched.namespace_selector(outcome));
    let objects = matched.and_then(|matched| matched.label_selector.clone());
    let mode = spec.mode(outcome);
    outcome.warn_once(
        "",
        "Gatekeeper let updates of pods pass, and so the containers of kubectl debug; Podfence judges them",
    );
    let pod_counts = "Podfence judges the value of the pod itself as well where every container has its own";
    match kind {
        "K8sPSPAllowedUsers" | "K8sPSPAppArmor" => outcome.warn("", pod_counts),
        "K8sPSPSeccomp" | "K8sPSPSeccompV2" => outcome.warn("", &format!("{pod_counts}, and no annotations")),
        _ => {}
    }
    for mut of in equivalents {
        if let Some(paths) = of.settings.get_mut("allowedHostPaths").and_then(Value::as_array_mut) {
            without_covered(paths);
        }
        let document = outcome.document(of.policy, Value::Object(of.settings));
        let spec = &mut document["spec"];
        spec["rules"] = rules.clone();
        spec["mode"] = json!(mode);
        if let Some(selector) = &selector {
            spec["namespaceSelector"] = selector.clone();
        }
        if let Some(objects) = &objects {
            spec["objectSelector"] = json!(objects);
        }
    }
    Ok(true)
}

/// Looks for rules without the ranges that they need.
///
/// # Errors
/// One is found: our policy would not start, and what the template makes of it nobody can have meant.
fn has_ranges(kind: &str, settings: &Parameters) -> Result<(), String> {
    for (field, ids) in settings {
        let rule = ids["rule"].as_str().unwrap_or_default();
        let ranges = ids.get("ranges").and_then(Value::as_array);
        if matches!(rule, "MustRunAs" | "MayRunAs") && ranges.is_none_or(Vec::is_empty) {
            let path = if kind == "K8sPSPFSGroup" { "ranges".to_owned() } else { format!("{field}.ranges") };
            return Err(format!("spec.parameters.{path}: expected at least one range with the rule {rule}"));
        }
    }
    Ok(())
}

impl ConstraintSpec {
    fn mode(&self, outcome: &mut Outcome<'_>) -> &'static str {
        const PATH: &str = "spec.enforcementAction";
        match self.enforcement_action.as_deref() {
            None | Some("" | "deny") => "protect",
            Some("dryrun") => "monitor",
            Some("warn") => {
                outcome.warn(PATH, NO_WARNINGS);
                "monitor"
            }
            Some("scoped") => {
                let actions = self.scoped_enforcement_actions.as_deref().unwrap_or_default();
                let is_denied = actions.is_empty() || actions.iter().any(|scoped| scoped["action"] == "deny");
                outcome.warn(PATH, "a policy has one action for all: it denies if any of these does");
                if is_denied { "protect" } else { "monitor" }
            }
            Some(other) => {
                outcome.warn(PATH, &format!("no action that is known: {other:?}; the policy denies"));
                "protect"
            }
        }
    }
}

impl Match {
    /// Which requests are judged; `None` if there are none.
    fn rules(&self, outcome: &mut Outcome<'_>) -> Option<Value> {
        const BOTH: &[&str] = &["CREATE", "UPDATE"];
        if self.scope.as_deref() == Some("Cluster") {
            outcome.warn("spec.match.scope", "pods are in namespaces, so the constraint judges none");
            return None;
        }
        if let Some(name) = &self.name {
            outcome.warn(
                "spec.match.name",
                &format!("no policy selects by name: objects other than {name} are judged, too"),
            );
        }
        if self.source.as_deref() == Some("Generated") {
            outcome.warn("spec.match.source", "Podfence expands nothing; it judges the pods themselves");
        }
        let pods = super::rules(outcome.options.workloads);
        let Some(kinds) = self.kinds.as_deref().filter(|kinds| !kinds.is_empty()) else { return Some(pods) };
        let has = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|element| element == name || element == "*"))
        };
        let is_matched =
            |group: &str, kind: &str| kinds.iter().any(|of| has(&of.api_groups, group) && has(&of.kinds, kind));
        let is_named = |kind: &str| kinds.iter().flat_map(|of| of.kinds.iter().flatten()).any(|name| name == kind);
        for name in kinds.iter().flat_map(|of| of.kinds.iter().flatten()) {
            if name != "*" && !WORKLOADS.iter().any(|workload| workload.kind == name) {
                outcome.warn("spec.match.kinds", &format!("kind {name} holds no pod; it is left out"));
            }
        }
        let mut rules = Vec::new();
        for Workload { group, kind, plural: resource, .. } in &WORKLOADS {
            if !is_matched(group, kind) {
                continue;
            }
            match *kind {
                "Pod" => rules.extend(pods.as_array().cloned().unwrap_or_default()),
                // A star reaches kinds that the template lets pass anyway.
                _ if is_named(kind) => {
                    outcome
                        .warn("spec.match.kinds", &format!("the template let every {kind} pass; Podfence judges it"));
                    rules.push(rule(group, &[resource], BOTH));
                }
                _ => {}
            }
        }
        if rules.is_empty() {
            outcome.warn("spec.match.kinds", "nothing that is matched holds a pod, so the constraint judges nothing");
            return None;
        }
        Some(Value::Array(rules))
    }

    fn namespace_selector(&self, outcome: &mut Outcome<'_>) -> Option<Value> {
        const NAME: &str = "kubernetes.io/metadata.name";
        let mut selector = self.namespace_selector.clone().unwrap_or_default();
        let expressions = selector.entry("matchExpressions").or_insert_with(|| json!([]));
        let is_pattern = |name: &&String| name.contains('*');
        let mut add = |operator: &str, names: Vec<&String>| {
            if let Some(expressions) = expressions.as_array_mut() {
                expressions.push(json!({"key": NAME, "operator": operator, "values": names}));
            }
        };
        match self.namespaces.as_deref() {
            None | Some([]) => {}
            // Where one is a pattern, all are judged rather than too few.
            Some(names) if names.iter().any(|name| is_pattern(&name)) => {
                outcome.warn("spec.match.namespaces", "no policy selects namespaces by a pattern: all are judged");
            }
            Some(names) => add("In", names.iter().collect()),
        }
        let (patterns, names): (Vec<&String>, Vec<&String>) =
            self.excluded_namespaces.iter().flatten().partition(is_pattern);
        for pattern in patterns {
            let text = format!("no policy selects namespaces by a pattern: those of {pattern} are judged, too");
            outcome.warn("spec.match.excludedNamespaces", &text);
        }
        if !names.is_empty() {
            add("NotIn", names);
        }
        if expressions == &json!([]) {
            selector.remove("matchExpressions");
        }
        (!selector.is_empty()).then_some(Value::Object(selector))
    }
}
