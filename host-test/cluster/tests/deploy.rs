//! The documents in `deploy/`: that they are what is generated, that the cluster's types read them without loss,
//! and that what they deploy decides as the policies do.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Modules, create};
use kubewarden_policy_sdk::crd::policies::{ClusterAdmissionPolicy, ClusterAdmissionPolicyGroup};
use podfence_cluster::deploy::{self, Given, Modules as Published, Options, Settings};
use podfence_cluster::documents::{self, Body, Deployed, Document};
use podfence_cluster::matching::Namespaces;
use podfence_cluster::policy::{self, Configured, Placement};
use podfence_cluster::published;
use podfence_cluster::standards::Level;
use podfence_core::workload::WORKLOADS;
use podfence_fixtures::generated::{is_blessing, is_current};
use podfence_fixtures::{Suite, discover};
use podfence_host::{Evaluation, Mode};
use podfence_scan::{AdmissionRequest, read};
use podfence_support::{corpus, policies, root};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// The version of the policies.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [\
    {name: nginx, image: nginx, securityContext: {privileged: true}}]}}";

fn tree() -> BTreeMap<PathBuf, String> {
    deploy::tree(&Options::default())
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_tree_is_what_is_generated() {
    let (deploy, tree) = (root().join("deploy"), tree());
    let mut wrong: Vec<String> =
        tree.iter().filter_map(|(path, text)| is_current(&deploy.join(path), text).err()).collect();
    for path in files(&deploy) {
        if tree.contains_key(path.strip_prefix(&deploy).expect("below it")) {
            continue;
        }
        if is_blessing() {
            fs::remove_file(&path).expect("it can be removed");
        } else {
            wrong.push(format!("{}: is not generated any more; `make bless` (BLESS=1) removes it", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn another_registry_changes_nothing_but_the_modules() {
    let other = deploy::tree(&Options { modules: Published::tagged("localhost:5000/fence"), ..Options::default() });
    let mut changed = Vec::new();
    for (path, text) in tree() {
        let expected = text.replace(published::registry(), "localhost:5000/fence");
        assert_eq!(other[&path], expected, "{}", path.display());
        changed.extend((expected != text).then_some(path));
    }
    let has_modules = |path: &PathBuf| path.starts_with("monitor") && !path.ends_with("kustomization.yaml");
    let expected: Vec<PathBuf> =
        tree().into_keys().filter(|path| has_modules(path) || path.ends_with("values.yaml")).collect();
    assert_eq!(changed, expected);
}

/// What a file of the tree says.
fn parsed(text: &str) -> Value {
    let [document] = <[Value; 1]>::try_from(read::parse(text.as_bytes()).expect("YAML")).expect("one document");
    document
}

/// What `kubectl kustomize` prints of a directory, of which it only takes resources and patches by group.
fn kustomize(tree: &BTreeMap<PathBuf, String>, directory: &Path) -> Vec<Value> {
    let kustomization = parsed(&tree[&directory.join("kustomization.yaml")]);
    let mut documents = Vec::new();
    for resource in kustomization["resources"].as_array().expect("resources") {
        let path = resource.as_str().expect("a path");
        match path.strip_prefix("../../") {
            Some(elsewhere) => documents.extend(kustomize(tree, Path::new(elsewhere))),
            None => documents.push(parsed(&tree[&directory.join(path)])),
        }
    }
    for patch in kustomization["patches"].as_array().into_iter().flatten() {
        let group = patch["target"]["group"].as_str().expect("a group");
        assert_eq!(patch["target"], json!({"group": group}));
        let operations = parsed(patch["patch"].as_str().expect("a patch"));
        let operations: json_patch::Patch = serde_json::from_value(operations).expect("RFC 6902");
        for document in &mut documents {
            assert!(document["apiVersion"].as_str().is_some_and(|of| of.starts_with(&format!("{group}/"))));
            json_patch::patch(document, &operations).expect("it can be applied");
        }
    }
    documents
}

/// The names of the directories that can be chosen.
fn choices(tree: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let protect = tree.keys().filter_map(|path| path.strip_prefix("protect").ok()?.parent()?.to_str());
    protect.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The choice whose policies evaluate no pods.
const GUARDS: &str = "guards";

/// The choices whose policies evaluate pods.
fn choices_of_pods(tree: &BTreeMap<PathBuf, String>) -> Vec<String> {
    choices(tree).into_iter().filter(|choice| choice != GUARDS).collect()
}

fn deployed(mode: &str, choice: &str) -> Vec<Document> {
    deployed_from(&tree(), mode, choice)
}

fn deployed_from(tree: &BTreeMap<PathBuf, String>, mode: &str, choice: &str) -> Vec<Document> {
    documents::read(&kustomize(tree, &Path::new(mode).join(choice))).expect("policies")
}

/// A document with its modules, which accept its settings.
fn with_modules<'d>(modules: &mut Modules, document: &'d Document) -> Deployed<'d> {
    let deployed = document.deploy(|name| Ok::<_, Infallible>(modules.load(name)));
    let Ok(deployed) = deployed;
    deployed.validate_settings().unwrap_or_else(|error| panic!("{error}"));
    deployed
}

/// Whether a policy sees a request. It selects namespaces by their names alone.
fn sees(document: &Document, request: &AdmissionRequest) -> bool {
    document.matching.sees(request, &Namespaces::default()).expect("no labels are asked for").is_some()
}

/// What a policy says of a request, unless it does not see it. It selects namespaces by their names alone.
fn evaluate(policy: &Deployed<'_>, request: &AdmissionRequest) -> Option<Evaluation> {
    policy.evaluate(request, &Namespaces::default()).expect("no labels are asked for")
}

#[test]
fn a_cluster_reads_every_document_without_loss() {
    fn through<T: DeserializeOwned + Serialize>(document: &Value) -> Value {
        let typed = T::deserialize(document).unwrap_or_else(|error| panic!("{error} in {document}"));
        serde_json::to_value(typed).expect("it serialises")
    }
    /// What is in one value and is not, or not the same, in the other, which may have more.
    fn lost(path: &str, one: &Value, other: &Value) -> Vec<String> {
        match (one, other) {
            (Value::Object(one), Value::Object(other)) => {
                let members = one.iter();
                members.flat_map(|(key, one)| lost(&format!("{path}.{key}"), one, &other[key])).collect()
            }
            _ if one == other => Vec::new(),
            _ => vec![format!("{path}: {one} is {other}")],
        }
    }
    let tree = tree();
    for choice in choices(&tree) {
        for (mode, expected) in [("monitor", Mode::Monitor), ("protect", Mode::Protect)] {
            for document in kustomize(&tree, &Path::new(mode).join(&choice)) {
                let read = match document["kind"].as_str() {
                    Some("ClusterAdmissionPolicy") => through::<ClusterAdmissionPolicy>(&document),
                    Some("ClusterAdmissionPolicyGroup") => through::<ClusterAdmissionPolicyGroup>(&document),
                    other => panic!("{other:?} in {mode}/{choice}"),
                };
                assert_eq!(lost("", &document, &read), Vec::<String>::new(), "{mode}/{choice}");
                let read = documents::read(std::slice::from_ref(&document)).expect("a policy");
                assert_eq!(read.iter().map(|document| document.mode).collect::<Vec<_>>(), [expected]);
            }
        }
    }
}

#[test]
fn every_policy_has_a_document_and_every_level_two() {
    let policies = discover(&policies()).expect("the policies");
    assert_eq!(
        choices(&tree()),
        ["baseline", "baseline-group", "guards", "policies", "restricted", "restricted-group"]
    );
    // One is a policy of whole levels, and those that reject everything are left out.
    let left_out = Options::default().left_out().count();
    let single = deployed("protect", "policies").len() + deployed("protect", "guards").len();
    assert_eq!(single, policies.len() - 1 - left_out);
    for level in Level::ALL {
        let names = ["", "-group"].map(|suffix| {
            let documents = deployed("protect", &format!("{}{suffix}", level.name()));
            documents.iter().map(|document| document.name.clone()).collect::<Vec<_>>().join(" ")
        });
        let expected = [
            format!("ClusterAdmissionPolicy/podfence-{}", level.name()),
            format!("ClusterAdmissionPolicyGroup/podfence-{}-group", level.name()),
        ];
        assert_eq!(names, expected);
    }
}

#[test]
fn the_policy_of_a_document_is_found_by_its_names() {
    for (choice, document) in everything(&deploy::tree(&rich())) {
        let of = documents::read(std::slice::from_ref(&document)).expect("a policy").remove(0);
        let level = Level::ALL.iter().any(|level| choice.contains(level.name()));
        let expected = if level { Some(deploy::WHOLE) } else { of.modules().first().copied() };
        let name = document["metadata"]["name"].as_str().expect("a name");
        let webhook = format!("{}.kubewarden.admission", of.configuration);
        for name in [name, &of.name, &of.configuration, &webhook] {
            assert_eq!(deploy::policy_named(name), expected, "{name}");
        }
    }
    for other in ["podfence", "podfence-", "privileged", "podfence-privilege", "podfence-check", "clusterwide-", ""] {
        assert_eq!(deploy::policy_named(other), None, "{other}");
    }
}

#[test]
fn the_rules_match_what_has_a_pod_in_it() {
    let pod = create(&parsed(POD));
    let of = |group: &str, kind: &str, operation: &str, namespace: &str| {
        let mut request = pod.clone();
        request.resource.group = group.to_owned();
        request.resource.resource = format!("{}s", kind.to_lowercase());
        request.operation = operation.to_owned();
        request.namespace = Some(namespace.to_owned());
        request
    };
    let under = |sub_resource: &str, operation: &str| {
        let sub_resource = Some(sub_resource.to_owned());
        AdmissionRequest { sub_resource, ..of("", "Pod", operation, "shop") }
    };
    for choice in choices_of_pods(&tree()) {
        for document in deployed("monitor", &choice) {
            let name = &document.name;
            for workload in &WORKLOADS {
                for operation in ["CREATE", "UPDATE"] {
                    let is_seen = |namespace| sees(&document, &of(workload.group, workload.kind, operation, namespace));
                    assert!(is_seen("shop"), "{name}: {operation} {}", workload.kind);
                    assert!(is_seen("kube-public"), "{name}: {operation} {}", workload.kind);
                    assert!(!is_seen("kube-system") && !is_seen("kubewarden"), "{name}: {operation} {}", workload.kind);
                }
                assert!(!sees(&document, &of(workload.group, workload.kind, "DELETE", "shop")), "{name}");
                assert!(!sees(&document, &of("example.com", workload.kind, "CREATE", "shop")), "{name}");
            }
            assert!(sees(&document, &under("ephemeralcontainers", "UPDATE")), "{name}");
            assert!(!sees(&document, &under("status", "UPDATE")), "{name}");
            assert!(!sees(&document, &under("exec", "CONNECT")), "{name}");
            assert!(!sees(&document, &of("", "ConfigMap", "CREATE", "shop")), "{name}");
        }
    }
}

/// What a module said, of what the server would send.
fn reply(evaluation: &Evaluation) -> Vec<u8> {
    let response = &evaluation.response;
    let status = response.status.clone().unwrap_or_default();
    let mut reply = json!({"accepted": response.allowed, "message": status.message, "code": status.code});
    if let Some(annotations) = &response.audit_annotations {
        reply["audit_annotations"] = json!(annotations);
    }
    serde_json::to_vec(&reply).expect("JSON values serialise")
}

/// The settings of a fixture, and its request as a cluster sends it; none if no cluster would. What is not the same
/// text again once it was read, such as a key that is there twice, is for the modules alone.
fn sent(text: &[u8]) -> Option<(Value, AdmissionRequest)> {
    let mut payload: Value = serde_json::from_slice(text).ok()?;
    if payload.to_string().as_bytes() != text {
        return None;
    }
    let request = serde_json::from_value(payload["request"].take()).ok()?;
    Some((payload["settings"].take(), request))
}

#[test]
fn policies_decide_their_fixtures_as_deployed() {
    let mut modules = Modules::new();
    for document in ["policies", "guards"].into_iter().flat_map(|choice| deployed("protect", choice)) {
        let policy = document.name.strip_prefix("ClusterAdmissionPolicy/podfence-").expect("a policy of ours");
        let deployed = with_modules(&mut modules, &document);
        let (mut allowed, mut denied) = (0, 0);
        for replay in Suite::load(&policies().join(policy)).expect("fixtures").replays() {
            let Some((settings, request)) = sent(&replay.payload).filter(|_| replay.operation == "validate") else {
                continue;
            };
            let Some(evaluation) = evaluate(&deployed, &request).filter(|_| settings == json!({})) else { continue };
            let checked = replay.check(Ok(&reply(&evaluation)));
            checked.unwrap_or_else(|error| panic!("{policy}: {} ({}): {error:?}", replay.fixture, replay.form));
            *if evaluation.response.allowed { &mut allowed } else { &mut denied } += 1;
        }
        assert!(denied > 0 && allowed + denied >= WORKLOADS.len(), "{policy}: {allowed} allowed, {denied} denied");
    }
}

/// Only of Windows pods do single policies reject more.
fn is_windows(request: &AdmissionRequest) -> bool {
    request.object.as_ref().is_some_and(|object| object.to_string().contains(r#""os":{"name":"windows"}"#))
}

#[test]
fn a_group_decides_as_its_level() {
    groups_decide_as_levels(&Options::default(), |_, _| false);
}

#[test]
fn a_group_decides_as_its_level_in_older_versions() {
    for minor in 31..=37 {
        let kubernetes = Some(format!("1.{minor}").parse().expect("a version"));
        groups_decide_as_levels(&Options { kubernetes, ..Options::default() }, |level, request| {
            let object = || request.object.as_ref().map(Value::to_string).unwrap_or_default();
            // What the group's file says.
            minor < 35 && level == Level::Restricted && object().contains(r#""hostUsers":false"#)
        });
    }
}

fn groups_decide_as_levels(options: &Options, is_other: impl Fn(Level, &AdmissionRequest) -> bool) {
    let mut modules = Modules::new();
    let tree = deploy::tree(options);
    let suite = Suite::load(&policies().join("pod-security-standards")).expect("fixtures");
    let requests: Vec<AdmissionRequest> =
        suite.replays().iter().filter_map(|replay| Some(sent(&replay.payload)?.1)).collect();
    for level in Level::ALL {
        let [whole, group] =
            ["", "-group"].map(|suffix| deployed_from(&tree, "protect", &format!("{}{suffix}", level.name())));
        let (whole, group) = (with_modules(&mut modules, &whole[0]), with_modules(&mut modules, &group[0]));
        let (mut allowed, mut denied) = (0, 0);
        for request in requests.iter().filter(|request| !is_windows(request) && !is_other(level, request)) {
            let evaluations = (evaluate(&whole, request), evaluate(&group, request));
            let (Some(expected), Some(got)) = evaluations else {
                assert_eq!(evaluations, (None, None), "{request:?}");
                continue;
            };
            // A field that only the other level reads; no API server takes such a pod.
            if expected.response.status.as_ref().is_some_and(|status| status.code == Some(400)) {
                continue;
            }
            assert_eq!(got.response.allowed, expected.response.allowed, "{request:?}\n{expected:?}\n{got:?}");
            assert_eq!(got.failure, None);
            *if got.response.allowed { &mut allowed } else { &mut denied } += 1;
        }
        assert!(allowed > 30 && denied > 50, "{}: {allowed} allowed, {denied} denied", level.name());
    }
}

#[test]
fn a_group_decides_the_corpus_as_the_built_in_admission() {
    let Some(lines) = corpus("pod-security-standards") else { return };
    let mut modules = Modules::new();
    let documents = Level::ALL.map(|level| deployed("protect", &format!("{}-group", level.name())));
    let groups: Vec<Deployed<'_>> =
        documents.iter().map(|documents| with_modules(&mut modules, &documents[0])).collect();
    let mut decided = 0;
    for line in lines {
        let line: Value = serde_json::from_str(&line).expect("JSON");
        if line["versions"].as_array().is_none_or(|versions| !versions.contains(&json!("v1.37"))) {
            continue;
        }
        let level = Level::ALL.iter().position(|level| line["level"] == level.name()).expect("a level");
        let evaluation = evaluate(&groups[level], &create(&line["pod"])).expect("the rules match");
        assert_eq!(evaluation.response.allowed, line["expect"] == "pass", "{line}\n{evaluation:?}");
        decided += 1;
    }
    assert!(decided > 100, "{decided}");
}

#[test]
fn a_group_names_the_member_that_rejects() {
    let document = deployed("protect", "baseline-group").pop().expect("a group");
    let evaluation =
        evaluate(&with_modules(&mut Modules::new(), &document), &create(&parsed(POD))).expect("the rules match");
    let expected = json!({
        "uid": "00000000-0000-4000-8000-000000000001", "allowed": false,
        "status": {
            "message": "violates the baseline level of the Pod Security Standards",
            "details": {"causes": [
                {"field": "spec.policies.privileged", "message": r#"privileged (container "nginx" must not set securityContext.privileged=true)"#},
            ]},
        },
    });
    assert_eq!(serde_json::to_value(evaluation.response).expect("it serialises"), expected);
    assert_eq!(evaluation.failure, None);
}

#[test]
fn what_starts_in_monitor_mode_rejects_nothing() {
    let mut modules = Modules::new();
    let (tree, request) = (tree(), create(&parsed(POD)));
    for choice in choices_of_pods(&tree) {
        let denied = |mode: &str, modules: &mut Modules| {
            let documents = deployed(mode, &choice);
            let evaluations =
                documents.iter().map(|of| evaluate(&with_modules(modules, of), &request).expect("the rules match"));
            evaluations.filter(|evaluation| !evaluation.response.allowed).count()
        };
        assert_eq!(denied("monitor", &mut modules), 0, "{choice}");
        assert_ne!(denied("protect", &mut modules), 0, "{choice}");
    }
}

/// Of all documents: those of each choice in each mode.
fn everything(tree: &BTreeMap<PathBuf, String>) -> Vec<(String, Value)> {
    let of = |mode: &str, choice: String| {
        let documents = kustomize(tree, &Path::new(mode).join(&choice));
        documents.into_iter().map(move |document| (format!("{mode}/{choice}"), document)).collect::<Vec<_>>()
    };
    ["monitor", "protect"]
        .into_iter()
        .flat_map(|mode| choices(tree).into_iter().flat_map(move |choice| of(mode, choice)))
        .collect()
}

/// Options with everything that can be asked for.
fn rich() -> Options {
    let Value::Object(settings) = json!({
        "capabilities": {"mutate": true, "defaultAddCapabilities": ["KILL"]},
        "runtime-class": {"defaultRuntimeClass": "gvisor", "allowedRuntimeClasses": ["gvisor"]},
        "users": {"runAsUser": {"rule": "MayRunAs", "ranges": [{"min": 1, "max": 4_294_967_295_u32}]}},
        "pod-security-standards": {"exclude": ["hostPorts"]},
    }) else {
        unreachable!()
    };
    let hex = "0123456789abcdef".repeat(4);
    let printed: String =
        published::all().iter().map(|of| format!("localhost:5000/x/{}:v{VERSION}@sha256:{hex}\n", of.policy)).collect();
    Options {
        modules: Published::published(&printed).expect("references"),
        kinds: podfence_scan::custom_kinds::find("argoproj.io", "Rollout").into_iter().collect(),
        exempt_namespaces: ["monitoring", "kube-system"].map(str::to_owned).to_vec(),
        policy_server: Some("own".to_owned()),
        warnings: true,
        kubernetes: Some("1.34".parse().expect("a version")),
        settings: Settings::read(settings).expect("settings"),
    }
}

#[test]
fn the_files_are_the_documents() {
    for options in [Options::default(), rich()] {
        let tree = deploy::tree(&options);
        for choice in choices(&tree) {
            for (name, mode) in [("monitor", Mode::Monitor), ("protect", Mode::Protect)] {
                let expected = kustomize(&tree, &Path::new(name).join(&choice));
                assert_eq!(deploy::documents(&options, &choice, mode), expected, "{name}/{choice}");
            }
        }
        assert_eq!(deploy::documents(&options, "privileged", Mode::Protect), Vec::<Value>::new());
    }
}

#[test]
fn a_server_that_is_down_stops_nothing_in_monitor_and_everything_in_protect() {
    for options in [Options::default(), rich()] {
        for (choice, document) in everything(&deploy::tree(&options)) {
            let spec = &document["spec"];
            let expected = if choice.starts_with("monitor") { ["monitor", "Ignore"] } else { ["protect", "Fail"] };
            assert_eq!([&spec["mode"], &spec["failurePolicy"]], expected, "{choice}: {document}");
        }
    }
}

#[test]
fn who_evaluates_workloads_evaluates_their_pods() {
    let documents = everything(&deploy::tree(&rich()));
    for (choice, document) in documents.iter().filter(|(choice, _)| !choice.ends_with(GUARDS)) {
        let resources: Vec<&str> = document["spec"]["rules"]
            .as_array()
            .expect("rules")
            .iter()
            .flat_map(|rule| rule["resources"].as_array().expect("resources"))
            .filter_map(Value::as_str)
            .collect();
        for needed in ["deployments", "pods", "pods/ephemeralcontainers", "rollouts"] {
            assert!(resources.contains(&needed), "{choice}: {needed} is not in {document}");
        }
    }
}

/// A pod that no policy needs to reject.
const GOOD_POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {\
    automountServiceAccountToken: false, hostUsers: false, \
    securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}, containers: [{name: nginx, \
    image: 'nginx:1.29', securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, \
    capabilities: {drop: [ALL]}}, resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 64Mi}}}]}}";

#[test]
fn what_is_deployed_lets_good_pods_in_and_what_is_left_out_does_not() {
    let mut modules = Modules::new();
    let request = create(&parsed(GOOD_POD));
    for choice in choices_of_pods(&tree()) {
        for document in deployed("protect", &choice) {
            let evaluation = evaluate(&with_modules(&mut modules, &document), &request).expect("the rules match");
            assert!(evaluation.response.allowed, "{choice}: {}: {evaluation:?}", document.name);
        }
    }
    for (policy, setting) in Options::default().left_out() {
        let evaluate = |modules: &mut Modules, settings: Value| {
            let settings = settings.as_object().cloned().unwrap_or_default();
            let placement = placement("a", policy);
            let document = placement.policy(&Configured { policy, module: format!("r/{policy}"), settings });
            let document = documents::read(&[document]).expect("a policy").pop().expect("one");
            evaluate(&with_modules(modules, &document), &request).expect("the rules match").response.allowed
        };
        assert!(!evaluate(&mut modules, json!({})), "{policy} lets a pod in and need not be left out");
        let with_default = json!({setting: ["a"], "defaultRuntimeClass": "a"});
        assert!(evaluate(&mut modules, with_default), "{policy}: {setting}");
    }
}

/// In mode protect, with the rules of a policy.
fn placement<'p>(name: &'p str, policy: &str) -> Placement<'p> {
    let rules = published::find(policy).expect("a policy").rules.clone();
    Placement { name, mode: Mode::Protect, rules, namespaces: Vec::new(), policy_server: None }
}

#[test]
fn a_twin_accepts_what_its_policy_made() {
    let mut modules = Modules::new();
    for of in published::all().iter().filter(|of| !of.mutating_settings().is_empty()) {
        let suite = Suite::load(&policies().join(of.policy)).expect("fixtures");
        let (mut changed, mut rejected) = (0, 0);
        for (settings, request) in suite.replays().iter().filter_map(|replay| sent(&replay.payload)) {
            let Value::Object(settings) = settings else { continue };
            let module = format!("registry://r/{}:v1", of.policy);
            let configured = Configured { policy: of.policy, module, settings };
            let document = placement("a", of.policy).policy(&configured);
            let Some(twin) = policy::twin(&document) else { continue };
            let read = documents::read(&[document, twin]).expect("policies");
            let deployed: Vec<Deployed<'_>> = read
                .iter()
                .map(|of| of.deploy(|name| Ok::<_, Infallible>(modules.load(name))).expect("loads"))
                .collect();
            if deployed[0].validate_settings().is_err() {
                continue;
            }
            deployed[1].validate_settings().unwrap_or_else(|error| panic!("{error}"));
            let Some(first) = evaluate(&deployed[0], &request).filter(|first| first.failure.is_none()) else {
                continue;
            };
            let Some(operations) = first.response.patch_operations() else {
                rejected += usize::from(!first.response.allowed);
                continue;
            };
            let mut request = request;
            let patch: json_patch::Patch = serde_json::from_value(operations).expect("RFC 6902");
            json_patch::patch(request.object.as_mut().expect("an object"), &patch).expect("it can be applied");
            let Some(second) = evaluate(&deployed[1], &request) else { continue };
            assert!(second.response.allowed, "{}: {second:?}\n{request:?}", of.policy);
            changed += 1;
        }
        assert!(changed > 5 && rejected > 0, "{}: {changed} changed, {rejected} rejected", of.policy);
    }
}

#[test]
fn settings_of_a_policy_are_in_the_groups_that_have_it() {
    let Value::Object(settings) = json!({
        "privileged": {"exempt": {"namespaces": ["storage"]}},
        "capabilities": {"mutate": true, "allowedCapabilities": ["CHOWN"]},
        "sysctls": {"allowedUnsafeSysctls": ["net.core.somaxconn"]},
        "images": {"allowed": ["registry.example.com"]},
        "pod-security-standards": {"exclude": ["hostPorts"]},
    }) else {
        unreachable!()
    };
    let settings = Settings::read(settings).expect("settings");
    let options = Options { settings, kubernetes: Some("1.34".parse().expect("a version")), ..Options::default() };
    let tree = deploy::tree(&options);
    let mut modules = Modules::new();
    for (choice, member, expected) in [
        ("baseline-group", "privileged", json!({"exempt": {"namespaces": ["storage"]}})),
        ("restricted-group", "privileged", json!({"exempt": {"namespaces": ["storage"]}})),
        (
            "baseline-group",
            "capabilities",
            json!({"allowedCapabilities": ["CHOWN"], "requiredDropCapabilities": [], "mutate": false}),
        ),
        ("restricted-group", "capabilities", json!({"allowedCapabilities": ["CHOWN"], "mutate": false})),
        ("restricted-group", "sysctls", json!({"allowedUnsafeSysctls": ["net.core.somaxconn"]})),
        ("restricted-group", "seccomp", json!({})),
        ("baseline-group", "seccomp", json!({"required": false})),
    ] {
        let group = parsed(&tree[&Path::new("monitor").join(choice).join("group.yaml")]);
        assert_eq!(group["spec"]["policies"][member]["settings"], expected, "{choice}: {member}");
        with_modules(&mut modules, &deployed_from(&tree, "protect", choice)[0]);
    }
    let given: Vec<(&str, Option<String>)> = options.given().into_iter().map(|of| (of.policy, of.group)).collect();
    let alone = ["capabilities", "images", "pod-security-standards", "pod-security-standards", "privileged", "sysctls"];
    let members = ["capabilities", "privileged", "sysctls"];
    let of_groups = ["baseline-group", "restricted-group"].map(|group| members.map(|of| (of, Some(group.to_owned()))));
    let expected: Vec<_> = alone.map(|of| (of, None)).into_iter().chain(of_groups.into_iter().flatten()).collect();
    assert_eq!(given, expected);
    // Every document has what was given to be checked.
    for Given { policy, group, settings } in options.given() {
        let choices =
            group.map_or(["policies", "guards", "baseline", "restricted"].map(str::to_owned).to_vec(), |of| vec![of]);
        let documents = choices.iter().flat_map(|choice| deployed_from(&tree, "monitor", choice)).collect::<Vec<_>>();
        let runs = documents.iter().flat_map(|document| match &document.body {
            Body::Policy { run, .. } => vec![run],
            Body::Group { members, .. } => members.values().collect(),
        });
        let has = runs.into_iter().any(|run| run.module == policy && run.settings == settings);
        assert!(has, "{policy}: {settings:?}");
    }
}

#[test]
fn options_are_in_every_document() {
    let tree = deploy::tree(&rich());
    let of = |mode: &str, file: &str| parsed(&tree[&Path::new(mode).join(file)])["spec"].clone();
    let namespaces = json!(["kube-system", "kubewarden", "monitoring"]);
    for (choice, document) in everything(&tree) {
        let spec = &document["spec"];
        assert_eq!(spec["policyServer"], "own", "{choice}");
        assert_eq!(spec["namespaceSelector"]["matchExpressions"][0]["values"], namespaces, "{choice}");
        if document["kind"] == "ClusterAdmissionPolicy" {
            let module = spec["module"].as_str().unwrap_or_default();
            assert!(module.starts_with("registry://localhost:5000/x/") && module.contains("@sha256:"), "{module}");
            assert_eq!(spec["settings"]["warn"], choice.starts_with("monitor"), "{choice}");
            // Custom kinds hold pods.
            let kind = if choice.ends_with(GUARDS) { json!(null) } else { json!("Rollout") };
            assert_eq!(spec["settings"]["podSpecPaths"][0]["kind"], kind, "{choice}");
        }
    }
    let level = of("monitor", "restricted/pod-security-standards.yaml");
    assert_eq!(level["settings"]["version"], "v1.34");
    assert_eq!(level["settings"]["exclude"], json!(["hostPorts"]));
    let sysctls = &of("monitor", "policies/sysctls.yaml")["settings"]["allowedSysctls"];
    assert_eq!(sysctls.as_array().map(Vec::len), Some(12));
    assert_eq!(of("monitor", "policies/host-probes.yaml")["settings"]["allowedHosts"], json!([]));
    let group = of("monitor", "restricted-group/group.yaml");
    assert_eq!(&group["policies"]["sysctls"]["settings"]["allowedSysctls"], sysctls);
    assert!(tree[Path::new("monitor/restricted-group/group.yaml")].contains("\n# For pods with hostUsers: false, "));

    let policy = of("monitor", "policies/capabilities.yaml");
    assert_eq!((&policy["mutating"], &policy["settings"]["mutate"]), (&json!(true), &json!(true)));
    let comment = "# Monitor changes no object, and reports those that protect could not change to comply. \
                   podfence-capabilities-check,\n# which evaluates the changes of later webhooks, is in \
                   protect/policies alone.\n";
    assert!(tree[Path::new("monitor/policies/capabilities.yaml")].contains(comment));
    let twin = of("protect", "policies/capabilities-check.yaml");
    assert_eq!((&twin["mutating"], &twin["settings"]["mutate"]), (&json!(false), &json!(false)));
    let twins: Vec<&str> = tree.keys().filter_map(|path| path.to_str()?.strip_suffix("-check.yaml")).collect();
    assert_eq!(twins, ["protect/policies/capabilities", "protect/policies/runtime-class"]);
}
