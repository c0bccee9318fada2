//! Rejects volumes whose type is not allowed.
//!
//! A `hostPath` volume is the node's own files, and the node mounts most types of network storage as root, with
//! options from the pod. What a pod needs is behind a claim or a CSI driver, or made for it alone.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Object, Pod, Rule, Settings, String, Violations, problem};

podfence_core::fields! {
    VOLUMES: ObjectList = Pod "volumes",
        allowed "each of a type within `allowedTypes` (the types of the restricted Pod Security Standard)";
    VOLUME_NAME: String = Pod "volumes[*].name";
    // Every other member of a volume is a source.
    SOURCE: Object = Pod "volumes[*].*";
}

podfence_core::settings! {
    /// Allows these types of volumes, named like their fields; `"*"` stands for any, even for types that this policy
    /// does not know.
    ALLOWED: StringList = "allowedTypes", alias "volumes",
        one_of ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
            "secret", "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs",
            "rbd", "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte",
            "azureDisk", "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos", "*"],
        default "[\"configMap\",\"csi\",\"downwardAPI\",\"emptyDir\",\"ephemeral\",\"image\",\"persistentVolumeClaim\",\"projected\",\"secret\"]";
    /// The Kubewarden policy's setting; only `false` is accepted. Volumes of init containers cannot be ignored, since
    /// an ephemeral container that is added later can mount any volume of the pod.
    IGNORE_INIT: Bool = "ignoreInitContainersVolumes", default "false", of "Kubewarden";
}

podfence_core::policy! { name: "volumes", check: check, validate: validate }

/// The known types, in the order in which the built-in admission looks for them, followed by the star.
const TYPES: &[&str] = SETTINGS[0].options;

static RESTRICTED: Rule = Rule {
    control: "restrictedVolumes",
    reason: "restricted volume types",
    detail: "{who} {who:uses|use} restricted volume {values:type|types} {values}",
    fix: "use a type of volume that is allowed, such as persistentVolumeClaim",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

/// Reports volumes whose type is not allowed.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let allowed = settings.strings(ALLOWED);
    if !allowed.has("*") {
        check_volumes(pod, found, |is| allowed.has(is));
    }
}

/// Checks the restricted control of the Pod Security Standards.
pub fn check_restricted<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    let allowed = TYPES.get(..9).unwrap_or_default();
    check_volumes(pod, found, |is| allowed.contains(&is));
}

fn check_volumes<'v>(pod: &Pod<'v>, found: &mut Violations<'v>, is_allowed: impl Fn(&str) -> bool) {
    for (index, volume) in pod.list(VOLUMES).enumerate() {
        if let Some(restricted) = restricted_type(volume, &is_allowed) {
            let place = pod.at(VOLUMES).element(index, volume).named(restricted);
            found.add(&RESTRICTED, place.of_volume(volume.get(VOLUME_NAME).unwrap_or_default()));
        }
    }
}

/// Returns the type of a volume; `None` if it is allowed.
fn restricted_type(volume: Object<'_>, is_allowed: impl Fn(&str) -> bool) -> Option<&'static str> {
    let (mut first, mut has_source) = (None, false);
    for (source, _) in volume.entries(SOURCE) {
        has_source = true;
        let Some(known) = TYPES.iter().position(|known| *known == source && source != "*") else { continue };
        // The built-in admission stops here as well, and the API server refuses volumes with two sources.
        if is_allowed(source) {
            return None;
        }
        first = Some(first.map_or(known, |first: usize| first.min(known)));
    }
    let restricted = match first {
        Some(first) => *TYPES.get(first)?,
        None if has_source => "unknown",
        // The API server makes a volume without a source an emptyDir.
        None => "emptyDir",
    };
    if is_allowed(restricted) { None } else { Some(restricted) }
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// `ignoreInitContainersVolumes` is `true`.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    if settings.is(IGNORE_INIT) {
        return Err(problem(IGNORE_INIT.path, "expected false, since any container can mount a volume later", ""));
    }
    Ok(())
}
