//! Regular expressions: from RE2, which the API server has, to the crate `regex`.
//!
//! The two agree but for a few things. In RE2 the classes `\w`, `\d`, `\s` and `\b` are of ASCII, braces that repeat
//! nothing are themselves, `[`, `&` and `~` in a class are themselves, `\Q…\E` quotes, and no repetition is above 1000.

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

/// The most that RE2 repeats something.
const REPEATS: u32 = 1000;

/// Compiles an expression of RE2.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let translated =
        Translation { rest: pattern.chars().peekable(), written: String::new(), repeatable: false }.run()?;
    let compiled = RegexBuilder::new(&translated).size_limit(1 << 20).nest_limit(400).build();
    compiled.map_err(|error| {
        format!("the regular expression {pattern:?} cannot be used: {}", last_line(&error.to_string()))
    })
}

/// What an error of `regex` says below the expression that it repeats.
fn last_line(error: &str) -> String {
    error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    written: String,
    /// Whether something stands before that can be repeated.
    repeatable: bool,
}

impl Translation<'_> {
    fn run(mut self) -> Result<String, String> {
        let mut product = 1u64;
        while let Some(character) = self.rest.next() {
            let repeatable = self.repeatable;
            self.repeatable = !matches!(character, '(' | '|' | '^');
            match character {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '{' => match self.repetition().filter(|_| repeatable) {
                    Some(counts) => {
                        let most = counts.split(',').filter_map(|count| count.parse::<u32>().ok()).max();
                        product = product.saturating_mul(u64::from(most.unwrap_or(1).max(1)));
                        if most.is_some_and(|most| most > REPEATS) || product > u64::from(REPEATS) {
                            product_error(product, most)?;
                        }
                        self.written.push_str(&format!("{{{counts}}}"));
                        for _ in 0..=counts.len() {
                            self.rest.next();
                        }
                    }
                    None => self.written.push_str("\\{"),
                },
                '}' => self.written.push_str("\\}"),
                '(' => self.group()?,
                other => self.written.push(other),
            }
        }
        Ok(self.written)
    }

    /// The flags of a group. RE2 has `i`, `m`, `s` and `U`, and names of groups.
    fn group(&mut self) -> Result<(), String> {
        self.written.push('(');
        let ahead: String = self.rest.clone().take(40).collect();
        let Some(flags) = ahead.strip_prefix('?') else { return Ok(()) };
        if flags.starts_with("P<") || flags.starts_with('<') && !flags.starts_with("<=") && !flags.starts_with("<!") {
            return Ok(());
        }
        let end = flags.find([':', ')']).ok_or("a group has no end")?;
        if flags[..end].chars().all(|flag| "imsU-".contains(flag)) {
            return Ok(());
        }
        Err(format!("(?{} is not part of RE2", &flags[..=end]))
    }

    /// The counts of `{2}`, `{2,}` or `{2,3}`, with the brace before them already read.
    fn repetition(&self) -> Option<String> {
        let mut ahead = self.rest.clone();
        let counts: String = ahead.by_ref().take_while(|character| *character != '}').take(12).collect();
        let closed = self.rest.clone().nth(counts.chars().count()) == Some('}');
        let mut parts = counts.split(',');
        let first = parts.next().is_some_and(|part| !part.is_empty());
        let digits = counts.split(',').all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        (closed && first && digits && counts.split(',').count() <= 2).then_some(counts)
    }

    fn escape(&mut self) -> Result<(), String> {
        let Some(escaped) = self.rest.next() else { return Err("a backslash ends the expression".to_owned()) };
        match escaped {
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                let (not, members) = ascii_class(escaped);
                self.written.push_str(&format!("[{not}{members}]"));
            }
            'b' | 'B' => self.written.push_str(&format!("(?-u:\\{escaped})")),
            'Q' => self.quoted(),
            'C' => return Err("\\C is not evaluated here".to_owned()),
            'p' | 'P' => self.property(escaped),
            'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' | 'A' | 'z' => {
                self.written.push('\\');
                self.written.push(escaped);
                self.hexadecimal(escaped);
            }
            '0'..='7' => return self.octal(escaped),
            other if other.is_ascii_alphanumeric() || !other.is_ascii() => return Err(unknown(other)),
            other => self.written.push_str(&regex::escape(&other.to_string())),
        }
        Ok(())
    }

    /// Copies what follows `\x`, whose braces are not a repetition.
    fn hexadecimal(&mut self, escaped: char) {
        if escaped == 'x' && self.rest.peek() == Some(&'{') {
            self.copy_through('}');
        }
    }

    fn property(&mut self, escaped: char) {
        self.written.push('\\');
        self.written.push(escaped);
        if self.rest.peek() == Some(&'{') {
            self.copy_through('}');
        }
    }

    fn copy_through(&mut self, end: char) {
        for character in self.rest.by_ref() {
            self.written.push(character);
            if character == end {
                return;
            }
        }
    }

    /// `\123` is a character by its octal number; `\1` would be a reference back, which RE2 has not.
    fn octal(&mut self, first: char) -> Result<(), String> {
        let second = self.rest.peek().and_then(|next| next.to_digit(8));
        if first != '0' && second.is_none() {
            return Err(unknown(first));
        }
        let mut number = first.to_digit(8).unwrap_or_default();
        for _ in 0..2 {
            let Some(digit) = self.rest.peek().and_then(|next| next.to_digit(8)) else { break };
            number = number * 8 + digit;
            self.rest.next();
        }
        self.written.push_str(&format!("\\x{{{number:x}}}"));
        Ok(())
    }

    /// Everything up to `\E` stands for itself.
    fn quoted(&mut self) {
        let rest: String = self.rest.clone().collect();
        let literal = rest.split("\\E").next().unwrap_or_default();
        self.written.push_str(&regex::escape(literal));
        let read = literal.chars().count() + if literal.len() < rest.len() { 2 } else { 0 };
        for _ in 0..read {
            self.rest.next();
        }
    }

    fn class(&mut self) -> Result<(), String> {
        self.written.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.written.push('^');
        }
        if self.rest.next_if_eq(&']').is_some() {
            self.written.push_str("\\]");
        }
        while let Some(character) = self.rest.next() {
            match character {
                ']' => {
                    self.written.push(']');
                    return Ok(());
                }
                '[' if self.rest.peek() == Some(&':') => {
                    self.written.push('[');
                    self.copy_through(']');
                }
                '[' | '&' | '~' => {
                    self.written.push('\\');
                    self.written.push(character);
                }
                '\\' => self.class_escape()?,
                other => self.written.push(other),
            }
        }
        Err("a class has no end, expected ]".to_owned())
    }

    fn class_escape(&mut self) -> Result<(), String> {
        let Some(escaped) = self.rest.next() else { return Err("a backslash ends the expression".to_owned()) };
        match escaped {
            'd' | 's' | 'w' => self.written.push_str(ascii_class(escaped).1),
            'D' | 'S' | 'W' => {
                let members = ascii_class(escaped).1;
                self.written.push_str(&format!("[^{members}]"));
            }
            'p' | 'P' => self.property(escaped),
            'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' => {
                self.written.push('\\');
                self.written.push(escaped);
                self.hexadecimal(escaped);
            }
            '0'..='7' => return self.octal(escaped),
            other if other.is_ascii_alphanumeric() || !other.is_ascii() => return Err(unknown(other)),
            other => {
                self.written.push('\\');
                self.written.push(other);
            }
        }
        Ok(())
    }
}

fn product_error(product: u64, most: Option<u32>) -> Result<(), String> {
    let found = most.map_or(product, |most| u64::from(most).max(product));
    Err(format!("repetitions must not be above {REPEATS} together, found {found}"))
}

fn unknown(escaped: char) -> String {
    format!("\\{escaped} is not part of RE2")
}

/// Whether a class of RE2 is negated, and its members.
fn ascii_class(escaped: char) -> (&'static str, &'static str) {
    let not = if escaped.is_ascii_uppercase() { "^" } else { "" };
    let members = match escaped.to_ascii_lowercase() {
        'd' => "0-9",
        's' => "\\t\\n\\f\\r ",
        _ => "0-9A-Za-z_",
    };
    (not, members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches() {
        let cases = [
            (r"^\w+$", "é", false),
            (r"^\w+$", "e_1", true),
            (r"^\d$", "٣", false),
            (r"\bé", "aé", true),
            (r"[a&&b]", "&", true),
            (r"[[a]", "[", true),
            (r"[]a]", "]", true),
            (r"^a{,2}$", "a{,2}", true),
            (r"a{", "a{", true),
            (r"^a{2}$", "aa", true),
            (r"^{2}$", "{2}", true),
            (r"\Qa.b\E.", "a.bx", true),
            (r"\Qa.b", "axb", false),
            (r"[[:alpha:]]", "a", true),
            (r"[\w.-]+@x", "a.b@x", true),
            (r"(?i)ABC", "abc", true),
            (r"(?P<name>a)", "a", true),
            (r"\x41\x{42}\101", "ABA", true),
            (r"\pL\p{Greek}", "aα", true),
            ("a}", "a}", true),
            (r"\.\-\/", ".-/", true),
            ("", "", true),
        ];
        for (pattern, text, expected) in cases {
            let compiled = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(compiled.is_match(text), expected, "{pattern} in {text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let cases = [
            ("a{1001}", "repetitions must not be above 1000 together, found 1001"),
            ("((a{100}){100}){100}", "repetitions must not be above 1000 together, found 10000"),
            ("(?=a)", "(?=a) is not part of RE2"),
            ("(?<!a)", "(?<!a) is not part of RE2"),
            ("(?x) a", "(?x) is not part of RE2"),
            (r"(a)\1", "\\1 is not part of RE2"),
            (r"\Z", "\\Z is not part of RE2"),
            (r"a\", "a backslash ends the expression"),
            ("[a", "a class has no end, expected ]"),
            ("(", "the regular expression \"(\" cannot be used: unclosed group"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(compile(pattern).expect_err(pattern), expected);
        }
    }
}
