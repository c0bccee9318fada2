//! Scans one file: judges its objects, and says where in the file each finding is.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::answer::whole_object;
use crate::default_deny::{self, Denied, Direction};
use crate::finding::{Finding, ObjectName, Position, Problem, Severity, Span};
use crate::fingerprint::fingerprint;
use crate::fix::Mend;
use crate::judge::{Judge, Outcome, State, UNREADABLE, Verdict, Violation};
use crate::kinds::{self, Known};
use crate::lines::Lines;
use crate::locate::{Located, Place, name_of};
use crate::object::{self, Content, Object, Owner, Unsuitable};
use crate::read::InputError;
use crate::report::{Annotated, Skipped, Summary};
use crate::request::{self, GroupVersionKind};
use crate::sort::sorted;
use crate::suppress::{self, Comment, ContainerLines, DocumentPlace, Target};
use crate::wording;
use crate::yaml::{self, Document};

/// What findings are of that no policy made.
pub const SCAN: &str = "scan";

/// The controls of [`SCAN`], for comments and `ignore` entries that name them.
pub const CONTROLS: [&str; 5] = [default_deny::CONTROL, "duplicate-key", "hidden-items", "not-judged", "unused-ignore"];

/// The page about findings that no policy made.
const DOCS: &str =
    concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/v", env!("CARGO_PKG_VERSION"), "/host-test/scan/README.md");

/// How a file is scanned.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// Whether what the files say about the scan counts: comments that suppress findings, owners that are judged instead.
    pub is_trusting: bool,
    /// Whether what nothing judges is an error.
    pub is_strict: bool,
    /// Whether it is told what was not judged.
    pub tells_skipped: bool,
    /// The namespace of objects that name none.
    pub namespace: Option<&'o str>,
    /// In which directions each namespace with pods needs a NetworkPolicy that denies everything by default.
    pub default_deny: &'o [Direction],
    /// What comments may name.
    pub names: &'o BTreeSet<String>,
    /// Whether a policy ran that has the name, or a control that the name stands for.
    pub ran: &'o (dyn Fn(&str) -> bool + Sync),
    /// Whether a policy has a control.
    pub has: &'o (dyn Fn(&str, &str) -> bool + Sync),
}

/// The name of a file, and how it was found.
#[derive(Clone, Copy)]
pub struct Origin<'o> {
    /// As output names it.
    pub name: &'o str,
    /// Whether it was found in a directory, where all kinds of files are.
    pub is_walked: bool,
}

/// What came of a file.
#[derive(Default)]
pub struct FileOutcome {
    pub(crate) findings: Vec<Found>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) annotations: Vec<Annotated>,
    pub(crate) summary: Summary,
    /// What was judged.
    pub(crate) objects: Vec<(Key, Option<String>)>,
    /// The owners of those judged objects that are left alone if the owner is in the input.
    pub(crate) owned: Vec<(Skipped, (Key, Option<String>))>,
    /// What NetworkPolicies deny by default.
    pub(crate) denied: Vec<Denied>,
    /// Group and kind of the objects without pods that no policy judged.
    pub(crate) other_kinds: BTreeSet<(String, String)>,
}

/// A finding, and what decides whether it counts.
pub(crate) struct Found {
    pub(crate) finding: Finding,
    document: usize,
    container: Option<ContainerLines>,
    /// Boxed, because few findings have one and all are held.
    pub(crate) owner: Option<Box<(Key, Option<String>)>>,
    /// It counts unless this is denied by default in some file, and once.
    pub(crate) unless: Option<Box<Denied>>,
}

/// Group, kind, namespace and name of an object.
pub(crate) type Key = (String, String, String, String);

/// Scans the text of a file.
pub fn scan(options: &Options<'_>, origin: Origin<'_>, text: &str, judge: &mut impl Judge) -> FileOutcome {
    let lines = Lazy::new(text);
    let mut outcome = FileOutcome::default();
    outcome.summary.files = 1;
    let (comments, places) = (Vec::new(), Vec::new());
    let mut file = FileScan {
        options,
        origin,
        text,
        lines: &lines,
        judge,
        outcome,
        comments,
        places,
        namespaces: BTreeSet::new(),
        index: 0,
        is_template: false,
    };
    file.scan();
    // They are held until all files are scanned.
    file.outcome.findings.shrink_to_fit();
    file.outcome
}

/// The lines of a text, found when they are asked for.
struct Lazy<'t> {
    text: &'t str,
    lines: std::cell::OnceCell<Lines<'t>>,
}

impl<'t> Lazy<'t> {
    fn new(text: &'t str) -> Self {
        Lazy { text, lines: std::cell::OnceCell::new() }
    }

    fn get(&self) -> &Lines<'t> {
        self.lines.get_or_init(|| Lines::new(self.text))
    }
}

/// The scan of one file.
struct FileScan<'f, J> {
    options: &'f Options<'f>,
    origin: Origin<'f>,
    text: &'f str,
    lines: &'f Lazy<'f>,
    judge: &'f mut J,
    outcome: FileOutcome,
    comments: Vec<Comment>,
    places: Vec<DocumentPlace>,
    /// Where something is to be denied by default, for a workload of the file.
    namespaces: BTreeSet<Denied>,
    /// Which of all documents is read, those included in which there is nothing.
    index: usize,
    /// Whether all that cannot be read of it looks like a template.
    is_template: bool,
}

/// What policies say of an object that has nothing where its kind has a pod.
const NO_TEMPLATE: [&str; 2] = ["expected an object, found nothing", "expected at least one pod template, found none"];

/// Behind the problem of a document that looks like a template.
const TEMPLATE: &str = "; this looks like a template: `helm template CHART | podfence scan -` judges its output";

/// Whether what cannot be read is an action of a template, not something that is refused beside one.
fn is_at_action(line: &str, message: &str) -> bool {
    const REFUSED: [&str; 5] = ["ambiguous", "control characters", "nested", "recursion", "aliases"];
    let content = line.split('#').next().unwrap_or_default();
    (content.contains("{{") || content.contains("}}")) && !REFUSED.iter().any(|of| message.starts_with(of))
}

impl<'f, J: Judge> FileScan<'f, J> {
    fn scan(&mut self) {
        let mut is_object = false;
        self.is_template = self.text.contains("{{");
        for (index, document) in yaml::documents_with_places(self.text).enumerate() {
            self.index = index;
            match document {
                Ok(document) if document.is_empty() => self.comments_before(&document),
                Ok(document) => is_object |= self.document(document),
                Err(broken) => {
                    self.outcome.summary.documents += 1;
                    self.outcome.summary.unreadable += 1;
                    let position = self.lines.get().position(broken.at);
                    let is_at_action = is_at_action(self.lines.get().line(position.line), &broken.message);
                    self.is_template &= is_at_action;
                    let hint = if is_at_action { TEMPLATE } else { "" };
                    self.outcome.problem(self.origin, Some(position), &format!("{}{hint}", broken.message));
                }
            }
        }
        if !self.origin.is_walked && self.outcome.summary.documents == 0 {
            self.outcome.problem(self.origin, None, "is empty, expected manifests");
        }
        if self.origin.is_walked && !is_object && self.is_template {
            let files = self.outcome.summary.files;
            self.outcome = FileOutcome::default();
            self.outcome.summary.files = files;
            self.outcome.summary.templates = 1;
            if self.options.tells_skipped {
                let why = "a Helm template, which is not rendered".to_owned();
                self.outcome.skipped.push(Skipped { file: self.origin.name.to_owned(), line: 1, why });
            }
            return;
        }
        // Those behind the last document are of none.
        self.add_place(None, None);
        self.suppress();
    }

    /// The comments before a document, up to its `---`, are those of that document.
    fn comments_before(&mut self, document: &Document<'_>) {
        if self.options.is_trusting && document.text().contains("podfence:") {
            let located = Located::new(document, self.text, self.lines.get()).ok();
            self.comments.extend(located.iter().flat_map(|located| located.comments(self.places.len())));
        }
    }

    fn add_place(&mut self, located: Option<&Located<'_>>, object: Option<ObjectName>) {
        let object = object.unwrap_or(ObjectName {
            api_version: String::new(),
            kind: String::new(),
            namespace: None,
            name: String::new(),
        });
        self.places.push(match located {
            Some(located) => {
                self.comments.extend(located.comments(self.places.len()));
                located.document(object)
            }
            None => DocumentPlace { first_key: None, object },
        });
    }

    /// Gives an object the namespace that is given to those that name none.
    fn place_in_namespace(&self, object: &mut Object) {
        if object.namespace.is_none() && request::default_namespace(&object.kind).is_some() {
            object.namespace = self.options.namespace.map(str::to_owned);
        }
    }

    /// Judges what is in a document; returns whether there was an object.
    fn document(&mut self, mut document: Document<'f>) -> bool {
        self.outcome.summary.documents += 1;
        let content = object::content(std::mem::take(&mut document.json));
        let via = source_of(document.text());
        let mut scan = DocumentScan { file: self, document: &document, located: None, via };
        if scan.file.options.is_trusting && document.text().contains("podfence:") {
            scan.located = Located::new(&document, scan.file.text, scan.file.lines.get()).ok();
        }
        let (mut first, mut is_object) = (None, false);
        match content {
            Content::One(mut object) => {
                is_object = true;
                scan.file.place_in_namespace(&mut object);
                scan.object(&object);
                scan.duplicates(&object);
                first = Some(*object);
            }
            Content::List { items, list } => {
                is_object = true;
                if items.is_empty() {
                    scan.file.outcome.summary.without_pods += 1;
                }
                for item in items {
                    match item {
                        Ok(mut object) => {
                            scan.file.place_in_namespace(&mut object);
                            scan.object(&object);
                        }
                        Err(unsuitable) => scan.unsuitable(&unsuitable, true),
                    }
                }
                scan.duplicates(&list);
                scan.hidden_items(&list);
                first = Some(*list);
            }
            Content::None(unsuitable) => {
                scan.duplicates_of_untyped(&unsuitable);
                scan.unsuitable(&unsuitable, !scan.file.origin.is_walked);
            }
        }
        let located = scan.located.take();
        let object = first.as_ref().map(named);
        self.add_place(located.as_ref(), object);
        is_object
    }

    fn suppress(&mut self) {
        if !self.options.is_trusting || self.comments.is_empty() {
            return;
        }
        let source = suppress::Source {
            file: self.origin.name,
            comments: &self.comments,
            documents: &self.places,
            names: self.options.names,
            ran: &self.options.ran,
            has: &self.options.has,
        };
        let mut targets: Vec<Target<'_>> = self
            .outcome
            .findings
            .iter_mut()
            .map(|Found { finding, document, container, .. }| Target {
                finding,
                document: *document,
                container: *container,
            })
            .collect();
        let outcome = suppress::by_comments(&source, &mut targets);
        self.outcome.problems.extend(outcome.problems);
        let unused = outcome.unused.into_iter().map(|finding| Found {
            finding,
            document: 0,
            container: None,
            owner: None,
            unless: None,
        });
        self.outcome.findings.extend(unused);
    }
}

impl FileOutcome {
    /// Of a file that cannot be read.
    pub fn unread(origin: Origin<'_>, error: &InputError) -> FileOutcome {
        let mut outcome = FileOutcome::default();
        outcome.summary.files = 1;
        outcome.problem(origin, None, &error.to_string());
        outcome
    }

    fn problem(&mut self, origin: Origin<'_>, position: Option<Position>, message: &str) {
        self.problems.push(Problem { file: origin.name.to_owned(), position, message: message.to_owned() });
    }
}

/// The scan of one document.
struct DocumentScan<'d, 'f, J> {
    file: &'d mut FileScan<'f, J>,
    document: &'d Document<'f>,
    located: Option<Located<'f>>,
    via: Option<String>,
}

impl<'f, J: Judge> DocumentScan<'_, 'f, J> {
    fn located(&mut self) -> Option<&Located<'f>> {
        if self.located.is_none() {
            self.located = Located::without_comments(self.document, self.file.text, self.file.lines.get()).ok();
        }
        self.located.as_ref()
    }

    /// Where a path is; the start of the document, should it be read in another way than before.
    fn place(&mut self, object: &Object, path: &str) -> Place {
        if let Some(located) = self.located() {
            return located.place(object, path);
        }
        let start = self.document.bytes().start;
        Place { span: self.file.lines.get().span(&(start..start)), related: Vec::new(), container: None }
    }

    /// Where a violation is: of a whole volume, at the key of its type.
    fn place_of(&mut self, object: &Object, violation: &Violation) -> Place {
        let place = self.place(object, &violation.path);
        let Some(member) = wording::member(violation) else { return place };
        let path = format!("{}.{member}", violation.path);
        let path = object.path_in_document(&path);
        let key = self.located().and_then(|located| located.key(&path));
        Place { span: key.unwrap_or(place.span), ..place }
    }

    fn object(&mut self, object: &Object) {
        let outcome = self.file.judge.judge(object);
        if self.is_unreadable(object, &outcome) {
            return;
        }
        let owner = owner_of(object).filter(|_| self.file.options.is_trusting);
        let line = if self.file.options.tells_skipped { self.place(object, "").span.start.line } else { 0 };
        let summary = &mut self.file.outcome.summary;
        let why = match &outcome.state {
            State::Judged => {
                summary.judged += 1;
                self.file.outcome.objects.push((key_of(object), object.uid.clone()));
                if let Some(owner) = &owner {
                    let why = format!("{}: {} {} is judged instead", title(object), owner.0.1, owner.0.3);
                    let skipped = Skipped { file: self.file.origin.name.to_owned(), line, why };
                    self.file.outcome.owned.push((skipped, owner.clone()));
                }
                None
            }
            State::NoPod => {
                summary.without_pods += 1;
                let GroupVersionKind { group, kind, .. } = object.kind.clone();
                self.file.outcome.other_kinds.insert((group, kind));
                Some("without a pod")
            }
            State::NotSelected => {
                summary.not_selected += 1;
                Some("no policy's rules, selectors and conditions match it")
            }
            State::Skipped(reason) => {
                summary.exempt += 1;
                Some(reason.as_str())
            }
            State::NotJudged(why) => {
                summary.not_judged += 1;
                self.not_judged(object, why);
                None
            }
        };
        if let Some(why) = why.filter(|_| self.file.options.tells_skipped) {
            let (file, why) = (self.file.origin.name.to_owned(), format!("{}: {why}", title(object)));
            self.file.outcome.skipped.push(Skipped { file, line, why });
        }
        if self.file.options.tells_skipped {
            let annotated = outcome.annotations.into_iter().map(|(key, value)| {
                let (file, object) = (self.file.origin.name.to_owned(), title(object));
                Annotated { file, line, object, key, value }
            });
            self.file.outcome.annotations.extend(annotated.collect::<Vec<_>>());
        }
        for verdict in outcome.verdicts {
            self.verdict(object, verdict, owner.as_ref());
        }
        self.default_deny(object);
    }

    /// Keeps what a NetworkPolicy denies by default. At the first workload of a namespace, adds a finding that counts if
    /// no file has such a policy.
    fn default_deny(&mut self, object: &Object) {
        let wanted = self.file.options.default_deny;
        if wanted.is_empty() {
            return;
        }
        let namespace = namespace_of(object).unwrap_or("default");
        let denied = default_deny::denied_by(object).into_iter().map(|direction| (namespace.to_owned(), direction));
        self.file.outcome.denied.extend(denied);
        if !matches!(kinds::classify(&object.kind), Known::Workload | Known::Custom(_)) {
            return;
        }
        for &direction in wanted {
            let denied = (namespace.to_owned(), direction);
            if !self.file.namespaces.insert(denied.clone()) {
                continue;
            }
            let (name, rules) = (direction.policy_type(), direction.field());
            let span = self.place(object, "").span;
            let mut finding = self.finding(object, span);
            finding.control = default_deny::CONTROL.to_owned();
            finding.message =
                format!("namespace {namespace:?} has pods, and no NetworkPolicy that denies all {rules} by default");
            finding.fix =
                format!("add a NetworkPolicy with podSelector: {{}}, policyTypes: [{name}] and no {rules} rules");
            self.add(finding, None, None);
            if let Some(found) = self.file.outcome.findings.last_mut() {
                found.unless = Some(Box::new(denied));
            }
        }
    }

    /// Says why a policy cannot read an object, if it cannot: it is not judged, and no exception changes that. What has
    /// no pod where its kind has one is a patch, if it was found in a directory.
    fn is_unreadable(&mut self, object: &Object, outcome: &Outcome) -> bool {
        let violations = outcome.verdicts.iter().flat_map(|verdict| &verdict.violations);
        let unreadable: Vec<(&str, &str)> = violations
            .filter(|violation| violation.control == UNREADABLE)
            .map(|violation| (violation.path.as_str(), violation.reason.as_str()))
            .collect();
        let mut unreadable = sorted(unreadable, Ord::cmp);
        unreadable.dedup();
        if unreadable.is_empty() {
            return false;
        }
        let is_patch = |reason: &str| NO_TEMPLATE.iter().any(|of| reason.ends_with(of));
        if self.file.origin.is_walked && unreadable.iter().all(|(_, reason)| is_patch(reason)) {
            self.file.outcome.summary.no_objects += 1;
            if self.file.options.tells_skipped {
                let byte = self.place(object, "").span.start.byte;
                self.skip(byte, format!("{}: a patch: {}", title(object), unreadable[0].1));
            }
            return true;
        }
        self.file.outcome.summary.unreadable += 1;
        for (path, reason) in unreadable {
            let position = self.place(object, path).span.start;
            let is_quoted = self.file.text[position.byte..].starts_with(['"', '\'']);
            let advice = advice(reason, is_quoted);
            let message = format!("{} cannot be judged: {reason}{advice}", title(object));
            let origin = self.file.origin;
            self.file.outcome.problem(origin, Some(position), &message);
        }
        true
    }

    fn skip(&mut self, byte: usize, why: String) {
        let line = self.file.lines.get().position(byte).line;
        self.file.outcome.skipped.push(Skipped { file: self.file.origin.name.to_owned(), line, why });
    }

    fn not_judged(&mut self, object: &Object, why: &str) {
        let fix = "use the kind and the version that the API server serves, or say where its pods are with podSpecPaths \
                   in the settings of --policy or --policies";
        let violation = Violation { fix: fix.to_owned(), ..whole_object("not-judged", why) };
        let severity = if self.file.options.is_strict { Severity::Error } else { Severity::Warning };
        let verdict = Verdict { docs: DOCS.to_owned(), ..Verdict::new(SCAN, severity) };
        self.violation(object, &verdict, violation, None);
    }

    fn verdict(&mut self, object: &Object, mut verdict: Verdict, owner: Option<&(Key, Option<String>)>) {
        if let Some(failure) = &verdict.failure {
            let position = self.place(object, "").span.start;
            let what = title(object);
            let message = format!("{what} could not be judged by {}: {failure}", verdict.policy);
            let origin = self.file.origin;
            if self.file.outcome.problems.last().is_none_or(|last| last.message != message) {
                self.file.outcome.problem(origin, Some(position), &message);
            }
        }
        for violation in std::mem::take(&mut verdict.violations) {
            self.violation(object, &verdict, violation, owner);
        }
    }

    fn violation(
        &mut self,
        object: &Object,
        verdict: &Verdict,
        violation: Violation,
        owner: Option<&(Key, Option<String>)>,
    ) {
        let place = self.place_of(object, &violation);
        let message = wording::message(&violation);
        let mend = violation.edit.map(|edit| Box::new(Mend { edit: *edit, within: object.path.clone() }));
        let finding = Finding {
            policy: verdict.policy.clone(),
            policy_document: verdict.document.clone(),
            control: violation.control,
            severity: verdict.severity,
            level: verdict.level.clone(),
            object: named(object),
            container: violation.container,
            path: violation.path,
            value: violation.value,
            message,
            setting: violation.setting,
            fix: violation.fix,
            mend,
            docs: verdict.docs.clone(),
            file: self.file.origin.name.to_owned(),
            via: self.via.clone(),
            document: self.file.index,
            span: place.span,
            related: place.related,
            fingerprint: String::new(),
            suppressed: None,
        };
        self.add(finding, place.container, owner.cloned());
    }

    fn duplicates(&mut self, object: &Object) {
        for duplicate in self.document.duplicates().to_vec() {
            let Some(located) = self.located() else { continue };
            let (first, last) = (located.span(&duplicate.first), located.span(&duplicate.last));
            let mut finding = self.finding(object, last);
            finding.control = "duplicate-key".to_owned();
            let within = if duplicate.path.is_empty() { String::new() } else { format!(" in {}", duplicate.path) };
            finding.message = format!(
                "the key {:?} is set twice{within}: kubectl takes the last one, and other clients may send both",
                duplicate.key
            );
            finding.fix = "remove one of them".to_owned();
            finding.path = duplicate.path;
            finding.value = Value::String(duplicate.key);
            finding.related = vec![first];
            self.add(finding, None, None);
        }
    }

    /// Of what would be an object, were it not for a key that stands there twice.
    fn duplicates_of_untyped(&mut self, unsuitable: &Unsuitable) {
        if unsuitable.json.contains("\"apiVersion\":") || unsuitable.json.contains("\"kind\":") {
            self.duplicates(&untyped(unsuitable));
        }
    }

    /// kubectl makes what is in the list, and not the object around it.
    fn hidden_items(&mut self, list: &Object) {
        let kind = &list.kind.kind;
        if kind.ends_with("List") {
            return;
        }
        let Some(key) = self.located().and_then(|located| located.key("items")) else { return };
        let mut finding = self.finding(list, key);
        finding.control = "hidden-items".to_owned();
        finding.path = "items".to_owned();
        finding.message = format!(
            "this {kind} has a list `items`, so kubectl reads it as a list: it creates the items, and not the {kind}"
        );
        finding.fix = format!("remove `items`, or write a List instead of a {kind}");
        self.add(finding, None, None);
    }

    fn finding(&self, object: &Object, span: Span) -> Finding {
        Finding {
            policy: SCAN.to_owned(),
            policy_document: None,
            control: String::new(),
            severity: Severity::Error,
            level: None,
            object: named(object),
            container: None,
            path: String::new(),
            value: Value::Null,
            message: String::new(),
            setting: None,
            fix: String::new(),
            mend: None,
            docs: DOCS.to_owned(),
            file: self.file.origin.name.to_owned(),
            via: self.via.clone(),
            document: self.file.index,
            span,
            related: Vec::new(),
            fingerprint: String::new(),
            suppressed: None,
        }
    }

    fn add(&mut self, mut finding: Finding, container: Option<ContainerLines>, owner: Option<(Key, Option<String>)>) {
        finding.fingerprint = fingerprint(&finding);
        let document = self.file.places.len();
        let owner = owner.map(Box::new);
        self.file.outcome.findings.push(Found { finding, document, container, owner, unless: None });
    }

    fn unsuitable(&mut self, unsuitable: &Unsuitable, is_problem: bool) {
        if unsuitable.is_untyped
            && !is_problem
            && !unsuitable.kind.is_empty()
            && let Some(path) = kinds::containers(&unsuitable.json)
        {
            self.file.outcome.summary.not_judged += 1;
            let why = format!("{}, and there are containers at {path}", unsuitable.problem);
            self.not_judged(&untyped(unsuitable), &why);
            return;
        }
        if unsuitable.is_untyped && !is_problem {
            self.file.outcome.summary.no_objects += 1;
            if self.file.options.tells_skipped {
                let first = self.located().map(|located| located.bytes(&unsuitable.path).start);
                self.skip(first.unwrap_or_else(|| self.document.bytes().start), unsuitable.problem.clone());
            }
            return;
        }
        self.file.outcome.summary.unreadable += 1;
        self.file.is_template = false;
        let bytes = match self.located() {
            Some(located) => located.bytes(&unsuitable.path),
            None => self.document.bytes(),
        };
        let position = self.file.lines.get().position(bytes.start);
        let origin = self.file.origin;
        let message = match unsuitable.path.as_str() {
            "" => unsuitable.problem.clone(),
            path => format!("{path}: {}", unsuitable.problem),
        };
        self.file.outcome.problem(origin, Some(position), &message);
    }
}

/// What to do about a value of another type, which a policy cannot read: in YAML, quotes decide the type.
fn advice(reason: &str, is_quoted: bool) -> &'static str {
    match reason.rsplit_once(": expected ").map(|(_, types)| types) {
        Some("a boolean, found a string" | "an integer, found a string") if is_quoted => "; remove the quotes",
        Some("a boolean, found a string") => "; write true or false",
        Some("a string, found a boolean" | "a string, found a number") => "; quote it",
        _ => "",
    }
}

/// What is known of an object without `apiVersion` or `kind`.
fn untyped(unsuitable: &Unsuitable) -> Object {
    Object { path: unsuitable.path.clone(), ..Object::new(GroupVersionKind::new("", &unsuitable.kind)) }
}

fn named(object: &Object) -> ObjectName {
    name_of(object, namespace_of(object))
}

fn namespace_of(object: &Object) -> Option<&str> {
    object.namespace.as_deref().or_else(|| request::default_namespace(&object.kind))
}

fn title(object: &Object) -> String {
    let namespace = namespace_of(object).map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{} {namespace}{}", object.kind.kind, object.name)
}

fn key_of(object: &Object) -> Key {
    let namespace = namespace_of(object).unwrap_or_default().to_owned();
    (object.kind.group.clone(), object.kind.kind.clone(), namespace, object.name.clone())
}

/// The controller of an object that policies leave alone for its sake.
fn owner_of(object: &Object) -> Option<(Key, Option<String>)> {
    let Owner { api_version, kind, name, uid } = object.controller.clone()?;
    let is_copy = matches!(object.kind.kind.as_str(), "ReplicaSet" | "ReplicationController");
    // Those make no copies, neither of themselves nor of others.
    let is_left_alone = is_copy && !matches!(kind.as_str(), "ReplicaSet" | "ReplicationController" | "Pod");
    let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
    let namespace = namespace_of(object).unwrap_or_default().to_owned();
    is_left_alone.then_some(((group, kind, namespace, name), uid))
}

/// The template that a renderer made a document of: `# Source: chart/templates/x.yaml`.
fn source_of(text: &str) -> Option<String> {
    let mut lines = text.lines().take_while(|line| line.starts_with('#') || line.starts_with("---") || line.is_empty());
    let source = lines.find_map(|line| line.strip_prefix("# Source: "))?;
    Some(source.trim().to_owned())
}
