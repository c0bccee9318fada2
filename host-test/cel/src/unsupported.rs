//! What the API server evaluates and this crate refuses by name.

use crate::error::Problem;

/// Whether a name is of something that is not evaluated here: rights of the user, types of protobuf.
pub(crate) fn identifier(name: &str) -> bool {
    matches!(name, "authorizer" | "google" | "net" | "kubernetes")
}

/// Why a function is not evaluated here.
pub(crate) fn function(name: &str, qualified: Option<&str>) -> Option<Problem> {
    let reason = match (name, qualified) {
        (_, Some(qualified)) if qualified.starts_with("jsonpatch.") => format!("{qualified}()"),
        (_, Some(qualified)) if qualified.starts_with("authorizer.") => "authorizer".to_owned(),
        _ => return None,
    };
    Some(Problem::Unsupported(reason))
}
