//! Where the documents and warnings of all sources go.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use podfence_host::Mode;
use serde_json::{Map, Value, json};

use super::conditions::Condition;
use super::{Effect, Migration, Options, Source, Warning, listed, rules};
use crate::deploy::module_url;
use crate::gatekeeper::object;
use crate::matching::NAMESPACE_NAME;
use crate::policy::{Configured, Placement, twin};
use crate::published::{self, Published};

/// The annotation that names the source of a document.
pub const MIGRATED_FROM: &str = "podfence.io/migrated-from";

/// The policy that decides a level of the Pod Security Standards.
pub(super) const STANDARDS: &str = "pod-security-standards";

/// Names of objects have up to 253 letters; there are others before and behind a source's.
const LONGEST_NAME: usize = 150;

/// The namespace of what makes the cluster.
const CLUSTER: &str = "kube-system";

/// The setting that repeats verdicts as warnings.
const WARN: &str = "warn";

/// Which objects policies apply to, and what becomes of their verdicts.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// The sources; at least one.
    pub(super) sources: Vec<String>,
    /// What names of documents start with, behind `podfence-`.
    pub(super) name: String,
    /// What the source did with a violation.
    pub(super) mode: Mode,
    /// Whether the source warned who makes a request.
    pub(super) warns: bool,
    pub(super) objects: Objects,
    /// The `matchExpressions` of the namespaces.
    pub(super) namespaces: Vec<Value>,
    /// Those of the objects.
    pub(super) selected: Vec<Value>,
    pub(super) conditions: Vec<Condition>,
    /// The setting `exempt`, by its lists.
    pub(super) exempt: BTreeMap<&'static str, Vec<String>>,
}

/// Which objects are evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Objects {
    /// Pods; workloads as well if that is asked for, in documents of their own.
    Pods,
    /// What these rules match.
    Matched(Value),
    /// Pods, and what these rules match in documents of their own.
    PodsAnd(Value),
}

impl Scope {
    /// All pods, which a source rejects.
    pub(super) fn new(sources: Vec<String>, name: &str) -> Scope {
        Scope {
            sources,
            name: name.to_owned(),
            mode: Mode::Protect,
            warns: false,
            objects: Objects::Pods,
            namespaces: Vec::new(),
            selected: Vec::new(),
            conditions: Vec::new(),
            exempt: BTreeMap::new(),
        }
    }
}

/// A policy with its settings, as a part of a source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) policy: &'static str,
    pub(super) settings: Map<String, Value>,
    /// Its settings in a group, where nothing is changed.
    pub(super) as_member: Map<String, Value>,
}

impl Part {
    pub(super) fn new(policy: &'static str, settings: Map<String, Value>) -> Part {
        let mut as_member = settings.clone();
        published::stop_mutating(policy, &mut as_member);
        // Its default.
        as_member.shift_remove("mutate");
        Part { policy, settings, as_member }
    }

    /// Whether it evaluates pods, and not objects of other kinds.
    pub(super) fn evaluates_pods(&self) -> bool {
        published::find(self.policy).is_some_and(Published::evaluates_pods)
    }

    /// Whether it changes objects.
    pub(super) fn is_mutating(&self) -> bool {
        published::is_mutating(self.policy, &Value::Object(self.settings.clone()))
    }
}

pub(super) struct Writer<'o> {
    pub(super) options: &'o Options,
    migration: Migration,
    /// Of the policies, each with the last number that was put behind it.
    names: HashMap<String, usize>,
    /// The warnings, by what they say.
    warned: HashMap<(Effect, String, String), usize>,
    /// The sources, by their names.
    rows: HashMap<String, usize>,
}

impl<'o> Writer<'o> {
    pub(super) fn new(options: &'o Options) -> Self {
        Self {
            options,
            migration: Migration::default(),
            names: HashMap::new(),
            warned: HashMap::new(),
            rows: HashMap::new(),
        }
    }

    /// The migration, with the warnings of each source counted.
    pub(super) fn finish(mut self) -> Migration {
        for warning in &self.migration.warnings {
            for source in warning.sources.iter().filter(|_| warning.effect != Effect::Note) {
                let row = row(&mut self.rows, &mut self.migration.sources, source);
                *self.migration.sources[row].effects.entry(warning.effect).or_default() += 1;
            }
        }
        self.migration
    }

    /// Adds a source to the table.
    pub(super) fn source(&mut self, name: &str) {
        row(&mut self.rows, &mut self.migration.sources, name);
    }

    /// Adds several sources that are migrated as one, under one name.
    pub(super) fn sources(&mut self, name: &str, members: &[String]) {
        let row = row(&mut self.rows, &mut self.migration.sources, name);
        for member in members {
            self.rows.insert(member.clone(), row);
        }
    }

    /// Says what is different. What is the same for several sources is said once.
    pub(super) fn warn(&mut self, effect: Effect, source: &str, path: &str, text: &str) {
        let key = (effect, path.to_owned(), text.to_owned());
        let index = *self.warned.entry(key).or_insert(self.migration.warnings.len());
        if index == self.migration.warnings.len() {
            let (path, text) = (path.to_owned(), text.to_owned());
            self.migration.warnings.push(Warning { effect, sources: Vec::new(), path, text });
        }
        let sources = &mut self.migration.warnings[index].sources;
        if sources.last().is_none_or(|last| last != source) {
            sources.push(source.to_owned());
        }
    }

    /// The mode of a document whose source had this one.
    pub(super) fn mode(&self, of_source: Mode) -> Mode {
        if self.options.mode == Mode::Monitor { Mode::Monitor } else { of_source }
    }

    /// The URL of a policy's module.
    pub(super) fn module(&self, policy: &str) -> String {
        module_url(&self.options.registry, policy)
    }

    /// A version of the Pod Security Standards, not newer than the cluster's.
    pub(super) fn version(&self, version: &str) -> String {
        let Some(newest) = self.options.kubernetes else { return version.to_owned() };
        let minor = version.strip_prefix("v1.").and_then(|minor| minor.parse().ok()).unwrap_or(u32::MAX);
        format!("v1.{}", minor.min(newest))
    }

    /// Writes a policy under the name of the scope and that of the part; with its twin if it changes objects, and with that for workloads if there is to be one.
    pub(super) fn policy(&mut self, scope: &Scope, part: &str, of: &Part) {
        let (rules, workloads) = match &scope.objects {
            Objects::Matched(rules) => (rules.clone(), None),
            Objects::PodsAnd(others) => (rules::of_pods(), Some(others.clone())),
            Objects::Pods => (rules::of_pods(), self.options.workloads.then(rules::of_workloads)),
        };
        let rules = rules::of(of.policy, rules);
        if of.evaluates_pods() {
            self.warn_of_cluster(scope);
        }
        let own = object_name(&scope.name);
        let parts: Vec<&str> = ["podfence", &own, part].into_iter().filter(|part| !part.is_empty()).collect();
        let name = self.unique(parts.join("-"));
        let document = self.placed(scope, &name, rules, |placement, this| {
            placement.policy(&Configured {
                policy: of.policy,
                module: this.module(of.policy),
                settings: with_scope(scope, &of.settings),
            })
        });
        let twin = twin(&document).filter(|_| self.mode(scope.mode) == Mode::Protect);
        self.push(scope, document);
        if let Some(mut twin) = twin {
            let name = self.unique(super::text(&twin, "/metadata/name").to_owned());
            twin["metadata"]["name"] = json!(name);
            self.push(scope, twin);
        }
        let Some(rules) = workloads else { return };
        if of.is_mutating() {
            let text = "workloads must set the fields that pods get filled in: a policy that changed a workload would \
                fight with the tool that manages it";
            self.warn(Effect::Stricter, &scope.sources[0], "", text);
        }
        let name = self.unique(format!("{name}-workloads"));
        let document = self.placed(scope, &name, rules, |placement, this| {
            placement.policy(&Configured {
                policy: of.policy,
                module: this.module(of.policy),
                settings: with_scope(scope, &of.as_member),
            })
        });
        self.push(scope, document);
    }

    /// Writes a group, of which one of the alternatives has to let an object pass: each the names of its members.
    pub(super) fn group(&mut self, scope: &Scope, alternatives: &[(String, Vec<Part>)], message: &str) {
        self.warn_of_cluster(scope);
        let (mut members, mut terms) = (BTreeMap::new(), Vec::new());
        for (prefix, parts) in alternatives {
            let mut calls = Vec::new();
            for part in parts {
                let name = unique_member(&members, &member_name(&format!("{prefix}_{}", part.policy)));
                calls.push(format!("{name}()"));
                let settings = with_scope(scope, &part.as_member);
                let module = self.module(part.policy);
                members.insert(name, Configured { policy: part.policy, module, settings });
            }
            terms.push(if calls.len() == 1 { calls.remove(0) } else { format!("({})", calls.join(" && ")) });
        }
        let mut documents = vec![("", rules::of_pods())];
        if self.options.workloads {
            documents.push(("-workloads", rules::of_workloads()));
        }
        for (suffix, rules) in documents {
            let name = self.unique(format!("podfence-{}{suffix}", object_name(&scope.name)));
            let document = self
                .placed(scope, &name, rules, |placement, _| placement.group(&members, &terms.join(" || "), message));
            self.push(scope, document);
        }
    }

    /// Says that a document in mode protect stops the pods of the cluster itself while no server answers.
    fn warn_of_cluster(&mut self, scope: &Scope) {
        if self.mode(scope.mode) != Mode::Protect || !includes_cluster(&scope.namespaces) {
            return;
        }
        let text = "the pods of kube-system are evaluated, as before. While no policy server answers, none can be created \
                    there: add NotIn [kube-system] for kubernetes.io/metadata.name unless you want that";
        scope.sources.iter().for_each(|source| self.warn(Effect::Note, source, "", text));
    }

    /// A document at the place that a scope describes.
    fn placed(
        &self,
        scope: &Scope,
        name: &str,
        rules: Value,
        write: impl FnOnce(&Placement<'_>, &Self) -> Value,
    ) -> Value {
        let namespaces = scope.namespaces.clone();
        let placement = Placement { name, mode: self.mode(scope.mode), rules, namespaces, policy_server: None };
        let mut document = write(&placement, self);
        document["metadata"]["annotations"][MIGRATED_FROM] = json!(listed(&scope.sources));
        let spec = &mut document["spec"];
        if !scope.selected.is_empty() {
            spec["objectSelector"] = json!({"matchExpressions": scope.selected});
        }
        if !scope.conditions.is_empty() {
            spec["matchConditions"] = scope.conditions.iter().map(Condition::written).collect();
        }
        document
    }

    /// Adds a document as it is, for the sources of a scope.
    fn push(&mut self, scope: &Scope, document: Value) {
        self.push_for(&scope.sources, document);
    }

    /// Adds a document as it is.
    pub(super) fn push_for(&mut self, sources: &[String], document: Value) {
        let named = sources.iter().map(|source| row(&mut self.rows, &mut self.migration.sources, source));
        let named: BTreeSet<usize> = named.collect();
        named.into_iter().for_each(|row| self.migration.sources[row].documents += 1);
        self.migration.policies.push(document);
    }

    /// A name that no other policy has: what comes later would replace what has the same.
    pub(super) fn unique(&mut self, name: String) -> String {
        let mut unique = name.clone();
        while self.names.contains_key(&unique) {
            let number = self.names.entry(name.clone()).or_insert(1);
            *number += 1;
            unique = format!("{name}-{number}");
        }
        self.names.insert(unique.clone(), 1);
        unique
    }
}

fn row(rows: &mut HashMap<String, usize>, sources: &mut Vec<Source>, name: &str) -> usize {
    *rows.entry(name.to_owned()).or_insert_with(|| {
        sources.push(Source { name: name.to_owned(), documents: 0, effects: BTreeMap::new() });
        sources.len() - 1
    })
}

/// Whether expressions include the namespace that makes the cluster. It has no labels but its name, unless somebody put
/// them there.
fn includes_cluster(namespaces: &[Value]) -> bool {
    namespaces.iter().all(|expression| {
        let is_listed = expression["values"].as_array().is_some_and(|names| names.iter().any(|name| name == CLUSTER));
        match expression["operator"].as_str() {
            Some("In") => expression["key"] == NAMESPACE_NAME && is_listed,
            Some("NotIn") => expression["key"] != NAMESPACE_NAME || !is_listed,
            operator => operator == Some("DoesNotExist"),
        }
    })
}

/// Settings, with what a scope has to say in them.
fn with_scope(scope: &Scope, settings: &Map<String, Value>) -> Map<String, Value> {
    let mut settings = settings.clone();
    if scope.warns {
        settings.insert(WARN.to_owned(), json!(true));
    }
    for (list, names) in scope.exempt.iter().filter(|(_, names)| !names.is_empty()) {
        let exempt = settings.entry("exempt").or_insert_with(|| Value::Object(object([])));
        exempt[*list] = json!(names);
    }
    settings
}

/// A name as a part of the name of an object.
pub(super) fn object_name(name: &str) -> String {
    let is_allowed = |letter: &char| matches!(letter, 'a'..='z' | '0'..='9' | '-' | '.');
    let name = name.to_ascii_lowercase();
    let name: String =
        name.chars().map(|letter| if is_allowed(&letter) { letter } else { '-' }).take(LONGEST_NAME).collect();
    let name = name.trim_matches(['-', '.']);
    // What stands beside a dot has to be a letter or digit.
    name.split('.').map(|part| part.trim_matches('-')).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
}

/// A name as one that an expression can call.
fn member_name(name: &str) -> String {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name: String = name.chars().map(|letter| if is_allowed(letter) { letter } else { '_' }).collect();
    if name.starts_with(|letter: char| letter.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn unique_member<T>(members: &BTreeMap<String, T>, name: &str) -> String {
    let names = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{name}_{number}")));
    names.into_iter().find(|name| !members.contains_key(name)).expect("numbers do not end")
}
