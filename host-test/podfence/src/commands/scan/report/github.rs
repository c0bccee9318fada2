use std::io::{self, Write};

use podfence_scan::finding::{Finding, Position, Severity};
use podfence_scan::report::Report;

use super::{code, object};
use crate::text::escaped;

/// As many annotations of a kind as GitHub shows for a step.
const SHOWN: usize = 10;

/// Workflow commands that GitHub shows as annotations in the changes of a pull request: problems and errors, then
/// warnings. Of each kind it shows ten; a notice says how many more there are. Suppressed findings are left out.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn github(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let of = |severity| {
        report.findings.iter().filter(move |of| of.suppressed.is_none() && of.severity == severity).map(of_finding)
    };
    let problems = report.problems.iter().map(|problem| Annotation {
        file: &problem.file,
        start: problem.position,
        end: None,
        title: "could not be judged".to_owned(),
        message: problem.message.clone(),
    });
    let mut left_out = 0;
    left_out += write_some("error", problems.chain(of(Severity::Error)), out)?;
    left_out += write_some("warning", of(Severity::Warning), out)?;
    if left_out > 0 {
        writeln!(
            out,
            "::notice title=podfence::{left_out} more are not shown, because GitHub shows {SHOWN} of a kind; the format \
             sarif has all of them"
        )?;
    }
    Ok(())
}

struct Annotation<'r> {
    file: &'r str,
    start: Option<Position>,
    end: Option<Position>,
    title: String,
    message: String,
}

fn of_finding(finding: &Finding) -> Annotation<'_> {
    let title = match object(&finding.object) {
        object if object.is_empty() => code(finding).to_owned(),
        object => format!("{}: {object}", code(finding)),
    };
    let what = finding.what();
    let texts = [&what, &finding.fix, &finding.docs];
    let texts: Vec<&str> = texts.into_iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    let (start, end) = (Some(finding.span.start), Some(finding.span.end));
    Annotation { file: &finding.file, start, end, title, message: texts.join("\n") }
}

/// Writes the first ones; returns how many are left.
fn write_some<'r>(
    command: &str,
    annotations: impl Iterator<Item = Annotation<'r>>,
    out: &mut dyn Write,
) -> io::Result<usize> {
    let mut left_out = 0;
    for (index, Annotation { file, start, end, title, message }) in annotations.enumerate() {
        if index >= SHOWN {
            left_out += 1;
            continue;
        }
        write!(out, "::{command} file={}", property(file))?;
        if let Some(start) = start {
            write!(out, ",line={},col={}", start.line, start.col)?;
        }
        // GitHub takes an end column on the same line alone.
        if let (Some(start), Some(end)) = (start, end) {
            write!(out, ",endLine={}", end.line)?;
            if start.line == end.line {
                write!(out, ",endColumn={}", end.col)?;
            }
        }
        writeln!(out, ",title={}::{}", property(&title), data(&message))?;
    }
    Ok(left_out)
}

/// A message on one line, as the runner reads it.
fn data(text: &str) -> String {
    escaped(text).replace('%', "%25").replace('\n', "%0A")
}

/// A value in front of a message.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use podfence_scan::finding::{Finding, Severity};

    use super::super::sample::{WEB, finding, missing, problem, report, span};
    use super::*;

    fn written(report: &Report) -> String {
        let mut bytes = Vec::new();
        github(report, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_finding_is_a_command_errors_first() {
        let warning = Finding {
            severity: Severity::Warning,
            file: "a,b:c\n::d.yaml".to_owned(),
            message: "100%\r\n::error::no".to_owned(),
            fix: String::new(),
            docs: String::new(),
            ..missing(span(WEB, "web"), "runAsNonRoot", "runAsNonRoot", "true")
        };
        let mut report = report(vec![warning, finding(span(WEB, "true"))]);
        report.problems = vec![problem()];
        let expected = [
            "::error file=deploy/broken.yaml,line=3,col=7,title=could not be judged::expected a key, found \"]\"",
            "::error file=deploy/web.yaml,line=8,col=23,endLine=8,endColumn=27,title=privileged%3A Deployment shop/web\
             ::container \"web\" must not set securityContext.privileged=true%0Aset securityContext.privileged to false or \
             remove it%0Ahttps://podfence.example/privileged",
            "::warning file=a%2Cb%3Ac%0A\\u{3a}%3Ad.yaml,line=6,col=15,endLine=6,endColumn=18,title=runAsNonRoot%3A \
             Deployment shop/web::100%25\\u{d}%0A\\u{3a}:error::no",
        ];
        assert_eq!(written(&report), format!("{}\n", expected.join("\n")));
    }

    #[test]
    fn what_github_does_not_show_is_counted() {
        let errors = vec![finding(span(WEB, "true")); 12];
        let warnings = vec![Finding { severity: Severity::Warning, ..finding(span(WEB, "true")) }; 3];
        let text = written(&report([errors, warnings].concat()));
        let count = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!((count("::error "), count("::warning "), count("::notice ")), (10, 3, 1));
        assert!(text.contains("::2 more are not shown"), "{text}");
        assert_eq!(written(&report(Vec::new())), "");
    }
}
