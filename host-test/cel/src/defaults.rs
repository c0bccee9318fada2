//! The defaults that depend on other fields. Those that do not are in `objects.txt`.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// Sets the defaults of an object of this type.
pub(crate) fn set(name: &str, fields: &mut Fields) {
    match name {
        "Container" | "EphemeralContainer" => pull_policy(fields, "imagePullPolicy", "image"),
        "ImageVolumeSource" => pull_policy(fields, "pullPolicy", "reference"),
        "Volume" => volume(fields),
        "PodSpec" => pod_spec(fields),
        "Pod" => pod(fields),
        "ResourceRequirements" => resources(fields),
        "DeploymentStrategy" => rolling_update(fields, [("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))]),
        "DaemonSetUpdateStrategy" => rolling_update(fields, [("maxUnavailable", json!(1)), ("maxSurge", json!(0))]),
        "StatefulSetUpdateStrategy" => stateful_set_update(fields),
        "Job" => job(fields),
        "DaemonSet" => daemon_set(fields),
        "PodStatus" => pod_status(fields),
        "ReplicationController" => replication_controller(fields),
        "ServicePort" => service_port(fields),
        "ServiceSpec" => service_spec(fields),
        "Service" => service(fields),
        _ => {}
    }
}

fn absent(fields: &Fields, name: &str) -> bool {
    fields.get(name).is_none_or(Value::is_null)
}

fn set_absent(fields: &mut Fields, name: &str, value: Value) {
    if absent(fields, name) {
        fields.insert(name.to_owned(), value);
    }
}

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn object<'a>(fields: &'a mut Fields, name: &str) -> Option<&'a mut Fields> {
    fields.get_mut(name).and_then(Value::as_object_mut)
}

/// `Always` for the tag `latest`, written or not.
fn pull_policy(fields: &mut Fields, policy: &str, image: &str) {
    if absent(fields, policy) {
        let pull = if is_latest(text(fields, image)) { "Always" } else { "IfNotPresent" };
        fields.insert(policy.to_owned(), json!(pull));
    }
}

/// Whether a reference names the tag `latest`, or neither a tag nor a digest. What is not a reference names none.
fn is_latest(reference: &str) -> bool {
    if !REFERENCE.is_match(reference) {
        return false;
    }
    let (path, digest) = reference.split_once('@').map_or((reference, None), |(path, digest)| (path, Some(digest)));
    match path.rsplit('/').next().and_then(|name| name.split_once(':')) {
        Some((_, tag)) => tag == "latest",
        None => digest.is_none(),
    }
}

/// A reference to an image: registry, path, tag and digest.
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    let label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
    let part = r"[a-z0-9]+(?:(?:\.|__|_|-+)[a-z0-9]+)*";
    let registry = format!(r"(?:{label}(?:\.{label})*(?::[0-9]+)?/)?");
    let tag = "(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?";
    let digest = "(?:@[a-zA-Z][a-zA-Z0-9+._-]*:[0-9a-fA-F]{32,})?";
    Regex::new(&format!("^{registry}{part}(?:/{part})*{tag}{digest}$")).expect("a regular expression")
});

/// A volume that says nothing is an empty directory.
fn volume(fields: &mut Fields) {
    if fields.keys().all(|name| name == "name") {
        fields.insert("emptyDir".to_owned(), json!({}));
    }
}

fn pod_spec(fields: &mut Fields) {
    let name = match text(fields, "serviceAccountName") {
        "" => text(fields, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        fields.insert("serviceAccountName".to_owned(), json!(name));
        fields.insert("serviceAccount".to_owned(), json!(name));
    }
}

/// What a Pod gets and the template of a workload does not.
fn pod(fields: &mut Fields) {
    let Some(spec) = object(fields, "spec") else { return };
    set_absent(spec, "enableServiceLinks", json!(true));
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".to_owned(), json!(1));
    }
    let on_host = spec.get("hostNetwork") == Some(&json!(true));
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            requests_from_limits(container);
            if on_host {
                host_ports(container);
            }
        }
    }
}

fn requests_from_limits(container: &mut Fields) {
    let Some(resources) = object(container, "resources") else { return };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    let Some(requests) = requests.as_object_mut() else { return };
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

fn host_ports(container: &mut Fields) {
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(port) = port.as_object_mut() else { continue };
        let number = port.get("containerPort").cloned().unwrap_or(json!(0));
        if number != json!(0) {
            set_absent(port, "hostPort", number);
        }
    }
}

/// Amounts are rounded up to thousandths.
fn resources(fields: &mut Fields) {
    for list in ["limits", "requests"] {
        for (_, amount) in object(fields, list).into_iter().flatten() {
            let rounded = amount.as_str().and_then(crate::library::rounded_quantity);
            if let Some(rounded) = rounded {
                *amount = json!(rounded);
            }
        }
    }
}

fn rolling_update(fields: &mut Fields, values: [(&str, Value); 2]) {
    if text(fields, "type") != "RollingUpdate" {
        return;
    }
    set_absent(fields, "rollingUpdate", json!({}));
    if let Some(update) = object(fields, "rollingUpdate") {
        for (name, value) in values {
            set_absent(update, name, value);
        }
    }
}

fn stateful_set_update(fields: &mut Fields) {
    if text(fields, "type").is_empty() {
        fields.insert("type".to_owned(), json!("RollingUpdate"));
        set_absent(fields, "rollingUpdate", json!({}));
    }
    if text(fields, "type") == "RollingUpdate"
        && let Some(update) = object(fields, "rollingUpdate")
    {
        set_absent(update, "partition", json!(0));
        set_absent(update, "maxUnavailable", json!(1));
    }
}

/// What a Job gets and the template of a CronJob does not.
fn job(fields: &mut Fields) {
    labels_of_template(fields);
    if let Some(spec) = object(fields, "spec") {
        job_spec(spec);
    }
}

fn job_spec(fields: &mut Fields) {
    set_absent(fields, "completionMode", json!("NonIndexed"));
    set_absent(fields, "suspend", json!(false));
    set_absent(fields, "manualSelector", json!(false));
    if absent(fields, "completions") && absent(fields, "parallelism") {
        fields.insert("completions".to_owned(), json!(1));
    }
    set_absent(fields, "parallelism", json!(1));
    let retries = if absent(fields, "backoffLimitPerIndex") { 6 } else { i32::MAX };
    set_absent(fields, "backoffLimit", json!(retries));
    let replacement = if absent(fields, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    set_absent(fields, "podReplacementPolicy", json!(replacement));
}

/// The annotation that stands for a field of older versions.
fn daemon_set(fields: &mut Fields) {
    if let Some(metadata) = object(fields, "metadata") {
        set_absent(metadata, "annotations", json!({}));
        if let Some(annotations) = object(metadata, "annotations") {
            set_absent(annotations, "deprecated.daemonset.template.generation", json!("0"));
        }
    }
}

/// The address and the list that it begins.
fn pod_status(fields: &mut Fields) {
    let address = text(fields, "podIP").to_owned();
    let first = fields.get("podIPs").and_then(|addresses| addresses.pointer("/0/ip")).cloned();
    match first {
        Some(first) if address.is_empty() => drop(fields.insert("podIP".to_owned(), first)),
        Some(first) if first == address.as_str() => {}
        _ if address.is_empty() => {}
        _ => drop(fields.insert("podIPs".to_owned(), json!([{"ip": address}]))),
    }
}

/// The labels of the template, for an object without labels.
fn labels_of_template(fields: &mut Fields) {
    let labels = fields.get("spec").and_then(|spec| spec.pointer("/template/metadata/labels")).cloned();
    if let (Some(labels), Some(metadata)) = (labels, object(fields, "metadata")) {
        set_absent(metadata, "labels", labels);
    }
}

fn replication_controller(fields: &mut Fields) {
    labels_of_template(fields);
    let Some(spec) = object(fields, "spec") else { return };
    let labels = spec.get("template").and_then(|template| template.pointer("/metadata/labels")).cloned();
    if let Some(labels) = labels {
        set_absent(spec, "selector", labels);
    }
}

fn service_port(fields: &mut Fields) {
    let unset = fields.get("targetPort").is_none_or(|port| port.is_null() || *port == json!(0) || *port == json!(""));
    if unset {
        let port = fields.get("port").cloned().unwrap_or(json!(0));
        fields.insert("targetPort".to_owned(), port);
    }
}

fn service_spec(fields: &mut Fields) {
    match text(fields, "sessionAffinity") {
        "None" => drop(fields.remove("sessionAffinityConfig")),
        "ClientIP" => {
            let timeout =
                fields.get("sessionAffinityConfig").and_then(|config| config.pointer("/clientIP/timeoutSeconds"));
            if timeout.is_none_or(Value::is_null) {
                let config = json!({"clientIP": {"timeoutSeconds": 10800}});
                fields.insert("sessionAffinityConfig".to_owned(), config);
            }
        }
        _ => {}
    }
    let kind = text(fields, "type").to_owned();
    let has_external = fields.get("externalIPs").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let external = matches!(kind.as_str(), "LoadBalancer" | "NodePort") || kind == "ClusterIP" && has_external;
    if external {
        set_absent(fields, "externalTrafficPolicy", json!("Cluster"));
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        set_absent(fields, "internalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        set_absent(fields, "allocateLoadBalancerNodePorts", json!(true));
    }
}

/// Addresses of a load balancer.
fn service(fields: &mut Fields) {
    let balanced = fields.get("spec").and_then(|spec| spec.get("type")).is_some_and(|kind| kind == "LoadBalancer");
    let ingress = fields.get_mut("status").and_then(|status| status.pointer_mut("/loadBalancer/ingress"));
    for entry in ingress.and_then(Value::as_array_mut).into_iter().flatten().filter(|_| balanced) {
        if let Some(entry) = entry.as_object_mut()
            && !text(entry, "ip").is_empty()
        {
            set_absent(entry, "ipMode", json!("VIP"));
        }
    }
}
