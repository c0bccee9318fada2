//! Runs, tests, migrates, deploys and publishes Podfence policies: the `podfence` command.
#![forbid(unsafe_code)]

mod commands;
mod markdown;
mod report;
mod text;

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::{self, ExitCode};

use clap::Parser;
use clap::error::ErrorKind;

fn main() -> ExitCode {
    let cli = commands::Cli::try_parse().unwrap_or_else(|error| {
        if error.kind() == ErrorKind::DisplayVersion && env::args_os().any(|of| asks_for_more(&of)) {
            let printed = anstream::stdout().write_all(commands::version().as_bytes());
            process::exit(if printed.is_ok() { 0 } else { i32::from(commands::COULD_NOT_JUDGE) });
        }
        error.exit()
    });
    match cli.run() {
        Ok(code) => code,
        // The reader has gone; nobody is left to tell.
        Err(error) if is_broken_pipe(&error) => ExitCode::from(commands::COULD_NOT_JUDGE),
        Err(error) => {
            // The exit code says it where nothing can be written.
            let _ = writeln!(anstream::stderr(), "error: {}", text::printable(&format!("{error:#}")));
            ExitCode::from(commands::COULD_NOT_JUDGE)
        }
    }
}

/// Whether an argument is `--verbose`, or `-v` alone or with other letters.
fn asks_for_more(argument: &OsStr) -> bool {
    let letters = argument.as_encoded_bytes().strip_prefix(b"-").filter(|letters| !letters.starts_with(b"-"));
    argument == "--verbose" || letters.is_some_and(|letters| letters.contains(&b'v') && letters.is_ascii())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
