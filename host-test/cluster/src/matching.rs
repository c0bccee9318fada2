//! Which requests a policy gets to see: rules and selectors, as the API server matches them for a webhook.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::RuleWithOperations;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use podfence_scan::AdmissionRequest;
use serde::Deserialize as _;
use serde_json::Value;

/// The label that every namespace has: its name.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// What a policy gets to see.
#[derive(Debug, Default)]
pub struct Matching {
    /// The only namespace that is judged.
    pub namespace: Option<String>,
    /// Any of them has to match; none matches nothing.
    pub rules: Vec<RuleWithOperations>,
    /// Of the namespace that the object is in, or is.
    pub namespace_selector: Option<LabelSelector>,
    /// Of the object as it will be or as it was.
    pub object_selector: Option<LabelSelector>,
}

impl Matching {
    /// What rules match, without selectors. Rules are written as in a policy.
    ///
    /// # Errors
    /// They are no rules; the field, and what is expected there.
    pub fn of_rules(rules: &Value) -> Result<Matching, String> {
        let rules = Vec::deserialize(rules).map_err(|error| format!("rules: {error}"))?;
        Ok(Matching { rules, ..Matching::default() })
    }

    /// Says what is wrong, or what only a cluster can tell.
    ///
    /// # Errors
    /// The field, and what is expected there.
    pub fn validate(&self) -> Result<(), String> {
        for (index, rule) in self.rules.iter().enumerate() {
            let lists = [
                ("apiGroups", &rule.api_groups),
                ("apiVersions", &rule.api_versions),
                ("resources", &rule.resources),
                ("operations", &rule.operations),
            ];
            if let Some((list, _)) = lists.iter().find(|(_, list)| list.as_deref().unwrap_or_default().is_empty()) {
                return Err(format!("spec.rules[{index}].{list}: expected at least one"));
            }
        }
        let selectors = [("namespaceSelector", &self.namespace_selector), ("objectSelector", &self.object_selector)];
        for (field, selector) in selectors.iter().filter_map(|(field, of)| Some((field, of.as_ref()?))) {
            validate_selector(selector).map_err(|problem| format!("spec.{field}.{problem}"))?;
        }
        match self.namespace_selector.iter().flat_map(keys).find(|key| *key != NAMESPACE_NAME) {
            Some(key) => Err(format!(
                "spec.namespaceSelector: only a cluster knows the label {key:?}; expected none but {NAMESPACE_NAME}"
            )),
            None => Ok(()),
        }
    }

    /// Whether the policy gets to see a request, where nothing is known of a namespace but its name.
    pub fn matches(&self, request: &AdmissionRequest) -> bool {
        self.matches_where(request, |_| None)
    }

    /// Whether the policy gets to see a request whose namespace has these labels besides its name.
    pub fn matches_where<'l>(&self, request: &'l AdmissionRequest, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.is_in_namespace(request, label)
            && self.rules.iter().any(|rule| rule_matches(rule, request))
            && self.object_selector.as_ref().is_none_or(|selector| {
                let mut objects = [&request.object, &request.old_object].into_iter().flatten();
                objects.any(|object| selects(selector, |key| object.get("metadata")?.get("labels")?.get(key)?.as_str()))
            })
    }

    /// Whether the policy gets to see the request that creates an object with these labels, which `request` need not
    /// hold. Nothing is known of its namespace but the name.
    pub fn matches_creation(&self, request: &AdmissionRequest, labels: &BTreeMap<String, String>) -> bool {
        self.is_in_namespace(request, |_| None)
            && self.rules.iter().any(|rule| rule_matches(rule, request))
            && self.object_selector.as_ref().is_none_or(|selector| selects(selector, |key| Some(labels.get(key)?)))
    }

    fn is_in_namespace<'l>(&self, request: &'l AdmissionRequest, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        let is_namespace = request.resource.group.is_empty() && request.resource.resource == "namespaces";
        let namespace = if is_namespace { request.name.as_deref() } else { request.namespace.as_deref() };
        let is_only = self.namespace.is_none() || self.namespace == request.namespace;
        // What is in no namespace is not skipped.
        let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else { return is_only };
        let selector = self.namespace_selector.as_ref();
        let label = |key: &str| if key == NAMESPACE_NAME { Some(namespace) } else { label(key) };
        is_only && selector.is_none_or(|selector| selects(selector, label))
    }
}

fn rule_matches(rule: &RuleWithOperations, request: &AdmissionRequest) -> bool {
    let has = |list: &Option<Vec<String>>, item: &str| list.iter().flatten().any(|of| of == "*" || of == item);
    let scope = if request.namespace.as_ref().is_some_and(|of| !of.is_empty()) { "Namespaced" } else { "Cluster" };
    has(&rule.operations, &request.operation)
        && has(&rule.api_groups, &request.resource.group)
        && has(&rule.api_versions, &request.resource.version)
        && rule.scope.as_deref().is_none_or(|of| of == "*" || of == scope)
        && rule.resources.iter().flatten().any(|resource| resource_matches(resource, request))
}

/// `pods` is no subresource, `pods/*` is both, as it is in the API server.
fn resource_matches(of_rule: &str, request: &AdmissionRequest) -> bool {
    let (resource, sub_resource) = of_rule.split_once('/').unwrap_or((of_rule, ""));
    (resource == "*" || resource == request.resource.resource)
        && (sub_resource == "*" || sub_resource == request.sub_resource.as_deref().unwrap_or_default())
}

fn keys(selector: &LabelSelector) -> impl Iterator<Item = &str> {
    let labels = selector.match_labels.iter().flatten().map(|(key, _)| key.as_str());
    labels.chain(selector.match_expressions.iter().flatten().map(|of| of.key.as_str()))
}

fn validate_selector(selector: &LabelSelector) -> Result<(), String> {
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let has_values = requirement.values.as_ref().is_some_and(|values| !values.is_empty());
        let problem = match (requirement.operator.as_str(), has_values) {
            ("In" | "NotIn", true) | ("Exists" | "DoesNotExist", false) => continue,
            ("In" | "NotIn", false) => "values: expected at least one",
            ("Exists" | "DoesNotExist", true) => "values: expected none",
            _ => "operator: expected In, NotIn, Exists or DoesNotExist",
        };
        return Err(format!("matchExpressions[{index}].{problem}"));
    }
    Ok(())
}

/// Whether labels are as a valid selector wants them.
fn selects<'l>(selector: &LabelSelector, label: impl Fn(&str) -> Option<&'l str>) -> bool {
    let mut labels = selector.match_labels.iter().flatten();
    let mut requirements = selector.match_expressions.iter().flatten();
    labels.all(|(key, value)| label(key) == Some(value)) && requirements.all(|of| meets(of, label(&of.key)))
}

fn meets(requirement: &LabelSelectorRequirement, label: Option<&str>) -> bool {
    let is_listed = label.is_some_and(|label| requirement.values.iter().flatten().any(|value| value == label));
    match requirement.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => label.is_some(),
        _ => label.is_none(),
    }
}
