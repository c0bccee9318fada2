//! Reads the facts that the metadata takes from Cargo's manifests: those of the project from the workspace's manifest,
//! and those of a policy from its own.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use email_address::{EmailAddress, Options};
use serde::{Deserialize, de::DeserializeOwned};
use toml::value::Datetime;

/// Facts of the project.
pub(crate) struct Project {
    /// The directory of the workspace.
    pub root: PathBuf,
    pub package: Package,
    pub authors: Vec<Author>,
    pub tool: ProjectTool,
}

/// The members of `[workspace.package]` that are used.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub version: String,
    authors: Vec<String>,
    pub license: String,
    pub repository: String,
    pub keywords: Vec<String>,
}

/// `[workspace.metadata.podfence]`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ProjectTool {
    /// The registry of the modules, without a scheme. Each module is published under the name of its policy.
    pub registry: String,
    /// The category of every policy.
    pub category: String,
    /// The time of the release, as in RFC 3339: the current time would change the generated files. It is a string
    /// because cargo-deny does not support TOML's times.
    pub released: String,
    /// The repository's ID in Artifact Hub.
    pub artifact_hub_id: String,
}

/// An author of the project.
pub(crate) struct Author {
    /// The text of the manifest: a name-addr of RFC 5322, `Name <local@domain>`.
    pub address: String,
    pub name: String,
    pub email: String,
}

/// `[package.metadata.podfence]` of a policy.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct PolicyTool {
    /// The name of the policy in catalogues.
    pub display_name: String,
    /// The severity of a violation.
    pub severity: Severity,
    /// The items of the CIS Kubernetes Benchmark that it checks, each with its controls that do; an empty list stands
    /// for all of them.
    #[serde(default)]
    pub cis: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub replaces: Replaces,
}

/// `[package.metadata.podfence.replaces]` of a policy: what it replaces in each other project.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Replaces {
    /// Fields and annotations of PodSecurityPolicy.
    pub pod_security_policy: Option<Replaced>,
    /// Controls of the Pod Security Standards.
    pub pod_security_standards: Option<Replaced>,
    /// Kinds of constraints of the Gatekeeper library.
    pub gatekeeper: Option<Replaced>,
    /// Policies of Kubewarden.
    pub kubewarden: Option<Replaced>,
    /// Policies of Kyverno.
    pub kyverno: Option<Replaced>,
}

/// What a policy replaces in one other project.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replaced {
    /// The names in the other project; empty if the policy replaces nothing there and `differs` explains why.
    #[serde(default)]
    pub names: Vec<String>,
    /// The level of the Pod Security Standards that the names belong to.
    level: Option<String>,
    /// The differences, or the reason why there are no names.
    differs: String,
}

impl Replaces {
    /// Reads the table from the `Cargo.toml` in the directory of a policy.
    ///
    /// # Errors
    /// The file cannot be read, or violates the format.
    pub fn load(dir: &Path) -> Result<Self, String> {
        Ok(PolicyTool::load(dir)?.replaces)
    }

    /// Returns each entry, with the name of the other project.
    pub(crate) fn by_origin(&self) -> impl Iterator<Item = (&'static str, &Replaced)> {
        let by_origin = [
            ("PodSecurityPolicy", &self.pod_security_policy),
            ("Pod Security Standards", &self.pod_security_standards),
            ("Gatekeeper", &self.gatekeeper),
            ("Kubewarden", &self.kubewarden),
            ("Kyverno", &self.kyverno),
        ];
        by_origin.into_iter().filter_map(|(origin, replaced)| Some((origin, replaced.as_ref()?)))
    }

    /// Returns the names of an entry; empty if there is none.
    pub fn names(replaced: Option<&Replaced>) -> &[String] {
        replaced.map_or(&[], |replaced| &replaced.names)
    }
}

impl Replaced {
    /// Returns the names, and their level if there is one, in short: without the domains of annotations.
    pub(crate) fn titles(&self) -> String {
        let short = |name: &String| match name.split_once('/') {
            Some((domain, name)) => format!("`{}…/{name}`", domain.split('.').next().unwrap_or(domain)),
            None => format!("`{name}`"),
        };
        let names: Vec<String> = self.names.iter().map(short).collect();
        let level = self.level.as_ref().map(|level| format!(" ({level})")).unwrap_or_default();
        format!("{}{level}", names.join(", "))
    }
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.names.iter().map(|name| format!("`{name}`")).collect();
        let level = self.level.as_ref().map(|level| format!(" ({level})")).unwrap_or_default();
        match names.as_slice() {
            [] => write!(f, "none. {}", self.differs),
            names => write!(f, "{}{level}. {}", names.join(", "), self.differs),
        }
    }
}

/// The severities that the reports of the audit scanner support.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

#[derive(Deserialize)]
struct WorkspaceManifest {
    workspace: Workspace,
}

#[derive(Deserialize)]
struct Workspace {
    package: Package,
    metadata: Tools<ProjectTool>,
}

#[derive(Deserialize)]
struct PolicyManifest {
    package: PolicyPackage,
}

#[derive(Deserialize)]
struct PolicyPackage {
    metadata: Tools<PolicyTool>,
}

#[derive(Deserialize)]
struct Tools<T> {
    podfence: T,
}

impl Project {
    /// Reads `Cargo.toml` in the directory of the workspace.
    ///
    /// # Errors
    /// The file cannot be read, or a fact is missing or invalid.
    pub(crate) fn load(root: &Path) -> Result<Self, String> {
        let path = root.join("Cargo.toml");
        let Workspace { package, metadata } = read::<WorkspaceManifest>(&path)?.workspace;
        let at = |problem: String| format!("{}: {problem}", path.display());
        let authors: Result<Vec<_>, _> = package.authors.iter().map(|author| Author::parse(author)).collect();
        let authors = authors.map_err(at)?;
        if authors.is_empty() {
            return Err(at("workspace.package.authors: expected at least one".to_owned()));
        }
        let tool = metadata.podfence;
        if !is_time(&tool.released) {
            let problem = format!("released: expected a date and time with its offset, found {:?}", tool.released);
            return Err(at(problem));
        }
        Ok(Self { root: root.to_owned(), package, authors, tool })
    }

    /// Returns the address of the page about a policy in this version.
    pub(crate) fn page(&self, policy: &str) -> String {
        format!("{}/tree/v{}/policies/{policy}", self.package.repository, self.package.version)
    }

    /// Returns the repository of a policy's module in the registry.
    pub(crate) fn module(&self, policy: &str) -> String {
        format!("{}/{policy}", self.tool.registry)
    }

    /// Returns the reference of a policy's module in this version.
    pub(crate) fn tagged_module(&self, policy: &str) -> String {
        format!("{}:v{}", self.module(policy), self.package.version)
    }

    /// Returns the keywords of a policy in catalogues.
    pub(crate) fn keywords(&self, policy: &str, replaces: &Replaces) -> Vec<String> {
        let psp = (&replaces.pod_security_policy, "psp");
        let standards = (&replaces.pod_security_standards, "pod-security-standards");
        let replaced = [psp, standards].into_iter().filter(|(of, _)| !Replaces::names(of.as_ref()).is_empty());
        let own = replaced.map(|(_, keyword)| keyword).chain([policy]).map(str::to_owned);
        let mut keywords: Vec<String> = self.package.keywords.iter().cloned().chain(own).collect();
        keywords.dedup();
        keywords
    }
}

impl PolicyTool {
    /// Reads `Cargo.toml` in the directory of a policy.
    ///
    /// # Errors
    /// The file cannot be read, or a fact is missing or invalid.
    pub(crate) fn load(dir: &Path) -> Result<Self, String> {
        Ok(read::<PolicyManifest>(&dir.join("Cargo.toml"))?.package.metadata.podfence)
    }
}

impl Author {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("authors: expected \"Name <local@domain>\" as in RFC 5322, found {text:?}");
        let options = Options::default().with_required_tld();
        let address = EmailAddress::parse_with_options(text, options).map_err(|_| wrong())?;
        // The parser accepts an address without a name, and names that RFC 5322 allows only in quotes.
        if address.display_part().is_empty() || address.display_part().contains(|c| "()<>[]:;@\\,.\"".contains(c)) {
            return Err(wrong());
        }
        Ok(Self { address: text.to_owned(), name: address.display_part().to_owned(), email: address.email() })
    }
}

fn is_time(text: &str) -> bool {
    matches!(text.parse(), Ok(Datetime { date: Some(_), time: Some(_), offset: Some(_) }))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_a_name_and_an_address() {
        let author = Author::parse("The Podfence authors <all@podfence.example>").expect("an author");
        assert_eq!((author.name.as_str(), author.email.as_str()), ("The Podfence authors", "all@podfence.example"));
        let wrong = [
            "",
            "Podfence",
            "all@podfence.example",
            "<all@podfence.example>",
            "P <>",
            "P <all@>",
            "P, Q <a@b.example>",
        ];
        for wrong in wrong {
            let expected = format!("authors: expected \"Name <local@domain>\" as in RFC 5322, found {wrong:?}");
            assert_eq!(Author::parse(wrong).err(), Some(expected));
        }
    }

    #[test]
    fn a_release_has_a_date_a_time_and_an_offset() {
        assert!(is_time("2026-11-21T00:00:00Z") && is_time("2026-11-21T01:00:00+01:00"));
        for wrong in ["", "2026-11-21", "2026-11-21T00:00:00", "00:00:00", "2026-02-30T00:00:00Z", "today"] {
            assert!(!is_time(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_fact_that_is_missing_is_named() {
        let directory = std::env::temp_dir().join(format!("podfence-facts-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("Cargo.toml"), "[package.metadata.podfence]\nseverity = \"high\"\n").expect("a file");
        let problem = PolicyTool::load(&directory).err().unwrap_or_default();
        fs::remove_dir_all(&directory).expect("it was there");
        assert!(problem.contains("missing field `display-name`"), "{problem}");
    }
}
