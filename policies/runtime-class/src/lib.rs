//! Rejects pods whose runtime class is not allowed.
//!
//! A container of the default runtime shares the node's kernel, so a vulnerability of the kernel is a way out. A
//! sandboxed runtime, such as gVisor or Kata Containers, puts a kernel of its own between them. The pod's
//! `runtimeClassName` selects the runtime; without one, the pod gets the default.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Edits, Pod, Rule, Settings, String, Violations, problem, quote, vec};

podfence_core::fields! {
    RUNTIME_CLASS: String = Pod "runtimeClassName",
        allowed "within `allowedRuntimeClasses` (none); unset only if `required` (`true`) is `false`, or if every \
            container is exempt";
}

podfence_core::settings! {
    /// Allows pods to use these runtime classes. The list must not be empty. Without this setting no runtime class is
    /// allowed, so that pods are rejected as long as one is `required`.
    ALLOWED: StringList = "allowedRuntimeClasses";
    /// Requires pods to name a runtime class, unless all their containers are exempt.
    REQUIRED: Bool = "required", default "true";
    /// Sets this runtime class for pods that name none, unless all their containers are exempt. It must be one of
    /// `allowedRuntimeClasses`.
    DEFAULT: String = "defaultRuntimeClass", mutates if set;
}

podfence_core::policy! { name: "runtime-class", check: check, mutate: mutate, validate: validate }

static NOT_ALLOWED: Rule = Rule {
    control: "runtimeClass",
    reason: "runtimeClass",
    detail: "{who} must not set runtimeClassName to {values}",
    fix: "set runtimeClassName to one that is allowed",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

static MISSING: Rule = Rule { detail: "{who} must set runtimeClassName", ..NOT_ALLOWED };

/// Reports a runtime class that is not allowed, or a required one that is missing.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    if settings.is(REQUIRED) && lacks_class(pod) {
        found.add(&MISSING, pod.at(RUNTIME_CLASS));
    }
    let class = pod.runtime_class();
    if !class.is_empty() && !settings.strings(ALLOWED).has(class) {
        found.add(&NOT_ALLOWED, pod.at(RUNTIME_CLASS));
    }
}

/// Whether a container that is not exempt would run in the default runtime.
fn lacks_class(pod: &Pod<'_>) -> bool {
    pod.runtime_class().is_empty() && pod.containers().next().is_some()
}

/// Sets the default runtime class for a pod that names none.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    let Some(default) = settings.get(DEFAULT) else { return };
    if lacks_class(pod) {
        let mut json = String::new();
        quote(default, &mut json);
        edits.pod(pod, "", vec![("runtimeClassName", json)]);
    }
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// `allowedRuntimeClasses` is empty or has an empty name, or does not have the default.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    let allowed = settings.strings(ALLOWED);
    if settings.is_given(ALLOWED) && (allowed.is_empty() || allowed.has("")) {
        return Err(problem(ALLOWED.path, "expected at least one runtime class, and no empty name", ""));
    }
    match settings.get(DEFAULT) {
        // Otherwise, every pod that gets the default would be rejected for it.
        Some(default) if !allowed.has(default) => {
            Err(problem(DEFAULT.path, "expected one of allowedRuntimeClasses, found ", default))
        }
        _ => Ok(()),
    }
}
