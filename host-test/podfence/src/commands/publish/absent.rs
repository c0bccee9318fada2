//! Stands for the commands of publishing in a build without the feature `publish`.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::Publishing;

const HINT: &str = "this podfence was built without publishing; in the repository, `make publish-tools` builds one \
                    that has it (target/publish/release/podfence); released binaries have it";

/// Takes whatever the command takes elsewhere.
#[derive(Args)]
#[command(after_help = HINT)]
pub(crate) struct Arguments {
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    ignored: Vec<OsString>,
}

pub(crate) type Package = Arguments;
pub(crate) type Bundle = Arguments;
pub(crate) type Sbom = Arguments;
pub(crate) type Push = Arguments;
pub(crate) type Pull = Arguments;
pub(crate) type Sign = Arguments;
pub(crate) type Verify = Arguments;
pub(crate) type GenerateKeyPair = Arguments;

impl Publishing {
    pub(in crate::commands) fn run(self) -> Result<ExitCode> {
        let command = match self {
            Publishing::Package(_) => "package",
            Publishing::Bundle(_) => "bundle",
            Publishing::Sbom(_) => "sbom",
            Publishing::Push(_) => "push",
            Publishing::Pull(_) => "pull",
            Publishing::Sign(_) => "sign",
            Publishing::Verify(_) => "verify",
            Publishing::GenerateKeyPair(_) => "generate-key-pair",
        };
        bail!("podfence {command}: {HINT}")
    }
}
