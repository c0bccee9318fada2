//! Signatures with key pairs, as cosign lays them out: an artifact beside the one that is signed, under the tag
//! `sha256-<digest>.sig`, with a layer for each signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::Reference;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sigstore::crypto::signing_key::{SigStoreKeyPair, SigStoreSigner};
use sigstore::crypto::{CosignVerificationKey, Signature, SigningScheme};

use super::artifact::{ArtifactError, describe, pull};
use super::registry::{OciError, Registry};

const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const KIND: &str = "cosign container image signature";

/// A payload names one artifact.
const LONGEST_PAYLOAD: u64 = 64 << 10;

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

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

/// Why an artifact is not signed, or not by this key.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The registry, or what is signed.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] OciError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nobody signed it.
    #[error("{0} has no signature")]
    Unsigned(String),
    /// Something else stands where signatures are.
    #[error("the signatures of {reference} cannot be read: {problem}")]
    Unreadable {
        /// What is signed.
        reference: String,
        /// What is wrong.
        problem: String,
    },
    /// There are signatures, and none is good.
    #[error("{reference} has no signature of this key: {}", .problems.join("; "))]
    Refused {
        /// What is signed.
        reference: String,
        /// What is wrong with each.
        problems: Vec<String>,
    },
}

/// A private key, and the public one that belongs to it.
pub struct KeyPair(SigStoreSigner);

impl KeyPair {
    /// Makes a new one: ECDSA over P-256, which is what cosign makes.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate() -> Result<KeyPair, KeyError> {
        SigningScheme::ECDSA_P256_SHA256_ASN1.create_signer().map(KeyPair).map_err(key_error)
    }

    /// Reads a private key in PEM as cosign writes it. The password is empty for one that is not encrypted.
    ///
    /// # Errors
    /// It is no such key, or has another password.
    pub fn from_pem(pem: &[u8], password: &[u8]) -> Result<KeyPair, KeyError> {
        // It tries one kind of key after the other, so its error tells nothing.
        let keys = SigStoreKeyPair::from_encrypted_pem(pem, password)
            .map_err(|_| KeyError("no private key in PEM, or not its password".to_owned()))?;
        keys.to_sigstore_signer(&SigningScheme::ECDSA_P256_SHA256_ASN1).map(KeyPair).map_err(key_error)
    }

    /// The private key in PEM, encrypted as cosign does.
    ///
    /// # Errors
    /// The library cannot encrypt it.
    pub fn to_pem(&self, password: &[u8]) -> Result<String, KeyError> {
        let pem = self.0.to_sigstore_keypair().and_then(|keys| keys.private_key_to_encrypted_pem(password));
        pem.map(|pem| pem.to_string()).map_err(key_error)
    }

    /// The public key in PEM.
    ///
    /// # Errors
    /// The library cannot write it.
    pub fn public_pem(&self) -> Result<String, KeyError> {
        self.0.to_sigstore_keypair().and_then(|keys| keys.public_key_to_pem()).map_err(key_error)
    }
}

/// A public key: ECDSA, Ed25519 or RSA.
pub struct PublicKey(CosignVerificationKey);

impl PublicKey {
    /// Reads a public key in PEM.
    ///
    /// # Errors
    /// It is none.
    pub fn from_pem(pem: &[u8]) -> Result<PublicKey, KeyError> {
        let key = CosignVerificationKey::try_from_pem(pem);
        key.map(PublicKey).map_err(|_| KeyError("no public key in PEM".to_owned()))
    }
}

fn key_error(error: impl std::fmt::Display) -> KeyError {
    KeyError(error.to_string())
}

/// Where the signatures of an artifact are.
fn signatures_of(reference: &Reference, digest: &str) -> Reference {
    let tag = format!("{}.sig", digest.replace(':', "-"));
    Reference::with_tag(reference.registry().to_owned(), reference.repository().to_owned(), tag)
}

/// Signs what a reference stands for now; what that is, by its digest. Other signatures stay.
///
/// # Errors
/// It is no policy, or the registry does not take the signature.
pub fn sign(registry: &Registry, reference: &Reference, keys: &KeyPair) -> Result<Reference, SignatureError> {
    let digest = pull(registry, reference)?.digest;
    let payload = SignedPayload {
        critical: Critical {
            identity: Identity { docker_reference: format!("{}/{}", reference.registry(), reference.repository()) },
            image: Image { docker_manifest_digest: digest.clone() },
            kind: KIND.to_owned(),
        },
        optional: None,
    };
    let payload = serde_json::to_vec(&payload).expect("texts serialise");
    let signature = keys.0.sign(&payload).map_err(key_error)?;
    let mut layer = describe(PAYLOAD_TYPE, &payload);
    layer.annotations = Some([(SIGNATURE.to_owned(), STANDARD.encode(signature))].into());
    let place = signatures_of(reference, &digest);
    let mut layers = layers(registry, reference, &place)?.unwrap_or_default();
    layers.push(layer);
    let config = config(&layers);
    let manifest = OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        config: describe(CONFIG_TYPE, &config),
        layers,
        ..OciImageManifest::default()
    };
    registry.push_blob(&place, &config)?;
    registry.push_blob(&place, &payload)?;
    let manifest = serde_json::to_vec(&manifest).expect("texts and numbers serialise");
    registry.push_manifest(&place, &manifest, OCI_IMAGE_MEDIA_TYPE)?;
    Ok(reference.clone_with_digest(digest))
}

/// To registries, signatures are an image.
fn config(layers: &[OciDescriptor]) -> Vec<u8> {
    let digests: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    let config = json!({
        "architecture": "", "config": {}, "created": "0001-01-01T00:00:00Z",
        "history": vec![json!({"created": "0001-01-01T00:00:00Z"}); layers.len()],
        "os": "", "rootfs": {"type": "layers", "diff_ids": digests},
    });
    config.to_string().into_bytes()
}

fn layers(
    registry: &Registry,
    reference: &Reference,
    place: &Reference,
) -> Result<Option<Vec<OciDescriptor>>, SignatureError> {
    let Some((manifest, _)) = registry.find_manifest(place)? else { return Ok(None) };
    let manifest: OciImageManifest = serde_json::from_slice(&manifest)
        .map_err(|error| SignatureError::Unreadable { reference: reference.whole(), problem: error.to_string() })?;
    Ok(Some(manifest.layers))
}

/// Fetches what a reference stands for and checks that the owner of a key signed it; what it is, by its digest.
///
/// # Errors
/// It was changed, or no signature of it is this key's.
pub fn verify(registry: &Registry, reference: &Reference, key: &PublicKey) -> Result<Reference, SignatureError> {
    let digest = pull(registry, reference)?.digest;
    let place = signatures_of(reference, &digest);
    let layers = layers(registry, reference, &place)?.ok_or_else(|| SignatureError::Unsigned(reference.whole()))?;
    let mut problems = Vec::new();
    for layer in layers.iter().filter(|layer| layer.media_type == PAYLOAD_TYPE) {
        match check(registry, &place, layer, &digest, key) {
            Ok(()) => return Ok(reference.clone_with_digest(digest)),
            Err(problem) if problems.contains(&problem) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        return Err(SignatureError::Unsigned(reference.whole()));
    }
    Err(SignatureError::Refused { reference: reference.whole(), problems })
}

/// Checks one signature; the error is for people.
fn check(
    registry: &Registry,
    place: &Reference,
    layer: &OciDescriptor,
    digest: &str,
    key: &PublicKey,
) -> Result<(), String> {
    let annotation = layer.annotations.as_ref().and_then(|annotations| annotations.get(SIGNATURE));
    let signature = annotation.ok_or_else(|| format!("no annotation {SIGNATURE}"))?;
    let payload = registry.blob(place, layer, LONGEST_PAYLOAD).map_err(|error| error.to_string())?;
    key.0
        .verify_signature(Signature::Base64Encoded(signature.as_bytes()), &payload)
        .map_err(|_| "made with another key, or for something else".to_owned())?;
    let payload: SignedPayload = serde_json::from_slice(&payload).map_err(|error| format!("its payload: {error}"))?;
    if payload.critical.kind != KIND {
        return Err(format!("it signs a {:?}; expected a {KIND:?}", payload.critical.kind));
    }
    let signed = payload.critical.image.docker_manifest_digest;
    if signed != digest {
        return Err(format!("it signs {signed}"));
    }
    Ok(())
}
