//! Random pods: fields that a policy reads among others.

use podfence_core::JsonType;
use serde_json::{Map, Value, json};

use crate::draw::Draw;
use crate::fields::Node;

/// What a random object may hold, in percent.
#[derive(Clone, Copy)]
struct Mood {
    /// How often a field has a value that is not usual.
    odd: u8,
    /// How often a value has another type.
    mistyped: u8,
    /// How often null stands for a value that is unset.
    null: u8,
    /// How often an object has one more key, which no policy reads.
    foreign: u8,
}

/// Draws an object with these fields.
pub fn draw(draw: &mut Draw, root: &Node) -> Value {
    let odd = if draw.percent(60) { 0 } else { 15 };
    let mistyped = if draw.percent(94) { 0 } else { 3 };
    object(draw, root, Mood { odd, mistyped, null: 20, foreign: 20 })
}

/// Draws an object with these fields and no others, without nulls, each of its type.
pub fn draw_typed(draw: &mut Draw, root: &Node) -> Value {
    let odd = if draw.percent(60) { 0 } else { 15 };
    object(draw, root, Mood { odd, mistyped: 0, null: 0, foreign: 0 })
}

fn object(draw: &mut Draw, node: &Node, mood: Mood) -> Value {
    let mut members = Vec::new();
    for (key, member) in &node.members {
        match key.strip_suffix('*') {
            Some(prefix) => add_matching(draw, prefix, member, mood, &mut members),
            None => members.extend(value(draw, member, mood).map(|value| (key.clone(), value))),
        }
    }
    let is_open = node.members.iter().all(|(key, _)| key != "*");
    while is_open && draw.percent(mood.foreign) {
        let key = draw.one(&["x", "yé", "Privileged", "securitycontext", "capabilities ", "a\"\\", "spec", "metadata"]);
        members.push((key.to_owned(), draw.any(2)));
    }
    if draw.percent(50) {
        draw.shuffle(&mut members);
    }
    // The first of each name counts. The tests of the parser have duplicate keys.
    let mut object = Map::new();
    for (key, value) in members {
        object.entry(key).or_insert(value);
    }
    Value::Object(object)
}

/// Adds keys that match a pattern.
fn add_matching(draw: &mut Draw, prefix: &str, member: &Node, mood: Mood, members: &mut Vec<(String, Value)>) {
    // Where every key matches, the pool has keys; otherwise it has values.
    let (names, odd_names): (&[&str], &[&str]) = match prefix {
        "" => (member.pool.usual, member.pool.odd),
        _ => (&["a", "b", "c", "pod"], &["", "é", "a\"b"]),
    };
    let count = if draw.percent(member.pool.unset) { 0 } else { 1 + usize::from(draw.percent(mood.odd)) };
    for _ in 0..count {
        let names = if draw.percent(mood.odd) { odd_names } else { names };
        let name = draw.one(names);
        let value = match member.json_type {
            JsonType::Any if prefix.is_empty() => Some(json!(draw.one(&["0", "1", "2k", "x"]))),
            _ => value(draw, member, mood),
        };
        members.extend(value.map(|value| (format!("{prefix}{name}"), value)));
    }
}

/// Draws the value of a field, or of an object or list on the way to one; `None` if it is missing.
fn value(draw: &mut Draw, node: &Node, mood: Mood) -> Option<Value> {
    if draw.percent(mood.mistyped) {
        return Some(draw.any(1));
    }
    if !matches!(node.json_type, JsonType::Object | JsonType::ObjectList) {
        return field(draw, node, mood);
    }
    if draw.percent(node.pool.unset) {
        return draw.percent(mood.null).then_some(Value::Null);
    }
    Some(match node.json_type {
        JsonType::ObjectList => {
            let count = [0, 1, 1, 1, 2, 3][draw.below(6)];
            (0..count).map(|_| object(draw, node, mood)).collect()
        }
        _ => object(draw, node, mood),
    })
}

fn field(draw: &mut Draw, node: &Node, mood: Mood) -> Option<Value> {
    let is_odd = draw.percent(mood.odd);
    let (usual, odd) = (node.pool.usual, node.pool.odd);
    if draw.percent(if is_odd { 30 } else { node.pool.unset }) {
        return draw.percent(mood.null).then_some(Value::Null);
    }
    Some(match node.json_type {
        JsonType::String if is_odd && !odd.is_empty() => json!(draw.one(odd)),
        JsonType::String => json!(draw.one(usual)),
        JsonType::StringList if is_odd => json!(draw.some(&[usual, odd].concat(), 0, 3)),
        JsonType::StringList => json!(draw.some(usual, 1, 2)),
        _ => {
            let text = draw.one(if is_odd && !odd.is_empty() { odd } else { usual });
            serde_json::from_str(text).expect("a pool has JSON for other types than strings")
        }
    })
}
