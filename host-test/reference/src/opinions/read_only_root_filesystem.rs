use podfence_read_only_root_filesystem::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Mutable, Opinion, Pod, Violation, get, set, values};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[values(FIELD, 5, &["true"], &["false"])],
    settings,
    check,
    message: None,
    mutate: Some(mutate),
};

const FIELD: &str = "securityContext.readOnlyRootFilesystem";

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.flag("mutate");
    settings.done()
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for container in pod.containers() {
        if get(container.value, FIELD) != true && !pod.is_windows() {
            found.push(container.violation("readOnlyRootFilesystem", FIELD));
        }
    }
    found
}

fn mutate(pod: &mut Mutable<'_>) {
    if !pod.is("mutate") || get(pod.template, "spec.os.name") == "windows" {
        return;
    }
    pod.containers(|container| {
        if get(container, FIELD).is_null() {
            set(container, FIELD, json!(true));
        }
    });
}
