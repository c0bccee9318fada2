//! Random pods: what a policy reads, as its fields say, among what nobody reads.

use podfence_core::JsonType;
use serde_json::{Map, Value, json};

use crate::draw::Draw;
use crate::fields::Node;

/// How a pod is meant.
#[derive(Clone, Copy)]
struct Mood {
    /// How often a field has another value than the usual ones, in a hundred.
    odd: u8,
    /// How often something is of another type, in a hundred.
    mistyped: u8,
}

/// An object of these fields.
pub fn draw(draw: &mut Draw, root: &Node) -> Value {
    let mood = Mood { odd: if draw.percent(60) { 0 } else { 15 }, mistyped: if draw.percent(94) { 0 } else { 3 } };
    object(draw, root, mood)
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
    while is_open && draw.percent(20) {
        let key = draw.one(&["x", "yé", "Privileged", "securitycontext", "capabilities ", "a\"\\", "spec", "metadata"]);
        members.push((key.to_owned(), draw.any(2)));
    }
    if draw.percent(50) {
        draw.shuffle(&mut members);
    }
    // The first of each name counts; a key that is there twice is for the tests of the walker.
    let mut object = Map::new();
    for (key, value) in members {
        object.entry(key).or_insert(value);
    }
    Value::Object(object)
}

/// Adds some of the keys that a pattern stands for.
fn add_matching(draw: &mut Draw, prefix: &str, member: &Node, mood: Mood, members: &mut Vec<(String, Value)>) {
    // Where everything matches, the keys are what matters, and else what stands there.
    let (names, odd_names): (&[&str], &[&str]) = match prefix {
        "" => (member.pool.usual, member.pool.odd),
        _ => (&["a", "b", "c", "pod"], &["", "é", "a\"b"]),
    };
    let count = if draw.percent(member.pool.unset) { 0 } else { 1 + usize::from(draw.percent(mood.odd)) };
    for _ in 0..count {
        let names = if draw.percent(mood.odd) { odd_names } else { names };
        let name = draw.one(names);
        let value = value(draw, member, mood).unwrap_or_default();
        members.push((format!("{prefix}{name}"), value));
    }
}

/// What stands at a field, or on the way to one; nothing if it is not there.
fn value(draw: &mut Draw, node: &Node, mood: Mood) -> Option<Value> {
    if draw.percent(mood.mistyped) {
        return Some(draw.any(1));
    }
    if !matches!(node.json_type, JsonType::Object | JsonType::ObjectList) {
        return field(draw, node, mood);
    }
    if draw.percent(node.pool.unset) {
        return draw.percent(20).then_some(Value::Null);
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
        return draw.percent(20).then_some(Value::Null);
    }
    Some(match node.json_type {
        JsonType::String if is_odd && !odd.is_empty() => json!(draw.one(odd)),
        JsonType::String => json!(draw.one(usual)),
        JsonType::StringList if is_odd => json!(draw.some(&[usual, odd].concat(), 0, 3)),
        JsonType::StringList => json!(draw.some(usual, 1, 2)),
        _ => {
            let text = draw.one(if is_odd && !odd.is_empty() { odd } else { usual });
            serde_json::from_str(text).expect("a pool has JSON for what is no text")
        }
    })
}
