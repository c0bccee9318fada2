//! Policy groups: several policies, and an expression that makes one verdict of theirs.

use std::collections::BTreeMap;

use podfence_host::evaluate::{AdmissionResponse, Cause, Details, Evaluation, Mode, Policy, Status};
use podfence_scan::AdmissionRequest;

use crate::expression::Expression;

/// Policies with an expression, as the server is configured to run them.
pub struct Group {
    /// By the names that the expression calls. Each in protect mode, and not allowed to mutate: a member that
    /// does is one that rejects. None is called that is not there.
    pub members: BTreeMap<String, Policy>,
    /// When a request is allowed.
    pub expression: Expression,
    /// Why it is not; what the members say are causes.
    pub message: String,
    /// What becomes of the verdict.
    pub mode: Mode,
}

impl Group {
    /// Judges one request, each member that is asked in a fresh instance and once.
    ///
    /// The evaluation is a failure when a member that was asked could not judge, whatever the expression makes of it.
    pub fn evaluate(&self, request: &AdmissionRequest) -> Evaluation {
        let mut asked: BTreeMap<String, Evaluation> = BTreeMap::new();
        let is_allowed = self.expression.evaluate(|name| {
            let Some(member) = self.members.get(name) else { return false };
            asked.entry(name.to_owned()).or_insert_with(|| member.evaluate(request)).response.allowed
        });
        let is_denied = !is_allowed && self.mode == Mode::Protect;
        let status = is_denied.then(|| self.rejection(asked.values()));
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

    fn rejection<'e>(&self, asked: impl Iterator<Item = &'e Evaluation>) -> Status {
        let rejections = asked.map(|evaluation| &evaluation.response).filter(|response| !response.allowed);
        let causes = rejections.map(|response| Cause { message: response.message().to_owned() }).collect();
        Status { message: Some(self.message.clone()), code: None, details: Some(Details { causes }) }
    }
}
