use std::collections::BTreeMap;
use std::io::{self, Write};

use podfence_scan::finding::{Finding, Severity};
use podfence_scan::report::Report;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{code, object};
use crate::text::visible;

/// JUnit XML: a suite for each file with findings, a case for each object and policy. Errors fail a case, problems are
/// errors of one, warnings are in its output. The first suite says how much was judged, so that a clean report is not an
/// empty one.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn junit(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut document = quick_junit::Report::new("podfence scan");
    let mut whole = TestSuite::new("podfence scan");
    let judged = report.summary.judged;
    let objects = if judged == 1 { "object" } else { "objects" };
    whole.add_test_case(TestCase::new(format!("{judged} {objects} judged"), TestCaseStatus::success()));
    document.add_test_suite(whole);

    let mut files: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for problem in &report.problems {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        let place = problem.position.map_or(String::new(), |at| format!(":{}:{}", at.line, at.col));
        status.set_message(visible(&problem.message));
        let name = format!("could not be judged{place}");
        suite(&mut files, &problem.file).add_test_case(TestCase::new(name, status));
    }
    let mut cases: BTreeMap<(&str, String, &str), Vec<&Finding>> = BTreeMap::new();
    for finding in report.findings.iter().filter(|finding| finding.suppressed.is_none()) {
        cases.entry((&finding.file, object(&finding.object), &finding.policy)).or_default().push(finding);
    }
    for ((file, object, policy), findings) in cases {
        suite(&mut files, file).add_test_case(case(&object, policy, &findings));
    }
    document.add_test_suites(files.into_values());
    document.serialize(out).map_err(io::Error::other)
}

fn suite<'f, 'r>(files: &'f mut BTreeMap<&'r str, TestSuite>, file: &'r str) -> &'f mut TestSuite {
    files.entry(file).or_insert_with(|| TestSuite::new(visible(file)))
}

fn case(object: &str, policy: &str, findings: &[&Finding]) -> TestCase {
    let lines = |severity| {
        let of_severity = findings.iter().filter(move |finding| finding.severity == severity);
        of_severity.map(|finding| line(finding)).collect::<Vec<_>>()
    };
    let (errors, warnings) = (lines(Severity::Error), lines(Severity::Warning));
    let status = match errors.first() {
        None => TestCaseStatus::success(),
        Some(first) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type("error").set_message(first.as_str()).set_description(errors.join("\n"));
            status
        }
    };
    let mut case = TestCase::new(visible(object), status);
    case.set_classname(visible(policy));
    if !warnings.is_empty() {
        case.set_system_out(warnings.join("\n"));
    }
    case
}

fn line(finding: &Finding) -> String {
    let start = finding.span.start;
    let what = finding.what();
    let texts = [&what, &finding.fix, &finding.docs];
    let texts: Vec<String> = texts.iter().filter(|text| !text.is_empty()).map(|text| visible(text)).collect();
    let (file, control) = (visible(&finding.file), visible(code(finding)));
    format!("{file}:{}:{}: {control}: {}", start.line, start.col, texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{WEB, finding, flush, missing, problem, report, span};
    use super::*;

    fn written(report: &Report) -> String {
        let mut bytes = Vec::new();
        junit(report, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn errors_fail_a_case_and_warnings_do_not() {
        let root = missing(span(WEB, "web"), "runAsNonRoot", "runAsNonRoot", "true");
        let mut report = report(vec![
            finding(span(WEB, "true")),
            Finding { severity: Severity::Warning, message: "a\u{1b}\u{fffe}\u{ffff}<b>\n]]>".to_owned(), ..root },
        ]);
        report.problems = vec![problem()];
        let expected = flush(
            r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <testsuites name="podfence scan" tests="4" skipped="0" failures="1" errors="1">
                <testsuite name="podfence scan" tests="1" skipped="0" errors="0" failures="0">
                    <testcase name="1 object judged"/>
                </testsuite>
                <testsuite name="deploy/broken.yaml" tests="1" skipped="0" errors="1" failures="0">
                    <testcase name="could not be judged:3:7">
                        <error message="expected a key, found &quot;]&quot;"/>
                    </testcase>
                </testsuite>
                <testsuite name="deploy/web.yaml" tests="2" skipped="0" errors="0" failures="1">
                    <testcase name="Deployment shop/web" classname="pod-security-standards">
                        <system-out>deploy/web.yaml:6:15: runAsNonRoot: a\u{1b}\u{fffe}\u{ffff}&lt;b&gt;\n]]&gt;; set securityContext.runAsNonRoot to true; https://podfence.example/pod-security-standards</system-out>
                    </testcase>
                    <testcase name="Deployment shop/web" classname="privileged">
                        <failure message="deploy/web.yaml:8:23: privileged: container &quot;web&quot; must not set securityContext.privileged=true; set securityContext.privileged to false or remove it; https://podfence.example/privileged" type="error">deploy/web.yaml:8:23: privileged: container &quot;web&quot; must not set securityContext.privileged=true; set securityContext.privileged to false or remove it; https://podfence.example/privileged</failure>
                    </testcase>
                </testsuite>
            </testsuites>
            "#,
        );
        assert_eq!(written(&report), expected);
    }

    #[test]
    fn a_clean_report_says_how_much_was_judged() {
        let text = written(&report(Vec::new()));
        assert!(
            text.contains(r#"<testsuites name="podfence scan" tests="1" skipped="0" failures="0" errors="0">"#),
            "{text}"
        );
        assert!(text.contains(r#"<testcase name="1 object judged"/>"#), "{text}");
    }
}
