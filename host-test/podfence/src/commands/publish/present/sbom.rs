//! `podfence sbom`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use podfence_publish::sbom::sbom;

use super::file::replace;
use crate::commands::read_module;
use crate::text::{module_name, origin, printable};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The policies: modules from `podfence package`
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
            let bill = sbom(&module, &self.policies_directory.join(module_name(path))).with_context(|| origin(path))?;
            let beside = bill_of(path);
            replace(&[(&beside, &bill)])?;
            writeln!(anstream::stdout().lock(), "{}", printable(&origin(&beside)))?;
        }
        anstream::eprintln!("next: podfence push MODULE… --sbom --registry HOST/PATH");
        Ok(ExitCode::SUCCESS)
    }
}

/// The file beside a module that has its bill.
pub(super) fn bill_of(module: &Path) -> PathBuf {
    module.with_extension("cdx.json")
}
