//! Renders the Helm charts and the kustomizations of a tree with the programs of their projects.
//!
//! The tree decides what these programs do, so that this is asked for by a flag alone, and never with `--untrusted`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use podfence_scan::finding::Problem;
use podfence_scan::read::{self, LARGEST_DOCUMENT};
use serde_json::Value;

use crate::text::printable;

use super::walk::{Directories, Found, Input, Source, name, real, tell_apart, working};

/// The most that a program may print, in bytes.
const LARGEST: usize = 64 << 20;

/// The most that is kept of all that programs print, in bytes. Each thread may hold [`LARGEST`] more.
const LARGEST_IN_ALL: usize = 256 << 20;

/// How much of the end of standard error a message shows, in bytes.
const WORDS: usize = 2_000;

/// How long what a program printed to standard error is waited for once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Renders what was found, in the place of the files that it is made of. What cannot be rendered is a problem.
pub(super) fn render(found: &mut Found, jobs: usize, limit: Duration) {
    for owner in std::mem::take(&mut found.owners) {
        found.add_directory_of(&owner);
    }
    let plan = Plan::of(found);
    if plan.tasks.is_empty() {
        tell("--render found neither a chart nor a kustomization to render");
    }
    let (next, used, rendered) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(task) = plan.tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = task.kind.render(&task.directory, limit).and_then(|text| {
                let is_too_much = used.fetch_add(text.len(), Ordering::Relaxed) + text.len() > LARGEST_IN_ALL;
                let most = LARGEST_IN_ALL >> 20;
                let message = format!("all directories together render to more than {most} MiB: scan this one alone");
                if is_too_much { Err(message) } else { Ok(text) }
            });
            rendered.lock().expect("no thread panics").push((task.name.clone(), outcome));
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.min(plan.tasks.len()) {
            scope.spawn(work);
        }
    });
    let mut directories = Directories::default();
    found.inputs.retain_mut(|input| match &input.source {
        Source::File(path) => {
            let path = directories.real(path);
            // Who names it names the chart, and expects no manifest in it.
            input.is_walked |= plan.is_source(&path);
            !(plan.is_template(&path) || input.is_walked && plan.files.contains(&path))
        }
        Source::StandardInput | Source::Rendered(_) => true,
    });
    let mut rendered = rendered.into_inner().expect("no thread panics");
    rendered.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (name, outcome) in rendered {
        match outcome {
            Ok(text) if is_blank(&text) => tell(&format!("{name} renders to no documents, so nothing in it is judged")),
            Ok(text) => found.inputs.push(Input { name, source: Source::Rendered(text), is_walked: false }),
            Err(message) => found.problems.push(Problem { file: name, position: None, message }),
        }
    }
    tell_apart(&mut found.inputs);
}

/// Says what was not rendered, and is not a problem.
fn tell(note: &str) {
    // What cannot be told must not keep anything from being judged.
    let _ = writeln!(anstream::stderr(), "note: {}", printable(note));
}

/// Whether a text holds no document: a chart may render to nothing with its default values. What some readers take for
/// the end of a line, and so of a comment, is left to the reader of YAML.
fn is_blank(text: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(text) else { return false };
    let ends_a_line = |character: char| {
        character.is_control() && !matches!(character, '\n' | '\t') || matches!(character, '\u{2028}' | '\u{2029}')
    };
    let is_blank = |line: &str| line.trim_ascii().is_empty() || line.starts_with('#') || line.trim_ascii() == "---";
    !text.contains(ends_a_line) && text.split('\n').all(is_blank)
}

/// A directory to render.
#[derive(Debug, PartialEq, Eq)]
struct Task {
    /// As output names it.
    name: String,
    /// Its real path.
    directory: PathBuf,
    kind: Kind,
}

impl Task {
    /// The directory of a `Chart.yaml` or a `kustomization.yaml`.
    fn of(directory: &Path, file: &Path, kind: Kind) -> Task {
        let name = match name(file.parent().unwrap_or(file)) {
            name if name.is_empty() => ".".to_owned(),
            name => name,
        };
        Task { name, directory: directory.to_owned(), kind }
    }
}

/// Which directories are rendered, and which files are judged as a part of what they render to. All paths are real ones.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    tasks: Vec<Task>,
    /// The charts that are rendered, and their subcharts.
    charts: BTreeSet<PathBuf>,
    /// Files and directories of kustomizations that are rendered.
    files: BTreeSet<PathBuf>,
}

impl Plan {
    /// Plans for what was found. A chart is rendered unless it is a subchart, which its chart renders, or a library. A
    /// kustomization is built unless it is a component, or another one that is built refers to it.
    fn of(found: &Found) -> Plan {
        let mut plan = Plan { tasks: Vec::new(), charts: BTreeSet::new(), files: BTreeSet::new() };
        // A chart comes before what is in it.
        for (directory, file) in &found.charts {
            if plan.is_subchart(directory) {
                plan.charts.insert(directory.clone());
            } else if document(file)["type"] != "library" {
                plan.tasks.push(Task::of(directory, file, Kind::Chart));
                plan.charts.insert(directory.clone());
            }
        }
        let kustomizations: BTreeMap<&Path, Kustomization> = found
            .kustomizations
            .iter()
            .filter(|(_, file)| !plan.is_template(&real(file)))
            .map(|(directory, file)| (directory.as_path(), Kustomization::read(directory, file)))
            .collect();
        let mut referred = BTreeSet::new();
        for (directory, of) in &kustomizations {
            referred.extend(of.refers_to.iter().map(PathBuf::as_path).filter(|other| other != directory));
        }
        // Those that nothing refers to, and then those that refer to each other in a circle.
        let (tops, others): (Vec<_>, Vec<_>) =
            kustomizations.keys().copied().partition(|directory| !referred.contains(directory));
        let mut reached = BTreeSet::new();
        for directory in tops.into_iter().chain(others) {
            if kustomizations[directory].is_component || reached.contains(directory) {
                continue;
            }
            plan.tasks.push(Task::of(directory, &found.kustomizations[directory], Kind::Kustomization));
            let mut ahead = vec![directory];
            while let Some(directory) = ahead.pop() {
                if let Some((directory, of)) = kustomizations.get_key_value(directory)
                    && reached.insert(*directory)
                {
                    plan.files.extend(of.refers_to.iter().cloned());
                    ahead.extend(of.refers_to.iter().map(PathBuf::as_path));
                }
            }
        }
        plan
    }

    /// Whether helm renders a chart with another one that is rendered. It skips what is called `_x`.
    fn is_subchart(&self, directory: &Path) -> bool {
        let is_skipped = directory.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"_"));
        let of = directory.parent().filter(|parent| parent.ends_with("charts")).and_then(Path::parent);
        !is_skipped && of.is_some_and(|chart| self.charts.contains(chart))
    }

    /// Whether a file says what a chart is that is rendered.
    fn is_source(&self, path: &Path) -> bool {
        let is_named_so = ["Chart.yaml", "values.yaml"].iter().any(|name| path.ends_with(name));
        is_named_so && path.parent().is_some_and(|chart| self.charts.contains(chart))
    }

    /// Whether a file is a template of a chart that is rendered. helm prints nothing else of a chart: not `crds/`.
    fn is_template(&self, path: &Path) -> bool {
        let templates = path.ancestors().skip(1).filter(|directory| directory.ends_with("templates"));
        templates.filter_map(Path::parent).any(|chart| self.charts.contains(chart))
    }
}

/// The first document of a file. What cannot be read is left to the program that renders it, which says why.
fn document(file: &Path) -> Value {
    let documents = read::file(file, LARGEST_DOCUMENT).and_then(|bytes| read::parse(&bytes));
    documents.ok().and_then(|documents| documents.into_iter().next()).unwrap_or_default()
}

/// What a kustomization is made of.
struct Kustomization {
    /// Whether it is a part of others, and cannot be built.
    is_component: bool,
    /// The real paths of files and directories.
    refers_to: Vec<PathBuf>,
}

impl Kustomization {
    fn read(directory: &Path, file: &Path) -> Kustomization {
        let document = document(file);
        let items = |key: &str| document[key].as_array().into_iter().flatten();
        let lists = ["resources", "bases", "components", "patchesStrategicMerge"];
        let listed = lists.iter().flat_map(|key| items(key));
        let patches = ["patches", "patchesJson6902"].iter().flat_map(|key| items(key)).map(|patch| &patch["path"]);
        let refers_to = listed.chain(patches).filter_map(Value::as_str);
        Kustomization {
            is_component: document["kind"] == "Component",
            refers_to: refers_to.map(|of| resource(&directory.join(of))).collect(),
        }
    }
}

/// The real path of what a kustomization names. A file may be a link, which is not among the files that are found.
fn resource(path: &Path) -> PathBuf {
    if path.is_dir() { fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()) } else { real(path) }
}

/// What a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Chart,
    Kustomization,
}

impl Kind {
    /// What the directory renders to, or why it does not.
    fn render(self, directory: &Path, limit: Duration) -> Result<Vec<u8>, String> {
        let programs: &[_] = match self {
            Kind::Chart => &[("helm", "template")],
            Kind::Kustomization => &[("kustomize", "build"), ("kubectl", "kustomize")],
        };
        let mut on_path = programs.iter().filter_map(|(program, verb)| Some((find(program)?, program, verb)));
        let Some((path, program, verb)) = on_path.next() else {
            let names: Vec<&str> = programs.iter().map(|(program, _)| *program).collect();
            let names = names.join(" or ");
            return Err(format!(
                "--render needs {names}, and the PATH has none: install it, or leave the directory out"
            ));
        };
        // No directory is taken for an option.
        let directory = match directory.strip_prefix(working()) {
            Ok(inside) => {
                let mut relative = OsString::from("./");
                relative.push(inside);
                relative
            }
            Err(_) => directory.as_os_str().to_owned(),
        };
        let mut command = Command::new(path);
        // git, which fetches what a kustomization refers to, asks nobody for a password.
        command.arg(verb).arg(directory).env("GIT_TERMINAL_PROMPT", "0");
        run(command, limit).map_err(|why| format!("`{program} {verb}` {why}"))
    }
}

/// A program on the PATH. A directory of the PATH that is relative may be one of the tree, and does not count.
fn find(program: &str) -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&directories)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(&file))
        .find(|path| is_program(path))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|of| of.is_file() && of.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// What a command prints, or why it failed. It gets no input, and is ended with its children at the limits.
fn run(mut command: Command, limit: Duration) -> Result<Vec<u8>, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, which can be ended as a whole.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    let out = in_background(child.stdout.take(), |out, text| out.take(LARGEST as u64 + 1).read_to_end(text).map(drop));
    let words = in_background(child.stderr.take(), read_end);
    let too_long = |child: &mut Child| {
        end(child);
        Err(format!("took longer than {} s: --render-timeout gives it more", limit.as_secs_f64()))
    };
    let Ok(text) = out.recv_timeout(limit) else { return too_long(&mut child) };
    if text.len() > LARGEST {
        end(&mut child);
        return Err(format!("printed more than {} MiB, the limit", LARGEST >> 20));
    }
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() > limit => return too_long(&mut child),
            Ok(None) => thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(format!("cannot be waited for: {error}")),
        }
    };
    if status.success() {
        return Ok(text);
    }
    let words = words.recv_timeout(LAST_WORDS).unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    Err(format!("failed ({status}): {}", words.trim()))
}

/// Reads in a thread, which nobody waits for: a process that left the group may hold the pipe open.
fn in_background<R: Read + Send + 'static>(
    source: Option<R>,
    read: impl FnOnce(R, &mut Vec<u8>) -> io::Result<()> + Send + 'static,
) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(source) = source {
            // What was read before an error is all that there is.
            let _ = read(source, &mut text);
            text.shrink_to_fit();
        }
        let _ = sender.send(text);
    });
    receiver
}

/// Reads to the end, and keeps the end.
fn read_end(mut source: impl Read, text: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(()),
            length => text.extend_from_slice(&buffer[..length]),
        }
        text.drain(..text.len().saturating_sub(WORDS));
    }
}

/// Ends a process with its group.
fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Ok(id) = i32::try_from(child.id()) {
        use nix::sys::signal::{Signal, killpg};
        let _ = killpg(nix::unistd::Pid::from_raw(id), Signal::SIGKILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is rendered of a tree, and which of its files are not read.
    fn planned(files: &[(&str, &str)]) -> (Vec<(String, Kind)>, Vec<String>) {
        let place = podfence_support::Workplace::new("");
        let mut found = Found::default();
        for (file, text) in files {
            place.write(file, text);
            found.add_directory_of(&place.path(file));
        }
        let plan = Plan::of(&found);
        let root = fs::canonicalize(place.path("")).unwrap();
        let tasks = plan.tasks.iter().map(|task| {
            let directory = task.directory.strip_prefix(&root).unwrap();
            (directory.to_str().unwrap().to_owned(), task.kind)
        });
        let is_left_out = |file: &&str| plan.is_template(&root.join(file)) || plan.files.contains(&root.join(file));
        let left_out = files.iter().map(|(file, _)| *file).filter(is_left_out).map(str::to_owned).collect();
        (tasks.collect(), left_out)
    }

    #[test]
    fn what_renders_another_directory_is_rendered() {
        use Kind::{Chart, Kustomization};
        type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], &'c [(&'c str, Kind)], &'c [&'c str]);
        let cases: &[Case<'_>] = &[
            (
                "a chart with a subchart",
                &[
                    ("Chart.yaml", "name: a"),
                    ("templates/a.yaml", ""),
                    ("charts/b/Chart.yaml", "name: b"),
                    ("charts/b/templates/sub/b.yaml", ""),
                    ("charts/b/crds/b.yaml", ""),
                    ("charts/b/charts/d/Chart.yaml", "name: d"),
                    ("charts/b/charts/d/templates/d.yaml", ""),
                    ("charts/_e/Chart.yaml", "name: e"),
                    ("charts/plain.yaml", ""),
                    ("crds/a.yaml", ""),
                    ("chartsof/c/Chart.yaml", "name: c"),
                ],
                &[("", Chart), ("charts/_e", Chart), ("chartsof/c", Chart)],
                &["templates/a.yaml", "charts/b/templates/sub/b.yaml", "charts/b/charts/d/templates/d.yaml"],
            ),
            (
                "a library",
                &[("a/Chart.yaml", "type: library"), ("a/templates/a.yaml", ""), ("b/Chart.yaml", "a: [")],
                &[("b", Chart)],
                &[],
            ),
            (
                "an overlay, with its base, a component and patches",
                &[
                    ("base/kustomization.yaml", "resources: [a.yaml]"),
                    ("base/a.yaml", ""),
                    ("base/other.yaml", ""),
                    ("part/kustomization.yaml", "kind: Component\nresources: [c.yaml]"),
                    ("part/c.yaml", ""),
                    (
                        "prod/kustomization.yaml",
                        "resources: [../base, https://example.com/x]\ncomponents: [../part]\npatches: [{path: p.yaml}, \
                         {patch: x}]",
                    ),
                    ("prod/p.yaml", ""),
                ],
                &[("prod", Kustomization)],
                &["base/a.yaml", "part/c.yaml", "prod/p.yaml"],
            ),
            (
                "a component alone",
                &[("part/kustomization.yaml", "kind: Component\nresources: [c.yaml]"), ("part/c.yaml", "")],
                &[],
                &[],
            ),
            (
                "a circle, and one that refers to itself",
                &[
                    ("a/kustomization.yaml", "resources: [../b]"),
                    ("b/kustomization.yaml", "resources: [../a, x.yaml]"),
                    ("b/x.yaml", ""),
                    ("c/kustomization.yaml", "resources: [.]"),
                ],
                &[("c", Kustomization), ("a", Kustomization)],
                &["b/x.yaml"],
            ),
            (
                "what kustomize cannot read",
                &[("a/kustomization.yaml", "resources: ["), ("a/x.yaml", "")],
                &[("a", Kustomization)],
                &[],
            ),
        ];
        for (case, files, tasks, left_out) in cases {
            let tasks: Vec<_> = tasks.iter().map(|(directory, kind)| ((*directory).to_owned(), *kind)).collect();
            let left_out = left_out.iter().map(|file| (*file).to_owned()).collect();
            assert_eq!(planned(files), (tasks, left_out), "{case}");
        }
    }

    #[test]
    fn comments_are_no_document() {
        for (text, expected) in [
            ("", true),
            ("---\n# Source: a\n\n--- \n#\té\n", true),
            ("---\na: 1\n", false),
            (" x", false),
            ("# a\ra: 1\n", false),
            ("# a\u{85}a: 1\n", false),
            ("# a\u{2028}a: 1\n", false),
            ("# a\u{2029}a: 1\n", false),
            ("#\0(\0\n", false),
        ] {
            assert_eq!(is_blank(text.as_bytes()), expected, "{text:?}");
        }
    }
}
