//! Policy groups: several policies, and an expression that makes one verdict of theirs.

use std::collections::BTreeMap;

use podfence_host::evaluate::{AdmissionResponse, Cause, Details, Evaluation, Mode, Policy, Status};
use podfence_scan::AdmissionRequest;

use crate::expression::Expression;

/// Policies with an expression, as the server is configured to run them.
pub struct Group {
    /// By the names that the expression calls. A member that changes the object is one that rejects; its mode and its
    /// custom message do not count.
    pub members: BTreeMap<String, Policy>,
    /// When a request is allowed.
    pub expression: Expression,
    /// Why it is not; what the members say are causes.
    pub message: String,
    /// What becomes of the verdict.
    pub mode: Mode,
}

impl Group {
    /// Judges one request, each member that is asked in a fresh instance and once. Of what members say, the messages of
    /// those that reject become causes; warnings and annotations are dropped, as the server does.
    ///
    /// The evaluation is a failure when a member that was asked could not judge, whatever the expression makes of it.
    pub fn evaluate(&self, request: &AdmissionRequest) -> Evaluation {
        let mut asked: BTreeMap<String, Evaluation> = BTreeMap::new();
        let is_allowed = self.expression.evaluate(|name| {
            let Some(member) = self.members.get(name) else { return false };
            asked
                .entry(name.to_owned())
                .or_insert_with(|| refuse_mutation(member.evaluate_alone(request)))
                .response
                .allowed
        });
        let is_denied = !is_allowed && self.mode == Mode::Protect;
        let status = is_denied.then(|| self.rejection(&asked));
        Evaluation {
            response: AdmissionResponse {
                uid: request.uid.clone(),
                allowed: !is_denied,
                status,
                ..AdmissionResponse::default()
            },
            failure: asked.into_values().find_map(|evaluation| evaluation.failure),
        }
    }

    fn rejection(&self, asked: &BTreeMap<String, Evaluation>) -> Status {
        let rejections = asked.iter().filter(|(_, evaluation)| !evaluation.response.allowed);
        let causes = rejections.map(|(name, Evaluation { response, .. })| Cause {
            field: Some(format!("spec.policies.{name}")),
            message: response.status.as_ref().and_then(|status| status.message.clone()),
        });
        Status { message: Some(self.message.clone()), code: None, details: Some(Details { causes: causes.collect() }) }
    }
}

/// A member that changes the object is one that rejects, and this is its message.
fn refuse_mutation(evaluation: Evaluation) -> Evaluation {
    let Evaluation { response, failure } = evaluation;
    if response.patch.is_none() {
        return Evaluation { response, failure };
    }
    let message = Some("mutation is not allowed inside of policy group".to_owned());
    let status = Some(Status { message, ..Status::default() });
    Evaluation {
        response: AdmissionResponse { allowed: false, status, patch: None, patch_type: None, ..response },
        failure,
    }
}
