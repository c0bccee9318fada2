//! `podfence bench`

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use comfy_table::{Cell, Table};
use indicatif::{ProgressBar, ProgressStyle};
use podfence_fixtures::generated;
use podfence_host::bench::{Candidate, Effort, Figures, Percentiles, Ratios, StartUp, bench, no_op, start_up, sum};
use podfence_host::evaluate::validate_payload;
use podfence_host::sample::{self, Size};
use podfence_scan::AdmissionRequest;
use podfence_scan::request::Sender;
use serde::Serialize;

use super::modules::Place;
use super::scan::Bench;
use super::{Output, read_requests, read_settings};
use crate::report::{number, table};
use crate::text::{origin, pretty_json, visible};

const EXAMPLES: &str = "\
Examples:
  podfence bench target/policies/*.wasm                            all policies
  podfence bench target/policies/privileged.wasm --vs other.wasm   in comparison with another module
  podfence bench --scan manifests/                                 a scan, step by step";

/// Measures modules against each other and against a module that does nothing.
///
/// Modules take turns, so that the ratios of one run are reliable on a noisy machine. Works on any waPC policy, also on
/// one that needs WASI. "fresh" is a new instance for each call, as in a policy-server; "reused" is one instance for
/// all calls. For several modules, it also shows the sum: the cost of calling one after the other. "start-up" is
/// compiling all modules and making an instance of each, as a policy-server does when it starts. With --scan, measures
/// `podfence scan` instead, step by step and against other commands.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The policies: waPC modules, or names of Podfence's policies
    #[arg(required_unless_present = "scan", value_name = "MODULE")]
    modules: Vec<PathBuf>,

    /// Measure a scan of the manifests in this directory, by the policies that `podfence scan` judges by
    #[arg(long, value_name = "DIR", conflicts_with_all = ["modules", "vs", "settings", "request", "large"])]
    scan: Option<PathBuf>,

    /// Another command to compare the scan with, for example, one that reads the same files; may be repeated
    #[arg(long, value_name = "COMMAND", requires = "scan")]
    beside: Vec<String>,

    /// Policies as documents, to measure what they add to the scan; may be repeated
    #[arg(long, value_name = "FILE|DIR", requires = "scan")]
    policies: Vec<PathBuf>,

    /// Where the modules of the scan are, as NAME.wasm [default: in this program, or beside it]
    #[arg(long = "modules", id = "directory", value_name = "DIR", requires = "scan")]
    directory: Option<PathBuf>,

    /// Compare each module with this one too
    #[arg(long, value_name = "MODULE")]
    vs: Option<PathBuf>,

    /// The settings of the modules [default: {}]
    #[arg(short, long, value_name = "FILE|JSON")]
    settings: Option<String>,

    /// The settings of the module to compare with [default: the same]
    #[arg(long, value_name = "FILE|JSON", requires = "vs")]
    vs_settings: Option<String>,

    /// What to judge; as in `run`, but one document [default: a built-in pod with 3 containers]
    #[arg(short, long, value_name = "FILE")]
    request: Option<PathBuf>,

    /// Judge a built-in pod with 50 containers
    #[arg(long, conflicts_with = "request")]
    large: bool,

    /// The number of rounds: how often each module is measured
    #[arg(long, default_value = "30", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,

    /// Also write a small table into a Markdown file, between the lines <!-- figures:start --> and
    /// <!-- figures:end -->, or, with --scan, <!-- scan-figures:start --> and <!-- scan-figures:end -->
    #[arg(long, value_name = "FILE")]
    figures: Option<PathBuf>,

    /// What to print
    #[arg(short, long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// The calls of one kind in one turn.
const TURN: Duration = Duration::from_millis(10);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    rounds: u32,
    no_op: &'a Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    vs: Option<&'a Figures>,
    modules: Vec<Row<'a>>,
    /// All modules added up, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<Row<'a>>,
    start_up: StartUp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(flatten)]
    figures: &'a Figures,
    to_no_op: Ratios,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_vs: Option<Ratios>,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        if let Some(directory) = &self.scan {
            return self.measure_scan(directory);
        }
        let candidates = self.candidates()?;
        let effort = Effort { rounds: self.rounds as usize, turn: TURN };
        let bar = self.bar();
        let figures = bench(&candidates, effort, || bar.inc(1))?;
        let others = figures.len() - self.modules.len();
        let start_up = start_up(&candidates[others..], effort.rounds)?;
        bar.finish_and_clear();
        let sum = sum(figures.iter().skip(others)).filter(|_| self.modules.len() > 1);
        let report = self.report(&figures, sum.as_ref(), start_up);
        let mut out = anstream::stdout().lock();
        match self.output {
            Output::Human => report.write(&mut out)?,
            Output::Json => {
                writeln!(out, "{}", pretty_json(&report)?)?;
            }
        }
        out.flush()?;
        if let Some(path) = &self.figures {
            report.write_markdown(path).with_context(|| origin(path))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn bar(&self) -> ProgressBar {
        ProgressBar::new(u64::from(self.rounds))
            .with_style(ProgressStyle::with_template("{bar:40} round {pos}/{len}").expect("the template is valid"))
    }

    fn measure_scan(&self, directory: &Path) -> Result<ExitCode> {
        let bench = Bench {
            directory,
            modules: self.directory.as_deref(),
            policies: &self.policies,
            beside: &self.beside,
            rounds: self.rounds as usize,
        };
        let bar = self.bar();
        let figures = bench.measure(|| bar.inc(1))?;
        bar.finish_and_clear();
        let mut out = anstream::stdout().lock();
        match self.output {
            Output::Human => figures.write(&mut out)?,
            Output::Json => {
                writeln!(out, "{}", pretty_json(&figures)?)?;
            }
        }
        out.flush()?;
        if let Some(path) = &self.figures {
            replace(path, "scan-figures", &figures.markdown()).with_context(|| origin(path))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The no-op module, then the one to compare with, then the others.
    fn candidates(&self) -> Result<Vec<Candidate>> {
        let request = self.request()?;
        let settings = read_settings("--settings", self.settings.as_deref())?;
        let payload = validate_payload(&request, &settings);
        let mut candidates = vec![no_op(payload.clone())];
        if let Some(path) = &self.vs {
            let payload = match &self.vs_settings {
                Some(settings) => validate_payload(&request, &read_settings("--vs-settings", Some(settings))?),
                None => payload.clone(),
            };
            candidates.push(candidate(path, payload)?);
        }
        for path in &self.modules {
            candidates.push(candidate(path, payload.clone())?);
        }
        Ok(candidates)
    }

    fn request(&self) -> Result<AdmissionRequest> {
        let Some(path) = &self.request else {
            let size = if self.large { Size::Large } else { Size::Small };
            return Ok(sample::request(size));
        };
        let mut requests = read_requests(path, &Sender::default())?;
        match (requests.pop(), requests.len()) {
            (Some(request), 0) => Ok(request),
            (_, others) => bail!("{}: {} requests; one is measured", origin(path), others + 1),
        }
    }

    fn report<'a>(&self, figures: &'a [Figures], sum: Option<&'a Figures>, start_up: StartUp) -> Report<'a> {
        let (no_op, rest) = figures.split_first().expect("the no-op module is first");
        let (vs, modules) = match (&self.vs, rest) {
            (Some(_), [vs, modules @ ..]) => (Some(vs), modules),
            (_, modules) => (None, modules),
        };
        let row = |figures: &'a Figures| Row {
            figures,
            to_no_op: figures.ratios_to(no_op),
            to_vs: vs.map(|vs| figures.ratios_to(vs)),
        };
        let modules = modules.iter().map(row).collect();
        Report { rounds: self.rounds, no_op, vs, modules, sum: sum.map(row), start_up }
    }
}

fn candidate(path: &Path, payload: Vec<u8>) -> Result<Candidate> {
    let place = Place::named(path)?;
    Ok(Candidate { name: place.policy(), bytes: place.read()?.into_owned(), payload })
}

/// Replaces a part of a Markdown file.
fn replace(path: &Path, name: &str, part: &str) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let text = generated::between(&text, name, part).map_err(anyhow::Error::msg)?;
    Ok(std::fs::write(path, text)?)
}

impl Report<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "payload {} bytes, {} rounds; memory in KiB, compile in ms, calls in µs as p50 / p95 / p99",
            self.no_op.measurement.payload_bytes, self.rounds
        )?;
        writeln!(out, "{}", self.figures_table())?;
        writeln!(out, "\nmultiples of the no-op module")?;
        writeln!(out, "{}", self.ratios_table(|row| Some(row.to_no_op)))?;
        if let Some(vs) = self.vs {
            writeln!(out, "\nmultiples of {}", visible(&vs.name))?;
            writeln!(out, "{}", self.ratios_table(|row| row.to_vs))?;
        }
        let StartUp { ms, no_op_ms, to_no_op, .. } = self.start_up;
        let times = ratio(to_no_op);
        writeln!(
            out,
            "\nstart-up of all modules: {ms:.1} ms, {times} times the {no_op_ms:.1} ms of as many no-op modules"
        )
    }

    fn write_markdown(&self, path: &Path) -> Result<()> {
        let mut table = String::from(
            "| Module | Bytes | Fuel per byte | Memory above the payload | Fresh call | Compiling |\n|---|--:|--:|--:|--:|--:|\n",
        );
        for Row { figures, to_no_op, .. } in self.rows() {
            writeln!(
                table,
                "| `{}` | {} | {:.1} | {} KiB | {}× | {}× |",
                figures.name,
                figures.measurement.bytes,
                figures.fuel_per_byte,
                figures.peak_above_payload >> 10,
                ratio(to_no_op.fresh.p50),
                ratio(to_no_op.compile),
            )?;
        }
        replace(path, "figures", &table)
    }

    fn rows(&self) -> impl Iterator<Item = &Row<'_>> {
        self.modules.iter().chain(&self.sum)
    }

    fn figures_table(&self) -> Table {
        let mut table = table(&[
            "module",
            "verdict",
            "bytes",
            "fuel",
            "fuel/byte",
            "initial",
            "peak",
            "above payload",
            "compile",
            "fresh",
            "reused",
        ]);
        let baseline = [Some(self.no_op), self.vs].into_iter().flatten();
        for figures in baseline.chain(self.rows().map(|row| row.figures)) {
            let measurement = &figures.measurement;
            table.add_row(vec![
                Cell::new(visible(&figures.name)),
                Cell::new(verdict(figures.accepted)),
                number(measurement.bytes),
                number(measurement.fuel),
                number(format!("{:.2}", figures.fuel_per_byte)),
                number(measurement.initial_memory >> 10),
                number(measurement.peak_memory >> 10),
                number(figures.peak_above_payload >> 10),
                number(format!("{:.1}", figures.compile_ms)),
                number(percentiles(&figures.fresh_us, 1)),
                number(percentiles(&figures.reused_us, 1)),
            ]);
        }
        table
    }

    fn ratios_table(&self, ratios: impl Fn(&Row<'_>) -> Option<Ratios>) -> Table {
        let mut table = table(&["module", "bytes", "fuel", "peak", "compile", "fresh", "reused"]);
        for row in self.rows() {
            let Some(ratios) = ratios(row) else {
                continue;
            };
            table.add_row(vec![
                Cell::new(visible(&row.figures.name)),
                number(ratio(ratios.bytes)),
                number(ratio(ratios.fuel)),
                number(ratio(ratios.peak_memory)),
                number(ratio(ratios.compile)),
                number(percentiles(&ratios.fresh, 2)),
                number(percentiles(&ratios.reused, 2)),
            ]);
        }
        table
    }
}

fn verdict(accepted: Option<bool>) -> &'static str {
    match accepted {
        Some(true) => "accepts",
        Some(false) => "rejects",
        None => "invalid",
    }
}

/// Two digits where they say anything.
fn ratio(ratio: f64) -> String {
    if ratio < 100.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
}

fn percentiles(percentiles: &Percentiles, digits: usize) -> String {
    let Percentiles { p50, p95, p99 } = percentiles;
    format!("{p50:.digits$} / {p95:.digits$} / {p99:.digits$}")
}
