//! The commands of publishing, and what they share: registries, references and keys.

mod generate_key_pair;
mod package;
mod pull;
mod push;
mod sbom;
mod sign;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use podfence_publish::oci::{self, OciError, Reference, Registry};
use podfence_scan::read::{self, LARGEST_DOCUMENT};

use super::Publishing;
use crate::text::origin;

pub(crate) use generate_key_pair::Arguments as GenerateKeyPair;
pub(crate) use package::Arguments as Package;
pub(crate) use pull::Arguments as Pull;
pub(crate) use push::Arguments as Push;
pub(crate) use sbom::Arguments as Sbom;
pub(crate) use sign::Arguments as Sign;
pub(crate) use verify::Arguments as Verify;

impl Publishing {
    pub(in crate::commands) fn run(self) -> Result<ExitCode> {
        match self {
            Publishing::Package(arguments) => arguments.run(),
            Publishing::Sbom(arguments) => arguments.run(),
            Publishing::Push(arguments) => arguments.run(),
            Publishing::Pull(arguments) => arguments.run(),
            Publishing::Sign(arguments) => arguments.run(),
            Publishing::Verify(arguments) => arguments.run(),
            Publishing::GenerateKeyPair(arguments) => arguments.run(),
        }
    }
}

/// Where cosign looks for the password of a private key, too.
const PASSWORD: &str = "COSIGN_PASSWORD";

/// How a registry is reached.
#[derive(Args)]
struct RegistryArguments {
    /// Speak plain HTTP with the registry; one on this machine is always spoken to so
    #[arg(long)]
    plain_http: bool,
}

impl RegistryArguments {
    fn connect(&self, reference: &Reference) -> Result<Registry> {
        Ok(Registry::connect(reference.registry(), self.plain_http)?)
    }
}

/// A policy in a registry, as an argument.
fn reference(text: &str) -> Result<Reference, OciError> {
    oci::parse(text)
}

/// The PEM of a key.
fn read_key(path: &Path) -> Result<Vec<u8>> {
    read::file(path, LARGEST_DOCUMENT).with_context(|| origin(path))
}

/// The password of the private key.
fn password() -> Result<String> {
    match std::env::var(PASSWORD) {
        Ok(password) => Ok(password),
        Err(std::env::VarError::NotPresent) => {
            bail!("{PASSWORD} is not set; it has the password of the private key, and is empty if there is none")
        }
        Err(error) => Err(error).context(PASSWORD),
    }
}
