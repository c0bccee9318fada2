//! Whether an update changes what will run, or an element of what a policy evaluates.

use alloc::vec::Vec;

use crate::{
    decode::{Decoded, List, Located, Object},
    place::Role,
    pod::{IMAGE, NAME, named_images},
    request::Subject,
    schema::SPEC,
    text::{is, is_in, push, sort},
};

/// Whether an update makes something run at one of these places that did not run there before. Without the old object,
/// it does.
///
/// - Of a pod, only the containers and their images count: the API server lets nobody change the rest of what a
///   policy reads, and controllers write to pods that are older than the policy. For a policy that evaluates resizes, all
///   that it reads counts.
/// - Of what holds a template, the template counts, byte by byte: the API server writes both objects with one encoder.
/// - Of a PersistentVolume, what the policy reads counts: the rest of the spec is written when it is bound.
pub(crate) fn runs_something_new(
    evaluates_resizes: bool,
    subject: Subject,
    new: &[Located<'_>],
    old: Decoded<'_>,
) -> bool {
    new.iter().any(|new| {
        let Some(old) = old.places.iter().find(|old| is(old.path, new.path)) else { return true };
        match subject {
            Subject::Pod if !evaluates_resizes => changes_containers(spec(new), spec(old)),
            Subject::Pod | Subject::PersistentVolume => !spec(new).has_same_values(spec(old)),
            Subject::Workload(_) | Subject::Custom => !is(new.raw, old.raw),
        }
    })
}

fn spec<'v>(place: &Located<'v>) -> Object<'v> {
    place.object.get(SPEC).unwrap_or_default()
}

/// Whether the number of containers, an image, or an ephemeral container is new, as in the built-in admission.
fn changes_containers(new: Object<'_>, old: Object<'_>) -> bool {
    let old_ephemeral = named_images(old, Role::Ephemeral);
    let is_new = |container: Object<'_>| !is_in(&old_ephemeral, &(container.word(NAME), container.word(IMAGE)));
    changes_images(new, old, Role::Init)
        || changes_images(new, old, Role::Main)
        || containers(new, Role::Ephemeral).any(is_new)
}

#[inline(never)]
fn changes_images(new: Object<'_>, old: Object<'_>, role: Role) -> bool {
    let mut old = containers(old, role);
    let is_same = |new: Object<'_>| old.next().is_some_and(|old| is(new.word(IMAGE), old.word(IMAGE)));
    !containers(new, role).all(is_same) || old.next().is_some()
}

fn containers(spec: Object<'_>, role: Role) -> impl Iterator<Item = Object<'_>> {
    spec.list(role.list()).objects()
}

/// Texts of an object that is not a pod before an update: what is among them is not judged again.
pub struct Before<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Before<'a> {
    /// These texts.
    pub fn of(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut before = Vec::new();
        for text in texts {
            push(&mut before, text, "");
        }
        sort(&mut before);
        Self(before)
    }

    /// The elements of a list, as they stand in the text: the API server writes both objects with one encoder.
    pub(crate) fn of_list(list: List<'a>) -> Self {
        Self::of(list.objects().map(Object::raw))
    }

    /// Whether a text is among them.
    pub fn has(&self, text: &str) -> bool {
        is_in(&self.0, &(text, ""))
    }
}
