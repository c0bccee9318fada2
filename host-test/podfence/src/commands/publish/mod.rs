//! The commands that publish policies. Without the feature `publish`, each says how to get a podfence that has it.

#[cfg(not(feature = "publish"))]
mod absent;
#[cfg(feature = "publish")]
mod present;

use clap::Subcommand;

#[cfg(not(feature = "publish"))]
use absent as arguments;
#[cfg(feature = "publish")]
use present as arguments;

/// A build without the feature has the same names and descriptions, for people to find them.
#[derive(Subcommand)]
pub(super) enum Publishing {
    /// Writes the metadata of policies into their modules, for a registry.
    ///
    /// POLICY.wasm gets metadata.yml and README.md of the directory POLICY, as its first and only section
    /// io.kubewarden.metadata. Each package is loaded as a host loads it; none is written unless all of them are valid.
    ///
    ///   podfence package target/policies/*.wasm
    ///
    /// With --opa, modules for OPA get the version of their ABI instead, without which no host loads them. Each is
    /// called once before it is written.
    ///
    /// Exit code 0: packaged; 1: not what was recorded; 2: could not package.
    Package(arguments::Package),

    /// Writes the bundle of policies that OPA loads: modules of `podfence package --opa` with a manifest.
    ///
    ///   podfence bundle target/opa/*.wasm
    ///
    /// The same modules give the same bytes. host-test/opa/README.md of the repository shows how to query OPA so that
    /// it fails closed.
    ///
    /// Exit code 0: written; 2: not written.
    Bundle(arguments::Bundle),

    /// Writes the Software Bill of Materials of modules, in CycloneDX, beside them.
    ///
    /// POLICY.cdx.json lists the packages, in the versions of Cargo.lock, and the compiler that POLICY.wasm was made of.
    /// It needs the sources, and cargo.
    ///
    ///   podfence sbom target/packages/*.wasm
    ///
    /// Exit code 0: all are written; 2: at least one is not.
    Sbom(arguments::Sbom),

    /// Publishes packaged policies in an OCI registry, each as HOST/PATH/POLICY:vVERSION.
    ///
    /// Name and version are those of the metadata. The name of a bundle for OPA is that of its file, and its version its
    /// revision; OPA loads it from there as a bundle of a service of type oci. What was published is read back, and its
    /// reference with the digest printed. A version that exists already is not replaced.
    ///
    ///   podfence push target/packages/*.wasm --sbom --registry registry.example.com/podfence
    ///
    /// A registry whose certificate is from an authority of your own needs SSL_CERT_FILE=ca.pem, with all
    /// authorities that you trust; so do the other commands with a registry.
    ///
    /// Exit code 0: all of them are published; 2: at least one is not.
    Push(arguments::Push),

    /// Fetches a policy from an OCI registry, and prints its reference with the digest.
    ///
    /// Checks that the module has the digest in the manifest, and the manifest the digest in the reference, if there is
    /// one; a tag is what the registry has under it now. Checks that name and version are those of the reference.
    ///
    /// With --key or --certificate-identity, verifies before it writes:
    ///
    ///   podfence pull --key cosign.pub registry.example.com/podfence/privileged:v0.2.0
    ///
    /// Exit code 0: the file is written; 1: no valid signature; 2: it cannot be fetched. After 1 and 2, nothing is
    /// written.
    Pull(arguments::Pull),

    /// Signs policies in an OCI registry with a private key, in both formats of cosign: for policy-servers, and in
    /// bundles.
    ///
    /// Signs what a reference stands for now: use a reference with a digest, as `podfence push` prints it.
    /// The password of the key is in COSIGN_PASSWORD; set it to nothing for a key without one.
    ///
    ///   podfence sign --key cosign.key --sbom target/packages registry.example.com/podfence/privileged@sha256:…
    ///
    /// Exit code 0: all of them are signed; 2: at least one is not.
    Sign(arguments::Sign),

    /// Verifies policies in an OCI registry: their content, their name and version, and their signer.
    ///
    /// Prints the reference of each with its digest. Use that reference afterwards, because a registry can change what
    /// a tag stands for.
    ///
    ///   podfence pull "$(podfence verify --key cosign.pub registry.example.com/podfence/privileged:v0.2.0)"
    ///
    /// Signatures without a key are read in bundles, and need no network beyond the registry.
    ///
    /// Exit code 0: all are verified; 1: at least one is not; 2: a registry or the key cannot be read.
    Verify(arguments::Verify),

    /// Generates a key pair: the files PREFIX.key and PREFIX.pub.
    ///
    /// The private key is encrypted with the password in COSIGN_PASSWORD, and can be used with cosign, too.
    ///
    /// Exit code 0: both are written; 2: not written.
    GenerateKeyPair(arguments::GenerateKeyPair),
}
