//! `podfence sign`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use podfence_publish::oci::{KeyPair, Reference, sign};

use super::sbom::bill_of;
use super::{RegistryArguments, password, read, reference, unusable};
use crate::text::{origin, printable};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The policies: HOST/PATH@sha256:DIGEST, or with a tag
    #[arg(required = true, value_name = "REFERENCE", value_parser = reference)]
    references: Vec<Reference>,

    /// The private key: PEM, as `podfence generate-key-pair` and cosign write it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// Also sign the bills of materials that `podfence sbom` wrote to this directory
    #[arg(long, value_name = "DIR")]
    sbom: Option<PathBuf>,

    #[command(flatten)]
    registry: RegistryArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let pem = read(&self.key)?;
        let keys = KeyPair::from_pem(&pem, password()?.as_bytes()).map_err(|error| unusable(&self.key, &error))?;
        let bills = self.references.iter().map(|reference| self.bill(reference)).collect::<Result<Vec<_>>>()?;
        for (reference, bill) in self.references.iter().zip(bills) {
            let registry = self.registry.connect(reference)?;
            let signed = sign(&registry, reference, &keys, bill.as_deref())?;
            anstream::eprintln!("signed: {}", reference.whole());
            writeln!(anstream::stdout().lock(), "{}", signed.whole())?;
        }
        let public = printable(&origin(&self.key.with_extension("pub")));
        anstream::eprintln!("next: podfence verify --key {public} HOST/PATH@sha256:DIGEST");
        Ok(ExitCode::SUCCESS)
    }

    fn bill(&self, reference: &Reference) -> Result<Option<Vec<u8>>> {
        let name = reference.repository().rsplit('/').next().unwrap_or_default();
        self.sbom
            .as_ref()
            .map(|directory| read(&bill_of(&directory.join(Path::new(name).with_added_extension("wasm")))))
            .transpose()
    }
}
