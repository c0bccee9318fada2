//! The levels of the Pod Security Standards, as arguments and labels name them.

use std::fmt;

use serde_json::{Map, Value};

/// The policy that evaluates them.
pub const STANDARDS: &str = "pod-security-standards";

/// A level of the standards that asks for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// No known way out of a container.
    Baseline,
    /// A hardened pod.
    Restricted,
}

impl Level {
    /// All of them, the stricter one last.
    pub const ALL: [Level; 2] = [Level::Baseline, Level::Restricted];

    /// The name in the standards.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }
}

/// The newest version.
pub const LATEST: &str = "latest";

/// A level in a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standard {
    /// None for `privileged`, which asks for nothing.
    pub level: Option<Level>,
    /// `latest`, or for example `v1.31`.
    pub version: String,
}

impl Standard {
    /// A level in the newest version.
    pub fn latest(level: Option<Level>) -> Self {
        Self { level, version: LATEST.to_owned() }
    }

    /// Reads `LEVEL` or `LEVEL:VERSION`.
    ///
    /// # Errors
    /// It is something else; what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, version) = text.split_once(':').unwrap_or((text, LATEST));
        let level = level(name)
            .ok_or_else(|| format!("no level {name:?}: expected privileged, baseline or restricted, and maybe a version behind it, as in baseline:v1.31"))?;
        if !is_version(version) {
            return Err(format!("no version {version:?}: expected latest or v1.x, as in {name}:v1.31"));
        }
        Ok(Self { level, version: version.to_owned() })
    }

    /// Its settings of `pod-security-standards`; none if it asks for nothing.
    pub fn settings(&self) -> Option<Map<String, Value>> {
        let mut settings = Map::new();
        // The defaults are left out: a policy does not parse settings of `{}`.
        match self.level? {
            Level::Restricted => {}
            level => drop(settings.insert("level".to_owned(), level.name().into())),
        }
        if self.version != LATEST {
            settings.insert("version".to_owned(), self.version.as_str().into());
        }
        Some(settings)
    }
}

impl fmt::Display for Standard {
    /// As [`Standard::parse`] reads it, in its shortest form.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.level.map_or("privileged", Level::name))?;
        if self.version == LATEST { Ok(()) } else { write!(out, ":{}", self.version) }
    }
}

/// What is enforced, and what is warned of, if nothing is selected.
pub fn usual() -> (Standard, Standard) {
    (Standard::latest(Some(Level::Baseline)), Standard::latest(Some(Level::Restricted)))
}

/// What is enforced, and what is warned of, as two arguments ask for it, each with its name; none if neither is given. A
/// level that is enforced alone warns of nothing.
///
/// # Errors
/// One of them is not a level; its name, and what is expected.
pub fn asked(
    enforce: (&str, Option<&str>),
    warn: (&str, Option<&str>),
) -> Result<Option<(Standard, Standard)>, String> {
    let read = |(name, text): (&str, Option<&str>)| {
        text.map(Standard::parse).transpose().map_err(|problem| format!("{name}: {problem}"))
    };
    Ok(match (read(enforce)?, read(warn)?) {
        (None, None) => None,
        (Some(enforce), None) => Some((enforce, Standard::latest(None))),
        (enforce, Some(warn)) => Some((enforce.unwrap_or_else(|| usual().0), warn)),
    })
}

/// The level of a name, `None` inside for `privileged`.
pub fn level(name: &str) -> Option<Option<Level>> {
    if name == "privileged" {
        return Some(None);
    }
    Level::ALL.into_iter().find(|level| level.name() == name).map(Some)
}

/// Whether a text is a version as labels write it: `latest`, or for example `v1.31`.
pub fn is_version(version: &str) -> bool {
    let minor = version.strip_prefix("v1.").unwrap_or_default();
    let is_number = minor.bytes().all(|digit| digit.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    version == "latest" || !minor.is_empty() && minor.len() <= 9 && is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_is_a_level_and_maybe_a_version() {
        for (text, shown) in [
            ("baseline", "baseline"),
            ("restricted:latest", "restricted"),
            ("privileged:v1.0", "privileged:v1.0"),
            ("baseline:v1.31", "baseline:v1.31"),
        ] {
            assert_eq!(Standard::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "Baseline", "baseline:", "baseline:1.31", "baseline:v1.031", ":latest"] {
            assert!(Standard::parse(text).unwrap_err().contains(": expected "), "{text}");
        }
    }
}
