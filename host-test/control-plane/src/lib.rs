//! A control plane without nodes on loopback, and a webhook that judges as a policy-server does.
//!
//! The API server and its controllers are built from the Go module `k8s.io/kubernetes`. What they ask the webhook, and
//! what becomes of the answers, shares no assumption with this repository.
#![forbid(unsafe_code)]

pub mod certificates;
pub mod client;
pub mod configuration;
pub mod control_plane;
pub mod costs;
pub mod deployed;
pub mod functions;
pub mod guards;
pub mod histories;
pub mod http;
pub mod kubelet;
pub mod refusals;
pub mod samples;
pub mod standards;
pub mod validating;
pub mod wait;
pub mod webhook;
