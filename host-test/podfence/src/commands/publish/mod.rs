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
    /// io.kubewarden.metadata. Each package is loaded as a host loads it, and nothing is written before all of them are
    /// good.
    ///
    ///   podfence package target/policies/*.wasm
    ///
    /// With --opa, modules for OPA get the version of their ABI instead, without which no host loads them. Each is asked
    /// before it is written.
    ///
    /// Exit code 0: packaged; 1: not what was recorded; 2: could not package.
    Package(arguments::Package),

    /// Writes the bundle of policies that OPA loads: modules of `podfence package --opa` with a manifest.
    ///
    ///   podfence bundle target/opa/*.wasm
    ///
    /// The same modules give the same bytes. How OPA is asked so that nothing slips through is in host-test/opa/README.md
    /// of the repository.
    ///
    /// Exit code 0: written; 2: it is not.
    Bundle(arguments::Bundle),

    /// Writes the Software Bill of Materials of modules, in CycloneDX, beside them.
    ///
    /// POLICY.cdx.json lists the packages, in the versions of Cargo.lock, and the compiler that POLICY.wasm was made of.
    /// It needs the sources, and cargo.
    ///
    ///   podfence sbom target/packages/*.wasm
    ///
    /// Exit code 0: written; 2: at least one is not.
    Sbom(arguments::Sbom),

    /// Publishes packaged policies in an OCI registry, each as HOST/PATH/POLICY:vVERSION.
    ///
    /// Name and version are those of the metadata. What was published is read back, and its reference with the
    /// digest printed. A version that is there already is left alone.
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
    /// The module has the digest that the manifest says, and the manifest the one of the reference, if that has
    /// one. If not, it is what the registry has under that tag now. Name and version are those of the reference.
    ///
    /// With --key or --certificate-identity, it is verified first, and what was verified is what is written:
    ///
    ///   podfence pull --key cosign.pub registry.example.com/podfence/privileged:v0.2.0
    ///
    /// Exit code 0: the file is written; 1: it has no good signature; 2: it cannot be fetched. Nothing is written
    /// then.
    Pull(arguments::Pull),

    /// Signs policies in an OCI registry with a private key, as cosign does: for policy-servers, and in bundles.
    ///
    /// What is signed is what a reference stands for now: name it by its digest, as `podfence push` prints it.
    /// The password of the key is in COSIGN_PASSWORD; set it to nothing for a key without one.
    ///
    ///   podfence sign --key cosign.key --sbom target/packages registry.example.com/podfence/privileged@sha256:…
    ///
    /// Exit code 0: all of them are signed; 2: at least one is not.
    Sign(arguments::Sign),

    /// Checks that policies in an OCI registry are unchanged, those that were asked for, and signed by who is named.
    ///
    /// It prints the reference of each with its digest: use that one from then on, for a registry can change what a
    /// tag stands for.
    ///
    ///   podfence pull "$(podfence verify --key cosign.pub registry.example.com/podfence/privileged:v0.2.0)"
    ///
    /// Signatures without a key are read in bundles, and need no network beyond the registry.
    ///
    /// Exit code 0: all of them are; 1: at least one is not; 2: a registry or the key cannot be read.
    Verify(arguments::Verify),

    /// Makes a key pair: the files PREFIX.key and PREFIX.pub.
    ///
    /// The private key is encrypted with the password in COSIGN_PASSWORD, and can be used with cosign, too.
    ///
    /// Exit code 0: both are written; 2: they are not.
    GenerateKeyPair(arguments::GenerateKeyPair),
}
