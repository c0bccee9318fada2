//! `podfence sign`, `podfence verify` and `podfence generate-key-pair`

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use host_test::input::{self, LARGEST_DOCUMENT};
use host_test::oci::{KeyPair, PublicKey, Reference, SignatureError, sign, verify};

use super::{DENIED, RegistryArguments, origin, printable, reference};

/// Where cosign looks for the password of a private key, too.
const PASSWORD: &str = "COSIGN_PASSWORD";

/// Signs policies in an OCI registry with a private key, as cosign does.
///
/// What is signed is what a reference stands for now: name it by its digest, as `podfence push` prints it.
/// The password of the key is in COSIGN_PASSWORD; set it to nothing for a key without one.
///
/// Exit code 0: all of them are signed; 2: at least one is not.
#[derive(Args)]
pub(super) struct SignArguments {
    /// The policies: REGISTRY/REPOSITORY@sha256:DIGEST, or with a tag
    #[arg(required = true, value_parser = reference)]
    references: Vec<Reference>,

    /// The private key: PEM, as `podfence generate-key-pair` and cosign write it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    #[command(flatten)]
    registry: RegistryArguments,
}

impl SignArguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let pem = read(&self.key)?;
        let keys = KeyPair::from_pem(&pem, password()?.as_bytes()).with_context(|| origin(&self.key))?;
        for reference in &self.references {
            let registry = self.registry.connect(reference)?;
            let signed = sign(&registry, reference, &keys).with_context(|| reference.whole())?;
            writeln!(anstream::stdout().lock(), "signed    {}", signed.whole())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Checks that policies in an OCI registry are unchanged and signed by the owner of a key.
///
/// Exit code 0: all of them are; 1: at least one is not; 2: a registry or the key cannot be read.
#[derive(Args)]
pub(super) struct VerifyArguments {
    /// The policies: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST
    #[arg(required = true, value_parser = reference)]
    references: Vec<Reference>,

    /// The public key: PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    #[command(flatten)]
    registry: RegistryArguments,
}

impl VerifyArguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let key = PublicKey::from_pem(&read(&self.key)?).with_context(|| origin(&self.key))?;
        let mut exit = ExitCode::SUCCESS;
        for reference in &self.references {
            let registry = self.registry.connect(reference)?;
            match verify(&registry, reference, &key) {
                Ok(verified) => writeln!(anstream::stdout().lock(), "verified  {}", verified.whole())?,
                Err(error) if is_verdict(&error) => {
                    anstream::eprintln!("refused   {}", printable(&error.to_string()));
                    exit = ExitCode::from(DENIED);
                }
                Err(error) => return Err(error).with_context(|| reference.whole()),
            }
        }
        Ok(exit)
    }
}

/// Whether an error says something about the policy, and not that there is no telling.
fn is_verdict(error: &SignatureError) -> bool {
    use host_test::oci::{ArtifactError, OciError};
    match error {
        SignatureError::Unsigned(_) | SignatureError::Unreadable { .. } | SignatureError::Refused { .. } => true,
        SignatureError::Artifact(ArtifactError::Registry(error)) | SignatureError::Registry(error) => {
            matches!(error, OciError::Changed { .. })
        }
        SignatureError::Artifact(error) => matches!(error, ArtifactError::NoPolicy { .. }),
        SignatureError::Key(_) => false,
    }
}

/// Makes a key pair: the files PREFIX.key and PREFIX.pub.
///
/// The private key is encrypted with the password in COSIGN_PASSWORD, and can be used with cosign, too.
///
/// Exit code 0: both are written; 2: they are not.
#[derive(Args)]
pub(super) struct KeyArguments {
    /// What the names of the files begin with
    #[arg(long, value_name = "PREFIX", default_value = "cosign")]
    output_key_prefix: PathBuf,
}

impl KeyArguments {
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

fn read(path: &Path) -> Result<Vec<u8>> {
    input::read(path, LARGEST_DOCUMENT).with_context(|| origin(path))
}

fn password() -> Result<String> {
    match std::env::var(PASSWORD) {
        Ok(password) => Ok(password),
        Err(std::env::VarError::NotPresent) => {
            bail!("{PASSWORD} is not set; it has the password of the private key, and is empty if there is none")
        }
        Err(error) => Err(error).context(PASSWORD),
    }
}
