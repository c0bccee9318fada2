//! PodSecurityPolicies, as the admission plugin of Kubernetes 1.24, the last that had it, understood them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Outcome, read::read, without_covered};

/// The document as far as it says something.
#[derive(Deserialize)]
#[serde(expecting = "a PodSecurityPolicy")]
struct PodSecurityPolicy {
    metadata: Option<Metadata>,
    spec: PodSecurityPolicySpec,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "an object")]
struct Metadata {
    annotations: Option<BTreeMap<String, String>>,
}

/// `PodSecurityPolicySpec`, all of it. What is not set is what a null is: the default.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a PodSecurityPolicySpec")]
struct PodSecurityPolicySpec {
    privileged: Option<bool>,
    default_add_capabilities: Option<Vec<String>>,
    required_drop_capabilities: Option<Vec<String>>,
    allowed_capabilities: Option<Vec<String>>,
    volumes: Option<Vec<String>>,
    host_network: Option<bool>,
    host_ports: Option<Vec<Range>>,
    #[serde(rename = "hostPID")]
    host_pid: Option<bool>,
    #[serde(rename = "hostIPC")]
    host_ipc: Option<bool>,
    se_linux: Option<SeLinux>,
    run_as_user: Option<Ids>,
    run_as_group: Option<Ids>,
    supplemental_groups: Option<Ids>,
    fs_group: Option<Ids>,
    read_only_root_filesystem: Option<bool>,
    default_allow_privilege_escalation: Option<bool>,
    allow_privilege_escalation: Option<bool>,
    allowed_host_paths: Option<Vec<HostPath>>,
    allowed_flex_volumes: Option<Vec<FlexVolume>>,
    #[serde(rename = "allowedCSIDrivers")]
    allowed_csi_drivers: Option<Vec<CsiDriver>>,
    allowed_unsafe_sysctls: Option<Vec<String>>,
    forbidden_sysctls: Option<Vec<String>>,
    allowed_proc_mount_types: Option<Vec<String>>,
    runtime_class: Option<RuntimeClass>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(default, expecting = "a range")]
#[derive(Default)]
struct Range {
    min: i64,
    max: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "SELinuxStrategyOptions")]
struct SeLinux {
    rule: SeLinuxRule,
    se_linux_options: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, PartialEq, Clone, Copy)]
enum SeLinuxRule {
    MustRunAs,
    RunAsAny,
}

/// A rule for users or groups.
#[derive(Deserialize)]
#[serde(expecting = "a rule and its ranges")]
struct Ids {
    rule: String,
    ranges: Option<Vec<Range>>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", expecting = "an AllowedHostPath")]
struct HostPath {
    path_prefix: String,
    read_only: Option<bool>,
}

#[derive(Deserialize)]
#[serde(expecting = "an AllowedFlexVolume")]
struct FlexVolume {
    driver: String,
}

#[derive(Deserialize)]
#[serde(expecting = "an AllowedCSIDriver")]
struct CsiDriver {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "RuntimeClassStrategyOptions")]
struct RuntimeClass {
    allowed_runtime_class_names: Option<Vec<String>>,
    default_runtime_class_name: Option<String>,
}

/// The types of volumes that PodSecurityPolicy knew.
#[rustfmt::skip]
const VOLUMES: [&str; 29] = [
    "awsElasticBlockStore", "azureDisk", "azureFile", "cephFS", "cinder", "configMap", "csi", "downwardAPI", "emptyDir",
    "ephemeral", "fc", "flexVolume", "flocker", "gcePersistentDisk", "gitRepo", "glusterfs", "hostPath", "iscsi", "nfs",
    "persistentVolumeClaim", "photonPersistentDisk", "portworxVolume", "projected", "quobyte", "rbd", "scaleIO", "secret",
    "storageos", "vsphere",
];

/// The field of a volume of a type; two of them are called something else.
fn volume_field(of: &str) -> &str {
    match of {
        "cephFS" => "cephfs",
        "vsphere" => "vsphereVolume",
        other => other,
    }
}

/// What 1.24 took for safe.
const SAFE_SYSCTLS: [&str; 5] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
];

const ANY: &str = "*";

/// Writes the policies of a PodSecurityPolicy.
///
/// # Errors
/// A field is of another type, or has a value that the API server never accepted.
pub(super) fn migrate(document: &Value, outcome: &mut Outcome<'_>) -> Result<bool, String> {
    let (PodSecurityPolicy { metadata, spec }, unknown) = read(document)?;
    let is_of_every_object = |path: &str| path.starts_with("metadata.") || matches!(path, "apiVersion" | "kind");
    for path in unknown.iter().filter(|path| !is_of_every_object(path)) {
        outcome.warn(path, "no field of PodSecurityPolicy; it is left out");
    }
    outcome.warn(
        "",
        "RBAC said for whom this PodSecurityPolicy counts; these policies count for all pods. Add a \
         namespaceSelector, or exempt.users and exempt.namespaces, where another one allowed more",
    );
    outcome.pods_only("PodSecurityPolicy judged");
    let annotations = metadata.unwrap_or_default().annotations.unwrap_or_default();

    spec.privileged(outcome);
    spec.capabilities(outcome)?;
    spec.privilege_escalation(outcome);
    spec.host(outcome)?;
    spec.volumes(outcome);
    spec.host_paths(outcome);
    spec.flex_volumes(outcome);
    spec.users(outcome)?;
    spec.selinux(outcome);
    spec.read_only_root_filesystem(outcome);
    spec.sysctls(outcome);
    spec.proc_mount(outcome);
    spec.runtime_class(outcome);
    seccomp(&annotations, outcome);
    apparmor(&annotations, outcome);
    Ok(true)
}

/// The elements of a list, none where there is no list.
fn list<T>(list: &Option<Vec<T>>) -> &[T] {
    list.as_deref().unwrap_or_default()
}

fn has(list: &[String], name: &str) -> bool {
    list.iter().any(|element| element == name)
}

/// The name of a capability without `CAP_`, in capitals.
fn bare(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").map_or(name.clone(), str::to_owned)
}

fn is_all(name: &str) -> bool {
    bare(name) == "ALL"
}

/// Whether adding one capability, however it is written, adds another.
fn adds(added: &str, name: &str) -> bool {
    is_all(added) || bare(added) == bare(name)
}

impl PodSecurityPolicySpec {
    fn privileged(&self, outcome: &mut Outcome<'_>) {
        if self.privileged != Some(true) {
            outcome.add("privileged", json!({}));
        }
    }

    fn capabilities(&self, outcome: &mut Outcome<'_>) -> Result<(), String> {
        let (allowed, default_add) = (list(&self.allowed_capabilities), list(&self.default_add_capabilities));
        let required = list(&self.required_drop_capabilities);
        let is_changed = !default_add.is_empty() || !required.is_empty();
        if has(allowed, ANY) && !is_changed {
            return Ok(());
        }
        let is_required = |name: &String| required.iter().any(|required| !is_all(required) && adds(name, required));
        if let Some(contradiction) = default_add.iter().find(|name| is_required(name)) {
            return Err(format!("spec.defaultAddCapabilities: {contradiction} is in requiredDropCapabilities as well"));
        }
        let may_add = |name: &String| name == ANY && !required.iter().all(|of| is_all(of)) || is_required(name);
        if let Some(wide) = allowed.iter().find(|name| may_add(name)) {
            let text = format!(
                "with {wide} a container could add what requiredDropCapabilities has dropped; Podfence rejects that"
            );
            outcome.warn("spec.allowedCapabilities", &text);
        }
        let mut settings = json!({"allowedCapabilities": allowed, "requiredDropCapabilities": required});
        if !default_add.is_empty() {
            settings["defaultAddCapabilities"] = json!(default_add);
        }
        if is_changed {
            settings["mutate"] = json!(true);
        }
        outcome.add("capabilities", settings);
        Ok(())
    }

    fn privilege_escalation(&self, outcome: &mut Outcome<'_>) {
        const DEFAULT: &str = "spec.defaultAllowPrivilegeEscalation";
        if self.allow_privilege_escalation == Some(false) {
            if self.default_allow_privilege_escalation == Some(true) {
                outcome.warn(DEFAULT, "contradicts allowPrivilegeEscalation: false, which counts");
            }
            return outcome.add("allow-privilege-escalation", json!({"mutate": true}));
        }
        match self.default_allow_privilege_escalation {
            Some(false) => outcome.warn(
                DEFAULT,
                "set allowPrivilegeEscalation: false where a container says nothing, and let it say true. Podfence \
                 either leaves it alone, as here, or rejects true: add allow-privilege-escalation with mutate: true \
                 if no container needs it",
            ),
            Some(true) => outcome.warn(DEFAULT, "true is what Kubernetes takes an unset field for; nothing is needed"),
            None => {}
        }
    }

    fn host(&self, outcome: &mut Outcome<'_>) -> Result<(), String> {
        let is = |field: Option<bool>| field == Some(true);
        let (network, pid, ipc) = (is(self.host_network), is(self.host_pid), is(self.host_ipc));
        if !(network && pid && ipc) {
            let settings = json!({"allowHostNetwork": network, "allowHostPID": pid, "allowHostIPC": ipc});
            outcome.add("host-namespaces", settings);
        }
        let ports = list(&self.host_ports);
        if !ports.iter().any(|range| range.min <= 1 && range.max >= 65535) {
            outcome.add("host-ports", json!({"hostPorts": ranges(ports, "spec.hostPorts")?}));
        }
        Ok(())
    }

    /// Whether volumes of a type may be there at all.
    fn allows_volume(&self, of: &str) -> bool {
        let volumes = list(&self.volumes);
        has(volumes, ANY) || has(volumes, of)
    }

    fn volumes(&self, outcome: &mut Outcome<'_>) {
        const PATH: &str = "spec.volumes";
        let volumes = list(&self.volumes);
        let is_any = has(volumes, ANY);
        let is_known = |name: &str| VOLUMES.contains(&name) || name == ANY || name == "none";
        for unknown in volumes.iter().filter(|name| !is_known(name)) {
            outcome.warn(PATH, &format!("no type of volume: {unknown:?}; it is left out"));
        }
        let drivers: Vec<&str> = list(&self.allowed_csi_drivers).iter().map(|driver| driver.name.as_str()).collect();
        let without_csi = !drivers.is_empty() && self.allows_volume("csi");
        if is_any && !without_csi {
            return;
        }
        let mut allowed: Vec<&str> = VOLUMES.into_iter().filter(|of| is_any || has(volumes, of)).collect();
        if without_csi {
            outcome.warn(
                "spec.allowedCSIDrivers",
                &format!(
                    "no policy judges the driver of an inline CSI volume, so those of {} are rejected as well; add csi \
                     to allowedTypes to allow every driver",
                    drivers.join(", ")
                ),
            );
            allowed.retain(|of| *of != "csi");
        }
        if allowed.contains(&"secret") && !allowed.contains(&"projected") {
            outcome.warn(
                PATH,
                "PodSecurityPolicy took the service account's token, a projected volume that nearly every pod gets, \
                 for a secret; Podfence rejects it. Add projected to allowedTypes",
            );
        }
        let allowed: Vec<&str> = allowed.into_iter().map(volume_field).collect();
        outcome.add("volumes", json!({"allowedTypes": allowed}));
    }

    /// An empty list allows all, so there is no policy for it.
    fn host_paths(&self, outcome: &mut Outcome<'_>) {
        let all = list(&self.allowed_host_paths);
        if all.is_empty() || !self.allows_volume("hostPath") {
            return;
        }
        let mut allowed = Vec::new();
        for (index, entry) in all.iter().enumerate() {
            let prefix = entry.path_prefix.as_str();
            if !prefix.starts_with('/') {
                let text = format!("not an absolute path: {prefix:?}; it is left out, since it allows nothing");
                outcome.warn(&format!("spec.allowedHostPaths[{index}].pathPrefix"), &text);
                continue;
            }
            allowed.push(json!({"pathPrefix": prefix, "readOnly": entry.read_only == Some(true)}));
        }
        without_covered(&mut allowed);
        outcome.add("host-path", json!({"allowedHostPaths": allowed}));
    }

    /// An empty list allows all, so there is no policy for it.
    fn flex_volumes(&self, outcome: &mut Outcome<'_>) {
        let drivers = list(&self.allowed_flex_volumes);
        if !drivers.is_empty() && self.allows_volume("flexVolume") {
            let named = drivers.iter().filter(|allowed| !allowed.driver.is_empty());
            let drivers: Vec<_> = named.map(|allowed| json!({"driver": allowed.driver})).collect();
            outcome.add("flex-volumes", json!({"allowedFlexVolumes": drivers}));
        }
    }

    fn users(&self, outcome: &mut Outcome<'_>) -> Result<(), String> {
        const NON_ROOT: &str = "MustRunAsNonRoot";
        const GROUP_RULES: &[&str] = &["MustRunAs", "MayRunAs", "RunAsAny"];
        let mut settings = Map::new();
        let fields = [
            ("runAsUser", &self.run_as_user, &["MustRunAs", NON_ROOT, "RunAsAny"][..]),
            ("runAsGroup", &self.run_as_group, GROUP_RULES),
            ("supplementalGroups", &self.supplemental_groups, GROUP_RULES),
            ("fsGroup", &self.fs_group, GROUP_RULES),
        ];
        for (name, ids, rules) in fields {
            let path = format!("spec.{name}");
            if ids.is_none() && name != "runAsGroup" {
                outcome.warn(&path, "PodSecurityPolicy demands this field; without it nothing is asked");
            }
            settings.insert(name.to_owned(), rule_of(ids.as_ref(), rules, &path, outcome)?);
        }
        let rules: Vec<&str> = settings.values().filter_map(|field| field["rule"].as_str()).collect();
        if rules.iter().all(|rule| *rule == "RunAsAny") {
            return Ok(());
        }
        let (is_non_root, is_changed) = (rules[0] == NON_ROOT, rules.contains(&"MustRunAs"));
        if rules[..2] != ["RunAsAny"; 2] {
            outcome.warn(
                if rules[0] == "RunAsAny" { "spec.runAsGroup.rule" } else { "spec.runAsUser.rule" },
                "Podfence judges the value of the pod itself as well where every container has its own",
            );
        }
        if rules[2] == "MustRunAs" {
            outcome.warn("spec.supplementalGroups.rule", "Podfence takes an empty list for none, and fills it in");
        }
        settings.insert("runAsNonRoot".to_owned(), json!(is_non_root));
        // PodSecurityPolicy set runAsNonRoot: true as well.
        if is_changed || is_non_root {
            settings.insert("mutate".to_owned(), json!(true));
        }
        outcome.add("users", Value::Object(settings));
        Ok(())
    }

    fn selinux(&self, outcome: &mut Outcome<'_>) {
        const OPTIONS: &str = "spec.seLinux.seLinuxOptions";
        let Some(selinux) = &self.se_linux else {
            return outcome.warn("spec.seLinux", "PodSecurityPolicy demands this field; without it nothing is asked");
        };
        if selinux.rule == SeLinuxRule::RunAsAny {
            return;
        }
        let mut options = selinux.se_linux_options.clone().unwrap_or_default();
        let is_known = |name: &str| matches!(name, "user" | "role" | "type" | "level");
        for name in options.keys().filter(|name| !is_known(name)) {
            outcome.warn(&format!("{OPTIONS}.{name}"), "no field of SELinuxOptions; it is left out");
        }
        // Here `*` is a pattern, there it was a label that no pod has.
        options.retain(|name, value| is_known(name) && !value.is_empty() && value != ANY);
        outcome.warn(
            "spec.seLinux.rule",
            "PodSecurityPolicy set these options where a pod has none, and categories of a level could be in any \
             order; Podfence rejects a pod without them, and compares a level as it is written",
        );
        outcome.add("selinux", json!({"rule": "MustRunAs", "allowedSELinuxOptions": [options]}));
    }

    fn read_only_root_filesystem(&self, outcome: &mut Outcome<'_>) {
        if self.read_only_root_filesystem == Some(true) {
            outcome.add("read-only-root-filesystem", json!({"mutate": true}));
        }
    }

    fn sysctls(&self, outcome: &mut Outcome<'_>) {
        let (allowed, forbidden) = (list(&self.allowed_unsafe_sysctls), list(&self.forbidden_sysctls));
        if has(allowed, ANY) && forbidden.is_empty() {
            return;
        }
        let safe = SAFE_SYSCTLS.into_iter().chain(allowed.iter().map(String::as_str));
        let settings = json!({"allowedSysctls": safe.collect::<Vec<_>>(), "forbiddenSysctls": forbidden});
        outcome.add("sysctls", settings);
    }

    fn proc_mount(&self, outcome: &mut Outcome<'_>) {
        const PATH: &str = "spec.allowedProcMountTypes";
        let types = list(&self.allowed_proc_mount_types);
        let allows = |name: &str| has(types, name);
        for unknown in types.iter().filter(|name| !["Default", "Unmasked"].contains(&name.as_str())) {
            outcome.warn(PATH, &format!("no type of /proc: {unknown:?}; it is left out"));
        }
        match (allows("Default") || types.is_empty(), allows("Unmasked")) {
            (true, true) => {}
            (true, false) => outcome.add("proc-mount", json!({"allowedProcMountTypes": ["Default"]})),
            (false, true) => {
                outcome.warn(PATH, "a container that sets no procMount was rejected; Podfence lets it pass");
                outcome.add("proc-mount", json!({"allowedProcMountTypes": ["Unmasked"]}));
            }
            (false, false) => outcome.add("proc-mount", json!({"allowedProcMountTypes": []})),
        }
    }

    fn runtime_class(&self, outcome: &mut Outcome<'_>) {
        const DEFAULT: &str = "spec.runtimeClass.defaultRuntimeClassName";
        let Some(classes) = &self.runtime_class else { return };
        let (allowed, default) = (list(&classes.allowed_runtime_class_names), &classes.default_runtime_class_name);
        if has(allowed, ANY) {
            if let Some(default) = default {
                let text = format!("pods without a runtime class do not get {default}, since any one is allowed");
                outcome.warn(DEFAULT, &text);
            }
            return;
        }
        // Without any, the setting is left out: only pods that name none pass then.
        let mut settings = json!({"required": false});
        if !allowed.is_empty() {
            settings["allowedRuntimeClasses"] = json!(allowed);
        }
        match default {
            Some(default) if has(allowed, default) => settings["defaultRuntimeClass"] = json!(default),
            Some(default) => {
                outcome.warn(DEFAULT, &format!("{default} is not allowed, so every pod that would get it is rejected"));
                settings["required"] = json!(true);
            }
            None => {}
        }
        outcome.add("runtime-class", settings);
    }
}

fn ranges(ranges: &[Range], path: &str) -> Result<Value, String> {
    match ranges.iter().position(|range| range.min < 0 || range.max < range.min) {
        Some(wrong) => Err(format!("{path}[{wrong}]: expected 0 <= min <= max")),
        None => Ok(ranges.iter().map(|range| json!({"min": range.min, "max": range.max})).collect()),
    }
}

/// A rule for users or groups as a setting. Ranges that a rule does not read are left out.
fn rule_of(ids: Option<&Ids>, rules: &[&str], path: &str, outcome: &mut Outcome<'_>) -> Result<Value, String> {
    let Some(ids) = ids else { return Ok(json!({"rule": "RunAsAny"})) };
    if !rules.contains(&ids.rule.as_str()) {
        return Err(format!("{path}.rule: expected one of {}, found {:?}", rules.join(", "), ids.rule));
    }
    let has_ranges = matches!(ids.rule.as_str(), "MustRunAs" | "MayRunAs");
    match list(&ids.ranges) {
        [] if has_ranges => Err(format!("{path}.ranges: expected at least one range with the rule {}", ids.rule)),
        given if has_ranges => Ok(json!({"rule": ids.rule, "ranges": ranges(given, &format!("{path}.ranges"))?})),
        [] => Ok(json!({"rule": ids.rule})),
        _ => {
            outcome.warn(&format!("{path}.ranges"), &format!("means nothing with the rule {}", ids.rule));
            Ok(json!({"rule": ids.rule}))
        }
    }
}

const ALLOWED_SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/allowedProfileNames";
const DEFAULT_SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/defaultProfileName";
const ALLOWED_APPARMOR: &str = "apparmor.security.beta.kubernetes.io/allowedProfileNames";
const DEFAULT_APPARMOR: &str = "apparmor.security.beta.kubernetes.io/defaultProfileName";

fn path_of(annotation: &str) -> String {
    format!("metadata.annotations[{annotation:?}]")
}

/// An annotation that says something.
fn annotation<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    annotations.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// The profiles in a list. What is no profile matched no pod there, but would be a pattern or refused here.
fn profiles<'a>(given: &'a str, name: &str, outcome: &mut Outcome<'_>) -> Vec<&'a str> {
    let (profiles, others): (Vec<&str>, Vec<&str>) = given.split(',').partition(|profile| is_profile(profile));
    for other in others.into_iter().filter(|other| !other.is_empty()) {
        outcome.warn(&path_of(name), &format!("no profile: {other:?}; it is left out, since it allowed nothing"));
    }
    profiles
}

fn is_profile(profile: &str) -> bool {
    match profile.strip_prefix("localhost/") {
        Some(file) => !matches!(file, "" | ANY),
        None => matches!(profile, "runtime/default" | "docker/default" | "unconfined"),
    }
}

fn seccomp(annotations: &BTreeMap<String, String>, outcome: &mut Outcome<'_>) {
    let default = annotation(annotations, DEFAULT_SECCOMP);
    let Some(given) = annotation(annotations, ALLOWED_SECCOMP) else {
        return seccomp_unchanged(default, outcome);
    };
    let is_any = given.split(',').any(|profile| profile == ANY);
    let allowed = if is_any { vec![ANY] } else { profiles(given, ALLOWED_SECCOMP, outcome) };
    let mut settings = json!({"allowedProfiles": allowed, "required": !is_any});
    match default {
        Some(default) if is_profile(default) && (is_any || has_profile(&allowed, default)) => {
            settings["defaultProfile"] = json!(default);
        }
        Some(default) => default_not_allowed(default, outcome),
        None if is_any => return,
        None => outcome.warn(
            &path_of(ALLOWED_SECCOMP),
            "PodSecurityPolicy demanded a profile of the pod itself; Podfence is content if each container has one, and \
             asks nothing of Windows pods",
        ),
    }
    outcome.add("seccomp", settings);
}

/// Without a list, nobody may choose a profile.
fn seccomp_unchanged(default: Option<&str>, outcome: &mut Outcome<'_>) {
    match default {
        Some(default) => default_not_allowed(default, outcome),
        None => outcome.warn(
            &path_of(ALLOWED_SECCOMP),
            "without it, PodSecurityPolicy let no pod set a seccomp profile, and so does this policy. Leave the policy \
             out, or use seccomp without settings, to do better",
        ),
    }
    outcome.add("seccomp", json!({"allowedProfiles": [], "required": default.is_some()}));
}

fn default_not_allowed(default: &str, outcome: &mut Outcome<'_>) {
    let text = format!("{default:?} is not allowed, so every pod that would get it is rejected");
    outcome.warn(&path_of(DEFAULT_SECCOMP), &text);
}

/// Whether a profile is in a list, under any of its names.
fn has_profile<'a>(list: &[&'a str], profile: &'a str) -> bool {
    let named = |profile: &'a str| if profile == "docker/default" { "runtime/default" } else { profile };
    list.iter().any(|allowed| named(allowed) == named(profile))
}

fn apparmor(annotations: &BTreeMap<String, String>, outcome: &mut Outcome<'_>) {
    let default = annotation(annotations, DEFAULT_APPARMOR);
    // An empty list is one that nothing is on.
    let Some(given) = annotations.get(ALLOWED_APPARMOR) else {
        if let Some(default) = default {
            let text =
                format!("containers without a profile do not get {default}; they have what the runtime gives them");
            outcome.warn(&path_of(DEFAULT_APPARMOR), &text);
        }
        return;
    };
    let mut allowed = profiles(given, ALLOWED_APPARMOR, outcome);
    // A name of seccomp alone.
    allowed.retain(|profile| *profile != "docker/default");
    if let Some(default) = default {
        let text = format!("containers without a profile got {default}; Podfence rejects them");
        outcome.warn(&path_of(DEFAULT_APPARMOR), &text);
    }
    outcome.add("apparmor", json!({"allowedProfiles": allowed, "required": true}));
}
