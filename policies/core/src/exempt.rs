//! Who and what is exempt from a policy.

use crate::{
    decode::Object,
    request::{GROUPS, NAMESPACE, USER},
    schema::{Field, types},
    settings::{
        Settings,
        common::{EXEMPT_GROUPS, EXEMPT_NAMESPACES, EXEMPT_RUNTIME_CLASSES, EXEMPT_USERS},
    },
};

/// Settings, and the fields of the request whose names they list.
static EXEMPTIONS: [(Field<types::StringList>, u32); 3] =
    [(EXEMPT_NAMESPACES, NAMESPACE.id), (EXEMPT_USERS, USER.id), (EXEMPT_GROUPS, GROUPS.id)];

/// The setting that exempts the request's namespace, user, or one of the user's groups.
pub(crate) fn of_request(settings: &Settings, request: Object<'_>) -> Option<&'static str> {
    for (setting, field) in &EXEMPTIONS {
        let exempt = settings.strings(*setting);
        if request.find(*field).unwrap_or_default().words().any(|name| exempt.matches(name)) {
            return Some(setting.path);
        }
    }
    None
}

/// The setting that exempts the namespace, where the review has it only in the object.
#[cfg(feature = "opa")]
pub(crate) fn of_namespace(settings: &Settings) -> Option<&'static str> {
    settings.strings(EXEMPT_NAMESPACES).matches(settings.namespace()).then_some(EXEMPT_NAMESPACES.path)
}

/// Whether pods of this runtime class are exempt.
pub(crate) fn covers_runtime_class(settings: &Settings, name: &str) -> bool {
    settings.strings(EXEMPT_RUNTIME_CLASSES).matches(name)
}
