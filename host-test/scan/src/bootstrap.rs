//! The role bindings that the API server makes in every cluster. A scan may be of what a cluster has.

use serde_json::Value;

use crate::object::Object;
use crate::request::GroupVersionKind;

/// Each by its name, which is that of its ClusterRole as well, with its groups.
const BINDINGS: [(&str, &[&str]); 5] = [
    ("cluster-admin", &["system:masters"]),
    ("system:basic-user", &["system:authenticated"]),
    ("system:discovery", &["system:authenticated"]),
    ("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
    ("system:service-account-issuer-discovery", &["system:serviceaccounts"]),
];

/// The policy that rejects them. In a cluster, it exempts the API server.
const POLICY: &str = "role-bindings";

/// Why an object that a policy rejects is left alone; `None` unless it is one of these bindings, with no other role and no
/// other subjects.
pub fn reason(policy: &str, object: &Object) -> Option<&'static str> {
    let kind = || GroupVersionKind::new("rbac.authorization.k8s.io/v1", "ClusterRoleBinding");
    if policy != POLICY || object.kind != kind() {
        return None;
    }
    let (role, groups) = BINDINGS.iter().find(|(name, _)| *name == object.name)?;
    let binding: Value = serde_json::from_str(&object.json).ok()?;
    let is_role = binding["roleRef"]["kind"] == "ClusterRole" && binding["roleRef"]["name"] == *role;
    let is_subject =
        |subject: &Value| subject["kind"] == "Group" && groups.iter().any(|group| subject["name"] == *group);
    let are_subjects = binding["subjects"].as_array()?.iter().all(is_subject);
    (is_role && are_subjects).then_some("the API server makes it in every cluster")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{self, Content};
    use serde_json::json;

    #[test]
    fn the_bindings_of_every_cluster_are_known_by_name_role_and_subjects() {
        let of = |name: &str, role: &str, subjects: &[(&str, &str)]| {
            let subjects: Vec<Value> =
                subjects.iter().map(|(kind, name)| json!({"kind": kind, "name": name})).collect();
            let binding = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
                "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": subjects,
            });
            let Content::One(object) = object::content(binding.to_string()) else { panic!("an object") };
            (reason("role-bindings", &object).is_some(), reason("privileged", &object))
        };
        let (masters, all) = (("Group", "system:masters"), ("Group", "system:authenticated"));
        assert_eq!(of("cluster-admin", "cluster-admin", &[masters]), (true, None));
        assert_eq!(of("system:public-info-viewer", "system:public-info-viewer", &[all]), (true, None));
        for other in [
            of("cluster-admin", "cluster-admin", &[masters, all]),
            of("cluster-admin", "cluster-admin", &[("User", "system:masters")]),
            of("admins", "cluster-admin", &[masters]),
            of("system:discovery", "cluster-admin", &[all]),
        ] {
            assert_eq!(other, (false, None));
        }
    }
}
