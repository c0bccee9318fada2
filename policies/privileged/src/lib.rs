//! Rejects privileged containers.
//!
//! A privileged container has every device and capability of the node: whoever controls it is root there. No other
//! restriction of the pod protects the node any more.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Mend, Pod, Role, Rule, Settings, Violations};

podfence_core::fields! {
    PRIVILEGED: Bool = Container "securityContext.privileged",
        allowed "unset, `false`";
}

podfence_core::settings! {
    /// Allows init containers to be privileged, except sidecars (init containers with `restartPolicy: Always`), which
    /// run as long as the pod.
    SKIP_INIT: Bool = "skipInitContainers", alias "skip_init_containers", default "false";
    /// Allows ephemeral containers (those of `kubectl debug`) to be privileged.
    SKIP_EPHEMERAL: Bool = "skipEphemeralContainers", alias "skip_ephemeral_containers", default "false";
}

podfence_core::policy! { name: "privileged", check: check }

static RULE: Rule = Rule {
    control: "privileged",
    reason: "privileged",
    detail: "{who} must not set securityContext.privileged=true",
    fix: "set securityContext.privileged to false or remove it; add the capabilities that are needed instead",
    mend: Mend::REMOVE_USUALLY,
    ..Rule::PLAIN
};

/// Reports privileged containers.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    for container in pod.containers() {
        let skipped = match container.role {
            Role::Init => settings.is(SKIP_INIT) && !container.is_sidecar,
            Role::Main => false,
            Role::Ephemeral => settings.is(SKIP_EPHEMERAL),
        };
        if !skipped && container.get(PRIVILEGED) == Some(true) {
            found.add(&RULE, container.at(PRIVILEGED));
        }
    }
}
