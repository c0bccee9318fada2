//! `podfence migrate`

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use podfence_cluster::migrate::{Options, migrate};
use podfence_cluster::published;
use podfence_host::evaluate::settings_object;
use podfence_host::{Host, Limits, Mode, Module, Policy};
use podfence_scan::read::{self, LARGEST_DOCUMENT};
use serde_json::Value;

use super::read_module;
use crate::text::{origin, printable};

/// Writes the policies that take the place of what fences a cluster today.
///
/// Reads PodSecurityPolicies, constraints of the Gatekeeper library, namespaces with labels of Pod Security, the
/// AdmissionConfiguration of PodSecurity, and official policies of Kubewarden. Prints ClusterAdmissionPolicies;
/// warnings on standard error tell what they do not decide as the source did.
///
/// Exit code 0: done; 2: nothing to migrate, or a source that cannot be understood.
#[derive(Args)]
pub(super) struct Arguments {
    /// What to migrate, YAML or JSON, any number of documents each; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Where the modules are published
    #[arg(long, value_name = "HOST/PATH", default_value = published::registry())]
    registry: String,

    /// Have the modules in this directory check the settings before anything is printed
    #[arg(long, value_name = "DIRECTORY")]
    modules: Option<PathBuf>,

    /// Judge Deployments and the like as well where the source judges only pods. Rules of Kubewarden's policies
    /// stay as they are
    #[arg(long)]
    workloads: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let options = Options { registry: self.registry.clone(), workloads: self.workloads };
        let mut documents = Vec::new();
        for file in &self.files {
            let bytes = read::file(file, LARGEST_DOCUMENT).with_context(|| origin(file))?;
            documents.extend(read::parse(&bytes).with_context(|| origin(file))?);
        }
        let migration = migrate(&documents, &options)?;
        for warning in &migration.warnings {
            anstream::eprintln!("warning: {}", printable(&warning.to_string()));
        }
        if migration.sources == 0 {
            bail!("nothing to migrate");
        }
        if let Some(modules) = &self.modules {
            check_settings(&migration.policies, modules)?;
        }
        let mut out = anstream::stdout().lock();
        for policy in &migration.policies {
            write!(out, "---\n{}", serde_saphyr::to_string(policy)?)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Has each module check the settings that it would get in a cluster.
fn check_settings(policies: &[Value], modules: &Path) -> Result<()> {
    let host = Host::new(Limits::default())?;
    let mut loaded = BTreeMap::new();
    for document in policies {
        let [name, url] = ["/metadata/name", "/spec/module"].map(|pointer| document.pointer(pointer));
        let (name, url) = (name.and_then(Value::as_str), url.and_then(Value::as_str));
        let (Some(name), Some(policy)) = (name, url.and_then(policy_of)) else { continue };
        let module = match loaded.get(policy) {
            Some(module) => Module::clone(module),
            None => {
                let path = modules.join(policy).with_extension("wasm");
                host.load(&read_module(&path)?).with_context(|| origin(&path))?
            }
        };
        loaded.insert(policy, module.clone());
        let policy = Policy {
            name: policy.to_owned(),
            module,
            settings: settings_object(document["spec"]["settings"].clone())?,
            mode: Mode::Protect,
            allowed_to_mutate: false,
            message: None,
        };
        policy.validate_settings().with_context(|| format!("settings of {name}"))?;
    }
    Ok(())
}

/// The policy of which this is the module's URL.
fn policy_of(url: &str) -> Option<&str> {
    let (_, module) = url.rsplit_once('/')?;
    module.split(':').next()
}
