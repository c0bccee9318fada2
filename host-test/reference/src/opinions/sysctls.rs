use podfence_sysctls::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, get, list, setting_texts, text, texts, values, violation};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[values(
        "securityContext.sysctls[*].name",
        0,
        &["kernel.shm_rmid_forced", "net/ipv4/tcp_syncookies", "net.ipv4.tcp_notsent_lowat", "kernel.msgmax"],
        &["kernel.msgmax", "kernel/msgmax", "net.ipv4.tcp_", "vm.overcommit_memory", "", "*", "kernel.shm_rmid_forced2"],
    )],
    settings,
    check,
    message: None,
    mutate: None,
};

/// The safe sysctls of the newest Pod Security Standards.
const SAFE: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

const PATTERNS: [&str; 7] =
    ["kernel.*", "kernel/msg*", "net.*", "*", "kernel.shm_rmid_forced", "vm.overcommit_memory", "net/ipv4/tcp_*"];

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    match settings.draw.below(4) {
        0 => settings.texts("allowedUnsafeSysctls", &PATTERNS),
        1 | 2 => settings.texts("allowedSysctls", &PATTERNS),
        _ => {}
    }
    if settings.draw.percent(40) {
        settings.texts("forbiddenSysctls", &PATTERNS);
    }
    settings.done()
}

/// Whether a list has this name, or a prefix of it with a star behind.
fn is_listed(listed: &[&str], name: &str) -> bool {
    let dotted = |name: &str| name.replace('/', ".");
    listed.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => dotted(name).starts_with(&dotted(start)),
        None => dotted(name) == dotted(pattern),
    })
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut allowed = setting_texts(pod.settings, "allowedSysctls", &SAFE);
    if !get(pod.settings, "allowedUnsafeSysctls").is_null() {
        allowed = [SAFE.to_vec(), texts(pod.settings, "allowedUnsafeSysctls")].concat();
    }
    let forbidden = texts(pod.settings, "forbiddenSysctls");
    let mut found = Vec::new();
    for (index, sysctl) in list(pod.spec, "securityContext.sysctls").iter().enumerate() {
        let name = text(sysctl, "name");
        if is_listed(&forbidden, name) || !is_listed(&allowed, name) {
            found.push(violation("sysctls", format!("spec.securityContext.sysctls[{index}].name")));
        }
    }
    found
}
