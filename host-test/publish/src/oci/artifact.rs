//! A packaged policy as an OCI artifact, as Kubewarden has it, and a bundle of policies as OPA has it.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use oci_spec::distribution::Reference;
use podfence_host::inspect::{self, MetadataError};
use podfence_scan::read::LARGEST_MODULE;
use serde_json::Value;

use super::answer::{Descriptor, MANIFEST_TYPE, Manifest, shown};
use super::registry::{OciError, Registry, digest};
use crate::opa::{Contents, OpaError};

const CONFIG_TYPE: &str = "application/vnd.wasm.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.wasm.content.layer.v1+wasm";

/// OPA takes a bundle for the layer of an image.
const BUNDLE_CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const BUNDLE_LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Neither is an image, so there is nothing to configure.
const CONFIG: &[u8] = b"{}";

const TITLE: &str = "io.kubewarden.policy.title";
const VERSION: &str = "io.kubewarden.policy.version";

/// The same of a bundle, which is not Kubewarden's.
const BUNDLE_TITLE: &str = "org.opencontainers.image.title";
const BUNDLE_VERSION: &str = "org.opencontainers.image.version";

/// The annotation of OCI that Kubewarden derives from its own.
const SOURCE: (&str, &str) = ("org.opencontainers.image.source", "io.kubewarden.policy.source");

/// Why a module does not go into a registry, or does not come out of one.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] OciError),
    /// The metadata section.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A module as it was built.
    #[error("it has no metadata; `podfence package` writes it")]
    NotPackaged,
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] OpaError),
    /// The metadata does not say what is needed.
    #[error("its metadata has no annotation {0}")]
    Annotation(&'static str),
    /// A version is published once.
    #[error("{reference} already exists with other content, {found}; --overwrite replaces it")]
    Published {
        /// What is published.
        reference: String,
        /// Its digest.
        found: String,
    },
    /// Something else than a policy.
    #[error("{reference} is not a policy: {problem}")]
    NoPolicy {
        /// What was asked for.
        reference: String,
        /// Why not.
        problem: String,
    },
    /// What refers to a policy, but does not.
    #[error("{reference}, which the registry lists for the policy: {problem}")]
    Attached {
        /// What the registry lists.
        reference: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A policy in the place of another one.
    #[error("{reference} is {found}; expected {expected}")]
    OtherPolicy {
        /// What was asked for.
        reference: String,
        /// Name and version in its manifest.
        found: String,
        /// What the reference says.
        expected: String,
    },
}

/// What goes into a registry for a policy, or for a bundle of policies. The same bytes give the same digest.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The policy, or the bundle.
    pub name: String,
    /// Its version, without a `v`.
    pub version: String,
    /// Of the manifest: the digest of the artifact.
    pub digest: String,
    manifest: Vec<u8>,
    module: Vec<u8>,
}

impl Artifact {
    /// Makes the manifest of a packaged module.
    ///
    /// # Errors
    /// It has no metadata, or metadata without title or version.
    pub fn new(module: Vec<u8>) -> Result<Artifact, ArtifactError> {
        let metadata = inspect::metadata(&module)?.ok_or(ArtifactError::NotPackaged)?;
        let annotations = annotations(&metadata);
        let annotation = |name: &'static str| annotations.get(name).cloned().ok_or(ArtifactError::Annotation(name));
        let (name, version) = (annotation(TITLE)?, annotation(VERSION)?);
        let manifest = Manifest {
            config: describe(CONFIG_TYPE, CONFIG),
            layers: vec![describe(LAYER_TYPE, &module)],
            annotations: Some(annotations),
            ..Manifest::default()
        };
        let manifest = manifest.write();
        Ok(Artifact { name, version, digest: digest(&manifest), manifest, module })
    }

    /// Makes the manifest of a bundle for OPA, whose version is its revision.
    ///
    /// # Errors
    /// It is not a bundle of `podfence bundle`.
    pub fn of_bundle(name: &str, bundle: Vec<u8>) -> Result<Artifact, ArtifactError> {
        let version = Contents::read(&bundle)?.revision;
        let annotations = [(BUNDLE_TITLE, name), (BUNDLE_VERSION, &version)];
        let manifest = Manifest {
            config: describe(BUNDLE_CONFIG_TYPE, CONFIG),
            layers: vec![describe(BUNDLE_LAYER_TYPE, &bundle)],
            annotations: Some(annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..Manifest::default()
        };
        let manifest = manifest.write();
        Ok(Artifact { name: name.to_owned(), version, digest: digest(&manifest), manifest, module: bundle })
    }

    /// The manifest as it is published.
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// The module, or the bundle.
    pub fn module(&self) -> &[u8] {
        &self.module
    }

    /// Where it goes in a place that has a repository for each policy, such as `registry.example.com/podfence`.
    ///
    /// # Errors
    /// The place is invalid.
    pub fn reference(&self, place: &str) -> Result<Reference, OciError> {
        let place = place.strip_prefix("registry://").unwrap_or(place).trim_end_matches('/');
        super::parse(&format!("{place}/{}:v{}", self.name, self.version))
    }
}

/// Kubewarden leaves out what does not fit into a line.
fn annotations(metadata: &Value) -> BTreeMap<String, String> {
    let given = metadata["annotations"].as_object().into_iter().flatten();
    let mut annotations: BTreeMap<String, String> = given
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .filter(|(_, value)| !value.contains('\n'))
        .collect();
    if let Some(source) = annotations.get(SOURCE.1).cloned() {
        annotations.insert(SOURCE.0.to_owned(), source);
    }
    annotations
}

/// The descriptor of a blob.
pub(super) fn describe(media_type: &str, blob: &[u8]) -> Descriptor {
    let (media_type, size) = (media_type.to_owned(), blob.len() as u64);
    Descriptor { media_type, digest: digest(blob), size, ..Descriptor::default() }
}

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// It is published now.
    Pushed,
    /// The same was published already.
    Unchanged,
}

/// Publishes an artifact under a tag, and reads it back.
///
/// # Errors
/// The registry does not take it, or gives back something else; or the tag is taken, unless it may be replaced.
pub fn push(
    registry: &Registry,
    artifact: &Artifact,
    reference: &Reference,
    may_replace: bool,
) -> Result<Push, ArtifactError> {
    let mut attempt = 1;
    loop {
        match push_once(registry, artifact, reference, may_replace) {
            Err(error) if attempt < ATTEMPTS && is_passing(&error) => {
                thread::sleep(Duration::from_millis(100 << attempt));
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// How often a push is tried that another one disturbs.
const ATTEMPTS: u32 = 5;

/// Whether a push may succeed the next time. A registry that stores files refuses the manifest of blobs that another push
/// is just writing.
fn is_passing(error: &ArtifactError) -> bool {
    error.to_string().contains("MANIFEST_BLOB_UNKNOWN")
}

fn push_once(
    registry: &Registry,
    artifact: &Artifact,
    reference: &Reference,
    may_replace: bool,
) -> Result<Push, ArtifactError> {
    let result = match registry.find_manifest(reference)? {
        Some((_, found)) if found == artifact.digest => Push::Unchanged,
        Some((_, found)) if !may_replace => {
            return Err(ArtifactError::Published { reference: reference.whole(), found });
        }
        _ => {
            registry.push_blob(reference, CONFIG)?;
            registry.push_blob(reference, &artifact.module)?;
            registry.push_manifest(reference, &artifact.manifest, MANIFEST_TYPE)?;
            Push::Pushed
        }
    };
    pull(registry, &reference.clone_with_digest(artifact.digest.clone()))?;
    Ok(result)
}

/// What came from a registry.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// What it is, by its digest: `HOST/PATH@sha256:DIGEST`.
    pub reference: Reference,
    /// The module, or the bundle.
    pub module: Vec<u8>,
    /// Whether it is a bundle for OPA.
    pub is_bundle: bool,
    /// Whether its manifest names the policy, which is then the one that was asked for.
    pub is_named: bool,
}

impl Pulled {
    /// The digest of the artifact.
    pub fn digest(&self) -> &str {
        self.reference.digest().unwrap_or_default()
    }
}

/// Fetches the module of a policy, or a bundle. It has the digest that the manifest says, the manifest the one of the reference, and
/// name and version in the manifest, if they are there, are those of the reference.
///
/// # Errors
/// It is missing, is not a policy or another one, or was changed.
pub fn pull(registry: &Registry, reference: &Reference) -> Result<Pulled, ArtifactError> {
    let (manifest, digest) = registry.manifest(reference)?;
    let no_policy = |problem: String| ArtifactError::NoPolicy { reference: reference.whole(), problem };
    let manifest = Manifest::read(&manifest).map_err(|problem| no_policy(format!("its manifest: {problem}")))?;
    let [layer] = manifest.layers.as_slice() else {
        return Err(no_policy(format!("it has {} layers; expected one", manifest.layers.len())));
    };
    let is_bundle = layer.media_type == BUNDLE_LAYER_TYPE;
    if !is_bundle && layer.media_type != LAYER_TYPE {
        let found = shown(&layer.media_type);
        return Err(no_policy(format!("its layer is {found}; expected {LAYER_TYPE} or {BUNDLE_LAYER_TYPE}")));
    }
    let is_named = is_named(reference, manifest.annotations.as_ref())?;
    let module = registry.blob(reference, layer, LARGEST_MODULE)?;
    let (host, path) = (reference.registry().to_owned(), reference.repository().to_owned());
    Ok(Pulled { reference: Reference::with_digest(host, path, digest), module, is_bundle, is_named })
}

/// Whether a manifest says of which policy it is. A repository is called as the policy, and a tag that is a version as
/// its version; tags such as `latest` say nothing.
fn is_named(reference: &Reference, annotations: Option<&BTreeMap<String, String>>) -> Result<bool, ArtifactError> {
    let annotation = |name: &str| annotations.and_then(|annotations| annotations.get(name)).map(String::as_str);
    let Some(title) = annotation(TITLE).or(annotation(BUNDLE_TITLE)) else { return Ok(false) };
    let version = annotation(VERSION).or(annotation(BUNDLE_VERSION)).unwrap_or_default();
    let name = reference.repository().rsplit('/').next().unwrap_or_default();
    let asked = reference.tag().map(|tag| tag.strip_prefix('v').unwrap_or(tag));
    let asked = asked.filter(|tag| tag.starts_with(|first: char| first.is_ascii_digit()) && tag.contains('.'));
    let is_version = asked.is_none_or(|asked| version.strip_prefix('v').unwrap_or(version) == asked);
    if title == name && is_version {
        return Ok(true);
    }
    Err(ArtifactError::OtherPolicy {
        reference: reference.whole(),
        found: shown(format!("{title} {version}").trim_end()),
        expected: asked.map_or(name.to_owned(), |asked| format!("{name} {asked}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_the_policy_that_was_asked_for() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (reference, title, version, expected) in [
            ("r.example/p/host-path:v0.2.0", "host-path", "0.2.0", Ok(true)),
            ("r.example/p/host-path:0.2.0", "host-path", "v0.2.0", Ok(true)),
            ("r.example/p/host-path:latest", "host-path", "0.2.0", Ok(true)),
            ("r.example/p/host-path@DIGEST", "host-path", "0.2.0", Ok(true)),
            ("r.example/p/host-path:v0.2.0", "", "", Ok(false)),
            ("r.example/p/host-path:v0.2.0", "privileged", "0.2.0", Err("privileged 0.2.0; expected host-path 0.2.0")),
            ("r.example/p/host-path@DIGEST", "privileged", "0.2.0", Err("privileged 0.2.0; expected host-path")),
            ("r.example/p/host-path:v0.2.0", "host-path", "0.1.9", Err("host-path 0.1.9; expected host-path 0.2.0")),
            ("r.example/p/host-path:v0.2.0@DIGEST", "host-path", "", Err("host-path; expected host-path 0.2.0")),
        ] {
            let reference: Reference = reference.replace("DIGEST", &digest).parse().expect("a reference");
            let annotations = [(TITLE, title), (VERSION, version)].into_iter().filter(|(_, text)| !text.is_empty());
            let annotations = annotations.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
            let found = is_named(&reference, Some(&annotations)).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(|expected| format!("{} is {expected}", reference.whole())));
        }
    }
}
