//! Rejects containers that allow privilege escalation.
//!
//! A setuid program gives its process the privileges of root, unless its container sets `allowPrivilegeEscalation:
//! false`. The kernel then ignores setuid bits and file capabilities. Kubernetes allows escalation by default.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Container, Edits, Mend, Pod, Rule, Settings, String, Violations, mend, problem, vec};

podfence_core::fields! {
    ALLOW_ESCALATION: Bool = Container "securityContext.allowPrivilegeEscalation",
        allowed "`false`";
    /// Does nothing there.
    MISPLACED: Any = Pod "securityContext.allowPrivilegeEscalation";
    PRIVILEGED: Bool = Container "securityContext.privileged";
    ADD: StringList = Container "securityContext.capabilities.add";
}

podfence_core::settings! {
    /// Sets `allowPrivilegeEscalation` to `false` where it is unset, instead of rejecting. Containers that are
    /// privileged or add `SYS_ADMIN` or `ALL` are not changed but rejected, since `false` contradicts these privileges.
    MUTATE: Bool = "mutate", default "false", mutates if true;
    /// The Kubewarden policy's setting: `false` means `mutate: true`, and `true` is an error.
    DEFAULT: Bool = "default_allow_privilege_escalation", mutates if false,
        of "Kubewarden" for "mutate";
}

podfence_core::policy! { name: "allow-privilege-escalation", check: check, mutate: mutate, validate: validate }

/// What the field must be, as JSON.
const NO: &str = "false";

static RULE: Rule = Rule {
    control: "allowPrivilegeEscalation",
    reason: "allowPrivilegeEscalation != false",
    detail: "{who} must set securityContext.allowPrivilegeEscalation=false",
    fix: "set securityContext.allowPrivilegeEscalation to false; a container cannot have that and be privileged or add SYS_ADMIN",
    mend: &mend!(set NO, usual),
    ..Rule::PLAIN
};

/// Reports containers that do not set `allowPrivilegeEscalation` to `false`.
pub fn check<'v>(pod: &Pod<'v>, _: &Settings<'_>, found: &mut Violations<'v>) {
    // Kubernetes refuses the field on Windows.
    if !pod.is_windows() {
        check_all(pod, found);
    }
}

/// Checks pods for any operating system, as the Pod Security Standards did before 1.25.
pub fn check_all<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    for container in pod.containers() {
        if container.get(ALLOW_ESCALATION) != Some(false) {
            let place = container.at(ALLOW_ESCALATION).hint(pod.misplaced(MISPLACED));
            found.add(&RULE, if is_powerful(&container) { place.mend(Mend::NONE) } else { place });
        }
    }
}

/// Sets the field to `false` where it is unset. A container that sets it to `true` keeps that and is rejected.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    let is_requested = settings.is(MUTATE) || settings.get(DEFAULT) == Some(false);
    if !is_requested || pod.is_windows() {
        return;
    }
    for container in pod.containers() {
        if container.get(ALLOW_ESCALATION).is_none() && !is_powerful(&container) {
            edits.container(&container, "securityContext", vec![("allowPrivilegeEscalation", String::from(NO))]);
        }
    }
}

/// Whether a container has a privilege that contradicts `allowPrivilegeEscalation: false`.
///
/// Kubernetes refuses the combination only for `privileged: true` and for the spelling `CAP_SYS_ADMIN`, but runtimes
/// grant that capability for the other spellings as well.
fn is_powerful(container: &Container<'_>) -> bool {
    let is_power = |name: &str| {
        ["SYS_ADMIN", "CAP_SYS_ADMIN", "ALL", "CAP_ALL"].iter().any(|power| name.eq_ignore_ascii_case(power))
    };
    container.get(PRIVILEGED) == Some(true) || container.get(ADD).unwrap_or_default().strings().any(is_power)
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// The default would allow escalation, or `mutate` is set under both names.
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
