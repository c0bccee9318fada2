//! The Pod Security Standards, put together from single policies.
//!
//! `pod-security-standards` decides a level at once, in every version and in the words of the built-in
//! admission. The single policies are for those who want settings: together they decide as its newest version.

pub use podfence_scan::standard::Level;
use serde_json::json;

use crate::gatekeeper::{Equivalent, Parameters, object};

/// The policies and the settings that together decide as the newest version of a level: what one of them
/// rejects is rejected.
///
/// Only of Windows pods do they reject more at the restricted level: capabilities and seccomp profiles that are set
/// where they may not be, which Kubernetes itself refuses there.
pub fn singles(level: Level) -> Vec<Equivalent> {
    let rows: &[Single] = match level {
        Level::Baseline => &BASELINE,
        Level::Restricted => &RESTRICTED,
    };
    rows.iter().map(|(policy, settings)| Equivalent { policy, settings: settings() }).collect()
}

type Single = (&'static str, fn() -> Parameters);

const DEFAULTS: fn() -> Parameters = Parameters::new;

/// Where the restricted level asks for more, a policy is told to ask for less.
const BASELINE: [Single; 12] = [
    ("apparmor", DEFAULTS),
    ("capabilities", capabilities),
    ("host-namespaces", DEFAULTS),
    ("host-path", DEFAULTS),
    ("host-ports", DEFAULTS),
    ("host-probes", DEFAULTS),
    ("host-process", DEFAULTS),
    ("privileged", DEFAULTS),
    ("proc-mount", || object([("allowAnyInUserNamespace", json!(true))])),
    ("seccomp", || object([("required", json!(false))])),
    ("selinux", DEFAULTS),
    ("sysctls", DEFAULTS),
];

/// Without settings, a policy is its control at this level. `volumes` stands for `host-path`, too.
const RESTRICTED: [Single; 14] = [
    ("allow-privilege-escalation", DEFAULTS),
    ("apparmor", DEFAULTS),
    ("capabilities", DEFAULTS),
    ("host-namespaces", DEFAULTS),
    ("host-ports", DEFAULTS),
    ("host-probes", DEFAULTS),
    ("host-process", DEFAULTS),
    ("privileged", DEFAULTS),
    ("proc-mount", DEFAULTS),
    ("seccomp", DEFAULTS),
    ("selinux", DEFAULTS),
    ("sysctls", DEFAULTS),
    ("users", DEFAULTS),
    ("volumes", DEFAULTS),
];

/// What containers start with, less what forges packets.
fn capabilities() -> Parameters {
    object([("allowedCapabilities", json!(podfence_capabilities::DEFAULTS)), ("requiredDropCapabilities", json!([]))])
}
