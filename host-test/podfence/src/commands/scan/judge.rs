//! Judges objects by the selected policies.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use podfence_cluster::conditions::{self, Call, Conditions, Inputs};
use podfence_cluster::expression::Expression;
use podfence_cluster::matching::{Matching, Namespaces, UnknownLabel};
use podfence_cluster::pod_security::{Levels, Standard};
use podfence_host::Reused;
use podfence_host::evaluate::{CreationText, Failure, ValidationResponse, mutation_refused, settings_text};
use podfence_scan::AdmissionRequest;
use podfence_scan::custom_kinds::{self, CustomKind};
use podfence_scan::finding::Severity;
use podfence_scan::judge::{Outcome, State, UNREADABLE, Verdict, Violation};
use podfence_scan::kinds::{self, Known};
use podfence_scan::object::Object;
use podfence_scan::report::Judging;
use podfence_scan::request::{Metadata, creation};
use podfence_scan::stored::as_stored;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::commands::modules::Loaded;

/// The policy that evaluates the levels of the Pod Security Standards.
pub(super) const STANDARDS: &str = "pod-security-standards";

/// What policies say when there was no pod to evaluate.
const NO_POD: [&str; 2] = ["the kind holds no pod", "the object has no pod template"];

/// The policies that judge, with their modules.
pub(crate) struct Judge {
    pub(super) modules: Vec<Loaded>,
    pub(super) policies: Vec<Policy>,
    pub(super) standards: Option<Standards>,
    /// Those of which labels are known.
    pub(super) namespaces: Namespaces,
    pub(super) notes: Vec<String>,
}

/// What one thread judges with.
pub(crate) struct Worker<'j> {
    judge: &'j Judge,
    text: CreationText,
    /// One for each module.
    instances: Vec<Reused<'j>>,
}

impl podfence_scan::judge::Judge for Worker<'_> {
    fn judge(&mut self, object: &Object) -> Outcome {
        self.judge.judge(self, object)
    }
}

/// A policy or a group.
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) document: Option<String>,
    pub(super) severity: Severity,
    /// Which objects it gets to see.
    pub(super) matching: Matching,
    /// What the API server evaluates before it calls the policy.
    pub(super) conditions: Conditions,
    /// Whether it gets to see the custom kinds of the table as well.
    pub(super) has_custom_kinds: bool,
    pub(super) body: Body,
}

/// What judges in a policy or a group.
pub(super) enum Body {
    Module {
        run: Run,
        /// Replaces the module's message.
        message: Option<String>,
    },
    Group {
        members: BTreeMap<String, Run>,
        expression: Expression,
        message: String,
    },
}

/// A module with settings.
pub(super) struct Run {
    /// Its index among the modules.
    pub(super) module: usize,
    pub(super) settings: SettingsText,
    /// Whether it may change an object. If not, a change is a rejection.
    pub(super) is_mutating: bool,
}

/// Settings as JSON.
pub(super) struct SettingsText {
    plain: String,
    /// With the places of the pods in a custom kind. A policy reads its settings in each call, so that each object
    /// comes with no more of them than it needs.
    custom: Vec<(&'static CustomKind, String)>,
}

impl SettingsText {
    /// As they are.
    pub(super) fn plain(settings: &Map<String, Value>) -> Self {
        Self { plain: settings_text(settings), custom: Vec::new() }
    }

    /// With the custom kinds of the table.
    pub(super) fn with_custom_kinds(settings: &Map<String, Value>) -> Self {
        let with = |kind| {
            let mut settings = settings.clone();
            custom_kinds::add_to_settings(&[kind], &mut settings);
            settings_text(&settings)
        };
        let kinds = custom_kinds::projects().flat_map(|(_, kinds)| kinds);
        Self { plain: settings_text(settings), custom: kinds.map(|kind| (kind, with(kind))).collect() }
    }

    fn of(&self, known: &Known) -> &str {
        let Known::Custom(kind) = *known else { return &self.plain };
        self.custom.iter().find(|(of, _)| std::ptr::eq(*of, kind)).map_or(&self.plain, |(_, settings)| settings)
    }
}

/// The levels of the Pod Security Standards.
pub(super) struct Standards {
    /// The index of its module.
    pub(super) module: usize,
    pub(super) matching: Matching,
    /// The setting `exempt`.
    pub(super) exempt: Option<Value>,
    /// For a namespace without labels.
    pub(super) default: Arc<Plan>,
    /// Whether labels of namespaces count, and what is evaluated where they say nothing: beside another label, and
    /// without any.
    pub(super) labels: Option<[Levels; 2]>,
    /// By the names of the namespaces. Thousands of them have a few plans.
    pub(super) namespaces: HashMap<String, Arc<Plan>>,
}

/// What is evaluated in a namespace, errors first.
pub(super) struct Plan {
    levels: Levels,
    pub(super) steps: Vec<Step>,
}

/// A level to evaluate.
pub(super) struct Step {
    level: String,
    severity: Severity,
    pub(super) run: Run,
}

impl Plan {
    /// Each level once.
    pub(super) fn new(levels: Levels, exempt: Option<&Value>, module: usize) -> Plan {
        let Levels { enforce, audit, warn } = &levels;
        let mut seen: Vec<&Standard> = Vec::new();
        let mut steps = Vec::new();
        for (standard, severity) in [(enforce, Severity::Error), (warn, Severity::Warning), (audit, Severity::Warning)]
        {
            let Some(mut settings) = standard.settings().filter(|_| !seen.contains(&standard)) else { continue };
            seen.push(standard);
            if let Some(exempt) = exempt {
                settings.insert("exempt".to_owned(), exempt.clone());
            }
            let settings = SettingsText::with_custom_kinds(&settings);
            steps.push(Step {
                level: standard.to_string(),
                severity,
                run: Run { module, settings, is_mutating: true },
            });
        }
        Plan { levels, steps }
    }
}

/// What a module says of an object.
enum Answer {
    Accepted,
    Skipped(String),
    Rejected(Rejection),
    Failed(String),
}

struct Rejection {
    message: String,
    violations: Vec<Violation>,
    /// How many violations the policy left out of its list.
    left_out: u64,
}

impl Judge {
    /// What one thread needs.
    pub(crate) fn worker(&self) -> Worker<'_> {
        let instances = self.modules.iter().map(|of| Reused::new(&of.module)).collect();
        Worker { judge: self, text: CreationText::default(), instances }
    }

    /// Whether selectors of policies ask for labels of namespaces.
    pub(crate) fn selects_by_labels(&self) -> bool {
        self.policies.iter().any(|policy| policy.matching.needs_labels())
    }

    /// Takes the labels of a namespace, which count for selectors and, if they are asked to, for the standards. Returns
    /// what is wrong with them, for which the API server refuses the namespace.
    pub(crate) fn set_namespace(&mut self, name: &str, labels: &BTreeMap<String, String>) -> Vec<String> {
        self.namespaces.add(name, labels);
        let Some(standards) = &mut self.standards else { return Vec::new() };
        let Some([labelled, unlabelled]) = &standards.labels else { return Vec::new() };
        let defaults = if Levels::are_in(labels) { labelled } else { unlabelled };
        let (levels, problems) = Levels::of_labels(labels, defaults);
        let mut plans = std::iter::once(&standards.default).chain(standards.namespaces.values());
        let plan = match plans.find(|plan| plan.levels == levels) {
            Some(plan) => Arc::clone(plan),
            None => Arc::new(Plan::new(levels, standards.exempt.as_ref(), standards.module)),
        };
        standards.namespaces.insert(name.to_owned(), plan);
        problems
    }

    /// What the policies do not do in a scan, and what was left out.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The modules by name, each with the digest of its file in hexadecimal.
    pub(crate) fn modules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.iter().map(|of| (of.name.as_str(), of.sha256.as_str()))
    }

    /// Each module with its digest and with settings that it judges with.
    pub(crate) fn judging(&self) -> Vec<Judging> {
        let of_policies = self.policies.iter().flat_map(|policy| match &policy.body {
            Body::Module { run, .. } => vec![run],
            Body::Group { members, .. } => members.values().collect(),
        });
        let plans = self.standards.iter().flat_map(|of| std::iter::once(&of.default).chain(of.namespaces.values()));
        let of_standards = plans.flat_map(|plan| plan.steps.iter().map(|step| &step.run));
        let mut judging: Vec<Judging> = of_policies.chain(of_standards).map(|run| self.judging_of(run)).collect();
        judging.sort_by_cached_key(|of| (of.name.clone(), Value::Object(of.settings.clone()).to_string()));
        judging.dedup();
        judging
    }

    fn judging_of(&self, run: &Run) -> Judging {
        let module = &self.modules[run.module];
        Judging {
            name: module.name.clone(),
            digest: format!("sha256:{}", module.sha256),
            settings: serde_json::from_str(&run.settings.plain).expect("settings are an object"),
        }
    }

    /// What the policies are called.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| policy.name.as_str())
    }

    /// Judges an object by every policy that gets to see it.
    pub(crate) fn judge<'j>(&'j self, worker: &mut Worker<'j>, object: &Object) -> Outcome {
        let known = kinds::classify(&object.kind);
        // Its plural may be that of the right kind, and then the rules would match.
        if let Known::Miswritten(why) = known {
            return Outcome { verdicts: Vec::new(), state: State::NotJudged(why) };
        }
        let of = Metadata {
            name: (!object.is_generated && !object.name.is_empty()).then_some(&object.name),
            namespace: object.namespace.as_deref().filter(|of| !of.is_empty()),
            uid: object.uid.as_deref(),
        };
        let request = creation(object.kind.clone(), &of, 0);
        let mut asking = Asking {
            judge: self,
            worker,
            known: &known,
            request: &request,
            object,
            mutated: None,
            inputs: None,
            is_text_set: false,
        };
        let mut tally = Tally::default();
        for policy in &self.policies {
            match self.sees(&policy.matching, policy.has_custom_kinds, &request, object, &known) {
                Ok(true) => match asking.call(policy) {
                    Call::Made => asking.ask_policy(policy, &mut tally),
                    Call::NotMade => {}
                    // Nothing was judged, and the API server lets it pass.
                    Call::Passed(why) => {
                        let violations = vec![whole_object("matchConditions", &why)];
                        let verdict =
                            Verdict { severity: Severity::Warning, violations, ..policy.verdict(String::new()) };
                        tally.verdicts.push(verdict);
                        tally.skip(why);
                    }
                    Call::Refused(why) => {
                        let violations = vec![whole_object("matchConditions", &why)];
                        let refusal = Rejection { message: why, violations, left_out: 0 };
                        // The API server refuses it itself, whatever the mode of the policy is.
                        let verdict = policy.verdict(String::new());
                        tally.add(Answer::Rejected(refusal), || Verdict { severity: Severity::Error, ..verdict });
                    }
                },
                Ok(false) => {}
                Err(unknown) => tally.add(Answer::Failed(unknowable(&unknown)), || policy.verdict(String::new())),
            }
        }
        if let Some(standards) = &self.standards
            && self.sees(&standards.matching, true, &request, object, &known) == Ok(true)
        {
            asking.set_mutated(None);
            asking.ask_standards(standards, &mut tally);
        }
        let state = tally.state().unwrap_or_else(|| unseen(known, object));
        Outcome { verdicts: tally.verdicts, state }
    }

    fn sees(
        &self,
        matching: &Matching,
        has_custom_kinds: bool,
        request: &AdmissionRequest,
        object: &Object,
        known: &Known,
    ) -> Result<bool, UnknownLabel> {
        if has_custom_kinds && matches!(known, Known::Custom(_)) {
            return Ok(true);
        }
        matching.sees_creation(request, &object.labels, &self.namespaces)
    }
}

impl Policy {
    /// A verdict of it, without what it says.
    fn verdict(&self, docs: String) -> Verdict {
        Verdict {
            policy: self.name.clone(),
            document: self.document.clone(),
            level: None,
            severity: self.severity,
            docs,
            message: String::new(),
            violations: Vec::new(),
            failure: None,
        }
    }

    /// Whether an API server would pass on what it makes of an object: it is a document's in mode protect.
    fn changes_objects(&self) -> bool {
        let is_mutating = matches!(&self.body, Body::Module { run, .. } if run.is_mutating);
        is_mutating && self.document.is_some() && self.severity == Severity::Error
    }
}

/// Why a policy cannot tell whether it gets to see an object, and what to do.
fn unknowable(unknown: &UnknownLabel) -> String {
    format!("{unknown}: add the Namespace {} to the files that are scanned", unknown.namespace)
}

/// The state of an object that no policy gets to see.
fn unseen(known: Known, object: &Object) -> State {
    match known {
        Known::Workload | Known::Custom(_) => State::NotSelected,
        Known::OtherVersion(why) | Known::Miswritten(why) => State::NotJudged(why),
        Known::Other => match kinds::containers(&object.json) {
            None => State::NoPod,
            Some(path) => State::NotJudged(format!(
                "kind {:?} of group {:?} is not known, and has containers at {path}: say where its pods are with the \
                 setting podSpecPaths of a policy",
                object.kind.kind, object.kind.group
            )),
        },
    }
}

/// What the policies said so far.
#[derive(Default)]
struct Tally {
    verdicts: Vec<Verdict>,
    is_judged: bool,
    skipped: Option<String>,
}

impl Tally {
    /// Keeps the verdict of a policy, if it is not that the object is accepted.
    fn add(&mut self, answer: Answer, verdict: impl FnOnce() -> Verdict) {
        match answer {
            Answer::Accepted => self.is_judged = true,
            Answer::Skipped(reason) => self.skip(reason),
            Answer::Rejected(Rejection { message, violations, left_out }) => {
                self.is_judged = true;
                let failure =
                    (left_out > 0).then(|| format!("{left_out} more violations: the policy lists no more than these"));
                self.verdicts.push(Verdict { message, violations, failure, ..verdict() });
            }
            Answer::Failed(why) => {
                self.is_judged = true;
                self.verdicts.push(Verdict { failure: Some(why), ..verdict() });
            }
        }
    }

    fn skip(&mut self, reason: String) {
        self.skipped.get_or_insert(reason);
    }

    /// The state, unless no policy got to see the object.
    fn state(&self) -> Option<State> {
        match &self.skipped {
            _ if self.is_judged => Some(State::Judged),
            Some(reason) if NO_POD.contains(&reason.as_str()) => Some(State::NoPod),
            Some(reason) => Some(State::Skipped(reason.clone())),
            None => None,
        }
    }
}

/// One object, and who is asked about it.
struct Asking<'a, 'j> {
    judge: &'j Judge,
    worker: &'a mut Worker<'j>,
    known: &'a Known,
    request: &'a AdmissionRequest,
    object: &'a Object,
    /// What documents that change objects made of it.
    mutated: Option<Box<RawValue>>,
    /// What conditions read of it, converted once for all policies that have some.
    inputs: Option<Inputs>,
    /// Whether the worker has the text of the request.
    is_text_set: bool,
}

impl Asking<'_, '_> {
    /// Whether an API server would call a policy that sees the object.
    fn call(&mut self, policy: &Policy) -> Call {
        if policy.conditions.is_empty() {
            return Call::Made;
        }
        let inputs = match self.inputs.take() {
            Some(inputs) => inputs,
            None => {
                let json = self.mutated.as_ref().map_or(self.object.json.as_str(), |mutated| mutated.get());
                // What is nested too deeply is left to the policies, which say so.
                let Ok(object) = serde_json::from_str(json) else { return Call::Made };
                conditions::inputs(&AdmissionRequest { object: Some(object), ..self.request.clone() })
            }
        };
        policy.conditions.evaluate(self.inputs.insert(inputs))
    }

    /// Has the next policies judge this object instead of the one in the file.
    fn set_mutated(&mut self, mutated: Option<Box<RawValue>>) {
        if self.mutated.is_some() || mutated.is_some() {
            self.is_text_set = false;
            self.inputs = None;
        }
        self.mutated = mutated;
    }

    fn ask_policy(&mut self, policy: &Policy, tally: &mut Tally) {
        if policy.document.is_none() {
            self.set_mutated(None);
        }
        let (answer, docs) = match &policy.body {
            Body::Module { run, message } => {
                let mut answer = match self.reply(run) {
                    Ok(mut response) => {
                        let mutated = response.mutated_object.take_if(|_| policy.changes_objects());
                        if response.accepted && mutated.is_some() {
                            self.set_mutated(mutated);
                        }
                        self.read(response, run)
                    }
                    Err(failure) => Answer::Failed(failure.reason()),
                };
                if let (Answer::Rejected(rejection), Some(message)) = (&mut answer, message) {
                    rejection.message.clone_from(message);
                }
                (answer, self.judge.modules[run.module].docs.clone())
            }
            Body::Group { members, expression, message } => {
                (self.ask_group(members, expression, message), String::new())
            }
        };
        tally.add(answer, || policy.verdict(docs));
    }

    /// Asks members as the expression needs them, each once. What they report is the group's, if it rejects.
    fn ask_group(&mut self, members: &BTreeMap<String, Run>, expression: &Expression, message: &str) -> Answer {
        let mut asked: BTreeMap<&str, Answer> = BTreeMap::new();
        let is_accepted = expression.evaluate(|name| {
            let Some((name, run)) = members.get_key_value(name) else { return false };
            let answer = asked.entry(name).or_insert_with(|| self.ask(run));
            matches!(answer, Answer::Accepted | Answer::Skipped(_))
        });
        let mut all = Rejection { message: message.to_owned(), violations: Vec::new(), left_out: 0 };
        let (mut is_judged, mut skipped) = (false, None);
        for answer in asked.into_values() {
            match answer {
                Answer::Failed(why) => return Answer::Failed(why),
                Answer::Accepted => is_judged = true,
                Answer::Skipped(reason) => skipped = Some(reason),
                Answer::Rejected(Rejection { mut violations, left_out, .. }) => {
                    is_judged = true;
                    all.violations.append(&mut violations);
                    all.left_out += left_out;
                }
            }
        }
        match skipped {
            Some(reason) if is_accepted && !is_judged => Answer::Skipped(reason),
            _ if is_accepted => Answer::Accepted,
            _ => {
                if all.violations.is_empty() {
                    all.violations.push(whole_object("group", message));
                }
                Answer::Rejected(all)
            }
        }
    }

    /// Evaluates the levels of the namespace. A warning counts only where no error says the same.
    fn ask_standards(&mut self, standards: &Standards, tally: &mut Tally) {
        let namespace = self.request.namespace.as_deref().unwrap_or_default();
        let steps = &standards.namespaces.get(namespace).unwrap_or(&standards.default).steps;
        if steps.is_empty() {
            let reason = format!("the level of namespace {namespace:?} is privileged");
            return tally.skip(reason);
        }
        let first = tally.verdicts.len();
        for Step { level, severity, run } in steps {
            let mut answer = self.ask(run);
            if let Answer::Rejected(rejection) = &mut answer {
                let before = tally.verdicts.get(first..).unwrap_or_default();
                rejection.violations.retain(|of| {
                    let is_same = |other: &Violation| {
                        other.path == of.path && other.container == of.container && other.value == of.value
                    };
                    !before.iter().flat_map(|verdict| &verdict.violations).any(is_same)
                });
                if rejection.violations.is_empty() && rejection.left_out == 0 {
                    answer = Answer::Accepted;
                }
            }
            tally.add(answer, || Verdict {
                policy: STANDARDS.to_owned(),
                document: None,
                level: Some(level.clone()),
                severity: *severity,
                docs: self.judge.modules[run.module].docs.clone(),
                message: String::new(),
                violations: Vec::new(),
                failure: None,
            });
        }
    }

    fn ask(&mut self, run: &Run) -> Answer {
        match self.reply(run) {
            Ok(response) => self.read(response, run),
            Err(failure) => Answer::Failed(failure.reason()),
        }
    }

    fn reply(&mut self, run: &Run) -> Result<ValidationResponse<Box<RawValue>>, Failure> {
        if !self.is_text_set {
            match &self.mutated {
                Some(mutated) => self.worker.text.set(self.request, mutated.get()),
                None => self.worker.text.set(self.request, &as_stored(self.object)),
            }
            self.is_text_set = true;
        }
        let payload = self.worker.text.payload(run.settings.of(self.known))?;
        let loaded = &self.judge.modules[run.module];
        let reply = if loaded.is_pure {
            self.worker.instances[run.module].call("validate", payload)
        } else {
            loaded.module.call("validate", payload)
        };
        ValidationResponse::read(&reply.map_err(Failure::Call)?)
    }

    /// Whether a policy returned another object than it was sent.
    fn is_change(&self, returned: &RawValue) -> bool {
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        let sent = match &self.mutated {
            Some(mutated) => read(mutated.get()),
            None => read(&as_stored(self.object)),
        };
        sent != read(returned.get())
    }

    fn read(&self, response: ValidationResponse<Box<RawValue>>, run: &Run) -> Answer {
        let name = &self.judge.modules[run.module].name;
        if response.accepted {
            if let Some(reason) = response.skipped() {
                return Answer::Skipped(reason.to_owned());
            }
            return match &response.mutated_object {
                Some(mutated) if !run.is_mutating && self.is_change(mutated) => {
                    let message = mutation_refused(name);
                    Answer::Rejected(Rejection { violations: vec![whole_object(name, &message)], message, left_out: 0 })
                }
                _ => Answer::Accepted,
            };
        }
        let message = response.message.unwrap_or_default();
        let listed =
            response.audit_annotations.as_ref().and_then(|annotations| read_list(annotations.get("violations")?));
        let (violations, left_out) = match listed {
            Some(listed) => listed,
            None if response.code == Some(400) => (vec![unreadable(&message)], 0),
            None => (vec![whole_object(name, &message)], 0),
        };
        Answer::Rejected(Rejection { message, violations, left_out })
    }
}

/// An element of the audit annotation.
#[derive(Deserialize)]
#[serde(untagged)]
enum Element {
    Violation(Box<Violation>),
    More { more: u64 },
}

/// The violations of an audit annotation, and how many it leaves out; `None` if it is no list of them.
fn read_list(annotation: &str) -> Option<(Vec<Violation>, u64)> {
    // Nearly always, nothing is left out, and then the elements need not be told apart.
    if let Ok(violations) = serde_json::from_str::<Vec<Violation>>(annotation) {
        return (!violations.is_empty()).then_some((violations, 0));
    }
    let elements: Vec<Element> = serde_json::from_str(annotation).ok()?;
    let (mut violations, mut left_out) = (Vec::new(), 0);
    for element in elements {
        match element {
            Element::Violation(violation) => violations.push(*violation),
            Element::More { more } => left_out += more,
        }
    }
    (!violations.is_empty()).then_some((violations, left_out))
}

fn whole_object(control: &str, message: &str) -> Violation {
    Violation {
        control: control.to_owned(),
        reason: message.to_owned(),
        message: None,
        container: None,
        path: String::new(),
        value: Value::Null,
        fix: String::new(),
    }
}

/// What cannot be read, where the message says: `spec.containers[0].image: expected a string, found a number`.
fn unreadable(message: &str) -> Violation {
    let is_path = |path: &&str| !path.contains(' ') && !path.starts_with("request.") && !path.starts_with("settings");
    let path = message.split_once(": ").map(|(path, _)| path).filter(is_path).unwrap_or_default();
    Violation { path: path.to_owned(), ..whole_object(UNREADABLE, message) }
}
