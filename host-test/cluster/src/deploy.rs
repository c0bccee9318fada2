//! The documents that bring the policies into a cluster: `deploy/`, or the same for another registry.
//!
//! Each choice is a directory that `kubectl apply -k` takes, below `monitor`, where nothing is rejected, and below
//! `protect`, where the verdicts count. Kubewarden lets a policy go from the one mode to the other, and not back.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use podfence_fixtures::discover;
use podfence_scan::read::{self, InputError, LARGEST_DOCUMENT};
use serde_json::{Map, Value, json};

use crate::gatekeeper::object;
use crate::standards::{Level, singles};

/// The policy that decides a level at once.
const WHOLE: &str = "pod-security-standards";

/// Namespaces that are not judged: what is there makes the cluster, and judges it.
const EXEMPT_NAMESPACES: [&str; 2] = ["kube-system", "kubewarden"];

/// What each file starts with.
const HEADER: &str =
    "# Generated from the policies' metadata.yml by `podfence deploy`; `make bless` refreshes deploy/.\n";

/// Why there are no documents.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A directory of policies cannot be listed.
    #[error("{}: {error}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The metadata of a policy cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: InputError,
    },
    /// The metadata of a policy is not as it should be.
    #[error("{}: {field}: expected {expected}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The field in it.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The policies do not make a level.
    #[error("{}: no policy {policy:?}, which a level needs", path.display())]
    Missing {
        /// The directory of the policies.
        path: PathBuf,
        /// Which one is not there.
        policy: &'static str,
    },
}

/// What a document takes from the metadata of a policy.
struct Published {
    /// The URL of the module.
    module: String,
    rules: Value,
}

/// A ClusterAdmissionPolicy that changes nothing in a request unless its settings say so.
pub fn cluster_admission_policy(name: &str, module: &str, settings: Value, rules: Value) -> Value {
    json!({
        "apiVersion": "policies.kubewarden.io/v1",
        "kind": "ClusterAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "module": module,
            "mutating": is_mutating(&settings),
            "settings": settings,
            "rules": rules,
        },
    })
}

/// Whether settings ask a policy to change objects.
pub fn is_mutating(settings: &Value) -> bool {
    settings["mutate"] == true
        || ["defaultProfile", "defaultRuntimeClass"].iter().any(|name| settings[name].is_string())
}

/// The URL of a policy's module in this version. The registry is without a scheme: `registry.example.com/podfence`.
pub fn module_url(registry: &str, policy: &str) -> String {
    format!("registry://{registry}/{policy}:v{}", env!("CARGO_PKG_VERSION"))
}

/// All files, by their paths within the tree.
///
/// The registry is without a scheme; without one, it is the one in the metadata of the policies.
///
/// # Errors
/// The metadata of the policies, each of them a directory with `fixtures.yaml`, cannot be read.
pub fn tree(policies: &Path, registry: Option<&str>) -> Result<BTreeMap<PathBuf, String>, DeployError> {
    let published = published(policies, registry)?;
    let get = |policy: &'static str| {
        let missing = || DeployError::Missing { path: policies.to_owned(), policy };
        published.get(policy).ok_or_else(missing)
    };
    let mut files = BTreeMap::new();
    let single = published.iter().filter(|(policy, _)| *policy != WHOLE).map(|(policy, published)| {
        let name = format!("podfence-{policy}");
        (policy.clone(), cluster_admission_policy(&name, &published.module, json!({}), published.rules.clone()))
    });
    choice(&mut files, "policies", single);
    let whole = get(WHOLE)?;
    for level in Level::ALL {
        let level_name = level.name();
        let settings = json!({"level": level_name});
        let name = format!("podfence-{level_name}");
        let policy = cluster_admission_policy(&name, &whole.module, settings, whole.rules.clone());
        choice(&mut files, level_name, [(WHOLE.to_owned(), policy)]);
        let mut members = Map::new();
        for single in singles(level) {
            let member = json!({"module": get(single.policy)?.module, "settings": single.settings});
            members.insert(single.policy.replace('-', "_"), member);
        }
        let directory = format!("{level_name}-group");
        choice(&mut files, &directory, [("group".to_owned(), group(level, members, &whole.rules))]);
    }
    Ok(files)
}

/// The group of single policies that decides as a level.
fn group(level: Level, members: Map<String, Value>, rules: &Value) -> Value {
    let calls: Vec<String> = members.keys().map(|name| format!("{name}()")).collect();
    json!({
        "apiVersion": "policies.kubewarden.io/v1",
        "kind": "ClusterAdmissionPolicyGroup",
        "metadata": {"name": format!("podfence-{}-group", level.name())},
        "spec": {
            "expression": calls.join(" && "),
            "message": format!("violates the {} level of the Pod Security Standards", level.name()),
            "policies": members,
            "rules": rules,
        },
    })
}

/// Adds what is applied as one: documents that start in monitor mode, and the switch to protect.
fn choice(
    files: &mut BTreeMap<PathBuf, String>,
    directory: &str,
    documents: impl IntoIterator<Item = (String, Value)>,
) {
    let monitor = Path::new("monitor").join(directory);
    let mut resources = Vec::new();
    for (name, mut document) in documents {
        // A person looks for the mode first.
        let mut spec = object([("mode", json!("monitor"))]);
        spec.extend(document["spec"].as_object().cloned().unwrap_or_default());
        spec.extend(object([
            ("namespaceSelector", json!({"matchExpressions": [not_in_exempt_namespaces()]})),
            ("backgroundAudit", json!(true)),
        ]));
        document["spec"] = Value::Object(spec);
        let file = format!("{name}.yaml");
        files.insert(monitor.join(&file), yaml(&document));
        resources.push(file);
    }
    files.insert(monitor.join(KUSTOMIZATION), yaml(&kustomization(&resources)));
    let mut protect = kustomization(&[format!("../../monitor/{directory}")]);
    protect["patches"] = json!([{
        "target": {"group": "policies.kubewarden.io"},
        "patch": "- op: replace\n  path: /spec/mode\n  value: protect\n",
    }]);
    files.insert(Path::new("protect").join(directory).join(KUSTOMIZATION), yaml(&protect));
}

fn not_in_exempt_namespaces() -> Value {
    json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": EXEMPT_NAMESPACES})
}

const KUSTOMIZATION: &str = "kustomization.yaml";

fn kustomization(resources: &[String]) -> Value {
    json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources})
}

fn yaml(document: &Value) -> String {
    HEADER.to_owned() + &serde_saphyr::to_string(document).expect("JSON values serialise")
}

fn published(policies: &Path, registry: Option<&str>) -> Result<BTreeMap<String, Published>, DeployError> {
    let at = |error| DeployError::List { path: policies.to_owned(), error };
    let mut published = BTreeMap::new();
    for policy in discover(policies).map_err(at)? {
        let of = read_metadata(&policies.join(&policy).join("metadata.yml"), &policy, registry)?;
        published.insert(policy, of);
    }
    Ok(published)
}

fn read_metadata(path: &Path, policy: &str, registry: Option<&str>) -> Result<Published, DeployError> {
    let documents = read::file(path, LARGEST_DOCUMENT).and_then(|bytes| read::parse(&bytes));
    let mut documents = documents.map_err(|error| DeployError::Read { path: path.to_owned(), error })?;
    let metadata = documents.pop().unwrap_or_default();
    let wrong = |field, expected| DeployError::Metadata { path: path.to_owned(), field, expected };
    let rules = metadata["rules"].clone();
    if !rules.is_array() {
        return Err(wrong("rules", "a list"));
    }
    let annotation = &metadata["annotations"]["io.kubewarden.policy.ociUrl"];
    let url = annotation.as_str().and_then(|url| url.strip_suffix(policy)?.strip_suffix('/'));
    let home = url.ok_or_else(|| wrong("annotations[\"io.kubewarden.policy.ociUrl\"]", "REGISTRY/POLICY"))?;
    Ok(Published { module: module_url(registry.unwrap_or(home), policy), rules })
}
