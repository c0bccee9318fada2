//! `podfence inspect`

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use podfence_host::inspect::{Inspection, MemorySize, inspect};
use podfence_host::suite::Abi;
use serde_json::Value;

use super::modules::Place;
use super::{DENIED, LimitArguments, Output};
use crate::text::{pretty_json, visible, write_some};

const EXAMPLES: &str = "\
Example:
  podfence inspect target/policies/privileged.wasm
  podfence inspect target/opa/privileged.wasm";

/// Shows the metadata, imports and exports of a module, and whether a policy-server or a host of OPA's modules would
/// load it.
///
/// Exit code 0: it would; 1: it would not; 2: the file cannot be read.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The policy: a module for waPC or OPA, or the name of one of Podfence's policies
    module: PathBuf,

    /// What to print
    #[arg(short, long, value_enum, default_value_t = Output::Human)]
    output: Output,

    #[command(flatten)]
    limits: LimitArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let bytes = Place::named(&self.module)?.read()?;
        let inspection = inspect(&self.limits.host()?, &bytes);
        let mut out = anstream::stdout().lock();
        match self.output {
            Output::Human => write_inspection(&inspection, &mut out)?,
            Output::Json => writeln!(out, "{}", pretty_json(&inspection)?)?,
        }
        out.flush()?;
        Ok(if inspection.loads() { ExitCode::SUCCESS } else { ExitCode::from(DENIED) })
    }
}

fn write_inspection(inspection: &Inspection, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "bytes     {}", inspection.bytes)?;
    writeln!(out, "sha256    {}", inspection.sha256)?;
    if let Some(memory) = inspection.memory {
        writeln!(out, "memory    {}", describe_memory(memory))?;
    }
    let entrypoints = inspection.entrypoints.iter().flat_map(|of| of.as_object()).flatten();
    write_some("query    ", entrypoints.map(|(name, number)| format!("{name} {number}")), out)?;
    if let Some(version) = &inspection.protocol_version {
        writeln!(out, "protocol  {}", visible(version))?;
    }
    let imports = inspection.imports.iter().map(|of| format!("{}.{} {}", of.module, of.name, of.ty));
    write_some("import   ", imports, out)?;
    write_some("export   ", inspection.exports.iter().map(|of| format!("{} {}", of.name, of.ty)), out)?;
    write_some("metadata ", inspection.metadata.iter().flat_map(metadata_lines), out)?;
    write_some("note     ", inspection.notes.iter().cloned(), out)?;
    write_some("obstacle ", inspection.obstacles.iter().cloned(), out)?;
    let not = if inspection.loads() { "" } else { "not " };
    let hosts = match inspection.abi {
        Abi::Wapc => "a policy-server",
        Abi::Opa => "OPA and other hosts of its modules",
    };
    writeln!(out, "{hosts} would {not}load it")
}

/// A line for each rule, annotation and other member.
fn metadata_lines(metadata: &Value) -> Vec<String> {
    let Some(members) = metadata.as_object() else { return vec![metadata.to_string()] };
    let lines = members.iter().flat_map(|(key, value)| match (key.as_str(), value) {
        ("rules", Value::Array(rules)) => rules.iter().map(|rule| format!("rule: {}", describe_rule(rule))).collect(),
        ("annotations", Value::Object(annotations)) => {
            annotations.iter().map(|(key, value)| format!("{key}: {}", describe_value(value))).collect()
        }
        _ => vec![format!("{key}: {}", describe_value(value))],
    });
    lines.collect()
}

/// For example `CREATE, UPDATE of deployments, daemonsets in apps/v1`.
fn describe_rule(rule: &Value) -> String {
    let list = |key: &str| -> Option<String> {
        let items = rule.get(key)?.as_array()?;
        Some(items.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?.join(", "))
    };
    let lists = (list("operations"), list("resources"), list("apiGroups"), list("apiVersions"));
    let (Some(operations), Some(resources), Some(groups), Some(versions)) = lists else { return rule.to_string() };
    // The core group has no name.
    let group_version = if groups.is_empty() { versions } else { format!("{groups}/{versions}") };
    format!("{operations} of {resources} in {group_version}")
}

/// A text on one line, or JSON.
fn describe_value(value: &Value) -> String {
    match value.as_str() {
        None => value.to_string(),
        Some(text) => match text.trim().split_once('\n') {
            None => text.to_owned(),
            Some((first, rest)) => format!("{first} … and {} more lines", rest.lines().count()),
        },
    }
}

fn describe_memory(memory: MemorySize) -> String {
    let initial = memory.initial >> 10;
    match memory.maximum {
        Some(maximum) => format!("{initial} KiB, at most {} KiB", maximum >> 10),
        None => format!("{initial} KiB, no maximum"),
    }
}
