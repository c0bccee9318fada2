//! Policies with settings, and their decisions.

use std::collections::BTreeMap;

use podfence_cluster::gatekeeper::Equivalent;
use podfence_host::{Mode, Policy};
use podfence_scan::AdmissionRequest;

use crate::common::Modules;

/// Why a request is not allowed.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// What is wrong with the object.
    #[error("{0}")]
    Violation(String),
    /// What is wrong with the settings; a server that goes on without such a policy rejects everything.
    #[error("{0}")]
    Settings(String),
}

/// Policies, each with settings that were put to it once.
pub struct Policies {
    modules: Modules,
    policies: BTreeMap<String, Result<Policy, String>>,
}

impl Policies {
    pub fn new() -> Policies {
        Policies { modules: Modules::new(), policies: BTreeMap::new() }
    }

    /// Whether all policies allow the request; if not, what the first one says that does not.
    pub fn allow(&mut self, policies: &[Equivalent], request: &AdmissionRequest) -> Result<(), Rejection> {
        policies.iter().try_for_each(|equivalent| {
            let policy = self.policy(equivalent).as_ref().map_err(|error| Rejection::Settings(error.clone()))?;
            let evaluation = policy.evaluate(request);
            if evaluation.response.allowed {
                return Ok(());
            }
            // What a policy cannot judge is not a rejection.
            let status = evaluation.response.status.unwrap_or_default();
            let is_violation = evaluation.failure.is_none() && status.code == Some(403);
            assert!(is_violation, "{} cannot judge {request:?}: {status:?}", policy.name);
            Err(Rejection::Violation(status.message.unwrap_or_default()))
        })
    }

    /// Why a policy refuses its settings, if it does.
    pub fn refusal(&mut self, equivalent: &Equivalent) -> Option<String> {
        self.policy(equivalent).as_ref().err().cloned()
    }

    /// The policy with these settings, or why it refuses them.
    fn policy(&mut self, Equivalent { policy: name, settings }: &Equivalent) -> &Result<Policy, String> {
        let modules = &mut self.modules;
        self.policies.entry(format!("{name} {settings:?}")).or_insert_with(|| {
            let policy = Policy {
                name: (*name).to_owned(),
                module: modules.load(name),
                settings: settings.clone(),
                mode: Mode::Protect,
                allowed_to_mutate: false,
                message: None,
            };
            match policy.validate_settings() {
                Ok(()) => Ok(policy),
                Err(error) => Err(format!("{name} refuses {settings:?}: {error}")),
            }
        })
    }
}
