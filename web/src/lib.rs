//! Scans manifests in a browser and in Node: the policies and the scan of files, linked into one module.
//!
//! Texts go in and JSON comes out, so that what JavaScript gets is what `podfence scan --format json` prints.
#![forbid(unsafe_code)]

pub mod policies;
pub mod scan;
mod selection;

#[cfg(target_arch = "wasm32")]
mod bindings;
