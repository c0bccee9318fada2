//! Checks that this policy reads every field that the policies of its controls restrict, and that their manifests name
//! its controls.

use std::{collections::BTreeSet, path::Path};

use podfence_core::{Declaration, Policy};
use podfence_docs::Replaces;
use podfence_pod_security_standards::{EXCLUDE, FIELDS, SETTINGS};

/// The policies whose checks are the controls.
static POLICIES: [&Policy; 14] = [
    &podfence_allow_privilege_escalation::POLICY,
    &podfence_apparmor::POLICY,
    &podfence_capabilities::POLICY,
    &podfence_host_namespaces::POLICY,
    &podfence_host_ports::POLICY,
    &podfence_host_probes::POLICY,
    &podfence_host_process::POLICY,
    &podfence_privileged::POLICY,
    &podfence_proc_mount::POLICY,
    &podfence_seccomp::POLICY,
    &podfence_selinux::POLICY,
    &podfence_sysctls::POLICY,
    &podfence_users::POLICY,
    &podfence_volumes::POLICY,
];

/// Fields of those policies that no control evaluates.
const BEYOND: [&str; 9] = [
    "securityContext.appArmorProfile.localhostProfile",
    "securityContext.fsGroup",
    "securityContext.runAsGroup",
    "securityContext.seccompProfile.localhostProfile",
    "securityContext.supplementalGroups",
    "securityContext.supplementalGroupsPolicy",
    "securityContext.windowsOptions.runAsUserName",
    "shareProcessNamespace",
    "spec.volumeClaimTemplates",
];

#[test]
fn every_restricted_field_of_the_controls_is_read() {
    let is_here = |field: &&Declaration| FIELDS.iter().any(|own| own.path == field.path && own.scope == field.scope);
    let restricted = POLICIES.iter().flat_map(|policy| policy.fields).filter(|field| !field.docs.allowed.is_empty());
    let mut missing: Vec<&str> = restricted.filter(|field| !is_here(field)).map(|field| field.path).collect();
    missing.sort_unstable();
    assert_eq!(missing, BEYOND);
}

#[test]
fn the_policies_name_every_control_that_they_replace() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let policies = own.parent().expect("the directory of the policies");
    let names = podfence_fixtures::discover(policies).expect("a directory").into_iter();
    let others = names.map(|name| policies.join(name)).filter(|dir| dir != own);
    let replaced: Vec<Replaces> = others.map(|dir| Replaces::load(&dir).expect("a table")).collect();
    let replaced = replaced.iter().map(|replaces| replaces.pod_security_standards.as_ref());
    let named: BTreeSet<&str> = replaced.flat_map(Replaces::names).map(String::as_str).collect();
    let controls = SETTINGS.iter().find(|setting| setting.path == EXCLUDE.path).expect("a setting").options;
    assert_eq!(named, controls.iter().copied().collect());
}
