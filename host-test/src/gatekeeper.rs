//! Which policy with which settings decides what a constraint of the Gatekeeper library decides.
//!
//! A template that a new policy covers is a new row of [`TEMPLATES`].

use serde_json::{Map, Value, json};

/// The parameters of a constraint, or the settings of a policy.
pub type Parameters = Map<String, Value>;

/// A constraint template of the library, and the policy that stands for it.
pub struct Template {
    /// The kind of its constraints.
    pub kind: &'static str,
    /// The name of our policy.
    pub policy: &'static str,
    /// The parameters that it has, besides `exemptImages`.
    parameters: &'static [&'static str],
    settings: fn(&Parameters) -> Parameters,
}

/// The templates that are covered.
///
/// Where a parameter is not given, Gatekeeper's default is said explicitly: it is not always ours.
pub const TEMPLATES: [Template; 5] = [
    Template {
        kind: "K8sPSPPrivilegedContainer",
        policy: "privileged",
        parameters: &[],
        settings: |_| Parameters::new(),
    },
    Template {
        kind: "K8sPSPCapabilities",
        policy: "capabilities",
        parameters: &["allowedCapabilities", "requiredDropCapabilities"],
        settings: |given| lists(given, &["allowedCapabilities", "requiredDropCapabilities"]),
    },
    Template {
        kind: "K8sPSPHostFilesystem",
        policy: "host-path",
        parameters: &["allowedHostPaths"],
        settings: |given| lists(given, &["allowedHostPaths"]),
    },
    Template {
        kind: "K8sPSPSeccomp",
        policy: "seccomp",
        parameters: &["allowedProfiles", "allowedLocalhostFiles"],
        settings: seccomp,
    },
    Template {
        kind: "K8sPSPSeccompV2",
        policy: "seccomp",
        parameters: &["allowedProfiles", "allowedLocalhostFiles"],
        settings: seccomp,
    },
];

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

/// The policy and the settings that decide as a constraint of this kind with these parameters.
///
/// # Errors
/// When no policy covers the template, or the template has no such parameter.
pub fn equivalent(kind: &str, parameters: &Parameters) -> Result<Equivalent, GatekeeperError> {
    let template = TEMPLATES
        .iter()
        .find(|template| template.kind == kind)
        .ok_or_else(|| GatekeeperError::Template(kind.to_owned()))?;
    let is_known = |name: &str| name == "exemptImages" || template.parameters.contains(&name);
    if let Some(unknown) = parameters.keys().find(|name| !is_known(name)) {
        return Err(GatekeeperError::Parameter { kind: template.kind, parameter: unknown.clone() });
    }
    let mut settings = (template.settings)(parameters);
    if let Some(images) = parameters.get("exemptImages") {
        settings.insert("exempt".to_owned(), json!({"images": images}));
    }
    Ok(Equivalent { policy: template.policy, settings })
}

/// Lists that have the same name here; one that is not given allows, or demands, nothing.
fn lists(given: &Parameters, names: &[&str]) -> Parameters {
    names.iter().map(|&name| (name.to_owned(), given.get(name).cloned().unwrap_or_else(|| json!([])))).collect()
}

/// Gatekeeper lists `not configured` among the profiles, we ask whether one is required. With it, `*`
/// allows everything, also nothing; files count only beside `Localhost`.
fn seccomp(given: &Parameters) -> Parameters {
    let mut settings = lists(given, &["allowedProfiles", "allowedLocalhostFiles"]);
    let mut is_required = true;
    let mut any_file = false;
    if let Some(profiles) = settings.get_mut("allowedProfiles").and_then(Value::as_array_mut) {
        is_required = !profiles.iter().any(|profile| profile == "*" || profile == "not configured");
        any_file = profiles.iter().any(|profile| profile == "*" || profile == "localhost/*");
        profiles.retain(|profile| profile != "not configured");
    }
    if any_file {
        settings.insert("allowedLocalhostFiles".to_owned(), json!(["*"]));
    }
    settings.insert("required".to_owned(), json!(is_required));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(kind: &str, parameters: Value) -> Value {
        let Value::Object(parameters) = parameters else { panic!("parameters are an object") };
        Value::Object(equivalent(kind, &parameters).expect("a known constraint").settings)
    }

    #[test]
    fn what_is_not_given_is_gatekeepers_default() {
        assert_eq!(
            settings("K8sPSPCapabilities", json!({})),
            json!({"allowedCapabilities": [], "requiredDropCapabilities": []})
        );
        assert_eq!(settings("K8sPSPHostFilesystem", json!({})), json!({"allowedHostPaths": []}));
        assert_eq!(settings("K8sPSPPrivilegedContainer", json!({})), json!({}));
    }

    #[test]
    fn images_are_exempt_in_every_template() {
        for template in TEMPLATES {
            let settings = settings(template.kind, json!({"exemptImages": ["a*"]}));
            assert_eq!(settings["exempt"], json!({"images": ["a*"]}), "{}", template.kind);
        }
    }

    #[test]
    fn seccomp_says_apart_what_is_allowed_and_what_is_required() {
        for kind in ["K8sPSPSeccomp", "K8sPSPSeccompV2"] {
            let seccomp = |profiles: Value| settings(kind, json!({"allowedProfiles": profiles}));
            let expected = |profiles: Value, files: Value, required| json!({"allowedProfiles": profiles, "allowedLocalhostFiles": files, "required": required});
            assert_eq!(seccomp(json!([])), expected(json!([]), json!([]), true));
            assert_eq!(seccomp(json!(["Localhost"])), expected(json!(["Localhost"]), json!([]), true));
            assert_eq!(seccomp(json!(["localhost/*"])), expected(json!(["localhost/*"]), json!(["*"]), true));
            assert_eq!(seccomp(json!(["*"])), expected(json!(["*"]), json!(["*"]), false));
            let optional = json!(["RuntimeDefault", "not configured"]);
            assert_eq!(seccomp(optional), expected(json!(["RuntimeDefault"]), json!([]), false));
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let unknown: Parameters = [("allowedHostPaths".to_owned(), json!([]))].into_iter().collect();
        assert_eq!(
            equivalent("K8sPSPCapabilities", &unknown).unwrap_err().to_string(),
            "K8sPSPCapabilities has no parameter `allowedHostPaths`"
        );
        assert_eq!(
            equivalent("K8sRequiredLabels", &unknown).unwrap_err().to_string(),
            "no policy covers constraints of kind `K8sRequiredLabels`"
        );
    }
}
