//! Policies and groups as a cluster has them: AdmissionPolicies, AdmissionPolicyGroups and the same of the whole
//! cluster, read with the types of Kubewarden's SDK, and which requests they get to see.
//!
//! They are read as Kubewarden's controller sets them up: of the namespaceSelector of a policy of the whole cluster, it
//! passes on `matchExpressions` alone, and it leaves out its own namespace.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kubewarden_policy_sdk::crd::policies::common::{FailurePolicy, MatchPolicy, PolicyMode};
use kubewarden_policy_sdk::crd::policies::{
    AdmissionPolicy, AdmissionPolicyGroup, ClusterAdmissionPolicy, ClusterAdmissionPolicyGroup,
};
use podfence_host::evaluate::{SettingsError, settings_object};
use podfence_host::{Evaluation, Mode, Module, Policy};
use podfence_scan::AdmissionRequest;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::conditions::Conditions;
use crate::expression::{self, Expression};
use crate::group::Group;
use crate::matching::{Matching, NAMESPACE_NAME, Namespaces, UnknownLabel, of_any_name};

/// The namespace that Kubewarden's chart installs the controller in.
pub const CONTROLLER_NAMESPACE: &str = "kubewarden";

/// A policy or a group, as the controller sets it up.
#[derive(Debug)]
pub struct Document {
    /// For messages, for example `ClusterAdmissionPolicy/podfence-privileged` or `AdmissionPolicy/shop/privileged`.
    pub name: String,
    /// The name of the webhook configuration that the controller makes, for example `clusterwide-podfence-privileged`.
    /// An API server asks in the order of these names.
    pub configuration: String,
    /// What the controller does not do as it is written: the field, and what becomes of it.
    pub warnings: Vec<String>,
    /// What the API server evaluates before it calls the policy.
    pub conditions: Conditions,
    /// Which requests it gets to see.
    pub matching: Matching,
    /// What becomes of the verdict.
    pub mode: Mode,
    /// What judges.
    pub body: Body,
}

/// What judges in a policy or a group.
#[derive(Debug)]
pub enum Body {
    /// One module.
    Policy {
        /// The module.
        run: Run,
        /// Whether a patch is passed on; without it, a patch is a rejection.
        mutating: bool,
        /// Replaces the message of a rejection.
        message: Option<String>,
    },
    /// Several, and what makes one verdict of theirs.
    Group {
        /// By the names that the expression calls.
        members: BTreeMap<String, Run>,
        /// When a request is allowed.
        expression: Expression,
        /// Why it is not.
        message: String,
    },
}

/// A module with settings.
#[derive(Debug, Clone)]
pub struct Run {
    /// The name of the module, without where it is and its version.
    pub module: String,
    /// Its settings.
    pub settings: Map<String, Value>,
}

/// A policy or a group with its modules, ready to judge.
pub struct Deployed<'d> {
    /// What is deployed.
    pub document: &'d Document,
    judge: Judge,
}

enum Judge {
    Policy(Policy),
    Group(Group),
}

/// A document that a cluster would refuse, or that cannot be judged without one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct DocumentError {
    /// For example `ClusterAdmissionPolicy/podfence-privileged`.
    pub name: String,
    /// The field, and what is expected there.
    pub problem: String,
}

/// Documents, with what is not a policy among them.
#[derive(Debug, Default)]
pub struct Read {
    /// Policies and groups.
    pub documents: Vec<Document>,
    /// The names of PolicyServers, which may lie beside policies, for example `PolicyServer/default`.
    pub servers: Vec<String>,
}

/// Reads documents for a cluster with the controller in namespace [`CONTROLLER_NAMESPACE`]; see [`read_for`].
///
/// # Errors
/// Those of [`read_for`].
pub fn read(documents: &[Value]) -> Result<Vec<Document>, DocumentError> {
    Ok(read_for(documents, CONTROLLER_NAMESPACE)?.documents)
}

/// Reads documents; lists are what is in them.
///
/// # Errors
/// One is neither a policy nor a group, or one that cannot be judged.
pub fn read_for(documents: &[Value], controller_namespace: &str) -> Result<Read, DocumentError> {
    let mut read = Read::default();
    for document in documents {
        for item in items(document) {
            let problem = |problem| DocumentError { name: title(item), problem };
            if item["kind"] == "PolicyServer" {
                read.servers.push(title(item));
            } else {
                read.documents.push(read_one(item, controller_namespace).map_err(problem)?);
            }
        }
    }
    Ok(read)
}

/// That no two documents are of one name: of two, a cluster has the one that was applied last.
///
/// # Errors
/// Two are.
pub fn check_names(documents: &[Document]) -> Result<(), DocumentError> {
    let mut names = BTreeSet::new();
    match documents.iter().find(|document| !names.insert(&document.configuration)) {
        Some(document) => {
            let problem =
                "is defined twice, and a cluster keeps the one that is applied last; define it once".to_owned();
            Err(DocumentError { name: document.name.clone(), problem })
        }
        None => Ok(()),
    }
}

/// The items of a List, or the document itself.
pub fn items(document: &Value) -> &[Value] {
    match document["items"].as_array() {
        Some(items) if document["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => items,
        _ => std::slice::from_ref(document),
    }
}

impl Document {
    /// Whether it may change objects, so that an API server asks it before those that only judge.
    pub fn is_mutating(&self) -> bool {
        matches!(self.body, Body::Policy { mutating: true, .. })
    }

    /// The modules that judge.
    pub fn modules(&self) -> Vec<&str> {
        match &self.body {
            Body::Policy { run, .. } => vec![run.module.as_str()],
            Body::Group { members, .. } => members.values().map(|run| run.module.as_str()).collect(),
        }
    }

    /// Puts the modules in, which `load` gets the names of.
    ///
    /// # Errors
    /// One cannot be loaded.
    pub fn deploy<E>(&self, mut load: impl FnMut(&str) -> Result<Module, E>) -> Result<Deployed<'_>, E> {
        let mut policy = |name: &str, run: &Run, allowed_to_mutate, message: &Option<String>| {
            let (module, settings, message) = (load(&run.module)?, run.settings.clone(), message.clone());
            Ok(Policy { name: name.to_owned(), module, settings, mode: Mode::Protect, allowed_to_mutate, message })
        };
        let judge = match &self.body {
            Body::Policy { run, mutating, message } => Judge::Policy(policy(&self.name, run, *mutating, message)?),
            Body::Group { members, expression, message } => {
                let members = members.iter().map(|(name, run)| {
                    Ok((name.clone(), policy(&format!("{}/{name}", self.name), run, false, &None)?))
                });
                let members = members.collect::<Result<_, E>>()?;
                Judge::Group(Group {
                    members,
                    expression: expression.clone(),
                    message: message.clone(),
                    mode: Mode::Protect,
                })
            }
        };
        Ok(Deployed { document: self, judge })
    }
}

impl Deployed<'_> {
    /// Why the server would not start with it.
    ///
    /// # Errors
    /// Settings are invalid, or a module cannot tell.
    pub fn validate_settings(&self) -> Result<(), DocumentError> {
        let at = |path: String, error: SettingsError| {
            let problem = match error {
                SettingsError::Call(error) => format!("{path}.settings: cannot be validated: {}", error.reason()),
                error => format!("{path}.settings: {error}"),
            };
            DocumentError { name: self.document.name.clone(), problem }
        };
        match &self.judge {
            Judge::Policy(policy) => policy.validate_settings().map_err(|error| at("spec".to_owned(), error)),
            Judge::Group(group) => group.members.iter().try_for_each(|(name, member)| {
                member.validate_settings().map_err(|error| at(format!("spec.policies.{name}"), error))
            }),
        }
    }

    /// Judges a request, unless the policy does not get to see it. Its conditions are left to the API server.
    ///
    /// # Errors
    /// Whether it sees the request depends on a label that is not known.
    pub fn evaluate(
        &self,
        request: &AdmissionRequest,
        namespaces: &Namespaces,
    ) -> Result<Option<Evaluation>, UnknownLabel> {
        let seen = self.document.matching.sees(request, namespaces)?;
        Ok(seen.map(|request| self.evaluate_in_protect(&request).in_mode(self.document.mode)))
    }

    /// Judges a request that the policy gets to see, as in mode protect.
    pub(crate) fn evaluate_in_protect(&self, request: &AdmissionRequest) -> Evaluation {
        match &self.judge {
            Judge::Policy(policy) => policy.evaluate(request),
            Judge::Group(group) => group.evaluate(request),
        }
    }
}

fn title(document: &Value) -> String {
    let text = |value: &Value, otherwise: &str| value.as_str().unwrap_or(otherwise).to_owned();
    let kind = text(&document["kind"], "a document without kind");
    match (document["metadata"]["namespace"].as_str(), document["metadata"]["name"].as_str()) {
        (Some(namespace), Some(name)) => format!("{kind}/{namespace}/{name}"),
        (None, Some(name)) => format!("{kind}/{name}"),
        (_, None) => kind,
    }
}

fn read_one(document: &Value, controller_namespace: &str) -> Result<Document, String> {
    macro_rules! read {
        ($spec:ident, $body:expr) => {{
            let body = $body;
            let ignores_failures = matches!($spec.failure_policy, Some(FailurePolicy::Ignore));
            let conditions = Conditions::read($spec.match_conditions.as_deref(), ignores_failures)?;
            let matching = Matching {
                rules: $spec.rules.unwrap_or_default().into_iter().map(of_any_name).collect(),
                is_exact: matches!($spec.match_policy, Some(MatchPolicy::Exact)),
                object_selector: $spec.object_selector,
                ..Matching::default()
            };
            (matching, conditions, $spec.mode, body)
        }};
    }
    macro_rules! policy {
        ($spec:ident) => {
            read!($spec, Body::policy(&$spec.module, $spec.settings.0, $spec.mutating, $spec.message)?)
        };
    }
    macro_rules! group {
        ($spec:ident) => {
            read!($spec, {
                let members = $spec.policies.into_iter().map(|(name, of)| (name, of.module, of.settings.0));
                Body::group(members, &$spec.expression, $spec.message)?
            })
        };
    }
    const NO_SPEC: &str = "spec: expected an object";
    let kind = document["kind"].as_str().unwrap_or_default();
    let is_clusterwide = kind.starts_with("Cluster");
    let (document, allows_inside) = if is_clusterwide { without_inside(document)? } else { (document.clone(), false) };
    let mut selector = None;
    let (mut matching, conditions, mode, body) = match kind {
        "ClusterAdmissionPolicy" => {
            let mut spec = typed::<ClusterAdmissionPolicy>(&document)?.spec.ok_or(NO_SPEC)?;
            selector = spec.namespace_selector.take();
            policy!(spec)
        }
        "AdmissionPolicy" => {
            let spec = typed::<AdmissionPolicy>(&document)?.spec.ok_or(NO_SPEC)?;
            policy!(spec)
        }
        "ClusterAdmissionPolicyGroup" => {
            let mut spec = typed::<ClusterAdmissionPolicyGroup>(&document)?.spec.ok_or(NO_SPEC)?;
            selector = spec.namespace_selector.take();
            group!(spec)
        }
        "AdmissionPolicyGroup" => {
            let spec = typed::<AdmissionPolicyGroup>(&document)?.spec.ok_or(NO_SPEC)?;
            group!(spec)
        }
        _ => return Err("expected a policy of Kubewarden or a group, of a namespace or of the cluster".to_owned()),
    };
    let mut warnings = Vec::new();
    let name = document["metadata"]["name"].as_str().filter(|name| !name.is_empty());
    let name = name.ok_or("metadata.name: expected a name")?;
    let of_group = if kind.ends_with("Group") { "group-" } else { "" };
    let configuration = if is_clusterwide {
        matching.namespace_selector = selector;
        // What the API server would refuse of it is told before what the controller makes of it.
        matching.validate()?;
        if !allows_inside {
            warnings.extend(as_controller(&mut matching, controller_namespace));
        }
        format!("clusterwide-{of_group}{name}")
    } else {
        matching.validate()?;
        let namespace = document["metadata"]["namespace"].as_str().unwrap_or("default");
        matching.namespace = Some(namespace.to_owned());
        format!("namespaced-{of_group}{namespace}-{name}")
    };
    let mode = match mode {
        Some(PolicyMode::Monitor) => Mode::Monitor,
        Some(PolicyMode::Protect) | None => Mode::Protect,
    };
    Ok(Document { name: title(&document), configuration, warnings, matching, conditions, mode, body })
}

/// A document without the field that the SDK's types do not have yet, and what the field says: whether the policy counts
/// in the controller's namespace as well.
fn without_inside(document: &Value) -> Result<(Value, bool), String> {
    const FIELD: &str = "allowInsideAdmissionControllerNamespace";
    let mut document = document.clone();
    match document.get_mut("spec").and_then(|spec| spec.as_object_mut()?.shift_remove(FIELD)) {
        None => Ok((document, false)),
        Some(Value::Bool(allows)) => Ok((document, allows)),
        Some(other) => Err(format!("spec.{FIELD}: expected a boolean, found {other}")),
    }
}

/// Changes a namespaceSelector as the controller does; says what it drops.
fn as_controller(matching: &mut Matching, controller_namespace: &str) -> Option<String> {
    let selector = matching.namespace_selector.get_or_insert_with(LabelSelector::default);
    let dropped = selector.match_labels.take().unwrap_or_default();
    selector.match_expressions.get_or_insert_default().push(LabelSelectorRequirement {
        key: NAMESPACE_NAME.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(vec![controller_namespace.to_owned()]),
    });
    let labels: Vec<String> = dropped.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    (!labels.is_empty()).then(|| {
        format!(
            "spec.namespaceSelector.matchLabels ({}): Kubewarden's controller drops them, so that the policy counts in \
             all namespaces; write them as matchExpressions",
            labels.join(", ")
        )
    })
}

fn typed<T: DeserializeOwned>(document: &Value) -> Result<T, String> {
    T::deserialize(document).map_err(|error| error.to_string())
}

impl Body {
    fn policy(module: &str, settings: Value, mutating: bool, message: Option<String>) -> Result<Body, String> {
        Ok(Body::Policy { run: Run::new("spec", module, settings)?, mutating, message })
    }

    fn group(
        members: impl Iterator<Item = (String, String, Value)>,
        expression: &str,
        message: String,
    ) -> Result<Body, String> {
        let mut runs = BTreeMap::new();
        for (name, module, settings) in members {
            let at = format!("spec.policies.{name}");
            if !expression::is_name(&name) {
                return Err(format!("{at}: expected letters, digits and `_`, for the expression to call it"));
            }
            runs.insert(name, Run::new(&at, &module, settings)?);
        }
        let expression = Expression::parse(expression).map_err(|error| format!("spec.expression: {error}"))?;
        match expression.members().into_iter().find(|name| !runs.contains_key(*name)) {
            Some(name) => Err(format!("spec.expression: {name}() is not in spec.policies")),
            None => Ok(Body::Group { members: runs, expression, message }),
        }
    }
}

impl Run {
    fn new(at: &str, url: &str, settings: Value) -> Result<Run, String> {
        let settings = settings_object(settings).map_err(|error| format!("{at}.settings: {error}"))?;
        let module = module_name(url).ok_or_else(|| format!("{at}.module: no name of a module in {url:?}"))?;
        Ok(Run { module: module.to_owned(), settings })
    }
}

/// The last part of a module's URL, without tag, digest and `.wasm`.
pub(crate) fn module_name(url: &str) -> Option<&str> {
    let last = url.rsplit('/').next()?.split(['@', ':']).next()?;
    let name = last.strip_suffix(".wasm").unwrap_or(last);
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    (name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && name.chars().all(is_letter)).then_some(name)
}
