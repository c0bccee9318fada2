//! A FlexVolume driver is a program on the node that runs as root when a pod asks for it.
//!
//! The pod names the driver and passes it options, so a driver that was not written with that in mind mounts,
//! reads or runs what the pod likes. Kubernetes has deprecated them for CSI drivers.
//!
//! # Replaces
//!
//! - **PodSecurityPolicy**: `allowedFlexVolumes`. An empty list allows no driver; there it allows all.
//! - **Pod Security Standards**: none: `restrictedVolumes` (restricted), which the policy `volumes` has, forbids
//!   every driver.
//! - **Gatekeeper**: `K8sPSPFlexVolumes`. The same, but an entry without a driver is an error.
//! - **Kubewarden**: `flexvolume-drivers-psp`. No container's volumes are left out: `ignoreInitContainersVolumes:
//!   true` is refused.
//! - **Kyverno**: none
#![cfg_attr(target_arch = "wasm32", no_std)]

use podfence_core::{Object, Pod, Rule, Settings, String, Violations, problem};

podfence_core::fields! {
    VOLUMES: Objects = Pod "volumes";
    VOLUME_NAME: Text = Pod "volumes[*].name";
    FLEX_VOLUME: Object = Pod "volumes[*].flexVolume";
    /// unset, or a `driver` of `allowedFlexVolumes` (none)
    DRIVER: Text = Pod "volumes[*].flexVolume.driver";
}

podfence_core::settings! {
    /// Drivers that pods may use.
    ALLOWED: Objects = "allowedFlexVolumes", default "[]";
    /// The driver, compared whole.
    ALLOWED_DRIVER: Text = "allowedFlexVolumes[*].driver";
    /// A setting of the Kubewarden policy, of which only `false` is accepted: an ephemeral container can mount
    /// any volume of the pod later, whoever mounts it now.
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

/// Looks for drivers that are not allowed.
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

/// What the settings' types cannot say.
///
/// # Errors
/// An entry names no driver, or volumes would be left out.
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
