//! The official policies of Kubewarden.

use serde_json::{Map, Value, json};

use super::Outcome;

type Settings = Map<String, Value>;

/// An official policy, ours, and what has to be said to ours so that it decides the same.
struct Official {
    module: &'static str,
    policy: &'static str,
    translate: fn(&mut Translation<'_, '_>),
}

const fn official(module: &'static str, policy: &'static str, translate: fn(&mut Translation<'_, '_>)) -> Official {
    Official { module, policy, translate }
}

/// The names of the other settings are known to our policies, and what is left out is said as it was meant.
const OFFICIAL: [Official; 15] = [
    official("allow-privilege-escalation-psp", "allow-privilege-escalation", privilege_escalation),
    official("allowed-fsgroups-psp", "users", fs_groups),
    official("allowed-proc-mount-types-psp", "proc-mount", |_| {}),
    official("apparmor-psp", "apparmor", |of| of.default("allowed_profiles", json!(["runtime/default"]))),
    official("capabilities-psp", "capabilities", capabilities),
    official("flexvolume-drivers-psp", "flex-volumes", init_volumes),
    official("host-namespaces-psp", "host-namespaces", host_namespaces),
    official("hostpaths-psp", "host-path", host_paths),
    official("pod-privileged", "privileged", |_| {}),
    official("readonly-root-filesystem-psp", "read-only-root-filesystem", |_| {}),
    official("seccomp-psp", "seccomp", seccomp),
    official("selinux-psp", "selinux", selinux),
    official("sysctl-psp", "sysctls", sysctls),
    official("user-group-psp", "users", users),
    official("volumes-psp", "volumes", |of| {
        of.default("allowedTypes", json!([]));
        init_volumes(of);
    }),
];

/// What the official policy takes for safe.
const SAFE_SYSCTLS: [&str; 4] =
    ["kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range"];

/// The official policies, and those of ours that take their places.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    OFFICIAL.iter().map(|official| (official.module, official.policy))
}

/// Whether a document is a policy of Kubewarden.
pub(super) fn is_policy(version: &str, kind: &str) -> bool {
    version.starts_with("policies.kubewarden.io/") && matches!(kind, "ClusterAdmissionPolicy" | "AdmissionPolicy")
}

/// Settings on their way from an official policy to ours.
struct Translation<'o, 'm> {
    settings: Settings,
    /// Whether the cluster lets the policy change objects.
    is_mutating: bool,
    /// Policies besides.
    more: Vec<(&'static str, Value)>,
    outcome: &'o mut Outcome<'m>,
}

impl Translation<'_, '_> {
    fn warn(&mut self, setting: &str, text: &str) {
        self.outcome.warn(&format!("spec.settings.{setting}"), text);
    }

    /// Says what a setting is that is not given.
    fn default(&mut self, setting: &str, value: Value) {
        let given = self.settings.entry(setting).or_insert(Value::Null);
        if given.is_null() {
            *given = value;
        }
    }

    fn is_empty(&self, setting: &str) -> bool {
        self.settings.get(setting).is_none_or(|value| value.is_null() || value == &json!([]))
    }

    /// Has our policy change objects, as the official one does without being asked, where it may.
    fn mutate(&mut self) {
        if self.is_mutating {
            self.settings.insert("mutate".to_owned(), json!(true));
        }
    }
}

/// Writes the policy that takes the place of an official one, under the same name.
///
/// # Errors
/// The document is no policy.
pub(super) fn migrate(document: &Value, outcome: &mut Outcome<'_>) -> Result<bool, String> {
    let module = document["spec"]["module"].as_str().ok_or("spec.module: expected the URL of a module")?;
    let name = module_name(module);
    let Some(official) = OFFICIAL.iter().find(|official| official.module == name) else {
        outcome.warn(
            "spec.module",
            &format!("{module:?} is no official policy that Podfence takes the place of; it is left out"),
        );
        return Ok(false);
    };
    let settings = match &document["spec"]["settings"] {
        Value::Null => Settings::new(),
        Value::Object(settings) => settings.clone(),
        other => return Err(format!("spec.settings: expected an object, found {other}")),
    };
    let rules = with_ephemeral_containers(&document["spec"]["rules"], outcome)?;
    let is_mutating = document["spec"]["mutating"] == true;
    let mut translation = Translation { settings, is_mutating, more: Vec::new(), outcome };
    (official.translate)(&mut translation);
    let Translation { settings, more, .. } = translation;
    let name = document["metadata"]["name"].as_str().unwrap_or("unnamed");
    let policies = std::iter::once((official.policy, Value::Object(settings))).chain(more);
    for (index, (policy, settings)) in policies.enumerate() {
        let mut migrated = document.clone();
        migrated["metadata"] = metadata(document);
        migrated["metadata"]["name"] =
            json!(outcome.unique(if index == 0 { name.to_owned() } else { format!("{name}-{policy}") }));
        if let Some(members) = migrated.as_object_mut() {
            members.remove("status");
        }
        let spec = &mut migrated["spec"];
        spec["module"] = json!(outcome.module(policy));
        spec["mutating"] = json!(crate::published::is_mutating(policy, &settings));
        spec["settings"] = settings;
        spec["rules"] = rules.clone();
        outcome.push(migrated);
    }
    Ok(true)
}

/// The last part of a module's URL, without tag and digest.
fn module_name(module: &str) -> &str {
    let last = module.rsplit('/').next().unwrap_or_default();
    last.split(['@', ':']).next().unwrap_or_default()
}

/// The metadata that people write, without what the API server adds.
fn metadata(document: &Value) -> Value {
    let mut metadata = document["metadata"].as_object().cloned().unwrap_or_default();
    metadata.retain(|name, _| matches!(name.as_str(), "name" | "namespace" | "labels" | "annotations"));
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    Value::Object(metadata)
}

/// The rules, with one more for the containers of `kubectl debug` where pods are judged and they are not.
fn with_ephemeral_containers(rules: &Value, outcome: &mut Outcome<'_>) -> Result<Value, String> {
    let mut rules = rules.as_array().cloned().ok_or("spec.rules: expected a list")?;
    let has =
        |resource: &str| rules.iter().flat_map(|rule| rule["resources"].as_array()).flatten().any(|of| of == resource);
    if has("pods") && !["pods/ephemeralcontainers", "pods/*", "*/*"].into_iter().any(has) {
        outcome.warn_once(
            "spec.rules",
            "the containers of kubectl debug were not judged; a rule for pods/ephemeralcontainers is added",
        );
        rules.push(super::rule("", &["pods/ephemeralcontainers"], &["UPDATE"]));
    }
    let is_pod = |resource: &Value| resource.as_str().is_some_and(|resource| resource.starts_with("pods"));
    let mut others = rules.iter().flat_map(|rule| rule["resources"].as_array()).flatten().filter(|of| !is_pod(of));
    if let Some(other) = others.next() {
        let text = format!("official policies may let what is no pod pass unread; Podfence judges {other} as well");
        outcome.warn("spec.rules", &text);
    }
    Ok(Value::Array(rules))
}

fn privilege_escalation(of: &mut Translation<'_, '_>) {
    const SETTING: &str = "default_allow_privilege_escalation";
    match of.settings.remove(SETTING) {
        Some(Value::Bool(false)) if of.is_mutating => of.mutate(),
        Some(Value::Bool(false)) => {}
        _ => of.warn(
            SETTING,
            "a container that leaves allowPrivilegeEscalation unset was let through; Podfence rejects it. With mutate: \
             true it sets false instead",
        ),
    }
}

fn fs_groups(of: &mut Translation<'_, '_>) {
    of.settings.insert("runAsNonRoot".to_owned(), json!(false));
    of.settings.insert("runAsUser".to_owned(), json!({"rule": "RunAsAny"}));
    match of.settings.get("rule").and_then(Value::as_str) {
        Some("MustRunAs") => of.mutate(),
        Some("RunAsAny") | None => {
            of.settings.remove("ranges");
        }
        _ => {}
    }
}

fn users(of: &mut Translation<'_, '_>) {
    of.settings.insert("runAsNonRoot".to_owned(), json!(false));
    // It is another name of `mutate`, the two of which together are an error.
    let is_checking_only = of.settings.remove("validate_only") == Some(json!(true));
    let mut must = false;
    for name in ["run_as_user", "run_as_group", "supplemental_groups"] {
        of.default(name, json!({"rule": "RunAsAny"}));
        let Some(ids) = of.settings.get_mut(name).and_then(Value::as_object_mut) else { continue };
        let rule = ids.get("rule").and_then(Value::as_str).unwrap_or("RunAsAny");
        must |= rule == "MustRunAs";
        if matches!(rule, "RunAsAny" | "MustRunAsNonRoot") {
            ids.remove("ranges");
        }
        if ids.remove("overwrite") == Some(json!(true)) {
            of.warn(&format!("{name}.overwrite"), "what a pod sets is judged, and never replaced");
        }
    }
    if must && !is_checking_only {
        of.mutate();
    }
    of.warn("run_as_user", "Podfence judges the value of the pod itself as well where every container has its own");
}

fn capabilities(of: &mut Translation<'_, '_>) {
    of.default("allowed_capabilities", json!([]));
    of.default("required_drop_capabilities", json!([]));
    if !of.is_empty("required_drop_capabilities") || !of.is_empty("default_add_capabilities") {
        of.mutate();
    }
}

/// It judged host ports as well, of which it allowed none unless they were listed.
fn host_namespaces(of: &mut Translation<'_, '_>) {
    let ports = of.settings.remove("allow_host_ports").filter(|ports| !ports.is_null());
    of.more.push(("host-ports", json!({"hostPorts": ports.unwrap_or_else(|| json!([]))})));
}

fn host_paths(of: &mut Translation<'_, '_>) {
    if of.is_empty("allowedHostPaths") {
        of.warn("allowedHostPaths", "an empty list allowed every path; that is said explicitly now");
        of.settings.insert("allowedHostPaths".to_owned(), json!([{"pathPrefix": "/", "readOnly": false}]));
    }
}

fn seccomp(of: &mut Translation<'_, '_>) {
    if of.is_empty("allowed_profiles") {
        of.settings.remove("allowed_profiles");
        of.default("profile_types", json!([]));
    }
    of.default("localhost_profiles", json!([]));
    of.default("required", json!(false));
    of.warn("localhost_profiles", "files are compared whole, not by how they end, and no annotation is judged");
}

fn selinux(of: &mut Translation<'_, '_>) {
    if of.settings.get("rule") == Some(&json!("MustRunAs")) {
        of.warn("rule", "options are not set where a pod has none: it is rejected");
    }
}

fn sysctls(of: &mut Translation<'_, '_>) {
    let given = of.settings.remove("allowedUnsafeSysctls").and_then(|list| list.as_array().cloned());
    let safe = SAFE_SYSCTLS.into_iter().map(Value::from);
    of.settings.insert("allowedSysctls".to_owned(), safe.chain(given.into_iter().flatten()).collect());
}

fn init_volumes(of: &mut Translation<'_, '_>) {
    const SETTING: &str = "ignoreInitContainersVolumes";
    if of.settings.remove(SETTING) == Some(json!(true)) {
        of.warn(SETTING, "volumes of init containers are judged: any container can mount a volume later");
    }
}
