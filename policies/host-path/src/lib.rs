//! Rejects hostPath volumes whose path is not allowed.
//!
//! A hostPath volume mounts files of the node. Through it, a pod reads the kubelet's credentials, writes to the
//! volumes of other pods, or uses the socket of the container runtime, which is as good as root. PersistentVolumes
//! are evaluated as well, since they can point to the same files.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Object, Pod, Rule, Settings, String, Vec, Violations, sort};

podfence_core::fields! {
    VOLUMES: ObjectList = Pod "volumes";
    VOLUME_NAME: String = Pod "volumes[*].name";
    HOST_PATH: Object = Pod "volumes[*].hostPath";
    PATH: String = Pod "volumes[*].hostPath.path",
        allowed "no `hostPath`, or under a `pathPrefix` of `allowedHostPaths` (none)";
    MOUNTS: ObjectList = Container "volumeMounts";
    MOUNT_NAME: String = Container "volumeMounts[*].name";
    MOUNT_READ_ONLY: Bool = Container "volumeMounts[*].readOnly",
        allowed "any; only `true` if the `pathPrefix` of the volume's path is `readOnly`";
    VOLUME_HOST_PATH: Object = PersistentVolume "hostPath";
    VOLUME_HOST_PATH_PATH: String = PersistentVolume "hostPath.path",
        allowed "no `hostPath`, or under a `pathPrefix` of `allowedHostPaths` (none) that is not `readOnly`";
    VOLUME_LOCAL: Object = PersistentVolume "local";
    VOLUME_LOCAL_PATH: String = PersistentVolume "local.path",
        allowed "no `local`, or under a `pathPrefix` of `allowedHostPaths` (none) that is not `readOnly`";
}

podfence_core::settings! {
    /// Allows volumes to mount these paths of the node. If several entries cover a path, the one with the longest
    /// `pathPrefix` applies.
    ALLOWED: ObjectList = "allowedHostPaths", default "[]";
    /// An absolute path. It covers itself and all paths below it: `/foo` covers `/foo/bar`, but not `/foobar`.
    PREFIX: String = "allowedHostPaths[*].pathPrefix";
    /// Requires every mount of a volume under this prefix to be read-only, and forbids PersistentVolumes under it.
    READ_ONLY: Bool = "allowedHostPaths[*].readOnly";
}

podfence_core::policy! { name: "host-path", check: check, validate: validate }

static NOT_PLAIN: Rule = Rule {
    control: "hostPathVolumes",
    reason: "hostPath volumes",
    detail: "{who} must use an absolute path without \"..\"",
    fix: "write the absolute path that is meant",
    ..Rule::PLAIN
};

static NOT_ALLOWED: Rule = Rule {
    control: "hostPathVolumes",
    reason: "hostPath volumes",
    detail: "{who}",
    fix: "use another type of volume, or a path that is allowed",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

static WRITABLE: Rule = Rule {
    control: "hostPathVolumes",
    reason: "hostPath volumes",
    detail: "{who} must set volumeMounts.readOnly=true for {values:volume|volumes} {values}",
    fix: "set readOnly of the mount to true",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

static PERSISTENT_VOLUME: Rule = Rule {
    control: "hostPathVolumes",
    reason: "hostPath volumes",
    detail: "PersistentVolume must not use {values} of the node",
    fix: "use another type of volume, or a path that is allowed for writing",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

/// How a path of the node may be used.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    NotPlain,
    NotAllowed,
    ReadOnly,
    Any,
}

/// Reports paths of the node that are not allowed, and writable mounts of paths that are read-only.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let mut read_only = Vec::new();
    for (index, volume) in pod.list(VOLUMES).enumerate() {
        let Some(host_path) = volume.get(HOST_PATH) else { continue };
        let name = volume.get(VOLUME_NAME).unwrap_or_default();
        let place = pod.at(PATH).element(index, host_path).value(host_path.at(PATH)).of_volume(name);
        match decide(host_path.get(PATH), settings) {
            Use::NotPlain => found.add(&NOT_PLAIN, place),
            Use::NotAllowed => found.add(&NOT_ALLOWED, place),
            Use::ReadOnly => read_only.push((name, "")),
            Use::Any => {}
        }
    }
    sort(&mut read_only);
    for container in pod.containers() {
        for (index, mount) in container.get(MOUNTS).unwrap_or_default().objects().enumerate() {
            let name = mount.get(MOUNT_NAME).unwrap_or_default();
            if mount.get(MOUNT_READ_ONLY) != Some(true) && read_only.binary_search(&(name, "")).is_ok() {
                let place = container.at(MOUNT_READ_ONLY).element(index, mount);
                found.add(&WRITABLE, place.value(mount.at(MOUNT_READ_ONLY)).named(name));
            }
        }
    }
    for (source, field) in [(VOLUME_HOST_PATH, VOLUME_HOST_PATH_PATH), (VOLUME_LOCAL, VOLUME_LOCAL_PATH)] {
        let Some(source) = pod.get(source) else { continue };
        // The pods that will mount the volume are unknown, so its path must be allowed for writing.
        if decide(source.get(field), settings) != Use::Any {
            found.add(&PERSISTENT_VOLUME, pod.at(field).value(source.at(field)));
        }
    }
}

fn decide(path: Option<&str>, settings: &Settings<'_>) -> Use {
    let Some(path) = path.filter(|path| is_plain(path)) else { return Use::NotPlain };
    let mut decided = (0, Use::NotAllowed);
    for allowed in settings.get(ALLOWED).unwrap_or_default().objects() {
        let Some(length) = covered(path, allowed.get(PREFIX).unwrap_or_default()) else { continue };
        let is_read_only = allowed.get(READ_ONLY) == Some(true);
        // Of two entries for the same path, the stricter one applies.
        if decided.1 == Use::NotAllowed || length > decided.0 || length == decided.0 && is_read_only {
            decided = (length, if is_read_only { Use::ReadOnly } else { Use::Any });
        }
    }
    decided.1
}

/// Returns the number of components of a prefix; `None` if it does not cover the path.
fn covered(path: &str, prefix: &str) -> Option<usize> {
    let mut path = components(path);
    let mut length = 0;
    for component in components(prefix) {
        if path.next() != Some(component) {
            return None;
        }
        length += 1;
    }
    Some(length)
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|component| !matches!(*component, "" | "."))
}

fn is_plain(path: &str) -> bool {
    path.starts_with('/') && components(path).all(|component| component != "..")
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// A `pathPrefix` is missing, is relative, or contains `..`.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    let is_wrong = |allowed: Object<'_>| !allowed.get(PREFIX).is_some_and(is_plain);
    match settings.get(ALLOWED).unwrap_or_default().objects().find(|allowed| is_wrong(*allowed)) {
        Some(wrong) => {
            Err(["allowedHostPaths: expected an absolute pathPrefix without \"..\" in ", wrong.raw()].concat())
        }
        None => Ok(()),
    }
}
