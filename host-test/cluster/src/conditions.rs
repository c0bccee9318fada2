//! The `matchConditions` of a policy: what the API server evaluates before it calls the policy.

use k8s_openapi::api::admissionregistration::v1::MatchCondition;
use podfence_cel::{Inputs, Outcome, decoded};
use podfence_scan::AdmissionRequest;
use serde_json::{Value, json};

/// Conditions, and what a request comes to for which one of them has no value.
#[derive(Debug, Default)]
pub struct Conditions {
    compiled: podfence_cel::Conditions,
    /// Whether `failurePolicy` is `Ignore`.
    ignores_failures: bool,
}

/// Whether the API server calls a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// It does.
    Made,
    /// One condition is false.
    NotMade,
    /// A condition has no value, and `failurePolicy: Ignore` lets the request pass without the policy: why.
    Passed(String),
    /// A condition has no value, and `failurePolicy: Fail` refuses the request, whatever the mode: why.
    Refused(String),
}

impl Conditions {
    pub(crate) fn read(conditions: Option<&[MatchCondition]>, ignores_failures: bool) -> Result<Self, String> {
        let conditions = conditions.unwrap_or_default();
        let conditions: Vec<(&str, &str)> =
            conditions.iter().map(|of| (of.name.as_str(), of.expression.as_str())).collect();
        let compiled = podfence_cel::Conditions::compile(&conditions).map_err(|error| format!("spec.{error}"))?;
        Ok(Self { compiled, ignores_failures })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.compiled.is_empty()
    }

    /// Evaluates them; `inputs` are those of the request that the policy sees, see [`inputs`].
    pub fn evaluate(&self, inputs: &Inputs) -> Call {
        let (name, problem) = match self.compiled.evaluate(inputs) {
            Outcome::Match => return Call::Made,
            Outcome::NoMatch { .. } => return Call::NotMade,
            Outcome::Error { condition, problem } => (condition, problem),
        };
        let why = |policy: &str, does: &str| {
            format!("matchConditions {name:?} cannot be evaluated, and failurePolicy {policy} {does}: {problem}")
        };
        match self.ignores_failures {
            true => Call::Passed(why("Ignore", "lets the request pass")),
            false => Call::Refused(why("Fail", "refuses the request")),
        }
    }

    /// What somebody should know who evaluates them without a cluster. `knows_user` is whether it was said who sends the
    /// requests.
    pub fn warnings(&self, knows_user: bool) -> Vec<String> {
        let of_user = self.compiled.reading_user_info().filter(|_| !knows_user).map(|name| {
            format!("spec.matchConditions {name:?} reads request.userInfo, of which nothing is known: the user is \"podfence\"")
        });
        let of_namespace = self.compiled.reading_namespace().map(|name| {
            format!("spec.matchConditions {name:?} reads namespaceObject, which the API server leaves null there: it has no value")
        });
        of_user.chain(of_namespace).collect()
    }
}

/// What conditions read of a request: the objects decoded and with their defaults, as an API server shows them. An
/// object of a kind that is not in its own types is as it is written.
pub fn inputs(request: &AdmissionRequest) -> Inputs {
    let shown = |object: &Option<Value>| object.as_ref().map(|object| decoded(object).object);
    let (object, old_object) = (shown(&request.object), shown(&request.old_object));
    let envelope = AdmissionRequest { object: None, old_object: None, ..request.clone() };
    let mut envelope = serde_json::to_value(envelope).expect("a request serialises");
    // A manifest comes without options; `kubectl create` sends these.
    if request.operation == "CREATE" && request.options.is_none() {
        envelope["options"] = json!({"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"});
    }
    Inputs::new(&envelope, object.as_ref(), old_object.as_ref())
}
