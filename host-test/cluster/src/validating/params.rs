//! The objects that policies take as parameters.

use k8s_openapi::api::admissionregistration::v1::ParamRef;
use podfence_cel::{Shared, decoded};
use podfence_scan::request::{GroupVersionKind, default_namespace};
use serde_json::Value;

use crate::matching::{label_of, selects};

/// Objects of any kinds, in the order of their names.
#[derive(Debug, Default)]
pub struct Params(Vec<Param>);

#[derive(Debug)]
struct Param {
    kind: GroupVersionKind,
    /// None for what is in no namespace.
    namespace: Option<String>,
    name: String,
    object: Value,
    shown: Shared,
}

impl Params {
    /// Adds an object, unless there is one of its kind and name already. Returns whether that is another one.
    pub fn add(&mut self, object: &Value) -> bool {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let kind = GroupVersionKind::new(
            object["apiVersion"].as_str().unwrap_or_default(),
            object["kind"].as_str().unwrap_or_default(),
        );
        let Some(name) = text(&object["metadata"]["name"]) else { return false };
        let namespace = text(&object["metadata"]["namespace"]).or_else(|| default_namespace(&kind).map(str::to_owned));
        if let Some(known) = self.0.iter().find(|of| of.kind == kind && of.name == name && of.namespace == namespace) {
            return known.object != *object;
        }
        let shown = Shared::new(decoded(object).object);
        let at = self.0.partition_point(|of| (&of.namespace, &of.name) < (&namespace, &name));
        self.0.insert(at, Param { kind, namespace, name, object: object.clone(), shown });
        false
    }

    /// Those that a binding names, for a request in a namespace: none if there are none and that lets everything pass.
    ///
    /// # Errors
    /// What the API server reports of the binding.
    pub(super) fn of(
        &self,
        kind: &GroupVersionKind,
        reference: &ParamRef,
        namespace: Option<&str>,
    ) -> Result<Vec<&Shared>, String> {
        let of_kind = || self.0.iter().filter(|of| of.kind == *kind);
        let given = reference.namespace.as_deref().filter(|namespace| !namespace.is_empty());
        let is_namespaced =
            default_namespace(kind).is_some() || given.is_some() || of_kind().any(|of| of.namespace.is_some());
        let wanted = given.or(namespace);
        if is_namespaced && wanted.is_none() {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
            );
        }
        let is_there = |of: &&Param| !is_namespaced || of.namespace.as_deref() == wanted;
        let is_named = |of: &&Param| match &reference.selector {
            Some(selector) => selects(selector, |key| label_of(&of.object, key)),
            None => Some(of.name.as_str()) == reference.name.as_deref(),
        };
        let found: Vec<&Shared> = of_kind().filter(is_there).filter(is_named).map(|of| &of.shown).collect();
        if found.is_empty() && reference.parameter_not_found_action.as_deref() == Some("Deny") {
            return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
        }
        Ok(found)
    }
}
