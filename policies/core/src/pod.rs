//! The security-relevant view of a pod: its spec, and one visitor over its containers.

use alloc::{string::String, vec::Vec};

use crate::{
    Field,
    json::Text,
    settings::{Settings, common::EXEMPT_IMAGES},
    shape::{self, Shape},
    text,
    view::{Object, Type, types},
    violation::{Place, Subject},
};

pub(crate) const SPEC: Field<types::Object> = Field::new("spec");

/// The three lists of containers, in the order of the built-in admission.
pub const LISTS: [Field<types::Objects>; 3] =
    [Field::new("initContainers"), Field::new("containers"), Field::new("ephemeralContainers")];

crate::fields! {
    NAME: Text = Container "name";
    IMAGE: Text = Container "image";
    RESTART_POLICY: Text = Container "restartPolicy";
    OS_NAME: Text = Pod "os.name";
    RUNTIME_CLASS: Text = Pod "runtimeClassName";
}

/// The table for the fields that core reads itself.
pub(crate) static BASE: [Shape; shape::count(&[FIELDS])] = shape::build(&[FIELDS]);

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
    fn list(self) -> Field<types::Objects> {
        LISTS[self as usize]
    }
}

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
    /// Its number in its list.
    pub(crate) index: usize,
    object: Object<'v>,
    spec: Object<'v>,
    editable: bool,
}

impl<'v> Container<'v> {
    /// A field of this container; `None` if it is not set.
    pub fn get<T: Type>(&self, field: Field<T>) -> Option<T::Value<'v>> {
        self.object.get(field)
    }

    /// A field that the pod has as well: of this container, or else of the pod.
    pub fn effective<T: Type>(&self, field: Field<T>) -> Option<T::Value<'v>> {
        self.object.get(field).or_else(|| self.spec.get(field))
    }

    /// The place of a field, for a violation.
    pub fn at<T: Type>(&self, field: Field<T>) -> Place<'v> {
        Place::new(Subject::Container(*self), field.path, self.object.at(field))
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
    /// Reads a view. `old` is the object that a pod update replaces.
    pub(crate) fn new(
        root: Object<'v>,
        spec: Object<'v>,
        old: Option<Object<'v>>,
        settings: &Settings,
        editable: bool,
    ) -> Self {
        let exempt = settings.texts(EXEMPT_IMAGES);
        let old = old.map(ephemeral_containers);
        let mut containers = Vec::with_capacity(8);
        for &role in &ROLES {
            for (index, object) in spec.get(role.list()).unwrap_or_default().objects().enumerate() {
                let name = object.word(NAME);
                let image = object.word(IMAGE);
                if crate::exempt::matches_image(exempt, image) {
                    continue;
                }
                let is_new = match &old {
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

    /// Every container that is judged: init containers, containers, ephemeral containers.
    pub fn containers(&self) -> impl Iterator<Item = Container<'v>> + '_ {
        self.containers.iter().copied()
    }

    /// A field of the spec; `None` if it is not set.
    pub fn get<T: Type>(&self, field: Field<T>) -> Option<T::Value<'v>> {
        self.spec.get(field)
    }

    /// The elements of a list in the spec; none if it is not set.
    pub fn list(&self, field: Field<types::Objects>) -> impl Iterator<Item = Object<'v>> {
        self.get(field).unwrap_or_default().objects()
    }

    /// The members of the metadata that a field with a pattern matches: key and value.
    pub fn metadata<T: Type>(&self, field: Field<T>) -> impl Iterator<Item = (&'v str, Object<'v>)> {
        self.root.entries(field)
    }

    /// The place of a field of the spec, for a violation.
    pub fn at<T: Type>(&self, field: Field<T>) -> Place<'v> {
        Place::new(Subject::Pod, field.path, self.spec.at(field))
    }

    /// The place of an annotation, for a violation.
    pub fn at_annotation(&self, key: &'v str, value: Object<'v>) -> Place<'v> {
        Place::new(Subject::Annotation(key), "", Some(value))
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

    /// The object with these changes, given its offset and length in the text that it was read from;
    /// `None` if nothing changes.
    pub(crate) fn apply(&self, text: &Text<'_>, object: &str) -> Option<String> {
        let mut splices = Vec::new();
        for merge in &self.merges {
            let at = text.offset_of(merge.object.raw());
            crate::edit::merge(text, at, merge.path, &merge.members, &mut splices);
        }
        crate::edit::splice(object, text.offset_of(object), splices)
    }
}

/// Whether an update of a pod changes what is judged: the number of containers, an image, or an
/// ephemeral container that is new. So it is in the built-in admission; anything else was judged when
/// the pod was created.
pub(crate) fn is_significant(new: Object<'_>, old: Object<'_>) -> bool {
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
    let old = ephemeral_containers(old);
    !ephemeral_containers(new).iter().all(|container| text::is_in(&old, container))
}

/// The names and images of the ephemeral containers, sorted.
fn ephemeral_containers(spec: Object<'_>) -> Vec<(&str, &str)> {
    let mut containers = Vec::new();
    for container in spec.get(LISTS[2]).unwrap_or_default().objects() {
        containers.push((container.word(NAME), container.word(IMAGE)));
    }
    text::sort(&mut containers);
    containers
}
