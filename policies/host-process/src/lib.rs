//! A HostProcess container is a process of the Windows node, and in no container at all.
//!
//! It runs with the rights of an account of the node, up to those of the system: it sees the node's
//! files, processes and network, and can do what an administrator can. On Linux one would call it privileged.
//!
//! # Replaces
//!
//! - **PodSecurityPolicy**: none
//! - **Pod Security Standards**: `windowsHostProcess` (baseline). The same without settings.
//! - **Gatekeeper**: `K8sPSPHostProcess`. The same without settings.
//! - **Kubewarden**: none
//! - **Kyverno**: `disallow-host-process`. The same verdicts on its test suite.
#![cfg_attr(target_arch = "wasm32", no_std)]

use podfence_core::{Pod, Rule, Settings, Violations};

podfence_core::fields! {
    /// unset, `false`
    HOST_PROCESS: Bool = Both "securityContext.windowsOptions.hostProcess";
}

podfence_core::settings! {
    /// Whether pods and containers may be HostProcess ones.
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

/// Looks for HostProcess pods and containers.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    if settings.is(ALLOW) {
        return;
    }
    // A later container inherits what the pod sets, so that counts even where every container overrides it.
    if pod.get(HOST_PROCESS) == Some(true) {
        found.add(&RULE, pod.at(HOST_PROCESS));
    }
    for container in pod.containers() {
        if container.get(HOST_PROCESS) == Some(true) {
            found.add(&RULE, container.at(HOST_PROCESS));
        }
    }
}
