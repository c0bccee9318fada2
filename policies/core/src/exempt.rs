//! Who and what is exempt from a policy.

use crate::{
    decode::{List, Object},
    request::{GROUPS, NAMESPACE, USER},
    settings::{
        Settings,
        common::{EXEMPT_GROUPS, EXEMPT_NAMESPACES, EXEMPT_RUNTIME_CLASSES, EXEMPT_USERS},
    },
};

/// Whether the request's user, one of its groups, or its namespace is exempt.
pub(crate) fn covers_request(settings: &Settings, request: Object<'_>) -> bool {
    let named = |list: List<'_>, name: Option<&str>| name.is_some_and(|name| !name.is_empty() && list.has(name));
    let groups = settings.strings(EXEMPT_GROUPS);
    named(settings.strings(EXEMPT_NAMESPACES), request.get(NAMESPACE))
        || named(settings.strings(EXEMPT_USERS), request.get(USER))
        || request.get(GROUPS).unwrap_or_default().strings().any(|group| named(groups, Some(group)))
}

/// Whether pods of this runtime class are exempt.
pub(crate) fn covers_runtime_class(settings: &Settings, name: &str) -> bool {
    !name.is_empty() && settings.strings(EXEMPT_RUNTIME_CLASSES).has(name)
}
