//! A probe or hook with a host of its own makes the node's kubelet connect to whatever it names.
//!
//! The kubelet stands behind firewalls that pods are kept out by, and reaches the node's own services and
//! the cloud's metadata. Without a host, it connects to the pod, which is all that a probe is for.
//!
//! # Replaces
//!
//! - **PodSecurityPolicy**: none
//! - **Pod Security Standards**: `hostProbesAndHostLifecycle` (baseline). The same without settings.
//! - **Gatekeeper**: `K8sPSPHostProbesLifecycle`. The same without settings.
//! - **Kubewarden**: none
//! - **Kyverno**: none
#![cfg_attr(target_arch = "wasm32", no_std)]

use podfence_core::{Field, Pod, Rule, Settings, Violations, types};

podfence_core::fields! {
    /// unset, empty, or within `allowedHosts` (none)
    LIVENESS_HTTP: Text = Container "livenessProbe.httpGet.host";
    /// unset, empty, or within `allowedHosts` (none)
    LIVENESS_TCP: Text = Container "livenessProbe.tcpSocket.host";
    /// unset, empty, or within `allowedHosts` (none)
    READINESS_HTTP: Text = Container "readinessProbe.httpGet.host";
    /// unset, empty, or within `allowedHosts` (none)
    READINESS_TCP: Text = Container "readinessProbe.tcpSocket.host";
    /// unset, empty, or within `allowedHosts` (none)
    STARTUP_HTTP: Text = Container "startupProbe.httpGet.host";
    /// unset, empty, or within `allowedHosts` (none)
    STARTUP_TCP: Text = Container "startupProbe.tcpSocket.host";
    /// unset, empty, or within `allowedHosts` (none)
    POST_START_HTTP: Text = Container "lifecycle.postStart.httpGet.host";
    /// unset, empty, or within `allowedHosts` (none)
    POST_START_TCP: Text = Container "lifecycle.postStart.tcpSocket.host";
    /// unset, empty, or within `allowedHosts` (none)
    PRE_STOP_HTTP: Text = Container "lifecycle.preStop.httpGet.host";
    /// unset, empty, or within `allowedHosts` (none)
    PRE_STOP_TCP: Text = Container "lifecycle.preStop.tcpSocket.host";
}

podfence_core::settings! {
    /// Hosts that probes and lifecycle hooks may name, written as they are there. There is no exception for
    /// `localhost`, which is the node here, nor for the pod itself, which needs no name.
    ALLOWED: Texts = "allowedHosts", default "[]";
}

podfence_core::policy! { name: "host-probes", check: check }

static RULE: Rule = Rule {
    control: "hostProbesAndHostLifecycle",
    reason: "probe or lifecycle host",
    detail: "{sorted} {sorted:uses|use} probe or lifecycle {values:host|hosts} {values}",
    fix: "remove the host; without it, the pod itself is asked",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

const HOSTS: [Field<types::Text>; 10] = [
    LIVENESS_HTTP,
    LIVENESS_TCP,
    READINESS_HTTP,
    READINESS_TCP,
    STARTUP_HTTP,
    STARTUP_TCP,
    POST_START_HTTP,
    POST_START_TCP,
    PRE_STOP_HTTP,
    PRE_STOP_TCP,
];

/// Looks for hosts in probes and lifecycle hooks that are not allowed.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let allowed = settings.texts(ALLOWED);
    for container in pod.containers() {
        for field in HOSTS {
            let host = container.get(field).unwrap_or_default();
            if !host.is_empty() && !allowed.has(host) {
                found.add(&RULE, container.at(field));
            }
        }
    }
}
