//! The security-relevant view of a pod: its spec, and one visitor over its containers.

use alloc::{string::String, vec::Vec};

use crate::{
    decode::{FieldType, Object},
    json::Text,
    place::{Offender, Place, Role},
    schema::{self, Field, Node, types},
    settings::{Settings, common::EXEMPT_IMAGES},
    text,
};

crate::fields! {
    NAME: String = Container "name";
    IMAGE: String = Container "image";
    RESTART_POLICY: String = Container "restartPolicy";
    OS_NAME: String = Pod "os.name";
    RUNTIME_CLASS: String = Pod "runtimeClassName";
}

/// The table for the fields that core reads itself.
pub(crate) static BASE: [Node; schema::count(&[FIELDS])] = schema::build(&[FIELDS]);

static ROLES: [Role; 3] = [Role::Init, Role::Main, Role::Ephemeral];

/// A container of any of the three lists.
#[derive(Clone, Copy)]
pub struct Container<'v> {
    /// Which list it is in.
    pub role: Role,
    /// An init container that keeps running beside the others (`restartPolicy: Always`).
    pub is_sidecar: bool,
    /// Its name; empty if it has none.
    pub name: &'v str,
    /// Its index in its list.
    index: usize,
    object: Object<'v>,
    spec: Object<'v>,
    editable: bool,
}

impl<'v> Container<'v> {
    /// A field of this container; `None` if it is not set.
    pub fn get<T: FieldType>(&self, field: Field<T>) -> Option<T::Value<'v>> {
        self.object.get(field)
    }

    /// A field that the pod has as well: of this container, or else of the pod.
    pub fn effective<T: FieldType>(&self, field: Field<T>) -> Option<T::Value<'v>> {
        self.object.get(field).or_else(|| self.spec.get(field))
    }

    /// The place of a field, for a violation.
    pub fn at<T: FieldType>(&self, field: Field<T>) -> Place<'v> {
        let Self { role, index, name, .. } = *self;
        Place::new(Offender::Container { role, index, name }, field.path, self.object.at(field))
    }
}

/// A pod, or the template of one, or the spec of a PersistentVolume, which has no containers.
pub struct Pod<'v> {
    root: Object<'v>,
    spec: Object<'v>,
    containers: Vec<Container<'v>>,
    editable: bool,
}

impl<'v> Pod<'v> {
    /// Reads a view. `old` has the ephemeral containers that the pod had before an update, as
    /// [`ephemeral_containers`] lists them.
    pub(crate) fn new(
        root: Object<'v>,
        spec: Object<'v>,
        old: Option<&[(&str, &str)]>,
        settings: &Settings,
        editable: bool,
    ) -> Self {
        let exempt = settings.strings(EXEMPT_IMAGES);
        let mut containers = Vec::with_capacity(8);
        for &role in &ROLES {
            for (index, object) in spec.get(role.list()).unwrap_or_default().objects().enumerate() {
                let name = object.word(NAME);
                let image = object.word(IMAGE);
                if !image.is_empty() && exempt.matches(image) {
                    continue;
                }
                let is_new = match old {
                    Some(old) => role == Role::Ephemeral && !text::is_in(old, &(name, image)),
                    None => false,
                };
                containers.push(Container {
                    role,
                    is_sidecar: role == Role::Init && object.get(RESTART_POLICY) == Some("Always"),
                    name,
                    index,
                    object,
                    spec,
                    editable: editable || is_new,
                });
            }
        }
        Self { root, spec, containers, editable }
    }

    /// Every container that is not exempt: init containers, containers, ephemeral containers.
    pub fn containers(&self) -> impl Iterator<Item = Container<'v>> + '_ {
        self.containers.iter().copied()
    }

    /// A field of the spec; `None` if it is not set.
    pub fn get<T: FieldType>(&self, field: Field<T>) -> Option<T::Value<'v>> {
        self.spec.get(field)
    }

    /// The elements of a list in the spec; none if it is not set.
    pub fn list(&self, field: Field<types::ObjectList>) -> impl Iterator<Item = Object<'v>> {
        self.get(field).unwrap_or_default().objects()
    }

    /// The members of the metadata that a field with a pattern matches: key and value.
    pub fn metadata<T: FieldType>(&self, field: Field<T>) -> impl Iterator<Item = (&'v str, Object<'v>)> {
        self.root.entries(field)
    }

    /// The place of a field of the spec, for a violation.
    pub fn at<T: FieldType>(&self, field: Field<T>) -> Place<'v> {
        Place::new(Offender::Pod, field.path, self.spec.at(field))
    }

    /// The place of an annotation, for a violation.
    pub fn at_annotation(&self, key: &'v str, value: Object<'v>) -> Place<'v> {
        Place::new(Offender::Annotation(key), "", Some(value))
    }

    /// Whether it runs on Windows, where fields that only Linux knows are not asked for.
    pub fn is_windows(&self) -> bool {
        self.get(OS_NAME) == Some("windows")
    }

    /// Its runtime class; empty if it has none.
    pub fn runtime_class(&self) -> &'v str {
        self.spec.word(RUNTIME_CLASS)
    }
}

/// The members to set in one object of a pod.
struct Merge<'v> {
    object: Object<'v>,
    path: &'static str,
    members: Vec<(&'static str, String)>,
}

/// Changes to a pod. They leave every byte that they do not touch.
#[derive(Default)]
pub struct Edits<'v> {
    merges: Vec<Merge<'v>>,
}

impl<'v> Edits<'v> {
    /// Sets members (key and JSON) of the object at a dotted path in a container, which is made if it
    /// is not there. Containers that may not change any more are left alone.
    pub fn container(&mut self, container: &Container<'v>, path: &'static str, members: Vec<(&'static str, String)>) {
        if container.editable && !members.is_empty() {
            self.merges.push(Merge { object: container.object, path, members });
        }
    }

    /// The same in the pod spec.
    pub fn pod(&mut self, pod: &Pod<'v>, path: &'static str, members: Vec<(&'static str, String)>) {
        if pod.editable && !members.is_empty() {
            self.merges.push(Merge { object: pod.spec, path, members });
        }
    }

    /// The object with these changes; `None` if nothing changes. `object` is a part of `text`, from which it was
    /// decoded.
    pub(crate) fn apply(&self, text: &Text<'_>, object: &str) -> Option<String> {
        let mut splices = Vec::new();
        for merge in &self.merges {
            let at = text.offset_of(merge.object.raw());
            crate::edit::merge(text, at, merge.path, &merge.members, &mut splices);
        }
        crate::edit::splice(object, text.offset_of(object), splices)
    }
}

/// The names and images of the ephemeral containers, sorted.
pub(crate) fn ephemeral_containers<'v>(spec: Object<'v>) -> Vec<(&'v str, &'v str)> {
    let mut containers = Vec::new();
    for container in spec.get(Role::Ephemeral.list()).unwrap_or_default().objects() {
        containers.push((container.word(NAME), container.word(IMAGE)));
    }
    text::sort(&mut containers);
    containers
}
