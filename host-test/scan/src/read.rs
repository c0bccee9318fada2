//! Reads files with a limit on their size, and the YAML or JSON documents in them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

/// The most that is read of a module, in bytes: ten times the largest policy known.
pub const LARGEST_MODULE: u64 = 64 << 20;

/// The most that is read of a manifest, request or settings file, in bytes.
pub const LARGEST_DOCUMENT: u64 = 16 << 20;

/// serde_json's limit; a custom resource definition comes near half of it.
const DEEPEST: usize = 128;

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
    /// Broken YAML; the text tells line and column.
    #[error("is not YAML: {0}")]
    Yaml(String),
    /// Broken JSON; the text tells line and column.
    #[error("is not JSON: {0}")]
    Json(serde_json::Error),
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
        read_up_to(io::stdin().lock(), limit)?
    } else {
        if path.is_dir() {
            return Err(InputError::Directory);
        }
        read_up_to(File::open(path)?, limit)?
    };
    if bytes.is_empty() {
        return Err(InputError::Empty);
    }
    Ok(bytes)
}

fn read_up_to(source: impl Read, limit: u64) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(InputError::TooLarge(limit));
    }
    Ok(bytes)
}

/// All documents of a YAML or JSON text; empty ones are left out.
///
/// # Errors
/// When it is not UTF-8, or neither YAML nor JSON, with line and column.
pub fn parse(bytes: &[u8]) -> Result<Vec<Value>, InputError> {
    let text = utf8(bytes)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.trim_start().starts_with(['{', '[']) {
        return parse_yaml(text);
    }
    // Flow style YAML starts the same way.
    parse_json(text).or_else(|error| parse_yaml(text).map_err(|_| InputError::Json(error)))
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

fn parse_json(text: &str) -> Result<Vec<Value>, serde_json::Error> {
    serde_json::Deserializer::from_str(text).into_iter().collect()
}

fn parse_yaml(text: &str) -> Result<Vec<Value>, InputError> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            max_nodes: 4_000_000,
            max_events: 8_000_000,
        },
    };
    serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| InputError::Yaml(error.render_with_formatter(&serde_saphyr::UserMessageFormatter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_text_is_located() {
        for (text, expected) in [
            ("a: 1\nb: [1, 2\n", "is not YAML: "),
            ("a: 1\na: 2\n", "is not YAML: "),
            ("{\"a\": 1,\n \"b\" 2}", "is not JSON: expected `:` at line 2 column 6"),
        ] {
            let problem = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(problem.starts_with(expected), "{problem}");
            assert!(problem.contains("line "), "{problem}");
        }
        let error = parse(b"a: 1\nb: \xff").unwrap_err().to_string();
        assert_eq!(error, "is not UTF-8: line 2, column 4");
    }
}
