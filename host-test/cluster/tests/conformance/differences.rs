//! Where we decide otherwise on purpose.

use crate::corpus::Corpus;

/// How a decision differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Rejected here, allowed there.
    Stricter,
    /// A policy refuses the settings here, so that there is no decision.
    Refused,
}

impl How {
    pub fn name(self) -> &'static str {
        match self {
            How::Stricter => "stricter",
            How::Refused => "settings refused",
        }
    }
}

/// Cases with one reason to be decided otherwise.
pub struct Difference {
    pub corpus: Corpus,
    pub how: How,
    pub cases: &'static [&'static str],
    pub reason: &'static str,
}

/// A case that is no such difference any more fails.
pub const DIFFERENCES: [Difference; 4] = [
    Difference {
        corpus: Corpus::Gatekeeper,
        how: How::Stricter,
        cases: &[
            "allow-privilege-escalation/allow-privilege-escalation/update",
            "capabilities/capabilities-baseline/update",
            "capabilities/capabilities-restricted/update",
            "flexvolume-drivers/flexvolume-drivers/update",
            "forbidden-sysctls/forbidden-sysctls-wildcard/update",
            "forbidden-sysctls/forbidden-sysctls/update",
            "forbidden-sysctls/forbidden-sysctls3/update",
            "forbidden-sysctls/forbidden-sysctls4-empty-allowedSysctls/update",
            "forbidden-sysctls/forbidden-sysctls5-unspecified-allowedSysctls/update",
            "fsgroup/fsgroup/update",
            "host-filesystem/host-filesystem/update",
            "host-namespaces/host-namespace/update",
            "host-network-ports/port-range-with-host-network-allowed/update",
            "host-network-ports/port-range-with-host-network-forbidden/update",
            "host-probes-lifecycle/host-probes-lifecycle-disallowed/update",
            "host-process/host-process-disallowed/update",
            "privileged-containers/privileged-containers-disallowed/update",
            "proc-mount/default-proc-mount-required/update",
            "read-only-root-filesystem/require-read-only-root-filesystem/update",
            "selinux/require-matching-selinux-options/update",
            "users/users-and-groups-together/update",
            "volumes/host-path-disallowed/update",
        ],
        reason: "Gatekeeper lets every update of a pod pass. We judge those that change what is judged, among them new \
            ephemeral containers; without the old object, nobody can tell.",
    },
    Difference {
        corpus: Corpus::Gatekeeper,
        how: How::Stricter,
        cases: &[
            "seccomp/default-seccomp-required/example-allowed-container",
            "seccomp/default-seccomp-required/example-allowed-global",
        ],
        reason: "Annotations for seccomp have no effect since Kubernetes 1.27: what they say protects nothing.",
    },
    Difference {
        corpus: Corpus::Gatekeeper,
        how: How::Stricter,
        cases: &["apparmor/apparmor/example-allowed-override"],
        reason: "What is forbidden counts at the pod even where all containers override it: a later one inherits it.",
    },
    Difference {
        corpus: Corpus::Gatekeeper,
        how: How::Refused,
        cases: &[
            "fsgroup/fsgroup-empty-ranges/example-disallowed-2000",
            "fsgroup/fsgroup-empty-ranges/example-disallowed-500",
            "fsgroup/fsgroup-empty-ranges/update",
        ],
        reason: "A rule that demands a group in one of no ranges is a mistake in the settings, and told as one.",
    },
];

/// How a case is known to be decided otherwise.
pub fn known(corpus: Corpus, case: &str) -> Option<How> {
    let difference = DIFFERENCES.iter().find(|known| known.corpus == corpus && known.cases.contains(&case));
    difference.map(|difference| difference.how)
}

#[test]
fn every_difference_has_a_reason_and_one_row() {
    let mut cases = std::collections::BTreeSet::new();
    for difference in &DIFFERENCES {
        assert!(!difference.cases.is_empty() && !difference.reason.is_empty());
        for case in difference.cases {
            assert!(cases.insert((difference.corpus.name(), case)), "{case} is there twice");
        }
    }
}
