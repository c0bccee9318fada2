//! `podfence push`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use podfence_publish::oci::{Artifact, Push, Registry, attach, push};
use podfence_publish::sbom::SBOM_TYPE;
use podfence_scan::read::{self, LARGEST_DOCUMENT};

use super::RegistryArguments;
use super::sbom::bill_of;
use crate::commands::read_module;
use crate::text::{origin, printable};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The policies: modules from `podfence package`
    #[arg(required = true, value_name = "MODULE")]
    modules: Vec<PathBuf>,

    /// The registry, and what stands in front of the policies' names, such as registry.example.com/podfence
    #[arg(long, value_name = "PLACE")]
    to: String,

    /// Attach the bills of materials that `podfence sbom` wrote beside the modules
    #[arg(long)]
    sbom: bool,

    /// Replace a version that is there with another content
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    registry: RegistryArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let read = |path: &PathBuf| Artifact::new(read_module(path)?).with_context(|| origin(path));
        // Nothing is published before all of them can be.
        let artifacts = self.modules.iter().map(read).collect::<Result<Vec<_>>>()?;
        let bills = self.modules.iter().map(|path| self.bill(path)).collect::<Result<Vec<_>>>()?;
        let mut registry: Option<Registry> = None;
        for (artifact, bill) in artifacts.iter().zip(bills) {
            let reference = artifact.reference(&self.to).with_context(|| format!("--to {}", printable(&self.to)))?;
            let connection = match registry.take() {
                Some(connection) => connection,
                None => self.registry.connect(&reference)?,
            };
            let done = push(&connection, artifact, &reference, self.overwrite).with_context(|| reference.whole())?;
            if let Some(bill) = bill {
                let published = reference.clone_with_digest(artifact.digest.clone());
                attach(&connection, &published, SBOM_TYPE, &bill).with_context(|| reference.whole())?;
            }
            let done = match done {
                Push::Pushed => "pushed",
                Push::Unchanged => "there already",
            };
            anstream::eprintln!("{}: {done}", artifact.name);
            writeln!(anstream::stdout().lock(), "{}@{}", reference.whole(), artifact.digest)?;
            registry = Some(connection);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn bill(&self, module: &Path) -> Result<Option<Vec<u8>>> {
        if !self.sbom {
            return Ok(None);
        }
        let path = bill_of(module);
        read::file(&path, LARGEST_DOCUMENT).map(Some).with_context(|| origin(&path))
    }
}
