//! From a document of `deploy/` to the webhook configuration that Kubewarden's controller makes of it, and to the
//! answers that its policy-server gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use podfence_cluster::documents::{self, Document};
use podfence_cluster::matching::Namespaces;
use podfence_cluster::published;
use podfence_host::{Host, Limits, Module};
use serde_json::{Value, json};

use crate::webhook::{Judge, Webhook};

/// The namespace of Kubewarden, which the controller excludes from policies of the whole cluster.
const OF_CONTROLLER: &str = "kubewarden";

/// The built modules.
pub struct Modules(BTreeMap<&'static str, Module>);

impl Modules {
    /// Loads all of them.
    ///
    /// # Panics
    /// One is missing or does not load.
    pub fn load() -> Self {
        let host = Host::new(Limits::default()).expect("an engine");
        let load = |policy: &'static str| {
            let module = host.load(&podfence_support::module(policy));
            (policy, module.unwrap_or_else(|error| panic!("{policy}: {error}")))
        };
        Self(published::all().iter().map(|of| load(of.policy)).collect())
    }

    /// The module of this name.
    pub fn get(&self, policy: &str) -> Option<Module> {
        self.0.get(policy).cloned()
    }
}

/// A copy of a document for one namespace, under a name of its own.
pub fn in_namespace(document: &Value, namespace: &str, name: &str) -> Value {
    let mut document = document.clone();
    document["metadata"]["name"] = json!(name);
    let only = json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": [namespace]});
    if let Some(expressions) = document["spec"]["namespaceSelector"]["matchExpressions"].as_array_mut() {
        expressions.push(only);
    }
    document
}

/// A policy that judges: its document, its path, and whether it changes objects.
pub struct Installed {
    /// The path that the webhook answers on.
    pub route: String,
    /// The configuration that the API server gets.
    pub configuration: Value,
    /// Its collection.
    pub collection: &'static str,
    /// What answers.
    pub judge: Judge,
}

/// Makes of a document what the controller and the policy-server make of it. What answers checks that it is asked what
/// the document selects.
///
/// # Panics
/// A cluster would refuse the document.
pub fn install(document: &Value, modules: &Modules, webhook: &Webhook) -> Installed {
    install_with(document, document, modules, webhook)
}

/// The same for documents that select by what only the API server knows: what answers checks only the rules.
///
/// # Panics
/// A cluster would refuse the document.
pub fn install_unchecked(document: &Value, modules: &Modules, webhook: &Webhook) -> Installed {
    let mut evaluated = document.clone();
    for key in ["namespaceSelector", "objectSelector", "matchConditions"] {
        evaluated["spec"].as_object_mut().map(|spec| spec.remove(key));
    }
    install_with(document, &evaluated, modules, webhook)
}

fn install_with(document: &Value, evaluated: &Value, modules: &Modules, webhook: &Webhook) -> Installed {
    let read = documents::read(std::slice::from_ref(evaluated)).unwrap_or_else(|error| panic!("{error}"));
    // It judges until the process ends.
    let read: &'static Document = Box::leak(Box::new(read.into_iter().next().expect("one document")));
    let deployed = read
        .deploy(|name| modules.get(name).ok_or_else(|| format!("no module {name}")))
        .unwrap_or_else(|error| panic!("{}: {error}", read.name));
    deployed.validate_settings().unwrap_or_else(|error| panic!("{error}"));
    let name = unique_name(document);
    let route = format!("/validate/{name}");
    let judge: Judge = Arc::new(move |request| {
        let evaluation = deployed.evaluate(request, &Namespaces::default()).expect("it selects by names alone");
        evaluation.map(|evaluation| evaluation.response)
    });
    let configuration = configuration(document, &name, &format!("{}{route}", webhook.url), &webhook.ca_bundle);
    webhook.route(&route, judge.clone());
    let collection = match document["spec"]["mutating"] == true {
        true => "mutatingwebhookconfigurations",
        false => "validatingwebhookconfigurations",
    };
    Installed { route, configuration, collection, judge }
}

/// How the controller calls a policy of the whole cluster; configurations are asked in the order of these names.
fn unique_name(document: &Value) -> String {
    let name = document["metadata"]["name"].as_str().expect("a document has a name");
    match document["kind"] == "ClusterAdmissionPolicyGroup" {
        true => format!("clusterwide-group-{name}"),
        false => format!("clusterwide-{name}"),
    }
}

/// The configuration as the controller writes it, with a URL where it has a service.
///
/// A policy that changes objects has a mutating configuration and no other. Of `namespaceSelector`, expressions count
/// alone. What is unset is the API server's default, and `failurePolicy` is so `Fail`.
fn configuration(document: &Value, name: &str, url: &str, ca_bundle: &str) -> Value {
    let spec = &document["spec"];
    let kind = if spec["mutating"] == true { "Mutating" } else { "Validating" };
    let mut expressions = spec["namespaceSelector"]["matchExpressions"].as_array().cloned().unwrap_or_default();
    expressions.push(json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [OF_CONTROLLER]}));
    let mut webhook = json!({
        "name": format!("{name}.kubewarden.admission"),
        "clientConfig": {"url": url, "caBundle": ca_bundle},
        "rules": spec["rules"],
        "namespaceSelector": {"matchExpressions": expressions},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    });
    for key in ["failurePolicy", "matchPolicy", "objectSelector", "timeoutSeconds", "matchConditions"] {
        if let Some(value) = spec.get(key) {
            webhook[key] = value.clone();
        }
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": format!("{kind}WebhookConfiguration"),
        "metadata": {
            "name": name,
            "labels": {"kubewarden": "true", "kubewardenPolicyScope": "cluster"},
            "annotations": {"kubewardenPolicyName": document["metadata"]["name"], "kubewardenPolicyNamespace": ""},
        },
        "webhooks": [webhook],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_has_what_the_controller_keeps() {
        let document = json!({
            "kind": "ClusterAdmissionPolicy", "metadata": {"name": "a"},
            "spec": {
                "mutating": true, "rules": [{"operations": ["CREATE"]}], "failurePolicy": "Ignore",
                "namespaceSelector": {
                    "matchLabels": {"dropped": "yes"},
                    "matchExpressions": [{"key": "team", "operator": "Exists"}],
                },
                "objectSelector": {"matchLabels": {"kept": "yes"}},
            },
        });
        let configuration = configuration(&document, &unique_name(&document), "https://a", "AAAA");
        assert_eq!(configuration["kind"], "MutatingWebhookConfiguration");
        assert_eq!(configuration["metadata"]["name"], "clusterwide-a");
        let webhook = &configuration["webhooks"][0];
        let expected = json!({"matchExpressions": [
            {"key": "team", "operator": "Exists"},
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kubewarden"]},
        ]});
        assert_eq!(webhook["namespaceSelector"], expected);
        assert_eq!(webhook["objectSelector"], json!({"matchLabels": {"kept": "yes"}}));
        assert_eq!(webhook["failurePolicy"], "Ignore");
        assert_eq!(webhook["name"], "clusterwide-a.kubewarden.admission");
    }
}
