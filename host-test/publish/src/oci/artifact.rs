//! A packaged policy as an OCI artifact, as Kubewarden has it.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use oci_client::Reference;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use podfence_host::inspect::{self, MetadataError};
use podfence_scan::read::LARGEST_MODULE;
use serde_json::Value;

use super::registry::{OciError, Registry, digest};

const CONFIG_TYPE: &str = "application/vnd.wasm.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.wasm.content.layer.v1+wasm";

/// A policy is no image, so there is nothing to configure.
const CONFIG: &[u8] = b"{}";

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
    /// The metadata does not say what is needed.
    #[error("its metadata has no annotation {0}")]
    Annotation(&'static str),
    /// A version is published once.
    #[error("{reference} is there already with another content, {found}; --overwrite replaces it")]
    Published {
        /// What is published.
        reference: String,
        /// Its digest.
        found: String,
    },
    /// Something else than a policy.
    #[error("{reference} is no policy: {problem}")]
    NoPolicy {
        /// What was asked for.
        reference: String,
        /// Why not.
        problem: String,
    },
}

/// What goes into a registry for a policy. The same module gives the same digest.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The policy.
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
        let (name, version) = (annotation("io.kubewarden.policy.title")?, annotation("io.kubewarden.policy.version")?);
        let manifest = OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            config: describe(CONFIG_TYPE, CONFIG),
            layers: vec![describe(LAYER_TYPE, &module)],
            annotations: Some(annotations),
            ..OciImageManifest::default()
        };
        let manifest = serde_json::to_vec(&manifest).expect("texts and numbers serialise");
        Ok(Artifact { name, version, digest: digest(&manifest), manifest, module })
    }

    /// Where it goes in a place that has a repository for each policy, such as `registry.example.com/podfence`.
    ///
    /// # Errors
    /// The place is none.
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
pub(super) fn describe(media_type: &str, blob: &[u8]) -> OciDescriptor {
    OciDescriptor {
        media_type: media_type.to_owned(),
        digest: digest(blob),
        size: i64::try_from(blob.len()).expect("a length fits"),
        ..OciDescriptor::default()
    }
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

/// Whether a push may succeed the next time. A registry that stores files shows what another push is just writing: it
/// refuses the manifest of such blobs, and fails to read such a manifest.
fn is_passing(error: &ArtifactError) -> bool {
    let error = error.to_string();
    error.contains("MANIFEST_BLOB_UNKNOWN") || error.contains("code: 500")
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
            registry.push_manifest(reference, &artifact.manifest, OCI_IMAGE_MEDIA_TYPE)?;
            Push::Pushed
        }
    };
    pull(registry, &reference.clone_with_digest(artifact.digest.clone()))?;
    Ok(result)
}

/// What came from a registry.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Of the manifest: the digest of the artifact.
    pub digest: String,
    /// The module.
    pub module: Vec<u8>,
}

/// Fetches the module of a policy. It has the digest that the manifest says, and the manifest the one of the
/// reference.
///
/// # Errors
/// It is not there, is no policy, or was changed.
pub fn pull(registry: &Registry, reference: &Reference) -> Result<Pulled, ArtifactError> {
    let (manifest, digest) = registry.manifest(reference)?;
    let no_policy = |problem: String| ArtifactError::NoPolicy { reference: reference.whole(), problem };
    let manifest: OciImageManifest =
        serde_json::from_slice(&manifest).map_err(|error| no_policy(format!("its manifest: {error}")))?;
    let [layer] = manifest.layers.as_slice() else {
        return Err(no_policy(format!("it has {} layers; expected one", manifest.layers.len())));
    };
    if layer.media_type != LAYER_TYPE {
        return Err(no_policy(format!("its layer is {}; expected {LAYER_TYPE}", layer.media_type)));
    }
    Ok(Pulled { digest, module: registry.blob(reference, layer, LARGEST_MODULE)? })
}
