//! What a module costs is as it was recorded in `gates.yaml`, or less: bytes and fuel, which are the
//! same on every machine. `make bless` records what is reached now; the difference is for the review.

use std::{collections::BTreeMap, fs};

use podfence_fixtures::{Case, Expectation, Subject, Suite, discover, generated::is_blessing};
use podfence_host::{
    evaluate::validate_payload,
    measure::{Measurement, Meter},
    sample::{self, Size},
};
use podfence_scan::{AdmissionRequest, request::GroupVersionKind};
use podfence_support::{module, opa_module, policies, root};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wasmparser::{DataKind, Parser, Payload};

/// One page: what the module holds of its own, and the payload if it is small.
const MEMORY: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Gate {
    /// The size of the module.
    bytes: usize,
    /// The size of the module for OPA.
    opa_bytes: usize,
    /// Whether it accepts the samples without settings.
    accepts: bool,
    /// Of evaluating the sample with three containers.
    fuel: u64,
    /// Of evaluating the sample with fifty containers.
    fuel_large: u64,
}

fn measure(policy: &str, size: Size) -> Measurement {
    let payload = validate_payload(&request(policy, size), &Map::new());
    let meter = Meter::new().expect("an engine");
    meter.measure(&module(policy), "validate", &payload).expect("a verdict")
}

/// The sample; of a policy that evaluates no pods, the first object that its fixtures accept without settings, whose lists
/// are long in the large sample.
fn request(policy: &str, size: Size) -> AdmissionRequest {
    let sample = sample::request(size);
    let cases = Suite::load(&policies().join(policy)).expect("fixtures").cases;
    if cases.iter().any(|case| matches!(case.subject, Subject::Pod { .. })) {
        return sample;
    }
    let accepted = |case: &Case| match (&case.subject, &case.expectation) {
        (Subject::Object(object), Expectation::Accept)
            if case.request.is_empty() && case.settings == Value::Object(Map::new()) =>
        {
            Some(object.clone())
        }
        _ => None,
    };
    let mut object = cases.iter().find_map(accepted).expect("a fixture that is accepted without settings");
    if size == Size::Large {
        lengthen(&mut object);
    }
    let text = |member: &str| object[member].as_str().unwrap_or_default();
    let kind = GroupVersionKind::new(text("apiVersion"), text("kind"));
    AdmissionRequest { kind, object: Some(object), ..sample }
}

/// Repeats the elements of the outermost lists of objects.
fn lengthen(value: &mut Value) {
    match value {
        Value::Array(elements) if elements.iter().all(Value::is_object) => {
            *elements = elements.iter().cycle().take(50 * elements.len()).cloned().collect();
        }
        Value::Object(members) => members.values_mut().for_each(lengthen),
        _ => {}
    }
}

/// Whether a reply accepts.
fn accepts(policy: &str, measurement: &Measurement) -> bool {
    let reply: Value = serde_json::from_slice(&measurement.reply).expect("a reply");
    assert_ne!(reply["code"], 400, "{policy} cannot read the sample: {reply}");
    reply["accepted"] == true
}

/// What a host does for each instance before the first call: without a deadline, or at a price.
fn before_calls(module: &[u8]) -> Vec<&'static str> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.expect("a module") {
            Payload::StartSection { .. } => {
                found.push("has a start function, for which a policy-server sets no deadline")
            }
            Payload::DataSection(segments) => {
                let is_active = |kind| matches!(kind, DataKind::Active { .. });
                if segments.into_iter().any(|segment| is_active(segment.expect("a segment").kind)) {
                    found.push("has active data, which a host maps into each instance; see policies/link");
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn modules_cost_no_more_than_recorded() {
    let path = root().join("host-test/host/gates.yaml");
    let mut measured = BTreeMap::new();
    let mut wrong = Vec::new();
    for policy in discover(&policies()).expect("the policies") {
        let (small, large) = (measure(&policy, Size::Small), measure(&policy, Size::Large));
        for import in small.imports.iter().filter(|import| !import.starts_with("wapc.")) {
            wrong.push(format!("{policy}: imports {import}"));
        }
        wrong.extend(before_calls(&module(&policy)).iter().map(|what| format!("{policy}: {what}")));
        if small.initial_memory > MEMORY {
            wrong.push(format!("{policy}: starts with {} bytes of memory", small.initial_memory));
        }
        for (measurement, pages) in [(&small, 1), (&large, 2)] {
            let above = measurement.peak_above_payload();
            // Memory comes in pages, so a large payload can leave most of one unused.
            if above > pages * MEMORY {
                wrong.push(format!("{policy}: takes {above} bytes of memory above the payload"));
            }
        }
        let accepts = accepts(&policy, &small);
        let opa_bytes = opa_module(&policy).len();
        let gate = Gate { bytes: small.bytes, opa_bytes, accepts, fuel: small.fuel, fuel_large: large.fuel };
        measured.insert(policy, gate);
    }
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    if is_blessing() {
        let yaml = serde_saphyr::to_string(&measured).expect("YAML");
        let comment = "# What each module costs at most; see tests/gates.rs. `make bless` records it.\n";
        fs::write(&path, format!("{comment}{yaml}")).expect("a file that can be written");
    } else {
        let gates: BTreeMap<String, Gate> = serde_saphyr::from_str(&recorded).expect("gates.yaml");
        for (policy, now) in &measured {
            let Some(gate) = gates.get(policy) else {
                wrong.push(format!("{policy}: not in gates.yaml"));
                continue;
            };
            if now.accepts != gate.accepts {
                wrong.push(format!("{policy}: accepts the sample: {}, recorded was {}", now.accepts, gate.accepts));
            }
            let costs = [
                ("bytes", now.bytes as u64, gate.bytes as u64),
                ("opaBytes", now.opa_bytes as u64, gate.opa_bytes as u64),
                ("fuel", now.fuel, gate.fuel),
                ("fuelLarge", now.fuel_large, gate.fuel_large),
            ];
            for (what, now, most) in costs.into_iter().filter(|(_, now, most)| now > most) {
                wrong.push(format!("{policy}: {what} {now}, at most {most} were recorded"));
            }
        }
        for policy in gates.keys().filter(|policy| !measured.contains_key(*policy)) {
            wrong.push(format!("{policy}: in gates.yaml, but no policy"));
        }
    }
    assert!(wrong.is_empty(), "`make bless` records what is meant:\n{}", wrong.join("\n"));
}
