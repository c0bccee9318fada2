//! ValidatingAdmissionPolicies in the API server and in `podfence`: which of them are taken, and what they say of the
//! same objects: verdicts, messages, warnings and audit annotations.

mod corpus;
mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use podfence_cluster::matching::Namespaces;
use podfence_cluster::validating::{IGNORED, ReadError, Unbound, Validating};
use podfence_scan::AdmissionRequest;
use podfence_scan::request::{Sender, requests};
use serde_json::{Value, json};

use crate::client::{Client, Reply};
use crate::wait::{Late, until};

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";

/// The collections of bindings and of policies.
const COLLECTIONS: [&str; 2] = ["validatingadmissionpolicybindings", "validatingadmissionpolicies"];

/// The annotation of what failed by action `Audit`.
const FAILURES: &str = "validation.policy.admission.k8s.io/validation_failure";

/// How many failures the audit log has of a request at most.
const IN_AN_EVENT: usize = 50;

/// How many lists of policies the expressions of the corpus are divided into, and how many are in a list: all of them may
/// fail for a request.
const CORPORA: usize = 6;
const IN_A_CORPUS: usize = 45;

/// The namespaces whose requests the API server logs: those that this part makes.
pub fn namespaces() -> Vec<String> {
    let of_sample = sample::namespaces().into_iter().map(|of| name_of(&of).to_owned());
    of_sample.chain((0..CORPORA).map(corpus::namespace)).collect()
}

/// What a comparison must have seen some of.
pub const SEEN: [&str; 7] = [
    "documents taken",
    "documents refused",
    "requests",
    "requests denied",
    "warnings",
    "failures in the audit log",
    "audit annotations",
];

/// What was compared.
#[derive(Debug, Default)]
pub struct Comparison {
    /// How many of what.
    pub counts: BTreeMap<&'static str, usize>,
    /// What is seen differently, or was not seen at all.
    pub problems: Vec<String>,
    /// What was left out, and why.
    pub skipped: Option<String>,
}

impl Comparison {
    fn count(&mut self, what: &'static str, by: usize) {
        if by == 0 {
            return;
        }
        *self.counts.entry(what).or_default() += by;
    }
}

/// Creates the policies, sends the objects by dry run, and compares; `log` is the audit log.
///
/// # Errors
/// A state did not come.
pub fn compare(client: &Client, log: &Path) -> Result<Comparison, Late> {
    let mut found = Comparison::default();
    let corpus = corpus::read();
    if corpus.is_none() {
        found.skipped = Some(format!("{}: there is none", podfence_support::corpus_path("cel-truth").display()));
    }
    let expressions = corpus.unwrap_or_default();
    let of_corpus: Vec<Value> =
        (0..CORPORA.min(expressions.len().div_ceil(IN_A_CORPUS))).map(corpus::of_namespace).collect();
    let spaces: Vec<Value> = sample::namespaces().into_iter().chain(of_corpus).collect();
    prepare(client, &spaces)?;
    let mut validating = Validating::default();
    let documents = sample::documents().into_iter().chain(corpus::documents(&expressions));
    let mut left_out = BTreeSet::new();
    for document in documents.chain(sample::refused()) {
        let name = name_of(&document);
        if !left_out.contains(name) && !install(client, &document, &mut validating, &mut found) {
            left_out.insert(name.to_owned());
        }
    }
    found.problems.extend(validating.bind(Unbound::Ignored));
    for object in sample::params() {
        validating.params_mut().add(&object);
    }
    in_force(client)?;
    let mut known = Namespaces::default();
    known.add_manifests(&spaces).map_err(Late)?;
    let mut sent = Vec::new();
    for space in &spaces {
        let name = name_of(space);
        sent.extend(sample::objects().iter().map(|object| create(client, object, name)));
    }
    sent.extend(changes(client, &sample::namespaces()));
    let logged = logged(log, &sent)?;
    for of in &sent {
        of.compare(&validating, &known, &logged[&of.id], &mut found);
    }
    for collection in COLLECTIONS {
        client.delete(&format!("{REGISTRATION}/{collection}"), "Background");
    }
    Ok(found)
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Makes the namespaces, and the parameters in them.
fn prepare(client: &Client, spaces: &[Value]) -> Result<(), Late> {
    for space in spaces {
        client.create("/api/v1/namespaces", space);
        let account = format!("/api/v1/namespaces/{}/serviceaccounts/default", name_of(space));
        until(|| format!("{account}: it is there"), || client.get(&account).is_done().then_some(()))?;
    }
    for object in sample::params() {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        client.create(&format!("/api/v1/namespaces/{namespace}/configmaps"), &object);
    }
    Ok(())
}

/// Gives a document to the API server and to the evaluator: one takes it if the other does. Returns whether both do.
fn install(client: &Client, document: &Value, validating: &mut Validating, found: &mut Comparison) -> bool {
    let name = name_of(document);
    let ours = validating.add(document);
    if let Err(ReadError::Unsupported(_)) = &ours {
        found.count("documents that only the API server evaluates", 1);
        return false;
    }
    let kind = document["kind"].as_str().unwrap_or_default();
    let theirs = client.create(&registered(document), document);
    found.count(if theirs.is_done() { "documents taken" } else { "documents refused" }, 1);
    match (&ours, theirs.is_done()) {
        (Ok(()), false) => found.problems.push(format!("{kind}/{name} is refused: {}", theirs.message())),
        (Err(error), true) => found.problems.push(format!("{kind}/{name} is taken: {error}")),
        _ => return ours.is_ok(),
    }
    false
}

/// The path of a policy's or a binding's collection.
fn registered(document: &Value) -> String {
    let is_policy = document["kind"] == "ValidatingAdmissionPolicy";
    format!("{REGISTRATION}/{}", COLLECTIONS[usize::from(is_policy)])
}

/// Waits until policies count that are created now, and with them all that were created before, and their parameters.
fn in_force(client: &Client) -> Result<(), Late> {
    for document in sample::probe() {
        client.create(&registered(&document), &document);
    }
    let probe = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}});
    let path = "/api/v1/namespaces/validating/configmaps?dryRun=All";
    let is_denied = || client.create(path, &probe).message().ends_with("in force with limits");
    until(|| "the policies are in force".to_owned(), || is_denied().then_some(()))
}

/// What was asked, and what came of it.
struct Sent {
    /// As the audit log names it.
    id: String,
    request: AdmissionRequest,
    reply: Reply,
}

/// Creates an object by dry run.
fn create(client: &Client, object: &Value, namespace: &str) -> Sent {
    let sender = Sender {
        namespace: Some(namespace.to_owned()),
        user: Some("admin".to_owned()),
        groups: vec!["system:masters".to_owned()],
    };
    let made = requests(object.to_string().as_bytes(), &sender).unwrap_or_else(|error| panic!("{object}: {error}"));
    let mut request = made.into_iter().next().expect("a request for an object");
    request.dry_run = Some(true);
    let id = id(&request);
    let reply = client.create(&format!("{}?dryRun=All&fieldManager={id}", collection(&request)), object);
    Sent { id, request, reply }
}

fn id(request: &AdmissionRequest) -> String {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    [&request.operation, &request.kind.kind, &text(&request.namespace), &text(&request.name)]
        .map(String::as_str)
        .join(".")
}

fn collection(request: &AdmissionRequest) -> String {
    let of = &request.resource;
    let root = if of.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", of.group) };
    let namespace = request.namespace.as_deref().unwrap_or_default();
    format!("{root}/{}/namespaces/{namespace}/{}", of.version, of.resource)
}

/// Changes the parameters, and deletes them, by dry run.
fn changes(client: &Client, spaces: &[Value]) -> Vec<Sent> {
    let mut sent = Vec::new();
    for space in spaces {
        let path = format!("/api/v1/namespaces/{}/configmaps/limits", name_of(space));
        let old = client.get(&path).object;
        let manifest = create(client, &old, name_of(space)).request;
        let mut changed = old.clone();
        changed["data"]["replicas"] = json!("4");
        for (operation, object) in [("UPDATE", Some(old.clone())), ("UPDATE", Some(changed)), ("DELETE", None)] {
            let options = if operation == "DELETE" { "DeleteOptions" } else { "UpdateOptions" };
            let mut request = AdmissionRequest {
                operation: operation.to_owned(),
                object: object.clone(),
                old_object: Some(old.clone()),
                options: Some(json!({"apiVersion": "meta.k8s.io/v1", "kind": options})),
                ..manifest.clone()
            };
            let id = format!("{}.{}", id(&request), sent.len());
            let path = format!("{path}?dryRun=All&fieldManager={id}");
            let method = if operation == "DELETE" { "DELETE" } else { "PUT" };
            let reply = client.request(method, &path, "application/json", object.as_ref());
            request.dry_run = Some(true);
            sent.push(Sent { id, request, reply });
        }
    }
    sent
}

/// The audit annotations of each request, once all are in the log.
fn logged(log: &Path, sent: &[Sent]) -> Result<BTreeMap<String, BTreeMap<String, String>>, Late> {
    let wanted: BTreeSet<&str> = sent.iter().map(|of| of.id.as_str()).collect();
    let what = || format!("{}: the events of {} requests", log.display(), wanted.len());
    until(what, || {
        let text = fs::read_to_string(log).ok()?;
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let events: BTreeMap<String, BTreeMap<String, String>> =
            events.filter_map(|event| logged_event(&event)).collect();
        wanted.iter().all(|id| events.contains_key(*id)).then_some(events)
    })
}

/// What identifies a request, and the annotations that its policies made.
fn logged_event(event: &Value) -> Option<(String, BTreeMap<String, String>)> {
    let (_, id) = event["requestURI"].as_str()?.split_once("fieldManager=")?;
    let annotations = event["annotations"].as_object().into_iter().flatten();
    let of_policies =
        annotations.filter(|(key, _)| *key == FAILURES || !key.contains("k8s.io/") && !key.contains("kubernetes.io/"));
    let texts = of_policies.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
    Some((id.to_owned(), texts.collect()))
}

/// What is said of a request.
#[derive(Debug, Default, PartialEq)]
struct Said {
    /// The messages of the policies that deny, any of which may be the first one, each with its HTTP code.
    denied: BTreeSet<(String, u64)>,
    warnings: BTreeSet<String>,
    failures: BTreeSet<String>,
    annotations: BTreeMap<String, String>,
}

impl Said {
    fn add_annotations(&mut self, annotations: BTreeMap<String, String>) {
        for (key, value) in annotations {
            if key != FAILURES {
                self.annotations.insert(key, value);
                continue;
            }
            let failures: Vec<Value> = serde_json::from_str(&value).unwrap_or_else(|error| panic!("{value}: {error}"));
            self.failures.extend(failures.into_iter().map(shown));
        }
    }
}

/// A failure as text, with its keys in one order. Why a function has no value is in other words here, and of real
/// expressions it counts alone that they have none.
fn shown(mut failure: Value) -> String {
    let policy = failure["policy"].as_str().unwrap_or_default();
    let is_worded_otherwise = policy == "functions" || policy.starts_with("corpus-");
    let message = failure["message"].as_str().unwrap_or_default();
    if let Some((what, _)) = message.split_once(" resulted in error: ").filter(|_| is_worded_otherwise) {
        failure["message"] = json!(what);
    }
    let members: BTreeMap<&String, &Value> = failure.as_object().into_iter().flatten().collect();
    json!(members).to_string()
}

impl Sent {
    fn compare(
        &self,
        validating: &Validating,
        known: &Namespaces,
        logged: &BTreeMap<String, String>,
        found: &mut Comparison,
    ) {
        let ours = match self.ours(validating, known) {
            Ok(ours) => ours,
            Err(problem) => return found.problems.push(format!("{}: {problem}", self.id)),
        };
        let theirs = match self.theirs(logged) {
            Ok(theirs) => theirs,
            Err(problem) => return found.problems.push(format!("{}: {problem}", self.id)),
        };
        // Of more, the log has the first ones, in no order.
        if theirs.failures.len() >= IN_AN_EVENT {
            return found
                .problems
                .push(format!("{}: more failures than the audit log holds: divide the sample", self.id));
        }
        found.count("requests", 1);
        found.count("requests denied", theirs.denied.len());
        found.count("warnings", theirs.warnings.len());
        found.count("failures in the audit log", theirs.failures.len());
        found.count("audit annotations", theirs.annotations.len());
        let is_same_denial =
            theirs.denied.is_empty() == ours.denied.is_empty() && theirs.denied.is_subset(&ours.denied);
        if !is_same_denial {
            found
                .problems
                .push(format!("{}: denied:\n  ours   {:?}\n  theirs {:?}", self.id, ours.denied, theirs.denied));
        }
        differ(&self.id, "warned", &ours.warnings, &theirs.warnings, found);
        differ(&self.id, "failed", &ours.failures, &theirs.failures, found);
        let texts = |of: &BTreeMap<String, String>| of.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        differ(&self.id, "annotated", &texts(&ours.annotations), &texts(&theirs.annotations), found);
    }

    fn ours(&self, validating: &Validating, known: &Namespaces) -> Result<Said, String> {
        let mut said = Said::default();
        for answer in validating.review(&self.request, known) {
            if let Some(failure) = answer.failure {
                return Err(format!("{}: {failure}", answer.policy));
            }
            let response = answer.evaluation(&self.request).response;
            if let Some(status) = &response.status {
                said.denied.insert((response.message().to_owned(), u64::from(status.code.unwrap_or_default())));
            }
            said.warnings.extend(response.warnings.unwrap_or_default());
            let mut annotations = response.audit_annotations.unwrap_or_default();
            annotations.retain(|key, _| key != IGNORED && key != "skipped");
            said.add_annotations(annotations);
        }
        Ok(said)
    }

    fn theirs(&self, logged: &BTreeMap<String, String>) -> Result<Said, String> {
        let mut said = Said::default();
        if !self.reply.is_done() {
            let denied = self.reply.message().split_once(" is forbidden: ").map(|(_, message)| message);
            let denied = denied.filter(|message| message.starts_with("ValidatingAdmissionPolicy '"));
            let Some(denied) = denied else { return Err(format!("is not taken: {}", self.reply.message())) };
            said.denied.insert((denied.to_owned(), self.reply.status.into()));
        }
        let of_policies = |text: &&String| text.starts_with("Validation failed for ValidatingAdmissionPolicy");
        said.warnings.extend(self.reply.warnings.iter().filter(of_policies).cloned());
        said.add_annotations(logged.clone());
        Ok(said)
    }
}

fn differ(id: &str, what: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>, found: &mut Comparison) {
    let only = |of: &BTreeSet<String>, other: &BTreeSet<String>| -> String {
        of.difference(other).map(|text| format!("\n    {text}")).collect()
    };
    if ours != theirs {
        let (ours, theirs) = (only(ours, theirs), only(theirs, ours));
        found.problems.push(format!("{id}: {what}:\n  only ours:{ours}\n  only theirs:{theirs}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_taken_and_the_rest_is_refused() {
        let mut validating = Validating::default();
        for document in sample::documents().iter().chain(&sample::probe()) {
            validating.add(document).unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(validating.bind(Unbound::Ignored), Vec::<String>::new());
        for document in sample::refused() {
            let taken = validating.add(&document).is_ok();
            assert_eq!(taken, document["kind"] != "ValidatingAdmissionPolicy", "{document}");
        }
    }

    #[test]
    fn an_event_has_what_the_policies_annotate() {
        let event = json!({
            "requestURI": "/api/v1/namespaces/a/pods?dryRun=All&fieldManager=CREATE.Pod.a.web",
            "annotations": {"authorization.k8s.io/decision": "allow", "p/key": "value", FAILURES: "[]"},
        });
        let (id, annotations) = logged_event(&event).expect("an event of a request");
        assert_eq!(id, "CREATE.Pod.a.web");
        assert_eq!(annotations.keys().map(String::as_str).collect::<Vec<_>>(), ["p/key", FAILURES]);
    }
}
