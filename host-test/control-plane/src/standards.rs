//! The policy `pod-security-standards` against the built-in PodSecurity admission: verdicts and texts of both, on pods
//! that the API server takes, by dry run.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use podfence_host::{Mode, Policy};
use podfence_reference::compare::Oracle;
use podfence_reference::draw::Draw;
use podfence_reference::opinions::OPINIONS;
use podfence_reference::pods;
use podfence_scan::AdmissionRequest;
use podfence_scan::request::{GroupVersionKind, Metadata, creation};
use serde_json::{Map, Value, json};

use crate::client::{Client, Reply};
use crate::configuration::Modules;
use crate::samples::{CUSTOM, Kind, good, kind, kinds};
use crate::wait::{Late, until};

/// The policy that decides as the built-in admission does.
const POLICY: &str = "pod-security-standards";

const LEVELS: [&str; 3] = ["privileged", "baseline", "restricted"];

/// The newest minor version of the API server, and one that it does not know yet.
const MINORS: std::ops::RangeInclusive<u32> = 0..=38;

/// How many of the levels and versions each pod is judged at.
const EACH: usize = 8;

/// Where nothing is enforced.
const FREE: &str = "standards-free";

/// The pods that debug containers are added to.
const BASES: [&str; 2] = ["base-good", "base-bare"];

/// What was compared.
#[derive(Debug, Default)]
pub struct Comparison {
    /// What both let in and rejected, by what was sent.
    pub counts: BTreeMap<String, [usize; 2]>,
    /// What the API server does not take at all.
    pub invalid: usize,
    /// What they see differently.
    pub differences: Vec<String>,
}

/// A level and a version, with the namespace that enforces it.
struct Standard {
    namespace: String,
    policy: Policy,
}

/// Compares on this many random pods.
///
/// # Errors
/// The namespaces do not become ready.
pub fn compare(client: &Client, modules: &Modules, pods: usize) -> Result<Comparison, Late> {
    let standards = standards(modules);
    let names: Vec<&str> = standards.iter().map(|of| of.namespace.as_str()).chain([FREE]).collect();
    make_namespaces(client, &names)?;
    for standard in &standards {
        enforce(client, standard)?;
    }
    let opinion = OPINIONS.iter().find(|opinion| opinion.policy.name == POLICY).expect("the policy has an opinion");
    let oracle = Oracle::new(opinion);
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Comparison::default()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= pods {
                        return;
                    }
                    let mut draw = Draw::new(seed as u64);
                    let pod = valid(pods::draw_typed(&mut draw, &oracle.fields.pod), &mut draw);
                    let mut here = Here { client, draw, seed, found: Comparison::default() };
                    here.compare(&pod, &standards);
                    all.lock().expect("no thread panics").add(here.found);
                }
            });
        }
    });
    Ok(all.into_inner().expect("no thread panics"))
}

impl Comparison {
    fn add(&mut self, other: Comparison) {
        for (what, [accepted, rejected]) in other.counts {
            let counts = self.counts.entry(what).or_default();
            *counts = [counts[0] + accepted, counts[1] + rejected];
        }
        self.invalid += other.invalid;
        self.differences.extend(other.differences);
    }
}

fn standards(modules: &Modules) -> Vec<Standard> {
    let versions: Vec<String> = MINORS.map(|minor| format!("v1.{minor}")).chain(["latest".to_owned()]).collect();
    let of = |level: &str, version: &str| {
        let settings: Map<String, Value> =
            [("level".to_owned(), json!(level)), ("version".to_owned(), json!(version))].into_iter().collect();
        Standard {
            namespace: format!("standards-{level}-{}", version.replace('.', "-")),
            policy: Policy {
                name: POLICY.to_owned(),
                module: modules.get(POLICY).expect("the module is built"),
                settings,
                mode: Mode::Protect,
                allowed_to_mutate: false,
                message: None,
            },
        }
    };
    LEVELS.iter().flat_map(|level| versions.iter().map(move |version| of(level, version))).collect()
}

fn make_namespaces(client: &Client, names: &[&str]) -> Result<(), Late> {
    for name in names {
        client.create("/api/v1/namespaces", &json!({"metadata": {"name": name}}));
    }
    let bare = json!({"metadata": {}, "spec": {"containers": [{"name": "app", "image": "nginx"}]}});
    for name in names {
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        until(|| format!("{name}: its service account"), || client.get(&account).is_done().then_some(()))?;
        for (base, pod) in BASES.iter().zip([&good(), &bare]) {
            client.create(&kind("Pod").collection(name), &kind("Pod").object(base, pod, "base"));
        }
    }
    Ok(())
}

/// Labels a namespace, and waits until the label counts.
fn enforce(client: &Client, standard: &Standard) -> Result<(), Late> {
    let (name, settings) = (&standard.namespace, &standard.policy.settings);
    let mut labels = Map::new();
    for mode in ["enforce", "warn"] {
        labels.insert(format!("pod-security.kubernetes.io/{mode}"), settings["level"].clone());
        labels.insert(format!("pod-security.kubernetes.io/{mode}-version"), settings["version"].clone());
    }
    client.merge(&format!("/api/v1/namespaces/{name}"), &json!({"metadata": {"labels": labels}}));
    if settings["level"] == "privileged" {
        return Ok(());
    }
    let privileged = json!({"metadata": {}, "spec": {"containers": [
        {"name": "app", "image": "nginx", "securityContext": {"privileged": true}},
    ]}});
    let path = format!("{}?dryRun=All", kind("Pod").collection(name));
    let is_enforced = || client.create(&path, &kind("Pod").object("probe", &privileged, "bad")).status == 403;
    until(|| format!("{name} is enforced"), || is_enforced().then_some(()))
}

/// One pod, at some levels and versions.
struct Here<'c> {
    client: &'c Client,
    draw: Draw,
    seed: usize,
    found: Comparison,
}

impl Here<'_> {
    fn compare(&mut self, pod: &Value, standards: &[Standard]) {
        let of = kind("Pod");
        let mut sent = pod.clone();
        if let Some(spec) = sent["spec"].as_object_mut() {
            spec.remove("ephemeralContainers");
        }
        let object = of.object("a", &sent, "drawn");
        let made = self.client.create(&dry(of, FREE), &object);
        if !made.is_done() {
            self.found.invalid += 1;
            if std::env::var_os("PODFENCE_INVALID").is_some() {
                println!("invalid: {}", made.message());
            }
            return;
        }
        for _ in 0..EACH {
            let standard = &standards[self.draw.below(standards.len())];
            let theirs = self.client.create(&dry(of, &standard.namespace), &object);
            self.check("pods", standard, request(of, standard, &made.object), refusal(&theirs), &theirs);
        }
        let standard = &standards[self.draw.below(standards.len())];
        let workloads: Vec<Kind> = kinds().into_iter().filter(|kind| *kind != of && *kind != CUSTOM).collect();
        let workload = workloads[self.draw.below(workloads.len())];
        let made = self.client.create(&dry(workload, &standard.namespace), &workload.object("a", &sent, "drawn"));
        if made.is_done() {
            self.check("workloads", standard, request(workload, standard, &made.object), warning(&made), &made);
        }
        self.debug(pod, standards);
    }

    /// Adds the drawn debug containers to a pod that is there.
    fn debug(&mut self, pod: &Value, standards: &[Standard]) {
        let of = kind("Pod");
        let containers = &pod["spec"]["ephemeralContainers"];
        if containers.as_array().is_none_or(Vec::is_empty) {
            return;
        }
        let standard = &standards[self.draw.below(standards.len())];
        let base = BASES[self.draw.below(BASES.len())];
        let patch = json!({"spec": {"ephemeralContainers": containers}});
        let path = |namespace: &str| format!("{}/{base}", of.collection(namespace));
        let send = |namespace: &str| {
            self.client.merge_by_name(&format!("{}/ephemeralcontainers?dryRun=All", path(namespace)), &patch)
        };
        let made = send(FREE);
        if !made.is_done() {
            self.found.invalid += 1;
            if std::env::var_os("PODFENCE_INVALID").is_some() {
                println!("invalid: {}", made.message());
            }
            return;
        }
        let old = self.client.get(&path(FREE)).object;
        let theirs = send(&standard.namespace);
        let request = AdmissionRequest {
            operation: "UPDATE".to_owned(),
            sub_resource: Some("ephemeralcontainers".to_owned()),
            old_object: Some(old),
            ..request(of, standard, &made.object)
        };
        self.check("ephemeral containers", standard, request, refusal(&theirs), &theirs);
    }

    /// Compares our message, if any, with theirs.
    fn check(
        &mut self,
        what: &'static str,
        standard: &Standard,
        request: AdmissionRequest,
        theirs: Option<String>,
        reply: &Reply,
    ) {
        let response = standard.policy.evaluate(&request).response;
        let ours = (!response.allowed).then(|| response.message().to_owned());
        let level = standard.policy.settings["level"].as_str().unwrap_or_default();
        self.found.counts.entry(format!("{what}, {level}")).or_default()[usize::from(theirs.is_some())] += 1;
        let is_other_failure = theirs.is_none() && !reply.is_done();
        if ours != theirs || is_other_failure {
            let object = request.object.as_ref().map(Value::to_string).unwrap_or_default();
            self.found.differences.push(format!(
                "seed {}, {what} in {}:\n  ours   {ours:?}\n  theirs {theirs:?} ({}, {:?})\n  {object}",
                self.seed, standard.namespace, reply.status, reply.warnings
            ));
        }
    }
}

fn dry(of: Kind, namespace: &str) -> String {
    format!("{}?dryRun=All", of.collection(namespace))
}

fn request(of: Kind, standard: &Standard, object: &Value) -> AdmissionRequest {
    let metadata =
        Metadata { name: object["metadata"]["name"].as_str(), namespace: Some(&standard.namespace), uid: None };
    let request = creation(GroupVersionKind::new(&of.api_version(), of.kind), &metadata, 0);
    AdmissionRequest { object: Some(object.clone()), ..request }
}

/// Why the built-in admission rejected a pod.
fn refusal(reply: &Reply) -> Option<String> {
    let (_, reason) = reply.message().split_once(" is forbidden: ")?;
    (reply.status == 403).then(|| reason.to_owned())
}

/// What the built-in admission says of the pods of a workload.
fn warning(reply: &Reply) -> Option<String> {
    reply.warnings.iter().find_map(|text| Some(format!("violates {}", text.strip_prefix("would violate ")?)))
}

/// Adds what the API server demands and the policy does not read.
fn valid(mut pod: Value, draw: &mut Draw) -> Value {
    if !pod["metadata"].is_object() {
        pod["metadata"] = json!({});
    }
    if !pod["spec"].is_object() {
        pod["spec"] = json!({});
    }
    for key in ["name", "ownerReferences", "namespace"] {
        pod["metadata"].as_object_mut().map(|metadata| metadata.remove(key));
    }
    let spec = &mut pod["spec"];
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        spec["containers"] = json!([{}]);
    }
    for key in ["restartPolicy", "runtimeClassName"] {
        spec.as_object_mut().map(|spec| spec.remove(key));
    }
    valid_context(&mut spec["securityContext"]);
    if let Some(sysctls) = spec["securityContext"]["sysctls"].as_array_mut() {
        let mut seen = vec![json!("")];
        sysctls.retain(|sysctl| {
            !seen.contains(&sysctl["name"]) && {
                seen.push(sysctl["name"].clone());
                true
            }
        });
        sysctls.retain(|sysctl| sysctl["name"].is_string());
        sysctls.iter_mut().for_each(|sysctl| sysctl["value"] = json!("1"));
    }
    for (index, volume) in spec["volumes"].as_array_mut().into_iter().flatten().enumerate() {
        valid_volume(volume, index);
    }
    let (mut number, mut ports) = (0, Vec::new());
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            valid_container(container, list, number, &mut ports);
            number += 1;
        }
    }
    drop_nulls(&mut pod);
    agree(&mut pod, draw);
    pod
}

/// Takes one of two fields that the API server does not take together.
fn agree(pod: &mut Value, draw: &mut Draw) {
    // Nearly everything is invalid on Windows.
    let is_windows = pod["spec"]["os"]["name"] == "windows" && draw.percent(30);
    match is_windows {
        true => drop_members(&mut pod["spec"], &LINUX_ONLY),
        false => drop_members(&mut pod["spec"], &["os", "windowsOptions"]),
    }
    let is_annotated = draw.percent(30);
    if is_annotated {
        drop_members(&mut pod["spec"], &["seccompProfile"]);
    }
    if let Some(annotations) = pod["metadata"]["annotations"].as_object_mut() {
        annotations.retain(|key, value| {
            let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-/.".contains(letter);
            let is_profile = value.as_str().is_some_and(|value| !value.is_empty() && !value.contains('"'));
            key.chars().all(is_name) && !key.ends_with('/') && is_profile && (is_annotated || !key.contains("seccomp"))
        });
    }
    let text = pod["spec"].to_string();
    if text.contains("Unmasked") {
        pod["spec"]["hostUsers"] = json!(false);
    }
    if pod["spec"]["hostUsers"] == false {
        ["hostNetwork", "hostPID", "hostIPC"].iter().for_each(|key| {
            pod["spec"].as_object_mut().map(|spec| spec.remove(*key));
        });
    }
    if text.contains("kernel.shm") {
        pod["spec"].as_object_mut().map(|spec| spec.remove("hostIPC"));
    }
}

/// Fields that a pod for Windows must not have.
const LINUX_ONLY: [&str; 13] = [
    "hostPID",
    "hostIPC",
    "hostUsers",
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "sysctls",
    "privileged",
    "procMount",
    "capabilities",
    "allowPrivilegeEscalation",
    "runAsUser",
    "readOnlyRootFilesystem",
];

/// Drops members of these names wherever they are.
fn drop_members(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !names.contains(&key.as_str()));
            members.values_mut().for_each(|member| drop_members(member, names));
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| drop_members(element, names)),
        _ => {}
    }
}

fn valid_container(container: &mut Value, list: &str, number: usize, seen: &mut Vec<u64>) {
    container["name"] = json!(format!("{}{number}", char::from(b'a' + (number % 26) as u8)));
    container["image"] = json!("nginx");
    valid_context(&mut container["securityContext"]);
    let Some(members) = container.as_object_mut() else { return };
    members.remove("restartPolicy");
    let handlers = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"];
    if list == "ephemeralContainers" {
        for key in handlers.iter().chain(&["ports"]) {
            members.remove(*key);
        }
        return;
    }
    let has_handlers = handlers.iter().any(|key| members.get(*key).is_some_and(Value::is_object));
    if list == "initContainers" && has_handlers {
        // Only such a one may be probed.
        members.insert("restartPolicy".to_owned(), json!("Always"));
    }
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if !members.get_mut(key).is_some_and(valid_handler) {
            members.remove(key);
        }
    }
    if let Some(lifecycle) = members.get_mut("lifecycle").and_then(Value::as_object_mut) {
        for key in ["postStart", "preStop"] {
            if !lifecycle.get_mut(key).is_some_and(valid_handler) {
                lifecycle.remove(key);
            }
        }
    }
    for port in members.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let wanted = port["hostPort"].as_u64().filter(|port| *port != 0 && *port < 65536 && !seen.contains(port));
        port.as_object_mut().map(|port| port.remove("hostPort"));
        // Warnings of the same port twice would leave no room for the one that is compared.
        let number = wanted.unwrap_or(2000 + seen.len() as u64);
        seen.push(number);
        port["containerPort"] = json!(number);
        if wanted.is_some() {
            port["hostPort"] = json!(number);
        }
    }
}

/// Leaves one handler, with a port; whether there is one.
fn valid_handler(of: &mut Value) -> bool {
    for (key, other) in [("httpGet", "tcpSocket"), ("tcpSocket", "httpGet")] {
        if of[key].is_object() {
            of[key]["port"] = json!(80);
            of.as_object_mut().map(|of| of.remove(other));
            return true;
        }
    }
    false
}

/// Profiles of files name them, and others do not.
fn valid_context(context: &mut Value) {
    for key in ["seccompProfile", "appArmorProfile"] {
        let Some(profile) = context.get_mut(key).filter(|profile| profile.is_object()) else { continue };
        profile.as_object_mut().map(|profile| profile.remove("localhostProfile"));
        if profile["type"] == "Localhost" {
            profile["localhostProfile"] = json!("p");
        }
        if !["RuntimeDefault", "Localhost", "Unconfined"].iter().any(|known| profile["type"] == *known) {
            *profile = Value::Null;
        }
    }
    if !["Default", "Unmasked"].iter().any(|known| context["procMount"] == *known) {
        context.as_object_mut().map(|context| context.remove("procMount"));
    }
    if context["runAsUser"].as_i64().is_some_and(|user| user < 0) {
        context["runAsUser"] = json!(0);
    }
    if context["privileged"] == true || context["capabilities"]["add"].to_string().contains("SYS_ADMIN") {
        // The API server takes no other.
        context["allowPrivilegeEscalation"] = json!(true);
    }
    if let Some(windows) = context.get_mut("windowsOptions").filter(|windows| windows["hostProcess"] == true) {
        *windows = json!({"hostProcess": false});
    }
}

/// A volume of the drawn type.
fn valid_volume(volume: &mut Value, index: usize) {
    let source = volume.as_object().into_iter().flat_map(Map::keys).find(|key| *key != "name").cloned();
    let source = source.unwrap_or_else(|| "emptyDir".to_owned());
    let (source, value) = match source.as_str() {
        "configMap" => (source, json!({"name": "c"})),
        "secret" => (source, json!({"secretName": "s"})),
        "downwardAPI" | "projected" | "emptyDir" => (source, json!({})),
        "csi" => (source, json!({"driver": "d.example.com"})),
        "persistentVolumeClaim" => (source, json!({"claimName": "p"})),
        "ephemeral" => (
            source,
            json!({"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            }}}),
        ),
        "hostPath" => (source, json!({"path": "/var"})),
        "nfs" => (source, json!({"server": "s", "path": "/"})),
        "gcePersistentDisk" => (source, json!({"pdName": "p"})),
        "iscsi" => (source, json!({"targetPortal": "1.2.3.4", "iqn": "iqn.2000-01.com.example:a", "lun": 1})),
        "image" => (source, json!({"reference": "nginx"})),
        _ => ("cephfs".to_owned(), json!({"monitors": ["m"]})),
    };
    *volume = json!({"name": format!("v{index}"), source: value});
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
