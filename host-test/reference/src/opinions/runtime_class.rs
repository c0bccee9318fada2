use podfence_runtime_class::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Mutable, Opinion, Pod, Violation, get, text, texts, violation};

pub static OPINION: Opinion =
    Opinion { policy: &POLICY, values: &[], settings, check, message: None, mutate: Some(mutate) };

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    let allowed = settings.draw.some(&["gvisor", "kata", "*"], 1, 4);
    settings.put("allowedRuntimeClasses", json!(allowed));
    settings.flag("required");
    settings.text("defaultRuntimeClass", &["gvisor", "kata"]);
    settings.done()
}

/// Whether a container that is not exempt would run in the default runtime.
fn lacks_class(pod: &Pod<'_>) -> bool {
    text(pod.spec, "runtimeClassName").is_empty() && !pod.containers().is_empty()
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let class = text(pod.spec, "runtimeClassName");
    let is_required = get(pod.settings, "required") != false;
    let is_allowed = texts(pod.settings, "allowedRuntimeClasses").contains(&class);
    if lacks_class(pod) && is_required || !class.is_empty() && !is_allowed {
        return vec![violation("runtimeClass", "spec.runtimeClassName")];
    }
    Vec::new()
}

fn mutate(pod: &mut Mutable<'_>) {
    let default = get(pod.settings, "defaultRuntimeClass");
    if !default.is_null() && lacks_class(&Pod::new(&pod.before(), pod.settings)) {
        pod.set("runtimeClassName", default.clone());
    }
}
