//! Who and what is not judged.

use crate::{
    request::{GROUPS, NAMESPACE, USER},
    settings::{
        Settings,
        common::{EXEMPT_GROUPS, EXEMPT_NAMESPACES, EXEMPT_RUNTIME_CLASSES, EXEMPT_USERS},
    },
    view::{List, Object},
};

/// Whether the request comes from, or goes to, where nothing is judged.
pub(crate) fn covers_request(settings: &Settings, request: Object<'_>) -> bool {
    let named = |list: List<'_>, name: Option<&str>| name.is_some_and(|name| !name.is_empty() && list.has(name));
    let groups = settings.texts(EXEMPT_GROUPS);
    named(settings.texts(EXEMPT_NAMESPACES), request.get(NAMESPACE))
        || named(settings.texts(EXEMPT_USERS), request.get(USER))
        || request.get(GROUPS).unwrap_or_default().texts().any(|group| named(groups, Some(group)))
}

/// Whether pods of this runtime class are not judged.
pub(crate) fn covers_runtime_class(settings: &Settings, name: &str) -> bool {
    !name.is_empty() && settings.texts(EXEMPT_RUNTIME_CLASSES).has(name)
}

/// Whether a list of images has this one, exactly or by a prefix that ends in `*`.
pub(crate) fn matches_image(images: List<'_>, image: &str) -> bool {
    !image.is_empty()
        && images.texts().any(|exempt| match exempt.as_bytes() {
            [prefix @ .., b'*'] => image.as_bytes().starts_with(prefix),
            exempt => image.as_bytes() == exempt,
        })
}
