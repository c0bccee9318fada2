//! Documents that refer to an artifact, such as its bill of materials: OCI 1.1.

use oci_client::Reference;
use oci_client::manifest::{
    ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciImageIndex, OciImageManifest,
};
use podfence_scan::read::LARGEST_DOCUMENT;

use super::artifact::{ArtifactError, describe};
use super::registry::{OciError, Registry, digest};

const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";

/// Attaches a document to an artifact that is named by its digest. The same document is attached once.
///
/// A registry that keeps no list of what refers to what gets an index under the tag `sha256-<digest>`, as the
/// distribution specification asks of clients.
///
/// # Errors
/// The registry does not take it, or does not list it afterwards.
pub fn attach(registry: &Registry, subject: &Reference, kind: &str, document: &[u8]) -> Result<(), ArtifactError> {
    let (described, _) = registry.manifest(subject)?;
    let manifest = OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        artifact_type: Some(kind.to_owned()),
        config: describe(EMPTY_TYPE, EMPTY),
        layers: vec![describe(kind, document)],
        subject: Some(describe(OCI_IMAGE_MEDIA_TYPE, &described)),
        ..OciImageManifest::default()
    };
    let manifest = serde_json::to_vec(&manifest).expect("texts and numbers serialise");
    let reference = subject.clone_with_digest(digest(&manifest));
    registry.push_blob(subject, EMPTY)?;
    registry.push_blob(subject, document)?;
    registry.push_manifest(&reference, &manifest, OCI_IMAGE_MEDIA_TYPE)?;
    let is_listed = || -> Result<bool, OciError> {
        let listed = registry.referrers(subject, kind)?.manifests;
        Ok(listed.iter().any(|entry| Some(entry.digest.as_str()) == reference.digest()))
    };
    if is_listed()? {
        return Ok(());
    }
    list(registry, subject, kind, &manifest)?;
    if is_listed()? {
        return Ok(());
    }
    let problem = format!("it does not list what refers to {}", subject.whole());
    Err(OciError::Failed { registry: subject.registry().to_owned(), problem }.into())
}

/// Adds a manifest to the index that stands for the registry's list.
fn list(registry: &Registry, subject: &Reference, kind: &str, manifest: &[u8]) -> Result<(), ArtifactError> {
    let tag = subject.digest().unwrap_or_default().replace(':', "-");
    let place = Reference::with_tag(subject.registry().to_owned(), subject.repository().to_owned(), tag);
    let mut index = match registry.find_manifest(&place)? {
        Some((index, _)) => serde_json::from_slice(&index).map_err(|error| ArtifactError::NoPolicy {
            reference: place.whole(),
            problem: format!("no index: {error}"),
        })?,
        None => OciImageIndex {
            schema_version: 2,
            media_type: Some(OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned()),
            artifact_type: None,
            annotations: None,
            manifests: Vec::new(),
        },
    };
    let described = describe(OCI_IMAGE_MEDIA_TYPE, manifest);
    index.manifests.push(ImageIndexEntry {
        media_type: described.media_type,
        digest: described.digest,
        size: described.size,
        platform: None,
        artifact_type: Some(kind.to_owned()),
        annotations: None,
    });
    let index = serde_json::to_vec(&index).expect("texts and numbers serialise");
    Ok(registry.push_manifest(&place, &index, OCI_IMAGE_INDEX_MEDIA_TYPE)?)
}

/// The document of a kind that was attached to an artifact last.
///
/// # Errors
/// The registry does not tell, or what it has was changed.
pub fn attached(registry: &Registry, subject: &Reference, kind: &str) -> Result<Option<Vec<u8>>, ArtifactError> {
    let Some(entry) = registry.referrers(subject, kind)?.manifests.pop() else { return Ok(None) };
    let reference = subject.clone_with_digest(entry.digest);
    let (manifest, _) = registry.manifest(&reference)?;
    let no_document = |problem: String| ArtifactError::NoPolicy { reference: reference.whole(), problem };
    let manifest: OciImageManifest =
        serde_json::from_slice(&manifest).map_err(|error| no_document(error.to_string()))?;
    let layer = manifest.layers.iter().find(|layer| layer.media_type == kind);
    let layer = layer.ok_or_else(|| no_document(format!("no layer is {kind}")))?;
    Ok(Some(registry.blob(&reference, layer, LARGEST_DOCUMENT)?))
}
