//! A container of the usual runtime shares the node's kernel, and a hole in that is a way out.
//!
//! A sandboxed runtime, such as gVisor or Kata, puts a kernel of its own between them. Which runtime a pod
//! gets is its `runtimeClassName`; a pod that names none gets the usual one.
//!
//! # Replaces
//!
//! - **PodSecurityPolicy**: `runtimeClass`. A star is no wildcard in `allowedRuntimeClasses` (there
//!   `allowedRuntimeClassNames`), and a class must be named unless `required` is `false`.
//! - **Pod Security Standards**: none
//! - **Gatekeeper**: none
//! - **Kubewarden**: `pod-runtime`. It tells which runtimes are reserved, this policy which ones are allowed; none
//!   of its settings is known here.
//! - **Kyverno**: `restrict-runtimeClassName`. The same verdicts on its test suite, with `required: false`.
#![cfg_attr(target_arch = "wasm32", no_std)]

use podfence_core::{Edits, Pod, Rule, Settings, String, Violations, json::quote, problem, vec};

podfence_core::fields! {
    /// within `allowedRuntimeClasses` (none); set where a container is judged
    RUNTIME_CLASS: Text = Pod "runtimeClassName";
}

podfence_core::settings! {
    /// Runtime classes that pods may name, at least one. Where none is given, nothing that has a container
    /// is accepted.
    ALLOWED: Texts = "allowedRuntimeClasses";
    /// Whether pods must name one, unless all their containers are exempt.
    REQUIRED: Bool = "required", default "true";
    /// The runtime class that a pod gets where it names none. It must be an allowed one.
    DEFAULT: Text = "defaultRuntimeClass";
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
    if !class.is_empty() && !settings.texts(ALLOWED).has(class) {
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
    let allowed = settings.texts(ALLOWED);
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
