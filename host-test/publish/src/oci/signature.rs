//! Who signed an artifact: in the layout that policy-servers verify, and in bundles, which cosign signs today.

use oci_spec::distribution::Reference;
use serde_json::{Value, json};

use super::answer::shown;
use super::artifact::{ArtifactError, Pulled, pull};
use super::bundle::{self, BILL, BUNDLE_FAMILY, BUNDLE_TYPE, BundleError, SIGNATURE, Signer};
use super::key::{KeyError, KeyPair, PublicKey};
use super::payload::{self, SimpleError};
use super::referrer::{Document, attach, attached, fetch, referring};
use super::registry::{OciError, Registry};
use super::simple;
use crate::sbom::{self, SBOM_TYPE};

/// How many signatures of an artifact are read.
const MOST: usize = 50;

/// What cosign writes beside a bundle, so that others need not fetch it.
const CONTENT: (&str, &str) = ("dev.sigstore.bundle.content", "dsse-envelope");
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";

/// Why an artifact is not signed, or not by who is trusted.
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
    /// The file of those who certify and log.
    #[error("is not a trusted root: {0}")]
    Root(String),
    /// Nobody signed it.
    #[error("{0} has no signature")]
    Unsigned(String),
    /// It does not say which policy it is, so a signature says nothing about the one that was asked for.
    #[error("{0} does not name its policy in its manifest; expected the annotation io.kubewarden.policy.title")]
    Unnamed(String),
    /// Others signed it.
    #[error("{reference} is signed, but not with this key")]
    OtherKey {
        /// What is signed.
        reference: String,
    },
    /// There are signatures, and none is good.
    #[error("{reference} has no good signature: {}", .problems.join("; "))]
    Refused {
        /// What is signed.
        reference: String,
        /// What is wrong with each.
        problems: Vec<String>,
    },
    /// It has no bill of materials.
    #[error("{0} has no bill of materials; `podfence push --sbom` attaches it")]
    NoBill(String),
    /// Nobody who is trusted signed its bill of materials.
    #[error("{reference} has no signed bill of materials{}{}", if .problems.is_empty() { "; `podfence sign --sbom` signs it" } else { ": " }, .problems.join("; "))]
    UnsignedBill {
        /// Whose bill.
        reference: String,
        /// What is wrong with those that it has.
        problems: Vec<String>,
    },
    /// The bill of materials is that of other bytes.
    #[error("the bill of materials of {0} is that of another module")]
    OtherBill(String),
}

/// Whose signatures count.
pub struct Trust {
    /// Layouts without bundles are verified with keys alone.
    key: Option<PublicKey>,
    signer: Signer,
}

impl Trust {
    /// The owner of a key.
    ///
    /// # Errors
    /// It is of a kind that signs no policies.
    pub fn with_key(key: PublicKey) -> Result<Trust, KeyError> {
        let signer = Signer::with_key(&key.der)?;
        Ok(Trust { key: Some(key), signer })
    }

    /// An identity that an issuer confirmed, such as a workflow in a repository. The root has those who may certify and
    /// log; without one, they are the public Sigstore.
    ///
    /// # Errors
    /// The root is invalid.
    pub fn with_identity(identity: &str, issuer: &str, root: Option<&str>) -> Result<Trust, SignatureError> {
        let signer = Signer::with_identity(identity, issuer, root).map_err(SignatureError::Root)?;
        Ok(Trust { key: None, signer })
    }
}

/// What is wrong with the signatures that were read.
#[derive(Default)]
struct Problems {
    texts: Vec<String>,
    has_other_key: bool,
    read: usize,
}

impl Problems {
    /// Whether one more may be read.
    fn may_read(&mut self) -> bool {
        self.read += 1;
        if self.read == MOST + 1 {
            self.add(format!("there are more than {MOST}; the rest are not read"));
        }
        self.read <= MOST
    }

    fn add(&mut self, text: String) {
        let text = shown(&text);
        if !self.texts.contains(&text) {
            self.texts.push(text);
        }
    }

    /// What is wrong with what a registry has is a problem of one signature; that there is no answer is not.
    fn add_unless_lasting(&mut self, error: ArtifactError) -> Result<(), SignatureError> {
        match error {
            ArtifactError::Registry(OciError::Changed { .. } | OciError::Missing(_))
            | ArtifactError::Attached { .. } => {
                self.add(error.to_string());
                Ok(())
            }
            error => Err(error.into()),
        }
    }

    fn into_error(self, reference: &Reference) -> SignatureError {
        let reference = reference.whole();
        match (self.texts.is_empty(), self.has_other_key) {
            (true, false) => SignatureError::Unsigned(reference),
            (true, true) => SignatureError::OtherKey { reference },
            (false, _) => SignatureError::Refused { reference, problems: self.texts },
        }
    }
}

/// Fetches what a reference stands for, and checks that it is the policy that was asked for and that who is trusted
/// signed it.
///
/// # Errors
/// It was changed, is another policy, or has no good signature.
pub fn verify(registry: &Registry, reference: &Reference, trust: &Trust) -> Result<Pulled, SignatureError> {
    let pulled = pull(registry, reference)?;
    if !pulled.is_named {
        return Err(SignatureError::Unnamed(reference.whole()));
    }
    let mut problems = Problems::default();
    let is_signed = is_simply_signed(registry, &pulled.reference, trust, &mut problems)?
        || find(registry, &pulled.reference, SIGNATURE, trust, &mut problems)?.is_some();
    if is_signed { Ok(pulled) } else { Err(problems.into_error(reference)) }
}

/// Whether the layout for policy-servers has a good signature.
fn is_simply_signed(
    registry: &Registry,
    signed: &Reference,
    trust: &Trust,
    problems: &mut Problems,
) -> Result<bool, SignatureError> {
    let Some(key) = &trust.key else { return Ok(false) };
    let place = simple::place_of(signed);
    let layers = match simple::layers(registry, &place)? {
        Ok(layers) => layers,
        Err(problem) => {
            problems.add(format!("{}: {problem}", place.whole()));
            return Ok(false);
        }
    };
    for layer in layers.iter().filter(|layer| layer.media_type == simple::PAYLOAD_TYPE) {
        if !problems.may_read() {
            break;
        }
        let payload = match registry.blob(&place, layer, simple::LONGEST_PAYLOAD) {
            Ok(payload) => payload,
            Err(error) => {
                problems.add_unless_lasting(error.into())?;
                continue;
            }
        };
        match payload::check(layer, &payload, signed.digest().unwrap_or_default(), &key.simple) {
            Ok(()) => return Ok(true),
            Err(SimpleError::OtherKey) => problems.has_other_key = true,
            Err(SimpleError::Unfit(problem)) => problems.add(problem),
        }
    }
    Ok(false)
}

/// What the last good bundle of a kind says about an artifact.
fn find(
    registry: &Registry,
    signed: &Reference,
    kind: &str,
    trust: &Trust,
    problems: &mut Problems,
) -> Result<Option<Value>, SignatureError> {
    let is_bundle = |found: &str| found.starts_with(BUNDLE_FAMILY);
    for entry in referring(registry, signed, is_bundle)? {
        let said = entry.annotations.as_ref().and_then(|annotations| annotations.get(PREDICATE));
        if said.is_some_and(|said| said != kind) {
            continue;
        }
        if !problems.may_read() {
            break;
        }
        let bundle = match fetch(registry, signed, &entry, is_bundle) {
            Ok(Some(bundle)) => bundle,
            Ok(None) => continue,
            Err(error) => {
                problems.add_unless_lasting(error)?;
                continue;
            }
        };
        match bundle::open(&bundle, signed.digest().unwrap_or_default(), kind, &trust.signer) {
            Ok(said) => return Ok(Some(said)),
            Err(BundleError::OtherKey) => problems.has_other_key = true,
            // The list does not always have what a bundle says.
            Err(BundleError::OtherKind(_)) if said.is_none() => {}
            Err(error) => problems.add(error.to_string()),
        }
    }
    Ok(None)
}

/// The bill of materials of what was pulled. With trust, it is the one that who is trusted signed.
///
/// # Errors
/// It is missing, nobody who is trusted signed it, or it is that of other bytes.
pub fn bill_of(registry: &Registry, pulled: &Pulled, trust: Option<&Trust>) -> Result<Vec<u8>, SignatureError> {
    let name = || pulled.reference.whole();
    let bill = match trust {
        None => attached(registry, &pulled.reference, SBOM_TYPE)?.ok_or_else(|| SignatureError::NoBill(name()))?,
        Some(trust) => {
            let mut problems = Problems::default();
            let found = find(registry, &pulled.reference, BILL, trust, &mut problems)?;
            let found = found.ok_or_else(|| {
                let other_key = problems.has_other_key.then(|| BundleError::OtherKey.to_string());
                let problems = other_key.into_iter().chain(problems.texts).collect();
                SignatureError::UnsignedBill { reference: name(), problems }
            })?;
            found.to_string().into_bytes()
        }
    };
    if sbom::is_of(&bill, &pulled.module) { Ok(bill) } else { Err(SignatureError::OtherBill(name())) }
}

/// Signs what a reference stands for now, in both layouts, and its bill of materials if there is one; what that is, by
/// its digest. Other signatures stay, and what the key signed already is not signed again.
///
/// # Errors
/// It is not a policy, the bill is of another module, or the registry does not take a signature.
pub fn sign(
    registry: &Registry,
    reference: &Reference,
    keys: &KeyPair,
    bill: Option<&[u8]>,
) -> Result<Reference, SignatureError> {
    let pulled = pull(registry, reference)?;
    let signed = &pulled.reference;
    let bill = bill.map(|bill| match serde_json::from_slice::<Value>(bill) {
        Ok(parsed) if sbom::is_of(bill, &pulled.module) => Ok(parsed),
        _ => Err(SignatureError::OtherBill(reference.whole())),
    });
    let bill = bill.transpose()?;
    let trust = Trust::with_key(PublicKey::from_pem(keys.public_pem()?.as_bytes())?)?;
    if !is_simply_signed(registry, signed, &trust, &mut Problems::default())? {
        let place = simple::place_of(signed);
        let layers = simple::layers(registry, &place)?;
        let layers = layers.map_err(|problem| ArtifactError::Attached { reference: place.whole(), problem })?;
        simple::add::<SignatureError>(registry, signed, layers, keys)?;
    }
    for (kind, said) in [(SIGNATURE, Some(json!({}))), (BILL, bill)] {
        let Some(said) = said else { continue };
        if find(registry, signed, kind, &trust, &mut Problems::default())?.as_ref() != Some(&said) {
            let digest = signed.digest().unwrap_or_default();
            let bundle = bundle::seal::<KeyError>(digest, kind, &said, keys.hint()?, |text| keys.sign(text))?;
            let annotations = [CONTENT, (PREDICATE, kind)].map(|(name, text)| (name.to_owned(), text.to_owned()));
            let document = Document { kind: BUNDLE_TYPE, bytes: bundle.as_bytes(), annotations: annotations.into() };
            attach(registry, signed, &document)?;
        }
    }
    Ok(pulled.reference)
}
