use podfence_apparmor::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::fields::join;
use crate::opinion::{Mutable, Opinion, Pod, Violation, get, text, values, violation};
use crate::opinions::seccomp::{fill_in, wrong_field};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values(FIELD, 40, &[], &[]),
        values("securityContext.appArmorProfile.type", 0, &["RuntimeDefault", "Localhost"], &["Unconfined", "", "*"]),
        values("securityContext.appArmorProfile.localhostProfile", 50, &["p", "x/p"], &["", "*"]),
        values(ANNOTATIONS, 70, &["runtime/default", "localhost/p", ""], &["unconfined", "docker/default", "localhost/", "x"]),
    ],
    settings,
    check,
    message: None,
    mutate: Some(mutate),
};

const ANNOTATIONS: &str = "annotations[\"container.apparmor.security.beta.kubernetes.io/*\"]";

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    let profiles = [
        "RuntimeDefault",
        "runtime/default",
        "Localhost",
        "localhost/*",
        "localhost/p",
        "Unconfined",
        "unconfined",
        "*",
    ];
    settings.texts("allowedProfiles", &profiles);
    settings.texts("allowedLocalhostFiles", &["*", "p", ""]);
    settings.flag("required");
    settings.text("defaultProfile", &["RuntimeDefault", "runtime/default", "Unconfined", "localhost/p", "localhost/a\"é"]);
    settings.done()
}

fn mutate(pod: &mut Mutable<'_>) {
    let before = pod.before();
    let annotations = get(&before, "metadata.annotations").as_object().into_iter().flatten();
    let annotated: Vec<&str> = annotations
        .filter(|(_, value)| value.as_str().is_some_and(|value| !value.is_empty()))
        .filter_map(|(key, _)| key.strip_prefix("container.apparmor.security.beta.kubernetes.io/"))
        .collect();
    // Kubernetes refuses a pod's profile beside an annotation with another one.
    let is_for_each = pod.has_exempt_containers() || !annotated.is_empty();
    fill_in(pod, FIELD, is_for_each, |container| !annotated.contains(&text(container, "name")));
}

/// Translates an annotation into the type and the file of a profile; the type is empty for an unknown annotation.
fn of_annotation(annotation: &str) -> (&str, &str) {
    match annotation.split_once('/') {
        Some(("localhost", file)) => ("Localhost", file),
        Some(("runtime", "default")) => ("RuntimeDefault", ""),
        _ if annotation == "unconfined" => ("Unconfined", ""),
        _ => ("", ""),
    }
}

const FIELD: &str = "securityContext.appArmorProfile";
const CONTROL: &str = "appArmorProfile";

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (profile, place) in pod.both(FIELD) {
        if let Some(field) = wrong_field(pod.settings, text(profile, "type"), text(profile, "localhostProfile")) {
            found.push(place.of(CONTROL).at(&format!(".{field}")));
        }
    }
    let mut annotated = Vec::new();
    for (key, value) in get(pod.template, "metadata.annotations").as_object().into_iter().flatten() {
        let Some(container) = key.strip_prefix("container.apparmor.security.beta.kubernetes.io/") else { continue };
        let value = value.as_str().unwrap_or_default();
        if value.is_empty() {
            continue;
        }
        annotated.push(container);
        let (kind, file) = of_annotation(value);
        if wrong_field(pod.settings, kind, file).is_some() {
            found.push(violation(CONTROL, join("metadata.annotations", key)));
        }
    }
    if pod.is("required") && !pod.is_windows() {
        for container in pod.containers() {
            if pod.effective(&container, FIELD).is_null() && !annotated.contains(&container.name) {
                found.push(container.violation(CONTROL, "securityContext.appArmorProfile.type"));
            }
        }
    }
    found
}
