//! A document as a tree: what kubectl reads, with the place of each part.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::Broken;
use super::event::{Bytes, DEEPEST, Event, Events};
use super::scalar::{is_merge, quote, resolve};
use super::write::{BEHIND_THE_END, COMPLEX_KEY};

/// A document may expand to this many nodes, or to ten for each of its bytes, whatever is more.
const MOST_NODES: u64 = 1_000_000;

/// A document with the places of its parts.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    root: Option<Id>,
    /// The keys that stand in an object twice.
    pub duplicates: Vec<Duplicate>,
    /// The comments, from `#` to the end of the line.
    pub comments: Vec<Bytes>,
}

/// A key that stands in an object more than once. The last one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The key.
    pub key: String,
    /// Where it stands first.
    pub first: Bytes,
    /// Where it stands last.
    pub last: Bytes,
    /// The path of the object that it is in.
    pub path: String,
}

type Id = usize;

#[derive(Debug, Clone)]
struct Node {
    /// The key it is the value of, here or where its anchor is.
    key: Option<Bytes>,
    value: Bytes,
    /// Where it is used, if it stands elsewhere: an alias.
    alias: Option<Bytes>,
    content: Content,
    /// How many nodes it is, with all that is in it.
    size: u64,
    /// How many lists and objects are within each other in it.
    depth: usize,
}

#[derive(Debug, Clone)]
enum Content {
    /// As JSON.
    Scalar(String),
    List(Arc<[Id]>),
    Map(Arc<[(String, Id)]>),
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The value; or, if there is none, the last key on the path that exists.
    pub span: Bytes,
    /// The key of the value, where it has one.
    pub key: Option<Bytes>,
    /// Whether there is a value.
    pub is_there: bool,
    /// The alias that it came by: `span` is where its anchor is.
    pub alias: Option<Bytes>,
    /// The start of the innermost element of a list on the path, with its `name`.
    pub element: Option<Element>,
}

/// An element of a list, such as a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The element.
    pub span: Bytes,
    /// The value of its `name`.
    pub name: Option<Bytes>,
}

/// An object or a list whose end has not come.
struct Open {
    /// In the tree, if it has been put there for its anchor.
    anchor: usize,
    key: Option<Bytes>,
    start: Bytes,
    /// The elements or the values.
    ids: Vec<Id>,
    /// Of a map.
    map: Option<Map>,
}

#[derive(Default)]
struct Map {
    /// The key whose value comes next.
    due: Option<Key>,
    entries: Vec<Entry>,
    /// By key, once there are many.
    index: HashMap<String, usize>,
    /// Whether something was merged.
    has_merge: bool,
}

struct Entry {
    key: String,
    at: Bytes,
    /// What kubectl takes: the last that came.
    id: Id,
    /// What YAML's rule for merge keys takes: what is written here, else what was merged first.
    by_rule: Id,
    is_written: bool,
}

enum Key {
    Text(String, Bytes),
    Merge(Bytes),
}

/// Reads the one document that the events are of; `length` is that of its text in bytes.
///
/// # Errors
/// What kubectl cannot read, and merges that disagree.
pub(super) fn read<'t>(events: &mut impl Events<'t>, length: usize) -> Result<Tree, Broken> {
    let mut tree = Tree { nodes: Vec::new(), root: None, duplicates: Vec::new(), comments: Vec::new() };
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Id> = HashMap::new();
    let mut budget = MOST_NODES.max(10 * length as u64);
    while let Some((event, span)) = events.next()? {
        if let Event::Comment = event {
            tree.comments.push(span);
            continue;
        }
        if tree.root.is_some() {
            return Err(Broken { at: span.start, message: BEHIND_THE_END.to_owned() });
        }
        let broken = |message: String| Broken { at: span.start, message };
        let is_key_due = open.last().and_then(|open| open.map.as_ref()).is_some_and(|map| map.due.is_none());
        if is_key_due && !matches!(event, Event::End) {
            let key = match event {
                Event::Scalar { ref text, is_plain, tag, .. } if is_merge(text, is_plain, tag) => Key::Merge(span),
                Event::Scalar { text, is_plain, tag, anchor } => {
                    let mut json = String::new();
                    let scalar = resolve(text, is_plain, tag).map_err(broken)?;
                    if anchor != 0 {
                        scalar.write(&mut json).map_err(broken)?;
                        anchors.insert(anchor, tree.add(Node::scalar(None, span.clone(), json)));
                    }
                    Key::Text(scalar.key().map_err(broken)?, span.clone())
                }
                Event::Alias(anchor) => {
                    let id = anchors.get(&anchor).ok_or_else(|| broken(WITHIN_ITSELF.to_owned()))?;
                    Key::Text(tree.key_text(*id).map_err(broken)?, span.clone())
                }
                _ => return Err(broken(COMPLEX_KEY.to_owned())),
            };
            if let Some(map) = open.last_mut().and_then(|open| open.map.as_mut()) {
                map.due = Some(key);
            }
            continue;
        }
        let key = open.last().and_then(|open| match &open.map.as_ref()?.due {
            Some(Key::Text(_, at) | Key::Merge(at)) => Some(at.clone()),
            None => None,
        });
        let id = match event {
            Event::List { anchor } => {
                open.push(Open { anchor, key, start: span, ids: Vec::new(), map: None });
                continue;
            }
            Event::Map { anchor } => {
                open.push(Open { anchor, key, start: span, ids: Vec::new(), map: Some(Map::default()) });
                continue;
            }
            Event::Scalar { text, is_plain, tag, anchor } => {
                let mut json = String::new();
                resolve(text, is_plain, tag).and_then(|scalar| scalar.write(&mut json)).map_err(broken)?;
                let id = tree.add(Node::scalar(key, span, json));
                anchors.extend((anchor != 0).then_some((anchor, id)));
                id
            }
            Event::Literal(text) => tree.add(Node::scalar(key, span, text.into_owned())),
            Event::Alias(anchor) => {
                let Some(of) = anchors.get(&anchor) else { return Err(broken(WITHIN_ITSELF.to_owned())) };
                let mut node = tree.nodes[*of].clone();
                budget = budget.checked_sub(node.size).ok_or_else(|| broken(TOO_MANY.to_owned()))?;
                node.alias = Some(span);
                tree.add(node)
            }
            Event::End => {
                let Some(closed) = open.pop() else { continue };
                let anchor = closed.anchor;
                let id = tree.close(closed, span.end)?;
                anchors.extend((anchor != 0).then_some((anchor, id)));
                id
            }
            Event::Comment => continue,
        };
        match open.last_mut() {
            None => tree.root = Some(id),
            Some(parent) => match &mut parent.map {
                None => parent.ids.push(id),
                Some(map) => tree.put(map, id, &mut budget)?,
            },
        }
    }
    if let Some(root) = tree.root {
        tree.name_duplicates(root);
    }
    Ok(tree)
}

const TOO_MANY: &str = "aliases and merge keys make a million nodes of the document, more than is read";

const WITHIN_ITSELF: &str = "an alias of a value that contains it; expected one of an earlier value";

impl Node {
    fn scalar(key: Option<Bytes>, value: Bytes, json: String) -> Node {
        Node { key, value, alias: None, content: Content::Scalar(json), size: 1, depth: 0 }
    }
}

impl Map {
    fn position(&self, key: &str) -> Option<usize> {
        if self.entries.len() > FEW {
            return self.index.get(key).copied();
        }
        self.entries.iter().position(|entry| entry.key == key)
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() == FEW {
            let known = self.entries.iter().enumerate();
            self.index = known.map(|(index, entry)| (entry.key.clone(), index)).collect();
        }
        if self.entries.len() >= FEW {
            self.index.insert(entry.key.clone(), self.entries.len());
        }
        self.entries.push(entry);
    }
}

/// So many keys are compared one by one.
const FEW: usize = 16;

impl Tree {
    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Puts the value of the key that is due into a map.
    fn put(&mut self, map: &mut Map, id: Id, budget: &mut u64) -> Result<(), Broken> {
        match map.due.take() {
            Some(Key::Text(key, at)) => {
                let Some(known) = map.position(&key) else {
                    map.push(Entry { key, at, id, by_rule: id, is_written: true });
                    return Ok(());
                };
                let entry = &mut map.entries[known];
                if entry.is_written {
                    let (first, last) = (entry.at.clone(), at.clone());
                    self.duplicates.push(Duplicate { key, first, last, path: String::new() });
                }
                *entry = Entry { key: std::mem::take(&mut entry.key), at, id, by_rule: id, is_written: true };
                Ok(())
            }
            Some(Key::Merge(at)) => {
                map.has_merge = true;
                let broken = |message: &str| Broken { at: at.start, message: message.to_owned() };
                let wanted = || broken("map merge requires an object or a list of objects as the value");
                *budget = budget.checked_sub(self.nodes[id].size).ok_or_else(|| broken(TOO_MANY))?;
                let merged: Vec<Id> = match &self.nodes[id].content {
                    Content::Map(_) => vec![id],
                    // A list that came by an alias is none to kubectl.
                    Content::List(ids) if self.nodes[id].alias.is_none() => ids.to_vec(),
                    _ => return Err(wanted()),
                };
                // The first of a list counts most: for kubectl, the others come before it.
                for &id in merged.iter().rev() {
                    let Content::Map(entries) = &self.nodes[id].content else { return Err(wanted()) };
                    for (key, id) in Arc::clone(entries).iter() {
                        // It stands elsewhere, and is used here.
                        let mut node = self.nodes[*id].clone();
                        node.alias.get_or_insert_with(|| at.clone());
                        let id = self.add(node);
                        match map.position(key) {
                            None => {
                                let key = key.clone();
                                map.push(Entry { key, at: at.clone(), id, by_rule: id, is_written: false });
                            }
                            Some(known) => map.entries[known].id = id,
                        }
                    }
                }
                self.apply_rule(map, &merged, &at);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Sets what YAML's rule takes of the keys that came by this merge key alone: of a list, the first.
    fn apply_rule(&self, map: &mut Map, merged: &[Id], at: &Bytes) {
        for &id in merged.iter().rev() {
            let Content::Map(entries) = &self.nodes[id].content else { continue };
            for (key, id) in entries.iter() {
                let Some(known) = map.position(key) else { continue };
                let entry = &mut map.entries[known];
                if !entry.is_written && entry.at == *at {
                    entry.by_rule = *id;
                }
            }
        }
    }

    fn close(&mut self, closed: Open, end: usize) -> Result<Id, Broken> {
        let content = match closed.map {
            None => Content::List(closed.ids.into()),
            Some(map) => {
                if map.has_merge {
                    self.refuse_disagreement(&map)?;
                }
                Content::Map(map.entries.into_iter().map(|entry| (entry.key, entry.id)).collect())
            }
        };
        let (mut size, mut depth) = (1, 0);
        let mut add = |id: Id| {
            size += self.nodes[id].size;
            depth = depth.max(self.nodes[id].depth);
        };
        match &content {
            Content::Scalar(_) => {}
            Content::List(ids) => ids.iter().for_each(|&id| add(id)),
            Content::Map(entries) => entries.iter().for_each(|&(_, id)| add(id)),
        }
        if depth == DEEPEST {
            return Err(Broken { at: closed.start.start, message: format!("nested deeper than {DEEPEST}") });
        }
        let value = closed.start.start..end.max(closed.start.end);
        Ok(self.add(Node { key: closed.key, value, alias: None, content, size, depth: depth + 1 }))
    }

    /// kubectl takes the last of what is merged and written; others take what is written.
    fn refuse_disagreement(&self, map: &Map) -> Result<(), Broken> {
        for entry in &map.entries {
            if entry.id != entry.by_rule && self.json_of(entry.id) != self.json_of(entry.by_rule) {
                return Err(Broken {
                    at: entry.at.start,
                    message: format!(
                        "ambiguous: kubectl and other readers take different values of {:?} from the merge keys `<<`; \
                         expected `<<` once, before all other keys",
                        entry.key
                    ),
                });
            }
        }
        Ok(())
    }

    fn key_text(&self, id: Id) -> Result<String, String> {
        match &self.nodes[id].content {
            Content::Scalar(json) if json == "null" => Err("unsupported map key: null".to_owned()),
            Content::Scalar(json) => Ok(serde_json::from_str(json).unwrap_or_else(|_| json.clone())),
            _ => Err(COMPLEX_KEY.to_owned()),
        }
    }

    fn json_of(&self, id: Id) -> String {
        let mut json = String::new();
        self.write_node(id, &mut json);
        json
    }

    /// What kubectl reads, as compact JSON.
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.write(&mut json);
        json
    }

    pub(super) fn write(&self, json: &mut String) {
        match self.root {
            Some(root) => self.write_node(root, json),
            None => json.push_str("null"),
        }
    }

    // As deep as a document may be, which `close` checks.
    fn write_node(&self, id: Id, json: &mut String) {
        match &self.nodes[id].content {
            Content::Scalar(scalar) => json.push_str(scalar),
            Content::List(ids) => {
                json.push('[');
                for (index, &id) in ids.iter().enumerate() {
                    json.push_str(if index == 0 { "" } else { "," });
                    self.write_node(id, json);
                }
                json.push(']');
            }
            Content::Map(entries) => {
                json.push('{');
                for (index, (key, id)) in entries.iter().enumerate() {
                    json.push_str(if index == 0 { "" } else { "," });
                    quote(key, json);
                    json.push(':');
                    self.write_node(*id, json);
                }
                json.push('}');
            }
        }
    }

    /// Finds the paths of the objects that the duplicates are in.
    fn name_duplicates(&mut self, root: Id) {
        if self.duplicates.is_empty() {
            return;
        }
        let mut duplicates = std::mem::take(&mut self.duplicates);
        let mut paths = vec![(root, String::new())];
        while let Some((id, path)) = paths.pop() {
            let node = &self.nodes[id];
            let is_in = |duplicate: &Duplicate| {
                node.value.start <= duplicate.last.start && duplicate.last.end <= node.value.end.max(duplicate.last.end)
            };
            match &node.content {
                Content::Scalar(_) => {}
                Content::List(ids) => {
                    paths.extend(ids.iter().enumerate().map(|(index, &id)| (id, format!("{path}[{index}]"))));
                }
                Content::Map(entries) => {
                    for duplicate in duplicates.iter_mut().filter(|duplicate| is_in(duplicate)) {
                        let value = entries.iter().find(|(key, _)| *key == duplicate.key);
                        let key = value.and_then(|(_, id)| self.nodes[*id].key.clone());
                        if key.as_ref() == Some(&duplicate.last) {
                            duplicate.path.clone_from(&path);
                        }
                    }
                    for (key, id) in entries.iter() {
                        paths.push((*id, join(&path, key)));
                    }
                }
            }
        }
        self.duplicates = duplicates;
    }

    /// Follows a path as policies write it: `spec.containers[0].name`, `metadata.annotations["a/b"]`. The empty path
    /// is the whole document.
    pub fn at(&self, path: &str) -> Option<Found> {
        let mut id = self.root?;
        let mut found =
            Found { span: self.nodes[id].value.clone(), key: None, is_there: true, alias: None, element: None };
        for step in Steps(path) {
            let next = match (&self.nodes[id].content, &step) {
                (Content::Map(entries), Step::Key(key)) => {
                    entries.iter().find(|(name, _)| name == key).map(|(_, id)| *id)
                }
                (Content::List(ids), Step::Index(index)) => ids.get(*index).copied(),
                _ => None,
            };
            let Some(next) = next else {
                found.is_there = false;
                if let Some(key) = &found.key {
                    found.span = key.clone();
                }
                return Some(found);
            };
            let node = &self.nodes[next];
            if found.alias.is_none() {
                found.alias.clone_from(&node.alias);
            }
            found.span = node.value.clone();
            if node.key.is_some() {
                found.key.clone_from(&node.key);
            }
            if let Step::Index(_) = step {
                let name = self.child(next, "name").map(|id| self.nodes[id].value.clone());
                found.element = Some(Element { span: node.value.clone(), name });
            }
            id = next;
        }
        Some(found)
    }

    /// Where its first key is, in bytes of the file.
    pub fn first_key(&self) -> Option<usize> {
        let Content::Map(entries) = &self.nodes[self.root?].content else { return None };
        entries.iter().filter_map(|(_, id)| self.nodes[*id].key.as_ref()).map(|key| key.start).min()
    }

    fn child(&self, id: Id, key: &str) -> Option<Id> {
        match &self.nodes[id].content {
            Content::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, id)| *id),
            _ => None,
        }
    }

    /// The document as a part of itself; none if it is empty.
    pub fn part(&self) -> Option<Part<'_>> {
        Some(Part { tree: self, id: self.root? })
    }

    /// The scalars: where each stands, and its JSON. Those that came by an alias stand where their anchor is.
    pub fn scalars(&self) -> impl Iterator<Item = (&Bytes, &str)> {
        self.nodes.iter().filter_map(|node| match &node.content {
            Content::Scalar(json) if node.alias.is_none() => Some((&node.value, json.as_str())),
            _ => None,
        })
    }
}

/// A part of a document, as it stands in the text.
#[derive(Clone, Copy)]
pub struct Part<'t> {
    tree: &'t Tree,
    id: Id,
}

/// What is in a part.
pub enum Inside<'t> {
    /// A scalar, as JSON.
    Scalar(&'t str),
    /// The elements of a list.
    List(Vec<Part<'t>>),
    /// The members of an object, without keys that stand there twice.
    Map(Vec<(&'t str, Part<'t>)>),
}

impl<'t> Part<'t> {
    /// Its key, of a member of an object.
    pub fn key(&self) -> Option<&'t Bytes> {
        self.node().key.as_ref()
    }

    /// Where it stands; where its anchor is, if it came by an alias.
    pub fn span(&self) -> &'t Bytes {
        &self.node().value
    }

    /// The alias or the merge key that it came by.
    pub fn alias(&self) -> Option<&'t Bytes> {
        self.node().alias.as_ref()
    }

    /// What is in it.
    pub fn inside(&self) -> Inside<'t> {
        let part = |id: Id| Part { tree: self.tree, id };
        match &self.node().content {
            Content::Scalar(json) => Inside::Scalar(json),
            Content::List(ids) => Inside::List(ids.iter().map(|&id| part(id)).collect()),
            Content::Map(entries) => Inside::Map(entries.iter().map(|(key, id)| (key.as_str(), part(*id))).collect()),
        }
    }

    fn node(&self) -> &'t Node {
        &self.tree.nodes[self.id]
    }
}

/// A path and a key behind it.
fn join(path: &str, key: &str) -> String {
    let is_plain =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    match (path, is_plain) {
        ("", true) => key.to_owned(),
        (_, true) => format!("{path}.{key}"),
        _ => format!("{path}[{key:?}]"),
    }
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step<'p> {
    /// Into an object.
    Key(Cow<'p, str>),
    /// Into a list.
    Index(usize),
}

/// The steps of a path. What is not a path ends it.
pub struct Steps<'p>(pub &'p str);

impl<'p> Iterator for Steps<'p> {
    type Item = Step<'p>;

    fn next(&mut self) -> Option<Step<'p>> {
        let path = self.0.strip_prefix('.').unwrap_or(self.0);
        if let Some(behind) = path.strip_prefix('[') {
            if behind.starts_with('"') {
                let mut values = serde_json::Deserializer::from_str(behind).into_iter::<String>();
                let key = values.next()?.ok()?;
                let end = values.byte_offset();
                self.0 = behind[end..].strip_prefix(']')?;
                return Some(Step::Key(key.into()));
            }
            let (index, rest) = behind.split_once(']')?;
            self.0 = rest;
            return Some(Step::Index(index.parse().ok()?));
        }
        if path.is_empty() {
            return None;
        }
        let end = path.find(['.', '[']).unwrap_or(path.len());
        self.0 = &path[end..];
        Some(Step::Key(path[..end].into()))
    }
}
