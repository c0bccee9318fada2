//! Which policies judge, by the arguments and the configuration.

mod documents;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use podfence_cluster::conditions::Conditions;
use podfence_cluster::documents::{Body as DocumentBody, Document};
use podfence_cluster::matching::{Matching, Namespaces};
use podfence_cluster::pod_security::Levels;
use podfence_cluster::published::{self, Published, UnknownPolicy};
use podfence_cluster::validating::Unbound;
use podfence_host::evaluate::SettingsError;
use podfence_host::{Host, Mode};
use podfence_scan::custom_kinds::{self, CustomKind};
use podfence_scan::finding::Severity;
use podfence_scan::request::{Sender, plural};
use podfence_scan::settings::{self, SettingsText};
use podfence_scan::standard::{self, STANDARDS};
use serde_json::{Map, Value, json};

use super::judge::{Body, Judge, Plan, Policy, Run, Standards};
use crate::commands::add_params;
use crate::commands::modules::{Loaded, Places};
use documents::Documents;

/// What the user selects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// The level whose violations are errors: `LEVEL` or `LEVEL:VERSION`.
    pub(crate) enforce: Option<String>,
    /// The level whose violations are warnings.
    pub(crate) warn: Option<String>,
    /// The file that the levels are of; none for arguments.
    pub(crate) levels_of: Option<String>,
    /// Whether the labels of namespaces count.
    pub(crate) namespace_labels: bool,
    /// Documents of policies: files, directories, or `-` for standard input.
    pub(crate) policies: Vec<PathBuf>,
    /// The mode of all policies of documents, whatever they say.
    pub(crate) mode: Option<Mode>,
    /// Parameters of ValidatingAdmissionPolicies: files and directories.
    pub(crate) params: Vec<PathBuf>,
    /// What becomes of those that no binding names.
    pub(crate) unbound: Unbound,
    /// Who creates the objects, if it is somebody in particular.
    pub(crate) user: Option<Sender>,
    /// Single policies.
    pub(crate) policy: Vec<Single>,
    /// Whether the policies of kinds without pods judge as well.
    pub(crate) guards: bool,
    /// A directory of modules.
    pub(crate) modules: Option<PathBuf>,
    /// Leaves out documents of policies that Podfence has no equivalent of.
    pub(crate) skip_unknown: bool,
}

/// A policy by its name.
#[derive(Debug, Clone)]
pub(crate) struct Single {
    /// The name of its module.
    pub(crate) name: String,
    /// None for the defaults.
    pub(crate) settings: Option<Map<String, Value>>,
    /// How much its violations count.
    pub(crate) severity: Severity,
    /// What selects it, as messages name it: `--policy images`, `podfence.yaml: policy.images`.
    pub(crate) origin: String,
}

impl Selection {
    /// Reads the policies and compiles their modules.
    ///
    /// # Errors
    /// A level, a document, a module or settings are wrong, or nothing would be judged.
    pub(crate) fn judge(&self, host: &Host) -> Result<Judge> {
        self.judge_with(host, &Places::new(self.modules.as_deref()))
    }

    fn judge_with(&self, host: &Host, places: &Places) -> Result<Judge> {
        let flags = self.flags()?;
        for single in &self.policy {
            check_name(&single.name, self.modules.is_some()).with_context(|| single.origin.clone())?;
        }
        let mut documents = Documents::read(&self.policies, self.skip_unknown)?;
        documents.bind(self.unbound, self.user.is_some());
        let mut validating = std::mem::take(&mut documents.validating);
        add_params(&mut validating, &self.params)?;
        let is_other = self.namespace_labels || !self.policies.is_empty() || !self.policy.is_empty();
        let has_standards = flags.is_some() || self.namespace_labels || documents.configuration.is_some() || !is_other;

        let mut names: BTreeSet<&str> = documents.policies.iter().flat_map(Document::modules).collect();
        let mut singles = self.policy.clone();
        for Published { policy, .. } in guards().filter(|_| self.guards) {
            if singles.iter().all(|single| single.name != *policy) {
                let origin = format!("--guards: {policy}");
                singles.push(Single { name: (*policy).to_owned(), settings: None, severity: Severity::Error, origin });
            }
        }
        names.extend(singles.iter().map(|single| single.name.as_str()));
        names.extend(has_standards.then_some(STANDARDS));
        let names: Vec<&str> = names.into_iter().collect();
        let modules = places.load(host, &names)?;

        let mut making = Making { modules: &modules, knows_user: self.user.is_some(), notes: documents.notes };
        let mut policies = Vec::new();
        // As an API server asks them: those that change objects first, in the order of their configurations' names.
        let (mut mutating, judging): (Vec<_>, Vec<_>) = documents.policies.into_iter().partition(Document::is_mutating);
        mutating.sort_by(|one, other| one.configuration.cmp(&other.configuration));
        for document in mutating.into_iter().chain(judging) {
            let mode = self.mode.unwrap_or(document.mode);
            policies.push(making.of_document(Document { mode, ..document })?);
        }
        for single in &singles {
            policies.push(making.single(single)?);
        }
        let judges_itself = validating.judging_creations().next().is_some();
        let standards = if has_standards {
            let (defaults, exempt) = documents.configuration.map_or((None, None), |of| (Some(of.defaults), of.exempt));
            let standards = making.standards(flags, defaults, exempt, self.namespace_labels)?;
            let judges_nothing = standards.default.steps.is_empty() && standards.labels.is_none();
            if judges_nothing && policies.is_empty() && !judges_itself {
                bail!("nothing would be judged: the level privileged has no requirements");
            }
            (!judges_nothing).then_some(standards)
        } else {
            None
        };
        if policies.is_empty() && standards.is_none() && !judges_itself {
            let notes: Vec<String> = making.notes.iter().map(|note| format!("\n  {note}")).collect();
            let why = if validating.is_empty() {
                "none of the policies matches a kind that runs pods"
            } else {
                "none of the policies applies to CREATE"
            };
            bail!("nothing would be judged: {why}{}", notes.concat());
        }
        let notes = making.notes;
        Ok(Judge {
            modules,
            policies,
            standards,
            validating,
            namespaces: Namespaces::default(),
            user: self.user.as_ref().map(Sender::user_info),
            notes,
        })
    }

    /// The levels of `--enforce` and `--warn`, if one of them is given.
    fn flags(&self) -> Result<Option<Levels>> {
        let name = |level: &str| match &self.levels_of {
            Some(file) => format!("{file}: {level}"),
            None => format!("--{level}"),
        };
        let (enforce, warn) = (name("enforce"), name("warn"));
        let asked = standard::asked((&enforce, self.enforce.as_deref()), (&warn, self.warn.as_deref()));
        Ok(asked.map_err(anyhow::Error::msg)?.map(|(enforce, warn)| Levels { enforce, warn, ..Levels::default() }))
    }
}

/// The policies of kinds without pods.
pub(super) fn guards() -> impl Iterator<Item = &'static Published> {
    published::all().iter().filter(|of| !of.evaluates_pods())
}

/// What is evaluated if nothing is selected.
fn usual() -> Levels {
    let (enforce, warn) = standard::usual();
    Levels { enforce, warn, ..Levels::default() }
}

/// A name becomes a part of a path, so that it must not be one itself.
fn check_name(name: &str, has_modules: bool) -> Result<()> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let is_name = name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) && name.chars().all(is_letter);
    if is_name && (has_modules || published::find(name).is_some()) {
        return Ok(());
    }
    Err(UnknownPolicy(name.to_owned()).into())
}

fn with_custom_kinds(settings: &Map<String, Value>) -> Map<String, Value> {
    let kinds: Vec<&CustomKind> = custom_kinds::projects().flat_map(|(_, kinds)| kinds).collect();
    let mut settings = settings.clone();
    custom_kinds::add_to_settings(&kinds, &mut settings);
    settings
}

/// The rules that send the kinds of the setting `podSpecPaths` to a policy, which does not ask for versions.
fn rules_of_given_kinds(settings: &Map<String, Value>) -> Vec<Value> {
    let entries = settings.get("podSpecPaths").and_then(Value::as_array).into_iter().flatten();
    let rule = |entry: &Value| {
        let (group, kind) = (entry["group"].as_str()?, entry["kind"].as_str()?);
        Some(json!({
            "apiGroups": [group],
            "apiVersions": ["*"],
            "resources": [plural(kind)],
            "operations": ["CREATE"],
        }))
    };
    entries.filter_map(rule).collect()
}

/// Makes what judges of what is selected, with the modules.
struct Making<'m> {
    modules: &'m [Loaded],
    /// Whether it was said who creates the objects.
    knows_user: bool,
    notes: Vec<String>,
}

impl Making<'_> {
    fn index(&self, name: &str) -> usize {
        self.modules.iter().position(|of| of.name == name).expect("all modules that are selected were loaded")
    }

    fn of_document(&mut self, document: Document) -> Result<Policy> {
        let modules = self.modules;
        let loaded = document.deploy(|name| anyhow::Ok(modules[self.index(name)].module.clone()))?;
        loaded.validate_settings()?;
        let Document { name: title, matching, conditions, mode, body, warnings, .. } = document;
        let warnings = warnings.into_iter().chain(conditions.warnings(self.knows_user));
        self.notes.extend(warnings.map(|warning| format!("{title}: {warning}")));
        let mut run = |run: podfence_cluster::documents::Run, is_mutating| {
            let settings = self.without_requesters(&title, run.settings);
            Run { module: self.index(&run.module), settings: SettingsText::plain(&settings), is_mutating }
        };
        let (name, body) = match body {
            DocumentBody::Policy { run: of, mutating, message } => {
                (of.module.clone(), Body::Module { run: run(of, mutating), message })
            }
            DocumentBody::Group { members, expression, message } => {
                let members = members.into_iter().map(|(name, of)| (name, run(of, false))).collect();
                let name = title.split_once('/').map_or(title.as_str(), |(_, name)| name);
                (name.to_owned(), Body::Group { members, expression, message })
            }
        };
        let severity = match mode {
            Mode::Protect => Severity::Error,
            Mode::Monitor => Severity::Warning,
        };
        Ok(Policy { name, document: Some(title), severity, matching, conditions, has_custom_kinds: false, body })
    }

    fn single(&mut self, single: &Single) -> Result<Policy> {
        let origin = single.origin.clone();
        let given = single.settings.clone().unwrap_or_default();
        let module = self.index(&single.name);
        // Another project's policy may not have the setting, and those of objects without pods have none.
        let has_custom_kinds = published::find(&single.name).is_some_and(Published::evaluates_pods);
        let all = if has_custom_kinds { with_custom_kinds(&given) } else { given.clone() };
        self.validate(&origin, module, all)?;
        let loaded = &self.modules[module];
        let usual = || published::find(STANDARDS).map(|of| of.rules.clone());
        let mut rules = loaded.rules.clone().or_else(usual).unwrap_or_default();
        if let Some(rules) = rules.as_array_mut() {
            rules.extend(rules_of_given_kinds(&given));
        }
        let matching = Matching::of_rules(&rules).map_err(|problem| anyhow!("{origin}: {problem}"))?;
        let settings = self.without_requesters(&origin, given);
        let text = if has_custom_kinds { SettingsText::with_custom_kinds } else { SettingsText::plain };
        let settings = text(&settings);
        Ok(Policy {
            name: single.name.clone(),
            document: None,
            severity: single.severity,
            matching,
            conditions: Conditions::default(),
            has_custom_kinds,
            body: Body::Module { run: Run { module, settings, is_mutating: true }, message: None },
        })
    }

    fn standards(
        &mut self,
        flags: Option<Levels>,
        configured: Option<Levels>,
        exempt: Option<Value>,
        namespace_labels: bool,
    ) -> Result<Standards> {
        let module = self.index(STANDARDS);
        let rules = self.modules[module].rules.clone().unwrap_or_default();
        let matching = Matching::of_rules(&rules).map_err(anyhow::Error::msg)?;
        let exempt = exempt.map(|exempt| Map::from_iter([("exempt".to_owned(), exempt)]));
        let exempt = exempt.and_then(|of| self.without_requesters("the AdmissionConfiguration", of).remove("exempt"));
        if let Some(exempt) = &exempt {
            self.validate(
                "the AdmissionConfiguration",
                module,
                Map::from_iter([("exempt".to_owned(), exempt.clone())]),
            )?;
        }
        let unlabelled = flags.or_else(|| configured.clone()).unwrap_or_else(usual);
        let default = Arc::new(Plan::new(unlabelled.clone(), exempt.as_ref(), module));
        let labels = namespace_labels.then(|| [configured.unwrap_or_default(), unlabelled]);
        Ok(Standards { module, matching, exempt, default, labels, namespaces: HashMap::new() })
    }

    /// Takes out exemptions of users and groups, unless it was said who creates the objects: a file has neither.
    fn without_requesters(&mut self, origin: &str, mut settings: Map<String, Value>) -> Map<String, Value> {
        if self.knows_user {
            return settings;
        }
        self.notes.extend(settings::take_out_requesters(&mut settings).map(|note| format!("{origin}: {note}")));
        settings
    }

    fn validate(&self, origin: &str, module: usize, settings: Map<String, Value>) -> Result<()> {
        self.modules[module]
            .validate_settings(settings)
            .map_err(|error| match error {
                SettingsError::Call(error) => anyhow!("settings cannot be validated: {}", error.reason()),
                error => anyhow!("settings: {error}"),
            })
            .with_context(|| origin.to_owned())
    }
}

#[cfg(test)]
mod tests;
