//! The configuration of a repository, `podfence.yaml`.

mod date;
#[cfg(feature = "files")]
mod file;
mod glob;
#[cfg(feature = "files")]
mod located;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use date::{Date, DateError};
#[cfg(feature = "files")]
pub use file::ConfigError;
pub use glob::Glob;

use crate::default_deny::Direction;
use crate::finding::Severity;

/// The name of the file.
pub const FILE: &str = "podfence.yaml";

/// Configures `podfence scan` for a repository. Paths and globs are relative to the directory of this file.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, expecting = "a map of fields", rename_all = "camelCase")]
pub struct Config {
    /// The Pod Security Standard that objects must meet: `privileged`, `baseline` or `restricted`, and a version where
    /// it is not the latest: `baseline:v1.36`.
    #[serde(deserialize_with = "text")]
    pub enforce: Option<String>,
    /// The Pod Security Standard whose violations are warnings, written as for `enforce`.
    #[serde(deserialize_with = "text")]
    pub warn: Option<String>,
    /// Takes the levels from the `pod-security.kubernetes.io` labels of the Namespaces that are scanned.
    pub namespace_labels: bool,
    /// Files and directories with the policies to evaluate: Kubewarden policies, ValidatingAdmissionPolicies and
    /// Gatekeeper constraints.
    #[serde(deserialize_with = "paths")]
    pub policies: Vec<PathBuf>,
    /// Files and directories with objects that ValidatingAdmissionPolicies take as parameters.
    #[serde(deserialize_with = "paths")]
    pub params: Vec<PathBuf>,
    /// What becomes of ValidatingAdmissionPolicies that no binding names; they judge nothing by default.
    #[serde(deserialize_with = "given")]
    pub unbound: Option<Unbound>,
    /// Single policies to evaluate, by name.
    pub policy: BTreeMap<String, PolicyConfig>,
    /// Evaluates the policies of kinds without pods as well: of roles, their bindings, network policies and services.
    pub guards: bool,
    /// Globs of files that are not scanned. `*` matches within a directory, `**` across directories.
    pub exclude: Vec<Glob>,
    /// The file with the findings that are accepted for now; `podfence scan --write-baseline` writes it.
    #[serde(deserialize_with = "path")]
    pub baseline: Option<PathBuf>,
    /// The lowest severity that fails a run.
    pub fail_on: FailOn,
    /// Reports what looks like a pod and cannot be judged as an error.
    pub strict: bool,
    /// Reports namespaces with pods that have no NetworkPolicy which denies everything in these directions by default.
    pub default_deny: Vec<Direction>,
    /// Findings that are accepted.
    pub ignore: Vec<Ignore>,
}

/// What becomes of policies that no binding names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Unbound {
    /// They judge what they match, as if bound with `Deny`.
    Deny,
}

/// Configures one policy.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, expecting = "a map of fields", rename_all = "camelCase")]
pub struct PolicyConfig {
    /// The settings of the policy.
    pub settings: Map<String, Value>,
    /// How much its findings count; they are errors by default.
    #[serde(deserialize_with = "given")]
    pub severity: Option<Severity>,
}

/// Accepts findings. A finding must match every field that is set; `policy` or `control` must be.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("anyOf" = [{"required": ["policy"]}, {"required": ["control"]}])))]
#[serde(deny_unknown_fields, expecting = "a map of fields", rename_all = "camelCase")]
pub struct Ignore {
    /// The policy, for example `host-path`.
    #[serde(default, deserialize_with = "text")]
    pub policy: Option<String>,
    /// The control, for example `hostPathVolumes`.
    #[serde(default, deserialize_with = "text")]
    pub control: Option<String>,
    /// A glob of files. `*` matches within a directory, `**` across directories.
    #[serde(default, deserialize_with = "given")]
    pub path: Option<Glob>,
    /// The kind of the object, for example `DaemonSet`.
    #[serde(default, deserialize_with = "text")]
    pub kind: Option<String>,
    /// The namespace of the object.
    #[serde(default, deserialize_with = "text")]
    pub namespace: Option<String>,
    /// The name of the object.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// The name of the container.
    #[serde(default, deserialize_with = "text")]
    pub container: Option<String>,
    /// Why the findings are accepted.
    #[serde(deserialize_with = "reason")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub reason: String,
    /// The last day on which they are: `YYYY-MM-DD`.
    #[serde(default, deserialize_with = "given")]
    pub until: Option<Date>,
    /// The line of the file on which the entry starts.
    #[serde(skip)]
    pub line: usize,
}

/// The lowest severity that fails a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum FailOn {
    /// Errors fail a run, warnings do not.
    #[default]
    Error,
    /// Warnings fail a run as well.
    Warning,
    /// No finding fails a run.
    Never,
}

/// Translates file names: output names files relative to the working directory, globs and baselines relative to the
/// directory of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base(Vec<String>);

impl Config {
    /// Takes a configuration that is JSON.
    ///
    /// # Errors
    /// A field is unknown, is missing or has a value that it cannot have.
    pub fn of_json(value: Value) -> Result<Self, String> {
        // serde would read a list as the fields of a structure in their order.
        let lists = [("", &value)].into_iter().chain(["policy", "ignore"].map(|key| (key, &value[key])));
        for (path, of) in lists {
            let inner: Vec<&Value> = match of {
                Value::Object(members) if path == "policy" => members.values().collect(),
                Value::Array(elements) if path == "ignore" => elements.iter().collect(),
                other if path.is_empty() => vec![other],
                _ => continue,
            };
            if inner.iter().any(|of| of.is_array()) {
                return Err(format!("{}expected a map of fields, found a list", prefix(path)));
            }
        }
        let config: Self = serde_path_to_error::deserialize(value).map_err(|wrong| {
            let (path, message) = (wrong.path().to_string(), wrong.inner().to_string());
            let path = within(&path, &message);
            format!("{}{}", prefix(path), expected_first(&message))
        })?;
        match config.ignore.iter().position(|entry| !entry.has_target()) {
            Some(index) => Err(format!("ignore[{index}]: {NO_TARGET}")),
            None => Ok(config),
        }
    }

    /// Finds the configuration for a working directory, which must be absolute: the nearest one in it or above it, up
    /// to the root of the git repository. Outside a repository, only one in the directory itself counts: anybody may
    /// write to a directory such as `/tmp`.
    pub fn find(working: &Path) -> Option<PathBuf> {
        let depth = working.ancestors().position(|directory| directory.join(".git").exists()).unwrap_or(0);
        let mut candidates = working.ancestors().take(depth + 1).map(|directory| directory.join(FILE));
        // Finds a broken link as well: skipping it would scan with other rules than intended.
        candidates.find(|candidate| candidate.symlink_metadata().is_ok())
    }

    /// Whether a file, named relative to the directory of the configuration, is not scanned.
    pub fn excludes(&self, file: &str) -> bool {
        self.exclude.iter().any(|glob| glob.is_match(file))
    }
}

impl Base {
    /// Takes the path of the configuration and the working directory, both absolute. The globs of a configuration that
    /// is not above the working directory are relative to the working directory.
    pub fn new(config: &Path, working: &Path) -> Self {
        let below = config.parent().and_then(|directory| working.strip_prefix(directory).ok());
        let names = below.into_iter().flat_map(Path::components);
        Self(names.map(|name| name.as_os_str().to_string_lossy().into_owned()).collect())
    }

    /// Returns a file, which is named relative to the working directory, relative to the directory of the configuration.
    pub fn path(&self, file: &str) -> String {
        // `<stdin>` is not a file, and an absolute path stays what it is.
        if file.starts_with('<') || Path::new(file).has_root() {
            return file.to_owned();
        }
        let mut names: Vec<&str> = self.0.iter().map(String::as_str).collect();
        for name in file.split('/') {
            match name {
                "" | "." => {}
                ".." if names.last().is_some_and(|&last| last != "..") => {
                    names.pop();
                }
                name => names.push(name),
            }
        }
        names.join("/")
    }
}

impl Ignore {
    fn has_target(&self) -> bool {
        self.policy.is_some() || self.control.is_some()
    }
}

const NO_TARGET: &str = "expected `policy` or `control` or both, found neither";

/// The path of what has an unknown field, which the message names; else the path itself.
fn within<'p>(path: &'p str, message: &str) -> &'p str {
    match unknown_field(message) {
        Some(key) => path.strip_suffix(key).map_or(path, |path| path.trim_end_matches('.')),
        None => path,
    }
}

fn unknown_field(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split_once('`').map(|(key, _)| key)
}

/// Whether a person has written a reason.
pub(crate) fn is_reason(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && !text.eq_ignore_ascii_case("todo")
}

/// Reads a value that may be left out, but not be null: an empty `namespace:` would match every namespace.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Err(D::Error::custom("expected a text that is not blank"));
    }
    Ok(Some(text))
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let reason = String::deserialize(deserializer)?;
    if is_reason(&reason) {
        return Ok(reason);
    }
    Err(D::Error::custom(format!(
        "expected the reason, found `{reason}`: a person must write why the findings are accepted"
    )))
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    local(String::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}

fn paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    /// A path with its own error, so that the error names the element of the list.
    #[derive(Deserialize)]
    #[serde(try_from = "String")]
    struct Local(PathBuf);

    impl TryFrom<String> for Local {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            local(text).map(Self)
        }
    }

    Ok(Vec::<Local>::deserialize(deserializer)?.into_iter().map(|Local(path)| path).collect())
}

/// Accepts local paths only: a file in a scanned repository must not decide what is fetched.
fn local(text: String) -> Result<PathBuf, String> {
    if text.trim().is_empty() || text.contains("://") {
        return Err(format!("expected the path of a file or directory, found `{text}`"));
    }
    Ok(text.into())
}

/// Returns what a message about a path starts with.
pub(crate) fn prefix(path: &str) -> String {
    if path.is_empty() || path == "." { String::new() } else { format!("{path}: ") }
}

/// The field that an unknown one is near to, of those that the message lists.
fn near_field(message: &str) -> Option<String> {
    let unknown = unknown_field(message)?;
    let known = message.split('`').skip(3).step_by(2);
    let near = known.map(|known| (strsim::damerau_levenshtein(unknown, known), known)).min();
    let (_, near) = near.filter(|(distance, _)| *distance <= (unknown.chars().count() / 3).max(1))?;
    Some(format!("unknown field `{unknown}`, did you mean `{near}`?"))
}

/// Turns serde's `invalid type: A, expected B` into `expected B, found A`, and a list of known fields into the nearest.
pub(crate) fn expected_first(message: &str) -> String {
    if let Some(near) = near_field(message) {
        return near;
    }
    let found = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match found.and_then(|found| found.rsplit_once(", expected ")) {
        Some((found, expected)) => format!("expected {expected}, found {found}"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fs;

    use schemars::transform::RecursiveTransform;
    use serde_json::json;

    use super::*;

    /// Implements the schema of texts that are read by hand.
    macro_rules! schema {
        ($type:ident, $schema:tt) => {
            impl schemars::JsonSchema for $type {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> Cow<'static, str> {
                    stringify!($type).into()
                }

                fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    schemars::json_schema!($schema)
                }
            }
        };
    }

    schema!(Date, {"type": "string", "format": "date"});
    schema!(Glob, {"type": "string", "pattern": "[^/]$"});
    schema!(Severity, {"type": "string", "enum": ["warning", "error"]});

    #[test]
    fn every_field_is_read() {
        let config = Config::read(
            "
enforce: baseline
warn: restricted:v1.36
namespaceLabels: true
policies: [deploy/policies/]
params: [deploy/limits.yaml]
unbound: deny
policy:
  host-path: {settings: {allowedHostPaths: [{pathPrefix: /proc, readOnly: true}]}, severity: warning}
guards: true
exclude: ['**/testdata/**', ./vendor/*.yaml]
baseline: .podfence-baseline.json
failOn: warning
strict: true
ignore:
- control: hostPathVolumes
  policy: host-path
  path: deploy/node-exporter/**
  kind: DaemonSet
  namespace: monitoring
  name: node-exporter
  container: exporter
  reason: reads /proc of the node
  until: 2027-06-30
- policy: privileged
  reason: 'no'
",
        )
        .unwrap();
        assert_eq!(config.enforce.as_deref(), Some("baseline"));
        assert_eq!(config.warn.as_deref(), Some("restricted:v1.36"));
        assert!(config.namespace_labels && config.strict && config.guards);
        assert_eq!(config.policies, [PathBuf::from("deploy/policies/")]);
        assert_eq!(config.params, [PathBuf::from("deploy/limits.yaml")]);
        assert_eq!(config.unbound, Some(Unbound::Deny));
        let settings = json!({"allowedHostPaths": [{"pathPrefix": "/proc", "readOnly": true}]});
        assert_eq!(Value::from(config.policy["host-path"].settings.clone()), settings);
        assert_eq!(config.policy["host-path"].severity, Some(Severity::Warning));
        assert!(["testdata/a.yaml", "a/testdata/b/c.yaml", "vendor/a.yaml"].iter().all(|file| config.excludes(file)));
        assert!(["a/testdata", "vendor/a/b.yaml", "a.yaml"].iter().all(|file| !config.excludes(file)));
        assert_eq!(config.baseline, Some(PathBuf::from(".podfence-baseline.json")));
        assert_eq!(config.fail_on, FailOn::Warning);
        let [first, second] = &config.ignore[..] else { panic!("{:?}", config.ignore) };
        assert_eq!((first.line, second.line), (16, 25));
        assert_eq!(first.control.as_deref(), Some("hostPathVolumes"));
        assert_eq!(first.policy.as_deref(), Some("host-path"));
        assert_eq!(first.path.as_ref().map(Glob::to_string).as_deref(), Some("deploy/node-exporter/**"));
        assert_eq!(first.kind.as_deref(), Some("DaemonSet"));
        assert_eq!(first.namespace.as_deref(), Some("monitoring"));
        assert_eq!(first.name.as_deref(), Some("node-exporter"));
        assert_eq!(first.container.as_deref(), Some("exporter"));
        assert_eq!(first.reason, "reads /proc of the node");
        assert_eq!(first.until, "2027-06-30".parse().ok());
        assert_eq!((second.control.as_ref(), second.until), (None, None));
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        for text in ["", "# nothing yet\n", "---\n", "{}"] {
            let config = Config::read(text).unwrap();
            assert_eq!((config.enforce, config.fail_on, config.ignore.len()), (None, FailOn::Error, 0), "{text:?}");
        }
    }

    #[test]
    fn an_error_names_the_place_the_field_and_what_is_expected() {
        for (text, expected) in [
            ("enforce: [", "line 1, column 10: unclosed bracket '['"),
            ("strict: true\nstrict: false", "line 2, column 1: duplicate mapping key: strict not allowed here"),
            ("- enforce", "line 1, column 1: expected a map of fields, found a list"),
            ("enforce", "line 1, column 1: expected a map of fields, found string \"enforce\""),
            ("enforce: a\n---\nwarn: b\n", "line 3, column 1: only single YAML document expected but multiple found"),
            ("warn: a\nenforces: baseline", "line 2, column 1: unknown field `enforces`, did you mean `enforce`?"),
            ("enforce: true", "line 1, column 10: enforce: expected a string, found boolean `true`"),
            ("enforce:", "line 1, column 8: enforce: expected a string, found null"),
            ("enforce: ' '", "line 1, column 10: enforce: expected a text that is not blank"),
            (
                "modules: x",
                "line 1, column 1: unknown field `modules`, expected one of `enforce`, `warn`, `namespaceLabels`, `policies`, `params`, `unbound`, `policy`, `guards`, `exclude`, `baseline`, `failOn`, `strict`, `defaultDeny`, `ignore`",
            ),
            ("strict: yes", "line 1, column 9: strict: expected a boolean, found string \"yes\""),
            ("unbound: allow", "line 1, column 10: unbound: unknown variant `allow`, expected `deny`"),
            ("policies: policies/", "line 1, column 11: policies: expected a sequence, found string \"policies/\""),
            (
                "policies:\n- a\n- oci://b",
                "line 3, column 3: policies[1]: expected the path of a file or directory, found `oci://b`",
            ),
            (
                "baseline: https://example.com",
                "line 1, column 11: baseline: expected the path of a file or directory, found `https://example.com`",
            ),
            ("baseline: ''", "line 1, column 11: baseline: expected the path of a file or directory, found ``"),
            (
                "policy: {host-path: {setting: {}}}",
                "line 1, column 22: policy.host-path: unknown field `setting`, did you mean `settings`?",
            ),
            (
                "policy: {host-path: {settings: [a]}}",
                "line 1, column 32: policy.host-path.settings: expected a map, found sequence",
            ),
            (
                "policy: {host-path: {severity: info}}",
                "line 1, column 32: policy.host-path.severity: unknown variant `info`, expected `warning` or `error`",
            ),
            (
                "failOn: warn",
                "line 1, column 9: failOn: unknown variant `warn`, expected one of `error`, `warning`, `never`",
            ),
            (
                "exclude: ['a[']",
                "line 1, column 11: exclude[0]: expected a glob, found `a[`: unclosed character class; missing ']'",
            ),
            (
                "exclude: [a, vendor/]",
                "line 1, column 14: exclude[1]: expected a glob of files such as `vendor/**`, found `vendor/`",
            ),
            (
                "exclude: [/a]",
                "line 1, column 11: exclude[0]: expected a glob relative to the directory of this file, found `/a`",
            ),
            ("exclude: [./]", "line 1, column 11: exclude[0]: expected a glob of files, found `./`"),
            (
                "ignore:\n- control: x\n  reasn: y",
                "line 3, column 3: ignore[0]: unknown field `reasn`, did you mean `reason`?",
            ),
            ("ignore:\n- control: x", "line 2, column 3: ignore[0]: missing field `reason`"),
            (
                "ignore:\n- control: x\n  reason: ' '",
                "line 3, column 11: ignore[0].reason: expected the reason, found ` `: a person must write why the findings are accepted",
            ),
            (
                "ignore:\n- control: x\n  reason: todo",
                "line 3, column 11: ignore[0].reason: expected the reason, found `todo`: a person must write why the findings are accepted",
            ),
            (
                "ignore:\n- {control: x, reason: y}\n- reason: y\n  kind: Pod",
                "line 3, column 3: ignore[1]: expected `policy` or `control` or both, found neither",
            ),
            (
                "ignore:\n- control: x\n  reason: y\n  namespace:",
                "line 4, column 12: ignore[0].namespace: expected a string, found null",
            ),
            (
                "ignore:\n- control: x\n  reason: y\n  name: 1",
                "line 4, column 9: ignore[0].name: expected a string, found integer `1`",
            ),
            (
                "ignore:\n- control: x\n  reason: y\n  until: 2027-02-29",
                "line 4, column 10: ignore[0].until: expected a date as YYYY-MM-DD, found `2027-02-29`",
            ),
            (
                "ignore: [{control: x, reason: y, line: 1}]",
                "line 1, column 34: ignore[0]: unknown field `line`, expected one of `policy`, `control`, `path`, `kind`, `namespace`, `name`, `container`, `reason`, `until`",
            ),
            (
                "policy: {a: {}, host-path: []}",
                "line 1, column 28: policy.host-path: expected a map of fields, found a list",
            ),
            ("ignore: [[privileged]]", "line 1, column 10: ignore[0]: expected a map of fields, found a list"),
            ("ignore: {control: x, reason: y}", "line 1, column 9: ignore: expected a sequence, found map"),
        ] {
            let error = Config::read(text).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_position_has_its_byte() {
        let text = "exclude: [é]\nignore: [{control: é, reason: TODO}]";
        let position = Config::read(text).unwrap_err().position;
        assert_eq!((position.line, position.col), (2, 31));
        assert!(text[position.byte..].starts_with("TODO"), "{}", &text[position.byte..]);
    }

    #[test]
    fn the_nearest_file_up_to_the_root_of_the_repository_counts() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        let at = |path: &str| root.join(path);
        fs::create_dir_all(at("repo/.git")).unwrap();
        fs::create_dir_all(at("repo/a/b")).unwrap();
        fs::create_dir_all(at("bare/a")).unwrap();
        let touch = |path: &str| fs::write(at(path), "").unwrap();

        touch("podfence.yaml");
        assert_eq!(Config::find(&at("repo/a/b")), None);
        assert_eq!(Config::find(&at("repo")), None);
        touch("repo/podfence.yaml");
        assert_eq!(Config::find(&at("repo/a/b")), Some(at("repo/podfence.yaml")));
        touch("repo/a/podfence.yaml");
        assert_eq!(Config::find(&at("repo/a/b")), Some(at("repo/a/podfence.yaml")));
        assert_eq!(Config::find(&at("repo")), Some(at("repo/podfence.yaml")));

        touch("bare/podfence.yaml");
        assert_eq!(Config::find(&at("bare/a")), None);
        assert_eq!(Config::find(&at("bare")), Some(at("bare/podfence.yaml")));
    }

    #[test]
    fn files_are_named_from_the_configuration() {
        for (working, file, expected) in [
            ("/repo", "a/b.yaml", "a/b.yaml"),
            ("/repo", "./a.yaml", "a.yaml"),
            ("/repo", "../a.yaml", "../a.yaml"),
            ("/repo/x/y", "a.yaml", "x/y/a.yaml"),
            ("/repo/x/y", "../a.yaml", "x/a.yaml"),
            ("/repo/x/y", "../../../../a.yaml", "../../a.yaml"),
            ("/repo/x", "/tmp/a.yaml", "/tmp/a.yaml"),
            ("/repo/x", "<stdin>", "<stdin>"),
            ("/elsewhere/x", "a.yaml", "a.yaml"),
        ] {
            let base = Base::new(Path::new("/repo/podfence.yaml"), Path::new(working));
            assert_eq!(base.path(file), expected, "{working} {file}");
        }
    }

    #[test]
    fn the_schema_is_current() {
        let plain = RecursiveTransform(|schema: &mut schemars::Schema| {
            // A field may be left out, and is never null.
            if schema.get("default").is_some_and(Value::is_null) {
                schema.remove("default");
            }
            if let Some(Value::Array(values)) = schema.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(Value::Array(types)) = schema.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    schema.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(cases)) = schema.get_mut("anyOf") {
                cases.retain(|case| *case != json!({"type": "null"}));
                if let [only] = &cases[..] {
                    let only = only.as_object().cloned().unwrap_or_default();
                    schema.remove("anyOf");
                    only.into_iter().for_each(|(key, value)| drop(schema.insert(key, value)));
                }
            }
            // Editors show the line breaks of the source.
            if let Some(Value::String(description)) = schema.get_mut("description") {
                *description = description.replace('\n', " ");
            }
        });
        let generator = schemars::generate::SchemaSettings::draft2020_12().with_transform(plain);
        let mut schema = generator.into_generator().into_root_schema_for::<Config>();
        schema.insert("title".to_owned(), FILE.into());
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        assert!(!text.contains("null"), "{text}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("podfence.schema.json");
        podfence_fixtures::generated::is_current(&path, &text).unwrap();
    }
}
