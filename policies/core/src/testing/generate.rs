//! What is generated from the statements, the docs and the fixtures of policies, and checked in.

use std::{fs, path::Path};

use serde::Serialize;

use super::{
    fixes::fixes,
    fixture::{Case, Expectation, Subject},
    replay::Suite,
    reply,
};
use crate::{Entry, Kind, Policy, Scope, common};

/// What every policy says it stands for, in this order.
const ORIGINS: [&str; 5] = ["PodSecurityPolicy", "Pod Security Standards", "Gatekeeper", "Kubewarden", "Kyverno"];

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
    let (before, _, after) = split(text, name)?;
    Ok(format!("{before}{part}{after}"))
}

/// The part of a text between the lines of [`between`].
///
/// # Errors
/// A line is not there.
pub fn part<'t>(text: &'t str, name: &str) -> Result<&'t str, String> {
    split(text, name).map(|(_, part, _)| part)
}

fn split<'t>(text: &'t str, name: &str) -> Result<(&'t str, &'t str, &'t str), String> {
    let (start, end) = (format!("<!-- {name}:start -->\n"), format!("<!-- {name}:end -->\n"));
    let found = text.find(&start).and_then(|at| Some((at + start.len(), text.find(&end)?)));
    let (start, end) =
        found.filter(|(start, end)| start <= end).ok_or_else(|| format!("expected the lines {start}and {end}"))?;
    Ok((&text[..start], &text[start..end], &text[end..]))
}

/// What a policy is about: its `//!` docs up to the first heading.
///
/// # Errors
/// The source cannot be read, or starts without docs.
pub fn docs(dir: &Path) -> Result<String, String> {
    let docs = all_docs(dir)?;
    Ok(docs.split("\n# ").next().unwrap_or_default().trim_end().to_owned())
}

/// What a policy stands for, and what differs there: the list under `# Replaces` in its `//!` docs, one text
/// for each of `PodSecurityPolicy`, `Pod Security Standards`, `Gatekeeper`, `Kubewarden` and `Kyverno`.
///
/// A text is `none`, or names in backticks, a full stop and what differs.
///
/// # Errors
/// The list is not there, or not as it must be.
pub fn replaces(dir: &Path) -> Result<[String; 5], String> {
    let docs = all_docs(dir)?;
    let wrong = |problem: &str| format!("{}: {problem}", dir.join("src/lib.rs").display());
    let (_, list) = docs
        .split_once("\n# Replaces\n\n- ")
        .ok_or_else(|| wrong("the docs (//!) need a list under `# Replaces`: what the policy stands for"))?;
    let items: Vec<&str> = list.split("\n- ").collect();
    if items.len() != ORIGINS.len() {
        return Err(wrong(&format!("`# Replaces` has {} items; there are {}", items.len(), ORIGINS.join(", "))));
    }
    let mut texts = [const { String::new() }; ORIGINS.len()];
    for ((origin, item), text) in ORIGINS.iter().zip(items).zip(&mut texts) {
        let start = format!("**{origin}**: ");
        let rest =
            item.strip_prefix(&start).ok_or_else(|| wrong(&format!("expected `- {start}…`, found `- {item}`")))?;
        *text = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        let (names, differs) = text.split_once(". ").unwrap_or((text, ""));
        let is_named = names.starts_with('`') && !differs.is_empty();
        if !is_named && names.split(['.', ',', ':']).next() != Some("none") {
            return Err(wrong(&format!(
                "{origin}: expected `none`, or names in backticks, a full stop and what differs, found `{text}`"
            )));
        }
    }
    Ok(texts)
}

/// The names in a text of [`replaces`]; none if it is `none`.
pub fn names(replaced: &str) -> Vec<&str> {
    let named = replaced.split_once(". ").filter(|_| replaced.starts_with('`')).map_or("", |(names, _)| names);
    named.split('`').skip(1).step_by(2).collect()
}

fn all_docs(dir: &Path) -> Result<String, String> {
    let path = dir.join("src/lib.rs");
    let source = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines: Vec<&str> = source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
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

/// A table with a row put where a row for the same policy is, or where it belongs, sorted by names.
///
/// A row is of the policy that a link in its first cell names.
pub fn with_row(table: &str, row: &str) -> String {
    let policy = |line: &str| line.strip_prefix("| [`")?.split_once('`').map(|(name, _)| name.to_owned());
    let (head, rows): (Vec<&str>, Vec<&str>) = table.split_inclusive('\n').partition(|line| policy(line).is_none());
    let mut rows: Vec<&str> = rows.into_iter().filter(|line| policy(line) != policy(row)).chain([row]).collect();
    rows.sort_by_key(|line| policy(line));
    head.into_iter().chain(rows).collect()
}

/// The row of a policy in the table of other names, `policies/ALIASES.md`.
pub(super) fn aliases(policy: &Policy, dir: &Path) -> Result<String, String> {
    let mut names = Vec::new();
    for setting in policy.settings.entries {
        names.extend(setting.aliases.iter().map(|alias| format!("`{alias}` is `{}`", setting.path)));
        // A list has the elements that its project has.
        if !setting.project.is_empty() && !setting.path.contains("[*]") {
            names.push(format!("`{}`: {}", setting.path, paragraph(setting.doc)));
        }
    }
    let [_, _, gatekeeper, kubewarden, _] = replaces(dir)?;
    let name = policy.name;
    let names = names.join("<br>");
    Ok(format!("| [`{name}`]({name}/README.md) | {} | {} | {} |\n", cell(&names), cell(&gatekeeper), cell(&kubewarden)))
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
    push_examples(policy, suite, &mut text)?;
    text.push_str("\n## How to fix a rejection\n\n| Rejection | Fix |\n|---|---|\n");
    for (message, fix) in fixes(policy, suite)? {
        text.push_str(&format!("| `{}` | {} |\n", cell(&message), cell(fix)));
    }
    text.push_str("\n## Replaces\n\n");
    for (origin, replaced) in ORIGINS.iter().zip(replaces(dir)?) {
        text.push_str(&format!("- **{origin}**: {replaced}\n"));
    }
    text.push_str(
        "\nWhat differs everywhere, and all other names of settings, is in [policies/ALIASES.md](../ALIASES.md).\n",
    );
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
        let row = [code(&[setting.path]), kind, default, code(setting.aliases), cell(&paragraph(setting.doc))];
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
}

fn push_examples(policy: &Policy, suite: &Suite, text: &mut String) -> Result<(), String> {
    text.push_str("\n## Examples\n");
    let accepted = example(suite, "accepted", |expectation| matches!(expectation, Expectation::Accept))?;
    let rejected = example(suite, "rejected", |expectation| matches!(expectation, Expectation::Reject(_)))?;
    for (case, verdict) in [(accepted, "accepted"), (rejected, "rejected")] {
        let settings = match case.settings.as_object() {
            Some(settings) if settings.is_empty() => "Without any settings".to_owned(),
            _ => format!("With `{}`", case.settings),
        };
        let Some(manifest) = case.replays().into_iter().next().map(|replay| replay.object) else {
            return Err(format!("{}: no pod", case.name));
        };
        text.push_str(&format!("\n{settings}, this is {verdict}:\n\n```yaml\n{}```\n", yaml(&manifest)?));
    }
    if let Expectation::Reject(message) = &rejected.expectation {
        text.push_str(&format!("\n```text\n{message}\n```\n"));
    }
    let replays = rejected.replays();
    let found = replays.first().map(|replay| reply::violations(&replay.run(policy))).unwrap_or_default();
    let mut fixes: Vec<String> = found.into_iter().map(|violation| violation.fix).collect();
    fixes.dedup();
    text.push_str(&format!("\nThe fix: {}.\n", fixes.join("; ")));
    Ok(())
}

/// The first pod with this expectation among those with the smallest settings.
fn example<'s>(suite: &'s Suite, verdict: &str, is_wanted: impl Fn(&Expectation) -> bool) -> Result<&'s Case, String> {
    let is_plain = |case: &&Case| matches!(case.subject, Subject::Pod { old: None, .. }) && case.request.is_empty();
    let cases = suite.cases.iter().filter(is_plain).filter(|case| is_wanted(&case.expectation));
    cases
        .min_by_key(|case| case.settings.to_string().len())
        .ok_or_else(|| format!("the README needs a pod that is {verdict}: add one to fixtures.yaml"))
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

/// A doc comment in one line.
fn paragraph(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
