//! What the tests share: the built modules, and requests.

use std::collections::HashMap;

use podfence_host::{Host, Limits, Module};
use podfence_scan::{AdmissionRequest, request};
use serde_json::Value;

/// The modules as built, each loaded once.
pub struct Modules {
    host: Host,
    loaded: HashMap<String, Module>,
}

impl Modules {
    pub fn new() -> Modules {
        Modules { host: Host::new(Limits::default()).expect("an engine"), loaded: HashMap::new() }
    }

    pub fn load(&mut self, policy: &str) -> Module {
        let load = || {
            let bytes = podfence_support::module(policy);
            self.host.load(&bytes).unwrap_or_else(|error| panic!("{policy}: {error}"))
        };
        self.loaded.entry(policy.to_owned()).or_insert_with(load).clone()
    }
}

/// The request that would create an object.
pub fn create(object: &Value) -> AdmissionRequest {
    let requests = request::requests(object.to_string().as_bytes(), &request::Sender::default()).expect("a manifest");
    let [request] = <[AdmissionRequest; 1]>::try_from(requests).expect("one object");
    request
}
