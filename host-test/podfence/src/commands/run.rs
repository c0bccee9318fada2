//! `podfence run`

mod documents;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use podfence_cluster::published;
use podfence_host::evaluate::SettingsError;
use podfence_host::{AdmissionResponse, Evaluation, Mode, Policy, inspect};
use podfence_scan::{AdmissionRequest, custom_kinds};
use serde_json::{Map, Value};

use super::{
    COULD_NOT_JUDGE, DENIED, KindsArgument, LimitArguments, Output, read_module, read_requests, read_settings,
};
use crate::text::{module_name, origin, printable};

use documents::Cluster;

const ALLOWED_STYLE: Style = AnsiColor::Green.on_default().bold();
const DENIED_STYLE: Style = AnsiColor::Red.on_default().bold();

/// Judges a manifest, an AdmissionRequest or an AdmissionReview, and shows what a policy-server would answer.
///
/// For single requests and for what a cluster would say; `podfence scan` judges the files of a repository.
/// By one module with settings, or with --policies by the documents that a cluster has, each with its rules,
/// selectors, settings and mode. Exit code 0: all allowed; 1: something denied; 2: could not judge, or nothing was
/// judged.
#[derive(Args)]
pub(super) struct Arguments {
    /// The policy: a waPC module
    #[arg(required_unless_present = "policies")]
    module: Option<PathBuf>,

    /// Policies and groups as documents: a file, a directory of files, or `-` for what `kubectl kustomize` prints
    #[arg(long, value_name = "FILE|DIR", conflicts_with_all = ["module", "settings", "kinds", "allowed_to_mutate", "message"])]
    policies: Option<PathBuf>,

    /// Where the modules of --policies are, each under the last part of its URL: NAME.wasm
    #[arg(long, value_name = "DIR", default_value = "target/policies", requires = "policies")]
    modules: PathBuf,

    /// What to judge, YAML or JSON, any number of documents; `-` is standard input. A manifest is
    /// judged as its creation
    #[arg(short, long, value_name = "FILE")]
    request: PathBuf,

    /// The policy's settings, a YAML or JSON file or an inline object [default: {}]
    #[arg(short, long, value_name = "FILE|JSON")]
    settings: Option<String>,

    #[command(flatten)]
    kinds: KindsArgument,

    /// What becomes of a verdict [default: protect, or what the policies say]
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,

    /// Whether a patch is passed on; without it a patch is a denial [default: what the module's
    /// metadata says, true where it has none]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allowed_to_mutate: Option<bool>,

    /// Replaces the policy's message, which then becomes a cause
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// What to print: an answer, or an AdmissionResponse for each request
    #[arg(short, long, value_enum, default_value_t = Output::Human)]
    output: Output,

    #[command(flatten)]
    limits: LimitArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeArgument {
    /// The verdict stands.
    Protect,
    /// Everything is allowed, unchanged.
    Monitor,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mode = self.mode.map(|mode| match mode {
            ModeArgument::Protect => Mode::Protect,
            ModeArgument::Monitor => Mode::Monitor,
        });
        if let Some(policies) = &self.policies {
            let cluster = Cluster { policies, modules: &self.modules, mode };
            return cluster.run(&self.limits.host()?, &read_requests(&self.request)?, self.output);
        }
        let module = self.module.as_deref().context("expected a module or --policies")?;
        let (policy, rules) = self.policy(module, mode.unwrap_or_default())?;
        let requests = read_requests(&self.request)?;
        policy.validate_settings().map_err(|error| settings_refused(module, error))?;

        let mut out = anstream::stdout().lock();
        let mut outcome = Outcome::default();
        for request in &requests {
            let is_seen = rules.as_ref().is_none_or(|rules| sees(rules, &policy.settings, request));
            if !is_seen && self.output == Output::Human {
                let title = if requests.len() > 1 { printable(&title(request)) + ": " } else { String::new() };
                writeln!(out, "{title}skipped: {NO_POD}")?;
                continue;
            }
            let evaluation = if is_seen { policy.evaluate(request) } else { skipped(request) };
            outcome.add(&evaluation);
            match self.output {
                Output::Human => {
                    if requests.len() > 1 {
                        write!(out, "{}: ", printable(&title(request)))?;
                    }
                    write_answer(&evaluation, &mut out)?;
                }
                Output::Json => {
                    serde_json::to_writer(&mut out, &evaluation.response).map_err(io::Error::from)?;
                    writeln!(out)?;
                }
            }
        }
        out.flush()?;
        outcome.exit_code()
    }

    /// The policy, and the rules that it is published with.
    fn policy(&self, path: &Path, mode: Mode) -> Result<(Policy, Option<Value>)> {
        let origin = || origin(path);
        let bytes = read_module(path)?;
        let module = self.limits.host()?.load(&bytes).with_context(origin)?;
        let mut settings = read_settings(self.settings.as_deref())?;
        custom_kinds::add_to_settings(&self.kinds.get(), &mut settings);
        let metadata = inspect::metadata(&bytes).with_context(origin)?;
        let mutating = metadata.as_ref().is_none_or(|metadata| metadata["mutating"] == Value::Bool(true));
        let name = module_name(path);
        let published = || published::find(&name).map(|published| published.rules.clone());
        let rules = metadata.map(|mut metadata| metadata["rules"].take()).filter(Value::is_array).or_else(published);
        let policy = Policy {
            name,
            module,
            settings,
            mode,
            allowed_to_mutate: self.allowed_to_mutate.unwrap_or(mutating),
            message: self.message.clone(),
        };
        Ok((policy, rules))
    }
}

/// What a policy of pods says of other objects.
const NO_POD: &str = "holds no pod, by the rules that the policy is published with";

/// Whether the object of a request is of a kind that rules name, or that the settings describe. Of other kinds, a
/// policy-server would not send it.
fn sees(rules: &Value, settings: &Map<String, Value>, request: &AdmissionRequest) -> bool {
    let has = |list: &Value, item: &str| {
        list.as_array().into_iter().flatten().any(|of| of == "*" || of == "*/*" || of == item)
    };
    let resource = match request.sub_resource.as_deref() {
        None | Some("") => request.resource.resource.clone(),
        Some(sub_resource) => format!("{}/{sub_resource}", request.resource.resource),
    };
    let mut rules = rules.as_array().into_iter().flatten();
    let mut described = settings.get("podSpecPaths").and_then(Value::as_array).into_iter().flatten();
    rules.any(|rule| has(&rule["apiGroups"], &request.resource.group) && has(&rule["resources"], &resource))
        || described.any(|of| of["group"] == request.kind.group && of["kind"] == request.kind.kind)
}

fn skipped(request: &AdmissionRequest) -> Evaluation {
    let response = AdmissionResponse {
        uid: request.uid.clone(),
        allowed: true,
        audit_annotations: Some([("skipped".to_owned(), NO_POD.to_owned())].into()),
        ..AdmissionResponse::default()
    };
    Evaluation { response, failure: None }
}

fn settings_refused(module: &Path, error: SettingsError) -> anyhow::Error {
    let message = match error {
        SettingsError::Invalid(message) => format!("invalid settings: {message}"),
        SettingsError::Call(error) => format!("cannot validate settings: {}", error.reason()),
        other => other.to_string(),
    };
    anyhow::anyhow!("{}: {message}", origin(module))
}

/// The worst of several answers, and whether any of them was a judgement.
#[derive(Default)]
struct Outcome {
    worst: u8,
    is_judged: bool,
}

impl Outcome {
    fn add(&mut self, evaluation: &Evaluation) {
        let code = if evaluation.failure.is_some() {
            COULD_NOT_JUDGE
        } else if evaluation.response.allowed {
            0
        } else {
            DENIED
        };
        self.worst = self.worst.max(code);
        self.is_judged |= evaluation.response.skipped().is_none();
    }

    fn exit_code(&self) -> Result<ExitCode> {
        if !self.is_judged {
            bail!("nothing was judged: no policy matches the request, or all of it was skipped");
        }
        Ok(ExitCode::from(self.worst))
    }
}

/// For example `Pod shop/web`.
fn title(request: &AdmissionRequest) -> String {
    let object = request.object.as_ref();
    let generated = || object?.pointer("/metadata/generateName")?.as_str();
    let name = request.name.as_deref().or_else(generated);
    let name = name.unwrap_or("(no name)");
    match &request.namespace {
        Some(namespace) => format!("{} {namespace}/{name}", request.kind.kind),
        None => format!("{} {name}", request.kind.kind),
    }
}

fn write_answer(evaluation: &Evaluation, out: &mut dyn Write) -> io::Result<()> {
    let response = &evaluation.response;
    let (style, verdict) = if response.allowed { (ALLOWED_STYLE, "allowed") } else { (DENIED_STYLE, "denied") };
    if let Some(failure) = &evaluation.failure {
        let reason = printable(&failure.reason());
        writeln!(out, "{style}{verdict}{style:#}, could not judge: {reason}")?;
    } else if let Some(reason) = response.skipped() {
        writeln!(out, "{style}{verdict}{style:#}, not judged: {}", printable(reason))?;
    } else if response.message().is_empty() {
        writeln!(out, "{style}{verdict}{style:#}")?;
    } else {
        let message = printable(response.message());
        writeln!(out, "{style}{verdict}{style:#}: {message}")?;
    }
    let details = response.status.iter().filter_map(|status| status.details.as_ref());
    for cause in details.flat_map(|details| &details.causes) {
        writeln!(out, "  cause: {}", printable(&cause.message))?;
    }
    for warning in response.warnings.iter().flatten() {
        writeln!(out, "  warning: {}", printable(warning))?;
    }
    for operation in response.patch_operations().iter().filter_map(Value::as_array).flatten() {
        writeln!(out, "  patch: {}", printable(&operation.to_string()))?;
    }
    Ok(())
}
