//! Reads files, has them scanned by several threads, and puts the outcomes together.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use podfence_scan::file::{self, FileOutcome, Options, Origin};
use podfence_scan::object::{self, Content, Object};
use podfence_scan::read::{self, InputError};
use podfence_scan::request::GroupVersionKind;
use podfence_scan::scanned::Scanned;
use podfence_scan::yaml;

use super::judge::{Judge, Worker};
use super::walk::{Input, Source};

/// The most that is read of a file that is named and of standard input, in bytes.
const LARGEST: u64 = 1 << 30;

/// The most that is read of a file that is found in a directory, in bytes. All threads may hold one at once.
const LARGEST_FOUND: u64 = 64 << 20;

/// How files are scanned.
pub(super) struct Engine<'e> {
    pub(super) judge: &'e Judge,
    pub(super) options: Options<'e>,
    /// Standard input, if it is an input.
    pub(super) standard_input: Option<&'e [u8]>,
    /// The number of threads.
    pub(super) jobs: usize,
}

impl<'e> Engine<'e> {
    /// Scans files; the outcome does not depend on the number of threads.
    pub(super) fn scan(&self, inputs: &[Input]) -> Scanned {
        self.scan_with(inputs, |_, input| read(input, self.standard_input))
    }

    /// Scans a file as if it had this text.
    pub(super) fn scan_text(&self, input: &Input, text: &str) -> Scanned {
        self.scan_with(std::slice::from_ref(input), |_, _| Ok(text.as_bytes().into()))
    }

    /// Scans files, the bytes of which come from a function of their index and the file.
    pub(super) fn scan_with<'b, R>(&self, inputs: &'b [Input], read: R) -> Scanned
    where
        R: Fn(usize, &'b Input) -> Result<Cow<'b, [u8]>, InputError> + Sync,
    {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut worker = self.judge.worker();
            let mut outcomes = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(input) = inputs.get(index) else { return outcomes };
                outcomes.push((input, self.file(input, read(index, input), &mut worker)));
            }
        };
        let jobs = self.jobs.min(inputs.len());
        let mut outcomes = if jobs > 1 {
            thread::scope(|scope| {
                let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
                threads.into_iter().flat_map(|thread| thread.join().expect("scanning does not panic")).collect()
            })
        } else {
            work()
        };
        outcomes.sort_by_key(|(input, _)| *input);
        Scanned::together(outcomes.into_iter().map(|(_, outcome)| outcome))
    }

    fn file(&self, input: &Input, bytes: Result<Cow<'_, [u8]>, InputError>, worker: &mut Worker<'e>) -> FileOutcome {
        let origin = Origin { name: &input.name, is_walked: input.is_walked };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return FileOutcome::unread(origin, &error),
        };
        let text = yaml::decode(&bytes);
        file::scan(&self.options, origin, &text, worker)
    }
}

pub(super) fn read<'s>(input: &'s Input, standard_input: Option<&'s [u8]>) -> Result<Cow<'s, [u8]>, InputError> {
    match &input.source {
        Source::StandardInput => Ok(standard_input.unwrap_or_default().into()),
        Source::Rendered(text) => Ok(Cow::Borrowed(text)),
        Source::File(path) => {
            let limit = if input.is_walked { LARGEST_FOUND } else { LARGEST };
            read::up_to(File::open(path)?, limit).map(Cow::Owned)
        }
    }
}

/// All of standard input.
pub(super) fn read_standard_input() -> Result<Vec<u8>, InputError> {
    read::up_to(io::stdin().lock(), LARGEST)
}

/// Gives the objects of some kinds in files; what cannot be read is left to the scan.
pub(super) fn for_each_of(
    kinds: &[GroupVersionKind],
    standard_input: Option<&[u8]>,
    inputs: &[Input],
    mut give: impl FnMut(Object),
) {
    for input in inputs {
        let Ok(bytes) = read(input, standard_input) else { continue };
        let text = yaml::decode(&bytes);
        if !kinds.iter().any(|of| text.contains(&of.kind)) {
            continue;
        }
        for document in yaml::documents(&text).filter_map(Result::ok) {
            let objects = match object::content(document.json) {
                Content::One(object) => vec![*object],
                Content::List { items, .. } => items.into_iter().filter_map(Result::ok).collect(),
                Content::None(_) => Vec::new(),
            };
            objects.into_iter().filter(|object| kinds.contains(&object.kind)).for_each(&mut give);
        }
    }
}
