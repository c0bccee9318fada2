//! The official policies of Kubewarden, by their present names and by those that they had.

use std::collections::BTreeMap;

use podfence_core::workload::WORKLOADS;
use podfence_host::Mode;
use serde_json::{Map, Value, json};

use super::conditions::{Condition, expression, expressions_of, namespaces, without_external_names};
use super::parameters::{Reader, is_image, is_known_profile, is_tag};
use super::resources;
use super::rules::{self, PODS, rule};
use super::write::{MIGRATED_FROM, Part, Writer, object_name};
use super::{API_SERVER, Effect, OLD_VALUES, is_exemption, text};
use crate::documents::module_name;
use crate::gatekeeper::{any_address, object, services};
use crate::policy::{Configured, Placement, failure_policy, mode_name, twin};
use crate::published::{self, Published};

type Settings = Map<String, Value>;

/// An official policy, ours, and what has to be said to ours so that it decides the same.
struct Official {
    module: &'static str,
    policy: &'static str,
    /// Its settings.
    settings: &'static [(&'static str, Type)],
    translate: fn(&mut Translation<'_, '_, '_>),
}

/// What a setting is.
#[derive(Clone, Copy)]
enum Type {
    Bool,
    Integer,
    Text,
    /// Texts of any kind.
    Texts,
    /// Profiles of seccomp or AppArmor.
    Profiles,
    /// Names, or prefixes with a `*`.
    Patterns,
    Volumes,
    HostPaths,
    Drivers,
    /// Lists of texts, by what they do.
    Lists,
    Ports,
    /// A rule with its ranges.
    Ids,
    /// Quantities of one resource.
    Resource,
    /// Ranges that belong to the setting `rule` beside them, with which they are read.
    Ranges,
}

const fn official(
    module: &'static str,
    policy: &'static str,
    settings: &'static [(&'static str, Type)],
    translate: fn(&mut Translation<'_, '_, '_>),
) -> Official {
    Official { module, policy, settings, translate }
}

/// The names of the other settings are known to our policies, and what is left out is said as it was meant.
static OFFICIAL: [Official; 19] = [
    official(
        "allow-privilege-escalation-psp",
        "allow-privilege-escalation",
        &[("default_allow_privilege_escalation", Type::Bool)],
        privilege_escalation,
    ),
    official("allowed-fsgroups-psp", "users", &[("rule", Type::Text), ("ranges", Type::Ranges)], fs_groups),
    official("allowed-proc-mount-types-psp", "proc-mount", &[("allow_unmasked_proc_mount_type", Type::Bool)], |of| {
        of.default("allow_unmasked_proc_mount_type", json!(false))
    }),
    official("apparmor-psp", "apparmor", &[("allowed_profiles", Type::Profiles)], |of| {
        of.default("allowed_profiles", json!(["runtime/default"]));
    }),
    official(
        "capabilities-psp",
        "capabilities",
        &[
            ("allowed_capabilities", Type::Texts),
            ("required_drop_capabilities", Type::Texts),
            ("default_add_capabilities", Type::Texts),
        ],
        capabilities,
    ),
    official("disallow-service-loadbalancer", "services", &[], |of| {
        without_type(of, &["ClusterIP", "NodePort", "ExternalName"]);
    }),
    official("disallow-service-nodeport", "services", &[], |of| {
        without_type(of, &["ClusterIP", "LoadBalancer", "ExternalName"]);
    }),
    official(
        "container-resources",
        "resources",
        &[("cpu", Type::Resource), ("memory", Type::Resource), ("ignoreImages", Type::Patterns)],
        |of| of.settings = resources::of_kubewarden(&mut of.settings, of.reader),
    ),
    official(
        "flexvolume-drivers-psp",
        "flex-volumes",
        &[("allowedFlexVolumes", Type::Drivers), ("ignoreInitContainersVolumes", Type::Bool)],
        init_volumes,
    ),
    official(
        "host-namespaces-psp",
        "host-namespaces",
        &[
            ("allow_host_ipc", Type::Bool),
            ("allow_host_network", Type::Bool),
            ("allow_host_pid", Type::Bool),
            ("allow_host_ports", Type::Ports),
        ],
        host_namespaces,
    ),
    official("hostpaths-psp", "host-path", &[("allowedHostPaths", Type::HostPaths)], host_paths),
    official(
        "pod-privileged",
        "privileged",
        &[("skip_init_containers", Type::Bool), ("skip_ephemeral_containers", Type::Bool)],
        |_| {},
    ),
    official("readonly-root-filesystem-psp", "read-only-root-filesystem", &[], |_| {}),
    official(
        "seccomp-psp",
        "seccomp",
        &[("allowed_profiles", Type::Profiles), ("profile_types", Type::Profiles), ("localhost_profiles", Type::Texts)],
        seccomp,
    ),
    official(
        "selinux-psp",
        "selinux",
        &[
            ("rule", Type::Text),
            ("user", Type::Text),
            ("role", Type::Text),
            ("type", Type::Text),
            ("level", Type::Text),
        ],
        selinux,
    ),
    official(
        "sysctl-psp",
        "sysctls",
        &[("allowedUnsafeSysctls", Type::Patterns), ("forbiddenSysctls", Type::Patterns)],
        sysctls,
    ),
    official(
        "trusted-repos",
        "images",
        &[("registries", Type::Lists), ("tags", Type::Lists), ("images", Type::Lists)],
        trusted_repos,
    ),
    official(
        "user-group-psp",
        "users",
        &[
            ("run_as_user", Type::Ids),
            ("run_as_group", Type::Ids),
            ("supplemental_groups", Type::Ids),
            ("validate_only", Type::Bool),
            ("validate_container_image_configuration", Type::Bool),
        ],
        users,
    ),
    official(
        "volumes-psp",
        "volumes",
        &[("allowedTypes", Type::Volumes), ("ignoreInitContainersVolumes", Type::Bool)],
        |of| {
            of.default("allowedTypes", json!([]));
            init_volumes(of);
        },
    ),
];

/// Those that are a part of what one of ours decides.
static PARTIAL: [Official; 2] = [
    official(
        "container-running-as-user",
        "users",
        &[
            ("uid", Type::Integer),
            ("exclude_namespaces", Type::Texts),
            ("exclude_label_key", Type::Text),
            ("exclude_label_value", Type::Text),
        ],
        running_as_user,
    ),
    official("share-pid-namespace", "host-namespaces", &[], |of| {
        for setting in ["allowHostNetwork", "allowHostPID", "allowHostIPC"] {
            of.settings.insert(setting.to_owned(), json!(true));
        }
        of.settings.insert("allowShareProcessNamespace".to_owned(), json!(false));
    }),
];

/// What the official policy takes for safe.
const SAFE_SYSCTLS: [&str; 4] =
    ["kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range"];

/// The last user that Kubernetes accepts.
const LAST_USER: i64 = i32::MAX as i64;

/// The official policies, and those of ours that take their places.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    OFFICIAL.iter().map(|official| (official.module, official.policy))
}

/// The official policy of a name. `psp-apparmor` and `psp-apparmor-policy` are what `apparmor-psp` was called.
fn find(name: &str) -> Option<&'static Official> {
    let short = name.strip_suffix("-policy").unwrap_or(name);
    let turned = short.strip_prefix("psp-").map(|rest| format!("{rest}-psp"));
    let mut known = OFFICIAL.iter().chain(&PARTIAL);
    known.find(|of| of.module == name || of.module == short || Some(of.module) == turned.as_deref())
}

/// Settings on their way from an official policy to ours.
struct Translation<'t, 'r, 'o> {
    settings: Settings,
    /// Whether the cluster lets the policy change objects.
    is_mutating: bool,
    /// Policies besides.
    more: Vec<(&'static str, Settings)>,
    /// Expressions about namespaces and objects that settings become.
    namespaces: Vec<Value>,
    objects: Vec<Value>,
    /// What has no setting of our policy.
    conditions: Vec<Condition>,
    reader: &'t mut Reader<'r, 'o>,
}

impl Translation<'_, '_, '_> {
    fn warn(&mut self, effect: Effect, setting: &str, text: &str) {
        self.reader.warn(effect, setting, text);
    }

    /// Says what a setting is that is not given.
    fn default(&mut self, setting: &str, value: Value) {
        self.settings.entry(setting).or_insert(value);
    }

    fn is_empty(&self, setting: &str) -> bool {
        self.settings.get(setting).is_none_or(|value| value == &json!([]))
    }

    /// Has our policy change objects, as the official one does without being asked, where it may.
    fn mutate(&mut self) {
        if self.is_mutating {
            self.settings.insert("mutate".to_owned(), json!(true));
        }
    }
}

/// What takes the place of one module.
struct Translated {
    parts: Vec<Part>,
    namespaces: Vec<Value>,
    objects: Vec<Value>,
    conditions: Vec<Condition>,
}

/// Translates the settings of an official policy.
///
/// # Errors
/// A setting is of another type.
fn translate(
    official: &Official,
    settings: &Value,
    is_mutating: bool,
    reader: &mut Reader<'_, '_>,
) -> Result<Translated, String> {
    let given = match settings {
        Value::Null => Settings::new(),
        Value::Object(settings) => settings.clone(),
        other => return Err(format!("{}: expected an object, found {other}", reader.prefix)),
    };
    let mut settings = Settings::new();
    for (name, value) in given.into_iter().filter(|(_, value)| !value.is_null()) {
        let Some((_, of)) = official.settings.iter().find(|(known, _)| *known == name) else {
            reader.warn(Effect::Note, &name, &format!("{} has no such setting; it is left out", official.module));
            continue;
        };
        settings.insert(name.clone(), of.read(&name, value, reader)?);
    }
    if official.settings.iter().any(|(_, of)| matches!(of, Type::Ranges)) {
        settings = reader.ids("", settings)?;
    }
    let mut translation = Translation {
        settings,
        is_mutating,
        more: Vec::new(),
        namespaces: Vec::new(),
        objects: Vec::new(),
        conditions: Vec::new(),
        reader,
    };
    (official.translate)(&mut translation);
    let Translation { settings, more, namespaces, objects, conditions, .. } = translation;
    let parts = std::iter::once((official.policy, settings)).chain(more);
    let parts = parts.map(|(policy, settings)| Part::new(policy, settings)).collect();
    Ok(Translated { parts, namespaces, objects, conditions })
}

impl Type {
    fn read(self, name: &str, value: Value, reader: &mut Reader<'_, '_>) -> Result<Value, String> {
        let expected = |is_right: bool, expected: &str| match is_right {
            true => Ok(value.clone()),
            false => Err(format!("{}.{name}: expected {expected}, found {value}", reader.prefix)),
        };
        match self {
            Type::Bool => expected(value.is_boolean(), "a boolean"),
            Type::Integer => expected(value.is_i64(), "an integer"),
            Type::Text => expected(value.is_string(), "a string"),
            Type::Ranges => expected(value.is_array(), "a list"),
            Type::Resource => resources::read(name, value, reader),
            Type::Texts => reader.strings(name, value, |_| true),
            Type::Profiles => reader.strings(name, value, is_known_profile),
            Type::Patterns => reader.strings(name, value, is_exemption),
            Type::Volumes => reader.volumes(name, value),
            Type::HostPaths => reader.host_paths(name, value),
            Type::Drivers => reader.drivers(name, value),
            Type::Ports => reader.ports(name, value),
            Type::Lists => match value {
                Value::Object(lists) => {
                    let read = lists.into_iter().filter(|(_, list)| !list.is_null()).map(|(list, value)| {
                        reader.strings(&format!("{name}.{list}"), value, |_| true).map(|value| (list, value))
                    });
                    read.collect::<Result<_, _>>().map(Value::Object)
                }
                other => Err(format!("{}.{name}: expected lists, found {other}", reader.prefix)),
            },
            Type::Ids => match value {
                Value::Object(mut ids) => {
                    if ids.remove("overwrite") == Some(json!(true)) {
                        let text = "values that a pod sets are checked, and never replaced";
                        reader.warn(Effect::Weaker, &format!("{name}.overwrite"), text);
                    }
                    reader.ids(name, ids).map(Value::Object)
                }
                other => Err(format!("{}.{name}: expected a rule and its ranges, found {other}", reader.prefix)),
            },
        }
    }
}

/// Writes the policies that take the place of an official one, or a group of which members are official.
pub(super) fn migrate(origin: &str, document: &Value, writer: &mut Writer<'_>) {
    writer.source(origin);
    let is_group = text(document, "/kind").ends_with("Group");
    let written = if is_group { group(origin, document, writer) } else { policy(origin, document, writer) };
    if let Err(problem) = written {
        writer.warn(Effect::LeftOut, origin, "", &problem);
    }
}

fn policy(origin: &str, document: &Value, writer: &mut Writer<'_>) -> Result<(), String> {
    let spec = &document["spec"];
    let url = spec["module"].as_str().ok_or("spec.module: expected the URL of a module")?;
    let official = module_name(url)
        .and_then(find)
        .ok_or_else(|| format!("spec.module: no policy of Podfence replaces {url:?}; keep this one"))?;
    let is_mutating = spec["mutating"] == true;
    let mut reader = Reader { origin, prefix: "spec.settings", writer };
    let translated = translate(official, &spec["settings"], is_mutating, &mut reader)?;
    let Some(rules) = narrowed(&spec["rules"], official.policy, origin, writer)? else { return Ok(()) };
    let mut matched = Matched::read(document, origin, writer)?;
    matched.namespaces.extend(translated.namespaces);
    matched.objects.extend(translated.objects);
    matched.conditions.extend(translated.conditions.iter().map(Condition::written));
    for part in &translated.parts {
        let suffix = if part.policy == official.policy { String::new() } else { format!("-{}", part.policy) };
        let name = writer.unique(format!("podfence-{}{suffix}", object_name(text(document, "/metadata/name"))));
        let placement = matched.placement(&name, &rules::of(part.policy, rules.clone()), writer);
        let written = placement.policy(&Configured {
            policy: part.policy,
            module: writer.module(part.policy),
            settings: part.settings.clone(),
        });
        let written = matched.completed(document, written, origin);
        let twin = twin(&written).filter(|_| placement.mode == Mode::Protect);
        writer.push_for(&[origin.to_owned()], written);
        if let Some(mut twin) = twin {
            twin["metadata"]["name"] = json!(writer.unique(text(&twin, "/metadata/name").to_owned()));
            writer.push_for(&[origin.to_owned()], twin);
        }
    }
    Ok(())
}

/// Members of other projects stay as they are.
fn group(origin: &str, document: &Value, writer: &mut Writer<'_>) -> Result<(), String> {
    let spec = &document["spec"];
    let members = spec["policies"].as_object().ok_or("spec.policies: expected an object")?;
    let mut expression = spec["expression"].as_str().ok_or("spec.expression: expected an expression")?.to_owned();
    let policies = || members.values().filter_map(|of| find(module_name(of["module"].as_str()?)?)).map(|of| of.policy);
    if policies().any(evaluates_pods) && !policies().all(evaluates_pods) {
        return Err("spec.policies: expected policies for pods or for Services, found both; keep this group".to_owned());
    }
    let rules = narrowed(&spec["rules"], policies().next().unwrap_or("privileged"), origin, writer)?;
    let Some(rules) = rules else { return Ok(()) };
    let matched = Matched::read(document, origin, writer)?;
    let (mut written, mut configured) = (Map::new(), BTreeMap::new());
    let mut is_any_official = false;
    for (name, member) in members {
        let url =
            member["module"].as_str().ok_or(format!("spec.policies.{name}.module: expected the URL of a module"))?;
        let Some(official) = module_name(url).and_then(find) else {
            writer.warn(
                Effect::Note,
                origin,
                &format!("spec.policies.{name}"),
                "Podfence has no policy that replaces it; it stays as it is",
            );
            let mut kept = member.clone();
            if let Some(kept) = kept.as_object_mut() {
                kept.retain(|field, value| match field.as_str() {
                    "module" => true,
                    "settings" => value.is_object(),
                    "contextAwareResources" => value.is_array(),
                    _ => false,
                });
            }
            written.insert(name.clone(), kept);
            continue;
        };
        is_any_official = true;
        let prefix = format!("spec.policies.{name}.settings");
        let mut reader = Reader { origin, prefix: &prefix, writer };
        let translated = translate(official, &member["settings"], false, &mut reader)?;
        if !(translated.namespaces.is_empty() && translated.objects.is_empty()) {
            return Err(format!("{prefix}: its exceptions cannot be moved into one member; keep this group"));
        }
        if !translated.conditions.is_empty() {
            let text = "a Service of type ExternalName with a name in the cluster was accepted, and is rejected: a member \
                        of a group has no conditions";
            writer.warn(Effect::Stricter, origin, &format!("spec.policies.{name}"), text);
        }
        let mut calls = Vec::new();
        for part in translated.parts {
            let own = match part.policy == official.policy {
                true => name.clone(),
                false => format!("{name}_{}", part.policy.replace('-', "_")),
            };
            if own != *name && members.contains_key(&own) {
                return Err(format!("spec.policies.{own}: expected another name, since {name} becomes two members"));
            }
            let module = writer.module(part.policy);
            written.insert(own.clone(), json!({"module": module, "settings": part.as_member}));
            calls.push(format!("{own}()"));
            configured.insert(own, Configured { policy: part.policy, module, settings: part.as_member });
        }
        if calls.len() > 1 {
            expression = replaced(&expression, name, &format!("({})", calls.join(" && ")));
        }
    }
    if !is_any_official {
        return Err("spec.policies: no policy of Podfence replaces any of them; keep this group".to_owned());
    }
    let name = writer.unique(format!("podfence-{}", object_name(text(document, "/metadata/name"))));
    let rules = configured.values().fold(rules, |rules, member| rules::of(member.policy, rules));
    let placement = matched.placement(&name, &rules, writer);
    let message = format!("rejected by {name}");
    let mut document_of = placement.group(&configured, &expression, &message);
    document_of["spec"]["policies"] = Value::Object(written);
    let completed = matched.completed(document, document_of, origin);
    writer.push_for(&[origin.to_owned()], completed);
    Ok(())
}

/// An expression, with the calls of one member replaced.
fn replaced(expression: &str, member: &str, by: &str) -> String {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let (mut rest, mut written) = (expression, String::new());
    while let Some(start) = rest.find(is_of_name) {
        let (before, from) = rest.split_at(start);
        let (name, behind) = from.split_at(from.find(|letter| !is_of_name(letter)).unwrap_or(from.len()));
        let call = behind.trim_start().strip_prefix('(').and_then(|of| of.trim_start().strip_prefix(')'));
        written.push_str(before);
        match call.filter(|_| name == member) {
            Some(behind) => {
                written.push_str(by);
                rest = behind;
            }
            None => {
                written.push_str(name);
                rest = behind;
            }
        }
    }
    written + rest
}

/// What a document says about the objects that it applies to.
struct Matched {
    mode: Mode,
    namespaces: Vec<Value>,
    objects: Vec<Value>,
    conditions: Vec<Value>,
    /// What stays as it is.
    others: Map<String, Value>,
}

/// Whether a value is what a field has to be.
type IsRight = fn(&Value) -> bool;

/// Fields that stay as they are, each with what it has to be.
const OTHERS: [(&str, &str, IsRight); 6] = [
    ("policyServer", "a string", Value::is_string),
    ("matchPolicy", "a string", Value::is_string),
    ("timeoutSeconds", "a number of seconds", is_seconds),
    ("timeoutEvalSeconds", "a number of seconds", is_seconds),
    ("backgroundAudit", "a boolean", Value::is_boolean),
    ("allowInsideAdmissionControllerNamespace", "a boolean", Value::is_boolean),
];

fn is_seconds(value: &Value) -> bool {
    value.as_i64().is_some_and(|seconds| (1..=30).contains(&seconds))
}

fn is_condition(value: &Value) -> bool {
    ["name", "expression"].iter().all(|field| value[*field].as_str().is_some_and(|text| !text.is_empty()))
}

impl Matched {
    fn read(document: &Value, origin: &str, writer: &mut Writer<'_>) -> Result<Matched, String> {
        let spec = &document["spec"];
        let expressions = |field: &str| match &spec[field] {
            Value::Null => Ok(Vec::new()),
            Value::Object(selector) => expressions_of(selector).map_err(|problem| format!("spec.{field}.{problem}")),
            other => Err(format!("spec.{field}: expected an object, found {other}")),
        };
        let has_labels = spec["namespaceSelector"]["matchLabels"].as_object().is_some_and(|labels| !labels.is_empty());
        if has_labels && spec["allowInsideAdmissionControllerNamespace"] != true {
            let text = "the controller dropped these labels, so the policy applied to every namespace; now it applies \
                        where the labels are";
            writer.warn(Effect::Weaker, origin, "spec.namespaceSelector.matchLabels", text);
        }
        let mode = match spec["mode"].as_str() {
            Some("monitor") => Mode::Monitor,
            _ => Mode::Protect,
        };
        let (namespaces, objects) = (expressions("namespaceSelector")?, expressions("objectSelector")?);
        let mut others = Map::new();
        for (field, expected, is_right) in OTHERS {
            match &spec[field] {
                Value::Null => {}
                value if is_right(value) => drop(others.insert(field.to_owned(), value.clone())),
                other => {
                    let text = format!("expected {expected}, found {other}; it is left out");
                    writer.warn(Effect::LeftOut, origin, &format!("spec.{field}"), &text);
                }
            }
        }
        let conditions = match &spec["matchConditions"] {
            Value::Null => Vec::new(),
            Value::Array(conditions) if conditions.iter().all(is_condition) => conditions.clone(),
            other => return Err(format!("spec.matchConditions: expected names and expressions, found {other}")),
        };
        Ok(Matched { mode, namespaces, objects, conditions, others })
    }

    fn placement<'p>(&self, name: &'p str, rules: &Value, writer: &Writer<'_>) -> Placement<'p> {
        Placement {
            name,
            mode: writer.mode(self.mode),
            rules: rules.clone(),
            namespaces: self.namespaces.clone(),
            policy_server: None,
        }
    }

    /// The written document, with what else the source says.
    fn completed(&self, document: &Value, mut written: Value, origin: &str) -> Value {
        written["kind"] = document["kind"].clone();
        written["metadata"]["annotations"][MIGRATED_FROM] = json!(origin);
        if let Some(namespace) = document["metadata"]["namespace"].as_str() {
            written["metadata"]["namespace"] = json!(namespace);
        }
        let spec = &mut written["spec"];
        for (field, value) in &self.others {
            spec[field] = value.clone();
        }
        if !self.conditions.is_empty() {
            spec["matchConditions"] = json!(self.conditions);
        }
        if document["spec"]["message"].is_string() {
            spec["message"] = document["spec"]["message"].clone();
        }
        if !self.objects.is_empty() {
            spec["objectSelector"] = json!({"matchExpressions": self.objects});
        }
        if spec["mode"] == mode_name(Mode::Protect)
            && document["spec"]["failurePolicy"] == failure_policy(Mode::Monitor)
        {
            spec["failurePolicy"] = document["spec"]["failurePolicy"].clone();
        }
        written
    }
}

/// Whether one of our policies evaluates pods, and not objects of other kinds.
fn evaluates_pods(policy: &str) -> bool {
    published::find(policy).is_some_and(Published::evaluates_pods)
}

/// Where the requests are that a policy gets to see.
const RULES: &str = "spec.rules";

/// A rule's groups, resources, and those of its operations that we judge.
fn read_rule(rule: &Value) -> [Vec<&str>; 3] {
    let list =
        |name: &str| -> Vec<&str> { rule[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect() };
    let given = list("operations");
    let is_given = |of: &&str| given.contains(of) || given.contains(&"*");
    let operations = rules::BOTH.iter().copied().filter(is_given).collect();
    [list("apiGroups"), list("resources"), operations]
}

/// Which requests one of our policies judges of those that the rules match; `None` if there are none.
///
/// # Errors
/// They are not rules.
fn narrowed(rules: &Value, policy: &str, origin: &str, writer: &mut Writer<'_>) -> Result<Option<Value>, String> {
    let given = rules.as_array().ok_or("spec.rules: expected a list")?;
    match evaluates_pods(policy) {
        true => Ok(narrowed_to_pods(given, origin, writer)),
        false => Ok(narrowed_to(policy, given, origin, writer)),
    }
}

/// Which requests a policy for other objects than pods judges.
fn narrowed_to(policy: &str, given: &[Value], origin: &str, writer: &mut Writer<'_>) -> Option<Value> {
    let published = published::find(policy).and_then(|of| of.rules.as_array()).into_iter().flatten();
    let known: Vec<(&str, &str)> = published
        .flat_map(|rule| {
            let [groups, resources, _] = read_rule(rule);
            groups.into_iter().flat_map(move |group| resources.clone().into_iter().map(move |of| (group, of)))
        })
        .collect();
    let names = known.iter().map(|(_, resource)| *resource).collect::<Vec<_>>().join(" and ");
    let mut kept = Vec::new();
    for given in given {
        let [groups, resources, operations] = read_rule(given);
        let is_wild = resources.contains(&"*") || resources.contains(&"*/*");
        if is_wild || groups.contains(&"*") {
            let text = format!("a rule with `*` is narrowed to {names}: the official policy let other kinds pass");
            writer.warn(Effect::Note, origin, RULES, &text);
        }
        for other in resources.iter().filter(|of| !of.contains('*') && known.iter().all(|(_, known)| known != *of)) {
            let text = format!("{other} is not one of {names}, and is left out: the official policy let it pass");
            writer.warn(Effect::Note, origin, RULES, &text);
        }
        for (group, resource) in &known {
            let of_group = groups.contains(group) || groups.contains(&"*");
            if of_group && (is_wild || resources.contains(resource)) && !operations.is_empty() {
                kept.push(rule(group, &[resource], &operations));
            }
        }
    }
    if kept.is_empty() {
        let text = format!("no rule matches {names}, so the policy evaluates nothing");
        writer.warn(Effect::Note, origin, RULES, &text);
        return None;
    }
    Some(Value::Array(kept))
}

/// Which requests a policy for pods judges, and those for the containers of `kubectl debug`.
fn narrowed_to_pods(given: &[Value], origin: &str, writer: &mut Writer<'_>) -> Option<Value> {
    let (mut kept, mut is_pods, mut is_debug, mut is_any) = (Vec::new(), false, false, false);
    for given in given {
        let [groups, resources, operations] = read_rule(given);
        let is_wild = resources.contains(&"*") || resources.contains(&"*/*");
        if is_wild || groups.contains(&"*") {
            let text = "a rule with `*` is narrowed to pods and workloads: the official policy let other kinds pass";
            writer.warn(Effect::Note, origin, RULES, text);
        }
        for other in resources.iter().filter(|of| !of.contains('*') && !is_known(of)) {
            let text = format!("{other} holds no pod, and is left out: the official policy let it pass");
            writer.warn(Effect::Note, origin, RULES, &text);
        }
        is_debug |= resources.iter().any(|of| ["pods/ephemeralcontainers", "pods/*", "*/*"].contains(of));
        for group in ["", "apps", "batch"] {
            let of_group =
                groups.contains(&group) || groups.contains(&"*") || group == "apps" && groups.contains(&"extensions");
            let plurals = WORKLOADS.iter().filter(|of| of.group == group && of_group).map(|of| of.plural);
            let plurals: Vec<&str> = plurals.filter(|plural| is_wild || resources.contains(plural)).collect();
            if !plurals.is_empty() && !operations.is_empty() {
                is_pods |= plurals.contains(&"pods");
                is_any = true;
                kept.push(rule(group, &plurals, &operations));
            }
        }
    }
    if !is_any && !is_debug {
        let text = "no rule matches a pod or a workload, so the policy evaluates nothing";
        writer.warn(Effect::Note, origin, RULES, text);
        return None;
    }
    if !is_pods {
        let text = "no rule matched pods, so pods without a workload were not evaluated; rules for pods are added";
        writer.warn(Effect::Stricter, origin, RULES, text);
        kept.splice(0..0, rules::of_pods().as_array().cloned().unwrap_or_default());
    } else {
        if !is_debug {
            let text =
                "the containers of kubectl debug were not evaluated; a rule for pods/ephemeralcontainers is added";
            writer.warn(Effect::Stricter, origin, RULES, text);
        }
        kept.push(rule("", &PODS[1..], &["UPDATE"]));
    }
    Some(Value::Array(kept))
}

/// Whether a resource is a pod, or what pods are made from.
fn is_known(resource: &str) -> bool {
    PODS.contains(&resource) || WORKLOADS.iter().any(|of| of.plural == resource)
}

fn running_as_user(of: &mut Translation<'_, '_, '_>) {
    let given = std::mem::take(&mut of.settings);
    let first = given.get("uid").and_then(Value::as_i64).unwrap_or(0).saturating_add(1).clamp(0, LAST_USER);
    let any = json!({"rule": "RunAsAny"});
    of.settings = object([
        ("runAsNonRoot", json!(false)),
        ("runAsUser", json!({"rule": "MustRunAs", "ranges": [{"min": first, "max": LAST_USER}]})),
        ("runAsGroup", any.clone()),
        ("supplementalGroups", any.clone()),
        ("fsGroup", any),
    ]);
    let excluded = given.get("exclude_namespaces").cloned().unwrap_or_else(|| json!(["kube-system"]));
    let excluded: Vec<&str> = excluded.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !excluded.is_empty() {
        of.namespaces.extend(namespaces("NotIn", excluded));
    }
    let label = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
    if !label("exclude_label_key").is_empty() {
        of.objects.push(expression(label("exclude_label_key"), "NotIn", [label("exclude_label_value")]));
    }
    of.warn(
        Effect::Stricter,
        "uid",
        "a pod without any securityContext passed, and init containers were not evaluated; each container must have a user",
    );
}

/// What sets nothing was let in: it gets `false`, which it would be rejected without.
fn privilege_escalation(of: &mut Translation<'_, '_, '_>) {
    const SETTING: &str = "default_allow_privilege_escalation";
    if of.settings.remove(SETTING) == Some(json!(false)) {
        return of.mutate();
    }
    of.settings.insert("mutate".to_owned(), json!(true));
    of.warn(
        Effect::Stricter,
        SETTING,
        "a container that leaves allowPrivilegeEscalation unset was accepted unchanged, and may escalate; it gets \
            false",
    );
}

fn fs_groups(of: &mut Translation<'_, '_, '_>) {
    let ids = std::mem::take(&mut of.settings);
    let must = ids["rule"] == "MustRunAs";
    of.settings =
        object([("runAsNonRoot", json!(false)), ("runAsUser", json!({"rule": "RunAsAny"})), ("fsGroup", json!(ids))]);
    if must {
        of.mutate();
    }
}

fn users(of: &mut Translation<'_, '_, '_>) {
    // It is another name of `mutate`, the two of which together are an error.
    let is_checking_only = of.settings.remove("validate_only") == Some(json!(true));
    const IMAGE: &str = "validate_container_image_configuration";
    if of.settings.remove(IMAGE) == Some(json!(true)) {
        of.warn(Effect::Weaker, IMAGE, "the user that an image is configured with is not looked up");
    }
    let mut rules = Vec::new();
    for name in ["run_as_user", "run_as_group", "supplemental_groups"] {
        of.default(name, json!({"rule": "RunAsAny"}));
        rules.push(of.settings[name]["rule"].as_str().unwrap_or_default().to_owned());
    }
    let is_non_root = rules[0] == "MustRunAsNonRoot";
    of.settings.insert("runAsNonRoot".to_owned(), json!(is_non_root));
    if (is_non_root || rules.iter().any(|rule| rule == "MustRunAs")) && !is_checking_only {
        of.mutate();
    }
    if rules[..2].iter().any(|rule| rule.starts_with('M')) {
        let text = "the pod-level value must be allowed, even if every container overrides it";
        of.warn(Effect::Stricter, "run_as_user", text);
    }
}

fn capabilities(of: &mut Translation<'_, '_, '_>) {
    of.default("allowed_capabilities", json!([]));
    of.default("required_drop_capabilities", json!([]));
    let names = |list: &str| -> Vec<String> {
        of.settings
            .get(list)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let (added, dropped) = (names("default_add_capabilities"), names("required_drop_capabilities"));
    let bare = |name: &str| {
        let name = name.to_ascii_uppercase();
        name.strip_prefix("CAP_").map_or(name.clone(), str::to_owned)
    };
    let is_dropped = |name: &String| {
        dropped.iter().any(|of| bare(of) != "ALL" && [bare(of), "ALL".to_owned()].contains(&bare(name)))
    };
    let (contradicting, kept): (Vec<String>, Vec<String>) = added.into_iter().partition(is_dropped);
    for name in contradicting {
        let text = format!("{name} is in required_drop_capabilities as well, and is dropped");
        of.warn(Effect::Weaker, "default_add_capabilities", &text);
        of.settings.insert("default_add_capabilities".to_owned(), json!(kept));
    }
    if !of.is_empty("required_drop_capabilities") || !of.is_empty("default_add_capabilities") {
        of.mutate();
    }
}

/// It judged host ports as well, of which it allowed none unless they were listed.
fn host_namespaces(of: &mut Translation<'_, '_, '_>) {
    let ports = of.settings.remove("allow_host_ports").unwrap_or_else(|| json!([]));
    of.more.push(("host-ports", object([("hostPorts", ports)])));
}

fn host_paths(of: &mut Translation<'_, '_, '_>) {
    if of.is_empty("allowedHostPaths") {
        of.warn(Effect::Note, "allowedHostPaths", "an empty list allowed every path; the policy says so explicitly");
        of.settings.insert("allowedHostPaths".to_owned(), json!([{"pathPrefix": "/", "readOnly": false}]));
    }
}

fn seccomp(of: &mut Translation<'_, '_, '_>) {
    if of.is_empty("allowed_profiles") {
        of.settings.remove("allowed_profiles");
        of.default("profile_types", json!([]));
    }
    of.default("localhost_profiles", json!([]));
    of.default("required", json!(false));
    of.warn(
        Effect::Stricter,
        "localhost_profiles",
        "files are compared whole, not by how they end, and annotations are not read",
    );
}

fn selinux(of: &mut Translation<'_, '_, '_>) {
    if of.settings.get("rule") == Some(&json!("MustRunAs")) {
        of.warn(Effect::Stricter, "rule", "options are not set where a pod has none: it is rejected");
    }
}

fn sysctls(of: &mut Translation<'_, '_, '_>) {
    let given = of.settings.remove("allowedUnsafeSysctls").and_then(|list| list.as_array().cloned());
    let safe = SAFE_SYSCTLS.into_iter().map(Value::from);
    of.settings.insert("allowedSysctls".to_owned(), safe.chain(given.into_iter().flatten()).collect());
}

/// An empty list said nothing, and a `*` stood for any text.
fn trusted_repos(of: &mut Translation<'_, '_, '_>) {
    let text = "what cannot be read as an image was let in, and so was a pod whose init containers do not all have an image; \
                both are rejected, and image volumes are evaluated";
    let origin = of.reader.origin;
    of.reader.writer.warn(Effect::Stricter, origin, "", text);
    let given = std::mem::take(&mut of.settings);
    let list = |group: &str, name: &str| -> Vec<String> {
        let list = given.get(group).and_then(|group| group[name].as_array()).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut tags = Vec::new();
    for tag in list("tags", "reject") {
        if is_tag(&tag) {
            tags.push(tag);
        } else {
            of.warn(Effect::Weaker, "tags.reject", &format!("{tag:?} is not a tag; it is left out"));
        }
    }
    of.settings.insert("deniedTags".to_owned(), json!(tags));
    for group in ["registries", "images"] {
        let mut lists = Settings::new();
        for (name, effect) in [("allow", Effect::Stricter), ("reject", Effect::Weaker)] {
            let entries = list(group, name);
            let allows_any = name == "allow" && entries.iter().any(|entry| entry == "*");
            if entries.is_empty() || allows_any {
                continue;
            }
            let path = format!("{group}.{name}");
            let mut kept = Vec::new();
            for entry in entries {
                match trusted(group, &entry) {
                    Some((pattern, difference)) => {
                        if !difference.is_empty() {
                            of.warn(effect, &path, &format!("{entry:?}: {difference}"));
                        }
                        kept.push(pattern);
                    }
                    None => {
                        of.warn(effect, &path, &format!("{entry:?} has no pattern that is like it; it is left out"))
                    }
                }
            }
            lists.insert(name.to_owned(), json!(kept));
        }
        if !lists.is_empty() {
            of.settings.insert(group.to_owned(), Value::Object(lists));
        }
    }
}

/// The pattern of a registry or an image, and what it does not cover that the entry covered; `None` if there is none.
fn trusted(group: &str, entry: &str) -> Option<(String, &'static str)> {
    // Without the stars, each of which has to be a whole label or component, it has to be one.
    let plain = entry.split('/').map(|part| part.split('.').map(|label| if label == "*" { "x" } else { label }));
    let plain = plain.map(|labels| labels.collect::<Vec<_>>().join(".")).collect::<Vec<_>>().join("/");
    let has_star = entry.contains('*');
    if group == "registries" {
        let is_host = entry.contains(['.', ':']) || entry == "localhost";
        let is_registry = is_host && is_image(&format!("{plain}/x")) && !entry.contains('/');
        let difference = if has_star { "* covers one label of a registry" } else { "" };
        return is_registry.then(|| (entry.to_owned(), difference));
    }
    if !is_image(&plain) || entry.starts_with("*/") || entry == "*" {
        return None;
    }
    let (first, rest) = entry.split_once('/').unwrap_or(("", entry));
    let is_short = !first.contains(['.', ':']) && first != "localhost";
    let pattern = match entry.strip_suffix("/*") {
        Some(start) => format!("{start}/**"),
        // Alone, it could be a registry with a port.
        None if first.is_empty() => format!("docker.io/library/{rest}"),
        None => entry.to_owned(),
    };
    let difference = if is_short {
        "an image without a registry is one of Docker Hub, and not one of any registry"
    } else if entry.ends_with(":latest") {
        "it covers the tag latest, and not any tag"
    } else if entry.trim_end_matches("/*").contains('*') {
        "* covers one component, or one label of a registry"
    } else {
        ""
    };
    Some((pattern, difference))
}

/// A Service of any type but one is accepted. Nothing else of it was looked at.
fn without_type(of: &mut Translation<'_, '_, '_>, types: &[&str]) {
    of.settings = services(types, any_address());
    of.conditions.push(without_external_names());
    let origin = of.reader.origin;
    for text in [OLD_VALUES, API_SERVER] {
        of.reader.writer.warn(Effect::Weaker, origin, "", text);
    }
}

fn init_volumes(of: &mut Translation<'_, '_, '_>) {
    const SETTING: &str = "ignoreInitContainersVolumes";
    if of.settings.remove(SETTING) == Some(json!(true)) {
        let text = "volumes of init containers are evaluated: any container can mount a volume later";
        of.warn(Effect::Stricter, SETTING, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_found_by_each_name_that_they_had() {
        for (name, expected) in [
            ("apparmor-psp", Some("apparmor-psp")),
            ("psp-apparmor", Some("apparmor-psp")),
            ("psp-capabilities", Some("capabilities-psp")),
            ("pod-privileged-policy", Some("pod-privileged")),
            ("share-pid-namespace-policy", Some("share-pid-namespace")),
            ("container-running-as-user", Some("container-running-as-user")),
            ("verify-image-signatures", None),
        ] {
            assert_eq!(find(name).map(|of| of.module), expected, "{name}");
        }
    }

    #[test]
    fn trusted_images_are_patterns() {
        for (group, entry, expected) in [
            ("registries", "ghcr.io", Some("ghcr.io")),
            ("registries", "registry:5000", Some("registry:5000")),
            ("registries", "*.my-corp.com", Some("*.my-corp.com")),
            ("registries", "my-*.com", None),
            ("registries", "*", None),
            ("registries", "acme", None),
            ("registries", "localhost", Some("localhost")),
            ("registries", "ghcr.io/acme", None),
            ("images", "nginx", Some("docker.io/library/nginx")),
            ("images", "nginx:1", Some("docker.io/library/nginx:1")),
            ("images", "acme/app", Some("acme/app")),
            ("images", "quay.io/etcd/etcd:v3.4.12", Some("quay.io/etcd/etcd:v3.4.12")),
            ("images", "docker.io/bitnami/*", Some("docker.io/bitnami/**")),
            ("images", "quay.io/*/etcd", Some("quay.io/*/etcd")),
            ("images", "quay.io/etcd/e*", None),
            ("images", "*/etcd", None),
            ("images", "v1.?", None),
        ] {
            assert_eq!(trusted(group, entry).map(|(pattern, _)| pattern).as_deref(), expected, "{group} {entry}");
        }
    }

    #[test]
    fn calls_of_a_member_are_replaced() {
        for (expression, expected) in [
            ("hn()", "(a() && b())"),
            ("!hn( ) && hn2() || x_hn()", "!(a() && b()) && hn2() || x_hn()"),
            ("hn", "hn"),
            ("", ""),
        ] {
            assert_eq!(replaced(expression, "hn", "(a() && b())"), expected);
        }
    }
}
