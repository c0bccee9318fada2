//! ClusterAdmissionPolicies as a cluster would apply them to the creation of an object.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use host_test::evaluate::settings_object;
use host_test::{AdmissionRequest, Host, Limits, Mode, Module, Policy, input};
use serde_json::{Value, json};

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
        let mut request = creation(object);
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
        let has =
            |list: &Value, name: &str| list.as_array().unwrap().iter().any(|element| element == name || element == "*");
        let is_of = |rule: &Value| {
            has(&rule["apiGroups"], &request.resource.group)
                && has(&rule["apiVersions"], &request.resource.version)
                && has(&rule["resources"], &request.resource.resource)
                && has(&rule["operations"], &request.operation)
        };
        let mut labels = request.namespace.as_ref().and_then(|name| self.labels.get(name)).cloned().unwrap_or_default();
        labels["kubernetes.io/metadata.name"] = json!(request.namespace);
        spec["rules"].as_array().unwrap().iter().any(is_of)
            && selects(&spec["namespaceSelector"], &labels)
            && selects(&spec["objectSelector"], &request.object.as_ref().unwrap()["metadata"]["labels"])
    }
}

fn creation(object: &Value) -> AdmissionRequest {
    let mut requests = input::requests(object.to_string().as_bytes()).unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

/// A LabelSelector as the API server has it: what is not there selects everything.
fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten().all(|(key, value)| labels[key] == *value);
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    equal
        && expressions.into_iter().all(|expression| {
            let label = &labels[expression["key"].as_str().unwrap()];
            let is_listed = || expression["values"].as_array().unwrap().contains(label);
            match expression["operator"].as_str().unwrap() {
                "In" => is_listed(),
                "NotIn" => !is_listed(),
                "Exists" => !label.is_null(),
                "DoesNotExist" => label.is_null(),
                other => panic!("operator {other}"),
            }
        })
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
        static HOST: Host = Host::new(Limits::default()).unwrap();
        static MODULES: RefCell<BTreeMap<String, Module>> = const { RefCell::new(BTreeMap::new()) };
    }
    let load = || {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/policies/{name}.wasm"));
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run make modules", path.display()));
        HOST.with(|host| host.load(&bytes).unwrap())
    };
    MODULES.with(|modules| modules.borrow_mut().entry(name.to_owned()).or_insert_with(load).clone())
}
