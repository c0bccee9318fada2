//! The fixtures of a policy: their format, and its one interpreter.
//!
//! `fixtures.yaml` is a list of cases. Keys that are not known here, names that are there twice and
//! keys that are there twice are errors.
//!
//! ```yaml
//! - name: a privileged container is rejected
//!   regression: where the same input came out wrong, and how
//!   settings: {skipInitContainers: true}
//!   pod:
//!     containers: [{name: a, securityContext: {privileged: true}}]
//!   reject:
//!     - privileged (container "a" must not set securityContext.privileged=true)
//! ```
//!
//! | Key | Meaning |
//! |---|---|
//! | `name` | a fact, unique in the file |
//! | `regression` | optional: which project gets this wrong, and how |
//! | `settings` | the settings, `{}` if left out |
//!
//! What is judged is one of these, or nothing but a `request`:
//!
//! | Key | Meaning |
//! |---|---|
//! | `pod` | the spec of a pod, which may have `metadata` beside it. Replayed as a Pod, inside each other workload kind and inside a custom kind |
//! | `object` | a whole object; its kind is the request's, and Pod if it has none |
//! | `json` | the same as text, for what YAML cannot say |
//!
//! `old` beside `pod` is the spec that an update of the Pod replaces. `request` has members of the
//! AdmissionRequest that replace the usual ones (CREATE by `jane` in the namespace `default`); a
//! request that is no plain CREATE is replayed as a Pod only.
//!
//! What comes of it is exactly one of these:
//!
//! | Key | Meaning |
//! |---|---|
//! | `accept: true` | accepted as it is |
//! | `reject` | the texts that make the whole message, joined with `, `; code 403. The violations in the audit annotations agree with the message and with the object |
//! | `unreadable` | the whole message; code 400. A path in front is a Pod's, and is adjusted for other kinds |
//! | `mutate` | accepted, and the `pod`, `object` or `json` becomes this, to the byte: new members stand in front |
//! | `settings_error` | the settings are refused with this whole message, and so is a request that comes with them. It has no subject |
//!
//! Every case is replayed once more with the settings in front of the request and the object in front of
//! its kind; the settings of every case are replayed alone; and what came of a `mutate` is replayed and
//! accepted as it is. A `mutate` of a `pod` or `object` is replayed with a member that nobody knows in each of
//! its objects, which has to be kept to the byte.

mod artifacthub;
mod coverage;
mod facts;
mod fixes;
mod fixture;
pub mod generate;
mod metadata;
mod policy_tests;
mod questions;
mod replay;
mod reply;
mod settings;
mod unknown;

use std::{io, path::PathBuf};

pub use artifacthub::repository;
pub use metadata::USAGE;
pub use policy_tests::{Failures, coverage, fixtures, metadata, readme, settings};
pub use replay::{Replay, Suite};

/// Fixtures that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not YAML, or not of this format.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and where, in several lines.
        problem: String,
    },
    /// A case makes no sense.
    #[error("{}:{line}: {name}: {problem}", path.display())]
    Case {
        /// The file.
        path: PathBuf,
        /// The line of the case's name.
        line: u64,
        /// The case's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What a fixture says and what a policy did, in lines for a person.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mismatch {
    /// What the fixture says.
    pub expected: String,
    /// What the policy did.
    pub got: String,
}
