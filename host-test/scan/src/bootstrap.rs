//! The roles and role bindings that the API server makes in every cluster. A scan may be of what a cluster has.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::judge::Violation;
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

/// The policies that reject them. In a cluster, they exempt the API server.
const OF_BINDINGS: &str = "role-bindings";
const OF_ROLES: &str = "roles";

/// Why what is known here is left alone.
const REASON: &str = "the API server makes it in every cluster";

/// Why an object that a policy rejects is left alone; `None` unless it is one of these bindings, with no other role and no
/// other subjects.
pub fn reason(policy: &str, object: &Object) -> Option<&'static str> {
    let kind = || GroupVersionKind::new("rbac.authorization.k8s.io/v1", "ClusterRoleBinding");
    if policy != OF_BINDINGS || object.kind != kind() {
        return None;
    }
    let (role, groups) = BINDINGS.iter().find(|(name, _)| *name == object.name)?;
    let binding: Value = serde_json::from_str(&object.json).ok()?;
    let is_role = binding["roleRef"]["kind"] == "ClusterRole" && binding["roleRef"]["name"] == *role;
    let is_subject =
        |subject: &Value| subject["kind"] == "Group" && groups.iter().any(|group| subject["name"] == *group);
    let are_subjects = binding["subjects"].as_array()?.iter().all(is_subject);
    (is_role && are_subjects).then_some(REASON)
}

/// The rules of these roles that the policy rejects with any settings, of Kubernetes 1.34 to 1.37: one role a line, from
/// `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata`. `admin` and `edit` have those that are aggregated into them.
const ROLES: &str = include_str!("bootstrap/roles.jsonl");

static ROLES_READ: LazyLock<Vec<Role>> =
    LazyLock::new(|| ROLES.lines().map(|line| serde_json::from_str(line).expect("a role")).collect());

#[derive(Deserialize)]
struct Role {
    kind: String,
    namespace: Option<String>,
    name: String,
    rules: Vec<Rule>,
}

/// A rule. The order in its lists says nothing.
#[derive(Deserialize)]
#[serde(from = "Lists")]
struct Rule([Vec<String>; 5]);

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Lists {
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    verbs: Vec<String>,
}

impl From<Lists> for Rule {
    fn from(of: Lists) -> Self {
        let mut lists = [of.api_groups, of.resources, of.resource_names, of.non_resource_urls, of.verbs];
        lists.iter_mut().for_each(|list| list.sort());
        Self(lists)
    }
}

/// Why a role with these violations is left alone; `None` unless it is one that the API server makes, by its name and
/// label, and each rule that a violation is at is one that the API server writes into it.
pub fn reason_of_role(policy: &str, object: &Object, violations: &[Violation]) -> Option<&'static str> {
    let is_labelled = object.labels.get("kubernetes.io/bootstrapping").is_some_and(|label| label == "rbac-defaults");
    if policy != OF_ROLES || object.kind.group != "rbac.authorization.k8s.io" || !is_labelled {
        return None;
    }
    let is_this =
        |role: &&Role| role.kind == object.kind.kind && role.name == object.name && role.namespace == object.namespace;
    let known = ROLES_READ.iter().find(is_this)?;
    let found: Value = serde_json::from_str(&object.json).ok()?;
    let is_known = |violation: &Violation| {
        let index: usize = violation.path.strip_prefix("rules[")?.split_once(']')?.0.parse().ok()?;
        let rule = Rule::deserialize(found["rules"].get(index)?).ok()?;
        known.rules.iter().any(|known| known.0 == rule.0).then_some(())
    };
    violations.iter().all(|violation| is_known(violation).is_some()).then_some(REASON)
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
