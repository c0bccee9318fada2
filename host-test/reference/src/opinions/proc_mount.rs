use podfence_proc_mount::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, get, setting_texts, values};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("hostUsers", 50, &["true", "false"], &["false"]),
        values("securityContext.procMount", 40, &["Default", "Default", "Unmasked"], &["Unmasked", "", "default", "*"]),
    ],
    settings,
    check,
    message: None,
    mutate: None,
};

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.flag("allowAnyInUserNamespace");
    match settings.draw.below(4) {
        0 => settings.text("procMount", &["Default", "Unmasked"]),
        1 => settings.flag("allow_unmasked_proc_mount_type"),
        _ => settings.texts("allowedProcMountTypes", &["Default", "Default", "Unmasked"]),
    }
    settings.done()
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut allowed = setting_texts(pod.settings, "allowedProcMountTypes", &["Default"]);
    if *get(pod.settings, "procMount") == json!("Unmasked") || pod.is("allow_unmasked_proc_mount_type") {
        allowed = vec!["Default", "Unmasked"];
    }
    let mut found = Vec::new();
    for container in pod.containers() {
        let proc_mount = get(container.value, "securityContext.procMount");
        let is_relaxed = pod.is("allowAnyInUserNamespace") && get(pod.spec, "hostUsers") == false;
        if proc_mount.as_str().is_some_and(|is| !allowed.contains(&is)) && !is_relaxed {
            found.push(container.violation("procMount", "securityContext.procMount"));
        }
    }
    found
}
