//! `podfence run --policies`

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use podfence_cluster::admission::{self, Admission, ReviewError};
use podfence_cluster::documents::{self, Deployed, Document, Read};
use podfence_cluster::matching::Namespaces;
use podfence_cluster::validating::{Unbound, Validating, is_policy_of_api_server};
use podfence_host::{Host, Mode, Module};
use podfence_scan::AdmissionRequest;
use podfence_scan::request;

use super::Output;
use super::answer::{Answer, Printer, Unseen};
use crate::commands::modules::Places;
use crate::commands::{add_params, no_policies, policy_documents, read_documents};
use crate::text::{origin, printable};

/// The policies of a cluster, and what is known of it.
pub(super) struct Cluster<'a> {
    /// A file or a directory of documents.
    pub(super) policies: &'a Path,
    /// The directory of the modules, if it is not where Podfence's own are.
    pub(super) modules: Option<&'a Path>,
    /// Files and directories of parameters.
    pub(super) params: &'a [PathBuf],
    pub(super) unbound: Unbound,
    /// The namespace of Kubewarden's controller.
    pub(super) controller_namespace: &'a str,
    /// Manifests of namespaces, beside those among the requests.
    pub(super) namespaces: Option<&'a Path>,
    /// Whether it was said who sends the requests.
    pub(super) knows_user: bool,
    /// Instead of what the documents say.
    pub(super) mode: Option<Mode>,
}

impl Cluster<'_> {
    pub(super) fn run(
        &self,
        host: &Host,
        requests: &[AdmissionRequest],
        output: Output,
        is_empty_fine: bool,
    ) -> Result<ExitCode> {
        let (documents, validating) = self.documents(requests)?;
        documents::check_names(&documents)?;
        let admission = Admission::new(self.deploy(host, &documents)?).with_validating(&validating);
        let namespaces = self.known_namespaces(requests)?;
        let mut printer = Printer::new(anstream::stdout().lock(), output, requests.len());
        for request in requests {
            let review = match admission.review(request, &namespaces) {
                Ok(review) => review,
                Err(error) => {
                    printer.not_judgeable(request, &unknown(&error))?;
                    continue;
                }
            };
            let unknown = review.validated.iter().find_map(|of| Some((of.title(), of.failure.as_ref()?)));
            if let Some((policy, why)) = unknown {
                printer.not_judgeable(request, &format!("{policy}: {why}"))?;
                continue;
            }
            let validated: Vec<_> = review.validated.iter().map(|of| (of.title(), of.evaluation(request))).collect();
            let of_validated = validated.iter().map(|(title, evaluation)| Answer {
                policy: Some(title),
                mode: Mode::Protect,
                evaluation,
                in_protect: None,
            });
            let answers: Vec<Answer<'_>> = review
                .answers
                .iter()
                .map(|of| Answer {
                    policy: Some(&of.document.name),
                    mode: of.document.mode,
                    evaluation: &of.evaluation,
                    in_protect: of.in_protect.as_ref(),
                })
                .chain(of_validated)
                .collect();
            match answers.as_slice() {
                [] => printer.unseen(request, Unseen::NotSelected)?,
                answers => printer.object(request, answers, review.patch.as_ref())?,
            }
        }
        printer.finish(is_empty_fine)
    }

    /// Reads the documents; warns where a cluster does otherwise than they say.
    fn documents(&self, requests: &[AdmissionRequest]) -> Result<(Vec<Document>, Validating)> {
        let (mut read, mut validating, mut others) = (Read::default(), Validating::default(), Vec::new());
        for (path, value) in policy_documents(self.policies)? {
            match is_policy_of_api_server(&value) {
                true => validating.add(&value).with_context(|| origin(&path))?,
                false => others.push((path, value)),
            }
        }
        let notes = validating.bind(self.unbound);
        for (path, value) in others {
            if validating.takes_as_param(&value) {
                validating.params_mut().add(&value);
                continue;
            }
            let Read { documents, servers } =
                documents::read_for(&[value], self.controller_namespace).with_context(|| origin(&path))?;
            read.documents.extend(documents);
            read.servers.extend(servers);
        }
        add_params(&mut validating, self.params)?;
        for object in requests.iter().filter_map(|request| request.object.as_ref()) {
            if validating.takes_as_param(object) {
                validating.params_mut().add(object);
            }
        }
        let Read { mut documents, servers } = read;
        if documents.is_empty() && validating.is_empty() {
            return Err(no_policies(self.policies, &servers));
        }
        if let Some(mode) = self.mode {
            documents.iter_mut().for_each(|document| document.mode = mode);
        }
        let is_known = |request: &AdmissionRequest| request.user_info.username.as_deref() != Some(request::USER);
        let knows_user = self.knows_user || requests.iter().all(is_known);
        let of_documents = documents.iter().flat_map(|of| {
            let warnings = of.warnings.iter().cloned().chain(of.conditions.warnings(knows_user));
            warnings.map(move |warning| format!("{}: {warning}", of.name))
        });
        let of_validating = notes.into_iter().chain(validating.warnings(knows_user));
        for warning in of_documents.chain(admission::gaps(&documents)).chain(of_validating) {
            anstream::eprintln!("warning: {}", printable(&warning));
        }
        if !servers.is_empty() {
            anstream::eprintln!("note: {}: no policy, left out", printable(&servers.join(", ")));
        }
        Ok((documents, validating))
    }

    /// The Namespaces among the requests and in the file of namespaces.
    fn known_namespaces(&self, requests: &[AdmissionRequest]) -> Result<Namespaces> {
        let mut namespaces = Namespaces::default();
        let objects = requests.iter().filter_map(|request| request.object.as_ref());
        namespaces.add_manifests(objects).map_err(anyhow::Error::msg)?;
        if let Some(path) = self.namespaces {
            let values = read_documents(path)?;
            let objects = values.iter().flat_map(documents::items);
            let mut known = Namespaces::default();
            known.add_manifests(objects).map_err(|problem| anyhow!("{}: {problem}", origin(path)))?;
            if known.is_empty() {
                bail!(
                    "{}: no Namespace in it; `kubectl get namespaces -o yaml` prints those of a cluster",
                    origin(path)
                );
            }
            // What is created replaces what is there.
            namespaces.add_unknown(known);
        }
        Ok(namespaces)
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
                let place = Places::new(self.modules).find(name).with_context(|| document.name.clone())?;
                let module = place.read().and_then(|bytes| host.load(&bytes).with_context(|| place.origin()));
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

/// Says how to make a label known.
fn unknown(error: &ReviewError) -> String {
    match error {
        ReviewError::Label { .. } => format!(
            "{error}; add the Namespace to the input, or name a file of Namespaces with --namespaces (kubectl get \
             namespaces -o yaml)"
        ),
        ReviewError::Patch { .. } => error.to_string(),
    }
}
