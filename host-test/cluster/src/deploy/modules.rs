//! Where the modules are: by tag, or by the digests that publishing printed.

use std::collections::BTreeMap;

use super::module_url;
use crate::published;

/// Where the modules are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modules {
    /// Without a scheme: `registry.example.com/podfence`.
    pub(super) registry: String,
    /// By policy: `sha256:…`. A policy without one is found by its tag.
    pub(super) digests: BTreeMap<&'static str, String>,
}

/// What publishing did not print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModulesError {
    /// It is no reference with a digest.
    #[error("line {line}: expected HOST/PATH/POLICY@sha256:DIGEST, found {found:?}")]
    Reference {
        /// The line, from 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// It is of another version.
    #[error("line {line}: this version has no policy {policy:?}; publish it again")]
    Policy {
        /// The line, from 1.
        line: usize,
        /// What stands where the policy does.
        policy: String,
    },
    /// Modules come from one registry.
    #[error("line {line}: expected a module in {expected}, as in the lines before, found {found}")]
    Registry {
        /// The line, from 1.
        line: usize,
        /// The registry of the first line.
        expected: String,
        /// The registry of this one.
        found: String,
    },
    /// A policy is not in it.
    #[error("{policy} is missing; publish all policies, or name the registry alone with --registry")]
    Missing {
        /// The policy.
        policy: &'static str,
    },
}

impl Default for Modules {
    /// Where the metadata of the policies says.
    fn default() -> Self {
        Self::tagged(published::registry())
    }
}

impl Modules {
    /// In a registry, by the tag of this version.
    pub fn tagged(registry: &str) -> Self {
        Self { registry: registry.to_owned(), digests: BTreeMap::new() }
    }

    /// Where they were published, by digest: reads the references that `podfence push` printed, one a line.
    ///
    /// # Errors
    /// A line is no such reference, they are of several registries, or a policy is missing.
    pub fn published(text: &str) -> Result<Self, ModulesError> {
        let (mut registry, mut digests) = (None, BTreeMap::new());
        for (index, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let line = index + 1;
            let (found, name, digest) =
                reference(text.trim()).ok_or_else(|| ModulesError::Reference { line, found: text.to_owned() })?;
            let of = published::find(name).ok_or_else(|| ModulesError::Policy { line, policy: name.to_owned() })?;
            let expected: &&str = registry.get_or_insert(found);
            if *expected != found {
                return Err(ModulesError::Registry { line, expected: (*expected).to_owned(), found: found.to_owned() });
            }
            digests.insert(of.policy, digest.to_owned());
        }
        match published::all().iter().find(|of| !digests.contains_key(of.policy)) {
            Some(of) => Err(ModulesError::Missing { policy: of.policy }),
            None => Ok(Self { registry: registry.unwrap_or_default().to_owned(), digests }),
        }
    }

    /// The URL of a policy's module.
    pub fn url(&self, policy: &str) -> String {
        match self.digests.get(policy) {
            Some(digest) => format!("registry://{}/{policy}@{digest}", self.registry),
            None => module_url(&self.registry, policy),
        }
    }
}

/// The registry, the policy and the digest of a reference.
fn reference(text: &str) -> Option<(&str, &str, &str)> {
    let (path, digest) = text.split_once('@')?;
    let (registry, policy) = path.rsplit_once('/')?;
    let hex = digest.strip_prefix("sha256:")?;
    let is_digest = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_:[]/".contains(letter);
    (is_digest && !registry.is_empty() && registry.chars().all(is_plain)).then_some((registry, policy, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(registry: &str) -> Vec<String> {
        let hex = "0123456789abcdef".repeat(4);
        published::all().iter().map(|of| format!("{registry}/{}@sha256:{hex}", of.policy)).collect()
    }

    #[test]
    fn modules_are_found_by_the_digests_that_were_printed() {
        let modules = Modules::published(&(all("localhost:5000/x").join("\n") + "\n")).unwrap();
        let expected = format!("registry://localhost:5000/x/privileged@sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(modules.url("privileged"), expected);
    }

    #[test]
    fn what_was_not_printed_is_refused() {
        let (lines, hex) = (all("r/x"), "0123456789abcdef".repeat(4));
        let changed = |index: usize, text: &str| {
            let mut lines = lines.clone();
            text.clone_into(&mut lines[index]);
            lines.join("\n")
        };
        for (text, expected) in [
            (String::new(), "allow-privilege-escalation is missing; publish all policies, or name the registry alone with --registry".to_owned()),
            (lines[1..].join("\n"), "allow-privilege-escalation is missing; publish all policies, or name the registry alone with --registry".to_owned()),
            (
                changed(1, "r/x/apparmor:v1"),
                "line 2: expected HOST/PATH/POLICY@sha256:DIGEST, found \"r/x/apparmor:v1\"".to_owned(),
            ),
            (
                changed(0, &format!("r/x/y@sha256:{hex}")),
                "line 1: this version has no policy \"y\"; publish it again".to_owned(),
            ),
            (
                changed(2, &format!("r/y/capabilities@sha256:{hex}")),
                "line 3: expected a module in r/x, as in the lines before, found r/y".to_owned(),
            ),
        ] {
            assert_eq!(Modules::published(&text).map_err(|error| error.to_string()), Err(expected), "{text}");
        }
    }
}
