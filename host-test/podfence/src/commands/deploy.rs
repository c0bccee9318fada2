//! `podfence deploy`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use podfence_cluster::deploy;

use super::KindsArgument;
use crate::text::origin;

/// Generates the Kubernetes manifests that deploy the policies from your registry.
///
/// Exit code 0: they are written; 2: they are not.
#[derive(Args)]
pub(super) struct Arguments {
    /// Where the modules are, without a scheme [default: as in the metadata of the policies]
    #[arg(long, value_name = "HOST/PATH", value_parser = registry)]
    registry: Option<String>,

    #[command(flatten)]
    kinds: KindsArgument,

    /// The directory to write to: a new or an empty one
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let files = deploy::tree(self.registry.as_deref(), &self.kinds.get());
        // What is left of another version would be applied with the rest.
        if fs::read_dir(&self.out).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{}: is not empty", origin(&self.out));
        }
        for (path, text) in files {
            write(&self.out.join(path), &text)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory).with_context(|| origin(directory))?;
    fs::write(path, text).with_context(|| origin(path))
}

/// A registry and a path in it, as far as a URL can be made of it.
fn registry(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Err("expected no scheme: registry.example.com/podfence".to_owned());
    }
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || ".-_:[]".contains(letter))
    };
    match text.split('/').all(is_part) {
        true => Ok(text.to_owned()),
        false => Err("expected a host and a path: registry.example.com/podfence".to_owned()),
    }
}
