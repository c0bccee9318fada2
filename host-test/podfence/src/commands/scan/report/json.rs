pub(crate) use podfence_scan::json::write as json;

#[cfg(test)]
mod tests {
    use podfence_scan::document::Document;
    use podfence_scan::finding::{Finding, ObjectName, Severity, Suppressed, SuppressionKind};
    use podfence_scan::report::{Judging, Report};
    use serde_json::{Value, json};

    use super::super::sample::{WEB, finding, flush, missing, problem, report, span};

    fn written(report: &Report) -> String {
        let mut bytes = Vec::new();
        super::json(report, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_finding_is_on_a_line() {
        let accepted = Suppressed { kind: SuppressionKind::Config, reason: "known".to_owned() };
        let empty =
            ObjectName { api_version: String::new(), kind: String::new(), namespace: None, name: String::new() };
        let mut report = report(vec![
            Finding { related: vec![span(WEB, "kind")], via: Some("t.yaml".to_owned()), ..finding(span(WEB, "true")) },
            Finding {
                fix: "another fix".to_owned(),
                docs: String::new(),
                severity: Severity::Warning,
                level: Some("baseline".to_owned()),
                ..finding(span(WEB, "true"))
            },
            Finding { suppressed: Some(accepted), ..missing(span(WEB, "web"), "runAsNonRoot", "runAsNonRoot", "true") },
            finding(span(WEB, "true")),
            Finding {
                policy: "scan".to_owned(),
                control: "unused-ignore".to_owned(),
                object: empty,
                container: None,
                path: String::new(),
                value: Value::Null,
                message: "nothing".to_owned(),
                fix: String::new(),
                ..finding(span(WEB, "spec"))
            },
        ]);
        let Value::Object(settings) = json!({"allowed": [{"a": 1}, []], "none": {}}) else { unreachable!() };
        report.policies = vec![Judging { name: "privileged".to_owned(), digest: "sha256:00".to_owned(), settings }];
        report.problems = vec![problem()];
        let expected = flush(r#"
            {
              "version": "podfence/scan/v1",
              "tool": {
                "name": "podfence",
                "version": "VERSION"
              },
              "policies": [
                {"name":"privileged","digest":"sha256:00","settings":{"allowed":[{"a":1},[]],"none":{}}}
              ],
              "help": {
                "pod-security-standards": {"docs":"https://podfence.example/pod-security-standards","fixes":{"runAsNonRoot":"set securityContext.runAsNonRoot to true"}},
                "privileged": {"docs":"https://podfence.example/privileged","fixes":{"privileged":"set securityContext.privileged to false or remove it"}},
                "scan": {"docs":"https://podfence.example/privileged","fixes":{"unused-ignore":""}}
              },
              "objects": [
                {"file":"deploy/web.yaml","via":"t.yaml","object":{"apiVersion":"apps/v1","kind":"Deployment","namespace":"shop","name":"web"},"findings":[
                  {"policy":"privileged","control":"privileged","severity":"error","container":"web","path":"spec.template.spec.containers[0].securityContext.privileged","value":true,"message":"container \"web\" must not set securityContext.privileged=true","line":8,"col":23,"end":[8,27],"bytes":[128,132],"related":[{"line":1,"col":1,"end":[1,5],"bytes":[0,4]}],"fingerprint":"00112233445566778899aabbccddeeff"}
                ]},
                {"file":"deploy/web.yaml","object":{"apiVersion":"apps/v1","kind":"Deployment","namespace":"shop","name":"web"},"findings":[
                  {"policy":"privileged","control":"privileged","severity":"warning","level":"baseline","container":"web","path":"spec.template.spec.containers[0].securityContext.privileged","value":true,"message":"container \"web\" must not set securityContext.privileged=true","fix":"another fix","docs":"","line":8,"col":23,"end":[8,27],"bytes":[128,132],"fingerprint":"00112233445566778899aabbccddeeff"},
                  {"policy":"pod-security-standards","control":"runAsNonRoot","severity":"error","container":"web","path":"spec.template.spec.containers[0].securityContext.runAsNonRoot","message":"container \"web\" must set securityContext.runAsNonRoot=true","line":6,"col":15,"end":[6,18],"bytes":[77,80],"fingerprint":"00112233445566778899aabbccddeeff","suppressed":{"kind":"config","reason":"known"}},
                  {"policy":"privileged","control":"privileged","severity":"error","container":"web","path":"spec.template.spec.containers[0].securityContext.privileged","value":true,"message":"container \"web\" must not set securityContext.privileged=true","line":8,"col":23,"end":[8,27],"bytes":[128,132],"fingerprint":"00112233445566778899aabbccddeeff"}
                ]},
                {"file":"deploy/web.yaml","findings":[
                  {"policy":"scan","control":"unused-ignore","severity":"error","path":"","message":"nothing","line":2,"col":1,"end":[2,5],"bytes":[17,21],"fingerprint":"00112233445566778899aabbccddeeff"}
                ]}
              ],
              "problems": [
                {"file":"deploy/broken.yaml","position":{"line":3,"col":7,"byte":20},"message":"expected a key, found \"]\""}
              ],
              "summary": {
                "files": 1,
                "documents": 1,
                "judged": 1,
                "withoutPods": 0,
                "noObjects": 0,
                "notJudged": 0,
                "notSelected": 0,
                "owned": 0,
                "exempt": 0,
                "unreadable": 0,
                "templates": 0,
                "errors": 3,
                "warnings": 1,
                "suppressed": 1,
                "hints": [],
                "notes": []
              }
            }
            "#).replace("VERSION", env!("CARGO_PKG_VERSION"));
        assert_eq!(written(&report), expected);
    }

    #[test]
    fn nothing_found_is_an_empty_list() {
        let text = written(&Report::default());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["objects"], json!([]));
        assert!(text.contains("  \"objects\": [],\n"), "{text}");
    }

    #[test]
    fn the_layout_changes_no_value() {
        let report = report(vec![finding(span(WEB, "true"))]);
        let value: Value = serde_json::from_str(&written(&report)).unwrap();
        assert_eq!(value, serde_json::to_value(Document::from(&report)).unwrap());
    }
}
