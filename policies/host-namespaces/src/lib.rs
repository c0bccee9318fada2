//! Rejects pods that share a namespace of the node.
//!
//! In the node's network namespace, a pod reads the node's traffic and reaches services that trust localhost. In
//! the process namespace, it sees, traces and kills other processes. In the IPC namespace, it reads memory that
//! others share.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Pod, Rule, Settings, String, Violations, problem};

podfence_core::fields! {
    HOST_NETWORK: Bool = Pod "hostNetwork",
        allowed "unset, `false`";
    HOST_PID: Bool = Pod "hostPID",
        allowed "unset, `false`";
    HOST_IPC: Bool = Pod "hostIPC",
        allowed "unset, `false`";
    SHARE_PROCESS_NAMESPACE: Bool = Pod "shareProcessNamespace",
        allowed "any; unset, `false` if `allowShareProcessNamespace` is `false`";
}

podfence_core::settings! {
    /// Whether pods may be in the network of the node.
    ALLOW_NETWORK: Bool = "allowHostNetwork", alias "allow_host_network", default "false";
    /// Whether pods may be among the processes of the node.
    ALLOW_PID: Bool = "allowHostPID", alias "allow_host_pid", default "false";
    /// Whether pods may share memory with the processes of the node.
    ALLOW_IPC: Bool = "allowHostIPC", alias "allow_host_ipc", default "false";
    /// Whether the containers of a pod may see each other's processes, and through them each other's files
    /// and environment. That is no namespace of the node.
    ALLOW_SHARE: Bool = "allowShareProcessNamespace", default "true";
    /// A setting of the Kubewarden policy that is refused: ports of the node are what the policy `host-ports`
    /// judges, with its `hostPorts`.
    HOST_PORTS: Any = "allow_host_ports", of "Kubewarden";
}

podfence_core::policy! { name: "host-namespaces", check: check, validate: validate }

static HOST: Rule = Rule {
    control: "hostNamespaces",
    reason: "host namespaces",
    detail: "{list}",
    fix: "set the field to false or remove it",
    ..Rule::PLAIN
};

static SHARED: Rule = Rule {
    control: "shareProcessNamespace",
    reason: "shared process namespace",
    detail: "shareProcessNamespace=true",
    fix: "set shareProcessNamespace to false or remove it",
    ..Rule::PLAIN
};

/// Looks for namespaces of the node, and for a process namespace that containers share.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    check_host(pod, settings, found);
    if pod.get(SHARE_PROCESS_NAMESPACE) == Some(true) && !settings.is(ALLOW_SHARE) {
        found.add(&SHARED, pod.at(SHARE_PROCESS_NAMESPACE));
    }
}

/// Looks for namespaces of the node, as the Pod Security Standards do where settings have none of these.
pub fn check_host<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    for (field, setting, name) in [
        (HOST_NETWORK, ALLOW_NETWORK, "hostNetwork=true"),
        (HOST_PID, ALLOW_PID, "hostPID=true"),
        (HOST_IPC, ALLOW_IPC, "hostIPC=true"),
    ] {
        if pod.get(field) == Some(true) && !settings.is(setting) {
            found.add(&HOST, pod.at(field).named(name));
        }
    }
}

/// What the settings' types cannot say.
///
/// # Errors
/// They are about host ports.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    if settings.is_given(HOST_PORTS) {
        return Err(problem(HOST_PORTS.path, "host ports are judged by the policy host-ports, with hostPorts", ""));
    }
    Ok(())
}
