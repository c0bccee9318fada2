//! The admission request, decoded in one pass over the payload.
//!
//! The object's kind says where the pod lives in it. A host sends the kind first, and then the object is decoded as
//! the decoder comes to it; otherwise the decoder comes back to it at the end.

use alloc::{string::String, vec, vec::Vec};

use crate::{
    arena::Arena,
    decode::{Decoded, Decoder, Locate, Located, Location, Object, State},
    json::Text,
    schema::{self, Field, Node, PERSISTENT_VOLUME, POD, SPEC},
    settings::{
        Definition, Settings,
        common::{PATH_AT, PATH_GROUP, PATH_KIND, PATH_OPTIONAL, PATH_PATH, POD_SPEC_PATHS},
    },
    text::{is, own, problem, put},
    workload::{self, Workload},
};

#[cfg(not(feature = "opa"))]
crate::fields! {
    GROUP: String = Root "request.kind.group";
    KIND: String = Root "request.kind.kind";
    OPERATION: String = Root "request.operation";
    SUB_RESOURCE: String = Root "request.subResource";
    NAMESPACE: String = Root "request.namespace";
    USER: String = Root "request.userInfo.username";
    GROUPS: StringList = Root "request.userInfo.groups";
    OBJECT: Deferred = Root "request.object";
    OLD_OBJECT: Any = Root "request.oldObject";
    SETTINGS: Any = Root "settings";
}

// The same under the names of Gatekeeper, whose reviews the users of OPA have.
#[cfg(feature = "opa")]
crate::fields! {
    GROUP: String = Root "review.kind.group";
    KIND: String = Root "review.kind.kind";
    OPERATION: String = Root "review.operation";
    SUB_RESOURCE: String = Root "review.subResource";
    NAMESPACE: String = Root "review.namespace";
    USER: String = Root "review.userInfo.username";
    GROUPS: StringList = Root "review.userInfo.groups";
    OBJECT: Deferred = Root "review.object";
    OLD_OBJECT: Any = Root "review.oldObject";
    SETTINGS: Any = Root "parameters";
}

/// What of an object's metadata decides whether it is left alone.
mod metadata {
    crate::fields! {
        MIRROR: Any = Root "metadata.annotations[\"kubernetes.io/config.mirror\"]";
        // Before the list itself, so that its text has the keys of both.
        IS_CONTROLLER: Bool = Root "metadata.ownerReferences[*].controller";
        OWNERS: ObjectList = Root "metadata.ownerReferences";
    }
}
use metadata::{IS_CONTROLLER, MIRROR, OWNERS};

/// What stands in an object as well as in the request.
#[cfg(feature = "opa")]
mod in_object {
    crate::fields! {
        NAMESPACE: String = Root "metadata.namespace";
    }
}

#[cfg(feature = "opa")]
static IN_OBJECT: [Node; schema::count_flat(&[in_object::FIELDS])] = schema::build_flat(&[in_object::FIELDS]);

static METADATA: [Node; schema::count_flat(&[metadata::FIELDS])] = schema::build_flat(&[metadata::FIELDS]);

static ENVELOPE: [Node; schema::count_flat(&[FIELDS])] = schema::build_flat(&[FIELDS]);

/// What an object is, by its kind.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    Pod,
    PersistentVolume,
    /// A kind of Kubernetes that holds a pod template.
    Workload(&'static Workload),
    /// A kind of `podSpecPaths`.
    Custom,
}

impl Subject {
    /// Where the pod is in it, if Kubernetes has the kind.
    fn location(self) -> Location<'static> {
        let path = if let Self::Workload(workload) = self { workload.template } else { "" };
        let root = if matches!(self, Self::PersistentVolume) { PERSISTENT_VOLUME } else { POD };
        Location { path, root, is_optional: false, is_spec: false }
    }
}

/// An admission request and the settings that came with it.
pub(crate) struct Request<'a> {
    text: &'a Text<'a>,
    nodes: &'static [Node],
    envelope: Object<'a>,
    object: State<'a>,
}

impl<'a> Request<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// It is not JSON, or the request (not the object in it) is not one; as a sentence.
    pub(crate) fn read(text: &'a Text<'a>, nodes: &'static [Node], locate: Locate) -> Result<Self, String> {
        let mut decoder = Decoder::at(text, 0, &ENVELOPE);
        decoder.deferred = Some((nodes, locate));
        decoder.root(true)?;
        Ok(Self { envelope: decoder.take(), text, nodes, object: decoder.object })
    }

    pub(crate) fn envelope(&self) -> Object<'a> {
        self.envelope
    }

    pub(crate) fn text(&self) -> &'a Text<'a> {
        self.text
    }

    /// The memory for what is decoded of it.
    pub(crate) fn arena(&self) -> &'a Arena {
        self.text.arena()
    }

    /// The settings, read from the payload.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub(crate) fn settings(&self, definition: &Definition) -> Result<Settings<'a>, String> {
        let given = self.envelope.find_raw(SETTINGS).filter(|&given| given != "{}");
        Settings::read(definition, self.text, given.map(|given| self.text.offset_of(given)), self.namespace())
    }

    /// The text of the object.
    pub(crate) fn object_text(&self) -> &str {
        self.envelope().find_raw(OBJECT).unwrap_or_default()
    }

    /// Why an object of a kind that holds no pod is rejected.
    #[cold]
    pub(crate) fn other_kind(&self) -> String {
        let mut text = self.kind_text();
        put(
            &mut text,
            " is not a pod or workload. If a rule sends it here on purpose, set otherKinds: accept; if it is a custom \
             workload, add it to podSpecPaths",
        );
        text
    }

    /// The object's kind and group, as a text says them: `Deployment.apps`.
    pub(crate) fn kind_text(&self) -> String {
        let (group, kind) = (self.envelope().word(GROUP), self.envelope().word(KIND));
        let mut text = own(if kind.is_empty() { "an object without kind" } else { kind });
        put(&mut text, if group.is_empty() { "" } else { "." });
        put(&mut text, group);
        text
    }

    fn offset<T>(&self, field: Field<T>) -> Option<usize> {
        self.envelope().find_raw(field).map(|raw| self.text.offset_of(raw))
    }

    /// What the object is, and where in it the pods are; no place if neither Kubernetes nor the settings know the kind.
    pub(crate) fn locations(&self, settings: &Settings<'a>) -> (Subject, Vec<Location<'a>>) {
        if let Some(subject) = known(self.nodes, self.envelope) {
            return (subject, vec![subject.location()]);
        }
        let mut locations = Vec::new();
        let (group, kind) = (self.envelope.word(GROUP), self.envelope.word(KIND));
        for entry in settings.list(POD_SPEC_PATHS.id).objects() {
            if entry.says(PATH_GROUP, group) && entry.says(PATH_KIND, kind) {
                locations.push(Location {
                    path: entry.word(PATH_PATH),
                    root: POD,
                    is_optional: entry.is(PATH_OPTIONAL),
                    is_spec: entry.says(PATH_AT, "spec"),
                });
            }
        }
        (Subject::Custom, locations)
    }

    /// The object, decoded at its locations.
    ///
    /// # Errors
    /// It cannot be read; a path and a sentence.
    pub(crate) fn object(&mut self, locations: &[Location<'a>]) -> Result<Decoded<'a>, String> {
        match core::mem::replace(&mut self.object, State::Pending) {
            State::Decoded(object) => Ok(object),
            State::Failed(problem) => Err(problem),
            State::Pending => self.decode(OBJECT, locations, self.nodes),
        }
    }

    /// The object as it was before an update, decoded by this table; nothing if the request does not have it.
    ///
    /// # Errors
    /// It cannot be read; a path and a sentence.
    pub(crate) fn old_object(&self, locations: &[Location<'a>], nodes: &'static [Node]) -> Result<Decoded<'a>, String> {
        if self.envelope().get(OLD_OBJECT).is_none() {
            return Ok(Decoded::default());
        }
        // A path alone would be taken for one in the new object.
        self.decode(OLD_OBJECT, locations, nodes).map_err(|wrong| problem(OLD_OBJECT.path, &wrong, ""))
    }

    /// The object without its fields: only the texts of what is at its locations.
    ///
    /// # Errors
    /// It cannot be read; a path and a sentence.
    pub(crate) fn object_texts(&self, locations: &[Location<'a>]) -> Result<Decoded<'a>, String> {
        self.decode(OBJECT, locations, &[])
    }

    /// Why the object is neither changed nor rejected; `None` if it may be.
    ///
    /// It is asked for after the evaluation, so that what is accepted anyway costs nothing more.
    #[cold]
    pub(crate) fn is_left_alone(&self, subject: Subject, by_built_in: bool) -> Option<&'static str> {
        let mut decoder = Decoder::at(self.text, self.offset(OBJECT)?, &METADATA);
        decoder.root(false).ok()?;
        let object = decoder.take();
        let is_controlled = || {
            let mut owners = object.list(OWNERS).objects();
            owners.any(|owner| owner.is(IS_CONTROLLER))
        };
        match subject {
            // The kubelet runs it whatever the API server says.
            Subject::Pod if !by_built_in && object.at(MIRROR).is_some() => Some("mirror pod"),
            // Its controller compares it with its own template, and makes another one if they differ.
            Subject::Workload(workload) if workload.is_copy() && is_controlled() => {
                Some("its controller's template and its pods are evaluated instead")
            }
            _ => None,
        }
    }

    /// The operation of a review that says none, as those of Gatekeeper's audit.
    ///
    /// # Errors
    /// There is no object, so that nothing would be evaluated; a path and a sentence.
    #[cfg(feature = "opa")]
    pub(crate) fn operation_of_object(&self) -> Result<&'static str, String> {
        match self.envelope.at(OBJECT) {
            Some(_) => Ok("CREATE"),
            None => Err(problem(OBJECT.path, "expected an object, found nothing", "")),
        }
    }

    /// The namespace; empty if there is none.
    #[cfg(not(feature = "opa"))]
    fn namespace(&self) -> &'a str {
        self.envelope.word(NAMESPACE)
    }

    /// The namespace, of the object where the review has none: Gatekeeper's audit sends some without it. Empty if there
    /// is none.
    #[cfg(feature = "opa")]
    fn namespace(&self) -> &'a str {
        self.envelope.get(NAMESPACE).or_else(|| self.namespace_of_object()).unwrap_or_default()
    }

    #[cfg(feature = "opa")]
    fn namespace_of_object(&self) -> Option<&'a str> {
        let mut decoder = Decoder::at(self.text, self.offset(OBJECT)?, &IN_OBJECT);
        decoder.root(false).ok()?;
        decoder.take().get(in_object::NAMESPACE)
    }

    fn decode<T>(
        &self,
        field: Field<T>,
        locations: &[Location<'a>],
        nodes: &'static [Node],
    ) -> Result<Decoded<'a>, String> {
        let Some(at) = self.offset(field) else {
            return Err(problem(field.path, "expected an object, found nothing", ""));
        };
        decode_at(self.text, at, locations, nodes)
    }
}

/// Decodes the object at an offset of a text.
///
/// # Errors
/// It cannot be read; a path and a sentence.
pub(crate) fn decode_at<'a>(
    text: &Text<'a>,
    at: usize,
    locations: &[Location<'a>],
    nodes: &'static [Node],
) -> Result<Decoded<'a>, String> {
    let mut decoder = Decoder::at(text, at, nodes);
    decoder.descend(locations).map_err(|stop| decoder.explain(stop))
}

/// The location for the kind among what was decoded of a request so far, if Kubernetes has it.
pub(crate) fn locate_known(nodes: &'static [Node], before: Object<'_>) -> Option<Location<'static>> {
    known(nodes, before).map(Subject::location)
}

/// What the object is, if Kubernetes has its kind.
fn known(nodes: &[Node], envelope: Object<'_>) -> Option<Subject> {
    let (group, kind) = (envelope.word(GROUP), envelope.word(KIND));
    if let Some(workload) = workload::find(group, kind) {
        return Some(if workload.template.is_empty() { Subject::Pod } else { Subject::Workload(workload) });
    }
    let reads_volumes = nodes.get(PERSISTENT_VOLUME).is_some_and(|root| root.count != 0);
    (reads_volumes && group.is_empty() && is(kind, "PersistentVolume")).then_some(Subject::PersistentVolume)
}

/// The pod spec (or the spec of another kind) at a place.
///
/// # Errors
/// It is missing; a path and a sentence.
pub(crate) fn spec_of<'v>(place: &Located<'v>) -> Result<Object<'v>, String> {
    place.object.get(SPEC).ok_or_else(|| {
        let mut path = own(place.path);
        put(&mut path, if place.path.is_empty() { "spec" } else { ".spec" });
        problem(&path, "expected an object, found nothing", "")
    })
}
