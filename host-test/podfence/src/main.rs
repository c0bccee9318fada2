//! Runs, tests, migrates, deploys and publishes Podfence policies: the `podfence` command.
#![forbid(unsafe_code)]

mod commands;
mod markdown;
mod report;
mod text;

use std::io;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let outcome = commands::Cli::parse().run();
    match outcome {
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
