//! Where the corpora are, and how their lines are read.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::PathBuf,
};

use flate2::read::GzDecoder;
use host_test::{AdmissionRequest, input};
use serde_json::Value;

use crate::root;

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

    pub fn path(self) -> PathBuf {
        let name = match self {
            Corpus::Standards => "pod-security-standards",
            Corpus::Gatekeeper => "gatekeeper-suites",
            Corpus::Kyverno => "kyverno-pod-security",
        };
        root().join("../shared/corpus").join(name).with_extension("jsonl.gz")
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
        let path = self.path();
        if !path.exists() {
            return None;
        }
        let at = |error: &dyn std::error::Error| -> ! { panic!("{}: {error}", path.display()) };
        let file = File::open(&path).unwrap_or_else(|error| at(&error));
        let lines = BufReader::new(GzDecoder::new(file)).lines();
        let text = lines.map(|line| line.unwrap_or_else(|error| at(&error))).filter(|line| !line.trim().is_empty());
        Some(text.map(|line| serde_json::from_str(&line).unwrap_or_else(|error| at(&error))).collect())
    }
}

pub fn text<'v>(line: &'v Value, key: &str) -> &'v str {
    line[key].as_str().unwrap_or_else(|| panic!("no {key} in {line}"))
}

/// The request that would create an object.
pub fn create(object: &Value) -> AdmissionRequest {
    let requests = input::requests(object.to_string().as_bytes()).expect("a manifest");
    let [request] = <[AdmissionRequest; 1]>::try_from(requests).expect("one object");
    request
}
