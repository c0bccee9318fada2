use podfence_capabilities::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Mutable, Opinion, Pod, Violation, get, set, setting_texts, texts, values};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values(ADD, 60, &["NET_BIND_SERVICE"], &["KILL", "CAP_KILL", "cap_kill", "net_bind_service", "ALL", "CAP_ALL", "", "CAP_", "*"]),
        values(DROP, 5, &["ALL"], &["all", "CAP_ALL", "KILL", "CAP_KILL", "kill", "NET_RAW", "a\"\\é", "]"]),
    ],
    settings,
    check,
    message: None,
    mutate: Some(mutate),
};

const ADD: &str = "securityContext.capabilities.add";
const DROP: &str = "securityContext.capabilities.drop";

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.texts("allowedCapabilities", &["NET_BIND_SERVICE", "KILL", "CAP_KILL", "*", "ALL", ""]);
    settings.texts("requiredDropCapabilities", &["ALL", "all", "KILL", "CAP_NET_RAW", "sys_admin", "CAP_ALL"]);
    settings.texts("defaultAddCapabilities", &["NET_BIND_SERVICE", "kill", "CAP_CHOWN", "CHOWN", "a\"\\b"]);
    settings.flag("mutate");
    settings.done()
}

/// The one name of a capability: upper case, without `CAP_`.
fn canonical(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

/// Whether a list drops a capability. Container runtimes only understand the name without `CAP_`, or `ALL`.
fn drops(dropped: &[&str], name: &str) -> bool {
    dropped.iter().any(|dropped| dropped.eq_ignore_ascii_case("ALL") || dropped.eq_ignore_ascii_case(&canonical(name)))
}

/// Whether a name may add a capability: any spelling of it, or `ALL`.
fn adds(added: &str, name: &str) -> bool {
    ["ALL".to_owned(), canonical(name)].contains(&canonical(added))
}

/// The capabilities that a container must drop: `ALL` replaces all others.
fn required(settings: &Value) -> Vec<&str> {
    let mut required = setting_texts(settings, "requiredDropCapabilities", &["ALL"]);
    if required.iter().any(|name| canonical(name) == "ALL") {
        required.retain(|name| canonical(name) == "ALL");
    }
    required
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let allowed = setting_texts(pod.settings, "allowedCapabilities", &["NET_BIND_SERVICE"]);
    let by_default = texts(pod.settings, "defaultAddCapabilities");
    let to_drop = setting_texts(pod.settings, "requiredDropCapabilities", &["ALL"]);
    for container in pod.containers() {
        let dropped = texts(container.value, DROP);
        if !pod.is_windows() && required(pod.settings).iter().any(|name| !drops(&dropped, name)) {
            wrong.push(container.violation("capabilities", DROP));
        }
        for (index, added) in texts(container.value, ADD).into_iter().enumerate() {
            let must_be_dropped = to_drop.iter().any(|name| canonical(name) != "ALL" && adds(added, name));
            let is_allowed = allowed.contains(&"*") || allowed.contains(&added) || by_default.contains(&added);
            if must_be_dropped || !is_allowed {
                wrong.push(container.violation("capabilities", &format!("{ADD}[{index}]")));
            }
        }
    }
    wrong
}

fn mutate(pod: &mut Mutable<'_>) {
    if !pod.is("mutate") || get(pod.template, "spec.os.name") == "windows" {
        return;
    }
    let settings = pod.settings;
    pod.containers(|container| {
        let mut added: Vec<String> = texts(container, ADD).into_iter().map(str::to_owned).collect();
        let before = added.clone();
        for name in texts(settings, "defaultAddCapabilities") {
            if !before.iter().any(|added| adds(added, name)) {
                added.push(name.to_owned());
            }
        }
        let dropped: Vec<String> = texts(container, DROP).into_iter().map(str::to_owned).collect();
        let known: Vec<&str> = dropped.iter().map(String::as_str).collect();
        // The built-in admission only recognizes `ALL` in upper case.
        let is_dropped = |name: &str| match canonical(name).as_str() {
            "ALL" => known.contains(&"ALL"),
            _ => drops(&known, name),
        };
        let missing = required(settings).into_iter().filter(|name| !is_dropped(name));
        // Names without `CAP_` are those that container runtimes drop.
        let missing: Vec<String> = missing
            .map(|name| match canonical(name).as_str() {
                "ALL" => "ALL".to_owned(),
                _ => name.strip_prefix("CAP_").unwrap_or(name).to_owned(),
            })
            .collect();
        if added != before {
            set(container, ADD, json!(added));
        }
        if !missing.is_empty() {
            set(container, DROP, json!([dropped, missing].concat()));
        }
    });
}
