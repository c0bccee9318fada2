//! Finds the modules of policies, and compiles them.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use podfence_cluster::published;
use podfence_host::{Host, Module, inspect};
use serde_json::Value;

use crate::commands::read_module;
use crate::text::origin;

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

/// Where modules are looked for, as `NAME.wasm`.
pub(super) struct Places {
    /// The directory that the user names.
    given: Option<PathBuf>,
    /// Where Podfence's own are.
    own: Vec<PathBuf>,
}

impl Places {
    /// The directory that the user names, and those beside this program.
    pub(super) fn new(given: Option<&Path>) -> Places {
        let program = env::current_exe().unwrap_or_default();
        let parents = program.ancestors().skip(1).take(3).filter(|parent| !parent.as_os_str().is_empty());
        let own = ["policies", "packages"]
            .iter()
            .flat_map(|directory| parents.clone().map(move |parent| parent.join(directory)))
            .collect();
        Places { given: given.map(Path::to_owned), own }
    }

    /// Only this directory of Podfence's own modules.
    #[cfg(test)]
    pub(super) fn of_own(directory: PathBuf) -> Places {
        Places { given: None, own: vec![directory] }
    }

    /// Where a module is, and whether it is one of Podfence's own.
    ///
    /// # Errors
    /// It is nowhere.
    pub(super) fn find(&self, name: &str) -> Result<(PathBuf, bool)> {
        // Who names a directory wants the modules that are there, and no others.
        let own = self.own.iter().filter(|_| self.given.is_none()).map(|directory| (directory, true));
        let places: Vec<_> = self.given.iter().map(|directory| (directory, false)).chain(own).collect();
        let file = format!("{name}.wasm");
        let found = places.iter().map(|(directory, is_own)| (directory.join(&file), *is_own));
        match found.into_iter().find(|(path, _)| path.is_file()) {
            Some(found) => Ok(found),
            None => {
                let looked: Vec<String> = places.iter().map(|(place, _)| place.display().to_string()).collect();
                bail!(
                    "no module {file} in {}: build the modules with `make modules`, or name a directory of modules \
                     with --modules",
                    looked.join(", ")
                )
            }
        }
    }

    /// Finds and compiles modules, several at once. They come in the order of the names.
    ///
    /// # Errors
    /// One is nowhere, or is no module.
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
        let (path, is_pure) = self.find(name)?;
        let bytes = read_module(&path)?;
        let module = host.load(&bytes).with_context(|| origin(&path))?;
        let (docs, rules) = match published::find(name) {
            Some(published) => (published.docs.clone(), Some(published.rules.clone())),
            None => {
                let mut metadata = inspect::metadata(&bytes).with_context(|| origin(&path))?.unwrap_or_default();
                let docs = metadata["annotations"]["io.kubewarden.policy.url"].as_str().unwrap_or_default().to_owned();
                (docs, metadata.get_mut("rules").map(Value::take))
            }
        };
        Ok(Loaded { name: name.to_owned(), module, is_pure, sha256: inspect::sha256(&bytes), docs, rules })
    }
}
