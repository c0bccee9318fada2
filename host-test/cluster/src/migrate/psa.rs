//! What the built-in admission was told, by the labels of namespaces and by its configuration.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{NO_WARNINGS, Outcome, labels_of, read::read};

pub(crate) const PREFIX: &str = "pod-security.kubernetes.io/";
const POLICY: &str = "pod-security-standards";

/// A mode, and what it judges.
pub(crate) const MODES: [&str; 3] = ["enforce", "audit", "warn"];

/// Writes the policies of a namespace's labels.
///
/// # Errors
/// Labels are no strings.
pub(super) fn namespace(document: &Value, outcome: &mut Outcome<'_>) -> Result<bool, String> {
    let labels: BTreeMap<&str, &str> = labels_of(document)?.into_iter().collect();
    let name = outcome.document_name.to_owned();
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
    let mut levels = Map::new();
    for mode in MODES {
        for key in [mode.to_owned(), format!("{mode}-version")] {
            if let Some(value) = labels.get(format!("{PREFIX}{key}").as_str()) {
                levels.insert(key, json!(value));
            }
        }
    }
    if levels.is_empty() {
        outcome.warn("metadata.labels", "no label of Pod Security; what counts is the API server's default");
        return Ok(false);
    }
    for mode in MODES {
        let path = format!("metadata.labels[\"{PREFIX}{mode}\"]");
        let version = version_of(&levels, mode, &format!("metadata.labels[\"{PREFIX}{mode}-version\"]"), outcome);
        match levels.get(mode).and_then(Value::as_str) {
            Some("privileged") => {}
            Some(level @ ("baseline" | "restricted")) => outcome.level(mode, level, &version, &selector, &path),
            Some(wrong) if mode == "enforce" => {
                outcome.warn(&path, &format!("no level: {wrong:?}; the built-in admission takes it for restricted"));
                outcome.level(mode, "restricted", &version, &selector, &path);
            }
            Some(wrong) => {
                outcome.warn(&path, &format!("no level: {wrong:?}; the built-in admission takes it for privileged"));
            }
            None if levels.contains_key(&format!("{mode}-version")) => outcome.warn(
                &format!("metadata.labels[\"{PREFIX}{mode}-version\"]"),
                "without a level it counts for the API server's default; it is left out",
            ),
            None => {}
        }
    }
    outcome.configuration_is_missing();
    Ok(true)
}

/// The version beside a level. One that is none is the latest, as the built-in admission has it.
fn version_of(levels: &Map<String, Value>, mode: &str, path: &str, outcome: &mut Outcome<'_>) -> String {
    match levels.get(&format!("{mode}-version")).and_then(Value::as_str) {
        None => "latest".to_owned(),
        Some(version) if is_version(version) => version.to_owned(),
        Some(wrong) => {
            outcome.warn(path, &format!("no version: {wrong:?}; the built-in admission takes it for latest"));
            "latest".to_owned()
        }
    }
}

pub(crate) fn is_version(version: &str) -> bool {
    let minor = version.strip_prefix("v1.").unwrap_or_default();
    let is_number = minor.bytes().all(|digit| digit.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    version == "latest" || !minor.is_empty() && minor.len() <= 9 && is_number
}

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
        return Err(format!(
            "{}: expected the configuration itself; migrate the file at `path`",
            path.trim_end_matches('.')
        ));
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

/// Writes the policies of the defaults, for namespaces that have no label.
///
/// # Errors
/// The configuration is in another file, or is not one that the API server starts with.
pub(super) fn configuration(document: &Value, outcome: &mut Outcome<'_>) -> Result<bool, String> {
    for (index, other) in document["plugins"].as_array().into_iter().flatten().enumerate() {
        if other["name"] != "PodSecurity" {
            outcome.warn(&format!("plugins[{index}]"), &format!("plugin {} is left out", other["name"]));
        }
    }
    let Some(Defaults { defaults, path, unknown }) = defaults(document)? else {
        outcome.warn("plugins", "no plugin PodSecurity, so there is nothing to migrate");
        return Ok(false);
    };
    for (field, of) in unknown {
        outcome.warn(&field, &format!("no field of {of}; it is left out"));
    }
    outcome.warn(
        &format!("{path}defaults"),
        "counts where a namespace has no label of that mode; migrate the namespaces that have one as well",
    );
    for mode in MODES {
        let Some(level @ ("baseline" | "restricted")) = defaults.get(mode).and_then(Value::as_str) else { continue };
        let version = defaults.get(&format!("{mode}-version")).and_then(Value::as_str).unwrap_or("latest");
        let selector = json!({"matchExpressions": [{"key": format!("{PREFIX}{mode}"), "operator": "DoesNotExist"}]});
        outcome.level(mode, level, version, &selector, &format!("{path}defaults.{mode}"));
    }
    Ok(true)
}

impl Outcome<'_> {
    /// Adds the policy of a level: one that denies for `enforce`, and else one that lets everything pass.
    fn level(&mut self, mode: &str, level: &str, version: &str, namespaces: &Value, path: &str) {
        let mut settings = json!({"level": level, "version": version});
        if let Some(exempt) = self.exempt {
            settings["exempt"] = exempt.clone();
        }
        if mode == "enforce" {
            self.pods_only("the built-in admission denied");
            let document = self.document(POLICY, settings);
            document["spec"]["namespaceSelector"] = namespaces.clone();
            return;
        }
        let text = match mode {
            "audit" => "in mode monitor, the API server's audit log has the violations in annotations of Kubewarden's",
            _ => NO_WARNINGS,
        };
        self.warn(path, text);
        let document = self.document_for(&format!("{POLICY}-{mode}"), POLICY, settings, true);
        document["spec"]["mode"] = json!("monitor");
        document["spec"]["namespaceSelector"] = namespaces.clone();
    }

    /// Says once that a configuration may belong to namespaces.
    fn configuration_is_missing(&mut self) {
        if !self.has_configuration {
            self.warn_once(
                "",
                "who is exempt, and the level of namespaces without labels, are in the API server's \
                 AdmissionConfiguration; migrate it together with the namespaces if there is one",
            );
        }
    }
}
