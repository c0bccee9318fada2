//! Objects as the API server shows them to expressions: decoded into their types, and with the defaults of their kind.
//!
//! Decoding drops what a type does not have and what is empty; `objects.txt` has the types and the defaults that depend
//! on nothing else. The other defaults are in `defaults`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::defaults;
use crate::library::canonical_quantity;

/// An object as the API server shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The object.
    pub object: Value,
    /// Whether its kind is known here. An object of another kind is as it was written: the API server drops what is
    /// empty and sets defaults for it as well.
    pub known: bool,
}

/// Makes of a manifest what the API server shows of a Pod, a workload or a Service. A field of a wrong type, which the
/// API server refuses, is left as it is.
pub fn decoded(manifest: Value) -> Decoded {
    let kind = manifest["kind"].as_str().unwrap_or_default();
    let group = match kind {
        "Pod" | "PodTemplate" | "ReplicationController" | "Service" => "v1",
        "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet" => "apps/v1",
        "CronJob" | "Job" => "batch/v1",
        _ => "",
    };
    let (Some((name, _)), true) = (TYPES.get_key_value(kind), manifest["apiVersion"] == group) else {
        return Decoded { object: manifest, known: false };
    };
    Decoded { object: Shape::Object(name).decode(manifest), known: true }
}

/// A type with fields.
#[derive(Default)]
struct Object {
    fields: Vec<Field>,
    /// The places of the fields among them.
    places: HashMap<&'static str, usize>,
    /// The places of the fields that have a value where nothing is written.
    implied: Vec<usize>,
}

impl Object {
    fn add(&mut self, field: Field) {
        let place = self.fields.len();
        self.places.insert(field.name, place);
        self.implied.extend((field.always || field.default.is_some()).then_some(place));
        self.fields.push(field);
    }
}

struct Field {
    name: &'static str,
    shape: Shape,
    /// Whether an empty value differs from none.
    pointer: bool,
    /// Whether it is written even if it is empty.
    always: bool,
    default: Option<Value>,
}

/// What a value is made of.
enum Shape {
    String,
    Int,
    Bool,
    Quantity,
    Time,
    /// A number or text.
    IntOrString,
    /// What has no type.
    Raw,
    Object(&'static str),
    List(Box<Shape>),
    Map(Box<Shape>),
}

static TYPES: LazyLock<HashMap<&'static str, Object>> = LazyLock::new(|| {
    let mut types = HashMap::new();
    let mut name = "";
    for line in include_str!("objects.txt").lines().filter(|line| !line.starts_with('#')) {
        let Some(field) = line.strip_prefix(' ') else {
            name = line;
            types.insert(name, Object::default());
            continue;
        };
        let object = types.get_mut(name).unwrap_or_else(|| panic!("objects.txt: {line:?} belongs to no type"));
        object.add(read_field(field).unwrap_or_else(|| panic!("objects.txt: {line:?} in {name}")));
    }
    types
});

/// `name! *type = default`
fn read_field(line: &'static str) -> Option<Field> {
    let (field, default) = match line.split_once(" = ") {
        Some((field, default)) => (field, Some(serde_json::from_str(default).ok()?)),
        None => (line, None),
    };
    let (name, shape) = field.split_once(' ')?;
    let pointer = shape.starts_with('*');
    let always = name.ends_with('!');
    Some(Field {
        name: name.trim_end_matches('!'),
        shape: Shape::read(shape.trim_start_matches('*'))?,
        pointer,
        always,
        default,
    })
}

impl Shape {
    fn read(text: &'static str) -> Option<Shape> {
        Some(match text {
            "string" => Shape::String,
            "int" => Shape::Int,
            "bool" => Shape::Bool,
            "quantity" => Shape::Quantity,
            "time" => Shape::Time,
            "intstr" => Shape::IntOrString,
            "raw" => Shape::Raw,
            _ => match (text.strip_prefix('['), text.strip_prefix('{')) {
                (Some(inner), _) => Shape::List(Box::new(Shape::read(inner.strip_suffix(']')?)?)),
                (_, Some(inner)) => Shape::Map(Box::new(Shape::read(inner.strip_suffix('}')?)?)),
                _ => Shape::Object(text.strip_prefix('*').unwrap_or(text)),
            },
        })
    }

    /// The value of this shape that a value is decoded into.
    fn decode(&self, value: Value) -> Value {
        match (self, value) {
            (Shape::Object(name), Value::Object(members)) => decode_object(name, members),
            (Shape::Object(name), Value::Null) => decode_object(name, Map::new()),
            (Shape::List(element), Value::Array(elements)) => {
                Value::Array(elements.into_iter().map(|value| element.decode(value)).collect())
            }
            (Shape::Map(element), Value::Object(members)) => {
                Value::Object(members.into_iter().map(|(key, value)| (key, element.decode(value))).collect())
            }
            (Shape::Quantity, Value::String(text)) => Value::from(canonical_quantity(&text).unwrap_or(text)),
            (Shape::Quantity, Value::Number(number)) => {
                canonical_quantity(&number.to_string()).map_or_else(|| Value::Number(number), Value::from)
            }
            (Shape::Time, Value::String(text)) if text == "0001-01-01T00:00:00Z" => Value::Null,
            (Shape::String | Shape::Int | Shape::Bool | Shape::Quantity | Shape::IntOrString, Value::Null) => {
                self.zero()
            }
            (_, value) => value,
        }
    }

    /// What is written of a field that has no value.
    fn zero(&self) -> Value {
        match self {
            Shape::String => json!(""),
            Shape::Int | Shape::IntOrString => json!(0),
            Shape::Bool => json!(false),
            Shape::Quantity => json!("0"),
            Shape::Object(name) => decode_object(name, Map::new()),
            Shape::Time | Shape::Raw | Shape::List(_) | Shape::Map(_) => Value::Null,
        }
    }

    /// Whether a value is left out.
    fn is_empty(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => matches!(self, Shape::String) && text.is_empty(),
            Value::Number(number) => matches!(self, Shape::Int) && number.as_f64() == Some(0.0),
            Value::Bool(value) => matches!(self, Shape::Bool) && !value,
            Value::Array(elements) => elements.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Null => true,
        }
    }
}

fn decode_object(name: &'static str, mut members: Map<String, Value>) -> Value {
    let Some(object) = TYPES.get(name) else { return Value::Object(members) };
    members.retain(|key, value| {
        let field = object.places.get(key.as_str()).map(|place| &object.fields[*place]);
        let decoded = field.and_then(|field| decode_field(field, Some(value.take())));
        decoded.map(|decoded| *value = decoded).is_some()
    });
    for field in object.implied.iter().map(|place| &object.fields[*place]) {
        if !members.contains_key(field.name)
            && let Some(value) = decode_field(field, None)
        {
            members.insert(field.name.to_owned(), value);
        }
    }
    defaults::set(name, &mut members);
    Value::Object(members)
}

/// The value of a field; `None` if it is left out.
fn decode_field(field: &Field, value: Option<Value>) -> Option<Value> {
    let value = value.filter(|value| !value.is_null()).map(|value| field.shape.decode(value));
    let is_kept = |decoded: &Value| field.pointer || !field.shape.is_empty(decoded);
    let (kept, empty) = match value {
        Some(decoded) if is_kept(&decoded) => (Some(decoded), None),
        empty => (None, empty),
    };
    kept.or_else(|| field.default.clone().map(|default| field.shape.decode(default))).or_else(|| {
        let zero = || match empty {
            // What was written as empty: `[]` stays a list.
            Some(empty) => empty,
            None if field.pointer => Value::Null,
            None => field.shape.zero(),
        };
        field.always.then(zero)
    })
}
