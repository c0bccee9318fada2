//! Rejects pods that share a namespace of the node.
//!
//! In the node's network namespace, a pod reads the node's traffic and reaches services that trust localhost. In
//! the process namespace, it sees, traces and kills other processes. In the IPC namespace, it reads memory that
//! others share.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Mend, Pod, Rule, Settings, String, Violations, problem};

podfence_core::fields! {
    HOST_NETWORK: Bool = Pod "hostNetwork",
        allowed "unset, `false`";
    HOST_PID: Bool = Pod "hostPID",
        allowed "unset, `false`";
    HOST_IPC: Bool = Pod "hostIPC",
        allowed "unset, `false`";
    SHARE_PROCESS_NAMESPACE: Bool = Pod "shareProcessNamespace",
        allowed "any; only unset, `false` if `allowShareProcessNamespace` (`true`) is `false`";
}

podfence_core::settings! {
    /// Allows pods to use the network namespace of the node.
    ALLOW_NETWORK: Bool = "allowHostNetwork", alias "allow_host_network", default "false";
    /// Allows pods to use the process namespace of the node.
    ALLOW_PID: Bool = "allowHostPID", alias "allow_host_pid", default "false";
    /// Allows pods to use the IPC namespace of the node.
    ALLOW_IPC: Bool = "allowHostIPC", alias "allow_host_ipc", default "false";
    /// Allows the containers of a pod to share a process namespace. They can then see each other's processes, and
    /// through these access each other's files and environment. The node's processes stay invisible.
    ALLOW_SHARE: Bool = "allowShareProcessNamespace", default "true";
    /// The Kubewarden policy's setting; it is an error here. Use the policy `host-ports` with its setting `hostPorts`.
    HOST_PORTS: Any = "allow_host_ports", of "Kubewarden";
}

podfence_core::policy! { name: "host-namespaces", check: check, validate: validate }

static HOST: Rule = Rule {
    control: "hostNamespaces",
    reason: "host namespaces",
    detail: "{list}",
    fix: "set the field to false or remove it",
    mend: Mend::REMOVE_USUALLY,
    ..Rule::PLAIN
};

static SHARED: Rule = Rule {
    control: "shareProcessNamespace",
    reason: "shared process namespace",
    detail: "shareProcessNamespace=true",
    fix: "set shareProcessNamespace to false or remove it",
    mend: Mend::REMOVE,
    ..Rule::PLAIN
};

/// Reports namespaces of the node that are not allowed, and a shared process namespace if it is not allowed.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    check_host(pod, settings, found);
    if pod.get(SHARE_PROCESS_NAMESPACE) == Some(true) && !settings.is(ALLOW_SHARE) {
        found.add(&SHARED, pod.at(SHARE_PROCESS_NAMESPACE));
    }
}

/// Reports namespaces of the node that are not allowed. The Pod Security Standards allow none: their policy has no
/// settings for them.
pub fn check_host<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    for (field, setting, name) in [
        (HOST_NETWORK, ALLOW_NETWORK, "hostNetwork=true"),
        (HOST_PID, ALLOW_PID, "hostPID=true"),
        (HOST_IPC, ALLOW_IPC, "hostIPC=true"),
    ] {
        if pod.get(field) == Some(true) && !settings.is(setting) {
            let place = pod.at(field).named(name);
            // A pod that is reached at the node's address, or sees its network, cannot do without.
            found.add(&HOST, if field.path == HOST_NETWORK.path { place.mend(Mend::NONE) } else { place });
        }
    }
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// `allow_host_ports` is set.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    if settings.is_given(HOST_PORTS) {
        return Err(problem(HOST_PORTS.path, "not supported, use the setting hostPorts of the policy host-ports", ""));
    }
    Ok(())
}
