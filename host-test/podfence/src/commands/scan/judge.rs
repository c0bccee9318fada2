//! Judges objects by the selected policies.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use podfence_cluster::conditions::{self, Call, Conditions, Inputs};
use podfence_cluster::expression::Expression;
use podfence_cluster::matching::{Matching, Namespaces, UnknownLabel};
use podfence_cluster::pod_security::{Levels, Standard};
use podfence_cluster::validating::{self, Creation, Denied, Validating};
use podfence_host::Reused;
use podfence_host::evaluate::{CreationText, Failure, ValidationResponse, mutation_refused};
use podfence_scan::AdmissionRequest;
use podfence_scan::answer::{Answer, Rejection, Tally, whole_object};
use podfence_scan::bootstrap;
use podfence_scan::finding::Severity;
use podfence_scan::judge::{Outcome, State, Verdict, Violation};
use podfence_scan::kinds::{self, Known};
use podfence_scan::object::Object;
use podfence_scan::report::Judging;
use podfence_scan::request::UserInfo;
use podfence_scan::settings::SettingsText;
use podfence_scan::standard::STANDARDS;
use podfence_scan::stored::as_stored;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::commands::modules::Loaded;

/// What verdicts are of that no policy of the API server could come to.
const VALIDATING: &str = "ValidatingAdmissionPolicy";

/// The policies that judge, with their modules.
pub(crate) struct Judge {
    pub(super) modules: Vec<Loaded>,
    pub(super) policies: Vec<Policy>,
    pub(super) standards: Option<Standards>,
    /// Those that the API server evaluates itself.
    pub(super) validating: Validating,
    /// Those of which labels are known.
    pub(super) namespaces: Namespaces,
    /// Who creates the objects; nobody in particular if it is not given.
    pub(super) user: Option<UserInfo>,
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

impl Judge {
    /// What one thread needs.
    pub(crate) fn worker(&self) -> Worker<'_> {
        let instances = self.modules.iter().map(|of| Reused::new(&of.module)).collect();
        Worker { judge: self, text: CreationText::default(), instances }
    }

    /// Whether selectors of policies ask for labels of namespaces.
    pub(crate) fn selects_by_labels(&self) -> bool {
        self.policies.iter().any(|policy| policy.matching.needs_labels())
            || self.validating.needs_labels()
            || self.validating.reads_namespaces()
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

    /// Takes the annotations of a namespace that is known.
    pub(crate) fn annotate_namespace(&mut self, name: &str, namespace: &Value) {
        let annotations = namespace["metadata"]["annotations"].as_object().into_iter().flatten();
        let texts = annotations.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        self.namespaces.annotate(name, texts.collect());
    }

    /// What the policies do not do in a scan, and what was left out.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The modules by name, each with the digest of its file in hexadecimal.
    pub(crate) fn modules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.iter().map(|of| (of.name.as_str(), of.sha256.as_str()))
    }

    /// Each module with its digest and with settings that it judges with, and the policies of the API server that are in
    /// force.
    pub(crate) fn judging(&self) -> Vec<Judging> {
        let of_policies = self.policies.iter().flat_map(|policy| match &policy.body {
            Body::Module { run, .. } => vec![run],
            Body::Group { members, .. } => members.values().collect(),
        });
        let plans = self.standards.iter().flat_map(|of| std::iter::once(&of.default).chain(of.namespaces.values()));
        let of_standards = plans.flat_map(|plan| &plan.steps);
        let of_standards = of_standards.map(|Step { level, run, .. }| self.judging_of(run).at_level(level));
        let of_api_server = self.validating.judging_creations().map(|policy| Judging {
            name: policy.name.clone(),
            digest: String::new(),
            settings: Map::new(),
        });
        let of_policies = of_policies.map(|run| self.judging_of(run));
        Judging::each_once(of_policies.chain(of_standards).chain(of_api_server))
    }

    fn judging_of(&self, run: &Run) -> Judging {
        let module = &self.modules[run.module];
        Judging {
            name: module.name.clone(),
            digest: format!("sha256:{}", module.sha256),
            settings: run.settings.object(),
        }
    }

    /// What the policies are called.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| policy.name.as_str()).chain(self.validating.names())
    }

    /// Judges an object by every policy that gets to see it.
    pub(crate) fn judge<'j>(&'j self, worker: &mut Worker<'j>, object: &Object) -> Outcome {
        let known = kinds::classify(&object.kind);
        // Its plural may be that of the right kind, and then the rules would match.
        if let Known::Miswritten(why) = known {
            return Outcome::of(State::NotJudged(why));
        }
        let mut request = object.creation();
        if let Some(user) = &self.user {
            request.user_info = user.clone();
        }
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
        // As in a cluster, those of the API server see what documents made of the object; single policies see the file.
        let (of_documents, singles) = self.policies.split_at(self.policies.partition_point(|of| of.document.is_some()));
        for policy in of_documents {
            asking.offer(policy, &mut tally);
        }
        if asking.mutated.is_some() || self.validating.see_creation(&request, &object.labels, &self.namespaces) {
            asking.ask_validating(&mut tally);
        }
        for policy in singles {
            asking.offer(policy, &mut tally);
        }
        if let Some(standards) = &self.standards
            && self.sees(&standards.matching, true, &request, object, &known) == Ok(true)
        {
            asking.set_mutated(None);
            asking.ask_standards(standards, &mut tally);
        }
        tally.outcome(known, object)
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
        Verdict { document: self.document.clone(), docs, ..Verdict::new(&self.name, self.severity) }
    }

    /// Whether an API server would pass on what it makes of an object: it is a document's in mode protect.
    fn changes_objects(&self) -> bool {
        let is_mutating = matches!(&self.body, Body::Module { run, .. } if run.is_mutating);
        is_mutating && self.document.is_some() && self.severity == Severity::Error
    }
}

/// Why it cannot be told what an API server would decide, and what to do.
fn knowable(why: &str, request: &AdmissionRequest) -> String {
    match request.namespace.as_deref().filter(|_| why.ends_with("is not known")) {
        Some(namespace) => format!("{why}: add the Namespace {namespace} to the files that are scanned"),
        None => why.to_owned(),
    }
}

/// Why a policy cannot tell whether it gets to see an object, and what to do.
fn unknowable(unknown: &UnknownLabel) -> String {
    format!("{unknown}: add the Namespace {} to the files that are scanned", unknown.namespace)
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

impl<'j> Asking<'_, 'j> {
    /// Asks a policy, if it gets to see the object.
    fn offer(&mut self, policy: &Policy, tally: &mut Tally) {
        let sees = self.judge.sees(&policy.matching, policy.has_custom_kinds, self.request, self.object, self.known);
        match sees {
            Ok(true) => match self.call(policy) {
                Call::Made => self.ask_policy(policy, tally),
                Call::NotMade => {}
                // Nothing was judged, and the API server lets it pass.
                Call::Passed(why) => {
                    let violations = vec![whole_object("matchConditions", &why)];
                    let verdict = Verdict { severity: Severity::Warning, violations, ..policy.verdict(String::new()) };
                    tally.report(verdict);
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

    /// Asks the policies that the API server evaluates itself.
    fn ask_validating(&mut self, tally: &mut Tally) {
        let Ok(answers) = self.validated() else {
            let verdict = Verdict::new(VALIDATING, Severity::Error);
            return tally.add(Answer::Failed("the object is nested too deeply".to_owned()), || verdict);
        };
        for answer in answers {
            if let Some(why) = answer.skipped {
                tally.skip(why);
                continue;
            }
            let verdict = || Verdict { document: Some(answer.title()), ..Verdict::new(answer.policy, Severity::Error) };
            if let Some(why) = &answer.failure {
                tally.add(Answer::Failed(knowable(why, self.request)), verdict);
                continue;
            }
            tally.add(Answer::Accepted, verdict);
            for (key, value) in &answer.annotations {
                tally.annotate(format!("{}/{key}", answer.policy), value.clone());
            }
            for decision in &answer.decisions {
                let (severity, message) = match decision.denied {
                    Denied::As(actions) if actions.deny => (Severity::Error, decision.message.clone()),
                    Denied::As(_) => (Severity::Warning, decision.message.clone()),
                    Denied::Ignored => {
                        let message = format!("{}; failurePolicy Ignore lets the request pass", decision.message);
                        (Severity::Warning, message)
                    }
                };
                let validating::Place { path, value, container } = decision.place.clone();
                let violation = Violation { path, value, container, ..whole_object(&decision.control, &message) };
                tally.add_once(Verdict { severity, violations: vec![violation], ..verdict() });
            }
        }
    }

    fn validated(&self) -> serde_json::Result<Vec<validating::Answer<'j>>> {
        let Judge { validating, namespaces, .. } = self.judge;
        let Some(mutated) = &self.mutated else {
            let Object { labels, json, .. } = self.object;
            return validating.review_creation(Creation { request: self.request, labels, json }, namespaces);
        };
        let object = serde_json::from_str(mutated.get())?;
        let request = AdmissionRequest { object: Some(object), ..self.request.clone() };
        Ok(validating.review(&request, namespaces))
    }

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
        let first = tally.count();
        for Step { level, severity, run } in steps {
            let mut answer = self.ask(run);
            answer.leave_out(tally.since(first));
            tally.add(answer, || Verdict {
                level: Some(level.clone()),
                docs: self.judge.modules[run.module].docs.clone(),
                ..Verdict::new(STANDARDS, *severity)
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
        if let Some(reason) = bootstrap::reason(name, self.object) {
            return Answer::Skipped(reason.to_owned());
        }
        let violations = response.audit_annotations.as_ref().and_then(|of| of.get("violations"));
        let message = response.message.unwrap_or_default();
        let mut rejection = Rejection::read(name, message, response.code, violations.map(String::as_str));
        if rejection.left_out == 0
            && let Some(reason) = bootstrap::reason_of_role(name, self.object, &rejection.violations)
        {
            return Answer::Skipped(reason.to_owned());
        }
        // A module from elsewhere does not say what is written into files.
        if !self.judge.modules[run.module].is_pure {
            rejection.violations.iter_mut().for_each(|violation| violation.edit = None);
        }
        Answer::Rejected(rejection)
    }
}
