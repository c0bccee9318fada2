//! `podfence generate-key-pair`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use podfence_publish::oci::KeyPair;

use super::file::{Readers, create};
use super::password;
use crate::text::{origin, printable};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The start of the names of the files
    #[arg(long, value_name = "PREFIX", default_value = "cosign")]
    output_key_prefix: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let password = password()?;
        let keys = KeyPair::generate()?;
        let private = self.output_key_prefix.with_added_extension("key");
        let public = self.output_key_prefix.with_added_extension("pub");
        let (private_pem, public_pem) = (keys.to_pem(password.as_bytes())?, keys.public_pem()?);
        let files = [
            (private.as_path(), private_pem.as_bytes(), Readers::User),
            (public.as_path(), public_pem.as_bytes(), Readers::Everybody),
        ];
        create(&files, "--output-key-prefix names another")?;
        for path in [&private, &public] {
            writeln!(anstream::stdout().lock(), "{}", printable(&origin(path)))?;
        }
        let private = printable(&origin(&private));
        anstream::eprintln!("keep {private} secret; next: podfence sign --key {private} HOST/PATH@sha256:DIGEST");
        Ok(ExitCode::SUCCESS)
    }
}
