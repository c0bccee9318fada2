//! `podfence migrate`

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use comfy_table::Cell;
use podfence_cluster::migrate::{Effect, MIGRATED_FROM, Migration, Options, Source, Warning, migrate};
use podfence_cluster::policy::{mode_name, policy_of};
use podfence_cluster::published;
use podfence_host::evaluate::settings_object;
use podfence_host::{Host, Limits, Mode, Module, Policy};
use serde_json::Value;

use super::{read_documents, read_module};
use crate::report::{number, table};
use crate::text::{origin, printable};

/// Converts PodSecurityPolicies, Gatekeeper constraints, Pod Security labels and Kubewarden policies to Podfence policies.
///
/// Reads PodSecurityPolicies with their Roles and bindings; namespaces with labels of Pod Security, and the configuration of
/// Pod Security Admission wherever it is embedded; constraints of the Gatekeeper library with its Config and
/// ExpansionTemplates; and the official policies and groups of Kubewarden. Prints policies that can be applied as they are.
/// Standard error reports where their verdicts differ from the source's, and ends with a table of all sources.
///
/// Exit code 0: everything is migrated; 1: policies are printed, but something was left out or is weaker; 2: nothing
/// could be read.
#[derive(Args)]
#[command(after_help = "Examples:
  kubectl get ns -o yaml | podfence migrate - > policies.yaml
  kubectl get psp,clusterroles,clusterrolebindings,roles,rolebindings -A -o yaml | podfence migrate -
  kubectl get constraints,configs.config.gatekeeper.sh -A -o yaml | podfence migrate --mode protect -")]
pub(super) struct Arguments {
    /// What to migrate, YAML or JSON, any number of documents each; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Where the modules are published
    #[arg(long, value_name = "HOST/PATH", default_value = published::registry(), value_parser = super::registry)]
    registry: String,

    /// Whether the policies reject what their source rejected. Sources that only reported stay in mode monitor
    #[arg(long, value_enum, default_value_t = ModeArgument::Monitor)]
    mode: ModeArgument,

    /// The version of the cluster's Kubernetes, such as 1.34: levels of Pod Security are not newer
    #[arg(long, value_name = "VERSION", value_parser = minor_version)]
    kubernetes_version: Option<u32>,

    /// Evaluate Deployments and other workloads as well, in policies of their own that change nothing. Rules of Kubewarden's
    /// policies stay as they are
    #[arg(long)]
    workloads: bool,

    /// Treat constraints of a kind as those of the Gatekeeper library's kind that it is a copy of, for example
    /// `PSPCapabilities=K8sPSPCapabilities`
    #[arg(long, value_name = "KIND=KIND", value_parser = kind_alias)]
    kind_alias: Vec<(String, String)>,

    /// Have the modules in this directory check the settings, and leave out what they refuse
    #[arg(long, value_name = "DIRECTORY")]
    modules: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeArgument {
    /// Nothing is rejected or changed; violations are reported.
    Monitor,
    /// Violations are rejected.
    Protect,
}

/// `1.34`, `v1.34` or `1.34.2` as a minor version.
fn minor_version(text: &str) -> Result<u32, String> {
    let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
    let minor = match (parts.next(), parts.next()) {
        (Some("1"), Some(minor)) => minor.parse().ok(),
        _ => None,
    };
    minor.ok_or_else(|| "expected a version of Kubernetes, such as 1.34".to_owned())
}

fn kind_alias(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((own, library)) if podfence_cluster::gatekeeper::find(library).is_some() => {
            Ok((own.to_owned(), library.to_owned()))
        }
        Some((_, library)) => Err(format!("{library} is not a kind of the Gatekeeper library that Podfence supports")),
        None => Err("expected KIND=KIND".to_owned()),
    }
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let options = Options {
            workloads: self.workloads,
            mode: match self.mode {
                ModeArgument::Monitor => Mode::Monitor,
                ModeArgument::Protect => Mode::Protect,
            },
            kubernetes: self.kubernetes_version,
            kind_aliases: self.kind_alias.iter().cloned().collect(),
            ..Options::new(&self.registry)
        };
        let (mut documents, mut is_complete) = (Vec::new(), true);
        for file in &self.files {
            match read_documents(file) {
                Ok(read) => documents.extend(read),
                Err(error) => {
                    is_complete = false;
                    anstream::eprintln!("error: {}", printable(&format!("{error:#}")));
                }
            }
        }
        let mut migration = migrate(&documents, &options);
        if let Some(modules) = &self.modules {
            leave_out_refused(&mut migration, modules)?;
        }
        for warning in &migration.warnings {
            anstream::eprintln!("{}: {}", level(warning.effect), printable(&warning.to_string()));
        }
        if !migration.has_sources() {
            bail!("nothing to migrate");
        }
        let mut out = anstream::stdout().lock();
        for policy in &migration.policies {
            writeln!(out, "---")?;
            if let Some(comment) = comment(policy) {
                writeln!(out, "{comment}")?;
            }
            write!(out, "{}", serde_saphyr::to_string(policy)?)?;
        }
        summarize(&migration, options.mode);
        is_complete &= migration.is_complete();
        Ok(ExitCode::from(u8::from(!is_complete)))
    }
}

fn level(effect: Effect) -> &'static str {
    match effect {
        Effect::Note => "note",
        Effect::Stricter => "warning (stricter)",
        Effect::Weaker => "warning (weaker)",
        Effect::LeftOut => "error (left out)",
    }
}

/// What a policy that changes objects lacks in mode monitor.
fn comment(policy: &Value) -> Option<String> {
    let spec = &policy["spec"];
    let is_idle = spec["mutating"] == true && spec["mode"] == mode_name(Mode::Monitor);
    is_idle.then(|| {
        let name = policy["metadata"]["name"].as_str().unwrap_or_default();
        format!(
            "# In mode monitor it changes nothing, and does not report what it would fill in. Mode protect needs {name}-check\n\
             # beside it, which rejects what later webhooks add: podfence migrate --mode protect writes both."
        )
    })
}

/// Says what was written for which source, and what to do next.
fn summarize(migration: &Migration, mode: Mode) {
    let mut rows = table(&["source", "documents", "weaker", "stricter", "left out"]);
    for Source { name, documents, effects } in &migration.sources {
        let count = |effect| number(effects.get(&effect).copied().unwrap_or_default());
        rows.add_row(vec![
            Cell::new(printable(name)),
            number(documents),
            count(Effect::Weaker),
            count(Effect::Stricter),
            count(Effect::LeftOut),
        ]);
    }
    anstream::eprintln!("{rows}");
    let documents = match migration.policies.len() {
        1 => "1 document".to_owned(),
        many => format!("{many} documents"),
    };
    let next = match (migration.policies.is_empty(), mode) {
        (true, _) => return anstream::eprintln!("no documents: the sources reject nothing"),
        (_, Mode::Monitor) => {
            "in mode monitor: nothing is rejected. Next: apply them, read what they report, then migrate again with --mode \
             protect"
        }
        (_, Mode::Protect) => "in mode protect, where the source rejects. Next: apply them, then delete the sources",
    };
    anstream::eprintln!("{documents} {next}");
}

/// Has each module check the settings that it would get in a cluster, and leaves out the documents whose settings it
/// refuses.
///
/// # Errors
/// A module cannot be loaded.
fn leave_out_refused(migration: &mut Migration, modules: &Path) -> Result<()> {
    let mut checker = Checker { host: Host::new(Limits::default())?, modules, loaded: BTreeMap::new() };
    let mut kept = Vec::new();
    for document in std::mem::take(&mut migration.policies) {
        match checker.refusal(&document)? {
            None => kept.push(document),
            Some(problem) => {
                let source = document["metadata"]["annotations"][MIGRATED_FROM].as_str().unwrap_or_default();
                for row in migration.sources.iter_mut().filter(|row| source.split(", ").any(|of| of == row.name)) {
                    row.documents -= 1;
                    *row.effects.entry(Effect::LeftOut).or_default() += 1;
                }
                let name = document["metadata"]["name"].as_str().unwrap_or_default();
                migration.warnings.push(Warning {
                    effect: Effect::LeftOut,
                    sources: vec![source.to_owned()],
                    path: String::new(),
                    text: format!("{name}: spec.settings: {problem}"),
                });
            }
        }
    }
    migration.policies = kept;
    Ok(())
}

struct Checker<'m> {
    host: Host,
    modules: &'m Path,
    loaded: BTreeMap<String, Module>,
}

impl Checker<'_> {
    /// Why a module does not take its settings.
    fn refusal(&mut self, document: &Value) -> Result<Option<String>> {
        let spec = &document["spec"];
        let members = spec["policies"].as_object().into_iter().flat_map(|members| members.values());
        for of in members.chain(spec["module"].is_string().then_some(spec)) {
            let Some(policy) = policy_of(&serde_json::json!({"spec": of})).map(str::to_owned) else { continue };
            // Members of a group may be of other projects.
            if published::find(&policy).is_none() {
                continue;
            }
            let module = match self.loaded.get(&policy) {
                Some(module) => module.clone(),
                None => {
                    let path = self.modules.join(&policy).with_extension("wasm");
                    self.host.load(&read_module(&path)?).with_context(|| origin(&path))?
                }
            };
            self.loaded.insert(policy.clone(), module.clone());
            let configured = Policy {
                name: policy,
                module,
                settings: settings_object(of["settings"].clone())?,
                mode: Mode::Protect,
                allowed_to_mutate: false,
                message: None,
            };
            if let Err(error) = configured.validate_settings() {
                return Ok(Some(error.to_string()));
            }
        }
        Ok(None)
    }
}
