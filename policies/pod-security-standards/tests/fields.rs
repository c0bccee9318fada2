//! What the single policies restrict is read here as well.

use podfence_core::{Entry, Policy};
use podfence_pod_security_standards::FIELDS;

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

/// What no control looks at.
const BEYOND: [&str; 6] = [
    "securityContext.appArmorProfile.localhostProfile",
    "securityContext.fsGroup",
    "securityContext.runAsGroup",
    "securityContext.seccompProfile.localhostProfile",
    "securityContext.supplementalGroups",
    "shareProcessNamespace",
];

#[test]
fn every_restricted_field_of_the_controls_is_read() {
    let is_here = |field: &&Entry| FIELDS.iter().any(|own| own.path == field.path && own.scope == field.scope);
    let restricted = POLICIES.iter().flat_map(|policy| policy.fields).filter(|field| !field.doc.is_empty());
    let mut missing: Vec<&str> = restricted.filter(|field| !is_here(field)).map(|field| field.path).collect();
    missing.sort_unstable();
    assert_eq!(missing, BEYOND);
}
