//! What a registry has, and what can go wrong with one.

use oci_spec::distribution::Reference;
use podfence_host::inspect::sha256;
use reqwest::header::LOCATION;
use reqwest::{Method, Url};

use super::answer::{self, Descriptor, INDEX_TYPE, Index, MANIFEST_TYPE};
use super::transport::{Access, Answer, Purpose, Request, Transport, unexpected};

/// Of a manifest or a list, in bytes: what registries take at most.
const LARGEST_MANIFEST: u64 = 4 << 20;

/// How many pages of a list are read.
const PAGES: usize = 8;

const BLOB_TYPE: &str = "application/octet-stream";

/// What a server that speaks TLS says to plain HTTP.
const WANTS_TLS: &[u8] = b"HTTP request to an HTTPS server";

/// Why there is no answer of a registry, or none to be used.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// Not the name of an artifact.
    #[error("{reference}: {problem}; expected HOST/PATH:TAG or HOST/PATH@sha256:DIGEST")]
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
    /// Nobody listens there.
    #[error("{registry} cannot be reached: {problem}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// What went wrong.
        problem: String,
    },
    /// It speaks plain HTTP.
    #[error("{registry} does not speak TLS; --plain-http if you trust the network")]
    NoTls {
        /// The registry.
        registry: String,
    },
    /// It does not speak plain HTTP.
    #[error("{registry} does not speak plain HTTP; --tls if it speaks TLS")]
    Tls {
        /// The registry.
        registry: String,
    },
    /// Its certificate is from nobody that is trusted.
    #[error(
        "{registry} has a certificate of an unknown authority; SSL_CERT_FILE names a file with those that you trust"
    )]
    UnknownIssuer {
        /// The registry.
        registry: String,
    },
    /// The credentials, or that there are none.
    #[error("{registry} refuses access to {repository}; `docker login {registry}` stores credentials")]
    Unauthorized {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
    },
    /// There is no such artifact, or a part of it is missing.
    #[error("{0} is not in the registry")]
    Missing(String),
    /// What came is not what has this digest.
    #[error("{reference} was changed in the registry or on the way: expected {expected}, found {found}")]
    Changed {
        /// What was asked for.
        reference: String,
        /// The digest or the length that was expected.
        expected: String,
        /// What came.
        found: String,
    },
    /// More than a registry has to say.
    #[error("{registry}: its answer is longer than {most} bytes")]
    TooLong {
        /// The registry.
        registry: String,
        /// The limit.
        most: usize,
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

impl OciError {
    /// The credentials for a repository are wrong, or missing.
    pub(super) fn unauthorized(reference: &Reference) -> OciError {
        let (registry, repository) = (reference.registry().to_owned(), reference.repository().to_owned());
        OciError::Unauthorized { registry, repository }
    }
}

/// Reads the name of an artifact, with or without `registry://` in front.
///
/// # Errors
/// It is not one, or has neither tag nor digest.
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
    if parsed.digest().is_some_and(|digest| !answer::is_digest(digest)) {
        return Err(error("not a digest by SHA-256"));
    }
    Ok(parsed)
}

/// A connection to the registry of one repository.
pub struct Registry(Transport);

impl Registry {
    /// Prepares a connection to the registry of an artifact, with the credentials of Docker's configuration. Registries
    /// on this machine speak plain HTTP, others only if the access says so.
    ///
    /// # Errors
    /// The credentials cannot be read.
    pub fn connect(reference: &Reference, access: &Access) -> Result<Registry, OciError> {
        Transport::new(reference, access).map(Registry)
    }

    /// The manifest of an artifact as it is written, and its digest.
    ///
    /// # Errors
    /// It is missing, or has another digest than the reference.
    pub fn manifest(&self, reference: &Reference) -> Result<(Vec<u8>, String), OciError> {
        let name = reference.digest().or(reference.tag()).unwrap_or_default();
        let url = self.url(reference, &format!("manifests/{name}"))?;
        let accept = &[MANIFEST_TYPE, INDEX_TYPE];
        let request = Request { accept, most: LARGEST_MANIFEST, ..Request::new(Method::GET, url, Purpose::Pull) };
        let answer = self.succeed(reference, &request, &reference.whole())?;
        let found = digest(&answer.body);
        match reference.digest() {
            Some(expected) if expected != found => {
                Err(OciError::Changed { reference: reference.whole(), expected: expected.to_owned(), found })
            }
            _ => Ok((answer.body, found)),
        }
    }

    /// The same, or nothing if it is missing.
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
    /// It is missing, too long, or not what has this digest.
    pub fn blob(&self, reference: &Reference, described: &Descriptor, most: u64) -> Result<Vec<u8>, OciError> {
        let Descriptor { digest: expected, size, .. } = described;
        if *size > most {
            return Err(self.0.failed(format!("{expected} has {size} bytes; expected at most {most}")));
        }
        let url = self.url(reference, &format!("blobs/{expected}"))?;
        let request = Request { most: *size, ..Request::new(Method::GET, url, Purpose::Pull) };
        let changed =
            |expected: String, found: String| Err(OciError::Changed { reference: reference.whole(), expected, found });
        let blob = match self.succeed(reference, &request, &format!("{expected} of {}", reference.whole())) {
            Ok(answer) => answer.body,
            Err(OciError::TooLong { .. }) => return changed(format!("{size} bytes of {expected}"), "more".to_owned()),
            Err(error) => return Err(error),
        };
        if blob.len() as u64 != *size {
            return changed(format!("{size} bytes of {expected}"), blob.len().to_string());
        }
        let found = digest(&blob);
        if found == *expected { Ok(blob) } else { changed(expected.clone(), found) }
    }

    /// Uploads a blob, unless the registry has it.
    ///
    /// # Errors
    /// The registry does not take it.
    pub fn push_blob(&self, reference: &Reference, blob: &[u8]) -> Result<(), OciError> {
        let digest = digest(blob);
        let url = self.url(reference, &format!("blobs/{digest}"))?;
        let answer = self.0.send(reference, &Request::new(Method::HEAD, url, Purpose::Pull))?;
        match answer.status.as_u16() {
            200 => return Ok(()),
            404 => {}
            _ => return Err(self.refused(reference, &reference.whole(), "HEAD", &answer)),
        }
        let start = self.url(reference, "blobs/uploads/")?;
        let request = Request::new(Method::POST, start, Purpose::Push);
        let answer = self.succeed(reference, &request, &reference.whole())?;
        let location = answer.header(LOCATION);
        let location = location.ok_or_else(|| self.0.failed("it does not say where an upload goes".to_owned()))?;
        let mut url = self.0.follow(&request.url, location)?;
        url.query_pairs_mut().append_pair("digest", &digest);
        let body = Some((blob, BLOB_TYPE));
        let request = Request { body, ..Request::new(Method::PUT, url, Purpose::Push) };
        self.succeed(reference, &request, &reference.whole()).map(drop)
    }

    /// Uploads a manifest, whose blobs are there already, under the tag or digest of the reference.
    ///
    /// # Errors
    /// The registry does not take it.
    pub fn push_manifest(&self, reference: &Reference, manifest: &[u8], media_type: &str) -> Result<(), OciError> {
        let name = reference.digest().or(reference.tag()).unwrap_or_default();
        let url = self.url(reference, &format!("manifests/{name}"))?;
        let body = Some((manifest, media_type));
        let request = Request { body, ..Request::new(Method::PUT, url, Purpose::Push) };
        self.succeed(reference, &request, &reference.whole()).map(drop)
    }

    /// What refers to an artifact that is named by its digest: the registry's list, or the index that stands for one
    /// under the tag `sha256-<digest>`.
    ///
    /// # Errors
    /// The registry has neither and does not say so, or its answer cannot be read.
    pub fn referrers(&self, subject: &Reference) -> Result<Vec<Descriptor>, OciError> {
        let unreadable = |problem: String| self.0.failed(format!("its list of what refers to {subject}: {problem}"));
        let mut listed = Vec::new();
        let mut next = Some(self.url(subject, &format!("referrers/{}", subject.digest().unwrap_or_default()))?);
        for _ in 0..PAGES {
            let Some(url) = next.take() else { break };
            let accept = &[INDEX_TYPE];
            let request = Request { accept, most: LARGEST_MANIFEST, ..Request::new(Method::GET, url, Purpose::Pull) };
            let answer = self.0.send(subject, &request)?;
            if matches!(answer.status.as_u16(), 404 | 405) {
                return self.tagged_referrers(subject);
            }
            if !answer.status.is_success() {
                return Err(self.refused(subject, &subject.whole(), "GET", &answer));
            }
            listed.extend(Index::read(&answer.body).map_err(unreadable)?.manifests);
            let page = answer.header("link").and_then(answer::next_page);
            next = page.map(|page| self.0.follow(&request.url, page)).transpose()?;
        }
        Ok(listed)
    }

    fn tagged_referrers(&self, subject: &Reference) -> Result<Vec<Descriptor>, OciError> {
        let place = referrers_tag(subject);
        let Some((index, _)) = self.find_manifest(&place)? else { return Ok(Vec::new()) };
        let index =
            Index::read(&index).map_err(|problem| self.0.failed(format!("{} is not an index: {problem}", place)))?;
        Ok(index.manifests)
    }

    /// An error that concerns this registry.
    pub(super) fn failed(&self, problem: String) -> OciError {
        self.0.failed(problem)
    }

    fn url(&self, reference: &Reference, path: &str) -> Result<Url, OciError> {
        self.0.url(&format!("v2/{}/{path}", reference.repository()))
    }

    /// Sends a request that the registry does not refuse.
    fn succeed(&self, reference: &Reference, request: &Request<'_>, what: &str) -> Result<Answer, OciError> {
        let answer = self.0.send(reference, request)?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(self.refused(reference, what, request.method.as_str(), &answer))
    }

    /// What a refusal means for who asked.
    fn refused(&self, reference: &Reference, what: &str, method: &str, answer: &Answer) -> OciError {
        let problems = answer::problems(&answer.body);
        let has = |codes: &[&str]| problems.iter().any(|problem| codes.contains(&problem.code.as_str()));
        match answer.status.as_u16() {
            401 | 403 => OciError::unauthorized(reference),
            _ if has(&["UNAUTHORIZED", "DENIED"]) => OciError::unauthorized(reference),
            404 => OciError::Missing(what.to_owned()),
            _ if has(&["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN"]) => OciError::Missing(what.to_owned()),
            400 if answer.body.windows(WANTS_TLS.len()).any(|part| part == WANTS_TLS) => {
                OciError::Tls { registry: reference.registry().to_owned() }
            }
            _ => self.0.failed(unexpected(answer, &format!("{method} of {what}"))),
        }
    }
}

/// Where the index is that stands for a registry's list of what refers to an artifact.
pub(super) fn referrers_tag(subject: &Reference) -> Reference {
    let tag = subject.digest().unwrap_or_default().replace(':', "-");
    Reference::with_tag(subject.registry().to_owned(), subject.repository().to_owned(), tag)
}

/// The digest of a blob or a manifest, as registries write it.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_says_registry_and_version() {
        let good = "registry.example.com:5000/a/b:v1";
        for text in [good, "registry://registry.example.com:5000/a/b:v1"] {
            assert_eq!(parse(text).unwrap().whole(), good);
        }
        let digest = format!("localhost/a@sha256:{}", "a".repeat(64));
        assert_eq!(parse(&digest).unwrap().digest(), Some(&digest["localhost/a@".len()..]));
        let sha512 = format!("localhost/a@sha512:{}", "a".repeat(128));
        for (text, problem) in [
            ("privileged:v1", "no registry"),
            ("library/privileged:v1", "no registry"),
            ("localhost:5000/privileged", "neither tag nor digest"),
            (&sha512, "not a digest by SHA-256"),
            ("", "repository name must have at least one component"),
            ("https://localhost:5000/a:v1", "invalid reference format"),
            ("localhost:5000/Upper:v1", "invalid reference format"),
        ] {
            let expected = format!("{text}: {problem}; expected HOST/PATH:TAG or HOST/PATH@sha256:DIGEST");
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
    }
}
