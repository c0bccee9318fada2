//! What the built-in admission was told, by the labels of namespaces and by its configuration.
//!
//! Policies select namespaces by the labels themselves, so that a few stand for any number of namespaces, and those that
//! are labelled later are covered.

use std::collections::{BTreeMap, BTreeSet};

use podfence_host::Mode;
use podfence_scan::standard::{LATEST, is_version};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::conditions::{expression, is_label_value, namespaces as of_names};
use super::embedded;
use super::write::{Objects, Part, STANDARDS, Scope, Writer};
use super::{Effect, Named, is_exemption, labels_of, read::read, rules, text};
use crate::gatekeeper::object;
use crate::pod_security::{Levels, Standard};
use crate::standards::Level;

pub(crate) const PREFIX: &str = "pod-security.kubernetes.io/";

/// A mode, and what it judges.
pub(crate) const MODES: [&str; 3] = ["enforce", "audit", "warn"];

/// `PodSecurityConfiguration`.
#[derive(Deserialize, Default)]
#[serde(expecting = "a PodSecurityConfiguration")]
struct Configuration {
    defaults: Option<Map<String, Value>>,
    exemptions: Option<Exemptions>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", expecting = "exemptions")]
struct Exemptions {
    usernames: Option<Vec<String>>,
    namespaces: Option<Vec<String>>,
    runtime_classes: Option<Vec<String>>,
}

/// Whether a document is the plugin's configuration, or holds it.
pub(crate) fn is_configuration(version: &str, kind: &str) -> bool {
    let (group, _) = version.split_once('/').unwrap_or_default();
    matches!(
        (group, kind),
        ("pod-security.admission.config.k8s.io", "PodSecurityConfiguration")
            | ("apiserver.config.k8s.io", "AdmissionConfiguration")
    )
}

/// The plugin's configuration in a document, and its path.
fn plugin(document: &Value) -> Option<(&Value, String)> {
    if document["kind"] == "PodSecurityConfiguration" {
        return Some((document, String::new()));
    }
    let plugins = document["plugins"].as_array()?;
    let index = plugins.iter().position(|plugin| plugin["name"] == "PodSecurity")?;
    Some((&plugins[index]["configuration"], format!("plugins[{index}].configuration.")))
}

/// Who and what is not judged, as the setting `exempt`; none where nobody is exempt.
pub(crate) fn exemptions(document: &Value) -> Option<Value> {
    let (configuration, _) = plugin(document)?;
    let (Configuration { exemptions, .. }, _) = read(configuration).ok()?;
    let Exemptions { usernames, namespaces, runtime_classes } = exemptions?;
    let lists = [("users", usernames), ("namespaces", namespaces), ("runtimeClasses", runtime_classes)];
    let given = lists.into_iter().filter_map(|(name, list)| Some((name.to_owned(), json!(list?))));
    let exempt: Map<String, Value> = given.filter(|(_, list)| list != &json!([])).collect();
    (!exempt.is_empty()).then_some(Value::Object(exempt))
}

/// The defaults of a configuration, valid.
pub(crate) struct Defaults {
    /// By mode, and by mode with `-version`.
    pub(crate) defaults: Map<String, Value>,
    /// Where the configuration is in the document, with a dot at its end if it is not the document.
    path: String,
    /// Fields that are not known, and of what.
    unknown: Vec<(String, &'static str)>,
}

/// Reads the defaults in the plugin's configuration; `None` if the document does not hold it.
///
/// # Errors
/// The configuration is in another file, or is not one that the API server starts with.
pub(crate) fn defaults(document: &Value) -> Result<Option<Defaults>, String> {
    let Some((configuration, path)) = plugin(document) else { return Ok(None) };
    if configuration.is_null() {
        let plugin = path.trim_end_matches(".configuration.");
        let file = document["plugins"].as_array().into_iter().flatten().find(|of| of["name"] == "PodSecurity");
        return Err(match file.and_then(|of| of["path"].as_str()) {
            Some(file) => format!("{plugin}.path: the configuration is in {file}: migrate that file"),
            None => format!("{plugin}: expected a configuration"),
        });
    }
    let (read, fields): (Configuration, _) = read(configuration).map_err(|problem| format!("{path}{problem}"))?;
    let fields = fields.iter().filter(|field| !matches!(field.as_str(), "apiVersion" | "kind"));
    let mut unknown: Vec<_> = fields.map(|field| (format!("{path}{field}"), "PodSecurityConfiguration")).collect();
    let mut defaults = read.defaults.unwrap_or_default();
    for (key, value) in &defaults {
        let field = format!("{path}defaults.{key}");
        let is_right = match (key.strip_suffix("-version").unwrap_or(key), value.as_str()) {
            (mode, _) if !MODES.contains(&mode) => {
                unknown.push((field, "the defaults"));
                continue;
            }
            (_, Some(version)) if key.ends_with("-version") => is_version(version),
            (_, level) => matches!(level, Some("privileged" | "baseline" | "restricted")),
        };
        if !is_right {
            let expected =
                if key.ends_with("-version") { "latest or v1.x" } else { "privileged, baseline or restricted" };
            return Err(format!("{field}: expected {expected}, found {value}"));
        }
    }
    defaults.retain(|key, _| MODES.contains(&key.strip_suffix("-version").unwrap_or(key)));
    Ok(Some(Defaults { defaults, path, unknown }))
}

/// Writes the policies of labels and of the defaults of a configuration.
pub(super) fn migrate(
    configurations: &[embedded::Configuration<'_>],
    namespaces: &[Named<'_>],
    writer: &mut Writer<'_>,
) {
    let configured = configured(configurations, writer);
    let mut labelled = Vec::new();
    for (origin, document) in namespaces {
        match Namespace::read(origin, document, configured.as_ref()) {
            Ok(namespace) => labelled.push(namespace),
            Err(problem) => writer.warn(Effect::LeftOut, origin, "", &problem),
        }
    }
    if configured.is_none() && !labelled.iter().any(|of| Levels::are_in(&of.labels)) {
        for of in &labelled {
            let text = "no label of Pod Security, so the API server's configuration decides; migrate that file";
            writer.warn(Effect::Note, &of.origin, "", text);
        }
        return;
    }
    let labels = Labels { configured: configured.as_ref(), namespaces: &labelled };
    writer.sources(&labels.title(), &labels.sources());
    labels.warn(writer);
    labels.write(writer);
}

/// A namespace as the built-in admission sees it.
struct Namespace {
    origin: String,
    labels: BTreeMap<String, String>,
    levels: Levels,
    /// What is wrong with the labels.
    problems: Vec<String>,
}

impl Namespace {
    fn read(origin: &str, document: &Value, configured: Option<&Configured>) -> Result<Namespace, String> {
        let labels = labels_of(document)?;
        let defaults = configured.map_or_else(Levels::default, |of| of.defaults.clone());
        let (levels, problems) = Levels::of_labels(&labels, &defaults);
        if text(document, "/metadata/name").is_empty() {
            return Err("metadata.name: expected a name".to_owned());
        }
        Ok(Namespace { origin: origin.to_owned(), labels, levels, problems })
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(&format!("{PREFIX}{key}")).map(String::as_str)
    }

    fn standard(&self, mode: &str) -> &Standard {
        of_mode(&self.levels, mode)
    }

    /// Whether it warns only because it enforces.
    fn warns_implicitly(&self, defaults: &Levels) -> bool {
        self.label("warn").is_none() && self.levels.warn.level > defaults.warn.level
    }
}

fn of_mode<'l>(levels: &'l Levels, mode: &str) -> &'l Standard {
    match mode {
        "enforce" => &levels.enforce,
        "audit" => &levels.audit,
        _ => &levels.warn,
    }
}

/// The configuration that counts.
struct Configured {
    origin: String,
    defaults: Levels,
    /// Who and what is exempt, by the lists of the setting.
    exempt: BTreeMap<&'static str, Vec<String>>,
    /// The namespaces that are.
    namespaces: Vec<String>,
}

/// Reads the configurations. An API server has one; of several that differ, the first one counts.
fn configured(configurations: &[embedded::Configuration<'_>], writer: &mut Writer<'_>) -> Option<Configured> {
    let mut first: Option<Configured> = None;
    for embedded::Configuration { origin, document } in configurations {
        let others = document["plugins"].as_array().into_iter().flatten().enumerate();
        for (index, other) in others.filter(|(_, other)| other["name"] != "PodSecurity") {
            let text = format!("skipped: podfence cannot migrate the plugin {}", other["name"]);
            writer.warn(Effect::Note, origin, &format!("plugins[{index}]"), &text);
        }
        let read = match defaults(document) {
            Ok(Some(read)) => read,
            Ok(None) => {
                writer.warn(Effect::Note, origin, "plugins", "no plugin PodSecurity, so there is nothing to migrate");
                continue;
            }
            Err(problem) => {
                writer.warn(Effect::LeftOut, origin, "", &problem);
                continue;
            }
        };
        for (field, of) in &read.unknown {
            writer.warn(Effect::Note, origin, field, &format!("unknown field of {of}; it is left out"));
        }
        let configured = Configured::new(origin, document, &read, writer);
        match &first {
            None => first = Some(configured),
            Some(first) if first.decides_as(&configured) => {}
            Some(first) => {
                let text = format!("differs from {}, which is used; migrate each cluster by itself", first.origin);
                writer.warn(Effect::LeftOut, origin, "", &text);
            }
        }
    }
    first
}

impl Configured {
    fn new(origin: &str, document: &Value, read: &Defaults, writer: &mut Writer<'_>) -> Configured {
        let given = |key: &str| read.defaults.get(key).and_then(Value::as_str);
        let standard = |mode: &str| Standard {
            level: given(mode).and_then(|level| Level::ALL.into_iter().find(|of| of.name() == level)),
            version: given(&format!("{mode}-version")).unwrap_or(LATEST).to_owned(),
        };
        let exempt = exemptions(document).unwrap_or_default();
        let mut lists = BTreeMap::new();
        for list in ["users", "runtimeClasses"] {
            let names = exempt[list].as_array().into_iter().flatten().filter_map(Value::as_str);
            let (kept, others): (Vec<&str>, Vec<&str>) =
                names.partition(|name| is_exemption(name) && !name.contains('*'));
            for other in others.into_iter().filter(|other| !other.is_empty()) {
                let text = format!("{other:?} has a `*`, which is a pattern in Podfence; it is not exempt");
                writer.warn(Effect::Stricter, origin, &format!("{}exemptions", read.path), &text);
            }
            lists.insert(list, kept.into_iter().map(str::to_owned).collect());
        }
        let names = exempt["namespaces"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Configured {
            origin: origin.to_owned(),
            defaults: Levels { enforce: standard("enforce"), audit: standard("audit"), warn: standard("warn") },
            exempt: lists,
            namespaces: names.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        }
    }

    fn decides_as(&self, other: &Configured) -> bool {
        (&self.defaults, &self.exempt, &self.namespaces) == (&other.defaults, &other.exempt, &other.namespaces)
    }
}

/// All that is known of the labels.
struct Labels<'l> {
    configured: Option<&'l Configured>,
    namespaces: &'l [Namespace],
}

/// A version of a level, and the expression that selects the namespaces that ask for it.
struct Version {
    version: String,
    expression: Option<Value>,
}

impl Labels<'_> {
    fn defaults(&self) -> Levels {
        self.configured.map_or_else(Levels::default, |of| of.defaults.clone())
    }

    fn warn(&self, writer: &mut Writer<'_>) {
        for of in self.namespaces {
            for problem in &of.problems {
                let text = format!("{problem}; it is read as the built-in admission reads it");
                writer.warn(Effect::Note, &of.origin, "", &text);
            }
        }
        match self.configured {
            None => {
                let text = "who is exempt, and the level of namespaces without labels, are in the API server's \
                            AdmissionConfiguration; migrate it together with the namespaces if there is one";
                self.namespaces.iter().for_each(|of| writer.warn(Effect::Note, &of.origin, "", text));
            }
            Some(configured) if self.namespaces.is_empty() => {
                let text = "a policy for each level selects the namespaces that are labelled with it. Versions in labels \
                            are unknown: migrate the namespaces as well if some have one: kubectl get ns -o yaml";
                writer.warn(Effect::Note, &configured.origin, "", text);
            }
            Some(_) => {}
        }
        let text = "only Pods are rejected, as before; --workloads adds Deployments and other workloads";
        if !writer.options.workloads
            && let Some(source) = self.sources().first()
        {
            writer.warn(Effect::Note, source, "", text);
        }
    }

    /// The sources of all documents; the labels come first.
    fn sources(&self) -> Vec<String> {
        let namespaces = self.namespaces.iter().map(|of| of.origin.clone());
        namespaces.chain(self.configured.map(|of| of.origin.clone())).collect()
    }

    /// Those that ask for a level; all of them where nothing does yet.
    fn sources_of(&self, mode: &str, level: Level) -> Vec<String> {
        let asking = self.namespaces.iter().filter(|of| self.level_of(of, mode) == Some(level));
        let configured = self.configured.map(|of| of.origin.clone());
        let sources: Vec<String> = asking.map(|of| of.origin.clone()).chain(configured).collect();
        if sources.is_empty() { self.sources() } else { sources }
    }

    /// What the table calls them: they are migrated as one.
    fn title(&self) -> String {
        let namespaces = match self.namespaces {
            [] => None,
            [one] => Some(one.origin.clone()),
            many => Some(format!("labels of {} namespaces", many.len())),
        };
        let parts: Vec<String> = self.configured.map(|of| of.origin.clone()).into_iter().chain(namespaces).collect();
        parts.join(", ")
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let has = |mode: &str| self.configured.is_some() || self.namespaces.iter().any(|of| of.label(mode).is_some());
        for level in Level::ALL {
            for version in has("enforce").then(|| self.versions("enforce", level, writer)).into_iter().flatten() {
                self.document("enforce", level, &version, writer);
            }
        }
        self.write_implicit_warnings(writer);
        for level in Level::ALL {
            for version in has("warn").then(|| self.versions("warn", level, writer)).into_iter().flatten() {
                self.document("warn", level, &version, writer);
            }
        }
        if !has("audit") {
            return;
        }
        if self.audits_as_it_warns() {
            let text = "audit is not stricter than warn, so the policies that warn serve both; they select namespaces \
                by the label of warn";
            return self.sources().iter().for_each(|source| writer.warn(Effect::Note, source, "", text));
        }
        for level in Level::ALL {
            for version in self.versions("audit", level, writer) {
                self.document("audit", level, &version, writer);
            }
        }
    }

    /// The built-in admission warns of workloads where pods are rejected, unless a label says how to warn.
    fn write_implicit_warnings(&self, writer: &mut Writer<'_>) {
        let defaults = self.defaults();
        if writer.options.workloads {
            return;
        }
        for level in Level::ALL.into_iter().filter(|level| Some(*level) > defaults.warn.level) {
            let is_implied = |of: &&Namespace| of.warns_implicitly(&defaults) && of.levels.warn.level == Some(level);
            let implied: Vec<&Namespace> = self.namespaces.iter().filter(is_implied).collect();
            if implied.is_empty() && !self.is_of_unknown_labels() {
                continue;
            }
            // A version of its own counts for the warnings, a level or not.
            let mut own: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for (of, label) in implied.iter().filter_map(|of| Some((of, of.label("warn-version")?))) {
                own.entry(&of.levels.warn.version).or_default().insert(label);
            }
            let warn_version = format!("{PREFIX}warn-version");
            for mut version in self.versions("enforce", level, writer) {
                let expressions = version.expression.take().into_iter();
                let without = (!own.is_empty()).then(|| expression(&warn_version, "DoesNotExist", [""; 0]));
                let selected = implied.iter().filter(|of| of.label("warn-version").is_none());
                let sources = self.warned(selected, level, &version.version);
                self.implicit_warning(level, &version.version, expressions.chain(without), sources, writer);
            }
            for (version, labels) in &own {
                let labels = labels.iter().copied().filter(|label| is_label_value(label));
                let expressions = [expression(&warn_version, "In", labels)];
                let sources =
                    self.warned(implied.iter().filter(|of| of.label("warn-version").is_some()), level, version);
                self.implicit_warning(level, version, expressions, sources, writer);
            }
        }
    }

    /// Whether the labels of the namespaces are not in the input, so that any may be there.
    fn is_of_unknown_labels(&self) -> bool {
        self.configured.is_some() && self.namespaces.is_empty()
    }

    /// The sources of a document: those of these namespaces that are warned by a version; where none is yet, those that ask
    /// for the version.
    fn warned<'n>(
        &self,
        namespaces: impl Iterator<Item = &'n &'n Namespace>,
        level: Level,
        version: &str,
    ) -> Vec<String> {
        let mut warned: Vec<&Namespace> = namespaces.filter(|of| of.levels.warn.version == version).copied().collect();
        if warned.is_empty() {
            let asks = |of: &&Namespace| of.levels.enforce.level == Some(level) && of.levels.enforce.version == version;
            warned = self.namespaces.iter().filter(asks).collect();
        }
        let origins = warned.iter().map(|of| of.origin.clone());
        let sources: Vec<String> = origins.chain(self.configured.map(|of| of.origin.clone())).collect();
        if sources.is_empty() { self.sources() } else { sources }
    }

    fn implicit_warning(
        &self,
        level: Level,
        version: &str,
        expressions: impl IntoIterator<Item = Value>,
        sources: Vec<String>,
        writer: &mut Writer<'_>,
    ) {
        let of = Version { version: version.to_owned(), expression: None };
        let mut scope = self.scope("enforce", level, &of, writer);
        scope.sources = sources;
        scope.name = scope.name.replacen("enforce-", "warn-enforced-", 1);
        scope.mode = Mode::Monitor;
        scope.warns = true;
        scope.objects = Objects::Matched(rules::of_workloads());
        // What is not a level, and what is only the default, does not count.
        scope.namespaces[0] = expression(&format!("{PREFIX}enforce"), "In", [level.name()]);
        scope.namespaces.push(expression(&format!("{PREFIX}warn"), "DoesNotExist", [""; 0]));
        scope.namespaces.extend(expressions);
        writer.policy(&scope, "", &standard(level, version, writer));
    }

    /// Whether one policy serves both modes.
    fn audits_as_it_warns(&self) -> bool {
        let is_same = |levels: &Levels| {
            levels.audit == levels.warn || levels.audit.level.is_none() && levels.warn.level.is_none()
        };
        let is_said = |of: &Namespace| of.label("warn").is_some() || self.configured.is_some();
        !self.is_of_unknown_labels()
            && self.configured.is_none_or(|of| is_same(&of.defaults))
            && self
                .namespaces
                .iter()
                .filter(|of| of.levels.audit.level.is_some())
                .all(|of| is_said(of) && !of.warns_implicitly(&self.defaults()) && is_same(&of.levels))
    }

    /// The level that a mode has in a namespace by its own label or by default.
    fn level_of(&self, namespace: &Namespace, mode: &str) -> Option<Level> {
        match namespace.label(mode) {
            None => of_mode(&self.defaults(), mode).level,
            Some(_) => namespace.standard(mode).level,
        }
    }

    /// The expression that selects the namespaces of a level.
    fn level_expression(&self, mode: &str, level: Level) -> Value {
        let key = format!("{PREFIX}{mode}");
        let known = ["privileged", "baseline", "restricted"];
        // The built-in admission takes what is not a level for restricted where it rejects, and for privileged
        // elsewhere.
        let wrong: BTreeSet<&str> = self
            .namespaces
            .iter()
            .filter_map(|of| of.label(mode))
            .filter(|value| !known.contains(value) && is_label_value(value))
            .collect();
        let is_wrong_one_of_it = mode == "enforce" && level == Level::Restricted;
        if of_mode(&self.defaults(), mode).level == Some(level) {
            let others = known.into_iter().filter(|name| *name != level.name());
            let wrong = wrong.into_iter().filter(|_| !is_wrong_one_of_it);
            return expression(&key, "NotIn", others.chain(wrong));
        }
        let wrong = wrong.into_iter().filter(|_| is_wrong_one_of_it);
        expression(&key, "In", std::iter::once(level.name()).chain(wrong))
    }

    /// The versions of a level that are asked for. The first one is for all labels that ask for no other.
    fn versions(&self, mode: &str, level: Level, writer: &mut Writer<'_>) -> Vec<Version> {
        let key = format!("{mode}-version");
        let asking: Vec<&Namespace> =
            self.namespaces.iter().filter(|of| self.level_of(of, mode) == Some(level)).collect();
        let version_of = |label: &str| if is_version(label) { label.to_owned() } else { LATEST.to_owned() };
        let mut asked: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for label in asking.iter().filter_map(|of| of.label(&key)).filter(|label| is_label_value(label)) {
            asked.entry(version_of(label)).or_default().insert(label);
        }
        let is_unversioned = asking.is_empty() || asking.iter().any(|of| of.label(&key).is_none());
        let base = match self.configured {
            Some(_) => of_mode(&self.defaults(), mode).version.clone(),
            None if is_unversioned || asked.contains_key(LATEST) => LATEST.to_owned(),
            None => asked.keys().max_by_key(|version| minor(version)).cloned().unwrap_or_else(|| LATEST.to_owned()),
        };
        asked.remove(&base);
        if base != LATEST && self.configured.is_none() {
            let text = format!(
                "namespaces that are labelled {} {} later are evaluated by {base}, whatever their version",
                mode,
                level.name()
            );
            asking.iter().for_each(|of| writer.warn(Effect::Note, &of.origin, "", &text));
        }
        let key = format!("{PREFIX}{key}");
        let others: BTreeSet<&str> = asked.values().flatten().copied().collect();
        let expression_of_base = (!others.is_empty()).then(|| expression(&key, "NotIn", others));
        let mut versions = vec![Version { version: base, expression: expression_of_base }];
        versions.extend(
            asked
                .into_iter()
                .map(|(version, labels)| Version { version, expression: Some(expression(&key, "In", labels)) }),
        );
        versions
    }

    fn scope(&self, mode: &str, level: Level, version: &Version, writer: &Writer<'_>) -> Scope {
        let mut name = format!("{mode}-{}", level.name());
        if version.version != LATEST {
            name.push_str(&format!("-{}", writer.version(&version.version)));
        }
        let mut scope = Scope::new(self.sources_of(mode, level), &name);
        scope.namespaces.push(self.level_expression(mode, level));
        scope.namespaces.extend(version.expression.clone());
        if let Some(configured) = self.configured {
            scope.exempt = configured.exempt.clone();
            if !configured.namespaces.is_empty() {
                scope.namespaces.extend(of_names("NotIn", &configured.namespaces));
            }
        }
        scope
    }

    fn document(&self, mode: &str, level: Level, version: &Version, writer: &mut Writer<'_>) {
        let mut scope = self.scope(mode, level, version, writer);
        if mode != "enforce" {
            scope.mode = Mode::Monitor;
            scope.warns = mode == "warn";
            scope.objects = Objects::Matched(rules::of_all());
        }
        writer.policy(&scope, "", &standard(level, &version.version, writer));
    }
}

fn minor(version: &str) -> u32 {
    version.strip_prefix("v1.").and_then(|minor| minor.parse().ok()).unwrap_or(u32::MAX)
}

fn standard(level: Level, version: &str, writer: &Writer<'_>) -> Part {
    let version = writer.version(version);
    Part::new(STANDARDS, object([("level", json!(level.name())), ("version", json!(version))]))
}
