//! `podfence explain`

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Args, Command};
use podfence_cluster::deploy;
use podfence_cluster::published::{self, Published};
use podfence_cluster::standards::Level;
use podfence_scan::names::near;

use crate::markdown;
use crate::report::table;
use crate::text::visible;

include!(concat!(env!("OUT_DIR"), "/readmes.rs"));

const EXAMPLES: &str = "\
Examples:
  podfence explain                      all policies
  podfence explain host-path            one of them
  podfence explain hostPathVolumes      the policy with a control, as findings name it
  podfence explain podfence-restricted  the policy of a document or a webhook, as denials name it";

/// Shows a policy's documentation: what it rejects and why, fields, settings, examples, fixes, what it replaces.
///
/// Prints Markdown, or formatted text on a terminal. Without a policy, lists all of them.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The policy, or one of its controls, a level, or the name of a policy in a cluster
    #[arg(hide_possible_values = true, value_parser = Name)]
    policy: Option<String>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let page = self.policy.as_deref().map(page).transpose()?;
        let mut out = anstream::stdout().lock();
        match page {
            Some(Page { readme, note }) => {
                if let Some(note) = note {
                    anstream::eprintln!("note: {note}");
                }
                let readme = written(readme);
                if io::stdout().is_terminal() {
                    out.write_all(markdown::render(readme, markdown::width()).as_bytes())?;
                } else {
                    out.write_all(readme.as_bytes())?;
                }
            }
            None => {
                let mut list = table(&["policy", "what it enforces"]);
                for policy in published::all() {
                    list.add_row([policy.policy, &policy.description]);
                }
                writeln!(out, "{}", list.trim_fmt())?;
            }
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Any name; shells complete those of policies.
#[derive(Clone)]
struct Name;

impl TypedValueParser for Name {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(READMES.iter().map(|(name, _)| PossibleValue::new(*name))))
    }
}

/// What is shown of a name.
struct Page {
    readme: &'static str,
    /// What the name is, unless it is that of the policy.
    note: Option<String>,
}

impl Page {
    fn of(policy: &str, note: Option<String>) -> Result<Page> {
        let readme = READMES.iter().find(|(name, _)| *name == policy);
        let (_, readme) = readme.ok_or_else(|| anyhow!("policy {policy} has no page"))?;
        Ok(Page { readme, note })
    }
}

/// The page of the policy that a name stands for: its own, that of a document, a level, or a control.
fn page(name: &str) -> Result<Page> {
    if published::find(name).is_some() {
        return Page::of(name, None);
    }
    if let Some(policy) = deploy::policy_named(name) {
        let what = match policy == deploy::WHOLE {
            true => "decides a level of the Pod Security Standards, as the policy",
            false => "runs the policy",
        };
        return Page::of(policy, Some(format!("{} {what} {policy}", visible(name))));
    }
    if Level::ALL.iter().any(|level| level.name() == name) {
        let policy = deploy::WHOLE;
        return Page::of(policy, Some(format!("{name} is a level of {policy}")));
    }
    let has_control = |of: &&Published| of.controls.iter().any(|control| control == name);
    // The policy that decides whole levels has the controls of others, too.
    let (mut policies, whole): (Vec<_>, Vec<_>) =
        published::all().iter().filter(has_control).map(|of| of.policy).partition(|policy| *policy != deploy::WHOLE);
    policies.extend(whole);
    match policies.first() {
        Some(policy) => Page::of(policy, Some(format!("{name} is a control of {}", policies.join(" and ")))),
        None => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> anyhow::Error {
    let policies = published::all().iter();
    let known = policies.flat_map(|of| of.controls.iter().map(String::as_str).chain([of.policy]));
    let known = known.chain(Level::ALL.iter().map(|level| level.name()));
    match near(name, known) {
        Some(near) => anyhow!("unknown policy or control {name:?}, did you mean `{near}`?"),
        None => anyhow!("unknown policy or control {name:?}; `podfence explain` lists the policies"),
    }
}

/// A README without the comment that says how it is generated.
fn written(readme: &str) -> &str {
    readme.find("# ").map_or(readme, |title| &readme[title..])
}
