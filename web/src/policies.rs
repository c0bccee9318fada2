//! The policies that are linked, and what forms ask for.

use podfence_core::{Declaration, JsonType, Policy, common};
use podfence_scan::standard::Level;
use serde::Serialize;
use serde_json::Value;

/// A policy, and what is published about it.
pub struct Linked {
    /// The policy.
    pub policy: &'static Policy,
    /// Its name in catalogues.
    pub title: &'static str,
    /// What it rejects, in one sentence.
    pub description: &'static str,
    /// The URL of its docs.
    pub docs: &'static str,
    /// How severe a violation is.
    pub severity: &'static str,
    /// The controls that its violations name.
    pub controls: &'static [&'static str],
    /// Whether it judges PersistentVolumes beside what runs pods.
    pub has_volumes: bool,
    /// A manifest that it rejects.
    pub example: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/policies.rs"));

/// The policy of a name.
pub fn find(name: &str) -> Option<&'static Linked> {
    POLICIES.iter().find(|linked| linked.policy.name == name)
}

/// Everything there is to select, as JSON.
pub fn json() -> String {
    let all = All {
        version: env!("CARGO_PKG_VERSION"),
        levels: std::iter::once("privileged").chain(Level::ALL.map(Level::name)).collect(),
        policies: POLICIES.iter().map(Entry::of).collect(),
        settings: settings(common::SETTINGS, ""),
    };
    serde_json::to_string(&all).expect("texts and JSON values serialise")
}

#[derive(Serialize)]
struct All {
    version: &'static str,
    /// Of the Pod Security Standards, the strictest last.
    levels: Vec<&'static str>,
    policies: Vec<Entry>,
    /// Of every policy.
    settings: Vec<Setting>,
}

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    severity: &'static str,
    controls: &'static [&'static str],
    docs: &'static str,
    /// A manifest that it rejects.
    example: &'static str,
    settings: Vec<Setting>,
    /// The paths of those of every policy that it has.
    common: Vec<&'static str>,
}

impl Entry {
    fn of(linked: &Linked) -> Entry {
        let &Linked { policy, title, description, docs, severity, controls, example, .. } = linked;
        let settings = settings(policy.settings.declarations, "");
        let common = policy.common_settings().iter().map(|setting| setting.path).filter(|path| !path.contains("[*]"));
        let common = common.collect();
        Entry { name: policy.name, title, description, severity, controls, docs, example, settings, common }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Setting {
    /// Dotted; of a setting in a list of objects, from the element on.
    path: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// What it does, in Markdown.
    docs: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
    /// The only strings that it may be.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    options: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    shown_if: Option<ShownIf>,
    /// Of each element of a list of objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    elements: Vec<Setting>,
}

/// When a setting has an effect.
#[derive(Serialize)]
struct ShownIf {
    path: &'static str,
    values: &'static [&'static str],
}

/// The settings in the list at a path, which ends in `[*].`; or, if it is empty, those outside of lists. Those that stand
/// for another project's are left out: each has one of ours beside it.
fn settings(declarations: &[Declaration], list: &str) -> Vec<Setting> {
    // What is in an object of any members is a part of the object.
    let inside = |of: &&Declaration| of.path.strip_prefix(list).is_some_and(|path| !path.contains('*'));
    let declared = declarations.iter().filter(inside).filter(|of| of.docs.project.is_empty());
    let setting = |of: &Declaration| Setting {
        path: &of.path[list.len()..],
        kind: kind(of.json_type),
        docs: of.docs.text.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned(),
        default: serde_json::from_str(of.default).ok(),
        options: of.options,
        shown_if: match of.docs.shown_if {
            (_, []) => None,
            (path, values) => Some(ShownIf { path, values }),
        },
        elements: match of.json_type {
            JsonType::ObjectList => settings(declarations, &format!("{}[*].", of.path)),
            _ => Vec::new(),
        },
    };
    declared.map(setting).collect()
}

fn kind(of: JsonType) -> &'static str {
    match of {
        JsonType::Bool => "boolean",
        JsonType::Integer => "integer",
        JsonType::String => "string",
        JsonType::StringList => "strings",
        JsonType::ObjectList => "objects",
        JsonType::Object | JsonType::Any | JsonType::Deferred => "any",
    }
}
