//! Comments that suppress findings: `# podfence: ignore[NAME,…] reason` and
//! `# podfence: ignore-document[NAME,…] reason`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::config::is_reason;
use crate::finding::{Finding, ObjectName, Problem, Severity, Span, Suppressed, SuppressionKind};
use crate::fingerprint::fingerprint;
use crate::names::near;
use crate::sort::sorted;

/// What a comment starts with that is about us.
const START: &str = "podfence:";

/// What a message shows of a comment, in characters.
const SHOWN: usize = 60;

/// A comment in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The text behind `#`, without blanks at its ends.
    pub text: String,
    /// From the `#` to the end of the line.
    pub span: Span,
    /// Whether only blanks stand before it on its line.
    pub is_alone: bool,
    /// The document that it is in or before, from 0.
    pub document: usize,
}

/// What comments need to know of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentPlace {
    /// The byte at which its first key starts; none if it has no key or could not be read.
    pub first_key: Option<usize>,
    /// Its object; a finding about a comment names it.
    pub object: ObjectName,
}

/// The comments of a file, and what they are judged by.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    /// The file, as findings name it.
    pub file: &'s str,
    /// In the order of the file.
    pub comments: &'s [Comment],
    /// In the order of the file.
    pub documents: &'s [DocumentPlace],
    /// The policies and controls that there are.
    pub names: &'s BTreeSet<String>,
    /// Whether a policy ran that has the name, or a control that the name stands for.
    pub ran: &'s dyn Fn(&str) -> bool,
    /// Whether the policy of the first name has the control of the second one: its name stands for that, whichever policy
    /// finds it.
    pub has: &'s dyn Fn(&str, &str) -> bool,
}

/// A finding that a comment may suppress.
#[derive(Debug)]
pub struct Target<'f> {
    /// The finding.
    pub finding: &'f mut Finding,
    /// The document that it is in, from 0.
    pub document: usize,
    /// The lines of its container or its volume, if it is about one.
    pub container: Option<ContainerLines>,
}

/// The lines at which a comment is about a container or a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerLines {
    /// The line on which its element of the list starts.
    pub item: usize,
    /// The line of its name.
    pub name: Option<usize>,
}

/// What comments did, beside suppressing findings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CommentOutcome {
    /// Warnings about names in comments that suppress nothing.
    pub unused: Vec<Finding>,
    /// Comments that are not understood. They suppress nothing.
    pub problems: Vec<Problem>,
}

/// What a comment suppresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Findings on a line, and those of a container whose element or name is on it.
    Line {
        line: usize,
        /// Whether the comment is above the line, and not at its end.
        is_above: bool,
    },
    Document(usize),
}

/// A comment that is understood.
struct Directive<'s> {
    comment: &'s Comment,
    scope: Scope,
    /// Each with whether it suppresses something.
    names: Vec<(&'s str, bool)>,
    reason: &'s str,
}

/// Suppresses the findings of one file that its comments accept. A finding that several comments accept has the reason
/// of the first.
pub fn by_comments(source: &Source<'_>, targets: &mut [Target<'_>]) -> CommentOutcome {
    let mut outcome = CommentOutcome::default();
    let mut directives = Vec::new();
    for (index, comment) in source.comments.iter().enumerate() {
        let Some(text) = comment.text.strip_prefix(START) else { continue };
        match directive(source, index, text) {
            Ok(directive) => directives.push(directive),
            Err(message) => outcome.problems.push(Problem {
                file: source.file.to_owned(),
                position: Some(comment.span.start),
                message: format!("`# {}`: {message}", shortened(&comment.text)),
            }),
        }
    }
    let index = Index::of(&directives);
    for target in targets {
        for at in index.candidates(target) {
            let directive = &mut directives[at];
            let finding = &mut *target.finding;
            let mut is_named = false;
            for (name, is_used) in &mut directive.names {
                let stands_for = || (source.has)(name, &finding.control);
                if finding.policy == *name || finding.control == *name || stands_for() {
                    is_named = true;
                    *is_used = true;
                }
            }
            if is_named && finding.suppressed.is_none() {
                let reason = directive.reason.to_owned();
                finding.suppressed = Some(Suppressed { kind: SuppressionKind::Comment, reason });
            }
        }
    }
    outcome.unused = directives.iter().flat_map(|directive| unused(source, directive)).collect();
    outcome
}

/// Understands a comment from what follows its start.
fn directive<'s>(source: &Source<'s>, index: usize, text: &'s str) -> Result<Directive<'s>, String> {
    const EXPECTED: &str =
        "expected `# podfence: ignore[NAME,…] REASON` or `# podfence: ignore-document[NAME,…] REASON`";
    let comment = &source.comments[index];
    let (command, rest) = text.split_once('[').ok_or(EXPECTED)?;
    let is_about_document = match command.trim() {
        "ignore" => false,
        "ignore-document" => true,
        _ => return Err(EXPECTED.to_owned()),
    };
    let (names, reason) = rest.split_once(']').ok_or("expected a `]` behind the names")?;
    let names: Vec<_> = names.split(',').map(|name| (name.trim(), false)).collect();
    for &(name, _) in &names {
        if name.is_empty() {
            return Err("expected the names of policies or controls in the brackets, found none".to_owned());
        }
        if !source.names.contains(name) {
            return Err(unknown(name, source.names));
        }
    }
    let reason = reason.trim();
    if !is_reason(reason) {
        return Err("expected a reason behind the brackets, found none".to_owned());
    }
    let scope = if is_about_document { document_scope(source, comment)? } else { line_scope(source.comments, index) };
    Ok(Directive { comment, scope, names, reason })
}

fn document_scope(source: &Source<'_>, comment: &Comment) -> Result<Scope, String> {
    match source.documents.get(comment.document).and_then(|document| document.first_key) {
        Some(first_key) if first_key < comment.span.start.byte => {
            Err("expected before the first key of the document, found behind it".to_owned())
        }
        _ => Ok(Scope::Document(comment.document)),
    }
}

fn line_scope(comments: &[Comment], index: usize) -> Scope {
    let line = comments[index].span.start.line;
    if !comments[index].is_alone {
        return Scope::Line { line, is_above: false };
    }
    // Several comments may stand above one line.
    let block = comments[index..].iter().zip(line..);
    let block = block.take_while(|(comment, line)| comment.is_alone && comment.span.start.line == *line);
    Scope::Line { line: line + block.count(), is_above: true }
}

/// Checks the name of a policy or a control.
///
/// # Errors
/// There is no such name; with the nearest one that there is.
pub fn check_name(name: &str, names: &BTreeSet<String>) -> Result<(), String> {
    if names.contains(name) { Ok(()) } else { Err(unknown(name, names)) }
}

/// Whether two controls are of the same fields: the standards have `seccompProfile_restricted`, and the policy `seccomp`
/// has `seccompProfile`.
pub fn is_same_control(one: &str, other: &str) -> bool {
    let without_level = |control| {
        let is_level = |end: &(&str, &str)| ["baseline", "restricted"].contains(&end.1);
        str::rsplit_once(control, '_').filter(is_level).map_or(control, |(fields, _)| fields)
    };
    without_level(one) == without_level(other)
}

/// Fields after which no control is called.
const FIELDS: [(&str, &str); 5] = [
    ("hostIPC", "hostNamespaces"),
    ("hostNetwork", "hostNamespaces"),
    ("hostPID", "hostNamespaces"),
    ("hostPath", "hostPathVolumes"),
    ("hostPort", "hostPorts"),
];

fn unknown(name: &str, names: &BTreeSet<String>) -> String {
    if let Some((_, control)) = FIELDS.iter().find(|(field, control)| *field == name && names.contains(*control)) {
        return format!("unknown policy or control `{name}`, did you mean `{control}`?");
    }
    match near(name, names.iter().map(String::as_str)) {
        Some(known) => format!("unknown policy or control `{name}`, did you mean `{known}`?"),
        None => format!("unknown policy or control `{name}`"),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The directives by where they count: a file of thousands of objects may have one in each.
struct Index {
    /// By line, the directive and whether it is above.
    lines: Vec<(usize, (usize, bool))>,
    /// By document, the directive.
    documents: Vec<(usize, usize)>,
}

impl Index {
    fn of(directives: &[Directive<'_>]) -> Self {
        let (mut lines, mut documents) = (Vec::new(), Vec::new());
        for (at, directive) in directives.iter().enumerate() {
            match directive.scope {
                Scope::Line { line, is_above } => lines.push((line, (at, is_above))),
                Scope::Document(document) => documents.push((document, at)),
            }
        }
        Self { lines: sorted(lines, |a, b| a.0.cmp(&b.0)), documents: sorted(documents, |a, b| a.0.cmp(&b.0)) }
    }

    /// Returns the directives at whose place a finding is, in the order of the file.
    fn candidates(&self, target: &Target<'_>) -> Vec<usize> {
        let mut candidates = Vec::new();
        let at = |line| of(&self.lines, line);
        candidates.extend(at(target.finding.span.start.line).map(|&(directive, _)| directive));
        if let Some(container) = target.container {
            candidates.extend(at(container.item).map(|&(directive, _)| directive));
            // Above a name that is not the first key, a comment is within the container, and about that line.
            let at_name = container.name.into_iter().flat_map(at);
            candidates.extend(at_name.filter(|(_, is_above)| !is_above).map(|&(directive, _)| directive));
        }
        candidates.extend(of(&self.documents, target.document));
        let mut candidates = sorted(candidates, Ord::cmp);
        candidates.dedup();
        candidates
    }
}

/// What is of a number in a list that is sorted by numbers.
fn of<T>(sorted: &[(usize, T)], number: usize) -> impl Iterator<Item = &T> {
    let start = sorted.partition_point(|(of, _)| *of < number);
    sorted[start..].iter().take_while(move |(of, _)| *of == number).map(|(_, value)| value)
}

/// Returns a warning for each name of a comment that suppresses nothing, though its policy ran.
fn unused(source: &Source<'_>, directive: &Directive<'_>) -> Vec<Finding> {
    // A document that could not be read may hold any finding.
    let document = source.documents.get(directive.comment.document).filter(|document| document.first_key.is_some());
    let Some(document) = document else { return Vec::new() };
    let is_unused = |(name, is_used): &&(&str, bool)| !is_used && (source.ran)(name);
    let unused = directive.names.iter().filter(is_unused).map(|&(name, _)| {
        let mut finding = Finding {
            policy: "scan".to_owned(),
            policy_document: None,
            control: "unused-ignore".to_owned(),
            severity: Severity::Warning,
            level: None,
            object: document.object.clone(),
            container: None,
            path: String::new(),
            value: Value::from(name),
            message: format!("the comment suppresses no finding of `{name}`"),
            setting: None,
            fix: if directive.names.len() == 1 {
                "remove the comment".to_owned()
            } else {
                format!("remove `{name}` from the comment")
            },
            docs: String::new(),
            file: source.file.to_owned(),
            via: None,
            span: directive.comment.span,
            related: Vec::new(),
            fingerprint: String::new(),
            mend: None,
            document: 0,
            suppressed: None,
        };
        finding.fingerprint = fingerprint(&finding);
        finding
    });
    unused.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Position;
    use crate::fingerprint::tests::finding;

    /// Reads the comments of a text without quoted `#`. Documents end at `---`.
    fn comments(text: &str) -> Vec<Comment> {
        let (mut comments, mut byte, mut document) = (Vec::new(), 0, 0);
        for (line, content) in (1..).zip(text.lines()) {
            document += usize::from(content == "---");
            if let Some(at) = content.find('#') {
                let position = |at: usize| Position { line, col: content[..at].chars().count() + 1, byte: byte + at };
                comments.push(Comment {
                    text: content[at + 1..].trim().to_owned(),
                    span: Span { start: position(at), end: position(content.len()) },
                    is_alone: content[..at].trim().is_empty(),
                    document,
                });
            }
            byte += content.len() + 1;
        }
        comments
    }

    /// Judges a text in which lines with `!` have a finding: of `privileged` in a container that starts at the last
    /// line with `-` before it and is named on the last line with `name:` before it.
    fn judged(text: &str, ran: &dyn Fn(&str) -> bool) -> (Vec<(usize, Option<String>)>, CommentOutcome) {
        let comments = comments(text);
        let first_key = |text: &str| {
            text.lines()
                .scan(0, |byte, line| {
                    let start = *byte;
                    *byte += line.len() + 1;
                    Some((start, line))
                })
                .find(|(_, line)| !line.starts_with(['#', '-']) && line.contains(':'))
                .map(|(start, _)| start)
        };
        let object = finding().object;
        let mut start = 0;
        let documents: Vec<_> = text
            .split_inclusive("---\n")
            .map(|part| {
                let place = DocumentPlace { first_key: first_key(part).map(|at| at + start), object: object.clone() };
                start += part.len();
                place
            })
            .collect();
        let (mut findings, mut item, mut name, mut document) = (Vec::new(), None, None, 0);
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default();
            if content == "---" {
                document += 1;
                (item, name) = (None, None);
                continue;
            }
            if content.trim_start().starts_with('-') {
                (item, name) = (Some(line), None);
            }
            if content.contains("name:") {
                name = Some(line);
            }
            if content.contains('!') {
                let mut finding = finding();
                finding.span.start.line = line;
                findings.push((finding, document, item.map(|item| ContainerLines { item, name })));
            }
        }
        let mut targets: Vec<_> = findings
            .iter_mut()
            .map(|(finding, document, container)| Target { finding, document: *document, container: *container })
            .collect();
        let names = ["host-path", "hostPathVolumes", "privileged", "users"].map(str::to_owned).into();
        let has = &|policy: &str, control: &str| (policy, control) == ("users", "privileged");
        let source =
            Source { file: "deploy/web.yaml", comments: &comments, documents: &documents, names: &names, ran, has };
        let outcome = by_comments(&source, &mut targets);
        let suppressed = findings.into_iter().map(|(finding, ..)| {
            let reason = finding.suppressed.map(|suppressed| {
                assert_eq!(suppressed.kind, SuppressionKind::Comment);
                suppressed.reason
            });
            (finding.span.start.line, reason)
        });
        (suppressed.collect(), outcome)
    }

    /// Asserts which lines with a finding are suppressed, and on which lines unused comments are.
    #[track_caller]
    fn check(text: &str, suppressed: &[usize], left: &[usize], unused: &[usize]) {
        let (findings, outcome) = judged(text, &|_| true);
        assert_eq!(outcome.problems, [], "{text}");
        let (is, is_not): (Vec<_>, Vec<_>) = findings.into_iter().partition(|(_, reason)| reason.is_some());
        let lines = |findings: &[(usize, Option<String>)]| findings.iter().map(|(line, _)| *line).collect::<Vec<_>>();
        assert_eq!((lines(&is), lines(&is_not)), (suppressed.to_vec(), left.to_vec()), "{text}");
        assert!(is.iter().all(|(_, reason)| reason.as_deref() == Some("known")), "{is:?}");
        let lines: Vec<_> = outcome.unused.iter().map(|finding| finding.span.start.line).collect();
        assert_eq!(lines, unused, "{text}");
    }

    #[test]
    fn a_comment_is_about_its_line_or_the_one_below() {
        check("a: !  # podfence: ignore[privileged] known\nb: !\n", &[1], &[2], &[]);
        check("a: !\n# podfence: ignore[privileged] known\nb: !\nc: !\n", &[3], &[1, 4], &[]);
        check("  # podfence: ignore[privileged] known\n  # about b\n  b: !\n", &[3], &[], &[]);
        check("# about b\n# podfence: ignore[privileged] known\nb: !\n", &[3], &[], &[]);
        check("# podfence: ignore[privileged] known\n\nb: !\n", &[], &[3], &[1]);
        check("a: x  # podfence: ignore[privileged] known\nb: !\n", &[], &[2], &[1]);
        // The block of comments ends at a comment behind something.
        check("# podfence: ignore[privileged] known\na: x  # comment\nb: !\n", &[], &[3], &[1]);
        check("#podfence:ignore[ privileged ,host-path]known\na: !\n", &[2], &[], &[1]);
    }

    #[test]
    fn a_comment_at_a_container_is_about_all_of_it() {
        let container = "- name: a{1}\n  x: !\n  y:\n    z: !\n- name: b\n  x: !\n";
        let directive = "  # podfence: ignore[privileged] known";
        check(&container.replace("{1}", directive), &[2, 4], &[6], &[]);
        check(&format!("a: b\n{directive}\n{}", container.replace("{1}", "")), &[4, 6], &[8], &[]);
        // The name need not come first.
        let container = "{0}\n- image: a{1}\n{2}\n  name: a{3}\n  x: !\n";
        for (place, suppressed) in [("{0}", true), ("{1}", true), ("{2}", false), ("{3}", true)] {
            let text = container.replace(place, directive);
            let text = ["{0}", "{1}", "{2}", "{3}"].iter().fold(text, |text, place| text.replace(place, ""));
            let line = directive_line(&text);
            if suppressed { check(&text, &[5], &[], &[]) } else { check(&text, &[], &[5], &[line]) }
        }
        // Containers that share a line share its comment.
        check("- {name: a, x: !}  # podfence: ignore[privileged] known\n", &[1], &[], &[]);
    }

    fn directive_line(text: &str) -> usize {
        1 + text.lines().position(|line| line.contains(START)).unwrap()
    }

    #[test]
    fn a_comment_before_the_first_key_is_about_the_document() {
        let directive = "# podfence: ignore-document[privileged] known\n";
        check(&format!("{directive}a: !\nb: !\n---\nc: !\n"), &[2, 3], &[5], &[]);
        check(&format!("a: !\n---\n# about c\n\n{directive}\nc: !\n"), &[7], &[1], &[]);
        check(&format!("{directive}a: x\n"), &[], &[], &[1]);
        let (findings, outcome) = judged(&format!("a: !\n{directive}b: !\n"), &|_| true);
        assert!(findings.iter().all(|(_, reason)| reason.is_none()));
        let message = "`# podfence: ignore-document[privileged] known`: expected before the first key of the document, found behind it";
        assert_eq!(outcome.problems.iter().map(|problem| &problem.message[..]).collect::<Vec<_>>(), [message]);
        assert_eq!(
            outcome.problems[0].position.map(|position| (position.line, position.col, position.byte)),
            Some((2, 1, 5))
        );
    }

    #[test]
    fn a_comment_that_is_not_understood_is_a_problem() {
        let expected = "expected `# podfence: ignore[NAME,…] REASON` or `# podfence: ignore-document[NAME,…] REASON`";
        for (comment, message) in [
            ("podfence: ignore[] known", "expected the names of policies or controls in the brackets, found none"),
            (
                "podfence: ignore[privileged,] known",
                "expected the names of policies or controls in the brackets, found none",
            ),
            (
                "podfence: ignore[priviledged] known",
                "unknown policy or control `priviledged`, did you mean `privileged`?",
            ),
            (
                "podfence: ignore[hostPath] known",
                "unknown policy or control `hostPath`, did you mean `hostPathVolumes`?",
            ),
            ("podfence: ignore[hostpath] known", "unknown policy or control `hostpath`, did you mean `host-path`?"),
            ("podfence: ignore[privileged,x] known", "unknown policy or control `x`"),
            ("podfence: ignore[privileged]", "expected a reason behind the brackets, found none"),
            ("podfence: ignore[privileged] TODO", "expected a reason behind the brackets, found none"),
            ("podfence: ignore[privileged known", "expected a `]` behind the names"),
            ("podfence: ignore privileged known", expected),
            ("podfence: ignore", expected),
            ("podfence: ignored[privileged] known", expected),
            ("podfence: see the [manual]", expected),
            ("podfence:", expected),
        ] {
            let (findings, outcome) = judged(&format!("a: !\nb: !  # {comment}\n"), &|_| true);
            let problem = Problem {
                file: "deploy/web.yaml".to_owned(),
                position: Some(Position { line: 2, col: 7, byte: 11 }),
                message: format!("`# {comment}`: {message}"),
            };
            assert_eq!((outcome.problems, outcome.unused), (vec![problem], vec![]));
            assert!(findings.iter().all(|(_, reason)| reason.is_none()), "{comment}");
        }
        let (_, outcome) = judged(&format!("# podfence: {}", "é".repeat(100)), &|_| true);
        assert_eq!(outcome.problems[0].message, format!("`# podfence: {}…`: {expected}", "é".repeat(50)));
    }

    #[test]
    fn other_comments_are_left_alone() {
        for comment in
            ["# about podfence: it scans", "# Podfence: ignore[x]", "# podfence ignore[privileged] known", "#", ""]
        {
            assert_eq!(judged(&format!("a: ! {comment}\n"), &|_| true).1, CommentOutcome::default(), "{comment}");
        }
    }

    #[test]
    fn a_policy_stands_for_its_controls_whoever_finds_them() {
        let (findings, outcome) = judged("a: !  # podfence: ignore[users] known\n", &|_| true);
        assert_eq!((findings, outcome), (vec![(1, Some("known".to_owned()))], CommentOutcome::default()));
        for (one, other, expected) in [
            ("seccompProfile", "seccompProfile_restricted", true),
            ("capabilities_baseline", "capabilities", true),
            ("hostPorts", "hostPorts", true),
            ("hostPorts", "hostPathVolumes", false),
            ("a_b", "a", false),
        ] {
            assert_eq!(is_same_control(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn a_name_that_suppresses_nothing_is_reported_if_its_policy_ran() {
        let text = "a: !  # podfence: ignore[privileged,host-path,hostPathVolumes] known\n";
        let (_, outcome) = judged(text, &|name| name != "hostPathVolumes");
        let [unused] = &outcome.unused[..] else { panic!("{outcome:?}") };
        assert_eq!(
            (&unused.policy[..], &unused.control[..], unused.severity),
            ("scan", "unused-ignore", Severity::Warning)
        );
        assert_eq!(unused.message, "the comment suppresses no finding of `host-path`");
        assert_eq!(unused.fix, "remove `host-path` from the comment");
        assert_eq!(unused.value, "host-path");
        assert_eq!((unused.span.start.col, unused.span.end.col), (7, text.len()));
        assert_eq!(unused.object.name, "web");
        assert_eq!(unused.fingerprint, fingerprint(unused));

        let text = "a: x  # podfence: ignore[host-path] known\n";
        assert_eq!(judged(text, &|_| true).1.unused[0].fix, "remove the comment");
        assert_eq!(judged(text, &|_| false).1, CommentOutcome::default());
        // A document without a key could not be read.
        assert_eq!(judged("# podfence: ignore[host-path] known\n", &|_| true).1, CommentOutcome::default());
    }

    #[test]
    fn a_comment_is_used_even_if_another_one_suppresses_first() {
        let text = "# podfence: ignore-document[privileged] known\n# podfence: ignore[privileged] again\na: !\n";
        check(text, &[3], &[], &[]);
    }
}
