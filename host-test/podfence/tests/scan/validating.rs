//! ValidatingAdmissionPolicies in every format, and what accepts their findings.

use podfence_support::Workplace;
use serde_json::{Value, json};

use super::formats::{OPENREPORTS, SARIF, against};
use super::workplace;

const POLICIES: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: replicas}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]
  validations:
  - {expression: object.spec.replicas < 9, message: too many}
  - {expression: object.spec.replicas > 1, message: too few, reason: Forbidden}
  - {expression: object.spec.replicas != 4, message: an even number, reason: Forbidden}
  auditAnnotations:
  - {key: replicas, valueExpression: string(object.spec.replicas)}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: replicas}
spec: {policyName: replicas, validationActions: [Deny]}
";

const APP: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 1
";

/// A tree with an error of the second validation.
fn tree() -> Workplace {
    let workplace = workplace();
    workplace.write("policies.yaml", POLICIES);
    workplace.write("app/web.yaml", APP);
    workplace
}

const SCAN: [&str; 4] = ["scan", "app", "--policies", "policies.yaml"];

fn scan(workplace: &Workplace, arguments: &[&str], code: i32) -> String {
    workplace.ends(&[&SCAN[..], arguments].concat(), code).0
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn each_format_names_the_policy_and_the_validation() {
    let workplace = tree();
    let human = "\
error[replicas]: too few
 --> app/web.yaml:5:13
  |
5 |   replicas: 1
  |             ^ Deployment shop/web

1 error in 1 file. 1 object judged.
";
    assert_eq!(scan(&workplace, &[], 1), human);
    let concise = "app/web.yaml:5:13: error[replicas] Deployment shop/web: too few\n";
    assert_eq!(scan(&workplace, &["--format", "concise"], 1), concise);
    let github = "::error file=app/web.yaml,line=5,col=13,endLine=5,endColumn=14,title=replicas%3A Deployment shop/web::too few\n";
    assert!(scan(&workplace, &["--format", "github"], 1).starts_with(github));
    let junit = scan(&workplace, &["--format", "junit"], 1);
    assert!(junit.contains("app/web.yaml:5:13: replicas: too few"), "{junit}");

    let report = parsed(&scan(&workplace, &["--format", "json"], 1));
    assert_eq!(report["policies"], json!([{"name": "replicas", "digest": "", "settings": {}}]));
    let finding = &report["objects"][0]["findings"][0];
    let shown = ["policy", "document", "control", "path", "value"].map(|key| finding[key].clone());
    let document = "ValidatingAdmissionPolicy/replicas";
    assert_eq!(json!(shown), json!(["replicas", document, "validations[1]", "spec.replicas", 1]));
    assert_eq!(report["annotations"], Value::Null);

    let sarif = parsed(&scan(&workplace, &["--format", "sarif"], 1));
    assert_eq!(against(SARIF, &sarif), "");
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "replicas/validations[1]");
    let described = &sarif["runs"][0]["tool"]["driver"]["rules"][0]["shortDescription"]["text"];
    assert_eq!(described, "validations[1] (replicas)");
    let gitlab = parsed(&scan(&workplace, &["--format", "gitlab"], 1));
    assert_eq!(gitlab[0]["check_name"], "replicas");
    let reports = scan(&workplace, &["--format", "openreports"], 1);
    let reports = parsed(&reports);
    assert_eq!(reports["items"].as_array().map(Vec::len), Some(1), "{reports}");
    assert_eq!(against(OPENREPORTS, &reports["items"][0]), "");
    assert_eq!(reports["items"][0]["results"][0]["rule"], "validations[1]");
}

#[test]
fn what_is_for_the_audit_log_is_shown_on_request() {
    let workplace = tree();
    let human = scan(&workplace, &["--verbose"], 1);
    let annotation = "audit annotation: app/web.yaml:2: Deployment shop/web: replicas/replicas: 1\n";
    assert!(human.contains(annotation), "{human}");
    let report = parsed(&scan(&workplace, &["--verbose", "--format", "json"], 1));
    let annotation = json!({
        "file": "app/web.yaml", "line": 2, "object": "Deployment shop/web", "key": "replicas/replicas", "value": "1",
    });
    assert_eq!(report["annotations"], json!([annotation]));
}

#[test]
fn a_baseline_accepts_one_validation_and_no_other() {
    let workplace = tree();
    let baseline = ["--baseline", "accepted.json"];
    scan(&workplace, &[&baseline[..], &["--write-baseline"]].concat(), 0);
    scan(&workplace, &baseline, 0);
    // Another message, another reason and one more validation behind it change nothing.
    let changed = POLICIES.replace("too few, reason: Forbidden", "two at least").replace(
        "  auditAnnotations:",
        "  - {expression: has(object.metadata.annotations), message: no owner}\n  auditAnnotations:",
    );
    workplace.write("policies.yaml", changed);
    let found = scan(&workplace, &[&baseline[..], &["--format", "concise"]].concat(), 1);
    assert_eq!(found, "app/web.yaml:3:11: error[replicas] Deployment shop/web: no owner\n");
    // One replica is accepted, and four are not.
    workplace.write("policies.yaml", POLICIES);
    workplace.write("app/web.yaml", APP.replace("replicas: 1", "replicas: 4"));
    let found = scan(&workplace, &[&baseline[..], &["--format", "concise"]].concat(), 1);
    assert_eq!(found, "app/web.yaml:5:13: error[replicas] Deployment shop/web: an even number\n");
}

#[test]
fn an_entry_accepts_a_validation_and_a_comment_the_policy() {
    let workplace = tree();
    let entries = scan(&workplace, &["--write-exceptions"], 0);
    assert!(entries.contains("- control: validations[1]\n  policy: replicas\n"), "{entries}");
    workplace.write("podfence.yaml", entries.replace("TODO", "one is enough"));
    scan(&workplace, &[], 0);
    workplace.write("podfence.yaml", entries.replace("TODO", "one is enough").replace("[1]", "[2]"));
    scan(&workplace, &[], 1);
    workplace.write("podfence.yaml", "ignore:\n- {policy: replicas, control: \"validations[7]\", reason: known}\n");
    let (_, error) = workplace.ends(&SCAN, 2);
    assert!(error.contains("podfence.yaml:2: ignore: "), "{error}");
    std::fs::remove_file(workplace.path("podfence.yaml")).expect("a file");
    workplace
        .write("app/web.yaml", APP.replace("replicas: 1", "replicas: 1 # podfence: ignore[replicas] one is enough"));
    scan(&workplace, &[], 0);
}
