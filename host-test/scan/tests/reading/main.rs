//! Holds the reader against what kubectl's decoder was recorded to read, and, where there is a kubectl, against it.
//!
//! `go run . ../recorded.jsonl ../mutants.jsonl` in `tests/reading/record` records the tables again.

mod mutate;
mod properties;

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use podfence_scan::object::{self, Content};
use podfence_scan::yaml;
use serde::Deserialize;
use serde_json::Value;

const RECORDED: &str = include_str!("recorded.jsonl");
const MUTANTS: &str = include_str!("mutants.jsonl");

#[derive(Deserialize)]
struct Entry {
    name: String,
    text: Option<String>,
    base64: Option<String>,
    kubectl: Vec<Value>,
    error: Option<String>,
}

impl Entry {
    fn bytes(&self) -> Vec<u8> {
        match (&self.text, &self.base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, base64) => BASE64.decode(base64.as_deref().unwrap_or_default()).expect("base64"),
        }
    }
}

fn entries(table: &'static str) -> impl Iterator<Item = Entry> {
    table.lines().map(|line| serde_json::from_str(line).expect("an entry"))
}

/// What is read: the objects, and what could not be.
fn read(bytes: &[u8]) -> (Vec<Value>, Vec<String>) {
    let (mut objects, mut problems) = (Vec::new(), Vec::new());
    let value = |json: &str| serde_json::from_str::<Value>(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    for document in yaml::documents(&yaml::decode(bytes)) {
        match document {
            Err(broken) => problems.push(broken.message),
            Ok(document) if document.is_empty() => {}
            Ok(document) => match object::content(document.json) {
                Content::One(object) => objects.push(value(&object.json)),
                Content::None(unsuitable) => problems.push(unsuitable.problem),
                Content::List { items, .. } => {
                    for item in items {
                        match item {
                            Ok(object) => objects.push(value(&object.json)),
                            Err(unsuitable) => problems.push(unsuitable.problem),
                        }
                    }
                }
            },
        }
    }
    (objects, problems)
}

/// kubectl reads these, and part of a file or another value is lost to it or to other readers.
const REFUSED: [&str; 4] = ["ambiguous: ", "the document has ended, and", "JSON: ", "found a list in a list"];

/// Why what was read is not what kubectl reads, if it is not.
fn difference(entry: &Entry) -> Option<String> {
    let (objects, mut problems) = read(&entry.bytes());
    // What has no type is refused by the API server, or by kubectl later on.
    let mut kubectl = entry.kubectl.clone();
    let is_typed = |object: &Value, key: &str| object[key].as_str().is_some_and(|text| !text.is_empty());
    kubectl.retain(|object| is_typed(object, "apiVersion") && is_typed(object, "kind"));
    if kubectl.len() < entry.kubectl.len() {
        problems.retain(|problem| !problem.ends_with("expected a Kubernetes object"));
    }
    let is_refused = problems.iter().any(|problem| REFUSED.iter().any(|of| problem.starts_with(of)));
    let is_same = if entry.error.is_some() {
        // kubectl stops there; what it refuses for a reason that does not matter may be read.
        objects.starts_with(&kubectl)
    } else {
        is_refused || problems.is_empty() && objects == kubectl
    };
    let Entry { name, error, .. } = entry;
    let objects = serde_json::to_string(&objects).expect("JSON");
    let kubectl = serde_json::to_string(&kubectl).expect("JSON");
    (!is_same).then(|| format!("{name}:\n  read {objects} {problems:?}\n  kubectl {kubectl} {error:?}"))
}

#[test]
fn documents_are_read_as_kubectl_reads_them() {
    let differences: Vec<String> = entries(RECORDED).chain(entries(MUTANTS)).filter_map(|of| difference(&of)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn what_kubectl_refuses_is_refused() {
    let accepted = entries(RECORDED).filter(|entry| entry.error.is_some() && read(&entry.bytes()).1.is_empty());
    let names: Vec<String> = accepted.map(|entry| entry.name).collect();
    assert_eq!(names, Vec::<String>::new());
}

#[test]
fn what_readers_read_differently_is_refused() {
    let refused = |entry: &Entry| {
        let problems = read(&entry.bytes()).1;
        problems.iter().any(|problem| problem.starts_with("ambiguous: "))
    };
    let names: Vec<String> = entries(RECORDED).filter(refused).map(|entry| entry.name).collect();
    let expected = [
        "nel.yaml",
        "u2028-quoted.yaml",
        "u2029.yaml",
        "merge-overrides-written",
        "merge-two",
        "key-on-two-lines",
        "quoted-key-on-two-lines",
        "question-mark-in-flow",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_text_of_a_scalar_reads_as_that_scalar() {
    let read = entries(RECORDED).chain(entries(MUTANTS)).map(|entry| properties::hold(&entry.bytes()));
    assert!(read.sum::<usize>() > 300);
}

#[test]
fn what_fuzzing_found_stays_mended() {
    // An empty block scalar behind a comment that looks like the header of one.
    for text in ["#?\n\n      #.\n#  |   #?\n\n      >", "a:\n  # |\n  >\n", "- # |\n  >\n"] {
        assert_eq!(properties::hold(text.as_bytes()), 1, "{text:?}");
    }
}

/// `PODFENCE_FUZZ=1000000 cargo test --release -p podfence-scan --test reading` reads a million.
#[test]
fn no_text_breaks_the_reader() {
    let count = std::env::var("PODFENCE_FUZZ").map_or(3_000, |count| count.parse().expect("PODFENCE_FUZZ is a number"));
    let seeds: Vec<Vec<u8>> = entries(RECORDED).chain(entries(MUTANTS)).map(|entry| entry.bytes()).collect();
    let mut mutate = mutate::Mutate::new(1);
    for _ in 0..count {
        properties::hold(&mutate.of(&seeds));
    }
}

#[test]
fn bombs_are_refused() {
    let levels: String = (0..30)
        .map(|level| format!("l{}: &l{} [{}]\n", level + 1, level + 1, vec![format!("*l{level}"); 9].join(", ")))
        .collect();
    let chain: String = (1..3_000).map(|level| format!("- &l{level} [*l{}]\n", level - 1)).collect();
    let wide: String = (0..20_000).map(|key| format!(" k{key}: 1\n")).collect();
    let merges: String = (0..20_000).map(|at| format!("m{at}: {{<<: *w}}\n")).collect();
    for (text, expected) in [
        (
            format!("l0: &l0 x\n{levels}"),
            "aliases and merge keys make a million nodes of the document, more than is read",
        ),
        (format!("- &l0 [x]\n{chain}"), "nested deeper than 1000"),
        (
            format!("w: &w\n{wide}{merges}"),
            "aliases and merge keys make a million nodes of the document, more than is read",
        ),
        ("[".repeat(100_000), "recursion limit exceeded"),
        (format!("{{\"a\":{}", "[".repeat(100_000)), "nested deeper than 1000"),
    ] {
        let broken = yaml::documents(&text).find_map(Result::err).expect("it is refused");
        assert_eq!(broken.message, expected);
    }
}

/// kubectl's objects of a text: it adds an annotation to each, without a cluster.
fn kubectl(bytes: &[u8]) -> Option<Vec<Value>> {
    let mut child = Command::new("kubectl")
        .args(["annotate", "--local", "-f", "-", "podfence=yes", "-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(bytes).ok()?;
    let out = child.wait_with_output().ok()?;
    let printed = serde_json::Deserializer::from_slice(&out.stdout).into_iter::<Value>();
    let objects = printed.map(|object| {
        let mut object = object.ok()?;
        Some(match object.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => vec![object],
        })
    });
    Some(objects.collect::<Option<Vec<_>>>()?.concat())
}

/// Other versions read JSON in other ways.
const VERSION: &str = "v1.37.";

#[test]
fn a_kubectl_on_the_path_reads_the_same() {
    let version = Command::new("kubectl").args(["version", "--client"]).output();
    let version = version.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    if !version.contains(VERSION) {
        eprintln!("skipped: there is no kubectl {VERSION}x on the PATH");
        return;
    }
    for entry in entries(RECORDED).filter(|entry| entry.error.is_none() && !entry.kubectl.is_empty()) {
        let annotated = entry.kubectl.iter().cloned().map(|mut object| {
            object["metadata"]["annotations"]["podfence"] = "yes".into();
            object
        });
        let read = kubectl(&entry.bytes()).unwrap_or_else(|| panic!("{}: kubectl prints no JSON", entry.name));
        assert_eq!(read, annotated.collect::<Vec<Value>>(), "{}", entry.name);
    }
}
