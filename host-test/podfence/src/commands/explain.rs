//! `podfence explain`

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::markdown;
use crate::report::table;

include!(concat!(env!("OUT_DIR"), "/readmes.rs"));

/// Tells what a policy is about: the danger, fields, settings, examples, fixes, and what it replaces.
///
/// As Markdown, or laid out on a terminal. Without a policy, it lists them all.
#[derive(Args)]
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
                let mut list = table(&["policy", "what it is about"]);
                for (name, readme) in READMES {
                    list.add_row([*name, &sentence(readme)]);
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

/// The first sentence below the title of a README.
fn sentence(readme: &str) -> String {
    let paragraph = written(readme).split("\n\n").nth(1).unwrap_or_default().replace('\n', " ");
    let sentence = paragraph.split_once(". ").map_or(paragraph.as_str(), |(first, _)| first);
    sentence.trim_end_matches('.').to_owned()
}
