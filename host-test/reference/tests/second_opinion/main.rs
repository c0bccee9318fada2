//! A second opinion on every decision: random requests, judged by each policy natively and as a module, and
//! by a plain and slow evaluation of the same JSON, which have to agree.
//!
//! | Variable | Meaning |
//! |---|---|
//! | `PODFENCE_PODS` | how many requests each policy gets; 10000 if it is not set |
//! | `PODFENCE_SEED` | the seed of the first one, of which the next is the seed of the second one; 0 if it is not set |
//!
//! `make soak` does it for a million, in pieces: what a policy reads natively stays in memory.
#![forbid(unsafe_code)]

mod compare;

use std::collections::{BTreeMap, BTreeSet};

use compare::{Case, Class, Evaluator};
use podfence_core::Scope;
use podfence_reference::opinion::{LISTS, Opinion};
use podfence_reference::opinions::OPINIONS;

/// From so many requests on, nothing may have been left out.
const MANY: u64 = 10_000;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(number) => number.parse().unwrap_or_else(|_| panic!("{variable}: expected a number, found {number:?}")),
        Err(_) => default,
    }
}

mod policies {
    mod agrees {
        // A test of its name for each policy.
        include!(concat!(env!("OUT_DIR"), "/agrees.rs"));
    }
}

/// Asks for a second opinion on what a policy says of random requests.
fn ask(name: &str) {
    let opinion = OPINIONS.iter().find(|opinion| opinion.policy.name == name).expect("an opinion of that name");
    let (pods, first) = (number("PODFENCE_PODS", MANY), number("PODFENCE_SEED", 0));
    let evaluator = Evaluator::new(opinion);
    let mut classes = BTreeMap::new();
    let mut rejected = BTreeSet::new();
    for seed in (0..pods).map(|n| first.wrapping_add(n)) {
        let case = Case::draw(seed, &evaluator);
        match evaluator.compare(&case) {
            Ok(agreed) => {
                *classes.entry(agreed.class).or_insert(0u64) += 1;
                rejected.extend(agreed.rejected);
            }
            Err(_) => {
                let (case, problem) = evaluator.shrink(case);
                panic!("{name}: {problem}\n{case}\nPODFENCE_SEED={seed} PODFENCE_PODS=1 has it as it was found");
            }
        }
    }
    println!("{name}, seed {first}: {classes:?}");
    if pods < MANY {
        return;
    }
    for class in Class::of(opinion) {
        let count = classes.get(class).copied().unwrap_or_default();
        assert!(count * 200 >= pods, "{name}: only {count} of {pods} pods were {class:?}");
    }
    let missing: Vec<String> = restricted(opinion).into_iter().filter(|path| !rejected.contains(path)).collect();
    assert!(missing.is_empty(), "{name}: nothing was rejected at {missing:#?}");
}

/// The places that a policy restricts, as [`compare::Agreement::rejected`] has them.
fn restricted(opinion: &Opinion) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for entry in opinion.policy.fields.iter().filter(|entry| !entry.docs.allowed.is_empty()) {
        let path = entry.path;
        if matches!(entry.scope, Scope::Pod | Scope::Both | Scope::PersistentVolume) {
            paths.insert(format!("spec.{path}"));
        }
        if matches!(entry.scope, Scope::Container | Scope::Both) {
            paths.extend(LISTS.map(|list| format!("spec.{list}[*].{path}")));
        }
        if entry.scope == Scope::Metadata {
            paths.insert(format!("metadata.{path}"));
        }
    }
    paths
}

#[test]
fn there_is_an_opinion_on_each_policy() {
    let policies: BTreeSet<String> =
        podfence_fixtures::discover(&podfence_support::policies()).expect("the policies").into_iter().collect();
    let opinions: BTreeSet<String> = OPINIONS.iter().map(|opinion| opinion.policy.name.to_owned()).collect();
    assert_eq!(opinions, policies, "an opinion is in host-test/reference/src/opinions/");
}
