//! What was read: the fields of a statement, as they stand in one JSON text.
//!
//! A [`View`] is one flat list in the order of the text, each value followed by what is inside it.
//! Nothing else of the text is kept, and strings are borrowed from it.

use alloc::{borrow::Cow, string::String, vec::Vec};

use crate::{
    json::{self, NotJson, Reader, Text},
    shape::{Field, Kind, Shape},
    text,
};

/// A value that was read, and what it is called in the text.
pub(crate) struct Value<'a> {
    id: u32,
    /// How many values this one and those inside it are.
    size: u32,
    raw: &'a str,
    data: Data<'a>,
}

enum Data<'a> {
    /// An object, a list, or something that was skipped.
    Other,
    Bool(bool),
    Integer(i64),
    Text(Cow<'a, str>),
    /// The key of a member that matched a pattern; its value follows.
    Key(Cow<'a, str>),
}

/// The values that were read of one object.
#[derive(Default)]
pub struct View<'a> {
    values: Vec<Value<'a>>,
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
            let Data::Key(key) = &entry.values.first()?.data else {
                return None;
            };
            Some((&**key, entry.children().next()?))
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
    /// Each element, as an object.
    pub fn objects(self) -> impl Iterator<Item = Object<'v>> {
        self.list.children()
    }

    /// Each element, as a string.
    pub fn texts(self) -> impl Iterator<Item = &'v str> {
        self.list.children().filter_map(Object::text)
    }

    /// Whether an element is exactly this.
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
    Text => &'v str, |value| match &value.values.first()?.data { Data::Text(text) => Some(text), _ => None };
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

/// A path and what is wrong there: `spec.containers[1].name: expected a string, found a number`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// Where, from the root of what was read.
    pub path: String,
    /// What was expected and what was found.
    pub text: String,
}

impl Problem {
    /// The path, from a root that has this name, and the text.
    pub fn to_text(&self, root: &str) -> String {
        let dot = if root.is_empty() || self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        [root, dot, &self.path, ": ", &self.text].concat()
    }
}

/// Reads the fields of a table from a text, one object at a time.
pub(crate) struct Walk<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) shapes: &'static [Shape],
    /// What was read so far.
    pub(crate) values: Vec<Value<'a>>,
    /// After [`Stop::Mismatch`].
    pub(crate) problem: Problem,
    /// Keys that the table does not have are a mismatch.
    pub(crate) strict: bool,
    /// What to do at [`Kind::Subject`].
    pub(crate) subject: Option<crate::request::Subject<'a>>,
}

impl<'a> Walk<'a> {
    /// Starts at an offset of a text.
    pub(crate) fn at(text: &Text<'a>, at: usize, shapes: &'static [Shape]) -> Self {
        Self {
            reader: Reader::at(text, at),
            shapes,
            values: Vec::with_capacity(32),
            problem: Problem::default(),
            strict: false,
            subject: None,
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

    /// Why reading stopped, as a sentence.
    #[cold]
    pub(crate) fn explain(&self, stop: Stop, root: &str) -> String {
        match stop {
            Stop::Mismatch => self.problem.to_text(root),
            Stop::Malformed => {
                let malformed = self.reader.malformed();
                ["not JSON: expected ", malformed.expected, " at byte ", &text::number(malformed.at as i64)].concat()
            }
        }
    }

    /// Reads one value, which the table has at this index.
    pub(crate) fn value(&mut self, index: usize) -> Result {
        let Some(&shape) = self.shapes.get(index) else {
            return self.mismatch("nothing");
        };
        let first = self.reader.peek();
        if first == b'n' {
            self.reader.skip()?;
            return Ok(());
        }
        let keep = shape.id != 0;
        let at = self.values.len();
        let start = self.reader.position();
        if keep {
            self.values.push(Value { id: shape.id, size: 0, raw: "", data: Data::Other });
        }
        let data = match (shape.kind, first) {
            (Kind::Object, b'{') => {
                self.object(shape.child)?;
                Data::Other
            }
            (Kind::Objects, b'[') => {
                self.list(|walk| {
                    if walk.reader.peek() != b'{' {
                        return walk.mismatch(Kind::Object.expectation());
                    }
                    walk.object(shape.child)?;
                    Ok(Data::Other)
                })?;
                Data::Other
            }
            (Kind::Texts, b'[') => {
                self.list(|walk| {
                    if walk.reader.peek() != b'"' {
                        return walk.mismatch(Kind::Text.expectation());
                    }
                    Ok(Data::Text(walk.reader.string()?))
                })?;
                Data::Other
            }
            (Kind::Text, b'"') => Data::Text(self.reader.string()?),
            (Kind::Bool, b't' | b'f') => {
                self.reader.skip()?;
                Data::Bool(first == b't')
            }
            (Kind::Integer, b'-' | b'0'..=b'9') => match self.reader.integer()? {
                Some(integer) => Data::Integer(integer),
                None => {
                    self.reader.rewind(start, self.reader.depth());
                    return self.mismatch(shape.kind.expectation());
                }
            },
            (Kind::Any, _) => {
                self.reader.skip()?;
                Data::Other
            }
            (Kind::Subject, b'{') => {
                self.subject()?;
                Data::Other
            }
            _ => return self.mismatch(shape.kind.expectation()),
        };
        if keep {
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

    fn object(&mut self, first_child: u8) -> Result {
        self.reader.open(b'{')?;
        if self.reader.is_empty(b'}') {
            return Ok(());
        }
        let first_value = self.values.len();
        let (mut seen, mut patterns) = (0u64, 0);
        loop {
            let key = self.reader.key()?;
            match self.child(first_child, &key) {
                Some((index, shape)) => {
                    let pattern = shape.key.ends_with('*');
                    let slot = 1 << shape.slot;
                    if seen & slot != 0 && !pattern {
                        return self.duplicate(&key);
                    }
                    seen |= slot;
                    let at = self.values.len();
                    let start = self.reader.position();
                    if pattern {
                        patterns += 1;
                        self.values.push(Value { id: shape.id, size: 0, raw: "", data: Data::Other });
                    }
                    if let Err(stop) = self.value(index) {
                        return self.within(&key, stop);
                    }
                    if pattern {
                        self.close(at, start, Data::Key(key));
                    }
                }
                None if self.strict => return self.unknown(first_child, &key),
                None => self.reader.skip()?,
            }
            if !self.reader.more(b'}')? {
                break;
            }
        }
        if patterns > 1 { self.unique_keys(first_value) } else { Ok(()) }
    }

    #[inline(always)]
    fn child(&self, first: u8, key: &str) -> Option<(usize, Shape)> {
        let mut index = usize::from(first);
        while index != 0 {
            let shape = self.shapes.get(index)?;
            if shape.key == key || shape.key.strip_suffix('*').is_some_and(|prefix| key.starts_with(prefix)) {
                return Some((index, *shape));
            }
            index = usize::from(shape.next);
        }
        None
    }

    fn list(&mut self, mut element: impl FnMut(&mut Self) -> Result<Data<'a>>) -> Result {
        self.reader.open(b'[')?;
        if self.reader.is_empty(b']') {
            return Ok(());
        }
        let mut count = 0usize;
        loop {
            let at = self.values.len();
            self.reader.peek();
            let start = self.reader.position();
            self.values.push(Value { id: 0, size: 0, raw: "", data: Data::Other });
            match element(self) {
                Ok(data) => self.close(at, start, data),
                Err(stop) => {
                    return self.within(&["[", &text::number(count as i64), "]"].concat(), stop);
                }
            }
            count += 1;
            if !self.reader.more(b']')? {
                return Ok(());
            }
        }
    }

    /// Says what stands here instead of what was expected.
    #[cold]
    #[inline(never)]
    pub(crate) fn mismatch<T>(&mut self, expected: &str) -> Result<T> {
        let found = match self.reader.peek() {
            b'"' => "a string",
            b'{' => "an object",
            b'[' => "a list",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            b'-' | b'0'..=b'9' => "a number",
            _ => return Err(self.reader.expected("a value").into()),
        };
        self.refuse(["expected ", expected, ", found ", found].concat())
    }

    /// Says that nothing stands where something was expected.
    #[cold]
    pub(crate) fn missing(&mut self, expected: &str) -> Stop {
        let text = ["expected ", expected, ", found nothing"].concat();
        self.problem = Problem { path: String::new(), text };
        Stop::Mismatch
    }

    #[cold]
    pub(crate) fn refuse<T>(&mut self, text: String) -> Result<T> {
        self.problem = Problem { path: String::new(), text };
        Err(Stop::Mismatch)
    }

    /// Adds the key that a problem is below to its path.
    #[cold]
    #[inline(never)]
    pub(crate) fn within<T>(&mut self, key: &str, stop: Stop) -> Result<T> {
        let path = core::mem::take(&mut self.problem.path);
        let plain =
            key.starts_with('[') || key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        let mut quoted = String::new();
        if !plain {
            quoted.push('[');
            json::quote(key, &mut quoted);
            quoted.push(']');
        }
        self.problem.path = [if plain { key } else { &quoted }, dot, &path].concat();
        Err(stop)
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn duplicate<T>(&mut self, key: &str) -> Result<T> {
        let mut text = String::from("the key ");
        json::quote(key, &mut text);
        text.push_str(" is there twice");
        self.refuse(text)
    }

    /// Refuses a key that a pattern matched twice in one object.
    #[cold]
    #[inline(never)]
    fn unique_keys(&mut self, first: usize) -> Result {
        let mut keys = Vec::new();
        let mut at = first;
        while let Some(value) = self.values.get(at) {
            if let Data::Key(key) = &value.data {
                keys.push(&**key);
            }
            at += value.size as usize;
        }
        text::sort(&mut keys, |key| key);
        let twice = keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| String::from(pair[0]));
        match twice {
            Some(key) => self.duplicate(&key),
            None => Ok(()),
        }
    }

    #[cold]
    #[inline(never)]
    fn unknown<T>(&mut self, first_child: u8, key: &str) -> Result<T> {
        let mut known = Vec::new();
        let mut index = usize::from(first_child);
        while let (true, Some(shape)) = (index != 0, self.shapes.get(index)) {
            known.push(shape.key);
            index = usize::from(shape.next);
        }
        self.refuse(crate::settings::unknown(key, &known))
    }
}
