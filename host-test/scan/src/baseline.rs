//! The baseline: a file with the findings that are accepted for now, so that only new ones fail a run.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::config::{Base, expected_first, prefix};
use crate::finding::{Finding, Suppressed, SuppressionKind};
use crate::fingerprint::is_fingerprint;

/// The name that the file has by default.
pub const FILE: &str = ".podfence-baseline.json";

const VERSION: u64 = 1;

/// The findings that are accepted, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    entries: Vec<Entry>,
}

/// Findings with one fingerprint. What follows `count` is for people; moving a file changes none of what is compared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The fingerprint.
    pub fingerprint: String,
    /// How many findings have it.
    pub count: NonZeroU32,
    /// The policy.
    pub policy: String,
    /// The control.
    pub control: String,
    /// The object's kind.
    pub kind: String,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Where in the object.
    pub path: String,
    /// The first file with it, relative to the directory of the configuration.
    pub file: String,
}

/// Findings of a baseline that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed<'b> {
    /// The entry.
    pub entry: &'b Entry,
    /// How many of its findings are gone.
    pub count: u32,
}

/// A baseline cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaselineError {
    /// Broken JSON, or not the JSON of a baseline.
    #[error("line {line}, column {column}: {message}")]
    Format {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The field, what was expected and what was found.
        message: String,
    },
    /// Written by another version of Podfence.
    #[error("version: expected 1, found {0}; `podfence scan --write-baseline` writes it anew")]
    Version(u64),
    /// A conflict was merged badly, or somebody edited the file.
    #[error(
        "findings[{second}]: has the fingerprint of findings[{first}]; `podfence scan --write-baseline` writes it anew"
    )]
    Twice {
        /// The first entry with the fingerprint, from 0.
        first: usize,
        /// The second one.
        second: usize,
    },
    /// Not what a fingerprint looks like.
    #[error("findings[{index}].fingerprint: expected 32 hexadecimal digits, found `{found}`")]
    Fingerprint {
        /// The entry, from 0.
        index: usize,
        /// What is there.
        found: String,
    },
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    /// When it is not JSON, has another version, or an entry is incomplete, unknown in part or there twice.
    pub fn read(text: &str) -> Result<Self, BaselineError> {
        /// What every version has.
        #[derive(Deserialize)]
        #[serde(expecting = "a baseline")]
        struct Versioned {
            version: u64,
        }

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, expecting = "a baseline")]
        struct File {
            #[serde(rename = "version")]
            _version: u64,
            findings: Vec<Entry>,
        }

        let Versioned { version } = parse(text)?;
        if version != VERSION {
            return Err(BaselineError::Version(version));
        }
        let File { findings: entries, .. } = parse(text)?;
        let mut seen = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if !is_fingerprint(&entry.fingerprint) {
                return Err(BaselineError::Fingerprint { index, found: entry.fingerprint.clone() });
            }
            if let Some(first) = seen.insert(&entry.fingerprint, index) {
                return Err(BaselineError::Twice { first, second: index });
            }
        }
        Ok(Self { entries })
    }

    /// Makes the baseline that accepts findings. Leaves out those that a comment or the configuration accepts.
    pub fn of<'f>(findings: impl IntoIterator<Item = &'f Finding>, base: &Base) -> Self {
        let mut entries = BTreeMap::<&str, Entry>::new();
        for finding in findings {
            // What another baseline accepts must stay accepted when that one is rewritten.
            if finding.suppressed.as_ref().is_some_and(|suppressed| suppressed.kind != SuppressionKind::Baseline) {
                continue;
            }
            let entry = Entry::of(finding, base);
            entries
                .entry(&finding.fingerprint)
                .and_modify(|known| {
                    let count = known.count.saturating_add(1);
                    if entry.order() < known.order() {
                        *known = entry.clone();
                    }
                    known.count = count;
                })
                .or_insert(entry);
        }
        let mut entries: Vec<Entry> = entries.into_values().collect();
        entries.sort_by(|a, b| a.order().cmp(&b.order()));
        Self { entries }
    }

    /// Keeps entries of another baseline, whose findings it has not.
    pub fn keep(&mut self, other: Baseline, is_kept: impl Fn(&Entry) -> bool) {
        let known: BTreeSet<String> = self.entries.iter().map(|entry| entry.fingerprint.clone()).collect();
        let kept = other.entries.into_iter().filter(|entry| !known.contains(&entry.fingerprint) && is_kept(entry));
        self.entries.extend(kept);
        self.entries.sort_by(|a, b| a.order().cmp(&b.order()));
    }

    /// Returns the text of the file: one line for each entry, so that changes are read and merged line by line.
    pub fn write(&self) -> String {
        let lines: Vec<String> = self
            .entries
            .iter()
            .map(|entry| format!("\n{}", serde_json::to_string(entry).expect("an entry has only texts and a number")))
            .collect();
        let end = if lines.is_empty() { "" } else { "\n" };
        format!("{{\"version\": {VERSION}, \"findings\": [{}{end}]}}\n", lines.join(","))
    }

    /// Suppresses the findings that it accepts, at most as many of each fingerprint as it counts, in their order.
    /// Returns what it accepts and is gone.
    ///
    /// Leaves alone findings that are suppressed already; they count as gone. An entry that says another policy, control
    /// or object than its fingerprint accepts nothing: who reviews the file reads what it says.
    pub fn apply<'b, 'f>(&'b self, findings: impl IntoIterator<Item = &'f mut Finding>) -> Vec<Fixed<'b>> {
        let mut left: BTreeMap<&str, (&Entry, u32)> =
            self.entries.iter().map(|entry| (entry.fingerprint.as_str(), (entry, entry.count.get()))).collect();
        for finding in findings {
            if finding.suppressed.is_some() {
                continue;
            }
            let Some((entry, left)) = left.get_mut(finding.fingerprint.as_str()) else { continue };
            if *left == 0 || !entry.is_of(finding) {
                continue;
            }
            *left -= 1;
            finding.suppressed =
                Some(Suppressed { kind: SuppressionKind::Baseline, reason: "is in the baseline".to_owned() });
        }
        self.entries
            .iter()
            .map(|entry| Fixed { entry, count: left[entry.fingerprint.as_str()].1 })
            .filter(|fixed| fixed.count > 0)
            .collect()
    }

    /// The entries, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Entry {
    /// Whether what it says to people is said of a finding.
    fn is_of(&self, finding: &Finding) -> bool {
        let object = &finding.object;
        (&self.policy, &self.control, &self.kind, &self.namespace, &self.name, &self.container)
            == (&finding.policy, &finding.control, &object.kind, &object.namespace, &object.name, &finding.container)
    }

    fn of(finding: &Finding, base: &Base) -> Self {
        Self {
            fingerprint: finding.fingerprint.clone(),
            count: NonZeroU32::MIN,
            policy: finding.policy.clone(),
            control: finding.control.clone(),
            kind: finding.object.kind.clone(),
            namespace: finding.object.namespace.clone(),
            name: finding.object.name.clone(),
            container: finding.container.clone(),
            path: finding.path.clone(),
            file: base.path(&finding.file),
        }
    }

    /// By what entries are sorted: near to each other what a person looks at together.
    fn order(&self) -> impl Ord + '_ {
        (
            (&self.file, &self.kind, &self.namespace, &self.name),
            (&self.policy, &self.control, &self.container, &self.path),
            &self.fingerprint,
        )
    }
}

fn parse<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, BaselineError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        format_error(&error, &if error.is_syntax() { String::new() } else { prefix(&path) })
    })?;
    deserializer.end().map_err(|error| format_error(&error, ""))?;
    Ok(parsed)
}

fn format_error(error: &serde_json::Error, prefix: &str) -> BaselineError {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let place = format!(" at line {line} column {column}");
    let message = format!("{prefix}{}", expected_first(message.strip_suffix(&place).unwrap_or(&message)));
    // serde_json counts columns from 0 at the start of a line.
    BaselineError::Format { line: line.max(1), column: column.max(1), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::{fingerprint, tests::finding};

    fn named(name: &str) -> Finding {
        let mut finding = finding();
        finding.object.name = name.to_owned();
        finding.fingerprint = fingerprint(&finding);
        finding
    }

    fn suppressed(mut finding: Finding, kind: SuppressionKind) -> Finding {
        finding.suppressed = Some(Suppressed { kind, reason: "known".to_owned() });
        finding
    }

    fn of(findings: &[Finding]) -> Baseline {
        Baseline::of(findings, &Base::default())
    }

    fn counts(fixed: &[Fixed<'_>]) -> Vec<(String, u32)> {
        fixed.iter().map(|fixed| (fixed.entry.name.clone(), fixed.count)).collect()
    }

    #[test]
    fn the_file_has_a_line_for_each_entry() {
        let mut pod = named("a");
        (pod.object.namespace, pod.container, pod.file) = (None, None, "deploy/a.yaml".to_owned());
        pod.fingerprint = fingerprint(&pod);
        let text = of(&[finding(), pod.clone(), finding()]).write();
        let expected = format!(
            r#"{{"version": 1, "findings": [
{{"fingerprint":"{}","count":1,"policy":"privileged","control":"privileged","kind":"Deployment","name":"a","path":"spec.template.spec.containers[0].securityContext.privileged","file":"deploy/a.yaml"}},
{{"fingerprint":"{}","count":2,"policy":"privileged","control":"privileged","kind":"Deployment","namespace":"shop","name":"web","container":"app","path":"spec.template.spec.containers[0].securityContext.privileged","file":"deploy/web.yaml"}}
]}}
"#,
            pod.fingerprint,
            finding().fingerprint
        );
        assert_eq!(text, expected);
        assert_eq!(of(&[]).write(), "{\"version\": 1, \"findings\": []}\n");
    }

    #[test]
    fn the_text_depends_on_no_order() {
        let mut copy = finding();
        copy.file = "copy.yaml".to_owned();
        let findings = [named("a"), finding(), copy, named("b"), named("c")];
        let text = of(&findings).write();
        for at in 0..findings.len() {
            let mut turned = findings.clone();
            turned.rotate_left(at);
            assert_eq!(of(&turned).write(), text);
            turned.reverse();
            assert_eq!(of(&turned).write(), text);
        }
    }

    #[test]
    fn what_was_written_leaves_nothing() {
        let mut findings = [named("a"), finding(), finding(), named("é\"\n"), named("")];
        let written = of(&findings);
        let read = Baseline::read(&written.write()).unwrap();
        assert_eq!(read, written);
        assert_eq!(read.apply(&mut findings), []);
        assert!(findings.iter().all(|finding| finding.suppressed.is_some()));
        // Written again from a run that it was applied to, it stays the same.
        assert_eq!(of(&findings), written);
    }

    #[test]
    fn a_finding_that_moved_stays_accepted() {
        let baseline = of(&[finding()]);
        let mut moved = finding();
        (moved.file, moved.span.start.line) = ("new/place.yaml".to_owned(), 1000);
        moved.path = moved.path.replace("[0]", "[3]");
        moved.fingerprint = fingerprint(&moved);
        let mut findings = [moved];
        assert_eq!(baseline.apply(&mut findings), []);
        let reason = Suppressed { kind: SuppressionKind::Baseline, reason: "is in the baseline".to_owned() };
        assert_eq!(findings[0].suppressed, Some(reason));
    }

    #[test]
    fn more_findings_than_it_counts_fail_and_fewer_are_fixed() {
        let baseline = of(&[named("a"), finding(), finding(), finding()]);
        let mut findings = [finding(), finding(), named("new")];
        assert_eq!(counts(&baseline.apply(&mut findings)), [("a".to_owned(), 1), ("web".to_owned(), 1)]);
        assert!(findings.iter().map(|finding| finding.suppressed.is_some()).eq([true, true, false]));

        let mut findings = [named("a"), finding(), finding(), finding(), finding()];
        assert_eq!(baseline.apply(&mut findings), []);
        assert!(findings.iter().map(|finding| finding.suppressed.is_some()).eq([true, true, true, true, false]));
    }

    #[test]
    fn what_is_suppressed_otherwise_is_not_in_it_and_does_not_use_it_up() {
        for kind in [SuppressionKind::Comment, SuppressionKind::Config] {
            assert_eq!(of(&[suppressed(finding(), kind)]), Baseline::default());
            let baseline = of(&[finding()]);
            let mut findings = [suppressed(finding(), kind), finding()];
            assert_eq!(baseline.apply(&mut findings), []);
            assert_eq!(findings.map(|finding| finding.suppressed.unwrap().kind), [kind, SuppressionKind::Baseline]);
            let mut findings = [suppressed(finding(), kind)];
            assert_eq!(counts(&baseline.apply(&mut findings)), [("web".to_owned(), 1)]);
        }
    }

    #[test]
    fn files_are_relative_to_the_configuration() {
        let base = Base::new("/repo/podfence.yaml".as_ref(), "/repo/apps".as_ref());
        assert_eq!(Baseline::of(&[finding()], &base).entries()[0].file, "apps/deploy/web.yaml");
    }

    #[test]
    fn a_broken_file_is_refused_with_the_place() {
        let entry = r#"{"fingerprint":"00000000000000000000000000000000","count":1,"policy":"p","control":"c","kind":"k","name":"n","path":"","file":"f"}"#;
        let with = |entries: &str| format!("{{\"version\": 1, \"findings\": [\n{entries}\n]}}\n");
        assert!(Baseline::read(&with(entry)).is_ok());
        for (text, expected) in [
            (String::new(), "line 1, column 1: EOF while parsing a value"),
            ("[]".to_owned(), "line 1, column 2: invalid length 0, expected a baseline"),
            ("{}".to_owned(), "line 1, column 2: missing field `version`"),
            (
                r#"{"version": 2, "entries": []}"#.to_owned(),
                "version: expected 1, found 2; `podfence scan --write-baseline` writes it anew",
            ),
            (r#"{"version": "1"}"#.to_owned(), "line 1, column 15: version: expected u64, found string \"1\""),
            (r#"{"version": 1}"#.to_owned(), "line 1, column 14: missing field `findings`"),
            (with("<<<<<<< HEAD"), "line 2, column 1: expected value"),
            (with(entry) + "x", "line 4, column 1: trailing characters"),
            (
                with(&entry.replace("\"count\":1", "\"count\":0")),
                "line 2, column 59: findings[0].count: expected a nonzero u32, found integer `0`",
            ),
            (
                with(&entry.replace("\"file\":\"f\"", "\"line\":1")),
                "line 2, column 125: findings[0].line: unknown field `line`, expected one of `fingerprint`, `count`, `policy`, `control`, `kind`, `namespace`, `name`, `container`, `path`, `file`",
            ),
            (
                with(&entry.replace("0000", "000")),
                "findings[0].fingerprint: expected 32 hexadecimal digits, found `000000000000000000000000`",
            ),
            (
                with(&[entry, entry].join(",\n")),
                "findings[1]: has the fingerprint of findings[0]; `podfence scan --write-baseline` writes it anew",
            ),
        ] {
            let error = Baseline::read(&text).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }
}
