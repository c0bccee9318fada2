//! What an API server makes of a request with all policies of a cluster: those that change objects one after another,
//! each on what the one before made of it, then those that only judge, on the outcome.

use std::borrow::Cow;

use podfence_core::workload::WORKLOADS;
use podfence_host::evaluate::{AdmissionResponse, Evaluation, Mode, Status};
use podfence_scan::AdmissionRequest;
use podfence_scan::custom_kinds;
use serde_json::Value;

use crate::conditions::{self, Call};
use crate::documents::{Deployed, Document};
use crate::matching::{Matching, Namespaces, UnknownLabel};

/// The policies of a cluster.
pub struct Admission<'d> {
    /// In the order in which they are asked.
    policies: Vec<Deployed<'d>>,
}

/// What came of a request.
#[derive(Debug)]
pub struct Review<'d> {
    /// What the policies answered that got to see it, in the order in which they were asked. An API server stops at the
    /// first one that denies, and shows its message.
    pub answers: Vec<Answer<'d>>,
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
        Self { policies }
    }

    /// Evaluates a request, knowing these namespaces.
    ///
    /// # Errors
    /// A policy's selector asks for a label that is not known, or its patch does not apply.
    pub fn review(&self, request: &AdmissionRequest, namespaces: &Namespaces) -> Result<Review<'d>, ReviewError> {
        let mut request = Cow::Borrowed(request);
        let mut answers = Vec::new();
        let sent = request.object.clone();
        // Converted once for all policies that see the same.
        let mut inputs = None;
        for policy in &self.policies {
            let document = policy.document;
            let name = || document.name.clone();
            let seen = document.matching.sees(&request, namespaces);
            let Some(seen) = seen.map_err(|error| ReviewError::Label { policy: name(), error })? else { continue };
            if !document.conditions.is_empty() {
                let is_converted = matches!(&seen, Cow::Owned(_));
                let inputs = match inputs.take().filter(|(of, _)| *of == is_converted) {
                    Some(known) => inputs.insert(known),
                    None => inputs.insert((is_converted, conditions::inputs(&seen))),
                };
                let evaluation = match document.conditions.evaluate(&inputs.1) {
                    Call::Made => None,
                    Call::NotMade => continue,
                    Call::Passed(why) => Some(passed(&seen, why)),
                    Call::Refused(why) => Some(refused(&seen, why)),
                };
                if let Some(evaluation) = evaluation {
                    answers.push(Answer { document, evaluation, in_protect: None });
                    continue;
                }
            }
            let protect = policy.evaluate_in_protect(&seen);
            let is_monitor = document.mode == Mode::Monitor;
            let is_other = !protect.response.allowed || protect.response.patch.is_some();
            let in_protect = (is_monitor && is_other).then(|| protect.response.clone());
            let evaluation = protect.in_mode(document.mode);
            if let Some(patch) = evaluation.response.patch_operations() {
                let mut object = seen.object.clone().unwrap_or_default();
                let patch: json_patch::Patch = serde_json::from_value(patch).expect("the harness made it");
                json_patch::patch(&mut object, &patch).map_err(|error| ReviewError::Patch { policy: name(), error })?;
                request.to_mut().object = Some(object);
                inputs = None;
            }
            answers.push(Answer { document, evaluation, in_protect });
        }
        Ok(Review { answers, patch: patch_of(sent.as_ref(), request.object.as_ref()) })
    }
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
                     pods/ephemeralcontainers in the same namespaces: what a workload makes later is not judged; add \
                     them to the rules",
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
