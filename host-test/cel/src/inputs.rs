//! What expressions read.

use std::sync::Arc;

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
    request: Arc<dyn Val>,
    object: Arc<dyn Val>,
    old_object: Arc<dyn Val>,
    namespace: Arc<dyn Val>,
    params: Arc<dyn Val>,
}

/// A value that was converted once for many inputs.
#[derive(Debug, Clone)]
pub struct Shared(Arc<dyn Val>);

impl Shared {
    /// Converts a value.
    pub fn new(value: &Value) -> Shared {
        Shared(Arc::from(from_json(value)))
    }
}

impl Inputs {
    /// A request with its objects. A missing object is `null`; so are `namespaceObject` and `params`, as in
    /// `matchConditions`. Fields of `request` that the API server leaves out when they are empty are left out.
    pub fn new(request: &Value, object: Option<&Value>, old_object: Option<&Value>) -> Inputs {
        Inputs {
            request: Arc::from(from_json(&without_empty(request))),
            object: Arc::from(from_json(object.unwrap_or(&Value::Null))),
            old_object: Arc::from(from_json(old_object.unwrap_or(&Value::Null))),
            namespace: Arc::new(CelNull),
            params: Arc::new(CelNull),
        }
    }

    /// Sets `namespaceObject`, which validations have and `matchConditions` have not.
    pub fn with_namespace(mut self, namespace: &Value) -> Inputs {
        self.namespace = Arc::from(from_json(namespace));
        self
    }

    /// Sets `params`.
    pub fn with_params(mut self, params: &Value) -> Inputs {
        self.params = Arc::from(from_json(params));
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
            "request" => self.request.as_ref(),
            "object" => self.object.as_ref(),
            "oldObject" => self.old_object.as_ref(),
            "namespaceObject" => self.namespace.as_ref(),
            "params" => self.params.as_ref(),
            _ => return None,
        })
    }
}

/// The fields of an AdmissionRequest that are left out when they are empty, and those that expressions never see.
fn without_empty(request: &Value) -> Value {
    let Value::Object(members) = request else { return request.clone() };
    let left_out =
        ["subResource", "requestSubResource", "requestKind", "requestResource", "name", "namespace", "dryRun"];
    let hidden = ["object", "oldObject"];
    let empty = |value: &Value| matches!(value, Value::Null) || value == "";
    let dropped = |key: &str, value: &Value| hidden.contains(&key) || left_out.contains(&key) && empty(value);
    let kept = members.iter().filter(|(key, value)| !dropped(key, value));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
}
