//! Reads the arguments, and holds what the commands share.

mod bench;
mod completions;
mod deploy;
mod explain;
mod inspect;
mod man;
mod migrate;
mod modules;
mod publish;
mod run;
mod scan;
mod test;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use podfence_cluster::documents;
use podfence_cluster::kustomization::Kustomization;
use podfence_cluster::validating::{Unbound, Validating};
use podfence_host::evaluate::settings_object;
use podfence_host::{Host, Limits};
use podfence_scan::AdmissionRequest;
use podfence_scan::custom_kinds::{self, CustomKind};
use podfence_scan::read::{self, LARGEST_DOCUMENT, LARGEST_MODULE};
use podfence_scan::request::{self, Sender};
use serde_json::{Map, Value};

use crate::text::{origin, printable, visible};

pub(crate) use modules::version;

/// The exit code of a denied request or a failed fixture.
pub(crate) const DENIED: u8 = 1;

/// The exit code when there is no verdict: bad input, a broken module, invalid settings.
pub(crate) const COULD_NOT_JUDGE: u8 = 2;

/// Judges Kubernetes manifests by pod-security policies, and tests, deploys and publishes the policies.
///
/// `podfence scan` judges the files of a repository, and `podfence run` single requests, by the modules that a
/// Kubewarden policy-server runs.
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = "`podfence --version -v` lists the modules in this program.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Scan(scan::Arguments),
    Test(test::Arguments),
    Run(run::Arguments),
    Explain(explain::Arguments),
    Inspect(inspect::Arguments),
    #[command(flatten)]
    Publishing(publish::Publishing),
    Bench(bench::Arguments),
    Deploy(deploy::Arguments),
    Migrate(migrate::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

impl Cli {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Scan(arguments) => arguments.run(),
            Command::Test(arguments) => arguments.run(),
            Command::Run(arguments) => arguments.run(),
            Command::Explain(arguments) => arguments.run(),
            Command::Inspect(arguments) => arguments.run(),
            Command::Publishing(command) => command.run(),
            Command::Bench(arguments) => arguments.run(),
            Command::Deploy(arguments) => arguments.run(),
            Command::Migrate(arguments) => arguments.run(),
            Command::Completions(arguments) => arguments.run(),
            Command::Man(arguments) => arguments.run(),
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

/// How to treat ValidatingAdmissionPolicies without a binding.
#[derive(Clone, Copy, ValueEnum)]
enum UnboundArgument {
    /// Judge every object that they match, and deny violations.
    Deny,
}

impl From<UnboundArgument> for Unbound {
    fn from(argument: UnboundArgument) -> Unbound {
        match argument {
            UnboundArgument::Deny => Unbound::Denies,
        }
    }
}

/// Adds the objects in files and directories that policies take as parameters.
fn add_params(validating: &mut Validating, paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        for file in document_files(path)? {
            for object in read_documents(&file)?.iter().flat_map(documents::items) {
                if validating.params_mut().add(object) {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    bail!(
                        "{}: {} {name} is defined twice, with different content",
                        origin(&file),
                        visible(&object["kind"].to_string())
                    );
                }
            }
        }
    }
    Ok(())
}

/// What a module may use.
#[derive(Args)]
struct LimitArguments {
    /// Seconds that each call may take, as in a policy-server; fractions are allowed
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    timeout: Duration,

    /// MiB of memory that an instance may use; a policy-server has no such limit
    #[arg(long, value_name = "MIB", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    memory: u16,
}

impl LimitArguments {
    fn get(&self) -> Limits {
        Limits { timeout: self.timeout, memory: usize::from(self.memory) << 20, ..Limits::default() }
    }

    fn host(&self) -> Result<Host> {
        Ok(Host::new(self.get())?)
    }
}

/// Which custom kinds the policies evaluate.
#[derive(Args)]
struct KindsArgument {
    /// Custom kinds whose pods are evaluated as well, by project, or `all`
    #[arg(long, value_name = "PROJECTS", value_delimiter = ',',
        value_parser = PossibleValuesParser::new(custom_kinds::projects().map(|(name, _)| name).chain(["all"])))]
    kinds: Vec<String>,
}

impl KindsArgument {
    fn get(&self) -> Vec<&'static CustomKind> {
        let is_asked = |project: &str| self.kinds.iter().any(|name| name == project || name == "all");
        custom_kinds::projects().filter(|(name, _)| is_asked(name)).flat_map(|(_, kinds)| kinds).collect()
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if (0.001..=3600.0).contains(&seconds) => Ok(duration),
        _ => Err("not between 0.001 and 3600".to_owned()),
    }
}

/// A registry and a path in it: a host, with a port if need be, and components as OCI has them, without tag and digest.
fn registry(text: &str) -> Result<String, String> {
    let (host, path) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
    let is_host = |letter: char| letter.is_ascii_alphanumeric() || ".-:[]".contains(letter);
    let is_component = |component: &str| {
        let is_end = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let is_letter = |letter: char| is_end(letter) || ".-_".contains(letter);
        component.starts_with(is_end)
            && component.ends_with(is_end)
            && component.chars().all(is_letter)
            && !component.contains("..")
    };
    match !host.is_empty() && host.chars().all(is_host) && path.is_none_or(|path| path.split('/').all(is_component)) {
        true => Ok(text.to_owned()),
        false => Err("expected HOST/PATH without a scheme, a tag and capital letters in the path, such as \
                      registry.example.com/podfence"
            .to_owned()),
    }
}

fn read_module(path: &Path) -> Result<Vec<u8>> {
    read::file(path, LARGEST_MODULE).with_context(|| origin(path))
}

/// The documents of a YAML or JSON file.
fn read_documents(path: &Path) -> Result<Vec<Value>> {
    let bytes = read::file(path, LARGEST_DOCUMENT).with_context(|| origin(path))?;
    read::parse(&bytes).with_context(|| origin(path))
}

/// The file, or those of the directory that may hold documents, sorted.
fn document_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut files: Vec<PathBuf> = entries.with_context(|| origin(path))?.iter().map(fs::DirEntry::path).collect();
    files.retain(|path| path.extension().is_some_and(|of| of == "yaml" || of == "yml" || of == "json"));
    files.sort();
    Ok(files)
}

/// The documents of a file or a directory of policies, each with its file, as the kustomizations among them make them:
/// the resources that a kustomization has elsewhere are read as well, and its patches change all documents beside it and
/// in these resources.
fn policy_documents(path: &Path) -> Result<Vec<(PathBuf, Value)>> {
    built_documents(path, &mut path.canonicalize().into_iter().collect())
}

/// The same within kustomizations that refer to each other.
fn built_documents(path: &Path, referring: &mut Vec<PathBuf>) -> Result<Vec<(PathBuf, Value)>> {
    let files = document_files(path)?;
    let (mut built, mut kustomizations) = (Vec::new(), Vec::new());
    for file in &files {
        for value in read_documents(file)?.iter().flat_map(documents::items) {
            if Kustomization::is(value) {
                let kustomization = Kustomization::read(value).map_err(anyhow::Error::msg);
                kustomizations.push((file, kustomization.with_context(|| origin(file))?));
            } else {
                built.push((file.clone(), value.clone()));
            }
        }
    }
    for (file, Kustomization { resources, .. }) in &kustomizations {
        for resource in resources {
            let from = file.parent().unwrap_or(Path::new("")).join(resource);
            // What is on standard input has its files beside it there.
            if files.contains(&from) || file.as_os_str() == "-" && !resource.contains('/') {
                continue;
            }
            let real = from.canonicalize().with_context(|| {
                format!(
                    "{}: Kustomization: resources: {resource:?}: expected a file or a directory; pass the output of \
                     `kubectl kustomize` instead",
                    origin(file)
                )
            })?;
            if referring.contains(&real) {
                bail!("{}: Kustomization: resources: {resource:?}: refers to itself", origin(file));
            }
            referring.push(real);
            built.extend(built_documents(&from, referring)?);
            referring.pop();
        }
    }
    for (file, kustomization) in &kustomizations {
        for (of, document) in &mut built {
            let patched = kustomization.apply(document).map_err(anyhow::Error::msg);
            patched.with_context(|| format!("{}: {}", origin(file), origin(of)))?;
        }
    }
    Ok(built)
}

/// That a file or a directory of policies has none in it: says what is there instead. `found` names documents of other
/// kinds.
fn no_policies(path: &Path, found: &[String]) -> anyhow::Error {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut directories: Vec<String> = entries.filter(|of| of.path().is_dir()).map(|of| origin(&of.path())).collect();
    directories.sort();
    let (found, directories) = (list(found), list(&directories));
    let expected = "expected policies, of the kinds that --help lists for --policies";
    let what = match (path.is_dir(), found.is_empty(), directories.is_empty()) {
        (_, false, _) => format!("found {found}; {expected}"),
        (true, true, false) => {
            format!("found only directories, which are not read; name one of them: {directories}")
        }
        (true, true, true) => format!("found no documents in *.yaml, *.yml and *.json; {expected}"),
        (false, true, _) => format!("found no documents; {expected}"),
    };
    anyhow!("{}: no policies in it: {}", origin(path), printable(&what))
}

/// The first texts of several, and how many more there are.
fn list(texts: &[String]) -> String {
    const MOST: usize = 10;
    let mut shown = texts.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if texts.len() > MOST {
        shown += &format!(" and {} more", texts.len() - MOST);
    }
    shown
}

fn read_requests(path: &Path, sender: &Sender) -> Result<Vec<AdmissionRequest>> {
    read::file(path, LARGEST_DOCUMENT).and_then(|bytes| request::requests(&bytes, sender)).with_context(|| origin(path))
}

/// Settings as the argument of an option: an object in JSON or YAML flow style, or a file. None is `{}`.
fn read_settings(option: &str, argument: Option<&str>) -> Result<Map<String, Value>> {
    const EXPECTED: &str = "expected a file, or an object with the policy's settings, such as '{NAME: VALUE}'";
    let Some(argument) = argument else {
        return Ok(Map::new());
    };
    if argument.trim().is_empty() {
        bail!("{option}: settings are empty; {EXPECTED}");
    }
    let inline = argument.trim_start().starts_with(['{', '[']);
    let (bytes, origin) = if inline {
        (argument.as_bytes().to_vec(), option.to_owned())
    } else {
        let path = Path::new(argument);
        if !path.exists() {
            bail!("{option}: found {argument:?}, which is not a file; {EXPECTED}");
        }
        let bytes = read::file(path, LARGEST_DOCUMENT).with_context(|| origin(path))?;
        (bytes, origin(path))
    };
    let mut documents = read::parse(&bytes).with_context(|| origin.clone())?;
    if documents.len() > 1 {
        bail!("{origin}: {} documents; settings are one", documents.len());
    }
    settings_object(documents.pop().unwrap_or_default()).context(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_host_and_a_path() {
        for good in ["registry.example.com/podfence", "localhost:5000", "[::1]:5000/a/b-c.d_e"] {
            assert_eq!(registry(good), Ok(good.to_owned()));
        }
        for bad in ["", "https://a/b", "a//b", "r/x:tag", "r/a..b", "r/-x", "r/Pod", "x y", "r/", "r/x@sha256:00"] {
            assert!(registry(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_timeout_is_a_positive_number() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["0", "-1", "NaN", "inf", "1e300", "two"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
