use podfence_runtime_class::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Mutable, Opinion, Pod, Wrong, get, text, texts, wrong};

pub static OPINION: Opinion =
    Opinion { policy: &POLICY, values: &[], settings, judge, message: None, mutate: Some(mutate) };

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    let allowed = settings.draw.some(&["gvisor", "kata", "*"], 1, 4);
    settings.put("allowedRuntimeClasses", json!(allowed));
    settings.flag("required");
    settings.text("defaultRuntimeClass", &["gvisor", "kata"]);
    settings.done()
}

/// Whether something that is judged would run in the usual runtime.
fn lacks_class(pod: &Pod<'_>) -> bool {
    text(pod.spec, "runtimeClassName").is_empty() && !pod.containers().is_empty()
}

fn judge(pod: &Pod<'_>) -> Vec<Wrong> {
    let class = text(pod.spec, "runtimeClassName");
    let is_required = get(pod.settings, "required") != false;
    let is_allowed = texts(pod.settings, "allowedRuntimeClasses").contains(&class);
    if lacks_class(pod) && is_required || !class.is_empty() && !is_allowed {
        return vec![wrong("runtimeClass", "spec.runtimeClassName")];
    }
    Vec::new()
}

fn mutate(pod: &mut Mutable<'_>) {
    let default = get(pod.settings, "defaultRuntimeClass");
    if !default.is_null() && lacks_class(&Pod::new(&pod.before(), pod.settings)) {
        pod.set("runtimeClassName", default.clone());
    }
}
