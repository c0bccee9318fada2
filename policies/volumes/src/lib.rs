//! Rejects volumes whose type is not allowed.
//!
//! A `hostPath` volume is the node's own files, and the node mounts most types of network storage as root, with
//! options from the pod. What a pod needs is behind a claim or a CSI driver, or made for it alone.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Object, Pod, Rule, Settings, String, Violations, problem};

podfence_core::fields! {
    VOLUMES: ObjectList = Pod "volumes",
        allowed "each of a type within `allowedTypes` (those of the Pod Security Standards)";
    VOLUME_NAME: String = Pod "volumes[*].name";
    // Whatever else a volume has is its source.
    SOURCE: Object = Pod "volumes[*].*";
}

podfence_core::settings! {
    /// Types of volumes that pods may have, named like their fields; `"*"` stands for any, even for those that
    /// this policy does not know.
    ALLOWED: StringList = "allowedTypes", alias "volumes",
        one_of ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
            "secret", "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs",
            "rbd", "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte",
            "azureDisk", "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos", "*"],
        default "[\"configMap\",\"csi\",\"downwardAPI\",\"emptyDir\",\"ephemeral\",\"image\",\"persistentVolumeClaim\",\"projected\",\"secret\"]";
    /// A setting of the Kubewarden policy, of which only `false` is accepted: an ephemeral container can mount
    /// any volume of the pod later, whoever mounts it now.
    IGNORE_INIT: Bool = "ignoreInitContainersVolumes", default "false", of "Kubewarden";
}

podfence_core::policy! { name: "volumes", check: check, validate: validate }

/// The types that are known, in the order in which the built-in admission looks for them, and then the star.
const TYPES: &[&str] = SETTINGS[0].options;

static RESTRICTED: Rule = Rule {
    control: "restrictedVolumes",
    reason: "restricted volume types",
    detail: "{who} {who:uses|use} restricted volume {values:type|types} {values}",
    fix: "use a type of volume that is allowed, such as persistentVolumeClaim",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

/// Looks for volumes of other types than those that are allowed.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let allowed = settings.strings(ALLOWED);
    if !allowed.has("*") {
        judge(pod, found, |is| allowed.has(is));
    }
}

/// The control of the Pod Security Standards.
pub fn check_restricted<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    let allowed = TYPES.get(..9).unwrap_or_default();
    judge(pod, found, |is| allowed.contains(&is));
}

fn judge<'v>(pod: &Pod<'v>, found: &mut Violations<'v>, is_allowed: impl Fn(&str) -> bool) {
    for (index, volume) in pod.list(VOLUMES).enumerate() {
        if let Some(restricted) = restricted_type(volume, &is_allowed) {
            let place = pod.at(VOLUMES).element(index, volume).named(restricted);
            found.add(&RESTRICTED, place.of_volume(volume.get(VOLUME_NAME).unwrap_or_default()));
        }
    }
}

/// The type of a volume, if it is not allowed.
fn restricted_type(volume: Object<'_>, is_allowed: impl Fn(&str) -> bool) -> Option<&'static str> {
    let (mut first, mut has_source) = (None, false);
    for (source, _) in volume.entries(SOURCE) {
        has_source = true;
        let Some(known) = TYPES.iter().position(|known| *known == source && source != "*") else { continue };
        // The built-in admission looks no further, and the API server refuses a volume with two sources.
        if is_allowed(source) {
            return None;
        }
        first = Some(first.map_or(known, |first: usize| first.min(known)));
    }
    let restricted = match first {
        Some(first) => *TYPES.get(first)?,
        None if has_source => "unknown",
        // So the API server reads a volume that has only a name.
        None => "emptyDir",
    };
    if is_allowed(restricted) { None } else { Some(restricted) }
}

/// What the settings' types cannot say.
///
/// # Errors
/// Volumes would be left out.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    if settings.is(IGNORE_INIT) {
        return Err(problem(IGNORE_INIT.path, "expected false, since any container can mount a volume later", ""));
    }
    Ok(())
}
