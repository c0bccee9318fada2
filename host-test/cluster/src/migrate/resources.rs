//! What Gatekeeper's templates for resources and Kubewarden's container-resources say, as settings of the policy
//! `resources`.

use podfence_resources::thousandths;
use serde_json::{Map, Value, json};

use super::Effect;
use super::parameters::Reader;
use crate::gatekeeper::Parameters;

/// The resources that the templates and the official policy know.
const NAMES: [&str; 2] = ["cpu", "memory"];

/// How the policy differs from each of the templates.
pub(super) const DIFFERENCES: [(Effect, &str); 5] = [
    (Effect::Stricter, "resizes of running pods are evaluated; the constraint did not match them"),
    (Effect::Weaker, "updates of pods that change no resources are accepted; the template evaluated them"),
    (
        Effect::Stricter,
        "0 is the same as not set, since the node does not limit anything then; to the template, it is set",
    ),
    (Effect::Stricter, "a quantity that cannot be read, or does not fit into 63 bits, is rejected for every resource"),
    (
        Effect::Weaker,
        "what a pod states for itself counts for its containers, which the template did not read, and quantities with \
         exponents or in n and u are read",
    ),
];

/// The suffixes that the templates read; of cpu, the first two.
const SUFFIXES: [&str; 14] = ["", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Leaves the parameters of a template for resources that the policy can have.
///
/// # Errors
/// A ratio is less than 1, or no number.
pub(super) fn normalized(kind: &str, parameters: &mut Parameters, reader: &mut Reader<'_, '_>) -> Result<(), String> {
    match kind {
        "K8sContainerLimits" | "K8sContainerRequests" => {
            for name in NAMES {
                let Some(given) = parameters.get(name) else { continue };
                if !is_read_by_template(name, given) {
                    let text = format!("{given} is not a quantity to the template, so there is no maximum");
                    reader.warn(Effect::Note, name, &text);
                    parameters.remove(name);
                }
            }
        }
        "K8sContainerRatios" => {
            for name in ["ratio", "cpuRatio"] {
                let Some(given) = parameters.get(name) else { continue };
                if amount(given) < Some(1000) {
                    let prefix = reader.prefix;
                    return Err(format!("{prefix}.{name}: expected a number that is not less than 1, found {given}"));
                }
            }
        }
        "K8sRequiredResources" => {
            for list in ["limits", "requests"] {
                if let Some(given) = parameters.remove(list) {
                    let is_known = |name: &str| NAMES.contains(&name);
                    parameters.insert(list.to_owned(), reader.strings(list, given, is_known)?);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The thousandths of a quantity, if the policy can read it.
fn amount(quantity: &Value) -> Option<u64> {
    match quantity {
        Value::String(text) => thousandths(text),
        Value::Number(number) => thousandths(&number.to_string()),
        _ => None,
    }
}

fn is_read_by_template(name: &str, quantity: &Value) -> bool {
    let text = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_owned);
    let suffix = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let suffixes = if name == "cpu" { &SUFFIXES[..2] } else { &SUFFIXES };
    // Digits on both sides of a point.
    let mut parts = text[..text.len() - suffix.len()].split('.');
    amount(quantity).is_some() && suffixes.contains(&suffix) && parts.all(|digits| !digits.is_empty())
}

/// The settings of Kubewarden's container-resources.
pub(super) fn of_kubewarden(given: &mut Map<String, Value>, reader: &mut Reader<'_, '_>) -> Map<String, Value> {
    let (mut limited, mut requested, mut max) = (Vec::new(), Vec::new(), Map::new());
    for name in NAMES {
        let Some(Value::Object(of)) = given.remove(name) else { continue };
        if of.get("ignoreValues") == Some(&json!(true)) {
            limited.push(name);
            requested.push(name);
            continue;
        }
        let text = "containers without it got the default; they are rejected. Fill it in with a LimitRange";
        for (default, list) in [("defaultLimit", &mut limited), ("defaultRequest", &mut requested)] {
            if of.get(default).and_then(amount).is_some_and(|amount| amount > 0) {
                reader.warn(Effect::LeftOut, &format!("{name}.{default}"), text);
                list.push(name);
            }
        }
        if let Some(most) = of.get("maxLimit").filter(|most| amount(most).is_some_and(|amount| amount > 0)) {
            max.insert(name.to_owned(), most.clone());
            if !limited.contains(&name) {
                let text = "a container without a limit was accepted; it is rejected, since it can exceed the maximum";
                reader.warn(Effect::Stricter, &format!("{name}.maxLimit"), text);
            }
        }
    }
    let text =
        "init containers are evaluated, and 0 is the same as not set, since the node does not limit anything then";
    let origin = reader.origin;
    reader.writer.warn(Effect::Stricter, origin, "", text);
    let text = "what a pod states for itself counts for its containers, which the policy did not read";
    reader.writer.warn(Effect::Weaker, origin, "", text);
    let mut settings = Map::new();
    settings.insert("required".to_owned(), json!({"requests": requested, "limits": limited}));
    if !max.is_empty() {
        settings.insert("max".to_owned(), json!({"limits": max}));
    }
    if let Some(images) = given.remove("ignoreImages") {
        settings.insert("exempt".to_owned(), json!({"images": images}));
    }
    settings
}

/// Reads what container-resources says of one resource.
///
/// # Errors
/// It is not an object, or a member is of another type; the place, and what is expected there.
pub(super) fn read(name: &str, value: Value, reader: &mut Reader<'_, '_>) -> Result<Value, String> {
    const QUANTITIES: [&str; 3] = ["maxLimit", "defaultLimit", "defaultRequest"];
    let prefix = reader.prefix;
    let Value::Object(of) = value else {
        return Err(format!("{prefix}.{name}: expected quantities, found {value}"));
    };
    let mut read = Map::new();
    for (member, value) in of {
        let is_quantity = QUANTITIES.contains(&&*member);
        if is_quantity && amount(&value).is_none() {
            return Err(format!("{prefix}.{name}.{member}: expected a quantity, found {value}"));
        }
        if member == "ignoreValues" && !value.is_boolean() {
            return Err(format!("{prefix}.{name}.{member}: expected a boolean, found {value}"));
        }
        if is_quantity || member == "ignoreValues" {
            read.insert(member, value);
        } else {
            let text = "Podfence knows no such setting; it is left out";
            reader.warn(Effect::LeftOut, &format!("{name}.{member}"), text);
        }
    }
    Ok(Value::Object(read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_read_these_quantities() {
        for (name, quantity, expected) in [
            ("cpu", json!("1"), true),
            ("cpu", json!("0.5"), true),
            ("cpu", json!("200m"), true),
            ("cpu", json!(2), true),
            ("cpu", json!("1k"), false),
            ("cpu", json!("1e3"), false),
            ("cpu", json!("-1"), false),
            ("cpu", json!("1."), false),
            ("cpu", json!(".5"), false),
            ("memory", json!("1Gi"), true),
            ("memory", json!("1.5Gi"), true),
            ("memory", json!("1e9"), false),
            ("memory", json!("1n"), false),
            ("memory", json!("10E"), false),
            ("memory", json!(["1"]), false),
        ] {
            assert_eq!(is_read_by_template(name, &quantity), expected, "{name}: {quantity}");
        }
    }
}
