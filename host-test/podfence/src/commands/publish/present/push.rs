//! `podfence push`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use podfence_publish::oci::{Artifact, Document, Push, Registry, attach, push};
use podfence_publish::opa::is_bundle;
use podfence_publish::sbom::{SBOM_TYPE, is_of};

use super::sbom::{bill_of, bundle_name};
use super::{RegistryArguments, read};
use crate::commands::{read_module, registry};
use crate::text::{origin, printable};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The policies: modules from `podfence package`, and bundles for OPA from `podfence bundle`
    #[arg(required = true, value_name = "MODULE")]
    modules: Vec<PathBuf>,

    /// The registry and the path before the names of policies, such as registry.example.com/podfence
    #[arg(long = "registry", value_name = "HOST/PATH", value_parser = place)]
    place: String,

    /// Attach the bills of materials that `podfence sbom` wrote beside the modules
    #[arg(long)]
    sbom: bool,

    /// Replace a version that exists with other content
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    access: RegistryArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let read_artifact = |path: &PathBuf| {
            let bytes = read_module(path)?;
            let artifact =
                if is_bundle(&bytes) { Artifact::of_bundle(&bundle_name(path), bytes) } else { Artifact::new(bytes) };
            artifact.with_context(|| origin(path))
        };
        // Nothing is published before all of them can be.
        let artifacts = self.modules.iter().map(read_artifact).collect::<Result<Vec<_>>>()?;
        let bills = self.modules.iter().zip(&artifacts).map(|(path, artifact)| self.bill(path, artifact));
        let bills = bills.collect::<Result<Vec<_>>>()?;
        let mut registry: Option<Registry> = None;
        for (artifact, bill) in artifacts.iter().zip(bills) {
            let reference = artifact.reference(&self.place);
            let reference = reference.with_context(|| format!("--registry {}", printable(&self.place)))?;
            let connection = match registry.take() {
                Some(connection) => connection,
                None => self.access.connect(&reference)?,
            };
            let done = push(&connection, artifact, &reference, self.overwrite)?;
            if let Some(bill) = bill {
                let published = reference.clone_with_digest(artifact.digest.clone());
                let document = Document { kind: SBOM_TYPE, bytes: &bill, ..Document::default() };
                attach(&connection, &published, &document)?;
            }
            let done = match done {
                Push::Pushed => "pushed",
                Push::Unchanged => "there already",
            };
            anstream::eprintln!("{}: {done}", printable(&artifact.name));
            writeln!(anstream::stdout().lock(), "{}@{}", reference.whole(), artifact.digest)?;
            registry = Some(connection);
        }
        anstream::eprintln!("next: podfence sign --key FILE HOST/PATH@sha256:DIGEST");
        Ok(ExitCode::SUCCESS)
    }

    fn bill(&self, module: &Path, artifact: &Artifact) -> Result<Option<Vec<u8>>> {
        if !self.sbom {
            return Ok(None);
        }
        let path = bill_of(module);
        let writes = format!("`podfence sbom {}` writes it", origin(module));
        if !path.exists() {
            bail!("{}: no such file, which --sbom attaches; {writes}", origin(&path));
        }
        let bill = read(&path)?;
        if !is_of(&bill, artifact.module()) {
            bail!("{} describes another module; {writes}", origin(&path));
        }
        Ok(Some(bill))
    }
}

/// A registry and a path in it. The scheme of Kubewarden's URLs may stand before it, and a slash behind it.
fn place(text: &str) -> Result<String, String> {
    registry(text.strip_prefix("registry://").unwrap_or(text).trim_end_matches('/'))
}
