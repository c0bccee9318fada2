//! The admission request, decoded in one pass over the payload.
//!
//! The object's kind says where the pod lives in it. A host sends the kind first, and then the object is decoded as
//! the decoder comes to it; otherwise the decoder comes back to it at the end.

use alloc::string::String;

use crate::{
    decode::{self, Decoder, Deferred, Location, Object, State, Value},
    json::Text,
    schema::{self, Field, Node, PERSISTENT_VOLUME, POD, SPEC},
    settings::{
        Definition, Settings,
        common::{PATH_GROUP, PATH_KIND, PATH_PATH, POD_SPEC_PATHS},
    },
    text::{own, problem, put, quote},
    workload::WORKLOADS,
};

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

static ENVELOPE: [Node; schema::count_flat(&[FIELDS])] = schema::build_flat(&[FIELDS]);

impl Location<'_> {
    /// Whether it is the one of a Pod.
    pub(crate) fn is_pod(self) -> bool {
        self.root == POD && self.path.is_empty()
    }
}

/// An admission request and the settings that came with it.
pub(crate) struct Request<'a> {
    text: Text<'a>,
    nodes: &'static [Node],
    envelope: Object<'a>,
    object: State<'a>,
}

impl<'a> Request<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// It is not JSON, or the request (not the object in it) is not one; as a sentence.
    pub(crate) fn read(text: Text<'a>, nodes: &'static [Node]) -> Result<Self, String> {
        let mut decoder = Decoder::at(&text, 0, &ENVELOPE);
        decoder.deferred = Some(Deferred { nodes, locate: locate_known, state: State::Pending });
        let result = decoder.root(0).and_then(|()| Ok(decoder.reader.end()?));
        if let Err(stop) = result {
            return Err(decoder.explain(stop));
        }
        let object = decoder.deferred.take().map_or(State::Pending, |deferred| deferred.state);
        Ok(Self { envelope: decoder.take(), text, nodes, object })
    }

    pub(crate) fn envelope(&self) -> Object<'a> {
        self.envelope
    }

    pub(crate) fn text(&self) -> &Text<'a> {
        &self.text
    }

    /// The settings, read from the payload.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub(crate) fn settings(&self, definition: &Definition) -> Result<Settings<'a>, String> {
        let given = self.offset(SETTINGS).filter(|_| self.envelope().find_raw(SETTINGS) != Some("{}"));
        Settings::read(definition, &self.text, given)
    }

    /// The text of the object.
    pub(crate) fn object_text(&self) -> &str {
        self.envelope().find_raw(OBJECT).unwrap_or_default()
    }

    /// Why an object of a kind that holds no pod is rejected.
    #[cold]
    pub(crate) fn other_kind(&self) -> String {
        let (group, kind) = (self.envelope().get(GROUP), self.envelope().get(KIND));
        let mut text = own("request.kind: this policy judges pods and cannot read kind ");
        quote(kind.unwrap_or_default(), &mut text);
        put(&mut text, " of group ");
        quote(group.unwrap_or_default(), &mut text);
        put(&mut text, "; say where its pod template is with podSpecPaths, or set otherKinds to accept");
        text
    }

    fn offset<T>(&self, field: Field<T>) -> Option<usize> {
        self.envelope().find_raw(field).map(|raw| self.text.offset_of(raw))
    }

    /// Where the pod is in objects of this request's kind; `None` if neither Kubernetes nor the settings say.
    pub(crate) fn location<'s>(&self, settings: &'s Settings) -> Option<Location<'s>> {
        let envelope = self.envelope();
        let (group, kind) = (envelope.word(GROUP), envelope.get(KIND)?);
        known_location(self.nodes, group, kind).or_else(|| {
            let mut custom = settings.get(POD_SPEC_PATHS)?.objects();
            let custom = custom.find(|c| c.get(PATH_GROUP) == Some(group) && c.get(PATH_KIND) == Some(kind))?;
            Some(Location { path: custom.get(PATH_PATH)?, root: POD })
        })
    }

    /// The object, decoded at its location.
    ///
    /// # Errors
    /// It cannot be read; a path and a sentence.
    pub(crate) fn object(&mut self, location: Location<'_>) -> Result<Object<'a>, String> {
        match core::mem::replace(&mut self.object, State::Pending) {
            State::Decoded(object) => Ok(object),
            State::Failed(problem) => Err(problem),
            State::Pending => self.decode(OBJECT, location, self.nodes),
        }
    }

    /// The old object of an update, decoded by this table.
    ///
    /// # Errors
    /// It cannot be read; a path and a sentence.
    pub(crate) fn old_object(
        &self,
        location: Location<'_>,
        nodes: &'static [Node],
    ) -> Result<Option<Object<'a>>, String> {
        if self.envelope().get(OLD_OBJECT).is_none() {
            return Ok(None);
        }
        // A path alone would be taken for one in the new object.
        let old = self.decode(OLD_OBJECT, location, nodes);
        old.map(Some).map_err(|wrong| problem(OLD_OBJECT.path, &wrong, ""))
    }

    fn decode<T>(&self, field: Field<T>, location: Location<'_>, nodes: &'static [Node]) -> Result<Object<'a>, String> {
        let Some(at) = self.offset(field) else {
            return Err(problem(field.path, "expected an object, found nothing", ""));
        };
        decode_at(&self.text, at, location, nodes)
    }
}

/// Decodes the object at an offset of a text.
///
/// # Errors
/// It cannot be read; a path and a sentence.
pub(crate) fn decode_at<'a>(
    text: &Text<'a>,
    at: usize,
    location: Location<'_>,
    nodes: &'static [Node],
) -> Result<Object<'a>, String> {
    let mut decoder = Decoder::at(text, at, nodes);
    match decoder.descend(location) {
        Ok(()) => Ok(decoder.take()),
        Err(stop) => Err(decoder.explain(stop)),
    }
}

/// The location for the kind among the values that were decoded of a request, if Kubernetes has it.
fn locate_known(nodes: &'static [Node], values: &[Value<'_>]) -> Option<Location<'static>> {
    let string = |field: Field<_>| decode::find(values, field.id)?.string();
    known_location(nodes, string(GROUP).unwrap_or_default(), string(KIND)?)
}

fn known_location(nodes: &[Node], group: &str, kind: &str) -> Option<Location<'static>> {
    if let Some(workload) = WORKLOADS.iter().find(|workload| workload.is(group, kind)) {
        return Some(Location { path: workload.template, root: POD });
    }
    let reads_volumes = nodes.get(PERSISTENT_VOLUME).is_some_and(|root| root.count != 0);
    (reads_volumes && group.is_empty() && kind == "PersistentVolume")
        .then_some(Location { path: "", root: PERSISTENT_VOLUME })
}

/// The pod spec (or the spec of another kind) in an object.
///
/// # Errors
/// It is missing; a path and a sentence.
pub(crate) fn spec_of<'v>(object: Object<'v>, location: Location<'_>) -> Result<Object<'v>, String> {
    object.get(SPEC).ok_or_else(|| {
        let mut path = own(location.path);
        put(&mut path, if location.path.is_empty() { "spec" } else { ".spec" });
        problem(&path, "expected an object, found nothing", "")
    })
}
