//! The suites of the Gatekeeper library.

use host_test::gatekeeper::equivalents;
use serde_json::Value;

use crate::{
    Case,
    corpus::{create, text},
};

pub fn cases(line: &Value) -> Vec<Case> {
    let parameters = line["constraint_params"].as_object().expect("parameters");
    let policies = equivalents(text(line, "template_kind"), parameters).unwrap_or_else(|error| panic!("{error}"));
    let mut request = create(&line["object"]);
    if let Some(operation) = line["review_operation"].as_str() {
        request.operation = operation.to_owned();
    }
    vec![Case {
        name: format!("{}/{}/{}", text(line, "template"), text(line, "suite_test"), text(line, "case")),
        request,
        policies,
        is_allowed: !line["expect_violations"].as_bool().expect("a verdict"),
    }]
}
