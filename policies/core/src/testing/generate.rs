//! What is generated from the statements, the docs and the fixtures of policies, and checked in.

use std::{fs, path::Path};

use super::{
    fixture::{Case, Expectation, Subject},
    replay::Suite,
};
use crate::{Entry, Kind, Policy, Scope, common};
use serde::Serialize;

/// Compares a generated file with what is checked in; with `BLESS=1` in the environment, writes it.
///
/// # Errors
/// They differ; where, and how to refresh the file.
pub fn is_current(path: &Path, generated: &str) -> Result<(), String> {
    let current = fs::read_to_string(path).unwrap_or_default();
    if current == generated {
        return Ok(());
    }
    if is_blessing() {
        let directory = path.parent().unwrap_or(path);
        let written = fs::create_dir_all(directory).and_then(|()| fs::write(path, generated));
        return written.map_err(|error| format!("{}: {error}", path.display()));
    }
    let mut pairs = generated.lines().zip(current.lines().map(Some).chain(std::iter::repeat(None)));
    let line = pairs.position(|(generated, current)| current != Some(generated)).map_or(1, |at| at + 1);
    Err(format!("{}:{line}: not what is generated any more; `make bless` (BLESS=1) refreshes it", path.display()))
}

/// Whether generated files are to be written.
pub fn is_blessing() -> bool {
    std::env::var_os("BLESS").is_some_and(|value| value == "1")
}

/// A text with another part between its lines `<!-- name:start -->` and `<!-- name:end -->`.
///
/// # Errors
/// A line is not there.
pub fn between(text: &str, name: &str, part: &str) -> Result<String, String> {
    let (start, end) = (format!("<!-- {name}:start -->\n"), format!("<!-- {name}:end -->\n"));
    let split = text.split_once(&start).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = split.ok_or_else(|| format!("expected the lines {start}and {end}"))?;
    Ok(format!("{before}{start}{part}{end}{after}"))
}

/// The `//!` docs of a policy.
///
/// # Errors
/// The source cannot be read, or starts without docs.
pub fn docs(dir: &Path) -> Result<String, String> {
    let path = dir.join("src/lib.rs");
    let source = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    if lines.is_empty() {
        return Err(format!("{}:1: a policy starts with docs (//!) that name the danger", path.display()));
    }
    Ok(lines.join("\n"))
}

/// What a policy is about: the first sentence of its docs, without the full stop.
///
/// # Errors
/// See [`docs`].
pub fn description(dir: &Path) -> Result<String, String> {
    let docs = docs(dir)?;
    let paragraph = docs.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let sentence = paragraph.split_once(". ").map_or(paragraph.as_str(), |(first, _)| first);
    Ok(sentence.trim_end_matches('.').to_owned())
}

/// The row of a policy in the table of all policies.
///
/// # Errors
/// See [`docs`].
pub fn row(dir: &Path) -> Result<String, String> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("| [`{name}`](policies/{name}/README.md) | {} |\n", cell(&description(dir)?)))
}

/// The README of a policy.
pub(super) fn readme(policy: &Policy, suite: &Suite, dir: &Path) -> Result<String, String> {
    let mut text = format!(
        "<!-- Generated from src/lib.rs and fixtures.yaml; `make bless` refreshes it. -->\n\n# {}\n\n{}\n",
        policy.name,
        docs(dir)?
    );
    text.push_str("\n## Fields\n\n| Field | Allowed |\n|---|---|\n");
    for field in policy.fields.iter().filter(|field| !field.doc.is_empty()) {
        text.push_str(&format!("| {} | {} |\n", places(field), cell(field.doc.trim())));
    }
    text.push_str("\nIn workloads the same fields are below the pod template.\n\n## Settings\n\n");
    if policy.settings.entries.is_empty() {
        text.push_str("None of its own.\n");
    } else {
        push_settings(policy.settings.entries, &mut text);
    }
    text.push_str("\nEvery policy has these, too:\n\n");
    push_settings(common::SETTINGS, &mut text);
    let (accepted, _) = example(suite, |expectation| matches!(expectation, Expectation::Accept).then_some(()))?;
    let (rejected, message) = example(suite, |expectation| match expectation {
        Expectation::Reject(message) => Some(message),
        _ => None,
    })?;
    text.push_str(&format!(
        "\n## Examples\n\nWithout any settings, this is accepted:\n\n```yaml\n{accepted}```\n\n\
         This is rejected:\n\n```yaml\n{rejected}```\n\n```text\n{message}\n```\n"
    ));
    Ok(text)
}

fn places(field: &Entry) -> String {
    const CONTAINERS: &str = "spec.{initContainers,containers,ephemeralContainers}[*]";
    let path = field.path;
    match field.scope {
        Scope::Pod => format!("`spec.{path}`"),
        Scope::Container => format!("`{CONTAINERS}.{path}`"),
        Scope::Both => format!("`spec.{path}`, `{CONTAINERS}.{path}`"),
        Scope::Metadata => format!("`metadata.{path}`"),
        Scope::PersistentVolume => format!("`spec.{path}` of a PersistentVolume"),
        Scope::Root => format!("`{path}`"),
    }
}

fn push_settings(settings: &[Entry], text: &mut String) {
    text.push_str("| Setting | Type | Default | Aliases | Meaning |\n|---|---|---|---|---|\n");
    for setting in settings {
        let code = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let kind = match setting.kind {
            Kind::Bool => "boolean",
            Kind::Integer => "integer",
            Kind::Text => "string",
            Kind::Texts => "list of strings",
            Kind::Objects => "list of objects",
            Kind::Object => "object",
            Kind::Any | Kind::Subject => "any",
        };
        let kind =
            if setting.options.is_empty() { kind.to_owned() } else { format!("{kind}: {}", code(setting.options)) };
        let default = if setting.default.is_empty() { String::new() } else { code(&[setting.default]) };
        let meaning = setting.doc.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let row = [code(&[setting.path]), kind, default, code(setting.aliases), cell(meaning.trim())];
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
}

/// The first pod without settings with this expectation, as a manifest.
fn example<'s, T>(suite: &'s Suite, wanted: impl Fn(&'s Expectation) -> Option<T>) -> Result<(String, T), String> {
    let is_plain = |case: &&Case| {
        matches!(case.subject, Subject::Pod { old: None, .. })
            && case.request.is_empty()
            && case.settings.as_object().is_some_and(|settings| settings.is_empty())
    };
    let mut cases = suite.cases.iter().filter(is_plain);
    let (case, found) = cases.find_map(|case| Some((case, wanted(&case.expectation)?))).ok_or(
        "the README needs a pod without settings that is accepted, and one that is rejected: add them to fixtures.yaml",
    )?;
    let Some(manifest) = case.replays().into_iter().next().map(|replay| replay.object) else {
        return Err(format!("{}: no pod", case.name));
    };
    Ok((yaml(&manifest)?, found))
}

pub(super) fn yaml(value: &impl Serialize) -> Result<String, String> {
    serde_saphyr::to_string(value).map_err(|error| error.to_string())
}

/// A generated file of YAML.
pub(super) fn yaml_file(value: &impl Serialize) -> Result<String, String> {
    Ok(generated(&yaml(value)?))
}

/// YAML as a generated file.
pub(super) fn generated(yaml: &str) -> String {
    format!("# Generated from src/lib.rs and Cargo.toml; `make bless` refreshes it.\n{yaml}")
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
