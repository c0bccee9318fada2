//! Which files a scan reads: those that are named, and those that are found in directories.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use globset::GlobBuilder;
use ignore::{DirEntry, WalkBuilder};
use podfence_scan::finding::Problem;

/// The name of our ignore file, with the syntax of `.gitignore`.
const IGNORE_FILE: &str = ".podfenceignore";

/// What files are called that are read when a directory is walked.
const EXTENSIONS: [&str; 4] = ["yaml", "yml", "json", "kyaml"];

/// What makes a directory a Helm chart.
const CHART: &str = "Chart.yaml";

/// What a chart is rendered from.
const PARTS_OF_CHART: [&str; 4] = [CHART, "charts", "templates", "values.yaml"];

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
    /// The name of standard input in reports.
    pub(super) stdin_name: &'a str,
    /// Whether ignore files count.
    pub(super) has_ignore_files: bool,
    /// Whether named files count as found in a directory.
    pub(super) as_walked: bool,
    /// Whether what was found is rendered, for which the owners of named files are looked up.
    pub(super) renders: bool,
    /// Whether a file that is found is left out.
    pub(super) excludes: &'a dyn Fn(&str) -> bool,
    /// Those of the files that are left out that belong to Podfence itself.
    pub(super) own: &'a [String],
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Sorted by name, each once.
    pub(super) inputs: Vec<Input>,
    /// Directories and files that could not be read.
    pub(super) problems: Vec<Problem>,
    /// The real directories of Helm charts, each with its `Chart.yaml`.
    pub(super) charts: BTreeMap<PathBuf, PathBuf>,
    /// The real directories of kustomizations, each with its `kustomization.yaml`.
    pub(super) kustomizations: BTreeMap<PathBuf, PathBuf>,
    /// `Chart.yaml` and `kustomization.yaml` of what renders the files that are named.
    pub(super) owners: BTreeSet<PathBuf>,
    /// Symbolic links, which are not followed.
    pub(super) links: usize,
    /// Files that ignore files exclude, counted in directories in which nothing else was found.
    pub(super) ignored: usize,
    /// Files that the configuration excludes.
    pub(super) excluded: usize,
}

impl Found {
    /// Takes the directory of the file for a chart or a kustomization, if its name says so.
    pub(super) fn add_directory_of(&mut self, file: &Path) {
        let directories = match file.file_name() {
            Some(name) if name == CHART => &mut self.charts,
            Some(name) if KUSTOMIZATIONS.iter().any(|of| name == *of) => &mut self.kustomizations,
            _ => return,
        };
        let directory = real(file).parent().unwrap_or(file).to_owned();
        directories.entry(directory).or_insert_with(|| file.to_owned());
    }
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
        let walked = (self.as_walked && self.has_ignore_files).then(|| self.walked());
        if self.as_walked {
            self.leave_out(&mut inputs, walked.as_ref());
        }
        if self.renders {
            self.add_owners(&mut found, &inputs, walked.as_ref());
        }
        found.inputs = each_once(inputs);
        Ok(found)
    }

    /// Finds what renders the files and directories that are named, but for what is left out.
    fn add_owners(&self, found: &mut Found, inputs: &BTreeSet<Input>, walked: Option<&BTreeSet<PathBuf>>) {
        let directories = self.paths.iter().filter(|path| path.is_dir());
        found.owners.extend(directories.flat_map(|path| charts_of(path)));
        for input in inputs.iter().filter(|input| self.as_walked || !input.is_walked) {
            if let Source::File(path) = &input.source {
                found.owners.extend(charts_of(path).into_iter().chain(kustomization_of(path)));
            }
        }
        let working = working();
        let is_left_out = |owner: &Path| {
            let is_ignored = || walked.is_some_and(|walked| !walked.contains(owner));
            (self.excludes)(&name(owner)) || owner.starts_with(&working) && is_ignored()
        };
        found.owners.retain(|owner| !is_left_out(owner));
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

    /// Whether a file of this name is read when a directory is walked.
    fn has_extension(path: &Path) -> bool {
        EXTENSIONS.contains(&path.extension().and_then(|extension| extension.to_str()).unwrap_or_default())
    }

    /// The number of files in a directory that would be read without ignore files.
    fn count_ignored(&self, root: &Path) -> usize {
        let all = Walk { has_ignore_files: false, ..*self };
        let is_file = |entry: &DirEntry| entry.file_type().is_some_and(|of| of.is_file());
        let files = all.builder(root).build().filter_map(Result::ok).filter(is_file);
        files.filter(|entry| Self::has_extension(entry.path()) && !(self.excludes)(&name(entry.path()))).count()
    }

    fn walk(&self, root: &Path, found: &mut Found, inputs: &mut BTreeSet<Input>) {
        let before = inputs.len();
        self.walk_into(root, found, inputs);
        if self.has_ignore_files && inputs.len() == before {
            found.ignored += self.count_ignored(root);
        }
    }

    fn walk_into(&self, root: &Path, found: &mut Found, inputs: &mut BTreeSet<Input>) {
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
                found.excluded += usize::from(Self::has_extension(path) && !self.own.contains(&file));
                continue;
            }
            found.add_directory_of(path);
            if Self::has_extension(path) {
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
        if !base.exists() {
            return Ok(files);
        }
        for entry in self.builder(&base).build() {
            match entry {
                Ok(entry) if !matcher.is_match(name(entry.path())) => {}
                Ok(entry) if entry.file_type().is_some_and(|of| of.is_file()) => files.push(entry.into_path()),
                Ok(entry) => found.owners.extend(sources_in(&real(entry.path()))),
                Err(error) => {
                    found.problems.push(Problem { file: text.to_owned(), position: None, message: error.to_string() });
                }
            }
        }
        Ok(files)
    }

    /// The real paths of what is found in the working directory, but for what ignore files name.
    fn walked(&self) -> BTreeSet<PathBuf> {
        let mut directories = Directories::default();
        let files = self.builder(Path::new(".")).build().filter_map(Result::ok);
        files.map(|entry| directories.real(entry.path())).collect()
    }

    /// Leaves out what walking the working directory would not find.
    fn leave_out(&self, inputs: &mut BTreeSet<Input>, walked: Option<&BTreeSet<PathBuf>>) {
        let (mut directories, working) = (Directories::default(), working());
        inputs.retain(|input| {
            let Source::File(path) = &input.source else { return true };
            let path = directories.real(path);
            let is_walked = walked.is_none_or(|walked| walked.contains(&path));
            !path.starts_with(&working) || !(self.excludes)(&input.name) && is_walked
        });
    }
}

/// Each file once, and each with a name of its own. A file that is named and found is named.
fn each_once(inputs: BTreeSet<Input>) -> Vec<Input> {
    let mut directories = Directories::default();
    let mut files: BTreeMap<PathBuf, Input> = BTreeMap::new();
    let mut others = Vec::new();
    for input in inputs {
        match &input.source {
            Source::File(path) => {
                let is_walked = input.is_walked;
                files.entry(directories.real(path)).or_insert(input).is_walked &= is_walked;
            }
            _ => others.push(input),
        }
    }
    // A file keeps the name by which a baseline and exceptions know it.
    let mut inputs: Vec<Input> = files.into_values().chain(others).collect();
    tell_apart(&mut inputs);
    inputs
}

/// Numbers the inputs that have the same name, and sorts all.
pub(super) fn tell_apart(inputs: &mut [Input]) {
    let mut names = BTreeSet::new();
    for input in inputs.iter_mut() {
        let mut number = 1;
        let mut name = input.name.clone();
        while !names.insert(name.clone()) {
            number += 1;
            name = format!("{} ({number})", input.name);
        }
        input.name = name;
    }
    inputs.sort();
}

/// The real paths of directories, each looked up once.
#[derive(Default)]
pub(super) struct Directories(HashMap<PathBuf, PathBuf>);

impl Directories {
    /// The same as [`real`].
    pub(super) fn real(&mut self, path: &Path) -> PathBuf {
        let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else { return real(path) };
        if let Some(directory) = self.0.get(parent) {
            return directory.join(file);
        }
        let path = real(path);
        self.0.extend(path.parent().map(|directory| (parent.to_owned(), directory.to_owned())));
        path
    }
}

/// Where a file is, without links on the way to it. It may be a link itself.
pub(super) fn real(path: &Path) -> PathBuf {
    let real = match (path.parent(), path.file_name()) {
        (Some(parent), Some(file)) if parent.as_os_str().is_empty() => fs::canonicalize(".").map(|of| of.join(file)),
        (Some(parent), Some(file)) => fs::canonicalize(parent).map(|of| of.join(file)),
        _ => fs::canonicalize(path),
    };
    real.unwrap_or_else(|_| path.to_owned())
}

/// The working directory without links, or what no path starts with.
pub(super) fn working() -> PathBuf {
    fs::canonicalize(".").unwrap_or_default()
}

/// `Chart.yaml` of the charts that a file or a directory is a part of: a subchart is also one of its chart.
fn charts_of(path: &Path) -> Vec<PathBuf> {
    let path = if path.is_dir() { fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()) } else { real(path) };
    let is_part = |directory: &&Path| {
        let part = path.strip_prefix(directory).ok().and_then(|part| part.components().next());
        part.is_some_and(|part| PARTS_OF_CHART.iter().any(|of| part.as_os_str() == *of))
    };
    let charts = within_bounds(&path).filter(is_part).map(|directory| directory.join(CHART));
    charts.filter(|file| file.is_file()).collect()
}

/// `kustomization.yaml` of the nearest directory of a file that has one.
fn kustomization_of(file: &Path) -> Option<PathBuf> {
    let path = real(file);
    let of = |directory: &Path| KUSTOMIZATIONS.iter().map(|name| directory.join(name)).find(|file| file.is_file());
    within_bounds(&path).find_map(of)
}

/// `Chart.yaml` and `kustomization.yaml` of a directory.
fn sources_in(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let names = std::iter::once(CHART).chain(KUSTOMIZATIONS);
    names.map(|name| directory.join(name)).filter(|file| file.is_file())
}

/// The directories that a real path is in. What is in the working directory belongs to nothing above it.
fn within_bounds(path: &Path) -> impl Iterator<Item = &Path> {
    let working = working();
    let is_inside = path.starts_with(&working);
    path.ancestors().skip(1).take_while(move |directory| !is_inside || directory.starts_with(&working))
}

fn has_glob(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[', '{'])
}

/// How output names a file: relative to the working directory where it is in it, with `/`. Bytes that are not UTF-8 are
/// spelt out, so that other files have other names.
pub(super) fn name(path: &Path) -> String {
    let working = std::env::current_dir().unwrap_or_default();
    let relative = path.strip_prefix(&working).unwrap_or(path);
    let mut path = PathBuf::new();
    for part in relative.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if is_left_by_parent(&path) => drop(path.pop()),
            part => path.push(part),
        }
    }
    let name = spelt_out(path.as_os_str());
    if cfg!(windows) { name.replace('\\', "/") } else { name }
}

/// Whether `..` behind a path is the directory before its last part: a link leads elsewhere.
fn is_left_by_parent(path: &Path) -> bool {
    let is_directory = || path.symlink_metadata().is_ok_and(|of| of.is_dir());
    matches!(path.components().next_back(), Some(Component::Normal(_))) && is_directory()
}

/// The text of a name, with bytes that are not UTF-8 as `\xe8`, and then `\` as `\\`.
fn spelt_out(name: &OsStr) -> String {
    if let Some(name) = name.to_str() {
        return name.to_owned();
    }
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text += &chunk.valid().replace('\\', "\\\\");
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}
