//! What policy-servers verify: a payload in the "simple signing" format, and its signature. Both may be hostile.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigstore::crypto::{CosignVerificationKey, Signature};

use super::answer::{Descriptor, shown};

/// The annotation of a layer that has the signature.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const KIND: &str = "cosign container image signature";

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
pub enum SimpleError {
    /// It is signed with another key.
    #[error("it is signed with another key")]
    OtherKey,
    /// Anything else.
    #[error("{0}")]
    Unfit(String),
}

/// The payload for an artifact.
pub fn payload(repository: String, digest: &str) -> Vec<u8> {
    let payload = SignedPayload {
        critical: Critical {
            identity: Identity { docker_reference: repository },
            image: Image { docker_manifest_digest: digest.to_owned() },
            kind: KIND.to_owned(),
        },
        optional: None,
    };
    serde_json::to_vec(&payload).expect("texts serialise")
}

/// Checks that a layer and its payload are the signature of an artifact with a key.
///
/// # Errors
/// They are not.
pub fn check(layer: &Descriptor, payload: &[u8], digest: &str, key: &CosignVerificationKey) -> Result<(), SimpleError> {
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
