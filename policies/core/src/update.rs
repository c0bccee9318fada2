//! Whether an update changes what will run.

use crate::{
    decode::Object,
    place::Role,
    pod::{IMAGE, ephemeral_containers},
    text::is_in,
};

/// Whether an update of a pod changes what runs: the number of containers, an image, or an ephemeral container. The
/// built-in admission has the same rule; everything else was evaluated when the pod was created.
pub(crate) fn is_significant(new: Object<'_>, old: Object<'_>, old_ephemeral: &[(&str, &str)]) -> bool {
    for role in [Role::Init, Role::Main] {
        let mut new = new.get(role.list()).unwrap_or_default().objects();
        let mut old = old.get(role.list()).unwrap_or_default().objects();
        loop {
            match (new.next(), old.next()) {
                (None, None) => break,
                (Some(new), Some(old)) if new.get(IMAGE) == old.get(IMAGE) => {}
                _ => return true,
            }
        }
    }
    !ephemeral_containers(new).iter().all(|container| is_in(old_ephemeral, container))
}
