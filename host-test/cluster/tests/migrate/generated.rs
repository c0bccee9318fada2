//! Generated sources and pods: what the source refused is refused, and what it let in is let in, unless a warning says why
//! not. What the sources decided is stated here once more, from their documentation and from nothing of ours.

use std::collections::BTreeMap;

use podfence_cluster::migrate::{Effect, Migration, migrate};
use podfence_support::Random;
use serde_json::{Value, json};

use crate::fence::{Fence, User, pod_of};
use crate::{ASPECTS, Aspect, cases, gatekeeper, is_laxer, is_of_kubewarden, options, pairs, psp, sources, stricter};

const NAMESPACES: [&str; 3] = ["a", "b", "kube-system"];

fn account(namespace: &str, name: &str) -> User {
    User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        groups: ["system:serviceaccounts", &*format!("system:serviceaccounts:{namespace}"), "system:authenticated"]
            .map(str::to_owned)
            .to_vec(),
    }
}

/// Who may use a PodSecurityPolicy: RBAC as the API server's authorizer decides it.
fn may_use(access: &[Value], policy: &str, namespace: &str, user: &User) -> bool {
    let grants = |role: &Value| {
        role["rules"].as_array().unwrap().iter().any(|rule| {
            let names = rule["resourceNames"].as_array();
            rule["verbs"][0] == "use" && names.is_none_or(|names| names.iter().any(|name| name == policy))
        })
    };
    let is_subject = |subject: &Value| match subject["kind"].as_str().unwrap() {
        "Group" => user.groups.iter().any(|group| subject["name"] == **group),
        "User" => subject["name"] == *user.name,
        _ => {
            let [namespace, name] = ["namespace", "name"].map(|field| subject[field].as_str().unwrap());
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
    };
    access.iter().any(|binding| {
        let counts = match binding["kind"].as_str().unwrap() {
            "RoleBinding" => binding["metadata"]["namespace"] == namespace,
            kind => kind == "ClusterRoleBinding",
        };
        let role =
            access.iter().find(|of| of["metadata"]["name"] == binding["roleRef"]["name"] && of["rules"].is_array());
        counts && role.is_some_and(grants) && binding["subjects"].as_array().unwrap().iter().any(is_subject)
    })
}

fn subject(random: &mut Random) -> Value {
    let namespace = *random.of(&NAMESPACES);
    match random.below(7) {
        0 => json!({"kind": "Group", "name": "system:authenticated"}),
        1 => json!({"kind": "Group", "name": format!("system:serviceaccounts:{namespace}")}),
        2 => json!({"kind": "Group", "name": "admins"}),
        3 => json!({"kind": "User", "name": "root"}),
        4 => json!({"kind": "User", "name": format!("system:serviceaccount:{namespace}:agent")}),
        _ => json!({"kind": "ServiceAccount", "namespace": namespace, "name": *random.of(&["default", "agent"])}),
    }
}

/// Roles of each policy and bindings of them.
fn access(policies: &[Value], random: &mut Random) -> Vec<Value> {
    let mut documents = Vec::new();
    for policy in policies {
        let name = policy["metadata"]["name"].as_str().unwrap();
        documents.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": format!("psp-{name}")},
            "rules": [{"apiGroups": ["policy"], "resources": ["podsecuritypolicies"], "verbs": ["use"], "resourceNames": [name]}],
        }));
        for number in 0..=random.below(2) {
            let mut binding = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                "metadata": {"name": format!("{name}-{number}")},
                "roleRef": {"kind": "ClusterRole", "name": format!("psp-{name}")},
                "subjects": [subject(random)],
            });
            if random.is(2) {
                binding["kind"] = json!("RoleBinding");
                binding["metadata"]["namespace"] = json!(random.of(&NAMESPACES));
            }
            documents.push(binding);
        }
    }
    documents
}

/// The PodSecurityPolicies of all cases, and one that forbids nothing.
fn policies() -> Vec<Value> {
    let cases = cases().into_iter().flat_map(|case| sources(&case));
    let mut policies: Vec<Value> = cases.filter(|source| source["kind"] == "PodSecurityPolicy").collect();
    policies.retain(|policy| policy["metadata"]["name"] != "privileged");
    policies.push(json!({
        "apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy",
        "metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/allowedProfileNames": "*"}},
        "spec": {
            "privileged": true, "hostNetwork": true, "hostPID": true, "hostIPC": true, "volumes": ["*"],
            "allowedCapabilities": ["*"], "hostPorts": [{"min": 0, "max": 65535}], "allowedUnsafeSysctls": ["*"],
            "allowedProcMountTypes": ["Default", "Unmasked"],
        },
    }));
    policies
}

/// Whether a migration says that a policy refuses more.
fn is_stricter(migration: &Migration, refusal: &str) -> bool {
    let warned = |path: &str| migration.warnings.iter().any(|warning| warning.path == path);
    let is_group = |of: &Value| {
        let name = of["metadata"]["name"].as_str().unwrap();
        of["kind"] == "ClusterAdmissionPolicyGroup" && refusal.starts_with(&format!("clusterwide-group-{name}: "))
    };
    stricter(refusal).iter().any(|path| warned(path)) || migration.policies.iter().any(is_group)
}

#[test]
fn pod_security_policies_count_for_whom_rbac_says() {
    const NONE_USABLE: &str = "pods for which no PodSecurityPolicy could be used were rejected; they are accepted now";
    let pool = policies();
    let aspects: Vec<Vec<Aspect>> = serde_saphyr::from_str(ASPECTS).unwrap();
    let pods = pairs(&aspects);
    let (mut random, mut wrong) = (Random::new(4711), Vec::new());
    let (mut allowed, mut refused) = (0, 0);
    for _ in 0..40 {
        let given: Vec<Value> = (0..=random.below(3))
            .map(|index| {
                let mut policy = random.of(&pool).clone();
                policy["metadata"]["name"] = json!(format!("p{index}"));
                policy
            })
            .collect();
        let access = access(&given, &mut random);
        let migration = migrate(&[given.clone(), access.clone()].concat(), &options());
        let is_said = |text: &str| migration.warnings.iter().any(|warning| warning.text == text);
        let fence = Fence::new(&migration.policies, &[]);
        for _ in 0..100 {
            let mut pod = random.of(&pods).clone();
            let (namespace, name) = (*random.of(&NAMESPACES), *random.of(&["default", "agent"]));
            pod["metadata"]["namespace"] = json!(namespace);
            pod["spec"]["serviceAccountName"] = json!(name);
            let user = match random.below(4) {
                0 => User { name: "root".to_owned(), groups: vec!["system:authenticated".to_owned()] },
                1 => User {
                    name: "eve".to_owned(),
                    groups: vec!["system:authenticated".to_owned(), "admins".to_owned()],
                },
                2 => {
                    let namespace = *random.of(&NAMESPACES);
                    account(namespace, "agent")
                }
                _ => account("kube-system", "replicaset-controller"),
            };
            let usable: Vec<&Value> = given
                .iter()
                .filter(|policy| {
                    let policy = policy["metadata"]["name"].as_str().unwrap();
                    let is_usable = |user: &User| may_use(&access, policy, namespace, user);
                    is_usable(&user) || is_usable(&account(namespace, name))
                })
                .collect();
            let is_allowed = usable.iter().any(|policy| psp::allows(policy, &pod));
            let refusals = fence.refusals_of(&pod, &user);
            let is_right = match is_allowed {
                true => refusals.iter().all(|refusal| is_stricter(&migration, refusal)),
                false => {
                    !refusals.is_empty()
                        || is_laxer(&migration.warnings, &pod)
                        || usable.is_empty() && is_said(NONE_USABLE)
                }
            };
            *if is_allowed { &mut allowed } else { &mut refused } += 1;
            if !is_right {
                let names: Vec<&Value> = usable.iter().map(|of| &of["metadata"]["name"]).collect();
                wrong.push(format!(
                    "{is_allowed}, usable {names:?}, {refusals:?}: {user:?} {pod}\n{}",
                    json!([given, access])
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(3)].join("\n"));
    assert!(allowed > 500 && refused > 500, "{allowed} allowed, {refused} refused");
}

/// A level and a minor version; what asks for nothing is `None`.
type Standard = (Option<&'static str>, u32);

const NEWEST: u32 = 37;

/// What is read in a label or in a default.
fn level(name: &str, otherwise: Option<&'static str>) -> Option<&'static str> {
    match name {
        "privileged" => None,
        "baseline" => Some("baseline"),
        "restricted" => Some("restricted"),
        _ => otherwise,
    }
}

fn version(name: &str) -> u32 {
    name.strip_prefix("v1.").and_then(|minor| minor.parse().ok()).unwrap_or(NEWEST)
}

/// What the built-in admission enforces and warns of in a namespace.
fn evaluated(labels: &BTreeMap<String, String>, defaults: &Value) -> (Standard, Standard) {
    let label = |key: &str| labels.get(&format!("pod-security.kubernetes.io/{key}")).map(String::as_str);
    let default = |mode: &str| -> Standard {
        let text = |key: &str| defaults[key].as_str();
        let name = text(mode).unwrap_or("privileged");
        (level(name, None), text(&format!("{mode}-version")).map_or(NEWEST, version))
    };
    let read = |mode: &str, otherwise| -> Standard {
        let (of_default, version_of_default) = default(mode);
        (
            label(mode).map_or(of_default, |name| level(name, otherwise)),
            label(&format!("{mode}-version")).map_or(version_of_default, version),
        )
    };
    let (enforce, mut warn) = (read("enforce", Some("restricted")), read("warn", None));
    let rank = |level: Option<&str>| level.map_or(0, |level| if level == "baseline" { 1 } else { 2 });
    let is_valid = label("enforce").is_some_and(|name| ["privileged", "baseline", "restricted"].contains(&name));
    if label("warn").is_none() && is_valid && rank(enforce.0) > rank(default("warn").0) {
        warn = (enforce.0, if label("warn-version").is_some() { warn.1 } else { enforce.1 });
    }
    (enforce, warn)
}

/// Whether a pod violates a level in a minor version.
type Violates = fn(&str, u32) -> bool;

/// Pods, and in which standards they are violations.
fn pods() -> [(Value, Violates); 5] {
    let good = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "app", "image": "a",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    });
    let mut with_sysctl = good.clone();
    with_sysctl["securityContext"]["sysctls"] = json!([{"name": "net.ipv4.tcp_rmem", "value": "1"}]);
    let mut with_probe = good.clone();
    with_probe["containers"][0]["livenessProbe"] = json!({"tcpSocket": {"host": "a", "port": 1}});
    let plain = json!({"containers": [{"name": "app", "image": "a"}]});
    let mut of_node = plain.clone();
    of_node["hostPID"] = json!(true);
    [
        (good, |_, _| false),
        (with_sysctl, |_, minor| minor < 32),
        (with_probe, |_, minor| minor >= 34),
        (plain, |level, _| level == "restricted"),
        (of_node, |_, _| true),
    ]
}

fn namespace_labels(random: &mut Random, versions: &[&str]) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for mode in ["enforce", "audit", "warn"] {
        if random.is(2) {
            let level = *random.of(&["privileged", "baseline", "restricted", "restricted", "restrcted"]);
            labels.insert(format!("pod-security.kubernetes.io/{mode}"), level.to_owned());
        }
        if random.is(3) {
            labels.insert(format!("pod-security.kubernetes.io/{mode}-version"), (*random.of(versions)).to_owned());
        }
    }
    labels
}

#[test]
fn namespaces_get_the_levels_of_their_labels() {
    let (mut random, mut wrong, mut judged) = (Random::new(42), Vec::new(), 0);
    for _ in 0..80 {
        let is_configured = random.is(2);
        let mut defaults = json!({});
        for mode in ["enforce", "audit", "warn"] {
            if random.is(2) {
                defaults[mode] = json!(random.of(&["privileged", "baseline", "restricted"]));
                defaults[format!("{mode}-version")] = json!(random.of(&["latest", "v1.33", "v1.20"]));
            }
        }
        let versions: &[&str] = if random.is(2) { &["latest"] } else { &["latest", "v1.33", "v1.20", "1.20"] };
        let mut namespaces = BTreeMap::new();
        for index in 0..1 + random.below(4) {
            namespaces.insert(format!("n{index}"), namespace_labels(&mut random, versions));
        }
        let mut sources: Vec<Value> = namespaces
            .iter()
            .map(|(name, labels)| {
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
            })
            .collect();
        if is_configured {
            sources.push(json!({
                "apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration",
                "defaults": defaults,
                "exemptions": {"namespaces": ["exempt"], "usernames": ["root"], "runtimeClasses": ["vm"]},
            }));
        } else {
            defaults = json!({});
        }
        let migration = migrate(&sources, &options());
        let fence = Fence::new(&migration.policies, &sources);
        for (name, labels) in &namespaces {
            let (enforce, warn) = evaluated(labels, &defaults);
            for (spec, violates) in pods() {
                let is_violation = |standard: Standard| standard.0.is_some_and(|level| violates(level, standard.1));
                let pod = pod_of(&spec, Some(&json!({"namespace": name})));
                let is_refused = !fence.refusals(&pod).is_empty();
                let deployment = json!({
                    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": name},
                    "spec": {"template": {"spec": spec}},
                });
                judged += 1;
                let found = (is_refused, !fence.warnings(&deployment).is_empty());
                let expected = (is_violation(enforce), is_violation(warn));
                if found != expected {
                    wrong.push(format!("found {found:?}, expected {expected:?}: {labels:?} {defaults} {spec}"));
                }
                let root = User { name: "root".to_owned(), groups: Vec::new() };
                if is_configured {
                    assert_eq!(fence.refusals_of(&pod, &root), [""; 0], "who is exempt");
                }
            }
        }
        let bad =
            pod_of(&json!({"hostPID": true, "containers": [{"name": "a"}]}), Some(&json!({"namespace": "exempt"})));
        assert!(!is_configured || fence.refusals(&bad).is_empty(), "an exempt namespace");
        // Namespaces that are labelled later.
        let is_pinned = migration.warnings.iter().any(|warning| warning.text.contains(" later are evaluated by "));
        let has_label = namespaces.values().any(|labels| labels.contains_key("pod-security.kubernetes.io/enforce"));
        if !is_pinned && (is_configured || has_label) {
            for level in ["baseline", "restricted"] {
                let later = json!({
                    "apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": "later", "labels": {"pod-security.kubernetes.io/enforce": level}},
                });
                let fence = Fence::new(&migration.policies, &[later]);
                let bad = pod_of(
                    &json!({"hostPID": true, "containers": [{"name": "a"}]}),
                    Some(&json!({"namespace": "later"})),
                );
                assert!(!fence.refusals(&bad).is_empty(), "{level}: {sources:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {judged} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
    assert!(judged > 500, "{judged}");
}

/// Gatekeeper's patterns.
fn is_like(pattern: &str, name: &str) -> bool {
    match (pattern.starts_with('*'), pattern.ends_with('*')) {
        (true, true) => name.contains(pattern.trim_matches('*')),
        (true, false) => name.ends_with(&pattern[1..]),
        (false, true) => name.starts_with(&pattern[..pattern.len() - 1]),
        (false, false) => name == pattern,
    }
}

#[test]
fn constraints_match_the_pods_that_gatekeeper_matched() {
    const PATTERNS: [&str; 7] = ["a", "kube-*", "*-system", "*team*", "kube-system", "*", "b'"];
    const NAMES: [&str; 6] = ["a", "kube-system", "mesh-system", "x-team-y", "kube", "b"];
    let (mut random, mut refused) = (Random::new(7), 0);
    for _ in 0..300 {
        let mut list =
            |most: usize| -> Vec<&str> { (0..random.below(most)).map(|_| *random.of(&PATTERNS[..])).collect() };
        let (named, excluded, by_config) = (list(3), list(3), list(2));
        let labels = |random: &mut Random| json!({"team": *random.of(&["a", "b"])});
        let (has_selector, namespace_labels) = (random.is(2), labels(&mut random));
        let mut constraint = json!({
            "apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "K8sPSPPrivilegedContainer", "metadata": {"name": "c"},
            "spec": {"match": {"namespaces": named, "excludedNamespaces": excluded}},
        });
        if has_selector {
            constraint["spec"]["match"]["namespaceSelector"] = json!({"matchLabels": {"team": "a"}});
        }
        let config = json!({
            "apiVersion": "config.gatekeeper.sh/v1alpha1", "kind": "Config", "metadata": {"name": "config"},
            "spec": {"match": [{"excludedNamespaces": by_config, "processes": ["webhook"]}]},
        });
        let migration = migrate(&[constraint.clone(), config], &options());
        assert!(migration.warnings.iter().all(|warning| warning.effect < Effect::Weaker), "{:?}", migration.warnings);
        for name in NAMES {
            let metadata = json!({"name": name, "labels": namespace_labels});
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
            let fence = Fence::new(&migration.policies, &[namespace]);
            let pod = json!({"containers": [{"name": "app", "securityContext": {"privileged": true}}]});
            let pod = pod_of(&pod, Some(&json!({"namespace": name})));
            let is_any = |patterns: &[&str]| patterns.iter().any(|pattern| is_like(pattern, name));
            let is_matched = (named.is_empty() || is_any(&named))
                && !is_any(&excluded)
                && !is_any(&by_config)
                && (!has_selector || namespace_labels["team"] == "a");
            assert_eq!(
                fence.refusals(&pod).is_empty(),
                !is_matched,
                "{name} {namespace_labels} {by_config:?} {constraint}"
            );
            refused += usize::from(is_matched);
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn constraints_decide_as_their_templates() {
    const POD_LEVEL: &str = "the pod-level value must be allowed, even if every container overrides it";
    const DROPPED: &str = "a container could add a capability that it must drop; Podfence rejects such a container";
    let aspects: Vec<Vec<Aspect>> = serde_saphyr::from_str(ASPECTS).unwrap();
    let pods = pairs(&aspects);
    let (mut judged, mut wrong) = (0, Vec::new());
    for (kind, parameters) in gatekeeper::parameters() {
        for parameters in parameters {
            let constraint = json!({
                "apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": kind, "metadata": {"name": "c"},
                "spec": {"parameters": parameters},
            });
            let migration = migrate(&[constraint], &options());
            let is_said = |text: &str| migration.warnings.iter().any(|warning| warning.text == text);
            let is_weaker = migration.warnings.iter().any(|warning| warning.effect == Effect::Weaker);
            let fence = Fence::new(&migration.policies, &[]);
            for pod in pods.iter().step_by(3) {
                let (is_allowed, refusals) = (gatekeeper::allows(kind, &parameters, pod), fence.refusals(pod));
                let is_right = match (is_allowed, refusals.is_empty()) {
                    (true, false) => is_said(POD_LEVEL) || is_said(DROPPED),
                    (false, true) => is_weaker,
                    _ => true,
                };
                judged += 1;
                if !is_right {
                    wrong.push(format!("{kind} {parameters}: {is_allowed}, {refusals:?}: {pod}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {judged} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(judged > 5000, "{judged}");
}

/// The rules of a policy of Kubewarden, and which requests they match. A `*` of resources matches no subresource.
fn rules_match(rules: &[Value], group: &str, resource: &str) -> bool {
    let has = |rule: &Value, list: &str, name: &str| {
        rule[list].as_array().unwrap().iter().any(|of| of == name || of == "*" && !name.contains('/') || of == "*/*")
    };
    rules.iter().any(|rule| {
        has(rule, "apiGroups", group) && has(rule, "resources", resource) && has(rule, "operations", "CREATE")
    })
}

#[test]
fn rules_of_kubewarden_match_what_they_matched_and_holds_a_pod() {
    const ADDED: &str = "no rule matched pods, so pods without a workload were not evaluated; rules for pods are added";
    let (mut random, mut refused) = (Random::new(99), 0);
    let template = json!({"spec": {"containers": [{"name": "app", "securityContext": {"privileged": true}}]}});
    for _ in 0..300 {
        let mut pick = |names: &[&'static str]| -> Vec<&'static str> {
            (0..=random.below(2)).map(|_| *random.of(names)).collect()
        };
        let rules: Vec<Value> = (0..2)
            .map(|_| {
                json!({
                    "apiGroups": pick(&["", "apps", "batch", "*", "networking.k8s.io"]),
                    "apiVersions": ["v1"],
                    "resources": pick(&["pods", "deployments", "jobs", "configmaps", "*", "pods/ephemeralcontainers", "*/*"]),
                    "operations": pick(&["CREATE", "UPDATE", "*", "DELETE"]),
                })
            })
            .collect();
        let source = json!({
            "apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy", "metadata": {"name": "p"},
            "spec": {"module": "registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3", "rules": rules, "mutating": false},
        });
        let migration = migrate(&[source], &options());
        let is_added = migration.warnings.iter().any(|warning| warning.text == ADDED);
        let fence = Fence::new(&migration.policies, &[]);
        for (version, kind, group, resource, own) in [
            ("v1", "Pod", "", "pods", template.clone()),
            ("apps/v1", "Deployment", "apps", "deployments", json!({"spec": {"template": template}})),
            ("batch/v1", "Job", "batch", "jobs", json!({"spec": {"template": template}})),
            ("v1", "ConfigMap", "", "", json!({"data": {"a": "b"}})),
        ] {
            let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a", "namespace": "n"}});
            json_patch::merge(&mut object, &own);
            let was_refused = !resource.is_empty() && rules_match(&rules, group, resource);
            let is_refused = !fence.refusals(&object).is_empty();
            let is_explained = kind == "Pod" && is_added && is_refused;
            assert!(was_refused == is_refused || is_explained, "{kind}, was {was_refused}: {rules:?}");
            refused += usize::from(was_refused);
        }
    }
    assert!(refused > 100, "{refused}");
}

/// A place in a value, found by counting down.
fn place<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Object(members) => members.values_mut().find_map(|member| place(member, left)),
        Value::Array(elements) => elements.iter_mut().find_map(|element| place(element, left)),
        _ => None,
    }
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(size).sum(),
        Value::Array(elements) => elements.iter().map(size).sum(),
        _ => 0,
    }
}

/// Each document is there, or named as what was left out; and the one beside it is migrated.
#[test]
fn any_value_may_be_odd() {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("*"),
        json!("é*"),
        json!("a*b"),
        json!([]),
        json!([null]),
        json!([1, "", "*"]),
        json!({}),
        json!({"": null}),
        json!("x".repeat(300)),
        json!(i64::MAX),
    ];
    let beside = json!({
        "apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "K8sPSPHostProcess", "metadata": {"name": "beside"},
    });
    let inputs: Vec<Vec<Value>> = cases().iter().map(|case| sources(case)).collect();
    let mut random = Random::new(12);
    for round in 0..4000 {
        let mut input = Value::Array(random.of(&inputs).clone());
        for _ in 0..=random.below(3) {
            let mut left = 1 + random.below(size(&input) - 1);
            if let Some(place) = place(&mut input, &mut left) {
                *place = random.of(&odd).clone();
            }
        }
        let Value::Array(mut documents) = input else { unreachable!("the list itself stays") };
        documents.push(beside.clone());
        let workloads = random.is(2);
        let migration = migrate(&documents, &podfence_cluster::migrate::Options { workloads, ..options() });
        let is_there = migration.policies.iter().any(|of| of["metadata"]["name"] == "podfence-beside-host-process");
        assert!(is_there, "{round}: {documents:?}");
        for document in &migration.policies {
            is_of_kubewarden(document).unwrap_or_else(|error| panic!("{error}: {document}"));
            for selector in ["namespaceSelector", "objectSelector"] {
                for of in document["spec"][selector]["matchExpressions"].as_array().into_iter().flatten() {
                    let values = of["values"].as_array().map(Vec::as_slice).unwrap_or_default();
                    let has_values = matches!(of["operator"].as_str(), Some("In" | "NotIn"));
                    assert_eq!(has_values, !values.is_empty(), "{documents:?}");
                    assert!(values.iter().all(|value| value.as_str().unwrap().len() < 64), "{documents:?}");
                }
            }
        }
        // What is printed is what the modules take. Members of other projects stay in their groups.
        if round % 10 == 0 {
            let is_ours = |document: &Value| {
                let spec = &document["spec"];
                let members = spec["policies"].as_object().into_iter().flat_map(|members| members.values());
                let mut modules = members.chain((!spec["module"].is_null()).then_some(spec)).map(|of| &of["module"]);
                modules.all(|module| module.as_str().is_some_and(|url| url.contains("/podfence/")))
            };
            let ours: Vec<Value> = migration.policies.iter().filter(|of| is_ours(of)).cloned().collect();
            Fence::new(&ours, &[]);
        }
    }
}
