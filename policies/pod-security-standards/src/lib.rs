//! Rejects pods that violate the Pod Security Standards.
//!
//! The standards are the Kubernetes project's requirements for pods: `baseline` prevents the known ways out of a
//! container, `restricted` is the best practice for a hardened pod. This policy gives the verdicts of the built-in
//! PodSecurity admission in the same words, for every version. It evaluates workloads as well, has exemptions by
//! image and group, and can exclude single controls. The other policies have the same controls one by one, with
//! settings.
#![cfg_attr(not(test), no_std)]

use podfence_allow_privilege_escalation as allow_privilege_escalation;
use podfence_apparmor as apparmor;
use podfence_capabilities as capabilities;
use podfence_core::{Declaration, Mend, Pod, Rule, Scope, Settings, String, Vec, Violations, concat, problem, sort};
use podfence_host_namespaces as host_namespaces;
use podfence_host_ports as host_ports;
use podfence_host_probes as host_probes;
use podfence_host_process as host_process;
use podfence_privileged as privileged;
use podfence_proc_mount as proc_mount;
use podfence_seccomp as seccomp;
use podfence_selinux as selinux;
use podfence_sysctls as sysctls;
use podfence_users as users;
use podfence_volumes as volumes;

/// Fields that no other policy reads.
mod own {
    podfence_core::fields! {
        SECCOMP: String = Metadata "annotations[\"seccomp.security.alpha.kubernetes.io/*\"]";
        CONTAINER_SECCOMP: String = Metadata "annotations[\"container.seccomp.security.alpha.kubernetes.io/*\"]";
    }
}

const HOST: &str = "since 1.34: unset, empty";
const SECCOMP_ANNOTATION: &str = "before 1.19: unset, `runtime/default`, `docker/default`, `localhost/<file>`";

/// Every field that the controls read.
pub const FIELDS: &[Declaration] = &[
    apparmor::ANNOTATION
        .declared(Scope::Metadata)
        .allowing("unset, empty, `runtime/default`, `localhost/<file>`, even if no container has that name"),
    apparmor::PROFILE.declared(Scope::Both),
    apparmor::TYPE.declared(Scope::Both).allowing("unset, `RuntimeDefault`, `Localhost`"),
    capabilities::ADD.declared(Scope::Container).allowing(
        "`AUDIT_WRITE`, `CHOWN`, `DAC_OVERRIDE`, `FOWNER`, `FSETID`, `KILL`, `MKNOD`, `NET_BIND_SERVICE`, `SETFCAP`, \
         `SETGID`, `SETPCAP`, `SETUID`, `SYS_CHROOT`; restricted since 1.22: `NET_BIND_SERVICE`",
    ),
    capabilities::DROP
        .declared(Scope::Container)
        .allowing("restricted since 1.22: contains `ALL` (since 1.25 not on Windows)"),
    host_namespaces::HOST_NETWORK.declared(Scope::Pod).allowing("unset, `false`"),
    host_namespaces::HOST_PID.declared(Scope::Pod).allowing("unset, `false`"),
    host_namespaces::HOST_IPC.declared(Scope::Pod).allowing("unset, `false`"),
    host_ports::PORTS.declared(Scope::Container),
    host_ports::HOST_PORT.declared(Scope::Container).allowing("unset, 0"),
    host_probes::LIVENESS_HTTP.declared(Scope::Container).allowing(HOST),
    host_probes::LIVENESS_TCP.declared(Scope::Container).allowing(HOST),
    host_probes::READINESS_HTTP.declared(Scope::Container).allowing(HOST),
    host_probes::READINESS_TCP.declared(Scope::Container).allowing(HOST),
    host_probes::STARTUP_HTTP.declared(Scope::Container).allowing(HOST),
    host_probes::STARTUP_TCP.declared(Scope::Container).allowing(HOST),
    host_probes::POST_START_HTTP.declared(Scope::Container).allowing(HOST),
    host_probes::POST_START_TCP.declared(Scope::Container).allowing(HOST),
    host_probes::PRE_STOP_HTTP.declared(Scope::Container).allowing(HOST),
    host_probes::PRE_STOP_TCP.declared(Scope::Container).allowing(HOST),
    privileged::PRIVILEGED.declared(Scope::Container).allowing("unset, `false`"),
    proc_mount::HOST_USERS.declared(Scope::Pod),
    proc_mount::PROC_MOUNT
        .declared(Scope::Container)
        .allowing("unset, `Default`; baseline since 1.35: any in user namespaces"),
    selinux::OPTIONS.declared(Scope::Both),
    selinux::TYPE.declared(Scope::Both).allowing(
        "unset, empty, `container_t`, `container_init_t`, `container_kvm_t`, since 1.31 `container_engine_t`",
    ),
    selinux::USER.declared(Scope::Both).allowing("unset, empty"),
    selinux::ROLE.declared(Scope::Both).allowing("unset, empty"),
    own::SECCOMP.declared(Scope::Metadata).allowing(SECCOMP_ANNOTATION),
    own::CONTAINER_SECCOMP.declared(Scope::Metadata).allowing(SECCOMP_ANNOTATION),
    seccomp::PROFILE.declared(Scope::Both),
    seccomp::TYPE.declared(Scope::Both).allowing(
        "since 1.19: unset, `RuntimeDefault`, `Localhost`; restricted: set at the pod or at each container (since 1.25 \
         not on Windows)",
    ),
    sysctls::SYSCTLS.declared(Scope::Pod),
    sysctls::NAME.declared(Scope::Pod).allowing("the safe sysctls of the version; newer versions have more"),
    host_process::HOST_PROCESS.declared(Scope::Both).allowing("unset, `false`"),
    allow_privilege_escalation::ALLOW_ESCALATION
        .declared(Scope::Container)
        .allowing("restricted since 1.8: `false` (since 1.25 not on Windows)"),
    volumes::VOLUMES.declared(Scope::Pod).allowing(
        "no `hostPath`; restricted: only `configMap`, `csi`, `downwardAPI`, `emptyDir`, `ephemeral`, `image`, \
         `persistentVolumeClaim`, `projected` or `secret`",
    ),
    volumes::VOLUME_NAME.declared(Scope::Pod),
    volumes::SOURCE.declared(Scope::Pod),
    users::RUN_AS_NON_ROOT
        .declared(Scope::Both)
        .allowing("restricted: `true` at the pod or at each container (since 1.35 not in user namespaces)"),
    users::RUN_AS_USER
        .declared(Scope::Both)
        .allowing("restricted since 1.23: unset, not 0 (since 1.35 any in user namespaces)"),
];

podfence_core::settings! {
    /// Selects the level of the standards: `privileged` has no controls, `baseline` prevents the known ways out of a
    /// container, and `restricted` requires all that `baseline` does and more.
    LEVEL: String = "level", one_of ["privileged", "baseline", "restricted"], default "\"restricted\"";
    /// Selects the version of the standards: `latest`, or a Kubernetes version such as `v1.30`. A version that is newer
    /// than this policy is evaluated as `v1.37`, the newest one that it supports.
    VERSION: String = "version", default "\"latest\"";
    /// Excludes these controls. If a restricted control is excluded, the baseline control that it replaces applies.
    EXCLUDE: StringList = "exclude",
        one_of ["appArmorProfile", "capabilities_baseline", "hostNamespaces", "hostPathVolumes", "hostPorts",
            "hostProbesAndHostLifecycle", "privileged", "procMount", "seLinuxOptions", "seccompProfile_baseline",
            "sysctls", "windowsHostProcess", "allowPrivilegeEscalation", "capabilities_restricted",
            "procMount_restricted", "restrictedVolumes", "runAsNonRoot", "runAsUser", "seccompProfile_restricted"],
        default "[]";
}

podfence_core::policy! { name: "pod-security-standards", check: check, validate: validate, is_built_in: true }

/// The newest minor version that is supported. Later ones are evaluated as this one.
const NEWEST: u32 = 37;

/// A control of the standards.
struct Control {
    /// Its name in the built-in admission.
    id: &'static str,
    is_restricted: bool,
    /// The first minor version that has it.
    since: u32,
    /// The baseline control that it replaces; empty if it replaces none.
    overrides: &'static str,
    /// Reports its violations. If it passes this policy's settings to the check of another policy, that check finds
    /// none of its own settings in them, so it allows nothing.
    check: for<'v> fn(&Context<'_, 'v>, &mut Violations<'v>),
}

/// What controls evaluate.
struct Context<'c, 'v> {
    pod: &'c Pod<'v>,
    settings: &'c Settings<'c>,
    minor: u32,
}

impl Context<'_, '_> {
    /// Whether the pod is for Windows and the version has exceptions for Windows.
    fn is_windows(&self) -> bool {
        self.minor >= 25 && self.pod.is_windows()
    }

    /// Whether the pod has its own user namespace and the version has exceptions for it.
    fn has_user_namespace(&self) -> bool {
        self.minor >= 35 && self.pod.get(proc_mount::HOST_USERS) == Some(false)
    }
}

const BASELINE: Control = Control { id: "", is_restricted: false, since: 0, overrides: "", check: |_, _| {} };
const RESTRICTED: Control = Control { is_restricted: true, ..BASELINE };

/// The controls, in the order in which the message lists them.
static CONTROLS: [Control; 19] = [
    Control { id: "appArmorProfile", check: |at, found| apparmor::check_standard(at.pod, found), ..BASELINE },
    Control { id: "capabilities_baseline", check: |at, found| capabilities::check_baseline(at.pod, found), ..BASELINE },
    Control {
        id: "hostNamespaces",
        check: |at, found| host_namespaces::check_host(at.pod, at.settings, found),
        ..BASELINE
    },
    Control { id: "hostPathVolumes", check: |at, found| check_host_path(at.pod, found), ..BASELINE },
    Control { id: "hostPorts", check: |at, found| host_ports::check_standard(at.pod, found), ..BASELINE },
    Control {
        id: "hostProbesAndHostLifecycle",
        since: 34,
        check: |at, found| host_probes::check(at.pod, at.settings, found),
        ..BASELINE
    },
    Control { id: "privileged", check: |at, found| privileged::check(at.pod, at.settings, found), ..BASELINE },
    Control {
        id: "procMount",
        check: |at, found| {
            if !at.has_user_namespace() {
                proc_mount::check_baseline(at.pod, found);
            }
        },
        ..BASELINE
    },
    Control {
        id: "seLinuxOptions",
        check: |at, found| {
            let [older @ .., _] = &selinux::TYPES;
            selinux::check_types(at.pod, if at.minor < 31 { older } else { &selinux::TYPES }, false, found);
        },
        ..BASELINE
    },
    Control {
        id: "seccompProfile_baseline",
        check: |at, found| match at.minor {
            0..19 => check_seccomp_annotations(at.pod, found),
            _ => seccomp::check_baseline(at.pod, found),
        },
        ..BASELINE
    },
    Control { id: "sysctls", check: |at, found| sysctls::check_version(at.pod, at.minor, found), ..BASELINE },
    Control {
        id: "windowsHostProcess",
        check: |at, found| host_process::check(at.pod, at.settings, found),
        ..BASELINE
    },
    Control {
        id: "allowPrivilegeEscalation",
        since: 8,
        check: |at, found| {
            if !at.is_windows() {
                allow_privilege_escalation::check_all(at.pod, found);
            }
        },
        ..RESTRICTED
    },
    Control {
        id: "capabilities_restricted",
        since: 22,
        overrides: "capabilities_baseline",
        check: |at, found| {
            if !at.is_windows() {
                capabilities::check_restricted(at.pod, found);
            }
        },
        ..RESTRICTED
    },
    Control {
        id: "procMount_restricted",
        since: 35,
        overrides: "procMount",
        check: |at, found| proc_mount::check_restricted(at.pod, found),
        ..RESTRICTED
    },
    Control {
        id: "restrictedVolumes",
        overrides: "hostPathVolumes",
        check: |at, found| volumes::check_restricted(at.pod, found),
        ..RESTRICTED
    },
    Control {
        id: "runAsNonRoot",
        check: |at, found| {
            if !at.has_user_namespace() {
                users::check_non_root(at.pod, found);
            }
        },
        ..RESTRICTED
    },
    Control {
        id: "runAsUser",
        since: 23,
        check: |at, found| {
            if !at.has_user_namespace() {
                users::check_not_zero(at.pod, found);
            }
        },
        ..RESTRICTED
    },
    Control {
        id: "seccompProfile_restricted",
        since: 19,
        overrides: "seccompProfile_baseline",
        check: |at, found| {
            if !at.is_windows() {
                seccomp::check_restricted(at.pod, found);
            }
        },
        ..RESTRICTED
    },
];

/// Reports violations of the controls of the level and version.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let (level, version) = (settings.get(LEVEL).unwrap_or_default(), settings.get(VERSION).unwrap_or_default());
    let (minor, excluded) = (minor(version).unwrap_or(NEWEST), settings.strings(EXCLUDE));
    let is_active = |control: &Control| {
        control.since <= minor
            && (level == "restricted" || level == "baseline" && !control.is_restricted)
            && !excluded.has(control.id)
    };
    let context = Context { pod, settings, minor };
    for control in CONTROLS.iter().filter(|control| is_active(control)) {
        if !CONTROLS.iter().any(|other| other.overrides == control.id && is_active(other)) {
            (control.check)(&context, found);
        }
    }
    if !found.is_empty() {
        found.head(concat(&["violates PodSecurity \"", level, ":", version, "\": "]));
    }
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// `version` is neither `latest` nor a minor version such as `v1.30`.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    let version = settings.get(VERSION).unwrap_or_default();
    match minor(version) {
        Some(_) => Ok(()),
        None => Err(problem(VERSION.path, "expected latest, or v1. and a number, found ", version)),
    }
}

/// Returns the minor version to evaluate, at most [`NEWEST`]; `None` if the version is malformed.
fn minor(version: &str) -> Option<u32> {
    if version == "latest" {
        return Some(NEWEST);
    }
    let digits = version.strip_prefix("v1.")?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || digits.starts_with('0') && digits != "0" {
        return None;
    }
    let number = digits.bytes().fold(0u32, |number, digit| (number * 10 + u32::from(digit - b'0')).min(NEWEST));
    Some(number)
}

static HOST_PATH: Rule = Rule {
    control: "hostPathVolumes",
    reason: "hostPath volumes",
    detail: "{who}",
    fix: "use another type of volume",
    ..Rule::PLAIN
};

/// Reports hostPath volumes, even if they have another source as well.
fn check_host_path<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    for (index, volume) in pod.list(volumes::VOLUMES).enumerate() {
        if volume.entries(volumes::SOURCE).any(|(source, _)| source == "hostPath") {
            let name = volume.get(volumes::VOLUME_NAME).unwrap_or_default();
            found.add(&HOST_PATH, pod.at(volumes::VOLUMES).element(index, volume).of_volume(name));
        }
    }
}

static SECCOMP_ANNOTATIONS: Rule = Rule {
    control: "seccompProfile_baseline",
    reason: "seccompProfile",
    detail: "forbidden {who} {numbers}",
    fix: "set the annotation to runtime/default or remove it",
    mend: Mend::REMOVE_USUALLY,
    ..Rule::PLAIN
};

/// Reports annotations of the pod and of its containers that set a seccomp profile that is not allowed.
fn check_seccomp_annotations<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    let mut names: Vec<_> = pod.containers().map(|container| (container.name, "")).collect();
    sort(&mut names);
    let is_of_pod = |key: &str| key == "seccomp.security.alpha.kubernetes.io/pod";
    let is_of_container = |key: &str| {
        let name = key.strip_prefix("container.seccomp.security.alpha.kubernetes.io/").unwrap_or_default();
        names.binary_search(&(name, "")).is_ok()
    };
    let of_pod = pod.metadata(own::SECCOMP).filter(|(key, _)| is_of_pod(key));
    for (key, value) in of_pod.chain(pod.metadata(own::CONTAINER_SECCOMP).filter(|(key, _)| is_of_container(key))) {
        let profile = value.string().unwrap_or_default();
        if !matches!(profile, "runtime/default" | "docker/default") && !profile.starts_with("localhost/") {
            found.add(&SECCOMP_ANNOTATIONS, pod.at_annotation(key, value));
        }
    }
}
