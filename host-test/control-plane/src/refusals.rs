//! What is refused under policies, and why that is right.

/// A refusal that is right.
pub struct Refusal {
    /// The end of the user's name.
    pub user: &'static str,
    /// `CREATE` or `UPDATE`.
    pub operation: &'static str,
    /// Kinds, with a subresource after a slash; empty for any.
    pub kinds: &'static [&'static str],
    /// Whether policies that mend objects refuse it as well.
    pub where_mended: bool,
    /// Why it is right.
    pub reason: &'static str,
}

/// What is refused where the pod violates a policy. Everything else is let in.
pub const REFUSALS: [Refusal; 12] = [
    Refusal {
        user: "admin",
        operation: "CREATE",
        kinds: &[],
        where_mended: false,
        reason: "a new object would run what violates the policy",
    },
    Refusal {
        user: "admin",
        operation: "UPDATE",
        kinds: &[
            "PodTemplate",
            "ReplicationController",
            "ReplicaSet",
            "Deployment",
            "StatefulSet",
            "DaemonSet",
            "CronJob",
            "Job",
            "Rollout",
        ],
        where_mended: false,
        reason: "the template is another one and violates the policy: a restart, an image, a rollback, \
                 and for a suspended Job a node selector",
    },
    Refusal {
        user: "admin",
        operation: "UPDATE",
        kinds: &["Pod"],
        where_mended: true,
        reason: "another image would run in a pod that violates the policy, and nothing mends a pod that runs",
    },
    Refusal {
        user: "admin",
        operation: "UPDATE",
        kinds: &["Pod/ephemeralcontainers"],
        where_mended: true,
        reason: "a debug container in a pod that violates the policy, or one that violates it itself",
    },
    Refusal {
        user: "replicaset-controller",
        operation: "CREATE",
        kinds: &["Pod"],
        where_mended: false,
        reason: "a new pod is judged, however old its template is",
    },
    Refusal {
        user: "replication-controller",
        operation: "CREATE",
        kinds: &["Pod"],
        where_mended: false,
        reason: "a new pod is judged, however old its template is",
    },
    Refusal {
        user: "statefulset-controller",
        operation: "CREATE",
        kinds: &["Pod"],
        where_mended: false,
        reason: "a new pod is judged, however old its template is",
    },
    Refusal {
        user: "daemon-set-controller",
        operation: "CREATE",
        kinds: &["Pod"],
        where_mended: false,
        reason: "a new pod is judged, however old its template is",
    },
    Refusal {
        user: "job-controller",
        operation: "CREATE",
        kinds: &["Pod"],
        where_mended: false,
        reason: "a new pod is judged, however old its template is",
    },
    Refusal {
        user: "cronjob-controller",
        operation: "CREATE",
        kinds: &["Job"],
        where_mended: false,
        reason: "a new Job is judged, however old its CronJob is",
    },
    Refusal {
        user: "admin",
        operation: "UPDATE",
        kinds: &["Job"],
        where_mended: true,
        reason: "a suspended Job gets a node selector: a policy that mends leaves the template, which is immutable, as it \
                 is, and another policy judges it",
    },
    Refusal {
        user: "admin",
        operation: "CREATE",
        kinds: &["Pod"],
        where_mended: true,
        reason: "an injector added a container after the policies had changed the pod, and the twin judges it",
    },
];
