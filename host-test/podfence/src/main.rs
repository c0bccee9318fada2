//! Runs, tests, migrates, deploys and publishes Podfence policies: the `podfence` command.
#![forbid(unsafe_code)]

mod commands;
mod markdown;
mod report;
mod text;

use std::process::{self, ExitCode};
use std::{env, io};

use clap::Parser;
use clap::error::ErrorKind;

fn main() -> ExitCode {
    let cli = commands::Cli::try_parse().unwrap_or_else(|error| {
        if error.kind() == ErrorKind::DisplayVersion && env::args_os().any(|of| of == "-v" || of == "--verbose") {
            anstream::print!("{}", commands::version());
            process::exit(0);
        }
        error.exit()
    });
    match cli.run() {
        Ok(code) => code,
        // The reader has gone; nobody is left to tell.
        Err(error) if is_broken_pipe(&error) => ExitCode::from(commands::COULD_NOT_JUDGE),
        Err(error) => {
            anstream::eprintln!("error: {}", text::printable(&format!("{error:#}")));
            ExitCode::from(commands::COULD_NOT_JUDGE)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
