use podfence_privileged::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, get, text, values};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[values(FIELD, 30, &["false", "false", "true"], &["true"])],
    settings,
    check,
    message: None,
    mutate: None,
};

const FIELD: &str = "securityContext.privileged";

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.flag("skipInitContainers");
    settings.flag("skipEphemeralContainers");
    settings.done()
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for container in pod.containers() {
        let is_sidecar = text(container.value, "restartPolicy") == "Always";
        let is_skipped = match container.list {
            "initContainers" => pod.is("skipInitContainers") && !is_sidecar,
            "ephemeralContainers" => pod.is("skipEphemeralContainers"),
            _ => false,
        };
        if get(container.value, FIELD) == true && !is_skipped {
            found.push(container.violation("privileged", FIELD));
        }
    }
    found
}
