//! Where the pod lives in each kind of object.

/// A kind whose objects hold a pod template.
pub struct Workload {
    /// API group, empty for core.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Dotted path to the object that holds the pod's metadata and spec; empty for the object itself.
    pub template: &'static str,
}

impl Workload {
    /// Whether this is the kind. It is a call because the comparisons would be unfolded for each kind.
    #[inline(never)]
    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.kind == kind && self.group == group
    }
}

const fn workload(group: &'static str, kind: &'static str, template: &'static str) -> Workload {
    Workload { group, kind, template }
}

/// The kinds of Kubernetes itself.
pub const WORKLOADS: [Workload; 9] = [
    workload("", "Pod", ""),
    workload("", "PodTemplate", "template"),
    workload("", "ReplicationController", "spec.template"),
    workload("apps", "ReplicaSet", "spec.template"),
    workload("apps", "Deployment", "spec.template"),
    workload("apps", "StatefulSet", "spec.template"),
    workload("apps", "DaemonSet", "spec.template"),
    workload("batch", "Job", "spec.template"),
    workload("batch", "CronJob", "spec.jobTemplate.spec.template"),
];
