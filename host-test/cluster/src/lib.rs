//! Reads and writes what a cluster is configured with: the documents of Kubewarden and their groups, matching, the
//! deployment of all policies, and the migration from what other projects wrote.
#![forbid(unsafe_code)]

pub mod admission;
pub mod conditions;
pub mod deploy;
pub mod documents;
pub mod expression;
pub mod gatekeeper;
pub mod group;
pub mod kustomization;
pub mod matching;
pub mod migrate;
pub mod pod_security;
pub mod policy;
pub mod published;
pub mod standards;
pub mod validating;
