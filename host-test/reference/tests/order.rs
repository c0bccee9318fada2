//! No verdict depends on the order of keys. A policy-server sorts them, `podfence scan` leaves them as the file has them.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use podfence_reference::compare::{Oracle, reply};
use podfence_reference::opinion::Opinion;
use serde_json::{Map, Value};

mod policies {
    podfence_reference::test_policies!(super::answers_alike);
}

fn answers_alike(opinion: &'static Opinion) {
    Oracle::new(opinion).check_many(|case| {
        // A duplicate would be another value in another order.
        let mut sorted: Value = serde_json::from_str(&case.payload()).expect("a payload");
        sorted.sort_all_objects();
        // Of the sorted ones: the API server writes an object and the old one in one order, and templates are compared as
        // texts.
        let reversed = reversed(&sorted);
        let replies = [sorted, reversed].map(|payload| reply(opinion.policy, &payload.to_string()));
        if said(&replies[0]) == said(&replies[1]) {
            return Ok(());
        }
        Err(format!("sorted:   {}\nreversed: {}", replies[0], replies[1]))
    });
}

/// The value with the members of all objects in reverse.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect::<Map<_, _>>(),
        ),
        Value::Array(elements) => elements.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

/// A reply without the order of its violations, and without the texts in which a value is shown as its JSON.
fn said(reply: &str) -> (Value, BTreeSet<String>) {
    let mut reply: Value = serde_json::from_str(reply).expect("a reply");
    let members = reply.as_object_mut().expect("an object");
    members.shift_remove("message");
    members.shift_remove("warnings");
    let annotation = members.get_mut("audit_annotations").and_then(|of| of.as_object_mut()?.shift_remove("violations"));
    let violations = annotation.map(|of| serde_json::from_str(of.as_str().expect("a text")).expect("violations"));
    let violations: Vec<Value> = violations.unwrap_or_default();
    let without_message = violations.into_iter().map(|mut violation| {
        violation.as_object_mut().map(|members| members.shift_remove("message"));
        violation.sort_all_objects();
        violation.to_string()
    });
    (reply, without_message.collect())
}
