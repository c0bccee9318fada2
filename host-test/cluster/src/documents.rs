//! Policies and groups as a cluster has them: AdmissionPolicies, AdmissionPolicyGroups and the same of the whole
//! cluster, read with the types of Kubewarden's SDK, and which requests they get to see.
//!
//! What only a cluster knows is refused: labels of namespaces other than their names, and matchConditions. Of
//! `matchPolicy`, requests match exactly.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::MatchCondition;
use kubewarden_policy_sdk::crd::policies::{
    AdmissionPolicy, AdmissionPolicyGroup, ClusterAdmissionPolicy, ClusterAdmissionPolicyGroup, common::PolicyMode,
};
use podfence_host::evaluate::{SettingsError, settings_object};
use podfence_host::{Evaluation, Mode, Module, Policy};
use podfence_scan::AdmissionRequest;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::expression::{self, Expression};
use crate::group::Group;
use crate::matching::Matching;

/// A policy or a group, as it is written.
#[derive(Debug)]
pub struct Document {
    /// For messages, for example `ClusterAdmissionPolicy/podfence-privileged`.
    pub name: String,
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

/// Reads documents; lists are what is in them, and a kustomization that only lists resources is none.
///
/// # Errors
/// One is no policy and no group, or one that cannot be judged.
pub fn read(documents: &[Value]) -> Result<Vec<Document>, DocumentError> {
    let mut read = Vec::new();
    for document in documents {
        let items = (document["kind"] == "List").then(|| document["items"].as_array()).flatten();
        for item in items.map_or(std::slice::from_ref(document), Vec::as_slice) {
            let problem = |problem| DocumentError { name: title(item), problem };
            if !is_list_of_resources(item).map_err(problem)? {
                read.push(read_one(item).map_err(problem)?);
            }
        }
    }
    Ok(read)
}

impl Document {
    /// Whether it gets to see a request.
    pub fn matches(&self, request: &AdmissionRequest) -> bool {
        self.matching.matches(request)
    }

    /// Puts the modules in, which `load` gets the names of.
    ///
    /// # Errors
    /// One cannot be loaded.
    pub fn deploy<E>(&self, mut load: impl FnMut(&str) -> Result<Module, E>) -> Result<Deployed<'_>, E> {
        let mut policy = |name: &str, run: &Run, mode, allowed_to_mutate, message: &Option<String>| {
            let (module, settings) = (load(&run.module)?, run.settings.clone());
            Ok(Policy { name: name.to_owned(), module, settings, mode, allowed_to_mutate, message: message.clone() })
        };
        let judge = match &self.body {
            Body::Policy { run, mutating, message } => {
                Judge::Policy(policy(&self.name, run, self.mode, *mutating, message)?)
            }
            Body::Group { members, expression, message } => {
                let members = members.iter().map(|(name, run)| {
                    Ok((name.clone(), policy(&format!("{}/{name}", self.name), run, Mode::Protect, false, &None)?))
                });
                let members = members.collect::<Result<_, E>>()?;
                Judge::Group(Group {
                    members,
                    expression: expression.clone(),
                    message: message.clone(),
                    mode: self.mode,
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

    /// Judges a request, unless it is none that the policy gets to see.
    pub fn evaluate(&self, request: &AdmissionRequest) -> Option<Evaluation> {
        self.document.matches(request).then(|| match &self.judge {
            Judge::Policy(policy) => policy.evaluate(request),
            Judge::Group(group) => group.evaluate(request),
        })
    }
}

fn title(document: &Value) -> String {
    let text = |value: &Value, otherwise: &str| value.as_str().unwrap_or(otherwise).to_owned();
    let kind = text(&document["kind"], "a document without kind");
    match document["metadata"]["name"].as_str() {
        Some(name) => format!("{kind}/{name}"),
        None => kind,
    }
}

/// What is beside the documents in a directory; one that changes them, or gets them from elsewhere, is kustomize's.
fn is_list_of_resources(document: &Value) -> Result<bool, String> {
    if document["kind"] != "Kustomization" {
        return Ok(false);
    }
    let mut keys = document.as_object().into_iter().flat_map(Map::keys);
    let mut resources = document["resources"].as_array().into_iter().flatten();
    if let Some(key) = keys.find(|key| !["apiVersion", "kind", "resources"].contains(&key.as_str())) {
        return Err(format!("{key}: expected nothing but resources; `kubectl kustomize` prints what comes of it"));
    }
    match resources.find(|resource| resource.as_str().is_none_or(|file| file.contains('/'))) {
        Some(other) => {
            Err(format!("resources: {other} is no file beside it; `kubectl kustomize` prints what comes of it"))
        }
        None => Ok(true),
    }
}

fn read_one(document: &Value) -> Result<Document, String> {
    macro_rules! matching {
        ($spec:ident, $namespace_selector:expr) => {{
            refuse_conditions($spec.match_conditions.as_deref())?;
            Matching {
                namespace: None,
                rules: $spec.rules.unwrap_or_default(),
                namespace_selector: $namespace_selector,
                object_selector: $spec.object_selector,
            }
        }};
    }
    const NO_SPEC: &str = "spec: expected an object";
    let (mode, mut matching, body) = match document["kind"].as_str() {
        Some("ClusterAdmissionPolicy") => {
            let spec = typed::<ClusterAdmissionPolicy>(document)?.spec.ok_or(NO_SPEC)?;
            let body = Body::policy(&spec.module, spec.settings.0, spec.mutating, spec.message)?;
            (spec.mode, matching!(spec, spec.namespace_selector), body)
        }
        Some("AdmissionPolicy") => {
            let spec = typed::<AdmissionPolicy>(document)?.spec.ok_or(NO_SPEC)?;
            let body = Body::policy(&spec.module, spec.settings.0, spec.mutating, spec.message)?;
            (spec.mode, matching!(spec, None), body)
        }
        Some("ClusterAdmissionPolicyGroup") => {
            let spec = typed::<ClusterAdmissionPolicyGroup>(document)?.spec.ok_or(NO_SPEC)?;
            let members = spec.policies.into_iter().map(|(name, of)| (name, of.module, of.settings.0));
            let body = Body::group(members, &spec.expression, spec.message)?;
            (spec.mode, matching!(spec, spec.namespace_selector), body)
        }
        Some("AdmissionPolicyGroup") => {
            let spec = typed::<AdmissionPolicyGroup>(document)?.spec.ok_or(NO_SPEC)?;
            let members = spec.policies.into_iter().map(|(name, of)| (name, of.module, of.settings.0));
            let body = Body::group(members, &spec.expression, spec.message)?;
            (spec.mode, matching!(spec, None), body)
        }
        _ => return Err("expected a policy of Kubewarden or a group, of a namespace or of the cluster".to_owned()),
    };
    if document["kind"].as_str().is_some_and(|kind| !kind.starts_with("Cluster")) {
        matching.namespace = Some(document["metadata"]["namespace"].as_str().unwrap_or("default").to_owned());
    }
    matching.validate()?;
    let mode = match mode {
        Some(PolicyMode::Monitor) => Mode::Monitor,
        Some(PolicyMode::Protect) | None => Mode::Protect,
    };
    Ok(Document { name: title(document), matching, mode, body })
}

fn typed<T: DeserializeOwned>(document: &Value) -> Result<T, String> {
    T::deserialize(document).map_err(|error| error.to_string())
}

fn refuse_conditions(conditions: Option<&[MatchCondition]>) -> Result<(), String> {
    match conditions.unwrap_or_default() {
        [] => Ok(()),
        _ => Err("spec.matchConditions: only the API server evaluates them; expected none".to_owned()),
    }
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
fn module_name(url: &str) -> Option<&str> {
    let last = url.rsplit('/').next()?.split(['@', ':']).next()?;
    let name = last.strip_suffix(".wasm").unwrap_or(last);
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    (name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && name.chars().all(is_letter)).then_some(name)
}
