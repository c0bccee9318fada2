//! Where the corpora are, and how their lines are read.

use std::path::PathBuf;

use podfence_support::{corpus, corpus_path};
use serde_json::Value;

/// Tests of another engine, one case in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corpus {
    Standards,
    Gatekeeper,
    Kyverno,
}

impl Corpus {
    pub const ALL: [Corpus; 3] = [Corpus::Standards, Corpus::Gatekeeper, Corpus::Kyverno];

    /// What it is called in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Corpus::Standards => "Pod Security Standards",
            Corpus::Gatekeeper => "Gatekeeper library",
            Corpus::Kyverno => "Kyverno",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Corpus::Standards => "pod-security-standards",
            Corpus::Gatekeeper => "gatekeeper-suites",
            Corpus::Kyverno => "kyverno-pod-security",
        }
    }

    pub fn path(self) -> PathBuf {
        corpus_path(self.file())
    }

    /// The manifest in a line.
    pub fn object(self, line: &Value) -> &Value {
        match self {
            Corpus::Standards => &line["pod"],
            Corpus::Gatekeeper | Corpus::Kyverno => &line["object"],
        }
    }

    /// The lines; none if it is not there.
    pub fn lines(self) -> Option<Vec<Value>> {
        let parse =
            |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", self.name()));
        Some(corpus(self.file())?.iter().map(parse).collect())
    }
}

pub fn text<'v>(line: &'v Value, key: &str) -> &'v str {
    line[key].as_str().unwrap_or_else(|| panic!("no {key} in {line}"))
}
