//! The kinds of Kubernetes that hold a pod, and where it is in them.

/// A kind whose objects hold a pod template.
pub struct Workload {
    /// API group, empty for core.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// The name of the resource in URLs and rules.
    pub plural: &'static str,
    /// Dotted path to the object that holds the pod's metadata and spec; empty for the object itself.
    pub template: &'static str,
}

impl Workload {
    /// Whether this is the kind. Not inlined, because the comparisons would be for each kind.
    #[inline(never)]
    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.kind == kind && self.group == group
    }
}

const fn workload(group: &'static str, kind: &'static str, plural: &'static str, template: &'static str) -> Workload {
    Workload { group, kind, plural, template }
}

/// The kinds of Kubernetes, all of them namespaced and of version `v1`.
pub const WORKLOADS: [Workload; 9] = [
    workload("", "Pod", "pods", ""),
    workload("", "PodTemplate", "podtemplates", "template"),
    workload("", "ReplicationController", "replicationcontrollers", "spec.template"),
    workload("apps", "ReplicaSet", "replicasets", "spec.template"),
    workload("apps", "Deployment", "deployments", "spec.template"),
    workload("apps", "StatefulSet", "statefulsets", "spec.template"),
    workload("apps", "DaemonSet", "daemonsets", "spec.template"),
    workload("batch", "Job", "jobs", "spec.template"),
    workload("batch", "CronJob", "cronjobs", "spec.jobTemplate.spec.template"),
];
