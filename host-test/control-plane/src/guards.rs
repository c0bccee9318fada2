//! The policies for other objects than pods in the living cluster: what people write meets them, and what the API server
//! and its controllers write by themselves is let in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::Stdio;

use podfence_cluster::deploy::{self, Options};
use podfence_cluster::policy::policy_of;
use podfence_core::Kind;
use podfence_fixtures::{Expectation, Subject, Suite};
use podfence_host::Mode;
use podfence_reference::case::Case;
use podfence_reference::compare::Oracle;
use podfence_reference::opinion::Opinion;
use podfence_reference::opinions::OPINIONS;
use serde_json::{Map, Value, json};

use crate::client::Reply;
use crate::configuration::{Installed, install};
use crate::control_plane::ControlPlane;
use crate::histories::World;
use crate::wait::{Late, until};
use crate::webhook::Call;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What is not right.
    pub problems: Vec<String>,
    /// What people wrote, by the policy: let in, rejected, and not taken by the API server.
    pub written: BTreeMap<&'static str, [usize; 3]>,
    /// What the cluster wrote, by the user and the kind: how much, and how much of that nobody else may write.
    pub own: BTreeMap<String, [usize; 2]>,
}

/// The namespace of what people write.
const NAMESPACE: &str = "guards";

/// What is drawn for each policy, besides the objects of its fixtures.
const DRAWN: u64 = 400;

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1";

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// The label of what the aggregation controller collects here.
const AGGREGATED: &str = "podfence.test/aggregated";

/// Who collects it.
const AGGREGATOR: &str = "system:serviceaccount:kube-system:clusterrole-aggregation-controller";

/// Who the API server is to itself.
const API_SERVER: &str = "system:apiserver";

/// Objects that the API server makes when it misses them, by their collections.
const BUILT_IN: [(&str, &str); 4] = [
    ("ClusterRole", "clusterroles"),
    ("ClusterRoleBinding", "clusterrolebindings"),
    ("Role", "roles"),
    ("RoleBinding", "rolebindings"),
];

/// Checks all of it. It takes away what makes the cluster, so that nothing can be checked after it.
pub fn check(world: &World<'_>, plane: &ControlPlane) -> Found {
    let mut here = Here { world, installed: Vec::new(), found: Found::default() };
    if let Err(late) = here.run(plane) {
        here.found.problems.push(format!("guards: {}", late.0));
    }
    here.uninstall();
    here.found
}

struct Here<'w> {
    world: &'w World<'w>,
    installed: Vec<Installed>,
    found: Found,
}

/// A kind, an object of it that its policy accepts, and patches of that.
struct Guarded {
    policy: &'static str,
    kind: Kind,
    good: Value,
    /// What its policy rejects.
    bad: Value,
    /// The same, and beside it something that the policy accepts.
    more: Value,
    /// The text of the rejection.
    text: &'static str,
}

fn guarded() -> Vec<Guarded> {
    let group = "rbac.authorization.k8s.io";
    let roles = |kind: Kind| {
        let rule = |resource: &str| json!({"apiGroups": [""], "resources": [resource], "verbs": ["list"]});
        Guarded {
            policy: "roles",
            kind,
            good: json!({"rules": [rule("configmaps")]}),
            bad: json!({"rules": [rule("secrets")]}),
            more: json!({"rules": [rule("configmaps"), rule("secrets")]}),
            text: "secrets (rules[0] must not grant list or watch on secrets, nor get without resourceNames)",
        }
    };
    let bindings = |kind: Kind| {
        let subject = |kind: &str, name: &str| json!({"apiGroup": group, "kind": kind, "name": name});
        let (jane, all) = (subject("User", "jane"), subject("Group", "system:authenticated"));
        Guarded {
            policy: "role-bindings",
            kind,
            good: json!({
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"}, "subjects": [jane],
            }),
            bad: json!({"subjects": [all]}),
            more: json!({"subjects": [jane, all]}),
            text: "group (subjects[0] must not be Group \"system:authenticated\"; deniedGroups: \
                   [\"system:unauthenticated\",\"system:authenticated\",\"system:masters\",\"system:serviceaccounts\",\
                   \"system:serviceaccounts:*\"])",
        }
    };
    let peers = json!({"from": [{"podSelector": {}}]});
    vec![
        roles(Kind::namespaced(group, "Role", "roles")),
        roles(Kind::of_cluster(group, "ClusterRole", "clusterroles")),
        bindings(Kind::namespaced(group, "RoleBinding", "rolebindings")),
        bindings(Kind::of_cluster(group, "ClusterRoleBinding", "clusterrolebindings")),
        Guarded {
            policy: "network-policies",
            kind: Kind::namespaced("networking.k8s.io", "NetworkPolicy", "networkpolicies"),
            good: json!({"spec": {"podSelector": {}, "ingress": [peers]}}),
            bad: json!({"spec": {"ingress": [{}]}}),
            more: json!({"spec": {"ingress": [peers, {}]}}),
            text: "ingress from everywhere (spec.ingress[0] must name peers in from)",
        },
        Guarded {
            policy: "services",
            kind: Kind::namespaced("", "Service", "services"),
            good: json!({"spec": {"ports": [{"port": 80}]}}),
            bad: json!({"spec": {"externalIPs": ["192.0.2.1"]}}),
            more: json!({"spec": {"externalIPs": ["192.0.2.1"], "sessionAffinity": "ClientIP"}}),
            text: "external IP (spec.externalIPs must not have \"192.0.2.1\"; allowedExternalIPs: [])",
        },
    ]
}

impl Guarded {
    /// A whole object, good or with a patch.
    fn object(&self, name: &str, patch: &Value) -> Value {
        let mut object = self.good.clone();
        json_patch::merge(&mut object, patch);
        named(&self.kind, object, name)
    }
}

/// The path of the objects of a kind.
fn collection(kind: &Kind) -> String {
    let version = match kind.group {
        "" => "/api/v1".to_owned(),
        group => format!("/apis/{group}/v1"),
    };
    match kind.is_namespaced {
        true => format!("{version}/namespaces/{NAMESPACE}/{}", kind.plural),
        false => format!("{version}/{}", kind.plural),
    }
}

/// An object as one of a kind.
fn named(kind: &Kind, mut object: Value, name: &str) -> Value {
    object["apiVersion"] = json!(if kind.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", kind.group) });
    object["kind"] = json!(kind.kind);
    object["metadata"] = json!({"name": name});
    if kind.is_namespaced {
        object["metadata"]["namespace"] = json!(NAMESPACE);
    }
    object
}

impl Here<'_> {
    fn run(&mut self, plane: &ControlPlane) -> Result<(), Late> {
        let client = self.world.client;
        client.create("/api/v1/namespaces", &json!({"metadata": {"name": NAMESPACE}}));
        let account = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default");
        until(|| "guards: its service account".to_owned(), || client.get(&account).is_done().then_some(()))?;
        let guarded = guarded();
        for of in &guarded {
            for (name, patch) in [("old-good", &json!({})), ("old-bad", &of.bad)] {
                let reply = client.create(&collection(&of.kind), &of.object(name, patch));
                self.done(&format!("create {} {name} before the policies", of.kind.kind), &reply);
            }
        }
        let source = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "guards-source", "labels": {AGGREGATED: "yes"}},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}],
        });
        let reply = client.create(&format!("{RBAC}/clusterroles"), &source);
        self.done("create what is aggregated", &reply);
        self.install(&guarded)?;
        for of in &guarded {
            self.act(of, plane);
        }
        self.check_samples();
        self.aggregate()?;
        self.restore(plane)
    }

    /// Removes the policies.
    fn uninstall(&mut self) {
        for of in self.installed.drain(..) {
            let name = of.configuration["metadata"]["name"].as_str().unwrap_or_default();
            self.world.client.delete(&format!("{CONFIGURATIONS}/{}/{name}", of.collection), "Background");
        }
    }

    fn done(&mut self, what: &str, reply: &Reply) {
        if !reply.is_done() {
            self.found.problems.push(format!("guards: {what}: {} {}", reply.status, reply.message()));
        }
    }

    /// The message of the API server where a policy rejects an object with a text.
    fn rejection(&self, policy: &str, text: &str) -> String {
        let of_policy = |of: &&Installed| of.configuration["metadata"]["annotations"]["kubewardenPolicyName"] == policy;
        let name = self.installed.iter().find(of_policy).map(|of| of.configuration["webhooks"][0]["name"].clone());
        let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
        format!("admission webhook \"{name}\" denied the request: {text}")
    }

    fn denied(&mut self, what: &str, of: &Guarded, reply: &Reply) {
        let expected = self.rejection(&document_name(of.policy), of.text);
        if reply.status != 403 || reply.message() != expected {
            let found = format!("{} {}", reply.status, reply.message());
            self.found.problems.push(format!("guards: {what}: expected 403 {expected}, found {found}"));
        }
    }

    /// Adds the policies, for every namespace, and waits until the API server asks each of them.
    fn install(&mut self, guarded: &[Guarded]) -> Result<(), Late> {
        let mut documents = deploy::documents(&Options::default(), "guards", Mode::Protect);
        for document in &mut documents {
            // What the cluster itself has in its namespaces is judged here as well.
            document["spec"].as_object_mut().map(|spec| spec.remove("namespaceSelector"));
        }
        self.installed = documents.iter().map(|of| install(of, self.world.modules, self.world.webhook)).collect();
        for index in 0..self.installed.len() {
            let of = &self.installed[index];
            let reply = self.world.client.create(&format!("{CONFIGURATIONS}/{}", of.collection), &of.configuration);
            self.done("install", &reply);
        }
        for of in guarded {
            let path = format!("{}?dryRun=All", collection(&of.kind));
            let is_asked = || self.world.client.create(&path, &of.object("probe", &of.bad)).is_denied().then_some(());
            until(|| format!("guards: {} is asked about a {}", of.policy, of.kind.kind), is_asked)?;
        }
        Ok(())
    }

    /// What people do with an object: with one of before the policies, and with new ones.
    fn act(&mut self, of: &Guarded, plane: &ControlPlane) {
        let (client, path, kind) = (self.world.client, collection(&of.kind), of.kind.kind);
        let reply = client.create(&path, &of.object("new-good", &json!({})));
        self.done(&format!("create {kind} new-good"), &reply);
        let reply = client.create(&path, &of.object("new-bad", &of.bad));
        self.denied(&format!("create {kind} new-bad"), of, &reply);
        self.read_by_kubectl(of, plane);
        let touch = json!({"metadata": {"labels": {"act": "label"}}});
        let (old_good, old_bad) = (format!("{path}/old-good"), format!("{path}/old-bad"));
        for (what, path, patch) in [
            ("label old-bad", &old_bad, &touch),
            ("add to old-bad what is accepted", &old_bad, &of.more),
            ("label new-good", &format!("{path}/new-good"), &touch),
        ] {
            let reply = client.merge(path, patch);
            self.done(&format!("{kind}: {what}"), &reply);
        }
        let reply = client.merge(&old_good, &of.bad);
        self.denied(&format!("{kind}: make old-good bad"), of, &reply);
        let mended = match of.kind.kind {
            "Service" => json!({"spec": {"externalIPs": null}}),
            _ => of.good.clone(),
        };
        let reply = client.merge(&old_bad, &mended);
        self.done(&format!("{kind}: mend old-bad"), &reply);
        let reply = client.merge(&old_bad, &of.bad);
        self.denied(&format!("{kind}: make old-bad bad again"), of, &reply);
        // One of before that is deleted as it was.
        for name in ["old-good", "old-bad", "new-good"] {
            let reply = client.delete(&format!("{path}/{name}"), "Background");
            self.done(&format!("delete {kind} {name}"), &reply);
        }
    }

    /// What kubectl prints of a rejection.
    fn read_by_kubectl(&mut self, of: &Guarded, plane: &ControlPlane) {
        let mut command = plane.kubectl();
        command.args(["create", "--filename=-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl runs");
        let object = of.object("new-bad", &of.bad).to_string();
        child.stdin.take().expect("it is piped").write_all(object.as_bytes()).expect("kubectl reads");
        let output = child.wait_with_output().expect("kubectl ends");
        let rejection = self.rejection(&document_name(of.policy), of.text);
        let expected = format!("Error from server: error when creating \"STDIN\": {rejection}");
        let printed = String::from_utf8_lossy(&output.stderr);
        // The API server itself warns of fields that it will not have any more.
        let printed = printed.lines().filter(|line| !line.starts_with("Warning: ")).collect::<Vec<_>>().join("\n");
        if printed != expected {
            self.found.problems.push(format!("guards: kubectl: expected {expected:?}, found {printed:?}"));
        }
    }

    /// Objects of the fixtures, and drawn ones: verdict and text that arrive are those of the module and of the opinion.
    fn check_samples(&mut self) {
        for document in deploy::documents(&Options::default(), "guards", Mode::Protect) {
            let policy = policy_of(&document).unwrap_or_default();
            let opinion = OPINIONS.iter().find(|of| of.policy.name == policy).expect("each policy has an opinion");
            let oracle = Oracle::new(opinion);
            for (index, (kind, object, text)) in samples(opinion, &oracle).into_iter().enumerate() {
                let object = named(kind, complete(kind, object), &format!("sample-{index}"));
                self.check_sample(&oracle, kind, &object, text);
            }
        }
    }

    fn check_sample(&mut self, oracle: &Oracle, kind: &Kind, object: &Value, text: Option<String>) {
        let (client, webhook) = (self.world.client, self.world.webhook);
        let place = if kind.is_namespaced { NAMESPACE } else { "" };
        webhook.forget(place);
        let reply = client.create(&format!("{}?dryRun=All", collection(kind)), object);
        let policy = oracle.opinion.policy.name;
        let counts = self.found.written.entry(policy).or_default();
        let name = &object["metadata"]["name"];
        let is_it = |call: &&Call| call.name() == name && call.request.kind.kind == kind.kind;
        let Some(call) = webhook.calls(place).iter().find(is_it).cloned() else {
            counts[2] += 1;
            if !matches!(reply.status, 400 | 422) {
                let found = format!("{} {}", reply.status, reply.message());
                self.found
                    .problems
                    .push(format!("guards: {policy} is not asked, and the API server says {found}: {object}"));
            }
            return;
        };
        counts[usize::from(!call.is_allowed())] += 1;
        if let Err(problem) = self.compare(oracle, &call, &reply, text) {
            self.found.problems.push(format!("guards: {policy}: {problem}\n  {object}"));
        }
    }

    /// Compares what the module answered with the opinion, and with what the API server made of it.
    fn compare(&self, oracle: &Oracle, call: &Call, reply: &Reply, text: Option<String>) -> Result<(), String> {
        let response = call.response.as_ref().ok_or("asked, though the rules do not match")?;
        let mut said = json!({"accepted": response.allowed});
        if !response.allowed {
            said["message"] = json!(response.message());
            said["code"] = json!(response.status.as_ref().and_then(|status| status.code));
        }
        if let Some(annotations) = &response.audit_annotations {
            said["audit_annotations"] = json!(annotations);
        }
        let request = serde_json::to_value(&*call.request).map_err(|error| error.to_string())?;
        oracle.compare_reply(&Case::new(request, json!({}), 0), &said.to_string())?;
        if response.allowed != reply.is_done() {
            return Err(format!(
                "the module says {}, the API server {} {}",
                response.allowed,
                reply.status,
                reply.message()
            ));
        }
        let expected = self.rejection(&document_name(oracle.opinion.policy.name), response.message());
        if !response.allowed && reply.message() != expected {
            return Err(format!("expected {expected}, found {}", reply.message()));
        }
        match text {
            Some(text) if text != response.message() => {
                Err(format!("expected {text:?}, found {:?}", response.message()))
            }
            _ => Ok(()),
        }
    }

    /// A ClusterRole that says nothing itself: the controller may fill it, and people may not.
    fn aggregate(&mut self) -> Result<(), Late> {
        let client = self.world.client;
        self.world.webhook.forget("");
        let path = format!("{RBAC}/clusterroles/guards-aggregate");
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "guards-aggregate"},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {AGGREGATED: "yes"}}]}, "rules": [],
        });
        let reply = client.create(&format!("{RBAC}/clusterroles"), &role);
        self.done("create an aggregated role", &reply);
        let rules = || client.get(&path).object["rules"].clone();
        until(
            || format!("guards: the rules of an aggregated role: {}", rules()),
            || rules().as_array().is_some_and(|rules| rules.len() == 1).then_some(()),
        )?;
        let reply = client.merge(&path, &json!({"metadata": {"labels": {"act": "label"}}}));
        self.done("label an aggregated role", &reply);
        let mut more = rules();
        let rule = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["watch"]});
        if let Some(rules) = more.as_array_mut() {
            rules.push(rule);
        }
        let reply = client.merge(&path, &json!({"rules": more}));
        if !reply.is_denied() {
            let found = format!("{} {}", reply.status, reply.message());
            self.found
                .problems
                .push(format!("guards: a rule that people add to an aggregated role is let in: {found}"));
        }
        Ok(())
    }

    /// Takes away what the cluster has made for itself, and has it made again under the policies.
    fn restore(&mut self, plane: &ControlPlane) -> Result<(), Late> {
        let client = self.world.client;
        let built_in = || -> Vec<String> {
            let of_kind = |(kind, plural): (&str, &'static str)| {
                let list = client.list(&format!("{RBAC}/{plural}?labelSelector=kubernetes.io/bootstrapping"));
                let title = |of: &Value| format!("{kind} {}", path_of(of, plural));
                list.iter().map(title).collect::<Vec<_>>()
            };
            BUILT_IN.into_iter().flat_map(of_kind).collect()
        };
        let before = built_in();
        for title in &before {
            let path = title.split_once(' ').map_or("", |(_, path)| path);
            let reply = client.delete(path, "Background");
            self.done(&format!("delete {title}"), &reply);
        }
        const SERVICE: &str = "/api/v1/namespaces/default/services/kubernetes";
        let reply = client.delete(SERVICE, "Background");
        self.done("delete the Service kubernetes", &reply);
        // Of an aggregated role, the API server makes the selectors alone.
        let another = plane.start_another().map_err(|error| Late(format!("another API server: {}", error.0)))?;
        until(
            || {
                let (before, now) = (before.iter().collect::<BTreeSet<_>>(), built_in());
                format!("guards: {:?}", before.difference(&now.iter().collect()).collect::<Vec<_>>())
            },
            || (built_in() == before).then_some(()),
        )?;
        let service = || client.get(SERVICE).is_done().then_some(());
        until(|| "guards: the Service kubernetes".to_owned(), service)?;
        for name in ["admin", "edit", "view"] {
            let rules = || client.get(&format!("{RBAC}/clusterroles/{name}")).object["rules"].clone();
            let is_filled = || rules().as_array().is_some_and(|rules| !rules.is_empty()).then_some(());
            until(|| format!("guards: the rules of {name}"), is_filled)?;
        }
        drop(another);
        self.check_own();
        Ok(())
    }

    /// What others than people wrote was let in, and was so much that it says something.
    fn check_own(&mut self) {
        let routes: BTreeSet<String> = self.installed.iter().map(|of| of.route.clone()).collect();
        for place in ["", "default", "kube-system", "kube-public"] {
            for call in self.world.webhook.calls(place).iter().filter(|call| routes.contains(&call.route)) {
                let user = call.request.user_info.username.as_deref().unwrap_or_default();
                if user == "admin" {
                    continue;
                }
                let kind = &call.request.kind.kind;
                if !call.is_allowed() {
                    let message = call.response.as_ref().map(|of| of.message().to_owned());
                    let title = format!("{user} {} {kind} {}", call.request.operation, call.name());
                    self.found.problems.push(format!("guards: {title}: {message:?}"));
                }
                let is_exempt = self.is_refused_to_others(call);
                let counts = self.found.own.entry(format!("{user} {kind}")).or_default();
                counts[0] += 1;
                counts[1] += usize::from(is_exempt);
            }
        }
        for (user, kind, is_exempt) in [
            (API_SERVER, "ClusterRole", true),
            (API_SERVER, "ClusterRoleBinding", true),
            (API_SERVER, "Role", true),
            (API_SERVER, "RoleBinding", false),
            (API_SERVER, "Service", false),
            (AGGREGATOR, "ClusterRole", true),
        ] {
            let [all, exempt] = self.found.own.get(&format!("{user} {kind}")).copied().unwrap_or_default();
            if all == 0 || is_exempt && exempt == 0 {
                let found = format!("{all}, of which {exempt} are refused to others");
                self.found.problems.push(format!("guards: of {kind}, {user} wrote {found}"));
            }
        }
    }

    /// Whether the policy would refuse the same to somebody else.
    fn is_refused_to_others(&self, call: &Call) -> bool {
        let mut request = (*call.request).clone();
        request.user_info.username = Some("jane".to_owned());
        let judge = self.installed.iter().find(|of| of.route == call.route).map(|of| of.judge.clone());
        judge.and_then(|judge| judge(&request)).is_some_and(|response| !response.allowed)
    }
}

/// The path of an object of RBAC.
fn path_of(object: &Value, plural: &str) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{RBAC}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("{RBAC}/{plural}/{name}"),
    }
}

/// What the document of a policy is called.
fn document_name(policy: &str) -> String {
    format!("podfence-{policy}")
}

/// Objects with the kind they are to be of, and the text of the rejection where a fixture says it.
fn samples(opinion: &Opinion, oracle: &Oracle) -> Vec<(&'static Kind, Value, Option<String>)> {
    let suite =
        Suite::load(&podfence_support::policies().join(opinion.policy.name)).unwrap_or_else(|error| panic!("{error}"));
    let of_kind = |object: &Value| oracle.fields.kinds.iter().find(|kind| object["kind"] == kind.kind);
    let written = suite.cases.into_iter().filter_map(|case| {
        let is_plain = case.request.is_empty() && case.settings.as_object().is_none_or(Map::is_empty);
        match (case.subject, case.expectation) {
            (Subject::Object(object), expectation) if is_plain => {
                let text = match expectation {
                    Expectation::Reject(text) => Some(text),
                    _ => None,
                };
                Some((of_kind(&object)?, object, text))
            }
            _ => None,
        }
    });
    let drawn = (0..DRAWN).filter_map(|seed| {
        let request = Case::draw(seed, opinion, &oracle.fields).request;
        let kind = of_kind(&request["object"]).or_else(|| oracle.fields.kinds.first())?;
        request["object"].is_object().then(|| (kind, request["object"].clone(), None))
    });
    written.chain(drawn).collect()
}

/// Adds what the API server demands, and fixtures and draws leave out.
fn complete(kind: &Kind, mut object: Value) -> Value {
    let elements = |list: &mut Value| -> Vec<Value> { list.as_array().cloned().unwrap_or_default() };
    match kind.kind {
        "Role" | "ClusterRole" => {
            let mut rules = elements(&mut object["rules"]);
            for rule in rules.iter_mut().filter(|rule| rule.is_object()) {
                let is_empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
                if is_empty(&rule["verbs"]) {
                    rule["verbs"] = json!(["get"]);
                }
                if is_empty(&rule["nonResourceURLs"]) {
                    rule.as_object_mut().map(|rule| rule.remove("nonResourceURLs"));
                    for (list, value) in [("apiGroups", "example.com"), ("resources", "widgets")] {
                        if is_empty(&rule[list]) {
                            rule[list] = json!([value]);
                        }
                    }
                }
            }
            object["rules"] = json!(rules);
        }
        "RoleBinding" | "ClusterRoleBinding" if object["roleRef"].is_object() => {
            let group = "rbac.authorization.k8s.io";
            object["roleRef"]["apiGroup"] = json!(group);
            let mut subjects = elements(&mut object["subjects"]);
            for subject in subjects.iter_mut().filter(|subject| subject.is_object()) {
                match subject["kind"] == "ServiceAccount" {
                    true if subject["namespace"].is_null() => subject["namespace"] = json!(NAMESPACE),
                    true => {}
                    false => subject["apiGroup"] = json!(group),
                }
            }
            object["subjects"] = json!(subjects);
        }
        "Service" if object["spec"].is_object() => {
            let mut ports = elements(&mut object["spec"]["ports"]);
            if ports.is_empty() && object["spec"]["type"] != "ExternalName" {
                ports.push(json!({}));
            }
            for (index, port) in ports.iter_mut().enumerate().filter(|(_, port)| port.is_object()) {
                if port["port"].is_null() {
                    port["port"] = json!(80 + index);
                }
                port["name"] = json!(format!("port-{index}"));
            }
            object["spec"]["ports"] = json!(ports);
        }
        _ => {}
    }
    object
}
