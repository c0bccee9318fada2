//! `podfence verify`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use podfence_publish::oci::{ArtifactError, OciError, PublicKey, Reference, SignatureError, verify};

use super::{RegistryArguments, read_key, reference};
use crate::commands::DENIED;
use crate::text::{origin, printable};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The policies: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST
    #[arg(required = true, value_parser = reference)]
    references: Vec<Reference>,

    /// The public key: PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    #[command(flatten)]
    registry: RegistryArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let key = PublicKey::from_pem(&read_key(&self.key)?).with_context(|| origin(&self.key))?;
        let mut exit = ExitCode::SUCCESS;
        for reference in &self.references {
            let registry = self.registry.connect(reference)?;
            match verify(&registry, reference, &key) {
                Ok(verified) => writeln!(anstream::stdout().lock(), "verified  {}", verified.whole())?,
                Err(error) if is_verdict(&error) => {
                    anstream::eprintln!("refused   {}", printable(&error.to_string()));
                    exit = ExitCode::from(DENIED);
                }
                Err(error) => return Err(error).with_context(|| reference.whole()),
            }
        }
        Ok(exit)
    }
}

/// Whether an error says something about the policy, and not that there is no telling.
fn is_verdict(error: &SignatureError) -> bool {
    match error {
        SignatureError::Unsigned(_) | SignatureError::Unreadable { .. } | SignatureError::Refused { .. } => true,
        SignatureError::Artifact(ArtifactError::Registry(error)) | SignatureError::Registry(error) => {
            matches!(error, OciError::Changed { .. })
        }
        SignatureError::Artifact(error) => matches!(error, ArtifactError::NoPolicy { .. }),
        SignatureError::Key(_) => false,
    }
}
