//! The report as JSON.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize as _;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::document::Document;
use crate::report::Report;

/// The whole report as one JSON document, with each finding on a line of its own.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    Document::from(report).serialize(&mut Serializer::with_formatter(&mut *out, Lines::default()))?;
    writeln!(out)
}

/// How deep values start a line: members of the document, and elements and members of those.
const DEPTH: usize = 2;

/// How deep an array is whose elements start a line: the findings of an object.
const FINDINGS: usize = 4;

/// Starts lines at the top, and with findings: few enough to stay small, and enough to compare two reports line by line.
#[derive(Default)]
struct Lines {
    depth: usize,
    has_value: bool,
}

/// What holds a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Array,
    Object,
}

impl Lines {
    fn begin(&mut self, out: &mut (impl Write + ?Sized), bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        out.write_all(bracket)
    }

    fn next(&self, out: &mut (impl Write + ?Sized), holder: Holder, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        self.start_line(out, holder, 2)
    }

    fn end(&mut self, out: &mut (impl Write + ?Sized), holder: Holder, bracket: &[u8]) -> io::Result<()> {
        if self.has_value {
            self.start_line(out, holder, 0)?;
        }
        self.depth -= 1;
        out.write_all(bracket)
    }

    /// Starts a line where values of the holder have one, with so many columns more than the holder has.
    fn start_line(&self, out: &mut (impl Write + ?Sized), holder: Holder, more: usize) -> io::Result<()> {
        let indent = match self.depth {
            depth if depth <= DEPTH => 2 * (depth - 1),
            FINDINGS if holder == Holder::Array => 2 * DEPTH,
            _ => return Ok(()),
        };
        write!(out, "\n{:1$}", "", indent + more)
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
        self.next(out, Holder::Array, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, Holder::Array, b"]")
    }

    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"{")
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, Holder::Object, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(if self.depth <= DEPTH { b": " } else { b":" })
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, Holder::Object, b"}")
    }
}

/// JSON, or what is in one of its strings, that says the same without a character that is not seen and without the
/// `##` that starts a command of CI servers: it may be printed into a log.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    let is_to_escape =
        |last: char, character| is_hidden(character) && character != '\n' || last == '#' && character == '#';
    let mut last = ' ';
    if !json.chars().any(|character| is_to_escape(std::mem::replace(&mut last, character), character)) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len());
    last = ' ';
    for character in json.chars() {
        if is_to_escape(last, character) {
            let mut units = [0; 2];
            character.encode_utf16(&mut units).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}"));
        } else {
            escaped.push(character);
        }
        last = character;
    }
    Cow::Owned(escaped)
}

/// Characters that steer a terminal, change the order of what it shows, end a line for some programs, or are not seen,
/// and those that are not characters, which XML does not take.
/// Joiners are not among them: scripts and emoji need them.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || u32::from(character) & 0xfffe == 0xfffe
        || matches!(character, '\u{fdd0}'..='\u{fdef}')
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
}
