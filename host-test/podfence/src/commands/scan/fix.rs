//! `--fix` and `--diff`: mends findings in the files that they are in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use podfence_scan::default_deny;
use podfence_scan::finding::{Finding, ObjectName, Problem};
use podfence_scan::fix::{self, Mended, Scan};
use podfence_scan::scanned::Scanned;
use similar::TextDiff;

use crate::text::visible;

use super::engine::{self, Engine};
use super::walk::{Input, Source};

/// Which findings are mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fixes {
    /// Those whose edit takes nothing away that a container is likely to need.
    Usual,
    /// All that have an edit.
    All,
    /// Those of these controls and policies.
    Of(Vec<String>),
}

impl Fixes {
    pub(super) fn read(text: &str) -> Result<Fixes, String> {
        match text {
            "usual" => Ok(Fixes::Usual),
            "all" => Ok(Fixes::All),
            _ if text.split(',').any(str::is_empty) => {
                Err("expected usual, all, or controls with commas between".into())
            }
            _ => Ok(Fixes::Of(text.split(',').map(str::to_owned).collect())),
        }
    }

    /// The controls and policies that are named.
    pub(super) fn names(&self) -> &[String] {
        if let Fixes::Of(names) = self { names } else { &[] }
    }

    fn wants(&self, finding: &Finding) -> bool {
        let Some(mend) = &finding.mend else { return false };
        match self {
            Fixes::Usual => mend.edit.usual,
            Fixes::All => true,
            Fixes::Of(names) => names.iter().any(|name| *name == finding.control || *name == finding.policy),
        }
    }
}

/// How findings are mended.
pub(super) struct Fixing<'f> {
    pub(super) fixes: &'f Fixes,
    pub(super) engine: &'f Engine<'f>,
    pub(super) inputs: &'f [Input],
    /// Suppresses findings as the configuration and the baseline do.
    pub(super) accept: &'f dyn Fn(&mut Vec<Finding>),
}

/// What was mended.
#[derive(Default)]
pub(super) struct Fixed {
    pub(super) files: Vec<File>,
    /// What was to be mended and is not, with the reason.
    pub(super) refused: Vec<(Finding, String)>,
}

/// A file whose findings were fixed, or could not be.
pub(super) struct File {
    pub(super) input: Input,
    pub(super) old: String,
    pub(super) mended: Mended,
}

impl Fixing<'_> {
    /// Mends what a scan found, and writes nothing.
    pub(super) fn fix(&self, scanned: &Scanned) -> Fixed {
        let mut found: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
        for finding in &scanned.findings {
            found.entry(&finding.file).or_default().push(finding);
        }
        let is_wanted = |finding: &Finding| self.fixes.wants(finding);
        let is_open = |finding: &&Finding| finding.suppressed.is_none() && is_wanted(finding);
        let mut fixed = Fixed::default();
        for input in self.inputs {
            let Some(findings) = found.get(input.name.as_str()) else { continue };
            if !findings.iter().any(&is_open) {
                continue;
            }
            let old = match self.read(input) {
                Ok(old) => old,
                Err(why) => {
                    let open = findings.iter().copied().filter(is_open);
                    fixed.refused.extend(open.map(|finding| (finding.clone(), why.clone())));
                    continue;
                }
            };
            let scan = Scan {
                findings: findings.iter().copied().cloned().collect(),
                problems: scanned.problems.iter().filter(|problem| problem.file == input.name).count(),
            };
            // Others were left alone, for example for their owners in other files.
            let objects: BTreeSet<&ObjectName> = findings.iter().map(|finding| &finding.object).collect();
            // What NetworkPolicies in other files deny is not known when one file is scanned again.
            let was_found = |finding: &Finding| {
                findings.iter().any(|of| of.object == finding.object && of.message == finding.message)
            };
            let mut mended = fix::mend(&old, scan, &is_wanted, &mut |text: &str| {
                let Scanned { mut findings, problems, .. } = self.engine.scan_text(input, text);
                findings.retain(|finding| objects.contains(&finding.object));
                findings.retain(|finding| finding.control != default_deny::CONTROL || was_found(finding));
                (self.accept)(&mut findings);
                Scan { findings, problems: problems.len() }
            });
            fixed.refused.append(&mut mended.refused);
            if mended.count > 0 {
                fixed.files.push(File { input: input.clone(), old, mended });
            }
        }
        fixed.refused.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
        fixed
    }

    /// The text of a file that may be edited.
    fn read(&self, input: &Input) -> Result<String, String> {
        match &input.source {
            Source::StandardInput => {}
            Source::Rendered(_) => {
                return Err("the file is rendered; fix its sources".to_owned());
            }
            Source::File(path) => {
                let about = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
                if !about.is_file() {
                    return Err("the file is a symbolic link or not a regular file; it is never written".to_owned());
                }
            }
        }
        let bytes = engine::read(input, self.engine.standard_input).map_err(|error| error.to_string())?;
        String::from_utf8(bytes.into_owned()).map_err(|_| "the file is not UTF-8".to_owned())
    }
}

fn order(finding: &Finding) -> (&str, usize, &str, &str) {
    (&finding.file, finding.span.start.byte, &finding.control, &finding.path)
}

impl File {
    /// The change, as `patch` and `git apply` take it.
    pub(super) fn diff(&self) -> String {
        let name = visible(&self.input.name);
        let (old, new) = match self.input.name.starts_with('/') {
            true => (name.clone(), name),
            false => (format!("a/{name}"), format!("b/{name}")),
        };
        TextDiff::from_lines(&self.old, &self.mended.text).unified_diff().header(&old, &new).to_string()
    }

    /// Writes the file, in whole or not at all.
    ///
    /// # Errors
    /// It cannot be written, or is not what it was.
    pub(super) fn write(&self) -> io::Result<()> {
        let Source::File(path) = &self.input.source else { return Ok(()) };
        if fs::read(path)? != self.old.as_bytes() {
            return Err(io::Error::other("it was changed by something else; scan it again"));
        }
        replace(path, self.mended.text.as_bytes())
    }

    /// Puts what a scan finds now in the place of what it found before.
    pub(super) fn update(&self, scanned: &mut Scanned) {
        scanned.findings.retain(|finding| finding.file != self.input.name);
        scanned.findings.extend(self.mended.findings.iter().cloned());
    }

    /// That the file could not be written.
    pub(super) fn unwritten(&self, error: &io::Error) -> Problem {
        Problem { file: self.input.name.clone(), position: None, message: format!("not fixed: {error}") }
    }
}

/// Replaces a file by another one of the same mode.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}.podfence", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    let written = fs::metadata(path)
        .and_then(|old| file.set_permissions(old.permissions()))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        _ = fs::remove_file(&new);
    }
    written
}
