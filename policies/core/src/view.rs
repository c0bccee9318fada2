//! What was read: the fields of a statement, as they stand in one JSON text.
//!
//! A [`View`] is one flat list in the order of the text, each value followed by what is inside it.
//! Nothing else of the text is kept, and strings are borrowed from it.

use alloc::{string::String, vec::Vec};

use crate::{
    json::{self, NotJson, Reader, Text},
    shape::{Entry, Field, Kind, Shape},
    text::{self, put, put_number},
};

/// A value that was read, and what it is called in the text.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    id: u32,
    /// How many values this one and those inside it are.
    size: u32,
    raw: &'a str,
    data: Data<'a>,
}

impl Value<'static> {
    const fn new(id: u32, raw: &'static str, data: Data<'static>) -> Self {
        Self { id, size: 1, raw, data }
    }
}

#[derive(Clone, Copy)]
enum Data<'a> {
    /// An object, a list, or something that was skipped.
    Other,
    Bool(bool),
    Integer(i64),
    Text(&'a str),
    /// The key of a member that matched a pattern; its value follows.
    Key(&'a str),
}

/// The values that were read of one object.
#[derive(Default)]
pub struct View<'a> {
    values: Vec<Value<'a>>,
}

/// How many values [`defaults`] makes.
pub const fn count_defaults(statements: &[&[Entry]]) -> usize {
    default_values(statements).1
}

/// The values of the settings' defaults, as if they had been read.
pub const fn defaults<const N: usize>(statements: &[&[Entry]]) -> [Value<'static>; N] {
    let values = default_values(statements).0;
    let mut defaults = [values[0]; N];
    let mut i = 0;
    while i < N {
        defaults[i] = values[i];
        i += 1;
    }
    // The object that they are in.
    defaults[0].size = N as u32;
    defaults
}

const MOST_DEFAULTS: usize = 64;

const fn default_values(statements: &[&[Entry]]) -> ([Value<'static>; MOST_DEFAULTS], usize) {
    let mut values = [Value::new(crate::shape::ROOT_ID, "{}", Data::Other); MOST_DEFAULTS];
    let mut length = 1;
    let mut s = 0;
    while s < statements.len() {
        let mut i = 0;
        while i < statements[s].len() {
            let entry = &statements[s][i];
            i += 1;
            let json = entry.default;
            if json.is_empty() {
                continue;
            }
            let at = length;
            let data = match (entry.kind, json.as_bytes()[0]) {
                (Kind::Bool, first) => Data::Bool(first == b't'),
                (Kind::Text, b'"') => Data::Text(json.split_at(1).1.split_at(json.len() - 2).0),
                (Kind::Texts | Kind::Objects, b'[') => Data::Other,
                _ => panic!("a default is a boolean, a string or a list of strings"),
            };
            values[at] = Value::new(crate::shape::id(entry.path), json, data);
            length += 1;
            let mut rest = json.split_at(1).1;
            while matches!(entry.kind, Kind::Texts) && rest.as_bytes()[0] == b'"' {
                let mut end = 1;
                while rest.as_bytes()[end] != b'"' {
                    end += 1;
                }
                let (raw, behind) = rest.split_at(end + 1);
                values[length] = Value::new(ELEMENT, raw, Data::Text(raw.split_at(1).1.split_at(end - 1).0));
                length += 1;
                rest = behind.split_at(1).1;
                if rest.is_empty() {
                    break;
                }
            }
            values[at].size = (length - at) as u32;
        }
        s += 1;
    }
    (values, length)
}

impl View<'_> {
    /// Makes the value of one field of the root the value of another one, behind any that it has.
    pub(crate) fn rename<T, U>(&mut self, from: Field<T>, to: Field<U>) {
        if let Some(value) = self.values.iter_mut().find(|value| value.id == from.id) {
            value.id = to.id;
        }
    }

    /// The outermost object; without any field if nothing was read.
    pub fn root(&self) -> Object<'_> {
        Object { values: &self.values }
    }
}

/// What the elements of lists are known by; the hash of no field.
const ELEMENT: u32 = 1;

impl<'v> Object<'v> {
    /// The outermost object of values that were not read.
    pub(crate) fn of(values: &'v [Value<'v>]) -> Self {
        Self { values }
    }
}

/// An object, or another value, in a [`View`].
#[derive(Clone, Copy, Default)]
pub struct Object<'v> {
    /// Itself, then what is inside it.
    values: &'v [Value<'v>],
}

impl<'v> Object<'v> {
    /// The value of a field, if it is there and not null.
    pub fn get<T: Type>(self, field: Field<T>) -> Option<T::Value<'v>> {
        self.find(field.id).and_then(T::read)
    }

    /// The same, whatever its type is.
    pub fn at<T>(self, field: Field<T>) -> Option<Object<'v>> {
        self.find(field.id)
    }

    /// The same, as it stands in the text.
    pub fn find_raw<T>(self, field: Field<T>) -> Option<&'v str> {
        self.find(field.id).map(Object::raw)
    }

    /// The text it was read from.
    pub fn raw(self) -> &'v str {
        self.values.first().map_or("", |value| value.raw)
    }

    /// Each entry of a field whose last key ends in `*`: its key and its value.
    pub fn entries<T: Type>(self, field: Field<T>) -> impl Iterator<Item = (&'v str, Object<'v>)> {
        self.children().filter(move |child| child.id() == field.id).filter_map(|entry| {
            let Data::Key(key) = entry.values.first()?.data else {
                return None;
            };
            Some((key, entry.children().next()?))
        })
    }

    #[inline(never)]
    fn find(self, id: u32) -> Option<Object<'v>> {
        self.children().find(|child| child.id() == id)
    }

    /// Its text, if it is a string.
    pub fn text(self) -> Option<&'v str> {
        types::Text::read(self)
    }

    fn id(self) -> u32 {
        self.values.first().map_or(0, |value| value.id)
    }

    fn children(self) -> Children<'v> {
        Children { rest: self.values.get(1..).unwrap_or(&[]) }
    }
}

struct Children<'v> {
    rest: &'v [Value<'v>],
}

impl<'v> Iterator for Children<'v> {
    type Item = Object<'v>;

    fn next(&mut self) -> Option<Object<'v>> {
        // Nothing is inside a value that is still being read: its size is not yet known.
        let size = self.rest.first().map(|value| value.size as usize).filter(|&size| size > 0)?;
        let (values, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        Some(Object { values })
    }
}

/// The elements of a list, in order.
#[derive(Clone, Copy, Default)]
pub struct List<'v> {
    list: Object<'v>,
}

impl<'v> List<'v> {
    /// The list that a value is; empty if it is none.
    pub(crate) fn of(list: Object<'v>) -> Self {
        Self { list }
    }

    /// Each element, as an object.
    pub fn objects(self) -> impl Iterator<Item = Object<'v>> {
        self.list.children()
    }

    /// Each element, as a string.
    pub fn texts(self) -> impl Iterator<Item = &'v str> {
        self.list.children().filter_map(Object::text)
    }

    /// Whether an element is exactly this.
    #[inline(never)]
    pub fn has(self, text: &str) -> bool {
        self.texts().any(|element| element == text)
    }

    /// Whether there is no element.
    pub fn is_empty(self) -> bool {
        self.list.children().next().is_none()
    }

    /// The list as it stands in the text.
    pub fn raw(self) -> &'v str {
        self.list.raw()
    }
}

/// The type of a field.
pub trait Type {
    /// What reading it gives.
    type Value<'v>;
    /// What the walker expects.
    const KIND: Kind;
    /// Reads a value that the walker found to be of this kind.
    fn read(value: Object<'_>) -> Option<Self::Value<'_>>;
}

/// The types that [`fields!`](crate::fields) and [`settings!`](crate::settings) name.
pub mod types {
    /// `true` or `false`.
    pub struct Bool;
    /// A whole number.
    pub struct Integer;
    /// A string.
    pub struct Text;
    /// A list of strings.
    pub struct Texts;
    /// An object, of which only the presence matters, or which other fields go through.
    pub struct Object;
    /// A list of objects.
    pub struct Objects;
    /// Any value.
    pub struct Any;
    /// The object under review.
    pub(crate) struct Subject;
}

macro_rules! types {
    ($($name:ident => $value:ty, $read:expr;)*) => {$(
        impl Type for types::$name {
            type Value<'v> = $value;
            const KIND: Kind = Kind::$name;
            fn read<'v>(value: Object<'v>) -> Option<$value> {
                let read: fn(Object<'v>) -> Option<$value> = $read;
                read(value)
            }
        }
    )*};
}

types! {
    Bool => bool, |value| match value.values.first()?.data { Data::Bool(bool) => Some(bool), _ => None };
    Integer => i64, |value| match value.values.first()?.data { Data::Integer(integer) => Some(integer), _ => None };
    Text => &'v str, |value| match value.values.first()?.data { Data::Text(text) => Some(text), _ => None };
    Texts => List<'v>, |list| Some(List { list });
    Objects => List<'v>, |list| Some(List { list });
    Object => Object<'v>, |value| Some(value);
    Any => Object<'v>, |value| Some(value);
    Subject => Object<'v>, |value| Some(value);
}

/// Why reading stopped.
#[derive(Clone, Copy)]
pub(crate) enum Stop {
    /// The text is not JSON from here on.
    Malformed,
    /// Something else than expected stands at a place that is read; see [`Walk::problem`].
    Mismatch,
}

impl From<NotJson> for Stop {
    fn from(_: NotJson) -> Self {
        Self::Malformed
    }
}

pub(crate) type Result<T = (), E = Stop> = core::result::Result<T, E>;

/// Reads the fields of a table from a text, one object at a time.
pub(crate) struct Walk<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) shapes: &'static [Shape],
    /// What was read so far.
    pub(crate) values: Vec<Value<'a>>,
    /// Keys that the table does not have are a mismatch.
    pub(crate) strict: bool,
    /// What to do at [`Kind::Subject`].
    pub(crate) subject: Option<crate::request::Subject<'a>>,
    /// After [`Stop::Mismatch`]: where, from the root of what is read, and what is wrong there.
    path: String,
    problem: String,
}

impl<'a> Walk<'a> {
    /// Starts at an offset of a text.
    pub(crate) fn at(text: &Text<'a>, at: usize, shapes: &'static [Shape]) -> Self {
        Self {
            reader: Reader::at(text, at),
            shapes,
            values: Vec::with_capacity(32),
            strict: false,
            subject: None,
            path: String::new(),
            problem: String::new(),
        }
    }

    /// Takes what was read.
    pub(crate) fn take(&mut self) -> View<'a> {
        View { values: core::mem::take(&mut self.values) }
    }

    /// What was read so far, though it is not complete.
    pub(crate) fn so_far(&self) -> Object<'_> {
        Object { values: &self.values }
    }

    /// Why reading stopped, as a sentence: `spec.containers[1].name: expected a string, found a number`.
    #[cold]
    #[inline(never)]
    pub(crate) fn explain(&mut self, stop: Stop) -> String {
        let mut text = core::mem::take(&mut self.path);
        match stop {
            Stop::Mismatch => {
                let separator = if text.is_empty() { "" } else { ": " };
                put(&mut text, separator);
                put(&mut text, &self.problem);
            }
            Stop::Malformed => {
                let malformed = self.reader.malformed();
                text = String::from("not JSON: expected ");
                put(&mut text, malformed.expected);
                put(&mut text, " at byte ");
                put_number(&mut text, malformed.at);
            }
        }
        text
    }

    /// Reads the object that starts here, whose table starts at this index.
    pub(crate) fn root(&mut self, index: usize) -> Result {
        match self.shapes.get(index) {
            Some(shape) => self.value(shape),
            None => Err(self.missing("an object")),
        }
    }

    /// Reads one value.
    fn value(&mut self, shape: &Shape) -> Result {
        let first = self.reader.peek();
        if first == b'n' || shape.id == 0 && shape.count == 0 {
            self.reader.skip()?;
            return Ok(());
        }
        let (at, start) = (self.values.len(), self.reader.position());
        if shape.id != 0 {
            self.values.push(Value { id: shape.id, size: 0, raw: "", data: Data::Other });
        }
        let mut data = Data::Other;
        match (shape.kind, first) {
            (Kind::Object, b'{') => self.object(shape)?,
            (Kind::Objects, b'[') => self.list(&Shape { kind: Kind::Object, id: ELEMENT, ..*shape })?,
            (Kind::Texts, b'[') => self.list(&Shape { kind: Kind::Text, id: ELEMENT, ..*shape })?,
            (Kind::Text, b'"') => data = Data::Text(self.reader.string()?),
            (Kind::Bool, b't' | b'f') => {
                self.reader.skip()?;
                data = Data::Bool(first == b't');
            }
            (Kind::Integer, b'-' | b'0'..=b'9') => match self.reader.integer()? {
                Some(integer) => data = Data::Integer(integer),
                None => return Err(self.mismatch(shape.kind, first)),
            },
            (Kind::Any, _) => self.reader.skip()?,
            (Kind::Subject, b'{') => self.subject()?,
            _ => return Err(self.mismatch(shape.kind, first)),
        }
        if shape.id != 0 {
            self.close(at, start, data);
        }
        Ok(())
    }

    fn close(&mut self, at: usize, start: usize, data: Data<'a>) {
        let size = (self.values.len() - at) as u32;
        let raw = self.reader.since(start);
        if let Some(value) = self.values.get_mut(at) {
            (value.size, value.raw, value.data) = (size, raw, data);
        }
    }

    fn object(&mut self, shape: &Shape) -> Result {
        self.reader.open(b'{')?;
        if self.reader.is_empty(b'}') {
            return Ok(());
        }
        let first = usize::from(shape.first);
        let keys: &'static [Shape] = self.shapes.get(first..first + usize::from(shape.count)).unwrap_or(&[]);
        let first_value = self.values.len();
        let (mut seen, mut patterns) = (0u64, 0);
        loop {
            let key = self.reader.key()?;
            if let Some((slot, shape)) = find(keys, key) {
                let (at, start) = (self.values.len(), self.reader.position());
                if shape.is_pattern {
                    patterns += 1;
                    self.values.push(Value { id: shape.id, size: 0, raw: "", data: Data::Other });
                } else if seen & slot != 0 {
                    return Err(self.duplicate(key));
                }
                seen |= slot;
                if let Err(stop) = self.value(shape) {
                    return Err(self.within(key, stop));
                }
                if shape.is_pattern {
                    self.close(at, start, Data::Key(key));
                }
            } else if self.strict {
                return Err(self.unknown(keys, key));
            } else {
                self.reader.skip()?;
            }
            if !self.reader.more(b'}')? {
                break;
            }
        }
        if patterns > 1 { self.unique_keys(first_value) } else { Ok(()) }
    }

    fn list(&mut self, element: &Shape) -> Result {
        self.reader.open(b'[')?;
        if self.reader.is_empty(b']') {
            return Ok(());
        }
        let mut index = 0;
        loop {
            let result = match self.reader.peek() {
                b'n' => Err(self.mismatch(element.kind, b'n')),
                _ => self.value(element),
            };
            if let Err(stop) = result {
                return Err(self.within_element(index, stop));
            }
            index += 1;
            if !self.reader.more(b']')? {
                return Ok(());
            }
        }
    }

    /// Says what stands here, which starts with this byte, instead of what was expected.
    #[cold]
    #[inline(never)]
    pub(crate) fn mismatch(&mut self, kind: Kind, first: u8) -> Stop {
        let found = match first {
            b'"' => "a string",
            b'{' => "an object",
            b'[' => "a list",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            b'-' | b'0'..=b'9' => "a number",
            _ => return self.reader.expected("a value").into(),
        };
        self.refuse(kind.expectation(), found)
    }

    /// Says that nothing stands where something was expected.
    pub(crate) fn missing(&mut self, expected: &str) -> Stop {
        self.refuse(expected, "nothing")
    }

    #[cold]
    #[inline(never)]
    fn refuse(&mut self, expected: &str, found: &str) -> Stop {
        self.problem = String::from("expected ");
        put(&mut self.problem, expected);
        put(&mut self.problem, ", found ");
        put(&mut self.problem, found);
        Stop::Mismatch
    }

    /// Adds the key that a problem is below to its path.
    #[cold]
    #[inline(never)]
    pub(crate) fn within(&mut self, key: &str, stop: Stop) -> Stop {
        let mut path = String::new();
        if key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            put(&mut path, key);
        } else {
            put(&mut path, "[");
            json::quote(key, &mut path);
            put(&mut path, "]");
        }
        self.prepend(path, stop)
    }

    #[cold]
    #[inline(never)]
    fn within_element(&mut self, index: usize, stop: Stop) -> Stop {
        let mut path = String::new();
        text::put_index(&mut path, index);
        self.prepend(path, stop)
    }

    fn prepend(&mut self, mut path: String, stop: Stop) -> Stop {
        put(&mut path, if matches!(self.path.as_bytes(), [] | [b'[', ..]) { "" } else { "." });
        put(&mut path, &self.path);
        self.path = path;
        stop
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn duplicate(&mut self, key: &str) -> Stop {
        self.problem = String::from("the key ");
        json::quote(key, &mut self.problem);
        put(&mut self.problem, " is there twice");
        Stop::Mismatch
    }

    /// Refuses a key that a pattern matched twice in one object.
    #[cold]
    #[inline(never)]
    fn unique_keys(&mut self, first: usize) -> Result {
        let mut keys = Vec::new();
        let mut at = first;
        while let Some(value) = self.values.get(at) {
            if let Data::Key(key) = value.data {
                keys.push((key, ""));
            }
            at += value.size as usize;
        }
        text::sort(&mut keys);
        let mut last = None;
        for (key, _) in keys {
            if last.replace(key) == Some(key) {
                return Err(self.duplicate(key));
            }
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn unknown(&mut self, known: &[Shape], key: &str) -> Stop {
        let known: Vec<&str> = known.iter().map(|shape| shape.key).collect();
        self.problem = crate::settings::unlisted("setting", key, &known);
        Stop::Mismatch
    }
}

/// The shape of a key, and a bit of its own.
#[inline(always)]
fn find(keys: &'static [Shape], key: &str) -> Option<(u64, &'static Shape)> {
    let mut slot = 1;
    for shape in keys {
        if shape.key.len() == key.len() && shape.key == key || shape.is_pattern && key.starts_with(shape.prefix()) {
            return Some((slot, shape));
        }
        slot <<= 1;
    }
    None
}
