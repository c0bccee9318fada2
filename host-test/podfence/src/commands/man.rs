//! `podfence man`

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory as _};

use super::Cli;
use crate::text::origin;

const EXAMPLES: &str = "\
Examples:
  podfence man ~/.local/share/man/man1     then: man podfence-scan";

/// Writes the man pages: podfence.1, and one for each command.
///
/// Files of these names are replaced.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The directory; it is created if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        fs::create_dir_all(&self.directory).with_context(|| origin(&self.directory))?;
        clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), &self.directory)
            .with_context(|| origin(&self.directory))?;
        Ok(ExitCode::SUCCESS)
    }
}
