//! Policies in OCI registries: pushed and pulled as Kubewarden does, signed and verified as cosign does.
//!
//! A registry is trusted with nothing: what comes from it has a limit and is held against the digest that was asked
//! for, and a push is read back.

mod answer;
mod artifact;
mod bundle;
mod credentials;
mod key;
mod payload;
mod referrer;
mod registry;
mod signature;
mod simple;
mod transport;

pub use artifact::{Artifact, ArtifactError, Pulled, Push, pull, push};
pub use key::{KeyError, KeyPair, PublicKey};
pub use oci_spec::distribution::Reference;
pub use referrer::{Document, attach};
pub use registry::{OciError, Registry, parse};
pub use signature::{SignatureError, Trust, bill_of, sign, verify};
pub use transport::Access;
