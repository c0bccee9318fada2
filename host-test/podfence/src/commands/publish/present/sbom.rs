//! `podfence sbom`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use podfence_publish::opa::{Contents, is_bundle};
use podfence_publish::sbom::{sbom, sbom_of_bundle};

use super::file::replace;
use crate::commands::read_module;
use crate::text::{module_name, origin, printable};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The policies: modules from `podfence package`, and bundles from `podfence bundle`
    #[arg(required = true, value_name = "MODULE")]
    modules: Vec<PathBuf>,

    /// Where the policies are: a directory for each
    #[arg(long = "policies", value_name = "DIR", default_value = "policies")]
    policies_directory: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        for path in &self.modules {
            let module = read_module(path)?;
            let bill = self.bill(path, &module).with_context(|| origin(path))?;
            let beside = bill_of(path);
            replace(&[(&beside, &bill)])?;
            writeln!(anstream::stdout().lock(), "{}", printable(&origin(&beside)))?;
        }
        anstream::eprintln!("next: podfence push MODULE… --sbom --registry HOST/PATH");
        Ok(ExitCode::SUCCESS)
    }

    fn bill(&self, path: &Path, module: &[u8]) -> Result<Vec<u8>> {
        let directory = |policy: &str| self.policies_directory.join(policy);
        if !is_bundle(module) {
            return Ok(sbom(module, &directory(&module_name(path)))?);
        }
        let Contents { revision, policies } = Contents::read(module)?;
        let directories: Vec<PathBuf> = policies.iter().map(|policy| directory(policy)).collect();
        Ok(sbom_of_bundle(module, &bundle_name(path), &revision, &directories)?)
    }
}

/// The file beside a module or a bundle that has its bill.
pub(super) fn bill_of(module: &Path) -> PathBuf {
    match module.to_str().and_then(|path| path.strip_suffix(BUNDLE_END)) {
        Some(bundle) => PathBuf::from(format!("{bundle}.cdx.json")),
        None => module.with_extension("cdx.json"),
    }
}

/// What the name of a bundle's file ends with.
pub(super) const BUNDLE_END: &str = ".tar.gz";

/// What a bundle is called, by its file.
pub(super) fn bundle_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(BUNDLE_END).unwrap_or(&name).to_owned()
}
