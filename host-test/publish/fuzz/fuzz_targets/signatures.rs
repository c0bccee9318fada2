//! Whatever stands where signatures are, it is refused, but for the one that is there to begin with.
#![no_main]

#[path = "../../src/oci/answer.rs"]
#[allow(dead_code)]
mod answer;
#[path = "../../src/oci/bundle.rs"]
#[allow(dead_code)]
mod bundle;
#[path = "../../src/oci/payload.rs"]
#[allow(dead_code)]
mod payload;

use std::sync::LazyLock;

use answer::Descriptor;
use bundle::{SIGNATURE, Signer};
use sigstore::crypto::CosignVerificationKey;
use sigstore_verify::types::DerPublicKey;

/// Of what `tests/signatures/keyless.json` is about.
const DIGEST: &str = "sha256:c811d58de79c92f03214e63aa339484e488d694ae8a6283b5f3f17a9faf50172";
const IDENTITY: &str =
    "https://github.com/kubewarden/kubewarden-controller/.github/workflows/release.yml@refs/tags/v1.34.0";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// Nobody has the private key.
const KEY: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7Okm+pd04I+W5asXZp/Ya8aM2O7D\n\
qgj/uYYfR8P84jD9oenkeiYy1stowVpN+kPCi1nRx6pV8lOAKhZM14Pt5g==\n\
-----END PUBLIC KEY-----\n\
";

struct Trusted {
    key: Signer,
    identity: Signer,
    simple: CosignVerificationKey,
}

static TRUSTED: LazyLock<Trusted> = LazyLock::new(|| Trusted {
    key: Signer::with_key(&DerPublicKey::from_pem(KEY).expect("a key")).expect("a key"),
    identity: Signer::with_identity(IDENTITY, ISSUER, None).expect("a root"),
    simple: CosignVerificationKey::try_from_pem(KEY.as_bytes()).expect("a key"),
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert!(bundle::open(bytes, DIGEST, SIGNATURE, &TRUSTED.key).is_err());
    if let Ok(said) = bundle::open(bytes, DIGEST, SIGNATURE, &TRUSTED.identity) {
        assert_eq!(said, serde_json::json!({}));
    }
    // A signature, a line's end, and what it should be of.
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (signature, payload) = (String::from_utf8_lossy(&bytes[..end]), &bytes[(end + 1).min(bytes.len())..]);
    let annotations = [(payload::SIGNATURE.to_owned(), signature.into_owned())];
    let layer = Descriptor { annotations: Some(annotations.into()), ..Descriptor::default() };
    assert!(payload::check(&layer, payload, DIGEST, &TRUSTED.simple).is_err());
});
