use std::io::{self, Write};

use podfence_scan::report::Report;

use super::{code, object, severity, visible};

/// A line for each problem and finding, `file:line:col: error[privileged] Deployment shop/web: message; fix; page`, as
/// editors and grep take it. Suppressed findings are left out.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn concise(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for problem in &report.problems {
        let place = problem.position.map_or(String::new(), |at| format!(":{}:{}", at.line, at.col));
        writeln!(out, "{}{place}: error[problem] {}", visible(&problem.file), visible(&problem.message))?;
    }
    for finding in report.findings.iter().filter(|finding| finding.suppressed.is_none()) {
        let start = finding.span.start;
        write!(out, "{}:{}:{}: ", visible(&finding.file), start.line, start.col)?;
        write!(out, "{}[{}] ", severity(finding.severity), visible(code(finding)))?;
        match object(&finding.object) {
            object if object.is_empty() => {}
            object => write!(out, "{}: ", visible(&object))?,
        }
        let what = finding.what();
        let texts = [&what, &finding.fix, &finding.docs];
        let texts: Vec<String> = texts.iter().filter(|text| !text.is_empty()).map(|text| visible(text)).collect();
        writeln!(out, "{}", texts.join("; "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use podfence_scan::finding::{Finding, ObjectName, Problem, Severity, Suppressed, SuppressionKind};

    use super::super::sample::{WEB, finding, missing, problem, report, span};
    use super::*;

    fn written(report: &Report) -> String {
        let mut bytes = Vec::new();
        concise(report, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_finding_is_a_line() {
        let accepted = Suppressed { kind: SuppressionKind::Comment, reason: "known".to_owned() };
        let nowhere = ObjectName { namespace: None, ..finding(span(WEB, "web")).object };
        let no_object = ObjectName { kind: String::new(), name: String::new(), ..nowhere.clone() };
        let mut report = report(vec![
            finding(span(WEB, "true")),
            Finding { suppressed: Some(accepted), ..finding(span(WEB, "true")) },
            Finding {
                severity: Severity::Warning,
                level: None,
                object: nowhere,
                ..missing(span(WEB, "web"), "runAsNonRoot", "runAsNonRoot", "true")
            },
            Finding {
                object: no_object,
                policy: "of-others".to_owned(),
                control: String::new(),
                message: "no\nway \u{1b}[2J\u{202e}".to_owned(),
                fix: String::new(),
                docs: String::new(),
                ..finding(span(WEB, "spec"))
            },
        ]);
        let gone = Problem { file: "a\nb".to_owned(), position: None, message: "No such file".to_owned() };
        report.problems = vec![problem(), gone];
        let expected = [
            "deploy/broken.yaml:3:7: error[problem] expected a key, found \"]\"",
            "a\\nb: error[problem] No such file",
            "deploy/web.yaml:8:23: error[privileged] Deployment shop/web: container \"web\" must not set \
                securityContext.privileged=true; set securityContext.privileged to false or remove it; \
                https://podfence.example/privileged",
            "deploy/web.yaml:6:15: warning[runAsNonRoot] Deployment web: container \"web\" must set \
                securityContext.runAsNonRoot=true; set securityContext.runAsNonRoot to true; \
                https://podfence.example/pod-security-standards",
            "deploy/web.yaml:2:1: error[of-others] no\\nway \\u{1b}[2J\\u{202e}",
        ];
        assert_eq!(written(&report), format!("{}\n", expected.join("\n")));
    }

    #[test]
    fn nothing_found_is_nothing_written() {
        assert_eq!(written(&report(Vec::new())), "");
    }
}
