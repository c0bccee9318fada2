//! What the policies `roles`, `network-policies` and `services` make of objects, beside what Kubernetes' own functions make
//! of them: the Go program in `functions/`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use podfence_cluster::published;
use podfence_fixtures::{Subject, Suite};
use podfence_host::{AdmissionResponse, Mode, Policy};
use podfence_scan::AdmissionRequest;
use podfence_scan::request::{GroupVersionKind, Metadata, creation};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::configuration::Modules;

/// What was compared.
#[derive(Debug, Default)]
pub struct Comparison {
    /// How many objects of each kind.
    pub objects: BTreeMap<String, usize>,
    /// What was asked, with how often the answer of both was no, and how often yes.
    pub counts: BTreeMap<String, [usize; 2]>,
    /// Objects that the API server does not take.
    pub invalid: usize,
    /// What they see differently.
    pub differences: Vec<String>,
}

/// What the Go program prints of an object.
#[derive(Deserialize)]
struct Said {
    object: Value,
    error: Option<String>,
    granted: Option<Vec<BTreeSet<String>>>,
    typed: Option<Value>,
    defaulted: Option<Value>,
    within: Option<bool>,
}

/// The sources that load balancers may have. No two of these blocks are one together.
const ALLOWED_SOURCES: [&str; 3] = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"];

/// The kinds, by the start of their `apiVersion`.
const KINDS: [(&str, &str); 4] = [
    ("rbac.authorization.k8s.io/", "Role"),
    ("rbac.authorization.k8s.io/", "ClusterRole"),
    ("networking.k8s.io/", "NetworkPolicy"),
    ("v1", "Service"),
];

/// Compares on the objects of the fixtures, and on this many of each kind that are drawn from a seed.
///
/// # Errors
/// The program does not run.
pub fn compare(program: &Path, modules: &Modules, seed: u64, count: usize) -> io::Result<Comparison> {
    let allowed = ALLOWED_SOURCES.join(",");
    let arguments = ["-seed", &seed.to_string(), "-count", &count.to_string(), "-allowed", &allowed];
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (mut input, output) = (child.stdin.take().expect("it is piped"), child.stdout.take().expect("it is piped"));
    let policies = Policies::new(modules);
    let mut found = Comparison::default();
    thread::scope(|scope| {
        let fed = scope.spawn(move || fixtures().try_for_each(|object| writeln!(input, "{object}")));
        for line in BufReader::new(output).lines() {
            let said: Said = serde_json::from_str(&line?).map_err(io::Error::other)?;
            found.add(&policies, &said);
        }
        fed.join().expect("no thread panics")
    })?;
    match child.wait()? {
        status if status.success() => Ok(found),
        status => Err(io::Error::other(format!("{}: {status}", program.display()))),
    }
}

/// The objects of the fixtures that are of these kinds.
fn fixtures() -> impl Iterator<Item = Value> {
    let suites = ["roles", "network-policies", "services"].into_iter().map(|policy| {
        Suite::load(&podfence_support::policies().join(policy)).unwrap_or_else(|error| panic!("{error}"))
    });
    suites.flat_map(|suite| suite.cases).filter_map(|case| match case.subject {
        Subject::Object(object) if is_known(&object) => Some(object),
        _ => None,
    })
}

fn is_known(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    KINDS.iter().any(|(start, kind)| version.starts_with(start) && object["kind"] == *kind)
}

/// The policies, with settings under which they say all that is compared.
struct Policies {
    roles: Policy,
    network_policies: Policy,
    services: Policy,
}

impl Policies {
    fn new(modules: &Modules) -> Self {
        let of = |name: &str, settings: Value| Policy {
            name: name.to_owned(),
            module: modules.get(name).expect("the module is built"),
            settings: settings.as_object().cloned().unwrap_or_default(),
            mode: Mode::Protect,
            allowed_to_mutate: false,
            message: None,
        };
        Self {
            roles: of("roles", json!({"allow": []})),
            network_policies: of("network-policies", json!({})),
            services: of("services", json!({"allowedSourceRanges": ALLOWED_SOURCES})),
        }
    }

    fn of(&self, kind: &str) -> &Policy {
        match kind {
            "NetworkPolicy" => &self.network_policies,
            "Service" => &self.services,
            _ => &self.roles,
        }
    }
}

/// What a policy says of an object.
#[derive(Debug, PartialEq)]
struct Verdict {
    message: String,
    /// Controls, each with its path.
    violations: BTreeSet<(String, String)>,
    is_refused: bool,
}

impl Verdict {
    fn of(policy: &Policy, object: &Value) -> Self {
        let response = policy.evaluate(&request(object)).response;
        Self {
            message: response.message().to_owned(),
            violations: violations(&response),
            is_refused: !response.allowed,
        }
    }

    fn has(&self, control: &str) -> bool {
        self.violations.iter().any(|(of, _)| of == control)
    }
}

fn request(object: &Value) -> AdmissionRequest {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = GroupVersionKind::new(text("/apiVersion").unwrap_or_default(), text("/kind").unwrap_or_default());
    let metadata = Metadata { name: text("/metadata/name"), namespace: text("/metadata/namespace"), uid: None };
    AdmissionRequest { object: Some(object.clone()), ..creation(kind, &metadata, 0) }
}

/// The audit annotation with the violations. What is left out of it is one without a path.
fn violations(response: &AdmissionResponse) -> BTreeSet<(String, String)> {
    let annotation = response.audit_annotations.as_ref().and_then(|of| of.get("violations"));
    let listed: Vec<Map<String, Value>> =
        annotation.map_or_else(Vec::new, |text| serde_json::from_str(text).expect("a list of objects"));
    let text = |of: &Map<String, Value>, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    listed.iter().map(|of| (text(of, "control"), text(of, "path"))).collect()
}

impl Comparison {
    fn count(&mut self, what: impl Into<String>, is_so: bool) {
        self.counts.entry(what.into()).or_default()[usize::from(is_so)] += 1;
    }

    fn differ(&mut self, said: &Said, what: &str, ours: &Verdict) {
        self.differences.push(format!("{what}: {ours:?}\n  {}", said.object));
    }

    fn add(&mut self, policies: &Policies, said: &Said) {
        let kind = said.object["kind"].as_str().unwrap_or_default();
        *self.objects.entry(kind.to_owned()).or_default() += 1;
        let policy = policies.of(kind);
        if said.error.is_some() {
            self.invalid += 1;
            return;
        }
        let ours = Verdict::of(policy, &said.object);
        if let Some(granted) = &said.granted {
            self.add_role(said, granted, &ours);
        }
        if let (Some(typed), Some(defaulted)) = (&said.typed, &said.defaulted) {
            let (typed, of_defaulted) = (Verdict::of(policy, typed), Verdict::of(policy, defaulted));
            if of_defaulted != typed || typed.is_refused != ours.is_refused {
                self.differ(
                    said,
                    &format!("typed, it gets {typed:?}, with its defaults {of_defaulted:?}, and else"),
                    &ours,
                );
            }
            match kind {
                "NetworkPolicy" => self.add_network_policy(said, defaulted, &ours),
                _ => self.add_service(said, &ours),
            }
        }
    }

    /// A rule is denied by a control if and only if it grants one of the control's requests.
    fn add_role(&mut self, said: &Said, granted: &[BTreeSet<String>], ours: &Verdict) {
        let mut denied = vec![BTreeSet::new(); granted.len()];
        for (control, path) in &ours.violations {
            let index = path.strip_prefix("rules[").and_then(|rest| rest.split(']').next()?.parse::<usize>().ok());
            match index.and_then(|index| denied.get_mut(index)) {
                Some(controls) => drop(controls.insert(control.clone())),
                None => return self.differ(said, "a violation in no rule", ours),
            }
        }
        for (index, (theirs, denied)) in granted.iter().zip(&denied).enumerate() {
            if theirs != denied {
                self.differ(said, &format!("rules[{index}] grants what {theirs:?} deny, and is denied"), ours);
            }
            for control in published::find("roles").into_iter().flat_map(|of| &of.controls) {
                self.count(format!("roles: a rule grants what {control} denies"), theirs.contains(control));
            }
        }
    }

    /// Rules count for the directions of the defaulted object, and for no other.
    fn add_network_policy(&mut self, said: &Said, defaulted: &Value, ours: &Verdict) {
        for (direction, control) in [("Ingress", "ingress"), ("Egress", "egress")] {
            let types = defaulted["spec"]["policyTypes"].as_array().into_iter().flatten();
            let applies = types.into_iter().any(|of| of == direction);
            let mut rules = defaulted["spec"][control].as_array().into_iter().flatten();
            let is_open = rules.any(|rule| rule.as_object().is_some_and(Map::is_empty));
            if is_open {
                self.count(format!("network-policies: {direction} applies to a rule for everybody"), applies);
            }
            if is_open && ours.has(control) != applies || !applies && ours.has(control) {
                self.differ(said, &format!("{direction} applies: {applies}"), ours);
            }
        }
    }

    /// A load balancer is denied if and only if it has sources that are not allowed.
    fn add_service(&mut self, said: &Said, ours: &Verdict) {
        if let Some(within) = said.within {
            self.count("services: the sources of a load balancer are allowed", within);
        }
        if ours.has("sourceRanges") != (said.within == Some(false)) {
            self.differ(said, &format!("its sources are allowed: {:?}", said.within), ours);
        }
    }
}
