//! `podfence explain`

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;

use podfence_cluster::published;

use crate::markdown;
use crate::report::table;

include!(concat!(env!("OUT_DIR"), "/readmes.rs"));

const EXAMPLES: &str = "\
Examples:
  podfence explain                  all policies
  podfence explain host-path        one of them";

/// Shows a policy's documentation: what it rejects and why, fields, settings, examples, fixes, what it replaces.
///
/// Prints Markdown, or formatted text on a terminal. Without a policy, lists all of them.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The policy
    #[arg(hide_possible_values = true, value_parser = PossibleValuesParser::new(READMES.iter().map(|(name, _)| *name)))]
    policy: Option<String>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut out = anstream::stdout().lock();
        match self.policy.and_then(|policy| READMES.iter().find(|(name, _)| *name == policy)) {
            Some((_, readme)) => {
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

/// A README without the comment that says how it is generated.
fn written(readme: &str) -> &str {
    readme.find("# ").map_or(readme, |title| &readme[title..])
}
