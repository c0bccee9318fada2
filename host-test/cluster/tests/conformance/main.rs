//! The tests of the built-in admission, of the Gatekeeper library and of Kyverno, put to the built modules: each
//! case is decided as it is there, or is in the table of [`differences`] with the reason.
//!
//! The corpus is not part of this repository. Without it nothing is tested, and that is said.
//! `CONFORMANCE.md` is written from what was counted, when all of it is there.
#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;
mod corpus;
mod differences;
mod gatekeeper;
mod kyverno;
mod policies;
mod standards;
mod tally;

use std::{collections::BTreeSet, io::Write as _};

use podfence_cluster::{
    gatekeeper::Equivalent,
    standards::{Level, singles},
};
use podfence_fixtures::generated::is_current;
use podfence_scan::AdmissionRequest;
use podfence_support::root;
use serde_json::{Value, json};

use crate::{common::create, corpus::Corpus, policies::Policies, tally::Tally};

/// What a corpus asks of policies that stand for one of its own together.
struct Case {
    /// The same for all decisions about one case of the corpus.
    name: String,
    request: AdmissionRequest,
    policies: Vec<Equivalent>,
    is_allowed: bool,
}

/// A corpus, and how it is put to us.
struct Suite {
    corpus: Corpus,
    /// Which of our policies decide.
    by: &'static str,
    /// What a line of the corpus asks.
    cases: fn(&Value) -> Vec<Case>,
}

const SUITES: [Suite; 4] = [
    Suite {
        corpus: Corpus::Standards,
        by: "`pod-security-standards`, in every version that a case names",
        cases: standards::at_each_version,
    },
    Suite {
        corpus: Corpus::Standards,
        by: "the single policies that make up a level, in the newest version",
        cases: standards::by_single_policies,
    },
    Suite {
        corpus: Corpus::Gatekeeper,
        by: "the policies and settings that `podfence` has for the constraint",
        cases: gatekeeper::cases,
    },
    Suite {
        corpus: Corpus::Kyverno,
        by: "the policies and settings in `tests/conformance/kyverno.rs`",
        cases: kyverno::cases,
    },
];

/// Past the test harness, which hides what passing tests print.
fn tell(text: &str) {
    writeln!(std::io::stderr(), "conformance: {text}").expect("somebody listens");
}

/// The lines of a corpus, unless it is not there.
fn read(corpus: Corpus) -> Option<Vec<Value>> {
    let lines = corpus.lines();
    if lines.is_none() {
        tell(&format!("SKIPPED {}: there is no {}", corpus.name(), corpus.path().display()));
    }
    lines
}

#[test]
fn every_decision_is_as_expected_or_a_known_difference() {
    let mut policies = Policies::new();
    let mut tallies: Vec<Tally> = Vec::new();
    for suite in &SUITES {
        let Some(lines) = read(suite.corpus) else { continue };
        let tally = Tally::of(suite, &lines, &mut policies);
        tell(&tally.to_string());
        tallies.push(tally);
    }
    let wrong: Vec<String> = tallies.iter().flat_map(Tally::wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let is_whole = tallies.len() == SUITES.len();
    if is_whole && let Err(problem) = is_current(&root().join("host-test/CONFORMANCE.md"), &tally::document(&tallies)) {
        panic!("{problem}");
    }
}

/// Every object of every corpus, whatever it was made for; pods in those ways, too, that change what controls ask.
#[test]
fn the_single_policies_of_a_level_decide_as_the_level() {
    let mut policies = Policies::new();
    let (mut decisions, mut wrong, mut needed) = (0, Vec::new(), BTreeSet::new());
    for corpus in Corpus::ALL {
        let Some(lines) = read(corpus) else { return };
        for object in lines.iter().flat_map(|line| variants(corpus.object(line))) {
            let request = create(&object);
            for level in Level::ALL {
                decisions += 1;
                let whole = policies.allow(&[standards::whole(level.name(), "latest")], &request).is_ok();
                let mut singles = singles(level);
                singles.retain(|single| policies.allow(std::slice::from_ref(single), &request).is_err());
                // Linux fields on Windows, which Kubernetes refuses, the restricted level does not look at.
                let may_be_stricter = level == Level::Restricted && object["spec"]["os"]["name"] == "windows";
                if whole != singles.is_empty() && !(whole && may_be_stricter) {
                    wrong.push(format!("{}: allowed: {whole}, rejected singly by {singles:?}: {object}", level.name()));
                }
                if let [only] = &singles[..] {
                    needed.insert((level.name(), only.policy));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {decisions}:\n{}", wrong.len(), wrong.join("\n"));
    let all =
        Level::ALL.into_iter().flat_map(|level| singles(level).into_iter().map(move |one| (level.name(), one.policy)));
    assert_eq!(needed, all.collect(), "each is the only one to reject something");
    tell(&format!("{decisions} decisions by the single policies of a level held against the level's"));
}

/// The object as it is, and a pod for Windows and in a user namespace of its own, too.
fn variants(object: &Value) -> Vec<Value> {
    let mut variants = vec![object.clone()];
    if object["kind"] == "Pod" {
        for (field, value) in [("os", json!({"name": "windows"})), ("hostUsers", json!(false))] {
            let mut variant = object.clone();
            variant["spec"][field] = value;
            variants.push(variant);
        }
    }
    variants
}
