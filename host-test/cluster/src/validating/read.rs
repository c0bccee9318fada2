//! Reads policies and bindings, and refuses what the API server refuses.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{
    AuditAnnotation, MatchResources, NamedRuleWithOperations, ParamRef, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, Variable,
};
use podfence_cel::{CompileError, Conditions, ConditionsError, Environment, Expression, Problem, Returns};
use podfence_scan::request::GroupVersionKind;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Actions, Annotation, BINDING, Binding, POLICY, Policy, Validating, Validation};
use crate::matching::{Matching, validate_selector};

/// The version that is read.
const API_VERSION: &str = "admissionregistration.k8s.io/v1";

/// How long the text of an audit annotation's expression is at most, in bytes, and how many there are.
const ANNOTATION_TEXT: usize = 5 << 10;
const ANNOTATIONS: usize = 20;

/// How many variables and validations a policy has at most that is evaluated here.
const MOST: usize = 500;

/// Why a document is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The API server would refuse it.
    #[error("{0}")]
    Refused(String),
    /// It asks for what only an API server has.
    #[error("{0}")]
    Unsupported(String),
}

/// What becomes of policies that no binding names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unbound {
    /// Nothing, as in a cluster.
    #[default]
    Ignored,
    /// They judge everything that they match, and what fails is denied.
    Denies,
}

/// Whether a document is a policy or a binding that the API server evaluates itself.
pub fn is_policy_of_api_server(document: &Value) -> bool {
    let group = document["apiVersion"].as_str().and_then(|of| of.split_once('/')).map(|(group, _)| group);
    let kind = document["kind"].as_str().unwrap_or_default();
    let kinds = [POLICY, BINDING, "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"];
    group == Some("admissionregistration.k8s.io") && kinds.contains(&kind)
}

impl Validating {
    /// Adds a policy or a binding.
    ///
    /// # Errors
    /// It is neither, the API server would refuse it, or it asks for what only an API server has.
    pub fn add(&mut self, document: &Value) -> Result<(), ReadError> {
        let kind = document["kind"].as_str().unwrap_or_default();
        let name = document["metadata"]["name"].as_str().unwrap_or_default();
        let title = format!("{kind}/{name}");
        let refused = |problem: &str| ReadError::Refused(format!("{title}: {problem}"));
        if kind.starts_with("Mutating") {
            let problem = "changes objects, which only the API server does with such a policy";
            return Err(ReadError::Unsupported(format!("{title}: {problem}")));
        }
        if document["apiVersion"] != API_VERSION {
            return Err(refused(&format!("apiVersion: expected {API_VERSION}, found {}", document["apiVersion"])));
        }
        if name.is_empty() {
            return Err(refused("metadata.name: expected a name"));
        }
        let twice = || refused("is defined twice, and a cluster keeps the one that is applied last; define it once");
        let in_title = |error| match error {
            ReadError::Refused(problem) => ReadError::Refused(format!("{title}: {problem}")),
            ReadError::Unsupported(problem) => ReadError::Unsupported(format!("{title}: {problem}")),
        };
        match kind {
            POLICY => {
                let policy = policy(document, name).map_err(in_title)?;
                if self.policies.iter().any(|of| of.name == policy.name) {
                    return Err(twice());
                }
                self.policies.push(policy);
            }
            BINDING => {
                let binding = binding(document, name).map_err(|problem| refused(&problem))?;
                if self.bindings.iter().any(|of| of.name == binding.name) {
                    return Err(twice());
                }
                self.bindings.push(binding);
            }
            _ => return Err(refused(&format!("expected a {POLICY} or a {BINDING}"))),
        }
        Ok(())
    }

    /// Gives each policy its bindings, all in the order of their names. Returns what judges nothing, and why.
    pub fn bind(&mut self, unbound: Unbound) -> Vec<String> {
        let mut notes = Vec::new();
        self.policies.sort_by(|one, other| one.name.cmp(&other.name));
        self.bindings.sort_by(|one, other| one.name.cmp(&other.name));
        for binding in std::mem::take(&mut self.bindings) {
            match self.policies.iter_mut().find(|policy| policy.name == binding.policy) {
                Some(policy) => policy.bindings.push(binding),
                None => notes.push(format!(
                    "{BINDING}/{}: its policy {:?} is not among the documents: it judges nothing",
                    binding.name, binding.policy
                )),
            }
        }
        for policy in self.policies.iter_mut().filter(|policy| policy.bindings.is_empty()) {
            match (unbound, &policy.param_kind) {
                (Unbound::Denies, None) => policy.bindings.push(Binding::of_unbound(&policy.name)),
                (Unbound::Denies, Some(kind)) => notes.push(format!(
                    "{POLICY}/{}: takes a {} as parameter, which only a binding names: it judges nothing; add a {BINDING}",
                    policy.name, kind.kind
                )),
                (Unbound::Ignored, _) => notes.push(format!(
                    "{POLICY}/{}: without a binding, it judges nothing; add a {BINDING}, or use --unbound deny",
                    policy.name
                )),
            }
        }
        notes
    }

    /// The policies that judge no creation, for one that has nothing else to show them.
    pub fn notes_of_creations(&self) -> impl Iterator<Item = String> {
        self.policies.iter().filter(|policy| !policy.judges_creations()).map(|policy| {
            let operations = policy.matching.rules.iter().flat_map(|rule| rule.operations.iter().flatten());
            let operations: BTreeSet<&str> = operations.map(String::as_str).collect();
            let operations: Vec<&str> = operations.into_iter().collect();
            format!(
                "{POLICY}/{}: its rules name {} and not CREATE, and files are created: it judges nothing",
                policy.name,
                operations.join(", ")
            )
        })
    }
}

impl Binding {
    /// What stands for a binding that is not there.
    fn of_unbound(policy: &str) -> Binding {
        Binding {
            name: String::new(),
            policy: policy.to_owned(),
            matching: None,
            params: None,
            actions: Actions { deny: true, ..Actions::default() },
        }
    }
}

/// Reads a document, strictly: a field that no version has is a mistake, and would not count.
fn typed<T: DeserializeOwned>(document: &Value) -> Result<T, String> {
    let mut unknown = None;
    let read = serde_ignored::deserialize(document, |path| {
        unknown.get_or_insert_with(|| path.to_string());
    });
    let read = read.map_err(|error: serde_json::Error| error.to_string())?;
    match unknown {
        Some(path) => Err(format!("{}: unknown field", path.replace(".?", ""))),
        None => Ok(read),
    }
}

fn policy(document: &Value, name: &str) -> Result<Policy, ReadError> {
    let refused = |problem: String| ReadError::Refused(problem);
    let spec = typed::<ValidatingAdmissionPolicy>(document).map_err(refused)?.spec;
    let spec = spec.ok_or_else(|| refused("spec: expected an object".to_owned()))?;
    let constraints = spec.match_constraints.unwrap_or_default();
    if constraints.resource_rules.as_deref().unwrap_or_default().is_empty() {
        return Err(refused("spec.matchConstraints.resourceRules: expected at least one".to_owned()));
    }
    let matching = matching(constraints, "spec.matchConstraints").map_err(refused)?;
    let ignores_failures = match spec.failure_policy.as_deref() {
        None | Some("Fail") => false,
        Some("Ignore") => true,
        Some(other) => return Err(refused(format!("spec.failurePolicy: expected Fail or Ignore, found {other:?}"))),
    };
    let param_kind = match spec.param_kind {
        None => None,
        Some(of) => match (of.api_version.unwrap_or_default(), of.kind.unwrap_or_default()) {
            (version, kind) if version.is_empty() || kind.is_empty() => {
                return Err(refused("spec.paramKind: expected an apiVersion and a kind".to_owned()));
            }
            (version, kind) => Some(GroupVersionKind::new(&version, &kind)),
        },
    };
    let conditions = spec.match_conditions.unwrap_or_default();
    let texts = conditions.iter().map(|of| (of.name.clone(), of.expression.clone())).collect();
    let pairs: Vec<(&str, &str)> = conditions.iter().map(|of| (of.name.as_str(), of.expression.as_str())).collect();
    let compile = if param_kind.is_some() { Conditions::compile_with_params } else { Conditions::compile };
    let conditions = compile(&pairs).map_err(|error| match &error {
        ConditionsError::Expression { error: of, .. } => compile_error(of, format!("spec.{error}")),
        _ => refused(format!("spec.{error}")),
    })?;
    let mut environment = Environment::admission(Returns::Bool);
    if param_kind.is_some() {
        environment = environment.with_params();
    }
    let variables = spec.variables.unwrap_or_default();
    let validations = spec.validations.unwrap_or_default();
    if let Some((field, found)) = [("variables", variables.len()), ("validations", validations.len())]
        .into_iter()
        .find(|(_, found)| *found > MOST)
    {
        let problem = format!("spec.{field}: found {found}, at most {MOST} are evaluated here");
        return Err(ReadError::Unsupported(problem));
    }
    let environment = with_variables(environment, variables)?;
    let annotations = spec.audit_annotations.unwrap_or_default();
    if validations.is_empty() && annotations.is_empty() {
        return Err(refused("spec.validations: expected at least one, or an auditAnnotation".to_owned()));
    }
    let validations = validations.into_iter().enumerate().map(|(index, of)| {
        let at = format!("spec.validations[{index}]");
        validation(of, &at, &environment)
    });
    let validations = validations.collect::<Result<Vec<_>, _>>()?;
    let annotations = self::annotations(annotations, &environment.returning(Returns::StringOrNull))?;
    Ok(Policy {
        name: name.to_owned(),
        matching,
        conditions,
        texts,
        param_kind,
        validations,
        annotations,
        ignores_failures,
        bindings: Vec::new(),
    })
}

/// What is wrong with an expression: `message` has its place.
fn compile_error(error: &CompileError, message: String) -> ReadError {
    match error.problem {
        Problem::Unsupported(_) | Problem::TooLong { .. } | Problem::Thread(_) => ReadError::Unsupported(message),
        _ => ReadError::Refused(message),
    }
}

fn compile(text: &str, at: impl Display, environment: &Environment) -> Result<Expression, ReadError> {
    if text.trim().is_empty() {
        return Err(ReadError::Refused(format!("{at}: expected an expression")));
    }
    Expression::compile(text, environment).map_err(|error| compile_error(&error, format!("{at}: {error}")))
}

fn with_variables(mut environment: Environment, variables: Vec<Variable>) -> Result<Environment, ReadError> {
    let mut names = BTreeSet::new();
    for (index, Variable { name, expression }) in variables.into_iter().enumerate() {
        let at = format!("spec.variables[{index}]");
        if !is_identifier(&name) {
            let problem = format!("{at}.name: expected a name as in a CEL expression, found {name:?}");
            return Err(ReadError::Refused(problem));
        }
        if !names.insert(name.clone()) {
            let problem =
                format!("{at}.name: {name:?} is defined twice, which is not evaluated here; expected unique names");
            return Err(ReadError::Unsupported(problem));
        }
        let environment_of = environment.returning(Returns::Anything);
        let expression = compile(&expression, format!("{at}.expression ({name})"), &environment_of)?;
        environment = environment.with_variable(&name, expression);
    }
    Ok(environment)
}

fn is_identifier(name: &str) -> bool {
    const RESERVED: [&str; 21] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    let is_start = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    name.starts_with(is_start)
        && name.chars().all(|letter| is_start(letter) || letter.is_ascii_digit())
        && !RESERVED.contains(&name)
}

fn validation(
    of: k8s_openapi::api::admissionregistration::v1::Validation,
    at: &str,
    environment: &Environment,
) -> Result<Validation, ReadError> {
    let refused = |field: &str, problem: &str| Err(ReadError::Refused(format!("{at}.{field}: {problem}")));
    let expression = compile(&of.expression, format!("{at}.expression"), environment)?;
    let message = of.message.filter(|message| !message.is_empty());
    let message = match message.as_deref().map(str::trim) {
        Some("") => return refused("message", "expected text, found blanks"),
        Some(text) if text.contains(['\n', '\r']) => return refused("message", "expected no line breaks"),
        text => text.map(str::to_owned),
    };
    let message_expression = match of.message_expression.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Some(compile(text, format!("{at}.messageExpression"), &environment.returning(Returns::String))?),
        None => None,
    };
    let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
    if let Some(reason) = of.reason.as_deref().filter(|reason| !reasons.contains(reason)) {
        return refused("reason", &format!("expected {}, found {reason:?}", reasons.join(", ")));
    }
    Ok(Validation { text: of.expression, expression, message, message_expression, reason: of.reason })
}

fn annotations(annotations: Vec<AuditAnnotation>, environment: &Environment) -> Result<Vec<Annotation>, ReadError> {
    let mut read: Vec<Annotation> = Vec::new();
    if annotations.len() > ANNOTATIONS {
        let problem = format!("expected at most {ANNOTATIONS}, found {}", annotations.len());
        return Err(ReadError::Refused(format!("spec.auditAnnotations: {problem}")));
    }
    for (index, AuditAnnotation { key, value_expression }) in annotations.into_iter().enumerate() {
        let at = format!("spec.auditAnnotations[{index}]");
        let refused = |problem: String| Err(ReadError::Refused(format!("{at}.{problem}")));
        if key.is_empty() || read.iter().any(|of| of.key == key) {
            return refused(format!("key: expected a name that is unique, found {key:?}"));
        }
        let text = value_expression;
        if text.trim().len() > ANNOTATION_TEXT {
            return refused(format!("valueExpression: expected at most {ANNOTATION_TEXT} bytes, found {}", text.len()));
        }
        let expression = compile(&text, format!("{at}.valueExpression"), environment)?;
        read.push(Annotation { key, text, expression });
    }
    Ok(read)
}

fn binding(document: &Value, name: &str) -> Result<Binding, String> {
    let spec = typed::<ValidatingAdmissionPolicyBinding>(document)?.spec;
    if spec.policy_name.is_empty() {
        return Err("spec.policyName: expected the name of a policy".to_owned());
    }
    let matching = spec.match_resources.map(|of| matching(of, "spec.matchResources")).transpose()?;
    spec.param_ref.as_ref().map_or(Ok(()), validate_reference)?;
    Ok(Binding {
        name: name.to_owned(),
        policy: spec.policy_name,
        matching: matching.map(Arc::new),
        params: spec.param_ref,
        actions: actions(&spec.validation_actions)?,
    })
}

fn actions(names: &[String]) -> Result<Actions, String> {
    const FIELD: &str = "spec.validationActions";
    let mut actions = Actions::default();
    for name in names {
        let action = match name.as_str() {
            "Deny" => &mut actions.deny,
            "Warn" => &mut actions.warn,
            "Audit" => &mut actions.audit,
            other => return Err(format!("{FIELD}: expected Deny, Warn or Audit, found {other:?}")),
        };
        if std::mem::replace(action, true) {
            return Err(format!("{FIELD}: {name} is given twice, expected it once"));
        }
    }
    match actions {
        Actions { deny: true, warn: true, .. } => Err(format!("{FIELD}: expected Deny or Warn, found both")),
        _ if names.is_empty() => Err(format!("{FIELD}: expected at least one of Deny, Warn and Audit")),
        actions => Ok(actions),
    }
}

fn validate_reference(of: &ParamRef) -> Result<(), String> {
    const FIELD: &str = "spec.paramRef";
    match (of.name.as_deref().unwrap_or_default(), &of.selector) {
        ("", None) => return Err(format!("{FIELD}: expected a name or a selector")),
        ("", Some(selector)) => {
            validate_selector(selector).map_err(|problem| format!("{FIELD}.selector.{problem}"))?;
        }
        (_, None) => {}
        (_, Some(_)) => return Err(format!("{FIELD}: expected a name or a selector, found both")),
    }
    match of.parameter_not_found_action.as_deref() {
        Some("Allow" | "Deny") => Ok(()),
        Some(other) => Err(format!("{FIELD}.parameterNotFoundAction: expected Allow or Deny, found {other:?}")),
        None => Err(format!("{FIELD}.parameterNotFoundAction: expected Allow or Deny")),
    }
}

fn matching(of: MatchResources, field: &str) -> Result<Matching, String> {
    let is_exact = match of.match_policy.as_deref() {
        None | Some("Equivalent") => false,
        Some("Exact") => true,
        Some(other) => return Err(format!("{field}.matchPolicy: expected Exact or Equivalent, found {other:?}")),
    };
    let rules = |rules: Option<Vec<NamedRuleWithOperations>>| rules.unwrap_or_default();
    let rules_of = rules(of.resource_rules);
    let matching = Matching {
        matches_all: rules_of.is_empty(),
        rules: rules_of,
        excluded: rules(of.exclude_resource_rules),
        is_exact,
        namespace_selector: of.namespace_selector,
        object_selector: of.object_selector,
        ..Matching::default()
    };
    matching.validate_in(field, "resourceRules")?;
    Ok(matching)
}
