//! The fixtures of the built-in admission.

use podfence_cluster::{
    gatekeeper::{Equivalent, Parameters},
    standards::{Level, singles},
};
use serde_json::Value;

use crate::{Case, common::create, corpus::text};

/// The version that the single policies stand for.
const NEWEST: &str = "v1.37";

/// The policy that decides a level at once.
pub fn whole(level: &str, version: &str) -> Equivalent {
    let settings = [("level", level), ("version", version)];
    let settings: Parameters = settings.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect();
    Equivalent { policy: "pod-security-standards", settings }
}

pub fn at_each_version(line: &Value) -> Vec<Case> {
    versions(line).map(|version| case(line, vec![whole(text(line, "level"), version)])).collect()
}

pub fn by_single_policies(line: &Value) -> Vec<Case> {
    let level = Level::ALL.into_iter().find(|level| level.name() == text(line, "level")).expect("a level");
    versions(line).filter(|version| *version == NEWEST).map(|_| case(line, singles(level))).collect()
}

fn versions(line: &Value) -> impl Iterator<Item = &str> {
    line["versions"].as_array().expect("versions").iter().map(|version| version.as_str().expect("a version"))
}

fn case(line: &Value, policies: Vec<Equivalent>) -> Case {
    Case {
        name: format!("{}/{}", text(line, "id"), text(line, "check")),
        request: create(&line["pod"]),
        policies,
        is_allowed: match text(line, "expect") {
            "pass" => true,
            "fail" => false,
            other => panic!("{other} is not a verdict"),
        },
    }
}
