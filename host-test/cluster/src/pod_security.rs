//! Which levels the built-in PodSecurity admission evaluates in a namespace: by its labels, and by the configuration
//! of the API server.

use std::collections::BTreeMap;

pub use podfence_scan::standard::Standard;
use podfence_scan::standard::{LATEST, Level, is_version, level};
use serde_json::Value;

use crate::migrate::psa::{self, PREFIX};

/// What is evaluated in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    /// What is rejected.
    pub enforce: Standard,
    /// What the audit log gets to know.
    pub audit: Standard,
    /// What a user gets to know.
    pub warn: Standard,
}

impl Default for Levels {
    /// What an API server without configuration evaluates: nothing.
    fn default() -> Self {
        let privileged = || Standard::latest(None);
        Self { enforce: privileged(), audit: privileged(), warn: privileged() }
    }
}

impl Levels {
    /// Reads the labels of a namespace. What they do not say is as in `defaults`; what they say wrongly is as the
    /// built-in admission takes it: `enforce` is restricted, the others are privileged, a version is the latest.
    ///
    /// Also returns what is wrong, in the words of the built-in admission, which refuses a new namespace for it.
    pub fn of_labels(labels: &BTreeMap<String, String>, defaults: &Levels) -> (Levels, Vec<String>) {
        let (mut levels, mut problems) = (defaults.clone(), Vec::new());
        let mut has_enforce = false;
        for (mode, standard) in
            [("enforce", &mut levels.enforce), ("audit", &mut levels.audit), ("warn", &mut levels.warn)]
        {
            let mut wrong = |key: &str, value: &str, expected: &str| {
                problems.push(format!("metadata.labels[{key}]: Invalid value: {value:?}: {expected}"));
            };
            let key = format!("{PREFIX}{mode}");
            if let Some(name) = labels.get(&key) {
                standard.level = level(name).unwrap_or_else(|| {
                    wrong(&key, name, "must be one of privileged, baseline, restricted");
                    (mode == "enforce").then_some(Level::Restricted)
                });
                has_enforce |= mode == "enforce" && level(name).is_some();
            }
            let key = format!("{PREFIX}{mode}-version");
            if let Some(version) = labels.get(&key) {
                let is_right = is_version(version);
                if !is_right {
                    wrong(&key, version, "must be \"latest\" or \"v1.x\"");
                }
                standard.version = if is_right { version.clone() } else { LATEST.to_owned() };
            }
        }
        // Who is not warned by a label is warned of what is enforced, if that is more than the default.
        let says = |key: &str| labels.contains_key(&format!("{PREFIX}{key}"));
        if has_enforce && !says("warn") && levels.enforce.level > defaults.warn.level {
            levels.warn.level = levels.enforce.level;
            if !says("warn-version") {
                levels.warn.version = levels.enforce.version.clone();
            }
        }
        (levels, problems)
    }

    /// Whether labels say which level to evaluate.
    pub fn are_in(labels: &BTreeMap<String, String>) -> bool {
        psa::MODES.iter().any(|mode| labels.contains_key(&format!("{PREFIX}{mode}")))
    }
}

/// The configuration of the built-in admission.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// For what no label says.
    pub defaults: Levels,
    /// Who and what is not evaluated, as the setting `exempt`.
    pub exempt: Option<Value>,
}

impl Configuration {
    /// Whether a document is the configuration, or may hold it.
    pub fn is(api_version: &str, kind: &str) -> bool {
        psa::is_configuration(api_version, kind)
    }

    /// Reads the configuration in a document; `None` if it has no plugin PodSecurity.
    ///
    /// # Errors
    /// The configuration is in another file, or is not one that the API server starts with.
    pub fn read(document: &Value) -> Result<Option<Configuration>, String> {
        let Some(psa::Defaults { defaults: given, .. }) = psa::defaults(document)? else { return Ok(None) };
        let text = |key: &str| given.get(key).and_then(Value::as_str);
        let standard = |mode: &str| Standard {
            level: text(mode).and_then(level).flatten(),
            version: text(&format!("{mode}-version")).unwrap_or(LATEST).to_owned(),
        };
        let defaults = Levels { enforce: standard("enforce"), audit: standard("audit"), warn: standard("warn") };
        Ok(Some(Configuration { defaults, exempt: psa::exemptions(document) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(labels: &[(&str, &str)]) -> ([String; 3], Vec<String>) {
        let labels = labels.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned())).collect();
        let (levels, problems) = Levels::of_labels(&labels, &Levels::default());
        ([levels.enforce, levels.audit, levels.warn].map(|of| of.to_string()), problems)
    }

    #[test]
    fn labels_say_what_is_evaluated() {
        let texts = |enforce: &str, audit: &str, warn: &str| [enforce, audit, warn].map(str::to_owned);
        for (labels, expected) in [
            (&[][..], texts("privileged", "privileged", "privileged")),
            (&[("enforce", "baseline")], texts("baseline", "privileged", "baseline")),
            (
                &[("enforce", "baseline"), ("enforce-version", "v1.30")],
                texts("baseline:v1.30", "privileged", "baseline:v1.30"),
            ),
            (&[("enforce", "baseline"), ("warn-version", "v1.30")], texts("baseline", "privileged", "baseline:v1.30")),
            (
                &[("enforce", "baseline"), ("warn", "privileged"), ("audit", "restricted")],
                texts("baseline", "restricted", "privileged"),
            ),
        ] {
            assert_eq!(of(labels), (expected, Vec::new()), "{labels:?}");
        }
    }

    #[test]
    fn wrong_labels_are_taken_as_the_built_in_admission_takes_them() {
        let (levels, problems) = of(&[("enforce", "x"), ("enforce-version", "1.2"), ("warn", "strict")]);
        assert_eq!(levels, ["restricted", "privileged", "privileged"]);
        assert_eq!(
            problems,
            [
                r#"metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "x": must be one of privileged, baseline, restricted"#,
                r#"metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: "1.2": must be "latest" or "v1.x""#,
                r#"metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "strict": must be one of privileged, baseline, restricted"#,
            ]
        );
    }

    #[test]
    fn a_configuration_has_defaults_and_exemptions() {
        let document = |configuration: Value| {
            json!({"kind": "AdmissionConfiguration", "plugins": [
                {"name": "PodSecurity", "configuration": configuration},
            ]})
        };
        let configuration = Configuration::read(&document(json!({
            "defaults": {"enforce": "baseline", "enforce-version": "v1.30", "audit": "restricted"},
            "exemptions": {"namespaces": ["kube-system"]},
        })));
        let Configuration { defaults, exempt } = configuration.unwrap().unwrap();
        assert_eq!(defaults.enforce.to_string(), "baseline:v1.30");
        assert_eq!(defaults.audit.to_string(), "restricted");
        assert_eq!(defaults.warn.to_string(), "privileged");
        assert_eq!(exempt, Some(json!({"namespaces": ["kube-system"]})));
        let problem = Configuration::read(&document(json!({"defaults": {"warn": "x"}}))).unwrap_err();
        assert_eq!(
            problem,
            r#"plugins[0].configuration.defaults.warn: expected privileged, baseline or restricted, found "x""#
        );
        assert_eq!(Configuration::read(&json!({"kind": "AdmissionConfiguration", "plugins": []})).unwrap(), None);
    }
}
