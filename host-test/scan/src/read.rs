//! Reads files with a limit on their size, and the YAML or JSON documents in them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use crate::finding::Position;
use crate::lines::Lines;
use crate::yaml::{self, Broken, Duplicate};

/// The most that is read of a module, in bytes: ten times the largest policy known.
pub const LARGEST_MODULE: u64 = 64 << 20;

/// The most that is read of a manifest, request or settings file, in bytes.
pub const LARGEST_DOCUMENT: u64 = 16 << 20;

/// Why an input cannot be used. Names no file: the caller knows which.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Not there, or not readable.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// A directory where a file is due.
    #[error("is a directory")]
    Directory,
    /// No bytes, or nothing but blanks and comments.
    #[error("is empty")]
    Empty,
    /// More than the limit, in bytes.
    #[error("is larger than {} MiB, the limit", .0 >> 20)]
    TooLarge(u64),
    /// Not UTF-8, counted in bytes from 1.
    #[error("is not UTF-8: line {line}, column {column}")]
    NotUtf8 {
        /// The line of the first bad byte.
        line: usize,
        /// Its column, in bytes.
        column: usize,
    },
    /// A document that kubectl cannot read, or that readers of YAML read differently.
    #[error("line {line}, column {column}: {problem}")]
    Broken {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What was found, and what was expected.
        problem: String,
    },
    /// A document that is neither a manifest, a request nor a review. Counted from 1.
    #[error("document {document}: {problem}")]
    Document {
        /// Which document.
        document: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads a whole file, or standard input for `-`, up to `limit` bytes.
///
/// # Errors
/// When it cannot be read, is empty, or is larger than the limit.
pub fn file(path: &Path, limit: u64) -> Result<Vec<u8>, InputError> {
    let bytes = if path.as_os_str() == "-" {
        up_to(io::stdin().lock(), limit)?
    } else {
        if path.is_dir() {
            return Err(InputError::Directory);
        }
        up_to(File::open(path)?, limit)?
    };
    if bytes.is_empty() {
        return Err(InputError::Empty);
    }
    Ok(bytes)
}

/// Reads all of a source, up to `limit` bytes.
///
/// # Errors
/// When it cannot be read, or is larger than the limit.
pub fn up_to(source: impl Read, limit: u64) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(InputError::TooLarge(limit));
    }
    Ok(bytes)
}

/// What an error adds where a text has marks of a template.
const TEMPLATE: &str = "; it looks like a Helm template: render it with `helm template` first";

/// All documents of a YAML or JSON text, as kubectl reads them; empty ones are left out.
///
/// # Errors
/// One cannot be read, or an object in it has a key twice.
pub fn parse(bytes: &[u8]) -> Result<Vec<Value>, InputError> {
    let text = yaml::decode(bytes);
    let broken = |broken: Broken| {
        let Position { line, col: column, .. } = Lines::new(&text).position(broken.at);
        let hint = if text.contains("{{") { TEMPLATE } else { "" };
        InputError::Broken { line, column, problem: broken.message + hint }
    };
    let mut documents = Vec::new();
    for document in yaml::documents(&text) {
        let document = document.map_err(broken)?;
        if let Some(Duplicate { key, last, .. }) = document.duplicates().first() {
            let message = format!("found the key {key:?} twice in an object, expected it once");
            return Err(broken(Broken { at: last.start, message }));
        }
        if !document.is_empty() {
            let value = serde_json::from_str(&document.json);
            let at = document.bytes().start;
            documents.push(value.map_err(|error| broken(Broken { at, message: error.to_string() }))?);
        }
    }
    Ok(documents)
}

/// The text of a file.
///
/// # Errors
/// When it is not UTF-8, with line and column.
pub fn utf8(bytes: &[u8]) -> Result<&str, InputError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        InputError::NotUtf8 { line, column: before.len() - start + 1 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_text_is_located() {
        for (text, expected) in [
            ("a: 1\nb: [1, 2\n", "line 2, column 4: unclosed bracket '['"),
            ("a: 1\na: 2\n", "line 2, column 1: found the key \"a\" twice in an object, expected it once"),
            ("{\"a\": 1,\n \"b\" 2}", "line 2, column 6: JSON: found '2', expected `:`"),
            (
                "a: {{ .Values.a }}\n",
                "line 1, column 5: invalid map key: found a list or an object, expected text; it looks like a Helm \
                 template: render it with `helm template` first",
            ),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), expected);
        }
        assert_eq!(parse(b"a: \xff").unwrap(), [serde_json::json!({"a": "\u{fffd}"})]);
        let error = utf8(b"a: 1\nb: \xff").unwrap_err().to_string();
        assert_eq!(error, "is not UTF-8: line 2, column 4");
    }
}
