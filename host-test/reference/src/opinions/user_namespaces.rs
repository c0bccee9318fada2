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
        values("volumeDevices", 90, &[], &[]),
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
const HOST: [&str; 3] = ["hostNetwork", "hostPID", "hostIPC"];

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.text("require", &["always", "whenRoot", "whenCapabilities"]);
    settings.flag("allowHostNamespaces");
    settings.flag("mutate");
    settings.done()
}

/// The containers because of which the pod has to have a user namespace of its own.
fn needing<'v>(pod: &Pod<'v>) -> Vec<Container<'v>> {
    let has_devices = |container: &Value| !list(container, "volumeDevices").is_empty();
    if pod.is_windows() || LISTS.iter().flat_map(|name| list(pod.spec, name)).any(has_devices) {
        return Vec::new();
    }
    let mut containers = pod.containers();
    containers.retain(|container| match text(pod.settings, "require") {
        "whenRoot" => {
            let user = pod.effective(container, USER);
            pod.effective(container, NON_ROOT) != true && (user.is_null() || *user == 0)
        }
        "whenCapabilities" => get(container.value, PRIVILEGED) == true || !list(container.value, ADD).is_empty(),
        _ => true,
    });
    containers
}

fn in_host_namespaces(spec: &Value) -> Vec<&'static str> {
    HOST.into_iter().filter(|field| get(spec, field) == true).collect()
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let needing = needing(pod);
    if needing.is_empty() || get(pod.spec, "hostUsers") == false {
        return Vec::new();
    }
    let shared = in_host_namespaces(pod.spec);
    if !shared.is_empty() {
        let allowed = pod.is("allowHostNamespaces");
        let found = shared.into_iter().map(|field| violation("hostUsers", format!("spec.{field}")));
        return found.filter(|_| !allowed).collect();
    }
    let is_always = ["", "always"].contains(&text(pod.settings, "require"));
    let count = if is_always { 1 } else { needing.len() };
    vec![violation("hostUsers", "spec.hostUsers"); count]
}

fn mutate(pod: &mut Mutable<'_>) {
    let before = pod.before();
    let before = Pod::new(&before, pod.settings);
    let is_missing = get(before.spec, "hostUsers").is_null() && !needing(&before).is_empty();
    if pod.is("mutate") && is_missing && in_host_namespaces(before.spec).is_empty() {
        pod.set("hostUsers", json!(false));
    }
}
