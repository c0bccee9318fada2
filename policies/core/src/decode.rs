//! Decodes a JSON text by a schema, in one pass: the values of the declared fields, borrowed from the text.
//!
//! An [`Object`] is one pointer: to a value, which has the values inside it next to each other. What the schema does
//! not name is skipped. Values live in an [`Arena`](crate::Arena), so that everything that looks at them can be
//! copied.

use alloc::{string::String, vec::Vec};

use crate::{
    arena::Arena,
    json::{self, Bracket, NotJson, Reader, Text},
    schema::{Declaration, ELEMENT, Field, JsonType, NO_FIELD, Node, Typed, id, types},
    text::{self, own, put, put_number, quote, split, unlisted},
};

/// A decoded value, and the field that it is of.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    id: u32,
    /// As it stands in the text; empty for what has only a key.
    raw: &'a str,
    /// The meaning of a string; the key of a member that matched a pattern, whose value is inside.
    string: Option<&'a str>,
    inside: &'a [Value<'a>],
}

const NOTHING: Value<'static> = Value { id: NO_FIELD, raw: "", string: None, inside: &[] };

/// How many values [`defaults`] makes, and how many [`default_elements`].
pub const fn count_defaults(declarations: &[&[Declaration]]) -> [usize; 2] {
    let Defaults { count, element_count, .. } = read_defaults(declarations);
    [count, element_count]
}

/// The elements of the lists among the defaults.
pub const fn default_elements<const N: usize>(declarations: &[&[Declaration]]) -> [Value<'static>; N] {
    *read_defaults(declarations).elements.first_chunk().unwrap()
}

/// The values of the settings' defaults, as if they had been decoded.
pub const fn defaults<const N: usize>(
    declarations: &[&[Declaration]],
    elements: &'static [Value<'static>],
) -> [Value<'static>; N] {
    let read = read_defaults(declarations);
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

/// The defaults while they are being decoded: where the elements of each start, and how many it has.
struct Defaults {
    values: [Value<'static>; MOST_DEFAULTS],
    insides: [(usize, usize); MOST_DEFAULTS],
    count: usize,
    elements: [Value<'static>; MOST_DEFAULTS],
    element_count: usize,
}

const fn read_defaults(declarations: &[&[Declaration]]) -> Defaults {
    let mut read = Defaults {
        values: [NOTHING; MOST_DEFAULTS],
        insides: [(0, 0); MOST_DEFAULTS],
        count: 0,
        elements: [NOTHING; MOST_DEFAULTS],
        element_count: 0,
    };
    let mut s = 0;
    while s < declarations.len() {
        let mut i = 0;
        while i < declarations[s].len() {
            let declaration = &declarations[s][i];
            i += 1;
            let json = declaration.default;
            if json.is_empty() {
                continue;
            }
            let string = match (declaration.json_type, json.as_bytes()[0]) {
                (JsonType::Bool, b't' | b'f') => None,
                (JsonType::String, b'"') => Some(unquoted(json)),
                (JsonType::StringList | JsonType::ObjectList, b'[') => None,
                _ => panic!("a default is a boolean, a string or a list of strings"),
            };
            let first = read.element_count;
            let mut rest = json.split_at(1).1;
            while matches!(declaration.json_type, JsonType::StringList) && rest.as_bytes()[0] == b'"' {
                let mut end = 1;
                while rest.as_bytes()[end] != b'"' {
                    end += 1;
                }
                let (raw, behind) = rest.split_at(end + 1);
                read.elements[read.element_count] =
                    Value { id: ELEMENT, raw, string: Some(unquoted(raw)), inside: &[] };
                read.element_count += 1;
                rest = behind.split_at(1).1;
                if rest.is_empty() {
                    break;
                }
            }
            read.values[read.count] = Value { id: id(declaration.path), raw: json, string, inside: &[] };
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

/// A decoded object, or another value.
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
    pub fn get<T: FieldType>(self, field: Field<T>) -> Option<T::Value<'v>> {
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

    /// The string of a field; empty if it is not set.
    pub(crate) fn word(self, field: Field<types::String>) -> &'v str {
        self.find_word(field.id)
    }

    #[inline(never)]
    fn find_word(self, id: u32) -> &'v str {
        self.find(id).and_then(Self::string).unwrap_or_default()
    }

    /// The value of a field as it stands in the text.
    pub fn find_raw<T>(self, field: Field<T>) -> Option<&'v str> {
        self.at(field).map(Object::raw)
    }

    /// The text that it was decoded from.
    pub fn raw(self) -> &'v str {
        self.0.raw
    }

    /// Each entry of a field whose last key ends in `*`: its key and its value.
    pub fn entries<T: FieldType>(self, field: Field<T>) -> impl Iterator<Item = (&'v str, Object<'v>)> {
        let entries = self.0.inside.iter().filter(move |entry| entry.id == field.id);
        entries.filter_map(|entry| Some((entry.string?, Object(entry.inside.first()?))))
    }

    /// What it means, if it is a string.
    pub fn string(self) -> Option<&'v str> {
        self.0.string
    }
}

/// The value of a field among others.
pub(crate) fn find<'v>(values: &'v [Value<'v>], id: u32) -> Option<Object<'v>> {
    values.iter().find(|value| value.id == id).map(Object)
}

/// Moves the value of one field to another field; returns whether there was one.
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
    /// A value as a list; empty if it is not one.
    pub(crate) fn of(list: Object<'v>) -> Self {
        Self { list }
    }

    /// Each element, as an object.
    pub fn objects(self) -> impl Iterator<Item = Object<'v>> {
        self.list.0.inside.iter().map(Object)
    }

    /// Each element, as a string.
    pub fn strings(self) -> impl Iterator<Item = &'v str> {
        self.list.0.inside.iter().filter_map(|element| element.string)
    }

    /// Whether an element is exactly this.
    #[inline(never)]
    pub fn has(self, string: &str) -> bool {
        self.strings().any(|element| element == string)
    }

    /// Whether an element is exactly this, or a prefix of it with a trailing `*`.
    pub(crate) fn matches(self, string: &str) -> bool {
        self.strings().any(|element| match element.as_bytes() {
            [prefix @ .., b'*'] => string.as_bytes().starts_with(prefix),
            exact => string.as_bytes() == exact,
        })
    }

    /// Whether it has no elements.
    pub fn is_empty(self) -> bool {
        self.list.0.inside.is_empty()
    }

    /// The list as it stands in the text.
    pub fn raw(self) -> &'v str {
        self.list.raw()
    }
}

/// What a check gets for a field of a type.
pub trait FieldType: Typed {
    /// The value.
    type Value<'v>;
    /// Converts a value that the decoder accepted as this type.
    fn read(value: Object<'_>) -> Option<Self::Value<'_>>;
}

macro_rules! field_types {
    ($($name:ident => $value:ty, $read:expr;)*) => {$(
        impl FieldType for types::$name {
            type Value<'v> = $value;
            fn read<'v>(value: Object<'v>) -> Option<$value> {
                let read: fn(Object<'v>) -> Option<$value> = $read;
                read(value)
            }
        }
    )*};
}

field_types! {
    Bool => bool, |value| Some(value.raw().as_bytes().first() == Some(&b't'));
    Integer => i64, |value| json::integer(value.raw());
    String => &'v str, Object::string;
    StringList => List<'v>, |list| Some(List { list });
    ObjectList => List<'v>, |list| Some(List { list });
    Object => Object<'v>, |value| Some(value);
    Any => Object<'v>, |value| Some(value);
    Deferred => Object<'v>, |value| Some(value);
}

/// Why decoding stopped.
#[derive(Clone, Copy)]
pub(crate) enum Stop {
    /// The text is not JSON from here on.
    Malformed,
    /// A field has another type than declared; see [`Decoder::problem`].
    Mismatch,
}

impl From<NotJson> for Stop {
    fn from(_: NotJson) -> Self {
        Self::Malformed
    }
}

pub(crate) type Result<T = (), E = Stop> = core::result::Result<T, E>;

/// Most elements of lists, and members that one pattern matches, that are read of an object. Legitimate pods have
/// hundreds; each of them can be a violation, and a reply must not be much larger than a
/// request.
const MOST_ELEMENTS: usize = 10_000;
const AT_MOST_ELEMENTS: &str = "at most 10000 elements";

/// The object under review, decoded where it stands if the members before it say how, and else later.
pub(crate) struct Deferred<'a> {
    /// The table of the object.
    pub(crate) nodes: &'static [Node],
    /// Says where decoding starts, from the table and what was decoded so far; `None` if it is not known yet.
    pub(crate) locate: fn(&'static [Node], &[Value<'_>]) -> Option<Location<'static>>,
    pub(crate) state: State<'a>,
}

/// How far a [`Deferred`] object is.
pub(crate) enum State<'a> {
    /// The decoder has not come to it, or did not know its location there.
    Pending,
    Decoded(Object<'a>),
    /// With the problem, as a sentence.
    Failed(String),
}

/// Where in an object a table applies.
#[derive(Clone, Copy)]
pub(crate) struct Location<'p> {
    /// Dotted path to it; empty for the object itself.
    pub(crate) path: &'p str,
    /// The index of its node.
    pub(crate) root: usize,
}

/// Decodes the fields of a table from a text, one object at a time.
pub(crate) struct Decoder<'a> {
    pub(crate) reader: Reader<'a>,
    arena: &'a Arena,
    nodes: &'static [Node],
    /// What was decoded so far, next to each other what will be in one object.
    pub(crate) values: Vec<Value<'a>>,
    /// Keys that the table does not have are a mismatch.
    pub(crate) strict: bool,
    /// How many elements of lists were read.
    elements: usize,
    /// What to do at [`JsonType::Deferred`].
    pub(crate) deferred: Option<Deferred<'a>>,
    /// After [`Stop::Mismatch`]: where, from the root of what is decoded, and what is wrong there.
    path: String,
    problem: String,
}

impl<'a> Decoder<'a> {
    /// Starts at an offset of a text.
    #[inline(never)]
    pub(crate) fn at(text: &Text<'a>, at: usize, nodes: &'static [Node]) -> Self {
        Self {
            reader: Reader::at(text, at),
            arena: text.arena(),
            nodes,
            values: Vec::with_capacity(16),
            strict: false,
            elements: 0,
            deferred: None,
            path: String::new(),
            problem: String::new(),
        }
    }

    /// Takes what was decoded: an object that has it all inside.
    pub(crate) fn take(&mut self) -> Object<'a> {
        let inside = self.keep(0);
        Object(self.arena.keep(Value { inside, ..NOTHING }))
    }

    /// Moves the values from this one on into contiguous storage.
    fn keep(&mut self, first: usize) -> &'a [Value<'a>] {
        self.arena.keep_from(&mut self.values, first)
    }

    /// Why decoding stopped, as a sentence: `spec.containers[1].name: expected a string, found a number`.
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
        match self.nodes.get(index) {
            Some(node) => self.value(node),
            None => Err(self.missing("an object")),
        }
    }

    /// Reads one value.
    fn value(&mut self, node: &Node) -> Result {
        let first = self.reader.peek();
        if first == b'n' || node.id == NO_FIELD && node.count == 0 {
            self.reader.skip()?;
            return Ok(());
        }
        let (at, start) = (self.values.len(), self.reader.position());
        let mut string = None;
        match (node.json_type, first) {
            (JsonType::Object, b'{') => self.object(node)?,
            (JsonType::ObjectList, b'[') => self.list(&Node { json_type: JsonType::Object, id: ELEMENT, ..*node })?,
            (JsonType::StringList, b'[') => self.list(&Node { json_type: JsonType::String, id: ELEMENT, ..*node })?,
            (JsonType::String, b'"') => string = Some(self.reader.string()?),
            (JsonType::Bool, b't' | b'f') | (JsonType::Any, _) => self.reader.skip()?,
            (JsonType::Integer, b'-' | b'0'..=b'9') => {
                if self.reader.integer()?.is_none() {
                    return Err(self.mismatch(node.json_type, first));
                }
            }
            (JsonType::Deferred, b'{') => self.deferred()?,
            _ => return Err(self.mismatch(node.json_type, first)),
        }
        if node.id != NO_FIELD {
            let inside = self.keep(at);
            self.values.push(Value { id: node.id, raw: self.reader.since(start), string, inside });
        }
        Ok(())
    }

    fn object(&mut self, node: &Node) -> Result {
        self.reader.open(Bracket::Object)?;
        if self.reader.is_empty(Bracket::Object) {
            return Ok(());
        }
        let first = usize::from(node.first);
        let keys: &'static [Node] = self.nodes.get(first..first + usize::from(node.count)).unwrap_or(&[]);
        let first_value = self.values.len();
        let (mut seen, mut patterns) = (0u64, 0);
        loop {
            let key = self.reader.key()?;
            if let Some((slot, node)) = find_key(keys, key) {
                let at = self.values.len();
                if node.is_pattern {
                    patterns += 1;
                    if patterns > MOST_ELEMENTS {
                        return Err(self.refuse(AT_MOST_ELEMENTS, "more"));
                    }
                } else if seen & slot != 0 {
                    return Err(self.duplicate(key));
                }
                seen |= slot;
                if let Err(stop) = self.value(node) {
                    return Err(self.within(key, stop));
                }
                if node.is_pattern {
                    let inside = self.keep(at);
                    self.values.push(Value { id: node.id, raw: "", string: Some(key), inside });
                }
            } else if self.strict {
                return Err(self.unknown(keys, key));
            } else {
                self.reader.skip()?;
            }
            if !self.reader.more(Bracket::Object)? {
                break;
            }
        }
        if patterns > 1 { self.unique_keys(first_value) } else { Ok(()) }
    }

    fn list(&mut self, element: &Node) -> Result {
        self.reader.open(Bracket::List)?;
        if self.reader.is_empty(Bracket::List) {
            return Ok(());
        }
        let mut index = 0;
        loop {
            let result = match self.reader.peek() {
                b'n' => Err(self.mismatch(element.json_type, b'n')),
                _ if self.elements == MOST_ELEMENTS => Err(self.refuse(AT_MOST_ELEMENTS, "more")),
                _ => self.value(element),
            };
            if let Err(stop) = result {
                return Err(self.within_element(index, stop));
            }
            index += 1;
            self.elements += 1;
            if !self.reader.more(Bracket::List)? {
                return Ok(());
            }
        }
    }

    /// Decodes the deferred object if its location is known by now, and else skips it.
    fn deferred(&mut self) -> Result {
        let location = self.deferred.as_ref().and_then(|deferred| (deferred.locate)(deferred.nodes, &self.values));
        let (Some(location), Some(mut deferred)) = (location, self.deferred.take()) else {
            return Ok(self.reader.skip()?);
        };
        let start = self.reader.mark();
        let outer_values = core::mem::replace(&mut self.values, Vec::with_capacity(16));
        let outer_nodes = core::mem::replace(&mut self.nodes, deferred.nodes);
        let result = self.descend(location);
        let object = self.take();
        self.values = outer_values;
        self.nodes = outer_nodes;
        deferred.state = match result {
            Ok(()) => State::Decoded(object),
            Err(Stop::Malformed) => return Err(Stop::Malformed),
            Err(Stop::Mismatch) => {
                let problem = self.explain(Stop::Mismatch);
                // Someone exempt may send it all the same, if it is JSON.
                self.reader.rewind(start);
                self.reader.skip()?;
                State::Failed(problem)
            }
        };
        self.deferred = Some(deferred);
        Ok(())
    }

    /// Decodes the object that starts here, at a location in it.
    pub(crate) fn descend(&mut self, location: Location<'_>) -> Result {
        let first = self.reader.peek();
        if first != b'{' {
            return Err(self.mismatch(JsonType::Object, first));
        }
        if location.path.is_empty() {
            return self.root(location.root);
        }
        let (wanted, path) = split(location.path, b'.');
        let mut found = false;
        self.reader.open(Bracket::Object)?;
        let mut more = !self.reader.is_empty(Bracket::Object);
        while more {
            let key = self.reader.key()?;
            if key != wanted {
                self.reader.skip()?;
            } else if core::mem::replace(&mut found, true) {
                return Err(self.duplicate(key));
            } else if let Err(stop) = self.descend(Location { path, ..location }) {
                return Err(self.within(key, stop));
            }
            more = self.reader.more(Bracket::Object)?;
        }
        if found {
            return Ok(());
        }
        let stop = self.missing("an object");
        Err(self.within(wanted, stop))
    }

    /// Reports the type of the value here, which starts with this byte, instead of the expected one.
    #[cold]
    #[inline(never)]
    fn mismatch(&mut self, expected: JsonType, first: u8) -> Stop {
        let found = match first {
            b'"' => "a string",
            b'{' => "an object",
            b'[' => "a list",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            b'-' | b'0'..=b'9' => "a number",
            _ => return self.reader.expected("a value").into(),
        };
        self.refuse(expected.expectation(), found)
    }

    /// Reports a missing value.
    fn missing(&mut self, expected: &str) -> Stop {
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
    fn within(&mut self, key: &str, stop: Stop) -> Stop {
        let mut path = String::new();
        if key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            put(&mut path, key);
        } else {
            put(&mut path, "[");
            quote(key, &mut path);
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
    fn duplicate(&mut self, key: &str) -> Stop {
        self.problem = own("the key ");
        quote(key, &mut self.problem);
        put(&mut self.problem, " is there twice");
        Stop::Mismatch
    }

    /// Refuses a key that a pattern matched twice in one object.
    #[cold]
    #[inline(never)]
    fn unique_keys(&mut self, first: usize) -> Result {
        let mut keys = Vec::new();
        for value in self.values.iter().skip(first).filter(|value| value.raw.is_empty()) {
            keys.push((value.string.unwrap_or_default(), ""));
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
    fn unknown(&mut self, known: &[Node], key: &str) -> Stop {
        let mut keys = Vec::new();
        known.iter().for_each(|node| keys.push(node.key));
        self.problem = unlisted("setting", key, &keys);
        Stop::Mismatch
    }
}

/// The node of a key, and its presence bit. Most keys have none, so this looks at little more than lengths.
#[inline(always)]
fn find_key(keys: &'static [Node], key: &str) -> Option<(u64, &'static Node)> {
    for (index, node) in keys.iter().enumerate() {
        if node.key.len() == key.len() && node.key == key {
            return Some((1 << index, node));
        }
    }
    // Patterns are behind the others.
    if keys.last().is_some_and(|last| last.is_pattern) { find_pattern(keys, key) } else { None }
}

#[cold]
#[inline(never)]
fn find_pattern(keys: &'static [Node], key: &str) -> Option<(u64, &'static Node)> {
    keys.iter().find(|node| node.is_pattern && key.starts_with(node.prefix())).map(|node| (0, node))
}
