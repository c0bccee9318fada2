//! The source lines of a finding, with carets.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use podfence_scan::finding::{Severity, Span};
use podfence_scan::json::is_hidden;
use unicode_width::UnicodeWidthChar;

use crate::text::without_commands;

/// The most columns that are shown of a line.
const WIDEST: usize = 160;

/// The fewest, however narrow the terminal.
const NARROWEST: usize = 40;

/// How many lines away a related place is at most to be shown as well.
const NEAR: usize = 1_000;

/// Columns of a tab, as annotate-snippets shows it.
const TAB: usize = 4;

/// Lines are cut before: annotate-snippets cuts without regard to what is spelt out.
const RENDERER: Renderer = Renderer::styled().hyperlink(false).term_width(1 << 20);

/// The line of a finding, and those of related places near it. Hidden characters are spelt out, long lines are cut.
pub(super) struct Excerpt {
    first_line: usize,
    last_line: usize,
    /// From the first line to the last; lines that are not shown are empty.
    text: String,
    /// Where the finding and related places are in `text`.
    marks: Vec<(Span, Range<usize>)>,
}

impl Excerpt {
    /// None if the text cannot be the one that the finding was found in.
    pub(super) fn new(source: &str, primary: Span, related: &BTreeSet<Span>, width: usize) -> Option<Self> {
        let mut lines: BTreeMap<usize, Line> = BTreeMap::new();
        // First, because long lines are cut around their first mark.
        for span in [&primary].into_iter().chain(related) {
            if is_in(source, span) && span.start.line.abs_diff(primary.start.line) <= NEAR {
                let line = lines.entry(span.start.line).or_insert(Line { byte: span.start.byte, marks: Vec::new() });
                if !line.marks.contains(span) {
                    line.marks.push(*span);
                }
            }
        }
        lines.get(&primary.start.line).filter(|line| line.marks.contains(&primary))?;
        add_single_lines_between(source, &mut lines);

        let (first_line, last_line) = (*lines.first_key_value()?.0, *lines.last_key_value()?.0);
        let columns = width.saturating_sub(last_line.to_string().len() + 3).clamp(NARROWEST, WIDEST);
        let mut excerpt = Self { first_line, last_line, text: String::new(), marks: Vec::new() };
        let mut previous = first_line;
        for (number, line) in lines {
            excerpt.text.extend(std::iter::repeat_n('\n', number - previous));
            excerpt.add(source, &line, columns);
            previous = number;
        }
        Some(excerpt)
    }

    fn add(&mut self, source: &str, line: &Line, columns: usize) {
        let window = Window::of_line(source, line, columns);
        let cut = |is_cut: bool| if is_cut { "…" } else { "" };
        self.text.push_str(cut(window.is_cut_left));
        for span in &line.marks {
            let Range { start, end } = window.bytes;
            if !(start..=end).contains(&span.start.byte) {
                continue;
            }
            let from = self.text.len() + spelt_out(&source[start..span.start.byte]).len();
            // A value of several lines is marked on its first.
            let until = span.end.byte.clamp(span.start.byte, end);
            let mark = from..from + spelt_out(&source[span.start.byte..until]).len();
            self.marks.push((*span, mark));
        }
        self.text.push_str(&spelt_out(&source[window.bytes]));
        self.text.push_str(cut(window.is_cut_right));
    }

    pub(super) fn last_line(&self) -> usize {
        self.last_line
    }

    pub(super) fn shows(&self, span: &Span) -> bool {
        self.marks.iter().any(|(shown, _)| shown == span)
    }

    /// Without an empty line or a line end behind it.
    pub(super) fn render(&self, severity: Severity, primary: Span, label: &str, related: &str) -> String {
        let level = match severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let annotations = self.marks.iter().map(|(span, mark)| {
            let (kind, label) =
                if *span == primary { (AnnotationKind::Primary, label) } else { (AnnotationKind::Context, related) };
            kind.span(mark.clone()).label((!label.is_empty()).then_some(label))
        });
        let snippet = Snippet::source(&self.text).line_start(self.first_line).annotations(annotations);
        without_commands(&RENDERER.render(&[Group::with_level(level).element(snippet)]))
    }
}

/// A line that is shown.
struct Line {
    /// A byte in it.
    byte: usize,
    marks: Vec<Span>,
}

fn is_in(source: &str, span: &Span) -> bool {
    let Span { start, end } = span;
    start.byte <= end.byte && source.is_char_boundary(start.byte) && source.is_char_boundary(end.byte)
}

/// annotate-snippets shows a line between two others, and dots for more than one.
fn add_single_lines_between(source: &str, lines: &mut BTreeMap<usize, Line>) {
    let numbers: Vec<usize> = lines.keys().copied().collect();
    for pair in numbers.windows(2) {
        let byte = lines[&pair[0]].byte;
        if let (2, Some(length)) = (pair[1] - pair[0], source[byte..].find('\n')) {
            lines.insert(pair[0] + 1, Line { byte: byte + length + 1, marks: Vec::new() });
        }
    }
}

/// The part of a line that is shown.
struct Window {
    bytes: Range<usize>,
    is_cut_left: bool,
    is_cut_right: bool,
}

impl Window {
    /// With all marks if they fit, else with the first.
    fn of_line(source: &str, line: &Line, columns: usize) -> Self {
        let starts = line.marks.iter().map(|span| span.start.byte);
        let ends = line.marks.iter().map(|span| span.end.byte);
        let (start, end) = (starts.min().unwrap_or(line.byte), ends.max().unwrap_or(line.byte));
        let first = line.marks.first().map_or(line.byte..line.byte, |span| span.start.byte..span.end.byte);
        let is_fitting = Fitting::new(source[start..end].chars(), columns - 2).is_all;
        Self::around(source, if is_fitting { start..end } else { first }, columns)
    }

    /// Reads no more of the text than it shows: a line can be the whole file.
    fn around(source: &str, focus: Range<usize>, columns: usize) -> Self {
        let line_start = if source.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        let before = |columns| Fitting::new(source.get(line_start..focus.start).unwrap_or("").chars().rev(), columns);
        let inside = |columns| Fitting::new(source[focus.clone()].chars(), columns);
        let after = |inside: &Fitting, columns| Fitting::new(source[focus.start + inside.bytes..].chars(), columns);

        let (mut left, mut middle) = (before(columns), inside(columns));
        let mut right = after(&middle, columns);
        if !(left.is_all && right.is_all) || left.columns + middle.columns + right.columns > columns {
            // Two columns are for the dots.
            middle = inside(columns - 2);
            let room = columns - 2 - middle.columns;
            right = after(&middle, room);
            left = before((room / 2).max(room - right.columns));
            right = after(&middle, room - left.columns);
        }
        Self {
            bytes: focus.start - left.bytes..focus.start + middle.bytes + right.bytes,
            is_cut_left: !left.is_all,
            is_cut_right: !right.is_all,
        }
    }
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// How much of a text fits into some columns, up to the end of its line.
struct Fitting {
    bytes: usize,
    columns: usize,
    is_all: bool,
}

impl Fitting {
    fn new(characters: impl Iterator<Item = char>, columns: usize) -> Self {
        let mut fitting = Self { bytes: 0, columns: 0, is_all: true };
        for character in characters {
            if matches!(character, '\n' | '\r') {
                break;
            }
            let sum = fitting.columns + width(character);
            if sum > columns {
                fitting.is_all = false;
                break;
            }
            fitting.columns = sum;
            fitting.bytes += character.len_utf8();
        }
        fitting
    }
}

fn width(character: char) -> usize {
    match character {
        '\t' => TAB,
        _ if is_hidden(character) => character.escape_unicode().count(),
        _ => character.width().unwrap_or(0),
    }
}

/// Part of a line with its hidden characters spelt out.
fn spelt_out(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) && character != '\t' {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}
