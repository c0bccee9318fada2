//! Constraints of the Gatekeeper library, and what says how Gatekeeper reads them: its Config and its ExpansionTemplates.

use podfence_core::workload::{WORKLOADS, Workload};
use podfence_host::Mode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::conditions::{Condition, expressions_of, is_in, matches, namespaces, not, without_external_names};
use super::parameters::normalized;
use super::read::read;
use super::write::{Objects, Part, Scope, Writer};
use super::{API_SERVER, Effect, Named, OLD_VALUES, resources, rules, text, without_covered};
use crate::gatekeeper::{Parameters, equivalents, find};

#[derive(Deserialize)]
#[serde(expecting = "a constraint")]
struct Constraint {
    spec: Option<ConstraintSpec>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", expecting = "the spec of a constraint")]
struct ConstraintSpec {
    enforcement_action: Option<String>,
    scoped_enforcement_actions: Option<Vec<ScopedAction>>,
    r#match: Option<Match>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", expecting = "an action and its enforcement points")]
struct ScopedAction {
    action: Option<String>,
    enforcement_points: Option<Vec<EnforcementPoint>>,
}

#[derive(Deserialize, Default)]
#[serde(expecting = "an enforcement point")]
struct EnforcementPoint {
    name: Option<String>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", expecting = "a match")]
struct Match {
    kinds: Option<Vec<Kinds>>,
    namespaces: Option<Vec<String>>,
    excluded_namespaces: Option<Vec<String>>,
    label_selector: Option<Map<String, Value>>,
    namespace_selector: Option<Map<String, Value>>,
    scope: Option<String>,
    name: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", expecting = "apiGroups and kinds")]
struct Kinds {
    api_groups: Option<Vec<String>>,
    kinds: Option<Vec<String>>,
}

/// What counts for all constraints.
#[derive(Default)]
struct Common {
    /// Namespaces that the webhook leaves alone, or patterns of them.
    excluded: Vec<String>,
    expansions: Vec<Expansion>,
}

/// Workloads whose pods are judged before there are any.
struct Expansion {
    /// Each with its API group.
    kinds: Vec<(String, String)>,
    /// Replaces the action of the constraints.
    action: Option<String>,
}

/// A kind that a template evaluates.
#[derive(PartialEq)]
struct Evaluated {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    is_namespaced: bool,
}

const fn namespaced(group: &'static str, kind: &'static str, plural: &'static str) -> Evaluated {
    Evaluated { group, kind, plural, is_namespaced: true }
}

static PODS: [Evaluated; 1] = [namespaced("", "Pod", "pods")];
static SERVICES: [Evaluated; 1] = [namespaced("", "Service", "services")];
static BINDINGS: [Evaluated; 2] = [
    namespaced("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
    Evaluated {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        is_namespaced: false,
    },
];

/// Writes the policies of constraints.
pub(super) fn migrate(constraints: &[Named<'_>], others: &[Named<'_>], writer: &mut Writer<'_>) {
    let mut common = Common::default();
    for (origin, document) in others {
        match document["kind"].as_str() {
            Some("Config") => common.read_config(origin, document, writer),
            _ => common.read_expansion(origin, document, writer),
        }
    }
    for (origin, document) in constraints {
        writer.source(origin);
        let name = document["kind"].as_str().unwrap_or_default();
        let aliased = writer.options.kind_aliases.get(name).map_or(name, String::as_str).to_owned();
        let migrated = Migrated { origin, kind: &aliased, common: &common };
        if let Err(problem) = migrated.write(document, writer) {
            writer.warn(Effect::LeftOut, origin, "", &problem);
        }
    }
}

impl Common {
    fn read_config(&mut self, origin: &str, document: &Value, writer: &mut Writer<'_>) {
        for (index, entry) in document["spec"]["match"].as_array().into_iter().flatten().enumerate() {
            let mut processes = entry["processes"].as_array().into_iter().flatten();
            if !processes.any(|of| of == "*" || of == "webhook") {
                continue;
            }
            for name in entry["excludedNamespaces"].as_array().into_iter().flatten() {
                match name.as_str() {
                    Some(name) => self.excluded.push(name.to_owned()),
                    None => {
                        let text = format!("expected a name, found {name}; it is left out");
                        let path = format!("spec.match[{index}].excludedNamespaces");
                        writer.warn(Effect::Stricter, origin, &path, &text);
                    }
                }
            }
        }
    }

    fn read_expansion(&mut self, origin: &str, document: &Value, writer: &mut Writer<'_>) {
        let generated = text(document, "/spec/generatedGVK/kind");
        if generated != "Pod" {
            let text = format!("expands to {generated}, which is not evaluated");
            return writer.warn(Effect::Note, origin, "spec.generatedGVK", &text);
        }
        let mut kinds = Vec::new();
        for entry in document["spec"]["applyTo"].as_array().into_iter().flatten() {
            let strings = |list: &str| entry[list].as_array().into_iter().flatten().filter_map(Value::as_str);
            for (group, kind) in strings("groups").flat_map(|group| strings("kinds").map(move |kind| (group, kind))) {
                if WORKLOADS.iter().any(|of| of.group == group && of.kind == kind) {
                    kinds.push((group.to_owned(), kind.to_owned()));
                } else {
                    let text = format!(
                        "{kind} is not a workload of Kubernetes, and is not evaluated; add a rule and podSpecPaths \
                            for it to the \
                         policies"
                    );
                    writer.warn(Effect::Weaker, origin, "spec.applyTo", &text);
                }
            }
        }
        let action = document["spec"]["enforcementAction"].as_str().filter(|action| !action.is_empty());
        self.expansions.push(Expansion { kinds, action: action.map(str::to_owned) });
    }
}

/// One constraint.
struct Migrated<'m> {
    origin: &'m str,
    /// The library's kind.
    kind: &'m str,
    common: &'m Common,
}

impl Migrated<'_> {
    fn warn(&self, writer: &mut Writer<'_>, effect: Effect, path: &str, text: &str) {
        writer.warn(effect, self.origin, path, text);
    }

    /// Writes the policies of a constraint.
    ///
    /// # Errors
    /// It has no equivalent, or a field is of another type.
    fn write(&self, document: &Value, writer: &mut Writer<'_>) -> Result<(), String> {
        let template = find(self.kind).ok_or_else(|| {
            let hint = match self.kind.to_ascii_lowercase().contains("psp") {
                true => format!(
                    "; if it is a copy of a template of the Gatekeeper library, name that one: --kind-alias {}=K8sPSP…",
                    self.kind
                ),
                false => String::new(),
            };
            format!("Podfence has no equivalent of a {}{hint}", self.kind)
        })?;
        let (Constraint { spec }, unknown) = read(document)?;
        for path in unknown.iter().filter(|path| path.starts_with("spec.")) {
            self.warn(writer, Effect::Note, path, "unknown field of a constraint; it is left out");
        }
        let spec = spec.unwrap_or_default();
        let given = spec.parameters.clone().unwrap_or_default();
        let parameters = normalized(self.origin, template, given, writer)?;
        let parts = equivalents(self.kind, &parameters).map_err(|error| error.to_string())?;
        let parts: Vec<Part> = parts
            .into_iter()
            .map(|of| {
                let mut settings = of.settings;
                if let Some(paths) = settings.get_mut("allowedHostPaths").and_then(Value::as_array_mut) {
                    without_covered(paths);
                }
                if settings.get("hostPorts").is_some_and(|ports| ports[0]["min"].as_i64() > ports[0]["max"].as_i64()) {
                    settings.insert("hostPorts".to_owned(), json!([]));
                }
                Part::new(of.policy, settings)
            })
            .filter(|part| !forbids_nothing(part))
            .collect();
        if parts.is_empty() {
            self.warn(writer, Effect::Note, "spec.parameters", "forbids nothing, so there is no policy for it");
            return Ok(());
        }
        let matched = spec.r#match.clone().unwrap_or_default();
        let Some(mut scope) = self.scope(document, &matched, writer)? else { return Ok(()) };
        (scope.mode, scope.warns) = spec.action(self, writer);
        if !self.evaluates_pods() {
            scope.conditions.extend(self.conditions(&parameters));
            self.warn_of_object(&parameters, writer);
            parts.iter().for_each(|part| writer.policy(&scope, part.policy, part));
            return Ok(());
        }
        self.warn_of_template(&parameters, &parts, writer);
        let kinds = |expansion: &Expansion, of: &Workload| {
            expansion.kinds.iter().any(|(group, kind)| of.group == group && of.kind == kind)
        };
        let is_expanded = matched.source.as_deref() != Some("Original");
        let (overridden, plain): (Vec<&Expansion>, Vec<&Expansion>) =
            self.common.expansions.iter().filter(|_| is_expanded).partition(|of| of.action.is_some());
        if !writer.options.workloads && !plain.is_empty() {
            scope.objects = Objects::PodsAnd(rules::of_kinds(|of| plain.iter().any(|expansion| kinds(expansion, of))));
        }
        if scope.objects == Objects::Pods && !writer.options.workloads {
            let text = "only Pods are judged, as before; --workloads adds Deployments and other workloads";
            self.warn(writer, Effect::Note, "", text);
        }
        if matched.label_selector.is_some() && !writer.options.workloads && !(plain.is_empty() && overridden.is_empty())
        {
            let text = "the labels of a workload are compared, where Gatekeeper compared those of the pods that it \
                expands to: a workload with the labels in only one of the two places gets the opposite verdict";
            self.warn(writer, Effect::Weaker, "spec.match.labelSelector", text);
        }
        for part in &parts {
            writer.policy(&scope, part.policy, part);
        }
        for expansion in overridden.into_iter().filter(|_| !writer.options.workloads) {
            let action = ConstraintSpec { enforcement_action: expansion.action.clone(), ..ConstraintSpec::default() };
            let mut scope = scope.clone();
            (scope.mode, scope.warns) = action.action(self, writer);
            scope.objects = Objects::Matched(rules::of_kinds(|of| kinds(expansion, of)));
            for part in &parts {
                writer.policy(&scope, &format!("{}-expanded", part.policy), part);
            }
        }
        Ok(())
    }

    /// The kinds that the template evaluates.
    fn evaluated(&self) -> &'static [Evaluated] {
        match self.kind {
            "K8sBlockLoadBalancer" | "K8sBlockNodePort" | "K8sExternalIPs" => &SERVICES,
            "K8sDisallowAnonymous" => &BINDINGS,
            _ => &PODS,
        }
    }

    fn evaluates_pods(&self) -> bool {
        *self.evaluated() == PODS
    }

    /// What no setting of the policy says, and the template looks at.
    fn conditions(&self, parameters: &Parameters) -> Vec<Condition> {
        if self.kind != "K8sDisallowAnonymous" {
            return vec![without_external_names()];
        }
        let mut subjects = vec!["system:anonymous", "system:unauthenticated"];
        if parameters.get("disallowAuthenticated") == Some(&json!(true)) {
            subjects.push("system:authenticated");
        }
        let is_subject = is_in("subject.name", &subjects);
        let expression = format!("has(object.subjects) && object.subjects.exists(subject, {is_subject})");
        let mut conditions = vec![Condition { name: "subjects", expression }];
        let roles = texts(parameters, "allowedRoles");
        if !roles.is_empty() {
            let expression = not(&is_in("object.roleRef.name", &roles));
            conditions.push(Condition { name: "roles", expression });
        }
        conditions
    }

    /// Says where the policies do not decide as a template for objects of other kinds than Pod.
    fn warn_of_object(&self, parameters: &Parameters, writer: &mut Writer<'_>) {
        self.warn(writer, Effect::Weaker, "", OLD_VALUES);
        self.warn(writer, Effect::Weaker, "", API_SERVER);
        match self.kind {
            "K8sExternalIPs" => {
                let text = "externalIPs of a Service of type ExternalName are not evaluated: they have no effect";
                self.warn(writer, Effect::Weaker, "", text);
                if !texts(parameters, "allowedIPs").is_empty() {
                    let text = "addresses are compared as addresses, where the template compared texts: 2001:db8::1 also \
                                covers 2001:db8:0::1";
                    self.warn(writer, Effect::Weaker, "spec.parameters.allowedIPs", text);
                }
            }
            "K8sDisallowAnonymous" => {
                let text = "the kind of a subject counts: a User or ServiceAccount with the name of one of these groups, \
                            which is not that group, is accepted, and so is a Group system:anonymous";
                self.warn(writer, Effect::Weaker, "", text);
                let text = "the condition subjects limits the policy to bindings with such a subject; without it, it also \
                            rejects the service account default as a subject";
                self.warn(writer, Effect::Note, "", text);
                if !texts(parameters, "allowedRoles").is_empty() {
                    let text = "no setting of role-bindings exempts roles; the condition roles does";
                    self.warn(writer, Effect::Note, "spec.parameters.allowedRoles", text);
                }
            }
            _ => {}
        }
    }

    /// Says where the policies do not decide as the template.
    fn warn_of_template(&self, parameters: &Parameters, parts: &[Part], writer: &mut Writer<'_>) {
        if parts.iter().any(|part| part.policy == "resources") {
            return resources::DIFFERENCES.iter().for_each(|(effect, text)| self.warn(writer, *effect, "", text));
        }
        let text =
            "Gatekeeper let updates of pods pass, and so the containers of kubectl debug; Podfence evaluates them";
        self.warn(writer, Effect::Stricter, "", text);
        let pod_counts = "the pod-level value must be allowed, even if every container overrides it";
        match self.kind {
            "K8sPSPAllowedUsers" | "K8sPSPAppArmor" | "K8sPSPSeccompV2" => {
                self.warn(writer, Effect::Stricter, "", pod_counts);
            }
            "K8sPSPSeccomp" => {
                self.warn(writer, Effect::Stricter, "", pod_counts);
                self.warn(
                    writer,
                    Effect::Stricter,
                    "",
                    "annotations for seccomp are not read: Kubernetes no longer does",
                );
            }
            "K8sPSPAutomountServiceAccountTokenPod" => {
                let text = "projected tokens for the API server are rejected, wherever they are mounted; the template did \
                            not see them";
                self.warn(writer, Effect::Stricter, "spec", text);
                let text = "a mount at the path of the token counts only if its volume is the projected token; the template \
                            rejected every mount there, such as that of an emptyDir or a Secret";
                self.warn(writer, Effect::Weaker, "spec", text);
            }
            _ => {}
        }
        if parts.iter().any(|part| part.policy == "images") {
            self.warn_of_images(parameters, writer);
        }
        if parts.iter().any(requires_of_linux) {
            let text = "Windows pods need no settings that only Linux has; the template rejected them";
            self.warn(writer, Effect::Weaker, "", text);
        }
        let (allowed, required) =
            (texts(parameters, "allowedCapabilities"), texts(parameters, "requiredDropCapabilities"));
        let is_all = |name: &&str| name.eq_ignore_ascii_case("all");
        if required.iter().any(|name| !is_all(name) && (allowed.contains(&"*") || allowed.contains(name))) {
            let text = "a container could add a capability that it must drop; Podfence rejects such a container";
            self.warn(writer, Effect::Stricter, "spec.parameters.allowedCapabilities", text);
        }
        if parts.iter().any(|part| part.settings.get("runAsUser").is_some_and(|of| of["rule"] == "MustRunAsNonRoot")) {
            let text = "root is allowed in pods with a user namespace of their own (hostUsers: false)";
            self.warn(writer, Effect::Weaker, "spec.parameters.runAsUser", text);
        }
    }

    /// Says where images are not decided on as by the template, which compares texts.
    fn warn_of_images(&self, parameters: &Parameters, writer: &mut Writer<'_>) {
        let text = "image volumes are evaluated as well, references are normalized (nginx is docker.io/library/nginx:latest), and \
                    what cannot be read as an image is rejected";
        self.warn(writer, Effect::Stricter, "", text);
        let is_of_hub = |entry: &&str| {
            let first = entry.split('/').next().unwrap_or_default();
            first == "docker.io" || !first.contains(['.', ':']) && first != "localhost"
        };
        const PREFIX: &str = "an entry covered every image that starts with its text; it covers the repository or registry \
                              and everything below it, but not acme-evil for acme";
        const HUB: &str = "images of Docker Hub are covered with docker.io and library in front, and without";
        match self.kind {
            "K8sAllowedRepos" => {
                self.warn(writer, Effect::Stricter, "spec.parameters.repos", PREFIX);
                if texts(parameters, "repos").iter().any(is_of_hub) {
                    self.warn(writer, Effect::Weaker, "spec.parameters.repos", HUB);
                }
            }
            "K8sAllowedReposv2" if texts(parameters, "allowedImages").iter().any(is_of_hub) => {
                self.warn(writer, Effect::Weaker, "spec.parameters.allowedImages", HUB);
            }
            "K8sDisallowedRepos" => self.warn(writer, Effect::Weaker, "spec.parameters.repos", PREFIX),
            "K8sDisallowedTags" if !texts(parameters, "tags").contains(&"latest") => {
                let text = "an image without a tag was rejected, and has the tag latest: this tag is denied as well";
                self.warn(writer, Effect::Stricter, "spec.parameters.tags", text);
            }
            _ => {}
        }
    }

    /// Which objects are judged; `None` if there are none.
    ///
    /// # Errors
    /// A selector is of another type.
    fn scope(&self, document: &Value, matched: &Match, writer: &mut Writer<'_>) -> Result<Option<Scope>, String> {
        let kinds = self.kinds(matched, writer);
        if kinds.is_empty() {
            return Ok(None);
        }
        let mut scope = Scope::new(vec![self.origin.to_owned()], text(document, "/metadata/name"));
        if !self.evaluates_pods() {
            let rules = kinds.iter().map(|of| rules::rule(of.group, &[of.plural], rules::BOTH)).collect();
            scope.objects = Objects::Matched(rules);
        }
        // An object of the cluster is in no namespace, and every selector of namespaces matches it.
        let of_cluster = if kinds.iter().all(|of| of.is_namespaced) { "" } else { "!has(request.namespace) || " };
        if let Some(selector) = &matched.namespace_selector {
            scope.namespaces =
                expressions_of(selector).map_err(|problem| format!("spec.match.namespaceSelector.{problem}"))?;
        }
        if let Some(selector) = &matched.label_selector {
            scope.selected =
                expressions_of(selector).map_err(|problem| format!("spec.match.labelSelector.{problem}"))?;
        }
        let is_pattern = |name: &&str| name.contains('*');
        let named: Vec<&str> = matched.namespaces.iter().flatten().map(String::as_str).collect();
        if named.iter().any(is_pattern) {
            let expression = format!("{of_cluster}{}", matches("request.namespace", &named));
            scope.conditions.push(Condition { name: "namespaces", expression });
        } else if !named.is_empty() {
            scope.namespaces.extend(namespaces("In", named));
        }
        let excluded = matched.excluded_namespaces.iter().flatten().chain(&self.common.excluded).map(String::as_str);
        let (patterns, names): (Vec<&str>, Vec<&str>) = excluded.partition(is_pattern);
        if !patterns.is_empty() {
            let expression = format!("{of_cluster}{}", not(&matches("request.namespace", &patterns)));
            scope.conditions.push(Condition { name: "excluded-namespaces", expression });
        }
        if !names.is_empty() {
            scope.namespaces.extend(namespaces("NotIn", names));
        }
        if let Some(name) = matched.name.as_deref().filter(|name| !name.is_empty()) {
            const NAME: &str = "(has(object.metadata.name) ? object.metadata.name : has(object.metadata.generateName) ? \
                                object.metadata.generateName : '')";
            scope.conditions.push(Condition { name: "name", expression: matches(NAME, &[name]) });
        }
        Ok(Some(scope))
    }

    /// The kinds that the constraint evaluates.
    fn kinds(&self, matched: &Match, writer: &mut Writer<'_>) -> Vec<&'static Evaluated> {
        let evaluated = self.evaluated();
        let is_in_scope = |of: &&Evaluated| match matched.scope.as_deref() {
            Some("Cluster") => !of.is_namespaced,
            Some("Namespaced") => of.is_namespaced,
            _ => true,
        };
        let in_scope: Vec<&Evaluated> = evaluated.iter().filter(is_in_scope).collect();
        if in_scope.is_empty() {
            let text = format!("a {} is in a namespace, so the constraint evaluates none", evaluated[0].kind);
            self.warn(writer, Effect::Note, "spec.match.scope", &text);
            return Vec::new();
        }
        if matched.source.as_deref() == Some("Generated") {
            if !self.evaluates_pods() {
                let text = "Gatekeeper expands workloads to pods, so the constraint evaluates nothing";
                self.warn(writer, Effect::Note, "spec.match.source", text);
                return Vec::new();
            }
            let text = "Gatekeeper evaluated only the workloads that it expands; Podfence evaluates their pods as well";
            self.warn(writer, Effect::Stricter, "spec.match.source", text);
        }
        let Some(kinds) = matched.kinds.as_deref().filter(|kinds| !kinds.is_empty()) else { return in_scope };
        // An empty list matches any, as one that is not there.
        let has = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|list| list.is_empty() || list.iter().any(|of| of == name || of == "*"))
        };
        for name in kinds.iter().flat_map(|of| of.kinds.iter().flatten()) {
            if name != "*" && evaluated.iter().all(|of| of.kind != name) {
                let text = format!("the template let every {name} pass, and so do the policies");
                self.warn(writer, Effect::Note, "spec.match.kinds", &text);
            }
        }
        let is_matched =
            |of: &&Evaluated| kinds.iter().any(|kinds| has(&kinds.api_groups, of.group) && has(&kinds.kinds, of.kind));
        let found: Vec<&Evaluated> = in_scope.into_iter().filter(is_matched).collect();
        if found.is_empty() {
            let names: Vec<&str> = evaluated.iter().map(|of| of.kind).collect();
            let text =
                format!("the constraint matches no {}, and the template evaluates no other kind", names.join(" or "));
            self.warn(writer, Effect::Note, "spec.match.kinds", &text);
        }
        found
    }
}

/// The texts of a parameter that is a list.
fn texts<'p>(parameters: &'p Parameters, list: &str) -> Vec<&'p str> {
    parameters.get(list).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The settings of `users` that have a rule.
const RULES: [&str; 4] = ["runAsUser", "runAsGroup", "supplementalGroups", "fsGroup"];

/// Whether a policy lets every pod pass.
fn forbids_nothing(part: &Part) -> bool {
    let settings = &part.settings;
    match part.policy {
        "users" => RULES.iter().all(|field| settings.get(*field).is_none_or(|of| of["rule"] == "RunAsAny")),
        "host-namespaces" => settings.values().all(|allowed| *allowed == true),
        "resources" => {
            let has_bounds = settings.contains_key("max") || settings.contains_key("maxRatio");
            !has_bounds && settings["required"] == json!({"requests": [], "limits": []})
        }
        "images" => {
            let has = |name: &str| settings.get(name).is_some_and(|list| *list != json!([]));
            let allows_some = ["allowed", "repos", "requireDigest"].iter().any(|name| settings.contains_key(*name));
            !allows_some && !has("denied") && !has("deniedTags")
        }
        "host-ports" => settings["hostPorts"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|range| range["min"].as_i64() <= Some(1) && range["max"].as_i64() >= Some(65535)),
        _ => false,
    }
}

/// Whether a policy wants something of a pod, which it does not want of a Windows pod.
fn requires_of_linux(part: &Part) -> bool {
    let settings = &part.settings;
    match part.policy {
        "allow-privilege-escalation" | "read-only-root-filesystem" => true,
        "capabilities" => settings.get("requiredDropCapabilities").is_some_and(|list| *list != json!([])),
        "seccomp" => settings.get("required") == Some(&json!(true)),
        "users" => RULES.iter().any(|field| {
            settings.get(*field).and_then(|of| of["rule"].as_str()).is_some_and(|rule| rule.starts_with("Must"))
        }),
        _ => false,
    }
}

impl ConstraintSpec {
    /// What becomes of a violation, and whether the one who makes a request is warned of it.
    fn action(&self, of: &Migrated<'_>, writer: &mut Writer<'_>) -> (Mode, bool) {
        const PATH: &str = "spec.enforcementAction";
        match self.enforcement_action.as_deref() {
            None | Some("" | "deny") => (Mode::Protect, false),
            Some("dryrun") => (Mode::Monitor, false),
            Some("warn") => (Mode::Monitor, true),
            Some("scoped") => self.scoped_action(),
            Some(other) => {
                let text = format!("no action that is known: {other:?}; the policies deny");
                of.warn(writer, Effect::Stricter, PATH, &text);
                (Mode::Protect, false)
            }
        }
    }

    /// The strongest of the actions at admission.
    fn scoped_action(&self) -> (Mode, bool) {
        const AT_ADMISSION: [&str; 3] = ["*", "validation.gatekeeper.sh", "vap.k8s.io"];
        let actions = self.scoped_enforcement_actions.iter().flatten().filter(|of| {
            let names = of.enforcement_points.iter().flatten().filter_map(|point| point.name.as_deref());
            names.into_iter().any(|name| AT_ADMISSION.contains(&name))
        });
        let actions: Vec<&str> = actions.filter_map(|of| of.action.as_deref()).collect();
        if actions.contains(&"deny") { (Mode::Protect, false) } else { (Mode::Monitor, actions.contains(&"warn")) }
    }
}
