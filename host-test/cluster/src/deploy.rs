//! The documents that bring the policies into a cluster: `deploy/`, or the same for another registry.
//!
//! Each choice is a directory that `kubectl apply -k` takes, below `monitor`, where nothing is rejected, and below
//! `protect`, where the verdicts count. Kubewarden lets a policy go from the one mode to the other, and not back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use podfence_scan::custom_kinds::{self, CustomKind};
use serde_json::{Map, Value, json};

use crate::gatekeeper::object;
use crate::published::{self, Published};
use crate::standards::{Level, singles};

/// The policy that decides a level at once.
const WHOLE: &str = "pod-security-standards";

/// Namespaces that are not judged: what is there makes the cluster, and judges it.
const EXEMPT_NAMESPACES: [&str; 2] = ["kube-system", "kubewarden"];

/// What each file starts with.
const HEADER: &str =
    "# Generated from the policies' metadata.yml by `podfence deploy`; `make bless` refreshes deploy/.\n";

/// A ClusterAdmissionPolicy that changes nothing in a request unless its settings say so.
pub fn cluster_admission_policy(policy: &str, name: &str, module: &str, settings: Value, rules: Value) -> Value {
    json!({
        "apiVersion": "policies.kubewarden.io/v1",
        "kind": "ClusterAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "module": module,
            "mutating": published::is_mutating(policy, &settings),
            "settings": settings,
            "rules": rules,
        },
    })
}

/// The URL of a policy's module in this version. The registry is without a scheme: `registry.example.com/podfence`.
pub fn module_url(registry: &str, policy: &str) -> String {
    format!("registry://{registry}/{policy}:v{}", env!("CARGO_PKG_VERSION"))
}

/// All files, by their paths within the tree.
///
/// The registry is without a scheme; without one, it is the one in the metadata of the policies. The policies evaluate
/// objects of these custom kinds as well.
pub fn tree(registry: Option<&str>, kinds: &[&CustomKind]) -> BTreeMap<PathBuf, String> {
    let rules = |of: &Published| {
        let rules = of.rules.as_array().into_iter().flatten().cloned();
        Value::from_iter(rules.chain(kinds.iter().map(|kind| kind.rule())))
    };
    let with_kinds = |mut settings: Map<String, Value>| {
        custom_kinds::add_to_settings(kinds, &mut settings);
        Value::Object(settings)
    };
    let module = |of: &Published| module_url(registry.unwrap_or(&of.registry), of.policy);
    let get =
        |policy: &str| published::find(policy).unwrap_or_else(|| panic!("no policy {policy}, which a level needs"));
    let mut files = BTreeMap::new();
    let single = published::all().iter().filter(|of| of.policy != WHOLE).map(|of| {
        let name = format!("podfence-{}", of.policy);
        let document = cluster_admission_policy(of.policy, &name, &module(of), with_kinds(Map::new()), rules(of));
        (of.policy.to_owned(), document)
    });
    choice(&mut files, "policies", single);
    let whole = get(WHOLE);
    for level in Level::ALL {
        let level_name = level.name();
        let settings = with_kinds(object([("level", json!(level_name))]));
        let name = format!("podfence-{level_name}");
        let policy = cluster_admission_policy(WHOLE, &name, &module(whole), settings, rules(whole));
        choice(&mut files, level_name, [(WHOLE.to_owned(), policy)]);
        let mut members = Map::new();
        for single in singles(level) {
            let member = json!({"module": module(get(single.policy)), "settings": with_kinds(single.settings.clone())});
            members.insert(single.policy.replace('-', "_"), member);
        }
        let directory = format!("{level_name}-group");
        choice(&mut files, &directory, [("group".to_owned(), group(level, members, &rules(whole)))]);
    }
    files
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
