//! Rejects probes and lifecycle hooks whose host is not allowed.
//!
//! The kubelet connects to that host. It stands behind firewalls that pods cannot pass, and reaches the node's own
//! services and the cloud's metadata. Without a host, it connects to the pod, which is what probes are for.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Field, Mend, Pod, Rule, Settings, Violations, types};

podfence_core::fields! {
    LIVENESS_HTTP: String = Container "livenessProbe.httpGet.host",
        allowed "unset, empty, or within `allowedHosts` (none)";
    LIVENESS_TCP: String = Container "livenessProbe.tcpSocket.host",
        allowed "unset, empty, or within `allowedHosts` (none)";
    READINESS_HTTP: String = Container "readinessProbe.httpGet.host",
        allowed "unset, empty, or within `allowedHosts` (none)";
    READINESS_TCP: String = Container "readinessProbe.tcpSocket.host",
        allowed "unset, empty, or within `allowedHosts` (none)";
    STARTUP_HTTP: String = Container "startupProbe.httpGet.host",
        allowed "unset, empty, or within `allowedHosts` (none)";
    STARTUP_TCP: String = Container "startupProbe.tcpSocket.host",
        allowed "unset, empty, or within `allowedHosts` (none)";
    POST_START_HTTP: String = Container "lifecycle.postStart.httpGet.host",
        allowed "unset, empty, or within `allowedHosts` (none)";
    POST_START_TCP: String = Container "lifecycle.postStart.tcpSocket.host",
        allowed "unset, empty, or within `allowedHosts` (none)";
    PRE_STOP_HTTP: String = Container "lifecycle.preStop.httpGet.host",
        allowed "unset, empty, or within `allowedHosts` (none)";
    PRE_STOP_TCP: String = Container "lifecycle.preStop.tcpSocket.host",
        allowed "unset, empty, or within `allowedHosts` (none)";
}

podfence_core::settings! {
    /// Allows probes and lifecycle hooks to name these hosts. Names are compared exactly. `localhost` is the node here,
    /// so it must be listed as well. The pod itself needs no name.
    ALLOWED: StringList = "allowedHosts", default "[]";
}

podfence_core::policy! { name: "host-probes", check: check }

static RULE: Rule = Rule {
    control: "hostProbesAndHostLifecycle",
    reason: "probe or lifecycle host",
    detail: "{sorted} {sorted:uses|use} probe or lifecycle {values:host|hosts} {values}",
    fix: "remove the host; without it, the pod itself is asked",
    mend: Mend::REMOVE,
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

const HOSTS: [Field<types::String>; 10] = [
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

/// Reports hosts in probes and lifecycle hooks that are not allowed.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let allowed = settings.strings(ALLOWED);
    for container in pod.containers() {
        for field in HOSTS {
            let host = container.get(field).unwrap_or_default();
            if !host.is_empty() && !allowed.has(host) {
                found.add(&RULE, container.at(field));
            }
        }
    }
}
