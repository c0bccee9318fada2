//! What the policies say of Gatekeeper is what is made of its constraints.

use std::{collections::BTreeSet, fs, path::Path};

use host_test::gatekeeper::{self, Parameters, TEMPLATES};
use podfence_core::testing::generate;

#[test]
fn the_templates_that_a_policy_replaces_are_those_that_it_stands_for() {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let entries = fs::read_dir(policies).expect("the directory of the policies");
    let mut told = BTreeSet::new();
    for dir in entries.map(|entry| entry.expect("an entry").path()).filter(|dir| dir.join("fixtures.yaml").exists()) {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let [_, _, gatekeeper, _, _] = generate::replaces(&dir).expect("a list");
        told.extend(generate::names(&gatekeeper).iter().map(|kind| (name.clone(), (*kind).to_owned())));
    }
    let stands_for = |kind: &str| {
        let equivalents = gatekeeper::equivalents(kind, &Parameters::new()).expect("a known constraint");
        equivalents.into_iter().map(|of| (of.policy.to_owned(), kind.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(told, TEMPLATES.iter().flat_map(|template| stands_for(template.kind)).collect());
}
