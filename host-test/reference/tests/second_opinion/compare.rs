//! One request, judged three times.

use std::fmt;

use podfence_core::json::pad;
use podfence_host::{Host, Limits, Module};
use podfence_reference::draw::Draw;
use podfence_reference::fields::Fields;
use podfence_reference::opinion::{self, Opinion, Wrong};
use podfence_reference::request::{self, Rejection, Verdict};
use serde_json::{Value, json};

/// A request with settings.
#[derive(Clone)]
pub struct Case {
    /// Under their own names.
    settings: Value,
    /// As they are sent.
    sent: Value,
    request: Value,
    /// The seed of how it is written.
    style: u64,
}

/// What comes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Accepted,
    Mutated,
    Rejected,
    Unreadable,
}

impl Class {
    /// Those that a policy can come to.
    pub fn of(opinion: &Opinion) -> &'static [Class] {
        match opinion.mutate {
            Some(_) => &[Class::Accepted, Class::Mutated, Class::Rejected, Class::Unreadable],
            None => &[Class::Accepted, Class::Rejected, Class::Unreadable],
        }
    }
}

/// What all agreed on.
pub struct Agreement {
    pub class: Class,
    /// The places in a Pod or PersistentVolume that were rejected, as they are stated.
    pub rejected: Vec<String>,
}

/// All who judge for one policy.
pub struct Evaluator {
    opinion: &'static Opinion,
    fields: Fields,
    module: Module,
}

impl Case {
    pub fn draw(seed: u64, evaluator: &Evaluator) -> Case {
        let opinion = evaluator.opinion;
        let mut draw = Draw::new(seed);
        let settings = valid_settings(&mut draw, opinion);
        let sent = request::renamed(&mut draw, opinion, &settings);
        let request = request::draw(&mut draw, &evaluator.fields);
        Case { settings, sent, request, style: seed }
    }

    fn payload(&self) -> String {
        let mut draw = Draw::new(self.style);
        let mut members = [("request", &self.request), ("settings", &self.sent)];
        if draw.percent(20) {
            members.reverse();
        }
        let payload = Value::Object(members.map(|(key, value)| (key.to_owned(), value.clone())).into_iter().collect());
        if draw.percent(60) {
            return payload.to_string();
        }
        let mut text = String::new();
        write(&payload, &mut draw, &mut text);
        text
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "settings {}\nrequest {:#}", self.sent, self.request)
    }
}

fn valid_settings(draw: &mut Draw, opinion: &Opinion) -> Value {
    // Some of what is drawn contradicts itself.
    for _ in 0..100 {
        let mut settings = if draw.percent(20) { json!({}) } else { (opinion.settings)(draw) };
        let common = request::common_settings(draw);
        let members = settings.as_object_mut().expect("settings are an object");
        members.extend(common.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        let reply = podfence_core::validate_settings(opinion.policy, &pad(settings.to_string().as_bytes()));
        if reply == r#"{"valid":true}"# {
            return settings;
        }
    }
    panic!("{}: hardly any of the settings are valid", opinion.policy.name);
}

/// Writes JSON with spaces, and with escapes where none are needed.
fn write(value: &Value, draw: &mut Draw, text: &mut String) {
    let space = |draw: &mut Draw, text: &mut String| {
        if draw.percent(10) {
            text.push_str(draw.one(&[" ", "\n  ", "\t", "\r\n"]));
        }
    };
    let string = |string: &str, draw: &mut Draw, text: &mut String| {
        let plain = Value::from(string).to_string();
        match string.chars().next() {
            Some(first @ ('a'..='z' | 'A'..='Z')) if draw.percent(5) => {
                text.push_str(&format!("\"\\u{:04x}{}", u32::from(first), &plain[2..]));
            }
            _ => text.push_str(&plain),
        }
    };
    space(draw, text);
    match value {
        Value::Object(members) => {
            text.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                space(draw, text);
                string(key, draw, text);
                space(draw, text);
                text.push(':');
                write(value, draw, text);
            }
            text.push('}');
        }
        Value::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                write(element, draw, text);
            }
            text.push(']');
        }
        Value::String(value) => string(value, draw, text),
        other => text.push_str(&other.to_string()),
    }
    space(draw, text);
}

impl Evaluator {
    pub fn new(opinion: &'static Opinion) -> Evaluator {
        let host = Host::new(Limits::default()).expect("an engine");
        let module = host.load(&podfence_support::module(opinion.policy.name)).expect("a policy");
        Evaluator { opinion, fields: Fields::new(opinion.policy, opinion.values), module }
    }

    /// Judges a request.
    ///
    /// # Errors
    /// Who disagrees, and how.
    pub fn compare(&self, case: &Case) -> Result<Agreement, String> {
        let payload = case.payload();
        let native = podfence_core::validate(self.opinion.policy, &pad(payload.as_bytes()));
        let module = self.module.call("validate", payload.as_bytes());
        let module = module.map_err(|error| format!("the module fails: {error}\nnatively: {native}"))?;
        if module != native.as_bytes() {
            return Err(format!("natively: {native}\nas module: {}", String::from_utf8_lossy(&module)));
        }
        let verdict = request::judge(self.opinion, &self.fields, &case.request, &case.settings);
        let reply = serde_json::from_str(&native).map_err(|error| format!("{error} in {native}"))?;
        let class = agree(&verdict, &reply)
            .map_err(|problem| format!("{problem}\nthe policy: {reply:#}\nthe second opinion: {verdict:#?}"))?;
        let is_whole = ["Pod", "PersistentVolume"].contains(&opinion::text(&case.request, "kind.kind"));
        let rejected = match verdict {
            Verdict::Rejected(rejection) if is_whole => {
                rejection.wrong.iter().map(|wrong| stated(&wrong.path)).collect()
            }
            _ => Vec::new(),
        };
        Ok(Agreement { class, rejected })
    }

    /// The smallest part of a case on which there is no agreement either, and how.
    pub fn shrink(&self, case: Case) -> (Case, String) {
        let mut case = case;
        loop {
            let smaller = smaller(&case.request).into_iter().map(|request| Case { request, ..case.clone() });
            match smaller.into_iter().find(|smaller| self.compare(smaller).is_err()) {
                Some(smaller) => case = smaller,
                None => break,
            }
        }
        let problem = self.compare(&case).err().unwrap_or_default();
        (case, problem)
    }
}

/// Every value that lacks one member or element of this one.
fn smaller(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Object(members) => {
            for (key, inner) in members {
                let mut without = members.clone();
                without.shift_remove(key);
                all.push(Value::Object(without));
                all.extend(smaller(inner).into_iter().map(|inner| {
                    let mut with = members.clone();
                    with.insert(key.clone(), inner);
                    Value::Object(with)
                }));
            }
        }
        Value::Array(elements) => {
            for (index, inner) in elements.iter().enumerate() {
                let mut without = elements.clone();
                without.remove(index);
                all.push(Value::Array(without));
                all.extend(smaller(inner).into_iter().map(|inner| {
                    let mut with = elements.clone();
                    with[index] = inner;
                    Value::Array(with)
                }));
            }
        }
        _ => {}
    }
    all
}

/// Compares a reply with what it should be.
fn agree(verdict: &Verdict, reply: &Value) -> Result<Class, &'static str> {
    let demand = |is: bool, problem| if is { Ok(()) } else { Err(problem) };
    let message = reply["message"].as_str();
    match verdict {
        Verdict::Accepted => {
            demand(*reply == json!({"accepted": true}), "not accepted as it is")?;
            Ok(Class::Accepted)
        }
        Verdict::Mutated(object) => {
            demand(*reply == json!({"accepted": true, "mutated_object": object}), "not accepted with these changes")?;
            Ok(Class::Mutated)
        }
        Verdict::Unreadable(messages) => {
            demand(reply["accepted"] == false && reply["code"] == 400, "not unreadable")?;
            demand(message.is_some_and(|message| messages.iter().any(|one| one == message)), "another message")?;
            Ok(Class::Unreadable)
        }
        Verdict::Rejected(Rejection { wrong, message: text, object }) => {
            demand(reply["accepted"] == false && reply["code"] == 403, "not rejected")?;
            let annotation = reply["audit_annotations"]["violations"].as_str().unwrap_or_default();
            let violations: Vec<Value> = serde_json::from_str(annotation).map_err(|_| "no violations")?;
            let mut found: Vec<Wrong> = violations.iter().map(found).collect();
            found.sort();
            demand(found == *wrong, "other violations")?;
            for violation in &violations {
                let path = violation["path"].as_str().unwrap_or_default();
                demand(violation["value"] == *at(object, path), "another value")?;
                let reason = violation["reason"].as_str().unwrap_or_default();
                demand(message.is_some_and(|message| message.contains(reason)), "a reason is not told")?;
            }
            demand(text.is_none() || message == text.as_deref(), "another message")?;
            Ok(Class::Rejected)
        }
    }
}

fn found(violation: &Value) -> Wrong {
    let text = |key: &str| violation[key].as_str().map(str::to_owned);
    Wrong {
        path: text("path").unwrap_or_default(),
        control: text("control").unwrap_or_default(),
        container: text("container"),
    }
}

/// What stands at a path of a violation.
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

/// The path of a violation as the field is stated.
fn stated(path: &str) -> String {
    if let Some((before, key)) = path.split_once("[\"") {
        let (start, _) = key.split_once('/').unwrap_or((key, ""));
        return format!("{before}[\"{start}/*\"]");
    }
    let steps = path.split('[').map(|step| step.trim_start_matches(|c: char| c.is_ascii_digit()));
    steps.collect::<Vec<_>>().join("[*").trim_end_matches("[*]").to_owned()
}
