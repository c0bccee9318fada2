//! ValidatingAdmissionPolicies: policies in CEL that the API server evaluates itself, with the bindings that put them in
//! force and the objects that these take as parameters.

mod params;
mod read;
mod response;
mod review;
mod subject;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::ParamRef;
use podfence_cel::{Conditions, Expression};
use podfence_scan::AdmissionRequest;
use podfence_scan::request::GroupVersionKind;
use serde_json::Value;

pub use params::Params;
pub use podfence_cel::Place;
pub use read::{ReadError, Unbound, is_policy_of_api_server};
pub use response::IGNORED;
pub use review::{Answer, Decision, Denied};
pub use subject::Creation;

use crate::matching::{Matching, Namespaces};

/// What the documents call the policies.
const POLICY: &str = "ValidatingAdmissionPolicy";
/// What the documents call the bindings.
const BINDING: &str = "ValidatingAdmissionPolicyBinding";

/// The controls of decisions that are of no validation.
const MATCH_CONDITIONS: &str = "matchConditions";
const PARAM_REF: &str = "paramRef";
const AUDIT_ANNOTATIONS: &str = "auditAnnotations";

/// The control of a validation.
fn control_of(index: usize) -> String {
    format!("validations[{index}]")
}

/// Policies with their bindings.
#[derive(Debug, Default)]
pub struct Validating {
    policies: Vec<Policy>,
    /// Those of no policy yet.
    bindings: Vec<Binding>,
    params: Params,
}

/// A policy.
#[derive(Debug)]
pub struct Policy {
    /// `metadata.name`.
    pub name: String,
    matching: Matching,
    conditions: Conditions,
    /// The text of each condition.
    texts: BTreeMap<String, String>,
    param_kind: Option<GroupVersionKind>,
    validations: Vec<Validation>,
    annotations: Vec<Annotation>,
    ignores_failures: bool,
    bindings: Vec<Binding>,
}

#[derive(Debug)]
struct Validation {
    text: String,
    expression: Expression,
    message: Option<String>,
    message_expression: Option<Expression>,
    reason: Option<String>,
}

#[derive(Debug)]
struct Annotation {
    key: String,
    text: String,
    expression: Expression,
}

/// What puts a policy in force.
#[derive(Debug, Clone)]
pub struct Binding {
    /// `metadata.name`.
    pub name: String,
    policy: String,
    /// None if all that the policy matches is bound.
    matching: Option<std::sync::Arc<Matching>>,
    params: Option<ParamRef>,
    actions: Actions,
}

/// What becomes of a validation that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions {
    /// The request is denied.
    pub deny: bool,
    /// The user is warned.
    pub warn: bool,
    /// The audit log has it.
    pub audit: bool,
}

impl Actions {
    /// The names, as a binding has them.
    pub fn names(self) -> Vec<&'static str> {
        let all = [(self.deny, "Deny"), (self.warn, "Warn"), (self.audit, "Audit")];
        all.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
    }
}

impl Validating {
    /// Whether there is no policy.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// The names of the policies.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| policy.name.as_str())
    }

    /// The controls of findings: `validations[0]` and so on, and the other parts of a policy that deny.
    pub fn controls(&self) -> BTreeSet<String> {
        let most = self.policies.iter().map(|policy| policy.validations.len()).max().unwrap_or_default();
        let others = [MATCH_CONDITIONS, PARAM_REF, AUDIT_ANNOTATIONS].iter().filter(|_| !self.is_empty());
        (0..most).map(control_of).chain(others.map(|other| (*other).to_owned())).collect()
    }

    /// The policies that are in force, and judge creations.
    pub fn judging_creations(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(|policy| !policy.bindings.is_empty() && policy.judges_creations())
    }

    /// The kinds whose objects are parameters.
    pub fn param_kinds(&self) -> impl Iterator<Item = &GroupVersionKind> {
        self.policies.iter().filter_map(|policy| policy.param_kind.as_ref())
    }

    /// Whether an object is of a kind that policies take as a parameter.
    pub fn takes_as_param(&self, object: &Value) -> bool {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = GroupVersionKind::new(&text(&object["apiVersion"]), &text(&object["kind"]));
        self.param_kinds().any(|of| *of == kind)
    }

    /// The objects that are parameters.
    pub fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }

    /// Whether labels of namespaces other than their names decide.
    pub fn needs_labels(&self) -> bool {
        self.policies.iter().any(|policy| {
            let bindings = policy.bindings.iter().filter_map(|binding| binding.matching.as_deref());
            std::iter::once(&policy.matching).chain(bindings).any(Matching::needs_labels)
        })
    }

    /// Whether an expression reads `namespaceObject` where it is not `null`.
    pub fn reads_namespaces(&self) -> bool {
        self.policies.iter().any(Policy::reads_namespace)
    }

    /// Whether a policy gets to see the request that creates an object with these labels, as far as that is known.
    pub fn see_creation(
        &self,
        request: &AdmissionRequest,
        labels: &BTreeMap<String, String>,
        namespaces: &Namespaces,
    ) -> bool {
        let sees = |policy: &Policy| policy.matching.sees_creation(request, labels, namespaces) != Ok(false);
        !review::is_never_judged(request) && self.policies.iter().any(|of| !of.bindings.is_empty() && sees(of))
    }

    /// What somebody should know who evaluates them without a cluster. `knows_user` is whether it was said who sends the
    /// requests.
    pub fn warnings(&self, knows_user: bool) -> Vec<String> {
        let warnings = self.policies.iter().filter(|policy| !policy.bindings.is_empty()).flat_map(|policy| {
            let of_user = (!knows_user && policy.reads_user_info()).then(|| {
                format!(
                    "{POLICY}/{}: reads request.userInfo, which is unknown here: the user is \"podfence\"",
                    policy.name
                )
            });
            let of_namespace = policy.conditions.reading_namespace().map(|name| {
                format!(
                    "{POLICY}/{}: spec.matchConditions {name:?} reads namespaceObject, which the API server leaves \
                     null there: it has no value",
                    policy.name
                )
            });
            of_user.into_iter().chain(of_namespace).collect::<Vec<_>>()
        });
        warnings.collect()
    }
}

impl Policy {
    /// Whether one of its rules names the operation `CREATE`.
    fn judges_creations(&self) -> bool {
        let mut operations = self.matching.rules.iter().flat_map(|rule| rule.operations.iter().flatten());
        operations.any(|operation| operation == "CREATE" || operation == "*")
    }

    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let of_validations =
            self.validations.iter().flat_map(|of| std::iter::once(&of.expression).chain(&of.message_expression));
        of_validations.chain(self.annotations.iter().map(|of| &of.expression))
    }

    fn reads_namespace(&self) -> bool {
        self.expressions().any(Expression::reads_namespace)
    }

    fn reads_user_info(&self) -> bool {
        self.conditions.reading_user_info().next().is_some() || self.expressions().any(Expression::reads_user_info)
    }
}
