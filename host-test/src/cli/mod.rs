//! Arguments, and what the commands share.

mod bench;
mod deploy;
mod explain;
mod inspect;
mod markdown;
mod migrate;
mod package;
mod pull;
mod push;
mod run;
mod sbom;
mod sign;
mod test;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use host_test::evaluate::settings_object;
use host_test::input::{self, LARGEST_DOCUMENT, LARGEST_MODULE};
use host_test::oci::{self, OciError, Reference, Registry};
use host_test::report::escaped;
use host_test::{AdmissionRequest, Host, Limits};
use serde_json::{Map, Value};

/// The exit code of a denied request or a failed fixture.
pub(crate) const DENIED: u8 = 1;

/// The exit code when there is no verdict: bad input, a broken module, invalid settings.
pub(crate) const COULD_NOT_JUDGE: u8 = 2;

/// The most that is shown of a text that a module wrote, in bytes.
const SHOWN: usize = 8 << 10;

/// Runs Kubernetes pod-security policies as a Kubewarden policy-server does.
#[derive(Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Test(test::Arguments),
    Run(run::Arguments),
    Explain(explain::Arguments),
    Inspect(inspect::Arguments),
    Package(package::Arguments),
    Sbom(sbom::Arguments),
    Push(push::Arguments),
    Pull(pull::Arguments),
    Sign(sign::SignArguments),
    Verify(sign::VerifyArguments),
    GenerateKeyPair(sign::KeyArguments),
    Bench(bench::Arguments),
    Deploy(deploy::Arguments),
    Migrate(migrate::Arguments),
}

impl Cli {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Test(arguments) => arguments.run(),
            Command::Run(arguments) => arguments.run(),
            Command::Explain(arguments) => arguments.run(),
            Command::Inspect(arguments) => arguments.run(),
            Command::Package(arguments) => arguments.run(),
            Command::Sbom(arguments) => arguments.run(),
            Command::Push(arguments) => arguments.run(),
            Command::Pull(arguments) => arguments.run(),
            Command::Sign(arguments) => arguments.run(),
            Command::Verify(arguments) => arguments.run(),
            Command::GenerateKeyPair(arguments) => arguments.run(),
            Command::Bench(arguments) => arguments.run(),
            Command::Deploy(arguments) => arguments.run(),
            Command::Migrate(arguments) => arguments.run(),
        }
    }
}

/// How a command answers.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// What a module may use.
#[derive(Args)]
struct LimitArguments {
    /// Seconds that each call may take, as in a policy-server; fractions are fine
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    timeout: Duration,

    /// MiB of memory that an instance may use; a policy-server has no such limit
    #[arg(long, value_name = "MIB", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    memory: u16,
}

impl LimitArguments {
    fn host(&self) -> Result<Host> {
        let limits = Limits { timeout: self.timeout, memory: usize::from(self.memory) << 20, ..Limits::default() };
        Ok(Host::new(limits)?)
    }
}

/// How a registry is reached.
#[derive(Args)]
struct RegistryArguments {
    /// Speak plain HTTP with the registry; one on this machine is always spoken to so
    #[arg(long)]
    plain_http: bool,
}

impl RegistryArguments {
    fn connect(&self, reference: &Reference) -> Result<Registry> {
        Ok(Registry::connect(reference.registry(), self.plain_http)?)
    }
}

/// A policy in a registry, as an argument.
fn reference(text: &str) -> Result<Reference, OciError> {
    oci::parse(text)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if (0.001..=3600.0).contains(&seconds) => Ok(duration),
        _ => Err("not between 0.001 and 3600".to_owned()),
    }
}

fn read_module(path: &Path) -> Result<Vec<u8>> {
    input::read(path, LARGEST_MODULE).with_context(|| origin(path))
}

fn read_requests(path: &Path) -> Result<Vec<AdmissionRequest>> {
    input::read(path, LARGEST_DOCUMENT).and_then(|bytes| input::requests(&bytes)).with_context(|| origin(path))
}

/// How messages call an input.
fn origin(path: &Path) -> String {
    match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => path.display().to_string(),
    }
}

/// The file's name without `.wasm`: how messages call a policy.
fn module_name(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Settings as an argument: an object in JSON or YAML flow style, or a file. None is `{}`.
fn read_settings(argument: Option<&str>) -> Result<Map<String, Value>> {
    let Some(argument) = argument else {
        return Ok(Map::new());
    };
    let inline = argument.trim_start().starts_with(['{', '[']);
    let (bytes, origin) = if inline {
        (argument.as_bytes().to_vec(), "--settings".to_owned())
    } else {
        let path = Path::new(argument);
        let bytes = input::read(path, LARGEST_DOCUMENT).with_context(|| origin(path))?;
        (bytes, origin(path))
    };
    let mut documents = input::parse(&bytes).with_context(|| origin.clone())?;
    if documents.len() > 1 {
        bail!("{origin}: {} documents; settings are one", documents.len());
    }
    settings_object(documents.pop().unwrap_or_default()).context(origin)
}

/// A text that a module may have written, safe for a terminal and not endless.
pub(crate) fn printable(text: &str) -> String {
    let (start, rest) = text.split_at(text.floor_char_boundary(SHOWN));
    let shown = escaped(start);
    if rest.is_empty() { shown } else { format!("{shown}… ({} bytes in all)", text.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(SHOWN);
        let shown = printable(&text);
        assert!(shown.ends_with("é… (16384 bytes in all)"));
        assert!(shown.len() < SHOWN + 40);
    }

    #[test]
    fn a_timeout_is_a_positive_number() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["0", "-1", "NaN", "inf", "1e300", "two"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
