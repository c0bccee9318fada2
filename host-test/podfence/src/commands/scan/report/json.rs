use std::io::{self, Write};

use podfence_scan::document::Document;
use podfence_scan::report::Report;
use serde::Serialize as _;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::text::escaped_json;

/// The whole report as one JSON document, with each finding on a line of its own.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    Document::from(report).serialize(&mut Serializer::with_formatter(&mut *out, Lines::default()))?;
    writeln!(out)
}

/// How deep values start a line: members of the document, and elements and members of those.
const DEPTH: usize = 2;

/// How deep an array is whose elements start a line: the findings of an object.
const FINDINGS: usize = 4;

/// Starts lines at the top, and with findings: few enough to stay small, and enough to compare two reports line by line.
#[derive(Default)]
struct Lines {
    depth: usize,
    has_value: bool,
}

/// What holds a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Array,
    Object,
}

impl Lines {
    fn begin(&mut self, out: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        out.write_all(bracket)
    }

    fn next(&self, out: &mut (impl Write + ?Sized), holder: Holder, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        self.start_line(out, holder, 2)
    }

    fn end(&mut self, out: &mut (impl Write + ?Sized), holder: Holder, bracket: &[u8]) -> io::Result<()> {
        if self.has_value {
            self.start_line(out, holder, 0)?;
        }
        self.depth -= 1;
        out.write_all(bracket)
    }

    /// Starts a line where values of the holder have one, with so many columns more than the holder has.
    fn start_line(&self, out: &mut (impl Write + ?Sized), holder: Holder, more: usize) -> io::Result<()> {
        let indent = match self.depth {
            depth if depth <= DEPTH => 2 * (depth - 1),
            FINDINGS if holder == Holder::Array => 2 * DEPTH,
            _ => return Ok(()),
        };
        write!(out, "\n{:1$}", "", indent + more)
    }
}

impl Formatter for Lines {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        out.write_all(escaped_json(fragment).as_bytes())
    }

    fn begin_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"[")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, Holder::Array, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, Holder::Array, b"]")
    }

    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"{")
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, Holder::Object, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(if self.depth <= DEPTH { b": " } else { b":" })
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, Holder::Object, b"}")
    }
}

#[cfg(test)]
mod tests {
    use podfence_scan::finding::{Finding, ObjectName, Severity, Suppressed, SuppressionKind};
    use podfence_scan::report::Judging;
    use serde_json::{Value, json};

    use super::super::sample::{WEB, finding, flush, missing, problem, report, span};
    use super::*;

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
