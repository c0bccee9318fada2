//! Any bytes can be read as Rego's notation. What is JSON means the same, and without escapes, nothing becomes JSON.
#![no_main]

use podfence_core::rego::put_json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut json = Vec::new();
    put_json(bytes, &mut json);
    let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let meant = read(bytes);
    if meant.is_some() || !bytes.contains(&b'\\') {
        assert_eq!(read(&json), meant);
    }
});
