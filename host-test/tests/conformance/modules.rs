//! The built modules, and their decisions.

use std::collections::BTreeMap;

use host_test::{AdmissionRequest, Host, Limits, Mode, Module, Policy, gatekeeper::Equivalent};

use crate::root;

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

/// The modules as built, each loaded once, and policies, each with settings that were put to it once.
pub struct Modules {
    host: Host,
    modules: BTreeMap<&'static str, Module>,
    policies: BTreeMap<String, Result<Policy, String>>,
}

impl Modules {
    pub fn load() -> Modules {
        let host = Host::new(Limits::default()).expect("an engine");
        Modules { host, modules: BTreeMap::new(), policies: BTreeMap::new() }
    }

    /// Whether all policies allow the request; if not, what the first one says that does not.
    pub fn allow(&mut self, policies: &[Equivalent], request: &AdmissionRequest) -> Result<(), Rejection> {
        policies.iter().try_for_each(|equivalent| {
            let policy = self.policy(equivalent).as_ref().map_err(|error| Rejection::Settings(error.clone()))?;
            let evaluation = policy.evaluate(request);
            if evaluation.response.allowed {
                return Ok(());
            }
            // What a policy cannot judge is no rejection.
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
        let (host, modules) = (&self.host, &mut self.modules);
        self.policies.entry(format!("{name} {settings:?}")).or_insert_with(|| {
            let policy = Policy {
                name: (*name).to_owned(),
                module: modules.entry(name).or_insert_with(|| load(host, name)).clone(),
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

fn load(host: &Host, name: &str) -> Module {
    let path = root().join("target/policies").join(name).with_extension("wasm");
    let bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make all` builds it", path.display()));
    host.load(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
