//! `podfence migrate`

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use host_test::input::{self, LARGEST_DOCUMENT};
use host_test::migrate::{Options, migrate};

use super::{origin, printable};

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

    /// Where the modules are
    #[arg(long, value_name = "HOST/PATH", default_value = "registry.example.com/podfence")]
    registry: String,

    /// Judge Deployments and the like as well where the source judges only pods. Rules of Kubewarden's policies
    /// stay as they are
    #[arg(long)]
    workloads: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let options = Options { registry: self.registry, workloads: self.workloads };
        let mut documents = Vec::new();
        for file in &self.files {
            let bytes = input::read(file, LARGEST_DOCUMENT).with_context(|| origin(file))?;
            documents.extend(input::parse(&bytes).with_context(|| origin(file))?);
        }
        let migration = migrate(&documents, &options)?;
        for warning in &migration.warnings {
            anstream::eprintln!("warning: {}", printable(&warning.to_string()));
        }
        if migration.sources == 0 {
            bail!("nothing to migrate");
        }
        let mut out = anstream::stdout().lock();
        for policy in &migration.policies {
            write!(out, "---\n{}", serde_saphyr::to_string(policy)?)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
