//! The suites of the Gatekeeper library.

use podfence_cluster::gatekeeper::{Equivalent, Parameters, TEMPLATES, equivalents};
use serde_json::{Value, json};

use crate::{
    Case,
    common::create,
    corpus::{Corpus, text},
    policies::{Policies, Rejection},
    read,
};

pub fn cases(line: &Value) -> Vec<Case> {
    let mut request = create(&line["object"]);
    if let Some(operation) = line["review_operation"].as_str() {
        request.operation = operation.to_owned();
    }
    vec![Case {
        name: format!("{}/{}/{}", text(line, "template"), text(line, "suite_test"), text(line, "case")),
        request,
        policies: policies(line),
        is_allowed: !line["expect_violations"].as_bool().expect("a verdict"),
    }]
}

fn policies(line: &Value) -> Vec<Equivalent> {
    let parameters = line["constraint_params"].as_object().expect("parameters");
    equivalents(text(line, "template_kind"), parameters).unwrap_or_else(|error| panic!("{error}"))
}

/// What the updates of the suites are known to differ by is that they come without the old object.
#[test]
fn an_update_that_changes_nothing_is_allowed() {
    let Some(lines) = read(Corpus::Gatekeeper) else { return };
    let mut ours = Policies::new();
    let mut updates = 0;
    for line in lines.iter().filter(|line| line["review_operation"] == "UPDATE") {
        let mut request = create(&line["object"]);
        request.operation = "UPDATE".to_owned();
        request.old_object = request.object.clone();
        match ours.allow(&policies(line), &request) {
            Ok(()) => updates += 1,
            Err(Rejection::Settings(_)) => {}
            Err(rejection) => panic!("{line}: {rejection}"),
        }
    }
    assert!(updates > 0);
}

#[test]
fn without_parameters_each_template_has_settings_that_are_valid() {
    let mut ours = Policies::new();
    for template in &TEMPLATES {
        for equivalent in equivalents(template.kind, &Parameters::new()).expect("a template that is covered") {
            assert_eq!(ours.refusal(&equivalent), None, "{}", template.kind);
        }
    }
}

/// What the library's templates decide where its suites do not look, as read in them at 5c441fb.
#[test]
fn what_the_suites_leave_out_is_decided_as_the_templates_are_written() {
    let container = |security: Value| json!({"containers": [{"name": "a", "image": "a", "securityContext": security}]});
    let pod = |security: Value| json!({"securityContext": security, "containers": [{"name": "a", "image": "a"}]});
    let both = |pod: Value, of_container: Value| {
        let mut spec = container(of_container);
        spec["securityContext"] = pod;
        spec
    };
    let port =
        |port| json!({"containers": [{"name": "a", "image": "a", "ports": [{"containerPort": 1, "hostPort": port}]}]});
    let host_path = |path| json!({"containers": [{"name": "a", "image": "a"}], "volumes": [{"name": "v", "hostPath": {"path": path}}]});
    let plain = || json!({"containers": [{"name": "a", "image": "a"}]});
    let non_root = || json!({"runAsUser": {"rule": "MustRunAsNonRoot"}});
    let must_be_one = || json!({"runAsUser": {"rule": "MustRunAs", "ranges": [{"min": 1, "max": 1}]}});
    let may_be_one = || json!({"rule": "MayRunAs", "ranges": [{"min": 1, "max": 1}]});
    let probes = [
        ("K8sPSPAllowedUsers", json!({}), plain(), true),
        ("K8sPSPAllowedUsers", json!({}), container(json!({"runAsUser": 0, "runAsNonRoot": false})), true),
        ("K8sPSPAllowedUsers", non_root(), plain(), false),
        ("K8sPSPAllowedUsers", non_root(), pod(json!({"runAsNonRoot": true})), true),
        ("K8sPSPAllowedUsers", non_root(), both(json!({"runAsNonRoot": true}), json!({"runAsNonRoot": false})), false),
        ("K8sPSPAllowedUsers", non_root(), container(json!({"runAsUser": 1, "runAsNonRoot": false})), true),
        ("K8sPSPAllowedUsers", must_be_one(), plain(), false),
        ("K8sPSPAllowedUsers", must_be_one(), pod(json!({"runAsUser": 1})), true),
        ("K8sPSPAllowedUsers", must_be_one(), both(json!({"runAsUser": 1}), json!({"runAsUser": 2})), false),
        ("K8sPSPAppArmor", json!({"allowedProfiles": ["runtime/default"]}), plain(), true),
        ("K8sPSPAppArmor", json!({"allowedProfiles": ["localhost/a"]}), plain(), false),
        (
            "K8sPSPAppArmor",
            json!({"allowedProfiles": ["localhost/*"]}),
            pod(json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "a"}})),
            false,
        ),
        ("K8sPSPAppArmor", json!({}), plain(), false),
        ("K8sPSPCapabilities", json!({}), container(json!({"capabilities": {"add": ["CHOWN"]}})), false),
        ("K8sPSPCapabilities", json!({}), plain(), true),
        (
            "K8sPSPCapabilities",
            json!({"allowedCapabilities": ["*"]}),
            container(json!({"capabilities": {"add": ["SYS_ADMIN"]}})),
            true,
        ),
        (
            "K8sPSPCapabilities",
            json!({"requiredDropCapabilities": ["CHOWN", "KILL"]}),
            container(json!({"capabilities": {"drop": ["CHOWN"]}})),
            false,
        ),
        (
            "K8sPSPCapabilities",
            json!({"requiredDropCapabilities": ["CHOWN", "KILL"]}),
            container(json!({"capabilities": {"drop": ["all"]}})),
            true,
        ),
        ("K8sPSPFSGroup", may_be_one(), plain(), true),
        ("K8sPSPFSGroup", may_be_one(), pod(json!({"fsGroup": 2})), false),
        ("K8sPSPFSGroup", json!({"rule": "MustRunAs", "ranges": [{"min": 1, "max": 1}]}), plain(), false),
        ("K8sPSPFSGroup", json!({}), pod(json!({"fsGroup": 0, "runAsUser": 0})), true),
        ("K8sPSPForbiddenSysctls", json!({}), pod(json!({"sysctls": [{"name": "kernel.a", "value": "1"}]})), true),
        ("K8sPSPHostFilesystem", json!({"allowedHostPaths": [{"pathPrefix": "/foo"}]}), host_path("/foo/a"), true),
        ("K8sPSPHostFilesystem", json!({"allowedHostPaths": [{"pathPrefix": "/foo"}]}), host_path("/fool"), false),
        ("K8sPSPHostNamespace", json!({}), json!({"hostNetwork": true, "containers": []}), true),
        ("K8sPSPHostNamespace", json!({}), json!({"hostIPC": true, "containers": []}), false),
        ("K8sPSPHostNetworkingPorts", json!({}), json!({"hostPID": true, "hostIPC": true, "containers": []}), true),
        ("K8sPSPHostNetworkingPorts", json!({}), json!({"hostNetwork": true, "containers": []}), false),
        ("K8sPSPHostNetworkingPorts", json!({}), port(22), true),
        ("K8sPSPHostNetworkingPorts", json!({"min": 80}), port(22), false),
        ("K8sPSPHostNetworkingPorts", json!({"min": 80}), port(65535), true),
        ("K8sPSPHostNetworkingPorts", json!({"max": 80}), port(81), false),
        ("K8sPSPProcMount", json!({}), container(json!({"procMount": "Unmasked"})), false),
        ("K8sPSPProcMount", json!({"procMount": "unmasked"}), container(json!({"procMount": "Unmasked"})), true),
        ("K8sPSPSELinuxV2", json!({}), plain(), true),
        ("K8sPSPSELinuxV2", json!({}), pod(json!({"seLinuxOptions": {}})), false),
        (
            "K8sPSPSELinuxV2",
            json!({"allowedSELinuxOptions": [{"type": "t", "level": "s0"}]}),
            pod(json!({"seLinuxOptions": {}})),
            true,
        ),
        (
            "K8sPSPSELinuxV2",
            json!({"allowedSELinuxOptions": [{"type": "t"}]}),
            pod(json!({"seLinuxOptions": {"type": "t", "level": "s0"}})),
            false,
        ),
        (
            "K8sPSPSELinuxV2",
            json!({"allowedSELinuxOptions": [{"type": "*"}]}),
            pod(json!({"seLinuxOptions": {"type": "t"}})),
            false,
        ),
        ("K8sPSPSeccomp", json!({}), pod(json!({"seccompProfile": {"type": "RuntimeDefault"}})), false),
        ("K8sPSPSeccomp", json!({"allowedProfiles": ["*"]}), plain(), true),
        (
            "K8sPSPSeccomp",
            json!({"allowedProfiles": ["localhost/*"]}),
            pod(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a"}})),
            true,
        ),
        (
            "K8sPSPSeccompV2",
            json!({"allowedProfiles": ["runtime/default"]}),
            pod(json!({"seccompProfile": {"type": "RuntimeDefault"}})),
            false,
        ),
        (
            "K8sPSPSeccompV2",
            json!({"allowedProfiles": ["RuntimeDefault"], "allowedLocalhostFiles": ["*"]}),
            pod(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a"}})),
            false,
        ),
        ("K8sPSPVolumeTypes", json!({}), host_path("/foo"), false),
        ("K8sPSPVolumeTypes", json!({"volumes": ["*"]}), host_path("/foo"), true),
    ];
    let mut ours = Policies::new();
    for (kind, parameters, spec, is_allowed) in probes {
        let policies = equivalents(kind, parameters.as_object().expect("an object")).expect("a known constraint");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec});
        let verdict = ours.allow(&policies, &create(&pod));
        let is_settled = !matches!(verdict, Err(Rejection::Settings(_)));
        assert!(is_settled && verdict.is_ok() == is_allowed, "{kind} {parameters}: {spec}: {verdict:?}");
    }
}
