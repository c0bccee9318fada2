//! What an API server makes of a request with all policies of a cluster: those that change objects one after another,
//! each on what the one before made of it, then those that only judge, on the outcome.

use std::borrow::Cow;
use std::rc::Rc;

use podfence_cel::Inputs;
use podfence_core::workload::WORKLOADS;
use podfence_host::evaluate::{AdmissionResponse, Evaluation, Mode, Status};
use podfence_scan::AdmissionRequest;
use podfence_scan::custom_kinds;
use serde_json::Value;

use crate::conditions::{self, Call};
use crate::documents::{Deployed, Document};
use crate::matching::{Matching, Namespaces, UnknownLabel};
use crate::validating::{self, Validating};

/// The policies of a cluster.
pub struct Admission<'d> {
    /// In the order in which they are asked.
    policies: Vec<Deployed<'d>>,
    /// Those that the API server evaluates itself, on what the others made of the object.
    validating: Option<&'d Validating>,
}

/// What came of a request.
#[derive(Debug)]
pub struct Review<'d> {
    /// What the policies answered that got to see it, in the order in which they were asked. An API server stops at the
    /// first one that denies, and shows its message.
    pub answers: Vec<Answer<'d>>,
    /// What the API server's own policies say.
    pub validated: Vec<validating::Answer<'d>>,
    /// The RFC 6902 patch from the object as it was sent to the object as it is admitted, if it was changed.
    pub patch: Option<Value>,
}

/// What a policy answered.
#[derive(Debug)]
pub struct Answer<'d> {
    /// The policy.
    pub document: &'d Document,
    /// What its server sends.
    pub evaluation: Evaluation,
    /// What its server would send in mode protect, if it is in mode monitor and says something else.
    pub in_protect: Option<AdmissionResponse>,
}

/// Why a request cannot be evaluated as in the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// A selector asks for a label that is not known.
    #[error("{policy}: {error}")]
    Label {
        /// The policy, for example `ClusterAdmissionPolicy/podfence-privileged`.
        policy: String,
        /// The label.
        error: UnknownLabel,
    },
    /// A policy returned a patch that does not apply to the object that it got.
    #[error("{policy}: its patch does not apply: {error}")]
    Patch {
        /// The policy.
        policy: String,
        /// Why.
        error: json_patch::PatchError,
    },
}

impl<'d> Admission<'d> {
    /// Puts policies in the order in which an API server asks them: those that may change objects first, each kind by the
    /// names of the configurations that the controller makes.
    pub fn new(mut policies: Vec<Deployed<'d>>) -> Self {
        policies.sort_by_key(|of| (!of.document.is_mutating(), of.document.configuration.clone()));
        Self { policies, validating: None }
    }

    /// With the policies that the API server evaluates itself.
    pub fn with_validating(self, validating: &'d Validating) -> Self {
        Self { validating: Some(validating), ..self }
    }

    /// Evaluates a request, knowing these namespaces.
    ///
    /// # Errors
    /// A policy's selector asks for a label that is not known, or its patch does not apply.
    pub fn review(&self, request: &AdmissionRequest, namespaces: &Namespaces) -> Result<Review<'d>, ReviewError> {
        let sent = request.object.as_ref();
        let mut chain = Chain { request: Cow::Borrowed(request), namespaces, inputs: None };
        // From the first policy on that would change something in mode protect, and is in mode monitor.
        let mut in_protect: Option<Chain<'_>> = None;
        let mut answers = Vec::new();
        for policy in &self.policies {
            let document = policy.document;
            let now = chain.ask(policy)?;
            let protect = match &mut in_protect {
                Some(chain) => chain.ask(policy)?,
                None => now.clone(),
            };
            let is_monitor = document.mode == Mode::Monitor;
            if let Some(Asked { patch: Some(patch), .. }) = &protect {
                match &mut in_protect {
                    Some(chain) => chain.apply(policy, patch)?,
                    None if is_monitor => in_protect.insert(chain.clone()).apply(policy, patch)?,
                    None => {}
                }
            }
            if let Some(Asked { patch: Some(patch), .. }) = now.as_ref().filter(|_| !is_monitor) {
                chain.apply(policy, patch)?;
            }
            answers.extend(answer(document, &chain.request, now, protect));
        }
        let validated = self.validating.map(|of| of.review(&chain.request, namespaces)).unwrap_or_default();
        let is_admitted = answers.iter().all(|answer: &Answer<'_>| answer.evaluation.response.allowed)
            && !validated.iter().any(validating::Answer::is_denied);
        let admitted = chain.request.object.as_ref().filter(|_| is_admitted);
        let patch = patch_of(sent, admitted);
        Ok(Review { answers, validated, patch })
    }
}

/// A request on its way through the policies.
#[derive(Clone)]
struct Chain<'r> {
    request: Cow<'r, AdmissionRequest>,
    namespaces: &'r Namespaces,
    /// What conditions read of it, and whether that is of the request as one of today's API. Converted once for all
    /// policies that see the same.
    inputs: Option<(bool, Rc<Inputs>)>,
}

/// What a policy answered in mode protect.
#[derive(Clone)]
struct Asked {
    evaluation: Evaluation,
    /// Whether it is the API server's answer, which did not call the policy: the mode does not matter.
    is_of_api_server: bool,
    /// Its RFC 6902 patch.
    patch: Option<Value>,
}

impl Chain<'_> {
    /// What a policy answers, unless it does not get to see the request.
    fn ask(&mut self, policy: &Deployed<'_>) -> Result<Option<Asked>, ReviewError> {
        let document = policy.document;
        let label = |error| ReviewError::Label { policy: document.name.clone(), error };
        let Some(seen) = document.matching.sees(&self.request, self.namespaces).map_err(label)? else {
            return Ok(None);
        };
        if !document.conditions.is_empty() {
            let is_converted = matches!(&seen, Cow::Owned(_));
            let inputs = match self.inputs.take().filter(|(of, _)| *of == is_converted) {
                Some((_, inputs)) => inputs,
                None => Rc::new(conditions::inputs(&seen)),
            };
            self.inputs = Some((is_converted, Rc::clone(&inputs)));
            let of_api_server = |evaluation| Ok(Some(Asked { evaluation, is_of_api_server: true, patch: None }));
            match document.conditions.evaluate(&inputs) {
                Call::Made => {}
                Call::NotMade => return Ok(None),
                Call::Passed(why) => return of_api_server(passed(&seen, why)),
                Call::Refused(why) => return of_api_server(refused(&seen, why)),
            }
        }
        let evaluation = policy.evaluate_in_protect(&seen);
        let patch = evaluation.response.patch_operations();
        Ok(Some(Asked { evaluation, is_of_api_server: false, patch }))
    }

    /// Goes on with what a policy made of the object.
    fn apply(&mut self, policy: &Deployed<'_>, patch: &Value) -> Result<(), ReviewError> {
        let problem = |error| ReviewError::Patch { policy: policy.document.name.clone(), error };
        let mut object = self.request.object.clone().unwrap_or_default();
        let patch: json_patch::Patch = serde_json::from_value(patch.clone()).expect("the harness made it");
        json_patch::patch(&mut object, &patch).map_err(problem)?;
        self.request.to_mut().object = Some(object);
        self.inputs = None;
        Ok(())
    }
}

/// What is shown of a policy: what its server sends now, and what it would send in mode protect.
fn answer<'d>(
    document: &'d Document,
    request: &AdmissionRequest,
    now: Option<Asked>,
    protect: Option<Asked>,
) -> Option<Answer<'d>> {
    let is_monitor = document.mode == Mode::Monitor;
    let is_other = |of: &Asked| {
        let response = &of.evaluation.response;
        is_monitor && !of.is_of_api_server && (!response.allowed || response.patch.is_some())
    };
    let in_protect = protect.filter(is_other).map(|of| of.evaluation.response);
    let evaluation = match now {
        Some(Asked { evaluation, is_of_api_server: true, .. }) => evaluation,
        Some(Asked { evaluation, .. }) => evaluation.in_mode(document.mode),
        // It sees what others would make of the object in mode protect alone.
        None => {
            in_protect.as_ref()?;
            let response =
                AdmissionResponse { uid: request.uid.clone(), allowed: true, ..AdmissionResponse::default() };
            Evaluation { response, failure: None }
        }
    };
    Some(Answer { document, evaluation, in_protect })
}

/// What the API server does without asking the policy.
fn passed(request: &AdmissionRequest, why: String) -> Evaluation {
    let annotations = [("skipped".to_owned(), why)].into();
    let response = AdmissionResponse {
        uid: request.uid.clone(),
        allowed: true,
        audit_annotations: Some(annotations),
        ..AdmissionResponse::default()
    };
    Evaluation { response, failure: None }
}

fn refused(request: &AdmissionRequest, why: String) -> Evaluation {
    let status = Status { message: Some(why), code: Some(403), details: None };
    let response = AdmissionResponse { uid: request.uid.clone(), status: Some(status), ..AdmissionResponse::default() };
    Evaluation { response, failure: None }
}

/// What of a request changed, if anything did.
fn patch_of(sent: Option<&Value>, admitted: Option<&Value>) -> Option<Value> {
    let patch = json_patch::diff(sent?, admitted?);
    (!patch.0.is_empty()).then(|| serde_json::to_value(patch).expect("a patch serialises"))
}

/// Why policies together do not hold what they promise: a module that sees workloads, and nowhere their pods. Owned
/// ReplicaSets are left alone and old workloads may be scaled, since their pods are judged; without that nothing holds.
pub fn gaps(documents: &[Document]) -> Vec<String> {
    let judges = |document: &&Document| document.mode == Mode::Protect || document.is_mutating();
    let mut gaps = Vec::new();
    for document in documents.iter().filter(judges) {
        for module in document.modules() {
            let is_covered = |other: &Document| {
                other.modules().contains(&module) && sees_pods(&other.matching) && reaches(other, document)
            };
            if sees_workloads(&document.matching) && !documents.iter().any(is_covered) {
                gaps.push(format!(
                    "{}: {module} judges workloads, and no policy with {module} judges pods and \
                     pods/ephemeralcontainers in the same namespaces: the pods of a workload are not judged; add them \
                         to the rules",
                    document.name
                ));
            }
        }
    }
    gaps.dedup();
    gaps
}

fn resources(matching: &Matching) -> impl Iterator<Item = (&str, &str)> {
    matching.rules.iter().flat_map(|rule| {
        let groups = rule.api_groups.iter().flatten();
        groups.flat_map(|group| rule.resources.iter().flatten().map(move |of| (group.as_str(), of.as_str())))
    })
}

fn sees_workloads(matching: &Matching) -> bool {
    let is_workload = |group: &str, resource: &str| {
        let own = WORKLOADS.iter().filter(|of| of.kind != "Pod").any(|of| (of.group, of.plural) == (group, resource));
        let mut custom = custom_kinds::projects().flat_map(|(_, kinds)| kinds);
        own || custom.any(|of| of.group == group && of.resources == resource)
    };
    resources(matching).any(|(group, resource)| is_workload(group, resource))
}

fn sees_pods(matching: &Matching) -> bool {
    let sees = |what: &[&str]| {
        resources(matching).any(|(group, resource)| ["", "*"].contains(&group) && what.contains(&resource))
    };
    sees(&["pods", "pods/*", "*", "*/*"])
        && sees(&["pods/ephemeralcontainers", "pods/*", "*/ephemeralcontainers", "*/*"])
}

/// Whether a policy counts at least where the other one does, as far as that can be told without a cluster: everywhere,
/// or by the same selectors.
fn reaches(policy: &Document, other: &Document) -> bool {
    let (of, by) = (&policy.matching, &other.matching);
    let is_everywhere = of.namespace.is_none() && policy.warnings.is_empty() && is_unlimited(policy);
    let is_same = of.namespace == by.namespace && of.namespace_selector == by.namespace_selector;
    (is_everywhere || is_same) && (of.object_selector.is_none() || of.object_selector == by.object_selector)
}

/// Whether the only namespace that a policy leaves out is the controller's, by one expression.
fn is_unlimited(policy: &Document) -> bool {
    let selector = policy.matching.namespace_selector.as_ref();
    selector.is_none_or(|of| {
        of.match_labels.iter().flatten().count() == 0 && of.match_expressions.iter().flatten().count() <= 1
    })
}
