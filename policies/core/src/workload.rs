//! The kinds of Kubernetes that hold a pod, and where it is in them.

use crate::text::{is, is_among};

/// A kind whose objects hold a pod template.
pub struct Workload {
    /// API group, empty for core.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// The name of the resource in URLs and rules.
    #[cfg(feature = "docs")]
    pub plural: &'static str,
    /// Dotted path to the object that holds the pod's metadata and spec; empty for the object itself.
    pub template: &'static str,
}

impl Workload {
    fn is(&self, group: &str, kind: &str) -> bool {
        is(self.kind, kind) && is(self.group, group)
    }

    /// Whether a controller makes such objects as copies of its own template, and compares them with it later.
    pub(crate) fn is_copy(&self) -> bool {
        is_among(self.kind, &["ReplicaSet", "ReplicationController"])
    }

    /// Whether the API server refuses every change of the template.
    pub(crate) fn is_immutable(&self) -> bool {
        is(self.kind, "Job")
    }
}

/// The workload of a kind.
pub(crate) fn find(group: &str, kind: &str) -> Option<&'static Workload> {
    static ALL: &[Workload] = &WORKLOADS;
    ALL.iter().find(|workload| workload.is(group, kind))
}

#[cfg_attr(not(feature = "docs"), allow(unused_variables))]
const fn workload(group: &'static str, kind: &'static str, plural: &'static str, template: &'static str) -> Workload {
    Workload {
        group,
        kind,
        #[cfg(feature = "docs")]
        plural,
        template,
    }
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
