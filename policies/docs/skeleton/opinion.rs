use podfence_{{module}}::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Wrong, get, values};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[values(FIELD, 30, &["false"], &["true"])],
    settings,
    judge,
    message: None,
    mutate: None,
};

const FIELD: &str = "stdin";

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.flag("allowEphemeral");
    settings.done()
}

fn judge(pod: &Pod<'_>) -> Vec<Wrong> {
    let mut found = Vec::new();
    for container in pod.containers() {
        let is_allowed = container.list == "ephemeralContainers" && pod.is("allowEphemeral");
        if get(container.value, FIELD) == true && !is_allowed {
            found.push(container.wrong("stdin", FIELD));
        }
    }
    found
}
