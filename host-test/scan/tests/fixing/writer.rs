//! Writes values as YAML and JSON in odd styles.

use serde_json::Value;

/// A generator of numbers.
pub struct Random(pub u64);

impl Random {
    /// Less than this.
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % most
    }

    /// Whether a chance of one in so many came true.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// Writes a value in a style that changes from part to part.
pub struct Writer<'r> {
    random: &'r mut Random,
    newline: &'static str,
    unit: usize,
    has_comments: bool,
}

impl<'r> Writer<'r> {
    /// With a style of its own.
    pub fn new(random: &'r mut Random) -> Writer<'r> {
        let newline = if random.one_in(4) { "\r\n" } else { "\n" };
        let (unit, has_comments) = (if random.one_in(3) { 4 } else { 2 }, random.one_in(2));
        Writer { random, newline, unit, has_comments }
    }

    /// An object as a document.
    pub fn document(&mut self, object: &Value) -> String {
        match self.random.below(12) {
            0 => self.flow(object) + self.newline,
            1 => format!("{object:#}").replace('\n', self.newline) + self.newline,
            2 => object.to_string() + self.newline,
            _ => {
                let mut text = String::new();
                self.block(object, 0, false, &mut text);
                text
            }
        }
    }

    fn comment(&mut self) -> String {
        if self.has_comments && self.random.one_in(4) {
            format!(" # comment {}", self.random.below(1000))
        } else {
            String::new()
        }
    }

    fn own_line(&mut self, column: usize) -> String {
        if !self.has_comments || !self.random.one_in(8) {
            return String::new();
        }
        match self.random.below(3) {
            0 => self.newline.to_owned(),
            1 => format!("# not indented: {{{}", self.newline),
            _ => format!("{:column$}# own line {}{}", "", self.random.below(1000), self.newline),
        }
    }

    fn key(&mut self, key: &str) -> String {
        match self.random.below(12) {
            _ if !is_plain(key) => Value::from(key).to_string(),
            0 => format!("\"{key}\""),
            1 => format!("'{key}'"),
            _ => key.to_owned(),
        }
    }

    fn flow(&mut self, value: &Value) -> String {
        let blank = if self.random.one_in(3) { " " } else { "" };
        match value {
            Value::Object(members) => {
                let mut texts = Vec::new();
                for (key, value) in members {
                    texts.push(format!("{}: {}", self.key(key), self.flow(value)));
                }
                let comma = if !texts.is_empty() && self.random.one_in(6) { "," } else { "" };
                format!("{{{blank}{}{comma}{blank}}}", texts.join(", "))
            }
            Value::Array(elements) => {
                let texts: Vec<String> = elements.iter().map(|of| self.flow(of)).collect();
                format!("[{blank}{}{blank}]", texts.join(", "))
            }
            Value::String(text) if !self.random.one_in(3) && is_plain(text) => text.clone(),
            value => value.to_string(),
        }
    }

    /// The members or elements at a column; the first line without its indentation if `is_behind_dash`.
    fn block(&mut self, value: &Value, column: usize, is_behind_dash: bool, text: &mut String) {
        let mut is_first = is_behind_dash;
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let own_line = self.own_line(column);
                    if !is_first {
                        text.push_str(&own_line);
                        text.push_str(&" ".repeat(column));
                    }
                    is_first = false;
                    let key = self.key(key);
                    text.push_str(&format!("{key}:"));
                    self.value(value, column, text);
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    let own_line = self.own_line(column);
                    if !is_first {
                        text.push_str(&own_line);
                        text.push_str(&" ".repeat(column));
                    }
                    is_first = false;
                    let is_block = matches!(element, Value::Object(members) if !members.is_empty());
                    if is_block && !self.random.one_in(5) {
                        text.push_str("- ");
                        self.block(element, column + 2, true, text);
                    } else {
                        let line = format!("- {}{}{}", self.flow(element), self.comment(), self.newline);
                        text.push_str(&line);
                    }
                }
            }
            _ => {}
        }
    }

    fn value(&mut self, value: &Value, column: usize, text: &mut String) {
        let is_empty = match value {
            Value::Object(members) => members.is_empty(),
            Value::Array(elements) => elements.is_empty(),
            _ => true,
        };
        if value.is_null() && self.random.one_in(2) {
            let line = format!("{}{}", self.comment(), self.newline);
            text.push_str(&line);
        } else if is_empty && value.as_str().is_some_and(is_block) {
            let indentation = " ".repeat(column + self.unit);
            text.push_str(&format!(" |-{}", self.newline));
            for line in value.as_str().unwrap_or_default().lines() {
                text.push_str(&format!("{indentation}{line}{}", self.newline));
            }
        } else if is_empty || self.random.one_in(5) {
            let line = format!(" {}{}{}", self.flow(value), self.comment(), self.newline);
            text.push_str(&line);
        } else {
            let line = format!("{}{}", self.comment(), self.newline);
            text.push_str(&line);
            let deeper = if value.is_array() && self.random.one_in(2) { 0 } else { self.unit };
            self.block(value, column + deeper, false, text);
        }
    }
}

/// Whether a text needs no quotes.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "yes", "n", "no", "on", "off", "true", "false", "null"];
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|of| of.is_ascii_alphanumeric() || b"-_/.".contains(&of))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a text can stand on several lines as it is.
fn is_block(text: &str) -> bool {
    let is_simple = |line: &str| {
        !line.starts_with([' ', '\t'])
            && line.trim_end() == line
            && !line.is_empty()
            && !line.contains(char::is_control)
    };
    text.contains('\n') && text.split('\n').all(is_simple)
}
