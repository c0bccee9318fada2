//! Rejects pods whose runtime class is not allowed.
//!
//! A container of the default runtime shares the node's kernel, so a vulnerability of the kernel is a way out. A
//! sandboxed runtime, such as gVisor or Kata Containers, puts a kernel of its own between them. The pod's
//! `runtimeClassName` selects the runtime; without one, the pod gets the default.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Edits, Pod, Rule, Settings, String, Violations, problem, quote, vec};

podfence_core::fields! {
    RUNTIME_CLASS: String = Pod "runtimeClassName",
        allowed "within `allowedRuntimeClasses` (none); set where a container is judged";
}

podfence_core::settings! {
    /// Runtime classes that pods may name, at least one. Where none is given, nothing that has a container
    /// is accepted.
    ALLOWED: StringList = "allowedRuntimeClasses";
    /// Whether pods must name one, unless all their containers are exempt.
    REQUIRED: Bool = "required", default "true";
    /// The runtime class that a pod gets where it names none. It must be an allowed one.
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

/// Looks for a runtime class that is not allowed, or that is missing.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    if settings.is(REQUIRED) && lacks_class(pod) {
        found.add(&MISSING, pod.at(RUNTIME_CLASS));
    }
    let class = pod.runtime_class();
    if !class.is_empty() && !settings.strings(ALLOWED).has(class) {
        found.add(&NOT_ALLOWED, pod.at(RUNTIME_CLASS));
    }
}

/// Whether something that is judged would run in the usual runtime.
fn lacks_class(pod: &Pod<'_>) -> bool {
    pod.runtime_class().is_empty() && pod.containers().next().is_some()
}

/// Gives the default runtime class to a pod that names none.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    let Some(default) = settings.get(DEFAULT) else { return };
    if lacks_class(pod) {
        let mut json = String::new();
        quote(default, &mut json);
        edits.pod(pod, "", vec![("runtimeClassName", json)]);
    }
}

/// What the settings' types cannot say.
///
/// # Errors
/// No runtime class is allowed, or the default one is not.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    let allowed = settings.strings(ALLOWED);
    if settings.is_given(ALLOWED) && (allowed.is_empty() || allowed.has("")) {
        return Err(problem(ALLOWED.path, "expected at least one runtime class, and no empty name", ""));
    }
    match settings.get(DEFAULT) {
        // Every pod that gets it would be rejected for it.
        Some(default) if !allowed.has(default) => {
            Err(problem(DEFAULT.path, "expected one of allowedRuntimeClasses, found ", default))
        }
        _ => Ok(()),
    }
}
