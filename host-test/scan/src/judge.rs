//! What scans ask of that which judges objects, and what it answers.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::finding::{Setting, Severity};
use crate::fix::Edit;
use crate::object::Object;

/// The control of violations that say what cannot be read.
pub const UNREADABLE: &str = "unreadable";

/// Judges objects, one after the other: modules under an engine, or policies that are linked. Each thread has its own.
pub trait Judge {
    /// Judges an object by every policy that gets to see it.
    fn judge(&mut self, object: &Object) -> Outcome;
}

/// What came of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Rejections, and what could not be judged.
    pub verdicts: Vec<Verdict>,
    /// Whether it was judged.
    pub state: State,
    /// What policies say for the audit log: the policy and the key, such as `registry/images`, and the text.
    pub annotations: Vec<(String, String)>,
}

impl Outcome {
    /// Of an object about which no policy says something.
    pub fn of(state: State) -> Outcome {
        Outcome { verdicts: Vec::new(), state, annotations: Vec::new() }
    }
}

/// Whether an object was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// By at least one policy.
    Judged,
    /// There is no pod in it.
    NoPod,
    /// It looks like a pod, and nothing judges it: why.
    NotJudged(String),
    /// It holds a pod, and no policy gets to see it.
    NotSelected,
    /// Every policy that gets to see it exempts it: the reason.
    Skipped(String),
}

/// A rejection, or that a policy could not judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The policy by the name of its module, or the name of a group.
    pub policy: String,
    /// The document that it is of, for example `ClusterAdmissionPolicy/privileged`.
    pub document: Option<String>,
    /// The level of the Pod Security Standards, as `--enforce` takes it.
    pub level: Option<String>,
    /// How much it counts.
    pub severity: Severity,
    /// The URL of the policy's docs, or the empty text.
    pub docs: String,
    /// The policy's message.
    pub message: String,
    /// At least one, unless this is a failure.
    pub violations: Vec<Violation>,
    /// Why it could not be judged, or not all of it.
    pub failure: Option<String>,
}

impl Verdict {
    /// Of a policy, without what it says.
    pub fn new(policy: &str, severity: Severity) -> Verdict {
        Verdict {
            policy: policy.to_owned(),
            document: None,
            level: None,
            severity,
            docs: String::new(),
            message: String::new(),
            violations: Vec::new(),
            failure: None,
        }
    }
}

/// A violation, as policies report it in the audit annotation `violations`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Violation {
    /// The control.
    pub control: String,
    /// The short text.
    pub reason: String,
    /// The long text.
    #[serde(default)]
    pub message: Option<String>,
    /// The container, where it is about one.
    #[serde(default)]
    pub container: Option<String>,
    /// Where in the object; empty for the object as a whole.
    #[serde(default)]
    pub path: String,
    /// What stands there.
    #[serde(default)]
    pub value: Value,
    /// How to fix it.
    #[serde(default)]
    pub fix: String,
    /// The setting that decides.
    #[serde(skip)]
    pub setting: Option<Box<Setting>>,
    /// How a program fixes it.
    #[serde(default, deserialize_with = "edit")]
    pub edit: Option<Box<Edit>>,
}

/// An edit; none where something else stands, since any module may have a member of this name.
fn edit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<Edit>>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}
