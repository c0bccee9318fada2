//! Histories: objects that are older than the policies, and what people, controllers and operators do with them after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podfence_scan::AdmissionRequest;
use podfence_scan::request::{GroupVersionKind, Metadata, creation};
use serde_json::{Value, json};

use crate::client::{Client, Reply};
use crate::configuration::{Installed, Modules, in_namespace, install};
use crate::kubelet::Kubelet;
use crate::refusals::REFUSALS;
use crate::samples::{self, Kind, good, good_container, kind, kinds};
use crate::wait::{Late, until};
use crate::webhook::{Call, Webhook};

/// Policies that are installed together, in a namespace of their own.
pub struct Set {
    /// The namespace.
    pub name: String,
    /// The documents of the policies.
    pub documents: Vec<Value>,
    /// Pods to try, of which the first is taken that these policies reject, or mend where they change objects.
    pub bad: Vec<Value>,
}

/// What histories need.
pub struct World<'w> {
    /// The administrator.
    pub client: &'w Client,
    /// What the policies are asked through.
    pub webhook: &'w Webhook,
    /// What runs the pods.
    pub kubelet: &'w Kubelet,
    /// What judges.
    pub modules: &'w Modules,
}

/// What became of a set.
#[derive(Default)]
pub struct Outcome {
    /// What is not right.
    pub problems: Vec<String>,
    /// The refusals that were met, by their place in [`REFUSALS`].
    pub refused: BTreeMap<usize, usize>,
    /// How many requests the policies judged.
    pub judged: usize,
    /// How many pods started under the policies.
    pub started: usize,
}

/// Kinds, and what is left without an owner of each.
const ORPHANS: [(&str, &str); 6] = [
    ("ReplicationController", "Pod"),
    ("ReplicaSet", "Pod"),
    ("Deployment", "ReplicaSet"),
    ("StatefulSet", "Pod"),
    ("DaemonSet", "Pod"),
    ("Job", "Pod"),
];

/// The label of pods that the injector adds a container to.
const INJECT: &str = "inject";

/// A history in the making.
struct History<'w> {
    world: &'w World<'w>,
    set: &'w Set,
    installed: Vec<Installed>,
    bad: Value,
    is_mending: bool,
    problems: Vec<String>,
}

/// Runs the history of a set.
pub fn run(world: &World<'_>, set: &Set) -> Outcome {
    let mut history = match History::begin(world, set) {
        Ok(history) => history,
        Err(late) => return Outcome { problems: vec![late.0], ..Outcome::default() },
    };
    let mut outcome = Outcome::default();
    if let Err(late) = history.go_on(&mut outcome) {
        history.problems.push(late.0);
    }
    for of in &history.installed {
        let name = &of.configuration["metadata"]["name"].as_str().unwrap_or_default();
        world.client.delete(&format!("{CONFIGURATIONS}/{}/{name}", of.collection), "Background");
    }
    outcome.problems.append(&mut history.problems);
    world.webhook.forget(&set.name);
    for problem in &mut outcome.problems {
        *problem = format!("{}: {problem}", set.name);
    }
    outcome
}

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1";

impl<'w> History<'w> {
    /// Makes the namespace, and finds a pod that the policies reject or mend.
    fn begin(world: &'w World<'w>, set: &'w Set) -> Result<Self, Late> {
        let client = world.client;
        let name = &set.name;
        client.create("/api/v1/namespaces", &json!({"metadata": {"name": name}}));
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        until(|| format!("{name}: its service account"), || client.get(&account).is_done().then_some(()))?;
        let prepare = |document: &Value| {
            let title = document["metadata"]["name"].as_str().unwrap_or_default();
            install(&in_namespace(document, name, &format!("{name}-{title}")), world.modules, world.webhook)
        };
        let installed: Vec<Installed> = set.documents.iter().map(prepare).collect();
        let is_mending = installed.iter().any(is_mutating);
        let mut history = Self { world, set, installed, bad: Value::Null, is_mending, problems: Vec::new() };
        // Some policies add what they do not demand.
        let mut fit = set.bad.iter().find(|pod| history.is_fit(pod, true));
        if fit.is_none() && history.is_mending {
            fit = set.bad.iter().find(|pod| history.is_fit(pod, false));
        }
        history.bad = fit.cloned().ok_or_else(|| Late("no pod that the policies reject".to_owned()))?;
        Ok(history)
    }

    /// Whether the API server takes such objects, and the policies reject them, or mend them if they change any.
    fn is_fit(&self, pod: &Value, is_rejected: bool) -> bool {
        let dry = |kind: Kind, pod: &Value| {
            let path = format!("{}?dryRun=All", kind.collection(&self.set.name));
            self.world.client.create(&path, &kind.object("sample", pod, "bad"))
        };
        let made = dry(kind("Pod"), pod);
        made.is_done()
            && ["Deployment", "CronJob", "DaemonSet"].iter().all(|name| dry(kind(name), pod).is_done())
            && self.accepts(&made.object) != is_rejected
            && (!self.is_mending || self.mended(&made.object).is_some_and(|of| of != made.object && self.accepts(&of)))
    }

    /// Whether one of the policies that judge is asked about updates of Jobs.
    fn judges_updates_of_jobs(&self) -> bool {
        let has = |rule: &Value, key: &str, value: &str| {
            rule[key].as_array().is_some_and(|values| values.iter().any(|of| of == value))
        };
        let judging = self.installed.iter().filter(|of| !is_mutating(of));
        let mut rules =
            judging.flat_map(|of| of.configuration["webhooks"][0]["rules"].as_array().into_iter().flatten());
        rules.any(|rule| has(rule, "resources", "jobs") && has(rule, "operations", "UPDATE"))
    }

    fn creation(&self, object: &Value) -> AdmissionRequest {
        let of = Metadata { name: object["metadata"]["name"].as_str(), namespace: Some(&self.set.name), uid: None };
        AdmissionRequest { object: Some(object.clone()), ..creation(GroupVersionKind::new("v1", "Pod"), &of, 0) }
    }

    /// Whether the policies that judge let a Pod be created as it is.
    fn accepts(&self, pod: &Value) -> bool {
        let request = self.creation(pod);
        let judging = self.installed.iter().filter(|of| !is_mutating(of));
        judging.filter_map(|of| (of.judge)(&request)).all(|response| response.allowed)
    }

    /// A Pod as the policies change it; `None` if they reject it.
    fn mended(&self, pod: &Value) -> Option<Value> {
        let mut pod = pod.clone();
        for of in self.installed.iter().filter(|of| is_mutating(of)) {
            let response = (of.judge)(&self.creation(&pod))?;
            if !response.allowed {
                return None;
            }
            if let Some(operations) = response.patch_operations() {
                let patch: json_patch::Patch = serde_json::from_value(operations).ok()?;
                json_patch::patch(&mut pod, &patch).ok()?;
            }
        }
        Some(pod)
    }

    fn path(&self, kind: Kind, name: &str) -> String {
        format!("{}/{name}", kind.collection(&self.set.name))
    }

    fn get(&self, kind: Kind, name: &str) -> Value {
        self.world.client.get(&self.path(kind, name)).object
    }

    /// Creates an object with a pod of which this is said.
    fn create(&self, kind: Kind, name: &str, says: &str) -> Reply {
        let pod = if says == "bad" { self.bad.clone() } else { good() };
        self.world.client.create(&kind.collection(&self.set.name), &kind.object(name, &pod, says))
    }

    fn merge(&self, kind: Kind, name: &str, patch: &Value) -> Reply {
        self.world.client.merge(&self.path(kind, name), patch)
    }

    /// Notes an act that was not done.
    fn done(&mut self, what: &str, reply: &Reply) {
        if !reply.is_done() {
            self.problems.push(format!("{what}: {} {}", reply.status, reply.message()));
        }
    }

    /// Notes an act that was done, or failed for another reason than a policy.
    fn denied(&mut self, what: &str, reply: &Reply) {
        if !reply.is_denied() {
            self.problems.push(format!("{what}: not denied: {} {}", reply.status, reply.message()));
        }
    }

    /// An act with a pod that violates the policies: denied, unless they mend it. Whether it was done.
    fn judged(&mut self, what: &str, reply: &Reply) -> bool {
        match self.is_mending {
            true => self.done(what, reply),
            false => self.denied(what, reply),
        }
        reply.is_done()
    }

    fn go_on(&mut self, outcome: &mut Outcome) -> Result<(), Late> {
        for kind in kinds() {
            for (name, says) in [("bad-a", "bad"), ("bad-f", "bad"), ("bad-o", "bad"), ("good-a", "good")] {
                let reply = self.create(kind, name, says);
                self.done(&format!("create {} {name} before the policies", kind.kind), &reply);
            }
        }
        for (name, pod) in [("bad-s", &self.bad), ("good-s", &good())] {
            let of = kind("Job");
            let mut job = of.object(name, pod, name.trim_end_matches("-s"));
            job["spec"]["suspend"] = json!(true);
            let reply = self.world.client.create(&of.collection(&self.set.name), &job);
            if !reply.is_done() {
                return Err(Late(format!("create Job {name} before the policies: {}", reply.message())));
            }
        }
        for kind in kinds() {
            for name in ["bad-a", "bad-f", "bad-o", "good-a"] {
                self.settles(kind, name)?;
            }
        }
        let before: BTreeSet<String> = self.world.kubelet.ran(&self.set.name).into_keys().collect();
        self.install()?;
        for kind in kinds() {
            self.touch(kind);
            self.scale(kind)?;
            self.change(kind)?;
        }
        self.suspend()?;
        self.queue()?;
        self.debug();
        self.replace_replica_sets()?;
        self.make_new()?;
        self.inject()?;
        self.check_cron_jobs()?;
        self.check_deployments();
        self.delete()?;
        self.check_calls(outcome);
        self.check_pods(&before, outcome);
        Ok(())
    }

    /// Adds the configurations, and waits until the API server asks each of them.
    fn install(&mut self) -> Result<(), Late> {
        for index in 0..self.installed.len() {
            let of = &self.installed[index];
            let reply = self.world.client.create(&format!("{CONFIGURATIONS}/{}", of.collection), &of.configuration);
            self.done("install", &reply);
        }
        let (client, webhook, set) = (self.world.client, self.world.webhook, self.set);
        let probe = kind("Pod").object("probe", &good(), "good");
        let path = format!("{}?dryRun=All", kind("Pod").collection(&set.name));
        let routes: BTreeSet<&str> = self.installed.iter().map(|of| of.route.as_str()).collect();
        let asked = || {
            let calls = webhook.calls(&set.name);
            calls.iter().map(|call| call.route.clone()).collect::<BTreeSet<_>>()
        };
        let missing = || {
            let asked = asked();
            routes.iter().filter(|route| !asked.contains(**route)).copied().collect::<Vec<_>>()
        };
        let mut last = String::new();
        until(
            || format!("calls of {:?}", missing()),
            || {
                let reply = client.create(&path, &probe);
                last = reply.message().to_owned();
                missing().is_empty().then_some(())
            },
        )?;
        if !last.is_empty() {
            self.problems.push(format!("a pod that every policy lets in is refused: {last}"));
        }
        Ok(())
    }

    /// Whether controllers have done what an object asks for.
    fn is_settled(kind: Kind, object: &Value) -> bool {
        let (spec, status) = (&object["spec"], &object["status"]);
        let is = |key: &str, wanted: &Value| status[key].as_u64().unwrap_or(0) == wanted.as_u64().unwrap_or(0);
        let is_observed = || status["observedGeneration"] == object["metadata"]["generation"];
        let replicas = &spec["replicas"];
        match kind.kind {
            "Pod" => status["phase"] == "Running",
            "ReplicationController" | "ReplicaSet" => {
                is_observed() && is("availableReplicas", replicas) && is("replicas", replicas)
            }
            "Deployment" => {
                let counts = ["replicas", "updatedReplicas", "availableReplicas"];
                is_observed() && counts.iter().all(|key| is(key, replicas))
            }
            "StatefulSet" => {
                let counts = ["replicas", "updatedReplicas", "readyReplicas"];
                is_observed()
                    && counts.iter().all(|key| is(key, replicas))
                    && status["currentRevision"] == status["updateRevision"]
            }
            "DaemonSet" => {
                let wanted = &status["desiredNumberScheduled"];
                let counts = ["updatedNumberScheduled", "numberAvailable"];
                is_observed() && wanted.as_u64() > Some(0) && counts.iter().all(|key| is(key, wanted))
            }
            "Job" => match spec["suspend"] == true {
                true => is("active", &json!(0)),
                false => is("active", &json!(1)) && is("ready", &json!(1)),
            },
            _ => true,
        }
    }

    /// An act on the good or the bad object, which settles after it if it was done.
    fn settles_if_done(&mut self, kind: Kind, name: &str, what: &str, reply: &Reply) -> Result<(), Late> {
        let is_done = if name == "good-a" {
            self.done(what, reply);
            true
        } else {
            self.judged(what, reply)
        };
        if is_done { self.settles(kind, name) } else { Ok(()) }
    }

    fn settles(&self, kind: Kind, name: &str) -> Result<(), Late> {
        let title = || format!("{} {name}: {}", kind.kind, self.get(kind, name)["status"]);
        until(title, || Self::is_settled(kind, &self.get(kind, name)).then_some(()))
    }

    /// Waits until a controller is refused a pod of this object.
    fn is_refused_pods(&self, kind: Kind, name: &str, since: usize) -> Result<(), Late> {
        let wanted = kind.app(name);
        let is_it = |call: &Call| {
            let app = call.request.object.as_ref().and_then(|object| object.pointer("/metadata/labels/app"));
            !call.is_allowed() && call.request.operation == "CREATE" && app.is_some_and(|app| *app == wanted)
        };
        let user = match kind.kind {
            "Deployment" => "replicaset-controller".to_owned(),
            "ReplicationController" => "replication-controller".to_owned(),
            "DaemonSet" => "daemon-set-controller".to_owned(),
            other => format!("{}-controller", other.to_lowercase()),
        };
        let by = |call: &Call| call.request.user_info.username.as_ref().is_some_and(|of| of.ends_with(&user));
        until(
            || format!("{} {name}: a pod of {user} is refused", kind.kind),
            || {
                let calls = self.world.webhook.calls(&self.set.name);
                calls[since.min(calls.len())..].iter().any(|call| by(call) && is_it(call)).then_some(())
            },
        )
    }

    fn calls_so_far(&self) -> usize {
        self.world.webhook.calls(&self.set.name).len()
    }

    /// What leaves the pod as it is.
    fn touch(&mut self, kind: Kind) {
        for name in ["bad-a", "good-a"] {
            for (what, patch) in [
                ("label", json!({"metadata": {"labels": {"act": "label"}}})),
                ("annotate", json!({"metadata": {"annotations": {"act": "annotate"}}})),
                ("hold", json!({"metadata": {"finalizers": ["podfence.test/held"]}})),
                ("let go", json!({"metadata": {"finalizers": null}})),
            ] {
                let reply = self.merge(kind, name, &patch);
                self.done(&format!("{what} {} {name}", kind.kind), &reply);
            }
        }
    }

    fn scale(&mut self, kind: Kind) -> Result<(), Late> {
        if kind.kind == "DaemonSet" {
            return self.replace_pods(kind);
        }
        if !matches!(kind.kind, "ReplicationController" | "ReplicaSet" | "Deployment" | "StatefulSet" | "Rollout") {
            return Ok(());
        }
        for name in ["bad-a", "good-a"] {
            for replicas in [2, 1] {
                let since = self.calls_so_far();
                let what = format!("scale {} {name} to {replicas}", kind.kind);
                let patch = json!({"spec": {"replicas": replicas}});
                // People scale through the subresource, others through the object.
                let is_people = name == "good-a" && kind != samples::CUSTOM;
                let path = if is_people { format!("{name}/scale") } else { name.to_owned() };
                let reply = self.merge(kind, &path, &patch);
                self.done(&what, &reply);
                if kind == samples::CUSTOM {
                    continue;
                }
                if replicas == 2 && name == "bad-a" && !self.is_mending {
                    self.is_refused_pods(kind, name, since)?;
                } else {
                    self.settles(kind, name)?;
                }
            }
        }
        Ok(())
    }

    /// A controller makes a pod anew that was deleted.
    fn replace_pods(&mut self, of: Kind) -> Result<(), Late> {
        for name in ["bad-a", "good-a"] {
            let since = self.calls_so_far();
            let path = format!("{}?labelSelector=app%3D{}", kind("Pod").collection(&self.set.name), of.app(name));
            for pod in self.world.client.list(&path) {
                let pod = self.path(kind("Pod"), pod["metadata"]["name"].as_str().unwrap_or_default());
                let reply = self.world.client.delete(&pod, "Background");
                self.done(&format!("delete a pod of {} {name}", of.kind), &reply);
            }
            if name == "bad-a" && !self.is_mending {
                self.is_refused_pods(of, name, since)?;
            } else {
                self.settles(of, name)?;
            }
        }
        Ok(())
    }

    /// Another template: restarts, images, repairs and rollbacks.
    fn change(&mut self, kind: Kind) -> Result<(), Late> {
        if matches!(kind.kind, "Pod" | "Job") {
            if kind.kind == "Pod" {
                let of = |name: &str| kind.patch_of(self.other_image(&self.get(kind, name)));
                let (bad, good) = (of("bad-a"), of("good-a"));
                let reply = self.merge(kind, "good-a", &good);
                self.done("change the image of Pod good-a", &reply);
                // Nothing mends a pod that runs. An image is not evaluated by the policy that evaluates resizes.
                let is_bad = !self.accepts(&self.get(kind, "bad-a")) && self.set.name != "alone-resources";
                let reply = self.merge(kind, "bad-a", &bad);
                let what = "change the image of Pod bad-a";
                if is_bad { self.denied(what, &reply) } else { self.done(what, &reply) }
            }
            return Ok(());
        }
        for name in ["bad-a", "good-a"] {
            let original = self.get(kind, name);
            let restart = kind.patch_of(json!({"metadata": {"annotations": {"restarted": "1"}}}));
            let image = kind.patch_of(self.other_image(kind.pod_of(&original)));
            for (what, patch) in [("restart", restart), ("change the image of", image)] {
                let reply = self.merge(kind, name, &patch);
                let what = format!("{what} {} {name}", kind.kind);
                self.settles_if_done(kind, name, &what, &reply)?;
            }
            if name == "bad-a" {
                let reply = self.put_pod(kind, name, kind.pod_of(&kind.object(name, &good(), "good")));
                self.done(&format!("repair {} {name}", kind.kind), &reply);
                self.settles(kind, name)?;
            }
            let reply = self.put_pod(kind, name, kind.pod_of(&original));
            let what = format!("roll back {} {name}", kind.kind);
            self.settles_if_done(kind, name, &what, &reply)?;
        }
        Ok(())
    }

    /// A patch of a pod with another image, which makes it neither better nor worse.
    fn other_image(&self, pod: &Value) -> Value {
        let patches = ["registry.example.com/app:2", "busybox"].map(|image| {
            let mut containers = pod["spec"]["containers"].clone();
            containers[0]["image"] = json!(image);
            json!({"spec": {"containers": containers}})
        });
        let is_alike = |patch: &&Value| {
            let mut changed = pod.clone();
            json_patch::merge(&mut changed, patch);
            self.accepts(&changed) == self.accepts(pod)
        };
        patches.iter().find(is_alike).unwrap_or(&patches[0]).clone()
    }

    /// Replaces the whole pod in an object.
    fn put_pod(&self, kind: Kind, name: &str, pod: &Value) -> Reply {
        let pointer = format!("/{}", kind.template.replace('.', "/"));
        let patch = json!([{"op": "replace", "path": pointer, "value": pod}]);
        self.world.client.request("PATCH", &self.path(kind, name), "application/json-patch+json", Some(&patch))
    }

    fn suspend(&mut self) -> Result<(), Late> {
        for kind in [kind("Job"), kind("CronJob")] {
            for name in ["bad-a", "good-a"] {
                for is_suspended in [true, false] {
                    let since = self.calls_so_far();
                    let reply = self.merge(kind, name, &json!({"spec": {"suspend": is_suspended}}));
                    self.done(&format!("suspend {} {name}: {is_suspended}", kind.kind), &reply);
                    if kind.kind == "Job" && name == "bad-a" && !is_suspended && !self.is_mending {
                        self.is_refused_pods(kind, name, since)?;
                    } else {
                        self.settles(kind, name)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A queue of Jobs says where a suspended one is to run, and resumes it.
    fn queue(&mut self) -> Result<(), Late> {
        let of = kind("Job");
        for name in ["bad-s", "good-s"] {
            let since = self.calls_so_far();
            let place = of.patch_of(json!({"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}));
            let reply = self.merge(of, name, &place);
            let what = format!("give a node selector to Job {name}");
            // Policies that mend let it through, and so do their twins: nobody else could change the template.
            if name == "good-s" || !self.judges_updates_of_jobs() {
                self.done(&what, &reply);
            } else if !self.is_mending || !reply.is_done() {
                self.denied(&what, &reply);
            }
            let reply = self.merge(of, name, &json!({"spec": {"suspend": false}}));
            self.done(&format!("resume Job {name}"), &reply);
            if name == "bad-s" && !self.is_mending {
                self.is_refused_pods(of, name, since)?;
            } else {
                self.settles(of, name)?;
            }
        }
        Ok(())
    }

    /// Debug containers, in pods of before and in repaired ones.
    fn debug(&mut self) {
        let pod = kind("Pod");
        for name in ["bad-f", "good-a"] {
            for (title, container) in [("good", good_container("debug-good")), ("bare", json!({"name": "debug-bare"}))]
            {
                let mut container = container;
                if container["image"].is_null() {
                    container["image"] = json!("busybox");
                }
                let path = format!("{}/ephemeralcontainers", self.path(pod, name));
                let reply =
                    self.world.client.merge_by_name(&path, &json!({"spec": {"ephemeralContainers": [container]}}));
                // On Windows, the API server itself takes none of them.
                let is_answered = reply.is_done() || reply.is_denied() || reply.status == 422;
                if name == "good-a" && title == "good" || !is_answered {
                    self.done(&format!("debug Pod {name} with a {title} container"), &reply);
                }
            }
        }
    }

    /// A Deployment makes its ReplicaSet anew.
    fn replace_replica_sets(&mut self) -> Result<(), Late> {
        let of = kind("ReplicaSet");
        for name in ["bad-f", "good-a"] {
            let since = self.calls_so_far();
            let owned = |client: &Client| {
                let sets = client.list(&of.collection(&self.set.name));
                let is_owned = |set: &Value| {
                    let owner = &set["metadata"]["ownerReferences"][0];
                    owner["kind"] == "Deployment" && owner["name"] == name && set["spec"]["replicas"] == 1
                };
                sets.into_iter().find(is_owned).unwrap_or_default()
            };
            let before = owned(self.world.client);
            let path = self.path(of, before["metadata"]["name"].as_str().unwrap_or_default());
            let reply = self.world.client.delete(&path, "Background");
            until(
                || format!("a ReplicaSet of {name} after the first one was deleted"),
                || {
                    let now = owned(self.world.client);
                    (now["metadata"]["uid"].is_string() && now["metadata"]["uid"] != before["metadata"]["uid"])
                        .then_some(())
                },
            )?;
            if name == "bad-f" && !self.is_mending {
                self.is_refused_pods(kind("Deployment"), name, since)?;
            } else {
                self.settles(kind("Deployment"), name)?;
            }
            self.done(&format!("delete the ReplicaSet of {name}"), &reply);
        }
        Ok(())
    }

    /// New objects, of people and of an operator.
    fn make_new(&mut self) -> Result<(), Late> {
        let operator = self.get(samples::CUSTOM, "good-a");
        let owner = |is_controller: bool| {
            json!([{
                "apiVersion": samples::CUSTOM.api_version(), "kind": samples::CUSTOM.kind, "name": "good-a",
                "uid": operator["metadata"]["uid"], "controller": is_controller,
            }])
        };
        for kind in kinds() {
            let reply = self.create(kind, "new-good", "good");
            self.done(&format!("create {} new-good", kind.kind), &reply);
            let mut owned = kind.object("owned-good", &good(), "good");
            owned["metadata"]["ownerReferences"] = owner(true);
            let reply = self.world.client.create(&kind.collection(&self.set.name), &owned);
            self.done(&format!("create {} owned-good of an operator", kind.kind), &reply);
            let reply = self.create(kind, "new-bad", "bad");
            let is_done = self.judged(&format!("create {} new-bad", kind.kind), &reply);
            self.settles(kind, "new-good")?;
            self.settles(kind, "owned-good")?;
            if is_done {
                self.settles(kind, "new-bad")?;
            }
        }
        Ok(())
    }

    /// An injector whose configuration comes after ours adds a container that says nothing.
    fn inject(&mut self) -> Result<(), Late> {
        if !self.is_mending {
            return Ok(());
        }
        let (client, webhook) = (self.world.client, self.world.webhook);
        let name = format!("istio-{}", self.set.name);
        let route = format!("/inject/{}", self.set.name);
        webhook.route(&route, Arc::new(inject));
        let labels = json!({"matchLabels": {INJECT: "yes"}});
        let namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": self.set.name}});
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": "injector.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("{}{route}", webhook.url), "caBundle": webhook.ca_bundle},
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"],
                }],
                "namespaceSelector": namespace, "objectSelector": labels,
            }],
        });
        let reply = client.create(&format!("{CONFIGURATIONS}/mutatingwebhookconfigurations"), &configuration);
        self.done("install the injector", &reply);
        let mut pod = kind("Pod").object("injected", &good(), "bad");
        pod["metadata"]["labels"][INJECT] = json!("yes");
        let path = kind("Pod").collection(&self.set.name);
        let is_injected = |call: &Call| call.route == route;
        until(
            || "the injector is asked".to_owned(),
            || {
                client.create(&format!("{path}?dryRun=All"), &pod);
                webhook.calls(&self.set.name).iter().any(is_injected).then_some(())
            },
        )?;
        let reply = client.create(&path, &pod);
        let calls = webhook.calls(&self.set.name);
        let has_injected = |call: &Call| {
            let containers = call.request.object.as_ref().and_then(|object| object["spec"]["containers"].as_array());
            containers.is_some_and(|containers| containers.iter().any(|container| container["name"] == "injected"))
        };
        let twins: BTreeSet<&str> =
            self.installed.iter().filter(|of| !is_mutating(of)).map(|of| of.route.as_str()).collect();
        let saw: BTreeSet<&str> =
            calls.iter().filter(|call| has_injected(call)).map(|call| call.route.as_str()).collect();
        if !twins.is_subset(&saw) {
            self.problems.push(format!("what was injected is seen by {saw:?} alone"));
        }
        let mut seen = pod.clone();
        if let Some(containers) = seen["spec"]["containers"].as_array_mut() {
            containers.push(json!({"name": "injected", "image": "injector"}));
        }
        // The pod's own profile counts for the container as well, and some policies ask for nothing.
        if self.accepts(&seen) {
            self.done("create a pod with an injected container that violates nothing", &reply);
        } else {
            self.denied("create a pod with an injected container", &reply);
        }
        client.delete(&format!("{CONFIGURATIONS}/mutatingwebhookconfigurations/{name}"), "Background");
        Ok(())
    }

    /// CronJobs go on: the good one, and the bad one where its Jobs are mended; otherwise they are refused.
    fn check_cron_jobs(&mut self) -> Result<(), Late> {
        let namespace = &self.set.name;
        let made_job = |name: &str, is_allowed: bool| {
            let calls = self.world.webhook.calls(namespace);
            let mut jobs = calls.into_iter().filter(|call| {
                let user = call.request.user_info.username.as_deref().unwrap_or_default();
                user.ends_with("cronjob-controller") && call.request.kind.kind == "Job"
            });
            let is_it = |call: &Call| call.name().starts_with(name) && call.is_allowed() == is_allowed;
            jobs.any(|call| is_it(&call)).then_some(())
        };
        until(|| "a Job of CronJob good-a".to_owned(), || made_job("good-a-", true))?;
        until(|| "a Job of CronJob bad-f".to_owned(), || made_job("bad-f-", self.is_mending))?;
        let ended = |name: &str| {
            let jobs = self.world.client.list(&kind("Job").collection(namespace));
            let is_it = |job: &Value| {
                job["metadata"]["name"].as_str().is_some_and(|of| of.starts_with(name))
                    && job["status"]["succeeded"] == 1
            };
            jobs.iter().any(is_it).then_some(())
        };
        until(|| "a Job of CronJob good-a ends".to_owned(), || ended("good-a-"))
    }

    /// No Deployment ran in circles.
    fn check_deployments(&mut self) {
        let client = self.world.client;
        let sets = client.list(&kind("ReplicaSet").collection(&self.set.name));
        for deployment in client.list(&kind("Deployment").collection(&self.set.name)) {
            let name = deployment["metadata"]["name"].as_str().unwrap_or_default();
            let collisions = &deployment["status"]["collisionCount"];
            if !collisions.is_null() && collisions != 0 {
                self.problems.push(format!("Deployment {name}: collisionCount {collisions}"));
            }
            let is_owned = |set: &&Value| set["metadata"]["ownerReferences"][0]["uid"] == deployment["metadata"]["uid"];
            // The original, restarted, with another image, repaired.
            let owned = sets.iter().filter(is_owned).count();
            if owned > 5 {
                self.problems.push(format!("Deployment {name}: {owned} ReplicaSets"));
            }
        }
    }

    /// Deletes in all three ways, and then the namespace.
    fn delete(&mut self) -> Result<(), Late> {
        let client = self.world.client;
        let ways = [("bad-a", "Background"), ("bad-f", "Foreground"), ("bad-o", "Orphan"), ("good-a", "Foreground")];
        for kind in kinds() {
            for (name, way) in ways {
                let reply = client.delete(&self.path(kind, name), way);
                self.done(&format!("delete {} {name}: {way}", kind.kind), &reply);
            }
        }
        for kind in kinds() {
            for (name, way) in ways {
                let path = self.path(kind, name);
                let is_gone = || (client.get(&path).status == 404).then_some(());
                until(
                    || format!("the end of {} {name}: {way}: {}", kind.kind, self.get(kind, name)["metadata"]),
                    is_gone,
                )?;
            }
        }
        for (owner, left) in ORPHANS {
            let app = kind(owner).app("bad-o");
            let path = format!("{}?labelSelector=app%3D{app}", kind(left).collection(&self.set.name));
            if client.list(&path).iter().all(|of| of["metadata"]["ownerReferences"].is_array()) {
                self.problems.push(format!("{owner} bad-o left no orphaned {left}"));
            }
        }
        let path = format!("/api/v1/namespaces/{}", self.set.name);
        client.delete(&path, "Background");
        let left = || client.get(&path).object["status"]["conditions"].to_string();
        until(|| format!("the end of the namespace: {}", left()), || (client.get(&path).status == 404).then_some(()))
    }

    /// Refusals are those that are listed, and each answer is a judgement.
    fn check_calls(&mut self, outcome: &mut Outcome) {
        let routes: BTreeSet<String> = self.installed.iter().map(|of| of.route.clone()).collect();
        for call in self.world.webhook.calls(&self.set.name) {
            if !routes.contains(&call.route) || call.request.dry_run == Some(true) {
                continue;
            }
            outcome.judged += 1;
            let request = &call.request;
            let user = request.user_info.username.as_deref().unwrap_or_default();
            let sub_resource = request.sub_resource.as_deref().map(|of| format!("/{of}")).unwrap_or_default();
            let title = format!("{user} {} {}{sub_resource} {}", request.operation, request.kind.kind, call.name());
            let Some(response) = &call.response else {
                self.problems.push(format!("{title}: asked, though the rules do not match"));
                continue;
            };
            if response.status.as_ref().is_some_and(|status| status.code == Some(500)) {
                self.problems.push(format!("{title}: {}", response.message()));
            }
            if response.allowed {
                continue;
            }
            match self.refusal(&call, user, &format!("{}{sub_resource}", request.kind.kind)) {
                Some(index) => *outcome.refused.entry(index).or_default() += 1,
                None => self.problems.push(format!("{title}: refused by {}: {}", call.route, response.message())),
            }
        }
    }

    /// The entry of [`REFUSALS`] that a refusal is.
    fn refusal(&self, call: &Call, user: &str, title: &str) -> Option<usize> {
        let of = samples::kinds().into_iter().find(|kind| kind.kind == call.request.kind.kind)?;
        let object = call.request.object.as_ref()?;
        let pod = of.pod_of(object);
        let is_bad = pod["metadata"]["labels"]["pod"] == "bad" || title.ends_with("/ephemeralcontainers");
        let old = call.request.old_object.as_ref().map(|old| of.pod_of(old));
        // What runs stays as it was: nothing to refuse.
        let is_new = old.is_none_or(|old| match of.template {
            "" => old["spec"] != pod["spec"],
            _ => old != pod,
        });
        if !is_bad || !is_new {
            return None;
        }
        let is_injected = pod["metadata"]["labels"][INJECT] == "yes";
        REFUSALS.iter().position(|refusal| {
            user.ends_with(refusal.user)
                && call.request.operation == refusal.operation
                && (refusal.kinds.is_empty() || refusal.kinds.contains(&title))
                && (!self.is_mending || refusal.where_mended)
                && (is_injected || !refusal.reason.contains("injector"))
        })
    }

    /// What started under the policies was judged by each of them, and is as they want it.
    fn check_pods(&mut self, before: &BTreeSet<String>, outcome: &mut Outcome) {
        let mut judged: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for call in self.world.webhook.calls(&self.set.name) {
            let request = &call.request;
            let is_pod = request.kind.kind == "Pod" && request.sub_resource.as_deref().unwrap_or_default().is_empty();
            if is_pod && request.operation == "CREATE" && call.is_allowed() && request.dry_run != Some(true) {
                judged.entry(call.name().to_owned()).or_default().insert(call.route.clone());
            }
        }
        for (uid, pod) in self.world.kubelet.ran(&self.set.name) {
            if before.contains(&uid) {
                continue;
            }
            outcome.started += 1;
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let by = judged.get(name);
            // What changes a pod is asked before the pod has its name; its twin is asked after.
            for of in self.installed.iter().filter(|of| !is_mutating(of)) {
                if by.is_none_or(|by| !by.contains(&of.route)) {
                    self.problems.push(format!("Pod {name} runs, and {} did not judge it", of.route));
                }
            }
            if !self.accepts(&pod) {
                self.problems.push(format!("Pod {name} runs, and the policies would reject it: {}", pod["spec"]));
            }
        }
    }
}

fn is_mutating(of: &Installed) -> bool {
    of.collection == "mutatingwebhookconfigurations"
}

/// Adds a container that says nothing of its security.
fn inject(request: &AdmissionRequest) -> Option<podfence_host::AdmissionResponse> {
    use base64::Engine as _;
    let patch = json!([{
        "op": "add", "path": "/spec/containers/-", "value": {"name": "injected", "image": "injector"},
    }]);
    Some(podfence_host::AdmissionResponse {
        uid: request.uid.clone(),
        allowed: true,
        patch_type: Some("JSONPatch".to_owned()),
        patch: Some(base64::engine::general_purpose::STANDARD.encode(patch.to_string())),
        ..podfence_host::AdmissionResponse::default()
    })
}
