//! The commands of publishing, and what they share: registries, references, keys and who is trusted.

mod bundle;
mod file;
mod generate_key_pair;
mod package;
mod pull;
mod push;
mod sbom;
mod sign;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use podfence_publish::oci::{
    self, Access, ArtifactError, KeyError, OciError, PublicKey, Reference, Registry, SignatureError, Trust,
};
use podfence_scan::read::{self, LARGEST_DOCUMENT};

use super::Publishing;
use crate::commands::{DENIED, seconds};
use crate::text::{origin, printable};

pub(crate) use bundle::Arguments as Bundle;
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
            Publishing::Bundle(arguments) => arguments.run(),
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
    /// Use plain HTTP, which everybody on the network path can read and change
    #[arg(long)]
    plain_http: bool,

    /// Use TLS for a registry on this machine as well; for all others, TLS is the default
    #[arg(long, conflicts_with = "plain_http")]
    tls: bool,

    /// Seconds that each transfer may take
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    timeout: Duration,
}

impl RegistryArguments {
    fn connect(&self, reference: &Reference) -> Result<Registry> {
        let access = Access { plain_http: self.plain_http, tls: self.tls, timeout: self.timeout };
        Ok(Registry::connect(reference, &access)?)
    }
}

/// Whose signatures count.
#[derive(Args)]
struct TrustArguments {
    /// The public key of the signer: PEM
    #[arg(long, value_name = "FILE", conflicts_with = "certificate_identity")]
    key: Option<PathBuf>,

    /// The identity of a signer without a key, as in the certificate: for example, the URL of a workflow
    #[arg(long, value_name = "IDENTITY", requires = "certificate_oidc_issuer")]
    certificate_identity: Option<String>,

    /// The issuer that confirmed the identity, such as `https://token.actions.githubusercontent.com`
    #[arg(long, value_name = "URL", requires = "certificate_identity")]
    certificate_oidc_issuer: Option<String>,

    /// The authorities and logs to trust instead of the public Sigstore: JSON, as `cosign trusted-root create` writes
    /// it
    #[arg(long, value_name = "FILE", requires = "certificate_identity")]
    trusted_root: Option<PathBuf>,
}

impl TrustArguments {
    /// Nothing, if nobody is named.
    fn get(&self) -> Result<Option<Trust>> {
        if let Some(path) = &self.key {
            let trust = PublicKey::from_pem(&read(path)?).and_then(Trust::with_key);
            return trust.map(Some).map_err(|error| unusable(path, &error));
        }
        let (Some(identity), Some(issuer)) = (&self.certificate_identity, &self.certificate_oidc_issuer) else {
            return Ok(None);
        };
        let root = self.trusted_root.as_deref().map(text).transpose()?;
        let trust = Trust::with_identity(identity, issuer, root.as_deref());
        let path = self.trusted_root.as_deref().unwrap_or(Path::new("the public Sigstore"));
        trust.map(Some).map_err(|error| anyhow!("{} {error}", origin(path)))
    }
}

/// A policy in a registry, as an argument.
fn reference(text: &str) -> Result<Reference, OciError> {
    oci::parse(text)
}

/// The bytes of a key or a document.
fn read(path: &Path) -> Result<Vec<u8>> {
    read::file(path, LARGEST_DOCUMENT).with_context(|| origin(path))
}

fn text(path: &Path) -> Result<String> {
    let bytes = read(path)?;
    read::utf8(&bytes).map(str::to_owned).with_context(|| origin(path))
}

/// The password of the private key.
fn password() -> Result<String> {
    match std::env::var(PASSWORD) {
        Ok(password) => Ok(password),
        Err(std::env::VarError::NotPresent) => {
            bail!("{PASSWORD} is not set; it has the password of the private key, and is empty if it has none")
        }
        Err(error) => Err(error).context(PASSWORD),
    }
}

/// What is wrong with a private key, by the name of its file.
fn unusable(path: &Path, error: &KeyError) -> anyhow::Error {
    let path = origin(path);
    match error {
        KeyError::Locked => anyhow!("{PASSWORD} does not open {path}"),
        KeyError::Open => anyhow!("{path} is not encrypted; set {PASSWORD} to nothing"),
        KeyError::NotPrivate | KeyError::NotPublic => anyhow!("{path} {error}"),
        KeyError::Library(problem) => anyhow!("{path}: {problem}"),
    }
}

/// Says that a policy is refused, if that is what an error means, and not that nobody can say so.
fn refuse(error: SignatureError) -> Result<ExitCode> {
    let is_verdict = match &error {
        SignatureError::Unsigned(_)
        | SignatureError::Unnamed(_)
        | SignatureError::OtherKey { .. }
        | SignatureError::Refused { .. }
        | SignatureError::UnsignedBill { .. }
        | SignatureError::OtherBill(_) => true,
        SignatureError::Artifact(ArtifactError::Registry(error)) | SignatureError::Registry(error) => {
            matches!(error, OciError::Changed { .. })
        }
        SignatureError::Artifact(error) => {
            matches!(error, ArtifactError::NoPolicy { .. } | ArtifactError::OtherPolicy { .. })
        }
        SignatureError::Key(_) | SignatureError::Root(_) | SignatureError::NoBill(_) => false,
    };
    if !is_verdict {
        return Err(error.into());
    }
    anstream::eprintln!("refused: {}", printable(&error.to_string()));
    Ok(ExitCode::from(DENIED))
}
