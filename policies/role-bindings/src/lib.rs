//! Rejects bindings that give a role to everybody, or the role `cluster-admin` to anybody.
//!
//! Whoever holds `cluster-admin` can do everything in the cluster, and read everything. A role that is bound to all
//! users, to anonymous ones or to all service accounts is in the hands of whoever reaches the API server, or runs a pod.
//! The group `system:masters` passes every authorizer, and nothing that is bound to it can be taken from it. The service
//! account `default` is that of each pod that names no other.
//!
//! On UPDATE, subjects that stood in the binding before are not judged again. The role is, if a subject is new: it
//! gets the role.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Element, Kind, List, Resource, Rule, Settings, String, Violations};

podfence_core::fields! {
    ROLE_KIND: String = Object "roleRef.kind";
    ROLE_NAME: String = Object "roleRef.name",
        allowed "of a ClusterRole: none of `deniedRoles` (`cluster-admin`)";
    SUBJECTS: ObjectList = Object "subjects";
    SUBJECT_KIND: String = Object "subjects[*].kind";
    SUBJECT_NAME: String = Object "subjects[*].name",
        allowed "of a Group: none of `deniedGroups`; of a User: not `system:anonymous`; of a ServiceAccount, or of a User \
            that is one: not `default`";
}

podfence_core::settings! {
    /// Denies these ClusterRoles to everybody. In this and the other lists, an entry is a name, or a prefix with a `*` at its
    /// end. A given list replaces the default.
    DENIED_ROLES: StringList = "deniedRoles", default "[\"cluster-admin\"]";
    /// Denies all roles to these groups. A given list replaces the default.
    DENIED_GROUPS: StringList = "deniedGroups",
        default "[\"system:unauthenticated\",\"system:authenticated\",\"system:masters\",\"system:serviceaccounts\",\"system:serviceaccounts:*\"]";
    /// Accepts bindings with these names, such as `kubeadm:*` in clusters that kubeadm makes. Whoever creates a binding
    /// chooses its name: a name protects nothing from users who may create bindings.
    ALLOWED_BINDINGS: StringList = "allowedBindings", default "[]";
}

podfence_core::policy! {
    name: "role-bindings",
    on: [
        Kind::namespaced("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
        Kind::of_cluster("rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings"),
    ],
    exempt_users: ["system:apiserver"],
    check: check,
    validate: validate,
}

static ROLE: Rule = Rule {
    control: "roles",
    reason: "role",
    detail: "roleRef must not be ClusterRole {values}",
    fix: "bind a role that grants what the subjects need",
    setting: Some(DENIED_ROLES.path),
    ..Rule::PLAIN
};

static GROUP: Rule = Rule {
    control: "groups",
    reason: "group",
    detail: "{who} must not be {values:Group|Groups} {values}",
    fix: "bind the role to the users or groups that need it",
    setting: Some(DENIED_GROUPS.path),
    ..Rule::PLAIN
};

static ANONYMOUS: Rule = Rule {
    control: "anonymous",
    reason: "anonymous user",
    detail: "{who} must not be User {values}",
    fix: "bind the role to the users or groups that need it",
    ..Rule::PLAIN
};

static DEFAULT_ACCOUNT: Rule = Rule {
    control: "defaultServiceAccount",
    reason: "default service account",
    detail: "{who} must not be the service account \"default\"",
    fix: "make a service account for the pods that need the role, and bind it to that",
    ..Rule::PLAIN
};

/// What the name of a service account starts with as that of a user, before its namespace and its name.
const ACCOUNT: &str = "system:serviceaccount:";

/// Reports subjects that must not have a role, and roles that nobody must have.
pub fn check<'v>(binding: &Resource<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    if settings.strings(ALLOWED_BINDINGS).matches(binding.name()) {
        return;
    }
    let subjects = binding.new_elements(SUBJECTS);
    let role = binding.get(ROLE_NAME).unwrap_or_default();
    let is_denied = binding.get(ROLE_KIND) == Some("ClusterRole") && settings.strings(DENIED_ROLES).matches(role);
    if is_denied && !subjects.is_empty() {
        found.add(&ROLE, binding.at(ROLE_NAME));
    }
    let denied_groups = settings.strings(DENIED_GROUPS);
    for subject in &subjects {
        if let Some(rule) = refusal(subject, denied_groups) {
            found.add(rule, subject.at(SUBJECT_NAME));
        }
    }
}

/// Returns the rule that a subject violates; `None` if it may have a role.
fn refusal(subject: &Element<'_>, denied_groups: List<'_>) -> Option<&'static Rule> {
    let name = subject.get(SUBJECT_NAME).unwrap_or_default();
    match subject.get(SUBJECT_KIND)? {
        "Group" if denied_groups.matches(name) => Some(&GROUP),
        "User" if name == "system:anonymous" => Some(&ANONYMOUS),
        "User" if is_default_account(name) => Some(&DEFAULT_ACCOUNT),
        "ServiceAccount" if name == "default" => Some(&DEFAULT_ACCOUNT),
        _ => None,
    }
}

/// Whether a user is the account `default` of some namespace.
fn is_default_account(user: &str) -> bool {
    let account = user.strip_prefix(ACCOUNT).and_then(|account| account.strip_suffix(":default"));
    account.is_some_and(|namespace| !namespace.is_empty() && !namespace.contains(':'))
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// An entry is neither a name nor a prefix with a `*` at its end.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    [DENIED_ROLES, DENIED_GROUPS, ALLOWED_BINDINGS].into_iter().try_for_each(|list| settings.validate_patterns(list))
}
