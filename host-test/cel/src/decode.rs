//! Objects as the API server shows them to expressions: decoded into their types, and with the defaults of their kind.
//!
//! Decoding drops what a type does not have and what is empty; `objects.txt` has the types and the defaults that depend
//! on nothing else. The other defaults are in `defaults`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, OnceLock};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
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
pub fn decoded(manifest: &Value) -> Decoded {
    let decoder = Decoder::of_manifest(manifest);
    Decoded { object: decoder.decode_value(manifest), known: !matches!(decoder.shape, Shape::Raw) }
}

/// Decodes objects of a kind, in one pass over their text or their value.
#[derive(Clone, Copy)]
pub struct Decoder {
    shape: &'static Shape,
    has_status: bool,
}

impl Decoder {
    /// The decoder of a kind.
    pub fn of(api_version: &str, kind: &str) -> Decoder {
        let group = match kind {
            "Pod" | "PodTemplate" | "ReplicationController" | "Service" => "v1",
            "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet" => "apps/v1",
            "CronJob" | "Job" => "batch/v1",
            _ => "",
        };
        let shape = TYPES.roots.get(kind).filter(|_| api_version == group);
        Decoder { shape: shape.unwrap_or(&Shape::Raw), has_status: true }
    }

    /// The decoder of the kind that a manifest is of.
    pub fn of_manifest(manifest: &Value) -> Decoder {
        let text = |name: &str| manifest[name].as_str().unwrap_or_default();
        Decoder::of(text("apiVersion"), text("kind"))
    }

    /// Leaves out `status`, as if it were not written.
    pub fn without_status(self) -> Decoder {
        Decoder { has_status: false, ..self }
    }

    /// The object as the API server shows it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode<'de, D: Deserializer<'de>>(self, object: D) -> Result<Value, D::Error> {
        let without = (!self.has_status).then_some("status");
        object.deserialize_any(Decode { shape: self.shape, without })
    }

    /// The same of a value, which can always be read.
    pub fn decode_value(self, object: &Value) -> Value {
        self.decode(object).unwrap_or_else(|_| object.clone())
    }
}

/// The types, and those that objects have as a whole.
struct Types {
    objects: Vec<Object>,
    roots: HashMap<&'static str, Shape>,
}

/// A type with fields.
struct Object {
    name: &'static str,
    /// In the order of [`order`].
    fields: Vec<Field>,
    /// The places of those that have a value where nothing is written.
    implied: Vec<usize>,
}

impl Object {
    fn new(name: &'static str, mut fields: Vec<Field>) -> Object {
        fields.sort_by_key(|field| order(field.name));
        let is_implied = |field: &Field| field.always || field.default.is_some();
        let implied = (0..fields.len()).filter(|place| is_implied(&fields[*place])).collect();
        Object { name, fields, implied }
    }

    fn field(&self, name: &str) -> Option<&Field> {
        let place = self.fields.binary_search_by_key(&order(name), |field| order(field.name));
        place.ok().map(|place| &self.fields[place])
    }
}

/// The order of names in which they are found fastest: few have the same length.
fn order(name: &str) -> (usize, &str) {
    (name.len(), name)
}

struct Field {
    name: &'static str,
    shape: Shape,
    /// Whether an empty value differs from none.
    pointer: bool,
    /// Whether it is written even if it is empty.
    always: bool,
    default: Option<Value>,
    /// Its value where nothing is written.
    implied: OnceLock<Option<Value>>,
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
    /// The place of the type among all.
    Object(usize),
    List(Box<Shape>),
    Map(Box<Shape>),
}

/// The places of the types, by their names.
type Places = HashMap<&'static str, usize>;

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let lines = || include_str!("objects.txt").lines().filter(|line| !line.starts_with('#'));
    let names = lines().filter(|line| !line.starts_with(' '));
    let places: Places = names.enumerate().map(|(place, name)| (name, place)).collect();
    let mut types: Vec<(&str, Vec<Field>)> = Vec::new();
    for line in lines() {
        let Some(field) = line.strip_prefix(' ') else {
            types.push((line, Vec::new()));
            continue;
        };
        let (name, fields) = types.last_mut().unwrap_or_else(|| panic!("objects.txt: {line:?} belongs to no type"));
        fields.push(read_field(field, &places).unwrap_or_else(|| panic!("objects.txt: {line:?} in {name}")));
    }
    Types {
        objects: types.into_iter().map(|(name, fields)| Object::new(name, fields)).collect(),
        roots: places.into_iter().map(|(name, place)| (name, Shape::Object(place))).collect(),
    }
});

/// `name! *type = default`
fn read_field(line: &'static str, places: &Places) -> Option<Field> {
    let (field, default) = match line.split_once(" = ") {
        Some((field, default)) => (field, Some(serde_json::from_str(default).ok()?)),
        None => (line, None),
    };
    let (name, shape) = field.split_once(' ')?;
    let pointer = shape.starts_with('*');
    let always = name.ends_with('!');
    Some(Field {
        name: name.trim_end_matches('!'),
        shape: Shape::read(shape.trim_start_matches('*'), places)?,
        pointer,
        always,
        default,
        implied: OnceLock::new(),
    })
}

impl Shape {
    fn read(text: &'static str, places: &Places) -> Option<Shape> {
        Some(match text {
            "string" => Shape::String,
            "int" => Shape::Int,
            "bool" => Shape::Bool,
            "quantity" => Shape::Quantity,
            "time" => Shape::Time,
            "intstr" => Shape::IntOrString,
            "raw" => Shape::Raw,
            _ => match (text.strip_prefix('['), text.strip_prefix('{')) {
                (Some(inner), _) => Shape::List(Box::new(Shape::read(inner.strip_suffix(']')?, places)?)),
                (_, Some(inner)) => Shape::Map(Box::new(Shape::read(inner.strip_suffix('}')?, places)?)),
                _ => Shape::Object(*places.get(text.strip_prefix('*').unwrap_or(text))?),
            },
        })
    }

    /// What a scalar is decoded into.
    fn of_scalar(&self, value: Value) -> Value {
        match (self, value) {
            (Shape::Quantity, Value::String(text)) => Value::from(canonical_quantity(&text).unwrap_or(text)),
            (Shape::Quantity, Value::Number(number)) => {
                canonical_quantity(&number.to_string()).map_or_else(|| Value::Number(number), Value::from)
            }
            (Shape::Time, Value::String(text)) if text == "0001-01-01T00:00:00Z" => Value::Null,
            (_, Value::Null) => self.zero(),
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
            Shape::Object(place) => complete(&TYPES.objects[*place], Map::new()),
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

/// Reads a value of a shape. What is not of the shape is read as it is.
#[derive(Clone, Copy)]
struct Decode {
    shape: &'static Shape,
    /// A member that is left out.
    without: Option<&'static str>,
}

impl Decode {
    fn of(shape: &'static Shape) -> Decode {
        Decode { shape, without: None }
    }

    fn object<'de, A: MapAccess<'de>>(self, object: &'static Object, mut source: A) -> Result<Value, A::Error> {
        // Most objects have some fields, and the implied ones.
        let mut members = Map::with_capacity(4 + object.implied.len());
        while let Some(field) = source.next_key_seed(FieldOf(object))? {
            let Some(field) = field.filter(|field| Some(field.name) != self.without) else {
                source.next_value::<IgnoredAny>()?;
                continue;
            };
            match field.decoded(source.next_value_seed(Given(&field.shape))?) {
                Some(value) => drop(members.insert(field.name.to_owned(), value)),
                // It may be there already: of two members of one name, the last one counts.
                None => drop(members.shift_remove(field.name)),
            }
        }
        Ok(complete(object, members))
    }

    fn members<'de, A: MapAccess<'de>>(self, shape: &'static Shape, mut source: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = source.next_key::<String>()? {
            if Some(key.as_str()) == self.without {
                source.next_value::<IgnoredAny>()?;
            } else {
                let value = source.next_value_seed(Decode::of(shape))?;
                members.insert(key, value);
            }
        }
        Ok(Value::Object(members))
    }
}

impl<'de> DeserializeSeed<'de> for Decode {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Decode {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(self.shape.of_scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.shape.of_scalar(Value::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(self.shape.of_scalar(Value::from(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(self.shape.of_scalar(Value::from(value)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(self.shape.of_scalar(Value::from(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let shape = if let Shape::List(element) = self.shape { element } else { &Shape::Raw };
        let mut elements = Vec::new();
        while let Some(element) = source.next_element_seed(Decode::of(shape))? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, source: A) -> Result<Value, A::Error> {
        match self.shape {
            Shape::Object(place) => self.object(&TYPES.objects[*place], source),
            Shape::Map(element) => self.members(element, source),
            _ => self.members(&Shape::Raw, source),
        }
    }
}

/// Reads the name of a member, as the field that it is of a type.
struct FieldOf(&'static Object);

impl<'de> DeserializeSeed<'de> for FieldOf {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldOf {
    type Value = Option<&'static Field>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(name))
    }
}

/// Reads a value that `null` stands for the lack of.
struct Given(&'static Shape);

impl<'de> DeserializeSeed<'de> for Given {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Given {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        Decode::of(self.0).deserialize(source).map(Some)
    }
}

/// An object with the fields that are implied, and with its defaults.
fn complete(object: &'static Object, mut members: Map<String, Value>) -> Value {
    for field in object.implied.iter().map(|place| &object.fields[*place]) {
        if !members.contains_key(field.name)
            && let Some(value) = field.implied()
        {
            members.insert(field.name.to_owned(), value.clone());
        }
    }
    defaults::set(object.name, &mut members);
    Value::Object(members)
}

impl Field {
    fn implied(&'static self) -> Option<&'static Value> {
        self.implied.get_or_init(|| self.decoded(None)).as_ref()
    }

    /// What a decoded value is shown as, or its lack; `None` if it is left out.
    fn decoded(&'static self, value: Option<Value>) -> Option<Value> {
        let is_kept = |decoded: &Value| self.pointer || !self.shape.is_empty(decoded);
        let (kept, empty) = match value {
            Some(decoded) if is_kept(&decoded) => (Some(decoded), None),
            empty => (None, empty),
        };
        kept.or_else(|| self.default()).or_else(|| {
            let zero = || match empty {
                // What was written as empty: `[]` stays a list.
                Some(empty) => empty,
                None if self.pointer => Value::Null,
                None => self.shape.zero(),
            };
            self.always.then(zero)
        })
    }

    fn default(&'static self) -> Option<Value> {
        let default = self.default.as_ref()?;
        Decode::of(&self.shape).deserialize(default).ok()
    }
}
