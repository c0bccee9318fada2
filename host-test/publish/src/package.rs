//! What is published of a policy: its module with the metadata section, and the record of its digest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use podfence_docs::USAGE;
use podfence_host::evaluate::SettingsError;
use podfence_host::inspect::{self, METADATA_SECTION};
use podfence_host::{Host, LoadError, Mode, Policy};
use podfence_scan::read::{self, InputError, LARGEST_DOCUMENT};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wasm_encoder::{CustomSection, Section};

/// What the directory of a policy says about its module.
#[derive(Debug, Clone)]
pub struct Source {
    policy: String,
    metadata: Value,
    /// What a form for its settings sends before anything is filled in.
    defaults: Map<String, Value>,
}

/// Why a module is not packaged.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file of the policy.
    #[error("{}: {error}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why it cannot be used.
        error: InputError,
    },
    /// The files of the policy, read, are not as they should be.
    #[error("{}: {problem}", path.display())]
    Source {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No module, or none that a policy-server would load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Hosts read the first section, so a second one would not count.
    #[error("it has a section {METADATA_SECTION} already: package the module as it was built")]
    Annotated,
    /// What came of it would not be loaded, or not everywhere.
    #[error("{}", .0.join("; "))]
    Unfit(Vec<String>),
    /// The module does not take the settings that its form sends, so it is another policy's, or an old one.
    #[error("the module of {policy} refuses settings of {policy}, {settings}: {error}")]
    Settings {
        /// The policy whose directory it was packaged with.
        policy: String,
        /// The settings.
        settings: String,
        /// What the module says.
        error: SettingsError,
    },
    /// What was read back is not what was written.
    #[error("the section {METADATA_SECTION} is not what was written")]
    Lost,
}

impl Source {
    /// Reads `metadata.yml`, `questions-ui.yml` and `README.md` in the directory of a policy.
    ///
    /// # Errors
    /// One cannot be read, or the metadata is another policy's.
    pub fn load(directory: &Path) -> Result<Source, PackageError> {
        let policy = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = directory.join("metadata.yml");
        let mut metadata = document(&path)?;
        let source = |problem: String| PackageError::Source { path: path.clone(), problem };
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        let annotations = annotations.ok_or_else(|| source("annotations: expected an object".to_owned()))?;
        let title = annotations.get("io.kubewarden.policy.title").and_then(Value::as_str).unwrap_or_default();
        if title != policy {
            return Err(source(format!("io.kubewarden.policy.title: expected {policy:?}, found {title:?}")));
        }
        let readme = text(&directory.join("README.md"))?;
        // What says that it is generated is for who edits it.
        let usage =
            readme.split_once("-->\n\n").filter(|_| readme.starts_with("<!--")).map_or(&*readme, |split| split.1);
        annotations.insert(USAGE.to_owned(), Value::String(usage.to_owned()));
        let defaults = defaults(&directory.join("questions-ui.yml"))?;
        Ok(Source { policy, metadata, defaults })
    }
}

/// The module of a policy with its metadata in the first and only section of that name. The same input
/// gives the same bytes.
///
/// # Errors
/// It is not the raw module of that policy, or a host would not load what came of it.
pub fn package(host: &Host, module: &[u8], source: &Source) -> Result<Vec<u8>, PackageError> {
    host.load(module)?;
    if !inspect::metadata_sections(module).is_empty() {
        return Err(PackageError::Annotated);
    }
    let metadata = serde_json::to_vec(&source.metadata).expect("JSON values serialise");
    let mut packaged = module.to_vec();
    CustomSection { name: METADATA_SECTION.into(), data: metadata.as_slice().into() }.append_to(&mut packaged);
    verify(host, &packaged, source)?;
    Ok(packaged)
}

/// Loads the package as a host would, and compares what is in it with what should be.
fn verify(host: &Host, packaged: &[u8], source: &Source) -> Result<(), PackageError> {
    let inspection = inspect::inspect(host, packaged);
    let problems = [inspection.obstacles, inspection.notes].concat();
    if !problems.is_empty() {
        return Err(PackageError::Unfit(problems));
    }
    if inspection.metadata.as_ref() != Some(&source.metadata) {
        return Err(PackageError::Lost);
    }
    let module = host.load(packaged)?;
    for settings in [Map::new(), source.defaults.clone()] {
        let policy = Policy {
            name: source.policy.clone(),
            module: module.clone(),
            settings: settings.clone(),
            mode: Mode::Protect,
            allowed_to_mutate: false,
            message: None,
        };
        policy.validate_settings().map_err(|error| PackageError::Settings {
            policy: policy.name,
            settings: Value::Object(settings).to_string(),
            error,
        })?;
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, PackageError> {
    let read = |error| PackageError::Read { path: path.to_owned(), error };
    let bytes = read::file(path, LARGEST_DOCUMENT).map_err(read)?;
    read::utf8(&bytes).map(str::to_owned).map_err(read)
}

fn document(path: &Path) -> Result<Value, PackageError> {
    let read = |error| PackageError::Read { path: path.to_owned(), error };
    let bytes = read::file(path, LARGEST_DOCUMENT).map_err(read)?;
    let documents: [Value; 1] = read::parse(&bytes).map_err(read)?.try_into().map_err(|documents: Vec<Value>| {
        let problem = format!("expected one document, found {}", documents.len());
        PackageError::Source { path: path.to_owned(), problem }
    })?;
    let [document] = documents;
    Ok(document)
}

/// The settings of a form with every default and nothing else.
fn defaults(path: &Path) -> Result<Map<String, Value>, PackageError> {
    let form = document(path)?;
    let mut settings = Map::new();
    for question in form["questions"].as_array().into_iter().flatten() {
        if let (Some(variable), Some(default)) = (question["variable"].as_str(), question.get("default")) {
            put(&mut settings, variable, default.clone());
        }
    }
    Ok(settings)
}

fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((key, rest)) => {
            let inner = object.entry(key).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// What the packages of all policies are: `packages.lock`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackagesLock(pub BTreeMap<String, Digest>);

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    /// The size of the file.
    pub bytes: usize,
    /// The digest of the file, in hexadecimal. That of the layer in a registry is the same.
    pub sha256: String,
}

impl Digest {
    /// The size and digest of a file.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest { bytes: bytes.len(), sha256: inspect::sha256(bytes) }
    }
}

impl PackagesLock {
    /// Reads the record.
    ///
    /// # Errors
    /// It cannot be read, or is not one.
    pub fn load(path: &Path) -> Result<PackagesLock, PackageError> {
        let problem = |error: serde_json::Error| PackageError::Source {
            path: path.to_owned(),
            problem: format!("expected bytes and sha256 of each policy: {error}"),
        };
        serde_json::from_value(document(path)?).map_err(problem)
    }

    /// The text of the file.
    pub fn to_yaml(&self) -> String {
        let packages = serde_saphyr::to_string(self).expect("names and numbers serialise");
        format!("# What is published of each policy; `make bless` records it.\n{packages}")
    }

    /// What differs from the packages that were made, each as a line.
    pub fn differences(&self, packages: &BTreeMap<String, Digest>) -> Vec<String> {
        let differences = packages.iter().filter_map(|(policy, made)| match self.0.get(policy) {
            None => Some(format!("{policy}: not recorded")),
            Some(recorded) if recorded != made => Some(format!(
                "{policy}: {} bytes, sha256 {}; recorded are {} bytes, sha256 {}",
                made.bytes, made.sha256, recorded.bytes, recorded.sha256
            )),
            Some(_) => None,
        });
        differences.collect()
    }
}
