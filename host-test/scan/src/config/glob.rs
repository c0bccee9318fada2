//! Globs of files.

use std::fmt;

#[cfg(feature = "files")]
use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;

/// A glob of files.
#[cfg(feature = "files")]
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Glob(GlobMatcher);

/// A glob of files, of which there are none.
#[cfg(not(feature = "files"))]
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub enum Glob {}

#[cfg(feature = "files")]
impl Glob {
    /// Whether it matches a file, named relative to the directory of the configuration.
    pub fn is_match(&self, file: &str) -> bool {
        self.0.is_match(file)
    }
}

#[cfg(feature = "files")]
impl fmt::Display for Glob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.glob().glob())
    }
}

#[cfg(feature = "files")]
impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let glob = text.strip_prefix("./").unwrap_or(&text);
        if glob.is_empty() {
            return Err(format!("expected a glob of files, found `{text}`"));
        }
        if glob.starts_with('/') {
            return Err(format!("expected a glob relative to the directory of this file, found `{text}`"));
        }
        if glob.ends_with('/') {
            return Err(format!("expected a glob of files such as `{text}**`, found `{text}`"));
        }
        // A backslash means the same on every system.
        let glob = GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).build();
        glob.map(|glob| Self(glob.compile_matcher()))
            .map_err(|error| format!("expected a glob, found `{text}`: {}", error.kind()))
    }
}

#[cfg(not(feature = "files"))]
impl Glob {
    /// Whether it matches a file.
    pub fn is_match(&self, _: &str) -> bool {
        match *self {}
    }
}

#[cfg(not(feature = "files"))]
impl fmt::Display for Glob {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

#[cfg(not(feature = "files"))]
impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(glob: String) -> Result<Self, String> {
        Err(format!("there are no other files here, found the glob `{glob}`: remove it, or run podfence scan"))
    }
}
