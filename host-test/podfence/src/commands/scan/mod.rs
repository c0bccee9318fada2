//! `podfence scan`

mod engine;
mod fix;
mod judge;
mod measure;
mod render;
mod report;
mod select;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use podfence_cluster::published::{self, Published};
use podfence_cluster::validating::Unbound;
use podfence_host::{Host, Mode};
use podfence_scan::baseline::{self, Baseline};
use podfence_scan::config::{self, Base, Config, Date, FailOn};
use podfence_scan::default_deny::Direction;
use podfence_scan::file::{CONTROLS, Options, SCAN};
use podfence_scan::finding::{Finding, Problem, Severity};
use podfence_scan::report::{Report, Summary};
use podfence_scan::request::{GroupVersionKind, Sender, default_namespace, plural};
use podfence_scan::scanned::Scanned;
use podfence_scan::suppress;
use podfence_scan::yaml;
use serde_json::Value;

use super::{COULD_NOT_JUDGE, DENIED, LimitArguments, UnboundArgument, read_settings, seconds};
use crate::text::origin;

use engine::Engine;
use fix::{Fixed, Fixes, Fixing};
use judge::Judge;
pub(super) use measure::Bench;
use report::Format;
use select::{Selection, Single, guards};
use walk::{Found, Input, Source, Walk};

const EXAMPLES: &str = "\
Examples:
  podfence scan                                the directory, by baseline and restricted
  podfence scan deploy/ --enforce restricted   all of restricted is an error
  helm template CHART | podfence scan -        the output of a renderer
  podfence scan --write-baseline               accept the findings of today, and report new ones

A comment accepts a finding: `hostPID: true  # podfence: ignore[hostNamespaces] REASON`.";

/// Judges the manifests of a repository, and shows each finding at its place in the file.
///
/// By default, violations of the Pod Security Standard baseline are errors, and those of restricted are warnings.
/// Select other policies with the options below, or in podfence.yaml. `podfence run` judges single requests instead,
/// and shows the reply of a policy-server. Exit code 0: no finding fails the run; 1: findings; 2: something could not
/// be read, judged or configured, or nothing was judged.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Files, directories, globs, and `-` for standard input. In a directory, *.yaml, *.yml, *.json and *.kyaml are
    /// read, except in hidden directories and where .gitignore, .ignore or .podfenceignore exclude them
    #[arg(value_name = "PATH|GLOB|-", default_value = ".")]
    paths: Vec<PathBuf>,

    /// Treats named files as if they were found in a directory: applies `exclude` and ignore files, and skips files
    /// without Kubernetes objects. For hooks that name all changed files
    #[arg(long)]
    as_walked: bool,

    /// Reads the files that ignore files exclude
    #[arg(long)]
    no_ignore: bool,

    /// Renders Helm charts and kustomizations, and judges the output instead of their files. Runs helm, kustomize or
    /// kubectl from the PATH; these run code of the files, and may download others
    #[arg(long, conflicts_with = "untrusted")]
    render: bool,

    /// Seconds that rendering a directory may take
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    render_timeout: Duration,

    /// The name of standard input in reports
    #[arg(long, value_name = "PATH", default_value = "<stdin>")]
    stdin_name: String,

    /// Exits with code 0 if there was nothing to judge
    #[arg(long)]
    allow_empty: bool,

    /// Reports an object that looks like a pod and is not judged as an error, not as a warning
    #[arg(long)]
    strict: bool,

    /// The lowest severity that fails a run [default: error]
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<FailOnArgument>,

    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// Writes a report into a file as well; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = output)]
    output: Vec<(Format, PathBuf)>,

    /// Shows warnings in full, and which documents were not judged
    #[arg(short, long)]
    verbose: bool,

    /// The number of threads [default: one for each processor]
    #[arg(short, long, value_name = "NUMBER")]
    jobs: Option<NonZeroUsize>,

    #[command(flatten)]
    selected: SelectedArguments,

    #[command(flatten)]
    accepted: AcceptedArguments,

    #[command(flatten)]
    fixing: FixArguments,

    #[command(flatten, next_help_heading = "Limits of a module")]
    limits: LimitArguments,
}

/// Which policies judge.
#[derive(Args)]
#[command(next_help_heading = "Policies")]
struct SelectedArguments {
    /// The Pod Security Standard whose violations are errors: privileged, baseline or restricted, with a version as in
    /// the labels of namespaces. Given alone, there are no warnings [default: baseline, with --warn restricted]
    #[arg(long, value_name = "LEVEL[:VERSION]")]
    enforce: Option<String>,

    /// The Pod Security Standard whose violations are warnings
    #[arg(long, value_name = "LEVEL[:VERSION]")]
    warn: Option<String>,

    /// Takes the standards from the labels of the Namespaces among the manifests
    #[arg(long)]
    namespace_labels: bool,

    /// Policies as documents: Kubewarden's policies and groups, ValidatingAdmissionPolicies with their bindings,
    /// Gatekeeper's constraints, an AdmissionConfiguration; may be repeated
    #[arg(long, value_name = "FILE|DIR|-")]
    policies: Vec<PathBuf>,

    /// Whether the findings of --policies are errors or warnings [default: as the mode of each policy says]
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,

    /// Objects that ValidatingAdmissionPolicies take as parameters, beside those among the policies and the manifests;
    /// may be repeated
    #[arg(long, value_name = "FILE|DIR")]
    params: Vec<PathBuf>,

    /// How to treat ValidatingAdmissionPolicies without a binding [default: they judge nothing, as in a cluster]
    #[arg(long, value_enum)]
    unbound: Option<UnboundArgument>,

    /// The namespace of objects that name none [default: default]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The user who creates the objects, for policies that ask for it [default: nobody in particular]
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,

    /// A group of that user; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    groups: Vec<String>,

    /// A single policy, with settings as JSON, or as a file; may be repeated
    #[arg(long, value_name = "NAME[=SETTINGS]")]
    policy: Vec<String>,

    /// Judges kinds without pods as well, by the policies roles, role-bindings, network-policies and services with their
    /// usual settings, beside what is selected otherwise
    #[arg(long)]
    guards: bool,

    /// Reports namespaces with pods that have no NetworkPolicy which denies everything in these directions by default,
    /// beside what the policies find
    #[arg(long, value_enum, value_name = "DIRECTION,…", value_delimiter = ',')]
    default_deny: Vec<DirectionArgument>,

    /// Where the modules are, as NAME.wasm [default: in this program, or beside it]
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,

    /// Leaves out documents of --policies that no policy of Podfence replaces
    #[arg(long)]
    skip_unknown: bool,
}

/// What is accepted.
#[derive(Args)]
#[command(next_help_heading = "Configuration and exceptions")]
struct AcceptedArguments {
    /// The configuration [default: podfence.yaml in the nearest directory, up to the root of the git repository]
    #[arg(long, value_name = "FILE", conflicts_with = "no_config")]
    config: Option<PathBuf>,

    /// Reads no configuration
    #[arg(long)]
    no_config: bool,

    /// Ignores everything in the scanned files that changes the scan: configuration, ignore files, baseline and
    /// comments. For gates on the changes of others; --config and --baseline still apply
    #[arg(long)]
    untrusted: bool,

    /// The file of findings that are accepted for now
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Writes all errors into the baseline, so that later scans accept them
    #[arg(long, conflicts_with_all = ["write_exceptions", "output"])]
    write_baseline: bool,

    /// Prints all errors as `ignore` entries of a configuration instead of a report, each with a placeholder for the
    /// reason
    #[arg(long, conflicts_with = "output")]
    write_exceptions: bool,
}

/// What is fixed.
#[derive(Args)]
#[command(next_help_heading = "Fixes")]
struct FixArguments {
    /// Fixes findings in their files, and reports what is left. `usual`: removes what few containers need; `all`: also
    /// makes changes that break many images, such as `runAsNonRoot: true` and dropping all capabilities; CONTROL,…: the
    /// findings of these controls or policies. For `-`, prints the new text, and the report on standard error
    #[arg(
        long, value_name = "usual|all|CONTROL,…", value_parser = Fixes::read, num_args = 0..=1, require_equals = true,
        default_missing_value = "usual", conflicts_with_all = ["write_baseline", "write_exceptions"]
    )]
    fix: Option<Fixes>,

    /// Prints the changes that --fix would make, with the same values, and makes none. Exit code 1: there are changes
    #[arg(
        long, value_name = "usual|all|CONTROL,…", value_parser = Fixes::read, num_args = 0..=1, require_equals = true,
        default_missing_value = "usual", conflicts_with_all = ["write_baseline", "write_exceptions", "output"]
    )]
    diff: Option<Fixes>,
}

impl FixArguments {
    fn fixes(&self) -> Option<&Fixes> {
        match (&self.fix, &self.diff) {
            (Some(fix), None | Some(Fixes::Usual)) => Some(fix),
            (fix, diff) => diff.as_ref().or(fix.as_ref()),
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum DirectionArgument {
    /// To the pods
    Ingress,
    /// From the pods
    Egress,
}

impl From<DirectionArgument> for Direction {
    fn from(argument: DirectionArgument) -> Direction {
        match argument {
            DirectionArgument::Ingress => Direction::Ingress,
            DirectionArgument::Egress => Direction::Egress,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeArgument {
    /// Errors, also of policies in mode monitor
    Protect,
    /// Warnings, also of policies in mode protect
    Monitor,
}

impl From<ModeArgument> for Mode {
    fn from(argument: ModeArgument) -> Mode {
        match argument {
            ModeArgument::Protect => Mode::Protect,
            ModeArgument::Monitor => Mode::Monitor,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum FailOnArgument {
    /// Errors
    Error,
    /// Errors and warnings
    Warning,
    /// No finding; exit code 2 remains
    Never,
}

impl From<FailOnArgument> for FailOn {
    fn from(argument: FailOnArgument) -> FailOn {
        match argument {
            FailOnArgument::Error => FailOn::Error,
            FailOnArgument::Warning => FailOn::Warning,
            FailOnArgument::Never => FailOn::Never,
        }
    }
}

fn output(text: &str) -> Result<(Format, PathBuf), String> {
    let (format, file) = text.split_once('=').ok_or("expected FORMAT=FILE, for example json=report.json")?;
    Ok((Format::from_str(format, false)?, PathBuf::from(file)))
}

/// The configuration, and where it is.
struct Configured {
    config: Config,
    /// Its directory; paths in it are relative to it.
    directory: PathBuf,
    base: Base,
    /// As messages name it.
    name: String,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let configured = self.configured()?;
        let mut judge = self.selection(&configured)?.judge(&Host::quick(self.limits.get())?)?;
        // Its own files are not manifests.
        let own = [
            configured.name.clone(),
            self.baseline_file(&configured).map(|path| walk::name(&path)).unwrap_or_default(),
        ];
        let excludes =
            |file: &str| own.iter().any(|name| name == file) || configured.config.excludes(&configured.base.path(file));
        let walk = Walk {
            paths: &self.paths,
            stdin_name: &self.stdin_name,
            has_ignore_files: !self.no_ignore && !self.accepted.untrusted,
            as_walked: self.as_walked,
            renders: self.render,
            excludes: &excludes,
            own: &own,
        };
        let mut found = walk.find()?;
        let jobs = self.jobs.map_or_else(processors, NonZeroUsize::get);
        if self.render {
            render::render(&mut found, jobs, self.render_timeout);
        }
        let standard_input = match found.inputs.iter().any(|input| input.source == Source::StandardInput) {
            true if self.selected.policies.iter().any(|path| path.as_os_str() == "-") => {
                bail!("-: standard input is either manifests or --policies")
            }
            true => Some(engine::read_standard_input().context("standard input")?),
            false => None,
        };
        let names = names(&judge);
        for entry in &configured.config.ignore {
            for name in entry.policy.iter().chain(&entry.control) {
                suppress::check_name(name, &names)
                    .map_err(|problem| anyhow!("{}:{}: ignore: {problem}", configured.name, entry.line))?;
            }
        }
        for name in self.fixing.fixes().iter().flat_map(|fixes| fixes.names()) {
            suppress::check_name(name, &names).map_err(|problem| anyhow!("--fix: {problem}"))?;
        }
        if self.fixing.fix.is_some() && self.fixing.diff.is_none() && standard_input.is_some() && found.inputs.len() > 1
        {
            bail!("--fix: found standard input beside files; its new text is printed, so that it must be alone");
        }
        let of_modules = judge.modules().map(|(name, _)| name);
        let modules: BTreeSet<String> = of_modules.chain(judge.validating.names()).map(str::to_owned).collect();
        let mut notes: Vec<String> = judge.notes().to_vec();
        notes.extend(self.set_namespaces(&configured, &mut judge, standard_input.as_deref(), &found.inputs)?);
        self.add_params(&mut judge, standard_input.as_deref(), &found.inputs)?;
        let has = |policy: &str, control: &str| {
            let of = published::find(policy);
            of.is_some_and(|of| of.controls.iter().any(|of| suppress::is_same_control(of, control)))
        };
        let ran = |name: &str| {
            let mut controls = modules.iter().filter_map(|of| published::find(of)).flat_map(|of| &of.controls);
            modules.contains(name) || controls.any(|control| control == name || has(name, control))
        };
        let default_deny = match &self.selected.default_deny[..] {
            [] => configured.config.default_deny.clone(),
            given => given.iter().copied().map(Direction::from).collect(),
        };
        let engine = Engine {
            judge: &judge,
            options: Options {
                is_trusting: !self.accepted.untrusted,
                tells_skipped: self.verbose,
                namespace: self.selected.namespace.as_deref(),
                is_strict: self.strict || configured.config.strict,
                default_deny: &default_deny,
                names: &names,
                ran: &ran,
                has: &has,
            },
            standard_input: standard_input.as_deref(),
            jobs,
        };
        let mut scanned = engine.scan(&found.inputs);
        scanned.problems.splice(0..0, std::mem::take(&mut found.problems));
        if found.links > 0 {
            let links =
                if found.links == 1 { "1 symbolic link is" } else { &format!("{} symbolic links are", found.links) };
            notes.push(format!("{links} not followed; a file that is named is read"));
        }
        scanned.summary.notes = notes;
        if scanned.summary.templates > 0 && !self.render {
            scanned.summary.hints.push(
                "Helm templates are judged as they are rendered: podfence scan --render, or helm template CHART | \
                 podfence scan -"
                    .to_owned(),
            );
        }
        if !found.kustomizations.is_empty() && !self.render {
            scanned.summary.hints.push(
                "kustomizations are judged as they are built: podfence scan --render, or kubectl kustomize DIR | \
                 podfence scan -"
                    .to_owned(),
            );
        }
        if found.inputs.is_empty() {
            notes_of_left_out(&found, &configured.name, &mut scanned.summary.notes);
        }
        scanned.summary.hints.extend(hint_at_guards(&scanned.other_kinds));
        let today = today()?;
        let baseline = self.baseline(&configured)?;
        self.accept(&configured, (today, baseline.as_ref()), &found.inputs, &modules, &mut scanned);
        let fail_on = self.fail_on.map_or(configured.config.fail_on, FailOn::from);
        if let Some(fixes) = self.fixing.fixes() {
            let accept = |findings: &mut Vec<Finding>| {
                suppress::by_config(&configured.config.ignore, findings.iter_mut(), &configured.base, today);
                if let Some((_, baseline)) = &baseline {
                    baseline.apply(findings.iter_mut());
                }
            };
            let fixed = Fixing { fixes, engine: &engine, inputs: &found.inputs, accept: &accept }.fix(&scanned);
            return self.finish_fixing(fixed, &judge, scanned, (&found.inputs, standard_input.as_deref()), fail_on);
        }
        if self.accepted.write_baseline {
            return self.write_baseline(&configured, &found.inputs, fail_on, scanned);
        }
        if self.accepted.write_exceptions {
            print!("{}", suppress::exceptions(&scanned.findings, &configured.base, today));
            return self.finish_writing(&scanned.problems);
        }
        let report = self.report(&judge, scanned);
        self.print(&report, &found.inputs, standard_input.as_deref())?;
        self.exit_code(&report, fail_on)
    }

    /// The report of what was scanned, in which it is a problem if nothing was judged.
    fn report(&self, judge: &Judge, mut scanned: Scanned) -> Report {
        // Where no file is found, the problem says so.
        let is_explained = scanned.summary.files == 0 && !scanned.problems.is_empty();
        if scanned.summary.judged == 0 && !self.allow_empty && !is_explained {
            scanned.problems.push(self.nothing_judged(&scanned.summary));
        }
        scanned.report(judge.judging())
    }

    /// Prints the changes, or makes them and reports what is left.
    fn finish_fixing(
        &self,
        fixed: Fixed,
        judge: &Judge,
        mut scanned: Scanned,
        (inputs, standard_input): (&[Input], Option<&[u8]>),
        fail_on: FailOn,
    ) -> Result<ExitCode> {
        let tell_refused = || {
            for (Finding { file, span, control, .. }, why) in &fixed.refused {
                let line = format!("{file}:{}: {control} is not fixed: {why}; edit it by hand", span.start.line);
                eprintln!("{}", crate::text::printable(&line));
            }
        };
        if self.fixing.diff.is_some() {
            let mut out = BufWriter::new(io::stdout().lock());
            fixed.files.iter().try_for_each(|file| out.write_all(file.diff().as_bytes()))?;
            out.flush()?;
            tell_refused();
            let code = self.finish_writing(&self.report(judge, scanned).problems)?;
            let is_changed = !fixed.files.is_empty();
            return Ok(if code == ExitCode::SUCCESS && is_changed { ExitCode::from(DENIED) } else { code });
        }
        let (mut findings, mut files) = (0, 0);
        let mut printed = standard_input.map(<[u8]>::to_vec);
        for file in &fixed.files {
            if file.input.source == Source::StandardInput {
                printed = Some(file.mended.text.clone().into_bytes());
            }
            match file.write() {
                Ok(()) => {
                    file.update(&mut scanned);
                    findings += file.mended.count;
                    files += 1;
                }
                Err(error) => scanned.problems.push(file.unwritten(&error)),
            }
        }
        let report = self.report(judge, scanned);
        match &printed {
            None => self.print(&report, inputs, None)?,
            Some(text) => {
                let mut out = io::stdout().lock();
                out.write_all(text).and_then(|()| out.flush())?;
                let mut source = |_: &str| Some(yaml::decode(text).into_owned());
                report::write(Format::Human, &report, &mut source, self.verbose, &mut anstream::stderr().lock())?;
            }
        }
        tell_refused();
        let many = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        eprintln!("Fixed {} in {}.", many(findings, "finding"), many(files, "file"));
        self.exit_code(&report, fail_on)
    }

    /// Takes the labels of the Namespaces among the manifests, where something asks for them. Returns what is wrong with
    /// them.
    fn set_namespaces(
        &self,
        configured: &Configured,
        judge: &mut Judge,
        standard_input: Option<&[u8]>,
        inputs: &[Input],
    ) -> Result<Vec<String>> {
        let asks = if self.selected.namespace_labels || configured.config.namespace_labels {
            "--namespace-labels"
        } else if judge.selects_by_labels() {
            "namespaceSelector"
        } else {
            return Ok(Vec::new());
        };
        if self.accepted.untrusted {
            bail!("{asks}: with --untrusted, labels of scanned Namespaces do not count; use one of the two");
        }
        let mut namespaces = BTreeMap::new();
        let mut twice = None;
        let kinds = [GroupVersionKind::new("v1", "Namespace")];
        let mut annotated = Vec::new();
        engine::for_each_of(&kinds, standard_input, inputs, |namespace| {
            let object: Value = serde_json::from_str(&namespace.json).unwrap_or_default();
            annotated.push((namespace.name.clone(), object));
            let labels = namespaces.entry(namespace.name.clone()).or_insert_with(|| namespace.labels.clone());
            if *labels != namespace.labels {
                twice = Some(namespace.name);
            }
        });
        if let Some(name) = twice {
            bail!("{asks}: Namespace {name} is defined twice, with different labels");
        }
        let problems = namespaces.iter().flat_map(|(name, labels)| {
            let problems = judge.set_namespace(name, labels);
            problems.into_iter().map(move |problem| format!("Namespace {name}: {problem}"))
        });
        let problems = problems.collect();
        for (name, object) in &annotated {
            judge.annotate_namespace(name, object);
        }
        Ok(problems)
    }

    /// Takes the objects among the manifests that policies of the API server have as parameters.
    fn add_params(&self, judge: &mut Judge, standard_input: Option<&[u8]>, inputs: &[Input]) -> Result<()> {
        let kinds: Vec<GroupVersionKind> = judge.validating.param_kinds().cloned().collect();
        if kinds.is_empty() || self.accepted.untrusted {
            return Ok(());
        }
        let mut twice = None;
        engine::for_each_of(&kinds, standard_input, inputs, |object| {
            let Ok(mut param) = serde_json::from_str::<Value>(&object.json) else { return };
            if let Some(namespace) = self.selected.namespace.as_deref().filter(|_| object.namespace.is_none())
                && default_namespace(&object.kind).is_some()
            {
                param["metadata"]["namespace"] = namespace.into();
            }
            if judge.validating.params_mut().add(&param) {
                twice.get_or_insert(format!("{} {}", object.kind.kind, object.name));
            }
        });
        match twice {
            Some(object) => bail!(
                "{object}: a parameter of policies is defined twice, with different content; \
                expected it once"
            ),
            None => Ok(()),
        }
    }

    fn configured(&self) -> Result<Configured> {
        let working = std::env::current_dir().context("the working directory")?;
        let path = match &self.accepted.config {
            Some(path) => Some(path.clone()),
            None if self.accepted.no_config || self.accepted.untrusted => None,
            None => Config::find(&working),
        };
        let Some(path) = path else {
            return Ok(Configured {
                config: Config::default(),
                directory: working,
                base: Base::default(),
                name: config::FILE.to_owned(),
            });
        };
        let text = fs::read(&path).with_context(|| origin(&path))?;
        let config = Config::read(&yaml::decode(&text)).with_context(|| origin(&path))?;
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        // Paths in a configuration from elsewhere are those of the working directory.
        let absolute = fs::canonicalize(&path).with_context(|| origin(&path))?;
        let is_above = absolute.parent().is_some_and(|parent| working.starts_with(parent));
        let base = if is_above { Base::new(&absolute, &working) } else { Base::default() };
        Ok(Configured { config, directory, base, name: walk::name(&path) })
    }

    fn selection(&self, Configured { config, directory, name: file, .. }: &Configured) -> Result<Selection> {
        let selected = &self.selected;
        let has_levels = selected.enforce.is_some() || selected.warn.is_some();
        let (enforce, warn) = match has_levels {
            true => (selected.enforce.clone(), selected.warn.clone()),
            false => (config.enforce.clone(), config.warn.clone()),
        };
        let of_config = config.policies.iter().map(|path| directory.join(path));
        let mut policy: Vec<Single> = config
            .policy
            .iter()
            .map(|(name, of)| Single {
                name: name.clone(),
                settings: Some(of.settings.clone()),
                severity: of.severity.unwrap_or(Severity::Error),
                origin: format!("{file}: policy.{name}"),
            })
            .collect();
        for argument in &selected.policy {
            let (name, settings) =
                argument.split_once('=').map_or((argument.as_str(), None), |(name, of)| (name, Some(of)));
            let origin = format!("--policy {name}");
            let settings = settings.map(|of| read_settings(&origin, Some(of))).transpose()?;
            // The command line says more than the configuration.
            policy.retain(|single| single.name != name);
            policy.push(Single { name: name.to_owned(), settings, severity: Severity::Error, origin });
        }
        Ok(Selection {
            enforce,
            warn,
            levels_of: (!has_levels).then(|| file.clone()),
            namespace_labels: selected.namespace_labels || config.namespace_labels,
            policies: of_config.chain(selected.policies.iter().cloned()).collect(),
            policy,
            guards: selected.guards || config.guards,
            mode: selected.mode.map(Mode::from),
            params: config
                .params
                .iter()
                .map(|path| directory.join(path))
                .chain(selected.params.iter().cloned())
                .collect(),
            unbound: match (selected.unbound, config.unbound) {
                (None, None) => Unbound::default(),
                (Some(argument), _) => argument.into(),
                (None, Some(config::Unbound::Deny)) => Unbound::Denies,
            },
            user: selected.user.clone().map(|user| Sender {
                user: Some(user),
                groups: selected.groups.clone(),
                ..Sender::default()
            }),
            modules: selected.modules.clone(),
            skip_unknown: selected.skip_unknown,
        })
    }

    /// Where the baseline is, if there is to be one.
    fn baseline_file(&self, Configured { config, directory, .. }: &Configured) -> Option<PathBuf> {
        let of_config = || config.baseline.as_ref().map(|path| directory.join(path));
        self.accepted.baseline.clone().or_else(of_config)
    }

    /// The baseline with its file, if there is one.
    fn baseline(&self, configured: &Configured) -> Result<Option<(PathBuf, Baseline)>> {
        let Some(path) = self.baseline_file(configured) else { return Ok(None) };
        if self.accepted.write_baseline && !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| origin(&path))?;
        let baseline = Baseline::read(&text).with_context(|| origin(&path))?;
        Ok(Some((path, baseline)))
    }

    /// Suppresses what the configuration and the baseline accept today; comments have done so before.
    fn accept(
        &self,
        configured: &Configured,
        (today, baseline): (Date, Option<&(PathBuf, Baseline)>),
        inputs: &[Input],
        modules: &BTreeSet<String>,
        scanned: &mut Scanned,
    ) {
        let Configured { config, base, name, .. } = configured;
        let outcome = suppress::by_config(&config.ignore, &mut scanned.findings, base, today);
        // Of a part of the files, an entry may well match nothing.
        if inputs.iter().any(|input| input.is_walked) && !self.as_walked {
            let unused = outcome.unused.iter();
            scanned
                .summary
                .notes
                .extend(unused.map(|of| format!("{name}:{}: this `ignore` entry matches nothing; remove it", of.line)));
        }
        for of in &outcome.expired {
            let until = of.until.map(|until| until.to_string()).unwrap_or_default();
            scanned.summary.notes.push(format!("{name}:{}: this `ignore` entry counted until {until}", of.line));
        }
        let Some((path, baseline)) = baseline else { return };
        let fixed = baseline.apply(&mut scanned.findings);
        let files: BTreeSet<String> = inputs.iter().map(|input| base.path(&input.name)).collect();
        let is_gone = |file: &str| !configured.directory.join(file).exists();
        let is_seen = |entry: &baseline::Entry| {
            (files.contains(&entry.file) || is_gone(&entry.file))
                && (modules.contains(&entry.policy) || entry.policy == SCAN)
        };
        let fixed: u32 = fixed.iter().filter(|fixed| is_seen(fixed.entry)).map(|fixed| fixed.count).sum();
        if fixed > 0 {
            let findings = if fixed == 1 { "finding is" } else { "findings are" };
            scanned.summary.notes.push(format!(
                "{}: {fixed} {findings} fixed; write the baseline again: podfence scan --write-baseline",
                walk::name(path)
            ));
        }
    }

    fn write_baseline(
        &self,
        configured: &Configured,
        inputs: &[Input],
        fail_on: FailOn,
        scanned: Scanned,
    ) -> Result<ExitCode> {
        let path = self.baseline_file(configured).unwrap_or_else(|| configured.directory.join(baseline::FILE));
        if scanned.summary.judged == 0 {
            let Problem { file, message, .. } = self.nothing_judged(&scanned.summary);
            bail!("{file}: {message}; the baseline stays as it was");
        }
        let least = if fail_on == FailOn::Warning { Severity::Warning } else { Severity::Error };
        let findings = scanned.findings.iter().filter(|finding| finding.severity >= least);
        // What was not read keeps its entries.
        let unread: BTreeSet<&str> = scanned.problems.iter().map(|problem| problem.file.as_str()).collect();
        let read: BTreeSet<String> = inputs
            .iter()
            .filter(|input| !unread.contains(input.name.as_str()))
            .map(|input| configured.base.path(&input.name))
            .collect();
        let is_gone = |file: &str| !configured.directory.join(file).exists();
        let kept = |entry: &baseline::Entry| !read.contains(&entry.file) && !is_gone(&entry.file);
        let mut baseline = Baseline::of(findings, &configured.base);
        if let Ok(text) = fs::read_to_string(&path) {
            baseline.keep(Baseline::read(&text).with_context(|| origin(&path))?, kept);
        }
        // In the place of a symbolic link, not where it leads to.
        let new = path.with_extension("json.new");
        fs::write(&new, baseline.write()).and_then(|()| fs::rename(&new, &path)).with_context(|| origin(&path))?;
        let count = baseline.entries().len();
        eprintln!(
            "{}: {count} {}",
            crate::text::visible(&walk::name(&path)),
            if count == 1 { "entry" } else { "entries" }
        );
        if configured.config.baseline.is_none() && self.accepted.baseline.is_none() {
            eprintln!("To use it: `baseline: {}` in {}, or --baseline", baseline::FILE, config::FILE);
        }
        self.finish_writing(&scanned.problems)
    }

    /// What could not be read is in no file that was written.
    fn finish_writing(&self, problems: &[Problem]) -> Result<ExitCode> {
        for Problem { file, position, message } in problems {
            let at = position.map(|at| format!(":{}:{}", at.line, at.col)).unwrap_or_default();
            eprintln!("error: {}", crate::text::printable(&format!("{file}{at}: {message}")));
        }
        Ok(ExitCode::from(if problems.is_empty() { 0 } else { COULD_NOT_JUDGE }))
    }

    fn print(&self, report: &Report, inputs: &[Input], standard_input: Option<&[u8]>) -> Result<()> {
        let held: BTreeMap<&str, &[u8]> = inputs
            .iter()
            .filter_map(|input| match &input.source {
                Source::StandardInput => Some((input.name.as_str(), standard_input?)),
                Source::Rendered(text) => Some((input.name.as_str(), text)),
                Source::File(_) => None,
            })
            .collect();
        let mut source = |file: &str| {
            let text = match held.get(file) {
                Some(bytes) => yaml::decode(bytes).into_owned(),
                None => yaml::decode(&fs::read(file).ok()?).into_owned(),
            };
            Some(text)
        };
        let mut out: Box<dyn Write> = match self.format {
            // Control characters are escaped in them, so that there is nothing to strip.
            format if !format.is_for_people() => Box::new(BufWriter::new(io::stdout().lock())),
            _ => Box::new(BufWriter::new(anstream::stdout().lock())),
        };
        report::write(self.format, report, &mut source, self.verbose, &mut out)?;
        out.flush()?;
        if !matches!(self.format, Format::Human | Format::Json) {
            report::write_sum(report, &mut anstream::stderr().lock())?;
        }
        for (format, path) in &self.output {
            let mut text = Vec::new();
            report::write(*format, report, &mut source, self.verbose, &mut anstream::StripStream::new(&mut text))?;
            fs::write(path, text).with_context(|| origin(path))?;
        }
        Ok(())
    }

    /// Nothing judged is not clean.
    fn nothing_judged(&self, summary: &Summary) -> Problem {
        let paths: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
        let bins = report::not_judged(summary);
        let found = if bins.is_empty() { "no manifests".to_owned() } else { bins.join(", ") };
        let message = format!("nothing was judged: found {found}; --allow-empty accepts that");
        Problem { file: paths.join(", "), position: None, message }
    }

    fn exit_code(&self, report: &Report, fail_on: FailOn) -> Result<ExitCode> {
        let Summary { errors, warnings, .. } = report.summary;
        if !report.problems.is_empty() {
            return Ok(ExitCode::from(COULD_NOT_JUDGE));
        }
        let is_failed = match fail_on {
            FailOn::Error => errors > 0,
            FailOn::Warning => errors + warnings > 0,
            FailOn::Never => false,
        };
        if is_failed {
            return Ok(ExitCode::from(DENIED));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What comments and the configuration may name: policies and controls.
fn names(judge: &Judge) -> BTreeSet<String> {
    let of_scan = CONTROLS.iter().chain([&SCAN]).map(|name| (*name).to_owned());
    let published = published::all().iter().flat_map(|of| of.controls.iter().cloned().chain([of.policy.to_owned()]));
    let controls = judge.validating.controls();
    of_scan.chain(published).chain(judge.names().map(str::to_owned)).chain(controls).collect()
}

/// Says why no file is read where there are some.
fn notes_of_left_out(found: &Found, configuration: &str, notes: &mut Vec<String>) {
    let files = |count: usize| if count == 1 { "1 file is".to_owned() } else { format!("{count} files are") };
    if found.ignored > 0 {
        notes.push(format!(
            "{} left out by .gitignore, .ignore or .podfenceignore; --no-ignore reads them",
            files(found.ignored)
        ));
    }
    if found.excluded > 0 {
        notes.push(format!("{} left out by `exclude` of {configuration}", files(found.excluded)));
    }
}

/// Which policies judge kinds without pods that none judged, if there are some.
fn hint_at_guards(kinds: &BTreeSet<(String, String)>) -> Option<String> {
    let is_seen = |guard: &Published, (group, kind): &(String, String)| {
        let has = |list: &Value, name: &str| list.as_array().is_some_and(|list| list.iter().any(|of| of == name));
        let mut rules = guard.rules.as_array().into_iter().flatten();
        rules.any(|rule| has(&rule["apiGroups"], group) && has(&rule["resources"], &plural(kind)))
    };
    let is_guarded = |of: &&(String, String)| guards().any(|guard| is_seen(guard, of));
    let guarded: Vec<&str> = kinds.iter().filter(is_guarded).map(|(_, kind)| kind.as_str()).collect();
    let guards = guards().filter(|guard| kinds.iter().any(|of| is_seen(guard, of)));
    let names: Vec<&str> = guards.map(|guard| guard.policy).collect();
    (!names.is_empty()).then(|| {
        format!(
            "found {}, which no selected policy judges: --guards adds {}; --policy NAME selects one of them",
            guarded.join(", "),
            names.join(", ")
        )
    })
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn today() -> Result<Date> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Date::at(now.as_secs()))
}
