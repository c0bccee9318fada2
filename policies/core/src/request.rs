//! The admission request, read in one pass over the payload.
//!
//! The object's kind says where the pod lives in it. A host sends the kind first, and then the
//! object is read as the walker comes to it; otherwise the walker comes back to it at the end.

use alloc::{string::String, vec::Vec};

use crate::{
    json::{self, Text},
    pod::SPEC,
    settings::{
        Definition, Settings,
        common::{PATH_GROUP, PATH_KIND, PATH_PATH, POD_SPEC_PATHS},
        problem,
    },
    shape::{self, Kind, PERSISTENT_VOLUME, POD, Shape},
    text::{own, put, split},
    view::{self, Object, Result, Stop, Walk},
    workload::WORKLOADS,
};

crate::fields! {
    GROUP: Text = Root "request.kind.group";
    KIND: Text = Root "request.kind.kind";
    OPERATION: Text = Root "request.operation";
    SUB_RESOURCE: Text = Root "request.subResource";
    NAMESPACE: Text = Root "request.namespace";
    USER: Text = Root "request.userInfo.username";
    GROUPS: Texts = Root "request.userInfo.groups";
    OBJECT: Subject = Root "request.object";
    OLD_OBJECT: Any = Root "request.oldObject";
    SETTINGS: Any = Root "settings";
}

static ENVELOPE: [Shape; shape::count_flat(&[FIELDS])] = shape::build_flat(&[FIELDS]);

/// Where the pod of a kind is.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Dotted path to what the table's root stands for.
    pub(crate) path: &'a str,
    root: usize,
}

impl Place<'_> {
    /// Whether the object is a Pod itself.
    pub(crate) fn is_pod(self) -> bool {
        self.root == POD && self.path.is_empty()
    }
}

/// The object under review, as far as it is read.
pub(crate) struct Subject<'a> {
    shapes: &'static [Shape],
    reading: Reading<'a>,
}

pub(crate) enum Reading<'a> {
    /// The walker has not come to it, or did not know its kind there.
    Pending,
    Done(Object<'a>),
    Failed(String),
}

/// An admission request and the settings that came with it.
pub(crate) struct Request<'a> {
    text: Text<'a>,
    shapes: &'static [Shape],
    envelope: Object<'a>,
    reading: Reading<'a>,
}

impl<'a> Request<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// It is not JSON, or the request (not the object in it) is not one; as a sentence.
    pub(crate) fn read(text: Text<'a>, shapes: &'static [Shape]) -> Result<Self, String> {
        let mut walk = Walk::at(&text, 0, &ENVELOPE);
        walk.subject = Some(Subject { shapes, reading: Reading::Pending });
        let result = walk.root(0).and_then(|()| Ok(walk.reader.end()?));
        if let Err(stop) = result {
            return Err(walk.explain(stop));
        }
        let reading = walk.subject.take().map_or(Reading::Pending, |subject| subject.reading);
        Ok(Self { envelope: walk.take(), text, shapes, reading })
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
        json::quote(kind.unwrap_or_default(), &mut text);
        put(&mut text, " of group ");
        json::quote(group.unwrap_or_default(), &mut text);
        put(&mut text, "; say where its pod template is with podSpecPaths, or set otherKinds to accept");
        text
    }

    fn offset<T>(&self, field: crate::Field<T>) -> Option<usize> {
        self.envelope().find_raw(field).map(|raw| self.text.offset_of(raw))
    }

    /// Where the pod of this request's kind is; `None` if nobody said so.
    pub(crate) fn place<'s>(&self, settings: &'s Settings) -> Option<Place<'s>> {
        let envelope = self.envelope();
        let (group, kind) = (envelope.word(GROUP), envelope.get(KIND)?);
        known_place(self.shapes, group, kind).or_else(|| {
            let mut custom = settings.get(POD_SPEC_PATHS)?.objects();
            let custom = custom.find(|c| c.get(PATH_GROUP) == Some(group) && c.get(PATH_KIND) == Some(kind))?;
            Some(Place { path: custom.get(PATH_PATH)?, root: POD })
        })
    }

    /// The object, read where the place says.
    ///
    /// # Errors
    /// It cannot be read; a path and a sentence.
    pub(crate) fn object(&mut self, place: Place<'_>) -> Result<Object<'a>, String> {
        match core::mem::replace(&mut self.reading, Reading::Pending) {
            Reading::Done(object) => Ok(object),
            Reading::Failed(problem) => Err(problem),
            Reading::Pending => self.read_object(OBJECT, place, self.shapes),
        }
    }

    /// The old object of an update, as far as the significance of the update asks for it.
    ///
    /// # Errors
    /// It cannot be read; a path and a sentence.
    pub(crate) fn old_object(&self, place: Place<'_>) -> Result<Option<Object<'a>>, String> {
        if self.envelope().get(OLD_OBJECT).is_none() {
            return Ok(None);
        }
        // A path alone would be taken for one in the new object.
        let old = self.read_object(OLD_OBJECT, place, &crate::pod::BASE);
        old.map(Some).map_err(|wrong| problem(OLD_OBJECT.path, &wrong, ""))
    }

    fn read_object<T>(
        &self,
        field: crate::Field<T>,
        place: Place<'_>,
        shapes: &'static [Shape],
    ) -> Result<Object<'a>, String> {
        let Some(at) = self.offset(field) else {
            return Err(problem(field.path, "expected an object, found nothing", ""));
        };
        read_at(&self.text, at, place, shapes)
    }
}

/// Reads the object at an offset of a text.
///
/// # Errors
/// It cannot be read; a path and a sentence.
pub(crate) fn read_at<'a>(
    text: &Text<'a>,
    at: usize,
    place: Place<'_>,
    shapes: &'static [Shape],
) -> Result<Object<'a>, String> {
    let mut walk = Walk::at(text, at, shapes);
    match walk.descend(place.path, place.root) {
        Ok(()) => Ok(walk.take()),
        Err(stop) => Err(walk.explain(stop)),
    }
}

fn known_place(shapes: &[Shape], group: &str, kind: &str) -> Option<Place<'static>> {
    if let Some(workload) = WORKLOADS.iter().find(|workload| workload.is(group, kind)) {
        return Some(Place { path: workload.template, root: POD });
    }
    let reads_volumes = shapes.get(PERSISTENT_VOLUME).is_some_and(|root| root.count != 0);
    (reads_volumes && group.is_empty() && kind == "PersistentVolume")
        .then_some(Place { path: "", root: PERSISTENT_VOLUME })
}

impl Walk<'_> {
    /// Reads the object under review if its kind is known by now, and else skips it.
    pub(crate) fn subject(&mut self) -> Result {
        let place = self.subject.as_ref().and_then(|subject| {
            let text = |field: crate::Field<_>| view::find(&self.values, field.id)?.text();
            known_place(subject.shapes, text(GROUP).unwrap_or_default(), text(KIND)?)
        });
        let (Some(place), Some(mut subject)) = (place, self.subject.take()) else {
            return Ok(self.reader.skip()?);
        };
        let start = self.reader.mark();
        let outer_values = core::mem::replace(&mut self.values, Vec::with_capacity(16));
        let outer_shapes = core::mem::replace(&mut self.shapes, subject.shapes);
        let result = self.descend(place.path, place.root);
        let object = self.take();
        self.values = outer_values;
        self.shapes = outer_shapes;
        subject.reading = match result {
            Ok(()) => Reading::Done(object),
            Err(Stop::Malformed) => return Err(Stop::Malformed),
            Err(Stop::Mismatch) => {
                let problem = self.explain(Stop::Mismatch);
                // Someone exempt may send it all the same, if it is JSON.
                self.reader.rewind(start);
                self.reader.skip()?;
                Reading::Failed(problem)
            }
        };
        self.subject = Some(subject);
        Ok(())
    }

    /// Reads what a dotted path below the object that starts here leads to.
    fn descend(&mut self, path: &str, root: usize) -> Result {
        let first = self.reader.peek();
        if first != b'{' {
            return Err(self.mismatch(Kind::Object, first));
        }
        if path.is_empty() {
            return self.root(root);
        }
        let (wanted, rest) = split(path, b'.');
        let mut found = false;
        self.reader.open(b'{')?;
        let mut more = !self.reader.is_empty(b'}');
        while more {
            let key = self.reader.key()?;
            if key != wanted {
                self.reader.skip()?;
            } else if core::mem::replace(&mut found, true) {
                return Err(self.duplicate(key));
            } else if let Err(stop) = self.descend(rest, root) {
                return Err(self.within(key, stop));
            }
            more = self.reader.more(b'}')?;
        }
        if found {
            return Ok(());
        }
        let stop = self.missing("an object");
        Err(self.within(wanted, stop))
    }
}

/// The pod spec (or the spec of another kind) in an object.
///
/// # Errors
/// There is none; a path and a sentence.
pub(crate) fn spec_of<'v>(object: Object<'v>, place: Place<'_>) -> Result<Object<'v>, String> {
    object.get(SPEC).ok_or_else(|| {
        let mut path = own(place.path);
        put(&mut path, if place.path.is_empty() { "spec" } else { ".spec" });
        problem(&path, "expected an object, found nothing", "")
    })
}
