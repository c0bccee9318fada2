//! Prints each fixture of each policy as a scan of its manifest, one JSON object a line: what the page's module must
//! find as well.

use std::error::Error;
use std::path::Path;

use podfence_fixtures::{Expectation, Subject, Suite};
use podfence_web::policies::POLICIES;
use podfence_web::scan::{Input, scan};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    for linked in POLICIES {
        let name = linked.policy.name;
        for case in Suite::load(&policies.join(name))?.cases {
            let text = match &case.subject {
                Subject::Pod { spec, metadata, .. } => {
                    let metadata = metadata.clone().unwrap_or_else(|| json!({"name": "example"}));
                    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).to_string()
                }
                Subject::Object(object) => object.to_string(),
                Subject::Json(text) => text.clone(),
                Subject::Nothing => continue,
            };
            let config = json!({"policy": {name: {"settings": case.settings}}}).to_string();
            let input = Input { text: &text, config: &config, file: "fixture", is_trusting: true, now: 0 };
            let report = scan(&input).unwrap_or_else(|problem| json!({"error": problem}).to_string());
            // A scan creates, as nobody, and reads JSON before the policy does: other cases are other questions.
            let is_plain = match &case.subject {
                Subject::Pod { old, .. } => old.is_none(),
                Subject::Object(_) => true,
                Subject::Json(_) | Subject::Nothing => false,
            };
            let rejects = is_plain && case.request.is_empty() && matches!(case.expectation, Expectation::Reject(_));
            let report: Value = serde_json::from_str(&report)?;
            let line = json!({
                "name": format!("{name}: {}", case.name),
                "text": text,
                "config": serde_json::from_str::<Value>(&config)?,
                "rejects": rejects,
                "report": report,
            });
            println!("{line}");
        }
    }
    Ok(())
}
