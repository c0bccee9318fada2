//! Reads manifests as kubectl does: which documents a text has, the JSON that kubectl would send for each, and where
//! each part of it stands in the text.
//!
//! Writes the JSON of a document straight from the events of its parser, and takes down on the way where its parts
//! stand, if that is asked for. A document with anchors, merge keys or duplicate keys is read into a [`Tree`], as is one
//! whose comments are asked for.
//!
//! kubectl decodes with `go.yaml.in/yaml/v2`, which is YAML 1.1, and stops at the first document that it cannot read.
//! What readers of YAML read differently is an error here.

mod event;
mod places;
mod scalar;
mod split;
mod text;
mod tree;
mod write;

use std::hash::RandomState;
use std::sync::Arc;

pub use event::Bytes;
pub use places::Places;
pub use text::decode;
pub use tree::{Duplicate, Element, Found, Inside, Part, Step, Steps, Tree};

use event::{Events as _, Json, Yaml};
use split::{Chunk, Chunks, Syntax};
use write::{Mark, Nowhere, Written};

/// Why a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Where in the text of the file, in bytes.
    pub at: usize,
    /// What was found, and what was expected.
    pub message: String,
}

/// A document of a file.
#[derive(Debug, Clone)]
pub struct Document<'t> {
    /// What kubectl would send, as compact JSON; `null` for an empty document.
    pub json: String,
    chunk: Chunk<'t>,
    /// Where it had to be read into one.
    tree: Option<Arc<Tree>>,
    /// Where that was asked for and could be taken down.
    places: Option<Arc<Places>>,
}

/// Where the parts of a document stand.
#[derive(Debug, Clone)]
pub enum Parts {
    /// Taken down when it was read.
    Places(Arc<Places>),
    /// Read into a tree.
    Tree(Arc<Tree>),
}

impl Parts {
    /// Follows a path, as [`Tree::at`].
    pub fn at(&self, path: &str) -> Option<Found> {
        match self {
            Parts::Places(places) => places.at(path),
            Parts::Tree(tree) => tree.at(path),
        }
    }

    /// Where the first key of the document is, in bytes of the file.
    pub fn first_key(&self) -> Option<usize> {
        match self {
            Parts::Places(places) => places.first_key(),
            Parts::Tree(tree) => tree.first_key(),
        }
    }

    /// The comments, from `#` to the end of the line; none of those that were taken down.
    pub fn comments(&self) -> &[Bytes] {
        match self {
            Parts::Places(_) => &[],
            Parts::Tree(tree) => &tree.comments,
        }
    }
}

impl<'t> Document<'t> {
    /// The part of the file that it stands in.
    pub fn bytes(&self) -> Bytes {
        self.chunk.offset..self.chunk.offset + self.chunk.text.len()
    }

    /// Its text.
    pub fn text(&self) -> &'t str {
        self.chunk.text
    }

    /// Whether it is read as JSON.
    pub fn is_json(&self) -> bool {
        self.chunk.syntax == Syntax::Json
    }

    /// Whether it has nothing in it but blanks and comments.
    pub fn is_empty(&self) -> bool {
        self.json == "null"
    }

    /// Where each part of it stands: as it was taken down, else as [`Document::tree`] tells.
    ///
    /// # Errors
    /// None that reading it had not.
    pub fn parts(&self) -> Result<Parts, Broken> {
        match &self.places {
            Some(places) => Ok(Parts::Places(Arc::clone(places))),
            None => self.tree().map(Parts::Tree),
        }
    }

    /// Reads it again, for where each part of it stands, comments among them.
    ///
    /// # Errors
    /// None that reading it had not: the document was read before.
    pub fn tree(&self) -> Result<Arc<Tree>, Broken> {
        match &self.tree {
            Some(tree) => Ok(Arc::clone(tree)),
            None => read_tree(self.chunk).map(Arc::new),
        }
    }

    /// The keys that stand in an object twice, of which the last one counts.
    pub fn duplicates(&self) -> &[Duplicate] {
        self.tree.as_ref().map_or(&[], |tree| &tree.duplicates)
    }
}

/// The documents of a text that [`decode`] returned.
pub fn documents(text: &str) -> Documents<'_> {
    Documents { chunks: Chunks::new(text), capacity: 0, places_of: None }
}

/// The same, with the places of their parts.
pub fn documents_with_places(text: &str) -> Documents<'_> {
    Documents { places_of: Some(text.len()), ..documents(text) }
}

/// Counts the events of a text without making anything of them, up to where it cannot be read: what a reader costs at
/// the least, to measure it.
pub fn events(text: &str) -> usize {
    let mut count = 0;
    for (chunk, _) in Chunks::new(text).filter_map(Result::ok) {
        match chunk.syntax {
            Syntax::Yaml => {
                let mut parser = event::parser(chunk.text, false);
                count += std::iter::from_fn(|| parser.next_event()?.ok()).count();
            }
            Syntax::Json => {
                let mut events = Json::new(chunk.text, chunk.offset);
                count += std::iter::from_fn(|| events.next().ok()?).count();
            }
        }
    }
    count
}

/// The documents of a text, in their order.
pub struct Documents<'t> {
    chunks: Chunks<'t>,
    /// Of the JSON before: documents of a file are often of a size.
    capacity: usize,
    /// The size of the file, if places are asked for.
    places_of: Option<usize>,
}

impl<'t> Iterator for Documents<'t> {
    type Item = Result<Document<'t>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let (chunk, not_json) = match self.chunks.next()? {
            Ok(next) => next,
            Err(broken) => return Some(Err(broken)),
        };
        let document = self.read(chunk);
        if let Ok(document) = &document {
            self.capacity = document.json.len();
        }
        // What is wrong with a text that looks like JSON is told as JSON, unless it goes on as YAML.
        Some(document.map_err(|broken| match not_json {
            Some(json) if json.at >= broken.at && !broken.message.starts_with("ambiguous") => json,
            _ => broken,
        }))
    }
}

impl<'t> Documents<'t> {
    fn read(&self, chunk: Chunk<'t>) -> Result<Document<'t>, Broken> {
        if chunk.syntax == Syntax::Yaml {
            text::check(chunk.text, chunk.offset)?;
        }
        let mut json = String::with_capacity(self.capacity.min(chunk.text.len()));
        let hasher = RandomState::new();
        let mut places = self.places_of.and_then(|file| Places::new(file, chunk.text.len(), hasher.clone()));
        let written = match &mut places {
            Some(places) => write(chunk, &mut json, &hasher, places)?,
            None => write(chunk, &mut json, &hasher, &mut Nowhere)?,
        };
        match written {
            Written::All => Ok(Document { json, chunk, tree: None, places: places.map(Arc::new) }),
            Written::NeedsTree => {
                let tree = read_tree(chunk)?;
                json.clear();
                tree.write(&mut json);
                Ok(Document { json, chunk, tree: Some(Arc::new(tree)), places: None })
            }
        }
    }
}

fn write(chunk: Chunk<'_>, json: &mut String, hasher: &RandomState, marks: &mut impl Mark) -> Result<Written, Broken> {
    match chunk.syntax {
        Syntax::Yaml => write::write(&mut Yaml::new(chunk.text, chunk.offset, false), json, hasher, marks),
        Syntax::Json => write::write(&mut Json::new(chunk.text, chunk.offset), json, hasher, marks),
    }
}

fn read_tree(chunk: Chunk<'_>) -> Result<Tree, Broken> {
    match chunk.syntax {
        Syntax::Yaml => tree::read(&mut Yaml::new(chunk.text, chunk.offset, true), chunk.text.len()),
        Syntax::Json => tree::read(&mut Json::new(chunk.text, chunk.offset), chunk.text.len()),
    }
}
