use std::io::{self, Write};

use podfence_scan::report::Report;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::text::escaped_json;

#[derive(Serialize)]
struct Envelope<'r> {
    version: &'static str,
    tool: Tool,
    #[serde(flatten)]
    report: &'r Report,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

/// The whole report as one JSON document, `podfence/scan/v1`, with each finding on a line of its own.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let tool = Tool { name: "podfence", version: env!("CARGO_PKG_VERSION") };
    let envelope = Envelope { version: "podfence/scan/v1", tool, report };
    envelope.serialize(&mut Serializer::with_formatter(&mut *out, Lines::default()))?;
    writeln!(out)
}

/// How deep values start a line: members of the document, and elements and members of those.
const DEPTH: usize = 2;

/// Starts lines at the top alone: few enough to stay small, and enough to compare two reports line by line.
#[derive(Default)]
struct Lines {
    depth: usize,
    has_value: bool,
}

impl Lines {
    fn begin(&mut self, out: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        out.write_all(bracket)
    }

    fn next(&self, out: &mut (impl Write + ?Sized), first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        self.start_line(out, self.depth)
    }

    fn end(&mut self, out: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        if self.has_value {
            self.start_line(out, self.depth - 1)?;
        }
        self.depth -= 1;
        out.write_all(bracket)
    }

    fn start_line(&self, out: &mut (impl Write + ?Sized), indent: usize) -> io::Result<()> {
        if self.depth <= DEPTH { write!(out, "\n{:1$}", "", 2 * indent) } else { Ok(()) }
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
        self.next(out, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"]")
    }

    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"{")
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(if self.depth <= DEPTH { b": " } else { b":" })
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"}")
    }
}

#[cfg(test)]
mod tests {
    use podfence_scan::finding::{Finding, Suppressed, SuppressionKind};
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
        let mut report = report(vec![
            Finding { related: vec![span(WEB, "kind")], via: Some("t.yaml".to_owned()), ..finding(span(WEB, "true")) },
            Finding { suppressed: Some(accepted), ..missing(span(WEB, "web"), "runAsNonRoot", "runAsNonRoot", "true") },
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
              "findings": [
                {"policy":"privileged","control":"privileged","severity":"error","object":{"apiVersion":"apps/v1","kind":"Deployment","namespace":"shop","name":"web"},"container":"web","path":"spec.template.spec.containers[0].securityContext.privileged","value":true,"message":"container \"web\" must not set securityContext.privileged=true","fix":"set securityContext.privileged to false or remove it","docs":"https://podfence.example/privileged","file":"deploy/web.yaml","via":"t.yaml","span":{"start":{"line":8,"col":23,"byte":128},"end":{"line":8,"col":27,"byte":132}},"related":[{"start":{"line":1,"col":1,"byte":0},"end":{"line":1,"col":5,"byte":4}}],"fingerprint":"00112233445566778899aabbccddeeff"},
                {"policy":"pod-security-standards","control":"runAsNonRoot","severity":"error","object":{"apiVersion":"apps/v1","kind":"Deployment","namespace":"shop","name":"web"},"container":"web","path":"spec.template.spec.containers[0].securityContext.runAsNonRoot","value":null,"message":"container \"web\" must set securityContext.runAsNonRoot=true","fix":"set securityContext.runAsNonRoot to true","docs":"https://podfence.example/pod-security-standards","file":"deploy/web.yaml","span":{"start":{"line":6,"col":15,"byte":77},"end":{"line":6,"col":18,"byte":80}},"fingerprint":"00112233445566778899aabbccddeeff","suppressed":{"kind":"config","reason":"known"}}
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
                "errors": 1,
                "warnings": 0,
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
        assert_eq!(value["findings"], json!([]));
        assert!(text.contains("  \"findings\": [],\n"), "{text}");
    }

    #[test]
    fn the_layout_changes_no_value() {
        let report = report(vec![finding(span(WEB, "true"))]);
        let value: Value = serde_json::from_str(&written(&report)).unwrap();
        let mut expected = serde_json::to_value(&report).unwrap();
        expected["version"] = json!("podfence/scan/v1");
        expected["tool"] = json!({"name": "podfence", "version": env!("CARGO_PKG_VERSION")});
        assert_eq!(value, expected);
    }
}
