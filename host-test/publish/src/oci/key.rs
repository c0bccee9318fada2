//! Keys in PEM, as cosign writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigstore::crypto::CosignVerificationKey;
use sigstore::crypto::SigningScheme;
use sigstore::crypto::signing_key::{SigStoreKeyPair, SigStoreSigner};
use sigstore_verify::crypto::sha256;
use sigstore_verify::types::DerPublicKey;

/// A key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is something else, or of a kind that signs no policies.
    #[error("is not a private key in PEM; `podfence generate-key-pair` makes one")]
    NotPrivate,
    /// It has a password, and not this one.
    #[error("the password does not open it")]
    Locked,
    /// It has no password, and there is one.
    #[error("it is not encrypted, so its password is empty")]
    Open,
    /// It is something else.
    #[error("is not a public key in PEM")]
    NotPublic,
    /// The library.
    #[error("{0}")]
    Library(String),
}

impl From<String> for KeyError {
    fn from(problem: String) -> KeyError {
        KeyError::Library(problem)
    }
}

/// A private key, and the public one that belongs to it.
pub struct KeyPair(SigStoreSigner);

impl KeyPair {
    /// Makes a new one: ECDSA over P-256, which is what cosign makes.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate() -> Result<KeyPair, KeyError> {
        SigningScheme::ECDSA_P256_SHA256_ASN1.create_signer().map(KeyPair).map_err(library)
    }

    /// Reads a private key in PEM as cosign writes it. The password is empty for one that is not encrypted.
    ///
    /// # Errors
    /// It is not such a key, or has another password.
    pub fn from_pem(pem: &[u8], password: &[u8]) -> Result<KeyPair, KeyError> {
        let text = String::from_utf8_lossy(pem);
        let is_encrypted = text.contains("-----BEGIN ENCRYPTED ");
        if !text.contains("PRIVATE KEY-----") {
            return Err(KeyError::NotPrivate);
        }
        // It tries one kind of key after the other, so its error tells nothing.
        let keys = SigStoreKeyPair::from_encrypted_pem(pem, password).map_err(|_| match is_encrypted {
            true => KeyError::Locked,
            false if password.is_empty() => KeyError::NotPrivate,
            false => KeyError::Open,
        })?;
        keys.to_sigstore_signer(&SigningScheme::ECDSA_P256_SHA256_ASN1).map(KeyPair).map_err(library)
    }

    /// The private key in PEM, encrypted as cosign does.
    ///
    /// # Errors
    /// The library cannot encrypt it.
    pub fn to_pem(&self, password: &[u8]) -> Result<String, KeyError> {
        let pem = self.0.to_sigstore_keypair().and_then(|keys| keys.private_key_to_encrypted_pem(password));
        pem.map(|pem| pem.to_string()).map_err(library)
    }

    /// The public key in PEM.
    ///
    /// # Errors
    /// The library cannot write it.
    pub fn public_pem(&self) -> Result<String, KeyError> {
        self.0.to_sigstore_keypair().and_then(|keys| keys.public_key_to_pem()).map_err(library)
    }

    /// Signs a text.
    pub(super) fn sign(&self, text: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.0.sign(text).map_err(library)
    }

    /// How a bundle names its key: by its digest, as cosign does.
    pub(super) fn hint(&self) -> Result<String, KeyError> {
        let der = self.0.to_sigstore_keypair().and_then(|keys| keys.public_key_to_der()).map_err(library)?;
        Ok(STANDARD.encode(sha256(&der).as_slice()))
    }
}

/// A public key: ECDSA, Ed25519 or RSA.
pub struct PublicKey {
    /// For what policy-servers verify.
    pub(super) simple: CosignVerificationKey,
    /// For bundles.
    pub(super) der: DerPublicKey,
}

impl PublicKey {
    /// Reads a public key in PEM.
    ///
    /// # Errors
    /// It is not one.
    pub fn from_pem(pem: &[u8]) -> Result<PublicKey, KeyError> {
        let simple = CosignVerificationKey::try_from_pem(pem).map_err(|_| KeyError::NotPublic)?;
        let text = std::str::from_utf8(pem).map_err(|_| KeyError::NotPublic)?;
        let der = DerPublicKey::from_pem(text).map_err(|_| KeyError::NotPublic)?;
        Ok(PublicKey { simple, der })
    }
}

fn library(error: impl std::fmt::Display) -> KeyError {
    KeyError::Library(error.to_string())
}
