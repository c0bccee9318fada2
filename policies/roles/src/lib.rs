//! Rejects roles that grant what makes its holder, sooner or later, an administrator.
//!
//! Whoever may read secrets, create tokens, run commands in pods, impersonate others or change the webhooks of the cluster
//! has the rights of others, or can take them. A `*` grants what exists today, and what will exist tomorrow. The policy
//! asks what a rule grants, by the API server's own evaluation, and not what is written in it: a `*` counts as each danger
//! that it grants. `resourceNames` do not help where the API server does not compare them, or where one name is enough.
//!
//! A Role is judged as a ClusterRole is. Of an aggregated ClusterRole, what the controller writes is judged at its source,
//! and what a user writes is judged. If the controllers have no service accounts of their own (kube-controller-manager
//! without `--use-service-account-credentials`), `system:kube-controller-manager` writes it: add that user to
//! `exempt.users`. On UPDATE, rules that stood in the role before are not judged again.
//!
//! `podfence scan` does not report the roles that the API server makes in every cluster, such as `cluster-admin`. It knows
//! them by name, by the label `kubernetes.io/bootstrapping: rbac-defaults`, and by each rule that would be reported, as
//! Kubernetes 1.34 to 1.37 have it: a rule that somebody has added to one is reported, with all of the role.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Element, Kind, List, Resource, Rule, Settings, String, Violations};

podfence_core::fields! {
    RULES: ObjectList = Object "rules",
        allowed "rules that grant nothing of what a control names, unless `allow` (`podCreation`) has the control";
    API_GROUPS: StringList = Object "rules[*].apiGroups";
    RESOURCES: StringList = Object "rules[*].resources",
        allowed "no `*`, except in API groups of `allowedWildcardGroups` (none); `*/scale` counts as a name";
    VERBS: StringList = Object "rules[*].verbs",
        allowed "no `*`, except in API groups of `allowedWildcardGroups` (none), and for `nonResourceURLs`";
    NAMES: StringList = Object "rules[*].resourceNames";
}

podfence_core::settings! {
    /// Allows what these controls deny. A given list replaces the default.
    ALLOW: StringList = "allow",
        one_of ["wildcards", "escalate", "bind", "impersonate", "secrets", "nodesProxy", "podExec", "serviceAccountTokens",
            "persistentVolumes", "csrApproval", "webhooks", "podCreation"],
        default "[\"podCreation\"]";
    /// Allows a `*` in verbs and resources in these API groups, such as one of your own. The core group is `""`. What a
    /// `*` grants there is judged all the same.
    WILDCARD_GROUPS: StringList = "allowedWildcardGroups", default "[]";
    /// Denies the verb `bind` for these roles, where `resourceNames` name what may be bound. In this list and the next, an
    /// entry is a name, or a prefix with a `*` at its end. A given list replaces the default.
    DENIED_ROLES: StringList = "deniedRoles", default "[\"cluster-admin\"]";
    /// Accepts roles with these names. Whoever creates a role chooses its name: a name protects nothing from users who may
    /// create roles, not even one that starts with `system:`.
    ALLOWED_ROLES: StringList = "allowedRoles", default "[]";
}

podfence_core::policy! {
    name: "roles",
    on: [
        Kind::namespaced("rbac.authorization.k8s.io", "Role", "roles"),
        Kind::of_cluster("rbac.authorization.k8s.io", "ClusterRole", "clusterroles"),
    ],
    exempt_users: ["system:apiserver", "system:serviceaccount:kube-system:clusterrole-aggregation-controller"],
    check: check,
    validate: validate,
}

static WILDCARD_VERBS: Rule = Rule {
    control: "wildcards",
    reason: "wildcard",
    detail: "{who} must not have \"*\" in verbs",
    fix: "list the verbs that are needed",
    ..Rule::PLAIN
};

static WILDCARD_RESOURCES: Rule = Rule {
    detail: "{who} must not have \"*\" in resources",
    fix: "list the resources that are needed",
    ..WILDCARD_VERBS
};

static ESCALATE: Rule = Rule {
    control: "escalate",
    reason: "escalate",
    detail: "{who} must not grant escalate on roles or clusterroles",
    fix: "remove the verb: who has it can give a role any right",
    ..Rule::PLAIN
};

static BIND: Rule = Rule {
    control: "bind",
    reason: "bind",
    detail: "{who} must not grant bind on roles or clusterroles without resourceNames",
    fix: "name the roles that may be bound in resourceNames",
    ..Rule::PLAIN
};

static BIND_DENIED: Rule = Rule {
    detail: "{who} must not grant bind on such roles",
    fix: "remove the roles that must not be bound from resourceNames",
    setting: Some(DENIED_ROLES.path),
    ..BIND
};

static IMPERSONATE: Rule = Rule {
    control: "impersonate",
    reason: "impersonate",
    detail: "{who} must not grant impersonation of users, groups, service accounts or nodes",
    fix: "remove the verb: who has it acts as whoever can do more",
    ..Rule::PLAIN
};

static SECRETS: Rule = Rule {
    control: "secrets",
    reason: "secrets",
    detail: "{who} must not grant list or watch on secrets, nor get without resourceNames",
    fix: "grant get alone, and name the secrets in resourceNames",
    ..Rule::PLAIN
};

static NODES_PROXY: Rule = Rule {
    control: "nodesProxy",
    reason: "nodes/proxy",
    detail: "{who} must not grant access to nodes/proxy",
    fix: "grant nodes/metrics, nodes/stats or nodes/log, which run no commands",
    ..Rule::PLAIN
};

static POD_EXEC: Rule = Rule {
    control: "podExec",
    reason: "commands in pods",
    detail: "{who} must not grant pods/exec, pods/attach, pods/portforward or changes of pods/ephemeralcontainers",
    fix: "remove the resource: who has it acts with the rights of the pods",
    ..Rule::PLAIN
};

static TOKENS: Rule = Rule {
    control: "serviceAccountTokens",
    reason: "service account tokens",
    detail: "{who} must not grant create on serviceaccounts/token",
    fix: "remove the resource: who has it acts as the service accounts",
    ..Rule::PLAIN
};

static VOLUMES: Rule = Rule {
    control: "persistentVolumes",
    reason: "persistent volumes",
    detail: "{who} must not grant create on persistentvolumes",
    fix: "remove the verb, and let a provisioner create volumes: one with a hostPath reads any file of a node",
    ..Rule::PLAIN
};

static CSR_APPROVAL: Rule = Rule {
    control: "csrApproval",
    reason: "certificate approval",
    detail: "{who} must not grant update or patch on certificatesigningrequests/approval",
    fix: "remove the resource: who has it and may approve for a signer makes certificates of any user",
    ..Rule::PLAIN
};

static WEBHOOKS: Rule = Rule {
    control: "webhooks",
    reason: "admission configuration",
    detail: "{who} must not grant changes of webhook configurations or admission policies",
    fix: "remove the verbs: who has them reads and changes all that is written, and switches policies off",
    ..Rule::PLAIN
};

static POD_CREATION: Rule = Rule {
    control: "podCreation",
    reason: "pod creation",
    detail: "{who} must not grant create on pods or workloads",
    fix: "remove the verb: pods run with any service account of the namespace, and mount its secrets",
    ..Rule::PLAIN
};

/// What `resourceNames` change.
enum Named {
    /// Nothing.
    Denied,
    /// What is named is allowed.
    Allowed,
    /// What is named is allowed, except the denied roles.
    Bound,
}

/// What no rule should grant: one of the verbs on one of the resources in a group.
struct Danger {
    rule: &'static Rule,
    group: &'static str,
    /// One that ends in `/` stands for each of its subresources.
    resources: &'static [&'static str],
    /// One that ends in `:` stands for each verb that starts so.
    verbs: &'static [&'static str],
    named: Named,
}

const RBAC: &str = "rbac.authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";

const fn danger(
    rule: &'static Rule,
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> Danger {
    Danger { rule, group, resources, verbs, named: Named::Denied }
}

static DANGERS: [Danger; 17] = [
    danger(&ESCALATE, RBAC, &["roles", "clusterroles"], &["escalate"]),
    Danger { named: Named::Bound, ..danger(&BIND, RBAC, &["roles", "clusterroles"], &["bind"]) },
    danger(&IMPERSONATE, "", &["users", "groups", "serviceaccounts"], &["impersonate"]),
    danger(&IMPERSONATE, AUTHENTICATION, &["uids", "userextras", "userextras/"], &["impersonate"]),
    // The modes of constrained impersonation, such as `impersonate:user-info`.
    danger(
        &IMPERSONATE,
        AUTHENTICATION,
        &["users", "groups", "serviceaccounts", "uids", "userextras", "userextras/", "nodes"],
        &["impersonate:"],
    ),
    // A name does not keep `list` and `watch` from what else is there, by a field selector for it.
    danger(&SECRETS, "", &["secrets"], &["list", "watch"]),
    Danger { named: Named::Allowed, ..danger(&SECRETS, "", &["secrets"], &["get"]) },
    // A WebSocket, with which a command runs in a container of the node, is opened by a GET.
    danger(&NODES_PROXY, "", &["nodes/proxy"], &["get", "create", "update", "patch", "delete"]),
    danger(&POD_EXEC, "", &["pods/exec", "pods/attach", "pods/portforward"], &["create", "get"]),
    danger(&POD_EXEC, "", &["pods/ephemeralcontainers"], &["update", "patch"]),
    danger(&TOKENS, "", &["serviceaccounts/token"], &["create"]),
    danger(&VOLUMES, "", &["persistentvolumes"], &["create"]),
    danger(&CSR_APPROVAL, "certificates.k8s.io", &["certificatesigningrequests/approval"], &["update", "patch"]),
    danger(
        &WEBHOOKS,
        "admissionregistration.k8s.io",
        &[
            "mutatingwebhookconfigurations",
            "validatingwebhookconfigurations",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
        ],
        &["create", "update", "patch", "delete", "deletecollection"],
    ),
    danger(&POD_CREATION, "", &["pods", "replicationcontrollers"], &["create"]),
    danger(&POD_CREATION, "apps", &["deployments", "replicasets", "statefulsets", "daemonsets"], &["create"]),
    danger(&POD_CREATION, "batch", &["jobs", "cronjobs"], &["create"]),
];

/// Reports rules that grant what a role should not have.
pub fn check<'v>(role: &Resource<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    if settings.strings(ALLOWED_ROLES).matches(role.name()) {
        return;
    }
    let allowed = settings.strings(ALLOW);
    found.order(&[&WILDCARD_VERBS, &WILDCARD_RESOURCES]);
    for danger in &DANGERS {
        found.order(&[danger.rule]);
    }
    for rule in role.new_elements(RULES) {
        if !allowed.has(WILDCARD_VERBS.control) {
            check_wildcards(&rule, settings.strings(WILDCARD_GROUPS), found);
        }
        let mut last = "";
        for danger in &DANGERS {
            let control = danger.rule.control;
            if control == last || allowed.has(control) {
                continue;
            }
            if let Some(broken) = refusal(&rule, danger, settings.strings(DENIED_ROLES)) {
                found.add(broken, rule.place());
                last = control;
            }
        }
    }
}

/// Reports a `*` in the verbs or resources of a rule.
fn check_wildcards<'v>(rule: &Element<'v>, allowed_groups: List<'_>, found: &mut Violations<'v>) {
    let resources = rule.strings(RESOURCES);
    // Without a group or a resource, its verbs are those of URLs.
    if resources.is_empty() || rule.strings(API_GROUPS).strings().all(|group| allowed_groups.has(group)) {
        return;
    }
    for (broken, field) in [(&WILDCARD_VERBS, VERBS), (&WILDCARD_RESOURCES, RESOURCES)] {
        for (index, value) in rule.strings(field).objects().enumerate() {
            if value.string() == Some(EVERY) {
                found.add(broken, rule.at(field).element(index, value));
                break;
            }
        }
    }
}

/// What stands for every verb, group or resource.
const EVERY: &str = "*";

/// Returns the text for a danger that a rule grants; `None` if it does not, or may.
fn refusal(rule: &Element<'_>, danger: &Danger, denied_roles: List<'_>) -> Option<&'static Rule> {
    let grants = |list: List<'_>, wanted: &[&str], is: fn(&str, &str) -> bool| {
        list.strings().any(|granted| granted == EVERY || wanted.iter().any(|wanted| is(granted, wanted)))
    };
    let is_granted = grants(rule.strings(API_GROUPS), &[danger.group], |granted, wanted| granted == wanted)
        && grants(rule.strings(RESOURCES), danger.resources, is_resource)
        && grants(rule.strings(VERBS), danger.verbs, is_verb);
    let names = rule.strings(NAMES);
    match danger.named {
        _ if !is_granted => None,
        Named::Allowed if !names.is_empty() => None,
        Named::Bound if !names.is_empty() => {
            let is_denied = names.strings().any(|name| denied_roles.matches(name));
            is_denied.then_some(&BIND_DENIED)
        }
        _ => Some(danger.rule),
    }
}

/// Whether a verb of a rule is a wanted one.
fn is_verb(granted: &str, wanted: &str) -> bool {
    granted == wanted || wanted.ends_with(':') && granted.starts_with(wanted)
}

/// Whether a resource of a rule is a wanted one: by its name, or `*/sub` for each with this subresource.
fn is_resource(granted: &str, wanted: &str) -> bool {
    // No request is for a resource with such a name.
    if granted.ends_with('/') {
        return false;
    }
    if granted == wanted {
        return true;
    }
    let (Some((of, sub)), Some((wanted_of, wanted_sub))) = (granted.split_once('/'), wanted.split_once('/')) else {
        return false;
    };
    (of == EVERY || wanted_sub.is_empty() && of == wanted_of) && (wanted_sub.is_empty() || sub == wanted_sub)
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// An entry is neither a name nor a prefix with a `*` at its end.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    [DENIED_ROLES, ALLOWED_ROLES].into_iter().try_for_each(|list| settings.validate_patterns(list))
}
