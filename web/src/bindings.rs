//! What JavaScript calls.

use std::sync::Once;

use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::policies;
use crate::scan::{self, Input};

/// A panic becomes an exception with its message. The instance it came from must not be called again.
fn throw_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            wasm_bindgen::throw_str(&format!("podfence panicked: {panic}"));
        }));
    });
}

/// Scans a text, and returns the report as JSON; `{"error": …}` if the configuration cannot be used, so that every
/// exception is a panic. `config` has the fields of a `podfence.yaml`, as JSON; `now` is in seconds since 1970.
#[wasm_bindgen]
pub fn scan(text: &str, config: &str, file: &str, untrusted: bool, now: f64) -> String {
    throw_panics();
    let input = Input { text, config, file, is_trusting: !untrusted, now: now as u64 };
    scan::scan(&input).unwrap_or_else(|problem| json!({"error": problem}).to_string())
}

/// Mends a text, and returns the new one with what was not mended as JSON, or an error as [`scan`] does. `fixes` is
/// `"usual"`, `"all"`, or a list of controls, policies and fingerprints, as JSON.
#[wasm_bindgen]
pub fn fix(text: &str, config: &str, file: &str, untrusted: bool, now: f64, fixes: &str) -> String {
    throw_panics();
    let input = Input { text, config, file, is_trusting: !untrusted, now: now as u64 };
    scan::fix(&input, fixes).unwrap_or_else(|problem| json!({"error": problem}).to_string())
}

/// The levels and the policies with their settings, as JSON.
#[wasm_bindgen]
pub fn policies() -> String {
    throw_panics();
    policies::json()
}
