//! Decodes a JSON text by a schema, in one pass: the values of the declared fields, borrowed from the text.
//!
//! An [`Object`] is one pointer: to a value, which has the values inside it next to each other. What the schema does
//! not name is skipped. Values live in an [`Arena`](crate::Arena), so that everything that looks at them can be
//! copied.

use alloc::{string::String, vec::Vec};

use crate::{
    arena::Arena,
    json::{self, Bracket, NotJson, Reader, Text},
    schema::{self, Declaration, ELEMENT, Field, JsonType, NO_FIELD, Node, SPEC, Typed, WORKLOAD, id, types},
    text::{self, cut, own, put, put_number, quote, unlisted},
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

    /// Whether the string of a field is this.
    #[inline(never)]
    pub(crate) fn says(self, field: Field<types::String>, word: &str) -> bool {
        text::is(self.word(field), word)
    }

    /// The elements of a field; none if it is not set.
    pub(crate) fn list(self, field: Field<types::ObjectList>) -> List<'v> {
        self.find_list(field.id)
    }

    #[inline(never)]
    fn find_list(self, id: u32) -> List<'v> {
        List { list: self.find(id).unwrap_or_default() }
    }

    /// Whether a field is set and true.
    pub(crate) fn is(self, field: Field<types::Bool>) -> bool {
        self.find(field.id).is_some_and(Self::is_true)
    }

    #[inline(never)]
    fn is_true(self) -> bool {
        types::Bool::read(self) == Some(true)
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

    /// Whether two objects have the same values at all fields, as they stand in their texts.
    pub(crate) fn has_same_values(self, other: Object<'_>) -> bool {
        let (ours, others) = (self.0.inside, other.0.inside);
        ours.len() == others.len() && ours.iter().zip(others).all(|(a, b)| a.id == b.id && text::is(a.raw, b.raw))
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

    /// The elements of a list of strings, or a string as the only one.
    pub(crate) fn words(self) -> impl Iterator<Item = &'v str> {
        let elements = if self.0.string.is_some() { core::slice::from_ref(self.0) } else { self.0.inside };
        elements.iter().filter_map(|element| element.string)
    }

    /// What it means, if it is a string.
    pub fn string(self) -> Option<&'v str> {
        self.0.string
    }
}

/// The functions that look something up. Of a function whose address nothing takes, the optimizer makes one that gets
/// what it reads of an object instead of a pointer to it, and each of a hundred calls loads that.
#[used]
static FIND: fn(Object<'static>, u32) -> Option<Object<'static>> = Object::find;
#[used]
static FIND_WORD: fn(Object<'static>, u32) -> &'static str = Object::find_word;
#[used]
static MATCHES: fn(List<'static>, &str) -> bool = List::matches;

/// The value of a field among others.
pub(crate) fn find<'v>(values: &'v [Value<'v>], id: u32) -> Option<Object<'v>> {
    values.iter().find(|value| value.id == id).map(Object)
}

/// Moves the value of one field to another field; returns whether there was one.
pub(crate) fn rename(values: &mut [Value<'_>], from: u32, to: u32) -> bool {
    for value in values {
        if value.id == from {
            value.id = to;
            return true;
        }
    }
    false
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
        self.strings().any(|element| text::is(element, string))
    }

    /// Whether an element is exactly this, or a prefix of it with a trailing `*`. Nothing matches an empty string.
    #[inline(never)]
    pub fn matches(self, string: &str) -> bool {
        let matches = |element: &str| match element.as_bytes() {
            [prefix @ .., b'*'] => string.as_bytes().starts_with(prefix),
            exact => string.as_bytes() == exact,
        };
        !string.is_empty() && self.strings().any(matches)
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

/// Says where decoding of the object under review starts, from its table and what was decoded before it; `None` if it
/// is not known yet.
pub(crate) type Locate = fn(&'static [Node], Object<'_>) -> Option<Location<'static>>;

/// How far the object under review is, which is decoded where it stands if the members before it say how, and else
/// later.
pub(crate) enum State<'a> {
    /// The decoder has not come to it, or did not know its location there.
    Pending,
    Decoded(Decoded<'a>),
    /// With the problem, as a sentence.
    Failed(String),
}

/// Where in an object a table applies.
#[derive(Clone, Copy)]
pub(crate) struct Location<'p> {
    /// Dotted path to it, with `[*]` behind a list or an object of which each element counts; empty for the object
    /// itself.
    pub(crate) path: &'p str,
    /// The index of its node.
    pub(crate) root: usize,
    /// Nothing may be there.
    pub(crate) is_optional: bool,
    /// The path leads to a pod spec, and not to what holds one.
    pub(crate) is_spec: bool,
}

impl Location<'static> {
    /// The object itself, by the first node of its table.
    pub(crate) const WHOLE: Self = Self { path: "", root: 0, is_optional: false, is_spec: false };
}

/// What was decoded of one object.
#[derive(Clone, Copy, Default)]
pub(crate) struct Decoded<'a> {
    /// Each place that the location leads to.
    pub(crate) places: &'a [Located<'a>],
    /// The fields outside of these places.
    pub(crate) outer: Object<'a>,
}

impl<'a> Decoded<'a> {
    /// What the first location leads to; an empty object if it leads to nothing.
    pub(crate) fn object(self) -> Object<'a> {
        self.places.first().map(|place| place.object).unwrap_or_default()
    }
}

/// What a location leads to.
#[derive(Clone, Copy)]
pub(crate) struct Located<'a> {
    pub(crate) object: Object<'a>,
    /// As it stands in the text.
    pub(crate) raw: &'a str,
    /// The dotted path, with the index of each list.
    pub(crate) path: &'a str,
    /// See [`Location::is_spec`].
    pub(crate) is_spec: bool,
}

impl Located<'static> {
    /// The object itself.
    pub(crate) const ROOT: &'static Self = &Located { object: Object(&NOTHING), raw: "", path: "", is_spec: false };
}

/// The keys and indices that lead to a place, the last one first.
struct Trail<'t> {
    before: Option<&'t Trail<'t>>,
    /// In a list, there is an index instead.
    key: Option<&'t str>,
    index: usize,
}

impl Trail<'_> {
    #[cold]
    fn put(&self, path: &mut String) {
        if let Some(before) = self.before {
            before.put(path);
        }
        put_step(path, self.key, self.index);
    }
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
    /// What [`Self::descend`] looks for, and what it found so far.
    location: Location<'a>,
    places: Vec<Located<'a>>,
    /// What to do at [`JsonType::Deferred`]: the table of the object, and what says where it applies.
    pub(crate) deferred: Option<(&'static [Node], Locate)>,
    /// The object that was found there.
    pub(crate) object: State<'a>,
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
            location: Location::WHOLE,
            places: Vec::new(),
            deferred: None,
            object: State::Pending,
            path: String::new(),
            problem: String::new(),
        }
    }

    /// Takes what was decoded: an object that has it all inside.
    pub(crate) fn take(&mut self) -> Object<'a> {
        self.take_from(0)
    }

    #[inline(never)]
    fn take_from(&mut self, first: usize) -> Object<'a> {
        let inside = self.keep(first);
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

    /// Reads the value that starts here, by the first node of the table, and the end of the text behind it if it is
    /// the whole one.
    ///
    /// # Errors
    /// It cannot be read; a path and a sentence.
    #[inline(never)]
    pub(crate) fn root(&mut self, is_whole: bool) -> Result<(), String> {
        let mut result = self.value(self.node(0));
        if is_whole && result.is_ok() {
            result = self.reader.end().map_err(Stop::from);
        }
        result.map_err(|stop| self.explain(stop))
    }

    /// Reads one value.
    fn value(&mut self, node: &Node) -> Result {
        self.value_as(node, node.json_type, node.id)
    }

    /// Reads one value of a node, or an element of the list there, as this type and with this id.
    fn value_as(&mut self, node: &Node, json_type: JsonType, id: u32) -> Result {
        let first = self.reader.peek();
        if first == b'n' || id == NO_FIELD && node.count == 0 {
            self.reader.skip()?;
            return Ok(());
        }
        let (at, start) = (self.values.len(), self.reader.position());
        let mut string = None;
        match (json_type, first) {
            (JsonType::Object, b'{') => self.object(node)?,
            (JsonType::ObjectList, b'[') => self.list(node, JsonType::Object)?,
            (JsonType::StringList, b'[') => self.list(node, JsonType::String)?,
            // Two projects have a setting of this name: a list in one of them, an object in the other.
            (JsonType::StringList, b'{') if node.count != 0 => return self.object(node),
            (JsonType::String, b'"') => string = Some(self.reader.string()?),
            (JsonType::Bool, b't' | b'f') | (JsonType::Any, _) => self.reader.skip()?,
            (JsonType::Integer, b'-' | b'0'..=b'9') => {
                if self.reader.integer()?.is_none() {
                    return Err(self.mismatch(json_type.expectation(), first));
                }
            }
            (JsonType::Deferred, b'{') => self.deferred()?,
            _ => return Err(self.mismatch(json_type.expectation(), first)),
        }
        if id != NO_FIELD {
            let inside = self.keep(at);
            self.values.push(Value { id, raw: self.reader.since(start), string, inside });
        }
        Ok(())
    }

    /// The keys inside a node.
    fn keys(&self, node: &Node) -> &'static [Node] {
        let first = usize::from(node.first);
        self.nodes.get(first..first + usize::from(node.count)).unwrap_or(&[])
    }

    fn object(&mut self, node: &Node) -> Result {
        self.reader.open(Bracket::Object)?;
        if self.reader.is_empty(Bracket::Object) {
            return Ok(());
        }
        let keys = self.keys(node);
        let first_value = self.values.len();
        let (mut seen, mut patterns) = (0u64, 0);
        loop {
            let key = self.reader.key()?;
            if let Some((slot, node)) = find_key(node, keys, key) {
                let at = self.values.len();
                if node.is_pattern {
                    patterns += 1;
                    if patterns > MOST_ELEMENTS {
                        return Err(self.too_many());
                    }
                } else if seen & slot != 0 {
                    return Err(self.duplicate(key));
                }
                seen |= slot;
                if let Err(stop) = self.value(node) {
                    return Err(self.within(Some(key), 0, stop));
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

    fn list(&mut self, node: &Node, element_type: JsonType) -> Result {
        self.reader.open(Bracket::List)?;
        if self.reader.is_empty(Bracket::List) {
            return Ok(());
        }
        let mut index = 0;
        loop {
            let result = match self.reader.peek() {
                b'n' => Err(self.mismatch(element_type.expectation(), b'n')),
                _ if self.elements == MOST_ELEMENTS => Err(self.too_many()),
                _ => self.value_as(node, element_type, ELEMENT),
            };
            if let Err(stop) = result {
                return Err(self.within(None, index, stop));
            }
            index += 1;
            self.elements += 1;
            if !self.reader.more(Bracket::List)? {
                return Ok(());
            }
        }
    }

    /// Decodes the deferred object if its location is known by now, and else skips it.
    #[inline(never)]
    fn deferred(&mut self) -> Result {
        let Some((nodes, locate)) = self.deferred else { return Ok(self.reader.skip()?) };
        let before = Value { inside: &self.values, ..NOTHING };
        let Some(location) = locate(nodes, Object(&before)) else { return Ok(self.reader.skip()?) };
        let (start, first) = (self.reader.mark(), self.values.len());
        let outer_nodes = core::mem::replace(&mut self.nodes, nodes);
        let result = self.descend(&[location]);
        self.nodes = outer_nodes;
        self.object = match result {
            Ok(decoded) => State::Decoded(decoded),
            Err(Stop::Malformed) => return Err(Stop::Malformed),
            Err(Stop::Mismatch) => {
                let problem = self.explain(Stop::Mismatch);
                self.values.truncate(first);
                // Someone exempt may send it all the same, if it is JSON.
                self.reader.rewind(start);
                self.reader.skip()?;
                State::Failed(problem)
            }
        };
        Ok(())
    }

    /// Decodes what locations lead to in the object that starts here.
    pub(crate) fn descend(&mut self, locations: &[Location<'a>]) -> Result<Decoded<'a>> {
        let (start, first, elements) = (self.reader.mark(), self.values.len(), self.elements);
        let mut outer = Object::default();
        for &location in locations {
            self.reader.rewind(start);
            self.elements = elements;
            self.location = location;
            self.walk(location.path, self.node(WORKLOAD), None)?;
            outer = self.take_from(first);
        }
        Ok(Decoded { places: self.arena.keep_all(core::mem::take(&mut self.places)), outer })
    }

    fn node(&self, index: usize) -> &'static Node {
        self.nodes.get(index).unwrap_or(&schema::NOTHING)
    }

    /// Goes on along the rest of a location's path, beside the table of the fields outside.
    fn walk(&mut self, rest: &str, outer: &'static Node, before: Option<&Trail<'_>>) -> Result {
        let first = self.reader.peek();
        let is_each = rest.as_bytes().first() == Some(&b'[');
        let bracket = match first {
            b'n' if self.location.is_optional => return Ok(self.reader.skip()?),
            b'{' if rest.is_empty() => return self.place(before),
            b'{' => Bracket::Object,
            b'[' if is_each => Bracket::List,
            _ => return Err(self.mismatch(if is_each { "a list or an object" } else { "an object" }, first)),
        };
        let (wanted, behind) = next_key(rest);
        let (mut index, mut is_found) = (0, is_each);
        self.reader.open(bracket)?;
        let mut more = !self.reader.is_empty(bracket);
        while more {
            let key = if bracket == Bracket::Object { Some(self.reader.key()?) } else { None };
            let inner = key.map_or(&schema::NOTHING, |key| self.find_key(outer, key));
            let result = if is_each || key.is_some_and(|key| text::is(key, wanted)) {
                if self.elements == MOST_ELEMENTS {
                    Err(self.too_many())
                } else if core::mem::replace(&mut is_found, true) && !is_each {
                    return Err(self.duplicate(wanted));
                } else {
                    self.elements += 1;
                    self.walk(behind, inner, Some(&Trail { before, key, index }))
                }
            } else {
                self.value(inner)
            };
            if let Err(stop) = result {
                return Err(self.within(key, index, stop));
            }
            index += 1;
            more = self.more(bracket)?;
        }
        if is_found || self.location.is_optional {
            return Ok(());
        }
        let stop = self.missing("an object");
        Err(self.within(Some(wanted), 0, stop))
    }

    /// As the reader's, where it need not be fast.
    #[inline(never)]
    fn more(&mut self, bracket: Bracket) -> Result<bool> {
        Ok(self.reader.more(bracket)?)
    }

    /// What is read of a key inside a node, which few keys are compared with.
    #[inline(never)]
    fn find_key(&self, node: &Node, key: &str) -> &'static Node {
        self.keys(node).iter().find(|node| text::is(node.key, key)).unwrap_or(&schema::NOTHING)
    }

    /// Decodes the object at the end of a location.
    fn place(&mut self, trail: Option<&Trail<'_>>) -> Result {
        let (start, first, location) = (self.reader.position(), self.values.len(), self.location);
        let mut root = self.node(location.root);
        if location.is_spec {
            root = self.find_key(root, SPEC.path);
        }
        self.value(root)?;
        let (object, raw) = (self.take_from(first), self.reader.since(start));
        let mut path = location.path;
        if let Some(trail) = trail
            && !text::split(path, b'[').1.is_empty()
        {
            let mut text = String::new();
            trail.put(&mut text);
            path = self.arena.keep_string(text);
        }
        self.places.push(Located { object, raw, path, is_spec: location.is_spec });
        Ok(())
    }

    /// Reports the type of the value here, which starts with this byte, instead of the expected one.
    #[cold]
    #[inline(never)]
    fn mismatch(&mut self, expected: &str, first: u8) -> Stop {
        let found = match first {
            b'"' => "a string",
            b'{' => "an object",
            b'[' => "a list",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            b'-' | b'0'..=b'9' => "a number",
            _ => return self.reader.expected("a value").into(),
        };
        self.refuse(expected, found)
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

    #[cold]
    #[inline(never)]
    fn too_many(&mut self) -> Stop {
        self.refuse("at most 10000 elements", "more")
    }

    /// Adds the key or the index that a problem is below to its path.
    #[cold]
    #[inline(never)]
    fn within(&mut self, key: Option<&str>, index: usize, stop: Stop) -> Stop {
        let mut path = String::new();
        put_step(&mut path, key, index);
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
            text::push(&mut keys, value.string.unwrap_or_default(), "");
        }
        text::sort(&mut keys);
        let mut last = "";
        for (index, &(key, _)) in keys.iter().enumerate() {
            if index != 0 && text::is(key, last) {
                return Err(self.duplicate(key));
            }
            last = key;
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn unknown(&mut self, known: &[Node], key: &str) -> Stop {
        let keys: Vec<_> = known.iter().map(|node| node.key).collect();
        self.problem = unlisted("setting", key, &keys);
        Stop::Mismatch
    }
}

/// Appends a key to a path, or an index if there is none: `.key`, `["a key"]`, `[0]`.
#[cold]
#[inline(never)]
fn put_step(path: &mut String, key: Option<&str>, index: usize) {
    let Some(key) = key else { return text::put_index(path, index) };
    if key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        put(path, if path.is_empty() { "" } else { "." });
        put(path, key);
    } else {
        put(path, "[");
        quote(key, path);
        put(path, "]");
    }
}

/// The first key of a path, or its `[*]`, and the path behind it.
fn next_key(path: &str) -> (&str, &str) {
    let mut end = 1;
    loop {
        let behind = match path.as_bytes().get(end) {
            Some(b'.') => end + 1,
            Some(b'[') | None => end,
            Some(_) => {
                end += 1;
                continue;
            }
        };
        return (cut(path, 0, end), cut(path, behind, path.len()));
    }
}

/// The node of a key inside another node, and its presence bit. Most keys have none, which their bit shows.
#[inline(always)]
fn find_key(parent: &Node, keys: &'static [Node], key: &str) -> Option<(u64, &'static Node)> {
    let mut index = parent.first_with(schema::bit(key))?;
    while let Some(node) = keys.get(index) {
        if node.key.len() == key.len() && text::is(node.key, key) {
            return Some((1 << index, node));
        }
        index += 1;
    }
    // Patterns are behind the others.
    if keys.last().is_some_and(|last| last.is_pattern) { find_pattern(keys, key) } else { None }
}

#[cold]
#[inline(never)]
fn find_pattern(keys: &'static [Node], key: &str) -> Option<(u64, &'static Node)> {
    keys.iter().find(|node| node.is_pattern && key.starts_with(node.prefix())).map(|node| (0, node))
}
