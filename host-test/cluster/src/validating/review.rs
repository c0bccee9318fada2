//! What the API server makes of a request with its own policies.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use podfence_cel::{Answer as Evaluated, Budget, EvaluationError, Inputs, Outcome, Place, Shared};
use podfence_scan::AdmissionRequest;
use serde_json::Value;

use super::subject::{Creation, Subject};
use super::{
    AUDIT_ANNOTATIONS, Actions, Binding, MATCH_CONDITIONS, PARAM_REF, Policy, Validating, Validation, control_of,
};
use crate::matching::{Namespaces, UnknownLabel};

/// How long a message is at most that an expression makes, in bytes.
const MESSAGE: usize = 5 << 10;

/// How long an audit annotation is at most, in bytes.
const ANNOTATION: usize = 10 << 10;

/// What a policy says about a request, by one of its bindings.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<'p> {
    /// The name of the policy.
    pub policy: &'p str,
    /// The name of the binding; none for a policy that judges without one.
    pub binding: Option<&'p str>,
    /// What failed, and what has no value.
    pub decisions: Vec<Decision>,
    /// What the audit log has of it, without the name of the policy.
    pub annotations: BTreeMap<String, String>,
    /// Why nothing was judged, and the request passes.
    pub skipped: Option<String>,
    /// Why it cannot be told what the API server would decide.
    pub failure: Option<String>,
}

/// A validation that failed, or what has no value.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// `validations[0]` and so on; `matchConditions`, `paramRef` and `auditAnnotations` for those.
    pub control: String,
    /// The index of the validation.
    pub index: Option<usize>,
    /// As the API server shows it.
    pub message: String,
    /// The reason, `Invalid` if the validation has none.
    pub reason: String,
    /// What becomes of it.
    pub denied: Denied,
    /// The place in the object to look at.
    pub place: Place,
}

/// What becomes of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// What the binding says.
    As(Actions),
    /// An expression has no value, and `failurePolicy: Ignore` lets the request pass.
    Ignored,
}

/// Objects that the API server shows to none of its policies: the policies themselves, and questions that are not stored.
pub(super) fn is_never_judged(request: &AdmissionRequest) -> bool {
    let policies = [
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    ];
    match request.resource.group.as_str() {
        "admissionregistration.k8s.io" => policies.contains(&request.resource.resource.as_str()),
        "authentication.k8s.io" | "authorization.k8s.io" => request.resource.resource.ends_with("reviews"),
        _ => false,
    }
}

impl Validating {
    /// Judges a request, as it comes to the policies after those that change objects: one answer for each binding by
    /// which a policy gets to see it, unless one of its conditions is false.
    pub fn review<'p>(&'p self, request: &AdmissionRequest, namespaces: &Namespaces) -> Vec<Answer<'p>> {
        // What the request holds was read.
        self.judge(&Subject::Request(request), namespaces).unwrap_or_default()
    }

    /// The same for a request whose object is text, which is decoded while it is read.
    ///
    /// # Errors
    /// The object is nested too deeply.
    pub fn review_creation<'p>(
        &'p self,
        creation: Creation<'_>,
        namespaces: &Namespaces,
    ) -> Result<Vec<Answer<'p>>, serde_json::Error> {
        if !is_namespace(creation.request) {
            return self.judge(&Subject::Creation(creation, OnceCell::new()), namespaces);
        }
        let object = serde_json::from_str(creation.json)?;
        let request = AdmissionRequest { object: Some(object), ..creation.request.clone() };
        self.judge(&Subject::Request(&request), namespaces)
    }

    fn judge<'p>(
        &'p self,
        subject: &Subject<'_>,
        namespaces: &Namespaces,
    ) -> Result<Vec<Answer<'p>>, serde_json::Error> {
        let request = subject.request();
        let mut answers = Vec::new();
        if is_never_judged(request) {
            return Ok(answers);
        }
        // What is shown of the request, and of the same as one of today's API.
        let mut shown: [Option<Inputs>; 2] = [None, None];
        let mut namespace: Option<Option<Shared>> = None;
        for policy in self.policies.iter().filter(|policy| !policy.bindings.is_empty()) {
            let seen =
                match subject.seen_by(&policy.matching, namespaces) {
                    Ok(Some(seen)) => seen,
                    Ok(None) => {
                        answers.extend(subject.needs_conversion(&policy.matching).map(|version| Answer {
                            failure: Some(conversion(request, &version)),
                            ..policy.answer(None)
                        }));
                        continue;
                    }
                    Err(unknown) => {
                        answers.push(Answer { failure: Some(unknowable(&unknown)), ..policy.answer(None) });
                        continue;
                    }
                };
            let is_converted = matches!(seen, Cow::Owned(_));
            let shown = &mut shown[usize::from(is_converted)];
            if shown.is_none() {
                *shown = Some(subject.inputs(&seen, is_converted)?);
            }
            let Some(inputs) = shown else { continue };
            for binding in &policy.bindings {
                let namespace = namespace.get_or_insert_with(|| {
                    let name = request.namespace.as_deref().filter(|name| !name.is_empty() && !is_namespace(request));
                    name.map_or_else(|| Some(Shared::new(Value::Null)), |name| namespaces.object(name).map(Shared::new))
                });
                let at = Asking { all: self, policy, binding, subject, inputs, namespaces };
                answers.extend(at.ask(namespace.as_ref()));
            }
        }
        Ok(answers)
    }
}

fn is_namespace(request: &AdmissionRequest) -> bool {
    request.resource.group.is_empty() && request.resource.resource == "namespaces"
}

fn unknowable(unknown: &UnknownLabel) -> String {
    format!("namespaceSelector: the label {:?} of namespace {:?} is not known", unknown.label, unknown.namespace)
}

fn conversion(request: &AdmissionRequest, version: &str) -> String {
    let kind = &request.kind;
    format!(
        "its rules name version {version} of {}, to which only the API server converts the {} of version {}",
        request.resource.resource, kind.kind, kind.version
    )
}

impl Policy {
    fn answer<'p>(&'p self, binding: Option<&'p Binding>) -> Answer<'p> {
        Answer {
            policy: &self.name,
            binding: binding.map(|binding| binding.name.as_str()).filter(|name| !name.is_empty()),
            decisions: Vec::new(),
            annotations: BTreeMap::new(),
            skipped: None,
            failure: None,
        }
    }

    /// What becomes of an expression that has no value.
    fn failed(&self, actions: Actions) -> Denied {
        if self.ignores_failures { Denied::Ignored } else { Denied::As(actions) }
    }
}

/// A request that a policy gets to see, and one of its bindings.
struct Asking<'a, 'p> {
    all: &'p Validating,
    policy: &'p Policy,
    binding: &'p Binding,
    subject: &'a Subject<'a>,
    inputs: &'a Inputs,
    namespaces: &'a Namespaces,
}

impl<'p> Asking<'_, 'p> {
    /// Judges; `namespace` is None if nothing is known of it.
    fn ask(&self, namespace: Option<&Shared>) -> Option<Answer<'p>> {
        let mut answer = self.policy.answer(Some(self.binding));
        match self.binding.matching.as_ref().map(|of| self.subject.seen_by(of, self.namespaces)) {
            None | Some(Ok(Some(_))) => {}
            Some(Ok(None)) => return None,
            Some(Err(unknown)) => return Some(Answer { failure: Some(unknowable(&unknown)), ..answer }),
        }
        if namespace.is_none() && self.policy.reads_namespace() {
            let name = self.subject.request().namespace.as_deref().unwrap_or_default();
            let failure = format!("it reads namespaceObject, and the namespace {name:?} is not known");
            return Some(Answer { failure: Some(failure), ..answer });
        }
        let params = match self.params() {
            Ok(params) => params,
            Err(problem) => {
                let message = format!("failed to configure binding: {problem}");
                let always = Actions { deny: true, ..Actions::default() };
                answer.decisions.push(self.decision(PARAM_REF, message, self.policy.failed(always)));
                return Some(answer);
            }
        };
        if params.is_empty() {
            let why = "no params found, and `Allow` parameterNotFoundAction lets the request pass";
            return Some(Answer { skipped: Some(why.to_owned()), ..answer });
        }
        let mut is_called = false;
        for params in params {
            let inputs = match params {
                Some(params) => Cow::Owned(self.inputs.clone().with_shared_params(params)),
                None => Cow::Borrowed(self.inputs),
            };
            match self.policy.conditions.evaluate(&inputs) {
                Outcome::NoMatch { .. } => continue,
                Outcome::Match => {
                    is_called = true;
                    let inputs = inputs.into_owned();
                    let inputs = namespace.map(|of| inputs.clone().with_shared_namespace(of)).unwrap_or(inputs);
                    self.validate(&inputs, &mut answer);
                }
                Outcome::Error { failed } => {
                    is_called = true;
                    let text = |condition| self.policy.texts.get(condition).map_or("", String::as_str);
                    let messages = failed.iter().map(|(condition, problem)| without_value(text(condition), problem));
                    let denied = self.policy.failed(self.binding.actions);
                    answer.decisions.push(self.decision(MATCH_CONDITIONS, together(messages), denied));
                }
            }
        }
        is_called.then_some(answer)
    }

    /// The parameters, each of which is judged by; `None` for one that is not there.
    fn params(&self) -> Result<Vec<Option<&Shared>>, String> {
        match (&self.policy.param_kind, &self.binding.params) {
            (Some(kind), Some(reference)) => {
                let namespace = self.subject.request().namespace.as_deref().filter(|namespace| !namespace.is_empty());
                Ok(self.all.params.of(kind, reference, namespace)?.into_iter().map(Some).collect())
            }
            _ => Ok(vec![None]),
        }
    }

    fn validate(&self, inputs: &Inputs, answer: &mut Answer<'_>) {
        let mut budget = Budget::of_binding();
        for (index, validation) in self.policy.validations.iter().enumerate() {
            let (message, denied) = match validation.expression.evaluate_within(inputs, &mut budget) {
                Ok(Evaluated::Bool(true)) => continue,
                Ok(_) => (message(validation, inputs, &mut budget), Denied::As(self.binding.actions)),
                Err(problem) => (without_value(&validation.text, &problem), self.policy.failed(self.binding.actions)),
            };
            let decision = Decision {
                index: Some(index),
                place: self
                    .subject
                    .object()
                    .map(|object| validation.expression.place(inputs, object, &mut budget))
                    .unwrap_or_default(),
                reason: validation.reason.clone().unwrap_or_else(|| INVALID.to_owned()),
                ..self.decision(&control_of(index), message, denied)
            };
            // Several parameters may say the same.
            if !answer.decisions.contains(&decision) {
                answer.decisions.push(decision);
            }
        }
        for annotation in &self.policy.annotations {
            match annotation.expression.evaluate_within(inputs, &mut budget) {
                Ok(Evaluated::String(text)) if !text.trim().is_empty() => {
                    add_annotation(answer.annotations.entry(annotation.key.clone()).or_default(), text.trim());
                }
                Ok(_) => {}
                Err(problem) => {
                    let message = without_value(&annotation.text, &problem);
                    let denied = self.policy.failed(Actions { deny: true, ..Actions::default() });
                    answer.decisions.push(self.decision(AUDIT_ANNOTATIONS, message, denied));
                }
            }
        }
    }

    fn decision(&self, control: &str, message: String, denied: Denied) -> Decision {
        Decision {
            control: control.to_owned(),
            index: None,
            message,
            reason: INVALID.to_owned(),
            denied,
            place: Place::default(),
        }
    }
}

/// The reason of what has none.
const INVALID: &str = "Invalid";

/// Adds what one more parameter says.
fn add_annotation(value: &mut String, text: &str) {
    let mut end = text.len().min(ANNOTATION);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    if value.split(", ").any(|known| known == text) {
        return;
    }
    if !value.is_empty() {
        value.push_str(", ");
    }
    value.push_str(text);
}

/// The words of the API server for an expression that has no value.
fn without_value(text: &str, problem: &EvaluationError) -> String {
    format!("expression '{text}' resulted in error: {problem}")
}

/// Messages as the API server shows several: each once, in brackets.
fn together(messages: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for message in messages {
        if !seen.contains(&message) {
            seen.push(message);
        }
    }
    if seen.len() == 1 { seen.remove(0) } else { format!("[{}]", seen.join(", ")) }
}

/// Why a validation failed: by its expression, else by its text, else by what it asks.
fn message(validation: &Validation, inputs: &Inputs, budget: &mut Budget) -> String {
    let made = validation.message_expression.as_ref().and_then(|expression| {
        match expression.evaluate_within(inputs, budget) {
            Ok(Evaluated::String(text)) => Some(text.trim().to_owned()),
            _ => None,
        }
    });
    let made = made.filter(|text| !text.is_empty() && text.len() <= MESSAGE && !text.contains('\n'));
    made.or_else(|| validation.message.clone())
        .unwrap_or_else(|| format!("failed expression: {}", validation.text.trim()))
}
