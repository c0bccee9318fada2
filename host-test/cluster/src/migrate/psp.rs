//! PodSecurityPolicies, as the admission plugin of Kubernetes 1.24, the last that had it, understood them.
//!
//! Any one that a pod could use and that fitted was enough. So pods that several could be used for get a policy group,
//! and pods that one could be used for get that one's policies, which fill in what it filled in.

use std::collections::{BTreeMap, BTreeSet};

use podfence_cel::LONGEST_EXPRESSION;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::conditions::{Condition, namespaces, not};
use super::rbac::{Access, Audience, condition};
use super::write::{Part, Scope, Writer};
use super::{Effect, Named, is_exemption, is_plain_path, listed, read::read, text, without_covered};
use crate::gatekeeper::{object, volume_type};

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
    rule: String,
    se_linux_options: Option<BTreeMap<String, String>>,
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

/// The types of volumes that PodSecurityPolicy knew, by the fields of a volume.
#[rustfmt::skip]
const VOLUMES: [&str; 29] = [
    "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "configMap", "csi", "downwardAPI", "emptyDir",
    "ephemeral", "fc", "flexVolume", "flocker", "gcePersistentDisk", "gitRepo", "glusterfs", "hostPath", "iscsi", "nfs",
    "persistentVolumeClaim", "photonPersistentDisk", "portworxVolume", "projected", "quobyte", "rbd", "scaleIO", "secret",
    "storageos", "vsphereVolume",
];

/// What 1.24 took for safe.
const SAFE_SYSCTLS: [&str; 5] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
];

const ANY: &str = "*";

/// A PodSecurityPolicy with what it asks for.
struct Psp {
    origin: String,
    name: String,
    parts: Vec<Part>,
    audience: BTreeSet<Audience>,
}

/// Writes the policies of PodSecurityPolicies, for the pods that they counted for.
pub(super) fn migrate(policies: &[Named<'_>], documents: &[Named<'_>], writer: &mut Writer<'_>) {
    let access = Access::read(documents, writer);
    if policies.is_empty() {
        for (origin, document) in documents {
            let text = match access.is_known {
                true => "grants the use of PodSecurityPolicies: migrate them together with it".to_owned(),
                false => format!("skipped: podfence cannot migrate a {}", text(document, "/kind")),
            };
            writer.warn(Effect::Note, origin, "", &text);
        }
        return;
    }
    let mut read = Vec::new();
    for (origin, document) in policies {
        writer.source(origin);
        let name = text(document, "/metadata/name").to_owned();
        let audience = if access.is_known { access.of(&name) } else { BTreeSet::from([Audience::Everyone]) };
        if audience.is_empty() {
            writer.warn(Effect::LeftOut, origin, "", "nobody could use it, so it is left out");
            continue;
        }
        match parts_of(origin, document, writer) {
            Ok(parts) => {
                read.push(Psp { origin: origin.clone(), name, parts, audience });
            }
            Err(problem) => writer.warn(Effect::LeftOut, origin, "", &problem),
        }
    }
    if !access.is_known {
        without_access(&mut read, !documents.is_empty(), writer);
    }
    leave_out_unused(&mut read, writer);
    if read.iter().any(|of| !of.parts.is_empty()) && !writer.options.workloads {
        let text = "only Pods are judged, as before; --workloads adds Deployments and other workloads";
        read.iter().for_each(|of| writer.warn(Effect::Note, &of.origin, "", text));
    }
    Regions::of(&read).write(writer);
}

/// Leaves out what decided nothing: those that only who could also use one that forbids nothing could use.
fn leave_out_unused(read: &mut Vec<Psp>, writer: &mut Writer<'_>) {
    let free: BTreeSet<Audience> =
        read.iter().filter(|of| of.parts.is_empty()).flat_map(|of| of.audience.iter().cloned()).collect();
    if free.contains(&Audience::Everyone) {
        return;
    }
    read.retain_mut(|of| {
        if !of.parts.is_empty() {
            of.audience.retain(|audience| !free.iter().any(|other| other.covers(audience)));
        }
        if of.audience.is_empty() {
            let text = "everyone who could use it could also use one that forbids nothing, so it is left out";
            writer.warn(Effect::LeftOut, &of.origin, "", text);
        }
        !of.audience.is_empty()
    });
}

/// Without RBAC that lets anybody use one, nobody knows for whom one counted.
fn without_access(read: &mut Vec<Psp>, has_rbac: bool, writer: &mut Writer<'_>) {
    let (missing, all) = match has_rbac {
        true => (
            "and none of those in the input lets anybody use a PSP: add those that do",
            "None of the Roles and bindings in the input lets anybody use a PSP: add those that do",
        ),
        false => ("which are not in the input: migrate them as well", "Migrate the Roles and bindings as well"),
    };
    let limits = read.iter().any(|of| !of.parts.is_empty());
    read.retain(|of| {
        if of.parts.is_empty() && limits {
            let text = format!(
                "forbids nothing, so it did not limit those who could use it. They are in Roles and bindings, {missing}"
            );
            writer.warn(Effect::LeftOut, &of.origin, "", &text);
        } else if limits {
            let text = format!(
                "RBAC limited who used this PSP; these policies apply to every pod in the cluster. {all}, or restrict them \
                 with namespaceSelector or exempt before you apply them"
            );
            writer.warn(Effect::Stricter, &of.origin, "", &text);
        }
        !(of.parts.is_empty() && limits)
    });
}

/// Which PodSecurityPolicies could be used for which pods.
struct Regions<'p> {
    /// Those that could be used for all pods, and that ask for something.
    of_all: Vec<&'p Psp>,
    /// Those that could be used for some.
    of_some: Vec<&'p Psp>,
    /// Those that ask for nothing.
    free: Vec<&'p Psp>,
}

/// So many sets of PodSecurityPolicies are combined with others that could be used for the same pods.
const MOST_COMBINED: usize = 512;

/// How many PodSecurityPolicies the name of a document consists of.
const MOST_IN_NAME: usize = 4;

impl<'p> Regions<'p> {
    fn of(read: &'p [Psp]) -> Self {
        let (free, limiting): (Vec<_>, Vec<_>) = read.iter().partition(|of| of.parts.is_empty());
        let (of_all, of_some) = limiting.into_iter().partition(|of| of.audience.contains(&Audience::Everyone));
        Self { of_all, of_some, free }
    }

    fn write(&self, writer: &mut Writer<'_>) {
        if let Some(free) = self.free.iter().find(|of| of.audience.contains(&Audience::Everyone)) {
            let text =
                format!("{} forbids nothing, and could be used for every pod, so no pod was limited", free.origin);
            let all = self.free.iter().chain(&self.of_all).chain(&self.of_some);
            return all.for_each(|of| writer.warn(Effect::Note, &of.origin, "", &text));
        }
        if self.of_all.is_empty() {
            let text = "pods for which no PodSecurityPolicy could be used were rejected; they are accepted now";
            let all = self.free.iter().chain(&self.of_some);
            all.for_each(|of| writer.warn(Effect::Weaker, &of.origin, "", text));
        }
        for region in self.combinations(writer) {
            let usable: Vec<&Psp> =
                self.of_all.iter().chain(region.iter().map(|index| &self.of_some[*index])).copied().collect();
            if !usable.is_empty()
                && let Some(scope) = self.scope(&region, &usable, writer)
                && is_short(&scope, writer)
            {
                write_region(&usable, &scope, writer);
            }
        }
        self.say_who_is_exempt(writer);
    }

    /// The sets of those that could be used for some pods, each for pods that no other could be used for.
    fn combinations(&self, writer: &mut Writer<'_>) -> BTreeSet<BTreeSet<usize>> {
        let audiences: BTreeSet<&Audience> = self.of_some.iter().flat_map(|of| &of.audience).collect();
        let usable_for = |audience: &Audience| -> BTreeSet<usize> {
            let covers = |of: &&Psp| of.audience.iter().any(|other| other.covers(audience));
            self.of_some.iter().enumerate().filter(|(_, of)| covers(of)).map(|(index, _)| index).collect()
        };
        let mut found: BTreeSet<(BTreeSet<usize>, Option<&String>)> = BTreeSet::from([(BTreeSet::new(), None)]);
        let mut is_complete = true;
        for audience in audiences {
            let (usable, place) = (usable_for(audience), place(audience));
            // Pods of two audiences at once can use what either can. Two namespaces have no pod in common.
            let with: Vec<_> = found
                .iter()
                .filter(|(set, other)| set.is_empty() || place.is_none() || other.is_none())
                .map(|(set, other)| (set.union(&usable).copied().collect(), place.or(*other)))
                .collect();
            found.insert((usable, place));
            if found.len() + with.len() <= MOST_COMBINED {
                found.extend(with);
            } else {
                is_complete = false;
            }
        }
        if !is_complete {
            let text = "so many PodSecurityPolicies could be used for the same pods that not all combinations are written: \
                        some pods are not evaluated";
            self.of_some.iter().for_each(|of| writer.warn(Effect::Weaker, &of.origin, "", text));
        }
        found.into_iter().map(|(set, _)| set).collect()
    }

    /// Where exactly these could be used; none if there is no such pod.
    fn scope(&self, region: &BTreeSet<usize>, usable: &[&Psp], writer: &Writer<'_>) -> Option<Scope> {
        let workloads = writer.options.workloads;
        let distinct = usable
            .iter()
            .enumerate()
            .filter(|(index, of)| usable[..*index].iter().all(|other| other.parts != of.parts));
        let names: Vec<&str> = distinct.map(|(_, of)| of.name.as_str()).take(MOST_IN_NAME).collect();
        let mut scope = Scope::new(usable.iter().map(|of| of.origin.clone()).collect(), &names.join("-or-"));
        let (mut inside, mut conditions): (Option<BTreeSet<&String>>, Vec<String>) = (None, Vec::new());
        for of in region.iter().map(|index| self.of_some[*index]) {
            let own: Option<BTreeSet<&String>> = of
                .audience
                .iter()
                .map(|audience| match audience {
                    Audience::Namespace(namespace) => Some(namespace),
                    _ => None,
                })
                .collect();
            match (own, &mut inside) {
                (Some(own), None) => inside = Some(own),
                (Some(own), Some(inside)) => inside.retain(|namespace| own.contains(namespace)),
                (None, _) => conditions.push(condition(&of.audience, workloads)),
            }
        }
        let others = self.of_some.iter().enumerate().filter(|(index, _)| !region.contains(index));
        let others = others.flat_map(|(_, of)| &of.audience).map(|audience| (audience, false));
        let free = self.free.iter().flat_map(|of| &of.audience).map(|audience| (audience, true));
        let (mut outside, mut excluded) = (BTreeSet::new(), BTreeSet::new());
        for (audience, is_free) in others.chain(free) {
            match audience {
                Audience::Namespace(namespace) => match &mut inside {
                    Some(inside) => drop(inside.remove(namespace)),
                    None => drop(outside.insert(namespace)),
                },
                Audience::User { name, namespace: None } if is_free && is_exempt(name) => {
                    scope.exempt.entry("users").or_default().push(name.clone());
                }
                Audience::Group { name, namespace: None } if is_free && is_exempt(name) => {
                    scope.exempt.entry("groups").or_default().push(name.clone());
                }
                other => drop(excluded.insert(other)),
            }
        }
        excluded.retain(|audience| {
            let is_inside = |place: &String| inside.as_ref().is_none_or(|inside| inside.contains(place));
            place(audience).is_none_or(|place| is_inside(place) && !outside.contains(place))
        });
        for list in scope.exempt.values_mut() {
            list.sort_unstable();
            list.dedup();
        }
        match inside {
            Some(inside) if inside.is_empty() => return None,
            Some(inside) => scope.namespaces.extend(namespaces("In", inside)),
            None => {}
        }
        if !outside.is_empty() {
            scope.namespaces.extend(namespaces("NotIn", outside));
        }
        if !conditions.is_empty() {
            let expression = conditions.iter().map(|of| format!("({of})")).collect::<Vec<_>>().join(" && ");
            scope.conditions.push(Condition { name: "could-use", expression });
        }
        if !excluded.is_empty() {
            let expression = not(&condition(excluded, workloads));
            scope.conditions.push(Condition { name: "could-use-no-other", expression });
        }
        Some(scope)
    }

    /// A group of service accounts includes controllers, which create nearly all pods.
    fn say_who_is_exempt(&self, writer: &mut Writer<'_>) {
        for of in self.free.iter().chain(&self.of_some) {
            let is_of_controllers = |audience: &&Audience| matches!(audience, Audience::Group { name, namespace: None } if name == "system:serviceaccounts:kube-system");
            if of.audience.iter().any(|audience| is_of_controllers(&audience)) {
                let text = "a ClusterRoleBinding lets the service accounts of kube-system use it, and the controllers that \
                            create the pods of Deployments in all namespaces are among them. Bind it by a RoleBinding in \
                            kube-system before you migrate if only the pods there are meant";
                writer.warn(Effect::Note, &of.origin, "", text);
            }
        }
    }
}

/// Whether the conditions of a scope can be applied: longer ones are refused where policies are tried out before they are
/// applied, and those of five times the length by the API server.
fn is_short(scope: &Scope, writer: &mut Writer<'_>) -> bool {
    let Some(length) =
        scope.conditions.iter().map(|of| of.expression.chars().count()).find(|of| *of > LONGEST_EXPRESSION)
    else {
        return true;
    };
    let text = format!(
        "so many users and service accounts could use PodSecurityPolicies that the condition for {} has {length} letters, \
         more than the {LONGEST_EXPRESSION} that are accepted, so no policy is written for their pods. Bind whole namespaces \
         (the groups system:serviceaccounts:NAMESPACE) before you migrate",
        scope.name
    );
    scope.sources.iter().for_each(|source| writer.warn(Effect::LeftOut, source, "", &text));
    false
}

/// The namespace that all pods of an audience are in.
fn place(audience: &Audience) -> Option<&String> {
    match audience {
        Audience::Namespace(namespace) | Audience::ServiceAccount { namespace, .. } => Some(namespace),
        Audience::User { namespace, .. } | Audience::Group { namespace, .. } => namespace.as_ref(),
        Audience::Everyone => None,
    }
}

/// Whether the setting `exempt` can name it, and nobody besides.
fn is_exempt(name: &str) -> bool {
    is_exemption(name) && !name.contains('*')
}

/// Writes what is asked of pods for which any of these could be used.
fn write_region(usable: &[&Psp], scope: &Scope, writer: &mut Writer<'_>) {
    let mut alternatives: Vec<&Psp> = Vec::new();
    for of in usable {
        if !alternatives.iter().any(|other| other.parts == of.parts) {
            alternatives.push(of);
        }
    }
    let Some(first) = alternatives.first() else { return };
    let is_common = |part: &Part| alternatives.iter().all(|of| of.parts.contains(part));
    for part in first.parts.iter().filter(|part| is_common(part)) {
        writer.policy(scope, part.policy, part);
    }
    let own: Vec<(String, Vec<Part>)> = alternatives
        .iter()
        .map(|of| (of.name.clone(), of.parts.iter().filter(|part| !is_common(part)).cloned().collect()))
        .collect();
    // One that asks for no more than all do lets in what these let in.
    if own.iter().any(|(_, parts)| parts.is_empty()) {
        return;
    }
    for of in &alternatives {
        let filling = of.parts.iter().filter(|part| !is_common(part) && part.is_mutating());
        let filling: Vec<&str> = filling.map(|part| part.policy).collect();
        if !filling.is_empty() {
            let text = format!(
                "where several could be used ({}), a policy group decides, and groups change no pod: pods must now \
                    set what was filled in for {}",
                listed(&scope.sources),
                filling.join(", ")
            );
            writer.warn(Effect::Stricter, &of.origin, "", &text);
        }
    }
    let names: Vec<String> = alternatives.iter().map(|of| of.origin.clone()).collect();
    writer.group(scope, &own, &format!("violates each of {}", listed(&names)));
}

/// What is said about one PodSecurityPolicy, and what it asks for.
struct Reader<'r, 'o> {
    origin: &'r str,
    writer: &'r mut Writer<'o>,
    parts: Vec<Part>,
}

impl Reader<'_, '_> {
    fn warn(&mut self, effect: Effect, path: &str, text: &str) {
        self.writer.warn(effect, self.origin, path, text);
    }

    /// Adds a policy with its settings.
    fn add<const N: usize>(&mut self, policy: &'static str, settings: [(&str, Value); N]) {
        self.parts.push(Part::new(policy, object(settings)));
    }

    /// One more setting of the policy that was added last.
    fn set(&mut self, setting: &str, value: Value) {
        let Some(part) = self.parts.pop() else { return };
        let mut settings = part.settings;
        settings.insert(setting.to_owned(), value);
        self.parts.push(Part::new(part.policy, settings));
    }

    /// Has the policy that was added last change pods.
    fn mutate(&mut self) {
        self.set("mutate", json!(true));
    }
}

/// Reads what a PodSecurityPolicy asks for.
///
/// # Errors
/// A field is of another type, or is a rule that the API server did not take.
fn parts_of(origin: &str, document: &Value, writer: &mut Writer<'_>) -> Result<Vec<Part>, String> {
    let (PodSecurityPolicy { metadata, spec }, unknown) = read(document)?;
    let mut reader = Reader { origin, writer, parts: Vec::new() };
    let is_of_every_object = |path: &str| path.starts_with("metadata.") || matches!(path, "apiVersion" | "kind");
    for path in unknown.iter().filter(|path| !is_of_every_object(path)) {
        reader.warn(Effect::Note, path, "unknown field of PodSecurityPolicy; it is left out");
    }
    let annotations = metadata.unwrap_or_default().annotations.unwrap_or_default();
    let reader = &mut reader;
    spec.privileged(reader);
    spec.capabilities(reader);
    spec.privilege_escalation(reader);
    spec.host(reader);
    spec.volumes(reader);
    spec.host_paths(reader);
    spec.flex_volumes(reader);
    spec.users(reader)?;
    spec.selinux(reader)?;
    spec.read_only_root_filesystem(reader);
    spec.sysctls(reader);
    spec.proc_mount(reader);
    spec.runtime_class(reader);
    spec.seccomp(&annotations, reader);
    apparmor(&annotations, reader);
    Ok(std::mem::take(&mut reader.parts))
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
    fn privileged(&self, reader: &mut Reader<'_, '_>) {
        if self.privileged != Some(true) {
            reader.add("privileged", []);
        }
    }

    fn capabilities(&self, reader: &mut Reader<'_, '_>) {
        const ADDED: &str = "spec.defaultAddCapabilities";
        let (allowed, required) = (list(&self.allowed_capabilities), list(&self.required_drop_capabilities));
        let is_required = |name: &String| required.iter().any(|required| !is_all(required) && adds(name, required));
        let (contradicting, default_add): (Vec<&String>, Vec<&String>) =
            list(&self.default_add_capabilities).iter().partition(|name| is_required(name));
        for name in contradicting {
            let text = format!("{name} is in requiredDropCapabilities as well, and is dropped");
            reader.warn(Effect::Weaker, ADDED, &text);
        }
        let is_changed = !default_add.is_empty() || !required.is_empty();
        if has(allowed, ANY) && !is_changed {
            return;
        }
        let may_add = |name: &String| name == ANY && !required.iter().all(|of| is_all(of)) || is_required(name);
        if let Some(wide) = allowed.iter().find(|name| may_add(name)) {
            let text = format!(
                "{wide} let a container add what requiredDropCapabilities has dropped; Podfence rejects such a container"
            );
            reader.warn(Effect::Stricter, "spec.allowedCapabilities", &text);
        }
        reader.add(
            "capabilities",
            [("allowedCapabilities", json!(allowed)), ("requiredDropCapabilities", json!(required))],
        );
        if !default_add.is_empty() {
            reader.set("defaultAddCapabilities", json!(default_add));
        }
        if is_changed {
            reader.mutate();
        }
    }

    fn privilege_escalation(&self, reader: &mut Reader<'_, '_>) {
        const DEFAULT: &str = "spec.defaultAllowPrivilegeEscalation";
        if self.allow_privilege_escalation == Some(false) {
            if self.default_allow_privilege_escalation == Some(true) {
                reader.warn(Effect::Note, DEFAULT, "contradicts allowPrivilegeEscalation: false, which counts");
            }
            return reader.add("allow-privilege-escalation", [("mutate", json!(true))]);
        }
        if self.default_allow_privilege_escalation == Some(false) {
            let text = "set allowPrivilegeEscalation: false where a container left it unset, and accepted true. The \
                policies do not set it: add allow-privilege-escalation with mutate: true if no container needs true";
            reader.warn(Effect::Weaker, DEFAULT, text);
        }
    }

    fn host(&self, reader: &mut Reader<'_, '_>) {
        let is = |field: Option<bool>| field == Some(true);
        let (network, pid, ipc) = (is(self.host_network), is(self.host_pid), is(self.host_ipc));
        if !(network && pid && ipc) {
            let allowed = [("allowHostNetwork", network), ("allowHostPID", pid), ("allowHostIPC", ipc)];
            reader.add("host-namespaces", allowed.map(|(setting, value)| (setting, json!(value))));
        }
        let ports = list(&self.host_ports);
        if !ports.iter().any(|range| range.min <= 1 && range.max >= LAST_PORT) {
            let within = |range: &Range| Range { min: range.min.max(0), max: range.max.min(LAST_PORT) };
            let ranges = ranges(ports.iter().map(within), "spec.hostPorts", reader);
            reader.add("host-ports", [("hostPorts", json!(ranges))]);
        }
    }

    /// The types of volumes that are allowed, by the fields of a volume.
    fn volume_types(&self) -> impl Iterator<Item = &str> {
        list(&self.volumes).iter().map(|name| volume_type(name))
    }

    /// Whether volumes of a type may be there at all.
    fn allows_volume(&self, of: &str) -> bool {
        self.volume_types().any(|allowed| allowed == ANY || allowed == of)
    }

    fn volumes(&self, reader: &mut Reader<'_, '_>) {
        const PATH: &str = "spec.volumes";
        let is_any = has(list(&self.volumes), ANY);
        let is_known = |name: &&str| VOLUMES.contains(name) || matches!(*name, ANY | "none");
        for unknown in self.volume_types().filter(|name| !is_known(name)) {
            reader.warn(
                Effect::Note,
                PATH,
                &format!("unknown type of volume: {unknown:?}; it is left out, since it allows nothing"),
            );
        }
        let drivers: Vec<&str> = list(&self.allowed_csi_drivers).iter().map(|driver| driver.name.as_str()).collect();
        let without_csi = !drivers.is_empty() && self.allows_volume("csi");
        if is_any && !without_csi {
            return;
        }
        let mut allowed: Vec<&str> = VOLUMES.into_iter().filter(|of| self.allows_volume(of)).collect();
        if without_csi {
            let text = format!(
                "no policy evaluates the driver of an inline CSI volume, so those of {} are rejected as well; add csi to \
                 allowedTypes to allow every driver",
                drivers.join(", ")
            );
            reader.warn(Effect::Stricter, "spec.allowedCSIDrivers", &text);
            allowed.retain(|of| *of != "csi");
        }
        reader.add("volumes", [("allowedTypes", json!(allowed))]);
    }

    /// An empty list allows all, so there is no policy for it.
    fn host_paths(&self, reader: &mut Reader<'_, '_>) {
        let all = list(&self.allowed_host_paths);
        if all.is_empty() || !self.allows_volume("hostPath") {
            return;
        }
        let mut allowed = Vec::new();
        for (index, entry) in all.iter().enumerate() {
            let prefix = entry.path_prefix.as_str();
            if is_plain_path(prefix) {
                allowed.push(json!({"pathPrefix": prefix, "readOnly": entry.read_only == Some(true)}));
            } else {
                let text =
                    format!("{prefix:?} is not an absolute path without ..; it is left out, since it allows nothing");
                reader.warn(Effect::Note, &format!("spec.allowedHostPaths[{index}].pathPrefix"), &text);
            }
        }
        without_covered(&mut allowed);
        reader.add("host-path", [("allowedHostPaths", json!(allowed))]);
    }

    /// An empty list allows all, so there is no policy for it.
    fn flex_volumes(&self, reader: &mut Reader<'_, '_>) {
        let drivers = list(&self.allowed_flex_volumes);
        if !drivers.is_empty() && self.allows_volume("flexVolume") {
            let named = drivers.iter().filter(|allowed| !allowed.driver.is_empty());
            let drivers: Vec<_> = named.map(|allowed| json!({"driver": allowed.driver})).collect();
            reader.add("flex-volumes", [("allowedFlexVolumes", json!(drivers))]);
        }
    }

    fn users(&self, reader: &mut Reader<'_, '_>) -> Result<(), String> {
        const NON_ROOT: &str = "MustRunAsNonRoot";
        const GROUP_RULES: &[&str] = &["MustRunAs", "MayRunAs", ANY_RULE];
        let mut settings = Map::new();
        let fields = [
            ("runAsUser", &self.run_as_user, &["MustRunAs", NON_ROOT, ANY_RULE][..]),
            ("runAsGroup", &self.run_as_group, GROUP_RULES),
            ("supplementalGroups", &self.supplemental_groups, GROUP_RULES),
            ("fsGroup", &self.fs_group, GROUP_RULES),
        ];
        for (name, ids, rules) in fields {
            let path = format!("spec.{name}");
            if ids.is_none() && name != "runAsGroup" {
                reader.warn(
                    Effect::Note,
                    &path,
                    "PodSecurityPolicy requires this field; without it, any value is allowed",
                );
            }
            settings.insert(name.to_owned(), rule_of(ids.as_ref(), rules, &path, reader)?);
        }
        let rules: Vec<&str> = settings.values().filter_map(|field| field["rule"].as_str()).collect();
        if rules.iter().all(|rule| *rule == ANY_RULE) {
            return Ok(());
        }
        let (is_non_root, is_changed) = (rules[0] == NON_ROOT, rules.contains(&"MustRunAs"));
        if rules[..2] != [ANY_RULE; 2] {
            reader.warn(
                Effect::Stricter,
                if rules[0] == ANY_RULE { "spec.runAsGroup.rule" } else { "spec.runAsUser.rule" },
                "the pod-level value must be allowed, even if every container overrides it",
            );
        }
        if rules[2] == "MustRunAs" {
            let text = "an empty supplementalGroups was rejected; it counts as unset, and gets the first minimum";
            reader.warn(Effect::Weaker, "spec.supplementalGroups.rule", text);
        }
        settings.insert("runAsNonRoot".to_owned(), json!(is_non_root));
        reader.parts.push(Part::new("users", settings));
        // PodSecurityPolicy set runAsNonRoot: true as well.
        if is_changed || is_non_root {
            reader.mutate();
        }
        Ok(())
    }

    fn selinux(&self, reader: &mut Reader<'_, '_>) -> Result<(), String> {
        const OPTIONS: &str = "spec.seLinux.seLinuxOptions";
        const RULE: &str = "spec.seLinux.rule";
        let Some(selinux) = &self.se_linux else {
            let text = "PodSecurityPolicy requires this field; without it, any options are allowed";
            reader.warn(Effect::Note, "spec.seLinux", text);
            return Ok(());
        };
        match selinux.rule.as_str() {
            ANY_RULE => return Ok(()),
            "MustRunAs" => {}
            other => return Err(format!("{RULE}: expected MustRunAs or RunAsAny, found {other:?}")),
        }
        let mut options = selinux.se_linux_options.clone().unwrap_or_default();
        let is_known = |name: &str| matches!(name, "user" | "role" | "type" | "level");
        for name in options.keys().filter(|name| !is_known(name)) {
            reader.warn(Effect::Note, &format!("{OPTIONS}.{name}"), "unknown field of SELinuxOptions; it is left out");
        }
        // Here `*` is a pattern, there it was a label that no pod has.
        options.retain(|name, value| is_known(name) && !value.is_empty() && value != ANY);
        let text = "PodSecurityPolicy set these options where a pod has none, and accepted the categories of a level in any \
                    order; Podfence rejects a pod without options, and compares a level as it is written";
        reader.warn(Effect::Stricter, RULE, text);
        reader.add("selinux", [("rule", json!("MustRunAs")), ("allowedSELinuxOptions", json!([options]))]);
        Ok(())
    }

    fn read_only_root_filesystem(&self, reader: &mut Reader<'_, '_>) {
        if self.read_only_root_filesystem == Some(true) {
            reader.add("read-only-root-filesystem", [("mutate", json!(true))]);
        }
    }

    fn sysctls(&self, reader: &mut Reader<'_, '_>) {
        let (allowed, forbidden) = (list(&self.allowed_unsafe_sysctls), list(&self.forbidden_sysctls));
        if has(allowed, ANY) && forbidden.is_empty() {
            return;
        }
        let safe = SAFE_SYSCTLS.into_iter().chain(allowed.iter().map(String::as_str));
        let safe = safe.collect::<Vec<_>>();
        reader.add("sysctls", [("allowedSysctls", json!(safe)), ("forbiddenSysctls", json!(forbidden))]);
    }

    fn proc_mount(&self, reader: &mut Reader<'_, '_>) {
        const PATH: &str = "spec.allowedProcMountTypes";
        let types = list(&self.allowed_proc_mount_types);
        let allows = |name: &str| has(types, name);
        for unknown in types.iter().filter(|name| !["Default", "Unmasked"].contains(&name.as_str())) {
            reader.warn(
                Effect::Note,
                PATH,
                &format!("unknown type of /proc: {unknown:?}; it is left out, since it allows nothing"),
            );
        }
        let allowed: &[&str] = match (allows("Default") || types.is_empty(), allows("Unmasked")) {
            (true, true) => return,
            (true, false) => &["Default"],
            (false, true) => {
                reader.warn(
                    Effect::Weaker,
                    PATH,
                    "a container that sets no procMount was rejected; it is accepted \
                    now",
                );
                &["Unmasked"]
            }
            (false, false) => &[],
        };
        reader.add("proc-mount", [("allowedProcMountTypes", json!(allowed))]);
    }

    fn runtime_class(&self, reader: &mut Reader<'_, '_>) {
        const DEFAULT: &str = "spec.runtimeClass.defaultRuntimeClassName";
        let Some(classes) = &self.runtime_class else { return };
        let (allowed, default) = (list(&classes.allowed_runtime_class_names), &classes.default_runtime_class_name);
        if has(allowed, ANY) {
            if let Some(default) = default {
                let text = format!("pods without a runtime class do not get {default}, since any one is allowed");
                reader.warn(Effect::Weaker, DEFAULT, &text);
            }
            return;
        }
        reader.add("runtime-class", [("required", json!(false))]);
        // Without any, the setting is left out: only pods that name none pass then.
        if !allowed.is_empty() {
            reader.set("allowedRuntimeClasses", json!(allowed));
        }
        match default {
            Some(default) if has(allowed, default) => reader.set("defaultRuntimeClass", json!(default)),
            Some(default) => {
                let text = format!("{default} is not allowed, so every pod that would get it is rejected");
                reader.warn(Effect::Note, DEFAULT, &text);
                reader.set("required", json!(true));
            }
            None => {}
        }
    }

    fn seccomp(&self, annotations: &BTreeMap<String, String>, reader: &mut Reader<'_, '_>) {
        let default = annotation(annotations, DEFAULT_SECCOMP);
        let Some(given) = annotation(annotations, ALLOWED_SECCOMP) else {
            return self.seccomp_unchanged(default, reader);
        };
        let is_any = given.split(',').any(|profile| profile == ANY);
        let allowed = if is_any { vec![ANY] } else { profiles(given, ALLOWED_SECCOMP, reader) };
        if is_any && default.is_none() {
            return;
        }
        reader.add("seccomp", [("allowedProfiles", json!(allowed)), ("required", json!(!is_any))]);
        match default {
            Some(default) if is_profile(default) && (is_any || has_profile(&allowed, default)) => {
                reader.set("defaultProfile", json!(default));
            }
            Some(default) => default_not_allowed(default, reader),
            None => reader.warn(
                Effect::Weaker,
                &path_of(ALLOWED_SECCOMP),
                "PodSecurityPolicy required a profile of the pod itself; Podfence accepts a pod if each container has one, \
                 and requires none of Windows pods",
            ),
        }
    }

    /// Without a list, no pod could have a profile, which every good pod has: the restricted control takes its place.
    fn seccomp_unchanged(&self, default: Option<&str>, reader: &mut Reader<'_, '_>) {
        if let Some(default) = default {
            default_not_allowed(default, reader);
            return reader.add("seccomp", [("allowedProfiles", json!([])), ("required", json!(true))]);
        }
        let path = path_of(ALLOWED_SECCOMP);
        if self.privileged == Some(true) {
            let text = "without it, this PSP rejected pods that set any seccomp profile, RuntimeDefault included. It allows \
                        privileged containers, for which a profile has no meaning, so no policy for seccomp is written";
            return reader.warn(Effect::Weaker, &path, text);
        }
        let text = "without it, this PSP rejected pods that set any seccomp profile, RuntimeDefault included. The policy for \
                    seccomp is the restricted control instead: RuntimeDefault and Localhost are allowed, and pods without a \
                    profile get RuntimeDefault. Delete that policy if you want none";
        reader.warn(Effect::Weaker, &path, text);
        reader.add("seccomp", [("defaultProfile", json!("RuntimeDefault"))]);
        if let Some(part) = reader.parts.last_mut() {
            part.as_member = object([("required", json!(false))]);
        }
    }
}

const ANY_RULE: &str = "RunAsAny";

const LAST_PORT: i64 = 65535;

/// Ranges as settings. One that is inverted allowed nothing, and is left out.
fn ranges(ranges: impl Iterator<Item = Range>, path: &str, reader: &mut Reader<'_, '_>) -> Vec<Value> {
    let mut kept = Vec::new();
    for (index, range) in ranges.enumerate() {
        if range.min < 0 || range.max < range.min {
            let text = format!(
                "allows nothing, since the minimum {} is above the maximum {}; it is left out",
                range.min, range.max
            );
            reader.warn(Effect::Note, &format!("{path}[{index}]"), &text);
        } else {
            kept.push(json!({"min": range.min, "max": range.max}));
        }
    }
    kept
}

/// A rule for users or groups as a setting. Ranges that a rule does not read are left out.
///
/// # Errors
/// It is not a rule, or one whose ranges allow nothing.
fn rule_of(ids: Option<&Ids>, rules: &[&str], path: &str, reader: &mut Reader<'_, '_>) -> Result<Value, String> {
    let Some(ids) = ids else { return Ok(json!({"rule": ANY_RULE})) };
    if !rules.contains(&ids.rule.as_str()) {
        return Err(format!("{path}.rule: expected one of {}, found {:?}", rules.join(", "), ids.rule));
    }
    let path = format!("{path}.ranges");
    if !matches!(ids.rule.as_str(), "MustRunAs" | "MayRunAs") {
        if !list(&ids.ranges).is_empty() {
            reader.warn(Effect::Note, &path, &format!("has no meaning with the rule {}; it is left out", ids.rule));
        }
        return Ok(json!({"rule": ids.rule}));
    }
    match ranges(list(&ids.ranges).iter().copied(), &path, reader) {
        none if none.is_empty() => {
            Err(format!("{path}: expected a range that allows something with the rule {}", ids.rule))
        }
        ranges => Ok(json!({"rule": ids.rule, "ranges": ranges})),
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

/// The profiles in a list. What is not a profile matched no pod there, but would be a pattern or refused here.
fn profiles<'a>(given: &'a str, name: &str, reader: &mut Reader<'_, '_>) -> Vec<&'a str> {
    let (profiles, others): (Vec<&str>, Vec<&str>) = given.split(',').partition(|profile| is_profile(profile));
    for other in others.into_iter().filter(|other| !other.is_empty()) {
        let text = format!("unknown profile: {other:?}; it is left out, since it allowed nothing");
        reader.warn(Effect::Note, &path_of(name), &text);
    }
    profiles
}

fn is_profile(profile: &str) -> bool {
    match profile.strip_prefix("localhost/") {
        Some(file) => !matches!(file, "" | ANY),
        None => matches!(profile, "runtime/default" | "docker/default" | "unconfined"),
    }
}

fn default_not_allowed(default: &str, reader: &mut Reader<'_, '_>) {
    let text = format!("{default:?} is not allowed, so every pod that would get it is rejected");
    reader.warn(Effect::Note, &path_of(DEFAULT_SECCOMP), &text);
}

/// Whether a profile is in a list, under any of its names.
fn has_profile<'a>(list: &[&'a str], profile: &'a str) -> bool {
    let named = |profile: &'a str| if profile == "docker/default" { "runtime/default" } else { profile };
    list.iter().any(|allowed| named(allowed) == named(profile))
}

fn apparmor(annotations: &BTreeMap<String, String>, reader: &mut Reader<'_, '_>) {
    let default = annotation(annotations, DEFAULT_APPARMOR);
    // An empty list is one that nothing is on.
    let given = annotations.get(ALLOWED_APPARMOR);
    let mut allowed = given.map_or_else(|| vec![ANY], |given| profiles(given, ALLOWED_APPARMOR, reader));
    // A name of seccomp alone.
    allowed.retain(|profile| *profile != "docker/default");
    if given.is_none() && default.is_none() {
        return;
    }
    reader.add("apparmor", [("allowedProfiles", json!(allowed)), ("required", json!(given.is_some()))]);
    match default {
        Some(default) if is_profile(default) && (given.is_none() || allowed.contains(&default)) => {
            apparmor_default(default, reader);
        }
        Some(default) => {
            let text = format!("{default:?} is not allowed, so every container that would get it is rejected");
            reader.warn(Effect::Note, &path_of(DEFAULT_APPARMOR), &text);
        }
        None => {}
    }
}

/// The minor version of Kubernetes that has a field for AppArmor.
const APPARMOR_FIELD: u32 = 30;

/// Sets the default profile, in the field if the cluster has it. An API server without it drops what is set.
fn apparmor_default(default: &str, reader: &mut Reader<'_, '_>) {
    let path = path_of(DEFAULT_APPARMOR);
    let is_missing = reader.writer.options.kubernetes.is_some_and(|minor| minor < APPARMOR_FIELD);
    if !is_missing {
        reader.set("defaultProfile", json!(default));
        let text = "is set in the field appArmorProfile, which Kubernetes has since 1.30; for an older version, use \
            --kubernetes-version";
        return if reader.writer.options.kubernetes.is_none() {
            reader.warn(Effect::Note, &path, text)
        };
    }
    if default == "runtime/default" {
        // What the runtime gives a container without a profile.
        return reader.set("required", json!(false));
    }
    let text = format!(
        "containers without a profile got {default}, for which this Kubernetes has no field; they are rejected"
    );
    reader.warn(Effect::Stricter, &path, &text);
}
