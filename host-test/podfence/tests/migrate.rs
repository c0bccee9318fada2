//! `podfence migrate`: what it prints for the cases of `cluster/tests/migrate`, and what it says to bad input.
//! `BLESS=1` writes the files of the cases.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use podfence_fixtures::generated::is_current;
use podfence_support::{Workplace, modules, root};

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
        let registry = ["migrate", "--registry", "registry.example.com/podfence"].map(OsStr::new);
        let (out, error) = workplace.ends(&[&registry[..], &[case.join("input.yaml").as_os_str()]].concat(), 0);
        for (name, text) in [("policies.yaml", out), ("warnings.txt", error)] {
            is_current(&case.join(name), &text).unwrap();
        }
    }
}

/// Runs the command on a text, and demands that it prints no policy.
fn refused(text: &str) -> String {
    let workplace = Workplace::new(PODFENCE);
    workplace.write("input.yaml", text);
    workplace.fails(2, &["migrate", "input.yaml"])
}

fn psp(spec: &str) -> String {
    format!("{{apiVersion: policy/v1beta1, kind: PodSecurityPolicy, metadata: {{name: a}}, spec: {spec}}}")
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_path() {
    for (text, expected) in [
        ("", "input.yaml: is empty"),
        ("a: [\n", "input.yaml: line 1, column 4: unclosed bracket '['"),
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
fn modules_check_the_settings_if_they_are_there() {
    let workplace = Workplace::new(PODFENCE);
    let constraint = |allowed: &str| {
        format!(
            "{{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: K8sPSPCapabilities, metadata: {{name: a}}, spec: \
             {{parameters: {{allowedCapabilities: {allowed}}}}}}}"
        )
    };
    workplace.write("right.yaml", constraint("[CHOWN]"));
    workplace.write("wrong.yaml", constraint("CHOWN"));
    let run = |file: &str, modules: &Path| {
        let printed = workplace.run(&["migrate".as_ref(), file.as_ref(), "--modules".as_ref(), modules.as_os_str()]);
        let error = printed.error.lines().last().unwrap_or_default().to_owned();
        (printed.code, printed.out.is_empty(), error)
    };
    assert_eq!(run("right.yaml", &modules()).0, Some(0));
    let error = "error: settings of podfence-a-capabilities: allowedCapabilities: expected a list, found a string";
    assert_eq!(run("wrong.yaml", &modules()), (Some(2), true, error.to_owned()));
    let (code, is_empty, error) = run("right.yaml", workplace.directory());
    assert_eq!((code, is_empty), (Some(2), true));
    assert!(error.contains("capabilities.wasm: "), "{error}");
}
