use podfence_selinux::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, get, list, text, values};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("securityContext.seLinuxOptions.type", 20, &["container_t", "container_init_t", ""], &["container_kvm_t", "container_engine_t", "spc_t", "*"]),
        values("securityContext.seLinuxOptions.user", 90, &["", "system_u"], &["root"]),
        values("securityContext.seLinuxOptions.role", 90, &["", "system_r"], &["sysadm_r"]),
        values("securityContext.seLinuxOptions.level", 50, &["s0:c1,c2", ""], &["s0"]),
    ],
    settings,
    check,
    message: None,
    mutate: None,
};

const PARTS: [(&str, [&str; 4]); 4] = [
    ("type", ["container_t", "container_init_t", "*", ""]),
    ("user", ["system_u", "*", "*", ""]),
    ("role", ["system_r", "*", "*", ""]),
    ("level", ["s0:c1,c2", "*", "*", ""]),
];

fn entry(draw: &mut Draw) -> Value {
    let mut entry = Members::new(draw);
    for (part, pool) in PARTS {
        entry.text(part, &pool);
    }
    entry.done()
}

fn settings(draw: &mut Draw) -> Value {
    let only = entry(draw);
    let mut settings = Members::new(draw);
    settings.text("rule", &["MayRunAs", "MustRunAs", "RunAsAny"]);
    match settings.draw.below(4) {
        0 => only.as_object().into_iter().flatten().for_each(|(part, value)| settings.put(part, value.clone())),
        1 => {
            let entries: Vec<Value> = (0..settings.draw.below(4)).map(|_| entry(settings.draw)).collect();
            settings.put("allowedSELinuxOptions", json!(entries));
        }
        _ => {}
    }
    settings.done()
}

const FIELD: &str = "securityContext.seLinuxOptions";
const CONTROL: &str = "seLinuxOptions";

/// Whether an entry allows these options.
fn is_as(options: &Value, entry: &Value, is_required: bool) -> bool {
    PARTS.iter().all(|(part, _)| match (text(options, part), text(entry, part)) {
        ("", "") => true,
        ("", _) => !is_required,
        (_, "*") => true,
        (set, allowed) => set == allowed,
    })
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let rule = text(pod.settings, "rule");
    if rule == "RunAsAny" {
        return Vec::new();
    }
    let is_required = rule == "MustRunAs" && !pod.is_windows();
    let has_only = PARTS.iter().any(|(part, _)| !get(pod.settings, part).is_null());
    let entries = match get(pod.settings, "allowedSELinuxOptions") {
        Value::Null if has_only => Some(std::slice::from_ref(pod.settings)),
        Value::Null => None,
        _ => Some(list(pod.settings, "allowedSELinuxOptions")),
    };
    let mut found = Vec::new();
    for (options, place) in pod.both(FIELD) {
        let place = place.of(CONTROL);
        if let Some(entries) = entries {
            if !entries.iter().any(|entry| is_as(options, entry, is_required)) {
                found.push(place);
            }
            continue;
        }
        // Without entries, the policy allows what the Pod Security Standards allow.
        let types = ["container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
        let set = text(options, "type");
        if !types.contains(&set) && (is_required || !set.is_empty()) {
            found.push(place.clone().at(".type"));
        }
        for part in ["user", "role"] {
            if !text(options, part).is_empty() {
                found.push(place.clone().at(&format!(".{part}")));
            }
        }
    }
    for container in pod.containers() {
        if is_required && pod.effective(&container, FIELD).is_null() {
            found.push(container.violation(CONTROL, FIELD));
        }
    }
    found
}
