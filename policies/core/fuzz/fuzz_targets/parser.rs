//! The property of `tests/parser.rs` on whatever the fuzzer comes up with.
#![no_main]

#[path = "../../tests/common/differential.rs"]
mod differential;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| differential::agree(bytes));
