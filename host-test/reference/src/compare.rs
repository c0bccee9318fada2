//! Compares the replies of a policy with its opinion.

use podfence_core::Policy;
use podfence_core::json::pad;
use serde_json::{Value, json};

use crate::case::Case;
use crate::fields::Fields;
use crate::opinion::{Opinion, Violation, text};
use crate::request::{Rejection, Verdict, evaluate};

/// From this many requests on, they must meet every verdict and reject every field.
pub const MANY: u64 = 10_000;

/// The kinds of verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Accepted,
    Mutated,
    Rejected,
    Unreadable,
}

impl Class {
    /// The kinds of verdicts of a policy.
    pub fn of(opinion: &Opinion) -> &'static [Class] {
        match opinion.mutate {
            Some(_) => &[Class::Accepted, Class::Mutated, Class::Rejected, Class::Unreadable],
            None => &[Class::Accepted, Class::Rejected, Class::Unreadable],
        }
    }
}

/// The decision of both the policy and the opinion.
pub struct Agreement {
    pub class: Class,
    /// The rejected fields of a Pod or PersistentVolume, or of a kind of the policy, as the policy declares them.
    pub rejected: Vec<String>,
}

/// An opinion and the fields of its policy.
pub struct Oracle {
    pub opinion: &'static Opinion,
    pub fields: Fields,
}

/// The reply of a native policy to a payload.
pub fn reply(policy: &Policy, payload: &str) -> String {
    podfence_core::validate(policy, &pad(payload.as_bytes()))
}

impl Oracle {
    pub fn new(opinion: &'static Opinion) -> Self {
        Self { opinion, fields: Fields::new(opinion.policy, opinion.values) }
    }

    /// Draws cases and checks them: `PODFENCE_PODS` of them, with seeds from `PODFENCE_SEED` on.
    ///
    /// # Panics
    /// A check fails. The message has the case in its smallest form.
    pub fn check_many<T>(&self, check: impl Fn(&Case) -> Result<T, String>) -> Vec<T> {
        let name = self.opinion.policy.name;
        let first = number("PODFENCE_SEED", 0);
        let checked = (0..number("PODFENCE_PODS", DEFAULT)).map(|n| {
            let seed = first.wrapping_add(n);
            let case = Case::draw(seed, self.opinion, &self.fields);
            check(&case).unwrap_or_else(|_| {
                let (case, problem) = case.shrink(&check);
                panic!(
                    "{name}: {problem}\n{case}\nPODFENCE_SEED={seed} PODFENCE_PODS=1 repeats it before it was shrunk"
                )
            })
        });
        checked.collect()
    }

    /// Compares the reply of the native policy with the opinion.
    ///
    /// # Errors
    /// They disagree. The error has both.
    pub fn compare(&self, case: &Case) -> Result<Agreement, String> {
        self.compare_reply(case, &reply(self.opinion.policy, &case.payload()))
    }

    /// Compares a reply with the opinion.
    ///
    /// # Errors
    /// They disagree. The error has both.
    pub fn compare_reply(&self, case: &Case, reply: &str) -> Result<Agreement, String> {
        let verdict = evaluate(self.opinion, &self.fields, &case.request, &case.settings);
        let reply = serde_json::from_str(reply).map_err(|error| format!("{error} in {reply}"))?;
        let class = class(&verdict, &reply, &case.settings)
            .map_err(|problem| format!("{problem}\nthe policy: {reply:#}\nthe second opinion: {verdict:#?}"))?;
        let of_objects = !self.fields.kinds.is_empty();
        let is_whole = of_objects || ["Pod", "PersistentVolume"].contains(&text(&case.request, "kind.kind"));
        let rejected = match verdict {
            Verdict::Rejected(rejection) if is_whole => {
                rejection.violations.iter().map(|violation| self.declared(&violation.path)).collect()
            }
            _ => Vec::new(),
        };
        Ok(Agreement { class, rejected })
    }

    /// The path of a violation as the policy declares it.
    fn declared(&self, path: &str) -> String {
        let is_exact = self.opinion.policy.fields.iter().any(|field| field.path == path);
        if is_exact { path.to_owned() } else { declared(path) }
    }
}

/// A debug build is slow, and its tests are run often.
const DEFAULT: u64 = if cfg!(debug_assertions) { 500 } else { MANY };

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(number) => number.parse().unwrap_or_else(|_| panic!("{variable}: expected a number, found {number:?}")),
        Err(_) => default,
    }
}

/// The kind of a verdict, if the reply is that verdict.
fn class(verdict: &Verdict, reply: &Value, settings: &Value) -> Result<Class, &'static str> {
    let expect = |is: bool, problem| if is { Ok(()) } else { Err(problem) };
    let message = reply["message"].as_str();
    let warned = settings["warn"] == true;
    let warnings = reply["warnings"].as_array().map_or(&[][..], Vec::as_slice);
    match verdict {
        Verdict::Mutated(_) if warned => {
            let is_report = |text: &Value| text.as_str().is_some_and(|text| text.contains(" changed "));
            expect(matches!(warnings, [text] if is_report(text)), "expected one report of the changes")?;
        }
        Verdict::Rejected(_) if warned => {
            let message = message.unwrap_or_default();
            let text = match message.strip_prefix("violates PodSecurity") {
                Some(rest) => format!("would violate PodSecurity{rest}"),
                None => message.to_owned(),
            };
            let most = if text.len() == message.len() { 992 } else { 4080 };
            let is_same = |warning: &Value| {
                warning
                    .as_str()
                    .is_some_and(|warning| warning == text || text.len() > most && warning.len() <= most + 16)
            };
            expect(matches!(warnings, [warning] if is_same(warning)), "expected the verdict as the only warning")?;
        }
        _ => expect(warnings.is_empty(), "expected no warning")?,
    }
    match verdict {
        Verdict::Skipped(reason) => {
            let skipped = json!({"accepted": true, "audit_annotations": {"skipped": reason}});
            expect(*reply == skipped, "expected this reason to skip it")?;
            Ok(Class::Accepted)
        }
        Verdict::Accepted => {
            expect(*reply == json!({"accepted": true}), "expected acceptance without changes")?;
            Ok(Class::Accepted)
        }
        Verdict::Mutated(object) => {
            let mut reply = reply.clone();
            reply.as_object_mut().map(|members| members.shift_remove("warnings"));
            expect(reply == json!({"accepted": true, "mutated_object": object}), "expected these changes")?;
            Ok(Class::Mutated)
        }
        Verdict::Unreadable(messages) => {
            expect(reply["accepted"] == false && reply["code"] == 400, "expected code 400")?;
            expect(message.is_some_and(|message| messages.iter().any(|one| one == message)), "another message")?;
            Ok(Class::Unreadable)
        }
        Verdict::Rejected(Rejection { violations: expected, message: text, object }) => {
            expect(reply["accepted"] == false && reply["code"] == 403, "expected code 403")?;
            let annotation = reply["audit_annotations"]["violations"].as_str().unwrap_or_default();
            let violations: Vec<Value> = serde_json::from_str(annotation).map_err(|_| "expected violations")?;
            let mut found: Vec<Violation> = violations.iter().map(violation).collect();
            found.sort();
            expect(found == *expected, "other violations")?;
            for violation in &violations {
                let path = violation["path"].as_str().unwrap_or_default();
                expect(violation["value"] == *at(object, path), "another value than the object has")?;
                let reason = violation["reason"].as_str().unwrap_or_default();
                expect(message.is_some_and(|message| message.contains(reason)), "a message without a reason")?;
            }
            expect(text.is_none() || message == text.as_deref(), "another message")?;
            Ok(Class::Rejected)
        }
    }
}

/// A violation of a reply.
fn violation(violation: &Value) -> Violation {
    let text = |key: &str| violation[key].as_str().map(str::to_owned);
    Violation {
        path: text("path").unwrap_or_default(),
        control: text("control").unwrap_or_default(),
        container: text("container"),
    }
}

/// The value at the path of a violation.
fn at<'v>(object: &'v Value, path: &str) -> &'v Value {
    let (path, quoted) = path.split_once("[\"").map_or((path, None), |(path, key)| (path, Some(key)));
    let mut at = object;
    for step in path.split(['.', '[']) {
        let inner = match step.strip_suffix(']') {
            Some(index) => index.parse::<usize>().ok().and_then(|index| at.get(index)),
            None => at.get(step),
        };
        at = inner.unwrap_or(&Value::Null);
    }
    let Some(quoted) = quoted else { return at };
    let key: String = serde_json::from_str(&format!("\"{}", quoted.trim_end_matches(']'))).unwrap_or_default();
    at.get(key).unwrap_or(&Value::Null)
}

/// The path of a violation in the form of a declared field. Keys of annotations are patterns there.
fn declared(path: &str) -> String {
    if let Some((before, key)) = path.split_once("[\"") {
        let (start, _) = key.split_once('/').unwrap_or((key, ""));
        return format!("{before}[\"{start}/*\"]");
    }
    let steps = path.split('[').map(|step| step.trim_start_matches(|c: char| c.is_ascii_digit()));
    steps.collect::<Vec<_>>().join("[*").trim_end_matches("[*]").to_owned()
}
