//! Where a byte of a text is, in lines and columns.

use crate::finding::{Position, Span};
use crate::yaml::Bytes;

/// The lines of a text.
pub struct Lines<'t> {
    text: &'t str,
    /// Where each line starts, in bytes.
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Finds the lines of a text; they end as those of editors do: with LF, CR or both.
    pub fn new(text: &'t str) -> Lines<'t> {
        let bytes = text.as_bytes();
        let is_end = |at: &usize| bytes[*at] == b'\n' || bytes[*at] == b'\r' && bytes.get(at + 1) != Some(&b'\n');
        // A byte order mark is not a character of the first line.
        let first = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let starts = std::iter::once(first).chain((0..bytes.len()).filter(is_end).map(|end| end + 1)).collect();
        Lines { text, starts }
    }

    /// Where a byte is; one within a character is where the character is.
    pub fn position(&self, byte: usize) -> Position {
        let byte = self.text.floor_char_boundary(byte.min(self.text.len())).max(self.starts[0]);
        let line = self.starts.partition_point(|&start| start <= byte);
        let start = self.starts[line - 1];
        Position { line, col: self.text[start..byte].chars().count() + 1, byte }
    }

    /// Where a part is.
    pub fn span(&self, bytes: &Bytes) -> Span {
        Span { start: self.position(bytes.start), end: self.position(bytes.end) }
    }

    /// A line without its end, from 1; empty for one that is not there.
    pub fn line(&self, line: usize) -> &'t str {
        let Some(&start) = line.checked_sub(1).and_then(|index| self.starts.get(index)) else { return "" };
        let end = self.starts.get(line).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let lines = Lines::new("a: 1\r\nü: x\rb\n");
        for (byte, line, col) in
            [(0, 1, 1), (3, 1, 4), (6, 2, 1), (7, 2, 1), (8, 2, 2), (12, 3, 1), (14, 4, 1), (99, 4, 1)]
        {
            let position = lines.position(byte);
            assert_eq!((position.line, position.col), (line, col), "{byte}");
        }
        assert_eq!([1, 2, 3, 4, 5].map(|line| lines.line(line)), ["a: 1", "ü: x", "b", "", ""]);
    }
}
