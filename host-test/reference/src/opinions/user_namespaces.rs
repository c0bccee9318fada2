use podfence_user_namespaces::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Container, LISTS, Mutable, Opinion, Pod, Violation, get, list, text, values, violation};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("hostUsers", 60, &["false", "true"], &["true"]),
        values("hostNetwork", 80, &["false", "true"], &["true"]),
        values("hostPID", 80, &["false", "true"], &["true"]),
        values("hostIPC", 80, &["false", "true"], &["true"]),
        values(NON_ROOT, 50, &["true"], &["false"]),
        values(USER, 60, &["1000"], &["0", "-1"]),
        values(PRIVILEGED, 70, &["false", "true"], &["true"]),
        values(ADD, 70, &["NET_ADMIN"], &[""]),
        values(DEVICES, 85, &[], &[]),
    ],
    settings,
    check,
    message: None,
    mutate: Some(mutate),
};

const NON_ROOT: &str = "securityContext.runAsNonRoot";
const USER: &str = "securityContext.runAsUser";
const PRIVILEGED: &str = "securityContext.privileged";
const ADD: &str = "securityContext.capabilities.add";
const DEVICES: &str = "volumeDevices";
const HOST: [&str; 3] = ["hostNetwork", "hostPID", "hostIPC"];

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.text("require", &["always", "whenRoot", "whenCapabilities"]);
    settings.flag("allowHostNamespaces");
    settings.flag("allowVolumeDevices");
    settings.flag("mutate");
    settings.done()
}

/// The containers because of which the pod has to have a user namespace of its own.
fn needing<'v>(pod: &Pod<'v>) -> Vec<Container<'v>> {
    if pod.is_windows() {
        return Vec::new();
    }
    let mut containers = pod.containers();
    if let Some(old) = pod.old {
        // Of a Pod that runs, nothing else can change.
        let before = list(old, "spec.ephemeralContainers");
        let is_same = |old: &Value, new: &Value| ["name", "image"].iter().all(|field| text(old, field) == text(new, field));
        containers.retain(|container| {
            container.list == "ephemeralContainers" && !before.iter().any(|old| is_same(old, container.value))
        });
    }
    containers.retain(|container| match text(pod.settings, "require") {
        "whenRoot" => {
            let user = pod.effective(container, USER);
            pod.effective(container, NON_ROOT) != true && (user.is_null() || *user == 0)
        }
        "whenCapabilities" => get(container.value, PRIVILEGED) == true || !list(container.value, ADD).is_empty(),
        _ => pod.old.is_none(),
    });
    containers
}

fn in_host_namespaces(spec: &Value) -> Vec<&'static str> {
    HOST.into_iter().filter(|field| get(spec, field) == true).collect()
}

/// Whether a container uses a volume as a block device.
fn uses_device(container: &Value) -> bool {
    !list(container, DEVICES).is_empty()
}

fn has_devices(spec: &Value) -> bool {
    LISTS.iter().flat_map(|name| list(spec, name)).any(uses_device)
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let needing = needing(pod);
    if needing.is_empty() || get(pod.spec, "hostUsers") == false {
        return Vec::new();
    }
    let (shared, has_devices) = (in_host_namespaces(pod.spec), has_devices(pod.spec));
    let of_pod = || violation("hostUsers", "spec.hostUsers");
    let mut found = Vec::new();
    if pod.old.is_some() {
        let is_allowed = (shared.is_empty() || pod.is("allowHostNamespaces"))
            && (!has_devices || pod.is("allowVolumeDevices"))
            && (!shared.is_empty() || has_devices);
        return if is_allowed { found } else { needing.iter().map(|_| of_pod()).collect() };
    }
    if !pod.is("allowHostNamespaces") {
        found.extend(shared.iter().map(|field| violation("hostUsers", format!("spec.{field}"))));
    }
    if has_devices && !pod.is("allowVolumeDevices") {
        let users: Vec<Container<'_>> = pod.containers().into_iter().filter(|of| uses_device(of.value)).collect();
        found.extend(users.iter().map(|container| container.violation("hostUsers", DEVICES)));
        if users.is_empty() {
            found.push(of_pod());
        }
    }
    if has_devices && shared.is_empty() && get(pod.spec, "hostUsers") == true {
        found.push(of_pod());
    }
    if !has_devices && shared.is_empty() {
        let is_always = ["", "always"].contains(&text(pod.settings, "require"));
        found.extend(std::iter::repeat_with(of_pod).take(if is_always { 1 } else { needing.len() }));
    }
    found
}

fn mutate(pod: &mut Mutable<'_>) {
    let before = pod.before();
    let before = Pod::new(&before, pod.settings);
    let is_missing = get(before.spec, "hostUsers").is_null() && !needing(&before).is_empty();
    let can_have = in_host_namespaces(before.spec).is_empty() && !has_devices(before.spec);
    if pod.is("mutate") && is_missing && can_have {
        pod.set("hostUsers", json!(false));
    }
}
