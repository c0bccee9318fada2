//! Rejects FlexVolumes whose driver is not allowed.
//!
//! A FlexVolume driver is a program that runs as root on the node. The pod names the driver and passes it options:
//! a driver that does not expect hostile options mounts, reads or runs what the pod asks for. Kubernetes has
//! deprecated FlexVolumes in favour of CSI drivers.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Object, Pod, Rule, Settings, String, Violations, problem};

podfence_core::fields! {
    VOLUMES: ObjectList = Pod "volumes";
    VOLUME_NAME: String = Pod "volumes[*].name";
    FLEX_VOLUME: Object = Pod "volumes[*].flexVolume";
    DRIVER: String = Pod "volumes[*].flexVolume.driver",
        allowed "no `flexVolume`, or a `driver` of `allowedFlexVolumes` (none)";
}

podfence_core::settings! {
    /// Allows pods to use these FlexVolume drivers.
    ALLOWED: ObjectList = "allowedFlexVolumes", default "[]";
    /// The name of the driver. Names are compared exactly.
    ALLOWED_DRIVER: String = "allowedFlexVolumes[*].driver";
    /// The Kubewarden policy's setting; only `false` is accepted. Volumes of init containers cannot be ignored, since
    /// an ephemeral container that is added later can mount any volume of the pod.
    IGNORE_INIT: Bool = "ignoreInitContainersVolumes", default "false", of "Kubewarden";
}

podfence_core::policy! { name: "flex-volumes", check: check, validate: validate }

static NOT_ALLOWED: Rule = Rule {
    control: "flexVolumes",
    reason: "flexVolume drivers",
    detail: "{who} {who:uses|use} {values:driver|drivers} {values}",
    fix: "use another type of volume, such as one of a CSI driver, or a driver that is allowed",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

/// Reports drivers that are not allowed.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    for (index, volume) in pod.list(VOLUMES).enumerate() {
        let Some(flex_volume) = volume.get(FLEX_VOLUME) else { continue };
        let driver = flex_volume.get(DRIVER);
        let mut allowed = settings.get(ALLOWED).unwrap_or_default().objects();
        if !allowed.any(|allowed| allowed.get(ALLOWED_DRIVER) == driver) {
            let place = pod.at(DRIVER).element(index, flex_volume).value(flex_volume.at(DRIVER));
            found.add(&NOT_ALLOWED, place.of_volume(volume.get(VOLUME_NAME).unwrap_or_default()));
        }
    }
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// An entry names no driver, or `ignoreInitContainersVolumes` is `true`.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    if settings.is(IGNORE_INIT) {
        return Err(problem(IGNORE_INIT.path, "expected false, since any container can mount a volume later", ""));
    }
    let is_nameless = |allowed: &Object<'_>| allowed.get(ALLOWED_DRIVER).unwrap_or_default().is_empty();
    match settings.get(ALLOWED).unwrap_or_default().objects().find(is_nameless) {
        Some(wrong) => Err(problem(ALLOWED.path, "expected a driver in ", wrong.raw())),
        None => Ok(()),
    }
}
