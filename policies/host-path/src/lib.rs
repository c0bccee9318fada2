//! Rejects hostPath volumes whose path is not allowed.
//!
//! A hostPath volume mounts files of the node. Through it, a pod reads the kubelet's credentials, writes to the
//! volumes of other pods, or uses the socket of the container runtime, which is as good as root. PersistentVolumes
//! are evaluated as well, since they can point to the same files.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Pod, Rule, Settings, String, Vec, Violations, problem, sort};

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
    MOUNT_RECURSIVE: String = Container "volumeMounts[*].recursiveReadOnly",
        allowed "any; only `Enabled` if the `pathPrefix` of the volume's path is `recursiveReadOnly`";
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
    /// An absolute path. It covers itself and all paths below it: `/foo` covers `/foo/bar`, but not `/foobar`. Paths
    /// with the letter of a drive, such as `C:\foo`, are compared as Windows does, where upper and lower case are the
    /// same, and so are `/` and `\`. They are only covered by prefixes with that letter.
    PREFIX: String = "allowedHostPaths[*].pathPrefix";
    /// Requires every mount of a volume under this prefix to be read-only, and forbids PersistentVolumes under it.
    READ_ONLY: Bool = "allowedHostPaths[*].readOnly";
    /// Requires these mounts to set `recursiveReadOnly: Enabled`, too: a read-only mount leaves what is mounted below it
    /// writable. Recommended for `/`, `/var` and `/run`, below which nodes mount other file systems. It needs
    /// `readOnly: true` beside it.
    RECURSIVE: Bool = "allowedHostPaths[*].recursiveReadOnly";
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

static NOT_RECURSIVE: Rule = Rule {
    control: "hostPathVolumes",
    reason: "hostPath volumes",
    detail: "{who} must set volumeMounts.recursiveReadOnly=Enabled for {values:volume|volumes} {values}",
    fix: "set recursiveReadOnly of the mount to Enabled, which needs readOnly: true",
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

/// How a path of the node may be used, the strictest last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Any,
    ReadOnly,
    RecursivelyReadOnly,
    NotAllowed,
    NotPlain,
}

/// Reports paths of the node that are not allowed, and mounts that can write to paths that are read-only.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    // The names of volumes, each with what its mounts must set.
    let mut limited = Vec::new();
    for (index, volume) in pod.list(VOLUMES).enumerate() {
        let Some(host_path) = volume.get(HOST_PATH) else { continue };
        let name = volume.get(VOLUME_NAME).unwrap_or_default();
        let place = pod.at(PATH).element(index, host_path).value(host_path.at(PATH)).of_volume(name);
        let is = decide(host_path.get(PATH), settings);
        match is {
            Use::NotPlain => found.add(&NOT_PLAIN, place),
            Use::NotAllowed => found.add(&NOT_ALLOWED, place),
            Use::ReadOnly | Use::RecursivelyReadOnly => limited.push((name, READ_ONLY.path)),
            Use::Any => {}
        }
        if is == Use::RecursivelyReadOnly {
            limited.push((name, RECURSIVE.path));
        }
    }
    sort(&mut limited);
    for container in pod.containers() {
        for (index, mount) in container.get(MOUNTS).unwrap_or_default().objects().enumerate() {
            let name = mount.get(MOUNT_NAME).unwrap_or_default();
            let is_limited = |by| limited.binary_search(&(name, by)).is_ok();
            if mount.get(MOUNT_READ_ONLY) != Some(true) && is_limited(READ_ONLY.path) {
                let place = container.at(MOUNT_READ_ONLY).element(index, mount);
                found.add(&WRITABLE, place.value(mount.at(MOUNT_READ_ONLY)).named(name));
            }
            if mount.get(MOUNT_RECURSIVE) != Some("Enabled") && is_limited(RECURSIVE.path) {
                let place = container.at(MOUNT_RECURSIVE).element(index, mount);
                found.add(&NOT_RECURSIVE, place.value(mount.at(MOUNT_RECURSIVE)).named(name));
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
    let covering = settings.get(ALLOWED).unwrap_or_default().objects().filter_map(|allowed| {
        let length = covered(path, allowed.get(PREFIX).unwrap_or_default())?;
        let is = match (allowed.get(RECURSIVE), allowed.get(READ_ONLY)) {
            (Some(true), _) => Use::RecursivelyReadOnly,
            (_, Some(true)) => Use::ReadOnly,
            _ => Use::Any,
        };
        Some((length, is))
    });
    // The longest prefix applies, and of two entries for the same prefix the stricter one.
    covering.max().map_or(Use::NotAllowed, |(_, is)| is)
}

/// Returns the number of components of a prefix; `None` if it does not cover the path.
fn covered(path: &str, prefix: &str) -> Option<usize> {
    let is_windows = is_windows(path);
    if is_windows != self::is_windows(prefix) {
        return None;
    }
    let mut path = components(path, is_windows);
    let mut length = 0;
    for component in components(prefix, is_windows) {
        let other = path.next()?;
        if component != other && !(is_windows && component.eq_ignore_ascii_case(other)) {
            return None;
        }
        length += 1;
    }
    Some(length)
}

/// Whether a path starts with the letter of a drive.
fn is_windows(path: &str) -> bool {
    matches!(path.as_bytes(), [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic())
}

fn components(path: &str, is_windows: bool) -> impl Iterator<Item = &[u8]> {
    let components = path.as_bytes().split(move |&byte| byte == b'/' || is_windows && byte == b'\\');
    let components = components.map(move |component| if is_windows { trimmed(component) } else { component });
    components.filter(|component| !matches!(*component, b"" | b"."))
}

/// A name without the dots and spaces at its end, which Windows ignores.
fn trimmed(mut name: &[u8]) -> &[u8] {
    while let [before @ .., b'.' | b' '] = name {
        name = before;
    }
    name
}

/// Whether a path is absolute, and no name in it leads elsewhere. On Windows, `\` separates names in every path.
fn is_plain(path: &str) -> bool {
    let (is_windows, path) = (is_windows(path), path.as_bytes());
    let start = if is_windows { "C:".len() } else { 0 };
    let mut names = path.get(start..).unwrap_or_default().split(|&byte| matches!(byte, b'/' | b'\\'));
    (is_windows || path.first() == Some(&b'/'))
        && names.all(|name| match name {
            b"" | b"." => true,
            b".." => false,
            // A colon is followed by the name of a stream, which can be that of the directory itself.
            _ => !is_windows || !trimmed(name).is_empty() && !name.contains(&b':'),
        })
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// A `pathPrefix` is missing, is relative, or contains `..`; or `recursiveReadOnly` is not beside `readOnly`.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    for allowed in settings.get(ALLOWED).unwrap_or_default().objects() {
        let expected = if !allowed.get(PREFIX).is_some_and(is_plain) {
            "expected an absolute pathPrefix without \"..\" in "
        } else if allowed.get(RECURSIVE) == Some(true) && allowed.get(READ_ONLY) != Some(true) {
            "expected readOnly: true beside recursiveReadOnly in "
        } else {
            continue;
        };
        return Err(problem(ALLOWED.path, expected, allowed.raw()));
    }
    Ok(())
}
