//! Prepares texts for a terminal: names of inputs, and what modules wrote.

use std::path::Path;

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

/// A text that a module may have written, safe for a terminal and not endless.
pub(crate) fn printable(text: &str) -> String {
    let (start, rest) = text.split_at(text.floor_char_boundary(SHOWN));
    let shown = escaped(start);
    if rest.is_empty() { shown } else { format!("{shown}… ({} bytes in all)", text.len()) }
}

/// The text with what a reader does not see spelt out, but for line ends: a module must not steer a terminal.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) && character != '\n' {
            escaped.extend(character.escape_unicode());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Characters that steer a terminal, change the order of what it shows, end a line for some programs, or are not seen.
/// Joiners are not among them: scripts and emoji need them.
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
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
    fn a_module_cannot_write_control_sequences() {
        assert_eq!(escaped("a\u{1b}[2Jé\n\tb\u{202e}c"), "a\\u{1b}[2Jé\n\\u{9}b\\u{202e}c");
    }
}
