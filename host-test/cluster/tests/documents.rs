//! What is read of documents: which requests they get to see, and what of them is refused.

use podfence_cluster::documents;
use podfence_cluster::kustomization::Kustomization;
use podfence_cluster::matching::{Namespaces, UnknownLabel};
use podfence_scan::{AdmissionRequest, read};
use serde_json::{Value, json};

const RULE: &str = "{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}";

fn parsed(text: &str) -> Vec<Value> {
    read::parse(text.as_bytes()).expect("YAML")
}

/// A policy with another member of its `spec`, which replaces the one of that name.
fn policy(member: &str) -> String {
    let key = member.split(':').next().unwrap_or_default();
    let members = ["module: registry.example.com/podfence/privileged:v1".to_owned(), format!("rules: [{RULE}]")];
    let members: Vec<String> = members.into_iter().filter(|of| !of.starts_with(key) || key.is_empty()).collect();
    let spec = [members.join(", "), member.to_owned()].join(", ");
    format!(
        "{{apiVersion: policies.kubewarden.io/v1, kind: ClusterAdmissionPolicy, metadata: {{name: p}}, spec: {{{spec}}}}}"
    )
}

fn group(expression: &str) -> String {
    format!(
        "{{apiVersion: policies.kubewarden.io/v1, kind: ClusterAdmissionPolicyGroup, metadata: {{name: g}}, spec: {{\
         rules: [{RULE}], message: rejected, expression: '{expression}', \
         policies: {{a: {{module: privileged:v1}}, b_2: {{module: 'file:///x/host-ports.wasm'}}}}}}}}"
    )
}

#[test]
fn what_a_cluster_would_refuse_is_explained() {
    let deep = format!("{}a(){}", "(".repeat(1000), ")".repeat(1000));
    let cases = [
        (
            "{kind: Pod, metadata: {name: web}}".to_owned(),
            "Pod/web: expected a policy of Kubewarden or a group, of a namespace or of the cluster",
        ),
        (
            "[]".to_owned(),
            "a document without kind: expected a policy of Kubewarden or a group, of a namespace or of the cluster",
        ),
        (
            policy("rules: [{apiGroups: [''], apiVersions: [v1], resources: [], operations: [CREATE]}]"),
            "ClusterAdmissionPolicy/p: spec.rules[0].resources: expected at least one",
        ),
        (
            policy("rules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [create]}]"),
            "ClusterAdmissionPolicy/p: spec.rules[0].operations: expected CREATE, UPDATE, DELETE, CONNECT or *, found \"create\"",
        ),
        (
            policy("rules: [{apiGroups: [''], apiVersions: [v1], resources: [Pods], operations: [CREATE]}]"),
            "ClusterAdmissionPolicy/p: spec.rules[0].resources: expected the plural of a kind in lower case, such as pods or pods/ephemeralcontainers, found \"Pods\"",
        ),
        (policy("").replace("name: p", "generateName: p"), "ClusterAdmissionPolicy: metadata.name: expected a name"),
        (
            policy("module: 'registry://example.com/..'"),
            "ClusterAdmissionPolicy/p: spec.module: no name of a module in \"registry://example.com/..\"",
        ),
        (policy("module: ''"), "ClusterAdmissionPolicy/p: spec.module: no name of a module in \"\""),
        (policy("settings: [1]"), "ClusterAdmissionPolicy/p: spec.settings: settings must be an object, found a list"),
        (
            policy("matchConditions: [{name: a b, expression: 'true'}]"),
            "ClusterAdmissionPolicy/p: spec.matchConditions[0].name: found \"a b\", expected a qualified name as in example.com/not-system: letters, digits, -, _ and ., at most 63 characters, after an optional domain and /",
        ),
        (
            policy("allowInsideAdmissionControllerNamespace: 1"),
            "ClusterAdmissionPolicy/p: spec.allowInsideAdmissionControllerNamespace: expected a boolean, found 1",
        ),
        (
            policy("objectSelector: {matchExpressions: [{key: a, operator: Near}]}"),
            "ClusterAdmissionPolicy/p: spec.objectSelector.matchExpressions[0].operator: expected In, NotIn, Exists or DoesNotExist",
        ),
        (
            policy("objectSelector: {matchExpressions: [{key: a, operator: In}]}"),
            "ClusterAdmissionPolicy/p: spec.objectSelector.matchExpressions[0].values: expected at least one",
        ),
        (group("a() && c()"), "ClusterAdmissionPolicyGroup/g: spec.expression: c() is not in spec.policies"),
        (group("a() || !z()"), "ClusterAdmissionPolicyGroup/g: spec.expression: z() is not in spec.policies"),
        (
            group("a() and b_2()"),
            "ClusterAdmissionPolicyGroup/g: spec.expression: column 5: expected `==`, `!=`, `&&`, `||` or the end, found 'a'",
        ),
        (
            group(&deep),
            "ClusterAdmissionPolicyGroup/g: spec.expression: column 34: more than 32 parentheses and negations within each other",
        ),
        (
            group("a()").replace("b_2", "b-2"),
            "ClusterAdmissionPolicyGroup/g: spec.policies.b-2: expected letters, digits and `_`, for the expression to call it",
        ),
    ];
    for (text, expected) in cases {
        let error = documents::read(&parsed(&text)).map(|read| read.len()).map_err(|error| error.to_string());
        assert_eq!(error, Err(expected.to_owned()), "{text}");
    }
    // Of what the types refuse, the words are serde's.
    for (text, expected) in [
        (policy("mode: watch"), "unknown variant `watch`"),
        (policy("modes: protect"), "unknown field `modes`"),
        (policy("mutating: maybe"), "expected a boolean"),
        (policy("").replace("spec:", "specs:"), "spec: expected an object"),
        (policy("").replace("policies.kubewarden.io/v1", "policies.kubewarden.io/v9"), "policies.kubewarden.io/v1"),
        (group("a()").replace("message: rejected, ", ""), "missing field `message`"),
    ] {
        let error = documents::read(&parsed(&text)).map(|read| read.len()).expect_err(&text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

fn request(changes: &[(&str, Value)]) -> AdmissionRequest {
    let mut request = json!({
        "uid": "1", "kind": {"version": "v1", "kind": "Pod"}, "resource": {"version": "v1", "resource": "pods"},
        "operation": "CREATE", "userInfo": {}, "name": "web", "namespace": "shop",
        "object": {"metadata": {"labels": {"team": "a"}}},
    });
    for (key, value) in changes {
        request[*key] = value.clone();
    }
    serde_json::from_value(request).expect("a request")
}

#[test]
fn rules_and_selectors_match_as_in_the_api_server() {
    let resource =
        |resource: &str, group: &str| ("resource", json!({"group": group, "version": "v1", "resource": resource}));
    let rule = |resources: &str, more: &str| {
        policy(&format!(
            "rules: [{{apiGroups: ['*'], apiVersions: ['*'], resources: ['{resources}'], operations: ['*']{more}}}]"
        ))
    };
    let named = |operator: &str| {
        policy(&format!(
            "namespaceSelector: {{matchExpressions: [{{key: kubernetes.io/metadata.name, operator: {operator}, values: [shop]}}]}}"
        ))
    };
    let pod = || request(&[]);
    let log = || request(&[("subResource", json!("log"))]);
    let cluster = || request(&[("namespace", Value::Null), resource("persistentvolumes", "")]);
    let cases = [
        (policy(""), pod(), true),
        (policy(""), request(&[("operation", json!("UPDATE"))]), false),
        (policy(""), request(&[resource("pods", "metrics.k8s.io")]), false),
        (policy("").replace("apiVersions: [v1]", "apiVersions: [v2]"), pod(), false),
        (policy("").replace("pods", "deployments"), pod(), false),
        (policy("rules: []"), pod(), false),
        (policy(""), log(), false),
        (rule("pods", ""), log(), false),
        (rule("pods/log", ""), log(), true),
        (rule("pods/log", ""), pod(), false),
        (rule("pods/*", ""), log(), true),
        (rule("pods/*", ""), pod(), true),
        (rule("*/log", ""), log(), true),
        (rule("*", ""), log(), false),
        (rule("*", ""), pod(), true),
        (rule("*/*", ""), log(), true),
        (rule("*", ", scope: Namespaced"), pod(), true),
        (rule("*", ", scope: Namespaced"), cluster(), false),
        (rule("*", ", scope: Cluster"), cluster(), true),
        (named("In"), pod(), true),
        (named("In"), request(&[("namespace", json!("other"))]), false),
        (named("NotIn"), pod(), false),
        (named("NotIn"), request(&[("namespace", json!("other"))]), true),
        (policy("objectSelector: {matchLabels: {team: a}}"), pod(), true),
        (policy("objectSelector: {matchLabels: {team: b}}"), pod(), false),
        (
            policy("objectSelector: {matchLabels: {team: b}}"),
            request(&[("oldObject", json!({"metadata": {"labels": {"team": "b"}}}))]),
            true,
        ),
        (policy("objectSelector: {matchExpressions: [{key: team, operator: Exists}]}"), pod(), true),
        (policy("objectSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}"), pod(), false),
        (
            policy("").replace("ClusterAdmission", "Admission").replace("name: p", "name: p, namespace: shop"),
            pod(),
            true,
        ),
        (policy("").replace("ClusterAdmission", "Admission").replace("name: p", "name: p, namespace: x"), pod(), false),
    ];
    for (text, request, expected) in cases {
        assert_eq!(sees(&text, &request, &Namespaces::default()), Ok(expected), "{text}\n{request:?}");
    }
}

/// Whether the policy of a text sees a request.
fn sees(text: &str, request: &AdmissionRequest, namespaces: &Namespaces) -> Result<bool, UnknownLabel> {
    let read = documents::read(&parsed(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
    let [document] = read.as_slice() else { panic!("{text}: one document") };
    document.matching.sees(request, namespaces).map(|seen| seen.is_some())
}

#[test]
fn namespaces_are_selected_by_what_is_known_of_them() {
    let selector = |members: &str| policy(&format!("namespaceSelector: {{{members}}}"));
    let team = |operator: &str| selector(&format!("matchExpressions: [{{key: team, operator: {operator}}}]"));
    let is_a = || team("In, values: [a]");
    let with_inside = |text: String| text.replace("rules:", "allowInsideAdmissionControllerNamespace: true, rules:");
    let pod = |namespace: &str| request(&[("namespace", json!(namespace))]);
    let resource = json!({"group": "", "version": "v1", "resource": "namespaces"});
    let namespace = |team: &str| {
        let object = json!({"metadata": {"labels": {"team": team}}});
        let name = json!("new");
        request(&[("namespace", name.clone()), ("name", name), ("resource", resource.clone()), ("object", object)])
    };
    let of_namespaces = is_a().replace("pods", "namespaces");
    let both = "matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [b]}, {key: team, operator: Exists}]";
    let unknown = |namespace: &str| Err(UnknownLabel { namespace: namespace.to_owned(), label: "team".to_owned() });
    let known = parsed(
        "[{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: a}}}, \
                        {apiVersion: v1, kind: Namespace, metadata: {name: bare}}]",
    );
    let mut namespaces = Namespaces::default();
    namespaces.add_manifests(known[0].as_array().expect("a list")).expect("two namespaces");
    for (text, request, expected) in [
        (is_a(), pod("a"), Ok(true)),
        (is_a(), pod("bare"), Ok(false)),
        (is_a(), pod("other"), unknown("other")),
        (team("DoesNotExist"), pod("bare"), Ok(true)),
        // A name that decides makes the label needless.
        (selector(both), pod("other"), Ok(false)),
        (selector(both), pod("b"), unknown("b")),
        // The controller drops labels, and leaves out its own namespace, unless the document says otherwise.
        (selector("matchLabels: {team: x}"), pod("a"), Ok(true)),
        (selector("matchLabels: {team: x}"), pod("kubewarden"), Ok(false)),
        (with_inside(selector("matchLabels: {team: x}")), pod("a"), Ok(false)),
        (with_inside(selector("matchLabels: {team: a}")), pod("a"), Ok(true)),
        (policy(""), pod("kubewarden"), Ok(false)),
        (with_inside(policy("")), pod("kubewarden"), Ok(true)),
        // A namespace brings its own labels.
        (of_namespaces.clone(), namespace("a"), Ok(true)),
        (of_namespaces, namespace("b"), Ok(false)),
    ] {
        assert_eq!(sees(&text, &request, &namespaces), expected, "{text}\n{request:?}");
    }
    let twice = parsed("[{apiVersion: v1, kind: Namespace, metadata: {name: a}}]");
    let problem = namespaces.add_manifests(twice[0].as_array().expect("a list"));
    assert_eq!(problem, Err("Namespace a is defined twice, with different labels".to_owned()));
}

#[test]
fn what_the_controller_drops_is_warned_of() {
    let text = policy("namespaceSelector: {matchLabels: {team: b, stage: prod}}");
    let read = documents::read(&parsed(&text)).expect("a policy");
    let warning = "spec.namespaceSelector.matchLabels (stage: prod, team: b): Kubewarden's controller drops them, so that \
                   the policy counts in all namespaces; write them as matchExpressions";
    assert_eq!(read[0].warnings, [warning]);
    for member in [
        "",
        "namespaceSelector: {matchExpressions: [{key: a, operator: Exists}]}",
        "objectSelector: {matchLabels: {a: b}}",
    ] {
        let read = documents::read(&parsed(&policy(member))).expect("a policy");
        assert!(read[0].warnings.is_empty(), "{member}: {:?}", read[0].warnings);
    }
}

#[test]
fn a_workload_of_an_old_api_is_seen_as_one_of_todays() {
    let rule = "rules: [{apiGroups: [apps, batch], apiVersions: [v1], resources: [deployments, cronjobs], operations: [CREATE]}]";
    let of = |group: &str, version: &str, kind: &str, resource: &str| {
        request(&[
            ("kind", json!({"group": group, "version": version, "kind": kind})),
            ("resource", json!({"group": group, "version": version, "resource": resource})),
            ("object", json!({"apiVersion": format!("{group}/{version}"), "kind": kind})),
        ])
    };
    for (group, version, kind, resource, becomes) in [
        ("extensions", "v1beta1", "Deployment", "deployments", Some("apps/v1")),
        ("apps", "v1beta2", "Deployment", "deployments", Some("apps/v1")),
        ("batch", "v1beta1", "CronJob", "cronjobs", Some("batch/v1")),
        ("apps", "v1", "Deployment", "deployments", Some("apps/v1")),
        ("apps", "v1beta9", "Deployment", "deployments", None),
        ("extensions", "v1beta1", "Ingress", "ingresses", None),
    ] {
        let read = documents::read(&parsed(&policy(rule))).expect("a policy");
        let request = of(group, version, kind, resource);
        let seen = read[0].matching.sees(&request, &Namespaces::default()).expect("no labels");
        let seen = seen.map(|of| {
            let object = of.object.clone().unwrap_or_default();
            (format!("{}/{}", of.kind.group, of.kind.version), object["apiVersion"].as_str().map(str::to_owned))
        });
        let expected = becomes.map(|of| (of.to_owned(), Some(of.to_owned())));
        assert_eq!(seen, expected, "{group}/{version} {kind}");
    }
    let exact = policy(&format!("{rule}, matchPolicy: Exact"));
    let old = of("extensions", "v1beta1", "Deployment", "deployments");
    assert_eq!(sees(&exact, &old, &Namespaces::default()), Ok(false));
}

#[test]
fn what_lies_beside_policies_is_left_out() {
    let server = "{apiVersion: policies.kubewarden.io/v1, kind: PolicyServer, metadata: {name: default}}";
    let list = format!("{{kind: List, items: [{server}, {}]}}", policy(""));
    let read = documents::read_for(&parsed(&list), "kubewarden").expect("a policy and a server");
    assert_eq!((read.documents.len(), read.servers), (1, vec!["PolicyServer/default".to_owned()]));
}

#[test]
fn a_kustomization_patches_what_its_targets_name() {
    let document = || {
        json!({
            "apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy", "metadata": {"name": "podfence-users"},
            "spec": {"mode": "monitor"},
        })
    };
    let patch = "patch: '[{op: replace, path: /spec/mode, value: protect}]'";
    for (target, expected) in [
        ("{group: policies.kubewarden.io}", "protect"),
        ("{group: policies.kubewarden.io, version: v1, kind: ClusterAdmissionPolicy, name: podfence-users}", "protect"),
        ("{}", "protect"),
        ("{group: apps}", "monitor"),
        ("{version: v1alpha2}", "monitor"),
        ("{kind: AdmissionPolicy}", "monitor"),
        ("{name: podfence-user}", "monitor"),
    ] {
        let text = format!("{{kind: Kustomization, resources: [a.yaml], patches: [{{target: {target}, {patch}}}]}}");
        let kustomization = Kustomization::read(&parsed(&text)[0]).expect("a kustomization");
        assert_eq!(kustomization.resources, ["a.yaml"]);
        let mut changed = document();
        assert_eq!(kustomization.apply(&mut changed), Ok(()), "{target}");
        assert_eq!(changed["spec"]["mode"], expected, "{target}");
    }
    let text = "{kind: Kustomization, patches: [{target: {}, patch: '[{op: replace, path: /spec/a/b, value: 1}]'}]}";
    let kustomization = Kustomization::read(&parsed(text)[0]).expect("a kustomization");
    let error = kustomization.apply(&mut document());
    assert_eq!(error, Err("Kustomization: patches[0].patch: /spec/a/b: the document has no such field".to_owned()));
}

#[test]
fn what_only_kustomize_understands_is_refused() {
    let of_patch = |patch: &str| format!("patches: [{patch}]");
    for (text, expected) in [
        ("namePrefix: a-".to_owned(), "namePrefix: expected only resources and patches"),
        ("components: [../a]".to_owned(), "components: expected only resources and patches"),
        ("resources: a.yaml".to_owned(), "resources: expected a list, found \"a.yaml\""),
        ("resources: [1]".to_owned(), "resources: expected files and directories, found 1"),
        (of_patch("a.yaml"), "patches[0]: expected an object"),
        (of_patch("{path: a.yaml}"), "patches[0].path: expected only a target, and a patch in JSON 6902"),
        (
            of_patch("{target: {}, patch: '[]', options: {}}"),
            "patches[0].options: expected only a target, and a patch in JSON 6902",
        ),
        (of_patch("{patch: '[]'}"), "patches[0].target: expected the documents to change, found nothing"),
        (
            of_patch("{target: {labelSelector: a=b}, patch: '[]'}"),
            "patches[0].target: unknown field `labelSelector`, expected one of `group`, `version`, `kind`, `name`",
        ),
        (
            of_patch("{target: {name: podfence-.*}, patch: '[]'}"),
            "patches[0].target: expected names of letters, digits, `-` and `.`, found \"podfence-.*\"",
        ),
        (of_patch("{target: {}, patch: []}"), "patches[0].patch: expected a text"),
        (
            of_patch("{target: {}, patch: '{spec: {mode: protect}}'}"),
            "patches[0].patch: expected operations of JSON 6902, such as {op: replace, path: …, value: …}",
        ),
        (
            of_patch("{target: {}, patch: '[{op: merge, path: /a, value: 1}]'}"),
            "patches[0].patch: expected operations of JSON 6902, such as {op: replace, path: …, value: …}",
        ),
    ] {
        let read = Kustomization::read(&parsed(&format!("{{kind: Kustomization, {text}}}"))[0]);
        let error = read.expect_err(&text);
        let is_built = "; pass the output of `kubectl kustomize` instead";
        assert_eq!(error.strip_suffix(is_built).unwrap_or(&error), format!("Kustomization: {expected}"), "{text}");
    }
}
