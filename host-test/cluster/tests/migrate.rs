//! What `podfence migrate` writes, put to the built modules: it refuses what the source refused, and lets
//! through what that let through, unless a warning says why not.
//!
//! A directory of `tests/migrate/cases` is a case. `input.yaml` is the source; `policies.yaml` and `warnings.txt`
//! are what the command prints for it, which is tested where the command is. `pods.yaml` lists what the source decided:
//!
//! | Key | Meaning |
//! |---|---|
//! | `name` | a fact, unique in the file |
//! | `pod` | the spec of a pod |
//! | `metadata` | optional: its metadata |
//! | `object` | in place of `pod`: a whole object |
//! | `source` | `allowed` or `refused` |
//! | `differs` | optional: the policies decide the other way, and there is a warning with this path |
#![forbid(unsafe_code)]

mod common;
#[path = "migrate/fence.rs"]
mod fence;
#[path = "migrate/psp.rs"]
mod psp;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fence::{Fence, pod_of};
use podfence_cluster::migrate::{Options, kubewarden, migrate};
use podfence_cluster::published::registry;
use podfence_docs::Replaces;
use podfence_fixtures::discover;
use podfence_scan::read;
use podfence_support::policies;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pod {
    name: String,
    pod: Option<Value>,
    metadata: Option<Value>,
    object: Option<Value>,
    source: Verdict,
    differs: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Allowed,
    Refused,
}

impl Pod {
    fn object(&self) -> Value {
        match (&self.pod, &self.object) {
            (Some(spec), None) => pod_of(spec, self.metadata.as_ref()),
            (None, Some(object)) if self.metadata.is_none() => object.clone(),
            _ => panic!("{}: expected either pod or object", self.name),
        }
    }
}

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn sources(case: &Path) -> Vec<Value> {
    read::parse(read(&case.join("input.yaml")).as_bytes()).unwrap()
}

fn options() -> Options {
    Options { registry: "registry.example.com/podfence".to_owned(), workloads: false }
}

#[test]
fn pods_get_the_verdict_that_they_had() {
    let mut wrong = Vec::new();
    for case in cases() {
        let sources = sources(&case);
        let migration = migrate(&sources, &options()).unwrap();
        let fence = Fence::new(&migration.policies, &sources);
        let pods: Vec<Pod> = serde_saphyr::from_str(&read(&case.join("pods.yaml"))).unwrap();
        assert!(pods.iter().any(|pod| pod.source == Verdict::Allowed), "{}", case.display());
        assert!(pods.iter().any(|pod| pod.source == Verdict::Refused), "{}", case.display());
        for pod in &pods {
            let refusals = fence.refusals(&pod.object());
            let verdict = if refusals.is_empty() { Verdict::Allowed } else { Verdict::Refused };
            let is_warned = |path: &String| migration.warnings.iter().any(|warning| warning.path == *path);
            let is_expected = match &pod.differs {
                None => verdict == pod.source,
                Some(path) => verdict != pod.source && is_warned(path),
            };
            if !is_expected {
                wrong.push(format!("{}: {}: {:?} there, here {refusals:#?}", case.display(), pod.name, pod.source));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const ASPECTS: &str = include_str!("migrate/aspects.yaml");

/// Where a policy is stricter than PodSecurityPolicy, one of these paths has a warning.
const STRICTER: [(&str, &[&str]); 6] = [
    ("apparmor", &["metadata.annotations[\"apparmor.security.beta.kubernetes.io/defaultProfileName\"]"]),
    ("capabilities", &["spec.allowedCapabilities"]),
    ("seccomp", &["metadata.annotations[\"seccomp.security.alpha.kubernetes.io/allowedProfileNames\"]"]),
    ("selinux", &["spec.seLinux.rule"]),
    ("users", &["spec.runAsUser.rule", "spec.runAsGroup.rule"]),
    ("volumes", &["spec.allowedCSIDrivers"]),
];

/// Where they are laxer, there is one of these warnings.
const LAXER: [&str; 2] =
    ["PodSecurityPolicy demanded a profile of the pod itself", "a container that sets no procMount was rejected"];

#[test]
fn pod_security_policies_and_their_policies_agree_on_pods_of_every_kind() {
    let aspects: Vec<Vec<Aspect>> = serde_saphyr::from_str(ASPECTS).unwrap();
    let (mut judged, mut wrong) = (0, Vec::new());
    for case in cases() {
        let sources = sources(&case);
        let [source] = sources.as_slice() else { continue };
        if source["kind"] != "PodSecurityPolicy" {
            continue;
        }
        let migration = migrate(&sources, &options()).unwrap();
        let fence = Fence::new(&migration.policies, &[]);
        for pod in pairs(&aspects) {
            let (is_allowed, refusals) = (psp::allows(source, &pod), fence.refusals(&pod));
            judged += 1;
            let is_warned = |paths: &[&str]| migration.warnings.iter().any(|warning| paths.contains(&&*warning.path));
            let is_explained = |refusal: &String| {
                let name = refusal.split(':').next().unwrap();
                STRICTER.iter().any(|(policy, paths)| name.ends_with(policy) && is_warned(paths))
            };
            let is_laxer =
                || migration.warnings.iter().any(|warning| LAXER.iter().any(|text| warning.text.starts_with(text)));
            let is_right =
                if is_allowed { refusals.iter().all(is_explained) } else { !refusals.is_empty() || is_laxer() };
            if !is_right {
                wrong.push(format!("{}: allowed: {is_allowed}, {refusals:?}: {pod}", case.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {judged} pods:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(judged > 10_000, "{judged} pods");
}

/// Pods with two aspects each, every value of the one with every value of the other.
fn pairs(aspects: &[Vec<Aspect>]) -> Vec<Value> {
    let mut pods = Vec::new();
    for (index, first) in aspects.iter().enumerate() {
        for second in &aspects[index + 1..] {
            for (one, other) in first.iter().flat_map(|one| second.iter().map(move |other| (one, other))) {
                let mut spec = json!({"containers": [{"name": "app", "image": "nginx"}]});
                one.apply(&mut spec);
                other.apply(&mut spec);
                pods.push(pod_of(&spec, None));
            }
        }
    }
    // Those with one aspect come with every other one that says nothing.
    pods.sort_by_cached_key(Value::to_string);
    pods.dedup();
    pods
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Aspect {
    pod: Option<Value>,
    container: Option<Value>,
    init: Option<Value>,
    debug: Option<Value>,
}

impl Aspect {
    fn apply(&self, spec: &mut Value) {
        let lists =
            [("containers", &self.container), ("initContainers", &self.init), ("ephemeralContainers", &self.debug)];
        for (list, patch) in lists {
            if let Some(patch) = patch {
                if spec[list].is_null() {
                    spec[list] = json!([{"name": "besides", "image": "nginx"}]);
                }
                json_patch::merge(&mut spec[list][0], patch);
            }
        }
        json_patch::merge(spec, self.pod.as_ref().unwrap_or(&json!({})));
    }
}

#[test]
fn names_are_names_of_objects_and_there_once() {
    let source = |name: &str| json!({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": name}, "spec": {}});
    let sources = [source("A:b/c"), source("a-b-c"), source(&"x".repeat(1000))];
    let migration = migrate(&sources, &options()).unwrap();
    let mut names: Vec<&str> =
        migration.policies.iter().map(|policy| policy["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names[..2], ["podfence-a-b-c-privileged", "podfence-a-b-c-capabilities"]);
    assert!(names.contains(&"podfence-a-b-c-privileged-2"));
    assert!(names.iter().all(|name| name.len() <= 253), "{names:?}");
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn many_sources_take_no_time() {
    let source = json!({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "spec": {}});
    let started = Instant::now();
    assert_eq!(migrate(&vec![source; 10_000], &options()).unwrap().sources, 10_000);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

/// What the docs of the policies say of Kubewarden's is what is made of those. One has no settings in common.
#[test]
fn the_official_policies_are_those_that_the_docs_name() {
    let mut told = BTreeSet::new();
    for policy in discover(&policies()).unwrap() {
        let replaces = Replaces::load(&policies().join(&policy)).unwrap();
        told.extend(
            Replaces::names(replaces.kubewarden.as_ref()).iter().map(|module| (module.clone(), policy.clone())),
        );
    }
    let mut known: BTreeSet<_> =
        kubewarden::names().map(|(module, policy)| (module.to_owned(), policy.to_owned())).collect();
    known.insert(("pod-runtime".to_owned(), "runtime-class".to_owned()));
    known.insert(("host-namespaces-psp".to_owned(), "host-ports".to_owned()));
    assert_eq!(told, known);
}

/// The metadata is generated from what is stated once.
#[test]
fn the_registry_and_the_rules_are_those_of_the_metadata() {
    let text = read(&policies().join("privileged/metadata.yml"));
    let metadata: Value = serde_saphyr::from_str(&text).unwrap();
    let url = &metadata["annotations"]["io.kubewarden.policy.ociUrl"];
    assert_eq!(*url, json!(format!("{}/privileged", registry())));
    let source = json!({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "spec": {}});
    let migration = migrate(&[source], &Options { workloads: true, ..options() }).unwrap();
    let policy = &migration.policies[0];
    assert_eq!(
        policy["spec"]["module"],
        json!(format!("registry://{}/privileged:v{}", options().registry, env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(policy["spec"]["rules"], metadata["rules"]);
}

#[test]
fn workloads_are_judged_if_that_is_asked_for() {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "securityContext": {"privileged": true}}]}}},
    });
    for source in [
        json!({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "spec": {}}),
        json!({"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "K8sPSPPrivilegedContainer"}),
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "default", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}},
        }),
    ] {
        for workloads in [false, true] {
            let migration = migrate(std::slice::from_ref(&source), &Options { workloads, ..options() }).unwrap();
            let refusals = Fence::new(&migration.policies, &[]).refusals(&deployment);
            assert_eq!(refusals.is_empty(), !workloads, "{source}: {refusals:?}");
        }
    }
}
