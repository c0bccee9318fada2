//! Generates the published documents of a policy, and checks that the generated files are current.
//!
//! The sources are the policy's declarations, its docs, its fixtures and Cargo's manifests.
#![forbid(unsafe_code)]

mod artifacthub;
pub mod cis;
mod facts;
mod fixes;
pub mod generate;
mod metadata;
pub mod policy_tests;
mod questions;

pub use artifacthub::repository;
pub use facts::{Replaced, Replaces};
pub use metadata::{CONTROLS, MUTATING_SETTINGS, USAGE};
pub use podfence_fixtures::Failures;
