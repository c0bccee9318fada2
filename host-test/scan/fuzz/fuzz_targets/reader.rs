//! The properties of `tests/reading` on whatever the fuzzer comes up with.
#![no_main]

#[path = "../../tests/reading/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    properties::hold(bytes);
});
