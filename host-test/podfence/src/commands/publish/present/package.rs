//! `podfence package`

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use comfy_table::Cell;
use podfence_host::Host;
use podfence_publish::opa;
use podfence_publish::package::{Digest, PackagesLock, Source, package};

use super::file::replace;
use crate::commands::{DENIED, LimitArguments, read_module};
use crate::report::{number, table};
use crate::text::{module_name, origin, printable};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The policies: modules as they were built
    #[arg(required = true, value_name = "MODULE")]
    modules: Vec<PathBuf>,

    /// Where the policies are: a directory for each
    #[arg(long = "policies", value_name = "DIR", default_value = "policies")]
    policies_directory: PathBuf,

    /// Where to write them, each under the name of its module [default: target/packages, or target/opa]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// They are for OPA and other hosts of its modules
    #[arg(long, conflicts_with = "lock")]
    opa: bool,

    /// Record size and digest of each package in this file
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,

    /// Compare with what is recorded instead, and write no package that differs
    #[arg(long, requires = "lock")]
    locked: bool,

    #[command(flatten)]
    limits: LimitArguments,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let host = self.limits.host()?;
        let mut packages = BTreeMap::new();
        for path in &self.modules {
            let packaged = self.package(&host, path)?;
            if packages.insert(module_name(path), packaged).is_some() {
                bail!("{}: another module has the same name; their packages would be one file", origin(path));
            }
        }
        let digests: BTreeMap<String, Digest> =
            packages.iter().map(|(policy, bytes)| (policy.clone(), Digest::of(bytes))).collect();
        let lock = match &self.lock {
            None => None,
            Some(path) if self.locked => {
                let differences = PackagesLock::load(path)?.differences(&digests);
                if !differences.is_empty() {
                    let differences = printable(&differences.join("\n"));
                    anstream::eprintln!(
                        "{differences}\n{}: `make bless` records the packages as they are now",
                        origin(path)
                    );
                    return Ok(ExitCode::from(DENIED));
                }
                None
            }
            Some(path) => Some((path, self.recorded(path, &digests)?)),
        };
        let out = self.out();
        fs::create_dir_all(&out).with_context(|| origin(&out))?;
        let paths: Vec<PathBuf> = packages.keys().map(|policy| out.join(format!("{policy}.wasm"))).collect();
        let lock = lock.map(|(path, lock)| (path, lock.to_yaml()));
        let mut files: Vec<(&Path, &[u8])> =
            paths.iter().zip(packages.values()).map(|(path, bytes)| (path.as_path(), bytes.as_slice())).collect();
        files.extend(lock.as_ref().map(|(path, lock)| (path.as_path(), lock.as_bytes())));
        replace(&files)?;
        write_table(&digests, &mut anstream::stdout().lock())?;
        let out = printable(&origin(&out));
        let next = if self.opa { "bundle" } else { "sbom" };
        anstream::eprintln!("{} in {out}; next: podfence {next} {out}/*.wasm", count(packages.len()));
        Ok(ExitCode::SUCCESS)
    }

    fn out(&self) -> PathBuf {
        let default = if self.opa { "target/opa" } else { "target/packages" };
        self.out.clone().unwrap_or_else(|| default.into())
    }

    fn package(&self, host: &Host, path: &Path) -> Result<Vec<u8>> {
        let directory = path.parent().unwrap_or(Path::new(""));
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        // The package would take the place of the module, and could not be packaged again.
        if let (Ok(from), Ok(to)) = (directory.canonicalize(), self.out().canonicalize())
            && from == to
        {
            bail!(
                "{}: --out is the module's directory, so the package would replace it; name another one",
                origin(path)
            );
        }
        let module = read_module(path)?;
        if self.opa {
            return opa::package(host, &module, &module_name(path)).with_context(|| origin(path));
        }
        let source = Source::load(&self.policies_directory.join(module_name(path)))?;
        package(host, &module, &source).with_context(|| origin(path))
    }

    /// What is recorded, with these packages, and without what is not a policy any more.
    fn recorded(&self, path: &Path, digests: &BTreeMap<String, Digest>) -> Result<PackagesLock> {
        let mut lock = if path.exists() { PackagesLock::load(path)? } else { PackagesLock::default() };
        lock.0.retain(|policy, _| self.policies_directory.join(policy).is_dir());
        lock.0.extend(digests.clone());
        Ok(lock)
    }
}

fn count(packages: usize) -> String {
    if packages == 1 { "1 package".to_owned() } else { format!("{packages} packages") }
}

fn write_table(digests: &BTreeMap<String, Digest>, out: &mut dyn Write) -> io::Result<()> {
    let mut table = table(&["package", "bytes", "sha256"]);
    for (policy, digest) in digests {
        table.add_row(vec![Cell::new(printable(policy)), number(digest.bytes), Cell::new(&digest.sha256)]);
    }
    writeln!(out, "{table}")
}
