use podfence_apparmor::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::fields::join;
use crate::opinion::{Opinion, Pod, Wrong, get, setting_texts, text, values, wrong};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("securityContext.appArmorProfile.type", 0, &["RuntimeDefault", "Localhost"], &["Unconfined", "", "*"]),
        values("securityContext.appArmorProfile.localhostProfile", 50, &["p", "x/p"], &["", "*"]),
        values(ANNOTATIONS, 50, &["runtime/default", "localhost/p", ""], &["unconfined", "docker/default", "localhost/", "x"]),
    ],
    settings,
    judge,
    message: None,
    mutate: None,
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
    settings.done()
}

/// A profile in the spelling of the fields; what else an annotation has is no type at all.
fn of_annotation(annotation: &str) -> (&str, &str) {
    match annotation.split_once('/') {
        Some(("localhost", file)) => ("Localhost", file),
        Some(("runtime", "default")) => ("RuntimeDefault", ""),
        _ if annotation == "unconfined" => ("Unconfined", ""),
        _ => ("", ""),
    }
}

/// The field that makes a profile a wrong one.
fn wrong_field(settings: &Value, kind: &str, file: &str) -> Option<&'static str> {
    let allowed = setting_texts(settings, "allowedProfiles", &["RuntimeDefault", "Localhost"]);
    let files = setting_texts(settings, "allowedLocalhostFiles", &["*"]);
    let has = |spellings: &[&str]| spellings.iter().any(|spelling| allowed.contains(spelling));
    let is_allowed = match kind {
        "RuntimeDefault" => has(&["RuntimeDefault", "runtime/default", "docker/default", "*"]),
        "Unconfined" => has(&["Unconfined", "unconfined", "*"]),
        "Localhost" => {
            let is_listed = files.contains(&"*") || !file.is_empty() && files.contains(&file);
            let is_named = !["", "*"].contains(&file) && has(&[&format!("localhost/{file}")]);
            has(&["Localhost", "localhost/*", "*"]) && is_listed || is_named
        }
        _ => has(&["*"]),
    };
    let may_have_files = has(&["Localhost", "*"]) || allowed.iter().any(|name| name.starts_with("localhost/"));
    match kind {
        _ if is_allowed => None,
        "Localhost" if may_have_files => Some("localhostProfile"),
        _ => Some("type"),
    }
}

const FIELD: &str = "securityContext.appArmorProfile";
const CONTROL: &str = "appArmorProfile";

fn judge(pod: &Pod<'_>) -> Vec<Wrong> {
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
            found.push(wrong(CONTROL, join("metadata.annotations", key)));
        }
    }
    if pod.is("required") && !pod.is_windows() {
        for container in pod.containers() {
            if pod.effective(&container, FIELD).is_null() && !annotated.contains(&container.name) {
                found.push(container.wrong(CONTROL, "securityContext.appArmorProfile.type"));
            }
        }
    }
    found
}
