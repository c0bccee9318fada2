use std::collections::BTreeMap;
use std::sync::LazyLock;

use podfence_host::Limits;
use podfence_scan::judge::{Outcome, State, Verdict};
use podfence_scan::object::{self, Content, Object};
use podfence_scan::yaml;
use podfence_support::Workplace;

use super::*;

static HOST: LazyLock<Host> = LazyLock::new(|| Host::new(Limits::default()).expect("an engine"));

/// Finds the modules as a program does that was built beside them.
fn judge(selection: &Selection) -> Result<Judge> {
    selection.judge_with(&HOST, &Places::of_own(podfence_support::modules()))
}

fn error(selection: &Selection) -> String {
    let Err(error) = judge(selection) else { panic!("{selection:?} is wrong") };
    format!("{error:#}")
}

fn object(yaml: &str) -> Object {
    let document = yaml::documents(yaml).next().expect("a document").expect("YAML");
    let Content::One(object) = object::content(document.json) else { panic!("no object: {yaml}") };
    *object
}

fn outcome(judge: &Judge, yaml: &str) -> Outcome {
    judge.judge(&mut judge.worker(), &object(yaml))
}

/// `SEVERITY POLICY[ LEVEL]: CONTROL at PATH, …` for each verdict.
fn found(outcome: &Outcome) -> Vec<String> {
    let show = |verdict: &Verdict| {
        let level = verdict.level.as_ref().map_or_else(String::new, |level| format!(" {level}"));
        let violations = verdict.violations.iter().map(|of| format!("{} at {}", of.control, of.path));
        let violations = violations.collect::<Vec<_>>().join(", ");
        let failure = verdict.failure.as_ref().map_or_else(String::new, |why| format!("; {why}"));
        format!("{:?} {}{level}: {violations}{failure}", verdict.severity, verdict.policy)
    };
    outcome.verdicts.iter().map(show).collect()
}

fn levels(enforce: Option<&str>, warn: Option<&str>) -> Selection {
    Selection { enforce: enforce.map(str::to_owned), warn: warn.map(str::to_owned), ..Selection::default() }
}

fn single(name: &str, settings: Value) -> Single {
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    let origin = format!("--policy {name}");
    Single { name: name.to_owned(), settings: Some(settings), severity: Severity::Error, origin }
}

fn policy(singles: impl IntoIterator<Item = Single>) -> Selection {
    Selection { policy: singles.into_iter().collect(), ..Selection::default() }
}

const PRIVILEGED: &str = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {\
    securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}, containers: [{name: a, \
    securityContext: {privileged: true, capabilities: {drop: [ALL]}}}]}}";

const HARMLESS: &str = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {\
    securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}, containers: [{name: a, \
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}}";

const ERROR: &str =
    "Error pod-security-standards baseline: privileged at spec.containers[0].securityContext.privileged";
const WARNING: &str = "Warning pod-security-standards restricted: allowPrivilegeEscalation at \
                       spec.containers[0].securityContext.allowPrivilegeEscalation";

#[test]
fn baseline_is_enforced_and_restricted_warned_of() {
    let judge = judge(&Selection::default()).unwrap();
    let outcome = outcome(&judge, PRIVILEGED);
    assert_eq!(outcome.state, State::Judged);
    assert_eq!(found(&outcome), [ERROR, WARNING]);
    let verdict = &outcome.verdicts[0];
    assert_eq!(
        verdict.message,
        "violates PodSecurity \"baseline:latest\": privileged (container \"a\" must not set \
         securityContext.privileged=true)"
    );
    assert!(verdict.docs.ends_with("/policies/pod-security-standards"), "{}", verdict.docs);
    let violation = &verdict.violations[0];
    assert_eq!((violation.container.as_deref(), &violation.value), (Some("a"), &json!(true)));
    assert!(!violation.fix.is_empty());
    assert_eq!(self::outcome(&judge, HARMLESS), Outcome::of(State::Judged));
}

#[test]
fn a_level_that_is_warned_of_does_not_stand_for_the_enforced_one() {
    // Restricted asks a Windows pod for no capabilities.
    let windows = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {os: {name: windows}, \
        securityContext: {runAsNonRoot: true}, containers: [{name: a, securityContext: {capabilities: {add: \
        [SYS_ADMIN]}}}]}}";
    let add = "capabilities_baseline at spec.containers[0].securityContext.capabilities.add[0]";
    let default = judge(&Selection::default()).unwrap();
    assert_eq!(found(&outcome(&default, windows)), [format!("Error pod-security-standards baseline: {add}")]);
    let restricted = judge(&levels(Some("restricted"), None)).unwrap();
    assert_eq!(found(&outcome(&restricted, windows)), [""; 0]);
}

#[test]
fn enforcing_alone_warns_of_nothing_and_warning_alone_enforces_baseline() {
    let enforce = judge(&levels(Some("baseline:v1.30"), None)).unwrap();
    assert_eq!(found(&outcome(&enforce, PRIVILEGED)), [ERROR.replace("baseline", "baseline:v1.30")]);
    let warn = judge(&levels(None, Some("restricted:latest"))).unwrap();
    assert_eq!(found(&outcome(&warn, PRIVILEGED)), [ERROR, WARNING]);
    let only_warn = judge(&levels(Some("privileged"), Some("baseline"))).unwrap();
    assert_eq!(found(&outcome(&only_warn, PRIVILEGED)), [ERROR.replace("Error", "Warning")]);
    let both = judge(&levels(Some("baseline"), Some("baseline"))).unwrap();
    assert_eq!(found(&outcome(&both, PRIVILEGED)), [ERROR]);
}

#[test]
fn a_wrong_level_is_explained() {
    for (enforce, expected) in [
        ("strict", "--enforce: no level \"strict\": expected privileged, baseline or restricted, and maybe"),
        ("baseline:1.30", "--enforce: no version \"1.30\": expected latest or v1.x, as in baseline:v1.31"),
        ("privileged", "nothing would be judged: the level privileged has no requirements"),
    ] {
        let error = error(&levels(Some(enforce), None));
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn labels_of_namespaces_say_what_is_evaluated() {
    let selection = Selection { namespace_labels: true, ..Selection::default() };
    let mut judge = judge(&selection).unwrap();
    let mut set = |name: &str, labels: &[(&str, &str)]| {
        let label = |(key, value): &(&str, &str)| (format!("pod-security.kubernetes.io/{key}"), (*value).to_owned());
        judge.set_namespace(name, &labels.iter().map(label).collect())
    };
    assert_eq!(set("open", &[("enforce", "privileged")]), [""; 0]);
    assert_eq!(set("warned", &[("warn", "baseline")]), [""; 0]);
    assert_eq!(set("audited", &[("audit", "restricted"), ("audit-version", "v1.30")]), [""; 0]);
    assert_eq!(set("unlabelled", &[]), [""; 0]);
    let problems = set("wrong", &[("enforce", "strict")]);
    assert!(problems[0].contains("Invalid value: \"strict\": must be one of"), "{problems:?}");

    let in_namespace = |name: &str| {
        let yaml = PRIVILEGED.replace("name: a}, spec", &format!("name: a, namespace: {name}}}, spec"));
        outcome(&judge, &yaml)
    };
    let open = in_namespace("open");
    assert_eq!(open.state, State::Skipped("the level of namespace \"open\" is privileged".to_owned()));
    assert_eq!(found(&in_namespace("warned")), [ERROR.replace("Error", "Warning")]);
    let restricted = "privileged at spec.containers[0].securityContext.privileged, allowPrivilegeEscalation at \
                      spec.containers[0].securityContext.allowPrivilegeEscalation";
    assert_eq!(
        found(&in_namespace("audited")),
        [format!("Warning pod-security-standards restricted:v1.30: {restricted}")]
    );
    assert_eq!(found(&in_namespace("wrong")), [format!("Error pod-security-standards restricted: {restricted}")]);
    for name in ["unlabelled", "unknown"] {
        assert_eq!(found(&in_namespace(name)), [ERROR, WARNING]);
    }
}

#[test]
fn labels_count_only_if_they_are_asked_for() {
    let mut judge = judge(&Selection::default()).unwrap();
    let labels = BTreeMap::from([("pod-security.kubernetes.io/enforce".to_owned(), "privileged".to_owned())]);
    assert_eq!(judge.set_namespace("default", &labels), [""; 0]);
    assert_eq!(found(&outcome(&judge, PRIVILEGED)), [ERROR, WARNING]);
}

const CONFIGURATION: &str = "
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: restricted, warn: privileged}
    exemptions: {namespaces: [kube-system], usernames: [root]}
";

#[test]
fn a_configuration_has_the_defaults_and_exemptions() {
    let place = Workplace::new("podfence");
    place.write("admission.yaml", CONFIGURATION);
    let policies = vec![place.path("admission.yaml")];
    for namespace_labels in [false, true] {
        let selection = Selection { policies: policies.clone(), namespace_labels, ..Selection::default() };
        let judge = judge(&selection).unwrap();
        let outcome = outcome(&judge, PRIVILEGED);
        assert_eq!(outcome.verdicts.len(), 1);
        assert_eq!(outcome.verdicts[0].level.as_deref(), Some("restricted"));
        let exempt = PRIVILEGED.replace("name: a}, spec", "name: a, namespace: kube-system}, spec");
        let exempt = self::outcome(&judge, &exempt);
        assert_eq!(exempt.state, State::Skipped("exempt.namespaces".to_owned()));
        assert_eq!(
            judge.notes(),
            ["the AdmissionConfiguration: exempt.users do not count in a scan: nobody sends a request"]
        );
    }
}

const CLUSTER_POLICY: &str = "
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: ports}
spec:
  module: registry://registry.example.com/podfence/host-ports:v1.0.0
  mode: monitor
  settings: {hostPorts: [{min: 80, max: 80}]}
  mutating: false
  rules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
";

const CONSTRAINT: &str = "
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: K8sPSPPrivilegedContainer
metadata: {name: no-privileged}
spec:
  enforcementAction: deny
  match:
    kinds: [{apiGroups: [''], kinds: [Pod]}]
    excludedNamespaces: [kube-system]
";

const GROUP: &str = "
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicyGroup
metadata: {name: either}
spec:
  expression: privileged() || capabilities()
  message: either of them
  policies:
    privileged: {module: 'registry://registry.example.com/privileged:v1', settings: {}}
    capabilities: {module: 'registry://registry.example.com/capabilities:v1', settings: {}}
  rules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
";

fn policies(place: &Workplace) -> Selection {
    Selection { policies: vec![place.path("policies")], ..Selection::default() }
}

#[test]
fn documents_of_several_projects_judge_together() {
    let place = Workplace::new("podfence");
    place.write("policies/a.yaml", format!("{CLUSTER_POLICY}---{CONSTRAINT}"));
    place.write("policies/b.yml", "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}");
    place.write("policies/c.yaml", GROUP);
    place.write("policies/kustomization.yaml", "resources: [a.yaml, b.yml]\nkind: Kustomization");
    place.write("policies/readme.md", "no document");
    let judge = judge(&policies(&place)).unwrap();
    let pod = PRIVILEGED.replace("{name: a, ", "{name: a, ports: [{hostPort: 80}, {hostPort: 81}], ");
    let pod = outcome(&judge, &pod);
    assert_eq!(
        found(&pod),
        [
            "Warning host-ports: hostPorts at spec.containers[0].ports[1].hostPort",
            "Error privileged: privileged at spec.containers[0].securityContext.privileged",
        ]
    );
    let documents: Vec<_> = pod.verdicts.iter().map(|verdict| verdict.document.as_deref()).collect();
    assert_eq!(documents, [Some("ClusterAdmissionPolicy/ports"), Some("K8sPSPPrivilegedContainer/no-privileged")]);

    // Both members of the group reject it.
    let pod = outcome(&judge, &PRIVILEGED.replace(", capabilities: {drop: [ALL]}", ""));
    let last = pod.verdicts.last().unwrap();
    assert_eq!((last.policy.as_str(), last.message.as_str()), ("either", "either of them"));
    assert_eq!(last.violations.len(), 2, "{last:?}");

    // The constraint judges what pods are made from, and not in all namespaces.
    let deployment = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {template: {spec: \
        {containers: [{name: a, securityContext: {privileged: true}}]}}}}";
    assert_eq!(
        found(&outcome(&judge, deployment)),
        ["Error privileged: privileged at spec.template.spec.containers[0].securityContext.privileged"]
    );
    let elsewhere = deployment.replace("name: a}, spec", "name: a, namespace: kube-system}, spec");
    assert_eq!(outcome(&judge, &elsewhere), Outcome::of(State::NotSelected));
}

#[test]
fn unknown_policies_are_named_or_left_out() {
    let place = Workplace::new("podfence");
    let unknown = "
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: K8sRequiredLabels
metadata: {name: owner}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: labels}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: cel}
";
    place.write("policies/a.yaml", format!("{CONSTRAINT}---{unknown}"));
    let selection = policies(&place);
    let error = error(&selection);
    for name in ["K8sRequiredLabels/owner", "ClusterPolicy/labels", "MutatingAdmissionPolicy/cel", "--skip-unknown"] {
        assert!(error.contains(name), "{error}");
    }
    let judge = judge(&Selection { skip_unknown: true, ..selection }).unwrap();
    assert_eq!(judge.notes().len(), 3);
    assert_eq!(outcome(&judge, PRIVILEGED).verdicts.len(), 1);
}

#[test]
fn what_holds_no_policy_is_an_error() {
    let place = Workplace::new("podfence");
    place.write("policies/a.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}");
    let expected = "policies: no policies in it: found Namespace/shop; expected policies, of the kinds that --help lists \
                    for --policies";
    assert!(error(&policies(&place)).ends_with(expected));
    place.write("policies/b.yaml", CLUSTER_POLICY.replace("hostPorts", "hostPort"));
    let wrong = error(&policies(&place));
    assert!(wrong.starts_with("ClusterAdmissionPolicy/ports: spec.settings: "), "{wrong}");
    place.write("policies/b.yaml", CLUSTER_POLICY.replace("host-ports", "other"));
    let missing = error(&policies(&place));
    assert!(
        missing.starts_with("no module other.wasm in ") && missing.contains("; fetch it with `podfence pull "),
        "{missing}"
    );
}

#[test]
fn single_policies_have_settings_and_severities() {
    let judge = judge(&policy([
        single("host-path", json!({"allowedHostPaths": [{"pathPrefix": "/proc", "readOnly": false}]})),
        Single { severity: Severity::Warning, ..single("privileged", json!({})) },
    ]))
    .unwrap();
    let pod = PRIVILEGED.replace(
        "spec: {",
        "spec: {volumes: [{name: a, hostPath: {path: /proc}}, {name: b, hostPath: {path: /etc}}], ",
    );
    assert_eq!(
        found(&outcome(&judge, &pod)),
        [
            "Error host-path: hostPathVolumes at spec.volumes[1].hostPath.path",
            "Warning privileged: privileged at spec.containers[0].securityContext.privileged",
        ]
    );
    let volume = "{apiVersion: v1, kind: PersistentVolume, metadata: {name: a}, spec: {hostPath: {path: /etc}}}";
    assert_eq!(found(&outcome(&judge, volume)), ["Error host-path: hostPathVolumes at spec.hostPath.path"]);
    let wrong = error(&policy([single("host-path", json!({"allowed": []}))]));
    assert!(wrong.starts_with("--policy host-path: settings: "), "{wrong}");
    let wrong = error(&policy([single("../x", json!({}))]));
    assert!(wrong.contains("expected one of: allow-privilege-escalation, "), "{wrong}");
}

#[test]
fn levels_that_are_given_count_beside_policies() {
    let single = single("read-only-root-filesystem", json!({}));
    let alone = judge(&policy([single.clone()])).unwrap();
    assert_eq!(outcome(&alone, PRIVILEGED).verdicts.len(), 1);
    let both = Selection { policy: vec![single], ..levels(Some("baseline"), None) };
    assert_eq!(outcome(&judge(&both).unwrap(), PRIVILEGED).verdicts.len(), 2);
}

#[test]
fn a_change_is_no_finding() {
    let judge = judge(&policy([single("read-only-root-filesystem", json!({"mutate": true}))])).unwrap();
    assert_eq!(outcome(&judge, HARMLESS), Outcome::of(State::Judged));
}

#[test]
fn a_change_that_the_cluster_refuses_is_a_finding() {
    let place = Workplace::new("podfence");
    let document = CLUSTER_POLICY
        .replace("host-ports", "read-only-root-filesystem")
        .replace("{hostPorts: [{min: 80, max: 80}]}", "{mutate: true}");
    place.write("policies/a.yaml", &document);
    let outcome = outcome(&judge(&policies(&place)).unwrap(), HARMLESS);
    assert!(outcome.verdicts[0].message.contains("not allow mutations"), "{outcome:?}");
}

#[test]
fn objects_without_pods_are_told_from_those_that_nothing_judges() {
    let judge = judge(&Selection::default()).unwrap();
    let state = |yaml: &str| outcome(&judge, yaml).state;
    let spec = "metadata: {name: a}, spec: {template: {spec: {containers: [{name: a}]}}}";
    assert_eq!(state("{apiVersion: v1, kind: Service, metadata: {name: a}}"), State::NoPod);
    assert_eq!(state("{apiVersion: example.com/v1, kind: Widget, spec: {size: 1}}"), State::NoPod);
    assert_eq!(state("{apiVersion: v1, kind: PersistentVolume, spec: {hostPath: {path: /}}}"), State::NoPod);
    assert_eq!(
        state("{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: a}, spec: {workloadRef: {name: b}}}"),
        State::NoPod
    );
    assert_eq!(state(&format!("{{apiVersion: apps/v1, kind: Deployment, {spec}}}")), State::Judged);
    assert_eq!(state(&format!("{{apiVersion: argoproj.io/v1alpha1, kind: Rollout, {spec}}}")), State::Judged);
    for (head, expected) in [
        ("apiVersion: extensions/v1beta1, kind: Deployment", "expected apps/v1, found extensions/v1beta1"),
        ("apiVersion: v1, kind: pod", "expected Pod of v1, found pod of v1"),
        ("apiVersion: argoproj.io/v1, kind: Rollout", "expected argoproj.io/v1alpha1, found argoproj.io/v1"),
        ("apiVersion: example.com/v1, kind: Widget", "has containers at spec.template.spec.containers"),
    ] {
        let State::NotJudged(why) = state(&format!("{{{head}, {spec}}}")) else { panic!("{head} is judged") };
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn settings_say_where_the_pods_of_a_kind_are() {
    let kinds = json!({"podSpecPaths": [{"group": "example.com", "kind": "Widget", "path": "spec.template"}]});
    let judge = judge(&policy([single("privileged", kinds)])).unwrap();
    let pod = "{spec: {containers: [{name: a, securityContext: {privileged: true}}]}}";
    for head in ["apiVersion: example.com/v1, kind: Widget", "apiVersion: argoproj.io/v1alpha1, kind: Rollout"] {
        let yaml = format!("{{{head}, metadata: {{name: a}}, spec: {{template: {pod}}}}}");
        assert_eq!(
            found(&outcome(&judge, &yaml)),
            ["Error privileged: privileged at spec.template.spec.containers[0].securityContext.privileged"]
        );
    }
}

#[test]
fn a_policy_for_other_kinds_judges_them_and_no_pods() {
    let judge = judge(&policy([single("role-bindings", json!({})), single("privileged", json!({}))])).unwrap();
    let binding = "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a}, roleRef: {kind: \
        ClusterRole, name: cluster-admin}, subjects: [{kind: Group, name: a}, {kind: User, name: system:anonymous}]}";
    assert_eq!(
        found(&outcome(&judge, binding)),
        ["Error role-bindings: roles at roleRef.name, anonymous at subjects[1].name"]
    );
    assert_eq!(
        found(&outcome(&judge, PRIVILEGED)),
        ["Error privileged: privileged at spec.containers[0].securityContext.privileged"]
    );
    let rollout = "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: a}, spec: {template: {spec: \
        {containers: [{name: a}]}}}}";
    assert_eq!(outcome(&judge, rollout), Outcome::of(State::Judged));
    let of_cluster = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: \
        cluster-admin}, roleRef: {kind: ClusterRole, name: cluster-admin}, subjects: [{kind: Group, name: system:masters}]}";
    let reason = "the API server makes it in every cluster".to_owned();
    assert_eq!(outcome(&judge, of_cluster), Outcome::of(State::Skipped(reason)));
    let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: a}}";
    assert_eq!(outcome(&judge, role).state, State::NoPod);
}

#[test]
fn a_role_that_the_api_server_makes_is_known_by_its_rules() {
    let strict = json!({"allow": [], "deniedRoles": ["*"]});
    let judge = judge(&policy([single("roles", strict)])).unwrap();
    let role = |name: &str, label: &str, rules: &str| {
        format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: '{name}', labels: \
             {{kubernetes.io/bootstrapping: {label}}}}}, rules: [{rules}]}}"
        )
    };
    let known = Outcome::of(State::Skipped("the API server makes it in every cluster".to_owned()));
    let admin = "{apiGroups: ['*'], resources: ['*'], verbs: ['*']}, {nonResourceURLs: ['*'], verbs: ['*']}";
    assert_eq!(outcome(&judge, &role("cluster-admin", "rbac-defaults", admin)), known);
    let aggregated = "{apiGroups: [''], resources: [secrets, pods/proxy, services/proxy, pods/portforward, pods/attach, \
        pods/exec], verbs: [list, watch, get]}, {apiGroups: [example.com], resources: [widgets], verbs: [get]}";
    assert_eq!(outcome(&judge, &role("edit", "rbac-defaults", aggregated)), known);
    let secrets = "{apiGroups: [''], resources: [secrets], verbs: [list]}";
    for other in [
        role("cluster-admin", "other", admin),
        role("system:admin", "rbac-defaults", admin),
        role("edit", "rbac-defaults", admin),
        role("edit", "rbac-defaults", &format!("{aggregated}, {secrets}")),
        role("cluster-admin", "rbac-defaults", admin).replace("ClusterRole", "Role"),
    ] {
        assert_eq!(outcome(&judge, &other).state, State::Judged, "{other}");
        assert!(!found(&outcome(&judge, &other)).is_empty(), "{other}");
    }
}

#[test]
fn a_copy_is_judged_whatever_it_says_of_its_controller() {
    let judge = judge(&levels(Some("baseline"), None)).unwrap();
    let copy = "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: a, ownerReferences: [{apiVersion: apps/v1, \
        kind: Deployment, name: b, controller: true}]}, spec: {template: {spec: {hostPID: true, containers: [{name: \
        a}]}}}}";
    assert_eq!(
        found(&outcome(&judge, copy)),
        ["Error pod-security-standards baseline: hostNamespaces at spec.template.spec.hostPID"]
    );
}

#[test]
fn a_pod_in_the_host_network_uses_host_ports() {
    let judge = judge(&levels(Some("baseline"), None)).unwrap();
    let spec = "spec: {hostNetwork: true, containers: [{name: a, ports: [{containerPort: 80}]}]}";
    let pod = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, {spec}}}");
    let controls: Vec<String> = outcome(&judge, &pod).verdicts[0].violations.iter().map(|of| of.path.clone()).collect();
    assert_eq!(controls, ["spec.hostNetwork", "spec.containers[0].ports[0].hostPort"]);
    let job = format!("{{apiVersion: batch/v1, kind: Job, metadata: {{name: a}}, spec: {{template: {{{spec}}}}}}}");
    let controls: Vec<String> = outcome(&judge, &job).verdicts[0].violations.iter().map(|of| of.path.clone()).collect();
    assert_eq!(controls, ["spec.template.spec.hostNetwork", "spec.template.spec.containers[0].ports[0].hostPort"]);
}

#[test]
fn what_cannot_be_read_is_an_error_once_at_its_path() {
    let judge = judge(&Selection::default()).unwrap();
    let outcome = outcome(&judge, &PRIVILEGED.replace("privileged: true", "privileged: 'true'"));
    let path = "spec.containers[0].securityContext.privileged";
    assert_eq!(found(&outcome), [format!("Error pod-security-standards baseline: unreadable at {path}")]);
    let message = format!("{path}: expected a boolean, found a string");
    assert_eq!(outcome.verdicts[0].violations[0].reason, message);
}

#[test]
fn a_list_that_was_cut_is_a_failure_besides() {
    let judge = judge(&levels(Some("baseline"), None)).unwrap();
    let containers: Vec<String> =
        (0..4000).map(|index| format!("{{name: c{index}, securityContext: {{privileged: true}}}}")).collect();
    let pod = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{containers: [{}]}}}}",
        containers.join(",")
    );
    let outcome = outcome(&judge, &pod);
    let verdict = &outcome.verdicts[0];
    assert!(verdict.violations.len() > 500, "{}", verdict.violations.len());
    let failure = verdict.failure.as_deref().unwrap();
    assert!(failure.ends_with("more violations: the policy lists no more than these"), "{failure}");
}

#[test]
fn an_object_that_is_too_large_for_a_server_is_a_failure() {
    let judge = judge(&levels(Some("baseline"), None)).unwrap();
    let large = PRIVILEGED.replace("{name: a}", &format!("{{name: a, annotations: {{x: {}}}}}", "y".repeat(3 << 20)));
    let outcome = outcome(&judge, &large);
    assert!(outcome.verdicts[0].failure.as_deref().unwrap().contains("HTTP 413"), "{outcome:?}");
}

/// Every object gets what a fresh instance says of it, whatever was judged before.
#[test]
fn a_worker_judges_as_a_fresh_one() {
    let names = ["privileged", "capabilities", "seccomp", "users", "volumes"];
    let selection = Selection {
        policy: names.into_iter().map(|name| single(name, json!({}))).collect(),
        ..levels(Some("baseline"), Some("restricted"))
    };
    let own = judge(&selection).unwrap();
    // Modules of a directory that the user names get a fresh instance for each call.
    let given = Selection { modules: Some(podfence_support::modules()), ..selection }.judge(&HOST).unwrap();
    assert!(own.modules.iter().all(|of| of.is_pure) && !given.modules.iter().any(|of| of.is_pure));
    let (mut worker, mut fresh) = (own.worker(), given.worker());
    let unreadable = PRIVILEGED.replace("privileged: true", "privileged: 1");
    for yaml in [PRIVILEGED, HARMLESS, &unreadable, HARMLESS, PRIVILEGED] {
        let object = object(yaml);
        let mut outcome = own.judge(&mut worker, &object);
        // Only a module of the command says how a file is mended.
        let violations = outcome.verdicts.iter_mut().flat_map(|verdict| &mut verdict.violations);
        violations.for_each(|violation| violation.edit = None);
        assert_eq!(outcome, given.judge(&mut fresh, &object));
    }
}

#[test]
fn threads_judge_with_workers_of_their_own() {
    let judge = judge(&Selection::default()).unwrap();
    let expected = outcome(&judge, PRIVILEGED);
    let found = || outcome(&judge, PRIVILEGED);
    let [one, other] =
        std::thread::scope(|scope| [scope.spawn(found), scope.spawn(found)].map(|of| of.join().unwrap()));
    assert_eq!([&one, &other], [&expected; 2]);
}

#[test]
fn exemptions_of_users_do_not_count() {
    let settings = json!({"exempt": {"users": ["*"], "groups": ["system:*"], "images": ["b*"]}});
    let judge = judge(&policy([single("privileged", settings)])).unwrap();
    assert_eq!(outcome(&judge, PRIVILEGED).verdicts.len(), 1);
    assert_eq!(
        judge.notes(),
        ["--policy privileged: exempt.users and exempt.groups do not count in a scan: nobody sends a request"]
    );
}
