//! The types of `request` and of `namespaceObject`: what the API server declares of them, which is less than they have.

use crate::types::{TIMESTAMP, Type};

pub(crate) const REQUEST: &str = "AdmissionRequest";
pub(crate) const NAMESPACE: &str = "Namespace";
/// The type of `variables`; an environment knows its fields.
pub(crate) const VARIABLES: &str = "variables";

const KIND: &str = "GroupVersionKind";
const RESOURCE: &str = "GroupVersionResource";
const USER: &str = "UserInfo";
const METADATA: &str = "NamespaceMetadata";
const SPEC: &str = "NamespaceSpec";
const STATUS: &str = "NamespaceStatus";
const CONDITION: &str = "NamespaceCondition";

/// The fields of a type, in the order of its declaration.
pub(crate) fn fields(of: &str) -> Vec<(&'static str, Type)> {
    let strings = || Type::String.list();
    match of {
        REQUEST => vec![
            ("kind", Type::Struct(KIND)),
            ("resource", Type::Struct(RESOURCE)),
            ("subResource", Type::String),
            ("requestKind", Type::Struct(KIND)),
            ("requestResource", Type::Struct(RESOURCE)),
            ("requestSubResource", Type::String),
            ("name", Type::String),
            ("namespace", Type::String),
            ("operation", Type::String),
            ("userInfo", Type::Struct(USER)),
            ("dryRun", Type::Bool),
            ("options", Type::Dyn),
        ],
        KIND => vec![("group", Type::String), ("version", Type::String), ("kind", Type::String)],
        RESOURCE => vec![("group", Type::String), ("version", Type::String), ("resource", Type::String)],
        USER => vec![
            ("username", Type::String),
            ("uid", Type::String),
            ("groups", strings()),
            ("extra", strings().map_of_strings()),
        ],
        NAMESPACE => {
            vec![("metadata", Type::Struct(METADATA)), ("spec", Type::Struct(SPEC)), ("status", Type::Struct(STATUS))]
        }
        METADATA => vec![
            ("name", Type::String),
            ("generateName", Type::String),
            ("namespace", Type::String),
            ("labels", Type::String.map_of_strings()),
            ("annotations", Type::String.map_of_strings()),
            ("UID", Type::String),
            ("creationTimestamp", TIMESTAMP),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", TIMESTAMP),
            ("generation", Type::Int),
            ("resourceVersion", Type::String),
            ("finalizers", strings()),
        ],
        SPEC => vec![("finalizers", strings())],
        STATUS => vec![("conditions", Type::Struct(CONDITION).list()), ("phase", Type::String)],
        CONDITION => vec![
            ("status", Type::String),
            ("type", Type::String),
            ("lastTransitionTime", TIMESTAMP),
            ("message", Type::String),
            ("reason", Type::String),
        ],
        _ => Vec::new(),
    }
}

/// The name of a type as the API server writes it.
pub(crate) fn display(name: &'static str) -> &'static str {
    match name {
        REQUEST => "kubernetes.AdmissionRequest",
        KIND => "kubernetes.GroupVersionKind",
        RESOURCE => "kubernetes.GroupVersionResource",
        USER => "kubernetes.UserInfo",
        NAMESPACE => "kubernetes.Namespace",
        METADATA => "kubernetes.NamespaceMetadata",
        SPEC => "kubernetes.NamespaceSpec",
        STATUS => "kubernetes.NamespaceStatus",
        CONDITION => "kubernetes.NamespaceCondition",
        other => other,
    }
}
