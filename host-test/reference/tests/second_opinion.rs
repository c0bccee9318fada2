//! Compares each policy with its opinion on random requests.
//!
//! | Variable | Meaning |
//! |---|---|
//! | `PODFENCE_PODS` | the number of requests for each policy; by default 10,000, in a debug build 500 |
//! | `PODFENCE_SEED` | the seed of the first request, by default 0; the next request has the next seed |
//!
//! `make soak` compares a million, in pieces: what a native policy reads stays in memory until the test ends.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use podfence_core::Scope;
use podfence_reference::compare::{Class, MANY, Oracle};
use podfence_reference::opinion::Opinion;

mod policies {
    podfence_reference::test_policies!(super::agrees);
}

fn agrees(opinion: &'static Opinion) {
    let name = opinion.policy.name;
    let oracle = Oracle::new(opinion);
    let agreements = oracle.check_many(|case| oracle.compare(case));
    let mut classes = BTreeMap::new();
    agreements.iter().for_each(|agreement| *classes.entry(agreement.class).or_insert(0) += 1);
    println!("{name}: {classes:?}");
    if agreements.len() < MANY as usize {
        return;
    }
    for class in Class::of(opinion) {
        let count = classes.get(class).copied().unwrap_or_default();
        assert!(count * 200 >= agreements.len(), "{name}: only {count} requests were {class:?}");
    }
    let rejected: BTreeSet<&String> = agreements.iter().flat_map(|agreement| &agreement.rejected).collect();
    let missing: Vec<String> = restricted(opinion).into_iter().filter(|path| !rejected.contains(path)).collect();
    assert!(missing.is_empty(), "{name}: no request was rejected at {missing:#?}");
}

/// The fields that a policy restricts, in the form of [`Agreement::rejected`](podfence_reference::compare::Agreement).
fn restricted(opinion: &Opinion) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for entry in opinion.policy.fields.iter().filter(|entry| !entry.docs.allowed.is_empty()) {
        let path = entry.path;
        if matches!(entry.scope, Scope::Pod | Scope::Both | Scope::PersistentVolume) {
            paths.insert(format!("spec.{path}"));
        }
        if matches!(entry.scope, Scope::Container | Scope::Both) {
            paths.extend(entry.lists().map(|list| format!("spec.{list}[*].{path}")));
        }
        if entry.scope == Scope::Metadata {
            paths.insert(format!("metadata.{path}"));
        }
        if entry.scope == Scope::Object {
            paths.insert(path.to_owned());
        }
    }
    paths
}
