//! Edits of objects as JSON.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::sort::sorted;
use crate::yaml::{Step, Steps};

/// How a program mends a violation, as the policy reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edit {
    /// What is done.
    pub op: Op,
    /// Where in the object: `spec.containers[0].securityContext.privileged`.
    pub path: String,
    /// What is set, or added to the list there; null for what is removed.
    #[serde(default)]
    pub value: Value,
    /// Whether hardly a container needs what this takes away from it.
    #[serde(default)]
    pub usual: bool,
}

/// What an edit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Sets a member. Objects on the way to it are made where they are missing.
    Set,
    /// Adds an element to a list, if it is not in there.
    Add,
    /// Removes a member or an element, and the objects and lists around it that are empty then and are members of an
    /// object themselves.
    Remove,
}

/// Applies edits to an object. Indexes are those of the object as it is before.
///
/// # Errors
/// An edit does not fit the object; as a sentence.
pub fn apply(object: &mut Value, edits: &[&Edit]) -> Result<(), String> {
    for edit in edits.iter().filter(|edit| edit.op != Op::Remove) {
        let place = make(object, &Steps(&edit.path).collect::<Vec<_>>(), &edit.path)?;
        match (edit.op, place) {
            (Op::Add, Value::Array(list)) => {
                if !list.contains(&edit.value) {
                    list.push(edit.value.clone());
                }
            }
            (Op::Add, place @ Value::Null) => *place = Value::Array(vec![edit.value.clone()]),
            (Op::Add, _) => return Err(format!("{}: found no list, expected one", edit.path)),
            (_, place) => *place = edit.value.clone(),
        }
    }
    // From the last to the first, so that no index changes before it is used.
    let removed = edits.iter().filter(|edit| edit.op == Op::Remove);
    let mut removed = sorted(removed.map(|edit| Steps(&edit.path).collect::<Vec<_>>()).collect(), |a, b| b.cmp(a));
    removed.dedup();
    for steps in &removed {
        if !remove(object, steps) {
            return Err("found nothing to remove".to_owned());
        }
    }
    Ok(())
}

/// What is at some steps of a path, null if it was not there.
fn make<'v>(place: &'v mut Value, steps: &[Step<'_>], path: &str) -> Result<&'v mut Value, String> {
    let Some((step, rest)) = steps.split_first() else { return Ok(place) };
    match step {
        Step::Key(key) => {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            let Value::Object(members) = place else { return Err(format!("{path}: found no object on the way")) };
            make(members.entry(key.as_ref()).or_insert(Value::Null), rest, path)
        }
        Step::Index(index) => match place.get_mut(*index) {
            Some(element) => make(element, rest, path),
            None => Err(format!("{path}: found no such element")),
        },
    }
}

/// Whether there was something to remove.
fn remove(object: &mut Value, steps: &[Step<'_>]) -> bool {
    let Some((last, before)) = steps.split_last() else { return false };
    let Some(parent) = at(object, before) else { return false };
    let is_removed = match (last, parent) {
        (Step::Key(key), Value::Object(members)) => members.shift_remove(key.as_ref()).is_some(),
        (Step::Index(index), Value::Array(list)) if *index < list.len() => {
            list.remove(*index);
            true
        }
        _ => false,
    };
    let is_empty = match at(object, before) {
        Some(Value::Object(members)) => members.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        _ => false,
    };
    if is_removed && is_empty && matches!(before.last(), Some(Step::Key(_))) {
        return remove(object, before);
    }
    is_removed
}

fn at<'v>(object: &'v mut Value, steps: &[Step<'_>]) -> Option<&'v mut Value> {
    steps.iter().try_fold(object, |place, step| match (step, place) {
        (Step::Key(key), Value::Object(members)) => members.get_mut(key.as_ref()),
        (Step::Index(index), Value::Array(list)) => list.get_mut(*index),
        _ => None,
    })
}
