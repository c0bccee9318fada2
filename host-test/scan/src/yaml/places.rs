//! Where the parts of a document stand, taken down while its JSON is written, which spares reading it again into a
//! [`Tree`](super::Tree). Only for documents without anchors, merge keys and duplicate keys, and without their comments.

use std::hash::{BuildHasher, RandomState};

use super::event::Bytes;
use super::scalar::quote;
use super::tree::{Element, Found, Step, Steps};
use super::write::{Kind, Mark};

/// The places of the parts of a document.
#[derive(Debug, Clone)]
pub struct Places {
    hasher: RandomState,
    /// Each value, before what is in it.
    values: Vec<Value>,
    /// The lists and objects whose end has not come.
    open: Vec<u32>,
    /// The key of the next value.
    due: Key,
}

#[derive(Debug, Clone)]
struct Value {
    /// Of the object that it is in; of no meaning elsewhere.
    key: Key,
    kind: Kind,
    start: u32,
    end: u32,
    /// The index behind all that is in it.
    next: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Key {
    /// Of its JSON. Keys of an object differ in theirs: what has equal ones is read into a tree.
    hash: u64,
    start: u32,
    end: u32,
}

/// So much text has about one value.
const BYTES_A_VALUE: usize = 32;

impl Places {
    /// None yet, of a document of a file with this text; none at all for one that is larger than they can tell.
    pub(super) fn new(file: usize, document: usize, hasher: RandomState) -> Option<Places> {
        u32::try_from(file).ok()?;
        let values = Vec::with_capacity(document / BYTES_A_VALUE);
        Some(Places { hasher, values, open: Vec::new(), due: Key::default() })
    }

    /// The same as [`Tree::at`](super::Tree::at).
    pub(super) fn at(&self, path: &str) -> Option<Found> {
        let (mut at, mut json) = (0, String::new());
        let root = self.values.first()?;
        let mut found = Found { span: root.bytes(), key: None, is_there: true, alias: None, element: None };
        for step in Steps(path) {
            let next = match (self.values[at].kind, &step) {
                (Kind::Map, Step::Key(key)) => self.child(at, key, &mut json),
                (Kind::List, Step::Index(index)) => self.children(at).nth(*index),
                _ => None,
            };
            let Some(next) = next else {
                found.is_there = false;
                if let Some(key) = &found.key {
                    found.span = key.clone();
                }
                return Some(found);
            };
            let value = &self.values[next];
            found.span = value.bytes();
            match step {
                Step::Key(_) => found.key = Some(value.key.bytes()),
                Step::Index(_) => {
                    let name = self.child(next, "name", &mut json).map(|name| self.values[name].bytes());
                    found.element = Some(Element { span: value.bytes(), name });
                }
            }
            at = next;
        }
        Some(found)
    }

    /// Where its first key is, in bytes of the file.
    pub(super) fn first_key(&self) -> Option<usize> {
        let root = self.values.first().filter(|root| root.kind == Kind::Map)?;
        let first = self.values.get(1).filter(|_| root.next > 1)?;
        Some(first.key.bytes().start)
    }

    fn children(&self, at: usize) -> impl Iterator<Item = usize> {
        let end = self.values[at].next as usize;
        let mut next = at + 1;
        std::iter::from_fn(move || {
            let child = next;
            next = self.values.get(child).filter(|_| child < end)?.next as usize;
            Some(child)
        })
    }

    /// The value of a key; `json` is memory to write in.
    fn child(&self, at: usize, key: &str, json: &mut String) -> Option<usize> {
        if self.values[at].kind != Kind::Map {
            return None;
        }
        json.clear();
        quote(key, json);
        let hash = self.hasher.hash_one(json.as_str());
        self.children(at).find(|&child| self.values[child].key.hash == hash)
    }

    fn behind(&self) -> u32 {
        u32::try_from(self.values.len()).expect("a value has at least a byte, or the key does")
    }
}

impl Value {
    fn bytes(&self) -> Bytes {
        self.start as usize..self.end as usize
    }
}

impl Key {
    fn bytes(self) -> Bytes {
        self.start as usize..self.end as usize
    }
}

/// Every place is one in a file of which [`Places::new`] made sure.
fn short(at: usize) -> u32 {
    at as u32
}

impl Mark for Places {
    #[inline]
    fn key(&mut self, hash: u64, at: &Bytes) {
        self.due = Key { hash, start: short(at.start), end: short(at.end) };
    }

    #[inline]
    fn value(&mut self, kind: Kind, at: &Bytes) {
        let index = self.behind();
        if kind != Kind::Scalar {
            self.open.push(index);
        }
        let (start, end) = (short(at.start), short(at.end));
        self.values.push(Value { key: self.due, kind, start, end, next: index + 1 });
    }

    #[inline]
    fn end(&mut self, at: &Bytes) {
        let behind = self.behind();
        if let Some(value) = self.open.pop().and_then(|index| self.values.get_mut(index as usize)) {
            value.end = value.end.max(short(at.end));
            value.next = behind;
        }
    }
}
