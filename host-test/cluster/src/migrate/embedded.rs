//! The configuration of Pod Security Admission where it is: in a document of its own, in the AdmissionConfiguration, or
//! in what sets up a cluster, such as Gardener's Shoot, Rancher's templates and the files of kubeadm's control planes.

use std::borrow::Cow;

use podfence_scan::read;
use serde_json::{Value, json};

use super::{kind, psa, text};

/// A document that is a configuration, or holds one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Configuration<'d> {
    /// What messages call it.
    pub(super) origin: String,
    pub(super) document: Cow<'d, Value>,
}

/// What all configurations have in them.
const GROUP: &str = "pod-security.admission.config.k8s.io";

/// How deep documents are looked through.
const DEEPEST: usize = 32;

/// What names the file of the configuration to the API server, to kubeadm and to RKE2.
const FILES: [&str; 2] = ["admission-control-config-file", "pod-security-admission-config-file"];

/// Whether a value is the plugin as Gardener's Shoot has it, switched off: its configuration decides nothing.
fn is_disabled(value: &Value) -> bool {
    value["name"] == "PodSecurity" && value["disabled"] == true
}

/// Whether the plugin is switched off somewhere in a document.
pub(super) fn has_disabled(document: &Value) -> bool {
    has_disabled_below(document, 0)
}

fn has_disabled_below(value: &Value, depth: usize) -> bool {
    let is_in = |member: &Value| has_disabled_below(member, depth + 1);
    match value {
        _ if depth > DEEPEST => false,
        Value::Object(members) => is_disabled(value) || members.values().any(is_in),
        Value::Array(elements) => elements.iter().any(is_in),
        _ => false,
    }
}

/// The configurations in a document.
pub(super) fn find<'d>(origin: &str, document: &'d Value) -> Vec<Configuration<'d>> {
    let (version, name) = kind(document);
    if psa::is_configuration(version, name) {
        return vec![Configuration { origin: origin.to_owned(), document: Cow::Borrowed(document) }];
    }
    let mut found = Vec::new();
    if name == "PodSecurityAdmissionConfigurationTemplate" {
        let mut configuration = document["configuration"].clone();
        if let Some(members) = configuration.as_object_mut() {
            members.insert("kind".to_owned(), json!("PodSecurityConfiguration"));
            members.insert("apiVersion".to_owned(), json!(format!("{GROUP}/v1")));
            let document = Cow::Owned(configuration);
            return vec![Configuration { origin: format!("{origin}: configuration"), document }];
        }
    }
    collect(origin, document, "", 0, &mut found);
    found
}

fn collect<'d>(origin: &str, value: &'d Value, path: &str, depth: usize, found: &mut Vec<Configuration<'d>>) {
    let named = |path: &str| format!("{origin}: {path}");
    match value {
        Value::Object(_) if is_disabled(value) => {}
        Value::Object(members) => {
            let (version, name) = (text(value, "/apiVersion"), text(value, "/kind"));
            if depth > 0 && psa::is_configuration(version, name) {
                found.push(Configuration { origin: named(path), document: Cow::Borrowed(value) });
            } else if depth < DEEPEST {
                for (key, member) in members {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    collect(origin, member, &path, depth + 1, found);
                }
            }
        }
        Value::Array(elements) if depth < DEEPEST => {
            for (index, element) in elements.iter().enumerate() {
                collect(origin, element, &format!("{path}[{index}]"), depth + 1, found);
            }
        }
        Value::String(file) if file.contains(GROUP) => {
            let documents = read::parse(file.as_bytes()).unwrap_or_default();
            let configurations = documents.into_iter().filter(|document| {
                let (version, name) = kind(document);
                psa::is_configuration(version, name)
            });
            found.extend(
                configurations.map(|document| Configuration { origin: named(path), document: Cow::Owned(document) }),
            );
        }
        _ => {}
    }
}

/// The file that a document names as the configuration.
pub(super) fn file_of(document: &Value) -> Option<&str> {
    file_in(document, 0)
}

fn file_in(value: &Value, depth: usize) -> Option<&str> {
    let known = |name: &str| FILES.contains(&name.trim_start_matches("--"));
    match value {
        _ if depth > DEEPEST => None,
        Value::Object(members) => {
            // kubeadm's extraArgs were a map before v1beta4, and are a list of names and values since.
            let named = members.get("name").and_then(Value::as_str).is_some_and(known);
            let of_name = || members.get("value").filter(|_| named).and_then(Value::as_str);
            let of_key = || members.iter().find(|(key, _)| known(key)).and_then(|(_, file)| file.as_str());
            of_key().or_else(of_name).or_else(|| members.values().find_map(|member| file_in(member, depth + 1)))
        }
        Value::Array(elements) => elements.iter().find_map(|element| file_in(element, depth + 1)),
        // An argument of the API server, as RKE2's configuration and manifests of pods have them.
        Value::String(argument) => argument.split_once('=').filter(|(name, _)| known(name)).map(|(_, file)| file),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_where_they_are_named() {
        for (document, expected) in [
            (json!({"apiServer": {"extraArgs": {"admission-control-config-file": "/a.yaml"}}}), Some("/a.yaml")),
            (
                json!({"apiServer": {"extraArgs": [{"name": "admission-control-config-file", "value": "/b"}]}}),
                Some("/b"),
            ),
            (json!({"kube-apiserver-arg": ["admission-control-config-file=/c"]}), Some("/c")),
            (json!({"spec": {"containers": [{"command": ["--admission-control-config-file=/d"]}]}}), Some("/d")),
            (json!({"pod-security-admission-config-file": "/e"}), Some("/e")),
            (json!({"spec": {"name": "a", "value": "b"}}), None),
        ] {
            assert_eq!(file_of(&document), expected, "{document}");
        }
    }
}
