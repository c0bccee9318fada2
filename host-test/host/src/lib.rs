//! Runs Podfence policies, and any other waPC policy, under wasmtime as Kubewarden's policy-server
//! does: a fresh instance per request, a deadline, and the server's verdict for every failure.
//! Beyond the server, memory, modules and replies are limited, compiling and initialisers have deadlines too, and no
//! module can make this library panic.
//!
//! ```no_run
//! use podfence_host::{Host, Limits};
//!
//! let host = Host::new(Limits::default())?;
//! let module = host.load(&std::fs::read("target/policies/privileged.wasm")?)?;
//! let reply = module.call("validate_settings", b"{}")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod bench;
mod bounds;
pub mod engine;
pub mod evaluate;
pub mod inspect;
pub mod measure;
pub mod opa;
pub mod reuse;
pub mod sample;
pub mod suite;
pub mod wapc;
mod wasi;

pub use engine::{Host, HostError, Limits, LoadError, Module};
pub use evaluate::{AdmissionResponse, Evaluation, Mode, Policy};
pub use opa::{Format, OpaInstance, OpaModule};
pub use reuse::Reused;
pub use wapc::{CallError, Instance};
