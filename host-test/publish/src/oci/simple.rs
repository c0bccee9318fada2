//! Signatures as policy-servers verify them, which cosign wrote until its third version: an artifact beside the one that
//! is signed, under the tag `sha256-<digest>.sig`, with a layer for each signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_spec::distribution::Reference;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sigstore::crypto::{CosignVerificationKey, Signature};

use super::answer::{Descriptor, MANIFEST_TYPE, Manifest, shown};
use super::artifact::describe;
use super::key::{KeyError, KeyPair};
use super::registry::{OciError, Registry};

/// The media type of what is signed.
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const KIND: &str = "cosign container image signature";

/// A payload names one artifact.
pub(super) const LONGEST_PAYLOAD: u64 = 64 << 10;

/// What a signature is made of: the "simple signing" format.
#[derive(Serialize, Deserialize)]
struct SignedPayload {
    critical: Critical,
    optional: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SimpleError {
    /// It is signed with another key.
    #[error("it is signed with another key")]
    OtherKey,
    /// Anything else.
    #[error("{0}")]
    Unfit(String),
}

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
    let payload = SignedPayload {
        critical: Critical {
            identity: Identity { docker_reference: format!("{}/{}", signed.registry(), signed.repository()) },
            image: Image { docker_manifest_digest: signed.digest().unwrap_or_default().to_owned() },
            kind: KIND.to_owned(),
        },
        optional: None,
    };
    let payload = serde_json::to_vec(&payload).expect("texts serialise");
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

/// Checks that a layer and its payload are the signature of an artifact with a key.
///
/// # Errors
/// They are not.
pub(super) fn check(
    layer: &Descriptor,
    payload: &[u8],
    digest: &str,
    key: &CosignVerificationKey,
) -> Result<(), SimpleError> {
    let unfit = |problem: String| SimpleError::Unfit(problem);
    let annotation = layer.annotations.as_ref().and_then(|annotations| annotations.get(SIGNATURE));
    let signature = annotation.ok_or_else(|| unfit(format!("it has no annotation {SIGNATURE}")))?;
    key.verify_signature(Signature::Base64Encoded(signature.as_bytes()), payload).map_err(|_| SimpleError::OtherKey)?;
    let payload: SignedPayload = serde_json::from_slice(payload).map_err(|error| unfit(error.to_string()))?;
    if payload.critical.kind != KIND {
        return Err(unfit(format!("it signs a {:?}; expected a {KIND:?}", shown(&payload.critical.kind))));
    }
    if payload.critical.image.docker_manifest_digest != digest {
        return Err(unfit("it is about another artifact".to_owned()));
    }
    Ok(())
}
