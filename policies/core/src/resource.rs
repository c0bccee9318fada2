//! The kinds that a policy evaluates as they are, without a pod in them, and the view of such an object that checks use.

use alloc::vec::Vec;

use crate::{
    arena::Arena,
    decode::{FieldType, List, Object},
    place::{Offender, Place},
    schema::{Declaration, Field, types},
    text::{cut, is, own, put, put_index},
    update::Before,
};

crate::fields! {
    NAME: String = Object "metadata.name";
}

/// The fields of an object that core reads for itself.
#[doc(hidden)]
pub const fn object_fields() -> &'static [Declaration] {
    FIELDS
}

/// A kind that a policy evaluates, of version `v1`.
pub struct Kind {
    /// API group, empty for core.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// The name of the resource in URLs and rules.
    #[cfg(feature = "docs")]
    pub plural: &'static str,
    /// Whether its objects are in namespaces.
    #[cfg(feature = "docs")]
    pub is_namespaced: bool,
}

impl Kind {
    /// A kind whose objects are in namespaces.
    pub const fn namespaced(group: &'static str, kind: &'static str, plural: &'static str) -> Self {
        Self::new(group, kind, plural, true)
    }

    /// A kind whose objects are in no namespace.
    pub const fn of_cluster(group: &'static str, kind: &'static str, plural: &'static str) -> Self {
        Self::new(group, kind, plural, false)
    }

    #[cfg_attr(not(feature = "docs"), allow(unused_variables))]
    const fn new(group: &'static str, kind: &'static str, plural: &'static str, is_namespaced: bool) -> Self {
        Self {
            group,
            kind,
            #[cfg(feature = "docs")]
            plural,
            #[cfg(feature = "docs")]
            is_namespaced,
        }
    }

    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        is(self.kind, kind) && is(self.group, group)
    }
}

/// An object of one of a policy's kinds.
pub struct Resource<'v> {
    kind: &'static str,
    object: Object<'v>,
    /// The object before an update; `None` if there was none that can be read.
    old: Option<Object<'v>>,
    arena: &'v Arena,
}

impl<'v> Resource<'v> {
    pub(crate) fn new(kind: &'static Kind, object: Object<'v>, old: Option<Object<'v>>, arena: &'v Arena) -> Self {
        Self { kind: kind.kind, object, old, arena }
    }

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its name; empty if it has none yet.
    pub fn name(&self) -> &'v str {
        self.object.word(NAME)
    }

    /// A field; `None` if it is not set.
    pub fn get<T: FieldType>(&self, field: Field<T>) -> Option<T::Value<'v>> {
        self.object.get(field)
    }

    /// The place of a field, for a violation.
    pub fn at<T: FieldType>(&self, field: Field<T>) -> Place<'v> {
        Place::new(Offender::Element(field.path), "", self.object.at(field))
    }

    /// The object before an update; `None` if there was none that can be read.
    pub fn old(&self) -> Option<Object<'v>> {
        self.old
    }

    /// Whether a field differs from what it was before an update, as it stands in the text. Without an old object, it does.
    pub fn is_changed<T>(&self, field: Field<T>) -> bool {
        let Some(old) = self.old else { return true };
        !is(self.object.find_raw(field).unwrap_or_default(), old.find_raw(field).unwrap_or_default())
    }

    /// The elements of a list, in order; none if it is not set.
    pub fn elements(&self, list: Field<types::ObjectList>) -> Vec<Element<'v>> {
        let before = Before::of_list(self.old.map(|old| old.list(list)).unwrap_or_default());
        let around = Around { path: "", list: "" };
        around.elements(self.object.list(list), list, self.arena, |object| !before.has(object.raw()))
    }

    /// Those of the [elements](Self::elements) that are new.
    pub fn new_elements(&self, list: Field<types::ObjectList>) -> Vec<Element<'v>> {
        let mut elements = self.elements(list);
        elements.retain(Element::is_new);
        elements
    }
}

/// What a list is in: the object, or an element of another list.
#[derive(Clone, Copy)]
struct Around<'v> {
    /// The path from the object on; empty for the object itself.
    path: &'v str,
    /// The path of the list that it is an element of, as it is declared; empty for the object itself.
    list: &'static str,
}

impl<'v> Around<'v> {
    /// The part of a declared path that is behind this.
    fn rest(self, path: &'static str) -> &'static str {
        let start = if self.list.is_empty() { 0 } else { self.list.len() + "[*]".len() };
        cut(path, start, path.len())
    }

    fn elements(
        self,
        list: List<'v>,
        field: Field<types::ObjectList>,
        arena: &'v Arena,
        is_new: impl Fn(Object<'v>) -> bool,
    ) -> Vec<Element<'v>> {
        let element = |(index, object)| {
            let list = field.path;
            Element { object, around: self, list, index, is_new: is_new(object), arena }
        };
        list.objects().enumerate().map(element).collect()
    }
}

/// An element of a list in an object, such as a rule, a subject or a peer.
#[derive(Clone, Copy)]
pub struct Element<'v> {
    object: Object<'v>,
    around: Around<'v>,
    /// The path of its list, as it is declared.
    list: &'static str,
    index: usize,
    is_new: bool,
    arena: &'v Arena,
}

impl<'v> Element<'v> {
    /// Whether it was not in the list before an update, word for word and at whichever index. Without an old object, it
    /// was not. What is inside an element is as new as that.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// A field of the element; `None` if it is not set. Its path starts at the object.
    pub fn get<T: FieldType>(&self, field: Field<T>) -> Option<T::Value<'v>> {
        self.object.get(field)
    }

    /// The strings of a list in it; none if it is not set.
    pub fn strings(&self, list: Field<types::StringList>) -> List<'v> {
        self.object.get(list).unwrap_or_default()
    }

    /// The elements of a list in it, in order; none if it is not set.
    pub fn elements(&self, list: Field<types::ObjectList>) -> Vec<Self> {
        let around = Around { path: self.path(), list: self.list };
        around.elements(self.object.list(list), list, self.arena, |_| self.is_new)
    }

    /// The place of a field of the element, for a violation.
    pub fn at<T: FieldType>(&self, field: Field<T>) -> Place<'v> {
        let rest = Around { path: "", list: self.list }.rest(field.path);
        Place::new(Offender::Element(self.path()), rest, self.object.at(field))
    }

    /// The place of the element itself, for a violation.
    pub fn place(&self) -> Place<'v> {
        Place::new(Offender::Element(self.path()), "", Some(self.object))
    }

    /// Its path from the object on.
    fn path(&self) -> &'v str {
        let mut path = own(self.around.path);
        put(&mut path, self.around.rest(self.list));
        put_index(&mut path, self.index);
        self.arena.keep_string(path)
    }
}
