//! What expressions read.

use std::sync::{Arc, LazyLock};

use cel::common::types::CelNull;
use cel::common::value::Val;
use serde_json::Value;

use crate::values::from_json;

/// The values of the names that an expression reads, converted once for all expressions.
///
/// `object` and `oldObject` must be what the API server shows: [`decoded`](crate::decoded) makes that of a manifest.
/// Copies share the values.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Few expressions read it.
    request: Arc<Late>,
    object: Arc<dyn Val>,
    old_object: Arc<dyn Val>,
    namespace: Arc<dyn Val>,
    params: Arc<dyn Val>,
}

/// A value that is made and converted when it is first read.
type Late = LazyLock<Box<dyn Val>, Box<dyn FnOnce() -> Box<dyn Val> + Send>>;

/// A value that was converted once for many inputs.
#[derive(Debug, Clone)]
pub struct Shared(Arc<dyn Val>);

impl Shared {
    /// Converts a value.
    pub fn new(value: Value) -> Shared {
        Shared(Arc::from(from_json(value)))
    }
}

impl Inputs {
    /// A request with its objects. A missing object is `null`; so are `namespaceObject` and `params`, as in
    /// `matchConditions`. Fields of `request` that the API server leaves out when they are empty are left out.
    pub fn new(request: &Value, object: Option<&Value>, old_object: Option<&Value>) -> Inputs {
        let request = request.clone();
        Inputs::of(|| request, object.cloned(), old_object.cloned())
    }

    /// The same, with a request that is made when an expression reads it.
    pub fn of(
        request: impl FnOnce() -> Value + Send + 'static,
        object: Option<Value>,
        old_object: Option<Value>,
    ) -> Inputs {
        let request: Box<dyn FnOnce() -> Box<dyn Val> + Send> = Box::new(|| from_json(without_empty(request())));
        Inputs {
            request: Arc::new(LazyLock::new(request)),
            object: Arc::from(from_json(object.unwrap_or_default())),
            old_object: Arc::from(from_json(old_object.unwrap_or_default())),
            namespace: Arc::new(CelNull),
            params: Arc::new(CelNull),
        }
    }

    /// Sets `namespaceObject`, which validations have and `matchConditions` have not.
    pub fn with_namespace(mut self, namespace: &Value) -> Inputs {
        self.namespace = Arc::from(from_json(namespace.clone()));
        self
    }

    /// Sets `params`.
    pub fn with_params(mut self, params: &Value) -> Inputs {
        self.params = Arc::from(from_json(params.clone()));
        self
    }

    /// Sets `namespaceObject` to a value that many inputs share.
    pub fn with_shared_namespace(mut self, namespace: &Shared) -> Inputs {
        self.namespace = Arc::clone(&namespace.0);
        self
    }

    /// Sets `params` to a value that many inputs share.
    pub fn with_shared_params(mut self, params: &Shared) -> Inputs {
        self.params = Arc::clone(&params.0);
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&dyn Val> {
        Some(match name {
            "request" => LazyLock::force(&self.request).as_ref(),
            "object" => self.object.as_ref(),
            "oldObject" => self.old_object.as_ref(),
            "namespaceObject" => self.namespace.as_ref(),
            "params" => self.params.as_ref(),
            _ => return None,
        })
    }
}

/// The fields of an AdmissionRequest that are left out when they are empty, and those that expressions never see.
fn without_empty(request: Value) -> Value {
    let Value::Object(members) = request else { return request };
    let left_out =
        ["subResource", "requestSubResource", "requestKind", "requestResource", "name", "namespace", "dryRun"];
    let hidden = ["object", "oldObject"];
    let empty = |value: &Value| matches!(value, Value::Null) || value == "";
    let dropped = |key: &str, value: &Value| hidden.contains(&key) || left_out.contains(&key) && empty(value);
    Value::Object(members.into_iter().filter(|(key, value)| !dropped(key, value)).collect())
}
