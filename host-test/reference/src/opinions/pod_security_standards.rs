//! The built-in PodSecurity admission: every level and version, with its messages.

use podfence_pod_security_standards::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::fields::join;
use crate::opinion::{Container, Opinion, Pod, Violation, get, list, text, texts, values, violation};
use crate::opinions::host_probes::HOSTS;
use crate::opinions::volumes;

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values(APPARMOR, 90, &["runtime/default", "localhost/p", ""], &["unconfined", "docker/default", "localhost/", "a\"b"]),
        values("annotations[\"seccomp.security.alpha.kubernetes.io/*\"]", 30, ANNOTATED, &["unconfined", "", "localhost/"]),
        values("annotations[\"container.seccomp.security.alpha.kubernetes.io/*\"]", 30, ANNOTATED, &["unconfined", ""]),
        values("securityContext.appArmorProfile.type", 0, &["RuntimeDefault", "Localhost"], &["Unconfined", ""]),
        values("securityContext.seccompProfile.type", 0, &["RuntimeDefault", "Localhost"], &["Unconfined", "", "x"]),
        values("securityContext.capabilities.add", 60, &["NET_BIND_SERVICE"], &["CHOWN", "NET_RAW", "net_bind_service", "CAP_CHOWN", ""]),
        values("securityContext.capabilities.drop", 2, &["ALL"], &["all", "NET_RAW"]),
        values("hostUsers", 70, &["true", "false"], &["false"]),
        values("ports[*].hostPort", 70, &["0"], &["80", "443", "1000", "200", "30"]),
        values("securityContext.procMount", 70, &["Default"], &["Unmasked", "", "default"]),
        values("securityContext.seLinuxOptions.type", 50, &["", "container_t"], &["container_kvm_t", "container_engine_t", "spc_t"]),
        values("securityContext.seLinuxOptions.user", 80, &[""], &["root"]),
        values("securityContext.seLinuxOptions.role", 80, &[""], &["sysadm_r"]),
        values(
            "securityContext.sysctls[*].name",
            0,
            &["kernel.shm_rmid_forced"],
            &["net.ipv4.tcp_rmem", "net.ipv4.tcp_fin_timeout", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_notsent_lowat", "kernel/shm_rmid_forced", ""],
        ),
        values("securityContext.allowPrivilegeEscalation", 1, &["false"], &["true"]),
        values("securityContext.runAsNonRoot", 2, &["true"], &["false"]),
        values("securityContext.runAsUser", 60, &["1000"], &["0", "-1"]),
        values("volumes[*].name", 3, &["v", "w"], &["", "v\""]),
        values("volumes[*].*", 10, &volumes::ALLOWED, &["hostPath", "nfs", "gcePersistentDisk", "storageos", "futureSource"]),
        values("livenessProbe.httpGet.host", 80, &[""], &["localhost", "b", "a"]),
        values("livenessProbe.tcpSocket.host", 80, &[""], &["localhost", "b", "a"]),
    ],
    settings,
    check: |pod| findings(pod).into_iter().flat_map(|finding| finding.wrong).collect(),
    message: Some(message),
    mutate: None,
};

const APPARMOR: &str = "annotations[\"container.apparmor.security.beta.kubernetes.io/*\"]";
const ANNOTATED: &[&str] = &["runtime/default", "docker/default", "localhost/p"];

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.text("level", &["baseline", "baseline", "restricted", "restricted", "privileged"]);
    if settings.draw.percent(60) {
        // Only old versions check the annotations for seccomp.
        let newest = if settings.draw.percent(40) { 19 } else { 42 };
        let minor = settings.draw.below(newest);
        settings.put("version", json!(format!("v1.{minor}")));
    }
    if settings.draw.percent(20) {
        let ids: Vec<&str> = CONTROLS.iter().map(|(id, ..)| *id).collect();
        settings.texts("exclude", &ids);
    }
    settings.done()
}

/// The violations of a control.
struct Finding {
    reason: &'static str,
    detail: String,
    wrong: Vec<Violation>,
}

fn finding(reason: &'static str, detail: impl Into<String>, wrong: Vec<Violation>) -> Option<Finding> {
    (!wrong.is_empty()).then(|| Finding { reason, detail: detail.into(), wrong })
}

type Control = fn(&Pod<'_>, u32) -> Option<Finding>;

/// The controls in the order of the message, those of the baseline first: name, first minor version, and the control
/// that it replaces.
const CONTROLS: [(&str, u32, &str, Control); 19] = [
    ("appArmorProfile", 0, "", apparmor),
    ("capabilities_baseline", 0, "", capabilities_baseline),
    ("hostNamespaces", 0, "", host_namespaces),
    ("hostPathVolumes", 0, "", host_path_volumes),
    ("hostPorts", 0, "", host_ports),
    ("hostProbesAndHostLifecycle", 34, "", host_probes),
    ("privileged", 0, "", privileged),
    ("procMount", 0, "", |pod, minor| if in_user_namespace(pod, minor) { None } else { proc_mount(pod, minor) }),
    ("seLinuxOptions", 0, "", selinux),
    ("seccompProfile_baseline", 0, "", |pod, minor| if minor < 19 { annotations(pod) } else { seccomp(pod, false) }),
    ("sysctls", 0, "", sysctls),
    ("windowsHostProcess", 0, "", host_process),
    ("allowPrivilegeEscalation", 8, "", privilege_escalation),
    ("capabilities_restricted", 22, "capabilities_baseline", capabilities_restricted),
    ("procMount_restricted", 35, "procMount", proc_mount),
    ("restrictedVolumes", 0, "hostPathVolumes", restricted_volumes),
    ("runAsNonRoot", 0, "", |pod, minor| if in_user_namespace(pod, minor) { None } else { non_root(pod) }),
    ("runAsUser", 23, "", |pod, minor| if in_user_namespace(pod, minor) { None } else { user(pod) }),
    ("seccompProfile_restricted", 19, "seccompProfile_baseline", |pod, minor| {
        if on_windows(pod, minor) { None } else { seccomp(pod, true) }
    }),
];
const BASELINE: usize = 12;

fn findings(pod: &Pod<'_>) -> Vec<Finding> {
    let version = get(pod.settings, "version").as_str().unwrap_or("latest");
    let minor = version.strip_prefix("v1.").map_or(37, |minor| minor.parse().unwrap_or(37)).min(37);
    let count = match get(pod.settings, "level").as_str() {
        Some("privileged") => 0,
        Some("baseline") => BASELINE,
        _ => CONTROLS.len(),
    };
    let excluded = texts(pod.settings, "exclude");
    let mut active = CONTROLS[..count].to_vec();
    active.retain(|(id, since, ..)| *since <= minor && !excluded.contains(id));
    let overridden: Vec<&str> = active.iter().map(|(_, _, overrides, _)| *overrides).collect();
    active.retain(|(id, ..)| !overridden.contains(id));
    let found = active.iter().filter_map(|(id, _, _, control)| {
        let mut finding = control(pod, minor)?;
        finding.wrong.iter_mut().for_each(|wrong| wrong.control = (*id).to_owned());
        Some(finding)
    });
    found.collect()
}

fn message(pod: &Pod<'_>) -> String {
    let setting = |name: &str, default| get(pod.settings, name).as_str().unwrap_or(default).to_owned();
    let (level, version) = (setting("level", "restricted"), setting("version", "latest"));
    let found = findings(pod).into_iter().map(|finding| format!("{} ({})", finding.reason, finding.detail));
    format!("violates PodSecurity \"{level}:{version}\": {}", found.collect::<Vec<_>>().join(", "))
}

fn on_windows(pod: &Pod<'_>, minor: u32) -> bool {
    minor >= 25 && pod.is_windows()
}

fn in_user_namespace(pod: &Pod<'_>, minor: u32) -> bool {
    minor >= 35 && get(pod.spec, "hostUsers") == false
}

/// Sorts strings and removes duplicates.
fn sorted(values: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut values: Vec<String> = values.into_iter().collect();
    values.sort();
    values.dedup();
    values
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

fn named(one: &'static str, many: &'static str, names: &[String]) -> String {
    format!("{} {}", plural(names.len(), one, many), quoted(names))
}

fn containers(names: &[String]) -> String {
    named("container", "containers", names)
}

/// Names the pod and the containers with violations, each once.
fn who(wrong: &[Violation]) -> String {
    let mut names = Vec::new();
    let mut last = None;
    for wrong in wrong {
        let Some(name) = &wrong.container else { continue };
        let this = wrong.path.split_inclusive(']').next();
        if last != this {
            names.push(name.clone());
        }
        last = this;
    }
    let is_pod = wrong.iter().any(|wrong| wrong.container.is_none() && wrong.path.starts_with("spec."));
    match (is_pod, names.is_empty()) {
        (true, true) => "pod".to_owned(),
        (true, false) => format!("pod and {}", containers(&names)),
        (false, _) => containers(&names),
    }
}

/// Finds the containers with such a field.
fn in_containers(pod: &Pod<'_>, field: &str, is_wrong: impl Fn(&Value) -> bool) -> Vec<Violation> {
    let containers = pod.containers().into_iter();
    let wrong = containers.filter(|container| is_wrong(get(container.value, field)));
    wrong.map(|container| container.violation("", field)).collect()
}

/// Finds such a field in the pod and its containers.
fn in_both<'v>(pod: &Pod<'v>, field: &str, is_wrong: impl Fn(&Value) -> bool) -> Vec<(&'v Value, Violation)> {
    pod.both(field).into_iter().filter(|(value, _)| is_wrong(value)).collect()
}

/// Finds such elements in a list of the containers.
fn in_lists<'v>(
    pod: &Pod<'v>,
    field: &str,
    inner: &str,
    is_wrong: impl Fn(&Value) -> bool,
) -> (Vec<Violation>, Vec<&'v Value>) {
    let (mut wrong, mut values) = (Vec::new(), Vec::new());
    for container in pod.containers() {
        for (index, element) in list(container.value, field).iter().enumerate() {
            let value = if inner.is_empty() { element } else { get(element, inner.trim_start_matches('.')) };
            if is_wrong(value) {
                wrong.push(container.violation("", &format!("{field}[{index}]{inner}")));
                values.push(value);
            }
        }
    }
    (wrong, values)
}

fn strings(values: &[&Value]) -> Vec<String> {
    sorted(values.iter().map(|value| value.as_str().unwrap_or_default().to_owned()))
}

fn apparmor(pod: &Pod<'_>, _: u32) -> Option<Finding> {
    let mut wrong = Vec::new();
    let mut types = Vec::new();
    for (profile, place) in pod.both("securityContext.appArmorProfile") {
        let kind = text(profile, "type");
        if !["RuntimeDefault", "Localhost"].contains(&kind) {
            wrong.push(place.at(".type"));
            types.push(kind.to_owned());
        }
    }
    let mut annotations = Vec::new();
    for (key, value) in get(pod.template, "metadata.annotations").as_object().into_iter().flatten() {
        let Some(value) = value.as_str().filter(|_| key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        else {
            continue;
        };
        if !["", "runtime/default"].contains(&value) && !value.starts_with("localhost/") {
            annotations.push((format!("{key}={}", Value::from(value)), join("metadata.annotations", key)));
        }
    }
    let noun = plural(annotations.len(), "annotation", "annotations");
    let who = match (wrong.is_empty(), annotations.is_empty()) {
        (false, true) => who(&wrong),
        (false, false) => format!("{} and {noun}", who(&wrong)),
        (true, _) => noun.to_owned(),
    };
    wrong.extend(annotations.iter().map(|(_, path)| self::violation("", path.clone())));
    let values = [sorted(types), sorted(annotations.into_iter().map(|(text, _)| text))].concat();
    let reason = plural(values.len(), "forbidden AppArmor profile", "forbidden AppArmor profiles");
    finding(reason, format!("{who} must not set AppArmor profile type to {}", quoted(&values)), wrong)
}

const ADD: &str = "securityContext.capabilities.add";

fn capabilities_baseline(pod: &Pod<'_>, _: u32) -> Option<Finding> {
    let default = [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    let (wrong, added) = in_lists(pod, ADD, "", |name| !default.contains(&name.as_str().unwrap_or_default()));
    let detail = format!("{} must not include {} in {ADD}", who(&wrong), quoted(&strings(&added)));
    finding("non-default capabilities", detail, wrong)
}

fn host_namespaces(pod: &Pod<'_>, _: u32) -> Option<Finding> {
    let mut fields = vec!["hostNetwork", "hostPID", "hostIPC"];
    fields.retain(|field| get(pod.spec, field) == true);
    let detail = fields.iter().map(|field| format!("{field}=true")).collect::<Vec<_>>().join(", ");
    finding("host namespaces", detail, fields.iter().map(|field| violation("", format!("spec.{field}"))).collect())
}

fn host_path_volumes(pod: &Pod<'_>, _: u32) -> Option<Finding> {
    let volumes = list(pod.spec, "volumes").iter().enumerate();
    let bad: Vec<_> = volumes.filter(|(_, volume)| !get(volume, "hostPath").is_null()).collect();
    let names: Vec<String> = bad.iter().map(|(_, volume)| text(volume, "name").to_owned()).collect();
    let wrong = bad.iter().map(|(index, _)| violation("", format!("spec.volumes[{index}]"))).collect();
    finding("hostPath volumes", named("volume", "volumes", &names), wrong)
}

fn host_ports(pod: &Pod<'_>, _: u32) -> Option<Finding> {
    let (wrong, ports) = in_lists(pod, "ports", ".hostPort", |port| !port.is_null() && *port != 0);
    let who = who(&wrong);
    let verb = if who.starts_with("container ") { "uses" } else { "use" };
    let ports = sorted(ports.iter().map(|port| port.to_string()));
    let noun = plural(ports.len(), "hostPort", "hostPorts");
    finding("hostPort", format!("{who} {verb} {noun} {}", ports.join(", ")), wrong)
}

fn host_probes(pod: &Pod<'_>, _: u32) -> Option<Finding> {
    let (mut wrong, mut hosts, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for container in pod.containers() {
        for field in HOSTS {
            let host = text(container.value, field.path);
            if !host.is_empty() {
                wrong.push(container.violation("", field.path));
                hosts.push(host.to_owned());
                names.push(container.name.to_owned());
            }
        }
    }
    let (names, hosts) = (sorted(names), sorted(hosts));
    let verb = plural(names.len(), "uses", "use");
    let noun = plural(hosts.len(), "host", "hosts");
    let detail = format!("{} {verb} probe or lifecycle {noun} {}", containers(&names), quoted(&hosts));
    finding("probe or lifecycle host", detail, wrong)
}

fn privileged(pod: &Pod<'_>, _: u32) -> Option<Finding> {
    let wrong = in_containers(pod, "securityContext.privileged", |value| *value == true);
    finding("privileged", format!("{} must not set securityContext.privileged=true", who(&wrong)), wrong)
}

fn proc_mount(pod: &Pod<'_>, _: u32) -> Option<Finding> {
    let field = "securityContext.procMount";
    let is_wrong = |value: &Value| !value.is_null() && *value != "Default";
    let wrong = in_containers(pod, field, is_wrong);
    let values = pod.containers().into_iter().map(|container: Container<'_>| get(container.value, field));
    let values = strings(&values.filter(|value| is_wrong(value)).collect::<Vec<_>>());
    finding("procMount", format!("{} must not set {field} to {}", who(&wrong), quoted(&values)), wrong)
}

fn selinux(pod: &Pod<'_>, minor: u32) -> Option<Finding> {
    let (mut wrong, mut types) = (Vec::new(), Vec::new());
    let (mut has_user, mut has_role) = (false, false);
    for (options, place) in pod.both("securityContext.seLinuxOptions") {
        match text(options, "type") {
            "" | "container_t" | "container_init_t" | "container_kvm_t" => {}
            "container_engine_t" if minor >= 31 => {}
            other => {
                wrong.push(place.clone().at(".type"));
                types.push(other.to_owned());
            }
        }
        for (part, has) in [("user", &mut has_user), ("role", &mut has_role)] {
            if !text(options, part).is_empty() {
                wrong.push(place.clone().at(&format!(".{part}")));
                *has = true;
            }
        }
    }
    let types = sorted(types);
    let mut what = Vec::new();
    if !types.is_empty() {
        what.push(named("type", "types", &types));
    }
    if has_user {
        what.push("user may not be set".to_owned());
    }
    if has_role {
        what.push("role may not be set".to_owned());
    }
    let detail = format!("{} set forbidden securityContext.seLinuxOptions: {}", who(&wrong), what.join("; "));
    finding("seLinuxOptions", detail, wrong)
}

/// Before 1.19, seccomp profiles were annotations of the pod and of its containers.
fn annotations(pod: &Pod<'_>) -> Option<Finding> {
    let containers = pod.containers();
    let of_containers = containers.iter().map(|c| format!("container.seccomp.security.alpha.kubernetes.io/{}", c.name));
    let keys = sorted(of_containers.chain(["seccomp.security.alpha.kubernetes.io/pod".to_owned()]));
    let (mut wrong, mut texts) = (Vec::new(), Vec::new());
    for key in keys {
        let Some(value) = get(pod.template, "metadata.annotations").get(&key).and_then(Value::as_str) else { continue };
        if !["runtime/default", "docker/default"].contains(&value) && !value.starts_with("localhost/") {
            wrong.push(self::violation("", join("metadata.annotations", &key)));
            texts.push(format!("{key}={}", Value::from(value)));
        }
    }
    let noun = plural(texts.len(), "annotation", "annotations");
    finding("seccompProfile", format!("forbidden {noun} {}", sorted(texts).join(", ")), wrong)
}

fn seccomp(pod: &Pod<'_>, is_required: bool) -> Option<Finding> {
    let field = "securityContext.seccompProfile";
    let is_wrong = |profile: &Value| !["RuntimeDefault", "Localhost"].contains(&text(profile, "type"));
    let (profiles, wrong): (Vec<_>, Vec<_>) = in_both(pod, field, is_wrong).into_iter().unzip();
    if !wrong.is_empty() || !is_required {
        let types = sorted(profiles.iter().map(|profile| text(profile, "type").to_owned()));
        let detail = format!("{} must not set {field}.type to {}", who(&wrong), quoted(&types));
        return finding("seccompProfile", detail, wrong.into_iter().map(|wrong| wrong.at(".type")).collect());
    }
    let containers = pod.containers().into_iter();
    let unset = containers.filter(|container| pod.effective(container, field).is_null());
    let wrong: Vec<Violation> = unset.map(|container| container.violation("", &format!("{field}.type"))).collect();
    let detail = format!("pod or {} must set {field}.type to \"RuntimeDefault\" or \"Localhost\"", who(&wrong));
    finding("seccompProfile", detail, wrong)
}

fn sysctls(pod: &Pod<'_>, minor: u32) -> Option<Finding> {
    let since = |name: &str| match name.strip_prefix("net.ipv4.") {
        None if name == "kernel.shm_rmid_forced" => Some(0),
        Some("ip_local_port_range" | "tcp_syncookies" | "ping_group_range" | "ip_unprivileged_port_start") => Some(0),
        Some("ip_local_reserved_ports") => Some(27),
        Some("tcp_keepalive_time" | "tcp_fin_timeout" | "tcp_keepalive_intvl" | "tcp_keepalive_probes") => Some(29),
        Some("tcp_rmem" | "tcp_wmem") => Some(32),
        Some("tcp_slow_start_after_idle" | "tcp_notsent_lowat") => Some(37),
        _ => None,
    };
    let (mut wrong, mut names) = (Vec::new(), Vec::new());
    for (index, sysctl) in list(pod.spec, "securityContext.sysctls").iter().enumerate() {
        let name = text(sysctl, "name");
        if since(name).is_none_or(|since| since > minor) {
            wrong.push(self::violation("", format!("spec.securityContext.sysctls[{index}].name")));
            names.push(name);
        }
    }
    finding("forbidden sysctls", names.join(", "), wrong)
}

fn host_process(pod: &Pod<'_>, _: u32) -> Option<Finding> {
    let field = "securityContext.windowsOptions.hostProcess";
    let wrong: Vec<Violation> = in_both(pod, field, |value| *value == true).into_iter().map(|(_, wrong)| wrong).collect();
    finding("hostProcess", format!("{} must not set {field}=true", who(&wrong)), wrong)
}

fn privilege_escalation(pod: &Pod<'_>, minor: u32) -> Option<Finding> {
    let field = "securityContext.allowPrivilegeEscalation";
    let wrong = in_containers(pod, field, |value| *value != false && !on_windows(pod, minor));
    finding("allowPrivilegeEscalation != false", format!("{} must set {field}=false", who(&wrong)), wrong)
}

fn capabilities_restricted(pod: &Pod<'_>, minor: u32) -> Option<Finding> {
    if on_windows(pod, minor) {
        return None;
    }
    let field = "securityContext.capabilities.drop";
    let lacks_all = |drop: &Value| !drop.as_array().is_some_and(|drop| drop.contains(&json!("ALL")));
    let undropped = in_containers(pod, field, lacks_all);
    let (added, names) = in_lists(pod, ADD, "", |name| *name != "NET_BIND_SERVICE");
    let mut details = Vec::new();
    if !undropped.is_empty() {
        details.push(format!("{} must set {field}=[\"ALL\"]", who(&undropped)));
    }
    if !added.is_empty() {
        details.push(format!("{} must not include {} in {ADD}", who(&added), quoted(&strings(&names))));
    }
    finding("unrestricted capabilities", details.join("; "), [undropped, added].concat())
}

fn restricted_volumes(pod: &Pod<'_>, _: u32) -> Option<Finding> {
    let (mut wrong, mut names, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for (index, volume) in list(pod.spec, "volumes").iter().enumerate() {
        // A volume that has only a name is an emptyDir, as the API server makes it before admission.
        if let Some(kind) = volumes::restricted_type(volume, &volumes::ALLOWED) {
            wrong.push(self::violation("", format!("spec.volumes[{index}]")));
            names.push(text(volume, "name").to_owned());
            types.push(kind.to_owned());
        }
    }
    let verb = plural(names.len(), "uses", "use");
    let types = named("type", "types", &sorted(types));
    let detail = format!("{} {verb} restricted volume {types}", named("volume", "volumes", &names));
    finding("restricted volume types", detail, wrong)
}

fn non_root(pod: &Pod<'_>) -> Option<Finding> {
    let field = "securityContext.runAsNonRoot";
    let reason = "runAsNonRoot != true";
    let forbidden: Vec<Violation> = in_both(pod, field, |value| *value == false).into_iter().map(|(_, wrong)| wrong).collect();
    if !forbidden.is_empty() {
        return finding(reason, format!("{} must not set {field}=false", who(&forbidden)), forbidden);
    }
    let is_of_pod = get(pod.spec, field) == true;
    let unset = in_containers(pod, field, |value| value.is_null() && !is_of_pod);
    finding(reason, format!("pod or {} must set {field}=true", who(&unset)), unset)
}

fn user(pod: &Pod<'_>) -> Option<Finding> {
    let wrong = in_both(pod, "securityContext.runAsUser", |value| *value == 0);
    let wrong: Vec<Violation> = wrong.into_iter().map(|(_, wrong)| wrong).collect();
    finding("runAsUser=0", format!("{} must not set runAsUser=0", who(&wrong)), wrong)
}
