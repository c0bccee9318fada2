//! What the API server answers to who sent a request, of what one of its policies says.

use std::collections::BTreeMap;

use podfence_host::evaluate::{Cause, Details, Status};
use podfence_host::{AdmissionResponse, Evaluation};
use podfence_scan::AdmissionRequest;
use serde_json::json;

use super::review::{Answer, Decision, Denied};
use super::{Actions, POLICY};

/// The annotation of what failed by action `Audit`.
const FAILURES: &str = "validation.policy.admission.k8s.io/validation_failure";

/// How many failures the annotation holds at most.
const MOST_FAILURES: usize = 50;

/// The annotation of what has no value and is ignored, which no API server sends.
pub const IGNORED: &str = "ignored";

impl Answer<'_> {
    /// For example `ValidatingAdmissionPolicy/registry`.
    pub fn title(&self) -> String {
        format!("{POLICY}/{}", self.policy)
    }

    /// Whether the request is denied.
    pub fn is_denied(&self) -> bool {
        self.with(|actions| actions.deny).next().is_some()
    }

    fn with(&self, takes: impl Fn(Actions) -> bool) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(move |of| takes(actions_of(of)))
    }

    /// As the answer of a webhook: the message, the warnings and the audit annotations of an API server.
    pub fn evaluation(&self, request: &AdmissionRequest) -> Evaluation {
        let by = match self.binding {
            Some(binding) => format!("{POLICY} '{}' with binding '{binding}'", self.policy),
            None => format!("{POLICY} '{}'", self.policy),
        };
        let mut denied = self.with(|actions| actions.deny).peekable();
        let status = denied.peek().map(|first| Status {
            message: Some(format!("{by} denied request: {}", first.message)),
            code: Some(code(&first.reason)),
            details: None,
        });
        let causes: Vec<Cause> =
            denied.skip(1).map(|of| Cause { field: None, message: Some(of.message.clone()) }).collect();
        let status =
            status.map(|status| Status { details: (!causes.is_empty()).then_some(Details { causes }), ..status });
        let warnings: Vec<String> =
            self.with(|actions| actions.warn).map(|of| format!("Validation failed for {by}: {}", of.message)).collect();
        let annotations = self.audit_annotations();
        let response = AdmissionResponse {
            uid: request.uid.clone(),
            allowed: status.is_none(),
            status,
            warnings: (!warnings.is_empty()).then_some(warnings),
            audit_annotations: (!annotations.is_empty()).then_some(annotations),
            ..AdmissionResponse::default()
        };
        Evaluation { response, failure: None }
    }

    fn audit_annotations(&self) -> BTreeMap<String, String> {
        let own = self.annotations.iter().map(|(key, value)| (format!("{}/{key}", self.policy), value.clone()));
        let mut annotations: BTreeMap<String, String> = own.collect();
        let failures: Vec<_> = self
            .with(|actions| actions.audit)
            .take(MOST_FAILURES)
            .map(|of| {
                json!({
                    "message": of.message,
                    "policy": self.policy,
                    "binding": self.binding,
                    "expressionIndex": of.index.unwrap_or_default(),
                    "validationActions": actions_of(of).names(),
                })
            })
            .collect();
        if !failures.is_empty() {
            annotations.insert(FAILURES.to_owned(), json!(failures).to_string());
        }
        let ignored: Vec<&str> =
            self.decisions.iter().filter(|of| of.denied == Denied::Ignored).map(|of| of.message.as_str()).collect();
        if !ignored.is_empty() {
            annotations.insert(IGNORED.to_owned(), ignored.join("; "));
        }
        if let Some(why) = &self.skipped {
            annotations.insert("skipped".to_owned(), why.clone());
        }
        annotations
    }
}

fn actions_of(of: &Decision) -> Actions {
    match of.denied {
        Denied::As(actions) => actions,
        Denied::Ignored => Actions::default(),
    }
}

/// The HTTP code of a reason.
fn code(reason: &str) -> u16 {
    match reason {
        "Forbidden" => 403,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    }
}
