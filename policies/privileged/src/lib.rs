//! A privileged container is root on the node.
//!
//! It sees every device, can load kernel modules and can leave its container at will. Nothing that a
//! pod says about itself holds any more once one of its containers is privileged.
//!
//! # Replaces
//!
//! - **PodSecurityPolicy**: `privileged`. Of the containers, the init ones or the ephemeral ones alone can be
//!   allowed to be, not all.
//! - **Pod Security Standards**: `privileged` (baseline). The same without settings.
//! - **Gatekeeper**: `K8sPSPPrivilegedContainer`. The same without settings, but a value that is no boolean is
//!   unreadable.
//! - **Kubewarden**: `pod-privileged`. `skip_init_containers` does not skip sidecars.
//! - **Kyverno**: `disallow-privileged-containers`. The same verdicts on its test suite.
#![cfg_attr(target_arch = "wasm32", no_std)]

use podfence_core::{Pod, Role, Rule, Settings, Violations};

podfence_core::fields! {
    /// unset, `false`
    PRIVILEGED: Bool = Container "securityContext.privileged";
}

podfence_core::settings! {
    /// Whether init containers may be privileged. Sidecars (init containers with `restartPolicy: Always`)
    /// run as long as the pod and may not.
    SKIP_INIT: Bool = "skipInitContainers", alias "skip_init_containers", default "false";
    /// Whether ephemeral containers, those of `kubectl debug`, may be privileged.
    SKIP_EPHEMERAL: Bool = "skipEphemeralContainers", alias "skip_ephemeral_containers", default "false";
}

podfence_core::policy! { name: "privileged", check: check }

static RULE: Rule = Rule {
    control: "privileged",
    reason: "privileged",
    detail: "{who} must not set securityContext.privileged=true",
    fix: "set securityContext.privileged to false or remove it; add the capabilities that are needed instead",
    ..Rule::PLAIN
};

/// Looks for privileged containers.
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
