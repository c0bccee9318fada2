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
/// Reads PodSecurityPolicies and prints ClusterAdmissionPolicies; warnings on standard error say what has no
/// equivalent. Exit code 0: policies are printed; 2: there is nothing to migrate, or it cannot be understood.
#[derive(Args)]
pub(super) struct Arguments {
    /// What to migrate, YAML or JSON, any number of documents each; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Where the modules are
    #[arg(long, value_name = "HOST/PATH", default_value = "registry.example.com/podfence")]
    registry: String,

    /// Judge Deployments and the like as well, where the source judges only pods
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
