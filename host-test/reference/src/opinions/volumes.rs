use podfence_volumes::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, WORKLOAD, get, list, setting_texts, text, values, violation};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("volumes[*].name", 5, &["v", "w", "kube-api-access-x7k2p"], &["", "v\"", "kube-api-access-"]),
        values(
            "volumes[*].*",
            10,
            &ALLOWED,
            &["hostPath", "nfs", "gcePersistentDisk", "storageos", "futureSource", "*", "name "],
        ),
        values("volumes[*].projected", 80, &[], &[]),
        values(
            "volumes[*].projected.sources[*].*",
            5,
            &["serviceAccountToken", "configMap", "downwardAPI"],
            &["secret", "clusterTrustBundle"],
        ),
        // These have no names that could be their values as well, so the fixtures have all that is injected.
        values("volumes[*].projected.*", 100, &[], &[]),
        values("volumes[*].projected.sources[*].*.*", 100, &[], &[]),
        values("volumes[*].projected.sources[*].*.items[*].*", 100, &[], &[]),
        values("volumes[*].projected.sources[*].*.items[*].fieldRef.*", 100, &[], &[]),
    ],
    settings,
    check,
    message: None,
    mutate: None,
};

/// The types that the restricted level of the Pod Security Standards allows.
pub const ALLOWED: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// The other types, in the order of the built-in admission.
const OTHERS: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    if settings.draw.percent(40) {
        return settings.done();
    }
    settings.texts("allowedTypes", &["*", "emptyDir", "configMap", "secret", "nfs", "hostPath", "storageos"]);
    settings.done()
}

/// The type of a volume, if it is not allowed.
pub fn restricted_type(volume: &Value, allowed: &[&str]) -> Option<&'static str> {
    let sources = volume.as_object().into_iter().flatten().filter(|(key, value)| *key != "name" && !value.is_null());
    let sources: Vec<&str> = sources.map(|(key, _)| key.as_str()).collect();
    let known = ALLOWED.iter().chain(&OTHERS).copied();
    let first = match (known.clone().find(|known| sources.contains(known)), sources.is_empty()) {
        (Some(first), _) => first,
        (None, true) => "emptyDir",
        (None, false) => "unknown",
    };
    let is_allowed = known.clone().any(|known| sources.contains(&known) && allowed.contains(&known));
    (!is_allowed && !allowed.contains(&first) && !allowed.contains(&"*")).then_some(first)
}

/// A value without its null members.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            members.map(|(key, value)| (key.clone(), without_nulls(value))).collect()
        }
        Value::Array(elements) => elements.iter().map(without_nulls).collect(),
        value => value.clone(),
    }
}

/// Whether a volume is the one that Kubernetes' admission plugin `ServiceAccount` adds to Pods.
fn is_injected(volume: &Value) -> bool {
    let mut projected = without_nulls(get(volume, "projected"));
    // These may be any.
    if !get(&projected, "defaultMode").is_null() {
        projected["defaultMode"] = json!(420);
    }
    for source in projected.get_mut("sources").and_then(Value::as_array_mut).into_iter().flatten() {
        if !get(source, "serviceAccountToken.expirationSeconds").is_null() {
            source["serviceAccountToken"]["expirationSeconds"] = json!(3607);
        }
    }
    let expected = [
        json!({"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}),
        json!({"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}),
        json!({"downwardAPI": {"items": [{
            "path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
        }]}}),
    ];
    let sources = list(&projected, "sources");
    let is_named = text(volume, "name").strip_prefix("kube-api-access-").is_some_and(|suffix| !suffix.is_empty());
    is_named
        && projected == json!({"defaultMode": 420, "sources": sources})
        && sources.len() == expected.len()
        && expected.iter().all(|expected| sources.contains(expected))
}

const CONTROL: &str = "restrictedVolumes";

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let allowed = setting_texts(pod.settings, "allowedTypes", &ALLOWED);
    let mut found = Vec::new();
    for (index, volume) in list(pod.spec, "volumes").iter().enumerate() {
        let mut allowed = allowed.clone();
        if allowed.contains(&"secret") && is_injected(volume) {
            allowed.push("projected");
        }
        if restricted_type(volume, &allowed).is_some() {
            found.push(violation(CONTROL, format!("spec.volumes[{index}]")));
        }
    }
    // The pods of a StatefulSet have a volume for each claim.
    if pod.is_template && !allowed.contains(&"persistentVolumeClaim") && !allowed.contains(&"*") {
        for index in 0..list(pod.workload, "spec.volumeClaimTemplates").len() {
            found.push(violation(CONTROL, format!("{WORKLOAD}spec.volumeClaimTemplates[{index}]")));
        }
    }
    found
}
