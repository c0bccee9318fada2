//! Times of modules against each other and against a module that does nothing, taken in turns, so
//! that their ratios mean something on a noisy machine.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::engine::{Host, HostError, Limits, LoadError, Module};
use crate::measure::{MeasureError, Measurement, Meter};
use crate::wapc::{CallError, Instance};

/// A module to measure.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// How the report calls it.
    pub name: String,
    /// The module.
    pub bytes: Vec<u8>,
    /// What `validate` gets: settings differ between policies of different make.
    pub payload: Vec<u8>,
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// The number of rounds: how often each module is measured.
    pub rounds: usize,
    /// How long one kind of call is repeated within a turn.
    pub turn: Duration,
}

/// The middle and the tail of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Slower than 95 of 100.
    pub p95: f64,
    /// Slower than 99 of 100.
    pub p99: f64,
}

/// The figures of one module.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// The candidate's name.
    pub name: String,
    /// What does not vary.
    #[serde(flatten)]
    pub measurement: Measurement,
    /// See [`Measurement::fuel_per_byte`].
    pub fuel_per_byte: f64,
    /// See [`Measurement::peak_above_payload`].
    pub peak_above_payload: u64,
    /// Whether the policy accepted: a rejection does other work.
    pub accepted: Option<bool>,
    /// Compiling the module on one core, the median in milliseconds.
    pub compile_ms: f64,
    /// A call with a new instance, as in a policy-server, in microseconds.
    pub fresh_us: Percentiles,
    /// A call into an instance that was called before, in microseconds.
    pub reused_us: Percentiles,
}

/// One module's figures divided by another's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ratios {
    /// Of the size of the modules.
    pub bytes: f64,
    /// Of [`Measurement::fuel`].
    pub fuel: f64,
    /// Of [`Measurement::peak_memory`].
    pub peak_memory: f64,
    /// Of [`Figures::compile_ms`].
    pub compile: f64,
    /// Of [`Figures::fresh_us`].
    pub fresh: Percentiles,
    /// Of [`Figures::reused_us`].
    pub reused: Percentiles,
}

impl Figures {
    /// These figures as multiples of `other`'s.
    pub fn ratios_to(&self, other: &Figures) -> Ratios {
        let (ours, theirs) = (&self.measurement, &other.measurement);
        Ratios {
            bytes: ours.bytes as f64 / theirs.bytes as f64,
            fuel: ours.fuel as f64 / theirs.fuel as f64,
            peak_memory: ours.peak_memory as f64 / theirs.peak_memory as f64,
            compile: self.compile_ms / other.compile_ms,
            fresh: self.fresh_us.ratios_to(&other.fresh_us),
            reused: self.reused_us.ratios_to(&other.reused_us),
        }
    }
}

/// What it costs to call one policy after the other, each with the same payload: the figures added up,
/// percentile by percentile. `None` if there are none.
pub fn sum<'a>(figures: impl IntoIterator<Item = &'a Figures>) -> Option<Figures> {
    let mut figures = figures.into_iter();
    let mut sum = figures.next()?.clone();
    for other in figures {
        sum.measurement.bytes += other.measurement.bytes;
        sum.measurement.fuel += other.measurement.fuel;
        sum.measurement.initial_memory += other.measurement.initial_memory;
        sum.measurement.peak_memory += other.measurement.peak_memory;
        sum.peak_above_payload += other.peak_above_payload;
        sum.accepted = sum.accepted.zip(other.accepted).map(|(all, this)| all && this);
        sum.compile_ms += other.compile_ms;
        sum.fresh_us.add(&other.fresh_us);
        sum.reused_us.add(&other.reused_us);
    }
    sum.name = "added up".to_owned();
    sum.fuel_per_byte = sum.measurement.fuel_per_byte();
    Some(sum)
}

impl Percentiles {
    fn add(&mut self, other: &Percentiles) {
        self.p50 += other.p50;
        self.p95 += other.p95;
        self.p99 += other.p99;
    }

    fn of(mut nanoseconds: Vec<u64>) -> Percentiles {
        nanoseconds.sort_unstable();
        let at = |percent: usize| {
            let index = (nanoseconds.len() * percent / 100).min(nanoseconds.len() - 1);
            nanoseconds[index] as f64 / 1_000.0
        };
        Percentiles { p50: at(50), p95: at(95), p99: at(99) }
    }

    fn ratios_to(&self, other: &Percentiles) -> Percentiles {
        Percentiles { p50: self.p50 / other.p50, p95: self.p95 / other.p95, p99: self.p99 / other.p99 }
    }
}

/// Starting a host with modules: it compiles each, and makes its first instance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StartUp {
    /// The number of modules.
    pub modules: usize,
    /// One module after another, on one core: the median in milliseconds.
    pub ms: f64,
    /// The same with as many no-op modules.
    pub no_op_ms: f64,
    /// The first divided by the second.
    pub to_no_op: f64,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No engine.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Nothing to compare, or no time for it.
    #[error("nothing to measure: at least one module and one round are needed")]
    Nothing,
    /// A candidate failed.
    #[error("{name}")]
    Candidate {
        /// Its name.
        name: String,
        /// What happened.
        source: MeasureError,
    },
}

/// `noop.wat`, in the form that modules have: what reads the text takes long to build.
const NO_OP: &[u8] = include_bytes!("noop.wasm");

/// A module that only copies its payload and accepts.
pub fn no_op(payload: Vec<u8>) -> Candidate {
    Candidate { name: "no-op".to_owned(), bytes: NO_OP.to_vec(), payload }
}

/// The figures of every candidate, in the order given. `progress` is called once per round.
///
/// # Errors
/// When a module cannot be loaded or does not reply to its payload.
pub fn bench(candidates: &[Candidate], effort: Effort, mut progress: impl FnMut()) -> Result<Vec<Figures>, BenchError> {
    if candidates.is_empty() || effort.rounds == 0 {
        return Err(BenchError::Nothing);
    }
    let meter = Meter::new()?;
    let host = new_host()?;
    let mut subjects = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let subject = Subject::new(&host, &meter, candidate).map_err(|source| named(candidate, source))?;
        subjects.push(subject);
    }
    for round in 0..effort.rounds {
        for subject in &mut subjects {
            subject.take_turn(&host, effort.turn, round).map_err(|source| named(subject.candidate, source))?;
        }
        progress();
    }
    Ok(subjects.into_iter().map(Subject::figures).collect())
}

/// Starting a host with all of these candidates, and with as many no-op modules, in turns.
///
/// # Errors
/// When a module cannot be loaded or instantiated.
pub fn start_up(candidates: &[Candidate], rounds: usize) -> Result<StartUp, BenchError> {
    if candidates.is_empty() || rounds == 0 {
        return Err(BenchError::Nothing);
    }
    let no_ops = vec![no_op(Vec::new()); candidates.len()];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds.min(COMPILATIONS) {
        theirs.push(start(&no_ops)?);
        ours.push(start(candidates)?);
    }
    let [ms, no_op_ms] = [ours, theirs].map(|times| Percentiles::of(times).p50 / 1_000.0);
    Ok(StartUp { modules: candidates.len(), ms, no_op_ms, to_no_op: ms / no_op_ms })
}

/// Starts a host with these modules; returns the nanoseconds that it took.
fn start(candidates: &[Candidate]) -> Result<u64, BenchError> {
    let start = Instant::now();
    let host = new_host()?;
    let mut modules = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let module = load(&host, candidate).map_err(|error| named(candidate, error.into()))?;
        module.instantiate().map_err(|error| named(candidate, error.into()))?;
        modules.push(module);
    }
    Ok(nanoseconds_since(start))
}

/// With generous limits, as a [`Meter`].
fn new_host() -> Result<Host, HostError> {
    Host::new(Limits { memory: 1 << 30, ..Limits::default() })
}

fn named(candidate: &Candidate, source: MeasureError) -> BenchError {
    BenchError::Candidate { name: candidate.name.clone(), source }
}

/// The first rounds compile too. A median needs no more, and large modules take seconds.
const COMPILATIONS: usize = 5;

struct Subject<'a> {
    candidate: &'a Candidate,
    module: Module,
    instance: Instance,
    measurement: Measurement,
    compile: Vec<u64>,
    fresh: Vec<u64>,
    reused: Vec<u64>,
}

impl<'a> Subject<'a> {
    fn new(host: &Host, meter: &Meter, candidate: &'a Candidate) -> Result<Self, MeasureError> {
        let measurement = meter.measure(&candidate.bytes, "validate", &candidate.payload)?;
        let module = load(host, candidate)?;
        let mut instance = module.instantiate()?;
        instance.call("validate", &candidate.payload)?;
        Ok(Subject {
            candidate,
            module,
            instance,
            measurement,
            compile: Vec::new(),
            fresh: Vec::new(),
            reused: Vec::new(),
        })
    }

    fn take_turn(&mut self, host: &Host, turn: Duration, round: usize) -> Result<(), MeasureError> {
        if round < COMPILATIONS {
            let start = Instant::now();
            load(host, self.candidate)?;
            self.compile.push(nanoseconds_since(start));
        }
        let payload = &self.candidate.payload;
        repeat(turn, &mut self.fresh, || self.module.call("validate", payload).map(drop))?;
        repeat(turn, &mut self.reused, || call_again(&self.module, &mut self.instance, payload))?;
        Ok(())
    }

    fn figures(self) -> Figures {
        Figures {
            name: self.candidate.name.clone(),
            fuel_per_byte: self.measurement.fuel_per_byte(),
            peak_above_payload: self.measurement.peak_above_payload(),
            accepted: accepted(&self.measurement.reply),
            measurement: self.measurement,
            compile_ms: Percentiles::of(self.compile).p50 / 1_000.0,
            fresh_us: Percentiles::of(self.fresh),
            reused_us: Percentiles::of(self.reused),
        }
    }
}

fn load(host: &Host, candidate: &Candidate) -> Result<Module, LoadError> {
    host.load(&candidate.bytes)
}

/// A module that never frees ends at the memory limit some day; then it gets a new instance.
fn call_again(module: &Module, instance: &mut Instance, payload: &[u8]) -> Result<(), CallError> {
    if instance.call("validate", payload).is_ok() {
        return Ok(());
    }
    *instance = module.instantiate()?;
    instance.call("validate", payload).map(drop)
}

fn repeat(
    turn: Duration,
    samples: &mut Vec<u64>,
    mut call: impl FnMut() -> Result<(), CallError>,
) -> Result<(), CallError> {
    let start = Instant::now();
    loop {
        let before = Instant::now();
        call()?;
        samples.push(nanoseconds_since(before));
        if start.elapsed() >= turn {
            return Ok(());
        }
    }
}

fn nanoseconds_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn accepted(reply: &[u8]) -> Option<bool> {
    let reply: serde_json::Value = serde_json::from_slice(reply).ok()?;
    reply.get("accepted")?.as_bool()
}

#[cfg(test)]
mod tests {
    use podfence_fixtures::generated::is_blessing;

    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_samples() {
        let samples = (1..=1000).rev().map(|sample| sample * 1_000).collect();
        let percentiles = Percentiles::of(samples);
        let expected = Percentiles { p50: 501.0, p95: 951.0, p99: 991.0 };
        assert_eq!(percentiles, expected);
        assert_eq!(Percentiles::of(vec![7_000]).p99, 7.0);
    }

    #[test]
    fn the_no_op_module_is_what_its_text_says() {
        let bytes = wat::parse_str(include_str!("noop.wat")).unwrap();
        if is_blessing() {
            return std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/noop.wasm"), bytes).unwrap();
        }
        assert_eq!(NO_OP, bytes, "src/noop.wasm: `BLESS=1 cargo test -p podfence-host --lib` writes it");
    }

    #[test]
    fn the_no_op_module_holds_a_large_payload_and_keeps_holding_it() {
        let candidates = [no_op(vec![b' '; 204_000])];
        let effort = Effort { rounds: 2, turn: Duration::from_millis(1) };
        let figures = bench(&candidates, effort, || {}).unwrap().remove(0);
        assert_eq!(figures.accepted, Some(true));
        assert_eq!(figures.measurement.peak_memory, 4 << 16);
        assert!(figures.measurement.fuel < 40, "{}", figures.measurement.fuel);
    }

    #[test]
    fn nothing_is_measured_of_nothing() {
        let effort = Effort { rounds: 1, turn: Duration::ZERO };
        assert!(matches!(bench(&[], effort, || {}), Err(BenchError::Nothing)));
        assert!(matches!(start_up(&[], 1), Err(BenchError::Nothing)));
        assert!(matches!(start_up(&[no_op(Vec::new())], 0), Err(BenchError::Nothing)));
    }

    #[test]
    fn start_up_is_that_of_all_modules_against_as_many_no_op_modules() {
        let candidates = vec![no_op(Vec::new()); 3];
        let StartUp { modules, ms, no_op_ms, to_no_op } = start_up(&candidates, 1).unwrap();
        assert_eq!((modules, to_no_op), (3, ms / no_op_ms));
        let trap = wat::parse_str(include_str!("../tests/hostile/trap-in-init.wat")).unwrap();
        let trap = Candidate { name: "trap".to_owned(), bytes: trap, payload: Vec::new() };
        assert_eq!(start_up(&[no_op(Vec::new()), trap], 1).unwrap_err().to_string(), "trap");
    }
}
