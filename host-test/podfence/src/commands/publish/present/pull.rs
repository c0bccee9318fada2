//! `podfence pull`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use podfence_publish::oci::{Pulled, Reference, Registry, SignatureError, Trust, bill_of, pull, verify};

use super::file::{is_standard_output, replace};
use super::sbom::BUNDLE_END;
use super::{RegistryArguments, TrustArguments, reference, refuse};
use crate::text::{origin, printable};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The policy: HOST/PATH:TAG or HOST/PATH@sha256:DIGEST
    #[arg(value_parser = reference)]
    reference: Reference,

    /// The file to write, or - for standard output [default: the name of the policy or the bundle]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Also write its bill of materials to this file; if a signer is named, it must be signed by that signer
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,

    #[command(flatten)]
    trust: TrustArguments,

    #[command(flatten)]
    registry: RegistryArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let name = self.reference.repository().rsplit('/').next().unwrap_or("policy");
        let mut path = self.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.wasm")));
        if self.sbom.as_ref().is_some_and(|sbom| *sbom == path) {
            bail!("--sbom and --output name the same file, {}", origin(&path));
        }
        let trust = self.trust.get()?;
        let registry = self.registry.connect(&self.reference)?;
        let (pulled, bill) = match self.fetch(&registry, trust.as_ref()) {
            Ok(fetched) => fetched,
            Err(error) if trust.is_some() => return refuse(error),
            Err(error) => return Err(error.into()),
        };
        if pulled.is_bundle && self.output.is_none() {
            path = PathBuf::from(format!("{name}{BUNDLE_END}"));
        }
        let mut files: Vec<(&Path, &[u8])> = vec![(&path, &pulled.module)];
        files.extend(self.sbom.as_deref().zip(bill.as_deref()));
        replace(&files)?;
        for (path, bytes) in files.iter().filter(|(path, _)| !is_standard_output(path)) {
            anstream::eprintln!("{}: {} bytes", printable(&origin(path)), bytes.len());
        }
        let reference = pulled.reference.whole();
        if files.iter().any(|(path, _)| is_standard_output(path)) {
            anstream::eprintln!("{reference}");
        } else {
            writeln!(anstream::stdout().lock(), "{reference}")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn fetch(&self, registry: &Registry, trust: Option<&Trust>) -> Result<(Pulled, Option<Vec<u8>>), SignatureError> {
        let pulled = match trust {
            Some(trust) => verify(registry, &self.reference, trust)?,
            None => pull(registry, &self.reference)?,
        };
        let bill = self.sbom.as_ref().map(|_| bill_of(registry, &pulled, trust)).transpose()?;
        Ok((pulled, bill))
    }
}
