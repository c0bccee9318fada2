//! Reads manifests as kubectl does: which documents a text has, the JSON that kubectl would send for each, and where
//! each part of it stands in the text.
//!
//! Writes the JSON of a document straight from the events of its parser. A document with anchors, merge keys or
//! duplicate keys, and one whose places are asked for, is read into a [`Tree`].
//!
//! kubectl decodes with `go.yaml.in/yaml/v2`, which is YAML 1.1, and stops at the first document that it cannot read.
//! What readers of YAML read differently is an error here.

mod event;
mod scalar;
mod split;
mod text;
mod tree;
mod write;

use std::sync::Arc;

pub use event::Bytes;
pub use text::decode;
pub use tree::{Duplicate, Element, Found, Tree};

use event::{Json, Yaml};
use split::{Chunk, Chunks, Syntax};
use write::Written;

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

    /// Reads it again, for where each part of it stands.
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
    Documents { chunks: Chunks::new(text), capacity: 0 }
}

/// The documents of a text, in their order.
pub struct Documents<'t> {
    chunks: Chunks<'t>,
    /// Of the JSON before: documents of a file are often of a size.
    capacity: usize,
}

impl<'t> Iterator for Documents<'t> {
    type Item = Result<Document<'t>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let (chunk, not_json) = match self.chunks.next()? {
            Ok(next) => next,
            Err(broken) => return Some(Err(broken)),
        };
        let document = read(chunk, self.capacity);
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

fn read(chunk: Chunk<'_>, capacity: usize) -> Result<Document<'_>, Broken> {
    if chunk.syntax == Syntax::Yaml {
        text::check(chunk.text, chunk.offset)?;
    }
    let mut json = String::with_capacity(capacity.min(chunk.text.len()));
    let written = match chunk.syntax {
        Syntax::Yaml => write::write(&mut Yaml::new(chunk.text, chunk.offset, false), &mut json)?,
        Syntax::Json => write::write(&mut Json::new(chunk.text, chunk.offset), &mut json)?,
    };
    match written {
        Written::All => Ok(Document { json, chunk, tree: None }),
        Written::NeedsTree => {
            let tree = read_tree(chunk)?;
            json.clear();
            tree.write(&mut json);
            Ok(Document { json, chunk, tree: Some(Arc::new(tree)) })
        }
    }
}

fn read_tree(chunk: Chunk<'_>) -> Result<Tree, Broken> {
    match chunk.syntax {
        Syntax::Yaml => tree::read(&mut Yaml::new(chunk.text, chunk.offset, true), chunk.text.len()),
        Syntax::Json => tree::read(&mut Json::new(chunk.text, chunk.offset), chunk.text.len()),
    }
}
