//! Who could use which PodSecurityPolicy, by the Roles and bindings of a cluster.
//!
//! A pod needed one that its user or its service account could use. Controllers create most pods, so that it was mostly the
//! service account; those of `kube-system` are controllers themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::conditions::quoted;
use super::write::Writer;
use super::{Effect, Named, text};

/// Pods that a PodSecurityPolicy counted for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Audience {
    /// All pods.
    Everyone,
    /// All pods in a namespace.
    Namespace(String),
    /// Pods that run as a service account.
    ServiceAccount {
        /// Where they are.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Pods that a user creates, in one namespace or in all.
    User {
        /// Its name.
        name: String,
        /// The namespace.
        namespace: Option<String>,
    },
    /// Pods that the users of a group create, in one namespace or in all.
    Group {
        /// Its name.
        name: String,
        /// The namespace.
        namespace: Option<String>,
    },
}

/// The audiences of each PodSecurityPolicy.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// By the name of the PodSecurityPolicy.
    of_policies: BTreeMap<String, BTreeSet<Audience>>,
    /// Of those that may use all.
    of_all: BTreeSet<Audience>,
    /// Whether there is any role that lets somebody use a PodSecurityPolicy.
    pub(super) is_known: bool,
}

const EVERYONE: [&str; 2] = ["system:authenticated", "system:serviceaccounts"];

/// What a role lets its subjects use.
enum Usable {
    All,
    Named(Vec<String>),
}

impl Access {
    /// Reads Roles and bindings.
    pub(super) fn read(documents: &[Named<'_>], writer: &mut Writer<'_>) -> Access {
        let mut access = Access::default();
        let roles: BTreeMap<(String, &str), Option<Usable>> = documents
            .iter()
            .filter(|(_, document)| text(document, "/kind").ends_with("Role"))
            .map(|(_, document)| ((scope_of(document), text(document, "/metadata/name")), usable(document)))
            .collect();
        access.is_known = roles.values().any(Option::is_some);
        for (origin, document) in documents.iter().filter(|(_, of)| text(of, "/kind").ends_with("Binding")) {
            let namespace = (document["kind"] == "RoleBinding").then(|| namespace_of(document));
            let role = (
                match document["roleRef"]["kind"] == "Role" {
                    true => namespace.clone().unwrap_or_default(),
                    false => String::new(),
                },
                text(document, "/roleRef/name"),
            );
            match roles.get(&role) {
                Some(Some(usable)) => {
                    for (index, subject) in document["subjects"].as_array().into_iter().flatten().enumerate() {
                        match audiences_of(subject, namespace.as_deref()) {
                            Ok(audiences) => access.add(usable, &audiences),
                            Err(problem) => writer.warn(Effect::Note, origin, &format!("subjects[{index}]"), problem),
                        }
                    }
                }
                Some(None) => {}
                None if access.is_known => {
                    let text = format!(
                        "its {} {} is not in the input; if it lets somebody use a PodSecurityPolicy, that is not migrated",
                        text(document, "/roleRef/kind"),
                        role.1
                    );
                    writer.warn(Effect::Note, origin, "roleRef", &text);
                }
                None => {}
            }
        }
        access
    }

    /// For which pods a PodSecurityPolicy counted; for none if it is empty.
    pub(super) fn of(&self, policy: &str) -> BTreeSet<Audience> {
        let named = self.of_policies.get(policy).into_iter().flatten();
        named.chain(&self.of_all).cloned().collect()
    }

    fn add(&mut self, usable: &Usable, audiences: &[Audience]) {
        match usable {
            Usable::All => self.of_all.extend(audiences.iter().cloned()),
            Usable::Named(names) => {
                for name in names {
                    self.of_policies.entry(name.clone()).or_default().extend(audiences.iter().cloned());
                }
            }
        }
    }
}

/// The namespace of a Role; none for a ClusterRole.
fn scope_of(role: &Value) -> String {
    if role["kind"] == "Role" { namespace_of(role) } else { String::new() }
}

fn namespace_of(document: &Value) -> String {
    document["metadata"]["namespace"].as_str().unwrap_or("default").to_owned()
}

/// Which PodSecurityPolicies a role lets its subjects use.
fn usable(role: &Value) -> Option<Usable> {
    let has = |rule: &Value, list: &str, names: &[&str]| {
        rule[list].as_array().into_iter().flatten().any(|of| of == "*" || names.iter().any(|name| of == name))
    };
    let rules = role["rules"].as_array().into_iter().flatten().filter(|rule| {
        has(rule, "apiGroups", &["policy", "extensions"])
            && has(rule, "resources", &["podsecuritypolicies"])
            && has(rule, "verbs", &["use"])
    });
    let mut named = None;
    for rule in rules {
        let names: Vec<String> = rule["resourceNames"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            return Some(Usable::All);
        }
        named.get_or_insert_with(Vec::new).extend(names);
    }
    named.map(Usable::Named)
}

/// The pods of a subject of a binding, which counts in one namespace or in all.
///
/// # Errors
/// It is a service account of no namespace.
fn audiences_of(subject: &Value, namespace: Option<&str>) -> Result<Vec<Audience>, &'static str> {
    let name = text(subject, "/name");
    let within = namespace.map(str::to_owned);
    Ok(match text(subject, "/kind") {
        "Group" if EVERYONE.contains(&name) => vec![match within {
            None => Audience::Everyone,
            Some(namespace) => Audience::Namespace(namespace),
        }],
        "Group" => {
            let group = Audience::Group { name: name.to_owned(), namespace: within };
            match (name.strip_prefix("system:serviceaccounts:"), namespace) {
                (Some(own), Some(other)) if own == other => vec![Audience::Namespace(own.to_owned())],
                (Some(own), None) => vec![Audience::Namespace(own.to_owned()), group],
                _ => vec![group],
            }
        }
        "ServiceAccount" => {
            let own = Some(text(subject, "/namespace")).filter(|own| !own.is_empty()).or(namespace);
            let own = own.ok_or("a service account without a namespace is nobody; it is left out")?;
            of_account(own, name, namespace)
        }
        // The name under which a pod's service account was asked about.
        "User" => match name.strip_prefix(ACCOUNT).and_then(|account| account.split_once(':')) {
            Some((own, name)) => of_account(own, name, namespace),
            None => vec![Audience::User { name: name.to_owned(), namespace: within }],
        },
        _ => Vec::new(),
    })
}

/// What the names of service accounts as users start with; their namespaces come next.
const ACCOUNT: &str = "system:serviceaccount:";

/// The pods of a service account, which counts in one namespace or in all.
fn of_account(own: &str, name: &str, namespace: Option<&str>) -> Vec<Audience> {
    let user = Audience::User { name: format!("{ACCOUNT}{own}:{name}"), namespace: namespace.map(str::to_owned) };
    let account = Audience::ServiceAccount { namespace: own.to_owned(), name: name.to_owned() };
    // In other namespaces, a service account counts only as the one who creates.
    if namespace.is_none_or(|namespace| namespace == own) { vec![account, user] } else { vec![user] }
}

/// The pod of an object, for conditions: of a pod itself, or of what pods are made from.
const SPEC: &str = "(has(object.template) ? object.template.spec : has(object.spec.jobTemplate) ? \
                    object.spec.jobTemplate.spec.template.spec : has(object.spec.template) ? \
                    object.spec.template.spec : object.spec)";

impl Audience {
    /// Whether all pods of another audience are in this one.
    pub(super) fn covers(&self, other: &Audience) -> bool {
        let is_within = |namespace: &String| match other {
            Audience::ServiceAccount { namespace: of, .. } => of == namespace,
            Audience::User { namespace: of, .. } | Audience::Group { namespace: of, .. } => {
                of.as_ref() == Some(namespace)
            }
            _ => false,
        };
        self == other
            || match (self, other) {
                (Audience::Everyone, _) => true,
                (Audience::Namespace(namespace), _) => is_within(namespace),
                (Audience::User { name, namespace: None }, Audience::User { name: of, .. })
                | (Audience::Group { name, namespace: None }, Audience::Group { name: of, .. }) => name == of,
                _ => false,
            }
    }
}

/// The condition that a pod is in one of the audiences. Workloads are asked for the service account of their pods as well,
/// if they are judged. Many of a kind are one list, since expressions have a limit.
pub(super) fn condition<'a>(audiences: impl IntoIterator<Item = &'a Audience>, workloads: bool) -> String {
    let (mut terms, mut namespaces, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut users, mut users_within) = (Vec::new(), Vec::new());
    let mut groups = BTreeMap::<_, Vec<String>>::new();
    for audience in audiences {
        match audience {
            Audience::Everyone => terms.push("true".to_owned()),
            Audience::Namespace(namespace) => namespaces.push(quoted(namespace)),
            // No namespace has a slash in its name.
            Audience::ServiceAccount { namespace, name } => accounts.push(quoted(&format!("{namespace}/{name}"))),
            Audience::User { name, namespace: None } => users.push(quoted(name)),
            Audience::User { name, namespace: Some(within) } => users_within.push(quoted(&format!("{within}/{name}"))),
            Audience::Group { name, namespace } => groups.entry(namespace).or_default().push(quoted(name)),
        }
    }
    if !namespaces.is_empty() {
        terms.push(is_one_of("request.namespace", &namespaces));
    }
    if !accounts.is_empty() {
        let spec = if workloads { SPEC } else { "object.spec" };
        let name = format!("(has({spec}.serviceAccountName) ? {spec}.serviceAccountName : 'default')");
        terms.push(is_one_of(&format!("(request.namespace + '/' + {name})"), &accounts));
    }
    if !users.is_empty() {
        terms.push(is_one_of("request.userInfo.username", &users));
    }
    if !users_within.is_empty() {
        terms.push(is_one_of("(request.namespace + '/' + request.userInfo.username)", &users_within));
    }
    for (namespace, names) in groups {
        let is_in = match names.as_slice() {
            [name] => format!("{name} in request.userInfo.groups"),
            names => format!("request.userInfo.groups.exists(group, {})", is_one_of("group", names)),
        };
        let place = namespace.as_ref().map(|of| format!("request.namespace == {} && ", quoted(of))).unwrap_or_default();
        terms.push(format!("({place}has(request.userInfo.groups) && {is_in})"));
    }
    terms.join(" || ")
}

fn is_one_of(subject: &str, texts: &[String]) -> String {
    match texts {
        [text] => format!("{subject} == {text}"),
        texts => format!("{subject} in [{}]", texts.join(", ")),
    }
}
