//! Policies and groups as a cluster would apply them to the creation of an object.

use std::cell::RefCell;
use std::convert::Infallible;

use podfence_cluster::admission::{Admission, Review};
use podfence_cluster::documents::{self, Deployed, Document};
use podfence_cluster::matching::Namespaces;
use podfence_host::Module;
use podfence_scan::AdmissionRequest;
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

/// Who makes a request.
#[derive(Debug, Clone, Default)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
}

/// Policies that all have to agree.
pub struct Fence {
    admission: Admission<'static>,
    namespaces: Namespaces,
}

impl Fence {
    /// Loads the modules, and has them check their settings. Of the sources, namespaces tell their labels.
    pub fn new(policies: &[Value], sources: &[Value]) -> Fence {
        policies.iter().for_each(check);
        let read = documents::read(policies).unwrap_or_else(|error| panic!("{error}"));
        let warnings: Vec<_> = read.iter().flat_map(|document| &document.warnings).collect();
        assert!(warnings.is_empty(), "{warnings:?}");
        // They judge until the test ends.
        let read: &'static [Document] = Vec::leak(read);
        let mut names: Vec<&str> = read.iter().map(|document| document.configuration.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), read.len(), "each has a name of its own");
        let mut namespaces = Namespaces::default();
        namespaces.add_manifests(sources.iter().flat_map(documents::items)).expect("each namespace once");
        Fence { admission: Admission::new(read.iter().map(deployed).collect()), namespaces }
    }

    /// What the policies say that refuse the object, after those that may have changed it.
    pub fn refusals(&self, object: &Value) -> Vec<String> {
        self.refusals_of(object, &User::default())
    }

    /// The same for an object that a user creates.
    pub fn refusals_of(&self, object: &Value, user: &User) -> Vec<String> {
        let mut request = create(object);
        request.user_info.username = Some(user.name.clone());
        request.user_info.groups = Some(user.groups.clone());
        let mut refusals = Vec::new();
        for answer in self.review(&request).answers {
            assert_eq!(answer.evaluation.failure, None, "{}", answer.document.name);
            if !answer.evaluation.response.allowed {
                refusals.push(format!("{}: {}", answer.document.configuration, answer.evaluation.response.message()));
            }
        }
        refusals
    }

    /// What those who create an object are warned of.
    pub fn warnings(&self, object: &Value) -> Vec<String> {
        let answers = self.review(&create(object)).answers.into_iter();
        answers.flat_map(|answer| answer.evaluation.response.warnings.unwrap_or_default()).collect()
    }

    fn review(&self, request: &AdmissionRequest) -> Review<'static> {
        let mut namespaces = self.namespaces.clone();
        // One that the sources do not have has no labels.
        namespaces.add(request.namespace.as_deref().unwrap_or_default(), &[].into());
        self.admission.review(request, &namespaces).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// That a document can be applied as it is printed.
fn check(document: &Value) {
    let spec = &document["spec"];
    for selector in ["namespaceSelector", "objectSelector"] {
        assert!(spec[selector]["matchLabels"].is_null(), "the controller drops these labels: {document}");
    }
    // A source may have said so for mode protect as well.
    let expected: &[&str] = if spec["mode"] == "monitor" { &["Ignore"] } else { &["Fail", "Ignore"] };
    assert!(expected.iter().any(|policy| spec["failurePolicy"] == *policy), "{document:#}");
    let members = spec["policies"].as_object().into_iter().flat_map(|members| members.values());
    let modules = members.chain([spec]).filter_map(|of| of["module"].as_str());
    for module in modules {
        assert!(module.ends_with(concat!(":v", env!("CARGO_PKG_VERSION"))), "{module}");
    }
}

fn deployed(document: &'static Document) -> Deployed<'static> {
    let deployed = document.deploy(|name| Ok::<_, Infallible>(module_of(name)));
    let Ok(deployed) = deployed;
    deployed.validate_settings().unwrap_or_else(|error| panic!("{error}"));
    deployed
}

/// A built module; each is loaded once in a test.
fn module_of(name: &str) -> Module {
    thread_local! {
        static MODULES: RefCell<Modules> = RefCell::new(Modules::new());
    }
    MODULES.with_borrow_mut(|modules| modules.load(name))
}
