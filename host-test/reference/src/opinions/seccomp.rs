use podfence_seccomp::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Mutable, Opinion, Pod, Violation, get, set, setting_texts, text, values};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values(FIELD, 30, &[], &[]),
        values("securityContext.seccompProfile.type", 0, &["RuntimeDefault", "Localhost"], &["Unconfined", "", "runtime/default", "*"]),
        values("securityContext.seccompProfile.localhostProfile", 30, &["p.json", "x/p.json"], &["", "*", "a\"b"]),
    ],
    settings,
    check,
    message: None,
    mutate: Some(mutate),
};

const FIELD: &str = "securityContext.seccompProfile";

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    let profiles = [
        "RuntimeDefault",
        "runtime/default",
        "docker/default",
        "Localhost",
        "localhost/*",
        "localhost/p.json",
        "Unconfined",
        "unconfined",
        "*",
    ];
    settings.texts("allowedProfiles", &profiles);
    settings.texts("allowedLocalhostFiles", &["*", "p.json", ""]);
    settings.flag("required");
    settings.text("defaultProfile", &["RuntimeDefault", "docker/default", "Unconfined", "localhost/p.json", "localhost/a\"é"]);
    settings.done()
}

/// The field of a profile that is not allowed. AppArmor profiles have the same settings.
pub fn wrong_field(settings: &Value, kind: &str, file: &str) -> Option<&'static str> {
    // Whatever is allowed, such a container would run without a profile.
    if kind == "Localhost" && file.is_empty() {
        return Some("localhostProfile");
    }
    let allowed = setting_texts(settings, "allowedProfiles", &["RuntimeDefault", "Localhost"]);
    let files = setting_texts(settings, "allowedLocalhostFiles", &["*"]);
    let has = |spellings: &[&str]| spellings.iter().any(|spelling| allowed.contains(spelling));
    let is_allowed = match kind {
        "RuntimeDefault" => has(&["RuntimeDefault", "runtime/default", "docker/default", "*"]),
        "Unconfined" => has(&["Unconfined", "unconfined", "*"]),
        "Localhost" => {
            let is_listed = files.contains(&"*") || !file.is_empty() && files.contains(&file);
            // `localhost/*` allows any file, not a file of the name `*`.
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

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (profile, place) in pod.both(FIELD) {
        if let Some(field) = wrong_field(pod.settings, text(profile, "type"), text(profile, "localhostProfile")) {
            found.push(place.of("seccompProfile").at(&format!(".{field}")));
        }
    }
    // The policy reports missing profiles only if it finds nothing else.
    if found.is_empty() && get(pod.settings, "required") != false && !pod.is_windows() {
        for container in pod.containers() {
            if pod.effective(&container, FIELD).is_null() {
                found.push(container.violation("seccompProfile", "securityContext.seccompProfile.type"));
            }
        }
    }
    found
}

fn mutate(pod: &mut Mutable<'_>) {
    let is_for_each = pod.has_exempt_containers();
    fill_in(pod, FIELD, is_for_each, |_| true);
}

/// Sets the default profile for the containers that lack one, at the pod or at each of them. AppArmor does the same.
pub fn fill_in(pod: &mut Mutable<'_>, field: &str, is_for_each: bool, lacks: impl Fn(&Value) -> bool) {
    let default = text(pod.settings, "defaultProfile");
    let before = pod.before();
    let before = Pod::new(&before, pod.settings);
    let lacks_one = |container: &Value| {
        get(container, field).is_null() && get(before.spec, field).is_null() && lacks(container)
    };
    if default.is_empty() || before.is_windows() {
        return;
    }
    let profile = match (default, default.strip_prefix("localhost/")) {
        (_, Some(file)) => json!({"type": "Localhost", "localhostProfile": file}),
        ("Unconfined", _) => json!({"type": "Unconfined"}),
        _ => json!({"type": "RuntimeDefault"}),
    };
    if is_for_each {
        pod.containers(|container| {
            if lacks_one(container) {
                set(container, field, profile.clone());
            }
        });
    } else if before.containers().iter().any(|container| lacks_one(container.value)) {
        pod.set(field, profile);
    }
}
