use podfence_{{module}}::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, get, values};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[values(FIELD, 30, &["false"], &["true"])],
    settings,
    check,
    message: None,
    mutate: None,
};

const FIELD: &str = "stdin";

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.flag("allowEphemeral");
    settings.done()
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for container in pod.containers() {
        let is_allowed = container.list == "ephemeralContainers" && pod.is("allowEphemeral");
        if get(container.value, FIELD) == true && !is_allowed {
            found.push(container.violation("stdin", FIELD));
        }
    }
    found
}
