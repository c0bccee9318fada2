//! What the templates of the Gatekeeper library decided about the creation of a pod, written from their Rego and from
//! nothing of ours.

use serde_json::{Value, json};

/// Whether a constraint of this kind lets the pod be created.
pub fn allows(kind: &str, parameters: &Value, pod: &Value) -> bool {
    let each = |is_right: &dyn Fn(&Value) -> bool| containers(pod).all(is_right);
    let (spec, pod_context) = (&pod["spec"], &pod["spec"]["securityContext"]);
    match kind {
        "K8sPSPPrivilegedContainer" => {
            each(&|of| matches!(context(of, "privileged"), Value::Null | Value::Bool(false)))
        }
        "K8sPSPAllowPrivilegeEscalationContainer" => each(&|of| *context(of, "allowPrivilegeEscalation") == false),
        "K8sPSPReadOnlyRootFilesystem" => each(&|of| *context(of, "readOnlyRootFilesystem") == true),
        "K8sPSPCapabilities" => each(&|of| capabilities(parameters, context(of, "capabilities"))),
        "K8sPSPProcMount" => each(&|of| {
            let given = context(of, "procMount").as_str().unwrap_or("Default");
            given == "Default" || parameters["procMount"] == "Unmasked"
        }),
        "K8sPSPHostNamespace" => spec["hostPID"] != true && spec["hostIPC"] != true,
        "K8sPSPHostNetworkingPorts" => {
            (spec["hostNetwork"] != true || parameters["hostNetwork"] == true)
                && each(&|of| list(&of["ports"]).iter().all(|port| port_is_allowed(parameters, &port["hostPort"])))
        }
        "K8sPSPHostFilesystem" => list(&spec["volumes"]).iter().all(|volume| path_is_allowed(parameters, pod, volume)),
        "K8sPSPVolumeTypes" => list(&spec["volumes"]).iter().all(|volume| {
            let of = volume.as_object().unwrap().keys().find(|key| *key != "name").map_or("emptyDir", String::as_str);
            has(&parameters["volumes"], "*") || has(&parameters["volumes"], of)
        }),
        "K8sPSPFlexVolumes" => list(&spec["volumes"]).iter().all(|volume| {
            let mut allowed = list(&parameters["allowedFlexVolumes"]).iter();
            volume["flexVolume"].is_null() || allowed.any(|of| of["driver"] == volume["flexVolume"]["driver"])
        }),
        "K8sPSPForbiddenSysctls" => list(&pod_context["sysctls"]).iter().all(|sysctl| {
            let is_like = |patterns: &Value| {
                list(patterns).iter().any(|pattern| {
                    let (pattern, name) = (pattern.as_str().unwrap(), sysctl["name"].as_str().unwrap());
                    pattern == name || pattern.strip_suffix('*').is_some_and(|start| name.starts_with(start))
                })
            };
            !is_like(&parameters["forbiddenSysctls"])
                && (parameters["allowedSysctls"].is_null() || is_like(&parameters["allowedSysctls"]))
        }),
        "K8sPSPFSGroup" => group_is_allowed(parameters, &pod_context["fsGroup"]),
        "K8sPSPSELinuxV2" => {
            let options =
                containers(pod).map(|of| context(of, "seLinuxOptions")).chain([&pod_context["seLinuxOptions"]]);
            options.into_iter().all(|of| of.is_null() || selinux(parameters, of))
        }
        "K8sPSPAppArmor" => each(&|of| {
            let profile = [context(of, "appArmorProfile"), &pod_context["appArmorProfile"]];
            let profile = profile.into_iter().find(|of| !of.is_null());
            let profile = match profile.map(|of| (of["type"].as_str().unwrap(), &of["localhostProfile"])) {
                None | Some(("RuntimeDefault", _)) => "runtime/default".to_owned(),
                Some(("Unconfined", _)) => "unconfined".to_owned(),
                Some((_, file)) => format!("localhost/{}", file.as_str().unwrap()),
            };
            has(&parameters["allowedProfiles"], &profile)
        }),
        "K8sPSPSeccompV2" => each(&|of| {
            let profiles = &parameters["allowedProfiles"];
            let profile = [context(of, "seccompProfile"), &pod_context["seccompProfile"]];
            let Some(profile) = profile.into_iter().find(|of| !of.is_null()) else {
                return has(profiles, "*") || has(profiles, "not configured");
            };
            let files = &parameters["allowedLocalhostFiles"];
            let file = profile["localhostProfile"].as_str().unwrap_or_default();
            has(profiles, "*")
                || has(profiles, profile["type"].as_str().unwrap())
                    && (profile["type"] != "Localhost" || has(files, "*") || has(files, file))
        }),
        other => panic!("{other}"),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn has(list: &Value, text: &str) -> bool {
    self::list(list).iter().any(|of| of == text)
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["containers", "initContainers", "ephemeralContainers"].into_iter().flat_map(|name| list(&pod["spec"][name]))
}

fn context<'c>(container: &'c Value, field: &str) -> &'c Value {
    &container["securityContext"][field]
}

fn capabilities(parameters: &Value, capabilities: &Value) -> bool {
    let lower = |list: &Value| -> Vec<String> {
        self::list(list).iter().map(|of| of.as_str().unwrap().to_ascii_lowercase()).collect()
    };
    let (allowed, required) =
        (lower(&parameters["allowedCapabilities"]), lower(&parameters["requiredDropCapabilities"]));
    let (added, dropped) = (lower(&capabilities["add"]), lower(&capabilities["drop"]));
    (allowed.contains(&"*".to_owned()) || added.iter().all(|of| allowed.contains(of)))
        && (dropped.contains(&"all".to_owned()) || required.iter().all(|of| dropped.contains(of)))
}

/// What is 0 does not arrive.
fn port_is_allowed(parameters: &Value, port: &Value) -> bool {
    let Some(port) = port.as_i64().filter(|port| *port != 0) else { return true };
    let bound = |name: &str, otherwise| parameters[name].as_i64().unwrap_or(otherwise);
    bound("min", i64::MIN) <= port && port <= bound("max", i64::MAX)
}

fn path_is_allowed(parameters: &Value, pod: &Value, volume: &Value) -> bool {
    let Some(path) = volume["hostPath"]["path"].as_str() else { return true };
    let parts = |path: &str| -> Vec<String> { path.trim_matches('/').split('/').map(str::to_owned).collect() };
    let mounts = || containers(pod).flat_map(|of| list(&of["volumeMounts"])).filter(|of| of["name"] == volume["name"]);
    list(&parameters["allowedHostPaths"]).iter().any(|allowed| {
        let prefix = allowed["pathPrefix"].as_str().unwrap();
        let is_below = prefix == "/" || parts(path).starts_with(&parts(prefix));
        is_below && (allowed["readOnly"] != true || mounts().all(|mount| mount["readOnly"] == true))
    })
}

fn group_is_allowed(parameters: &Value, group: &Value) -> bool {
    let is_in = || {
        let group = group.as_i64().unwrap();
        let mut ranges = list(&parameters["ranges"]).iter();
        ranges.any(|range| range["min"].as_i64().unwrap() <= group && group <= range["max"].as_i64().unwrap())
    };
    match parameters["rule"].as_str() {
        Some("MustRunAs") => !group.is_null() && is_in(),
        Some("MayRunAs") => group.is_null() || is_in(),
        _ => true,
    }
}

fn selinux(parameters: &Value, options: &Value) -> bool {
    list(&parameters["allowedSELinuxOptions"])
        .iter()
        .any(|allowed| options.as_object().unwrap().iter().all(|(name, value)| allowed[name] == *value))
}

/// Parameters for each of the templates, by their kind.
pub fn parameters() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("K8sPSPPrivilegedContainer", vec![json!({})]),
        ("K8sPSPAllowPrivilegeEscalationContainer", vec![json!({})]),
        ("K8sPSPReadOnlyRootFilesystem", vec![json!({})]),
        (
            "K8sPSPCapabilities",
            vec![
                json!({}),
                json!({"allowedCapabilities": ["CHOWN", "NET_RAW"]}),
                json!({"allowedCapabilities": ["*"], "requiredDropCapabilities": ["NET_RAW"]}),
                json!({"requiredDropCapabilities": ["ALL"], "allowedCapabilities": ["SYS_ADMIN"]}),
                json!({"requiredDropCapabilities": ["NET_RAW", "SYS_CHROOT"], "allowedCapabilities": ["CHOWN"]}),
            ],
        ),
        ("K8sPSPProcMount", vec![json!({}), json!({"procMount": "Default"}), json!({"procMount": "Unmasked"})]),
        ("K8sPSPHostNamespace", vec![json!({})]),
        (
            "K8sPSPHostNetworkingPorts",
            vec![json!({}), json!({"hostNetwork": true, "min": 80, "max": 9000}), json!({"min": 100, "max": 10})],
        ),
        (
            "K8sPSPHostFilesystem",
            vec![
                json!({}),
                json!({"allowedHostPaths": [{"pathPrefix": "/var/log", "readOnly": true}]}),
                json!({"allowedHostPaths": [{"pathPrefix": "/var"}, {"pathPrefix": "/var/log", "readOnly": true}]}),
                json!({"allowedHostPaths": [{"pathPrefix": "/"}]}),
            ],
        ),
        (
            "K8sPSPVolumeTypes",
            vec![json!({}), json!({"volumes": ["*"]}), json!({"volumes": ["emptyDir", "secret", "cephFS", "floppy"]})],
        ),
        ("K8sPSPFlexVolumes", vec![json!({}), json!({"allowedFlexVolumes": [{"driver": "example/lvm"}, {}]})]),
        (
            "K8sPSPForbiddenSysctls",
            vec![
                json!({}),
                json!({"allowedSysctls": []}),
                json!({"allowedSysctls": ["net.*"], "forbiddenSysctls": ["net.core.*"]}),
                json!({"forbiddenSysctls": ["*"]}),
            ],
        ),
        (
            "K8sPSPFSGroup",
            vec![
                json!({"rule": "MayRunAs", "ranges": [{"min": 1, "max": 3000}, {"min": 9, "max": 8}]}),
                json!({"rule": "MustRunAs", "ranges": [{"min": 1, "max": 3000}]}),
            ],
        ),
        (
            "K8sPSPSELinuxV2",
            vec![json!({}), json!({"allowedSELinuxOptions": [{"level": "s0:c123,c456", "type": "*"}, {"user": "u"}]})],
        ),
        (
            "K8sPSPAppArmor",
            vec![
                json!({}),
                json!({"allowedProfiles": ["runtime/default", "localhost/*"]}),
                json!({"allowedProfiles": ["localhost/web", "unconfined"]}),
            ],
        ),
        (
            "K8sPSPSeccompV2",
            vec![
                json!({}),
                json!({"allowedProfiles": ["RuntimeDefault", "not configured"]}),
                json!({"allowedProfiles": ["Localhost"], "allowedLocalhostFiles": ["a.json"]}),
                json!({"allowedProfiles": ["*"]}),
            ],
        ),
    ]
}
