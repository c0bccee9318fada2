//! Writes test results for people, programs, CI servers and TAP consumers.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle};
use podfence_fixtures::Mismatch;
use podfence_host::suite::{PolicyReport, ReplayReport, SuiteReport};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite, XmlString};
use similar::{DiffOp, DiffTag, TextDiff};

use crate::text::{escaped, json as json_text, pretty_json, printable, visible};

/// The width of a comparison where there is no terminal to ask.
const WIDTH: u16 = 160;

const RULE: LineStyle = LineStyle::none().fill('─').junction('─');

const BAD: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();

/// A table as all reports show it. Styled always; the stream strips colours where they do not belong.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(RULE)).enforce_styling().set_header(header);
    table
}

/// A right-aligned cell.
pub(crate) fn number(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Each failure with expected and got side by side, then a table of all policies and a last line
/// `N passed, N failed`.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn human(report: &SuiteReport, out: &mut dyn Write) -> io::Result<()> {
    for policy in &report.policies {
        for failure in failures(policy) {
            write_failure(policy, &failure, out)?;
        }
    }
    let mut summary = table(&["policy", "module bytes", "cases", "replays", "failed"]);
    for policy in &report.policies {
        let failed = policy.failed();
        let failed = match failed {
            0 => number(failed),
            _ => number(failed).fg(Color::Red),
        };
        summary.add_row(vec![
            Cell::new(visible(&policy.policy)),
            number(policy.module_bytes),
            number(policy.cases),
            number(policy.replays.len()),
            failed,
        ]);
    }
    writeln!(out, "{summary}")?;
    let style = if report.failed == 0 { GOOD } else { BAD };
    writeln!(out, "{style}{} passed, {} failed{style:#}", report.passed, report.failed)
}

/// One fixture that failed in the same way in one or more forms.
struct FailedFixture<'a> {
    fixture: &'a str,
    forms: Vec<&'a str>,
    mismatch: &'a Mismatch,
}

fn failures(policy: &PolicyReport) -> Vec<FailedFixture<'_>> {
    let mut failures: Vec<FailedFixture<'_>> = Vec::new();
    for replay in &policy.replays {
        let Some(mismatch) = &replay.mismatch else {
            continue;
        };
        let same =
            failures.iter_mut().find(|failure| failure.fixture == replay.fixture && failure.mismatch == mismatch);
        match same {
            Some(failure) => failure.forms.push(&replay.form),
            None => failures.push(FailedFixture { fixture: &replay.fixture, forms: vec![&replay.form], mismatch }),
        }
    }
    failures
}

fn write_failure(policy: &PolicyReport, failure: &FailedFixture<'_>, out: &mut dyn Write) -> io::Result<()> {
    let title = format!("{}: {} ({})", policy.policy, failure.fixture, failure.forms.join(", "));
    writeln!(out, "{BAD}FAILED{BAD:#} {}", visible(&title))?;
    writeln!(out, "{}\n", side_by_side(failure.mismatch))
}

fn side_by_side(mismatch: &Mismatch) -> Table {
    let mut table = table(&["expected", "got"]);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    let (expected, got) = (escaped(&mismatch.expected), escaped(&mismatch.got));
    let diff = TextDiff::from_lines(&expected, &got);
    let expected: Vec<&str> = expected.lines().collect();
    let got: Vec<&str> = got.lines().collect();
    for op in diff.ops() {
        add_rows(&mut table, op, &expected, &got);
    }
    table
}

fn add_rows(table: &mut Table, op: &DiffOp, expected: &[&str], got: &[&str]) {
    let left = &expected[op.old_range()];
    let right = &got[op.new_range()];
    for index in 0..left.len().max(right.len()) {
        let left = Cell::new(left.get(index).unwrap_or(&""));
        let right = Cell::new(right.get(index).unwrap_or(&""));
        let row = match op.tag() {
            DiffTag::Equal => vec![left, right],
            _ => vec![left.fg(Color::Green), right.fg(Color::Red)],
        };
        table.add_row(row);
    }
}

/// The whole report as one JSON document.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn json(report: &SuiteReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", pretty_json(report)?)
}

/// JUnit XML: a suite per policy, a test case per replay.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn junit(report: &SuiteReport, out: &mut dyn Write) -> io::Result<()> {
    let mut document = quick_junit::Report::new("podfence");
    for policy in &report.policies {
        let mut suite = TestSuite::new(visible(&policy.policy));
        suite.add_test_cases(policy.replays.iter().map(|replay| junit_case(policy, replay)));
        document.add_test_suite(suite);
    }
    document.serialize(out).map_err(io::Error::other)
}

fn junit_case(policy: &PolicyReport, replay: &ReplayReport) -> TestCase {
    let status = match &replay.mismatch {
        None => TestCaseStatus::success(),
        Some(mismatch) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message("not as expected");
            let [expected, got] = [&mismatch.expected, &mismatch.got].map(|text| printable(text));
            status.set_description(format!("expected:\n  | {expected}\ngot:\n  | {got}"));
            status
        }
    };
    let name: XmlString = visible(&format!("{} ({})", replay.fixture, replay.form)).into();
    let mut case = TestCase::new(name, status);
    case.set_classname(visible(&policy.policy));
    case
}

/// TAP version 14, a test point per replay.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn tap(report: &SuiteReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "TAP version 14\n1..{}", report.passed + report.failed)?;
    let mut point = 0;
    for policy in &report.policies {
        for replay in &policy.replays {
            point += 1;
            tap_point(point, &visible(&replay.title(&policy.policy)), replay, out)?;
        }
    }
    Ok(())
}

fn tap_point(point: usize, title: &str, replay: &ReplayReport, out: &mut dyn Write) -> io::Result<()> {
    // An unescaped `#` starts a directive such as `# SKIP`.
    let title = title.replace('\\', "\\\\").replace('#', "\\#");
    let Some(mismatch) = &replay.mismatch else {
        return writeln!(out, "ok {point} - {title}");
    };
    writeln!(out, "not ok {point} - {title}\n  ---")?;
    // A JSON string is a YAML string.
    writeln!(out, "  expected: {}", json_text(&mismatch.expected)?)?;
    writeln!(out, "  got: {}\n  ...", json_text(&mismatch.got)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> SuiteReport {
        let replay = |form: &str, mismatch| ReplayReport {
            fixture: "privileged # one".to_owned(),
            form: form.to_owned(),
            mismatch,
        };
        let mismatch =
            Mismatch { expected: "rejected\nsame\n".to_owned(), got: "accepted\nsame\nmore <text>\n".to_owned() };
        SuiteReport {
            passed: 1,
            failed: 2,
            policies: vec![PolicyReport {
                policy: "privileged".to_owned(),
                module: "privileged.wasm".into(),
                module_bytes: 12_000,
                cases: 1,
                replays: vec![
                    replay("Pod", Some(mismatch.clone())),
                    replay("Job", None),
                    replay("Deployment", Some(mismatch)),
                ],
            }],
        }
    }

    fn written(write: fn(&SuiteReport, &mut dyn Write) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        write(&report(), &mut anstream::StripStream::new(&mut bytes)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn words(line: &str) -> Vec<&str> {
        line.split_whitespace().collect()
    }

    #[test]
    fn a_person_sees_each_failure_once_and_the_sum_last() {
        let text = written(human);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "FAILED privileged: privileged # one (Pod, Deployment)");
        assert_eq!(words(lines[1]), ["expected", "got"]);
        assert_eq!(words(lines[3]), ["rejected", "accepted"]);
        assert_eq!(words(lines[4]), ["same", "same"]);
        assert_eq!(words(lines[5]), ["more", "<text>"]);
        assert_eq!(text.matches("FAILED").count(), 1);
        assert!(lines.iter().any(|line| words(line) == ["privileged", "12000", "1", "3", "2"]));
        assert_eq!(lines.last(), Some(&"1 passed, 2 failed"));
    }

    #[test]
    fn json_has_every_replay() {
        let value: serde_json::Value = serde_json::from_str(&written(json)).unwrap();
        assert_eq!(value["failed"], 2);
        let replays = &value["policies"][0]["replays"];
        assert_eq!(replays[1], serde_json::json!({"fixture": "privileged # one", "form": "Job"}));
        assert_eq!(replays[2]["mismatch"]["expected"], "rejected\nsame\n");
    }

    #[test]
    fn junit_counts_and_escapes() {
        let xml = written(junit);
        assert!(xml.contains(r#"tests="3" skipped="0" errors="0" failures="2""#), "{xml}");
        assert!(xml.contains(r#"<testcase name="privileged # one (Job)" classname="privileged"/>"#), "{xml}");
        assert!(xml.contains("more &lt;text&gt;"), "{xml}");
    }

    #[test]
    fn tap_escapes_the_directive_sign() {
        let expected = "TAP version 14\n1..3\n\
            not ok 1 - privileged: privileged \\# one (Pod)\n  ---\n  \
            expected: \"rejected\\nsame\\n\"\n  got: \"accepted\\nsame\\nmore <text>\\n\"\n  ...\n\
            ok 2 - privileged: privileged \\# one (Job)\n\
            not ok 3 - privileged: privileged \\# one (Deployment)\n  ---\n  \
            expected: \"rejected\\nsame\\n\"\n  got: \"accepted\\nsame\\nmore <text>\\n\"\n  ...\n";
        assert_eq!(written(tap), expected);
    }
}
