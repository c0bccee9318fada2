//! Documents that refer to an artifact, such as its bill of materials: OCI 1.1.

use std::collections::BTreeMap;

use oci_spec::distribution::Reference;
use podfence_scan::read::LARGEST_DOCUMENT;

use super::answer::{Descriptor, INDEX_TYPE, Index, MANIFEST_TYPE, Manifest};
use super::artifact::{ArtifactError, describe};
use super::registry::{OciError, Registry, digest, referrers_tag};

const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";

/// What to attach.
#[derive(Debug, Clone, Default)]
pub struct Document<'a> {
    /// Its media type, and that of the artifact that it becomes.
    pub kind: &'a str,
    /// Its text.
    pub bytes: &'a [u8],
    /// What others find it by.
    pub annotations: BTreeMap<String, String>,
}

/// Attaches a document to an artifact that is named by its digest. The same document is attached once.
///
/// A registry that keeps no list of what refers to what gets an index under the tag `sha256-<digest>`, as the
/// distribution specification asks of clients.
///
/// # Errors
/// The registry does not take it, or does not list it afterwards.
pub fn attach(registry: &Registry, subject: &Reference, document: &Document<'_>) -> Result<(), ArtifactError> {
    let Document { kind, bytes, annotations } = document;
    let (described, _) = registry.manifest(subject)?;
    let manifest = Manifest {
        artifact_type: Some((*kind).to_owned()),
        config: describe(EMPTY_TYPE, EMPTY),
        layers: vec![describe(kind, bytes)],
        subject: Some(describe(MANIFEST_TYPE, &described)),
        annotations: Some(annotations.clone()).filter(|annotations| !annotations.is_empty()),
        ..Manifest::default()
    };
    let manifest = manifest.write();
    let reference = subject.clone_with_digest(digest(&manifest));
    registry.push_blob(subject, EMPTY)?;
    registry.push_blob(subject, bytes)?;
    registry.push_manifest(&reference, &manifest, MANIFEST_TYPE)?;
    let is_listed = || -> Result<bool, OciError> {
        let listed = registry.referrers(subject)?;
        Ok(listed.iter().any(|entry| Some(entry.digest.as_str()) == reference.digest()))
    };
    if is_listed()? {
        return Ok(());
    }
    list(registry, subject, &manifest, document)?;
    if is_listed()? {
        return Ok(());
    }
    Err(registry.failed(format!("it does not list what refers to {}", subject.whole())).into())
}

/// Adds a manifest to the index that stands for the registry's list.
fn list(
    registry: &Registry,
    subject: &Reference,
    manifest: &[u8],
    document: &Document<'_>,
) -> Result<(), ArtifactError> {
    let place = referrers_tag(subject);
    let mut index = match registry.find_manifest(&place)? {
        Some((index, _)) => Index::read(&index).map_err(|problem| ArtifactError::NoPolicy {
            reference: place.whole(),
            problem: format!("no index: {problem}"),
        })?,
        None => Index::default(),
    };
    index.manifests.push(Descriptor {
        artifact_type: Some(document.kind.to_owned()),
        annotations: Some(document.annotations.clone()).filter(|annotations| !annotations.is_empty()),
        ..describe(MANIFEST_TYPE, manifest)
    });
    Ok(registry.push_manifest(&place, &index.write(), INDEX_TYPE)?)
}

/// What may be of some kinds among what refers to an artifact that is named by its digest, the last first.
///
/// # Errors
/// The registry does not tell.
pub(super) fn referring(
    registry: &Registry,
    subject: &Reference,
    is_kind: impl Fn(&str) -> bool,
) -> Result<Vec<Descriptor>, OciError> {
    // Some lists, those that cosign writes among them, have the type of the empty configuration instead.
    let may_be =
        |entry: &Descriptor| entry.artifact_type.as_deref().is_none_or(|kind| kind == EMPTY_TYPE || is_kind(kind));
    Ok(registry.referrers(subject)?.into_iter().rev().filter(may_be).collect())
}

/// The document of an entry that [`referring`] found, if it is of such a kind.
///
/// # Errors
/// It is missing, was changed, or refers to another artifact than the list says.
pub(super) fn fetch(
    registry: &Registry,
    subject: &Reference,
    entry: &Descriptor,
    is_kind: impl Fn(&str) -> bool,
) -> Result<Option<Vec<u8>>, ArtifactError> {
    let reference = subject.clone_with_digest(entry.digest.clone());
    let (manifest, _) = registry.manifest(&reference)?;
    let unfit = |problem: String| ArtifactError::Attached { reference: reference.whole(), problem };
    let manifest = Manifest::read(&manifest).map_err(unfit)?;
    let about = manifest.subject.map(|about| about.digest);
    if about.as_deref() != subject.digest() {
        let about = about.unwrap_or_else(|| "nothing".to_owned());
        return Err(unfit(format!("it refers to {about}; expected {}", subject.digest().unwrap_or_default())));
    }
    let [layer] = manifest.layers.as_slice() else {
        return Err(unfit(format!("it has {} layers; expected one", manifest.layers.len())));
    };
    if !is_kind(&layer.media_type) {
        return Ok(None);
    }
    registry.blob(&reference, layer, LARGEST_DOCUMENT).map(Some).map_err(ArtifactError::from)
}

/// How many entries are looked at for a document.
const MOST: usize = 50;

/// The document of a kind that was attached to an artifact last.
///
/// # Errors
/// The registry does not tell, or what it has was changed.
pub fn attached(registry: &Registry, subject: &Reference, kind: &str) -> Result<Option<Vec<u8>>, ArtifactError> {
    for entry in referring(registry, subject, |found| found == kind)?.iter().take(MOST) {
        if let Some(document) = fetch(registry, subject, entry, |found| found == kind)? {
            return Ok(Some(document));
        }
    }
    Ok(None)
}
