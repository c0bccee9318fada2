//! Finds the modules of policies, and compiles them.

use std::borrow::Cow;
use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use podfence_cluster::published;
use podfence_host::evaluate::SettingsError;
use podfence_host::{Host, Mode, Module, Policy, inspect};
use serde_json::{Map, Value};

use crate::commands::read_module;
use crate::text::{module_name, origin};

/// A compiled module.
pub(super) struct Loaded {
    /// The name of its file without `.wasm`.
    pub(super) name: String,
    /// The code.
    pub(super) module: Module,
    /// Whether it keeps nothing from call to call, so that one instance can answer many.
    pub(super) is_pure: bool,
    /// Of the file, in hexadecimal.
    pub(super) sha256: String,
    /// The URL of its docs, or the empty text.
    pub(super) docs: String,
    /// The rules that it is published with.
    pub(super) rules: Option<Value>,
}

impl Loaded {
    /// Has the module check settings, as a policy-server does at start.
    ///
    /// # Errors
    /// It refuses them, or cannot be called.
    pub(super) fn validate_settings(&self, settings: Map<String, Value>) -> Result<(), SettingsError> {
        let policy = Policy {
            name: self.name.clone(),
            module: self.module.clone(),
            settings,
            mode: Mode::Protect,
            allowed_to_mutate: true,
            message: None,
        };
        policy.validate_settings()
    }
}

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Where a module is.
pub(super) enum Place {
    /// In a file.
    File(PathBuf),
    /// In this program: its name, and its bytes.
    Embedded(&'static str, &'static [u8]),
}

impl Place {
    /// The module that is named by its path, or as one of Podfence's policies.
    ///
    /// # Errors
    /// It is a policy's name, and its module is nowhere, or it is neither a file nor a policy's name.
    pub(super) fn named(module: &Path) -> Result<Place> {
        // A path of a file has an extension or a directory, or is `-`.
        let is_path = |name: &str| name == "-" || name.contains(['.', '/', '\\']) || module.exists();
        match module.to_str().filter(|_| !module.is_file()) {
            Some(name) if published::find(name).is_some() || !is_path(name) => {
                Places::new(None).find(published::named(name)?.policy)
            }
            _ => Ok(Place::File(module.to_owned())),
        }
    }

    /// The bytes of the module.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read(&self) -> Result<Cow<'static, [u8]>> {
        match self {
            Place::File(path) => read_module(path).map(Cow::Owned),
            Place::Embedded(_, bytes) => Ok(Cow::Borrowed(bytes)),
        }
    }

    /// How messages call the module.
    pub(super) fn origin(&self) -> String {
        match self {
            Place::File(path) => origin(path),
            Place::Embedded(name, _) => (*name).to_owned(),
        }
    }

    /// How messages call the policy: the name without `.wasm`.
    pub(super) fn policy(&self) -> String {
        match self {
            Place::File(path) => module_name(path),
            Place::Embedded(name, _) => (*name).to_owned(),
        }
    }
}

/// How to get the module of a policy, of Podfence or of others.
fn advice(name: &str) -> String {
    match published::find(name) {
        Some(_) => "build the modules with `make modules`, or name a directory of modules with --modules".to_owned(),
        None => format!(
            "it is not one of Podfence's; fetch it with `podfence pull HOST/PATH/{name}:TAG -o DIR/{name}.wasm`, and \
             name the directory with --modules DIR"
        ),
    }
}

/// The version of this program, with the name and the digest of each module in it.
pub(crate) fn version() -> String {
    let mut text = format!("podfence {}\n", env!("CARGO_PKG_VERSION"));
    for (name, bytes) in EMBEDDED {
        let _ = writeln!(text, "{name} sha256:{}", inspect::sha256(bytes));
    }
    if EMBEDDED.is_empty() {
        text.push_str("no modules in this program; it looks for them in policies/ and packages/ beside it\n");
    }
    text
}

/// Where modules are looked for, as `NAME.wasm`.
pub(super) struct Places {
    /// The directory that the user names.
    given: Option<PathBuf>,
    /// What is in this program.
    embedded: &'static [(&'static str, &'static [u8])],
    /// Where Podfence's own are, if none are in this program.
    own: Vec<PathBuf>,
}

impl Places {
    /// The directory that the user names, or else what is in this program, or else the directories beside it.
    pub(super) fn new(given: Option<&Path>) -> Places {
        let program = env::current_exe().unwrap_or_default();
        let parents = program.ancestors().skip(1).take(3).filter(|parent| !parent.as_os_str().is_empty());
        let own = ["policies", "packages"]
            .iter()
            .flat_map(|directory| parents.clone().map(move |parent| parent.join(directory)))
            .collect();
        Places { given: given.map(Path::to_owned), embedded: EMBEDDED, own }
    }

    /// Only this directory of Podfence's own modules.
    #[cfg(test)]
    pub(super) fn of_own(directory: PathBuf) -> Places {
        Places { given: None, embedded: &[], own: vec![directory] }
    }

    /// Where a module is.
    ///
    /// # Errors
    /// It is nowhere.
    pub(super) fn find(&self, name: &str) -> Result<Place> {
        // Who names a directory wants the modules that are there, and no others.
        let directories = match &self.given {
            Some(given) => std::slice::from_ref(given),
            None if self.embedded.is_empty() => &self.own,
            None => match self.embedded.iter().find(|(of, _)| *of == name) {
                Some((name, bytes)) => return Ok(Place::Embedded(name, bytes)),
                None => bail!("no module {name} in this program: {}", advice(name)),
            },
        };
        let file = format!("{name}.wasm");
        match directories.iter().map(|directory| directory.join(&file)).find(|path| path.is_file()) {
            Some(path) => Ok(Place::File(path)),
            None => {
                let looked: Vec<String> = directories.iter().map(|place| place.display().to_string()).collect();
                bail!("no module {file} in {}: {}", looked.join(", "), advice(name))
            }
        }
    }

    /// Finds and compiles modules, several at once. They come in the order of the names.
    ///
    /// # Errors
    /// One is nowhere, or is not a module.
    pub(super) fn load(&self, host: &Host, names: &[&str]) -> Result<Vec<Loaded>> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(names.len());
        let (next, loaded) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                let module = self.load_one(host, name);
                loaded.lock().expect("no thread panics").push((*name, module));
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut loaded = loaded.into_inner().expect("no thread panics");
        loaded.sort_by_key(|(name, _)| names.iter().position(|of| of == name));
        loaded.into_iter().map(|(_, module)| module).collect()
    }

    fn load_one(&self, host: &Host, name: &str) -> Result<Loaded> {
        let place = self.find(name)?;
        let bytes = place.read()?;
        let module = host.load(&bytes).with_context(|| place.origin())?;
        let (docs, rules) = match published::find(name) {
            Some(published) => (published.docs.clone(), Some(published.rules.clone())),
            None => {
                let mut metadata = inspect::metadata(&bytes).with_context(|| place.origin())?.unwrap_or_default();
                let docs = metadata["annotations"]["io.kubewarden.policy.url"].as_str().unwrap_or_default().to_owned();
                (docs, metadata.get_mut("rules").map(Value::take))
            }
        };
        let is_pure = self.given.is_none();
        Ok(Loaded { name: name.to_owned(), module, is_pure, sha256: inspect::sha256(&bytes), docs, rules })
    }
}
