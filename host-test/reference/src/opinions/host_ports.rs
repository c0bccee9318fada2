use podfence_host_ports::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, get, list, values};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values(
            "ports[*].hostPort",
            60,
            &["0", "80", "8080"],
            &["443", "-1", "65535", "65536", "79", "81", "9223372036854775807"],
        ),
        values("ports[*].containerPort", 10, &["80", "8080"], &["0", "443", "-1", "65536"]),
        values("hostNetwork", 60, &["false", "true"], &["true"]),
    ],
    settings,
    check,
    message: None,
    mutate: None,
};

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    let bounds = ["0", "1", "80", "443", "8080", "65535"];
    let bound = |draw: &mut Draw| -> u32 { draw.one(&bounds).parse().expect("a number") };
    if settings.draw.percent(20) {
        // The Gatekeeper template has these instead of the list.
        for name in ["min", "max"] {
            if settings.draw.percent(60) {
                let value = bound(settings.draw);
                settings.put(name, json!(value));
            }
        }
    } else {
        let mut ranges = Vec::new();
        for _ in 0..settings.draw.below(4) {
            let (a, b) = (bound(settings.draw), bound(settings.draw));
            ranges.push(json!({"min": a.min(b), "max": a.max(b)}));
        }
        settings.put("hostPorts", json!(ranges));
    }
    settings.done()
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let settings = pod.settings;
    let mut ranges = list(settings, "hostPorts").to_vec();
    if !get(settings, "min").is_null() || !get(settings, "max").is_null() {
        ranges.push(settings.clone());
    }
    // The API server completes Pods, before anybody else sees them. A template it leaves as it is.
    let is_incomplete = pod.is_template && get(pod.spec, "hostNetwork") == true;
    let mut found = Vec::new();
    for container in pod.containers() {
        for (index, port) in list(container.value, "ports").iter().enumerate() {
            let number = |name: &str| get(port, name).as_i64().unwrap_or(0);
            let name = if number("hostPort") == 0 && is_incomplete { "containerPort" } else { "hostPort" };
            let is_in = |range: &Value| {
                let bound = |name: &str, default: i64| get(range, name).as_i64().unwrap_or(default);
                bound("min", 0) <= number(name) && number(name) <= bound("max", 65535)
            };
            if number(name) != 0 && !ranges.iter().any(is_in) {
                found.push(container.violation("hostPorts", &format!("ports[{index}].{name}")));
            }
        }
    }
    found
}
