use podfence_host_process::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, values};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[values(FIELD, 30, &["false", "false", "true"], &["true"])],
    settings,
    check,
    message: None,
    mutate: None,
};

const FIELD: &str = "securityContext.windowsOptions.hostProcess";

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.flag("allowHostProcess");
    settings.done()
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    if pod.is("allowHostProcess") {
        return Vec::new();
    }
    let set = pod.both(FIELD);
    set.into_iter().filter(|(value, _)| **value == true).map(|(_, wrong)| wrong.of("windowsHostProcess")).collect()
}
