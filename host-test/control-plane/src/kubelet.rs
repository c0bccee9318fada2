//! A scheduler and kubelets without containers: what is created runs, what is asked to end ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::client::Client;

const NODES: [&str; 2] = ["n0", "n1"];

/// Pods of Jobs with this label go on until they are deleted.
pub const STAYS: (&str, &str) = ("run", "stay");

/// No clock is read: nobody waits for it.
const THEN: &str = "2026-01-01T00:00:00Z";

/// Runs pods until it is dropped.
pub struct Kubelet {
    is_over: Arc<AtomicBool>,
    ran: Arc<Mutex<BTreeMap<String, Value>>>,
    watcher: Option<JoinHandle<()>>,
}

impl Kubelet {
    /// Makes nodes and starts to run what is bound to them and what is not.
    pub fn start(client: &Arc<Client>) -> Self {
        for node in NODES {
            make_node(client, node);
        }
        let (is_over, ran) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
        let (client, over, record) = (client.clone(), is_over.clone(), ran.clone());
        let watcher = thread::spawn(move || watch(&client, &over, &record));
        Self { is_over, ran, watcher: Some(watcher) }
    }

    /// Every pod of a namespace that ever ran, as it started, by its uid.
    pub fn ran(&self, namespace: &str) -> BTreeMap<String, Value> {
        let ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        let of = ran.iter().filter(|(_, pod)| pod["metadata"]["namespace"] == namespace);
        of.map(|(uid, pod)| (uid.clone(), pod.clone())).collect()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // The watch is ended by the next event or by the API server, and then the process ends anyway.
        drop(self.watcher.take());
    }
}

fn make_node(client: &Client, name: &str) {
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
    });
    client.create("/api/v1/nodes", &node);
    let resources = json!({"cpu": "640", "memory": "2560Gi", "pods": "50000"});
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": THEN,
        "lastTransitionTime": THEN,
    });
    let status = json!({"status": {"capacity": resources, "allocatable": resources, "conditions": [ready]}});
    client.merge(&format!("/api/v1/nodes/{name}/status"), &status);
    client.merge(&format!("/api/v1/nodes/{name}"), &json!({"spec": {"taints": null}}));
}

fn watch(client: &Arc<Client>, is_over: &AtomicBool, ran: &Arc<Mutex<BTreeMap<String, Value>>>) {
    let workers: Vec<_> = NODES
        .iter()
        .map(|_| {
            let (send, receive) = channel();
            let client = client.clone();
            thread::spawn(move || work(&client, &receive));
            send
        })
        .collect();
    let mut done = BTreeMap::new();
    while !is_over.load(Ordering::Relaxed) {
        // A watch that ends is begun anew.
        let _ = client.watch("/api/v1/pods", |event, pod| {
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            let is_deleted = pod["metadata"]["deletionTimestamp"].is_string();
            let step = match event {
                "DELETED" => Step::Gone,
                _ if is_deleted => Step::End,
                _ => Step::Run,
            };
            if step == Step::Gone || done.get(&uid) == Some(&step) || done.get(&uid) == Some(&Step::End) {
                return !is_over.load(Ordering::Relaxed);
            }
            done.insert(uid.clone(), step);
            if step == Step::Run {
                ran.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.clone(), pod.clone());
            }
            let worker = uid.bytes().map(usize::from).sum::<usize>() % workers.len();
            // The workers live as long as their senders.
            let _ = workers[worker].send((step, pod));
            !is_over.load(Ordering::Relaxed)
        });
    }
}

/// What is done with a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Run,
    End,
    Gone,
}

fn work(client: &Client, pods: &Receiver<(Step, Value)>) {
    for (step, pod) in pods {
        let metadata = &pod["metadata"];
        let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
        let path = format!("/api/v1/namespaces/{}/pods/{}", text(&metadata["namespace"]), text(&metadata["name"]));
        if step == Step::End {
            let options = json!({
                "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
                "preconditions": {"uid": metadata["uid"]},
            });
            client.request("DELETE", &path, "application/json", Some(&options));
            continue;
        }
        if pod["spec"]["nodeName"].is_null() {
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": metadata["name"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node(&pod)},
            });
            client.create(&format!("{path}/binding"), &binding);
        }
        client.merge(&format!("{path}/status"), &status(&pod, "Running"));
        let owners = metadata["ownerReferences"].as_array();
        let is_of_job = owners.is_some_and(|owners| owners.iter().any(|owner| owner["kind"] == "Job"));
        if is_of_job && metadata["labels"][STAYS.0] != STAYS.1 {
            client.merge(&format!("{path}/status"), &status(&pod, "Succeeded"));
        }
    }
}

/// The node that a DaemonSet asks for, or any.
fn node(pod: &Value) -> Value {
    let terms =
        pod.pointer("/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms");
    let fields = terms.and_then(|terms| terms.pointer("/0/matchFields/0/values/0"));
    fields.cloned().unwrap_or_else(|| json!(NODES[0]))
}

fn status(pod: &Value, phase: &str) -> Value {
    let is_ready = phase == "Running";
    let state = match is_ready {
        true => json!({"running": {"startedAt": THEN}}),
        false => json!({"terminated": {"exitCode": 0, "startedAt": THEN, "finishedAt": THEN}}),
    };
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten().map(|container| {
        json!({
            "name": container["name"], "image": container["image"], "imageID": "x", "ready": is_ready,
            "restartCount": 0, "started": is_ready, "state": state,
        })
    });
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(|condition| {
        let status = if is_ready || condition == "PodScheduled" { "True" } else { "False" };
        json!({"type": condition, "status": status, "lastTransitionTime": THEN})
    });
    json!({"status": {
        "phase": phase, "startTime": THEN, "podIP": "10.9.0.1", "podIPs": [{"ip": "10.9.0.1"}],
        "containerStatuses": containers.collect::<Vec<_>>(), "conditions": conditions,
    }})
}
