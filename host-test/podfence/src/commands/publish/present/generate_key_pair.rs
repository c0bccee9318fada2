//! `podfence generate-key-pair`

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use podfence_publish::oci::KeyPair;

use super::password;
use crate::text::origin;

#[derive(Args)]
pub(crate) struct Arguments {
    /// What the names of the files begin with
    #[arg(long, value_name = "PREFIX", default_value = "cosign")]
    output_key_prefix: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let password = password()?;
        let keys = KeyPair::generate()?;
        let private = self.output_key_prefix.with_added_extension("key");
        let public = self.output_key_prefix.with_added_extension("pub");
        write_private(&private, &keys.to_pem(password.as_bytes())?).with_context(|| origin(&private))?;
        fs::write(&public, keys.public_pem()?).with_context(|| origin(&public))?;
        for path in [private, public] {
            writeln!(anstream::stdout().lock(), "{}", origin(&path))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Never over another key, and for nobody else to read.
fn write_private(path: &Path, pem: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?.write_all(pem.as_bytes())?)
}
