//! `podfence migrate`: what it prints for the cases of `cluster/tests/migrate`, and what it says to bad input.
//! `BLESS=1` writes the files of the cases.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use podfence_fixtures::generated::is_current;
use podfence_support::{Printed, Workplace, modules, root};

const PODFENCE: &str = env!("CARGO_BIN_EXE_podfence");

fn cases() -> Vec<PathBuf> {
    let directory = root().join("host-test/cluster/tests/migrate/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn the_command_prints_what_is_expected() {
    for case in cases() {
        let workplace = Workplace::new(PODFENCE);
        let given = ["migrate", "--mode", "protect", "--registry", "registry.example.com/podfence"].map(OsStr::new);
        let printed = workplace.run(&[&given[..], &[case.join("input.yaml").as_os_str()]].concat());
        let is_lost = |line: &str| line.starts_with("error (left out)") || line.starts_with("warning (weaker)");
        let code = i32::from(printed.error.lines().any(is_lost));
        assert_eq!(printed.code, Some(code), "{}\n{}", case.display(), printed.error);
        for (name, text) in [("policies.yaml", printed.out), ("warnings.txt", printed.error)] {
            is_current(&case.join(name), &text).unwrap();
        }
    }
}

fn psp(name: &str, spec: &str) -> String {
    format!("{{apiVersion: policy/v1beta1, kind: PodSecurityPolicy, metadata: {{name: {name}}}, spec: {spec}}}")
}

fn constraint(kind: &str, spec: &str) -> String {
    format!("{{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: {kind}, metadata: {{name: a}}, spec: {spec}}}")
}

fn kubewarden(kind: &str, spec: &str) -> String {
    format!("{{apiVersion: policies.kubewarden.io/v1, kind: {kind}, spec: {spec}}}")
}

/// Runs the command on a text.
fn printed(text: &str, arguments: &[&str]) -> Printed {
    let workplace = Workplace::new(PODFENCE);
    workplace.write("input.yaml", text);
    workplace.run(&[&["migrate", "input.yaml"], arguments].concat())
}

/// The lines on standard error that are not part of the table.
fn messages(error: &str) -> String {
    let lines = error.lines().take_while(|line| !line.starts_with(" source"));
    lines.collect::<Vec<_>>().join("\n")
}

const PRIVILEGED: &str = "{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: K8sPSPPrivilegedContainer, metadata: \
                          {name: good}}";

#[test]
fn a_document_that_cannot_be_read_voids_no_other() {
    for (text, expected) in [
        (psp("a", "1"), "PodSecurityPolicy/a: spec: invalid type: integer `1`, expected a PodSecurityPolicySpec"),
        (
            psp("a", "{privileged: 'no'}"),
            "PodSecurityPolicy/a: spec.privileged: invalid type: string \"no\", expected a boolean",
        ),
        (
            psp("a", "{hostPorts: [{min: 1, max: 2}, {min: x}]}"),
            "PodSecurityPolicy/a: spec.hostPorts[1].min: invalid type: string \"x\", expected i64",
        ),
        ("{apiVersion: policy/v1beta1, kind: PodSecurityPolicy}".to_owned(), "PodSecurityPolicy: missing field `spec`"),
        (
            "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, defaults: {enforce: high}}"
                .to_owned(),
            "PodSecurityConfiguration: defaults.enforce: expected privileged, baseline or restricted, found \"high\"",
        ),
        (
            "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{name: PodSecurity, path: a.yaml}]}"
                .to_owned(),
            "AdmissionConfiguration: plugins[0].path: the configuration is in a.yaml: migrate that file",
        ),
        (
            "{apiVersion: kubeadm.k8s.io/v1beta3, kind: ClusterConfiguration, apiServer: {extraArgs: \
             {admission-control-config-file: /etc/ps.yaml}}}"
                .to_owned(),
            "ClusterConfiguration: the configuration is in /etc/ps.yaml: migrate that file",
        ),
        (
            "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {a: 1}}}".to_owned(),
            "Namespace/a: metadata.labels[\"a\"]: expected a string, found 1",
        ),
        (
            constraint("K8sPSPCapabilities", "{match: {kinds: [Pod]}}"),
            "K8sPSPCapabilities/a: spec.match.kinds[0]: invalid type: string \"Pod\", expected apiGroups and kinds",
        ),
        (
            constraint("K8sPSPCapabilities", "{match: {namespaceSelector: {matchLabels: {a: 1}}}}"),
            "K8sPSPCapabilities/a: spec.match.namespaceSelector.matchLabels.a: expected the value of a label, found 1",
        ),
        (
            constraint("K8sPSPCapabilities", "{parameters: {allowedCapabilities: CHOWN}}"),
            "K8sPSPCapabilities/a: spec.parameters.allowedCapabilities: expected a list, found \"CHOWN\"",
        ),
        (
            psp("a", "{runAsUser: {rule: MustRunAs}, fsGroup: {rule: MustRunAs, ranges: [{min: 1, max: 2}]}}"),
            "PodSecurityPolicy/a: spec.runAsUser.ranges: expected a range that allows something with the rule MustRunAs",
        ),
        (
            psp(
                "a",
                "{supplementalGroups: {rule: RunAsAny}, fsGroup: {rule: MustRunAsNonRoot}, runAsUser: {rule: MustRunAsNonRoot}}",
            ),
            "PodSecurityPolicy/a: spec.fsGroup.rule: expected one of MustRunAs, MayRunAs, RunAsAny, found \"MustRunAsNonRoot\"",
        ),
        (
            psp(
                "a",
                "{runAsUser: {rule: RunAsAny}, supplementalGroups: {rule: RunAsAny}, fsGroup: {rule: RunAsAny}, seLinux: {rule: MayRunAs}}",
            ),
            "PodSecurityPolicy/a: spec.seLinux.rule: expected MustRunAs or RunAsAny, found \"MayRunAs\"",
        ),
        (
            constraint("K8sPSPFSGroup", "{parameters: {rule: MustRunAs, ranges: []}}"),
            "K8sPSPFSGroup/a: spec.parameters.ranges: expected a range that allows something with the rule MustRunAs, found []",
        ),
        (
            constraint("K8sPSPAllowedUsers", "{parameters: {runAsUser: {rule: MustRunAs}}}"),
            "K8sPSPAllowedUsers/a: spec.parameters.runAsUser.ranges: expected a range that allows something with the rule \
             MustRunAs, found null",
        ),
        (
            kubewarden("ClusterAdmissionPolicy", "{module: a/allowed-fsgroups-psp, settings: {rule: MustRunAs}}"),
            "ClusterAdmissionPolicy: spec.settings.ranges: expected a range that allows something with the rule MustRunAs, \
             found null",
        ),
        (
            kubewarden(
                "ClusterAdmissionPolicyGroup",
                "{expression: 'a() || b()', rules: [{apiGroups: [''], apiVersions: [v1], resources: [pods, pods/ephemeralcontainers], operations: \
                 [CREATE]}], policies: {a: {module: a/pod-privileged}, b: {module: a/user-group-psp, settings: \
                 {run_as_group: {rule: Any}}}}}",
            ),
            "ClusterAdmissionPolicyGroup: spec.policies.b.settings.run_as_group.rule: expected one of MustRunAs, MayRunAs, \
             MustRunAsNonRoot, RunAsAny, found \"Any\"",
        ),
        (constraint("K8sRequiredLabels", "{}"), "K8sRequiredLabels/a: Podfence has no equivalent of a K8sRequiredLabels"),
        (
            "{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: a}}".to_owned(),
            "ClusterPolicy/a: Podfence cannot migrate a ClusterPolicy",
        ),
        (
            "{apiVersion: policies.kubewarden.io/v1, kind: ClusterAdmissionPolicy, spec: {}}".to_owned(),
            "ClusterAdmissionPolicy: spec.module: expected the URL of a module",
        ),
        (
            "{apiVersion: policies.kubewarden.io/v1, kind: ClusterAdmissionPolicy, spec: {module: a/b:v1}}".to_owned(),
            "ClusterAdmissionPolicy: spec.module: no policy of Podfence replaces \"a/b:v1\"; keep this one",
        ),
        (
            "{apiVersion: policies.kubewarden.io/v1, kind: ClusterAdmissionPolicy, spec: {module: a/volumes-psp}}".to_owned(),
            "ClusterAdmissionPolicy: spec.rules: expected a list",
        ),
        (
            "{apiVersion: policies.kubewarden.io/v1, kind: ClusterAdmissionPolicy, spec: {module: a/volumes-psp, settings: 1}}"
                .to_owned(),
            "ClusterAdmissionPolicy: spec.settings: expected an object, found 1",
        ),
    ] {
        let alone = printed(&text, &[]);
        let expected = format!("error (left out): {expected}");
        assert_eq!((alone.code, alone.out.as_str()), (Some(2), ""), "{text}");
        assert_eq!(alone.error, format!("{expected}\nerror: nothing to migrate\n"));
        let with_another = printed(&format!("{text}\n---\n{PRIVILEGED}"), &[]);
        assert_eq!(with_another.code, Some(1), "{text}");
        assert!(with_another.out.contains("name: podfence-good-privileged\n"), "{text}");
        assert!(with_another.error.lines().any(|line| line == expected), "{}", with_another.error);
    }
}

#[test]
fn an_odd_value_voids_nothing_beside_it() {
    for (text, setting, expected) in [
        (
            psp("a", "{privileged: true, hostPorts: [{min: 2, max: 1}, {min: 5, max: 9}]}"),
            "    hostPorts:\n    - min: 5\n      max: 9\n",
            "note: PodSecurityPolicy/a: spec.hostPorts[0]: allows nothing, since the minimum 2 is above the maximum 1; it is left out",
        ),
        (
            psp("a", "{hostPorts: [{min: 2, max: 1}]}"),
            "    hostPorts: []\n",
            "note: PodSecurityPolicy/a: spec.hostPorts[0]: allows nothing, since the minimum 2 is above the maximum 1; it is left out",
        ),
        (
            psp("a", "{volumes: [secret, cephFS, floppy]}"),
            "    allowedTypes:\n    - cephfs\n    - secret\n",
            "note: PodSecurityPolicy/a: spec.volumes: unknown type of volume: \"floppy\"; it is left out, since it allows nothing",
        ),
        (
            psp("a", "{defaultAddCapabilities: [CAP_NET_RAW, KILL], requiredDropCapabilities: [NET_RAW]}"),
            "    defaultAddCapabilities:\n    - KILL\n",
            "warning (weaker): PodSecurityPolicy/a: spec.defaultAddCapabilities: CAP_NET_RAW is in requiredDropCapabilities \
             as well, and is dropped",
        ),
        (
            constraint("K8sPSPAllowedUsers", "{parameters: {runAsGroup: {rule: MustRunAs}}}"),
            "    runAsGroup:\n      rule: MustRunAs\n      ranges:\n      - min: 0\n        max: 2147483647\n",
            "note: K8sPSPAllowedUsers/a: only Pods are judged, as before; --workloads adds Deployments and other workloads",
        ),
        (
            constraint(
                "K8sPSPAllowedUsers",
                "{parameters: {fsGroup: {rule: MayRunAs}, runAsUser: {rule: MustRunAsNonRoot}}}",
            ),
            "    fsGroup:\n      rule: RunAsAny\n",
            "note: K8sPSPAllowedUsers/a: only Pods are judged, as before; --workloads adds Deployments and other workloads",
        ),
        (
            constraint(
                "K8sPSPFSGroup",
                "{parameters: {rule: MustRunAs, ranges: [{min: 3, max: 4}, {min: 9, max: 1}]}}",
            ),
            "      ranges:\n      - min: 3\n        max: 4\n",
            "note: K8sPSPFSGroup/a: spec.parameters.ranges[1]: {\"min\":9,\"max\":1} allows nothing; it is left out",
        ),
        (
            constraint("K8sPSPPrivilegedContainer", "{match: {kinds: [{apiGroups: [], kinds: []}]}}"),
            "  name: podfence-a-privileged\n",
            "note: K8sPSPPrivilegedContainer/a: only Pods are judged, as before; --workloads adds Deployments and other \
             workloads",
        ),
        (
            [
                psp("a", "{}"),
                "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}, rules: [{apiGroups: \
                 [policy], resources: [podsecuritypolicies], verbs: [use]}]}"
                    .to_owned(),
                "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: a}, roleRef: {kind: \
                 ClusterRole, name: a}, subjects: [{kind: ServiceAccount, name: b}, {kind: User, name: \
                 'system:serviceaccount:c:d'}]}"
                    .to_owned(),
            ]
            .join("\n---\n"),
            "(request.namespace + '/' + (has(object.spec.serviceAccountName) ? object.spec.serviceAccountName : 'default')) \
             == 'c/d' || request.userInfo.username == 'system:serviceaccount:c:d'",
            "note: ClusterRoleBinding/a: subjects[0]: a service account without a namespace is nobody; it is left out",
        ),
        (
            [
                "{apiVersion: expansion.gatekeeper.sh/v1beta1, kind: ExpansionTemplate, metadata: {name: e}, spec: {applyTo: \
                 [{groups: [apps], kinds: [Deployment], versions: [v1]}], generatedGVK: {kind: Pod, group: '', version: v1}}}",
                &constraint("K8sPSPPrivilegedContainer", "{match: {labelSelector: {matchLabels: {tier: a}}}}"),
            ]
            .join("\n---\n"),
            "    - deployments\n",
            "warning (weaker): K8sPSPPrivilegedContainer/a: spec.match.labelSelector: the labels of a workload are compared, where Gatekeeper compared those of the pods that it expands to: a workload with the labels in only one of the two places gets the opposite verdict",
        ),
        (
            kubewarden(
                "ClusterAdmissionPolicy",
                "{module: a/host-namespaces-psp, settings: {allow_host_ports: [{min: 9, max: 3}]}, rules: [{apiGroups: [''], \
                 apiVersions: [v1], resources: [pods], operations: [CREATE]}]}",
            ),
            "    hostPorts: []\n",
            "note: ClusterAdmissionPolicy: spec.settings.allow_host_ports: {\"min\":9,\"max\":3} allows nothing; it is left \
             out",
        ),
        (
            constraint(
                "K8sPSPHostFilesystem",
                "{parameters: {allowedHostPaths: [{pathPrefix: ../a}, {pathPrefix: /b}]}}",
            ),
            "    allowedHostPaths:\n    - pathPrefix: /b\n",
            "warning (stricter): K8sPSPHostFilesystem/a: spec.parameters.allowedHostPaths: {\"pathPrefix\":\"../a\"} cannot be read; it is left out, and allows nothing",
        ),
    ] {
        let printed = printed(&text, &[]);
        assert!(printed.out.contains(setting), "{text}\n{}\n{}", printed.out, printed.error);
        assert!(printed.error.lines().any(|line| line == expected), "{expected}\n{}", printed.error);
    }
}

#[test]
fn what_limits_no_pods_is_skipped() {
    for (text, expected) in [
        ("{apiVersion: v1, kind: Pod, metadata: {name: web}}", "Pod/web: skipped: podfence cannot migrate a Pod"),
        (
            "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web, namespace: a}}",
            "Ingress/a/web: skipped: podfence cannot migrate an Ingress",
        ),
        (
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}}",
            "ClusterRole/a: skipped: podfence cannot migrate a ClusterRole",
        ),
        (
            "{apiVersion: v1, kind: Namespace, metadata: {name: a}}",
            "Namespace/a: no label of Pod Security, so the API server's configuration decides; migrate that file",
        ),
        ("just text", "document 1: skipped: it has no apiVersion and kind"),
    ] {
        let printed = printed(text, &[]);
        assert_eq!((printed.code, printed.out.as_str()), (Some(2), ""), "{text}");
        assert_eq!(printed.error, format!("note: {expected}\nerror: nothing to migrate\n"));
    }
}

/// What is read, and has nothing to write a policy for.
#[test]
fn what_forbids_nothing_has_no_policy() {
    for (text, expected) in [
        (
            constraint("K8sPSPHostNetworkingPorts", "{parameters: {hostNetwork: true}}"),
            "note: K8sPSPHostNetworkingPorts/a: spec.parameters: forbids nothing, so there is no policy for it",
        ),
        (
            constraint("K8sPSPFSGroup", "{parameters: {ranges: [{min: 1, max: 1000}]}}"),
            "note: K8sPSPFSGroup/a: spec.parameters: forbids nothing, so there is no policy for it",
        ),
        (
            constraint("K8sPSPFSGroup", "{parameters: {rule: RunAsAny}}"),
            "note: K8sPSPFSGroup/a: spec.parameters: forbids nothing, so there is no policy for it",
        ),
        (
            "{apiVersion: core.gardener.cloud/v1beta1, kind: Shoot, metadata: {name: a}, spec: {kubernetes: \
             {kubeAPIServer: {admissionPlugins: [{name: PodSecurity, disabled: true, config: {apiVersion: \
             pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, defaults: {enforce: \
             baseline}}}]}}}}"
                .to_owned(),
            "note: Shoot/a: the plugin PodSecurity is disabled, so its configuration has no effect, and is not migrated",
        ),
    ] {
        let printed = printed(&text, &[]);
        assert_eq!(printed.out, "", "{text}");
        assert!(printed.error.lines().any(|line| line == expected), "{expected}\n{}", printed.error);
    }
}

/// What is said of one that counts for nobody would say it of none of the policies.
#[test]
fn of_a_policy_that_nobody_could_use_nothing_else_is_said() {
    let role = |rules: &str| {
        format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: a}}, rules: {rules}}}"
        )
    };
    let used = role("[{apiGroups: [policy], resources: [podsecuritypolicies], verbs: [use], resourceNames: [b]}]");
    let text = [psp("a", "{defaultAllowPrivilegeEscalation: false}"), used].join("\n---\n");
    let nobody = printed(&text, &[]);
    assert_eq!(
        messages(&nobody.error),
        "error (left out): PodSecurityPolicy/a: nobody could use it, so it is left out\nerror: nothing to migrate"
    );
    let text = [psp("a", "{}"), role("[]")].join("\n---\n");
    let unknown = printed(&text, &[]);
    let expected = "warning (stricter): PodSecurityPolicy/a: RBAC limited who used this PSP; these policies apply to every pod \
                    in the cluster. None of the Roles and bindings in the input lets anybody use a PSP: add those that do, or \
                    restrict them with namespaceSelector or exempt before you apply them";
    assert!(unknown.error.lines().any(|line| line == expected), "{}", unknown.error);
}

#[test]
fn files_that_cannot_be_read_void_no_other() {
    let workplace = Workplace::new(PODFENCE);
    workplace.write("good.yaml", PRIVILEGED);
    workplace.write("bad.yaml", "a: [\n");
    let (out, error) = workplace.ends(&["migrate", "bad.yaml", "none.yaml", "good.yaml"], 1);
    assert!(out.contains("name: podfence-good-privileged\n"));
    assert!(
        error.starts_with("error: bad.yaml: line 1, column 4: unclosed bracket '['\nerror: none.yaml: "),
        "{error}"
    );
    workplace.fails(2, &["migrate", "bad.yaml"]);
}

#[test]
fn nothing_is_rejected_unless_that_is_asked_for() {
    let source = psp("a", "{readOnlyRootFilesystem: true, privileged: true}");
    let monitor = printed(&source, &[]);
    assert_eq!(
        monitor.out.matches("\n  mode: monitor\n  failurePolicy: Ignore\n").count(),
        monitor.out.matches("---\n").count()
    );
    let comment = "---\n# In mode monitor it changes nothing, and does not report what it would fill in. Mode protect needs \
                   podfence-a-read-only-root-filesystem-check\n# beside it, which rejects what later webhooks add: podfence \
                   migrate --mode protect writes both.\napiVersion: ";
    assert!(monitor.out.contains(comment), "{}", monitor.out);
    assert!(!monitor.out.contains("name: podfence-a-read-only-root-filesystem-check\n"));
    let protect = printed(&source, &["--mode", "protect"]);
    assert_eq!(
        protect.out.matches("\n  mode: protect\n  failurePolicy: Fail\n").count(),
        protect.out.matches("---\n").count()
    );
    assert!(protect.out.contains("name: podfence-a-read-only-root-filesystem-check\n"));
    assert!(protect.out.contains("podfence.io/migrated-from: PodSecurityPolicy/a\n"));
}

#[test]
fn levels_are_not_newer_than_the_cluster() {
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {pod-security.kubernetes.io/enforce: \
                     baseline, pod-security.kubernetes.io/warn: restricted, pod-security.kubernetes.io/warn-version: v1.99}}}";
    let versions = |arguments: &[&str]| {
        let out = printed(namespace, arguments).out;
        out.lines().filter_map(|line| line.strip_prefix("    version: ").map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(versions(&[]), ["latest", "latest", "latest", "v1.99"]);
    assert_eq!(versions(&["--kubernetes-version", "1.34.2"]), ["v1.34"; 4]);
    let older = printed(namespace, &["--kubernetes-version", "1.34"]).out;
    assert!(older.contains("name: podfence-warn-restricted-v1.34\n"), "{older}");
    let wrong = printed(namespace, &["--kubernetes-version", "2"]);
    assert_eq!(wrong.code, Some(2));
}

#[test]
fn copies_of_the_librarys_templates_are_read_as_those_if_that_is_said() {
    let source = constraint("PSPCapabilities", "{parameters: {allowedCapabilities: [CHOWN]}}");
    let refused = printed(&source, &[]);
    let expected = "error (left out): PSPCapabilities/a: Podfence has no equivalent of a PSPCapabilities; if it is a copy of a template of the Gatekeeper library, name that one: --kind-alias PSPCapabilities=K8sPSP…";
    assert_eq!(messages(&refused.error).lines().next(), Some(expected));
    let read = printed(&source, &["--kind-alias", "PSPCapabilities=K8sPSPCapabilities"]);
    assert_eq!(read.code, Some(0), "{}", read.error);
    assert!(read.out.contains("podfence.io/migrated-from: PSPCapabilities/a\n"), "{}", read.out);
    assert_eq!(printed(&source, &["--kind-alias", "PSPCapabilities=Nothing"]).code, Some(2));
}

#[test]
fn modules_check_the_settings_if_they_are_there() {
    let workplace = Workplace::new(PODFENCE);
    workplace.write("input.yaml", PRIVILEGED);
    let run = |modules: &Path| {
        let printed =
            workplace.run(&["migrate".as_ref(), "input.yaml".as_ref(), "--modules".as_ref(), modules.as_os_str()]);
        (printed.code, printed.out.is_empty(), printed.error)
    };
    let (code, is_empty, _) = run(&modules());
    assert_eq!((code, is_empty), (Some(0), false));
    let (code, is_empty, error) = run(workplace.directory());
    assert_eq!((code, is_empty), (Some(2), true));
    assert!(error.contains("privileged.wasm: "), "{error}");
}

/// What the built modules say to the settings of all cases.
#[test]
fn modules_take_the_settings_of_every_case() {
    for case in cases() {
        let workplace = Workplace::new(PODFENCE);
        let input = case.join("input.yaml");
        let arguments = [
            "migrate".as_ref(),
            "--workloads".as_ref(),
            input.as_os_str(),
            "--modules".as_ref(),
            modules().as_os_str(),
        ]
        .map(OsStr::to_owned);
        let printed = workplace.run(&arguments);
        assert!(!printed.error.contains(": spec.settings: "), "{}\n{}", case.display(), printed.error);
    }
}
