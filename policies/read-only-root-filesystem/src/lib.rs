//! Rejects containers that can write to their root filesystem.
//!
//! An intruder keeps tools there, and changes the programs and the configuration that run next. With a read-only
//! root, a container writes only to volumes, which the pod has to name.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Edits, Pod, Rule, Settings, String, Violations, mend, vec};

podfence_core::fields! {
    READ_ONLY_ROOT: Bool = Container "securityContext.readOnlyRootFilesystem",
        allowed "`true`";
    /// Does nothing there.
    MISPLACED: Any = Pod "securityContext.readOnlyRootFilesystem";
}

podfence_core::settings! {
    /// Sets `readOnlyRootFilesystem` to `true` where it is unset, instead of rejecting. Windows pods are not changed.
    MUTATE: Bool = "mutate", default "false", mutates if true;
}

podfence_core::policy! { name: "read-only-root-filesystem", check: check, mutate: mutate }

/// What the field must be, as JSON.
const YES: &str = "true";

static RULE: Rule = Rule {
    control: "readOnlyRootFilesystem",
    reason: "readOnlyRootFilesystem != true",
    detail: "{who} must set securityContext.readOnlyRootFilesystem=true",
    fix: "set securityContext.readOnlyRootFilesystem to true, and mount an emptyDir where the container writes",
    mend: &mend!(set YES),
    ..Rule::PLAIN
};

/// Reports containers that can write to their root filesystem.
pub fn check<'v>(pod: &Pod<'v>, _: &Settings<'_>, found: &mut Violations<'v>) {
    // Kubernetes refuses the field on Windows.
    if pod.is_windows() {
        return;
    }
    for container in pod.containers() {
        if container.get(READ_ONLY_ROOT) != Some(true) {
            found.add(&RULE, container.at(READ_ONLY_ROOT).hint(pod.misplaced(MISPLACED)));
        }
    }
}

/// Sets the field to `true` where it is unset. A container that sets it to `false` keeps that and is rejected.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    if !settings.is(MUTATE) || pod.is_windows() {
        return;
    }
    for container in pod.containers() {
        if container.get(READ_ONLY_ROOT).is_none() {
            edits.container(&container, "securityContext", vec![("readOnlyRootFilesystem", String::from(YES))]);
        }
    }
}
