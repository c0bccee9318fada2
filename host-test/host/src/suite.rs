//! The fixtures of every policy against the built modules.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use podfence_fixtures::{FixtureError, Mismatch, Replay, Suite, discover};
use podfence_scan::names::unknown_policy;
use podfence_scan::read::{self, InputError, LARGEST_MODULE};
use serde::Serialize;

use crate::engine::{Host, LoadError, Module};
use crate::opa::{self, OpaModule};

/// Where policies and their modules lie, and which of them to run.
#[derive(Debug, Clone)]
pub struct Selection {
    /// A directory in here that holds `fixtures.yaml` is a policy.
    pub policies: PathBuf,
    /// Holds `<policy>.wasm` for each policy.
    pub modules: PathBuf,
    /// What these modules speak.
    pub abi: Abi,
    /// Only these policies; all when empty.
    pub names: Vec<String>,
    /// Only the replays whose `policy: fixture (form)` contains this text.
    pub filter: Option<String>,
}

/// How a host calls a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Abi {
    /// Kubewarden's.
    #[default]
    Wapc,
    /// That of OPA's modules.
    Opa,
}

/// A module that fixtures run against.
trait Subject {
    /// Runs one in a fresh instance, and compares its reply with the expected one.
    fn replay(&self, replay: &Replay) -> Result<(), Mismatch>;
}

impl Subject for Module {
    fn replay(&self, replay: &Replay) -> Result<(), Mismatch> {
        match self.call(replay.operation, &replay.payload) {
            Ok(reply) => replay.check(Ok(&reply)),
            Err(error) => replay.check(Err(&error.reason())),
        }
    }
}

impl Subject for OpaModule {
    fn replay(&self, replay: &Replay) -> Result<(), Mismatch> {
        // What is no JSON is no JSON for these hosts either.
        let input = replay.opa_input().map(String::into_bytes).unwrap_or_else(|_| replay.payload.clone());
        match self.evaluate(&input) {
            Ok(results) => match opa::results(&results) {
                Ok(results) => replay.check_opa(Ok(results.as_bytes())),
                Err(error) => replay.check_opa(Err(&error)),
            },
            Err(error) => replay.check_opa(Err(&error.reason())),
        }
    }
}

/// The results of all policies, by name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteReport {
    /// Replays as expected.
    pub passed: usize,
    /// Replays not as expected.
    pub failed: usize,
    /// One per policy.
    pub policies: Vec<PolicyReport>,
}

/// The results of one policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReport {
    /// The name of its directory.
    pub policy: String,
    /// The module that ran.
    pub module: PathBuf,
    /// Its size.
    pub module_bytes: usize,
    /// How many fixtures ran.
    pub cases: usize,
    /// Each replay of each fixture.
    pub replays: Vec<ReplayReport>,
}

impl PolicyReport {
    /// How many replays are not as expected.
    pub fn failed(&self) -> usize {
        self.replays.iter().filter(|replay| replay.mismatch.is_some()).count()
    }
}

/// The result of one replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// The fixture's name.
    pub fixture: String,
    /// The shape in which it ran, for example `Deployment`.
    pub form: String,
    /// Set when it is not as expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<Mismatch>,
}

impl ReplayReport {
    /// How reports name it, and what a filter is compared with.
    pub fn title(&self, policy: &str) -> String {
        title(policy, &self.fixture, &self.form)
    }
}

fn title(policy: &str, fixture: &str, form: &str) -> String {
    format!("{policy}: {fixture} ({form})")
}

/// Where there are policies to test.
const IN_A_CLONE: &str = "run it in a clone of Podfence's repository, or name a directory of policies with --policies";

/// Why the fixtures could not run.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// A directory that cannot be listed.
    #[error("{}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No directory of policies.
    #[error("{}: no such directory; {IN_A_CLONE}", .0.display())]
    NoDirectory(PathBuf),
    /// No policy at all.
    #[error("{}: no directory in it holds fixtures.yaml; {IN_A_CLONE}", .0.display())]
    NoPolicies(PathBuf),
    /// A name given by the user.
    #[error("{}", unknown_policy(name, known.iter().map(String::as_str)))]
    Unknown {
        /// The name.
        name: String,
        /// All policies.
        known: Vec<String>,
    },
    /// A policy was not built.
    #[error("no module for policy `{policy}` at {}: run `{command}`", path.display())]
    NotBuilt {
        /// The policy.
        policy: String,
        /// Where its module should lie.
        path: PathBuf,
        /// What builds it.
        command: &'static str,
    },
    /// A module of a policy that is gone.
    #[error("{} does not belong to a policy: remove it, or add the policy's fixtures.yaml", .0.display())]
    Stray(PathBuf),
    /// A module that cannot be read.
    #[error("{}", path.display())]
    Read {
        /// The module.
        path: PathBuf,
        /// Why.
        source: InputError,
    },
    /// A module that is not a policy.
    #[error("{}", path.display())]
    Load {
        /// The module.
        path: PathBuf,
        /// Why.
        source: LoadError,
    },
    /// Fixtures that cannot be used.
    #[error(transparent)]
    Fixtures(#[from] FixtureError),
    /// The filter left nothing.
    #[error("no fixture contains `{0}`")]
    NothingMatches(String),
}

/// Everything that is ready to run.
pub struct Prepared {
    policies: Vec<PreparedPolicy>,
}

struct PreparedPolicy {
    name: String,
    path: PathBuf,
    bytes: usize,
    module: Box<dyn Subject>,
    replays: Vec<Replay>,
}

/// Loads fixtures and modules.
///
/// # Errors
/// When a policy has no module, a module no policy, or either cannot be read.
pub fn prepare(host: &Host, selection: &Selection) -> Result<Prepared, SuiteError> {
    let known = policies_in(&selection.policies)?;
    if let Some(name) = selection.names.iter().find(|name| !known.contains(*name)) {
        return Err(SuiteError::Unknown { name: name.clone(), known: known.into_iter().collect() });
    }
    let chosen = if selection.names.is_empty() {
        refuse_strays(&selection.modules, &known)?;
        known
    } else {
        selection.names.iter().cloned().collect()
    };
    let mut policies = Vec::with_capacity(chosen.len());
    for name in chosen {
        policies.push(prepare_policy(host, selection, name)?);
    }
    match &selection.filter {
        Some(filter) if policies.iter().all(|policy| policy.replays.is_empty()) => {
            Err(SuiteError::NothingMatches(filter.clone()))
        }
        _ => Ok(Prepared { policies }),
    }
}

fn policies_in(directory: &Path) -> Result<BTreeSet<String>, SuiteError> {
    let names = discover(directory).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SuiteError::NoDirectory(directory.to_owned()),
        _ => SuiteError::List { path: directory.to_owned(), source },
    })?;
    if names.is_empty() {
        return Err(SuiteError::NoPolicies(directory.to_owned()));
    }
    Ok(names.into_iter().collect())
}

fn refuse_strays(modules: &Path, known: &BTreeSet<String>) -> Result<(), SuiteError> {
    if !modules.exists() {
        return Ok(());
    }
    let stray = entries(modules)?.into_iter().find(|path| {
        let name = path.file_stem().and_then(|name| name.to_str());
        path.extension().is_some_and(|extension| extension == "wasm") && !name.is_some_and(|name| known.contains(name))
    });
    match stray {
        Some(path) => Err(SuiteError::Stray(path)),
        None => Ok(()),
    }
}

/// In order of their names, so that the first error is the same on every machine.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, SuiteError> {
    let failed = |source| SuiteError::List { path: directory.to_owned(), source };
    let mut paths = fs::read_dir(directory)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<PathBuf>>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn prepare_policy(host: &Host, selection: &Selection, name: String) -> Result<PreparedPolicy, SuiteError> {
    let path = selection.modules.join(format!("{name}.wasm"));
    if !path.exists() {
        let command = if selection.abi == Abi::Opa { "make opa" } else { "make all" };
        return Err(SuiteError::NotBuilt { policy: name, path, command });
    }
    let bytes = read::file(&path, LARGEST_MODULE).map_err(|source| SuiteError::Read { path: path.clone(), source })?;
    let module: Result<Box<dyn Subject>, LoadError> = match selection.abi {
        Abi::Wapc => host.load(&bytes).map(|module| Box::new(module) as _),
        Abi::Opa => host.load_opa(&bytes).map(|module| Box::new(module) as _),
    };
    let module = module.map_err(|source| SuiteError::Load { path: path.clone(), source })?;
    let suite = Suite::load(&selection.policies.join(&name))?;
    let filter = selection.filter.as_deref().unwrap_or_default();
    let mut replays = suite.replays();
    replays.retain(|replay| title(&name, &replay.fixture, &replay.form).contains(filter));
    Ok(PreparedPolicy { name, path, bytes: bytes.len(), module, replays })
}

impl Prepared {
    /// How many replays will run.
    pub fn replays(&self) -> usize {
        self.policies.iter().map(|policy| policy.replays.len()).sum()
    }

    /// Runs them, each in a fresh instance. `progress` is called after each with its policy.
    pub fn run(&self, mut progress: impl FnMut(&str)) -> SuiteReport {
        let policies: Vec<PolicyReport> = self.policies.iter().map(|policy| policy.run(&mut progress)).collect();
        let failed = policies.iter().map(PolicyReport::failed).sum();
        SuiteReport { passed: self.replays() - failed, failed, policies }
    }
}

impl PreparedPolicy {
    fn run(&self, progress: &mut impl FnMut(&str)) -> PolicyReport {
        let fixtures: BTreeSet<&str> = self.replays.iter().map(|replay| replay.fixture.as_str()).collect();
        let replays = self
            .replays
            .iter()
            .map(|replay| {
                let report = run_replay(&*self.module, replay);
                progress(&self.name);
                report
            })
            .collect();
        PolicyReport {
            policy: self.name.clone(),
            module: self.path.clone(),
            module_bytes: self.bytes,
            cases: fixtures.len(),
            replays,
        }
    }
}

/// The most that a report keeps of what a module said, in bytes: as much as `podfence run` shows.
const KEPT: usize = 8 << 10;

fn cut(mut mismatch: Mismatch) -> Mismatch {
    let length = mismatch.got.len();
    if length > KEPT {
        mismatch.got.truncate(mismatch.got.floor_char_boundary(KEPT));
        mismatch.got += &format!("… ({length} bytes in all)");
    }
    mismatch
}

fn run_replay(module: &dyn Subject, replay: &Replay) -> ReplayReport {
    let mismatch = module.replay(replay).err().map(cut);
    ReplayReport { fixture: replay.fixture.clone(), form: replay.form.clone(), mismatch }
}
