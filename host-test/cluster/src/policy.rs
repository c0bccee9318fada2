//! Writes the documents of Kubewarden, for `deploy` and `migrate` alike: policies, groups, and the validating twin of a
//! policy that changes objects.

use std::collections::BTreeMap;

use podfence_host::Mode;
use serde_json::{Map, Value, json};

use crate::documents::module_name;
use crate::gatekeeper::object;
use crate::published::{self, Published};

/// What the annotations that the audit scanner and `kubectl get` read are called.
const ANNOTATIONS: &str = "io.kubewarden.policy";

/// Severities, the lowest first.
const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];

/// What the name of a validating twin ends with.
const TWIN: &str = "check";

/// Where a document takes effect, and what becomes of its verdicts.
#[derive(Debug, Clone)]
pub struct Placement<'p> {
    /// The name of the object.
    pub name: &'p str,
    /// Whether verdicts count. `failurePolicy` follows: a server that is down stops nothing in monitor.
    pub mode: Mode,
    /// The requests that are evaluated.
    pub rules: Value,
    /// The `matchExpressions` of the namespaces; none for all of them. There are no `matchLabels`: the controller drops
    /// them, and the policy would apply to the whole cluster.
    pub namespaces: Vec<Value>,
    /// The PolicyServer; Kubewarden's default one otherwise.
    pub policy_server: Option<&'p str>,
}

/// A policy with its settings.
#[derive(Debug, Clone)]
pub struct Configured<'p> {
    /// The name of the policy, which its metadata is found by.
    pub policy: &'p str,
    /// The URL of its module.
    pub module: String,
    /// Its settings.
    pub settings: Map<String, Value>,
}

impl Placement<'_> {
    /// A ClusterAdmissionPolicy. It is mutating if its settings make the policy change objects.
    pub fn policy(&self, of: &Configured<'_>) -> Value {
        let settings = Value::Object(of.settings.clone());
        let evaluates = object([
            ("module", json!(of.module)),
            ("mutating", json!(published::is_mutating(of.policy, &settings))),
            ("settings", settings),
        ]);
        let published: Vec<&Published> = published::find(of.policy).into_iter().collect();
        self.document("ClusterAdmissionPolicy", of.policy, of.policy, &published, evaluates)
    }

    /// A ClusterAdmissionPolicyGroup. The expression calls members by their names, in which `-` is `_`.
    pub fn group(&self, members: &BTreeMap<String, Configured<'_>>, expression: &str, message: &str) -> Value {
        let published: Vec<&Published> = members.values().filter_map(|of| published::find(of.policy)).collect();
        let written =
            members.iter().map(|(name, of)| (name.clone(), json!({"module": of.module, "settings": of.settings})));
        let evaluates = object([
            ("expression", json!(expression)),
            ("message", json!(message)),
            ("policies", written.collect::<Map<_, _>>().into()),
        ]);
        self.document("ClusterAdmissionPolicyGroup", self.name, "policy-group", &published, evaluates)
    }

    fn document(
        &self,
        kind: &str,
        title: &str,
        component: &str,
        published: &[&Published],
        evaluates: Map<String, Value>,
    ) -> Value {
        // A person looks for the mode first.
        let mut spec =
            object([("mode", json!(mode_name(self.mode))), ("failurePolicy", json!(failure_policy(self.mode)))]);
        if let Some(server) = self.policy_server {
            spec.insert("policyServer".to_owned(), json!(server));
        }
        spec.extend(evaluates);
        spec.insert("rules".to_owned(), self.rules.clone());
        if !self.namespaces.is_empty() {
            spec.insert("namespaceSelector".to_owned(), json!({"matchExpressions": self.namespaces}));
        }
        spec.insert("backgroundAudit".to_owned(), json!(true));
        json!({
            "apiVersion": "policies.kubewarden.io/v1",
            "kind": kind,
            "metadata": {
                "name": self.name,
                "labels": labels(component),
                "annotations": annotations(title, published),
            },
            "spec": spec,
        })
    }
}

/// The mode in a document.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Monitor => "monitor",
        Mode::Protect => "protect",
    }
}

/// What becomes of requests that no server answers. Unset, it is `Fail` in mode monitor as well, which would stop
/// everything for the sake of what rejects nothing.
pub fn failure_policy(mode: Mode) -> &'static str {
    match mode {
        Mode::Monitor => "Ignore",
        Mode::Protect => "Fail",
    }
}

fn labels(component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "podfence",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
    })
}

/// Title, severity and category; a group is as severe as the most severe of its members.
fn annotations(title: &str, published: &[&Published]) -> Value {
    let mut annotations = object([(&*format!("{ANNOTATIONS}.title"), json!(title))]);
    let rank = |of: &&&Published| SEVERITIES.iter().position(|severity| *severity == of.severity);
    if let Some(of) = published.iter().max_by_key(rank) {
        annotations.insert(format!("{ANNOTATIONS}.severity"), json!(of.severity));
        annotations.insert(format!("{ANNOTATIONS}.category"), json!(of.category));
    }
    annotations.into()
}

/// The name of the policy whose module a ClusterAdmissionPolicy or an AdmissionPolicy runs.
pub fn policy_of(document: &Value) -> Option<&str> {
    module_name(document["spec"]["module"].as_str()?)
}

/// The validating twin of a policy that changes objects; `None` for a document that changes none.
///
/// Kubewarden makes only a mutating webhook of a mutating policy, and calls it once. What another webhook adds later is
/// neither changed nor evaluated, so the twin evaluates the final object. It belongs beside a policy in mode protect: in
/// monitor nothing is changed, and the twin would report each object that protect would repair.
///
/// Updates of Jobs are left to the policy itself. Kueue sets node selectors of suspended Jobs, whose templates are
/// otherwise immutable: the policy lets them pass as they are, and its twin would reject them.
pub fn twin(document: &Value) -> Option<Value> {
    if document["spec"]["mutating"] != true {
        return None;
    }
    let mut twin = document.clone();
    twin["metadata"]["name"] = json!(twin_name(document));
    let spec = &mut twin["spec"];
    spec["mutating"] = json!(false);
    if let (Some(policy), Some(settings)) = (policy_of(document), spec["settings"].as_object_mut()) {
        published::stop_mutating(policy, settings);
    }
    spec["rules"] = rules_of_twin(&spec["rules"]);
    Some(twin)
}

/// The name of a policy's twin.
pub(crate) fn twin_name(document: &Value) -> String {
    format!("{}-{TWIN}", document["metadata"]["name"].as_str().unwrap_or_default())
}

/// The name of the policy that a twin with this name is of.
pub(crate) fn without_twin(name: &str) -> Option<&str> {
    name.strip_suffix(TWIN)?.strip_suffix('-')
}

/// The rules of the twin of a policy with these rules.
pub(crate) fn rules_of_twin(rules: &Value) -> Value {
    rules.as_array().into_iter().flatten().cloned().flat_map(without_updates_of_jobs).collect()
}

/// A rule as one or two, of which none matches updates of Jobs.
fn without_updates_of_jobs(rule: Value) -> Vec<Value> {
    let list = |key: &str| rule[key].as_array().cloned().unwrap_or_default();
    let (resources, operations) = (list("resources"), list("operations"));
    let is_update = |operation: &Value| operation == "UPDATE" || operation == "*";
    if !resources.contains(&json!("jobs")) || !operations.iter().any(is_update) {
        return vec![rule];
    }
    let (jobs, others): (Vec<Value>, Vec<Value>) = resources.into_iter().partition(|resource| resource == "jobs");
    let operations = match operations.contains(&json!("*")) {
        true => vec![json!("CREATE")],
        false => operations.into_iter().filter(|operation| operation != "UPDATE").collect(),
    };
    let (mut of_others, mut of_jobs) = (rule.clone(), rule);
    of_others["resources"] = others.into();
    of_jobs["resources"] = jobs.into();
    of_jobs["operations"] = operations.into();
    let is_any = |rule: &Value| ["resources", "operations"].iter().all(|key| rule[key] != json!([]));
    [of_others, of_jobs].into_iter().filter(is_any).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(mode: Mode) -> Placement<'static> {
        let rules = json!([
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE", "UPDATE"]},
            {"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs", "cronjobs"],
             "operations": ["CREATE", "UPDATE"]},
        ]);
        Placement { name: "a", mode, rules, namespaces: Vec::new(), policy_server: None }
    }

    fn configured(policy: &str, settings: Value) -> Configured<'_> {
        let Value::Object(settings) = settings else { unreachable!() };
        Configured { policy, module: format!("registry://r/p/{policy}:v1"), settings }
    }

    #[test]
    fn a_policy_says_what_becomes_of_its_verdicts_and_how_severe_they_are() {
        let namespaces = vec![json!({"key": "team", "operator": "Exists"})];
        let placement =
            Placement { namespaces: namespaces.clone(), policy_server: Some("own"), ..placement(Mode::Monitor) };
        let expected = json!({
            "apiVersion": "policies.kubewarden.io/v1",
            "kind": "ClusterAdmissionPolicy",
            "metadata": {
                "name": "a",
                "labels": {
                    "app.kubernetes.io/name": "podfence",
                    "app.kubernetes.io/component": "privileged",
                    "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
                },
                "annotations": {
                    "io.kubewarden.policy.title": "privileged",
                    "io.kubewarden.policy.severity": "critical",
                    "io.kubewarden.policy.category": "Pod Security",
                },
            },
            "spec": {
                "mode": "monitor",
                "failurePolicy": "Ignore",
                "policyServer": "own",
                "module": "registry://r/p/privileged:v1",
                "mutating": false,
                "settings": {"warn": true},
                "rules": placement.rules,
                "namespaceSelector": {"matchExpressions": namespaces},
                "backgroundAudit": true,
            },
        });
        assert_eq!(placement.policy(&configured("privileged", json!({"warn": true}))), expected);
    }

    #[test]
    fn a_group_is_as_severe_as_its_members() {
        let members = ["volumes", "privileged"].map(|name| (name.to_owned(), configured(name, json!({}))));
        let group = placement(Mode::Protect).group(&members.into(), "volumes() && privileged()", "no");
        assert_eq!(group["metadata"]["annotations"]["io.kubewarden.policy.severity"], "critical");
        assert_eq!(group["metadata"]["labels"]["app.kubernetes.io/component"], "policy-group");
        let spec = &group["spec"];
        assert_eq!([&spec["mode"], &spec["failurePolicy"]], ["protect", "Fail"]);
        assert_eq!(spec["policies"]["volumes"], json!({"module": "registry://r/p/volumes:v1", "settings": {}}));
        assert_eq!(twin(&group), None);
    }

    #[test]
    fn a_twin_evaluates_and_changes_nothing() {
        for (policy, settings, expected) in [
            (
                "capabilities",
                json!({"mutate": true, "defaultAddCapabilities": ["KILL"]}),
                Some(json!({"mutate": false, "defaultAddCapabilities": ["KILL"]})),
            ),
            ("capabilities", json!({"mutate": false}), None),
            (
                "seccomp",
                json!({"defaultProfile": "RuntimeDefault", "exempt": {"users": ["u"]}}),
                Some(json!({"exempt": {"users": ["u"]}})),
            ),
            (
                "runtime-class",
                json!({"defaultRuntimeClass": "a", "allowedRuntimeClasses": ["a"]}),
                Some(json!({"allowedRuntimeClasses": ["a"]})),
            ),
            ("allow-privilege-escalation", json!({"default_allow_privilege_escalation": false}), Some(json!({}))),
            ("privileged", json!({}), None),
        ] {
            let document = placement(Mode::Protect).policy(&configured(policy, settings.clone()));
            let twin = twin(&document);
            let found = twin.as_ref().map(|twin| twin["spec"]["settings"].clone());
            assert_eq!(found, expected, "{policy} {settings}");
            let Some(twin) = twin else { continue };
            assert_eq!((&twin["metadata"]["name"], &twin["spec"]["mutating"]), (&json!("a-check"), &json!(false)));
            assert_eq!(twin["metadata"]["annotations"], document["metadata"]["annotations"]);
        }
    }

    #[test]
    fn a_twin_leaves_updates_of_jobs_to_its_policy() {
        let rule = |resources: &[&str], operations: &[&str]| json!({"resources": resources, "operations": operations});
        for (resources, operations, expected) in [
            (&["pods"][..], &["CREATE", "UPDATE"][..], vec![rule(&["pods"], &["CREATE", "UPDATE"])]),
            (&["jobs"], &["CREATE"], vec![rule(&["jobs"], &["CREATE"])]),
            (&["jobs"], &["UPDATE"], vec![]),
            (
                &["cronjobs", "jobs"],
                &["CREATE", "UPDATE"],
                vec![rule(&["cronjobs"], &["CREATE", "UPDATE"]), rule(&["jobs"], &["CREATE"])],
            ),
            (&["jobs", "pods"], &["*"], vec![rule(&["pods"], &["*"]), rule(&["jobs"], &["CREATE"])]),
        ] {
            assert_eq!(without_updates_of_jobs(rule(resources, operations)), expected, "{resources:?} {operations:?}");
        }
    }
}
