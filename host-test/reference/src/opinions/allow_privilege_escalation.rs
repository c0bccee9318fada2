use podfence_allow_privilege_escalation::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Mutable, Opinion, Pod, Violation, get, set, texts, values};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("securityContext.allowPrivilegeEscalation", 5, &["false"], &["true"]),
        values("securityContext.privileged", 60, &["false"], &["true"]),
        values("securityContext.capabilities.add", 60, &["CHOWN"], &["SYS_ADMIN", "cap_sys_admin", "ALL", "SYS_ADMIN_"]),
    ],
    settings,
    check,
    message: None,
    mutate: Some(mutate),
};

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.flag("mutate");
    if settings.draw.percent(20) {
        settings.put("default_allow_privilege_escalation", json!(false));
    }
    settings.done()
}

const FIELD: &str = "securityContext.allowPrivilegeEscalation";

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut wrong = Vec::new();
    for container in pod.containers() {
        if !pod.is_windows() && get(container.value, FIELD) != false {
            wrong.push(container.violation("allowPrivilegeEscalation", FIELD));
        }
    }
    wrong
}

fn mutate(pod: &mut Mutable<'_>) {
    let is_asked = pod.is("mutate") || get(pod.settings, "default_allow_privilege_escalation") == false;
    if !is_asked || get(pod.template, "spec.os.name") == "windows" {
        return;
    }
    pod.containers(|container| {
        let added = texts(container, "securityContext.capabilities.add");
        let is_powerful = get(container, "securityContext.privileged") == true
            || added.iter().any(|name| {
                ["SYS_ADMIN", "CAP_SYS_ADMIN", "ALL", "CAP_ALL"].contains(&name.to_ascii_uppercase().as_str())
            });
        if get(container, FIELD).is_null() && !is_powerful {
            set(container, FIELD, json!(false));
        }
    });
}
