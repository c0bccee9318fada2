//! What the policies say of Gatekeeper is what is made of its constraints.

use std::collections::BTreeSet;

use podfence_cluster::gatekeeper::{self, Parameters, TEMPLATES};
use podfence_docs::Replaces;
use podfence_fixtures::discover;
use podfence_support::policies;

#[test]
fn the_templates_that_a_policy_replaces_are_those_that_it_stands_for() {
    let mut told = BTreeSet::new();
    for name in discover(&policies()).expect("the policies") {
        let replaces = Replaces::load(&policies().join(&name)).expect("a table");
        told.extend(Replaces::names(replaces.gatekeeper.as_ref()).iter().map(|kind| (name.clone(), kind.clone())));
    }
    let stands_for = |kind: &str| {
        let equivalents = gatekeeper::equivalents(kind, &Parameters::new()).expect("a known constraint");
        equivalents.into_iter().map(|of| (of.policy.to_owned(), kind.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(told, TEMPLATES.iter().flat_map(|template| stands_for(template.kind)).collect());
}
