//! Rejects pods that do not run in a user namespace of their own.
//!
//! Without one, root in a container is root on the node as soon as it escapes, and a capability is one on the node.
//! With `hostUsers: false`, the container's users are unprivileged users of the node, who differ from pod to pod.
//!
//! The API server refuses `hostUsers: false` together with `hostPID`, `hostIPC` or `volumeDevices`, and with `hostNetwork`
//! unless its feature gate `UserNamespacesHostNetworkSupport` is enabled (alpha since Kubernetes 1.35). So pods with these
//! are rejected, unless a setting allows them.
//!
//! A Pod that runs keeps what it has: with `require: always`, its updates are accepted, and otherwise a new ephemeral
//! container (`kubectl debug`) is evaluated, and its other containers are not.
//!
//! Kubernetes before 1.33 drops the field, unless the feature is enabled there, so that the pods run without it. The node
//! refuses to run a pod if its runtime or the file system of a volume cannot map users. For pods in a virtual machine, such
//! as those of Kata Containers, set `exempt.runtimeClasses`.
#![cfg_attr(not(test), no_std)]

use podfence_core::{
    Container, Edits, Field, LISTS, List, Mend, Pod, Role, Rule, Settings, String, Violations, mend, types, vec,
};

podfence_core::fields! {
    HOST_USERS: Bool = Pod "hostUsers",
        allowed "`false`; any if `require` (`always`) does not apply to any container, in Windows pods, and where \
            `allowHostNamespaces` (`false`) allows a namespace of the node; unset where `allowVolumeDevices` (`false`) allows \
            `volumeDevices`";
    HOST_NETWORK: Bool = Pod "hostNetwork",
        allowed "unset, `false`; any where `hostUsers` may be unset, or if `allowHostNamespaces` (`false`) is `true`";
    HOST_PID: Bool = Pod "hostPID",
        allowed "as `hostNetwork`";
    HOST_IPC: Bool = Pod "hostIPC",
        allowed "as `hostNetwork`";
    RUN_AS_NON_ROOT: Bool = Both "securityContext.runAsNonRoot";
    RUN_AS_USER: Integer = Both "securityContext.runAsUser";
    PRIVILEGED: Bool = Container "securityContext.privileged";
    ADD: StringList = Container "securityContext.capabilities.add";
    DEVICES: ObjectList = Container "volumeDevices",
        allowed "empty; any where `hostUsers` is `false` or may be unset, or if `allowVolumeDevices` (`false`) is `true`";
}

podfence_core::settings! {
    /// Selects which pods need a user namespace of their own. `always`: all. `whenRoot`: those with a container that may
    /// run as root, because neither `runAsNonRoot: true` nor a `runAsUser` other than 0 applies to it.
    /// `whenCapabilities`: those with a container that adds a capability or is privileged. Containers with exempt images
    /// do not count.
    REQUIRE: String = "require", one_of ["always", "whenRoot", "whenCapabilities"], default "\"always\"";
    /// Allows pods without a user namespace of their own if they use the network, process or IPC namespace of the node. The
    /// policy `host-namespaces` rejects such pods.
    ALLOW_HOST_NAMESPACES: Bool = "allowHostNamespaces", default "false";
    /// Allows pods that leave `hostUsers` unset if a container of theirs uses a volume as a block device (`volumeDevices`).
    ALLOW_DEVICES: Bool = "allowVolumeDevices", default "false";
    /// Sets `hostUsers: false` where it is required and unset, instead of rejecting. `true` is never replaced. Pods in a
    /// namespace of the node, pods with `volumeDevices` and Windows pods are not changed.
    MUTATE: Bool = "mutate", default "false", mutates if true;
}

podfence_core::policy! { name: "user-namespaces", check: check, mutate: mutate }

/// What the field must be, as JSON.
const NO: &str = "false";

static ALWAYS: Rule = Rule {
    control: "hostUsers",
    reason: "hostUsers != false",
    detail: "{who} must set hostUsers=false",
    fix: "set hostUsers to false",
    mend: &mend!(set NO),
    ..Rule::PLAIN
};

static WHEN_ROOT: Rule = Rule {
    detail: "{who} must set hostUsers=false, since {values:container|containers} {values} may run as root",
    fix: "set hostUsers to false; or set runAsNonRoot to true, or runAsUser to another user than 0",
    setting: Some(REQUIRE.path),
    ..ALWAYS
};

static WHEN_CAPABILITIES: Rule = Rule {
    detail: "{who} must set hostUsers=false, since {values:container|containers} {values} {values:adds|add} capabilities or \
             {values:is|are} privileged",
    fix: "set hostUsers to false, or remove securityContext.privileged and securityContext.capabilities.add",
    setting: Some(REQUIRE.path),
    ..ALWAYS
};

static IN_HOST_NAMESPACE: Rule = Rule {
    detail: "{who} must not set {list}, with which the API server refuses hostUsers=false",
    fix: "set the field to false or remove it, and set hostUsers to false",
    // To remove one of the fields is no fix while another one is set.
    mend: Mend::NONE,
    setting: Some(ALLOW_HOST_NAMESPACES.path),
    ..ALWAYS
};

static WITH_DEVICES: Rule = Rule {
    detail: "{who} must not use volumeDevices, with which the API server refuses hostUsers=false",
    fix: "mount the volume as a file system in volumeMounts, and set hostUsers to false",
    mend: Mend::NONE,
    setting: Some(ALLOW_DEVICES.path),
    ..ALWAYS
};

static EXPLICIT: Rule =
    Rule { detail: "{who} must not set hostUsers=true", fix: "remove hostUsers", mend: Mend::REMOVE, ..ALWAYS };

/// The fields for the namespaces of the node.
const HOST: [(Field<types::Bool>, &str); 3] =
    [(HOST_NETWORK, "hostNetwork=true"), (HOST_PID, "hostPID=true"), (HOST_IPC, "hostIPC=true")];

/// Reports a user namespace of its own that a pod needs and does not have.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let mut reasons = reasons(pod, settings).peekable();
    if pod.get(HOST_USERS) == Some(false) || reasons.peek().is_none() {
        return;
    }
    let (is_shared, has_devices) = (uses_host_namespace(pod), has_devices(pod));
    let denies_shared = is_shared && !settings.is(ALLOW_HOST_NAMESPACES);
    let denies_devices = has_devices && !settings.is(ALLOW_DEVICES);
    let can_have = !is_shared && !has_devices;
    // Of a Pod that runs, nothing but the new containers can be changed.
    if can_have || pod.is_running() {
        if can_have || denies_shared || denies_devices {
            add_reasons(pod, reasons, found);
        }
        return;
    }
    if denies_shared {
        check_host_namespaces(pod, found);
    }
    if denies_devices {
        check_devices(pod, found);
    }
    // Block devices are no reason to set it: unset, it has the same effect.
    if !is_shared && pod.get(HOST_USERS) == Some(true) {
        found.add(&EXPLICIT, pod.at(HOST_USERS));
    }
}

fn add_reasons<'v>(
    pod: &Pod<'v>,
    reasons: impl Iterator<Item = (&'static Rule, Container<'v>)>,
    found: &mut Violations<'v>,
) {
    for (rule, container) in reasons {
        found.add(rule, pod.at(HOST_USERS).named(container.name));
        // Every container is a reason then; one report is enough.
        if core::ptr::eq(rule, &ALWAYS) {
            break;
        }
    }
}

fn check_host_namespaces<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    for (field, name) in HOST {
        if pod.get(field) == Some(true) {
            found.add(&IN_HOST_NAMESPACE, pod.at(field).named(name));
        }
    }
}

/// Reports the block devices of a pod that has some: at its containers, or at the pod if only exempt ones use them.
fn check_devices<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    let mut is_exempt = true;
    for container in pod.containers().filter(|container| is_used(container.get(DEVICES))) {
        found.add(&WITH_DEVICES, container.at(DEVICES));
        is_exempt = false;
    }
    if is_exempt {
        found.add(&WITH_DEVICES, pod.at(HOST_USERS));
    }
}

/// Sets the field to `false` where it is unset and required.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    let is_missing = pod.get(HOST_USERS).is_none() && reasons(pod, settings).next().is_some();
    if settings.is(MUTATE) && is_missing && !uses_host_namespace(pod) && !has_devices(pod) {
        edits.pod(pod, "", vec![("hostUsers", String::from(NO))]);
    }
}

/// Returns the containers for which the pod needs a user namespace, each with the rule. Of a Pod that runs, these are new
/// ephemeral ones: the API server lets nobody change the fields of the others.
fn reasons<'v>(pod: &Pod<'v>, settings: &Settings<'_>) -> impl Iterator<Item = (&'static Rule, Container<'v>)> {
    let (is_windows, is_running) = (pod.is_windows(), pod.is_running());
    let required = settings.get(REQUIRE).unwrap_or_default();
    let is_asked = move |container: &Container<'_>| !is_windows && (!is_running || container.role == Role::Ephemeral);
    pod.containers_with_new_images().filter(is_asked).filter_map(move |container| {
        let (rule, is_needed) = match required {
            "whenRoot" => (&WHEN_ROOT, may_be_root(&container)),
            "whenCapabilities" => (&WHEN_CAPABILITIES, has_capabilities(&container)),
            _ => (&ALWAYS, !is_running),
        };
        is_needed.then_some((rule, container))
    })
}

/// Whether a container may run as user 0: nothing excludes it.
fn may_be_root(container: &Container<'_>) -> bool {
    container.effective(RUN_AS_NON_ROOT) != Some(true) && container.effective(RUN_AS_USER).unwrap_or_default() == 0
}

fn has_capabilities(container: &Container<'_>) -> bool {
    container.get(PRIVILEGED) == Some(true) || !container.get(ADD).unwrap_or_default().is_empty()
}

/// Whether any container, also an exempt one, uses a volume as a block device: the API server refuses `hostUsers: false`
/// for the pod then.
fn has_devices(pod: &Pod<'_>) -> bool {
    LISTS.into_iter().any(|list| pod.list(list).any(|container| is_used(container.get(DEVICES))))
}

fn is_used(devices: Option<List<'_>>) -> bool {
    devices.is_some_and(|devices| !devices.is_empty())
}

/// Whether the pod uses a namespace of the node: the API server refuses `hostUsers: false` for it.
fn uses_host_namespace(pod: &Pod<'_>) -> bool {
    HOST.iter().any(|&(field, _)| pod.get(field) == Some(true))
}
