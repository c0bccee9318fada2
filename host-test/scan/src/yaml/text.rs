//! The text of a file, as kubectl decodes its bytes.

use std::borrow::Cow;

use super::Broken;

/// Decodes a file: UTF-16 where its byte order mark says so, else UTF-8. What is not valid becomes U+FFFD. The byte order
/// mark of UTF-8 stays, so that places in the text are places in the file.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes).into(),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes).into(),
        _ => String::from_utf8_lossy(bytes),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::from_utf16_lossy(&pairs.iter().map(|&pair| unit(pair)).collect::<Vec<u16>>());
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

/// What a byte may start of what no YAML text may hold.
const SUSPECT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = byte != b'\t' as usize && byte != b'\n' as usize && byte != b'\r' as usize;
        byte += 1;
    }
    table[0x7f] = true;
    table[0xc2] = true;
    table[0xe2] = true;
    table[0xef] = true;
    table
};

/// Finds what readers of YAML read differently, and what kubectl's refuses.
///
/// # Errors
/// A line separator that only YAML 1.1 has, or a control character.
pub(super) fn check(text: &str, offset: usize) -> Result<(), Broken> {
    let bytes = text.as_bytes();
    // Whole blocks first: nearly all have nothing that is suspect.
    for (block, start) in bytes.chunks(64).zip((0..).step_by(64)) {
        if !block.iter().fold(false, |found, &byte| found | SUSPECT[usize::from(byte)]) {
            continue;
        }
        for at in (start..start + block.len()).filter(|&at| SUSPECT[usize::from(bytes[at])]) {
            check_at(&text[at..]).map_err(|message| Broken { at: offset + at, message })?;
        }
    }
    Ok(())
}

fn check_at(text: &str) -> Result<(), String> {
    match text.chars().next() {
        Some(letter @ ('\u{85}' | '\u{2028}' | '\u{2029}')) => Err(format!(
            "ambiguous: U+{:04X} ends a line for some readers of YAML, among them kubectl, and for others it does \
             not; expected no such character (in quotes, write it as an escape)",
            u32::from(letter)
        )),
        Some(letter) if letter.is_control() && !matches!(letter, '\t' | '\n' | '\r') => {
            Err(format!("control characters are not allowed: found U+{:04X}", u32::from(letter)))
        }
        Some(letter @ ('\u{fffe}' | '\u{ffff}')) => {
            Err(format!("control characters are not allowed: found U+{:04X}", u32::from(letter)))
        }
        _ => Ok(()),
    }
}
