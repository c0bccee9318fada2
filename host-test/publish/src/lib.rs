//! Publishes policies: packages modules with their metadata, writes bills of materials, and pushes, pulls, signs and
//! verifies in OCI registries.
#![forbid(unsafe_code)]

pub mod oci;
pub mod opa;
pub mod package;
pub mod sbom;
