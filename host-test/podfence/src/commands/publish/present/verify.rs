//! `podfence verify`

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{ArgGroup, Args};
use podfence_publish::oci::{Reference, verify};

use super::{RegistryArguments, TrustArguments, reference, refuse};

#[derive(Args)]
#[command(group(ArgGroup::new("signer").args(["key", "certificate_identity"]).required(true)))]
pub(crate) struct Arguments {
    /// The policies: HOST/PATH:TAG or HOST/PATH@sha256:DIGEST
    #[arg(required = true, value_name = "REFERENCE", value_parser = reference)]
    references: Vec<Reference>,

    #[command(flatten)]
    trust: TrustArguments,

    #[command(flatten)]
    registry: RegistryArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let trust = self.trust.get()?.context("no signer is named; name a public key with --key")?;
        let mut exit = ExitCode::SUCCESS;
        for reference in &self.references {
            let registry = self.registry.connect(reference)?;
            match verify(&registry, reference, &trust) {
                Ok(pulled) => {
                    anstream::eprintln!("verified: {}", reference.whole());
                    writeln!(anstream::stdout().lock(), "{}", pulled.reference.whole())?;
                }
                Err(error) => exit = refuse(error)?,
            }
        }
        Ok(exit)
    }
}
