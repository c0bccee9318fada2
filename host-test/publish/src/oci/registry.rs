//! A connection to a registry, and what can go wrong with one.

use std::env;
use std::error::Error;
use std::fs::File;
use std::future::Future;
use std::io::{BufReader, Cursor, ErrorKind};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use podfence_host::inspect::sha256;
use tokio::runtime::{Builder, Runtime};

const TO_CONNECT: Duration = Duration::from_secs(10);

/// Between two pieces of an answer.
const TO_ANSWER: Duration = Duration::from_secs(60);

/// How Docker's configuration calls Docker Hub.
const DOCKER_HUB: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");

/// Why there is no answer of a registry, or none to be used.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// Not the name of an artifact.
    #[error("{reference}: {problem}; expected REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST")]
    Reference {
        /// What was given.
        reference: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The Docker configuration, or the helper that it names.
    #[error("credentials for {registry}: {problem}")]
    Credentials {
        /// The registry.
        registry: String,
        /// What went wrong.
        problem: String,
    },
    /// Nobody listens there, or not with this protocol.
    #[error("{registry} cannot be reached: {problem}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// What went wrong.
        problem: String,
    },
    /// The credentials, or that there are none.
    #[error("{registry} refuses access to {repository}; `docker login {registry}` stores credentials")]
    Unauthorized {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
    },
    /// There is no such artifact, or a part of it is not there.
    #[error("{0} is not in the registry")]
    Missing(String),
    /// What came is not what has this digest.
    #[error("{what}: expected {expected}, found {found}; the registry, or somebody on the way, changed it")]
    Changed {
        /// What was read.
        what: String,
        /// The digest or the length that was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// Anything else.
    #[error("{registry}: {problem}")]
    Failed {
        /// The registry.
        registry: String,
        /// What went wrong.
        problem: String,
    },
}

/// Reads the name of an artifact, with or without `registry://` in front.
///
/// # Errors
/// It is none, or has neither tag nor digest.
pub fn parse(text: &str) -> Result<Reference, OciError> {
    let reference = text.strip_prefix("registry://").unwrap_or(text);
    let error = |problem: &str| OciError::Reference { reference: text.to_owned(), problem: problem.to_owned() };
    let parsed: Reference = reference.parse().map_err(|problem| error(&format!("{problem}")))?;
    // Without a registry, Docker Hub would be meant; without a tag, `latest`.
    if !reference.starts_with(&format!("{}/", parsed.registry())) {
        return Err(error("no registry"));
    }
    let last = reference.rsplit('/').next().unwrap_or_default();
    if !last.contains([':', '@']) {
        return Err(error("neither tag nor digest"));
    }
    Ok(parsed)
}

/// A connection to the registry of one repository.
pub struct Registry {
    client: Client,
    auth: RegistryAuth,
    runtime: Runtime,
}

impl Registry {
    /// Prepares a connection with the credentials of Docker's configuration. Loopback registries speak plain
    /// HTTP, others only if `plain_http` says so.
    ///
    /// # Errors
    /// The credentials cannot be read.
    pub fn connect(registry: &str, plain_http: bool) -> Result<Registry, OciError> {
        let protocol = if plain_http || is_loopback(registry) { ClientProtocol::Http } else { ClientProtocol::Https };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(TO_CONNECT),
            read_timeout: Some(TO_ANSWER),
            // An index stands for several platforms, and a policy is for all of them.
            platform_resolver: None,
            ..ClientConfig::default()
        };
        let failed = |problem: String| OciError::Failed { registry: registry.to_owned(), problem };
        let client = Client::try_from(config).map_err(|error| failed(error.to_string()))?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| failed(error.to_string()))?;
        Ok(Registry { client, auth: credentials(registry)?, runtime })
    }

    /// The manifest of an artifact as it is written, and its digest.
    ///
    /// # Errors
    /// It is not there, or has another digest than the reference.
    pub fn manifest(&self, reference: &Reference) -> Result<(Vec<u8>, String), OciError> {
        let accepted = [OCI_IMAGE_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE];
        let (manifest, _) = self.wait(reference, self.client.pull_manifest_raw(reference, &self.auth, &accepted))?;
        let found = digest(&manifest);
        match reference.digest() {
            Some(expected) if expected != found => {
                Err(OciError::Changed { what: "manifest".to_owned(), expected: expected.to_owned(), found })
            }
            _ => Ok((manifest.to_vec(), found)),
        }
    }

    /// The same, or nothing if it is not there.
    ///
    /// # Errors
    /// Any other than that.
    pub fn find_manifest(&self, reference: &Reference) -> Result<Option<(Vec<u8>, String)>, OciError> {
        match self.manifest(reference) {
            Ok(found) => Ok(Some(found)),
            Err(OciError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a descriptor describes, of at most so many bytes.
    ///
    /// # Errors
    /// It is not there, too long, or not what has this digest.
    pub fn blob(&self, reference: &Reference, described: &OciDescriptor, most: u64) -> Result<Vec<u8>, OciError> {
        let registry = || reference.registry().to_owned();
        let size = u64::try_from(described.size).ok().filter(|&size| size <= most).ok_or_else(|| OciError::Failed {
            registry: registry(),
            problem: format!("{} has {} bytes; expected at most {most}", described.digest, described.size),
        })?;
        // Room for what was announced and one more byte, so that a longer answer is noticed, and not kept.
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1)];
        let mut cursor = Cursor::new(buffer.as_mut_slice());
        self.authorize(reference);
        let pulled = self.runtime.block_on(self.client.pull_blob(reference, described, &mut cursor));
        let length = cursor.position();
        let changed =
            |expected: String, found: String| OciError::Changed { what: described.digest.clone(), expected, found };
        match pulled {
            Ok(()) | Err(OciDistributionError::DigestError(_)) if length != size => {
                return Err(changed(format!("{size} bytes"), format!("{length}")));
            }
            Ok(()) | Err(OciDistributionError::DigestError(_)) => {}
            Err(OciDistributionError::IoError(error)) if error.kind() == ErrorKind::WriteZero => {
                return Err(changed(format!("{size} bytes"), "more".to_owned()));
            }
            Err(error) => return Err(explain(reference, &described.digest, error)),
        }
        buffer.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        let found = digest(&buffer);
        if found == described.digest { Ok(buffer) } else { Err(changed(described.digest.clone(), found)) }
    }

    /// Uploads a blob, unless the registry has it.
    ///
    /// # Errors
    /// The registry does not take it.
    pub fn push_blob(&self, reference: &Reference, blob: &[u8]) -> Result<(), OciError> {
        let digest = digest(blob);
        self.authorize(reference);
        if self.wait(reference, self.client.blob_exists(reference, &digest))? {
            return Ok(());
        }
        self.wait(reference, self.client.push_blob(reference, blob.to_vec(), &digest)).map(drop)
    }

    /// Uploads a manifest, whose blobs are there already, under the tag or digest of the reference.
    ///
    /// # Errors
    /// The registry does not take it.
    pub fn push_manifest(&self, reference: &Reference, manifest: &[u8], media_type: &str) -> Result<(), OciError> {
        let failed = |problem: &str| OciError::Failed {
            registry: reference.registry().to_owned(),
            problem: format!("{media_type}: {problem}"),
        };
        let media_type = media_type.parse().map_err(|_| failed("not a media type"))?;
        self.authorize(reference);
        let push = self.client.push_manifest_raw(reference, manifest.to_vec(), media_type);
        self.wait(reference, push).map(drop)
    }

    /// What refers to an artifact, in the registry's list or in the index that stands for one.
    ///
    /// # Errors
    /// The registry does not tell.
    pub fn referrers(&self, subject: &Reference, artifact_type: &str) -> Result<OciImageIndex, OciError> {
        self.authorize(subject);
        self.wait(subject, self.client.pull_referrers(subject, Some(artifact_type)))
    }

    fn authorize(&self, reference: &Reference) {
        self.runtime.block_on(self.client.store_auth_if_needed(reference.resolve_registry(), &self.auth));
    }

    fn wait<T>(
        &self,
        reference: &Reference,
        answer: impl Future<Output = Result<T, OciDistributionError>>,
    ) -> Result<T, OciError> {
        self.runtime.block_on(answer).map_err(|error| explain(reference, &reference.whole(), error))
    }
}

/// The digest of a blob or a manifest, as registries write it.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What Docker's configuration has for a registry; without one, everybody may read.
fn credentials(registry: &str) -> Result<RegistryAuth, OciError> {
    let failed = |problem: String| OciError::Credentials { registry: registry.to_owned(), problem };
    let directory = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let Some(directory) = directory.or_else(|| Some(env::home_dir()?.join(".docker"))) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let path = directory.join("config.json");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(error) => return Err(failed(format!("{}: {error}", path.display()))),
    };
    let server = if registry == DOCKER_HUB.0 { DOCKER_HUB.1 } else { registry };
    match docker_credential::get_credential_from_reader(BufReader::new(file), server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => {
            Err(failed("identity tokens are not supported; log in with a password or an access token".to_owned()))
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        Err(error) => Err(failed(format!("{}: {}", path.display(), error.to_string().trim()))),
    }
}

/// What an error of the client means for who asked.
fn explain(reference: &Reference, what: &str, error: OciDistributionError) -> OciError {
    let registry = reference.registry().to_owned();
    let is_missing = |code: &OciErrorCode| {
        matches!(code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::BlobUnknown)
    };
    let is_refused = |code: &OciErrorCode| matches!(code, OciErrorCode::Unauthorized | OciErrorCode::Denied);
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) | OciDistributionError::ServerError { code: 404, .. } => {
            OciError::Missing(what.to_owned())
        }
        OciDistributionError::RegistryError { envelope, .. } if envelope.errors.iter().any(|e| is_missing(&e.code)) => {
            OciError::Missing(what.to_owned())
        }
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_)
        | OciDistributionError::ServerError { code: 401 | 403, .. } => {
            OciError::Unauthorized { registry, repository: reference.repository().to_owned() }
        }
        OciDistributionError::RegistryError { envelope, .. } if envelope.errors.iter().any(|e| is_refused(&e.code)) => {
            OciError::Unauthorized { registry, repository: reference.repository().to_owned() }
        }
        OciDistributionError::DigestError(error) => {
            OciError::Changed { what: what.to_owned(), expected: "its digest".to_owned(), found: error.to_string() }
        }
        OciDistributionError::RequestError(error) if error.is_connect() => {
            OciError::Unreachable { registry, problem: causes(&error) }
        }
        OciDistributionError::RegistryError { envelope, .. } => {
            let problems: Vec<String> = envelope.errors.iter().map(ToString::to_string).collect();
            OciError::Failed { registry, problem: problems.join("; ") }
        }
        error => OciError::Failed { registry, problem: causes(&error) },
    }
}

/// An error and what caused it; some tell only the one or the other.
fn causes(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        source = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine() {
        for loopback in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]"] {
            assert!(is_loopback(loopback), "{loopback}");
        }
        for other in ["registry.example.com", "localhost.example.com:5000", "10.0.0.1:5000", "[2001:db8::1]", ""] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn a_reference_says_registry_and_version() {
        let good = "registry.example.com:5000/a/b:v1";
        for text in [good, "registry://registry.example.com:5000/a/b:v1"] {
            assert_eq!(parse(text).unwrap().whole(), good);
        }
        let digest = format!("localhost/a@sha256:{}", "a".repeat(64));
        assert_eq!(parse(&digest).unwrap().digest(), Some(&digest["localhost/a@".len()..]));
        for (text, problem) in [
            ("privileged:v1", "no registry"),
            ("library/privileged:v1", "no registry"),
            ("localhost:5000/privileged", "neither tag nor digest"),
            ("", "repository name must have at least one component"),
            ("https://localhost:5000/a:v1", "invalid reference format"),
            ("localhost:5000/Upper:v1", "invalid reference format"),
        ] {
            let expected =
                format!("{text}: {problem}; expected REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST");
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
    }
}
