//! Strings in Rego's notation, in which Go's OPA writes its input: JSON with the escapes of Go as well.

use alloc::vec::Vec;

/// Appends a text as JSON: `\a`, `\v`, `\x1b` and `\U000e0001` become escapes of JSON, and the space behind commas and
/// colons goes, so that texts about settings are those of compact JSON. All else stays as it is.
///
/// What is neither JSON nor an escape of Go stays as well, for the parser to refuse: `\xff`, which is a byte and no
/// character, and numbers of no character.
pub fn put_json(text: &[u8], json: &mut Vec<u8>) {
    let (mut rest, mut is_string, mut is_behind) = (text, false, false);
    while let Some((&byte, behind)) = rest.split_first() {
        if is_string {
            let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
            let (plain, special) = rest.split_at(end);
            json.extend_from_slice(plain);
            rest = put_special(special, json);
            is_string = special.first() == Some(&b'\\');
            continue;
        }
        rest = behind;
        if is_behind && matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        }
        is_string = byte == b'"';
        is_behind = matches!(byte, b',' | b':');
        json.push(byte);
    }
}

/// Appends the quote or escape at the start of a text; returns what is behind it.
fn put_special<'t>(text: &'t [u8], json: &mut Vec<u8>) -> &'t [u8] {
    let length = match decode(text) {
        Some((character, length)) => {
            put_character(character, json);
            length
        }
        // A backslash with the next byte. That one starts no escape, even if it is a backslash.
        None => {
            let length = if text.first() == Some(&b'\\') { 2 } else { 1 };
            json.extend(text.iter().take(length));
            length
        }
    };
    text.get(length..).unwrap_or_default()
}

/// The character of the escape at the start of a text, and its length, if it is one that JSON does not have.
fn decode(escape: &[u8]) -> Option<(char, usize)> {
    let (b'\\', kind) = (*escape.first()?, escape.get(1)?) else { return None };
    let (most, digits) = match kind {
        b'a' => return Some(('\u{7}', 2)),
        b'v' => return Some(('\u{b}', 2)),
        b'x' => (0x7f, 2),
        b'U' => (u32::MAX, 8),
        _ => return None,
    };
    let mut code = 0;
    for &digit in escape.get(2..2 + digits)? {
        code = code << 4 | char::from(digit).to_digit(16)?;
    }
    Some((char::from_u32(code).filter(|_| code <= most)?, 2 + digits))
}

/// As the numbers of its UTF-16 units: a quote must not end the string.
fn put_character(character: char, json: &mut Vec<u8>) {
    for &mut unit in character.encode_utf16(&mut [0; 2]) {
        json.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            let digit = char::from_digit(u32::from(unit >> shift & 15), 16).unwrap_or_default();
            json.push(digit as u8);
        }
    }
}
