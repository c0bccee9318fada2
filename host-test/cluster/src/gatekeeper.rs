//! Which policies with which settings decide what a constraint of the Gatekeeper library decides.
//!
//! Decisions are known to differ for updates of pods, all of which pass there; for Windows pods, which are asked
//! there for what only Linux has; and for pods in a user namespace of their own, whose root `users` allows.
//!
//! A template that a new policy covers is a new row of [`TEMPLATES`]. What the library means was read in its
//! templates for PodSecurityPolicy, at 5c441fb, and in its general ones for images, resources, Services and bindings. Of these, what no
//! setting can say is a condition of the policies that `migrate` writes.

use serde_json::{Map, Value, json};

/// The parameters of a constraint, or the settings of a policy.
pub type Parameters = Map<String, Value>;

/// A constraint template of the library, and the policies that together stand for it.
pub struct Template {
    /// The kind of its constraints.
    pub kind: &'static str,
    /// The parameters that it has, besides `exemptImages`.
    parameters: &'static [&'static str],
    parts: &'static [Part],
}

/// A policy, and its settings as a constraint's parameters have them.
struct Part {
    policy: &'static str,
    /// Whether containers are exempt from it by their image. Nothing that only the object as a whole says is there.
    has_exemptions: bool,
    settings: fn(&Parameters) -> Parameters,
}

const fn of_containers(policy: &'static str, settings: fn(&Parameters) -> Parameters) -> Part {
    Part { policy, has_exemptions: true, settings }
}

const fn of_object(policy: &'static str, settings: fn(&Parameters) -> Parameters) -> Part {
    Part { policy, has_exemptions: false, settings }
}

const fn template(kind: &'static str, parameters: &'static [&'static str], parts: &'static [Part]) -> Template {
    Template { kind, parameters, parts }
}

const EXEMPT: &str = "exemptImages";

/// The templates that are covered.
///
/// Where a parameter is not given, Gatekeeper's default is said explicitly: it is not always ours.
pub static TEMPLATES: [Template; 33] = [
    template(
        "K8sPSPAllowPrivilegeEscalationContainer",
        &[],
        &[of_containers("allow-privilege-escalation", |_| object([]))],
    ),
    template(
        "K8sPSPAllowedUsers",
        &["runAsUser", "runAsGroup", "supplementalGroups", "fsGroup"],
        &[of_containers("users", users)],
    ),
    template("K8sPSPAppArmor", &["allowedProfiles"], &[of_containers("apparmor", apparmor)]),
    template("K8sPSPAutomountServiceAccountTokenPod", &[], &[of_object("service-account-token", |_| automount())]),
    template(
        "K8sPSPCapabilities",
        &["allowedCapabilities", "requiredDropCapabilities"],
        &[of_containers("capabilities", |given| {
            object([
                ("allowedCapabilities", list(given, "allowedCapabilities")),
                ("requiredDropCapabilities", list(given, "requiredDropCapabilities")),
            ])
        })],
    ),
    template("K8sPSPFSGroup", &["rule", "ranges"], &[of_object("users", fs_group)]),
    template(
        "K8sPSPFlexVolumes",
        &["allowedFlexVolumes"],
        &[of_object("flex-volumes", |given| object([("allowedFlexVolumes", list(given, "allowedFlexVolumes"))]))],
    ),
    template(
        "K8sPSPForbiddenSysctls",
        &["allowedSysctls", "forbiddenSysctls"],
        &[of_object("sysctls", |given| {
            object([
                ("allowedSysctls", or(given, "allowedSysctls", json!(["*"]))),
                ("forbiddenSysctls", list(given, "forbiddenSysctls")),
            ])
        })],
    ),
    template(
        "K8sPSPHostFilesystem",
        &["allowedHostPaths"],
        &[of_object("host-path", |given| object([("allowedHostPaths", list(given, "allowedHostPaths"))]))],
    ),
    template("K8sPSPHostNamespace", &[], &[of_object("host-namespaces", |_| namespaces(json!(true), false))]),
    template(
        "K8sPSPHostNetworkingPorts",
        &["hostNetwork", "min", "max"],
        &[
            of_containers("host-ports", |given| {
                let range = json!({"min": or(given, "min", json!(0)), "max": or(given, "max", json!(65535))});
                object([("hostPorts", json!([range]))])
            }),
            of_object("host-namespaces", |given| namespaces(or(given, "hostNetwork", json!(false)), true)),
        ],
    ),
    template(
        "K8sPSPHostProbesLifecycle",
        &[],
        &[of_containers("host-probes", |_| object([("allowedHosts", json!([]))]))],
    ),
    template(
        "K8sPSPHostProcess",
        &[],
        &[of_containers("host-process", |_| object([("allowHostProcess", json!(false))]))],
    ),
    template("K8sPSPPrivilegedContainer", &[], &[of_containers("privileged", |_| object([]))]),
    template("K8sPSPProcMount", &["procMount"], &[of_containers("proc-mount", proc_mount)]),
    template("K8sPSPReadOnlyRootFilesystem", &[], &[of_containers("read-only-root-filesystem", |_| object([]))]),
    template("K8sPSPSELinuxV2", &["allowedSELinuxOptions"], &[of_containers("selinux", selinux)]),
    template(
        "K8sPSPSeccomp",
        &["allowedProfiles", "allowedLocalhostFiles"],
        &[of_containers("seccomp", |given| seccomp(given, |_| true))],
    ),
    template(
        "K8sPSPSeccompV2",
        &["allowedProfiles", "allowedLocalhostFiles"],
        // The spelling of the annotations matches nothing there.
        &[of_containers("seccomp", |given| {
            seccomp(given, |profile| ["RuntimeDefault", "Localhost", "Unconfined", "*"].contains(&profile))
        })],
    ),
    template(
        "K8sPSPVolumeTypes",
        &["volumes"],
        &[of_object("volumes", |given| {
            let mut types = list(given, "volumes");
            for name in types.as_array_mut().into_iter().flatten() {
                if let Some(known) = name.as_str() {
                    *name = json!(volume_type(known));
                }
            }
            object([("allowedTypes", types)])
        })],
    ),
    // Each of these sees to one thing, so the others are said not to matter.
    template(
        "K8sAllowedRepos",
        &["repos"],
        &[of_object("images", |given| object([("repos", list(given, "repos")), ("deniedTags", json!([]))]))],
    ),
    template("K8sAllowedReposv2", &["allowedImages"], &[of_object("images", allowed_images)]),
    template(
        "K8sDisallowedRepos",
        &["repos"],
        &[of_object("images", |given| {
            let denied = texts(given, "repos").flat_map(with_all_below).map(Value::from).collect();
            object([("denied", denied), ("deniedTags", json!([]))])
        })],
    ),
    template(
        "K8sDisallowedTags",
        &["tags"],
        &[of_containers("images", |given| {
            let mut tags = list(given, "tags");
            // An image without a tag is rejected there, whatever the list has.
            if let Some(tags) = tags.as_array_mut().filter(|tags| !tags.contains(&json!("latest"))) {
                tags.push(json!("latest"));
            }
            object([("deniedTags", tags)])
        })],
    ),
    template(
        "K8sImageDigests",
        &[],
        &[of_containers("images", |_| object([("requireDigest", json!(true)), ("deniedTags", json!([]))]))],
    ),
    template(
        "K8sBlockLoadBalancer",
        &[],
        &[of_object("services", |_| services(&["ClusterIP", "NodePort", "ExternalName"], any_address()))],
    ),
    template(
        "K8sBlockNodePort",
        &[],
        &[of_object("services", |_| services(&["ClusterIP", "LoadBalancer", "ExternalName"], any_address()))],
    ),
    template(
        "K8sExternalIPs",
        &["allowedIPs"],
        &[of_object("services", |given| services(&SERVICE_TYPES, list(given, "allowedIPs")))],
    ),
    template(
        "K8sDisallowAnonymous",
        &["allowedRoles", "disallowAuthenticated"],
        &[of_object("role-bindings", anonymous)],
    ),
    template(
        "K8sContainerLimits",
        &["cpu", "memory"],
        &[of_containers("resources", |given| most_of(given, "limits", "requests"))],
    ),
    template(
        "K8sContainerRequests",
        &["cpu", "memory"],
        &[of_containers("resources", |given| most_of(given, "requests", "limits"))],
    ),
    template("K8sContainerRatios", &["ratio", "cpuRatio"], &[of_containers("resources", ratios)]),
    template(
        "K8sRequiredResources",
        &["limits", "requests"],
        &[of_containers("resources", |given| {
            object([("required", json!({"requests": list(given, "requests"), "limits": list(given, "limits")}))])
        })],
    ),
];

/// The types that a Service can have.
pub(crate) const SERVICE_TYPES: [&str; 4] = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];

/// A policy and its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Equivalent {
    /// The name of the policy.
    pub policy: &'static str,
    /// Its settings; the policy itself says whether they are valid.
    pub settings: Parameters,
}

/// Why a constraint has no equivalent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatekeeperError {
    /// A template that none of our policies covers.
    #[error("no policy covers constraints of kind `{0}`")]
    Template(String),
    /// A parameter that the template does not have.
    #[error("{kind} has no parameter `{parameter}`")]
    Parameter {
        /// The kind of the constraint.
        kind: &'static str,
        /// The parameter.
        parameter: String,
    },
}

/// The policies and the settings that together decide as a constraint of this kind with these parameters:
/// what one of them rejects is rejected. There is at least one.
///
/// # Errors
/// When no policy covers the template, or the template has no such parameter.
pub fn equivalents(kind: &str, parameters: &Parameters) -> Result<Vec<Equivalent>, GatekeeperError> {
    let template = find(kind).ok_or_else(|| GatekeeperError::Template(kind.to_owned()))?;
    if let Some(unknown) = parameters.keys().find(|name| !template.has(name)) {
        return Err(GatekeeperError::Parameter { kind: template.kind, parameter: unknown.clone() });
    }
    Ok(template.parts.iter().map(|part| part.equivalent(parameters)).collect())
}

/// The template of constraints of a kind.
pub fn find(kind: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.kind == kind)
}

impl Template {
    /// Whether constraints have a parameter.
    pub(crate) fn has(&self, parameter: &str) -> bool {
        let has_exemptions = self.parts.iter().any(|part| part.has_exemptions);
        self.parameters.contains(&parameter) || parameter == EXEMPT && has_exemptions
    }
}

impl Part {
    fn equivalent(&self, given: &Parameters) -> Equivalent {
        let mut settings = (self.settings)(given);
        if let Some(images) = get(given, EXEMPT).filter(|_| self.has_exemptions) {
            settings.insert("exempt".to_owned(), json!({"images": images}));
        }
        Equivalent { policy: self.policy, settings }
    }
}

/// The field of a volume of a type: PodSecurityPolicy, and those who wrote for it, called two of them something else.
pub(crate) fn volume_type(name: &str) -> &str {
    match name {
        "cephFS" => "cephfs",
        "vsphere" => "vsphereVolume",
        other => other,
    }
}

pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Parameters {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A parameter. To Kubernetes, null is none.
fn get<'v>(given: &'v Parameters, name: &str) -> Option<&'v Value> {
    given.get(name).filter(|value| !value.is_null())
}

fn or(given: &Parameters, name: &str, default: Value) -> Value {
    get(given, name).cloned().unwrap_or(default)
}

/// A list; one that is not given allows, or demands, nothing.
fn list(given: &Parameters, name: &str) -> Value {
    or(given, name, json!([]))
}

/// The texts of a list.
fn texts<'v>(given: &'v Parameters, name: &str) -> impl Iterator<Item = &'v str> {
    get(given, name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Keeps the texts of a list that are so. What is not a text is for the policy to refuse.
fn retain(list: &mut Value, is_kept: impl Fn(&str) -> bool) {
    if let Some(list) = list.as_array_mut() {
        list.retain(|value| value.as_str().is_none_or(&is_kept));
    }
}

fn has(list: &Value, any_of: &[&str]) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|value| any_of.iter().any(|text| value == text)))
}

/// Two templates share the namespaces between them.
fn namespaces(network: Value, others: bool) -> Parameters {
    object([
        ("allowHostNetwork", network),
        ("allowHostPID", json!(others)),
        ("allowHostIPC", json!(others)),
        ("allowShareProcessNamespace", json!(true)),
    ])
}

/// What seccomp and apparmor both have.
fn profiles_of(profiles: Value, files: Value, is_required: bool) -> Parameters {
    object([("allowedProfiles", profiles), ("allowedLocalhostFiles", files), ("required", json!(is_required))])
}

/// A container without a profile has the runtime's there. Profiles are compared whole: neither `*` nor
/// `localhost/*` is a pattern, so they, and what is not a profile, match nothing.
fn apparmor(given: &Parameters) -> Parameters {
    let mut profiles = list(given, "allowedProfiles");
    retain(&mut profiles, |profile| match profile.strip_prefix("localhost/") {
        Some(file) => !matches!(file, "" | "*"),
        None => matches!(profile, "runtime/default" | "unconfined"),
    });
    let is_required = !has(&profiles, &["runtime/default"]);
    profiles_of(profiles, json!([]), is_required)
}

/// A pod that leaves it to its service account is accepted there unless the token is mounted, and the account `default` is
/// one like others. Certificates are not read.
fn automount() -> Parameters {
    object([
        ("allowDefaultServiceAccount", json!(true)),
        ("trustServiceAccount", json!(true)),
        ("allowedSigners", json!(["*"])),
    ])
}

/// Each of the templates for Services sees to the type or to the addresses.
pub(crate) fn services(types: &[&str], external_ips: Value) -> Parameters {
    object([("allowedTypes", json!(types)), ("allowedExternalIPs", external_ips)])
}

/// The blocks that have all addresses.
pub(crate) fn any_address() -> Value {
    json!(["0.0.0.0/0", "::/0"])
}

/// The user `system:anonymous` is denied by any settings.
fn anonymous(given: &Parameters) -> Parameters {
    let mut groups = vec!["system:unauthenticated"];
    if get(given, "disallowAuthenticated") == Some(&json!(true)) {
        groups.push("system:authenticated");
    }
    object([("deniedRoles", json!([])), ("deniedGroups", json!(groups))])
}

/// Any spelling but that of `Unmasked` means `Default` there. `Unmasked` allows both.
fn proc_mount(given: &Parameters) -> Parameters {
    let is_unmasked =
        get(given, "procMount").and_then(Value::as_str).is_some_and(|t| t.eq_ignore_ascii_case("unmasked"));
    let types: &[&str] = if is_unmasked { &["Default", "Unmasked"] } else { &["Default"] };
    object([("allowedProcMountTypes", json!(types)), ("allowAnyInUserNamespace", json!(false))])
}

/// Gatekeeper lists `not configured` among the profiles, we ask whether one is required. With it, `*`
/// allows everything, also nothing; files count only beside `Localhost`.
fn seccomp(given: &Parameters, is_known: fn(&str) -> bool) -> Parameters {
    const UNSET: &str = "not configured";
    let (mut profiles, mut files) = (list(given, "allowedProfiles"), list(given, "allowedLocalhostFiles"));
    let is_required = !has(&profiles, &["*", UNSET]);
    retain(&mut profiles, |profile| profile != UNSET && is_known(profile));
    if has(&profiles, &["*", "localhost/*"]) {
        files = json!(["*"]);
    }
    profiles_of(profiles, files, is_required)
}

/// An entry's `*` is a value like any other there, which no pod has: as if it was left out.
fn selinux(given: &Parameters) -> Parameters {
    let mut options = list(given, "allowedSELinuxOptions");
    for entry in options.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        entry.retain(|_, value| value != "*");
    }
    object([("rule", json!("MayRunAs")), ("allowedSELinuxOptions", options)])
}

fn users(given: &Parameters) -> Parameters {
    let field = |name: &str| match get(given, name) {
        None => ids(&Parameters::new()),
        Some(Value::Object(given)) => ids(given),
        Some(other) => other.clone(),
    };
    users_of([field("runAsUser"), field("runAsGroup"), field("supplementalGroups"), field("fsGroup")])
}

fn fs_group(given: &Parameters) -> Parameters {
    let any = || json!({"rule": "RunAsAny"});
    users_of([any(), any(), any(), ids(given)])
}

/// That nobody may be root is said by a rule there, not beside it.
fn users_of([user, group, supplemental, fs]: [Value; 4]) -> Parameters {
    object([
        ("runAsNonRoot", json!(false)),
        ("runAsUser", user),
        ("runAsGroup", group),
        ("supplementalGroups", supplemental),
        ("fsGroup", fs),
    ])
}

/// A list that has one `*` allows every image.
fn allowed_images(given: &Parameters) -> Parameters {
    let mut settings = object([("deniedTags", json!([]))]);
    if !texts(given, "allowedImages").any(|entry| entry == "*") {
        let allowed = texts(given, "allowedImages").map(|entry| Value::from(exactly(entry))).collect();
        settings.insert("allowed".to_owned(), allowed);
    }
    settings
}

/// The pattern of an entry that is an image, or the start of images with a `*` behind it.
fn exactly(entry: &str) -> String {
    if let Some(start) = entry.strip_suffix("/*") {
        return format!("{start}/**");
    }
    if let Some(repository) = entry.strip_suffix(":*") {
        return repository.to_owned();
    }
    let (path, name) = entry.rsplit_once('/').map_or(("", entry), |(path, name)| (path, name));
    let tagged = if name.contains([':', '@']) { entry.to_owned() } else { format!("{entry}:latest") };
    // Alone, it could be a registry with a port.
    if path.is_empty() { format!("docker.io/library/{tagged}") } else { tagged }
}

/// The patterns of a repository or registry, and of everything below it.
pub(crate) fn with_all_below(entry: &str) -> Vec<String> {
    match entry.strip_suffix('/') {
        Some(stem) => vec![format!("{stem}/**")],
        None if entry.contains([':', '@']) && !entry.contains('/') && !entry.contains('.') => {
            vec![format!("docker.io/library/{entry}"), format!("{entry}/**")]
        }
        None if entry.rsplit('/').next().is_some_and(|name| name.contains([':', '@'])) && entry.contains('/') => {
            vec![entry.to_owned()]
        }
        None => vec![entry.to_owned(), format!("{entry}/**")],
    }
}

/// Requires both resources in a list, and nothing in the other one.
fn most_of(given: &Parameters, list: &str, other: &str) -> Parameters {
    let most = ["cpu", "memory"].into_iter().filter_map(|name| Some((name.to_owned(), get(given, name)?.clone())));
    let most: Parameters = most.collect();
    let mut settings = object([("required", json!({list: ["cpu", "memory"], other: []}))]);
    if !most.is_empty() {
        settings.insert("max".to_owned(), json!({list: most}));
    }
    settings
}

/// The ratio of cpu is the other one unless it has its own. Without a request or a limit there is none.
fn ratios(given: &Parameters) -> Parameters {
    let both = json!(["cpu", "memory"]);
    let mut settings = object([("required", json!({"requests": both, "limits": both}))]);
    let (ratio, of_cpu) = (get(given, "ratio"), get(given, "cpuRatio").or(get(given, "ratio")));
    let ratios = [("cpu", of_cpu), ("memory", ratio)];
    let ratios: Parameters = ratios.into_iter().filter_map(|(name, of)| Some((name.to_owned(), of?.clone()))).collect();
    if !ratios.is_empty() {
        settings.insert("maxRatio".to_owned(), Value::Object(ratios));
    }
    settings
}

/// A rule for users or groups. Ranges that it does not read mean nothing there; our policy refuses them.
fn ids(given: &Parameters) -> Value {
    let rule = or(given, "rule", json!("RunAsAny"));
    let has_ranges = rule != "RunAsAny" && rule != "MustRunAsNonRoot";
    match get(given, "ranges").filter(|_| has_ranges) {
        Some(ranges) => json!({"rule": rule, "ranges": ranges}),
        None => json!({"rule": rule}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(kind: &str, parameters: Value) -> Vec<(&'static str, Value)> {
        let Value::Object(parameters) = parameters else { panic!("parameters are an object") };
        let equivalents = equivalents(kind, &parameters).expect("a known constraint");
        equivalents.into_iter().map(|of| (of.policy, Value::Object(of.settings))).collect()
    }

    fn one(kind: &str, parameters: Value) -> Value {
        let mut settings = settings(kind, parameters);
        assert_eq!(settings.len(), 1, "{kind}");
        settings.remove(0).1
    }

    #[test]
    fn what_is_not_given_is_gatekeepers_default() {
        let any = json!({"rule": "RunAsAny"});
        let any_user = json!({
            "runAsNonRoot": false,
            "runAsUser": any, "runAsGroup": any, "supplementalGroups": any, "fsGroup": any,
        });
        let namespaces = |network, others| {
            json!({
                "allowHostNetwork": network, "allowHostPID": others, "allowHostIPC": others,
                "allowShareProcessNamespace": true,
            })
        };
        let no_profile = json!({"allowedProfiles": [], "allowedLocalhostFiles": [], "required": true});
        let types = |types| json!({"allowedTypes": types, "allowedExternalIPs": ["0.0.0.0/0", "::/0"]});
        let expected: [Vec<_>; TEMPLATES.len()] = [
            vec![("allow-privilege-escalation", json!({}))],
            vec![("users", any_user.clone())],
            vec![("apparmor", no_profile.clone())],
            vec![(
                "service-account-token",
                json!({"allowDefaultServiceAccount": true, "trustServiceAccount": true, "allowedSigners": ["*"]}),
            )],
            vec![("capabilities", json!({"allowedCapabilities": [], "requiredDropCapabilities": []}))],
            vec![("users", any_user)],
            vec![("flex-volumes", json!({"allowedFlexVolumes": []}))],
            vec![("sysctls", json!({"allowedSysctls": ["*"], "forbiddenSysctls": []}))],
            vec![("host-path", json!({"allowedHostPaths": []}))],
            vec![("host-namespaces", namespaces(true, false))],
            vec![
                ("host-ports", json!({"hostPorts": [{"min": 0, "max": 65535}]})),
                ("host-namespaces", namespaces(false, true)),
            ],
            vec![("host-probes", json!({"allowedHosts": []}))],
            vec![("host-process", json!({"allowHostProcess": false}))],
            vec![("privileged", json!({}))],
            vec![("proc-mount", json!({"allowedProcMountTypes": ["Default"], "allowAnyInUserNamespace": false}))],
            vec![("read-only-root-filesystem", json!({}))],
            vec![("selinux", json!({"rule": "MayRunAs", "allowedSELinuxOptions": []}))],
            vec![("seccomp", no_profile.clone())],
            vec![("seccomp", no_profile)],
            vec![("volumes", json!({"allowedTypes": []}))],
            vec![("images", json!({"repos": [], "deniedTags": []}))],
            vec![("images", json!({"allowed": [], "deniedTags": []}))],
            vec![("images", json!({"denied": [], "deniedTags": []}))],
            vec![("images", json!({"deniedTags": ["latest"]}))],
            vec![("images", json!({"requireDigest": true, "deniedTags": []}))],
            vec![("services", types(json!(["ClusterIP", "NodePort", "ExternalName"])))],
            vec![("services", types(json!(["ClusterIP", "LoadBalancer", "ExternalName"])))],
            vec![("services", json!({"allowedTypes": SERVICE_TYPES, "allowedExternalIPs": []}))],
            vec![("role-bindings", json!({"deniedRoles": [], "deniedGroups": ["system:unauthenticated"]}))],
            vec![("resources", json!({"required": {"requests": [], "limits": ["cpu", "memory"]}}))],
            vec![("resources", json!({"required": {"requests": ["cpu", "memory"], "limits": []}}))],
            vec![("resources", json!({"required": {"requests": ["cpu", "memory"], "limits": ["cpu", "memory"]}}))],
            vec![("resources", json!({"required": {"requests": [], "limits": []}}))],
        ];
        for (template, expected) in TEMPLATES.iter().zip(expected) {
            assert_eq!(settings(template.kind, json!({})), expected, "{}", template.kind);
            let nulls: Parameters = template.parameters.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
            assert_eq!(settings(template.kind, Value::Object(nulls)), expected, "{}", template.kind);
        }
    }

    #[test]
    fn images_are_exempt_where_the_template_has_them() {
        for template in &TEMPLATES {
            let given: Parameters = [(EXEMPT.to_owned(), json!(["a*"]))].into_iter().collect();
            match equivalents(template.kind, &given) {
                Ok(equivalents) => assert_eq!(equivalents[0].settings["exempt"], json!({"images": ["a*"]})),
                Err(error) => {
                    assert!(template.parts.iter().all(|part| !part.has_exemptions), "{}", template.kind);
                    assert_eq!(error.to_string(), format!("{} has no parameter `exemptImages`", template.kind));
                }
            }
        }
        let ports = settings("K8sPSPHostNetworkingPorts", json!({"exemptImages": ["a*"]}));
        assert_eq!(ports[1].1.get("exempt"), None, "an image has no say in the pod's network");
    }

    #[test]
    fn seccomp_says_apart_what_is_allowed_and_what_is_required() {
        let expected = |profiles: Value, files: Value, required| json!({"allowedProfiles": profiles, "allowedLocalhostFiles": files, "required": required});
        for kind in ["K8sPSPSeccomp", "K8sPSPSeccompV2"] {
            let seccomp = |profiles: Value| one(kind, json!({"allowedProfiles": profiles}));
            assert_eq!(seccomp(json!([])), expected(json!([]), json!([]), true));
            assert_eq!(seccomp(json!(["Localhost"])), expected(json!(["Localhost"]), json!([]), true));
            assert_eq!(seccomp(json!(["*"])), expected(json!(["*"]), json!(["*"]), false));
            let optional = json!(["RuntimeDefault", "not configured"]);
            assert_eq!(seccomp(optional), expected(json!(["RuntimeDefault"]), json!([]), false));
        }
        let annotations = json!({"allowedProfiles": ["runtime/default", "localhost/*"]});
        let both = expected(json!(["runtime/default", "localhost/*"]), json!(["*"]), true);
        assert_eq!(one("K8sPSPSeccomp", annotations.clone()), both);
        assert_eq!(one("K8sPSPSeccompV2", annotations), expected(json!([]), json!([]), true));
    }

    #[test]
    fn apparmor_keeps_what_matches_something() {
        let expected = |profiles: Value, required| json!({"allowedProfiles": profiles, "allowedLocalhostFiles": [], "required": required});
        for (profiles, kept, is_required) in [
            (json!(["runtime/default", "localhost/*"]), json!(["runtime/default"]), false),
            (json!(["localhost/a", "unconfined"]), json!(["localhost/a", "unconfined"]), true),
            (json!(["*", "RuntimeDefault", "localhost/"]), json!([]), true),
            (json!([1]), json!([1]), true),
        ] {
            let settings = one("K8sPSPAppArmor", json!({"allowedProfiles": profiles}));
            assert_eq!(settings, expected(kept, is_required), "{profiles}");
        }
    }

    #[test]
    fn proc_mount_is_masked_unless_the_parameter_is_unmasked() {
        for (given, types) in [
            ("Default", json!(["Default"])),
            ("unmasked", json!(["Default", "Unmasked"])),
            ("Unmasked", json!(["Default", "Unmasked"])),
            ("other", json!(["Default"])),
        ] {
            assert_eq!(one("K8sPSPProcMount", json!({"procMount": given}))["allowedProcMountTypes"], types, "{given}");
        }
    }

    #[test]
    fn selinux_knows_no_pattern() {
        let given = json!({"allowedSELinuxOptions": [{"type": "*", "level": "s0"}]});
        assert_eq!(one("K8sPSPSELinuxV2", given)["allowedSELinuxOptions"], json!([{"level": "s0"}]));
    }

    #[test]
    fn ranges_stay_where_the_rule_reads_them() {
        let ranges = json!([{"min": 1, "max": 1000}]);
        for (rule, expected) in [
            (json!("MustRunAs"), json!({"rule": "MustRunAs", "ranges": ranges})),
            (json!("MayRunAs"), json!({"rule": "MayRunAs", "ranges": ranges})),
            (json!("RunAsAny"), json!({"rule": "RunAsAny"})),
            (Value::Null, json!({"rule": "RunAsAny"})),
            // For the policy to refuse.
            (json!("mustRunAs"), json!({"rule": "mustRunAs", "ranges": ranges})),
        ] {
            let given = json!({"rule": rule, "ranges": ranges});
            assert_eq!(one("K8sPSPFSGroup", given.clone())["fsGroup"], expected, "{rule}");
            assert_eq!(one("K8sPSPAllowedUsers", json!({"runAsUser": given}))["runAsUser"], expected, "{rule}");
        }
        let non_root = json!({"rule": "MustRunAsNonRoot", "ranges": ranges});
        let users = one("K8sPSPAllowedUsers", json!({"runAsUser": non_root}));
        assert_eq!(users["runAsUser"], json!({"rule": "MustRunAsNonRoot"}));
        let unreadable = one("K8sPSPAllowedUsers", json!({"runAsUser": "MustRunAsNonRoot"}));
        assert_eq!(unreadable["runAsUser"], "MustRunAsNonRoot", "for the policy to refuse");
    }

    #[test]
    fn host_ports_and_the_network_of_the_node_are_two_policies() {
        let given = json!({"hostNetwork": true, "min": 80, "exemptImages": ["a"]});
        let [(ports, range), (namespaces, network)] = &settings("K8sPSPHostNetworkingPorts", given)[..] else {
            panic!("two policies")
        };
        assert_eq!((*ports, *namespaces), ("host-ports", "host-namespaces"));
        assert_eq!(range, &json!({"hostPorts": [{"min": 80, "max": 65535}], "exempt": {"images": ["a"]}}));
        assert_eq!(network["allowHostNetwork"], true);
    }

    #[test]
    fn images_are_listed_by_patterns() {
        let denied = |repos: Value| one("K8sDisallowedRepos", json!({"repos": repos}))["denied"].clone();
        for (repos, expected) in [
            (json!(["acme"]), json!(["acme", "acme/**"])),
            (json!(["acme/"]), json!(["acme/**"])),
            (json!(["ghcr.io"]), json!(["ghcr.io", "ghcr.io/**"])),
            (json!(["ghcr.io/acme/app:1"]), json!(["ghcr.io/acme/app:1"])),
            (json!(["registry:5000"]), json!(["docker.io/library/registry:5000", "registry:5000/**"])),
        ] {
            assert_eq!(denied(repos.clone()), expected, "{repos}");
        }
        let allowed = |images: Value| one("K8sAllowedReposv2", json!({"allowedImages": images}));
        for (image, expected) in [
            ("ghcr.io/acme/*", "ghcr.io/acme/**"),
            ("acme/app:*", "acme/app"),
            ("acme/app", "acme/app:latest"),
            ("acme/app:1", "acme/app:1"),
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1", "docker.io/library/nginx:1"),
        ] {
            assert_eq!(allowed(json!([image])), json!({"allowed": [expected], "deniedTags": []}), "{image}");
        }
        assert_eq!(allowed(json!(["nginx", "*"])), json!({"deniedTags": []}));
        let tags = one("K8sDisallowedTags", json!({"tags": ["dev"], "exemptImages": ["a"]}));
        assert_eq!(tags, json!({"deniedTags": ["dev", "latest"], "exempt": {"images": ["a"]}}));
    }

    #[test]
    fn resources_have_bounds_where_the_template_reads_them() {
        let limits = one("K8sContainerLimits", json!({"memory": "1Gi", "exemptImages": ["a"]}));
        let expected = json!({
            "required": {"limits": ["cpu", "memory"], "requests": []}, "max": {"limits": {"memory": "1Gi"}},
            "exempt": {"images": ["a"]},
        });
        assert_eq!(limits, expected);
        let requests = one("K8sContainerRequests", json!({"cpu": "200m", "memory": "1Gi"}));
        assert_eq!(requests["max"], json!({"requests": {"cpu": "200m", "memory": "1Gi"}}));
        for (parameters, expected) in [
            (json!({"ratio": "2"}), json!({"cpu": "2", "memory": "2"})),
            (json!({"ratio": "1", "cpuRatio": "10"}), json!({"cpu": "10", "memory": "1"})),
            (json!({"cpuRatio": "10"}), json!({"cpu": "10"})),
        ] {
            assert_eq!(one("K8sContainerRatios", parameters)["maxRatio"], expected);
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let unknown: Parameters = [("allowedHostPaths".to_owned(), json!([]))].into_iter().collect();
        assert_eq!(
            equivalents("K8sPSPCapabilities", &unknown).unwrap_err().to_string(),
            "K8sPSPCapabilities has no parameter `allowedHostPaths`"
        );
        assert_eq!(
            equivalents("K8sRequiredLabels", &unknown).unwrap_err().to_string(),
            "no policy covers constraints of kind `K8sRequiredLabels`"
        );
    }
}
