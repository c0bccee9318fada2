//! `podfence completions`

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;

const EXAMPLES: &str = "\
Examples:
  source <(podfence completions bash)      in this shell, or from ~/.bashrc
  podfence completions zsh > DIR/_podfence     DIR is in the fpath of zsh
  podfence completions fish > ~/.config/fish/completions/podfence.fish";

/// Prints the completion script of a shell.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        // Whole before anything is printed: clap_complete panics when nobody reads.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "podfence", &mut script);
        io::stdout().lock().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
