//! ClusterAdmissionPolicies as a cluster would apply them to the creation of an object.

use std::cell::RefCell;
use std::collections::BTreeMap;

use podfence_cluster::matching::{Matching, Namespaces};
use podfence_host::evaluate::settings_object;
use podfence_host::{Mode, Module, Policy};
use podfence_scan::AdmissionRequest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::common::{Modules, create};

/// The object of a pod with a spec.
pub fn pod_of(spec: &Value, metadata: Option<&Value>) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec});
    for (key, value) in metadata.and_then(Value::as_object).into_iter().flatten() {
        pod["metadata"][key] = value.clone();
    }
    pod
}

/// Policies that all have to agree.
pub struct Fence {
    policies: Vec<(Value, Policy)>,
    /// Labels of namespaces, by name.
    labels: BTreeMap<String, Value>,
}

impl Fence {
    /// Loads the modules, and has them check their settings. Of the sources, namespaces tell their labels.
    pub fn new(policies: &[Value], sources: &[Value]) -> Fence {
        let namespaces = sources.iter().filter(|source| source["kind"] == "Namespace");
        let labels = namespaces.map(|namespace| {
            let metadata = &namespace["metadata"];
            (metadata["name"].as_str().unwrap().to_owned(), metadata["labels"].clone())
        });
        Fence {
            policies: policies.iter().map(|document| (document.clone(), policy(document))).collect(),
            labels: labels.collect(),
        }
    }

    /// What the policies say that refuse the object, after those that may have changed it.
    pub fn refusals(&self, object: &Value) -> Vec<String> {
        let mut request = create(object);
        let matching = self.matching(&request);
        for (_, policy) in matching.iter().filter(|(_, policy)| policy.allowed_to_mutate) {
            let response = policy.evaluate(&request).response;
            if let Some(patch) = response.patch_operations() {
                let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
                json_patch::patch(request.object.as_mut().unwrap(), &patch).unwrap();
            }
        }
        let answers = matching.into_iter().map(|(document, policy)| {
            let evaluation = policy.evaluate(&request);
            assert_eq!(evaluation.failure, None);
            assert_eq!(evaluation.response.patch, None, "a second time changes nothing");
            let name = document["metadata"]["name"].as_str().unwrap();
            (!evaluation.response.allowed).then(|| format!("{name}: {}", evaluation.response.message()))
        });
        answers.flatten().collect()
    }

    fn matching<'f>(&'f self, request: &AdmissionRequest) -> Vec<&'f (Value, Policy)> {
        self.policies.iter().filter(|(document, _)| self.matches(&document["spec"], request)).collect()
    }

    fn matches(&self, spec: &Value, request: &AdmissionRequest) -> bool {
        let matching = Matching {
            rules: typed(&spec["rules"]),
            namespace_selector: typed(&spec["namespaceSelector"]),
            object_selector: typed(&spec["objectSelector"]),
            ..Matching::default()
        };
        let name = request.namespace.as_deref().unwrap_or_default();
        let labels = self.labels.get(name).cloned().unwrap_or_default();
        let mut namespaces = Namespaces::default();
        namespaces.add(name, &serde_json::from_value(labels).unwrap_or_default());
        matching.sees(request, &namespaces).expect("it is known").is_some()
    }
}

fn typed<T: DeserializeOwned>(value: &Value) -> T {
    T::deserialize(value).unwrap_or_else(|error| panic!("{error} in {value}"))
}

fn policy(document: &Value) -> Policy {
    let spec = &document["spec"];
    let (_, module) = spec["module"].as_str().unwrap().rsplit_once('/').unwrap();
    let (name, version) = module.split_once(':').unwrap();
    assert_eq!(version, concat!("v", env!("CARGO_PKG_VERSION")));
    let policy = Policy {
        name: name.to_owned(),
        module: module_of(name),
        settings: settings_object(spec["settings"].clone()).unwrap(),
        mode: if spec["mode"] == "monitor" { Mode::Monitor } else { Mode::Protect },
        allowed_to_mutate: spec["mutating"] == true,
        message: None,
    };
    policy.validate_settings().unwrap_or_else(|error| panic!("{document:#}: {error}"));
    policy
}

/// A built module; each is loaded once in a test.
fn module_of(name: &str) -> Module {
    thread_local! {
        static MODULES: RefCell<Modules> = RefCell::new(Modules::new());
    }
    MODULES.with_borrow_mut(|modules| modules.load(name))
}
