use podfence_role_bindings::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, is_matched, setting_texts, text, values, violation};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("metadata.name", 20, &["kubeadm:get-nodes", "readers"], &["", "kubeadm"]),
        values("roleRef.kind", 3, &["ClusterRole", "Role"], &["", "clusterrole"]),
        values("roleRef.name", 3, &["view", "cluster-admin", "admin"], &["", "cluster-admin "]),
        values("subjects[*].kind", 3, &["User", "Group", "ServiceAccount"], &["", "group"]),
        values(
            "subjects[*].name",
            3,
            &[
                "jane",
                "default",
                "system:anonymous",
                "system:masters",
                "system:authenticated",
                "system:unauthenticated",
                "system:serviceaccounts",
                "system:serviceaccounts:web",
                "system:serviceaccount:web:default",
                "system:serviceaccount:default:web",
            ],
            &["", "system:serviceaccount::default", "system:serviceaccount:a:b:default", "system:serviceaccount:default"],
        ),
    ],
    settings,
    check,
    message: None,
    mutate: None,
};

const GROUPS: [&str; 5] = [
    "system:unauthenticated",
    "system:authenticated",
    "system:masters",
    "system:serviceaccounts",
    "system:serviceaccounts:*",
];

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.texts("deniedRoles", &["cluster-admin", "admin", "v*"]);
    settings.texts("deniedGroups", &["system:masters", "system:serviceaccounts:*", "jane"]);
    settings.texts("allowedBindings", &["kubeadm:*", "readers"]);
    settings.done()
}

fn check(binding: &Pod<'_>) -> Vec<Violation> {
    let has = |setting: &str, default: &[&str], name: &str| {
        let entries = setting_texts(binding.settings, setting, default);
        !name.is_empty() && entries.iter().any(|entry| is_matched(entry, name))
    };
    if has("allowedBindings", &[], text(binding.template, "metadata.name")) {
        return Vec::new();
    }
    let subjects = binding.new_elements("subjects");
    let mut found = Vec::new();
    let is_cluster_role = text(binding.template, "roleRef.kind") == "ClusterRole";
    let role = text(binding.template, "roleRef.name");
    if !subjects.is_empty() && is_cluster_role && has("deniedRoles", &["cluster-admin"], role) {
        found.push(violation("roles", "roleRef.name"));
    }
    for (index, subject) in subjects {
        let name = text(subject, "name");
        let parts: Vec<&str> = name.split(':').collect();
        let control = match text(subject, "kind") {
            "Group" if has("deniedGroups", &GROUPS, name) => "groups",
            "User" if name == "system:anonymous" => "anonymous",
            "User" => match parts[..] {
                ["system", "serviceaccount", namespace, "default"] if !namespace.is_empty() => "defaultServiceAccount",
                _ => continue,
            },
            "ServiceAccount" if name == "default" => "defaultServiceAccount",
            _ => continue,
        };
        found.push(violation(control, format!("subjects[{index}].name")));
    }
    found
}
