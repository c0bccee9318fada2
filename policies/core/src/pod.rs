//! The security-relevant view of a pod: its spec, and one visitor over its containers.

use alloc::{string::String, vec::Vec};
use core::ops::Deref;

use crate::{
    arena::Arena,
    decode::{FieldType, List, Located, Object},
    json::Text,
    place::{Offender, Place, Role},
    request::Subject,
    schema::{self, Field, Node, types},
    settings::{Settings, common::EXEMPT_IMAGES},
    text::{self, put},
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
pub struct Container<'v>(&'v Facts<'v>);

/// What is known of a container.
#[derive(Clone, Copy)]
pub struct Facts<'v> {
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

impl<'v> Deref for Container<'v> {
    type Target = Facts<'v>;

    fn deref(&self) -> &Facts<'v> {
        self.0
    }
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
        Place::new(self.offender(), field.path, self.object.at(field))
    }

    fn offender(&self) -> Offender<'v> {
        let Facts { role, index, name, .. } = *self.0;
        Offender::Container { role, index, name }
    }
}

/// A pod, or the template of one, or the spec of a PersistentVolume, which has no containers.
pub struct Pod<'v> {
    /// Where it is in the object.
    pub(crate) place: &'v Located<'v>,
    spec: Object<'v>,
    workload: Object<'v>,
    is_template: bool,
    containers: &'v [Facts<'v>],
    has_exempt_containers: bool,
    editable: bool,
    /// Its spec before an update.
    old: Option<Object<'v>>,
}

impl<'v> Pod<'v> {
    /// Makes the view of what is at a place. `workload` has the fields outside of the place, and `old` is the spec of a
    /// Pod before an update.
    #[expect(clippy::too_many_arguments, reason = "each is known at another time")]
    pub(crate) fn new(
        place: &'v Located<'v>,
        spec: Object<'v>,
        workload: Object<'v>,
        subject: Subject,
        old: Option<Object<'v>>,
        settings: &Settings,
        editable: bool,
        arena: &'v Arena,
    ) -> Self {
        let exempt = settings.strings(EXEMPT_IMAGES);
        let old_ephemeral = old.map(|old| named_images(old, Role::Ephemeral));
        let mut has_exempt_containers = false;
        let mut containers = Vec::with_capacity(8);
        for &role in &ROLES {
            for (index, object) in spec.list(role.list()).objects().enumerate() {
                let name = object.word(NAME);
                let image = object.word(IMAGE);
                if exempt.matches(image) {
                    has_exempt_containers = true;
                    continue;
                }
                let is_new = match &old_ephemeral {
                    Some(old) => role == Role::Ephemeral && !text::is_in(old, &(name, image)),
                    None => false,
                };
                containers.push(Facts {
                    role,
                    is_sidecar: role == Role::Init && object.says(RESTART_POLICY, "Always"),
                    name,
                    index,
                    object,
                    spec,
                    editable: editable || is_new,
                });
            }
        }
        let is_template = matches!(subject, Subject::Workload(_) | Subject::Custom);
        let containers = arena.keep_all(containers);
        Self { place, spec, workload, is_template, containers, has_exempt_containers, editable, old }
    }

    /// A hint for a violation, if a field is set on the pod that only containers have.
    pub fn misplaced<T: FieldType>(&self, field: Field<T>) -> &'static str {
        let is_set = self.spec.at(field).is_some();
        if is_set { "it is set on the pod, where Kubernetes has no such field" } else { "" }
    }

    /// Whether it is a template, and not a pod as the API server has completed it.
    pub fn is_template(&self) -> bool {
        self.is_template
    }

    /// Whether some of its containers are exempt, so that what is set for the whole pod would reach them.
    pub fn has_exempt_containers(&self) -> bool {
        self.has_exempt_containers
    }

    /// A field of the object that holds the template; `None` if it is not set, and of a Pod.
    pub fn workload<T: FieldType>(&self, field: Field<T>) -> Option<T::Value<'v>> {
        self.workload.get(field)
    }

    /// The place of a field of the object that holds the template, for a violation.
    pub fn at_workload<T: FieldType>(&self, field: Field<T>) -> Place<'v> {
        Place::new(Offender::Workload, field.path, self.workload.at(field))
    }

    /// Every container that is not exempt: init containers, containers, ephemeral containers.
    pub fn containers(&self) -> impl Iterator<Item = Container<'v>> + '_ {
        self.containers.iter().map(Container)
    }

    /// Whether it was there before, so that the API server lets nobody change more of it than images and ephemeral
    /// containers.
    pub fn is_running(&self) -> bool {
        self.old.is_some()
    }

    /// Those of [`Self::containers`] whose image is new: all of them, unless the pod is running and had a container of
    /// this name with this image in the same list.
    pub fn containers_with_new_images(&self) -> impl Iterator<Item = Container<'v>> + '_ {
        let old = self.old.map(|old| ROLES.map(|role| named_images(old, role)));
        self.containers().filter(move |container| {
            let old = old.as_ref().and_then(|old| old.get(container.role as usize));
            old.is_none_or(|old| !text::is_in(old, &(container.name, container.object.word(IMAGE))))
        })
    }

    /// Those of [`Self::containers`] in which a field is new: all of them, unless the pod is running and had a container of
    /// this name with the same text there in the same list, which was not exempt. For a policy that evaluates resizes: for
    /// others, only names and images are read of the old pod.
    pub fn containers_with_new<T>(
        &self,
        field: Field<T>,
        settings: &Settings<'_>,
    ) -> impl Iterator<Item = Container<'v>> + '_ {
        let exempt = settings.strings(EXEMPT_IMAGES);
        let old = self.old.map(|old| ROLES.map(|role| named_texts(old, role, field.id, exempt)));
        self.containers().filter(move |container| {
            let old = old.as_ref().and_then(|old| old.get(container.role as usize));
            let text = container.object.find(field.id).unwrap_or_default().raw();
            old.is_none_or(|old| !text::is_in(old, &(container.name, text)))
        })
    }

    /// Whether a field of the spec is new: always, unless the pod is running and had the same text there. For a policy that
    /// evaluates resizes.
    pub fn has_new<T>(&self, field: Field<T>) -> bool {
        let text = |spec: Object<'v>| spec.find(field.id).unwrap_or_default().raw();
        self.old.is_none_or(|old| !text::is(text(old), text(self.spec)))
    }

    /// A field of the spec; `None` if it is not set.
    pub fn get<T: FieldType>(&self, field: Field<T>) -> Option<T::Value<'v>> {
        self.spec.get(field)
    }

    /// The elements of a list in the spec; none if it is not set.
    pub fn list(&self, field: Field<types::ObjectList>) -> impl Iterator<Item = Object<'v>> {
        self.spec.list(field).objects()
    }

    /// The members of the metadata that a field with a pattern matches: key and value.
    pub fn metadata<T: FieldType>(&self, field: Field<T>) -> impl Iterator<Item = (&'v str, Object<'v>)> {
        self.place.object.entries(field)
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
        self.spec.says(OS_NAME, "windows")
    }

    /// Its runtime class; empty if it has none.
    pub fn runtime_class(&self) -> &'v str {
        runtime_class(self.spec)
    }
}

/// The runtime class in the spec of a pod; empty if it has none.
pub(crate) fn runtime_class(spec: Object<'_>) -> &str {
    spec.word(RUNTIME_CLASS)
}

/// The names and images of the containers in a list, sorted.
#[inline(never)]
pub(crate) fn named_images(spec: Object<'_>, role: Role) -> Vec<(&str, &str)> {
    let mut images = Vec::new();
    for container in spec.list(role.list()).objects() {
        text::push(&mut images, container.word(NAME), container.word(IMAGE));
    }
    text::sort(&mut images);
    images
}

/// The names of the containers in a list whose images are not exempt, each with the text of a field, sorted.
fn named_texts<'v>(spec: Object<'v>, role: Role, field: u32, exempt: List<'_>) -> Vec<(&'v str, &'v str)> {
    let mut texts = Vec::new();
    for container in spec.list(role.list()).objects().filter(|of| !exempt.matches(of.word(IMAGE))) {
        text::push(&mut texts, container.word(NAME), container.find(field).unwrap_or_default().raw());
    }
    text::sort(&mut texts);
    texts
}

/// The members to set in one object of a pod.
struct Merge<'v> {
    object: Object<'v>,
    /// For reports.
    place: Place<'v>,
    pod: &'v Located<'v>,
    path: &'static str,
    members: Vec<(&'static str, String)>,
}

/// Changes to a pod. They leave every byte that they do not touch.
pub struct Edits<'v> {
    /// The place of the pod that is changed next.
    pod: &'v Located<'v>,
    merges: Vec<Merge<'v>>,
}

impl<'v> Edits<'v> {
    /// The changes that a policy makes to each of these pods.
    pub(crate) fn of(pods: &[Pod<'v>], mutate: impl Fn(&Pod<'v>, &mut Self)) -> Self {
        let mut edits = Self { pod: Located::ROOT, merges: Vec::new() };
        for pod in pods {
            edits.pod = pod.place;
            mutate(pod, &mut edits);
        }
        edits
    }

    /// Sets members (key and JSON) of the object at a dotted path in a container, which is made if it is not there.
    /// Containers that must not change any more are left alone.
    pub fn container(&mut self, container: &Container<'v>, path: &'static str, members: Vec<(&'static str, String)>) {
        if container.editable && !members.is_empty() {
            let place = Place::new(container.offender(), path, None);
            self.merges.push(Merge { object: container.object, place, pod: self.pod, path, members });
        }
    }

    /// The same in the pod spec.
    pub fn pod(&mut self, pod: &Pod<'v>, path: &'static str, members: Vec<(&'static str, String)>) {
        if pod.editable && !members.is_empty() {
            let place = Place::new(Offender::Pod, path, None);
            self.merges.push(Merge { object: pod.spec, place, pod: self.pod, path, members });
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

    /// A sentence about what is changed, of a length that is allowed for a warning.
    pub(crate) fn report(&self, policy: &str, most: usize) -> String {
        let mut report = text::own(policy);
        let mut separator = " changed ";
        for (index, merge) in self.merges.iter().enumerate() {
            let mut path = String::new();
            merge.place.put_path(merge.pod, false, &mut path);
            if report.len() + path.len() > most {
                text::put_more(&mut report, self.merges.len() - index);
                break;
            }
            put(&mut report, separator);
            put(&mut report, &path);
            separator = ", ";
        }
        report
    }
}
