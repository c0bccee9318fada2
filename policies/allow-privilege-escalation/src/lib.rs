//! Rejects containers that allow privilege escalation.
//!
//! A setuid program gives its process the privileges of root, unless its container sets `allowPrivilegeEscalation:
//! false`. The kernel then ignores setuid bits and file capabilities. Kubernetes allows escalation by default.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Container, Edits, Pod, Rule, Settings, String, Violations, problem, vec};

podfence_core::fields! {
    ALLOW_ESCALATION: Bool = Container "securityContext.allowPrivilegeEscalation",
        allowed "`false`";
    PRIVILEGED: Bool = Container "securityContext.privileged";
    ADD: StringList = Container "securityContext.capabilities.add";
}

podfence_core::settings! {
    /// Whether to set the field to `false` where it is not set, instead of rejecting.
    /// Containers that are privileged or add `SYS_ADMIN` are left as they are, and rejected, since Kubernetes
    /// refuses the two together.
    MUTATE: Bool = "mutate", default "false", mutates if true;
    /// What the Kubewarden policy calls it: `false` is the same as `mutate: true`, and `true` is refused.
    DEFAULT: Bool = "default_allow_privilege_escalation", mutates if false,
        of "Kubewarden" for "mutate";
}

podfence_core::policy! { name: "allow-privilege-escalation", check: check, mutate: mutate, validate: validate }

static RULE: Rule = Rule {
    control: "allowPrivilegeEscalation",
    reason: "allowPrivilegeEscalation != false",
    detail: "{who} must set securityContext.allowPrivilegeEscalation=false",
    fix: "set securityContext.allowPrivilegeEscalation to false; a container cannot have that and be privileged or add SYS_ADMIN",
    ..Rule::PLAIN
};

/// Looks for containers whose processes may gain privileges.
pub fn check<'v>(pod: &Pod<'v>, _: &Settings<'_>, found: &mut Violations<'v>) {
    // Kubernetes refuses the field on Windows.
    if !pod.is_windows() {
        check_all(pod, found);
    }
}

/// The same for any operating system, as the Pod Security Standards had it before 1.25.
pub fn check_all<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    for container in pod.containers() {
        if container.get(ALLOW_ESCALATION) != Some(false) {
            found.add(&RULE, container.at(ALLOW_ESCALATION));
        }
    }
}

/// Sets the field where it is not set. A container that asks for escalation does not get something else.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    let is_asked = settings.is(MUTATE) || settings.get(DEFAULT) == Some(false);
    if !is_asked || pod.is_windows() {
        return;
    }
    for container in pod.containers() {
        if container.get(ALLOW_ESCALATION).is_none() && !is_powerful(&container) {
            edits.container(&container, "securityContext", vec![("allowPrivilegeEscalation", String::from("false"))]);
        }
    }
}

/// Whether Kubernetes refuses the field beside what a container has. Of the capabilities it knows only
/// `CAP_SYS_ADMIN` there, but a runtime makes that of the others, too.
fn is_powerful(container: &Container<'_>) -> bool {
    let is_power = |name: &str| {
        ["SYS_ADMIN", "CAP_SYS_ADMIN", "ALL", "CAP_ALL"].iter().any(|power| name.eq_ignore_ascii_case(power))
    };
    container.get(PRIVILEGED) == Some(true) || container.get(ADD).unwrap_or_default().strings().any(is_power)
}

/// What the settings' types cannot say.
///
/// # Errors
/// Escalation would be the default, or `mutate` is given under both names.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    match settings.get(DEFAULT) {
        Some(_) if settings.is_given(MUTATE) => Err(problem(DEFAULT.path, "the same setting as ", MUTATE.path)),
        Some(true) => Err(problem(
            DEFAULT.path,
            "this policy allows no escalation, so it cannot be the default; leave it out",
            "",
        )),
        _ => Ok(()),
    }
}
