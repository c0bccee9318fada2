//! Where in an object a violation is, and the edit that mends it there.

use alloc::string::String;

use crate::{
    decode::{Located, Object},
    schema::{Field, LISTS, types},
    text::{cut, put, put_index, quote, split},
};

/// Which list a container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `initContainers`.
    Init,
    /// `containers`.
    Main,
    /// `ephemeralContainers`.
    Ephemeral,
}

impl Role {
    /// The field of the list.
    pub(crate) fn list(self) -> Field<types::ObjectList> {
        LISTS[self as usize]
    }
}

/// What a violation is about.
#[derive(Clone, Copy)]
pub enum Offender<'v> {
    /// The pod itself.
    Pod,
    /// The object that holds the pod's template.
    Workload,
    /// A container.
    Container {
        /// The list that it is in.
        role: Role,
        /// Its index in the list.
        index: usize,
        /// Its name; empty if it has none.
        name: &'v str,
    },
    /// A volume, by name.
    Volume(&'v str),
    /// An annotation of the pod, by key.
    Annotation(&'v str),
    /// A part of an object that is not a pod, by its path from the object on, which the path of a place goes on behind.
    Element(&'v str),
}

/// How a program can mend a violation: an edit of the object, which changes nothing else. [`mend!`](crate::mend) makes
/// one.
pub struct Mend {
    /// The edit as a member of the violation's JSON, up to its path: in one piece, since each piece is a call. Empty if
    /// only a person can mend it.
    pub(crate) json: &'static str,
    /// The edit is at the pod, although the violation is at a container.
    pub(crate) of_pod: bool,
}

impl Mend {
    /// Only a person can mend it.
    pub const NONE: &'static Self = &Self::new("");

    /// Removes the field or element that the violation is at.
    pub const REMOVE: &'static Self = &crate::mend!(remove "null");

    /// The same, and hardly a container needs the field.
    pub const REMOVE_USUALLY: &'static Self = &crate::mend!(remove "null", usual);

    #[doc(hidden)]
    pub const fn new(json: &'static str) -> Self {
        Self { json, of_pod: false }
    }

    /// This edit in the security context of the pod, from which containers inherit.
    #[must_use]
    pub const fn of_pod(self) -> Self {
        Self { of_pod: true, ..self }
    }
}

/// Makes a [`Mend`] that does `set`, `add` (to the list there) or `remove`, with JSON from a constant. It is `usual` if
/// hardly a container needs what it takes away.
///
/// ```
/// const NO: &str = "false";
/// static MENDS: [podfence_core::Mend; 2] = [podfence_core::mend!(set NO, usual), podfence_core::mend!(add "\"ALL\"")];
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! mend {
    ($op:ident $json:expr) => {
        $crate::mend!(@ $op, $json, "false")
    };
    ($op:ident $json:expr, usual) => {
        $crate::mend!(@ $op, $json, "true")
    };
    (@ $op:ident, $json:expr, $is_usual:literal) => {
        $crate::Mend::new({
            const START: &str = concat!(",\"edit\":{\"op\":\"", stringify!($op), "\",\"usual\":", $is_usual, ",\"value\":");
            const PARTS: [&str; 3] = [START, $json, ",\"path\":"];
            const JOINED: [u8; $crate::joined_length(PARTS)] = $crate::joined(PARTS);
            match ::core::str::from_utf8(&JOINED) {
                Ok(joined) => joined,
                Err(_) => unreachable!(),
            }
        })
    };
}

#[doc(hidden)]
pub const fn joined_length(parts: [&str; 3]) -> usize {
    parts[0].len() + parts[1].len() + parts[2].len()
}

#[doc(hidden)]
pub const fn joined<const N: usize>(parts: [&str; 3]) -> [u8; N] {
    let mut joined = [0; N];
    let (mut part, mut at, mut length) = (0, 0, 0);
    while part < parts.len() {
        while at < parts[part].len() {
            joined[length] = parts[part].as_bytes()[at];
            at += 1;
            length += 1;
        }
        (part, at) = (part + 1, 0);
    }
    joined
}

/// A place in the object, and the value there.
#[derive(Clone, Copy)]
pub struct Place<'v> {
    pub(crate) offender: Offender<'v>,
    path: &'static str,
    elements: [Option<usize>; 2],
    pub(crate) value: Option<Object<'v>>,
    /// Stands for the value in `{values}`.
    name: Option<&'v str>,
    /// The path starts at the object, and not at the pod's spec.
    is_outside: bool,
    /// What else helps to fix it; empty if nothing does.
    pub(crate) hint: &'static str,
    /// How a program can mend it; `None` for the way of the rule.
    pub(crate) mend: Option<&'static Mend>,
}

impl<'v> Place<'v> {
    pub(crate) fn new(offender: Offender<'v>, path: &'static str, value: Option<Object<'v>>) -> Self {
        Self {
            offender,
            path,
            elements: [None; 2],
            value,
            name: None,
            is_outside: matches!(offender, Offender::Workload | Offender::Element(_)),
            hint: "",
            mend: None,
        }
    }

    /// An element of the list here: which, and what it is.
    #[must_use]
    pub fn element(mut self, index: usize, value: Object<'v>) -> Self {
        match self.elements {
            [None, _] => self.elements[0] = Some(index),
            _ => self.elements[1] = Some(index),
        }
        self.value = Some(value);
        self
    }

    /// This place, with `value` as the offending value.
    #[must_use]
    pub fn value(mut self, value: Option<Object<'v>>) -> Self {
        self.value = value;
        self
    }

    /// This place, shown as `name` instead of its value.
    #[must_use]
    pub fn named(mut self, name: &'v str) -> Self {
        self.name = Some(name);
        self
    }

    /// This place, as one of a volume.
    #[must_use]
    pub fn of_volume(mut self, name: &'v str) -> Self {
        self.offender = Offender::Volume(name);
        self
    }

    /// This place, with one more sentence on how to fix it.
    #[must_use]
    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    /// This place, which a program mends in this way, and not in that of the rule.
    #[must_use]
    pub fn mend(mut self, mend: &'static Mend) -> Self {
        self.mend = Some(mend);
        self
    }

    /// Puts its path from the object on, in which the pod is at a place; of the same field of the pod if `of_pod`.
    #[inline(never)]
    pub(crate) fn put_path(&self, pod: &Located<'_>, of_pod: bool, path: &mut String) {
        if !self.is_outside {
            put(path, pod.path);
            put(path, if pod.path.is_empty() { "" } else { "." });
            if let Offender::Annotation(key) = self.offender {
                put(path, "metadata.annotations[");
                quote(key, path);
                put(path, "]");
                return;
            }
            put(path, if pod.is_spec { "" } else { "spec." });
        }
        if let Offender::Element(element) = self.offender {
            put(path, element);
        }
        if let Offender::Container { role, index, .. } = self.offender
            && !of_pod
        {
            put(path, role.list().path);
            put_index(path, index);
            put(path, ".");
        }
        let mut rest = self.path;
        for &element in self.elements.iter().flatten() {
            // An element is where `[*]` is, or else at the end.
            let (list, behind) = split(rest, b'[');
            put(path, list);
            put_index(path, element);
            rest = cut(behind, "*]".len(), behind.len());
        }
        put(path, rest);
    }

    /// The value as the text of a verdict shows it.
    pub(crate) fn value_text(&self) -> &'v str {
        match (self.name, self.value) {
            (Some(name), _) => name,
            (None, Some(value)) => value.string().unwrap_or(value.raw()),
            (None, None) => "",
        }
    }
}
