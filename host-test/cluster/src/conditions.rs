//! The `matchConditions` of a policy: what the API server evaluates before it calls the policy.

use std::borrow::Cow;

use k8s_openapi::api::admissionregistration::v1::MatchCondition;
pub use podfence_cel::Inputs;
use podfence_cel::{Decoder, Outcome, decoded};
use podfence_scan::AdmissionRequest;
use podfence_scan::request::GroupVersionKind;
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
            Outcome::Error { failed } => failed.into_iter().next().expect("one condition at least"),
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
            format!(
                "spec.matchConditions {name:?} reads request.userInfo, which is unknown here: the user is \
                \"podfence\""
            )
        });
        let of_namespace = self.compiled.reading_namespace().map(|name| {
            format!("spec.matchConditions {name:?} reads namespaceObject, which the API server leaves null there: it has no value")
        });
        of_user.chain(of_namespace).collect()
    }
}

/// What conditions read of a request: the objects decoded, with their defaults, and with what an API server fills in
/// before it calls a webhook. An object of a kind that is not in its own types is as it is written.
pub fn inputs(request: &AdmissionRequest) -> Inputs {
    let object = request.object.as_ref().map(|object| {
        let mut object = decoded(object).object;
        if request.operation == "CREATE" {
            fill_in(&mut object, request);
        }
        object
    });
    inputs_of(request, object)
}

/// The inputs with an object as it is shown.
fn inputs_of(request: &AdmissionRequest, object: Option<Value>) -> Inputs {
    let old_object = request.old_object.as_ref().map(|object| decoded(object).object);
    let mut envelope = without_objects(request);
    // A manifest comes without options; `kubectl create` sends these.
    if request.operation == "CREATE" {
        let options = || json!({"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"});
        envelope.options.get_or_insert_with(options);
    }
    Inputs::of(move || serde_json::to_value(envelope).expect("a request serialises"), object, old_object)
}

/// A copy of a request without its objects, which are large.
fn without_objects(request: &AdmissionRequest) -> AdmissionRequest {
    AdmissionRequest {
        uid: request.uid.clone(),
        kind: request.kind.clone(),
        resource: request.resource.clone(),
        sub_resource: request.sub_resource.clone(),
        request_kind: request.request_kind.clone(),
        request_resource: request.request_resource.clone(),
        request_sub_resource: request.request_sub_resource.clone(),
        name: request.name.clone(),
        namespace: request.namespace.clone(),
        operation: request.operation.clone(),
        user_info: request.user_info.clone(),
        object: None,
        old_object: None,
        dry_run: request.dry_run,
        options: request.options.clone(),
    }
}

/// The same for a validation, which sees the object as it is about to be stored: with what the server itself says of it.
pub(crate) fn stored_inputs(request: &AdmissionRequest) -> Inputs {
    let mut request = Cow::Borrowed(request);
    // A Namespace is in itself there.
    if request.kind == GroupVersionKind::new("v1", "Namespace") {
        let request = request.to_mut();
        request.namespace.clone_from(&request.name);
    }
    let object = request.object.as_ref().map(|object| {
        let mut object = stored(Decoder::of_manifest(object), &request).decode_value(object);
        if request.operation == "CREATE" {
            fill_in(&mut object, &request);
            store(&mut object, &request);
        }
        object
    });
    inputs_of(&request, object)
}

/// The same for the creation of an object that is still text, and no Namespace. `is_converted` is whether the request is
/// of an API that is not the one of the text.
pub(crate) fn created_inputs(
    request: &AdmissionRequest,
    json: &str,
    is_converted: bool,
) -> Result<Inputs, serde_json::Error> {
    let api_version = api_version(&request.kind);
    let decoder = stored(Decoder::of(&api_version, &request.kind.kind), request);
    let mut object = decoder.decode(&mut serde_json::Deserializer::from_str(json))?;
    if let Some(members) = object.as_object_mut().filter(|_| is_converted) {
        members.insert("apiVersion".to_owned(), json!(api_version));
    }
    fill_in(&mut object, request);
    store(&mut object, request);
    Ok(inputs_of(request, Some(object)))
}

/// `apiVersion` of objects of a kind.
fn api_version(kind: &GroupVersionKind) -> String {
    match kind.group.as_str() {
        "" => kind.version.clone(),
        group => format!("{group}/{}", kind.version),
    }
}

/// A decoder that leaves out the status of a new object, which is the server's to say.
fn stored(decoder: Decoder, request: &AdmissionRequest) -> Decoder {
    match request.operation == "CREATE" && is_built_in(&request.kind) {
        true => decoder.without_status(),
        false => decoder,
    }
}

/// Fills in what the API server sets when it stores a new object. What a manifest says of that does not count.
fn store(object: &mut Value, request: &AdmissionRequest) {
    let kind = &request.kind;
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let name = metadata.get("generateName").and_then(Value::as_str).map(|prefix| format!("{prefix}00000"));
    if let Some(name) = name {
        metadata.entry("name").or_insert_with(|| json!(name));
    }
    metadata.insert("uid".to_owned(), json!(request.uid));
    metadata.insert("creationTimestamp".to_owned(), json!(CREATED));
    if is_built_in(kind) && kind.kind != "Service" {
        metadata.insert("generation".to_owned(), json!(1));
    }
    if *kind == GroupVersionKind::new("v1", "Pod") {
        object["status"] = json!({"phase": "Pending"});
    }
}

/// Whether a kind is of those that are decoded.
fn is_built_in(kind: &GroupVersionKind) -> bool {
    let of_core = ["Pod", "ReplicationController", "Service"];
    ["apps", "batch"].contains(&kind.group.as_str()) || kind.group.is_empty() && of_core.contains(&kind.kind.as_str())
}

/// When objects are created that have no cluster.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// Fills in what the API server and its own admission plugins do when an object is created: its namespace, and of a Pod
/// the service account, the tolerations of nodes that fail, and the priority. What is there stays.
fn fill_in(object: &mut Value, request: &AdmissionRequest) {
    if let Some(namespace) = &request.namespace
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.entry("namespace").or_insert_with(|| json!(namespace));
    }
    if request.kind != GroupVersionKind::new("v1", "Pod") {
        return;
    }
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let account = spec.get("serviceAccountName").or_else(|| spec.get("serviceAccount")).cloned();
    let account = account.unwrap_or_else(|| json!("default"));
    for key in ["serviceAccountName", "serviceAccount"] {
        spec.entry(key).or_insert_with(|| account.clone());
    }
    if !spec.contains_key("priorityClassName") {
        spec.entry("priority").or_insert_with(|| json!(0));
        spec.entry("preemptionPolicy").or_insert_with(|| json!("PreemptLowerPriority"));
    }
    let Some(tolerations) = spec.entry("tolerations").or_insert_with(|| json!([])).as_array_mut() else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerates = |of: &Value| {
            (of["key"] == key || of["key"].as_str().unwrap_or_default().is_empty())
                && (of["effect"] == "NoExecute" || of["effect"].as_str().unwrap_or_default().is_empty())
        };
        if !tolerations.iter().any(tolerates) {
            let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
            tolerations.push(toleration);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podfence_scan::request::{Sender, requests};

    #[test]
    fn a_pod_is_shown_with_what_the_api_server_fills_in() {
        for (expression, is_true) in [
            ("object.metadata.namespace == 'shop'", true),
            ("object.spec.serviceAccountName == 'default' && object.spec.serviceAccount == 'default'", true),
            ("object.spec.tolerations.size() == 2 && object.spec.tolerations[0].tolerationSeconds == 300", true),
            ("object.spec.priority == 0 && object.spec.preemptionPolicy == 'PreemptLowerPriority'", true),
            ("request.options.kind == 'CreateOptions' && request.dryRun == false", true),
            ("has(object.metadata.uid)", false),
        ] {
            let condition = MatchCondition { name: "c".to_owned(), expression: expression.to_owned() };
            let conditions = Conditions::read(Some(&[condition]), false).expect(expression);
            let sender = Sender { namespace: Some("shop".to_owned()), ..Sender::default() };
            let pod = b"{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}";
            let request = requests(pod, &sender).expect("a pod").remove(0);
            let expected = if is_true { Call::Made } else { Call::NotMade };
            assert_eq!(conditions.evaluate(&inputs(&request)), expected, "{expression}");
        }
    }
}
