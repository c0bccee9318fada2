//! Credentials of registries, as Docker's configuration and its helpers have them.

use std::env;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential};

use super::registry::OciError;

/// How Docker's configuration calls Docker Hub.
const DOCKER_HUB: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");

/// A name and a password.
pub(super) type Credentials = (String, String);

/// What Docker's configuration has for a registry; without it, everybody may read.
///
/// # Errors
/// The configuration cannot be read, or a helper fails.
pub(super) fn credentials(registry: &str) -> Result<Option<Credentials>, OciError> {
    let failed = |problem: String| OciError::Credentials { registry: registry.to_owned(), problem };
    let directory = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let Some(directory) = directory.or_else(|| Some(env::home_dir()?.join(".docker"))) else { return Ok(None) };
    let path = directory.join("config.json");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(format!("{}: {error}", path.display()))),
    };
    let server = if registry == DOCKER_HUB.0 { DOCKER_HUB.1 } else { registry };
    match docker_credential::get_credential_from_reader(BufReader::new(file), server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some((user, password))),
        Ok(DockerCredential::IdentityToken(_)) => {
            Err(failed("identity tokens are not supported; log in with a password or an access token".to_owned()))
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        Err(error) => Err(failed(format!("{}: {}", path.display(), error.to_string().trim()))),
    }
}
