//! `podfence bundle`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use podfence_publish::opa::bundle;
use podfence_publish::package::Digest;

use super::file::replace;
use crate::commands::{LimitArguments, read_module};
use crate::text::{module_name, origin, printable};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The policies: modules from `podfence package --opa`
    #[arg(required = true, value_name = "MODULE")]
    modules: Vec<PathBuf>,

    /// The bundle to write
    #[arg(long, value_name = "FILE", default_value = "target/opa/podfence-bundle.tar.gz")]
    out: PathBuf,

    /// The revision of the bundle, which OPA reports
    #[arg(long, value_name = "TEXT", default_value = env!("CARGO_PKG_VERSION"))]
    revision: String,

    #[command(flatten)]
    limits: LimitArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut modules = BTreeMap::new();
        for path in &self.modules {
            if modules.insert(module_name(path), read_module(path)?).is_some() {
                bail!("{}: another module has the same name", origin(path));
            }
        }
        let bundle = bundle(&self.limits.host()?, &modules, &self.revision)
            .map_err(|(policy, error)| anyhow!("{}: {}", printable(&policy), printable(&error.to_string())))?;
        replace(&[(&self.out, &bundle)]).with_context(|| origin(&self.out))?;
        let Digest { bytes, sha256 } = Digest::of(&bundle);
        let out = printable(&origin(&self.out));
        anstream::eprintln!("{} modules in {out}: {bytes} bytes, sha256 {sha256}", modules.len());
        anstream::eprintln!(
            "next: opa eval --fail -b {out} -i REVIEW.json 'found := data.podfence.privileged.violation; found == []'"
        );
        Ok(ExitCode::SUCCESS)
    }
}
