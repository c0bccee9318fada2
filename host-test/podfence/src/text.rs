//! Prepares texts for a terminal: names of inputs, and what modules wrote.

use std::io::{self, Write};
use std::path::Path;

use podfence_scan::json::{escaped_json, is_hidden};
use serde::Serialize;

/// The most that is shown of a text that a module wrote, in bytes.
const SHOWN: usize = 8 << 10;

/// How messages call an input.
pub(crate) fn origin(path: &Path) -> String {
    match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => path.display().to_string(),
    }
}

/// The file's name without `.wasm`: how messages call a policy.
pub(crate) fn module_name(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A text that a module or a file has written, safe for a terminal and a CI log, and not endless. Lines after the first
/// are marked: none of them looks like a line of this command.
pub(crate) fn printable(text: &str) -> String {
    shown(text).replace('\n', "\n  | ")
}

/// The same on one line.
pub(crate) fn visible(text: &str) -> String {
    shown(text).replace('\n', "\\n")
}

fn shown(text: &str) -> String {
    let (start, rest) = text.split_at(text.floor_char_boundary(SHOWN));
    let shown = escaped(start);
    if rest.is_empty() { shown } else { format!("{shown}… ({} bytes in all)", text.len()) }
}

/// The text with what a reader does not see spelt out, but for line ends, and so the first character of what a CI server
/// would take for a command: a module must steer neither a terminal nor a CI server.
pub(crate) fn escaped(text: &str) -> String {
    spelt_out(text, |character| is_hidden(character) && character != '\n')
}

/// The text with the first character of each command of a CI server spelt out.
pub(crate) fn without_commands(text: &str) -> String {
    spelt_out(text, |_| false)
}

fn spelt_out(text: &str, is_spelt_out: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut is_start_of_line = true;
    for (at, character) in text.char_indices() {
        let is_command = matches!(character, ':' | '#') && is_command(&text[at..], is_start_of_line);
        if is_command || is_spelt_out(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
        is_start_of_line = character == '\n' || is_start_of_line && character.is_whitespace();
    }
    shown
}

/// Whether a text starts as a command: `::error::` at the start of a line, to GitHub, which skips white space there;
/// `##[error]`, `##vso[…]` or `##teamcity[…]` anywhere, to others.
fn is_command(text: &str, is_start_of_line: bool) -> bool {
    let is_letter = |character: char| character.is_ascii_alphabetic();
    is_start_of_line && text.starts_with("::")
        || text.strip_prefix("##").is_some_and(|rest| rest.trim_start_matches(is_letter).starts_with('['))
}

/// A line for each text, unless there are more than anybody reads. `name` stands in front of each.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn write_some(name: &str, texts: impl Iterator<Item = String>, out: &mut dyn Write) -> io::Result<()> {
    const MOST: usize = 100;
    let mut more = 0;
    for (index, text) in texts.enumerate() {
        if index < MOST {
            writeln!(out, "{name} {}", printable(&text))?;
        } else {
            more += 1;
        }
    }
    if more > 0 { writeln!(out, "{name} … and {more} more") } else { Ok(()) }
}

/// A value as JSON on one line, see [`escaped_json`].
///
/// # Errors
/// It is not JSON.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(escaped_json(&serde_json::to_string(value)?).into_owned())
}

/// A value as JSON in lines, see [`escaped_json`].
///
/// # Errors
/// It is not JSON.
pub(crate) fn pretty_json(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(escaped_json(&serde_json::to_string_pretty(value)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é".repeat(SHOWN);
        let shown = printable(&text);
        assert!(shown.ends_with("é… (16384 bytes in all)"));
        assert!(shown.len() < SHOWN + 40);
    }

    #[test]
    fn a_text_steers_neither_a_terminal_nor_a_ci_server() {
        for (text, expected) in [
            ("a\u{1b}[2Jé\n\tb\u{202e}c", "a\\u{1b}[2Jé\n  | \\u{9}b\\u{202e}c"),
            ("::error::a\n ::b::c: :d", "\\u{3a}:error::a\n  |  \\u{3a}:b::c: :d"),
            ("a ##[group]b ##vso[task.x]###teamcity[y", "a \\u{23}#[group]b \\u{23}#vso[task.x]#\\u{23}#teamcity[y"),
            ("# a ## b #[c] \u{a0}::", "# a ## b #[c] \u{a0}::"),
            ("\u{a0}::", "\u{a0}\\u{3a}:"),
        ] {
            assert_eq!(printable(text), expected);
            assert_eq!(visible(text), expected.replace("\n  | ", "\\n"));
        }
    }

    #[test]
    fn a_hundred_lines_are_enough() {
        let mut bytes = Vec::new();
        write_some("  note:", (0..1_000).map(|number| format!("{number}\n::x")), &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("  note: 0\n  | \\u{3a}:x\n  note: 1\n"), "{text}");
        assert!(text.ends_with("  note: 99\n  | \\u{3a}:x\n  note: … and 900 more\n"), "{text}");
    }

    #[test]
    fn json_says_the_same_in_characters_that_are_seen() {
        let text = "a\u{1b}\u{9b}\n\u{202e}###[b]\\\u{e0001}é";
        let json = json(&text).unwrap();
        assert_eq!(json, r##""a\u001b\u009b\n\u202e#\u0023\u0023[b]\\\udb40\udc01é""##);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        assert_eq!(pretty_json(&[text]).unwrap(), format!("[\n  {json}\n]"));
    }
}
