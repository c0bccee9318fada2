//! What was read: the fields of a statement, as they stand in one JSON text.
//!
//! An [`Object`] is one pointer: to a value, which has the values inside it next to each other. Nothing else
//! of the text is kept, and strings are borrowed from it. What was read is never given back, as a module's
//! memory is not: so everything that looks at it can be copied, and nothing has to be taken apart.

use alloc::{boxed::Box, string::String, vec::Vec};

use crate::{
    json::{self, NotJson, Reader, Text},
    shape::{Entry, Field, Kind, Shape},
    text::{self, own, put, put_number},
};

/// A value that was read, and what it is called in the text.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    id: u32,
    /// As it stands in the text; empty for what has only a key.
    raw: &'a str,
    /// What a string means; the key of a member that matched a pattern, whose value is inside.
    text: Option<&'a str>,
    inside: &'a [Value<'a>],
}

const NOTHING: Value<'static> = Value { id: 0, raw: "", text: None, inside: &[] };

/// How many values [`defaults`] makes, and how many [`default_elements`].
pub const fn count_defaults(statements: &[&[Entry]]) -> [usize; 2] {
    let Defaults { count, element_count, .. } = read_defaults(statements);
    [count, element_count]
}

/// The elements of the lists among the defaults.
pub const fn default_elements<const N: usize>(statements: &[&[Entry]]) -> [Value<'static>; N] {
    *read_defaults(statements).elements.first_chunk().unwrap()
}

/// The values of the settings' defaults, as if they had been read.
pub const fn defaults<const N: usize>(
    statements: &[&[Entry]],
    elements: &'static [Value<'static>],
) -> [Value<'static>; N] {
    let read = read_defaults(statements);
    let mut defaults: [Value<'static>; N] = *read.values.first_chunk().unwrap();
    let mut i = 0;
    while i < N {
        let (start, count) = read.insides[i];
        defaults[i].inside = elements.split_at(start).1.split_at(count).0;
        i += 1;
    }
    defaults
}

const MOST_DEFAULTS: usize = 64;

/// The defaults while they are being read: where the elements of each start, and how many it has.
struct Defaults {
    values: [Value<'static>; MOST_DEFAULTS],
    insides: [(usize, usize); MOST_DEFAULTS],
    count: usize,
    elements: [Value<'static>; MOST_DEFAULTS],
    element_count: usize,
}

const fn read_defaults(statements: &[&[Entry]]) -> Defaults {
    let mut read = Defaults {
        values: [NOTHING; MOST_DEFAULTS],
        insides: [(0, 0); MOST_DEFAULTS],
        count: 0,
        elements: [NOTHING; MOST_DEFAULTS],
        element_count: 0,
    };
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
            let text = match (entry.kind, json.as_bytes()[0]) {
                (Kind::Bool, b't' | b'f') => None,
                (Kind::Text, b'"') => Some(unquoted(json)),
                (Kind::Texts | Kind::Objects, b'[') => None,
                _ => panic!("a default is a boolean, a string or a list of strings"),
            };
            let first = read.element_count;
            let mut rest = json.split_at(1).1;
            while matches!(entry.kind, Kind::Texts) && rest.as_bytes()[0] == b'"' {
                let mut end = 1;
                while rest.as_bytes()[end] != b'"' {
                    end += 1;
                }
                let (raw, behind) = rest.split_at(end + 1);
                read.elements[read.element_count] = Value { id: ELEMENT, raw, text: Some(unquoted(raw)), inside: &[] };
                read.element_count += 1;
                rest = behind.split_at(1).1;
                if rest.is_empty() {
                    break;
                }
            }
            read.values[read.count] = Value { id: crate::shape::id(entry.path), raw: json, text, inside: &[] };
            read.insides[read.count] = (first, read.element_count - first);
            read.count += 1;
        }
        s += 1;
    }
    read
}

const fn unquoted(string: &'static str) -> &'static str {
    string.split_at(1).1.split_at(string.len() - 2).0
}

/// What the elements of lists are known by; the hash of no field.
const ELEMENT: u32 = 1;

/// An object, or another value, that was read.
#[derive(Clone, Copy)]
pub struct Object<'v>(&'v Value<'v>);

impl Default for Object<'_> {
    fn default() -> Self {
        static EMPTY: Value<'static> = NOTHING;
        Self(&EMPTY)
    }
}

impl<'v> Object<'v> {
    /// The value of a field, if it is there and not null.
    pub fn get<T: Type>(self, field: Field<T>) -> Option<T::Value<'v>> {
        self.at(field).and_then(T::read)
    }

    /// The same, whatever its type is.
    pub fn at<T>(self, field: Field<T>) -> Option<Object<'v>> {
        self.find(field.id)
    }

    #[inline(never)]
    pub(crate) fn find(self, id: u32) -> Option<Object<'v>> {
        find(self.0.inside, id)
    }

    /// The text of a field; empty if it is not set.
    pub(crate) fn word(self, field: Field<types::Text>) -> &'v str {
        self.find_word(field.id)
    }

    #[inline(never)]
    fn find_word(self, id: u32) -> &'v str {
        self.find(id).and_then(Self::text).unwrap_or_default()
    }

    /// The same, as it stands in the text.
    pub fn find_raw<T>(self, field: Field<T>) -> Option<&'v str> {
        self.at(field).map(Object::raw)
    }

    /// The text it was read from.
    pub fn raw(self) -> &'v str {
        self.0.raw
    }

    /// Each entry of a field whose last key ends in `*`: its key and its value.
    pub fn entries<T: Type>(self, field: Field<T>) -> impl Iterator<Item = (&'v str, Object<'v>)> {
        let entries = self.0.inside.iter().filter(move |entry| entry.id == field.id);
        entries.filter_map(|entry| Some((entry.text?, Object(entry.inside.first()?))))
    }

    /// Its text, if it is a string.
    pub fn text(self) -> Option<&'v str> {
        self.0.text
    }
}

/// The value of a field among others.
pub(crate) fn find<'v>(values: &'v [Value<'v>], id: u32) -> Option<Object<'v>> {
    values.iter().find(|value| value.id == id).map(Object)
}

/// Makes the value of one field the value of another one; says whether there is one.
pub(crate) fn rename(values: &mut [Value<'_>], from: u32, to: u32) -> bool {
    let value = values.iter_mut().find(|value| value.id == from);
    value.map(|value| value.id = to).is_some()
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
        self.list.0.inside.iter().map(Object)
    }

    /// Each element, as a string.
    pub fn texts(self) -> impl Iterator<Item = &'v str> {
        self.list.0.inside.iter().filter_map(|element| element.text)
    }

    /// Whether an element is exactly this.
    #[inline(never)]
    pub fn has(self, text: &str) -> bool {
        self.texts().any(|element| element == text)
    }

    /// Whether there is no element.
    pub fn is_empty(self) -> bool {
        self.list.0.inside.is_empty()
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
    Bool => bool, |value| Some(value.raw().as_bytes().first() == Some(&b't'));
    Integer => i64, |value| json::integer(value.raw());
    Text => &'v str, Object::text;
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

/// Most elements of lists, and members that one pattern matches, that are read of an object. A pod that
/// means well has hundreds; each of them can be a violation, and a reply must not be much larger than a
/// request.
const MOST_ELEMENTS: usize = 10_000;
const AT_MOST_ELEMENTS: &str = "at most 10000 elements";

/// Reads the fields of a table from a text, one object at a time.
pub(crate) struct Walk<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) shapes: &'static [Shape],
    /// What was read so far, next to each other what will be in one object.
    pub(crate) values: Vec<Value<'a>>,
    /// Keys that the table does not have are a mismatch.
    pub(crate) strict: bool,
    /// How many elements of lists were read.
    elements: usize,
    /// What to do at [`Kind::Subject`].
    pub(crate) subject: Option<crate::request::Subject<'a>>,
    /// After [`Stop::Mismatch`]: where, from the root of what is read, and what is wrong there.
    path: String,
    problem: String,
}

impl<'a> Walk<'a> {
    /// Starts at an offset of a text.
    #[inline(never)]
    pub(crate) fn at(text: &Text<'a>, at: usize, shapes: &'static [Shape]) -> Self {
        Self {
            reader: Reader::at(text, at),
            shapes,
            values: Vec::with_capacity(16),
            strict: false,
            elements: 0,
            subject: None,
            path: String::new(),
            problem: String::new(),
        }
    }

    /// Takes what was read: an object that has it all inside.
    pub(crate) fn take(&mut self) -> Object<'a> {
        let inside = self.keep(0);
        Object(Box::leak(Box::new(Value { inside, ..NOTHING })))
    }

    /// Gives the values that were read from this one on their place next to each other.
    #[inline(never)]
    fn keep(&mut self, first: usize) -> &'a [Value<'a>] {
        if first == self.values.len() { &[] } else { self.values.split_off(first).leak() }
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
                text = own("not JSON: expected ");
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
        let mut text = None;
        match (shape.kind, first) {
            (Kind::Object, b'{') => self.object(shape)?,
            (Kind::Objects, b'[') => self.list(&Shape { kind: Kind::Object, id: ELEMENT, ..*shape })?,
            (Kind::Texts, b'[') => self.list(&Shape { kind: Kind::Text, id: ELEMENT, ..*shape })?,
            (Kind::Text, b'"') => text = Some(self.reader.string()?),
            (Kind::Bool, b't' | b'f') | (Kind::Any, _) => self.reader.skip()?,
            (Kind::Integer, b'-' | b'0'..=b'9') => {
                if self.reader.integer()?.is_none() {
                    return Err(self.mismatch(shape.kind, first));
                }
            }
            (Kind::Subject, b'{') => self.subject()?,
            _ => return Err(self.mismatch(shape.kind, first)),
        }
        if shape.id != 0 {
            let inside = self.keep(at);
            self.values.push(Value { id: shape.id, raw: self.reader.since(start), text, inside });
        }
        Ok(())
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
            if let Some((slot, shape)) = find_key(keys, key) {
                let at = self.values.len();
                if shape.is_pattern {
                    patterns += 1;
                    if patterns > MOST_ELEMENTS {
                        return Err(self.refuse(AT_MOST_ELEMENTS, "more"));
                    }
                } else if seen & slot != 0 {
                    return Err(self.duplicate(key));
                }
                seen |= slot;
                if let Err(stop) = self.value(shape) {
                    return Err(self.within(key, stop));
                }
                if shape.is_pattern {
                    let inside = self.keep(at);
                    self.values.push(Value { id: shape.id, raw: "", text: Some(key), inside });
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
                _ if self.elements == MOST_ELEMENTS => Err(self.refuse(AT_MOST_ELEMENTS, "more")),
                _ => self.value(element),
            };
            if let Err(stop) = result {
                return Err(self.within_element(index, stop));
            }
            index += 1;
            self.elements += 1;
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
        self.problem = own("expected ");
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
        self.problem = own("the key ");
        json::quote(key, &mut self.problem);
        put(&mut self.problem, " is there twice");
        Stop::Mismatch
    }

    /// Refuses a key that a pattern matched twice in one object.
    #[cold]
    #[inline(never)]
    fn unique_keys(&mut self, first: usize) -> Result {
        let mut keys = Vec::new();
        for value in self.values.iter().skip(first).filter(|value| value.raw.is_empty()) {
            keys.push((value.text.unwrap_or_default(), ""));
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
        let mut keys = Vec::new();
        known.iter().for_each(|shape| keys.push(shape.key));
        self.problem = crate::settings::unlisted("setting", key, &keys);
        Stop::Mismatch
    }
}

/// The shape of a key, and a bit of its own. Most keys have none, so this looks at little more than lengths.
#[inline(always)]
fn find_key(keys: &'static [Shape], key: &str) -> Option<(u64, &'static Shape)> {
    for (index, shape) in keys.iter().enumerate() {
        if shape.key.len() == key.len() && shape.key == key {
            return Some((1 << index, shape));
        }
    }
    // Patterns are behind the others.
    if keys.last().is_some_and(|last| last.is_pattern) { find_pattern(keys, key) } else { None }
}

#[cold]
#[inline(never)]
fn find_pattern(keys: &'static [Shape], key: &str) -> Option<(u64, &'static Shape)> {
    keys.iter().find(|shape| shape.is_pattern && key.starts_with(shape.prefix())).map(|shape| (0, shape))
}
