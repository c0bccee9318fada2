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
}

/// How a program can mend a violation: an edit of the object, which changes nothing else.
pub struct Mend {
    /// `set`, `add` (to the list) or `remove`; empty if only a person can mend it.
    pub(crate) op: &'static str,
    /// What to set or to add, as JSON.
    pub(crate) value: &'static str,
    /// Whether hardly a container needs what this takes away from it.
    pub(crate) is_usual: bool,
    /// The edit is at the pod, although the violation is at a container.
    pub(crate) of_pod: bool,
}

impl Mend {
    /// Only a person can mend it.
    pub const NONE: &'static Self = &Self::new("", "null");

    /// Removes the field or element that the violation is at.
    pub const REMOVE: &'static Self = &Self::new("remove", "null");

    /// The same, and hardly a container needs the field.
    pub const REMOVE_USUALLY: &'static Self = &Self::new("remove", "null").usual();

    const fn new(op: &'static str, value: &'static str) -> Self {
        Self { op, value, is_usual: false, of_pod: false }
    }

    /// Sets the field to this JSON.
    pub const fn set(json: &'static str) -> Self {
        Self::new("set", json)
    }

    /// Adds this JSON to the list.
    pub const fn add(json: &'static str) -> Self {
        Self::new("add", json)
    }

    /// This edit as one that hardly a container suffers from.
    #[must_use]
    pub const fn usual(self) -> Self {
        Self { is_usual: true, ..self }
    }

    /// This edit in the security context of the pod, from which containers inherit.
    #[must_use]
    pub const fn of_pod(self) -> Self {
        Self { of_pod: true, ..self }
    }
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
            is_outside: matches!(offender, Offender::Workload),
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

    /// The place of the same field of the pod.
    pub(crate) fn of_pod(mut self) -> Self {
        self.offender = Offender::Pod;
        self
    }

    /// Puts its path from the object on, in which the pod is at a place.
    pub(crate) fn put_path(&self, pod: &Located<'_>, path: &mut String) {
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
        if let Offender::Container { role, index, .. } = self.offender {
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
