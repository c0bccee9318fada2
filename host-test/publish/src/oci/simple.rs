//! Signatures as policy-servers verify them, which cosign wrote until its third version: an artifact beside the one that
//! is signed, under the tag `sha256-<digest>.sig`, with a layer for each signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_spec::distribution::Reference;
use serde_json::json;

use super::answer::{Descriptor, MANIFEST_TYPE, Manifest};
use super::artifact::describe;
use super::key::{KeyError, KeyPair};
use super::payload::{SIGNATURE, payload};
use super::registry::{OciError, Registry};

/// The media type of what is signed.
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// A payload names one artifact.
pub(super) const LONGEST_PAYLOAD: u64 = 64 << 10;

/// Where the signatures of an artifact are.
pub(super) fn place_of(signed: &Reference) -> Reference {
    let tag = format!("{}.sig", signed.digest().unwrap_or_default().replace(':', "-"));
    Reference::with_tag(signed.registry().to_owned(), signed.repository().to_owned(), tag)
}

/// The signatures of an artifact, as a list of layers.
///
/// # Errors
/// The registry, or in words that something else is there.
pub(super) fn layers(registry: &Registry, place: &Reference) -> Result<Result<Vec<Descriptor>, String>, OciError> {
    let Some((manifest, _)) = registry.find_manifest(place)? else { return Ok(Ok(Vec::new())) };
    Ok(Manifest::read(&manifest).map(|manifest| manifest.layers))
}

/// Adds a signature to those that are there.
///
/// # Errors
/// The key, or the registry does not take it.
pub(super) fn add<E: From<KeyError> + From<OciError>>(
    registry: &Registry,
    signed: &Reference,
    mut layers: Vec<Descriptor>,
    keys: &KeyPair,
) -> Result<(), E> {
    let digest = signed.digest().unwrap_or_default();
    let payload = payload(format!("{}/{}", signed.registry(), signed.repository()), digest);
    let mut layer = describe(PAYLOAD_TYPE, &payload);
    layer.annotations = Some([(SIGNATURE.to_owned(), STANDARD.encode(keys.sign(&payload)?))].into());
    layers.push(layer);
    let config = config(&layers);
    let manifest = Manifest { config: describe(CONFIG_TYPE, &config), layers, ..Manifest::default() };
    let place = place_of(signed);
    registry.push_blob(&place, &config)?;
    registry.push_blob(&place, &payload)?;
    Ok(registry.push_manifest(&place, &manifest.write(), MANIFEST_TYPE)?)
}

/// To registries, signatures are an image.
fn config(layers: &[Descriptor]) -> Vec<u8> {
    let digests: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    let config = json!({
        "architecture": "", "config": {}, "created": "0001-01-01T00:00:00Z",
        "history": vec![json!({"created": "0001-01-01T00:00:00Z"}); layers.len()],
        "os": "", "rootfs": {"type": "layers", "diff_ids": digests},
    });
    config.to_string().into_bytes()
}
