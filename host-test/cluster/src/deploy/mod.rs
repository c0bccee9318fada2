//! The documents that bring the policies into a cluster: `deploy/`, or the same for another registry.
//!
//! Each choice is a directory that `kubectl apply -k` takes, below `monitor`, where nothing is rejected, and below
//! `protect`, where the verdicts count. Kubewarden lets a policy go from the one mode to the other, and not back. The
//! Helm chart has the same documents, and the README is for the operators of either.

mod chart;
mod modules;
mod version;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use podfence_host::Mode;
use podfence_scan::custom_kinds::{self, CustomKind};
use serde_json::{Map, Value, json};

pub use self::modules::{Modules, ModulesError};
use self::version::Pinned;
pub use self::version::{Minor, MinorError};
use crate::gatekeeper::Equivalent;
use crate::policy::{self, Configured, Placement};
use crate::published::{self, Published, UnknownPolicy};
use crate::standards::Level;

/// The policy that decides a level at once.
pub const WHOLE: &str = "pod-security-standards";

/// Namespaces that are not judged: what is there makes the cluster, and judges it.
const EXEMPT_NAMESPACES: [&str; 2] = ["kube-system", "kubewarden"];

/// Policies that reject every pod without settings, each with the setting that lets pods in.
const NEEDS_SETTING: [(&str, &str); 1] = [("runtime-class", "allowedRuntimeClasses")];

/// What each file starts with.
const HEADER: &str = "# Generated from the metadata of the policies by `podfence deploy`.\n";

/// What is deployed, and where.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the modules are.
    pub modules: Modules,
    /// Custom kinds whose objects the policies evaluate as well.
    pub kinds: Vec<&'static CustomKind>,
    /// Namespaces that are not evaluated, beside those that never are.
    pub exempt_namespaces: Vec<String>,
    /// The PolicyServer; Kubewarden's default one otherwise.
    pub policy_server: Option<String>,
    /// Whether monitor warns the user whose request protect would reject.
    pub warnings: bool,
    /// The version of the standards; the newest one otherwise.
    pub kubernetes: Option<Minor>,
    /// Settings by policy. Members of groups have them as well, in place of those that make the group a level.
    pub settings: Settings,
}

/// Settings by policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Map<String, Value>>);

/// Settings that documents give a policy which has some in the option `--settings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The policy.
    pub policy: &'static str,
    /// The choice with the group that has it as a member; none for a policy that stands alone.
    pub group: Option<String>,
    /// All settings that it gets.
    pub settings: Map<String, Value>,
}

/// Settings that no document can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// There is no such policy.
    #[error(transparent)]
    Policy(#[from] UnknownPolicy),
    /// Settings are an object.
    #[error("{policy}: expected an object, found {found}")]
    Object {
        /// The policy.
        policy: String,
        /// What is there, as JSON.
        found: String,
    },
    /// Each level has a directory.
    #[error("{WHOLE}.level: each level has a directory of its own; remove it")]
    Level,
}

impl Settings {
    /// Reads an object with the settings of each policy.
    ///
    /// # Errors
    /// A policy does not exist, or its settings are not an object, or they set the level.
    pub fn read(settings: Map<String, Value>) -> Result<Self, SettingsError> {
        let mut read = BTreeMap::new();
        for (name, value) in settings {
            published::named(&name)?;
            let Value::Object(value) = value else {
                return Err(SettingsError::Object { policy: name, found: value.to_string() });
            };
            if name == WHOLE && value.contains_key("level") {
                return Err(SettingsError::Level);
            }
            read.insert(name, value);
        }
        Ok(Self(read))
    }

    fn of(&self, policy: &str) -> Map<String, Value> {
        self.0.get(policy).cloned().unwrap_or_default()
    }
}

impl Options {
    /// The policies that are left out because they reject every pod without settings, each with the setting that lets
    /// pods in.
    pub fn left_out(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        NEEDS_SETTING.into_iter().filter(|(policy, _)| self.settings.of(policy).is_empty())
    }

    /// The requests that a policy evaluates.
    fn rules(&self, of: &Published) -> Value {
        let rules = of.rules.as_array().into_iter().flatten().cloned();
        Value::from_iter(rules.chain(self.kinds_of(of.policy).iter().map(|kind| kind.rule())))
    }

    /// The custom kinds that a policy evaluates: they hold pods.
    fn kinds_of(&self, policy: &str) -> &[&'static CustomKind] {
        if published::find(policy).is_some_and(Published::evaluates_pods) { &self.kinds } else { &[] }
    }

    /// What the documents give the policies that have settings of the user, those that stand alone first. A
    /// policy-server does not start with settings that a policy refuses, so let the policies check them.
    pub fn given(&self) -> Vec<Given> {
        let mut given = Vec::new();
        for of in published::all().iter().filter(|of| !self.settings.of(of.policy).is_empty()) {
            let alone = |settings| Given { policy: of.policy, group: None, settings };
            match of.policy {
                WHOLE => given.extend(Level::ALL.map(|level| alone(self.level_settings(level)))),
                policy => given.push(alone(self.settings(policy))),
            }
        }
        for level in Level::ALL {
            let members = self.members(level).into_iter().filter(|of| !self.settings.of(of.policy).is_empty());
            given.extend(members.filter_map(|of| {
                let policy = published::find(of.policy)?.policy;
                Some(Given { policy, group: Some(format!("{}{GROUP}", level.name())), settings: of.settings })
            }));
        }
        given
    }

    /// The settings of a policy that stands alone.
    fn settings(&self, policy: &str) -> Map<String, Value> {
        let given = self.settings.of(policy);
        let mut settings = given.clone();
        for pinned in self.pinned(policy).into_iter().filter(|pinned| !pinned.is_given(&given)) {
            settings.insert(pinned.setting.to_owned(), pinned.value);
        }
        custom_kinds::add_to_settings(self.kinds_of(policy), &mut settings);
        if self.warnings {
            settings.insert(WARN.to_owned(), json!(true));
        }
        settings
    }

    /// The settings that a policy gets for the version of Kubernetes.
    fn pinned(&self, policy: &str) -> Vec<Pinned> {
        self.kubernetes.map(|minor| minor.settings(policy)).unwrap_or_default()
    }

    fn configured<'p>(&self, policy: &'p str, settings: Map<String, Value>) -> Configured<'p> {
        Configured { policy, module: self.modules.url(policy), settings }
    }

    /// A document in mode monitor.
    fn placement<'p>(&'p self, name: &'p str, rules: Value) -> Placement<'p> {
        Placement {
            name,
            mode: Mode::Monitor,
            rules,
            namespaces: vec![self.not_in_exempt_namespaces()],
            policy_server: self.policy_server.as_deref(),
        }
    }

    fn not_in_exempt_namespaces(&self) -> Value {
        let more = self.exempt_namespaces.iter().map(String::as_str).filter(|name| !EXEMPT_NAMESPACES.contains(name));
        let values: Vec<&str> = EXEMPT_NAMESPACES.into_iter().chain(more).collect();
        json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": values})
    }

    /// The policies that stand alone in the choices `policies` and `guards`.
    fn singles(&self) -> impl Iterator<Item = &'static Published> {
        let left_out: Vec<&str> = self.left_out().map(|(policy, _)| policy).collect();
        published::all().iter().filter(move |of| of.policy != WHOLE && !left_out.contains(&of.policy))
    }

    /// A policy that stands alone.
    fn single(&self, of: &Published) -> Value {
        let name = format!("{PREFIX}{}", of.policy);
        let configured = self.configured(of.policy, self.settings(of.policy));
        self.placement(&name, self.rules(of)).policy(&configured)
    }

    /// The policy that decides a level.
    fn level(&self, level: Level, of: &Published) -> Value {
        let name = format!("{PREFIX}{}", level.name());
        self.placement(&name, self.rules(of)).policy(&self.configured(WHOLE, self.level_settings(level)))
    }

    fn level_settings(&self, level: Level) -> Map<String, Value> {
        let mut settings = Map::from_iter([("level".to_owned(), json!(level.name()))]);
        settings.extend(self.settings(WHOLE));
        settings
    }

    /// The policies of a level's group, with the settings that make it the level but for those that the user sets.
    fn members(&self, level: Level) -> Vec<Equivalent> {
        let mut members = version::singles(level, self.kubernetes);
        for of in &mut members {
            let mut given = self.settings.of(of.policy);
            for pinned in self.pinned(of.policy).iter().filter(|pinned| pinned.is_given(&given)) {
                of.settings.shift_remove(pinned.setting);
            }
            // Kubewarden denies what a member would change.
            published::stop_mutating(of.policy, &mut given);
            of.settings.extend(given);
            custom_kinds::add_to_settings(&self.kinds, &mut of.settings);
        }
        members
    }

    /// The group of single policies that decides as a level.
    fn group(&self, level: Level, rules: Value) -> Value {
        let members = self.members(level).into_iter().map(|of| {
            // The expression calls them, and `-` is an operator there.
            (of.policy.replace('-', "_"), self.configured(of.policy, of.settings))
        });
        let members: BTreeMap<String, Configured<'_>> = members.collect();
        let calls: Vec<String> = members.keys().map(|name| format!("{name}()")).collect();
        let message = format!("violates the {} level of the Pod Security Standards", level.name());
        let name = format!("{PREFIX}{}-group", level.name());
        self.placement(&name, rules).group(&members, &calls.join(" && "), &message)
    }
}

/// What the name of every document starts with.
const PREFIX: &str = "podfence-";

/// The policy of a document that [`tree`] writes, by the name of the document or of its webhook, as a denial has it:
/// `podfence-restricted`, `clusterwide-podfence-privileged`. The policy of a level is that of its group.
pub fn policy_named(name: &str) -> Option<&'static str> {
    // A finding has the kind before it.
    let name = name.rsplit('/').next()?;
    let name = name.strip_suffix(".kubewarden.admission").unwrap_or(name);
    let name = name.strip_prefix("clusterwide-").unwrap_or(name);
    let name = name.strip_prefix("group-").unwrap_or(name).strip_prefix(PREFIX)?;
    let of_level = name.strip_suffix(GROUP).unwrap_or(name);
    if Level::ALL.iter().any(|level| level.name() == of_level) {
        return Some(WHOLE);
    }
    let policy = published::find(name).or_else(|| published::find(policy::without_twin(name)?));
    policy.map(|of| of.policy)
}

/// The setting that makes the message of a rejection a warning as well.
const WARN: &str = "warn";

/// The URL of a policy's module in this version. The registry is without a scheme: `registry.example.com/podfence`.
pub fn module_url(registry: &str, policy: &str) -> String {
    format!("registry://{registry}/{policy}:{VERSION}")
}

/// The tag of the modules.
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// All files, by their paths within the tree.
pub fn tree(options: &Options) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    for (directory, resources) in choices(options) {
        add_choice(&mut files, options, &directory, &resources);
    }
    files.insert("README.md".into(), include_str!("README.md").to_owned());
    files.extend(chart::files(options).into_iter().map(|(path, text)| (Path::new("chart").join(path), text)));
    files
}

/// The documents that `kubectl apply -k` applies for a choice, such as `restricted`, in a mode; none for what is no
/// choice.
pub fn documents(options: &Options, choice: &str, mode: Mode) -> Vec<Value> {
    let resources = choices(options).into_iter().filter(|(directory, _)| directory == choice).flat_map(|(_, of)| of);
    let mut documents: Vec<Value> = resources.map(|of| of.document).collect();
    if mode == Mode::Protect {
        for document in &mut documents {
            protect(document, options);
        }
        let twins: Vec<Value> = documents.iter().filter_map(policy::twin).collect();
        documents.extend(twins);
    }
    documents
}

/// The directories below each mode, with what is in them.
fn choices(options: &Options) -> Vec<(String, Vec<Resource>)> {
    let resource = |name: &str, document| Resource { name: name.to_owned(), document, comment: String::new() };
    let single = |of: &Published| resource(of.policy, options.single(of));
    let (of_pods, guards): (Vec<_>, Vec<_>) = options.singles().partition(|of| of.evaluates_pods());
    let mut choices = vec![
        ("policies".to_owned(), of_pods.into_iter().map(single).collect()),
        ("guards".to_owned(), guards.into_iter().map(single).collect()),
    ];
    let whole = published::find(WHOLE).expect("the policy that decides the levels");
    for level in Level::ALL {
        choices.push((level.name().to_owned(), vec![resource(WHOLE, options.level(level, whole))]));
        let group = resource("group", options.group(level, options.rules(whole)));
        let group = Resource { comment: group_comment(options, level), ..group };
        choices.push((format!("{}{GROUP}", level.name()), vec![group]));
    }
    choices
}

/// What the name of a level's group ends with.
const GROUP: &str = "-group";

/// What a group does not decide as its level.
fn group_comment(options: &Options, level: Level) -> String {
    match options.kubernetes {
        Some(minor) if level == Level::Restricted && !minor.has_user_namespaces() => format!(
            "# For pods with hostUsers: false, `users` decides as Kubernetes 1.35 does; \
             protect/restricted decides as {minor}.\n"
        ),
        _ => String::new(),
    }
}

/// A file with a document in mode monitor.
struct Resource {
    /// The name of the file, without `.yaml`.
    name: String,
    document: Value,
    /// What a reader of the file needs to know: lines that start with `#`.
    comment: String,
}

/// Adds what is applied as one: documents that start in monitor mode, and the switch to protect.
fn add_choice(files: &mut BTreeMap<PathBuf, String>, options: &Options, directory: &str, resources: &[Resource]) {
    let (monitor, in_protect) = (Path::new("monitor").join(directory), Path::new("protect").join(directory));
    let (mut names, mut names_in_protect) = (Vec::new(), vec![format!("../../monitor/{directory}")]);
    for Resource { name, document, comment } in resources {
        let mut comment = comment.clone();
        let mut protecting = document.clone();
        protect(&mut protecting, options);
        if let Some(twin) = policy::twin(&protecting) {
            let twin_name = policy::twin_name(document);
            let file = format!("{}.yaml", twin_name.trim_start_matches(PREFIX));
            comment += &format!(
                "# Monitor changes no object, and reports those that protect could not change to comply. {twin_name},\n\
                 # which evaluates the changes of later webhooks, is in protect/{directory} alone.\n"
            );
            files.insert(in_protect.join(&file), yaml("", &twin));
            names_in_protect.push(file);
        }
        let file = format!("{name}.yaml");
        files.insert(monitor.join(&file), yaml(&comment, document));
        names.push(file);
    }
    files.insert(monitor.join(KUSTOMIZATION), yaml("", &kustomization(&names)));
    let mut kustomization = kustomization(&names_in_protect);
    let operations = switched(options.warnings && !directory.ends_with(GROUP));
    let patch = operations.iter().map(|(path, value)| format!("- op: replace\n  path: {path}\n  value: {value}\n"));
    let patch: String = patch.collect();
    kustomization["patches"] = json!([{"target": {"group": "policies.kubewarden.io"}, "patch": patch}]);
    files.insert(in_protect.join(KUSTOMIZATION), yaml("", &kustomization));
}

/// What protect replaces in a document, by JSON pointers. A rejection needs no warning beside it.
fn switched(warns: bool) -> Vec<(&'static str, &'static str)> {
    let mode = Mode::Protect;
    let mut switched =
        vec![("/spec/mode", policy::mode_name(mode)), ("/spec/failurePolicy", policy::failure_policy(mode))];
    if warns {
        switched.push(("/spec/settings/warn", "false"));
    }
    switched
}

/// Changes a document as the kustomization below `protect` does.
fn protect(document: &mut Value, options: &Options) {
    for (path, value) in switched(options.warnings) {
        if let Some(at) = document.pointer_mut(path) {
            *at = if value == "false" { json!(false) } else { json!(value) };
        }
    }
}

const KUSTOMIZATION: &str = "kustomization.yaml";

fn kustomization(resources: &[String]) -> Value {
    json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources})
}

/// A file with a comment below the header.
fn yaml(comment: &str, document: &Value) -> String {
    let text = serde_saphyr::to_string(document).expect("JSON values serialise");
    [HEADER, comment, &text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_of_policies() {
        let read = |value: Value| match value {
            Value::Object(settings) => Settings::read(settings).map_err(|error| error.to_string()),
            _ => unreachable!(),
        };
        let settings = read(json!({"capabilities": {"mutate": true}})).unwrap();
        assert_eq!(Value::from(settings.of("capabilities")), json!({"mutate": true}));
        for (value, expected) in [
            (json!({"user": {}}), "unknown policy \"user\", did you mean `users`?".to_owned()),
            (json!({"users": true}), "users: expected an object, found true".to_owned()),
            (
                json!({"pod-security-standards": {"level": "baseline"}}),
                "pod-security-standards.level: each level has a directory of its own; remove it".to_owned(),
            ),
        ] {
            assert_eq!(read(value.clone()), Err(expected), "{value}");
        }
    }
}
