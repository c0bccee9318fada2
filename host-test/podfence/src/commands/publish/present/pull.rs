//! `podfence pull`

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use podfence_publish::oci::{Reference, attached, pull};
use podfence_publish::sbom::SBOM_TYPE;

use super::{RegistryArguments, reference};
use crate::text::origin;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The policy: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST
    #[arg(value_parser = reference)]
    reference: Reference,

    /// The file to write; if not given, it is called as the policy
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write the bill of materials that is attached to it to this file, too
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,

    #[command(flatten)]
    registry: RegistryArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let registry = self.registry.connect(&self.reference)?;
        let pulled = pull(&registry, &self.reference)?;
        let bill = match &self.sbom {
            None => None,
            Some(path) => {
                let pulled = self.reference.clone_with_digest(pulled.digest.clone());
                let bill = attached(&registry, &pulled, SBOM_TYPE)?;
                Some((path, bill.with_context(|| format!("{} has no bill of materials", pulled.whole()))?))
            }
        };
        let name = || self.reference.repository().rsplit('/').next().unwrap_or("policy");
        let path = self.output.unwrap_or_else(|| PathBuf::from(format!("{}.wasm", name())));
        fs::write(&path, &pulled.module).with_context(|| origin(&path))?;
        if let Some((path, bill)) = bill {
            fs::write(path, bill).with_context(|| origin(path))?;
        }
        anstream::eprintln!("{}: {} bytes", origin(&path), pulled.module.len());
        writeln!(anstream::stdout().lock(), "{}", pulled.digest)?;
        Ok(ExitCode::SUCCESS)
    }
}
