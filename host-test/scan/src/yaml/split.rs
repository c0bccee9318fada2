//! Where the documents of a stream are, as kubectl finds them: a line that starts with `---` ends one, whatever it is
//! in, and a stream that starts with `{` is JSON values for as long as they can be read.

use super::Broken;
use super::event::{Events as _, Json};

/// The text of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'t> {
    pub(super) text: &'t str,
    /// Where it starts in the file.
    pub(super) offset: usize,
    pub(super) syntax: Syntax,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Yaml,
    Json,
}

/// The documents of a text. What cannot be read ends no stream: kubectl stops there, and the rest would be unseen.
pub(super) struct Chunks<'t> {
    text: &'t str,
    at: usize,
    /// How many JSON values were read; none once the stream is YAML.
    json: Option<usize>,
    /// Why the next document is not JSON although it looks so.
    not_json: Option<Broken>,
}

/// A document, with the reason why it is not JSON although it looks so; or why there is none.
pub(super) type Next<'t> = Result<(Chunk<'t>, Option<Broken>), Broken>;

impl<'t> Chunks<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let is_json = text[at..].trim_start_matches(is_space).starts_with('{');
        Chunks { text, at, json: is_json.then_some(0), not_json: None }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn next_json(&mut self, count: usize) -> Option<Next<'t>> {
        let blanks = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let start = self.at + self.rest().bytes().take_while(|byte| blanks(byte)).count();
        if start == self.text.len() {
            self.at = start;
            return None;
        }
        let text = &self.text[start..];
        let mut events = Json::syntax(text, start);
        let problem = loop {
            match events.next() {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(problem) => break Some(problem),
            }
        };
        match problem {
            None => {
                self.at = start + events.read();
                self.json = Some(count + 1);
                let chunk = Chunk { text: &text[..events.read()], offset: start, syntax: Syntax::Json };
                Some(Ok((chunk, None)))
            }
            // Several values are no YAML.
            Some(problem) if count > 1 => {
                self.at = self.text.len();
                Some(Err(problem))
            }
            Some(problem) => {
                self.json = None;
                self.not_json = Some(problem);
                // The end of the line that the last value is on.
                let rest = self.rest();
                let blank = rest.find(|letter| !is_space(letter) || letter == '\n').unwrap_or(rest.len());
                self.at += blank + usize::from(rest[blank..].starts_with('\n'));
                self.next_yaml()
            }
        }
    }

    fn next_yaml(&mut self) -> Option<Next<'t>> {
        let start = self.at;
        if start == self.text.len() {
            return None;
        }
        // A separator at the start belongs to the document.
        let mut end = self.line_end(start);
        let mut separator = separator(&self.text[start..end]);
        while separator.is_ok() && end < self.text.len() {
            let line_end = self.line_end(end);
            let line = &self.text[end..line_end];
            if line.starts_with("---") {
                self.at = line_end;
                separator = self::separator(line);
                if separator.is_err() {
                    break;
                }
                return Some(Ok(self.yaml(start, end)));
            }
            end = line_end;
        }
        match separator {
            Ok(()) => {
                self.at = self.text.len();
                Some(Ok(self.yaml(start, end)))
            }
            Err(message) => {
                // What is before it would be lost as well; kubectl reads none of it.
                let at = if self.at == start { start } else { end };
                self.at = self.after_separator(at);
                Some(Err(Broken { at, message }))
            }
        }
    }

    fn yaml(&mut self, start: usize, end: usize) -> (Chunk<'t>, Option<Broken>) {
        let chunk = Chunk { text: &self.text[start..end], offset: start, syntax: Syntax::Yaml };
        (chunk, self.not_json.take())
    }

    fn line_end(&self, from: usize) -> usize {
        let rest = &self.text.as_bytes()[from..];
        rest.iter().position(|&byte| byte == b'\n').map_or(self.text.len(), |at| from + at + 1)
    }

    /// Behind the next line that separates documents.
    fn after_separator(&self, from: usize) -> usize {
        let mut at = self.line_end(from);
        while at < self.text.len() {
            let end = self.line_end(at);
            if self.text[at..end].starts_with("---") && separator(&self.text[at..end]).is_ok() {
                return end;
            }
            at = end;
        }
        at
    }
}

impl<'t> Iterator for Chunks<'t> {
    type Item = Next<'t>;

    fn next(&mut self) -> Option<Next<'t>> {
        match self.json {
            Some(count) => self.next_json(count),
            None => self.next_yaml(),
        }
    }
}

/// Only a comment may follow `---`.
fn separator(line: &str) -> Result<(), String> {
    let Some(behind) = line.strip_prefix("---") else { return Ok(()) };
    match behind.trim_matches(is_space) {
        text if text.is_empty() || text.starts_with('#') => Ok(()),
        text => Err(format!("invalid document separator: found {text:?} behind `---`, expected a comment or nothing")),
    }
}

/// Go's `unicode.IsSpace`.
fn is_space(letter: char) -> bool {
    letter.is_whitespace()
}
