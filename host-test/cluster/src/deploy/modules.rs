//! Where the modules are: by tag, or by the digests that publishing printed.

use std::collections::BTreeMap;

use super::{VERSION, module_url};
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
    /// It is not a reference with a digest.
    #[error("line {line}: expected HOST/PATH/POLICY:{VERSION}@sha256:DIGEST, found {found:?}")]
    Reference {
        /// The line, from 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// It is of another version.
    #[error("line {line}: expected {VERSION}, found {found}; publish this version")]
    Version {
        /// The line, from 1.
        line: usize,
        /// The tag.
        found: String,
    },
    /// There is no such policy.
    #[error("line {line}: this version has no policy {policy:?}; publish this version")]
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
    /// A line is not such a reference, they are of several registries, or a policy is missing.
    pub fn published(text: &str) -> Result<Self, ModulesError> {
        let (mut registry, mut digests) = (None, BTreeMap::new());
        for (index, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let line = index + 1;
            let Reference { place, policy, tag, digest } =
                Reference::read(text.trim()).ok_or_else(|| ModulesError::Reference { line, found: text.to_owned() })?;
            if tag != VERSION {
                return Err(ModulesError::Version { line, found: tag.to_owned() });
            }
            let of = published::find(policy).ok_or_else(|| ModulesError::Policy { line, policy: policy.to_owned() })?;
            let expected: &&str = registry.get_or_insert(place);
            if *expected != place {
                return Err(ModulesError::Registry { line, expected: (*expected).to_owned(), found: place.to_owned() });
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

/// What `podfence push` prints.
struct Reference<'t> {
    place: &'t str,
    policy: &'t str,
    tag: &'t str,
    digest: &'t str,
}

impl<'t> Reference<'t> {
    fn read(text: &'t str) -> Option<Self> {
        let (path, digest) = text.split_once('@')?;
        let (place, name) = path.rsplit_once('/')?;
        let (policy, tag) = name.split_once(':')?;
        let hex = digest.strip_prefix("sha256:")?;
        let is_digest = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_:[]/".contains(letter);
        let is_place = !place.is_empty() && place.chars().all(is_plain);
        (is_digest && is_place).then_some(Self { place, policy, tag, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(registry: &str) -> Vec<String> {
        let hex = "0123456789abcdef".repeat(4);
        published::all().iter().map(|of| format!("{registry}/{}:{VERSION}@sha256:{hex}", of.policy)).collect()
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
                format!("line 2: expected HOST/PATH/POLICY:{VERSION}@sha256:DIGEST, found \"r/x/apparmor:v1\""),
            ),
            (
                changed(1, &format!("r/x/apparmor:v0.0.1@sha256:{hex}")),
                format!("line 2: expected {VERSION}, found v0.0.1; publish this version"),
            ),
            (
                changed(0, &format!("r/x/y:{VERSION}@sha256:{hex}")),
                "line 1: this version has no policy \"y\"; publish this version".to_owned(),
            ),
            (
                changed(2, &format!("r/y/capabilities:{VERSION}@sha256:{hex}")),
                "line 3: expected a module in r/x, as in the lines before, found r/y".to_owned(),
            ),
        ] {
            assert_eq!(Modules::published(&text).map_err(|error| error.to_string()), Err(expected), "{text}");
        }
    }
}
