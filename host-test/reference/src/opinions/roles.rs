use podfence_roles::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, is_matched, setting_texts, text, texts, values, violation};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("metadata.name", 20, &["operator:a", "reader"], &["", "operator"]),
        values(
            "rules[*].apiGroups",
            3,
            &[
                "",
                "apps",
                "batch",
                "rbac.authorization.k8s.io",
                "authentication.k8s.io",
                "certificates.k8s.io",
                "admissionregistration.k8s.io",
                "example.com",
            ],
            &["*"],
        ),
        values(
            "rules[*].resources",
            3,
            &[
                "pods",
                "pods/exec",
                "pods/ephemeralcontainers",
                "secrets",
                "nodes",
                "nodes/proxy",
                "serviceaccounts",
                "serviceaccounts/token",
                "users",
                "uids",
                "userextras",
                "userextras/scopes",
                "roles",
                "clusterroles",
                "persistentvolumes",
                "certificatesigningrequests/approval",
                "validatingwebhookconfigurations",
                "mutatingadmissionpolicybindings",
                "deployments",
                "cronjobs",
            ],
            &["*", "*/proxy", "*/token", "*/scopes", "*/approval", "pods/*", "*/*", "Secrets"],
        ),
        values(
            "rules[*].verbs",
            3,
            &[
                "get",
                "list",
                "watch",
                "create",
                "update",
                "patch",
                "delete",
                "deletecollection",
                "escalate",
                "bind",
                "impersonate",
                "impersonate:user-info",
                "impersonate-on:user-info:get",
            ],
            &["*", "impersonate:", "Get"],
        ),
        values("rules[*].resourceNames", 70, &["a", "cluster-admin", "admin"], &["", "*"]),
    ],
    settings,
    check,
    message: None,
    mutate: None,
};

const CONTROLS: [&str; 12] = [
    "wildcards",
    "escalate",
    "bind",
    "impersonate",
    "secrets",
    "nodesProxy",
    "podExec",
    "serviceAccountTokens",
    "persistentVolumes",
    "csrApproval",
    "webhooks",
    "podCreation",
];

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.texts("allow", &CONTROLS);
    settings.texts("allowedWildcardGroups", &["", "apps", "example.com", "*"]);
    settings.texts("deniedRoles", &["cluster-admin", "a*"]);
    settings.texts("allowedRoles", &["operator:*", "reader"]);
    settings.done()
}

/// A rule, and whether it grants a request, as the authorizer of the API server decides.
struct Granting<'v> {
    groups: Vec<&'v str>,
    resources: Vec<&'v str>,
    verbs: Vec<&'v str>,
}

impl Granting<'_> {
    fn grants(&self, verb: &str, group: &str, resource: &str, sub: &str) -> bool {
        let combined = if sub.is_empty() { resource.to_owned() } else { format!("{resource}/{sub}") };
        let is_resource = |of: &&str| *of == "*" || *of == combined || !sub.is_empty() && **of == format!("*/{sub}");
        self.verbs.iter().any(|of| *of == "*" || *of == verb)
            && self.groups.iter().any(|of| *of == "*" || *of == group)
            && self.resources.iter().any(is_resource)
    }

    /// Whether it grants one of these verbs on one of these resources, `resource` or `resource/sub`.
    fn any(&self, group: &str, resources: &[&str], verbs: &[&str]) -> bool {
        resources.iter().any(|resource| {
            let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
            verbs.iter().any(|verb| self.grants(verb, group, resource, sub))
        })
    }

    fn impersonates(&self) -> bool {
        // The extras are subresources, of any name.
        let subs = self.resources.iter().filter_map(|of| of.split_once('/').map(|(_, sub)| format!("userextras/{sub}")));
        let extras: Vec<String> = subs.chain(["userextras".to_owned()]).collect();
        let modes: Vec<&str> = self.verbs.iter().copied().filter(|verb| verb.starts_with("impersonate:")).collect();
        let modes = [&modes[..], &["impersonate:user-info"]].concat();
        let authentication = "authentication.k8s.io";
        let extras: Vec<&str> = extras.iter().map(String::as_str).collect();
        self.any("", &["users", "groups", "serviceaccounts"], &["impersonate"])
            || self.any(authentication, &[&extras[..], &["uids"]].concat(), &["impersonate"])
            || self.any(
                authentication,
                &[&extras[..], &["users", "groups", "serviceaccounts", "uids", "nodes"]].concat(),
                &modes,
            )
    }
}

fn check(role: &Pod<'_>) -> Vec<Violation> {
    let matches = |setting: &str, default: &[&str], name: &str| {
        let entries = setting_texts(role.settings, setting, default);
        !name.is_empty() && entries.iter().any(|entry| is_matched(entry, name))
    };
    if matches("allowedRoles", &[], text(role.template, "metadata.name")) {
        return Vec::new();
    }
    let allowed = setting_texts(role.settings, "allow", &["podCreation"]);
    let mut found = Vec::new();
    for (index, rule) in role.new_elements("rules") {
        let granting =
            Granting { groups: texts(rule, "apiGroups"), resources: texts(rule, "resources"), verbs: texts(rule, "verbs") };
        let wildcard_groups = texts(role.settings, "allowedWildcardGroups");
        if !granting.resources.is_empty() && granting.groups.iter().any(|group| !wildcard_groups.contains(group)) {
            for (list, of) in [("verbs", &granting.verbs), ("resources", &granting.resources)] {
                if let Some(at) = of.iter().position(|of| *of == "*") {
                    found.push(violation("wildcards", format!("rules[{index}].{list}[{at}]")));
                }
            }
        }
        let names = texts(rule, "resourceNames");
        let is_bound = names.is_empty() || names.iter().any(|name| matches("deniedRoles", &["cluster-admin"], name));
        let rbac = "rbac.authorization.k8s.io";
        let roles = ["roles", "clusterroles"];
        let exec = ["pods/exec", "pods/attach", "pods/portforward"];
        let registrations = [
            "mutatingwebhookconfigurations",
            "validatingwebhookconfigurations",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
        ];
        let writing = ["create", "update", "patch", "delete", "deletecollection"];
        let workloads = [
            ("", &["pods", "replicationcontrollers"][..]),
            ("apps", &["deployments", "replicasets", "statefulsets", "daemonsets"]),
            ("batch", &["jobs", "cronjobs"]),
        ];
        let dangers = [
            ("escalate", granting.any(rbac, &roles, &["escalate"])),
            ("bind", is_bound && granting.any(rbac, &roles, &["bind"])),
            ("impersonate", granting.impersonates()),
            (
                "secrets",
                granting.any("", &["secrets"], &["list", "watch"])
                    || names.is_empty() && granting.any("", &["secrets"], &["get"]),
            ),
            ("nodesProxy", granting.any("", &["nodes/proxy"], &["get", "create", "update", "patch", "delete"])),
            (
                "podExec",
                granting.any("", &exec, &["create", "get"])
                    || granting.any("", &["pods/ephemeralcontainers"], &["update", "patch"]),
            ),
            ("serviceAccountTokens", granting.any("", &["serviceaccounts/token"], &["create"])),
            ("persistentVolumes", granting.any("", &["persistentvolumes"], &["create"])),
            (
                "csrApproval",
                granting.any("certificates.k8s.io", &["certificatesigningrequests/approval"], &["update", "patch"]),
            ),
            ("webhooks", granting.any("admissionregistration.k8s.io", &registrations, &writing)),
            ("podCreation", workloads.iter().any(|(group, of)| granting.any(group, of, &["create"]))),
        ];
        let dangers = dangers.into_iter().filter(|(_, is_granted)| *is_granted);
        found.extend(dangers.map(|(control, _)| violation(control, format!("rules[{index}]"))));
    }
    found.retain(|violation| !allowed.contains(&violation.control.as_str()));
    found
}
