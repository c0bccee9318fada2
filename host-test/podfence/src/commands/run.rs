//! `podfence run`

mod answer;
mod documents;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use podfence_cluster::documents::CONTROLLER_NAMESPACE;
use podfence_cluster::published;
use podfence_cluster::validating::Unbound;
use podfence_host::evaluate::SettingsError;
use podfence_host::{Mode, Policy, inspect};
use podfence_scan::kinds::{self, Known};
use podfence_scan::read::InputError;
use podfence_scan::request::Sender;
use podfence_scan::{AdmissionRequest, custom_kinds};
use serde_json::{Map, Value};

use super::modules::Place;
use super::{KindsArgument, LimitArguments, Output, UnboundArgument, read_requests, read_settings};

use answer::{Answer, Printer, Unseen};
use documents::Cluster;

const EXAMPLES: &str = "\
Examples:
  podfence run privileged -r pod.yaml                     by a policy with its defaults
  podfence run host-path -r pod.yaml -s '{\"allowedHostPaths\": [{\"pathPrefix\": \"/var/log\"}]}'
  podfence run --policies target/deploy/monitor/restricted -r app.yaml -n shop
                                                          the verdict of the cluster in namespace shop
  kubectl kustomize DIR | podfence run --policies - -r app.yaml --namespaces namespaces.yaml";

/// Judges a manifest, an AdmissionRequest or an AdmissionReview, and shows the reply of a policy-server.
///
/// Judges by one module, or by the policy documents of a cluster (--policies) in the order of the API server: mutating
/// policies first, each on the result of the one before. `podfence scan` judges the files of a repository. Exit code 0:
/// all allowed; 1: something denied; 2: something could not be judged, or nothing was.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The policy: a waPC module, or the name of one of Podfence's policies
    module: Option<PathBuf>,

    /// Policies and groups of Kubewarden, and ValidatingAdmissionPolicies with their bindings, as documents: a file, a
    /// directory of files, or `-` for standard input, such as the output of `kubectl kustomize`
    #[arg(long, value_name = "FILE|DIR", conflicts_with_all = ["module", "settings", "allowed_to_mutate", "message"])]
    policies: Option<PathBuf>,

    /// Where the modules of --policies are, each under the last part of its URL: NAME.wasm [default: in this program, or
    /// beside it]
    #[arg(long, value_name = "DIR", requires = "policies")]
    modules: Option<PathBuf>,

    /// Namespaces with their labels, for selectors of --policies; those among the manifests count as well
    #[arg(long, value_name = "FILE", requires = "policies")]
    namespaces: Option<PathBuf>,

    /// Objects that ValidatingAdmissionPolicies take as parameters, beside those among the policies and the manifests:
    /// a file, or a directory of files; may be repeated
    #[arg(long, value_name = "FILE|DIR", requires = "policies")]
    params: Vec<PathBuf>,

    /// How to treat ValidatingAdmissionPolicies without a binding [default: they judge nothing, as in a cluster]
    #[arg(long, value_enum, requires = "policies")]
    unbound: Option<UnboundArgument>,

    /// The namespace of Kubewarden's controller, which cluster-wide policies skip
    #[arg(long, value_name = "NAMESPACE", default_value = CONTROLLER_NAMESPACE, requires = "policies")]
    controller_namespace: String,

    /// What to judge, YAML or JSON, any number of documents; `-` is standard input. A manifest is
    /// judged as if it were created: in a Pod in the host network, each container port is a host port, as the API server
    /// sets it
    #[arg(short, long, value_name = "FILE")]
    request: PathBuf,

    /// The namespace of manifests without one [default: default]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The user who creates the manifests
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,

    /// A group of that user; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    groups: Vec<String>,

    /// The policy's settings, a YAML or JSON file or an inline object [default: {}]
    #[arg(short, long, value_name = "FILE|JSON")]
    settings: Option<String>,

    #[command(flatten)]
    kinds: KindsArgument,

    /// Whether verdicts are enforced [default: protect, or what the policies say]
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,

    /// Whether the policy may change objects; if not, a change is a denial [default: as in the module's metadata, or
    /// true without metadata]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allowed_to_mutate: Option<bool>,

    /// Replaces the policy's message, which then becomes a cause
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// What to print: a report for people, or a line of JSON for each object, with the AdmissionResponse of each policy
    #[arg(short, long, value_enum, default_value_t = Output::Human)]
    output: Output,

    /// Exits with code 0 if there was nothing to judge
    #[arg(long)]
    allow_empty: bool,

    #[command(flatten)]
    limits: LimitArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeArgument {
    /// Verdicts are enforced.
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
        let sender = Sender { namespace: self.namespace.clone(), user: self.user.clone(), groups: self.groups.clone() };
        if let Some(policies) = &self.policies {
            let kinds = self.kinds.kinds.join(",");
            if !kinds.is_empty() {
                bail!(
                    "--kinds cannot be used with --policies, whose rules and podSpecPaths say which kinds they evaluate: \
                     add the kinds to the documents, as `podfence deploy --kinds {kinds}` does"
                );
            }
            let cluster = Cluster {
                policies,
                modules: self.modules.as_deref(),
                params: &self.params,
                unbound: self.unbound.map(Unbound::from).unwrap_or_default(),
                controller_namespace: &self.controller_namespace,
                namespaces: self.namespaces.as_deref(),
                knows_user: self.user.is_some(),
                mode,
            };
            let requests = self.requests(&sender)?;
            return cluster.run(&self.limits.host()?, &requests, self.output, self.allow_empty);
        }
        let module = self.module.as_deref().context("name a module, or policy documents with --policies")?;
        let module = &Place::named(module)?;
        let (policy, rules) = self.policy(module)?;
        let requests = self.requests(&sender)?;
        policy.validate_settings().map_err(|error| settings_refused(module, error))?;

        let mode = mode.unwrap_or_default();
        let of_pods = rules.as_ref().is_none_or(|rules| names(rules, "resources", "pods"));
        let mut printer = Printer::new(anstream::stdout().lock(), self.output, requests.len());
        for request in &requests {
            let is_seen =
                |request: &AdmissionRequest| rules.as_ref().is_none_or(|rules| sees(rules, &policy.settings, request));
            if !is_seen(request) {
                if let Some(pods) = pods_of_unseen(request).filter(|_| of_pods) {
                    printer.not_judged(request, &pods.advice(request, &policy.name))?;
                } else if is_seen(&AdmissionRequest { sub_resource: None, ..request.clone() }) {
                    printer.unseen(request, Unseen::SubResource)?;
                } else {
                    printer.unseen(request, Unseen::OtherKind { of_pods })?;
                }
                continue;
            }
            let protect = policy.evaluate(request);
            let is_other = mode == Mode::Monitor && (!protect.response.allowed || protect.response.patch.is_some());
            let evaluation = protect.clone().in_mode(mode);
            let in_protect = is_other.then_some(&protect.response);
            let answer = Answer { policy: None, mode, evaluation: &evaluation, in_protect };
            let patch = evaluation.response.patch_operations();
            printer.object(request, &[answer], patch.as_ref())?;
        }
        printer.finish(self.allow_empty)
    }

    /// What to judge; with --allow-empty, that may be nothing.
    fn requests(&self, sender: &Sender) -> Result<Vec<AdmissionRequest>> {
        match read_requests(&self.request, sender) {
            Err(error) if self.allow_empty && matches!(error.downcast_ref(), Some(InputError::Empty)) => Ok(Vec::new()),
            requests => requests,
        }
    }

    /// The policy, and the rules that it is published with.
    fn policy(&self, place: &Place) -> Result<(Policy, Option<Value>)> {
        let origin = || place.origin();
        let bytes = place.read()?;
        let module = self.limits.host()?.load(&bytes).with_context(origin)?;
        let mut settings = read_settings("--settings", self.settings.as_deref())?;
        custom_kinds::add_to_settings(&self.kinds.get(), &mut settings);
        let metadata = inspect::metadata(&bytes).with_context(origin)?;
        let mutating = metadata.as_ref().is_none_or(|metadata| metadata["mutating"] == Value::Bool(true));
        let name = place.policy();
        let published = || published::find(&name).map(|published| published.rules.clone());
        let rules = metadata.map(|mut metadata| metadata["rules"].take()).filter(Value::is_array).or_else(published);
        let policy = Policy {
            name,
            module,
            settings,
            mode: Mode::Protect,
            allowed_to_mutate: self.allowed_to_mutate.unwrap_or(mutating),
            message: self.message.clone(),
        };
        Ok((policy, rules))
    }
}

/// Whether one of these rules has this item in a list.
fn names(rules: &Value, list: &str, item: &str) -> bool {
    let rules = rules.as_array().into_iter().flatten();
    rules.filter_map(|rule| rule[list].as_array()).flatten().any(|of| of == "*" || of == "*/*" || of == item)
}

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

/// Whether it is about a part of an object, such as its status.
fn is_of_sub_resource(request: &AdmissionRequest) -> bool {
    request.sub_resource.as_deref().is_some_and(|of| !of.is_empty())
}

/// What is known of the pods in an object that the rules of a policy for pods leave out.
enum Pods {
    /// They are in a custom kind of this project.
    Custom(&'static str),
    /// The kind has them in another version or under another name: why.
    Otherwise(String),
    /// There are containers at this path.
    At(String),
    /// Kubernetes has the kind.
    Workload,
}

/// The pods in an object that the rules of a policy leave out; none if it holds none.
fn pods_of_unseen(request: &AdmissionRequest) -> Option<Pods> {
    let object = request.object.as_ref().filter(|_| !is_of_sub_resource(request))?;
    match kinds::classify(&request.kind) {
        Known::Custom(kind) => Some(Pods::Custom(kind.project())),
        Known::OtherVersion(why) | Known::Miswritten(why) => Some(Pods::Otherwise(why)),
        Known::Workload => kinds::containers(&object.to_string()).map(|_| Pods::Workload),
        Known::Other => kinds::containers(&object.to_string()).map(Pods::At),
    }
}

impl Pods {
    /// Why they are not judged, and how to have them judged.
    fn advice(&self, request: &AdmissionRequest, policy: &str) -> String {
        let kind = &request.kind.kind;
        // Modules of others need not have the settings.
        match self {
            Pods::Otherwise(why) => why.clone(),
            _ if published::find(policy).is_none() => {
                format!("{kind} holds pods, and the rules in the metadata of {policy} leave it out")
            }
            Pods::Custom(project) => format!("{kind} is judged only with --kinds {project}"),
            Pods::At(path) => {
                format!("{kind} has containers at {path}, and is judged only with podSpecPaths in --settings")
            }
            Pods::Workload => format!("{kind} holds pods, and the rules of {policy} leave it out"),
        }
    }
}

fn settings_refused(module: &Place, error: SettingsError) -> anyhow::Error {
    let message = match error {
        SettingsError::Invalid(message) => format!("invalid settings: {message}"),
        SettingsError::Call(error) => format!("cannot validate settings: {}", error.reason()),
        other => other.to_string(),
    };
    anyhow::anyhow!("{}: {message}", module.origin())
}
