//! Rejects HostProcess containers on Windows.
//!
//! A HostProcess container is a process of the Windows node, with the rights of one of the node's accounts, up to
//! the system's own. It sees the node's files, processes and network. It is the privileged container of Windows.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Pod, Rule, Settings, Violations};

podfence_core::fields! {
    HOST_PROCESS: Bool = Both "securityContext.windowsOptions.hostProcess",
        allowed "unset, `false`";
}

podfence_core::settings! {
    /// Allows HostProcess pods and containers.
    ALLOW: Bool = "allowHostProcess", default "false";
}

podfence_core::policy! { name: "host-process", check: check }

static RULE: Rule = Rule {
    control: "windowsHostProcess",
    reason: "hostProcess",
    detail: "{who} must not set securityContext.windowsOptions.hostProcess=true",
    fix: "set securityContext.windowsOptions.hostProcess to false or remove it",
    ..Rule::PLAIN
};

/// Reports HostProcess pods and containers.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    if settings.is(ALLOW) {
        return;
    }
    // Counts even if every container overrides it, since a container that is added later inherits it.
    if pod.get(HOST_PROCESS) == Some(true) {
        found.add(&RULE, pod.at(HOST_PROCESS));
    }
    for container in pod.containers() {
        if container.get(HOST_PROCESS) == Some(true) {
            found.add(&RULE, container.at(HOST_PROCESS));
        }
    }
}
