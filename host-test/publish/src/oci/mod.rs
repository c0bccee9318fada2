//! Policies in OCI registries: pushed and pulled as Kubewarden does, signed and verified as cosign does.
//!
//! A registry is trusted with nothing: what comes from it is held against the digest that was asked for, and
//! a push is read back.

mod artifact;
mod referrer;
mod registry;
mod signature;

pub use artifact::{Artifact, ArtifactError, Pulled, Push, pull, push};
pub use oci_client::Reference;
pub use referrer::{attach, attached};
pub use registry::{OciError, Registry, parse};
pub use signature::{KeyError, KeyPair, PublicKey, SignatureError, sign, verify};
