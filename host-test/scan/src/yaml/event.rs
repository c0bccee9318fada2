//! The events of a document, from YAML or from JSON.

use std::borrow::Cow;
use std::ops::Range;

use super::Broken;
use super::scalar::Tag;

/// A part of the text of a file, in bytes.
pub type Bytes = Range<usize>;

/// A step through a document.
#[derive(Debug)]
pub(super) enum Event<'t> {
    /// A scalar that kubectl's rules resolve.
    Scalar { text: Cow<'t, str>, is_plain: bool, tag: Option<Tag>, anchor: usize },
    /// A number of a JSON text, or `true`, `false`, `null`: JSON as it is.
    Literal(Cow<'t, str>),
    /// The start of a list.
    List { anchor: usize },
    /// The start of an object.
    Map { anchor: usize },
    /// The end of the innermost list or object.
    End,
    /// What an anchor names.
    Alias(usize),
    /// A comment, from `#` to the end of its line.
    Comment,
}

/// Where events come from.
pub(super) trait Events<'t> {
    /// The next one, and where it stands in the file. None behind the document.
    ///
    /// # Errors
    /// What kubectl cannot read.
    fn next(&mut self) -> Result<Option<(Event<'t>, Bytes)>, Broken>;
}

/// Those of a document as YAML.
pub(super) struct Yaml<'t> {
    parser: Parser<'t>,
    text: &'t str,
    /// Where the text starts in the file.
    offset: usize,
    /// Whether each open collection is in flow style.
    flow: Vec<bool>,
    /// Where the event before ends.
    last: usize,
}

/// Deeper ones are refused: kubectl's limit is 10,000, and no object comes near this one.
pub(super) const DEEPEST: usize = 1_000;

/// The parser of a document as YAML.
pub(super) type Parser<'t> = granit_parser::Parser<'t, granit_parser::StrInput<'t>>;

/// Parses a document as YAML.
pub(super) fn parser(text: &str, with_comments: bool) -> Parser<'_> {
    let options = granit_parser::options! {
        disallow_directives: true,
        bom_inside_document_as_content: true,
        emit_comments: with_comments,
        max_buffered_comment_events: usize::MAX,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    granit_parser::Parser::new_from_str_with_options(text, options)
}

impl<'t> Yaml<'t> {
    pub(super) fn new(text: &'t str, offset: usize, with_comments: bool) -> Yaml<'t> {
        Yaml { parser: parser(text, with_comments), text, offset, flow: Vec::new(), last: 0 }
    }

    fn broken(&self, error: &granit_parser::ScanError) -> Broken {
        let at = error.marker().byte_offset().unwrap_or(self.text.len());
        Broken { at: self.offset + at, message: error.info() }
    }

    /// Where the `|` or `>` stands whose text starts at a place: on the last line before it that is not blank, with
    /// nothing behind it but signs and a comment.
    fn header(&self, start: usize) -> usize {
        let end = self.text[..start].trim_end_matches([' ', '\t', '\r', '\n']).len();
        // Of an empty text, it is the place.
        if !self.text[end..start].contains(['\n', '\r']) {
            return start;
        }
        let line = self.text[..end].rfind(['\n', '\r']).map_or(0, |newline| newline + 1).max(self.last.min(end));
        let is_header = |&at: &usize| {
            let signs =
                self.text[at + 1..end].trim_start_matches(|sign: char| "+-".contains(sign) || sign.is_ascii_digit());
            let rest = signs.trim_start_matches([' ', '\t']);
            let is_alone = at == 0 || self.text[..at].ends_with([' ', '\t', '\r', '\n']);
            is_alone
                && !is_in_comment(&self.text[line..at])
                && (rest.is_empty() || rest.starts_with('#') && rest.len() < signs.len())
        };
        let mut signs = self.text[line..end].match_indices(['|', '>']).map(|(at, _)| line + at);
        signs.find(is_header).unwrap_or(start)
    }

    /// What YAML 1.1 and 1.2 read differently within `{}` and `[]`: where a text without quotes ends, and keys on
    /// several lines.
    fn check_flow(&self, span: &Range<usize>, is_plain: bool) -> Result<(), Broken> {
        let text = &self.text[span.clone()];
        let behind = &self.text[span.end..];
        let is_glued = || behind.starts_with(':') && behind.as_bytes().get(1).is_some_and(|next| !is_blank(next));
        let message = if is_plain && (text.contains('?') || is_glued()) {
            "ambiguous: within {} and [], a text with `?`, or with a `:` that no blank follows, is read differently \
             by different readers; expected quotes around it"
        } else if text.contains(['\n', '\r']) && behind.trim_start_matches([' ', '\t']).starts_with(':') {
            "ambiguous: a key on several lines is read differently by different readers; expected one line (`//` and \
             `/*` start no comment)"
        } else {
            return Ok(());
        };
        Err(Broken { at: self.offset + span.start, message: message.to_owned() })
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a comment has begun on a line, by what stands on it. In quotes, `#` begins none.
fn is_in_comment(line: &str) -> bool {
    let begins = |(at, _): (usize, &str)| at == 0 || line[..at].ends_with([' ', '\t']);
    line.match_indices('#').any(begins) && !line.contains(['"', '\''])
}

impl<'t> Events<'t> for Yaml<'t> {
    #[inline]
    fn next(&mut self) -> Result<Option<(Event<'t>, Bytes)>, Broken> {
        use granit_parser::{Event as Parsed, ScalarStyle, StructureStyle};
        loop {
            let (event, span) = match self.parser.next_event() {
                Some(Ok(parsed)) => parsed,
                Some(Err(error)) => return Err(self.broken(&error)),
                None => return Ok(None),
            };
            let tag_start = span.tag_start().and_then(|tag| tag.byte_offset());
            let mut span = span.byte_range().unwrap_or_default();
            let event = match event {
                Parsed::Scalar(text, style, anchor, tag) => {
                    let is_plain = style == ScalarStyle::Plain;
                    if let ScalarStyle::Literal | ScalarStyle::Folded = style {
                        span.start = self.header(span.start);
                    }
                    // A tag decides what the scalar is.
                    span.start = tag_start.unwrap_or(span.start);
                    if self.flow.last() == Some(&true) {
                        self.check_flow(&span, is_plain)?;
                    }
                    Event::Scalar { text, is_plain, tag: tag.map(|tag| kind_of(&tag)), anchor }
                }
                Parsed::SequenceStart(style, anchor, _) => {
                    self.flow.push(style == StructureStyle::Flow);
                    Event::List { anchor }
                }
                Parsed::MappingStart(style, anchor, _) => {
                    self.flow.push(style == StructureStyle::Flow);
                    Event::Map { anchor }
                }
                Parsed::SequenceEnd | Parsed::MappingEnd => {
                    self.flow.pop();
                    Event::End
                }
                Parsed::Alias(anchor) => Event::Alias(anchor),
                Parsed::Comment(..) => Event::Comment,
                _ => continue,
            };
            self.last = span.end;
            return Ok(Some((event, self.offset + span.start..self.offset + span.end)));
        }
    }
}

fn kind_of(tag: &granit_parser::Tag) -> Tag {
    Tag::of(tag.suffix_in_namespace("tag:yaml.org,2002:").as_deref())
}

/// Those of a JSON value, as Go's `encoding/json` reads it.
pub(super) struct Json<'t> {
    text: &'t str,
    at: usize,
    /// Where the text starts in the file.
    offset: usize,
    /// Whether each open collection is an object.
    open: Vec<bool>,
    expected: Expected,
    /// Whether only the syntax counts: a number may be beyond a double.
    is_syntax: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
    Nothing,
}

impl<'t> Json<'t> {
    /// Those of the value at the start of a text; what follows it is not looked at.
    pub(super) fn new(text: &'t str, offset: usize) -> Json<'t> {
        Json { text, at: 0, offset, open: Vec::new(), expected: Expected::Value, is_syntax: false }
    }

    /// Those that tell where the value ends, and whether it is JSON at all.
    pub(super) fn syntax(text: &'t str, offset: usize) -> Json<'t> {
        Json { is_syntax: true, ..Json::new(text, offset) }
    }

    /// How many bytes have been read.
    pub(super) fn read(&self) -> usize {
        self.at
    }

    fn blanks(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn broken(&self, expected: &str) -> Broken {
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(letter) => format!("found {letter:?}"),
            None => "found the end".to_owned(),
        };
        Broken { at: self.offset + self.at, message: format!("JSON: {found}, expected {expected}") }
    }

    fn close(&mut self) -> Event<'t> {
        self.at += 1;
        self.open.pop();
        self.after_value();
        Event::End
    }

    fn after_value(&mut self) {
        self.expected = if self.open.is_empty() { Expected::Nothing } else { Expected::CommaOrEnd };
    }

    fn open(&mut self, is_map: bool) -> Result<(), Broken> {
        if self.open.len() == DEEPEST {
            let message = format!("nested deeper than {DEEPEST}");
            return Err(Broken { at: self.offset + self.at, message });
        }
        self.at += 1;
        self.open.push(is_map);
        self.expected = if is_map { Expected::KeyOrEnd } else { Expected::ValueOrEnd };
        Ok(())
    }

    fn value(&mut self, first: Option<u8>) -> Result<Event<'t>, Broken> {
        let event = match first {
            Some(b'{') => {
                self.open(true)?;
                return Ok(Event::Map { anchor: 0 });
            }
            Some(b'[') => {
                self.open(false)?;
                return Ok(Event::List { anchor: 0 });
            }
            Some(b'"') => self.string()?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.broken("a value")),
        };
        self.after_value();
        Ok(event)
    }

    fn word(&mut self, word: &'static str) -> Result<Event<'t>, Broken> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.broken("a value"));
        }
        self.at += word.len();
        Ok(Event::Literal(Cow::Borrowed(word)))
    }

    fn digits(&mut self) -> Result<(), Broken> {
        let digits = self.text.as_bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { Err(self.broken("a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Event<'t>, Broken> {
        let start = self.at;
        let next = |this: &Self| this.text.as_bytes().get(this.at).copied();
        if next(self) == Some(b'-') {
            self.at += 1;
        }
        match next(self) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if next(self) == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = next(self) {
            self.at += 1;
            if let Some(b'+' | b'-') = next(self) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if self.is_syntax || text.parse::<i64>().is_ok() {
            return Ok(Event::Literal(if text == "-0" { "0".into() } else { text.into() }));
        }
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let Some(number) = number else {
            return Err(Broken { at: self.offset + start, message: format!("JSON: {text} is beyond a double") });
        };
        let mut json = String::new();
        super::scalar::write_float(number, &mut json);
        Ok(Event::Literal(json.into()))
    }

    fn string(&mut self) -> Result<Event<'t>, Broken> {
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    let text = text.into();
                    return Ok(Event::Scalar { text, is_plain: false, tag: None, anchor: 0 });
                }
                Some(b'\\') => return self.escaped_string(start),
                Some(0..0x20) => return Err(self.broken("no control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.broken("`\"`")),
            }
        }
    }

    fn escaped_string(&mut self, start: usize) -> Result<Event<'t>, Broken> {
        let bytes = self.text.as_bytes();
        let mut string = String::new();
        let mut copied = start;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    string.push_str(&self.text[copied..self.at]);
                    self.at += 1;
                    string.push(self.escape()?);
                    copied = self.at;
                }
                Some(0..0x20) => return Err(self.broken("no control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.broken("`\"`")),
            }
        }
        string.push_str(&self.text[copied..self.at]);
        self.at += 1;
        Ok(Event::Scalar { text: string.into(), is_plain: false, tag: None, anchor: 0 })
    }

    fn escape(&mut self) -> Result<char, Broken> {
        let letter = match self.text.as_bytes().get(self.at) {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.hexadecimal(self.at + 1).ok_or_else(|| self.broken("four hexadecimal digits"))?;
                self.at += 5;
                return Ok(self.surrogate(unit));
            }
            _ => return Err(self.broken("an escape")),
        };
        self.at += 1;
        Ok(letter)
    }

    fn hexadecimal(&self, at: usize) -> Option<u32> {
        let digits = self.text.as_bytes().get(at..at + 4)?;
        digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
    }

    /// A pair of surrogates is a character, one alone is U+FFFD.
    fn surrogate(&mut self, unit: u32) -> char {
        if (0xd800..0xdc00).contains(&unit)
            && self.text[self.at..].starts_with("\\u")
            && let Some(low) = self.hexadecimal(self.at + 2).filter(|low| (0xdc00..0xe000).contains(low))
        {
            self.at += 6;
            let point = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            return char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

impl<'t> Events<'t> for Json<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Bytes)>, Broken> {
        if self.expected == Expected::Nothing {
            return Ok(None);
        }
        let mut first = self.blanks();
        let is_map = self.open.last() == Some(&true);
        let end = if is_map { b'}' } else { b']' };
        if self.expected == Expected::CommaOrEnd && first == Some(b',') {
            self.at += 1;
            first = self.blanks();
            self.expected = if is_map { Expected::Key } else { Expected::Value };
        }
        let start = self.at;
        let event = match self.expected {
            Expected::CommaOrEnd | Expected::KeyOrEnd | Expected::ValueOrEnd if first == Some(end) => self.close(),
            Expected::CommaOrEnd => return Err(self.broken(if is_map { "`,` or `}`" } else { "`,` or `]`" })),
            Expected::Key | Expected::KeyOrEnd => {
                if first != Some(b'"') {
                    return Err(self.broken("a key in quotes"));
                }
                let key = self.string()?;
                let span = self.offset + start..self.offset + self.at;
                if self.blanks() != Some(b':') {
                    return Err(self.broken("`:`"));
                }
                self.at += 1;
                self.expected = Expected::Value;
                return Ok(Some((key, span)));
            }
            Expected::Value | Expected::ValueOrEnd => self.value(first)?,
            Expected::Nothing => return Ok(None),
        };
        Ok(Some((event, self.offset + start..self.offset + self.at)))
    }
}
