//! Rejects pods that set a sysctl that is not allowed.
//!
//! A sysctl is a parameter of the node's kernel. A few belong to the pod alone and are safe. Any other one can slow
//! down or break the node, take resources from its neighbours, or open a way out of the container.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Pod, Rule, Settings, String, Violations, problem};

podfence_core::fields! {
    SYSCTLS: ObjectList = Pod "securityContext.sysctls";
    NAME: String = Pod "securityContext.sysctls[*].name",
        allowed "within `allowedSysctls` (the safe sysctls), not within `forbiddenSysctls` (none)";
}

podfence_core::settings! {
    /// Allows pods to set these sysctls: names, or prefixes with a trailing `*`; `"*"` stands for any. `/` and `.` are
    /// the same separator. The default lists the safe sysctls of the newest Pod Security Standards.
    ALLOWED: StringList = "allowedSysctls",
        default "[\"kernel.shm_rmid_forced\",\"net.ipv4.ip_local_port_range\",\"net.ipv4.tcp_syncookies\",\"net.ipv4.ping_group_range\",\"net.ipv4.ip_unprivileged_port_start\",\"net.ipv4.ip_local_reserved_ports\",\"net.ipv4.tcp_keepalive_time\",\"net.ipv4.tcp_fin_timeout\",\"net.ipv4.tcp_keepalive_intvl\",\"net.ipv4.tcp_keepalive_probes\",\"net.ipv4.tcp_rmem\",\"net.ipv4.tcp_wmem\",\"net.ipv4.tcp_slow_start_after_idle\",\"net.ipv4.tcp_notsent_lowat\"]";
    /// Allows pods to set these sysctls in addition to the safe ones, instead of `allowedSysctls`. PodSecurityPolicy
    /// and the Kubewarden policy have this setting.
    ALLOWED_UNSAFE: StringList = "allowedUnsafeSysctls", of "Kubewarden" for "allowedSysctls";
    /// Forbids these sysctls, even if they are allowed. Written like `allowedSysctls`.
    FORBIDDEN: StringList = "forbiddenSysctls", default "[]";
}

podfence_core::policy! { name: "sysctls", check: check, validate: validate }

static IS_FORBIDDEN: Rule = Rule {
    control: "sysctls",
    reason: "forbidden sysctls",
    detail: "{list}",
    fix: "remove it from securityContext.sysctls",
    setting: Some(FORBIDDEN.path),
    ..Rule::PLAIN
};

static NOT_ALLOWED: Rule = Rule { setting: Some(ALLOWED.path), ..IS_FORBIDDEN };

static NOT_ALLOWED_UNSAFE: Rule = Rule { setting: Some(ALLOWED_UNSAFE.path), ..IS_FORBIDDEN };

/// The safe sysctls of the Pod Security Standards, each with the first minor version that lists it.
pub static SAFE: [(u32, &str); 14] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
    (37, "net.ipv4.tcp_slow_start_after_idle"),
    (37, "net.ipv4.tcp_notsent_lowat"),
];

/// Reports sysctls that are forbidden or not allowed.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let (allowed, unsafe_too) = (settings.strings(ALLOWED), settings.strings(ALLOWED_UNSAFE));
    let forbidden = settings.strings(FORBIDDEN);
    let not_allowed = if settings.is_given(ALLOWED_UNSAFE) { &NOT_ALLOWED_UNSAFE } else { &NOT_ALLOWED };
    check_names(pod, found, |name| {
        if forbidden.strings().any(|pattern| matches(pattern, name)) {
            return Some(&IS_FORBIDDEN);
        }
        let is_allowed = allowed.strings().chain(unsafe_too.strings()).any(|pattern| matches(pattern, name));
        if is_allowed { None } else { Some(not_allowed) }
    });
}

/// Reports sysctls that are not safe in a minor version of the Pod Security Standards. Names are compared exactly.
pub fn check_version<'v>(pod: &Pod<'v>, minor: u32, found: &mut Violations<'v>) {
    check_names(pod, found, |name| {
        let is_safe = SAFE.iter().any(|&(since, safe)| since <= minor && safe == name);
        if is_safe { None } else { Some(&NOT_ALLOWED) }
    });
}

fn check_names<'v>(pod: &Pod<'v>, found: &mut Violations<'v>, refusal: impl Fn(&str) -> Option<&'static Rule>) {
    for (index, sysctl) in pod.list(SYSCTLS).enumerate() {
        if let Some(rule) = refusal(sysctl.get(NAME).unwrap_or_default()) {
            found.add(rule, pod.at(NAME).element(index, sysctl).value(sysctl.at(NAME)));
        }
    }
}

/// Whether a name equals a pattern, or starts with the part of it before a `*`. `/` and `.` are equal.
fn matches(pattern: &str, name: &str) -> bool {
    let (start, is_length) = match pattern.strip_suffix('*') {
        Some(prefix) => (prefix, name.len() >= prefix.len()),
        None => (pattern, name.len() == pattern.len()),
    };
    let separated = |byte| if byte == b'/' { b'.' } else { byte };
    is_length && start.bytes().zip(name.bytes()).all(|(a, b)| separated(a) == separated(b))
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// A pattern is empty or has a `*` that is not at its end, or the allowed sysctls are set in two ways.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    if settings.is_given(ALLOWED) && settings.is_given(ALLOWED_UNSAFE) {
        return Err(problem(ALLOWED_UNSAFE.path, "the same setting as ", ALLOWED.path));
    }
    for setting in [ALLOWED, ALLOWED_UNSAFE, FORBIDDEN] {
        for pattern in settings.strings(setting).strings() {
            let start = pattern.strip_suffix('*').unwrap_or(pattern);
            if pattern.is_empty() || start.contains('*') {
                return Err(problem(setting.path, "expected a name, or a prefix and one *, found ", pattern));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_lists_the_safe_sysctls_of_the_newest_version() {
        let names: Vec<_> = SAFE.iter().map(|(_, name)| format!("\"{name}\"")).collect();
        assert_eq!(SETTINGS[0].default, format!("[{}]", names.join(",")));
    }
}
