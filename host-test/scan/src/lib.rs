//! Reads what is to be judged: files with a limit on their size, YAML and JSON, and the admission request that the
//! API server would send for each manifest. Scans a file with what judges its objects.
//!
//! Knows no engine and no registry, and builds for `wasm32-unknown-unknown` as well.
#![forbid(unsafe_code)]

pub mod answer;
pub mod baseline;
pub mod bootstrap;
pub mod config;
pub mod custom_kinds;
pub mod default_deny;
pub mod document;
pub mod file;
pub mod finding;
pub mod fingerprint;
pub mod fix;
pub mod json;
pub mod judge;
pub mod kinds;
pub mod lines;
pub mod locate;
pub mod names;
pub mod object;
pub mod payload;
pub mod read;
pub mod report;
pub mod request;
pub mod scanned;
pub mod settings;
mod sort;
pub mod standard;
pub mod stored;
pub mod suppress;
mod wording;
pub mod yaml;

pub use request::AdmissionRequest;
