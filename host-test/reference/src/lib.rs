//! Judges requests a second time, plainly and slowly, over `serde_json::Value`, and draws the random requests to judge.
//!
//! Each policy has an opinion, written from what the policy is said to do and not from its code. The test
//! `second_opinion` holds it against the policy, natively and as a module.
#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "nothing but the tests of this repository uses it")]

pub mod draw;
pub mod fields;
pub mod opinion;
pub mod opinions;
mod pods;
pub mod request;
