//! Which files a scan reads: those that are named, and those that are found in directories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use globset::GlobBuilder;
use ignore::WalkBuilder;
use podfence_scan::finding::Problem;

/// The name of our ignore file, with the syntax of `.gitignore`.
const IGNORE_FILE: &str = ".podfenceignore";

/// What files are called that are read when a directory is walked.
const EXTENSIONS: [&str; 4] = ["yaml", "yml", "json", "kyaml"];

/// What kustomize looks for in a directory.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Input {
    /// As output names it: relative to the working directory, with `/`.
    pub(super) name: String,
    pub(super) source: Source,
    /// Whether it was found in a directory, where all kinds of files are.
    pub(super) is_walked: bool,
}

/// Where the text of an input is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    StandardInput,
    File(PathBuf),
    /// It was rendered, and is here.
    Rendered(Vec<u8>),
}

/// How files are found.
pub(super) struct Walk<'a> {
    /// Paths, globs, and `-` for standard input.
    pub(super) paths: &'a [PathBuf],
    /// How standard input is called.
    pub(super) stdin_name: &'a str,
    /// Whether ignore files count.
    pub(super) has_ignore_files: bool,
    /// Whether named files count as found in a directory.
    pub(super) as_walked: bool,
    /// Whether a file that is found is left out.
    pub(super) excludes: &'a dyn Fn(&str) -> bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Sorted by name, each once.
    pub(super) inputs: Vec<Input>,
    /// Directories and files that could not be read.
    pub(super) problems: Vec<Problem>,
    /// The directories of Helm charts, by their names, each with its `Chart.yaml`.
    pub(super) charts: BTreeMap<String, PathBuf>,
    /// The directories of kustomizations, by their names, each with its `kustomization.yaml`.
    pub(super) kustomizations: BTreeMap<String, PathBuf>,
    /// Symbolic links, which are not followed.
    pub(super) links: usize,
}

impl Walk<'_> {
    /// Finds the files. A path that is not there, and a glob that nothing matches, is a problem.
    ///
    /// # Errors
    /// A glob cannot be understood.
    pub(super) fn find(&self) -> Result<Found> {
        let mut found = Found::default();
        let mut inputs = BTreeSet::new();
        let problem = |path: &Path, message: &str| Problem {
            file: path.to_string_lossy().into_owned(),
            position: None,
            message: message.to_owned(),
        };
        for path in self.paths {
            if path.as_os_str() == "-" {
                inputs.insert(Input {
                    name: self.stdin_name.to_owned(),
                    source: Source::StandardInput,
                    is_walked: false,
                });
            } else if path.is_dir() {
                self.walk(path, &mut found, &mut inputs);
            } else if path.is_file() || std::fs::symlink_metadata(path).is_ok() {
                // Of a directory, nothing but files is read; a link or a pipe may lead anywhere, or never end.
                if self.as_walked && !path.symlink_metadata().is_ok_and(|of| of.is_file()) {
                    found.links += usize::from(path.is_symlink());
                } else {
                    self.add_named(path, &mut inputs);
                }
            } else if has_glob(path) {
                let files = self.matching(path, &mut found)?;
                if files.is_empty() {
                    found.problems.push(problem(path, "no file matches the glob"));
                }
                files.iter().for_each(|file| self.add_named(file, &mut inputs));
            } else {
                found.problems.push(problem(path, "no such file or directory"));
            }
        }
        if self.as_walked {
            self.leave_out(&mut inputs);
        }
        // A file that is named and found is named.
        let mut last: Option<Input> = None;
        for input in inputs {
            match &mut last {
                Some(before) if before.name == input.name => before.is_walked &= input.is_walked,
                _ => found.inputs.extend(last.replace(input)),
            }
        }
        found.inputs.extend(last);
        Ok(found)
    }

    fn add_named(&self, path: &Path, inputs: &mut BTreeSet<Input>) {
        inputs.insert(Input { name: name(path), source: Source::File(path.to_owned()), is_walked: self.as_walked });
    }

    fn builder(&self, root: &Path) -> WalkBuilder {
        let mut builder = WalkBuilder::new(root);
        builder.standard_filters(self.has_ignore_files).hidden(false).require_git(false).follow_links(false);
        // What tools keep for themselves: .git, .github, .terraform.
        builder.filter_entry(|entry| {
            let is_directory = entry.file_type().is_some_and(|of| of.is_dir());
            entry.depth() == 0 || !is_directory || !entry.file_name().as_encoded_bytes().starts_with(b".")
        });
        builder.sort_by_file_name(std::ffi::OsStr::cmp);
        if self.has_ignore_files {
            builder.add_custom_ignore_filename(IGNORE_FILE);
        }
        builder
    }

    fn walk(&self, root: &Path, found: &mut Found, inputs: &mut BTreeSet<Input>) {
        for entry in self.builder(root).build() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    found.problems.push(Problem { file: name(root), position: None, message: error.to_string() });
                    continue;
                }
            };
            let path = entry.path();
            if !entry.file_type().is_some_and(|of| of.is_file()) {
                found.links += usize::from(entry.path_is_symlink());
                continue;
            }
            let file = name(path);
            if (self.excludes)(&file) {
                continue;
            }
            let directory = || (name(path.parent().unwrap_or(path)), path.to_owned());
            if path.ends_with("Chart.yaml") {
                found.charts.extend([directory()]);
            }
            if KUSTOMIZATIONS.iter().any(|name| path.ends_with(name)) {
                found.kustomizations.extend([directory()]);
            }
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if EXTENSIONS.contains(&extension) {
                inputs.insert(Input { name: file, source: Source::File(path.to_owned()), is_walked: true });
            }
        }
    }

    /// The files that a glob matches, whatever they are called.
    fn matching(&self, glob: &Path, found: &mut Found) -> Result<Vec<PathBuf>> {
        let text = glob.to_str().context("a glob is text")?;
        let matcher = GlobBuilder::new(&name(glob)).literal_separator(true).build();
        let matcher = matcher.with_context(|| text.to_owned())?.compile_matcher();
        let is_plain = |part: &Component<'_>| !has_glob(Path::new(part.as_os_str()));
        let base: PathBuf = glob.components().take_while(is_plain).collect();
        let base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
        let mut files = Vec::new();
        for entry in self.builder(&base).build() {
            match entry {
                Ok(entry) if entry.file_type().is_some_and(|of| of.is_file()) => {
                    files.extend(matcher.is_match(name(entry.path())).then(|| entry.into_path()));
                }
                Ok(_) => {}
                Err(error) => {
                    found.problems.push(Problem { file: text.to_owned(), position: None, message: error.to_string() });
                }
            }
        }
        Ok(files)
    }

    /// Leaves out what walking the working directory would not find.
    fn leave_out(&self, inputs: &mut BTreeSet<Input>) {
        let walked: BTreeSet<String> = if self.has_ignore_files {
            let files = self.builder(Path::new(".")).build().filter_map(Result::ok);
            files.map(|entry| name(entry.path())).collect()
        } else {
            BTreeSet::new()
        };
        inputs.retain(|input| {
            let is_relative = Path::new(&input.name).is_relative() && !input.name.starts_with("../");
            let is_inside = matches!(input.source, Source::File(_)) && is_relative;
            !is_inside || !(self.excludes)(&input.name) && (!self.has_ignore_files || walked.contains(&input.name))
        });
    }
}

fn has_glob(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[', '{'])
}

/// How output names a file: relative to the working directory where it is in it, with `/`.
pub(super) fn name(path: &Path) -> String {
    let working = std::env::current_dir().unwrap_or_default();
    let relative = path.strip_prefix(&working).unwrap_or(path);
    let mut path = PathBuf::new();
    for part in relative.components() {
        let has_parent = matches!(path.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::CurDir => {}
            Component::ParentDir if has_parent => drop(path.pop()),
            part => path.push(part),
        }
    }
    let name = path.to_string_lossy();
    if cfg!(windows) { name.replace('\\', "/") } else { name.into_owned() }
}
