//! The Helm chart, which renders the same documents as the kustomizations.
//!
//! What the templates need to know of each policy is in its file `policies.yaml`; they only select and put together.

use podfence_scan::custom_kinds;
use serde_json::{Map, Value, json};

use super::{EXEMPT_NAMESPACES, HEADER, NEEDS_SETTING, Options, VERSION, WHOLE, yaml};
use crate::policy;
use crate::published::{self, Published};
use crate::standards::Level;

/// All files, by their paths within the chart.
pub(super) fn files(options: &Options) -> Vec<(&'static str, String)> {
    vec![
        ("Chart.yaml", HEADER.to_owned() + &include_str!("chart/Chart.yaml").replace("@VERSION@", &VERSION[1..])),
        ("policies.yaml", yaml("", &facts(options))),
        ("templates/_policy.tpl", include_str!("chart/templates/_policy.tpl").to_owned()),
        ("templates/policies.yaml", include_str!("chart/templates/policies.yaml").to_owned()),
        ("values.schema.json", schema()),
        ("values.yaml", HEADER.to_owned() + &values(options)),
    ]
}

/// What the templates need to know.
fn facts(options: &Options) -> Value {
    let common = published::find(WHOLE).map(|of| options.rules(of)).unwrap_or_default();
    let policies = published::all().iter().map(|of| (of.policy.to_owned(), fact(options, of, &common)));
    json!({
        "namespaces": EXEMPT_NAMESPACES,
        "rules": common,
        "rulesOfTwins": policy::rules_of_twin(&common),
        "policies": policies.collect::<Map<_, _>>(),
    })
}

/// What they need to know of a policy: its metadata as the kustomizations have it, the name of its twin, its rules
/// if others than the common ones, and which settings change objects.
fn fact(options: &Options, of: &Published, common: &Value) -> Value {
    let document = options.single(of);
    let mut fact = json!({"metadata": document["metadata"]});
    let rules = &document["spec"]["rules"];
    if rules != common {
        fact["rules"] = rules.clone();
    }
    if let Some((_, setting)) = NEEDS_SETTING.iter().find(|(policy, _)| *policy == of.policy) {
        fact["needs"] = json!(setting);
    }
    let defaults = defaults(options, of.policy);
    if !defaults.is_empty() {
        fact["defaults"] = defaults.into();
    }
    if !of.mutating_settings().is_empty() {
        fact["mutates"] = of.mutating_settings().iter().map(mutating).collect();
        fact["twin"] = json!(policy::twin_name(&document));
        if rules != common {
            fact["rulesOfTwin"] = policy::rules_of_twin(rules);
        }
    }
    fact
}

/// The settings that a policy has unless it is given them: for the version of Kubernetes, and for custom kinds.
fn defaults(options: &Options, policy: &str) -> Vec<Value> {
    let pinned = options.pinned(policy).into_iter().map(|pinned| {
        let mut entry = json!({"setting": pinned.setting, "value": pinned.value});
        if let Some(unless) = pinned.unless {
            entry["unless"] = json!(unless);
        }
        entry
    });
    let mut of_kinds = Map::new();
    custom_kinds::add_to_settings(options.kinds_of(policy), &mut of_kinds);
    let of_kinds = of_kinds.into_iter().map(|(setting, value)| json!({"setting": setting, "value": value}));
    pinned.chain(of_kinds).collect()
}

/// A setting that makes a policy change objects: with one value, or with any.
fn mutating((setting, value): &(String, Option<String>)) -> Value {
    match value {
        Some(value) => json!({"setting": setting, "value": value == "true"}),
        None => json!({"setting": setting}),
    }
}

/// The values, each with what it means.
fn values(options: &Options) -> String {
    let digests: Map<String, Value> =
        options.modules.digests.iter().map(|(policy, digest)| ((*policy).to_owned(), json!(digest))).collect();
    let policies: Map<String, Value> = options
        .singles()
        .filter_map(|of| {
            let settings = options.settings.of(of.policy);
            (!settings.is_empty()).then(|| (of.policy.to_owned(), settings.into()))
        })
        .collect();
    let more = options.exempt_namespaces.iter().filter(|name| !EXEMPT_NAMESPACES.contains(&name.as_str()));
    [
        ("@REGISTRY@", json!(options.modules.registry).to_string()),
        ("@VERSION@", VERSION.to_owned()),
        ("@DIGESTS@", block(&digests)),
        ("@LEVEL_SETTINGS@", Value::from(options.settings.of(WHOLE)).to_string()),
        ("@POLICIES@", Value::from(policies).to_string()),
        ("@FIXED@", EXEMPT_NAMESPACES.join(" and ")),
        ("@NAMESPACES@", more.map(|name| json!(name)).collect::<Value>().to_string()),
        ("@SERVER@", json!(options.policy_server.as_deref().unwrap_or_default()).to_string()),
        ("@WARNINGS@", options.warnings.to_string()),
    ]
    .into_iter()
    .fold(include_str!("chart/values.yaml").to_owned(), |text, (key, value)| text.replace(key, &value))
}

/// An object below its key: a line for each member.
fn block(members: &Map<String, Value>) -> String {
    if members.is_empty() {
        return " {}".to_owned();
    }
    members.iter().map(|(key, value)| format!("\n  {key}: {value}")).collect()
}

/// What values may be, for Helm to check.
fn schema() -> String {
    let names = || published::all().iter().map(|of| of.policy);
    let objects = |names: &mut dyn Iterator<Item = &str>, of: Value| -> Map<String, Value> {
        names.map(|name| (name.to_owned(), of.clone())).collect()
    };
    let levels: Vec<&str> = Level::ALL.iter().map(|level| level.name()).chain([""]).collect();
    let namespace = json!({"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"});
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": false,
        "required": ["registry", "version", "mode", "level"],
        "properties": {
            "global": {"type": "object"},
            "registry": {"type": "string", "pattern": "^[A-Za-z0-9._:\\[\\]-]+(/[A-Za-z0-9._-]+)*$"},
            "version": {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]*$"},
            "digests": {
                "type": "object",
                "additionalProperties": false,
                "properties": objects(&mut names(), json!({"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"})),
            },
            "mode": {"enum": ["monitor", "protect"]},
            "level": {"enum": levels},
            "levelSettings": {"type": "object", "not": {"required": ["level"]}},
            "policies": {
                "type": "object",
                "additionalProperties": false,
                "properties": objects(&mut names().filter(|name| *name != WHOLE), json!({"type": "object"})),
            },
            "excludedNamespaces": {"type": "array", "items": namespace},
            "policyServer": {"type": "string"},
            "warnings": {"type": "boolean"},
        },
    });
    serde_json::to_string_pretty(&schema).expect("JSON values serialise") + "\n"
}
