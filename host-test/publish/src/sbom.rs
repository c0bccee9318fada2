//! What a module was made of: a Software Bill of Materials in CycloneDX.
//!
//! It has no time and no random number in it, so the same sources and the same module give the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cyclonedx_bom::models::component::{Classification, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata as BomMetadata;
use cyclonedx_bom::prelude::{Bom, Component, Purl, SpdxExpression, SpecVersion, Validate};
use podfence_host::inspect::sha256;
use serde::Deserialize;
use serde_json::Value;

/// The media type of what [`sbom`] makes.
pub const SBOM_TYPE: &str = "application/vnd.cyclonedx+json";

const TARGET: &str = "wasm32-unknown-unknown";

/// Why there is no bill.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct SbomError {
    path: PathBuf,
    problem: String,
}

/// The lock file, as far as it is of interest.
#[derive(Deserialize)]
struct CargoLock {
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// What each package needs.
type Needs = BTreeMap<CompiledPackage, BTreeSet<CompiledPackage>>;

/// A package that is compiled into the module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CompiledPackage {
    name: String,
    version: String,
    license: String,
    /// Of this repository, and so in no registry.
    is_local: bool,
}

/// The bill of a module, from the directory of its policy: the packages that are compiled into it, in the
/// versions of the lock file, and the compiler, whose library is in it as well.
///
/// # Errors
/// Cargo cannot tell, or the bill would not be valid.
pub fn sbom(module: &[u8], directory: &Path) -> Result<Vec<u8>, SbomError> {
    let (root, needs) = compiled(directory)?;
    bill(module, directory, root, &needs)
}

/// The bill of a bundle, from the directories of its policies: these, and what is in their bills.
///
/// # Errors
/// There is no policy, cargo cannot tell, or the bill would not be valid.
pub fn sbom_of_bundle(bundle: &[u8], name: &str, version: &str, directories: &[PathBuf]) -> Result<Vec<u8>, SbomError> {
    let (mut roots, mut all) = (BTreeSet::new(), Needs::new());
    for directory in directories {
        let (root, needs) = compiled(directory)?;
        roots.insert(root);
        for (package, needed) in needs {
            all.entry(package).or_default().extend(needed);
        }
    }
    let (Some(directory), Some(first)) = (directories.first(), roots.first()) else {
        return Err(SbomError { path: PathBuf::from(name), problem: "it has no policy".to_owned() });
    };
    let (name, version, license) = (name.to_owned(), version.to_owned(), first.license.clone());
    let root = CompiledPackage { name, version, license, is_local: true };
    all.insert(root.clone(), roots);
    bill(bundle, directory, root, &all)
}

/// The package of a directory, and what it and each package in it needs.
fn compiled(directory: &Path) -> Result<(CompiledPackage, Needs), SbomError> {
    let problem = |problem: String| SbomError { path: directory.join("Cargo.toml"), problem };
    needs(&tree(directory).map_err(problem)?).map_err(problem)
}

fn bill(content: &[u8], directory: &Path, root: CompiledPackage, needs: &Needs) -> Result<Vec<u8>, SbomError> {
    let manifest = directory.join("Cargo.toml");
    let problem = |path: &Path, problem: String| SbomError { path: path.to_owned(), problem };
    let lock_path = lock_of(directory).ok_or_else(|| problem(&manifest, "no Cargo.lock above it".to_owned()))?;
    let lock = fs::read_to_string(&lock_path).map_err(|error| problem(&lock_path, error.to_string()))?;
    let lock: CargoLock = toml::from_str(&lock).map_err(|error| problem(&lock_path, error.to_string()))?;

    let compiler = compiler(directory)?;
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for (package, needed) in needs {
        let needed = needed.iter().map(CompiledPackage::reference).chain(compiler.bom_ref.clone());
        dependencies.push(Dependency { dependency_ref: package.reference(), dependencies: needed.collect() });
        if *package != root {
            components.push(package.component(&lock).map_err(|error| problem(&manifest, error))?);
        }
    }
    components.push(compiler);

    let mut subject = Component::new(Classification::Application, &root.name, &root.version, Some(root.reference()));
    subject.licenses = Some(licenses(&root.license).map_err(|error| problem(&manifest, error))?);
    subject.hashes = Some(hashes(sha256(content)));
    let bom = Bom {
        serial_number: None,
        metadata: Some(BomMetadata { component: Some(subject), ..BomMetadata::default() }),
        components: Some(Components(components)),
        dependencies: Some(Dependencies(dependencies)),
        spec_version: SpecVersion::V1_5,
        ..Bom::default()
    };
    let valid = bom.validate_version(SpecVersion::V1_5);
    if !valid.passed() {
        return Err(problem(&manifest, format!("no valid bill: {valid:?}")));
    }
    let mut json = Vec::new();
    bom.output_as_json_v1_5(&mut json).map_err(|error| problem(&manifest, error.to_string()))?;
    Ok(json)
}

/// Whether a bill is that of these bytes: it names their digest.
pub fn is_of(bill: &[u8], module: &[u8]) -> bool {
    let bill: Value = serde_json::from_slice(bill).unwrap_or_default();
    let hashes = bill["metadata"]["component"]["hashes"].as_array().into_iter().flatten();
    let mut hashes = hashes.filter(|hash| hash["alg"] == "SHA-256");
    let found = hashes.next().and_then(|hash| hash["content"].as_str());
    found.is_some_and(|found| found == sha256(module))
}

/// What cargo compiles into the package of a directory: a line for each, with its depth in front.
///
/// `cargo metadata` shows what all packages of a workspace need together, with the features for their tests.
fn tree(directory: &Path) -> Result<String, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--no-dedupe", "--prefix", "depth"]);
    cargo.args(["--target", TARGET, "--format", "{p}\t{l}", "--manifest-path"]).arg(directory.join("Cargo.toml"));
    let output = cargo.output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

/// The package at the top of a tree, and what each package in it needs.
fn needs(tree: &str) -> Result<(CompiledPackage, Needs), String> {
    let mut needs = Needs::new();
    let mut above: Vec<CompiledPackage> = Vec::new();
    for line in tree.lines() {
        // Between the packages of a workspace.
        if line.is_empty() {
            return Err("not the manifest of a package".to_owned());
        }
        let (depth, package) =
            CompiledPackage::parse(line).ok_or_else(|| format!("cargo tree: cannot read {line:?}"))?;
        above.truncate(depth);
        if let Some(parent) = above.last() {
            needs.entry(parent.clone()).or_default().insert(package.clone());
        }
        needs.entry(package.clone()).or_default();
        above.push(package);
    }
    let root = above.into_iter().next().ok_or("cargo tree: no output")?;
    Ok((root, needs))
}

/// Workspaces have one in their root.
fn lock_of(directory: &Path) -> Option<PathBuf> {
    let directory = directory.canonicalize().ok()?;
    directory.ancestors().map(|directory| directory.join("Cargo.lock")).find(|path| path.exists())
}

fn hashes(hexadecimal: String) -> Hashes {
    Hashes(vec![Hash { alg: HashAlgorithm::SHA_256, content: HashValue(hexadecimal) }])
}

fn licenses(expression: &str) -> Result<Licenses, String> {
    // Old packages write `MIT/Apache-2.0`.
    let expression = SpdxExpression::parse_lax(expression.to_owned()).map_err(|error| error.to_string())?;
    Ok(Licenses(vec![LicenseChoice::Expression(expression)]))
}

impl CompiledPackage {
    /// Reads `1serde v1.0.0 (/if/it/is/local)`, a tab and the licence.
    fn parse(line: &str) -> Option<(usize, CompiledPackage)> {
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let (depth, rest) = line.split_at(digits);
        let (package, license) = rest.split_once('\t')?;
        let mut words = package.split(' ');
        let package = CompiledPackage {
            name: words.next()?.to_owned(),
            version: words.next()?.strip_prefix('v')?.to_owned(),
            license: license.to_owned(),
            is_local: words.next().is_some(),
        };
        Some((depth.parse().ok()?, package))
    }

    fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    fn component(&self, lock: &CargoLock) -> Result<Component, String> {
        let CompiledPackage { name, version, license, is_local } = self;
        let mut component = Component::new(Classification::Library, name, version, Some(self.reference()));
        component.licenses = Some(licenses(license)?);
        if !is_local {
            component.purl = Some(Purl::new("cargo", name, version).map_err(|error| error.to_string())?);
        }
        let locked = lock.package.iter().find(|locked| locked.name == *name && locked.version == *version);
        let locked = locked.ok_or_else(|| format!("{} is not in Cargo.lock", self.reference()))?;
        component.hashes = locked.checksum.clone().map(hashes);
        Ok(component)
    }
}

/// The compiler that the directory asks for: `core` and `alloc` come with it.
fn compiler(directory: &Path) -> Result<Component, SbomError> {
    let problem = |problem: String| SbomError { path: PathBuf::from("rustc"), problem };
    let output = Command::new("rustc").arg("--version").current_dir(directory).output();
    let output = output.map_err(|error| problem(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.strip_prefix("rustc ").and_then(|rest| rest.split_whitespace().next());
    let version = version.ok_or_else(|| problem(format!("expected a version, found {text:?}")))?;
    let mut compiler =
        Component::new(Classification::Library, "rust-std", version, Some(format!("rust-std@{version}")));
    compiler.licenses = Some(licenses("MIT OR Apache-2.0").map_err(problem)?);
    compiler.purl = Some(Purl::new("generic", "rust-std", version).map_err(|error| problem(error.to_string()))?);
    Ok(compiler)
}
