//! The test oracle: evaluates requests a second time, plainly and slowly, over `serde_json::Value`.
//!
//! Each policy has an opinion, which follows the documentation of the policy and not its code. Random requests are
//! compared in `tests/second_opinion.rs`; the tests of `podfence-host` send the same requests to the modules.
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "only the tests of this repository use it")]

mod addresses;
pub mod case;
pub mod compare;
pub mod draw;
pub mod fields;
pub mod opinion;
pub mod opinions;
pub mod pods;
pub mod request;
pub mod requests;
