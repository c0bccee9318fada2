//! How podfence comes to laptops and pipelines: what downloads it, what runs it there, and what the pages show of that.
#![cfg(unix)]

mod download;
mod files;
mod generated;
mod release;
mod snippets;

use std::fs;

use podfence_support::root;
use serde_json::Value;

/// A file of the repository.
fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
