//! Generates READMEs and table rows from the declarations, docs and fixtures of policies.

use std::{fs, path::Path};

use podfence_core::{Declaration, JsonType, Policy, Scope};
use podfence_fixtures::{Case, Expectation, Subject, Suite, violations};
use serde::Serialize;

use crate::{
    cis,
    facts::{PolicyTool, Replaced, Replaces},
    fixes::fixes,
};

/// Returns the docs of a policy: the `//!` comment at the start of its source. The first sentence describes what it
/// rejects, the rest explains why.
///
/// # Errors
/// The source cannot be read, or starts without docs.
pub fn docs(dir: &Path) -> Result<String, String> {
    let path = dir.join("src/lib.rs");
    let source = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines: Vec<&str> = source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
    if !lines.first().is_some_and(|line| line.starts_with("Rejects ")) {
        return Err(format!("{}:1: expected docs that start with `//! Rejects …`", path.display()));
    }
    Ok(lines.join("\n"))
}

/// Returns what a policy rejects: the first sentence of its docs, without the full stop.
///
/// # Errors
/// See [`docs`].
pub fn description(dir: &Path) -> Result<String, String> {
    let docs = docs(dir)?;
    let paragraph = docs.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let sentence = paragraph.split_once(". ").map_or(paragraph.as_str(), |(first, _)| first);
    Ok(sentence.trim_end_matches('.').to_owned())
}

/// Returns the row of a policy in the table of all policies.
///
/// # Errors
/// See [`docs`].
pub fn row(dir: &Path) -> Result<String, String> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let PolicyTool { cis, replaces, .. } = PolicyTool::load(dir)?;
    let standards = replaces.pod_security_standards.as_ref().map(Replaced::titles).unwrap_or_default();
    let fields = replaces.pod_security_policy.as_ref().map(Replaced::titles).unwrap_or_default();
    let cells = [cell(&description(dir)?), standards, fields, cis::sorted(cis.into_keys()).join(", ")];
    Ok(format!("| [`{name}`](policies/{name}/README.md) | {} |\n", cells.join(" | ")))
}

/// Returns a table with a row added, in the place of the row for the same policy if there is one. Rows are sorted by
/// policy.
///
/// The link in the first cell of a row names its policy.
pub fn with_row(table: &str, row: &str) -> String {
    let policy = |line: &str| line.strip_prefix("| [`")?.split_once('`').map(|(name, _)| name.to_owned());
    let (head, rows): (Vec<&str>, Vec<&str>) = table.split_inclusive('\n').partition(|line| policy(line).is_none());
    let mut rows: Vec<&str> = rows.into_iter().filter(|line| policy(line) != policy(row)).chain([row]).collect();
    rows.sort_by_key(|line| policy(line));
    head.into_iter().chain(rows).collect()
}

/// Returns the row of a policy in the table of `policies/ALIASES.md`.
pub(crate) fn aliases(policy: &Policy, dir: &Path) -> Result<String, String> {
    let mut names = Vec::new();
    for setting in policy.settings.declarations {
        names.extend(setting.aliases.iter().map(|alias| format!("`{alias}` is `{}`", setting.path)));
        // The elements of a list are the same as in its project.
        if !setting.docs.project.is_empty() && !setting.path.contains("[*]") {
            names.push(format!("`{}`: {}", setting.path, paragraph(setting.docs.text)));
        }
    }
    let Replaces { gatekeeper, kubewarden, .. } = Replaces::load(dir)?;
    let text = |replaced: Option<Replaced>| replaced.map_or("none".to_owned(), |replaced| cell(&replaced.to_string()));
    let name = policy.name;
    let names = names.join("<br>");
    let (gatekeeper, kubewarden) = (text(gatekeeper), text(kubewarden));
    Ok(format!("| [`{name}`]({name}/README.md) | {} | {gatekeeper} | {kubewarden} |\n", cell(&names)))
}

/// Returns the README of a policy.
pub(crate) fn readme(policy: &Policy, suite: &Suite, dir: &Path) -> Result<String, String> {
    let mut text = format!(
        "<!-- Generated from Cargo.toml, src/lib.rs and fixtures.yaml; `make bless` refreshes it. -->\n\n# {}\n\n{}\n",
        policy.name,
        docs(dir)?
    );
    text.push_str("\n## Fields\n\n| Field | Allowed |\n|---|---|\n");
    for field in policy.fields.iter().filter(|field| !field.docs.allowed.is_empty()) {
        text.push_str(&format!("| {} | {} |\n", places(field), cell(field.docs.allowed.trim())));
    }
    text.push_str(&format!("\n{}\n\n## Settings\n\n", evaluated(policy)));
    if policy.settings.declarations.is_empty() {
        text.push_str("None of its own.\n");
    } else {
        push_settings(policy.settings.declarations, &mut text);
    }
    text.push_str(match policy.kinds() {
        [] => "\nEvery policy also has these settings:\n\n",
        _ => "\nEvery policy that evaluates such objects also has these settings:\n\n",
    });
    push_settings(policy.common_settings(), &mut text);
    push_examples(policy, suite, &mut text)?;
    text.push_str("\n## How to fix a rejection\n\n| Rejection | Fix |\n|---|---|\n");
    for (message, fix) in fixes(policy, suite)? {
        text.push_str(&format!("| `{}` | {} |\n", cell(&message), cell(fix)));
    }
    let PolicyTool { cis, replaces, .. } = PolicyTool::load(dir)?;
    for (index, (origin, replaced)) in replaces.by_origin().enumerate() {
        text.push_str(if index == 0 { "\n## Replaces\n\n" } else { "" });
        text.push_str(&format!("- **{origin}**: {replaced}\n"));
    }
    if !cis.is_empty() {
        text.push_str(&format!(
            "\nIt checks {} of the [CIS Kubernetes Benchmark](../CIS.md).\n",
            cis::sorted(cis.into_keys()).join(", ")
        ));
    }
    text.push_str(
        "\n[policies/ALIASES.md](../ALIASES.md) lists the differences that all policies share, and all aliases of \
         settings.\n",
    );
    Ok(text)
}

fn places(field: &Declaration) -> String {
    let containers = format!("spec.{{{}}}[*]", field.lists().collect::<Vec<_>>().join(","));
    let path = field.path;
    match field.scope {
        Scope::Pod => format!("`spec.{path}`"),
        Scope::Container => format!("`{containers}.{path}`"),
        Scope::Both => format!("`spec.{path}`, `{containers}.{path}`"),
        Scope::Metadata => format!("`metadata.{path}`"),
        Scope::PersistentVolume => format!("`spec.{path}` of a PersistentVolume"),
        Scope::Workload => format!("`{path}` of a workload"),
        Scope::Object | Scope::Root => format!("`{path}`"),
    }
}

/// Returns what the policy evaluates, in sentences: where the fields of a pod are, or objects of which kinds.
fn evaluated(policy: &Policy) -> String {
    let named = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>().join(", ");
    let mut kinds = policy.kinds().iter().map(|kind| match kind.group {
        "" => format!("`{}`", kind.kind),
        group => format!("`{}` (`{group}`)", kind.kind),
    });
    if kinds.len() == 0 {
        return "Workloads have these fields below their pod template.".to_owned();
    }
    let mut text = format!("The policy evaluates objects of these kinds: {}.", named(&mut kinds));
    let mut users = policy.exempt_users().iter().map(|user| format!("`{user}`"));
    if users.len() != 0 {
        text.push_str(&format!(" What these users write is exempt: {}.", named(&mut users)));
    }
    text
}

fn push_settings(settings: &[Declaration], text: &mut String) {
    text.push_str("| Setting | Type | Default | Aliases | Meaning |\n|---|---|---|---|---|\n");
    for setting in settings {
        let code = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let kind = match setting.json_type {
            JsonType::Bool => "boolean",
            JsonType::Integer => "integer",
            JsonType::String => "string",
            JsonType::StringList => "list of strings",
            JsonType::ObjectList => "list of objects",
            JsonType::Object => "object",
            JsonType::Any | JsonType::Deferred => "any",
        };
        let kind =
            if setting.options.is_empty() { kind.to_owned() } else { format!("{kind}: {}", code(setting.options)) };
        let default = if setting.default.is_empty() { String::new() } else { code(&[setting.default]) };
        let row = [code(&[setting.path]), kind, default, code(setting.aliases), cell(&paragraph(setting.docs.text))];
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
}

fn push_examples(policy: &Policy, suite: &Suite, text: &mut String) -> Result<(), String> {
    text.push_str("\n## Examples\n");
    let accepted = example(policy, suite, "accepted", |expectation| matches!(expectation, Expectation::Accept))?;
    let rejected = example(policy, suite, "rejected", |expectation| matches!(expectation, Expectation::Reject(_)))?;
    for (case, verdict) in [(accepted, "accepted"), (rejected, "rejected")] {
        let settings = match case.settings.as_object() {
            Some(settings) if settings.is_empty() => "Without settings".to_owned(),
            _ => format!("With `{}`", case.settings),
        };
        let Some(manifest) = case.replays().into_iter().next().map(|replay| replay.object) else {
            return Err(format!("{}: no object", case.name));
        };
        text.push_str(&format!("\n{settings}, this is {verdict}:\n\n```yaml\n{}```\n", yaml(&manifest)?));
    }
    if let Expectation::Reject(message) = &rejected.expectation {
        text.push_str(&format!("\n```text\n{message}\n```\n"));
    }
    let replays = rejected.replays();
    let found = replays.first().map(|replay| violations(&replay.run(policy))).unwrap_or_default();
    let mut fixes: Vec<String> = found.into_iter().map(|violation| violation.fix).collect();
    fixes.dedup();
    text.push_str(&format!("\nThe fix: {}.\n", fixes.join("; ")));
    Ok(())
}

/// Returns the pod, or the object of the policy's kinds, with this expectation that has the shortest settings; the first
/// one of several.
fn example<'s>(
    policy: &Policy,
    suite: &'s Suite,
    verdict: &str,
    is_wanted: impl Fn(&Expectation) -> bool,
) -> Result<&'s Case, String> {
    let is_plain = |case: &&Case| match case.subject {
        Subject::Pod { old: None, .. } => case.request.is_empty(),
        Subject::Object(_) => case.request.is_empty() && !policy.kinds().is_empty(),
        _ => false,
    };
    let cases = suite.cases.iter().filter(is_plain).filter(|case| is_wanted(&case.expectation));
    cases
        .min_by_key(|case| case.settings.to_string().len())
        .ok_or_else(|| format!("the README needs an object that is {verdict}: add one to fixtures.yaml"))
}

pub(crate) fn yaml(value: &impl Serialize) -> Result<String, String> {
    serde_saphyr::to_string(value).map_err(|error| error.to_string())
}

/// Returns a value as a generated file of YAML.
pub(crate) fn yaml_file(value: &impl Serialize) -> Result<String, String> {
    Ok(generated(&yaml(value)?))
}

/// Adds the head of a generated file to YAML.
pub(crate) fn generated(yaml: &str) -> String {
    format!("# Generated from src/lib.rs and Cargo.toml; `make bless` refreshes it.\n{yaml}")
}

/// Returns a doc comment in one line.
fn paragraph(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Escapes a text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
