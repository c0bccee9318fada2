//! `podfence sign`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use podfence_publish::oci::{KeyPair, Reference, sign};

use super::{RegistryArguments, password, read_key, reference};
use crate::text::origin;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The policies: REGISTRY/REPOSITORY@sha256:DIGEST, or with a tag
    #[arg(required = true, value_parser = reference)]
    references: Vec<Reference>,

    /// The private key: PEM, as `podfence generate-key-pair` and cosign write it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    #[command(flatten)]
    registry: RegistryArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let pem = read_key(&self.key)?;
        let keys = KeyPair::from_pem(&pem, password()?.as_bytes()).with_context(|| origin(&self.key))?;
        for reference in &self.references {
            let registry = self.registry.connect(reference)?;
            let signed = sign(&registry, reference, &keys).with_context(|| reference.whole())?;
            writeln!(anstream::stdout().lock(), "signed    {}", signed.whole())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
