//! `podfence run --policies`

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use podfence_cluster::documents::{self, Deployed, Document};
use podfence_host::{AdmissionResponse, Host, Mode, Module};
use podfence_scan::AdmissionRequest;
use podfence_scan::read::{self, LARGEST_DOCUMENT};
use serde::Serialize;

use super::{Outcome, Output, read_module, title, write_answer};
use crate::text::{origin, printable};

/// The policies of a cluster, and where their modules are.
pub(super) struct Cluster<'a> {
    pub(super) policies: &'a Path,
    pub(super) modules: &'a Path,
    /// Instead of what the documents say.
    pub(super) mode: Option<Mode>,
}

/// An answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    policy: &'a str,
    response: &'a AdmissionResponse,
}

impl Cluster<'_> {
    pub(super) fn run(&self, host: &Host, requests: &[AdmissionRequest], output: Output) -> Result<ExitCode> {
        let documents = self.documents()?;
        let policies = self.deploy(host, &documents)?;
        let mut out = anstream::stdout().lock();
        let mut outcome = Outcome::default();
        for request in requests {
            let title = if requests.len() > 1 { printable(&title(request)) + ": " } else { String::new() };
            let mut is_seen = false;
            for policy in &policies {
                let Some(evaluation) = policy.evaluate(request) else { continue };
                is_seen = true;
                outcome.add(&evaluation);
                let name = &policy.document.name;
                match output {
                    Output::Human => {
                        write!(out, "{title}{}: ", printable(name))?;
                        write_answer(&evaluation, &mut out)?;
                    }
                    Output::Json => {
                        let answer = Answer { policy: name, response: &evaluation.response };
                        serde_json::to_writer(&mut out, &answer).map_err(std::io::Error::from)?;
                        writeln!(out)?;
                    }
                }
            }
            if !is_seen && output == Output::Human {
                writeln!(out, "{title}no policy matches it")?;
            }
        }
        out.flush()?;
        outcome.exit_code()
    }

    fn documents(&self) -> Result<Vec<Document>> {
        let mut documents = Vec::new();
        for path in self.files()? {
            let bytes = read::file(&path, LARGEST_DOCUMENT).with_context(|| origin(&path))?;
            let values = read::parse(&bytes).with_context(|| origin(&path))?;
            documents.extend(documents::read(&values).with_context(|| origin(&path))?);
        }
        if documents.is_empty() {
            bail!("{}: no policies in it", origin(self.policies));
        }
        if let Some(mode) = self.mode {
            documents.iter_mut().for_each(|document| document.mode = mode);
        }
        Ok(documents)
    }

    /// The file, or those of the directory.
    fn files(&self) -> Result<Vec<PathBuf>> {
        if !self.policies.is_dir() {
            return Ok(vec![self.policies.to_owned()]);
        }
        let entries = fs::read_dir(self.policies).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let mut files: Vec<PathBuf> =
            entries.with_context(|| origin(self.policies))?.iter().map(fs::DirEntry::path).collect();
        let is_document =
            |path: &PathBuf| path.extension().is_some_and(|of| of == "yaml" || of == "yml" || of == "json");
        files.retain(is_document);
        files.sort();
        Ok(files)
    }

    /// Loads each module once.
    fn deploy<'d>(&self, host: &Host, documents: &'d [Document]) -> Result<Vec<Deployed<'d>>> {
        let mut modules = HashMap::new();
        let mut deployed = Vec::new();
        for document in documents {
            let policy = document.deploy(|name| {
                if let Some(module) = modules.get(name) {
                    return Ok(Module::clone(module));
                }
                let path = self.modules.join(format!("{name}.wasm"));
                let module = read_module(&path).and_then(|bytes| host.load(&bytes).with_context(|| origin(&path)));
                let module = module.with_context(|| document.name.clone())?;
                modules.insert(name.to_owned(), module.clone());
                anyhow::Ok(module)
            })?;
            policy.validate_settings()?;
            deployed.push(policy);
        }
        Ok(deployed)
    }
}
