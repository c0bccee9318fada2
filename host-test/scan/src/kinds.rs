//! Whether a kind holds pods, by its group, version and name, or by the look of an object.

use crate::custom_kinds::{self, CustomKind};
use crate::request::GroupVersionKind;
use podfence_core::workload::WORKLOADS;
use serde_json::Value;

/// The version of all workloads.
const VERSION: &str = "v1";

/// The groups in which Kubernetes has or had its workloads.
const GROUPS: [&str; 4] = ["", "apps", "batch", "extensions"];

/// Longer kinds are near to none.
const LONGEST: usize = 64;

/// What is known of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Kubernetes has it, and it holds a pod.
    Workload,
    /// A custom kind of which is known where its pods are.
    Custom(&'static CustomKind),
    /// Such a custom kind in another version: why.
    OtherVersion(String),
    /// It looks like one of Kubernetes, whose API server does not have it: why.
    Miswritten(String),
    /// It holds no pod, or nothing is known of it.
    Other,
}

/// Says what is known of a kind.
pub fn classify(of: &GroupVersionKind) -> Known {
    let GroupVersionKind { group, version, kind } = of;
    let found = api_version(group, version);
    if let Some(custom) = custom_kinds::find(group, kind) {
        if custom.api_versions.contains(version) {
            return Known::Custom(custom);
        }
        let known: Vec<String> = custom.api_versions.iter().map(|version| api_version(group, version)).collect();
        return Known::OtherVersion(format!("apiVersion of {kind}: expected {}, found {found}", known.join(" or ")));
    }
    if !GROUPS.contains(&group.as_str()) {
        return Known::Other;
    }
    let Some(workload) = WORKLOADS.iter().find(|workload| workload.kind.eq_ignore_ascii_case(kind)) else {
        return Known::Other;
    };
    let expected = api_version(workload.group, VERSION);
    if workload.kind != kind {
        Known::Miswritten(format!("kind: expected {} of {expected}, found {kind} of {found}", workload.kind))
    } else if found != expected {
        Known::Miswritten(format!("apiVersion of {kind}: expected {expected}, found {found}"))
    } else {
        Known::Workload
    }
}

/// The workload of Kubernetes that an unknown kind of one of its groups is a misspelling of: `Deployment of apps/v1`.
pub fn near(of: &GroupVersionKind) -> Option<String> {
    // What is compared takes memory by its length, and a file may have any.
    if of.kind.len() > LONGEST || !GROUPS.contains(&of.group.as_str()) {
        return None;
    }
    let near = WORKLOADS.iter().map(|workload| (strsim::damerau_levenshtein(workload.kind, &of.kind), workload));
    let (distance, workload) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= workload.kind.len() / 3)
        .then(|| format!("{} of {}", workload.kind, api_version(workload.group, VERSION)))
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Where an object, as compact JSON, holds what looks like a pod: the path of a list of containers, or of a container.
pub fn containers(json: &str) -> Option<String> {
    if !NAMES.iter().any(|name| json.contains(name)) {
        return None;
    }
    match serde_json::from_str(json) {
        Ok(object) => find(&object, "", false),
        // Nested too deeply to be looked through.
        Err(_) => Some("containers".to_owned()),
    }
}

/// What containers are called, in pods and in what runs steps of its own.
const NAMES: [&str; 6] = ["containers", "initContainers", "ephemeralContainers", "container", "steps", "sidecars"];

fn find(value: &Value, path: &str, is_spec: bool) -> Option<String> {
    let members = match value {
        Value::Object(members) => members,
        Value::Array(elements) => {
            let mut elements = elements.iter().enumerate();
            return elements.find_map(|(index, of)| find(of, &format!("{path}[{index}]"), false));
        }
        _ => return None,
    };
    let dot = if path.is_empty() { "" } else { "." };
    let runs = |of: &Value| of.get("image").is_some_and(Value::is_string);
    members.iter().find_map(|(key, value)| {
        let path = format!("{path}{dot}{key}");
        let is_found = match value {
            Value::Array(elements) if is_spec && key.ends_with("ontainers") => elements.iter().any(Value::is_object),
            Value::Array(elements) => elements.iter().any(runs),
            other => runs(other),
        };
        if is_found && NAMES.contains(&key.as_str()) { Some(path) } else { find(value, &path, key == "spec") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_group_version_and_name() {
        let known = |api_version, kind| classify(&GroupVersionKind::new(api_version, kind));
        assert_eq!(known("v1", "Pod"), Known::Workload);
        assert_eq!(known("batch/v1", "CronJob"), Known::Workload);
        assert!(matches!(known("argoproj.io/v1alpha1", "Rollout"), Known::Custom(kind) if kind.kind == "Rollout"));
        assert!(matches!(known("apps.kruise.io/v1alpha1", "DaemonSet"), Known::Custom(_)));
        let problem = "apiVersion of Rollout: expected argoproj.io/v1alpha1, found argoproj.io/v1";
        assert_eq!(known("argoproj.io/v1", "Rollout"), Known::OtherVersion(problem.to_owned()));
        for other in [("v1", "Service"), ("example.com/v1", "Pod"), ("apps/v1", "ControllerRevision")] {
            assert_eq!(known(other.0, other.1), Known::Other);
        }
        for (api_version, kind, problem) in [
            ("v1", "pod", "kind: expected Pod of v1, found pod of v1"),
            (
                "extensions/v1beta1",
                "Deployment",
                "apiVersion of Deployment: expected apps/v1, found extensions/v1beta1",
            ),
            ("apps/v1beta2", "DaemonSet", "apiVersion of DaemonSet: expected apps/v1, found apps/v1beta2"),
            ("batch/v1beta1", "CronJob", "apiVersion of CronJob: expected batch/v1, found batch/v1beta1"),
            ("v1", "Deployment", "apiVersion of Deployment: expected apps/v1, found v1"),
        ] {
            assert_eq!(known(api_version, kind), Known::Miswritten(problem.to_owned()));
        }
    }

    #[test]
    fn a_misspelt_kind_is_near_a_workload() {
        for (api_version, kind, expected) in [
            ("v1", "Deploymnt", Some("Deployment of apps/v1")),
            ("apps/v1", "StatefullSet", Some("StatefulSet of apps/v1")),
            ("batch/v1", "Jobs", Some("Job of batch/v1")),
            ("example.com/v1", "Deploymnt", None),
            ("v1", "Thing", None),
        ] {
            assert_eq!(near(&GroupVersionKind::new(api_version, kind)).as_deref(), expected, "{kind}");
        }
    }

    #[test]
    fn what_looks_like_a_pod_is_found() {
        let deep = format!("{}{}{}", r#"{"a":"#.repeat(200), r#"{"containers":[{}]}"#, "}".repeat(200));
        for (json, path) in [
            (r#"{"spec":{"containers":[{"name":"a"}]}}"#, Some("spec.containers")),
            (r#"{"spec":{"sets":[{},{"spec":{"containers":[{}]}}]}}"#, Some("spec.sets[1].spec.containers")),
            (r#"{"spec":{"pod":{"containers":[{"image":"a"}]}}}"#, Some("spec.pod.containers")),
            (r#"{"spec":{"containers":[null,{"name":"a"}]}}"#, Some("spec.containers")),
            (r#"{"spec":{"podTemplate":{"initContainers":[{"image":"a"}]}}}"#, Some("spec.podTemplate.initContainers")),
            (r#"{"spec":{"templates":[{"container":{"image":"a"}}]}}"#, Some("spec.templates[0].container")),
            (r#"{"spec":{"steps":[{"image":"a"}]}}"#, Some("spec.steps")),
            (r#"{"spec":{"containers":[]}}"#, None),
            (r#"{"containers":[{}]}"#, None),
            (r#"{"spec":{"properties":{"spec":{"containers":{"items":[{}]}}}}}"#, None),
            (r#"{"data":{"a":"\"spec\":{\"containers\":[{}]}"}}"#, None),
            (&deep, Some("containers")),
        ] {
            assert_eq!(containers(json).as_deref(), path, "{json}");
        }
    }
}
