use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use annotate_snippets::renderer::{
    DEFAULT_EMPHASIS_STYLE as EMPHASIS, DEFAULT_ERROR_STYLE as ERROR, DEFAULT_HELP_STYLE as HELP,
    DEFAULT_LINE_NUM_STYLE as GUTTER, DEFAULT_NOTE_STYLE as NOTE, DEFAULT_WARNING_STYLE as WARNING,
};
use anstyle::{AnsiColor, Style};
use podfence_scan::finding::{Finding, Severity, Span};
use podfence_scan::report::{Annotated, Report, Summary};

use super::snippet::Excerpt;
use super::{code, object, severity, visible};

const GOOD: Style = AnsiColor::Green.on_default().bold();

/// How much people see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Human {
    /// Warnings as well, instead of their number.
    pub(crate) verbose: bool,
    /// Columns of the terminal.
    pub(crate) width: usize,
}

/// Problems, then findings as a compiler shows them, then what there is more and a last line that says what was judged.
///
/// `sources` gives the text of a file by its name in findings. Without it, a finding is shown without its line.
/// Styled always; the stream strips colours where they do not belong.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn human(
    report: &Report,
    sources: &mut dyn FnMut(&str) -> Option<String>,
    options: Human,
    out: &mut dyn Write,
) -> io::Result<()> {
    write_problems(report, out)?;
    let counting = || report.findings.iter().filter(|finding| finding.suppressed.is_none());
    // What no policy found says that something was not judged as it stands there.
    let is_shown = |finding: &&Finding| {
        options.verbose || finding.severity == Severity::Error || finding.policy == crate::commands::scan::SCAN
    };
    let mut pages = BTreeSet::new();
    let mut source: (&str, Option<String>) = ("", None);
    for block in blocks(counting().filter(is_shown)) {
        let file = block.first().file.as_str();
        if source.0 != file {
            source = (file, sources(file));
        }
        block.write(source.1.as_deref(), options.width, &mut pages, out)?;
    }
    if !options.verbose {
        write_not_shown(counting().filter(|finding| !is_shown(finding)), out)?;
    }
    for skipped in &report.skipped {
        writeln!(out, "not judged: {}:{}: {}", visible(&skipped.file), skipped.line, visible(&skipped.why))?;
    }
    for Annotated { file, line, object, key, value } in &report.annotations {
        let (key, value) = (visible(key), visible(value));
        writeln!(out, "audit annotation: {}:{line}: {}: {key}: {value}", visible(file), visible(object))?;
    }
    for note in &report.summary.notes {
        writeln!(out, "{NOTE}note{NOTE:#}: {}", visible(note))?;
    }
    for hint in &report.summary.hints {
        writeln!(out, "{HELP}hint{HELP:#}: {}", visible(hint))?;
    }
    write_sum(report, out)
}

fn write_problems(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for problem in &report.problems {
        let mut text = visible(&problem.file);
        if let Some(at) = problem.position {
            text += &format!(":{}:{}", at.line, at.col);
        }
        writeln!(out, "{ERROR}error{ERROR:#}{EMPHASIS}: {text}: {}{EMPHASIS:#}", visible(&problem.message))?;
    }
    if report.problems.is_empty() { Ok(()) } else { writeln!(out) }
}

/// Findings of one severity at one place, which share a snippet. Never empty.
struct Block<'r>(Vec<&'r Finding>);

fn blocks<'r>(findings: impl Iterator<Item = &'r Finding>) -> Vec<Block<'r>> {
    let mut blocks: Vec<Block<'r>> = Vec::new();
    for finding in findings {
        let starts_there = |block: &&mut Block<'_>| {
            block.first().file == finding.file && block.first().span.start == finding.span.start
        };
        let is_there =
            |block: &&mut Block<'_>| block.first().span == finding.span && block.first().severity == finding.severity;
        // Findings are sorted by place, so those of one place are the last.
        match blocks.iter_mut().rev().take_while(starts_there).find(is_there) {
            Some(block) => block.0.push(finding),
            None => blocks.push(Block(vec![finding])),
        }
    }
    blocks
}

impl<'r> Block<'r> {
    fn first(&self) -> &'r Finding {
        self.0[0]
    }

    /// Titles, place, snippet, then what helps. `pages` are the pages about policies that blocks before it named.
    fn write(
        &self,
        source: Option<&str>,
        width: usize,
        pages: &mut BTreeSet<&'r str>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Finding { file, span, severity: level, .. } = self.first();
        let style = match level {
            Severity::Error => ERROR,
            Severity::Warning => WARNING,
        };
        for finding in &self.0 {
            let (code, message) = (visible(code(finding)), visible(&finding.message));
            writeln!(out, "{style}{}[{code}]{style:#}{EMPHASIS}: {message}{EMPHASIS:#}", severity(*level))?;
        }
        let related: BTreeSet<Span> = self.0.iter().flat_map(|finding| finding.related.iter().copied()).collect();
        let excerpt = source.and_then(|source| Excerpt::new(source, *span, &related, width));
        let last_line = excerpt.as_ref().map_or(span.start.line, Excerpt::last_line);
        let margin = last_line.to_string().len();
        let file = visible(file);
        writeln!(out, "{:margin$}{GUTTER}-->{GUTTER:#} {file}:{}:{}", "", span.start.line, span.start.col)?;
        let label = visible(&self.label());
        let related_label = self.related_label();
        if let Some(excerpt) = &excerpt {
            writeln!(out, "{}", excerpt.render(*level, *span, &label, related_label))?;
        }

        let mut remarks: Vec<(String, String)> = Vec::new();
        if excerpt.is_none() && !label.is_empty() {
            remarks.push(("note".to_owned(), label));
        }
        for place in related.iter().filter(|span| excerpt.as_ref().is_none_or(|excerpt| !excerpt.shows(span))) {
            remarks
                .push(("note".to_owned(), format!("{related_label}: {file}:{}:{}", place.start.line, place.start.col)));
        }
        for template in distinct(self.0.iter().filter_map(|finding| finding.via.as_deref())) {
            remarks.push(("note".to_owned(), format!("made from {}", visible(template))));
        }
        let setting = |finding: &Finding| finding.setting.as_ref().map(ToString::to_string).unwrap_or_default();
        remarks.extend(self.remarks("note", setting));
        remarks.extend(self.remarks("help", |finding| finding.fix.clone()));
        for page in distinct(self.0.iter().map(|finding| finding.docs.as_str())) {
            if pages.insert(page) {
                remarks.push(("docs".to_owned(), visible(page)));
            }
        }
        if !remarks.is_empty() {
            writeln!(out, "{:margin$} {GUTTER}|{GUTTER:#}", "")?;
        }
        for (name, text) in remarks {
            writeln!(out, "{:margin$} {GUTTER}={GUTTER:#} {EMPHASIS}{name}{EMPHASIS:#}: {text}", "")?;
        }
        writeln!(out)
    }

    /// What findings have to remark, each once; with the control, where there are several.
    fn remarks(&self, name: &str, remark: impl Fn(&Finding) -> String) -> Vec<(String, String)> {
        let is_alone = self.0.iter().all(|finding| code(finding) == code(self.first()));
        let mut remarks: Vec<(String, String)> = Vec::new();
        for finding in &self.0 {
            let name = if is_alone { name.to_owned() } else { format!("{name}[{}]", visible(code(finding))) };
            let remark = (name, visible(&remark(finding)));
            if !remark.1.is_empty() && !remarks.contains(&remark) {
                remarks.push(remark);
            }
        }
        remarks
    }

    /// What the place belongs to. Findings at an anchor can be about several containers.
    fn label(&self) -> String {
        let labels: Vec<String> = self.0.iter().map(|finding| subject(finding)).collect();
        match distinct(labels.iter().map(String::as_str)).as_slice() {
            [] => String::new(),
            [only] => (*only).to_owned(),
            [first, others @ ..] => format!("{first}, and {} more", others.len()),
        }
    }

    fn related_label(&self) -> &'static str {
        match code(self.first()) {
            "duplicate-key" => "the same key",
            _ => "used here",
        }
    }
}

/// `container "web" of Deployment shop/web`.
fn subject(finding: &Finding) -> String {
    let object = object(&finding.object);
    match &finding.container {
        Some(container) => format!("container \"{container}\" of {object}"),
        None => object,
    }
}

/// Those that are not empty, each once, in their order.
fn distinct<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    let mut seen = BTreeSet::new();
    texts.filter(|text| !text.is_empty() && seen.insert(*text)).collect()
}

/// `12 warnings at restricted: hostPathVolumes 8, seccompProfile 4; --verbose shows them`.
fn write_not_shown<'r>(findings: impl Iterator<Item = &'r Finding>, out: &mut dyn Write) -> io::Result<()> {
    let mut counts: BTreeMap<Option<&str>, BTreeMap<&str, usize>> = BTreeMap::new();
    for finding in findings {
        *counts.entry(finding.level.as_deref()).or_default().entry(code(finding)).or_default() += 1;
    }
    for (level, counts) in counts {
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(name, count)| (usize::MAX - count, *name));
        let sum = counts.iter().map(|(_, count)| count).sum();
        let names: Vec<String> = match counts.as_slice() {
            [(name, _)] => vec![visible(name)],
            _ => counts.iter().map(|(name, count)| format!("{} {}", visible(name), grouped(*count))).collect(),
        };
        let (warnings, names) = (counted(sum, "warning", "warnings"), names.join(", "));
        let level = level.map(|level| format!(" at {}", visible(level))).unwrap_or_default();
        let them = if sum == 1 { "it" } else { "them" };
        writeln!(out, "{WARNING}{warnings}{WARNING:#}{level}: {names}; --verbose shows {them}")?;
    }
    Ok(())
}

/// What was found, what was judged and what was not.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn write_sum(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let (summary, problems) = (&report.summary, report.problems.len());
    let counting = report.findings.iter().filter(|finding| finding.suppressed.is_none());
    let files = counting.map(|finding| finding.file.as_str()).collect::<BTreeSet<&str>>().len();
    let style = match summary {
        _ if problems + summary.errors > 0 => ERROR,
        // Nothing is good where nothing was judged.
        _ if summary.warnings > 0 || summary.judged == 0 => WARNING,
        _ => GOOD,
    };
    let all_files = counted(summary.files, "file", "files");
    let judged = counted(summary.judged, "object", "objects");
    let found = listed(&[(summary.errors, "error", "errors"), (summary.warnings, "warning", "warnings")]);
    let mut sentences = Vec::new();
    if problems > 0 {
        sentences.push(format!("{style}{}{style:#}.", counted(problems, "problem", "problems")));
    }
    if !found.is_empty() {
        let files = if files == summary.files { all_files } else { format!("{} of {all_files}", grouped(files)) };
        sentences.push(format!("{style}{found}{style:#} in {files}."));
        sentences.push(format!("{judged} judged."));
    } else if summary.judged > 0 {
        sentences.push(format!("{style}No findings{style:#} in {judged} of {all_files}."));
    } else {
        sentences.push(format!("{style}Nothing was judged{style:#} in {all_files}."));
    }
    let not_judged = not_judged(summary).join(", ");
    if !not_judged.is_empty() {
        sentences.push(format!("Not judged: {not_judged}."));
    }
    if summary.suppressed > 0 {
        sentences.push(format!("Suppressed: {}.", counted(summary.suppressed, "finding", "findings")));
    }
    writeln!(out, "{}", sentences.join(" "))
}

/// What was not judged: the number of each kind, for example `2 objects without pods`.
pub(crate) fn not_judged(summary: &Summary) -> Vec<String> {
    let counts = [
        (summary.without_pods, "object without pods", "objects without pods"),
        (summary.no_objects, "document that is not a Kubernetes object", "documents that are not Kubernetes objects"),
        (summary.not_judged, "object of an unknown kind or version", "objects of unknown kinds or versions"),
        (summary.not_selected, "object that no policy selects", "objects that no policy selects"),
        (summary.owned, "object whose owner is judged instead", "objects whose owners are judged instead"),
        (summary.exempt, "object that the policies exempt", "objects that the policies exempt"),
        (summary.unreadable, "unreadable document", "unreadable documents"),
        (summary.templates, "Helm template that is not rendered", "Helm templates that are not rendered"),
    ];
    let counts = counts.iter().filter(|(count, ..)| *count > 0);
    counts.map(|(count, one, many)| counted(*count, one, many)).collect()
}

/// What there is, with its number.
fn listed(counts: &[(usize, &str, &str)]) -> String {
    let counts = counts.iter().filter(|(count, ..)| *count > 0);
    counts.map(|(count, one, many)| counted(*count, one, many)).collect::<Vec<_>>().join(", ")
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// `2,758`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use podfence_scan::finding::{Problem, Setting, Suppressed, SuppressionKind};
    use serde_json::json;

    use super::super::sample::{WEB, finding, flush, missing, position, problem, report, span, span_from};
    use super::*;

    const PLAIN: Human = Human { verbose: false, width: 100 };

    /// What a person sees of a report about one text, without colours.
    fn written(report: &Report, source: Option<&str>, options: Human) -> String {
        let mut bytes = Vec::new();
        let mut sources = |_: &str| source.map(str::to_owned);
        human(report, &mut sources, options, &mut anstream::StripStream::new(&mut bytes)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Findings without the last line, which the tests of reports have.
    fn shown(findings: Vec<Finding>, source: &str) -> String {
        let text = written(&report(findings), Some(source), PLAIN);
        let (blocks, _) = text.trim_end().rsplit_once('\n').unwrap();
        format!("{}\n", blocks.trim_end())
    }

    #[test]
    fn a_value_is_marked() {
        assert_eq!(
            shown(vec![finding(span(WEB, "true"))], WEB),
            flush(
                r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:8:23
              |
            8 |           privileged: true
              |                       ^^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged
            "#
            )
        );
    }

    #[test]
    fn the_setting_that_decides_is_shown() {
        let setting = Setting { name: "allowed".to_owned(), value: json!(["registry.acme.io"]) };
        let image = Finding {
            control: "imageRegistries".to_owned(),
            message: "container \"web\" must not use image \"nginx\"".to_owned(),
            setting: Some(Box::new(setting)),
            fix: "use an image that is allowed".to_owned(),
            ..finding(span(WEB, "web"))
        };
        assert_eq!(
            shown(vec![image], WEB),
            flush(
                r#"
            error[imageRegistries]: container "web" must not use image "nginx"
             --> deploy/web.yaml:6:15
              |
            6 |       - name: web
              |               ^^^ container "web" of Deployment shop/web
              |
              = note: allowed: ["registry.acme.io"]
              = help: use an image that is allowed
              = docs: https://podfence.example/privileged
            "#
            )
        );
    }

    #[test]
    fn findings_at_one_place_share_a_block() {
        let name = span(WEB, "web");
        let findings = vec![
            missing(name, "allowPrivilegeEscalation", "allowPrivilegeEscalation", "false"),
            missing(name, "capabilities_restricted", "capabilities.drop", "[\"ALL\"]"),
            missing(name, "runAsNonRoot", "runAsNonRoot", "true"),
            finding(span(WEB, "true")),
        ];
        assert_eq!(
            shown(findings, WEB),
            flush(
                r#"
            error[allowPrivilegeEscalation]: container "web" must set securityContext.allowPrivilegeEscalation=false
            error[capabilities_restricted]: container "web" must set securityContext.capabilities.drop=["ALL"]
            error[runAsNonRoot]: container "web" must set securityContext.runAsNonRoot=true
             --> deploy/web.yaml:6:15
              |
            6 |       - name: web
              |               ^^^ container "web" of Deployment shop/web
              |
              = help[allowPrivilegeEscalation]: set securityContext.allowPrivilegeEscalation to false
              = help[capabilities_restricted]: set securityContext.capabilities.drop to ["ALL"]
              = help[runAsNonRoot]: set securityContext.runAsNonRoot to true
              = docs: https://podfence.example/pod-security-standards

            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:8:23
              |
            8 |           privileged: true
              |                       ^^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged
            "#
            )
        );
    }

    #[test]
    fn a_block_has_one_severity() {
        let name = span(WEB, "web");
        let warning = Finding { severity: Severity::Warning, ..missing(name, "runAsNonRoot", "runAsNonRoot", "true") };
        let error = missing(name, "seccomp", "seccompProfile.type", "RuntimeDefault");
        let report = report(vec![warning, error]);
        assert_eq!(
            written(&report, Some(WEB), Human { verbose: true, ..PLAIN }),
            flush(
                r#"
            warning[runAsNonRoot]: container "web" must set securityContext.runAsNonRoot=true
             --> deploy/web.yaml:6:15
              |
            6 |       - name: web
              |               ^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.runAsNonRoot to true
              = docs: https://podfence.example/pod-security-standards

            error[seccomp]: container "web" must set securityContext.seccompProfile.type=RuntimeDefault
             --> deploy/web.yaml:6:15
              |
            6 |       - name: web
              |               ^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.seccompProfile.type to RuntimeDefault

            1 error, 1 warning in 1 file. 1 object judged.
            "#
            )
        );
        assert_eq!(
            written(&report, Some(WEB), PLAIN),
            flush(
                r#"
            error[seccomp]: container "web" must set securityContext.seccompProfile.type=RuntimeDefault
             --> deploy/web.yaml:6:15
              |
            6 |       - name: web
              |               ^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.seccompProfile.type to RuntimeDefault
              = docs: https://podfence.example/pod-security-standards

            1 warning: runAsNonRoot; --verbose shows it
            1 error, 1 warning in 1 file. 1 object judged.
            "#
            )
        );
    }

    #[test]
    fn an_anchor_is_marked_and_its_aliases_too() {
        let text = "\
spec:
  containers:
  - name: web
    securityContext: &shared
      privileged: true
  - name: log
    image: log
    securityContext: *shared
";
        let of = |container: &str| Finding {
            container: Some(container.to_owned()),
            message: format!("container \"{container}\" must not set securityContext.privileged=true"),
            ..finding(span(text, "true"))
        };
        let findings = vec![of("web"), Finding { related: vec![span(text, "*shared")], ..of("log") }];
        assert_eq!(
            shown(findings, text),
            flush(
                r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
            error[privileged]: container "log" must not set securityContext.privileged=true
             --> deploy/web.yaml:5:19
              |
            5 |       privileged: true
              |                   ^^^^ container "web" of Deployment shop/web, and 1 more
            ...
            8 |     securityContext: *shared
              |                      ------- used here
              |
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged
            "#
            )
        );
    }

    fn duplicate(text: &str, key: &str) -> Finding {
        let first = span(text, key);
        Finding {
            policy: "scan".to_owned(),
            control: "duplicate-key".to_owned(),
            container: None,
            message: format!("key \"{key}\" is there twice; kubectl takes the last"),
            fix: "remove one of them".to_owned(),
            docs: String::new(),
            related: vec![first],
            ..finding(span_from(text, key, first.end.byte))
        }
    }

    #[test]
    fn both_of_two_equal_keys_are_marked() {
        let near = "a: {image: x, image: y}\n";
        assert_eq!(
            shown(vec![duplicate(near, "image")], near),
            flush(
                r#"
            error[duplicate-key]: key "image" is there twice; kubectl takes the last
             --> deploy/web.yaml:1:15
              |
            1 | a: {image: x, image: y}
              |     -----     ^^^^^ Deployment shop/web
              |     |
              |     the same key
              |
              = help: remove one of them
            "#
            )
        );
        let with_a_line_between = "image: x\nname: web\nimage: y\n";
        assert_eq!(
            shown(vec![duplicate(with_a_line_between, "image")], with_a_line_between),
            flush(
                r#"
            error[duplicate-key]: key "image" is there twice; kubectl takes the last
             --> deploy/web.yaml:3:1
              |
            1 | image: x
              | ----- the same key
            2 | name: web
            3 | image: y
              | ^^^^^ Deployment shop/web
              |
              = help: remove one of them
            "#
            )
        );
        let with_lines_between = "image: x\nname: web\nenv: []\nimage: y\n";
        assert_eq!(
            shown(vec![duplicate(with_lines_between, "image")], with_lines_between),
            flush(
                r#"
            error[duplicate-key]: key "image" is there twice; kubectl takes the last
             --> deploy/web.yaml:4:1
              |
            1 | image: x
              | ----- the same key
            ...
            4 | image: y
              | ^^^^^ Deployment shop/web
              |
              = help: remove one of them
            "#
            )
        );
        let far = format!("image: x\n{}image: y\n", "# filler\n".repeat(2_000));
        assert_eq!(
            shown(vec![duplicate(&far, "image")], &far),
            flush(
                r#"
            error[duplicate-key]: key "image" is there twice; kubectl takes the last
                --> deploy/web.yaml:2002:1
                 |
            2002 | image: y
                 | ^^^^^ Deployment shop/web
                 |
                 = note: the same key: deploy/web.yaml:1:1
                 = help: remove one of them
            "#
            )
        );
    }

    #[test]
    fn wide_characters_do_not_move_the_caret() {
        let text = "{名前: 店, \u{1f469}\u{200d}\u{1f680}: é, privileged: true}\n";
        assert_eq!(
            shown(vec![finding(span(text, "true"))], text),
            flush(
                r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:1:29
              |
            1 | {名前: 店, 👩🚀: é, privileged: true}
              |                                 ^^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged
            "#
            )
        );
    }

    #[test]
    fn tabs_do_not_move_the_caret() {
        let text = "{\n\t\"privileged\":\ttrue\n}\n";
        assert_eq!(
            shown(vec![finding(span(text, "true"))], text),
            flush(
                r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:2:16
              |
            2 |     "privileged":    true
              |                      ^^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged
            "#
            )
        );
    }

    #[test]
    fn carriage_returns_and_a_byte_order_mark_are_not_shown() {
        let text = "\u{feff}privileged: true\r\nname: web\r\n";
        assert_eq!(
            shown(vec![finding(span(text, "true")), finding(span(text, "web"))], text),
            flush(
                r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:1:14
              |
            1 | privileged: true
              |             ^^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged

            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:2:7
              |
            2 | name: web
              |       ^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
            "#
            )
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let items = |count| "\"é\",".repeat(count);
        let text = format!("{{\"a\":[{}],\"privileged\":true,\"b\":[{}]}}", items(100), items(100));
        let value = finding(span(&text, "true"));
        assert_eq!(
            shown(vec![value.clone()], &text),
            flush(
                r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:1:422
              |
            1 | …","é","é","é","é","é","é","é",],"privileged":true,"b":["é","é","é","é","é","é","é","é","é","é"…
              |                                               ^^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged
            "#
            )
        );
        let narrow = written(&report(vec![value.clone()]), Some(&text), Human { width: 10, ..PLAIN });
        assert_eq!(narrow.lines().nth(3), Some(r#"1 | …",],"privileged":true,"b":["é","é","é"…"#));
        let wide = written(&report(vec![value]), Some(&text), Human { width: 1_000, ..PLAIN });
        assert_eq!(wide.lines().nth(3).unwrap().chars().count(), "1 | ".len() + 160);

        let start = finding(span(&text, "\"a\""));
        assert_eq!(
            shown(vec![start], &text).lines().nth(3),
            Some(
                r#"1 | {"a":["é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é",…"#
            )
        );
        let end = finding(span(&text, "]}"));
        assert_eq!(
            shown(vec![end], &text).lines().nth(3),
            Some(
                r#"1 | …"é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é","é",]}"#
            )
        );
        let all = finding(span(&text, &text));
        assert_eq!(shown(vec![all], &text).lines().nth(4).map(|line| line.matches('^').count()), Some(94));
        let twice = Finding { related: vec![span(&text, "\"a\"")], ..finding(span(&text, "\"b\"")) };
        assert_eq!(
            shown(vec![twice], &text),
            flush(
                r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:1:427
              |
            1 | …,"é","é","é","é","é","é",],"privileged":true,"b":["é","é","é","é","é","é","é","é","é","é","é",…
              |                                               ^^^ container "web" of Deployment shop/web
              |
              = note: used here: deploy/web.yaml:1:2
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged
            "#
            )
        );
    }

    #[test]
    fn deep_indentation_is_cut() {
        let text = format!("{:40}privileged: true\n", "");
        assert_eq!(
            shown(vec![finding(span(&text, "true"))], &text),
            flush(
                r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:1:53
              |
            1 | ...                   privileged: true
              |                                   ^^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged
            "#
            )
        );
    }

    #[test]
    fn a_file_cannot_steer_the_terminal() {
        let text =
            "a: \"\u{1b}[2J\u{9b}1m\u{202e}\" # \u{7f}\nprivileged: \"\u{202e}eurt\" \u{200b}# \u{1b}]0;x\u{7}\n";
        let finding = Finding {
            file: "de\u{1b}[1mploy/\nweb.yaml".to_owned(),
            message: "value \"\u{202e}eurt\"\nerror: \u{1b}[31mred".to_owned(),
            control: "privil\u{7}eged".to_owned(),
            container: Some("w\u{1b}eb".to_owned()),
            fix: "remove \u{9b}it".to_owned(),
            docs: "https://podfence.example/\u{1b}\\".to_owned(),
            via: Some("chart/\u{202e}x.yaml".to_owned()),
            related: vec![span(text, "\u{1b}[2J")],
            ..finding(span(text, "eurt"))
        };
        assert_eq!(
            shown(vec![finding], text),
            flush(
                r#"
            error[privil\u{7}eged]: value "\u{202e}eurt"\nerror: \u{1b}[31mred
             --> de\u{1b}[1mploy/\nweb.yaml:2:15
              |
            1 | a: "\u{1b}[2J\u{9b}1m\u{202e}" # \u{7f}
              |     --------- used here
            2 | privileged: "\u{202e}eurt" \u{200b}# \u{1b}]0;x\u{7}
              |                      ^^^^ container "w\u{1b}eb" of Deployment shop/web
              |
              = note: made from chart/\u{202e}x.yaml
              = help: remove \u{9b}it
              = docs: https://podfence.example/\u{1b}\
            "#
            )
        );
    }

    #[test]
    fn a_value_of_several_lines_is_marked_on_its_first() {
        let text = "args:\n- |\n  one\n  two\ncommand: [\n  sh,\n]\n";
        let findings = vec![finding(span(text, "|\n  one\n  two\n")), finding(span(text, "[\n  sh,\n]"))];
        assert_eq!(
            shown(findings, text),
            flush(
                r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:2:3
              |
            2 | - |
              |   ^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged

            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:5:10
              |
            5 | command: [
              |          ^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
            "#
            )
        );
    }

    #[test]
    fn an_empty_place_has_a_caret() {
        let text = "privileged:";
        let end = position(text, text.len());
        assert_eq!(
            shown(vec![finding(Span { start: end, end })], text),
            flush(
                r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:1:12
              |
            1 | privileged:
              |            ^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged
            "#
            )
        );
    }

    #[test]
    fn without_the_source_a_finding_has_no_snippet() {
        let alone = Finding { related: vec![span(WEB, "name")], ..finding(span(WEB, "true")) };
        let report = report(vec![alone]);
        let expected = flush(
            r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:8:23
              |
              = note: container "web" of Deployment shop/web
              = note: used here: deploy/web.yaml:6:9
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged

            1 error in 1 file. 1 object judged.
            "#,
        );
        assert_eq!(written(&report, None, PLAIN), expected);
        // The file is another one by now.
        assert_eq!(written(&report, Some("short"), PLAIN), expected);
    }

    #[test]
    fn the_template_of_a_renderer_is_named() {
        let rendered = Finding {
            file: "<stdin>".to_owned(),
            via: Some("shop/templates/web.yaml".to_owned()),
            ..finding(span(WEB, "true"))
        };
        assert_eq!(
            shown(vec![rendered], WEB),
            flush(
                r#"
            error[privileged]: container "web" must not set securityContext.privileged=true
             --> <stdin>:8:23
              |
            8 |           privileged: true
              |                       ^^^^ container "web" of Deployment shop/web
              |
              = note: made from shop/templates/web.yaml
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged
            "#
            )
        );
    }

    #[test]
    fn no_findings() {
        let mut report = report(Vec::new());
        assert_eq!(written(&report, None, PLAIN), "No findings in 1 object of 1 file.\n");
        report.summary = Summary { files: 3, no_objects: 2, templates: 1, ..Summary::default() };
        report.summary.hints = vec!["`helm template CHART | podfence scan -` judges a chart".to_owned()];
        assert_eq!(
            written(&report, None, PLAIN),
            flush(
                r#"
            hint: `helm template CHART | podfence scan -` judges a chart
            Nothing was judged in 3 files. Not judged: 2 documents that are not Kubernetes objects, 1 Helm template that is not rendered.
            "#
            )
        );
    }

    #[test]
    fn problems_come_first() {
        let mut report = report(Vec::new());
        report.problems = vec![
            problem(),
            Problem { file: "deploy/gone.yaml".to_owned(), position: None, message: "No such\nfile \u{1b}".to_owned() },
        ];
        report.summary = Summary { files: 1, unreadable: 1, ..Summary::default() };
        assert_eq!(
            written(&report, None, PLAIN),
            flush(
                r#"
            error: deploy/broken.yaml:3:7: expected a key, found "]"
            error: deploy/gone.yaml: No such\nfile \u{1b}

            2 problems. Nothing was judged in 1 file. Not judged: 1 unreadable document.
            "#
            )
        );
        report.summary = Summary { files: 2, judged: 1, unreadable: 1, errors: 1, ..Summary::default() };
        report.problems.pop();
        report.findings = vec![finding(span(WEB, "true"))];
        assert_eq!(
            written(&report, Some(WEB), PLAIN),
            flush(
                r#"
            error: deploy/broken.yaml:3:7: expected a key, found "]"

            error[privileged]: container "web" must not set securityContext.privileged=true
             --> deploy/web.yaml:8:23
              |
            8 |           privileged: true
              |                       ^^^^ container "web" of Deployment shop/web
              |
              = help: set securityContext.privileged to false or remove it
              = docs: https://podfence.example/privileged

            1 problem. 1 error in 1 of 2 files. 1 object judged. Not judged: 1 unreadable document.
            "#
            )
        );
    }

    #[test]
    fn the_end_counts_everything() {
        let mut findings = Vec::new();
        for (control, count) in [("seccompProfile", 4), ("runAsNonRoot", 1_200), ("capabilities", 4)] {
            let warning = missing(span(WEB, "web"), control, control, "x");
            let level = (control == "runAsNonRoot").then(|| "restricted".to_owned());
            findings.extend(vec![Finding { severity: Severity::Warning, level, ..warning }; count]);
        }
        let accepted = Suppressed { kind: SuppressionKind::Baseline, reason: "old".to_owned() };
        findings.push(Finding { suppressed: Some(accepted), ..finding(span(WEB, "true")) });
        let mut report = report(findings);
        report.summary = Summary {
            files: 4_100,
            documents: 1_000_031,
            judged: 1_000_000,
            without_pods: 14,
            no_objects: 3,
            not_judged: 2,
            not_selected: 5,
            owned: 1,
            exempt: 1,
            unreadable: 1,
            templates: 4,
            hints: vec!["`helm template CHART | podfence scan -` judges a chart".to_owned()],
            notes: vec!["podfence.yaml:4:3: the entry suppresses nothing".to_owned()],
            ..report.summary
        };
        assert_eq!(
            written(&report, None, PLAIN),
            flush(
                r#"
            8 warnings: capabilities 4, seccompProfile 4; --verbose shows them
            1,200 warnings at restricted: runAsNonRoot; --verbose shows them
            note: podfence.yaml:4:3: the entry suppresses nothing
            hint: `helm template CHART | podfence scan -` judges a chart
            1,208 warnings in 1 of 4,100 files. 1,000,000 objects judged. Not judged: 14 objects without pods, 3 documents that are not Kubernetes objects, 2 objects of unknown kinds or versions, 5 objects that no policy selects, 1 object whose owner is judged instead, 1 object that the policies exempt, 1 unreadable document, 4 Helm templates that are not rendered. Suppressed: 1 finding.
            "#
            )
        );
    }

    #[test]
    fn numbers_have_groups() {
        let grouped = [0, 999, 1_000, 123_456, 1_234_567].map(grouped);
        assert_eq!(grouped, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn each_file_is_read_once() {
        let other = |byte_of: &str| Finding { file: "other.yaml".to_owned(), ..finding(span(WEB, byte_of)) };
        let report = report(vec![finding(span(WEB, "web")), finding(span(WEB, "true")), other("web"), other("true")]);
        let mut read = Vec::new();
        human(
            &report,
            &mut |file| {
                read.push(file.to_owned());
                None
            },
            PLAIN,
            &mut io::sink(),
        )
        .unwrap();
        assert_eq!(read, ["deploy/web.yaml", "other.yaml"]);
    }
}
