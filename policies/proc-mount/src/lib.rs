//! Rejects containers whose `procMount` is not allowed.
//!
//! The runtime hides parts of `/proc` and makes others read-only. An unmasked `/proc` exposes the kernel's memory,
//! keys and timers, and switches such as the one that restarts the node. Only in a user namespace of its own does a
//! container lack the privileges to use them.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Mend, Pod, Rule, Settings, String, Violations, problem};

podfence_core::fields! {
    HOST_USERS: Bool = Pod "hostUsers";
    PROC_MOUNT: String = Container "securityContext.procMount",
        allowed "unset, or within `allowedProcMountTypes` (`Default`)";
}

podfence_core::settings! {
    /// Allows containers to set these types.
    ALLOWED: StringList = "allowedProcMountTypes", one_of ["Default", "Unmasked"], default "[\"Default\"]";
    /// Allows pods with their own user namespace (`hostUsers: false`) to set any type. The baseline level of the Pod
    /// Security Standards allows this since 1.35, the restricted level does not.
    ALLOW_IN_USER_NAMESPACE: Bool = "allowAnyInUserNamespace", default "false";
    /// The Gatekeeper template's setting: `Default` allows only that type, `Unmasked` allows both types.
    TYPE: String = "procMount", one_of ["Default", "Unmasked"], of "Gatekeeper" for "allowedProcMountTypes";
    /// The Kubewarden policy's setting: `true` allows both types, `false` allows only `Default`.
    ALLOW_UNMASKED: Bool = "allow_unmasked_proc_mount_type", of "Kubewarden" for "allowedProcMountTypes";
}

podfence_core::policy! { name: "proc-mount", check: check, validate: validate }

static FORBIDDEN: Rule = Rule {
    control: "procMount",
    reason: "procMount",
    detail: "{who} must not set securityContext.procMount to {values}",
    fix: "remove securityContext.procMount",
    mend: Mend::REMOVE_USUALLY,
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

static FORBIDDEN_BY_TYPE: Rule = Rule { setting: Some(TYPE.path), ..FORBIDDEN };

static FORBIDDEN_BY_UNMASKED: Rule = Rule { setting: Some(ALLOW_UNMASKED.path), ..FORBIDDEN };

/// Reports types of `/proc` that are not allowed.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    if settings.is(ALLOW_IN_USER_NAMESPACE) && pod.get(HOST_USERS) == Some(false) {
        return;
    }
    let rule = match (settings.is_given(TYPE), settings.is_given(ALLOW_UNMASKED)) {
        (true, _) => &FORBIDDEN_BY_TYPE,
        (_, true) => &FORBIDDEN_BY_UNMASKED,
        _ => &FORBIDDEN,
    };
    let allows_both = settings.get(TYPE) == Some("Unmasked") || settings.is(ALLOW_UNMASKED);
    let allowed = settings.strings(ALLOWED);
    check_types(pod, rule, found, |is| allowed.has(is) || allows_both && matches!(is, "Default" | "Unmasked"));
}

static RESTRICTED: Rule = Rule { control: "procMount_restricted", ..FORBIDDEN };

/// Checks the baseline control of the Pod Security Standards.
pub fn check_baseline<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    check_types(pod, &FORBIDDEN, found, |is| is == "Default");
}

/// Checks the restricted control of the Pod Security Standards.
pub fn check_restricted<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    check_types(pod, &RESTRICTED, found, |is| is == "Default");
}

fn check_types<'v>(pod: &Pod<'v>, rule: &'static Rule, found: &mut Violations<'v>, is_allowed: impl Fn(&str) -> bool) {
    for container in pod.containers() {
        if container.get(PROC_MOUNT).is_some_and(|is| !is_allowed(is)) {
            found.add(rule, container.at(PROC_MOUNT));
        }
    }
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// The allowed types are set under two names.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    let given = |setting: &str| Err(problem(setting, "the same setting as ", ALLOWED.path));
    match (settings.is_given(TYPE), settings.is_given(ALLOW_UNMASKED), settings.is_given(ALLOWED)) {
        (true, true, _) => Err(problem(ALLOW_UNMASKED.path, "the same setting as ", TYPE.path)),
        (true, _, true) => given(TYPE.path),
        (_, true, true) => given(ALLOW_UNMASKED.path),
        _ => Ok(()),
    }
}
