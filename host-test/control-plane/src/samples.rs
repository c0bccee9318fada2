//! Pods: one that every policy lets in, and for each policy those that it rejects, from its fixtures.

use podfence_cluster::published;
use podfence_core::workload::{WORKLOADS, Workload};
use podfence_fixtures::{Expectation, Subject, Suite};
use serde_json::{Map, Value, json};

/// The lists of containers that an object can be created with.
const LISTS: [&str; 2] = ["initContainers", "containers"];

/// An image that every policy lets in.
const IMAGE: &str = "registry.example.com/app:1";

/// A kind of objects that hold a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Empty for core.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its name.
    pub kind: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// Where the pod is; empty for the object itself.
    pub template: &'static str,
}

/// The custom kind, which no controller acts on here.
pub const CUSTOM: Kind =
    Kind { group: "argoproj.io", version: "v1alpha1", kind: "Rollout", plural: "rollouts", template: "spec.template" };

/// Pods, the kinds of Kubernetes that hold a template, and a custom one.
pub fn kinds() -> Vec<Kind> {
    let of = |of: &Workload| Kind {
        group: of.group,
        version: "v1",
        kind: of.kind,
        plural: of.plural,
        template: of.template,
    };
    WORKLOADS.iter().map(of).chain([CUSTOM]).collect()
}

/// The kind of this name.
///
/// # Panics
/// There is none.
pub fn kind(name: &str) -> Kind {
    kinds().into_iter().find(|kind| kind.kind == name).unwrap_or_else(|| panic!("no kind {name}"))
}

impl Kind {
    /// The path of its objects in a namespace.
    pub fn collection(&self, namespace: &str) -> String {
        let Kind { group, version, plural, .. } = self;
        match group.is_empty() {
            true => format!("/api/{version}/namespaces/{namespace}/{plural}"),
            false => format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"),
        }
    }

    /// As objects say it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The label `app` of an object and its pods. A controller adopts what looks like its own, also of other kinds.
    pub fn app(&self, name: &str) -> String {
        format!("{}-{name}", self.kind.to_lowercase())
    }

    /// A merge patch with this patch of the pod.
    pub fn patch_of(&self, pod: Value) -> Value {
        let keys = self.template.rsplit('.').filter(|key| !key.is_empty());
        keys.fold(pod, |inside, key| json!({key: inside}))
    }

    /// The pod of an object.
    pub fn pod_of<'o>(&self, object: &'o Value) -> &'o Value {
        let keys = self.template.split('.').filter(|key| !key.is_empty());
        keys.fold(object, |object, key| &object[key])
    }

    /// An object with this pod. Labels of both name the object, and what is said of the pod.
    pub fn object(&self, name: &str, pod: &Value, says: &str) -> Value {
        let mut pod = pod.clone();
        let app = self.app(name);
        let labels = json!({"app": app, "pod": says});
        pod["metadata"]["labels"] = labels.clone();
        if matches!(self.kind, "Job" | "CronJob") {
            pod["spec"]["restartPolicy"] = json!("Never");
        }
        if self.kind == "Job" {
            pod["metadata"]["labels"][crate::kubelet::STAYS.0] = json!(crate::kubelet::STAYS.1);
        }
        let mut object = self.patch_of(pod);
        let selector = match self.kind {
            "ReplicationController" => json!({"app": app}),
            _ => json!({"matchLabels": {"app": app}}),
        };
        let spec = match self.kind {
            "ReplicationController" | "ReplicaSet" | "Deployment" | "Rollout" => {
                json!({"replicas": 1, "selector": selector})
            }
            "StatefulSet" => json!({"replicas": 1, "selector": selector, "serviceName": "none"}),
            "DaemonSet" => json!({"selector": selector}),
            "CronJob" => json!({"schedule": "* * * * *"}),
            _ => json!({}),
        };
        if let (Some(of), Value::Object(spec)) = (object["spec"].as_object_mut(), spec) {
            of.extend(spec);
        }
        if object["spec"].is_null() {
            object.as_object_mut().map(|object| object.remove("spec"));
        }
        object["apiVersion"] = json!(self.api_version());
        object["kind"] = json!(self.kind);
        object["metadata"]["name"] = json!(name);
        object["metadata"]["labels"] = labels;
        object
    }
}

/// A pod that every policy lets in.
pub fn good() -> Value {
    json!({"metadata": {}, "spec": {
        "runtimeClassName": "gvisor", "hostUsers": false, "automountServiceAccountToken": false,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000, "supplementalGroups": [1000],
            "seccompProfile": {"type": "RuntimeDefault"}, "appArmorProfile": {"type": "RuntimeDefault"},
        },
        "containers": [good_container("app")],
    }})
}

/// A container that every policy lets in, in a pod that it lets in.
pub fn good_container(name: &str) -> Value {
    json!({"name": name, "image": IMAGE, "securityContext": {
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "privileged": false,
        "capabilities": {"drop": ["ALL"]},
    }, "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}}})
}

/// Pods that a policy may reject with its default settings: a pod that says nothing, and those of its fixtures.
///
/// # Panics
/// The fixtures cannot be read.
pub fn bad(policy: &str) -> Vec<Value> {
    let suite = Suite::load(&podfence_support::policies().join(policy)).unwrap_or_else(|error| panic!("{error}"));
    let plain = json!({"metadata": {}, "spec": {"containers": [{"name": "app", "image": IMAGE}]}});
    let rejected = suite.cases.into_iter().filter_map(|case| {
        let is_plain = case.request.is_empty() && case.settings.as_object().is_none_or(Map::is_empty);
        match (case.subject, case.expectation) {
            (Subject::Pod { spec, metadata, old: None }, Expectation::Reject(_)) if is_plain => {
                Some(complete(json!({"metadata": metadata.unwrap_or_else(|| json!({})), "spec": spec})))
            }
            _ => None,
        }
    });
    [plain].into_iter().chain(rejected).collect()
}

/// The names of the policies that evaluate pods.
pub fn policies() -> impl Iterator<Item = &'static str> {
    published::all().iter().filter(|of| of.evaluates_pods()).map(|of| of.policy)
}

/// Adds what the API server demands and fixtures leave out.
fn complete(mut pod: Value) -> Value {
    let Some(spec) = pod["spec"].as_object_mut() else { return pod };
    // Of the kind, and what no pod is created with.
    for key in ["restartPolicy", "ephemeralContainers", "nodeName"] {
        spec.remove(key);
    }
    if spec.get("containers").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        spec.insert("containers".to_owned(), json!([{"name": "app"}]));
    }
    for list in LISTS {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (index, container) in containers.enumerate().filter(|(_, container)| container.is_object()) {
            let of = |key: &str| container[key].as_str().is_none_or(str::is_empty);
            let (is_unnamed, has_no_image) = (of("name"), of("image"));
            if is_unnamed {
                container["name"] = json!(format!("{}-{index}", list.to_lowercase()));
            }
            if has_no_image {
                container["image"] = json!(IMAGE);
            }
        }
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_hold_their_pod() {
        for kind in kinds() {
            let object = kind.object("a", &good(), "good");
            assert_eq!(kind.pod_of(&object)["metadata"]["labels"]["pod"], "good", "{object}");
            assert_eq!(kind.pod_of(&object)["spec"]["containers"][0]["name"], "app", "{object}");
            assert_eq!(object["metadata"]["name"], "a", "{object}");
        }
    }

    #[test]
    fn fixtures_have_pods_for_every_policy() {
        for policy in policies() {
            assert!(bad(policy).len() > 1, "{policy}");
        }
    }
}
