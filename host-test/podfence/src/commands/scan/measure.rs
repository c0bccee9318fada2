//! Measures a scan step by step, and whole commands against each other.

use std::borrow::Cow;
use std::env;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use comfy_table::{Cell, Table};
use podfence_host::{Host, Limits};
use podfence_scan::file::Options;
use podfence_scan::read::InputError;
use podfence_scan::yaml;
use serde::Serialize;

use super::engine::{self, Engine};
use super::names;
use super::select::Selection;
use super::walk::{Input, Walk};
use crate::report::{number, table};
use crate::text::{origin, printable};

/// What `podfence bench --scan` measures.
pub(in crate::commands) struct Bench<'b> {
    /// The manifests.
    pub(in crate::commands) directory: &'b Path,
    /// Where the modules are, if not beside this program.
    pub(in crate::commands) modules: Option<&'b Path>,
    /// Policies as documents, to measure what they add to the scan; none is fine.
    pub(in crate::commands) policies: &'b [PathBuf],
    /// Commands for the shell, that are measured in the same rounds.
    pub(in crate::commands) beside: &'b [String],
    /// How often each step and each command has its turn.
    pub(in crate::commands) rounds: usize,
}

/// What a scan costs: each time is the least of all rounds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::commands) struct Figures {
    rounds: usize,
    files: usize,
    objects: usize,
    bytes: usize,
    /// Steps in this process, on one thread, of files in memory.
    steps: Vec<Step>,
    /// How many times as fast two threads are as one, by the clock.
    two_threads: f64,
    /// Commands as wholes, this one in its forms first.
    commands: Vec<Measured>,
    /// What policies add, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    with_policies: Option<WithPolicies>,
    start: Start,
    memory: Memory,
}

/// A step of a scan, and those before it with it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    name: &'static str,
    /// On processors, in microseconds.
    per_object: f64,
    /// As a multiple of the step before.
    to_before: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    command: String,
    /// On processors, in microseconds.
    per_object: f64,
    /// What the first command costs as a multiple of it.
    scan_to_it: f64,
}

/// What a scan with policies costs, as a multiple of the same without them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WithPolicies {
    /// Of files in memory, in this process.
    scan: f64,
    /// As a command, with its start and its output.
    command: f64,
}

/// A scan of one pod from standard input, in milliseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    by_the_clock: f64,
    on_processors: f64,
}

/// The most that a scan has of memory, in KiB.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    one_pod: u64,
    once: u64,
    ten_times: u64,
    /// Findings of the directory, once; all are held until they are reported.
    findings: usize,
}

const POD: &str = "apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - {name: web, image: web}
";

/// The steps that are measured, each with what those before it do. The last one only if there are policies.
const STEPS: [&str; 4] = ["the events of the parser", "the reader", "the scan", "the scan with --policies"];

/// The levels that are evaluated if nothing is selected, which documents of policies would replace.
fn usual(selection: Selection) -> Selection {
    let [enforce, warn] = ["baseline", "restricted"].map(|level| Some(level.to_owned()));
    Selection { enforce, warn, ..selection }
}

impl Bench<'_> {
    /// Measures in turns, so that the ratios of one run mean something on a noisy machine. `progress` is called once per
    /// round.
    ///
    /// # Errors
    /// There is nothing to measure, or a command cannot be run.
    pub(in crate::commands) fn measure(&self, mut progress: impl FnMut()) -> Result<Figures> {
        if self.rounds == 0 {
            bail!("expected at least one round");
        }
        let inputs = self.inputs()?;
        // Of children, the system tells the most of all so far: those that need the least come first.
        let own = Own { program: env::current_exe().context("this program")?, modules: self.modules };
        let directory = self.directory.canonicalize().with_context(|| origin(self.directory))?;
        let mut memory = Memory { one_pod: 0, once: 0, ten_times: 0, findings: 0 };
        own.start()?;
        memory.one_pod = largest_child()?;
        let forms = self.forms();
        own.scan(&[&directory], &forms[0])?;
        memory.once = largest_child()?;
        let ten = other_names(&directory, 10).with_context(|| origin(self.directory))?;
        own.scan(&ten.iter().map(PathBuf::as_path).collect::<Vec<_>>(), &forms[0])?;
        memory.ten_times = largest_child()?;

        let bytes: Vec<Cow<'_, [u8]>> =
            inputs.iter().map(|input| engine::read(input, None)).collect::<Result<_, InputError>>()?;
        let texts: Vec<Cow<'_, str>> = bytes.iter().map(|bytes| yaml::decode(bytes)).collect();
        let host = Host::quick(Limits::default())?;
        let selection = Selection { modules: self.modules.map(Path::to_owned), ..Selection::default() };
        let judge = selection.judge(&host)?;
        let with_policies = match self.policies {
            [] => None,
            policies => Some(Selection { policies: policies.to_vec(), ..usual(selection) }.judge(&host)?),
        };
        let names = names(&judge);
        let engine = |judge, jobs| Engine {
            judge,
            options: Options {
                is_trusting: true,
                is_strict: false,
                default_deny: &[],
                tells_skipped: false,
                namespace: None,
                names: &names,
                ran: &|_| true,
                has: &|_, _| false,
            },
            standard_input: None,
            jobs,
        };
        let scan = |judge, jobs| engine(judge, jobs).scan_with(&inputs, |index, _| Ok(Cow::Borrowed(&*bytes[index])));
        let scanned = scan(&judge, 1);
        let summary = &scanned.summary;
        let objects = summary.judged
            + summary.without_pods
            + summary.not_judged
            + summary.not_selected
            + summary.owned
            + summary.exempt;
        if objects == 0 {
            bail!("{}: there are no objects to measure with", origin(self.directory));
        }
        memory.findings = scanned.findings.len();

        let mut steps = [Duration::MAX; STEPS.len()];
        let mut threads = [Duration::MAX; 2];
        let mut start = [Duration::MAX; 2];
        let mut commands = vec![Duration::MAX; forms.len() + self.beside.len()];
        for _ in 0..self.rounds {
            let count = || texts.iter().map(|text| yaml::events(text)).sum::<usize>();
            least(&mut steps[0], on_processors(count)?);
            let read = || texts.iter().flat_map(|text| yaml::documents(text)).for_each(|of| drop(black_box(of)));
            least(&mut steps[1], on_processors(read)?);
            let before = Instant::now();
            least(&mut steps[2], on_processors(|| scan(&judge, 1))?);
            least(&mut threads[0], before.elapsed());
            let before = Instant::now();
            drop(black_box(scan(&judge, 2)));
            least(&mut threads[1], before.elapsed());
            if let Some(judge) = &with_policies {
                least(&mut steps[3], on_processors(|| scan(judge, 1))?);
            }

            let before = (Instant::now(), of_children()?);
            own.start()?;
            least(&mut start[0], before.0.elapsed());
            least(&mut start[1], of_children()?.saturating_sub(before.1));
            let (ours, theirs) = commands.split_at_mut(forms.len());
            for (time, form) in ours.iter_mut().zip(&forms) {
                let before = of_children()?;
                own.scan(&[self.directory], form)?;
                least(time, of_children()?.saturating_sub(before));
            }
            for (time, command) in theirs.iter_mut().zip(self.beside) {
                let before = of_children()?;
                shell(command)?;
                least(time, of_children()?.saturating_sub(before));
            }
            progress();
        }

        let per_object = |time: Duration| time.as_secs_f64() * 1e6 / objects as f64;
        let own_names = forms.iter().map(|form| format!("podfence scan --jobs 1 {}", form.join(" ")));
        let names = own_names.chain(self.beside.iter().cloned());
        Ok(Figures {
            rounds: self.rounds,
            files: inputs.len(),
            objects,
            bytes: bytes.iter().map(|bytes| bytes.len()).sum(),
            steps: (0..STEPS.len() - usize::from(with_policies.is_none()))
                .map(|step| Step {
                    name: STEPS[step],
                    per_object: per_object(steps[step]),
                    to_before: step.checked_sub(1).map(|before| ratio(steps[step], steps[before])),
                })
                .collect(),
            two_threads: ratio(threads[0], threads[1]),
            commands: names
                .zip(&commands)
                .map(|(command, &time)| Measured {
                    command,
                    per_object: per_object(time),
                    scan_to_it: ratio(commands[0], time),
                })
                .collect(),
            with_policies: with_policies.is_some().then(|| WithPolicies {
                scan: ratio(steps[3], steps[2]),
                command: ratio(commands[forms.len() - 1], commands[0]),
            }),
            start: Start { by_the_clock: milliseconds(start[0]), on_processors: milliseconds(start[1]) },
            memory,
        })
    }

    /// How this command is measured: as programs and as people read it, and with the policies, if there are any.
    fn forms(&self) -> Vec<Vec<String>> {
        let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let mut forms = vec![texts(&["--format", "json"]), texts(&["--format", "human"])];
        if !self.policies.is_empty() {
            let mut form = texts(&["--format", "json", "--enforce", "baseline", "--warn", "restricted"]);
            let paths = self.policies.iter().map(|path| path.to_string_lossy().into_owned());
            form.extend(paths.flat_map(|path| ["--policies".to_owned(), path]));
            forms.push(form);
        }
        forms
    }

    fn inputs(&self) -> Result<Vec<Input>> {
        let walk = Walk {
            paths: &[self.directory.to_owned()],
            stdin_name: "",
            has_ignore_files: true,
            as_walked: false,
            renders: false,
            excludes: &|_| false,
            own: &[],
        };
        Ok(walk.find()?.inputs)
    }
}

/// This command as others call it.
struct Own<'o> {
    program: PathBuf,
    modules: Option<&'o Path>,
}

impl Own<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["scan", "--no-config", "--jobs", "1"]).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(modules) = self.modules {
            command.arg("--modules").arg(modules);
        }
        command
    }

    fn start(&self) -> Result<()> {
        let mut child = self.command().arg("-").stdin(Stdio::piped()).spawn().context("podfence scan")?;
        child.stdin.take().context("standard input")?.write_all(POD.as_bytes())?;
        ended("podfence scan", child.wait()?)
    }

    fn scan(&self, paths: &[&Path], form: &[String]) -> Result<()> {
        let status = self.command().args(form).args(paths).stdin(Stdio::null()).status();
        ended("podfence scan", status.context("podfence scan")?)
    }
}

fn shell(command: &str) -> Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    ended(command, shell.status().context("sh")?)
}

/// What a command says of the files is its own affair. A shell that cannot run it ends with 126 or 127.
fn ended(command: &str, status: ExitStatus) -> Result<()> {
    match status.code() {
        Some(0..126) => Ok(()),
        _ => bail!("{}: {status}", printable(command)),
    }
}

/// Paths that lead to one directory, under each of which its files have other names.
fn other_names(directory: &Path, count: usize) -> Result<Vec<PathBuf>> {
    let name = directory.file_name().context("expected a directory with a name")?;
    let longer = |path: &PathBuf| Some(path.join("..").join(name));
    Ok(std::iter::successors(Some(directory.to_owned()), longer).take(count).collect())
}

fn least(time: &mut Duration, new: Duration) {
    *time = new.min(*time);
}

fn ratio(time: Duration, to: Duration) -> f64 {
    time.as_secs_f64() / to.as_secs_f64()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What work costs on processors: on a machine with other work, less wrong than the clock.
fn on_processors<T>(work: impl FnOnce() -> T) -> Result<Duration> {
    let before = usage::of_this_process()?;
    drop(black_box(work()));
    Ok(usage::of_this_process()?.saturating_sub(before))
}

fn of_children() -> Result<Duration> {
    Ok(usage::of_children()?.0)
}

fn largest_child() -> Result<u64> {
    Ok(usage::of_children()?.1)
}

#[cfg(unix)]
mod usage {
    use std::time::Duration;

    use anyhow::Result;
    use nix::sys::resource::{Usage, UsageWho, getrusage};

    pub(super) fn of_this_process() -> Result<Duration> {
        Ok(time(&getrusage(UsageWho::RUSAGE_SELF)?))
    }

    /// The time of all children that have ended, and the most memory that one of them had, in KiB.
    pub(super) fn of_children() -> Result<(Duration, u64)> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let memory = u64::try_from(usage.max_rss())?;
        Ok((time(&usage), if cfg!(target_vendor = "apple") { memory >> 10 } else { memory }))
    }

    fn time(usage: &Usage) -> Duration {
        [usage.user_time(), usage.system_time()]
            .map(|time| Duration::new(time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs() as u32 * 1_000))
            .iter()
            .sum()
    }
}

#[cfg(not(unix))]
mod usage {
    use std::time::Duration;

    use anyhow::{Result, bail};

    pub(super) fn of_this_process() -> Result<Duration> {
        bail!("--scan measures on Unix alone")
    }

    pub(super) fn of_children() -> Result<(Duration, u64)> {
        bail!("--scan measures on Unix alone")
    }
}

impl Figures {
    /// As tables, for people.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub(in crate::commands) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Figures { rounds, files, objects, bytes, start, memory, .. } = self;
        writeln!(
            out,
            "{objects} objects in {files} files, {} KiB; µs on processors for an object, the least of {rounds} rounds",
            bytes >> 10
        )?;
        writeln!(out, "{}", self.steps_table())?;
        writeln!(out, "\ntwo threads are {:.2} times as fast as one", self.two_threads)?;
        writeln!(out, "\n{}", self.commands_table())?;
        if let Some(WithPolicies { scan, command }) = &self.with_policies {
            writeln!(
                out,
                "\nwith --policies, the scan takes {scan:.2} times as long, and the command {command:.2} times"
            )?;
        }
        let Start { by_the_clock, on_processors } = start;
        writeln!(out, "\nstart: {by_the_clock:.0} ms for a pod, {on_processors:.0} ms of them on processors")?;
        let Memory { one_pod, once, ten_times, findings } = memory;
        writeln!(
            out,
            "memory: {} MiB for a pod, {} MiB for the directory with its {findings} findings, {} MiB for ten times that",
            one_pod >> 10,
            once >> 10,
            ten_times >> 10
        )
    }

    fn steps_table(&self) -> Table {
        let mut table = table(&["step", "µs", "of the step before"]);
        for Step { name, per_object, to_before } in &self.steps {
            let to_before = to_before.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            table.add_row(vec![Cell::new(name), number(format!("{per_object:.1}")), number(to_before)]);
        }
        table
    }

    fn commands_table(&self) -> Table {
        let mut table = table(&["command", "µs", "scan to it"]);
        for Measured { command, per_object, scan_to_it } in &self.commands {
            let (per_object, ratio) = (number(format!("{per_object:.0}")), number(format!("{scan_to_it:.3}")));
            table.add_row(vec![Cell::new(printable(command)), per_object, ratio]);
        }
        table
    }

    /// As a table of ratios, for a README.
    pub(in crate::commands) fn markdown(&self) -> String {
        let mut table = String::from("| What | Of what | Ratio |\n|---|---|--:|\n");
        let mut row = |what: &str, of: &str, ratio: f64| {
            writeln!(table, "| {what} | {of} | {ratio:.2} |").expect("text can be written");
        };
        for (before, step) in self.steps.iter().zip(&self.steps[1..]) {
            row(step.name, before.name, step.to_before.unwrap_or_default());
        }
        row("one thread, by the clock", "two threads", self.two_threads);
        let ours = format!("`{}`", self.commands[0].command);
        for Measured { command, scan_to_it, .. } in &self.commands[1..] {
            row(&ours, &format!("`{command}`"), *scan_to_it);
        }
        table
    }
}
