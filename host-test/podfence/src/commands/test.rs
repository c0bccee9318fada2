//! `podfence test`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use podfence_host::suite::{self, Abi, Selection};

use super::{DENIED, LimitArguments};
use crate::report;
use crate::text::visible;

const EXAMPLES: &str = "\
Examples:
  podfence test                                       all policies
  podfence test users volumes --filter Windows        some of their fixtures
  podfence test --abi opa                             the modules for OPA, of `make opa`
  podfence test --format junit > report.xml           for a CI server";

/// Runs the fixtures of policies against the built modules.
///
/// Exit code 0: all as expected; 1: a fixture failed; 2: could not run.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only these policies [default: all]
    #[arg(value_name = "POLICY")]
    policies: Vec<String>,

    /// Where the policies are: each directory in it that holds fixtures.yaml
    #[arg(long = "policies", value_name = "DIR", default_value = "policies")]
    policies_directory: PathBuf,

    /// Where the built modules are: POLICY.wasm for each policy [default: target/policies, or target/opa]
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,

    /// What the modules are built for: Kubewarden, or OPA and other hosts of its modules
    #[arg(long, value_enum, default_value_t = Hosts::Wapc)]
    abi: Hosts,

    /// Only fixtures whose `policy: fixture (form)` contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    #[command(flatten)]
    limits: LimitArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum Hosts {
    Wapc,
    Opa,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Human,
    Json,
    Junit,
    Tap,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let host = self.limits.host()?;
        let (abi, modules) = match self.abi {
            Hosts::Wapc => (Abi::Wapc, "target/policies"),
            Hosts::Opa => (Abi::Opa, "target/opa"),
        };
        let selection = Selection {
            policies: self.policies_directory,
            modules: self.modules.unwrap_or_else(|| modules.into()),
            abi,
            names: self.policies,
            filter: self.filter,
        };
        let prepared = suite::prepare(&host, &selection)?;
        // Drawn on standard error, and only if that is a terminal.
        let bar = ProgressBar::new(prepared.replays() as u64)
            .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}").expect("the template is valid"));
        let report = prepared.run(|policy| {
            bar.set_message(visible(policy));
            bar.inc(1);
        });
        bar.finish_and_clear();
        let mut out = anstream::stdout().lock();
        match self.format {
            Format::Human => report::human(&report, &mut out)?,
            Format::Json => report::json(&report, &mut out)?,
            Format::Junit => report::junit(&report, &mut out)?,
            Format::Tap => report::tap(&report, &mut out)?,
        }
        out.flush()?;
        Ok(match report.failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::from(DENIED),
        })
    }
}
