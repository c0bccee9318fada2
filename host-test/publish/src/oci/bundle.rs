//! Statements about an artifact in bundles, as cosign signs them today: in-toto in DSSE, with a key or without one.
//! Every text may be hostile.

use serde_json::{Value, json};
use sigstore_verify::bundle::{BundleV03, VerificationMaterialV03};
use sigstore_verify::crypto::VerificationKey;
use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_verify::types::{
    Artifact, Bundle, DerPublicKey, DsseEnvelope, DsseSignature, KeyId, PayloadBytes, Sha256Hash, SignatureBytes,
    SignatureContent, Statement,
};
use sigstore_verify::{Error, VerificationPolicy, Verifier};

/// The media type of a bundle, as cosign writes it today.
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What the media types of all versions begin with.
pub const BUNDLE_FAMILY: &str = "application/vnd.dev.sigstore.bundle";

/// That an artifact is signed, and nothing more.
pub const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
/// A bill of materials in CycloneDX.
pub const BILL: &str = "https://cyclonedx.org/bom";

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What `cosign attest` writes.
const TYPE_V0_1: &str = "https://in-toto.io/Statement/v0.1";

const ABOUT_ANOTHER: &str = "it is about another artifact";

/// Why a bundle does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It is signed with another key.
    #[error("it is signed with another key")]
    OtherKey,
    /// It is good, and says something else.
    #[error("it states something else: {0}")]
    OtherKind(String),
    /// Anything else.
    #[error("{0}")]
    Unfit(String),
}

/// Whose bundles count.
pub enum Signer {
    /// The owner of a private key. No log and no timestamp is asked for: that the key is the right one is what counts.
    Key(VerificationKey),
    /// Who has a certificate for an identity, which an issuer confirmed, with the proof of a log that it was used while
    /// it was valid.
    Identity(Box<Verifier>, VerificationPolicy),
}

impl Signer {
    /// The owner of a private key, by the public one.
    ///
    /// # Errors
    /// It is of a kind that signs no bundles, in words.
    pub fn with_key(key: &DerPublicKey) -> Result<Signer, String> {
        VerificationKey::from_spki(key).map(Signer::Key).map_err(|error| error.to_string())
    }

    /// Who has a certificate of those who may certify and log: those of the root, or those of the public Sigstore.
    ///
    /// # Errors
    /// The root is invalid, in words.
    pub fn with_identity(identity: &str, issuer: &str, root: Option<&str>) -> Result<Signer, String> {
        let root = TrustedRoot::from_json(root.unwrap_or(SIGSTORE_PRODUCTION_TRUSTED_ROOT));
        let root = root.map_err(|error| error.to_string())?;
        let verifier = Verifier::new(&root).map_err(|error| error.to_string())?;
        Ok(Signer::Identity(Box::new(verifier), VerificationPolicy::new(identity, issuer)))
    }
}

/// Reads a bundle that says something of a kind about an artifact: what it says.
///
/// # Errors
/// It is not one, somebody else signed it, or it is about something else.
pub fn open(bundle: &[u8], digest: &str, kind: &str, signer: &Signer) -> Result<Value, BundleError> {
    let unfit = |problem: String| BundleError::Unfit(problem);
    let text = std::str::from_utf8(bundle).map_err(|error| unfit(format!("it cannot be read: {error}")))?;
    let bundle = Bundle::from_json(text).map_err(|error| unfit(format!("it cannot be read: {error}")))?;
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        return Err(unfit("it signs no statement".to_owned()));
    };
    let hash = Sha256Hash::from_hex(digest.strip_prefix("sha256:").unwrap_or_default());
    let hash = hash.map_err(|error| unfit(error.to_string()))?;
    match (signer, bundle.signing_certificate()) {
        (Signer::Key(_), Some(_)) => return Err(unfit("it is signed without a key".to_owned())),
        (Signer::Identity(..), None) => return Err(unfit("it is signed with a key".to_owned())),
        (Signer::Key(key), None) => {
            key.verify(envelope.pae(), &envelope.signature.sig).map_err(|_| BundleError::OtherKey)?;
        }
        (Signer::Identity(verifier, policy), Some(_)) => {
            verifier.verify(Artifact::from_digest(hash), &bundle, policy).map_err(untrusted)?;
        }
    }
    let statement: Statement =
        serde_json::from_slice(envelope.payload.as_bytes()).map_err(|error| unfit(error.to_string()))?;
    if envelope.payload_type != PAYLOAD_TYPE || ![Statement::TYPE_V1, TYPE_V0_1].contains(&statement.type_.as_str()) {
        return Err(unfit("it signs no statement".to_owned()));
    }
    if !statement.matches_sha256(&hash) {
        return Err(unfit(ABOUT_ANOTHER.to_owned()));
    }
    if statement.predicate_type != kind {
        return Err(BundleError::OtherKind(statement.predicate_type));
    }
    Ok(statement.predicate)
}

/// Why a bundle is not that of an identity.
fn untrusted(error: Error) -> BundleError {
    let problem = match error {
        Error::ArtifactMismatch(_) => ABOUT_ANOTHER.to_owned(),
        Error::IdentityMismatch { actual, .. } => {
            format!("it is signed by {}", actual.map_or("nobody".to_owned(), |actual| actual.to_string()))
        }
        Error::IssuerMismatch { actual, .. } => {
            format!("{} confirmed who signed it", actual.as_deref().unwrap_or("nobody"))
        }
        error => error.to_string(),
    };
    BundleError::Unfit(problem)
}

/// Says something of a kind about an artifact, and signs it.
///
/// # Errors
/// Those of who signs, and the digest is none.
pub fn seal<E: From<String>>(
    digest: &str,
    kind: &str,
    predicate: &Value,
    hint: String,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<String, E> {
    let hexadecimal = digest.strip_prefix("sha256:").unwrap_or_default();
    let statement = json!({
        "_type": Statement::TYPE_V1,
        "subject": [{"digest": {"sha256": hexadecimal}}],
        "predicateType": kind,
        "predicate": predicate,
    });
    let payload = PayloadBytes::new(statement.to_string().into_bytes());
    let signature = sign(&sigstore_verify::types::pae(PAYLOAD_TYPE, payload.as_bytes()))?;
    let signature = DsseSignature::new(SignatureBytes::new(signature), KeyId::default());
    let content = SignatureContent::DsseEnvelope(DsseEnvelope::new(PAYLOAD_TYPE, payload, signature));
    let bundle = BundleV03::new(VerificationMaterialV03::PublicKey { hint }, content).into_bundle();
    bundle.to_json().map_err(|error| E::from(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::key::{KeyError, KeyPair, PublicKey};

    /// Of a release of Kubewarden, by cosign 3 without a key.
    const KEYLESS: &str = include_str!("../../tests/signatures/keyless.json");
    const DIGEST: &str = "sha256:c811d58de79c92f03214e63aa339484e488d694ae8a6283b5f3f17a9faf50172";
    const IDENTITY: &str =
        "https://github.com/kubewarden/kubewarden-controller/.github/workflows/release.yml@refs/tags/v1.34.0";
    const ISSUER: &str = "https://token.actions.githubusercontent.com";

    #[test]
    fn a_signature_without_a_key_is_that_of_an_identity() {
        let other = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
        let not_of_the_log = KEYLESS.replacen("\"integratedTime\": \"1", "\"integratedTime\": \"2", 1);
        assert_ne!(not_of_the_log, KEYLESS);
        for (bundle, digest, identity, issuer, kind, expected) in [
            (KEYLESS, DIGEST, IDENTITY, ISSUER, SIGNATURE, None),
            (KEYLESS, DIGEST, "a@example.com", ISSUER, SIGNATURE, Some(format!("it is signed by {IDENTITY}"))),
            (KEYLESS, DIGEST, IDENTITY, "https://a", SIGNATURE, Some(format!("{ISSUER} confirmed who signed it"))),
            (KEYLESS, other, IDENTITY, ISSUER, SIGNATURE, Some(ABOUT_ANOTHER.to_owned())),
            (
                KEYLESS,
                DIGEST,
                IDENTITY,
                ISSUER,
                BILL,
                Some(format!("it states something else: {SIGNATURE}")),
            ),
            (
                &not_of_the_log,
                DIGEST,
                IDENTITY,
                ISSUER,
                SIGNATURE,
                Some("invalid inclusion promise: SET verification failed: Verification error: ECDSA_P256_SHA256 signature invalid".to_owned()),
            ),
        ] {
            let signer = Signer::with_identity(identity, issuer, None).expect("a root");
            let found = open(bundle.as_bytes(), digest, kind, &signer).err().map(|error| error.to_string());
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_cosign_signs_with_a_key_is_read() {
        // `cosign sign` and `cosign attest --type cyclonedx`, version 3.0.2, with the private key of `cosign.pub`.
        let [signature, bill] =
            [include_str!("../../tests/signatures/key.json"), include_str!("../../tests/signatures/bill.json")];
        let key = PublicKey::from_pem(include_bytes!("../../tests/signatures/cosign.pub")).expect("a key");
        let signer = Signer::with_key(&key.der).expect("a key");
        let digest = "sha256:d64898401cc1b909ff90b68732ce1d344f5a314492609662cbbc220d6680b172";
        let open = |bundle: &str, kind: &str| open(bundle.as_bytes(), digest, kind, &signer);
        assert_eq!(open(signature, SIGNATURE), Ok(json!({})));
        assert_eq!(open(bill, BILL).expect("a bill")["bomFormat"], "CycloneDX");
        assert_eq!(open(signature, BILL), Err(BundleError::OtherKind(SIGNATURE.to_owned())));
        assert_eq!(open(bill, SIGNATURE), Err(BundleError::OtherKind(BILL.to_owned())));
    }

    #[test]
    fn a_statement_is_signed_with_a_key() {
        let [keys, other] = [(); 2].map(|()| KeyPair::generate().expect("a key"));
        let signer = |keys: &KeyPair| {
            let public = PublicKey::from_pem(keys.public_pem().expect("a key").as_bytes()).expect("a key");
            Signer::with_key(&public.der).expect("a key")
        };
        let said = json!({"components": [1, 2]});
        let bundle = seal::<KeyError>(DIGEST, BILL, &said, keys.hint().expect("a key"), |text| keys.sign(text));
        let bundle = bundle.expect("a bundle");
        let open = |bundle: &str, keys: &KeyPair| open(bundle.as_bytes(), DIGEST, BILL, &signer(keys));
        assert_eq!(open(&bundle, &keys), Ok(said));
        assert_eq!(open(&bundle, &other), Err(BundleError::OtherKey));
        assert_eq!(open(KEYLESS, &keys), Err(BundleError::Unfit("it is signed without a key".to_owned())));
        // Each part of what is signed counts.
        let mut changed: Value = serde_json::from_str(&bundle).expect("JSON");
        for (pointer, text) in [("/dsseEnvelope/payloadType", "text/plain"), ("/dsseEnvelope/payload", "e30=")] {
            let part = changed.pointer_mut(pointer).expect("a part");
            let before = std::mem::replace(part, Value::from(text));
            assert_eq!(open(&changed.to_string(), &keys), Err(BundleError::OtherKey), "{pointer}");
            *changed.pointer_mut(pointer).expect("a part") = before;
        }
        for (text, problem) in
            [("", "it cannot be read: "), ("{}", "it cannot be read: "), ("\u{fffd}", "it cannot be read: ")]
        {
            let error = open(text, &keys).expect_err("no bundle").to_string();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
