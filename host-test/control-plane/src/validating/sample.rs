//! The sample: policies with their bindings, the objects that these take as parameters, and objects to be judged.

use podfence_scan::read;
use serde_json::{Value, json};

fn documents_of(text: &str) -> Vec<Value> {
    read::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// The namespaces.
pub(super) fn namespaces() -> Vec<Value> {
    documents_of(include_str!("namespaces.yaml"))
}

/// The parameters.
pub(super) fn params() -> Vec<Value> {
    documents_of(include_str!("params.yaml"))
}

/// What is created.
pub(super) fn objects() -> Vec<Value> {
    documents_of(include_str!("objects.yaml"))
}

/// The policies and bindings.
pub(super) fn documents() -> Vec<Value> {
    complete(include_str!("policies.yaml"))
}

/// Policies that no API server takes.
pub(super) fn refused() -> Vec<Value> {
    complete(include_str!("refused.yaml")).into_iter().filter(|of| of["kind"] == "ValidatingAdmissionPolicy").collect()
}

/// A policy that denies one object with what its parameter is called.
pub(super) fn probe() -> [Value; 2] {
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{
            "expression": "object.metadata.name != 'probe'",
            "messageExpression": "'in force with ' + params.metadata.name",
        }],
    });
    let reference = json!({"name": "limits", "namespace": "validating", "parameterNotFoundAction": "Deny"});
    pair("probe", spec, json!({"validationActions": ["Deny"], "paramRef": reference}))
}

fn complete(text: &str) -> Vec<Value> {
    let list = documents_of(text).into_iter().next().expect("a list");
    let list = list.as_array().expect("a list").clone();
    let pairs = list.into_iter().map(|mut of| {
        let name = of["name"].as_str().expect("a name").to_owned();
        pair(&name, of["spec"].take(), of["bind"].take())
    });
    pairs.flatten().collect()
}

/// A policy with its binding, completed, and for the namespaces of the sample if it selects none itself.
fn pair(name: &str, spec: Value, bind: Value) -> [Value; 2] {
    let [policy, mut binding] = pair_anywhere(name, spec, bind);
    let resources = &mut binding["spec"]["matchResources"];
    if resources["namespaceSelector"].is_null() {
        let names: Vec<Value> = namespaces().iter().map(|of| of["metadata"]["name"].clone()).collect();
        let only = json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": names});
        resources["namespaceSelector"] = json!({"matchExpressions": [only]});
    }
    [policy, binding]
}

/// A policy with its binding, completed.
pub(super) fn pair_anywhere(name: &str, mut spec: Value, bind: Value) -> [Value; 2] {
    if spec["matchConstraints"].is_null() {
        spec["matchConstraints"] = json!({"resourceRules": [{
            "apiGroups": ["", "apps", "batch", "networking.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": [
                "pods", "deployments", "statefulsets", "cronjobs", "services", "configmaps", "secrets", "ingresses",
            ],
        }]});
    }
    let mut bind = if bind.is_null() { json!({}) } else { bind };
    bind["policyName"] = json!(name);
    if bind["validationActions"].is_null() {
        bind["validationActions"] = json!(["Deny", "Audit"]);
    }
    let document = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        })
    };
    [document("ValidatingAdmissionPolicy", spec), document("ValidatingAdmissionPolicyBinding", bind)]
}
