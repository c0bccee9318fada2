//! What `podfence deploy` and `podfence migrate` write, set up for the whole cluster as Kubewarden's controller does, and
//! pods that meet it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use podfence_cluster::deploy::{self, Options, Settings};
use podfence_cluster::migrate::{self, migrate};
use podfence_cluster::policy;
use podfence_host::Mode;
use podfence_scan::read;
use serde_json::{Value, json};

use crate::client::Reply;
use crate::configuration::{Installed, install_unchecked};
use crate::histories::World;
use crate::samples::{good, kind};
use crate::wait::{Late, until};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What is not right.
    pub problems: Vec<String>,
    /// How many objects met policies, and how many directories kubectl read.
    pub checks: usize,
}

/// The namespaces, each with labels.
const NAMESPACES: [(&str, &[(&str, &str)]); 6] = [
    ("deployed-plain", &[]),
    ("deployed-team-a", &[("team", "a")]),
    ("deployed-excluded", &[]),
    // Labels that the built-in admission does not reject by.
    ("deployed-audited", &[("pod-security.kubernetes.io/audit", "restricted")]),
    ("deployed-baseline", &[("pod-security.kubernetes.io/audit", "baseline")]),
    ("kube-system", &[]),
];

/// Documents, and what becomes of objects under them.
struct Case {
    name: &'static str,
    documents: Vec<Value>,
    /// Documents whose policy-server does not answer.
    down: Vec<Value>,
    meets: Vec<Meeting>,
}

/// An object, where it is created, and what becomes of it.
struct Meeting {
    namespace: &'static str,
    kind: &'static str,
    /// With `-` at its end, the API server completes it.
    name: &'static str,
    pod: Value,
    expected: Expected,
}

/// What becomes of an object.
enum Expected {
    /// Let in, and some policy was asked.
    Allowed,
    /// Let in, and some policy warned.
    Warned,
    /// Let in, and no policy was asked.
    Unseen,
    /// Let in with this at a path of it.
    Changed(&'static str, Value),
    /// Rejected by a policy.
    Denied,
    /// Refused because the server does not answer.
    Down,
}

const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1";

/// Checks everything; kubectl reads the directories.
pub fn check(world: &World<'_>, kubectl: impl Fn() -> Command) -> Found {
    let mut found = Found::default();
    kustomize(&mut found, kubectl);
    if let Err(late) = prepare(world) {
        found.problems.push(format!("deployed: {}", late.0));
        return found;
    }
    for case in cases() {
        if let Err(late) = meet(world, &case, &mut found) {
            found.problems.push(format!("deployed {}: {}", case.name, late.0));
        }
    }
    found
}

/// Compares what kubectl makes of the directories with the documents that are checked here.
fn kustomize(found: &mut Found, kubectl: impl Fn() -> Command) {
    let root = podfence_support::root().join("target/control-plane/deploy");
    for (name, options) in [("defaults", Options::default()), ("configured", configured())] {
        let root = root.join(name);
        let _ = fs::remove_dir_all(&root);
        for (path, text) in deploy::tree(&options) {
            let path = root.join(path);
            let written = fs::create_dir_all(path.parent().unwrap_or(&path)).and_then(|()| fs::write(&path, text));
            written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        for choice in ["policies", "guards", "baseline", "restricted", "baseline-group", "restricted-group"] {
            for mode in [Mode::Monitor, Mode::Protect] {
                let directory = format!("{}/{choice}", policy::mode_name(mode));
                let output = kubectl().arg("kustomize").arg(root.join(&directory)).output().expect("kubectl runs");
                let printed = read::parse(&output.stdout).unwrap_or_default();
                if by_name(&printed) != by_name(&deploy::documents(&options, choice, mode)) {
                    let error = String::from_utf8_lossy(&output.stderr);
                    found
                        .problems
                        .push(format!("kubectl kustomize {directory} of {name} is not what was meant: {error}"));
                }
                found.checks += 1;
            }
        }
    }
}

fn by_name(documents: &[Value]) -> BTreeMap<&str, &Value> {
    documents.iter().map(|of| (of["metadata"]["name"].as_str().unwrap_or_default(), of)).collect()
}

fn prepare(world: &World<'_>) -> Result<(), Late> {
    for (name, labels) in NAMESPACES {
        let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
        world.client.create("/api/v1/namespaces", &json!({"metadata": {"name": name, "labels": labels}}));
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        until(|| format!("{name}: its service account"), || world.client.get(&account).is_done().then_some(()))?;
    }
    Ok(())
}

/// Options that change every document.
fn configured() -> Options {
    let settings = json!({
        "capabilities": {"mutate": true},
        "runtime-class": {"allowedRuntimeClasses": ["gvisor"]},
    });
    Options {
        exempt_namespaces: vec!["deployed-excluded".to_owned()],
        warnings: true,
        kubernetes: Some("1.34".parse().expect("a version")),
        settings: Settings::read(settings.as_object().cloned().unwrap_or_default()).expect("settings"),
        ..Options::default()
    }
}

/// A pod that every policy of pods rejects that is set up here.
fn bad() -> Value {
    json!({"metadata": {}, "spec": {"hostNetwork": true, "containers": [
        {"name": "app", "image": "nginx", "securityContext": {"privileged": true}},
    ]}})
}

/// A pod that drops no capabilities.
fn undropped() -> Value {
    let mut pod = good();
    pod["spec"]["containers"][0]["securityContext"].as_object_mut().map(|of| of.remove("capabilities"));
    pod
}

fn cases() -> Vec<Case> {
    use Expected::{Allowed, Changed, Denied, Down, Unseen, Warned};
    let pod = |namespace, pod, expected| Meeting { namespace, kind: "Pod", name: "web", pod, expected };
    let deployment = |namespace, pod, expected| Meeting { namespace, kind: "Deployment", name: "web", pod, expected };
    let plain = NAMESPACES[0].0;
    let mut cases = Vec::new();
    for choice in ["policies", "baseline", "restricted", "baseline-group", "restricted-group"] {
        cases.push(Case {
            name: choice,
            documents: deploy::documents(&configured(), choice, Mode::Protect),
            down: Vec::new(),
            meets: vec![
                pod(plain, good(), Allowed),
                pod(plain, bad(), Denied),
                deployment(plain, good(), Allowed),
                deployment("deployed-team-a", bad(), Denied),
                pod("deployed-excluded", bad(), Unseen),
                pod("kube-system", bad(), Unseen),
            ],
        });
    }
    for (choice, expected) in [("policies", Warned), ("restricted", Warned), ("restricted-group", Allowed)] {
        cases.push(Case {
            name: "monitor",
            documents: deploy::documents(&configured(), choice, Mode::Monitor),
            down: Vec::new(),
            meets: vec![
                pod(plain, good(), Allowed),
                pod(plain, bad(), expected),
                pod("deployed-excluded", bad(), Unseen),
                deployment(plain, bad(), Allowed),
            ],
        });
    }
    let drops = json!(["ALL"]);
    let capabilities = |mode| {
        let mut documents = deploy::documents(&configured(), "policies", mode);
        documents.retain(|document| policy::policy_of(document) == Some("capabilities"));
        documents
    };
    cases.push(Case {
        name: "a policy that changes objects, with its twin",
        documents: capabilities(Mode::Protect),
        down: Vec::new(),
        meets: vec![
            pod(plain, undropped(), Changed("/spec/containers/0/securityContext/capabilities/drop", drops.clone())),
            deployment(
                plain,
                undropped(),
                Changed("/spec/template/spec/containers/0/securityContext/capabilities/drop", drops),
            ),
            pod("deployed-excluded", undropped(), Unseen),
        ],
    });
    cases.push(Case {
        name: "a policy that changes nothing in monitor",
        documents: capabilities(Mode::Monitor),
        down: Vec::new(),
        meets: vec![pod(plain, undropped(), Changed("/spec/containers/0/securityContext/capabilities", Value::Null))],
    });
    for (mode, expected) in [(Mode::Monitor, Allowed), (Mode::Protect, Down)] {
        cases.push(Case {
            name: "a server that is down",
            // Another one answers, which shows that the API server has read both.
            documents: deploy::documents(&configured(), "baseline", Mode::Monitor),
            down: deploy::documents(&configured(), "restricted", mode),
            meets: vec![pod(plain, good(), expected), pod("deployed-excluded", good(), Unseen)],
        });
    }
    cases.push(Case {
        name: "the exception of the README",
        documents: with_exception(deploy::documents(&Options::default(), "restricted", Mode::Protect)),
        down: Vec::new(),
        meets: vec![
            Meeting { name: "node-agent", ..deployment(plain, bad(), Unseen) },
            Meeting { name: "node-agent-x7", ..pod(plain, bad(), Unseen) },
            Meeting { name: "node-agent-", ..pod(plain, bad(), Unseen) },
            Meeting { name: "node-agent", ..pod("deployed-team-a", bad(), Denied) },
            pod(plain, bad(), Denied),
        ],
    });
    cases.extend(migrated());
    cases
}

/// Documents with the `matchConditions` that the README has, for the namespace here.
fn with_exception(mut documents: Vec<Value>) -> Vec<Value> {
    let tree = deploy::tree(&Options::default());
    let readme = tree.get(std::path::Path::new("README.md")).expect("a README");
    let (_, block) = readme.split_once("```yaml\nspec:\n  matchConditions:\n").expect("its exception");
    let (block, _) = block.split_once("```").expect("the end of its exception");
    let conditions = block.replace("monitoring", NAMESPACES[0].0);
    let conditions = read::parse(conditions.as_bytes()).expect("YAML").pop().expect("a document");
    for document in &mut documents {
        document["spec"]["matchConditions"] = conditions.clone();
    }
    documents
}

/// What small sources become.
fn migrated() -> Vec<Case> {
    use Expected::{Allowed, Denied, Unseen};
    let pod = |namespace, pod, expected| Meeting { namespace, kind: "Pod", name: "web", pod, expected };
    let psp = "
apiVersion: policy/v1beta1
kind: PodSecurityPolicy
metadata: {name: standard, annotations: {seccomp.security.alpha.kubernetes.io/allowedProfileNames: '*'}}
spec:
  privileged: false
  hostNetwork: false
  volumes: ['*']
  runAsUser: {rule: RunAsAny}
  seLinux: {rule: RunAsAny}
  fsGroup: {rule: RunAsAny}
  supplementalGroups: {rule: RunAsAny}
  allowedCapabilities: ['*']
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: standard}
rules:
- {apiGroups: [policy], resources: [podsecuritypolicies], resourceNames: [standard], verbs: [use]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: standard, namespace: deployed-team-a}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: standard}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'system:serviceaccounts:deployed-team-a'}
";
    let namespaces = "
apiVersion: v1
kind: Namespace
metadata: {name: deployed-audited, labels: {pod-security.kubernetes.io/audit: restricted}}
";
    let constraint = "
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: K8sPSPPrivilegedContainer
metadata: {name: no-privileged}
spec:
  match:
    kinds: [{apiGroups: [''], kinds: [Pod]}]
    excludedNamespaces: [kube-system, deployed-excluded]
";
    let case = |name, source: &str, meets| Case { name, documents: protecting(source), down: Vec::new(), meets };
    vec![
        case(
            "a PodSecurityPolicy with RBAC",
            psp,
            vec![pod("deployed-team-a", good(), Allowed), pod("deployed-team-a", bad(), Denied)],
        ),
        case(
            "a labelled namespace",
            namespaces,
            vec![
                pod("deployed-audited", good(), Allowed),
                pod("deployed-audited", bad(), Denied),
                // Of the labels that no namespace of the source has.
                pod("deployed-baseline", good(), Allowed),
                pod("deployed-plain", bad(), Unseen),
            ],
        ),
        case(
            "a constraint",
            constraint,
            vec![
                pod("deployed-plain", good(), Allowed),
                pod("deployed-plain", bad(), Denied),
                pod("deployed-excluded", bad(), Unseen),
                pod("kube-system", bad(), Unseen),
            ],
        ),
    ]
}

/// What is migrated, as if it were asked to reject: whatever mode the source had, what is selected is checked.
fn protecting(source: &str) -> Vec<Value> {
    let sources = read::parse(source.as_bytes()).expect("YAML");
    let registry = "registry.example.com/podfence";
    let options = migrate::Options { workloads: true, mode: Mode::Protect, ..migrate::Options::new(registry) };
    let mut documents = migrate(&sources, &options).policies;
    assert!(!documents.is_empty(), "nothing was migrated of {source}");
    // Those of a label that only audits are in mode monitor.
    for document in &mut documents {
        document["spec"]["mode"] = json!(policy::mode_name(Mode::Protect));
        document["spec"]["failurePolicy"] = json!(policy::failure_policy(Mode::Protect));
    }
    documents
}

/// Sets the documents up, has the objects meet them, and takes them away again.
fn meet(world: &World<'_>, case: &Case, found: &mut Found) -> Result<(), Late> {
    let set_up = |of: &Value| install_unchecked(of, world.modules, world.webhook);
    let mut down: Vec<Installed> = case.down.iter().map(set_up).collect();
    for of in &mut down {
        // Nobody listens on this port.
        of.configuration["webhooks"][0]["clientConfig"]["url"] = json!("https://127.0.0.1:1/down");
    }
    let up: Vec<Installed> = case.documents.iter().map(set_up).collect();
    for of in down.iter().chain(&up) {
        let reply = world.client.create(&format!("{WEBHOOKS}/{}", of.collection), &of.configuration);
        if !reply.is_done() {
            found.problems.push(format!("deployed {}: {}", case.name, reply.message()));
        }
    }
    let outcome = settled(world, case, &up).map(|()| {
        for meeting in &case.meets {
            found.checks += 1;
            if let Err(problem) = check_one(world, meeting) {
                let Meeting { namespace, kind, name, .. } = meeting;
                found.problems.push(format!("deployed {}: {kind} {namespace}/{name}: {problem}", case.name));
            }
        }
    });
    for of in down.iter().chain(&up) {
        let name = of.configuration["metadata"]["name"].as_str().unwrap_or_default();
        world.client.delete(&format!("{WEBHOOKS}/{}/{name}", of.collection), "Background");
    }
    outcome.and_then(|()| {
        let is_let_in = |of: &Meeting| of.try_on(world).is_done() && of.workload().try_on(world).is_done();
        let quiet = || case.meets.iter().all(|of| is_let_in(of) && world.webhook.calls(of.namespace).is_empty());
        until(
            || format!("{}: that nothing is asked any more", case.name),
            || {
                case.meets.iter().for_each(|of| world.webhook.forget(of.namespace));
                quiet().then_some(())
            },
        )
    })
}

/// Waits until the API server asks every policy, about pods or about workloads.
fn settled(world: &World<'_>, case: &Case, installed: &[Installed]) -> Result<(), Late> {
    let missing = || {
        for of in &case.meets {
            of.try_on(world);
            of.workload().try_on(world);
        }
        let calls: Vec<_> = case.meets.iter().flat_map(|of| world.webhook.calls(of.namespace)).collect();
        let asked: BTreeSet<&str> = calls.iter().map(|call| call.route.as_str()).collect();
        installed.iter().map(|of| of.route.as_str()).filter(|route| !asked.contains(route)).collect::<Vec<_>>()
    };
    until(|| format!("calls of {:?}", missing()), || missing().is_empty().then_some(()))
}

impl Meeting {
    /// A workload in the same namespace, which policies of workloads alone are asked about.
    fn workload(&self) -> Self {
        let (kind, name, expected) = ("Deployment", "probe", Expected::Allowed);
        Self { namespace: self.namespace, kind, name, pod: good(), expected }
    }

    /// Creates the object, and keeps nothing of it.
    fn try_on(&self, world: &World<'_>) -> Reply {
        let kind = kind(self.kind);
        let mut object = kind.object(self.name.trim_end_matches('-'), &self.pod, "deployed");
        if self.name.ends_with('-') {
            object["metadata"]["name"].take();
            object["metadata"]["generateName"] = json!(self.name);
        }
        world.client.create(&format!("{}?dryRun=All", kind.collection(self.namespace)), &object)
    }
}

fn check_one(world: &World<'_>, meeting: &Meeting) -> Result<(), String> {
    world.webhook.forget(meeting.namespace);
    let reply = meeting.try_on(world);
    let calls = world.webhook.calls(meeting.namespace);
    let found = |what: &str| Err(format!("expected {what}; found {} {}", reply.status, reply.message()));
    let warns = || calls.iter().any(|call| call.response.as_ref().is_some_and(|of| of.warnings.is_some()));
    match &meeting.expected {
        Expected::Allowed if !reply.is_done() || calls.is_empty() => found("that a policy lets it in"),
        Expected::Warned if !reply.is_done() || !warns() => found("that a policy warns and lets it in"),
        Expected::Unseen if !reply.is_done() || !calls.is_empty() => found("that no policy is asked"),
        Expected::Denied if !reply.is_denied() => found("that a policy rejects it"),
        Expected::Down if !reply.message().contains("failed calling webhook") => found("that the webhook fails"),
        Expected::Changed(path, value)
            if !reply.is_done() || reply.object.pointer(path).unwrap_or(&Value::Null) != value =>
        {
            found(&format!("{value} at {path}"))
        }
        _ => Ok(()),
    }
}
