//! What PodSecurityPolicy decided about the creation of a pod, written from the admission plugin of Kubernetes
//! 1.24 (`pkg/security/podsecuritypolicy`) and from nothing of ours: first it fills in, then it judges.

use serde_json::{Value, json};

/// Whether the policy lets the pod be created.
pub fn allows(policy: &Value, pod: &Value) -> bool {
    let mut pod = pod.clone();
    let psp = Psp { spec: &policy["spec"], annotations: &policy["metadata"]["annotations"] };
    psp.fill_in(&mut pod);
    psp.judge(&pod)
}

struct Psp<'a> {
    spec: &'a Value,
    annotations: &'a Value,
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn has(list: &Value, element: &Value) -> bool {
    self::list(list).contains(element)
}

fn in_ranges(ranges: &Value, id: &Value) -> bool {
    let id = id.as_i64().unwrap();
    list(ranges).iter().any(|range| range["min"].as_i64().unwrap() <= id && id <= range["max"].as_i64().unwrap())
}

/// A field of a container, or the pod's.
fn effective<'p>(pod: &'p Value, container: &'p Value, field: &str) -> &'p Value {
    match &container["securityContext"][field] {
        Value::Null => &pod["spec"]["securityContext"][field],
        own => own,
    }
}

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    LISTS.iter().flat_map(|name| list(&pod["spec"][name]))
}

/// Profiles as annotations spell them.
fn spelled(profile: &Value) -> String {
    match profile["type"].as_str() {
        None => String::new(),
        Some("RuntimeDefault") => "runtime/default".to_owned(),
        Some("Unconfined") => "unconfined".to_owned(),
        Some(_) => format!("localhost/{}", profile["localhostProfile"].as_str().unwrap_or_default()),
    }
}

fn profile(spelled: &str) -> Value {
    match spelled {
        "runtime/default" | "docker/default" => json!({"type": "RuntimeDefault"}),
        "unconfined" => json!({"type": "Unconfined"}),
        file => json!({"type": "Localhost", "localhostProfile": file.strip_prefix("localhost/").unwrap()}),
    }
}

impl Psp<'_> {
    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations[name].as_str()
    }

    /// The first of the ranges that must be run as.
    fn first(&self, field: &str) -> Option<Value> {
        let ids = &self.spec[field];
        (ids["rule"] == "MustRunAs").then(|| ids["ranges"][0]["min"].clone())
    }

    fn fill_in(&self, pod: &mut Value) {
        let unset = |pod: &Value, field: &str| pod["spec"]["securityContext"][field].is_null();
        if let Some(first) = self.first("supplementalGroups").filter(|_| unset(pod, "supplementalGroups")) {
            pod["spec"]["securityContext"]["supplementalGroups"] = json!([first]);
        }
        if let Some(first) = self.first("fsGroup").filter(|_| unset(pod, "fsGroup")) {
            pod["spec"]["securityContext"]["fsGroup"] = first;
        }
        let selinux = &self.spec["seLinux"];
        let selinux = (selinux["rule"] == "MustRunAs").then(|| selinux["seLinuxOptions"].clone());
        if let Some(options) = selinux.as_ref().filter(|_| unset(pod, "seLinuxOptions")) {
            pod["spec"]["securityContext"]["seLinuxOptions"] = options.clone();
        }
        let class = &self.spec["runtimeClass"]["defaultRuntimeClassName"];
        if pod["spec"]["runtimeClassName"].is_null() && !class.is_null() {
            pod["spec"]["runtimeClassName"] = class.clone();
        }
        let seccomp = self.annotation("seccomp.security.alpha.kubernetes.io/defaultProfileName");
        if let Some(default) = seccomp.filter(|_| unset(pod, "seccompProfile")) {
            pod["spec"]["securityContext"]["seccompProfile"] = profile(default);
        }
        for name in LISTS {
            for index in 0..list(&pod["spec"][name]).len() {
                let filled = self.filled_in(pod, &pod["spec"][name][index]);
                pod["spec"][name][index] = filled;
            }
        }
    }

    fn filled_in(&self, pod: &Value, container: &Value) -> Value {
        let mut filled = container.clone();
        let unset = |field: &str| effective(pod, container, field).is_null();
        for field in ["runAsUser", "runAsGroup"] {
            if let Some(first) = self.first(field).filter(|_| unset(field)) {
                filled["securityContext"][field] = first;
            }
        }
        if self.spec["runAsUser"]["rule"] == "MustRunAsNonRoot" && unset("runAsNonRoot") && unset("runAsUser") {
            filled["securityContext"]["runAsNonRoot"] = json!(true);
        }
        let defaults = list(&self.spec["defaultAddCapabilities"]).iter();
        let capabilities = &container["securityContext"]["capabilities"];
        let adds: Vec<_> = defaults.filter(|name| !has(&capabilities["drop"], name)).collect();
        for (member, names) in [("add", adds), ("drop", list(&self.spec["requiredDropCapabilities"]).iter().collect())]
        {
            let mut all = list(&capabilities[member]).to_vec();
            all.extend(names.into_iter().filter(|name| !has(&capabilities[member], name)).cloned());
            if !all.is_empty() {
                filled["securityContext"]["capabilities"][member] = json!(all);
            }
        }
        let set = |filled: &mut Value, field: &str, value: Value| {
            if filled["securityContext"][field].is_null() {
                filled["securityContext"][field] = value;
            }
        };
        if self.spec["readOnlyRootFilesystem"] == true {
            set(&mut filled, "readOnlyRootFilesystem", json!(true));
        }
        if let Some(default) = self.spec["defaultAllowPrivilegeEscalation"].as_bool() {
            set(&mut filled, "allowPrivilegeEscalation", json!(default));
        }
        if self.spec["allowPrivilegeEscalation"] == false {
            set(&mut filled, "allowPrivilegeEscalation", json!(false));
        }
        if let Some(default) = self.annotation("apparmor.security.beta.kubernetes.io/defaultProfileName")
            && filled["securityContext"]["appArmorProfile"].is_null()
        {
            filled["securityContext"]["appArmorProfile"] = profile(default);
        }
        filled
    }

    fn judge(&self, pod: &Value) -> bool {
        self.judge_pod(pod) && containers(pod).all(|container| self.judge_container(pod, container))
    }

    fn judge_pod(&self, pod: &Value) -> bool {
        let (spec, context) = (&pod["spec"], &pod["spec"]["securityContext"]);
        let groups = context["supplementalGroups"].as_array().cloned().unwrap_or_default();
        let fs_group: Vec<Value> = context["fsGroup"].as_i64().into_iter().map(Value::from).collect();
        let namespaces = ["hostNetwork", "hostPID", "hostIPC"];
        self.allows_groups("supplementalGroups", &groups)
            && self.allows_groups("fsGroup", &fs_group)
            && self.allows_seccomp(&context["seccompProfile"])
            && self.allows_selinux(&context["seLinuxOptions"])
            && namespaces.iter().all(|name| self.spec[name] == true || spec[name] != true)
            && list(&context["sysctls"]).iter().all(|sysctl| self.allows_sysctl(sysctl["name"].as_str().unwrap()))
            && list(&spec["volumes"]).iter().all(|volume| self.allows_volume(pod, volume))
            && self.allows_class(&spec["runtimeClassName"])
    }

    fn allows_groups(&self, field: &str, groups: &[Value]) -> bool {
        let ids = &self.spec[field];
        let are_in_ranges = groups.iter().all(|group| in_ranges(&ids["ranges"], group));
        match ids["rule"].as_str() {
            Some("MustRunAs") => !groups.is_empty() && are_in_ranges,
            Some("MayRunAs") => are_in_ranges,
            _ => true,
        }
    }

    fn allows_seccomp(&self, of: &Value) -> bool {
        let profile = spelled(of);
        match self.annotation("seccomp.security.alpha.kubernetes.io/allowedProfileNames") {
            None => profile.is_empty(),
            Some(allowed) => {
                let same =
                    |allowed: &str| if allowed == "docker/default" { "runtime/default" } else { allowed } == profile;
                allowed.split(',').any(|allowed| allowed == "*" || same(allowed))
            }
        }
    }

    fn allows_selinux(&self, options: &Value) -> bool {
        let rule = &self.spec["seLinux"];
        let sorted = |level: &Value| -> Vec<String> {
            let mut parts: Vec<_> = level.as_str().unwrap_or_default().split([':', ',']).map(str::to_owned).collect();
            parts.sort();
            parts
        };
        let same =
            |name: &str| options[name].as_str().unwrap_or("") == rule["seLinuxOptions"][name].as_str().unwrap_or("");
        rule["rule"] != "MustRunAs"
            || !options.is_null()
                && ["user", "role", "type"].into_iter().all(same)
                && sorted(&options["level"]) == sorted(&rule["seLinuxOptions"]["level"])
    }

    fn allows_sysctl(&self, name: &str) -> bool {
        const SAFE: &str = "kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies \
                            net.ipv4.ping_group_range net.ipv4.ip_unprivileged_port_start";
        let matches = |patterns: &Value| {
            list(patterns).iter().any(|pattern| {
                let pattern = pattern.as_str().unwrap();
                pattern == name || pattern.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix))
            })
        };
        let is_safe = SAFE.split(' ').any(|safe| safe == name);
        !matches(&self.spec["forbiddenSysctls"]) && (is_safe || matches(&self.spec["allowedUnsafeSysctls"]))
    }

    fn allows_volume(&self, pod: &Value, volume: &Value) -> bool {
        let volume = volume.as_object().unwrap();
        let source = volume.keys().find(|key| *key != "name").map_or("emptyDir", String::as_str);
        let named = match source {
            "cephfs" => "cephFS",
            "vsphereVolume" => "vsphere",
            other => other,
        };
        let types = &self.spec["volumes"];
        if !has(types, &json!("*")) && !has(types, &json!(named)) {
            return false;
        }
        let listed = |list: &Value, member: &str, is: &Value| {
            self::list(list).is_empty() || self::list(list).iter().any(|allowed| allowed[member] == *is)
        };
        match source {
            "hostPath" => self.allows_host_path(pod, &volume["name"], volume["hostPath"]["path"].as_str().unwrap()),
            "flexVolume" => listed(&self.spec["allowedFlexVolumes"], "driver", &volume["flexVolume"]["driver"]),
            "csi" => listed(&self.spec["allowedCSIDrivers"], "name", &volume["csi"]["driver"]),
            _ => true,
        }
    }

    fn allows_host_path(&self, pod: &Value, name: &Value, path: &str) -> bool {
        let allowed = list(&self.spec["allowedHostPaths"]);
        if allowed.is_empty() {
            return true;
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let covers = |entry: &&Value| {
            let prefix = entry["pathPrefix"].as_str().unwrap();
            let rest = path.strip_prefix(prefix.strip_suffix('/').unwrap_or(prefix));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let covering: Vec<&Value> = allowed.iter().filter(covers).collect();
        let mounts = || containers(pod).flat_map(|container| list(&container["volumeMounts"]));
        !covering.is_empty()
            && (covering.iter().any(|entry| entry["readOnly"] != true)
                || mounts().filter(|mount| mount["name"] == *name).all(|mount| mount["readOnly"] == true))
    }

    fn allows_class(&self, class: &Value) -> bool {
        let classes = &self.spec["runtimeClass"];
        let allowed = &classes["allowedRuntimeClassNames"];
        classes.is_null() || class.is_null() || has(allowed, &json!("*")) || has(allowed, class)
    }

    fn judge_container(&self, pod: &Value, container: &Value) -> bool {
        let context = &container["securityContext"];
        self.allows_user(pod, container)
            && self.allows_groups("runAsGroup", &effective(pod, container, "runAsGroup").as_i64().map_or(vec![], |id| vec![json!(id)]))
            && self.allows_seccomp(effective(pod, container, "seccompProfile"))
            && self.allows_selinux(effective(pod, container, "seLinuxOptions"))
            && (self.spec["privileged"] == true || context["privileged"] != true)
            && self.allows_capabilities(&context["capabilities"])
            && list(&container["ports"]).iter().all(|port| port["hostPort"].as_i64().unwrap_or(0) == 0 || in_ranges(&self.spec["hostPorts"], &port["hostPort"]))
            && (self.spec["readOnlyRootFilesystem"] != true || context["readOnlyRootFilesystem"] == true)
            && (self.spec["allowPrivilegeEscalation"] != false || context["allowPrivilegeEscalation"] == false)
            // What was filled in the API server then refuses for privileged containers.
            && (self.spec["allowPrivilegeEscalation"] != false || context["privileged"] != true)
            && self.allows_proc_mount(&context["procMount"])
            && self.allows_apparmor(effective(pod, container, "appArmorProfile"))
    }

    fn allows_user(&self, pod: &Value, container: &Value) -> bool {
        let (user, non_root) = (effective(pod, container, "runAsUser"), effective(pod, container, "runAsNonRoot"));
        match self.spec["runAsUser"]["rule"].as_str() {
            Some("MustRunAs") => !user.is_null() && in_ranges(&self.spec["runAsUser"]["ranges"], user),
            Some("MustRunAsNonRoot") => !(user.is_null() && non_root.is_null()) && *non_root != false && *user != 0,
            _ => true,
        }
    }

    fn allows_capabilities(&self, capabilities: &Value) -> bool {
        let allowed = &self.spec["allowedCapabilities"];
        has(allowed, &json!("*"))
            || list(&capabilities["add"])
                .iter()
                .all(|name| has(allowed, name) || has(&self.spec["defaultAddCapabilities"], name))
                && list(&self.spec["requiredDropCapabilities"]).iter().all(|name| has(&capabilities["drop"], name))
    }

    fn allows_proc_mount(&self, of: &Value) -> bool {
        let types = &self.spec["allowedProcMountTypes"];
        let types = if list(types).is_empty() { &json!(["Default"]) } else { types };
        has(types, &json!(of.as_str().unwrap_or("Default")))
    }

    fn allows_apparmor(&self, of: &Value) -> bool {
        let allowed = self.annotation("apparmor.security.beta.kubernetes.io/allowedProfileNames");
        allowed.is_none_or(|allowed| allowed.split(',').any(|allowed| allowed == spelled(of)))
    }
}
