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
//! | `user`, `groups` | optional: who creates it |
#![forbid(unsafe_code)]

mod common;
#[path = "migrate/fence.rs"]
mod fence;
#[path = "migrate/gatekeeper.rs"]
mod gatekeeper;
#[path = "migrate/generated.rs"]
mod generated;
#[path = "migrate/psp.rs"]
mod psp;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fence::{Fence, User, pod_of};
use kubewarden_policy_sdk::crd::policies::{
    AdmissionPolicy, AdmissionPolicyGroup, ClusterAdmissionPolicy, ClusterAdmissionPolicyGroup,
};
use podfence_cluster::migrate::{Effect, Options, Warning, kubewarden, migrate};
use podfence_cluster::policy::policy_of;
use podfence_cluster::published::{self, registry};
use podfence_docs::Replaces;
use podfence_fixtures::discover;
use podfence_host::Mode;
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
    #[serde(default)]
    user: String,
    #[serde(default)]
    groups: Vec<String>,
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
    Options { mode: Mode::Protect, ..Options::new("registry.example.com/podfence") }
}

#[test]
fn pods_get_the_verdict_that_they_had() {
    let mut wrong = Vec::new();
    for case in cases() {
        let sources = sources(&case);
        let migration = migrate(&sources, &options());
        let fence = Fence::new(&migration.policies, &sources);
        let pods: Vec<Pod> = serde_saphyr::from_str(&read(&case.join("pods.yaml"))).unwrap();
        assert!(pods.iter().any(|pod| pod.source == Verdict::Allowed), "{}", case.display());
        assert!(pods.iter().any(|pod| pod.source == Verdict::Refused), "{}", case.display());
        for pod in &pods {
            let user = User { name: pod.user.clone(), groups: pod.groups.clone() };
            let refusals = fence.refusals_of(&pod.object(), &user);
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
const STRICTER: [(&str, &[&str]); 4] = [
    ("capabilities", &["spec.allowedCapabilities"]),
    ("selinux", &["spec.seLinux.rule"]),
    ("users", &["spec.runAsUser.rule", "spec.runAsGroup.rule"]),
    ("volumes", &["spec.allowedCSIDrivers"]),
];

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
        let migration = migrate(&sources, &options());
        let fence = Fence::new(&migration.policies, &[]);
        for pod in pairs(&aspects) {
            let (is_allowed, refusals) = (psp::allows(source, &pod), fence.refusals(&pod));
            judged += 1;
            let is_warned = |paths: &[&str]| migration.warnings.iter().any(|warning| paths.contains(&&*warning.path));
            let is_explained = |refusal: &String| {
                let paths = stricter(refusal);
                is_warned(paths)
            };
            let is_laxer = || is_laxer(&migration.warnings, &pod);
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

/// Where there is a warning if the policy that refuses is stricter.
fn stricter(refusal: &str) -> &'static [&'static str] {
    let name = refusal.split(':').next().unwrap();
    let name = name.strip_suffix("-check").unwrap_or(name);
    STRICTER.iter().find(|(policy, _)| name.ends_with(policy)).map_or(&[], |(_, paths)| paths)
}

/// Whether a pod is one that a warning says is let in.
fn is_laxer(warnings: &[Warning], pod: &Value) -> bool {
    let sets = |field: &str| pod["spec"].to_string().contains(&format!("\"{field}\""));
    let mut weaker = warnings.iter().filter(|warning| warning.effect == Effect::Weaker);
    weaker.any(|warning| match warning.path.as_str() {
        "metadata.annotations[\"seccomp.security.alpha.kubernetes.io/allowedProfileNames\"]" => sets("seccompProfile"),
        "spec.allowedProcMountTypes" => !sets("procMount"),
        _ => false,
    })
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

/// Whether a document is one of the kinds that Kubewarden's controller reads.
fn is_of_kubewarden(document: &Value) -> Result<(), serde_json::Error> {
    let document = document.clone();
    match document["kind"].as_str() {
        Some("ClusterAdmissionPolicy") => serde_json::from_value::<ClusterAdmissionPolicy>(document).map(drop),
        Some("AdmissionPolicy") => serde_json::from_value::<AdmissionPolicy>(document).map(drop),
        Some("AdmissionPolicyGroup") => serde_json::from_value::<AdmissionPolicyGroup>(document).map(drop),
        _ => serde_json::from_value::<ClusterAdmissionPolicyGroup>(document).map(drop),
    }
}

fn resources(document: &Value) -> BTreeSet<&str> {
    resources_of(&document["spec"]["rules"])
}

fn resources_of(rules: &Value) -> BTreeSet<&str> {
    let rules = rules.as_array().unwrap().iter();
    rules.flat_map(|rule| rule["resources"].as_array().unwrap()).map(|of| of.as_str().unwrap()).collect()
}

/// What a cluster needs to enforce what is written, whatever the source.
#[test]
fn documents_are_complete() {
    let of_pods = resources_of(&published::find("privileged").unwrap().rules);
    for (case, workloads) in cases().iter().flat_map(|case| [(case, false), (case, true)]) {
        for mode in [Mode::Monitor, Mode::Protect] {
            let migration = migrate(&sources(case), &Options { workloads, mode, ..options() });
            let named = |name: &str| migration.policies.iter().find(|of| of["metadata"]["name"] == name);
            for document in &migration.policies {
                let name = document["metadata"]["name"].as_str().unwrap();
                let at = format!("{}: {name}", case.display());
                is_of_kubewarden(document).unwrap_or_else(|error| panic!("{at}: {error}"));
                let annotations = &document["metadata"]["annotations"];
                for annotation in
                    ["podfence.io/migrated-from", "io.kubewarden.policy.severity", "io.kubewarden.policy.category"]
                {
                    assert!(
                        annotations[annotation].as_str().is_some_and(|text| !text.is_empty()),
                        "{at}: {annotation}"
                    );
                }
                let spec = &document["spec"];
                assert!(mode == Mode::Protect || spec["mode"] == "monitor", "{at}");
                assert!(spec["mode"] == "protect" || spec["failurePolicy"] == "Ignore", "{at}");
                let twin = named(&format!("{name}-check"));
                assert_eq!(twin.is_some(), spec["mutating"] == true && spec["mode"] == "protect", "{at}");
                assert!(twin.is_none_or(|twin| twin["spec"]["mutating"] == false), "{at}");
                if !resources(document).iter().any(|of| of_pods.contains(*of)) {
                    continue;
                }
                // Where workloads are judged, so are the pods of the same namespaces.
                let judges_pods =
                    |of: &Value| ["pods", "pods/ephemeralcontainers"].iter().all(|pods| resources(of).contains(pods));
                let mut others = migration.policies.iter().filter(|of| {
                    let keys = |of: &Value| of["spec"]["namespaceSelector"]["matchExpressions"][0]["key"].clone();
                    policy_of(of) == policy_of(document) && keys(of) == keys(document)
                });
                assert!(others.any(judges_pods), "{at}");
            }
        }
    }
}

#[test]
fn conditions_read_the_service_account_of_each_workload() {
    let case = cases().into_iter().find(|case| case.ends_with("psp-rbac")).unwrap();
    let migration = migrate(&sources(&case), &Options { workloads: true, ..options() });
    let fence = Fence::new(&migration.policies, &[]);
    for (account, is_allowed) in [("node-exporter", true), ("default", false)] {
        let template = json!({"spec": {"serviceAccountName": account, "hostPID": true, "containers": [{"name": "a"}]}});
        for (version, kind, own) in [
            ("apps/v1", "Deployment", json!({"spec": {"template": template}})),
            ("batch/v1", "CronJob", json!({"spec": {"jobTemplate": {"spec": {"template": template}}}})),
            ("v1", "PodTemplate", json!({"template": template})),
            ("v1", "Pod", template.clone()),
        ] {
            let mut object =
                json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a", "namespace": "monitoring"}});
            json_patch::merge(&mut object, &own);
            assert_eq!(fence.refusals(&object).is_empty(), is_allowed, "{account} {kind}");
        }
    }
}

/// As many service accounts as a cluster has, each in a namespace of its own.
#[test]
fn many_service_accounts_are_one_list() {
    let migration = |count: usize| {
        let subjects: Vec<Value> = (0..count)
            .map(|index| json!({"kind": "ServiceAccount", "namespace": format!("n{index}"), "name": "agent"}))
            .collect();
        let sources = [
            json!({
                "apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": "a"},
                "spec": {"hostNetwork": true},
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "a"},
                "rules": [{
                    "apiGroups": ["policy"], "resources": ["podsecuritypolicies"], "verbs": ["use"],
                    "resourceNames": ["a"],
                }],
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "a"},
                "roleRef": {"kind": "ClusterRole", "name": "a"}, "subjects": subjects,
            }),
        ];
        migrate(&sources, &options())
    };
    let some = migration(300);
    let fence = Fence::new(&some.policies, &[]);
    for (namespace, account, is_refused) in [
        ("n0", json!("agent"), true),
        ("n299", json!("agent"), true),
        ("n300", json!("agent"), false),
        ("n0", json!("default"), false),
        ("n0", Value::Null, false),
    ] {
        let spec = json!({"serviceAccountName": account, "hostPID": true, "containers": [{"name": "app"}]});
        let mut pod = pod_of(&spec, Some(&json!({"namespace": namespace})));
        pod["spec"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
        assert_eq!(!fence.refusals(&pod).is_empty(), is_refused, "{namespace} {account}");
    }
    let many = migration(2000);
    assert!(many.policies.is_empty(), "{:?}", many.policies);
    let texts: Vec<String> =
        many.warnings.iter().filter(|of| of.effect == Effect::LeftOut).map(Warning::to_string).collect();
    let expected = "PodSecurityPolicy/a: so many users and service accounts could use PodSecurityPolicies that the condition \
                    for a has 101929 letters, more than the 20000 that are accepted, so no policy is written for their pods. \
                    Bind whole namespaces (the groups system:serviceaccounts:NAMESPACE) before you migrate";
    assert_eq!(texts, [expected]);
}

#[test]
fn names_are_names_of_objects_and_there_once() {
    let source = |name: &str| {
        json!({
            "apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "K8sPSPPrivilegedContainer",
            "metadata": {"name": name},
        })
    };
    let sources = [source("A:b/c"), source("a-b-c"), source("a.-b"), source(&"x".repeat(1000))];
    let migration = migrate(&sources, &options());
    let names: Vec<&str> =
        migration.policies.iter().map(|policy| policy["metadata"]["name"].as_str().unwrap()).collect();
    let long = format!("podfence-{}-privileged", "x".repeat(150));
    assert_eq!(names, ["podfence-a-b-c-privileged", "podfence-a-b-c-privileged-2", "podfence-a.b-privileged", &long]);
}

#[test]
fn many_sources_take_no_time() {
    let source = json!({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "spec": {}});
    let started = Instant::now();
    assert!(!migrate(&vec![source; 10_000], &options()).policies.is_empty());
    let namespace = |index: usize| {
        let level = if index.is_multiple_of(2) { "baseline" } else { "restricted" };
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": format!("n{index}"),
                "labels": {"pod-security.kubernetes.io/enforce": level},
            },
        })
    };
    let namespaces: Vec<Value> = (0..10_000).map(namespace).collect();
    assert_eq!(migrate(&namespaces, &options()).policies.len(), 4);
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
    let migration = migrate(&[source], &Options { workloads: true, ..options() });
    let policy = &migration.policies[0];
    assert_eq!(
        policy["spec"]["module"],
        json!(format!("registry://{}/privileged:v{}", options().registry, env!("CARGO_PKG_VERSION")))
    );
    let resources = |rules: &Value| -> BTreeSet<String> {
        let resources = rules.as_array().unwrap().iter().flat_map(|rule| rule["resources"].as_array().unwrap());
        resources.map(|resource| resource.as_str().unwrap().to_owned()).collect()
    };
    let [pods, workloads] = [0, 1].map(|index| resources(&migration.policies[index]["spec"]["rules"]));
    assert!(pods.is_disjoint(&workloads));
    assert_eq!(&pods | &workloads, resources(&metadata["rules"]));
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
            let migration = migrate(std::slice::from_ref(&source), &Options { workloads, ..options() });
            let fence = Fence::new(&migration.policies, std::slice::from_ref(&source));
            let refusals = fence.refusals(&deployment);
            assert_eq!(refusals.is_empty(), !workloads, "{source}: {refusals:?}");
        }
    }
}
