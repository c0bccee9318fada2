//! The table of the CIS Kubernetes Benchmark: which policy checks which item, by which controls.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use podfence_fixtures::discover;
use serde::Deserialize;

use crate::facts::PolicyTool;

/// The items of the benchmark.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Benchmark {
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    id: String,
    title: String,
    /// Why no policy checks it, and what does.
    instead: Option<String>,
}

/// Returns the table of `policies/CIS.md`: each item with the policies that check it, and their controls.
///
/// # Errors
/// A policy names an unknown item, or one that no policy checks; or nothing is said about an item.
pub fn table(root: &Path) -> Result<String, String> {
    let Benchmark { items } =
        toml::from_str(include_str!("../cis.toml")).map_err(|error| format!("cis.toml: {error}"))?;
    let policies = root.join("policies");
    let mut checked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in discover(&policies).map_err(|error| error.to_string())? {
        for (item, controls) in PolicyTool::load(&policies.join(&name))?.cis {
            let controls: Vec<String> = controls.iter().map(|control| format!("`{control}`")).collect();
            let controls = if controls.is_empty() { "all controls".to_owned() } else { controls.join(", ") };
            let entry = format!("[`{name}`]({name}/README.md): {controls}");
            checked.entry(item).or_default().push(entry);
        }
    }
    let known: BTreeSet<&str> = items.iter().map(|item| item.id.as_str()).collect();
    if let Some((item, policies)) = checked.iter().find(|(item, _)| !known.contains(item.as_str())) {
        return Err(format!("{}: cis: the benchmark has no item {item}", policies.join(", ")));
    }
    let mut table = String::from("| Item | Title | Checked by |\n|---|---|---|\n");
    for Item { id, title, instead } in &items {
        let by = match (checked.get(id), instead) {
            (Some(policies), None) => policies.join("<br>"),
            (None, Some(instead)) => instead.clone(),
            (Some(policies), Some(_)) => {
                return Err(format!("cis.toml: {id}: {} check it; remove `instead`", policies.join(", ")));
            }
            (None, None) => return Err(format!("cis.toml: {id}: no policy checks it; say what does in `instead`")),
        };
        table.push_str(&format!("| {id} | {title} | {by} |\n"));
    }
    Ok(table)
}

/// Sorts items by their numbers.
pub(crate) fn sorted(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut items: Vec<String> = items.collect();
    items.sort_by_key(|item| item.split('.').map(|number| number.parse().unwrap_or(u32::MAX)).collect::<Vec<_>>());
    items
}
