//! A request with settings, and how it is written and shrunk.

use std::fmt;

use serde_json::Value;

use crate::draw::Draw;
use crate::fields::Fields;
use crate::opinion::Opinion;
use crate::requests;

/// A request with settings.
#[derive(Clone)]
pub struct Case {
    pub request: Value,
    /// The settings under their own names.
    pub settings: Value,
    /// The settings in the payload.
    sent: Value,
    /// The seed of the spelling.
    style: u64,
}

impl Case {
    pub fn new(request: Value, settings: Value, style: u64) -> Self {
        Self { request, sent: settings.clone(), settings, style }
    }

    /// Draws a case.
    pub fn draw(seed: u64, opinion: &Opinion, fields: &Fields) -> Self {
        let mut draw = Draw::new(seed);
        let settings = requests::settings(&mut draw, opinion);
        let sent = requests::renamed(&mut draw, opinion, &settings);
        let request = requests::draw(&mut draw, fields);
        Self { request, settings, sent, style: seed }
    }

    /// The payload that a host sends.
    pub fn payload(&self) -> String {
        let mut draw = Draw::new(self.style);
        let mut members = [("request", &self.request), ("settings", &self.sent)];
        if draw.percent(20) {
            members.reverse();
        }
        let payload = Value::Object(members.map(|(key, value)| (key.to_owned(), value.clone())).into_iter().collect());
        // The API server writes an object and the old one alike.
        if draw.percent(60) || !self.request["oldObject"].is_null() {
            return payload.to_string();
        }
        let mut text = String::new();
        write(&payload, &mut draw, &mut text);
        text
    }

    /// Removes parts of the request as long as the check fails; returns the last case that fails it, and its error.
    pub fn shrink<T>(mut self, check: impl Fn(&Case) -> Result<T, String>) -> (Case, String) {
        loop {
            let smaller = smaller(&self.request).into_iter().map(|request| Case { request, ..self.clone() });
            match smaller.into_iter().find(|smaller| check(smaller).is_err()) {
                Some(smaller) => self = smaller,
                None => break,
            }
        }
        let problem = check(&self).err().unwrap_or_default();
        (self, problem)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "settings {}\nrequest {:#}", self.sent, self.request)
    }
}

/// Writes JSON with white space and with escapes that it does not need.
fn write(value: &Value, draw: &mut Draw, text: &mut String) {
    let space = |draw: &mut Draw, text: &mut String| {
        if draw.percent(10) {
            text.push_str(draw.one(&[" ", "\n  ", "\t", "\r\n"]));
        }
    };
    space(draw, text);
    match value {
        Value::Object(members) => {
            text.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                space(draw, text);
                text.push_str(&quoted(key, draw));
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
        Value::String(value) => text.push_str(&quoted(value, draw)),
        other => text.push_str(&other.to_string()),
    }
    space(draw, text);
}

/// Quotes a string; at times, its first letter is an escape.
pub fn quoted(string: &str, draw: &mut Draw) -> String {
    let plain = Value::from(string).to_string();
    match string.chars().next() {
        Some(first @ ('a'..='z' | 'A'..='Z')) if draw.percent(5) => {
            format!("\"\\u{:04x}{}", u32::from(first), &plain[2..])
        }
        _ => plain,
    }
}

/// Lists the values that lack one member or one element.
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
