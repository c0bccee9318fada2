//! From what policies answer of an object to what came of it.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::judge::{Outcome, State, UNREADABLE, Verdict, Violation};
use crate::kinds::{self, Known};
use crate::object::Object;
use crate::wording;

/// What policies say when there was no pod to evaluate, or nothing else that they evaluate.
const NO_POD: [&str; 3] =
    ["the kind holds no pod", "the object has no pod template", "the policy does not evaluate the kind"];

/// What a policy answers of an object.
pub enum Answer {
    /// It was judged, and nothing is wrong.
    Accepted,
    /// It was not judged: why.
    Skipped(String),
    /// It was judged, and something is wrong.
    Rejected(Rejection),
    /// It could not be judged: why.
    Failed(String),
}

/// What is wrong with an object.
pub struct Rejection {
    /// The policy's message.
    pub message: String,
    /// At least one.
    pub violations: Vec<Violation>,
    /// How many violations the policy left out of its list.
    pub left_out: u64,
}

impl Rejection {
    /// Reads the reply of a policy: its message and code, and its audit annotation `violations`.
    pub fn read(policy: &str, message: String, code: Option<u16>, violations: Option<&str>) -> Rejection {
        let (mut violations, left_out) = match violations.and_then(read_list) {
            Some(listed) => listed,
            None if code == Some(400) => (vec![unreadable(&message)], 0),
            None => (vec![whole_object(policy, &message)], 0),
        };
        wording::add_settings(&message, &mut violations);
        Rejection { message, violations, left_out }
    }
}

impl Answer {
    /// Leaves out the violations that verdicts report already.
    pub fn leave_out(&mut self, reported: &[Verdict]) {
        let Answer::Rejected(rejection) = self else { return };
        rejection.violations.retain(|of| {
            let is_same =
                |other: &Violation| other.path == of.path && other.container == of.container && other.value == of.value;
            !reported.iter().flat_map(|verdict| &verdict.violations).any(is_same)
        });
        if rejection.violations.is_empty() && rejection.left_out == 0 {
            *self = Answer::Accepted;
        }
    }
}

/// The state of an object that no policy gets to see.
fn unseen(known: Known, object: &Object) -> State {
    match known {
        Known::Workload | Known::Custom(_) => State::NotSelected,
        Known::OtherVersion(why) | Known::Miswritten(why) => State::NotJudged(why),
        Known::Other => match kinds::containers(&object.json) {
            None => State::NoPod,
            Some(path) => {
                let near = kinds::near(&object.kind).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                let kind = &object.kind.kind;
                let of = object.api_version();
                State::NotJudged(format!("kind {kind:?} of {of} is not known, and has containers at {path}{near}"))
            }
        },
    }
}

/// What the policies said so far.
#[derive(Default)]
pub struct Tally {
    verdicts: Vec<Verdict>,
    is_judged: bool,
    skipped: Option<String>,
    annotations: Vec<(String, String)>,
}

impl Tally {
    /// Keeps the verdict of a policy, if it is not that the object is accepted.
    pub fn add(&mut self, answer: Answer, verdict: impl FnOnce() -> Verdict) {
        match answer {
            Answer::Accepted => self.is_judged = true,
            Answer::Skipped(reason) => self.skip(reason),
            Answer::Rejected(Rejection { message, violations, left_out }) => {
                self.is_judged = true;
                let failure =
                    (left_out > 0).then(|| format!("{left_out} more violations: the policy lists no more than these"));
                self.verdicts.push(Verdict { message, violations, failure, ..verdict() });
            }
            Answer::Failed(why) => {
                self.is_judged = true;
                self.verdicts.push(Verdict { failure: Some(why), ..verdict() });
            }
        }
    }

    /// Keeps a verdict of which there may be a weaker or a stronger one: several bindings say the same.
    pub fn add_once(&mut self, verdict: Verdict) {
        let is_same = |of: &&mut Verdict| of.document == verdict.document && of.violations == verdict.violations;
        match self.verdicts.iter_mut().find(is_same) {
            Some(known) => known.severity = known.severity.max(verdict.severity),
            None => self.verdicts.push(verdict),
        }
    }

    /// Keeps what a policy says for the audit log.
    pub fn annotate(&mut self, key: String, value: String) {
        self.annotations.push((key, value));
    }

    /// Keeps why a policy did not judge.
    pub fn skip(&mut self, reason: String) {
        self.skipped.get_or_insert(reason);
    }

    /// Keeps a verdict without counting the object as judged.
    pub fn report(&mut self, verdict: Verdict) {
        self.verdicts.push(verdict);
    }

    /// How many verdicts there are.
    pub fn count(&self) -> usize {
        self.verdicts.len()
    }

    /// The verdicts from the one with this index on.
    pub fn since(&self, first: usize) -> &[Verdict] {
        self.verdicts.get(first..).unwrap_or_default()
    }

    /// What came of the object, of the kind of which this is known.
    pub fn outcome(self, known: Known, object: &Object) -> Outcome {
        let state = self.state().unwrap_or_else(|| unseen(known, object));
        Outcome { verdicts: self.verdicts, state, annotations: self.annotations }
    }

    /// The state, unless no policy got to see the object.
    fn state(&self) -> Option<State> {
        match &self.skipped {
            _ if self.is_judged => Some(State::Judged),
            Some(reason) if NO_POD.contains(&reason.as_str()) => Some(State::NoPod),
            Some(reason) => Some(State::Skipped(reason.clone())),
            None => None,
        }
    }
}

/// The last element of an audit annotation that leaves some out.
#[derive(Deserialize)]
struct More {
    more: u64,
}

/// The violations of an audit annotation, and how many it leaves out; `None` if it is not a list of them.
fn read_list(annotation: &str) -> Option<(Vec<Violation>, u64)> {
    // Nearly always, nothing is left out, and then the elements need not be told apart.
    if let Ok(violations) = serde_json::from_str::<Vec<Violation>>(annotation) {
        return (!violations.is_empty()).then_some((violations, 0));
    }
    let elements: Vec<&RawValue> = serde_json::from_str(annotation).ok()?;
    let (mut violations, mut left_out) = (Vec::new(), 0);
    for element in elements {
        match serde_json::from_str(element.get()) {
            Ok(violation) => violations.push(violation),
            Err(_) => left_out += serde_json::from_str::<More>(element.get()).ok()?.more,
        }
    }
    (!violations.is_empty()).then_some((violations, left_out))
}

/// A violation of the object as a whole.
pub fn whole_object(control: &str, message: &str) -> Violation {
    Violation {
        control: control.to_owned(),
        reason: message.to_owned(),
        message: None,
        container: None,
        path: String::new(),
        value: Value::Null,
        fix: String::new(),
        setting: None,
        edit: None,
    }
}

/// What cannot be read, where the message says: `spec.containers[0].image: expected a string, found a number`.
fn unreadable(message: &str) -> Violation {
    let is_path = |path: &&str| !path.contains(' ') && !path.starts_with("request.") && !path.starts_with("settings");
    let path = message.split_once(": ").map(|(path, _)| path).filter(is_path).unwrap_or_default();
    Violation { path: path.to_owned(), ..whole_object(UNREADABLE, message) }
}
