use podfence_volumes::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, list, setting_texts, values, violation};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("volumes[*].name", 5, &["v", "w"], &["", "v\""]),
        values("volumes[*].*", 10, &ALLOWED, &["hostPath", "nfs", "gcePersistentDisk", "storageos", "futureSource", "*", "name "]),
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

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let allowed = setting_texts(pod.settings, "allowedTypes", &ALLOWED);
    let volumes = list(pod.spec, "volumes").iter().enumerate();
    let restricted = volumes.filter(|(_, volume)| restricted_type(volume, &allowed).is_some());
    restricted.map(|(index, _)| violation("restrictedVolumes", format!("spec.volumes[{index}]"))).collect()
}
