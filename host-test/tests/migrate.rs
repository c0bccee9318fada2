//! What `podfence migrate` writes, put to the built modules: it refuses what the source refused, and lets
//! through what that let through, unless a warning says why not.
//!
//! A directory of `tests/migrate/cases` is a case. `input.yaml` is the source; `policies.yaml` and `warnings.txt`
//! are what the command prints for it, and `BLESS=1` writes them. `pods.yaml` lists what the source decided:
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

#[path = "migrate/fence.rs"]
mod fence;
#[path = "migrate/psp.rs"]
mod psp;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use fence::{Fence, pod_of};
use host_test::input;
use host_test::migrate::{Options, REGISTRY, kubewarden, migrate};
use podfence_core::testing::generate::{self, is_current};
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
    input::parse(read(&case.join("input.yaml")).as_bytes()).unwrap()
}

fn options() -> Options {
    Options { registry: REGISTRY.to_owned(), workloads: false }
}

#[test]
fn the_command_prints_what_is_expected() {
    for case in cases() {
        let output = Command::new(env!("CARGO_BIN_EXE_podfence"))
            .args(["migrate", "input.yaml"])
            .current_dir(&case)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}: {output:?}", case.display());
        for (name, text) in [("policies.yaml", output.stdout), ("warnings.txt", output.stderr)] {
            is_current(&case.join(name), &String::from_utf8(text).unwrap()).unwrap();
        }
    }
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

/// Runs the command on a text, and demands that it prints no policy.
fn refused(text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("input.yaml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_podfence"));
    let output = command.args(["migrate", "input.yaml"]).current_dir(&directory).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{text}\n{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn psp(spec: &str) -> String {
    format!("{{apiVersion: policy/v1beta1, kind: PodSecurityPolicy, metadata: {{name: a}}, spec: {spec}}}")
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_path() {
    for (text, expected) in [
        ("", "input.yaml: is empty"),
        ("a: [\n", "input.yaml: is not YAML: "),
        (&psp("1"), "PodSecurityPolicy/a: spec: invalid type: integer `1`, expected a PodSecurityPolicySpec"),
        (
            &psp("{privileged: 'no'}"),
            "PodSecurityPolicy/a: spec.privileged: invalid type: string \"no\", expected a boolean",
        ),
        (
            &psp("{hostPorts: [{min: 1, max: 2}, {min: x}]}"),
            "PodSecurityPolicy/a: spec.hostPorts[1].min: invalid type: string \"x\", expected i64",
        ),
        (&psp("{hostPorts: [{min: 2, max: 1}]}"), "PodSecurityPolicy/a: spec.hostPorts[0]: expected 0 <= min <= max"),
        (
            &psp("{defaultAddCapabilities: [CAP_NET_RAW], requiredDropCapabilities: [NET_RAW]}"),
            "PodSecurityPolicy/a: spec.defaultAddCapabilities: CAP_NET_RAW is in requiredDropCapabilities as well",
        ),
        (
            &psp("{runAsUser: {rule: MustRunAs}}"),
            "PodSecurityPolicy/a: spec.runAsUser.ranges: expected at least one range with the rule MustRunAs",
        ),
        (
            &psp("{fsGroup: {rule: MustRunAsNonRoot}}"),
            "PodSecurityPolicy/a: spec.fsGroup.rule: expected one of MustRunAs, MayRunAs, RunAsAny, found \"MustRunAsNonRoot\"",
        ),
        (
            "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, defaults: {enforce: high}}",
            "PodSecurityConfiguration: defaults.enforce: expected privileged, baseline or restricted, found \"high\"",
        ),
        (
            "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{name: PodSecurity, path: a}]}",
            "AdmissionConfiguration: plugins[0].configuration: expected the configuration itself; migrate the file at `path`",
        ),
        (
            "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {a: 1}}}",
            "Namespace/a: metadata.labels[\"a\"]: expected a string, found 1",
        ),
        (
            "{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: K8sPSPCapabilities, spec: {match: {kinds: [Pod]}}}",
            "K8sPSPCapabilities: spec.match.kinds[0]: invalid type: string \"Pod\", expected apiGroups and kinds",
        ),
        (
            "{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: K8sPSPFSGroup, spec: {parameters: {rule: MustRunAs}}}",
            "K8sPSPFSGroup: spec.parameters.ranges: expected at least one range with the rule MustRunAs",
        ),
        (
            "{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: K8sPSPAllowedUsers, spec: {parameters: {runAsGroup: \
             {rule: MayRunAs, ranges: []}}}}",
            "K8sPSPAllowedUsers: spec.parameters.runAsGroup.ranges: expected at least one range with the rule MayRunAs",
        ),
        (
            "{apiVersion: policies.kubewarden.io/v1, kind: ClusterAdmissionPolicy, spec: {}}",
            "ClusterAdmissionPolicy: spec.module: expected the URL of a module",
        ),
        (
            "{apiVersion: policies.kubewarden.io/v1, kind: ClusterAdmissionPolicy, spec: {module: volumes-psp}}",
            "ClusterAdmissionPolicy: spec.rules: expected a list",
        ),
        (
            &psp("{seLinux: {rule: MayRunAs}}"),
            "PodSecurityPolicy/a: spec.seLinux.rule: unknown variant `MayRunAs`, expected `MustRunAs` or `RunAsAny`",
        ),
        ("{apiVersion: policy/v1beta1, kind: PodSecurityPolicy}", "PodSecurityPolicy: missing field `spec`"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(&format!("error: {expected}")), "{text}\n{error}");
    }
}

#[test]
fn what_is_nothing_to_migrate_is_named() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: web}}";
    for (text, expected) in [
        (pod, "Pod/web: kind \"Pod\" of \"v1\" is nothing that can be migrated"),
        (
            "{apiVersion: v1, kind: Namespace, metadata: {name: a}}",
            "Namespace/a: metadata.labels: no label of Pod Security; what counts is the API server's default",
        ),
        (
            "{apiVersion: policies.kubewarden.io/v1, kind: ClusterAdmissionPolicy, spec: {module: a/b:v1}}",
            "ClusterAdmissionPolicy: spec.module: \"a/b:v1\" is no official policy that Podfence takes the place of; it is \
             left out",
        ),
        ("just text", "document 1: what has no apiVersion and kind is nothing that can be migrated"),
        (
            "{apiVersion: policy/v1, kind: PodSecurityPolicy}",
            "PodSecurityPolicy: kind \"PodSecurityPolicy\" of \"policy/v1\" is nothing that can be migrated",
        ),
    ] {
        assert_eq!(refused(text), format!("warning: {expected}\nerror: nothing to migrate\n"));
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
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let entries = fs::read_dir(policies).unwrap().map(|entry| entry.unwrap().path());
    let mut told = BTreeSet::new();
    for dir in entries.filter(|dir| dir.join("fixtures.yaml").exists()) {
        let [_, _, _, kubewarden, _] = generate::replaces(&dir).unwrap();
        let policy = dir.file_name().unwrap().to_string_lossy().into_owned();
        told.extend(generate::names(&kubewarden).iter().map(|module| ((*module).to_owned(), policy.clone())));
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
    let text = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/privileged/metadata.yml"));
    let metadata: Value = serde_saphyr::from_str(&text).unwrap();
    let url = &metadata["annotations"]["io.kubewarden.policy.ociUrl"];
    assert_eq!(*url, json!(format!("{REGISTRY}/privileged")));
    let source = json!({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "spec": {}});
    let migration = migrate(&[source], &Options { workloads: true, ..options() }).unwrap();
    let policy = &migration.policies[0];
    assert_eq!(
        policy["spec"]["module"],
        json!(format!("registry://{REGISTRY}/privileged:v{}", env!("CARGO_PKG_VERSION")))
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

#[test]
fn modules_check_the_settings_if_they_are_there() {
    let directory = tempfile::tempdir().unwrap();
    let constraint = |allowed: &str| {
        format!(
            "{{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: K8sPSPCapabilities, metadata: {{name: a}}, spec: \
             {{parameters: {{allowedCapabilities: {allowed}}}}}}}"
        )
    };
    fs::write(directory.path().join("right.yaml"), constraint("[CHOWN]")).unwrap();
    fs::write(directory.path().join("wrong.yaml"), constraint("CHOWN")).unwrap();
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/policies");
    let run = |file: &str, modules: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podfence"));
        let output =
            command.args(["migrate", file, "--modules"]).arg(modules).current_dir(&directory).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), output.stdout.is_empty(), error.lines().last().unwrap_or_default().to_owned())
    };
    assert_eq!(run("right.yaml", &modules).0, Some(0));
    let error = "error: settings of podfence-a-capabilities: allowedCapabilities: expected a list, found a string";
    assert_eq!(run("wrong.yaml", &modules), (Some(2), true, error.to_owned()));
    let (code, is_empty, error) = run("right.yaml", directory.path());
    assert_eq!((code, is_empty), (Some(2), true));
    assert!(error.contains("capabilities.wasm: "), "{error}");
}
