//! Which requests a policy gets to see: rules and selectors, as the API server matches them for a webhook.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{NamedRuleWithOperations, RuleWithOperations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use podfence_scan::AdmissionRequest;
use podfence_scan::request::{GroupVersionKind, GroupVersionResource};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// The label that every namespace has: its name.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// What a policy gets to see.
#[derive(Debug, Default)]
pub struct Matching {
    /// The only namespace that is judged.
    pub namespace: Option<String>,
    /// Any of them has to match; none matches nothing.
    pub rules: Vec<NamedRuleWithOperations>,
    /// Whether everything matches, whatever the rules are.
    pub matches_all: bool,
    /// What one of these matches is left out.
    pub excluded: Vec<NamedRuleWithOperations>,
    /// Whether `matchPolicy` is `Exact`: rules match nothing but the version that they name.
    pub is_exact: bool,
    /// Of the namespace that the object is in, or is.
    pub namespace_selector: Option<LabelSelector>,
    /// Of the object as it will be or as it was.
    pub object_selector: Option<LabelSelector>,
}

/// The namespaces that are known, with their labels.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Namespaces(BTreeMap<String, Namespace>);

/// What is known of a namespace.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Namespace {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// A selector asks for a label of a namespace that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("spec.namespaceSelector: the label {label:?} of namespace {namespace:?} is not known")]
pub struct UnknownLabel {
    /// The namespace.
    pub namespace: String,
    /// The key of the label.
    pub label: String,
}

impl Namespaces {
    /// Adds a namespace. One that is known already keeps its labels; returns whether they are the same. The label that
    /// every namespace has is not looked at.
    pub fn add(&mut self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        let mut labels = labels.clone();
        labels.remove(NAMESPACE_NAME);
        let known = self.0.entry(name.to_owned());
        known.or_insert_with(|| Namespace { labels: labels.clone(), ..Namespace::default() }).labels == labels
    }

    /// Adds those of others that are not known yet.
    pub fn add_unknown(&mut self, others: Namespaces) {
        for (name, namespace) in others.0 {
            self.0.entry(name).or_insert(namespace);
        }
    }

    /// Sets the annotations of a namespace that is known.
    pub fn annotate(&mut self, name: &str, annotations: BTreeMap<String, String>) {
        if let Some(known) = self.0.get_mut(name) {
            known.annotations = annotations;
        }
    }

    /// A namespace that is known as an API server has it.
    pub(crate) fn object(&self, name: &str) -> Option<Value> {
        let Namespace { labels, annotations } = self.0.get(name)?;
        let mut labels = labels.clone();
        labels.insert(NAMESPACE_NAME.to_owned(), name.to_owned());
        let mut metadata = json!({"name": name, "labels": labels});
        if !annotations.is_empty() {
            metadata["annotations"] = json!(annotations);
        }
        Some(json!({"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}))
    }

    /// Adds what is a Namespace among documents, each a manifest.
    ///
    /// # Errors
    /// A namespace is defined twice, with different labels.
    pub fn add_manifests<'m>(&mut self, manifests: impl IntoIterator<Item = &'m Value>) -> Result<(), String> {
        let is_namespace = |object: &&Value| object["apiVersion"] == "v1" && object["kind"] == "Namespace";
        for namespace in manifests.into_iter().filter(is_namespace) {
            let Some(name) = namespace["metadata"]["name"].as_str() else { continue };
            if !self.add(name, &texts(&namespace["metadata"]["labels"])) {
                return Err(format!("Namespace {name} is defined twice, with different labels"));
            }
            self.annotate(name, texts(&namespace["metadata"]["annotations"]));
        }
        Ok(())
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Matching {
    /// What rules match, without selectors. Rules are written as in a policy.
    ///
    /// # Errors
    /// They are not rules; the field, and what is expected there.
    pub fn of_rules(rules: &Value) -> Result<Matching, String> {
        let rules: Vec<RuleWithOperations> = Vec::deserialize(rules).map_err(|error| format!("rules: {error}"))?;
        Ok(Matching { rules: rules.into_iter().map(of_any_name).collect(), ..Matching::default() })
    }

    /// Says what is wrong.
    ///
    /// # Errors
    /// The field, and what is expected there.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_in("spec", "rules")
    }

    /// The same, of a field with other names.
    pub(crate) fn validate_in(&self, field: &str, rules: &str) -> Result<(), String> {
        validate_rules(&self.rules, &format!("{field}.{rules}"))?;
        validate_rules(&self.excluded, &format!("{field}.excludeResourceRules"))?;
        let selectors = [("namespaceSelector", &self.namespace_selector), ("objectSelector", &self.object_selector)];
        for (name, selector) in selectors.iter().filter_map(|(name, of)| Some((name, of.as_ref()?))) {
            validate_selector(selector).map_err(|problem| format!("{field}.{name}.{problem}"))?;
        }
        Ok(())
    }

    /// Whether labels of namespaces other than their names decide.
    pub fn needs_labels(&self) -> bool {
        self.namespace_selector.iter().flat_map(keys).any(|key| key != NAMESPACE_NAME)
    }

    /// The request as the policy gets to see it, if it does: of an API that has a successor, as one of that, unless
    /// `matchPolicy` is `Exact`.
    ///
    /// # Errors
    /// It depends on a label that is not known.
    pub fn sees<'r>(
        &self,
        request: &'r AdmissionRequest,
        namespaces: &Namespaces,
    ) -> Result<Option<Cow<'r, AdmissionRequest>>, UnknownLabel> {
        self.sees_selected(request, |selector| selects_one(selector, request), namespaces)
    }

    /// The same, where it is known which selectors take an object of the request.
    pub(crate) fn sees_selected<'r>(
        &self,
        request: &'r AdmissionRequest,
        is_selected: impl FnOnce(&LabelSelector) -> bool,
        namespaces: &Namespaces,
    ) -> Result<Option<Cow<'r, AdmissionRequest>>, UnknownLabel> {
        let Some(request) = self.ruled(request) else { return Ok(None) };
        let is_selected = self.object_selector.as_ref().is_none_or(is_selected);
        Ok((is_selected && self.is_in_namespace(&request, namespaces)?).then_some(request))
    }

    /// Whether the policy gets to see the request that creates an object with these labels, which `request` need not
    /// hold.
    ///
    /// # Errors
    /// It depends on a label that is not known.
    pub fn sees_creation(
        &self,
        request: &AdmissionRequest,
        labels: &BTreeMap<String, String>,
        namespaces: &Namespaces,
    ) -> Result<bool, UnknownLabel> {
        let is_selected = |selector: &_| selects(selector, |key| labels.get(key).map(String::as_str));
        self.sees_selected(request, is_selected, namespaces).map(|seen| seen.is_some())
    }

    /// The version that the rules name of what a request is about, if they name no other one, and it is not known here
    /// how to convert to it.
    pub(crate) fn needs_conversion(
        &self,
        request: &AdmissionRequest,
        is_selected: impl FnOnce(&LabelSelector) -> bool,
    ) -> Option<String> {
        if self.is_exact || self.ruled(request).is_some() {
            return None;
        }
        let of_version = |rule: &NamedRuleWithOperations| {
            let version = rule.api_versions.iter().flatten().next()?;
            rule_matches_in(version, rule, request).then(|| version.clone())
        };
        let is_excluded = self.excluded.iter().any(|rule| rule_matches(rule, request));
        let is_selected = || self.object_selector.as_ref().is_none_or(is_selected);
        self.rules.iter().find_map(of_version).filter(|_| !is_excluded && is_selected())
    }

    fn ruled<'r>(&self, request: &'r AdmissionRequest) -> Option<Cow<'r, AdmissionRequest>> {
        let any = |rules: &[NamedRuleWithOperations], request: &AdmissionRequest| {
            rules.iter().any(|rule| rule_matches(rule, request))
        };
        if any(&self.excluded, request) {
            return None;
        }
        let matches = self.matches_all || any(&self.rules, request);
        if matches && self.excluded.is_empty() {
            return Some(Cow::Borrowed(request));
        }
        let converted = (!self.is_exact).then(|| converted(request)).flatten();
        if converted.as_ref().is_some_and(|of| any(&self.excluded, of)) {
            return None;
        }
        if matches {
            return Some(Cow::Borrowed(request));
        }
        converted.filter(|of| any(&self.rules, of)).map(Cow::Owned)
    }

    fn is_in_namespace(&self, request: &AdmissionRequest, namespaces: &Namespaces) -> Result<bool, UnknownLabel> {
        let is_namespace = request.resource.group.is_empty() && request.resource.resource == "namespaces";
        let namespace = if is_namespace { request.name.as_deref() } else { request.namespace.as_deref() };
        let is_only = self.namespace.is_none() || self.namespace == request.namespace;
        // What is in no namespace is not skipped.
        let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else { return Ok(is_only) };
        let Some(selector) = self.namespace_selector.as_ref().filter(|_| is_only) else { return Ok(is_only) };
        // Of a Namespace that is created or changed, its own labels count.
        let own = request.object.as_ref().filter(|_| is_namespace);
        let label = |key: &str| match (key, own, namespaces.0.get(namespace)) {
            (NAMESPACE_NAME, ..) => Some(Some(namespace)),
            (_, Some(object), _) => Some(label_of(object, key)),
            (_, None, Some(known)) => Some(known.labels.get(key).map(String::as_str)),
            (_, None, None) => None,
        };
        let mut unknown = None;
        for requirement in requirements(selector) {
            match label(&requirement.key) {
                Some(label) if !meets(&requirement, label) => return Ok(false),
                Some(_) => {}
                None => unknown = Some(requirement.key.clone()),
            }
        }
        match unknown {
            Some(label) => Err(UnknownLabel { namespace: namespace.to_owned(), label }),
            None => Ok(true),
        }
    }
}

/// The groups and versions that Kubernetes once served workloads in, with those that it serves them in today.
const SUCCESSORS: [(&str, &str, &str, &str); 5] = [
    ("extensions", "v1beta1", "apps", "v1"),
    ("apps", "v1beta1", "apps", "v1"),
    ("apps", "v1beta2", "apps", "v1"),
    ("batch", "v1beta1", "batch", "v1"),
    ("batch", "v2alpha1", "batch", "v1"),
];

/// The kinds of these groups that are meant.
const MOVED: [&str; 5] = ["deployments", "daemonsets", "replicasets", "statefulsets", "cronjobs"];

/// A request about a workload of an API that Kubernetes once had, as one of today's.
fn converted(request: &AdmissionRequest) -> Option<AdmissionRequest> {
    let GroupVersionResource { group, version, resource } = &request.resource;
    let (.., to_group, to_version) =
        SUCCESSORS.iter().find(|(of, in_version, ..)| of == group && in_version == version)?;
    if !MOVED.contains(&resource.as_str()) {
        return None;
    }
    let (group, version) = ((*to_group).to_owned(), (*to_version).to_owned());
    let convert = |object: &Value| {
        let mut object = object.clone();
        object["apiVersion"] = Value::String(format!("{group}/{version}"));
        object
    };
    let (object, old_object) = (request.object.as_ref().map(convert), request.old_object.as_ref().map(convert));
    Some(AdmissionRequest {
        kind: GroupVersionKind { group: group.clone(), version: version.clone(), kind: request.kind.kind.clone() },
        resource: GroupVersionResource { group, version, resource: resource.clone() },
        object,
        old_object,
        ..request.clone()
    })
}

/// A rule that names no objects.
pub(crate) fn of_any_name(rule: RuleWithOperations) -> NamedRuleWithOperations {
    let RuleWithOperations { api_groups, api_versions, operations, resources, scope } = rule;
    NamedRuleWithOperations { api_groups, api_versions, operations, resource_names: None, resources, scope }
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let members = value.as_object().into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Whether a selector takes one of the objects of a request.
pub(crate) fn selects_one(selector: &LabelSelector, request: &AdmissionRequest) -> bool {
    let mut objects = [&request.object, &request.old_object].into_iter().flatten();
    objects.any(|object| selects(selector, |key| label_of(object, key)))
}

pub(crate) fn label_of<'o>(object: &'o Value, key: &str) -> Option<&'o str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

/// What is wrong with rules; `at` is their field.
fn validate_rules(rules: &[NamedRuleWithOperations], at: &str) -> Result<(), String> {
    for (index, rule) in rules.iter().enumerate() {
        let lists = [
            ("apiGroups", &rule.api_groups),
            ("apiVersions", &rule.api_versions),
            ("resources", &rule.resources),
            ("operations", &rule.operations),
        ];
        if let Some((list, _)) = lists.iter().find(|(_, list)| list.as_deref().unwrap_or_default().is_empty()) {
            return Err(format!("{at}[{index}].{list}: expected at least one"));
        }
        let operations =
            rule.operations.iter().flatten().map(|of| ("operations", of, OPERATIONS.contains(&of.as_str())));
        let resources = rule.resources.iter().flatten().map(|of| ("resources", of, is_resource(of)));
        let scope = rule.scope.iter().map(|of| ("scope", of, ["Cluster", "Namespaced", "*"].contains(&of.as_str())));
        if let Some((field, found, _)) = operations.chain(resources).chain(scope).find(|(.., is_valid)| !is_valid) {
            let expected = match field {
                "operations" => "CREATE, UPDATE, DELETE, CONNECT or *",
                "resources" => "the plural of a kind in lower case, such as pods or pods/ephemeralcontainers",
                _ => "Cluster, Namespaced or *",
            };
            return Err(format!("{at}[{index}].{field}: expected {expected}, found {found:?}"));
        }
    }
    Ok(())
}

const OPERATIONS: [&str; 5] = ["CREATE", "UPDATE", "DELETE", "CONNECT", "*"];

fn is_resource(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let is_name = |name: &str| name == "*" || !name.is_empty() && name.chars().all(is_letter);
    text.split_once('/').map_or(is_name(text), |(resource, sub_resource)| is_name(resource) && is_name(sub_resource))
}

fn rule_matches(rule: &NamedRuleWithOperations, request: &AdmissionRequest) -> bool {
    rule_matches_in(&request.resource.version, rule, request)
}

/// Whether a rule matches a request, were it of this version.
fn rule_matches_in(version: &str, rule: &NamedRuleWithOperations, request: &AdmissionRequest) -> bool {
    let has = |list: &Option<Vec<String>>, item: &str| list.iter().flatten().any(|of| of == "*" || of == item);
    let is_namespace = request.resource.group.is_empty() && request.resource.resource == "namespaces";
    let is_namespaced = !is_namespace && request.namespace.as_ref().is_some_and(|of| !of.is_empty());
    let scope = if is_namespaced { "Namespaced" } else { "Cluster" };
    let names = rule.resource_names.as_deref().unwrap_or_default();
    has(&rule.operations, &request.operation)
        && has(&rule.api_groups, &request.resource.group)
        && has(&rule.api_versions, version)
        && rule.scope.as_deref().is_none_or(|of| of == "*" || of == scope)
        && rule.resources.iter().flatten().any(|resource| resource_matches(resource, request))
        && (names.is_empty() || names.iter().any(|name| name == request.name.as_deref().unwrap_or_default()))
}

/// `pods` is not a subresource, `pods/*` is both, as it is in the API server.
fn resource_matches(of_rule: &str, request: &AdmissionRequest) -> bool {
    let (resource, sub_resource) = of_rule.split_once('/').unwrap_or((of_rule, ""));
    (resource == "*" || resource == request.resource.resource)
        && (sub_resource == "*" || sub_resource == request.sub_resource.as_deref().unwrap_or_default())
}

fn keys(selector: &LabelSelector) -> impl Iterator<Item = &str> {
    let labels = selector.match_labels.iter().flatten().map(|(key, _)| key.as_str());
    labels.chain(selector.match_expressions.iter().flatten().map(|of| of.key.as_str()))
}

pub(crate) fn validate_selector(selector: &LabelSelector) -> Result<(), String> {
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
pub(crate) fn selects<'l>(selector: &LabelSelector, label: impl Fn(&str) -> Option<&'l str>) -> bool {
    requirements(selector).all(|of| meets(&of, label(&of.key)))
}

/// What a selector requires: its expressions, and its labels as the same.
fn requirements(selector: &LabelSelector) -> impl Iterator<Item = Cow<'_, LabelSelectorRequirement>> {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| {
        Cow::Owned(LabelSelectorRequirement {
            key: key.clone(),
            operator: "In".to_owned(),
            values: Some(vec![value.clone()]),
        })
    });
    labels.chain(selector.match_expressions.iter().flatten().map(Cow::Borrowed))
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
