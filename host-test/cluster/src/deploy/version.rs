//! What the policies of a cluster get so that they decide as its version of Kubernetes does.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::WHOLE;
use crate::gatekeeper::Equivalent;
use crate::standards::{self, Level};

/// The oldest version that single policies can decide as. Before, other SELinux types were allowed.
const OLDEST: u32 = 31;

/// The first version whose standards restrict the hosts of probes.
const HOST_PROBES: u32 = 34;

/// The first version whose standards allow more in user namespaces.
const USER_NAMESPACES: u32 = 35;

/// A version of Kubernetes: 1, and this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor(u32);

/// A text is not a version of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 1.{OLDEST} or later, such as 1.34")]
pub struct MinorError;

impl FromStr for Minor {
    type Err = MinorError;

    /// Reads `1.34`, and what a cluster reports: `v1.34.2+k3s1`.
    fn from_str(text: &str) -> Result<Self, MinorError> {
        let rest = text.strip_prefix('v').unwrap_or(text).strip_prefix("1.").ok_or(MinorError)?;
        let minor = rest.split('.').next().unwrap_or_default();
        let is_number = minor.len() <= 3 && minor.bytes().all(|byte| byte.is_ascii_digit());
        let minor = minor.parse().ok().filter(|minor| is_number && *minor >= OLDEST);
        minor.map(Self).ok_or(MinorError)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "v1.{}", self.0)
    }
}

/// A setting that makes a policy decide as a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) setting: &'static str,
    pub(super) value: Value,
    /// The setting that replaces it.
    pub(super) unless: Option<&'static str>,
}

impl Pinned {
    /// Whether settings have it or what replaces it.
    pub(super) fn is_given(&self, settings: &Map<String, Value>) -> bool {
        settings.contains_key(self.setting) || self.unless.is_some_and(|unless| settings.contains_key(unless))
    }
}

impl Minor {
    /// Whether the standards of this version allow more in user namespaces.
    pub(super) fn has_user_namespaces(self) -> bool {
        self.0 >= USER_NAMESPACES
    }

    /// The settings that make a policy decide as this version.
    pub(super) fn settings(self, policy: &str) -> Vec<Pinned> {
        let (setting, value, unless) = match policy {
            WHOLE => ("version", json!(self.to_string()), None),
            "sysctls" => ("allowedSysctls", json!(self.sysctls()), Some("allowedUnsafeSysctls")),
            "host-probes" => ("allowedHosts", json!([]), None),
            _ => return Vec::new(),
        };
        vec![Pinned { setting, value, unless }]
    }

    /// The safe sysctls of this version.
    fn sysctls(self) -> Vec<&'static str> {
        podfence_sysctls::SAFE.iter().filter(|(since, _)| *since <= self.0).map(|(_, name)| *name).collect()
    }
}

/// The policies and the settings that together decide as a version of a level; the newest one without a version.
///
/// Only of pods in user namespaces does `users` decide as 1.35.
pub(super) fn singles(level: Level, minor: Option<Minor>) -> Vec<Equivalent> {
    let mut singles = standards::singles(level);
    let Some(minor) = minor else { return singles };
    singles.retain(|of| of.policy != "host-probes" || minor.0 >= HOST_PROBES);
    for of in &mut singles {
        for pinned in minor.settings(of.policy) {
            of.settings.insert(pinned.setting.to_owned(), pinned.value);
        }
        if of.policy == "proc-mount" && !minor.has_user_namespaces() {
            of.settings.shift_remove("allowAnyInUserNamespace");
        }
    }
    singles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_clusters_report_it() {
        for (text, expected) in [
            ("1.34", Some("v1.34")),
            ("v1.37", Some("v1.37")),
            ("v1.34.2+k3s1", Some("v1.34")),
            ("1.40.0", Some("v1.40")),
            ("1.30", None),
            ("1.", None),
            ("1.+40", None),
            ("1.99999999999", None),
            ("2.34", None),
            ("latest", None),
            ("", None),
        ] {
            let read = text.parse::<Minor>().ok().map(|minor| minor.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_version_has_its_own_sysctls() {
        let count = |minor: u32| Minor(minor).sysctls().len();
        assert_eq!((count(31), count(32), count(36), count(37), count(38)), (10, 12, 12, 14, 14));
    }
}
