//! What a scalar means to kubectl, as JSON text: the rules of `go.yaml.in/yaml/v2` (YAML 1.1), and numbers as Go's
//! `encoding/json` writes them.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

/// Go's `base64.StdEncoding` wants the padding and does not look at the bits that are left over.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

/// A tag that says how a scalar is read. All other tags make a string of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Str,
    Bool,
    Int,
    Float,
    Null,
    Timestamp,
    Binary,
    Merge,
    Other,
}

impl Tag {
    /// By its name within `tag:yaml.org,2002:`.
    pub(super) fn of(name: Option<&str>) -> Tag {
        match name {
            Some("str") => Tag::Str,
            Some("bool") => Tag::Bool,
            Some("int") => Tag::Int,
            Some("float") => Tag::Float,
            Some("null") => Tag::Null,
            Some("timestamp") => Tag::Timestamp,
            Some("binary") => Tag::Binary,
            Some("merge") => Tag::Merge,
            _ => Tag::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Tag::Str | Tag::Merge | Tag::Other => "!!str",
            Tag::Bool => "!!bool",
            Tag::Int => "!!int",
            Tag::Float => "!!float",
            Tag::Null => "!!null",
            Tag::Timestamp => "!!timestamp",
            Tag::Binary => "!!binary",
        }
    }
}

/// Whether a scalar is the key of what is merged.
#[inline]
pub(super) fn is_merge(text: &str, is_plain: bool, tag: Option<Tag>) -> bool {
    text == "<<" && (is_plain && tag.is_none() || tag == Some(Tag::Merge))
}

/// What a scalar is read as.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'t> {
    Null,
    Bool(bool),
    Int(i64),
    /// Beyond `i64`.
    Large(u64),
    Float(f64),
    Text(Cow<'t, str>),
}

/// Reads a scalar: `tag` is `None` without one, `is_plain` tells that it has no quotes.
///
/// # Errors
/// What kubectl's decoder refuses, in its words.
pub(super) fn resolve<'t>(text: Cow<'t, str>, is_plain: bool, tag: Option<Tag>) -> Result<Scalar<'t>, String> {
    let Some(tag) = tag else {
        return Ok(if is_plain { plain(&text).unwrap_or(Scalar::Text(text)) } else { Scalar::Text(text) });
    };
    match tag {
        Tag::Str | Tag::Merge | Tag::Other => return Ok(Scalar::Text(text)),
        Tag::Binary => {
            let text: String = text.chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect();
            let bytes = BASE64.decode(text).map_err(|_| "!!binary value contains invalid base64 data".to_owned())?;
            return Ok(Scalar::Text(String::from_utf8_lossy(&bytes).into_owned().into()));
        }
        Tag::Timestamp if is_date(&text) => return Ok(Scalar::Text(text)),
        _ => {}
    }
    let found = plain(&text);
    let is_of = match found {
        Some(Scalar::Null) => Tag::Null,
        Some(Scalar::Bool(_)) => Tag::Bool,
        Some(Scalar::Int(_) | Scalar::Large(_)) => Tag::Int,
        Some(Scalar::Float(_)) => Tag::Float,
        _ => Tag::Str,
    };
    match found {
        Some(found) if is_of == tag => Ok(found),
        Some(Scalar::Int(number)) if tag == Tag::Float => Ok(Scalar::Float(number as f64)),
        _ => Err(format!("cannot decode {} `{text}` as a {}", is_of.name(), tag.name())),
    }
}

/// What a scalar without quotes is; none for text.
#[inline]
fn plain<'t>(text: &str) -> Option<Scalar<'t>> {
    let Some(&first) = text.as_bytes().first() else { return Some(Scalar::Null) };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text),
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' if text.len() <= 5 => match text {
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
                Some(Scalar::Bool(true))
            }
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
                Some(Scalar::Bool(false))
            }
            "~" | "null" | "Null" | "NULL" => Some(Scalar::Null),
            _ => None,
        },
        _ => None,
    }
}

fn number<'t>(text: &str) -> Option<Scalar<'t>> {
    match text {
        ".nan" | ".NaN" | ".NAN" => return Some(Scalar::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(Scalar::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => return Some(Scalar::Float(f64::NEG_INFINITY)),
        _ => {}
    }
    if text.starts_with('.') {
        return float(text).map(Scalar::Float);
    }
    let text = if text.contains('_') { Cow::Owned(text.replace('_', "")) } else { Cow::Borrowed(text) };
    if let Some(number) = parse_int(&text) {
        return Some(number);
    }
    if let Some(number) = float(&text) {
        return Some(Scalar::Float(number));
    }
    // Go's ParseInt in base 2 takes a sign there.
    let number = i64::from_str_radix(text.strip_prefix("0b")?, 2).ok()?;
    Some(Scalar::Int(number))
}

/// As Go's `ParseInt` and then `ParseUint` with base 0.
fn parse_int<'t>(text: &str) -> Option<Scalar<'t>> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("+", &text[1..]),
        _ => ("", text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    match sign {
        "-" => 0_i64.checked_sub_unsigned(magnitude).map(Scalar::Int),
        _ => match i64::try_from(magnitude) {
            Ok(number) => Some(Scalar::Int(number)),
            Err(_) if sign.is_empty() => Some(Scalar::Large(magnitude)),
            Err(_) => None,
        },
    }
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, unless it is beyond a double.
fn float(text: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = digits(unsigned);
    let mut rest = &unsigned[whole..];
    if let Some(behind) = rest.strip_prefix('.') {
        let fraction = digits(behind);
        if whole + fraction == 0 {
            return None;
        }
        rest = &behind[fraction..];
    } else if whole == 0 {
        return None;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if exponent.is_empty() || digits(exponent) != exponent.len() {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Whether text starts as the dates do that `!!timestamp` takes.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (year, month, rest) = (parts.next(), parts.next(), parts.next());
    let is_number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit()))
    };
    year.is_some_and(|year| year.len() == 4)
        && is_number(year)
        && is_number(month)
        && rest.is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
}

impl Scalar<'_> {
    /// Writes it as a JSON value.
    ///
    /// # Errors
    /// Infinity and NaN are none.
    #[inline]
    pub(super) fn write(&self, json: &mut String) -> Result<(), String> {
        match self {
            Scalar::Text(text) => quote(text, json),
            Scalar::Null => json.push_str("null"),
            Scalar::Bool(true) => json.push_str("true"),
            Scalar::Bool(false) => json.push_str("false"),
            Scalar::Int(number) => write!(json, "{number}").expect("text can be written"),
            // It is a double where kubectl sends it.
            Scalar::Large(number) => write_float(*number as f64, json),
            Scalar::Float(number) if number.is_finite() => write_float(*number, json),
            Scalar::Float(number) => return Err(format!("unsupported value: {number}")),
        }
        Ok(())
    }

    /// As a key of an object.
    ///
    /// # Errors
    /// What is not a key.
    pub(super) fn key(self) -> Result<String, String> {
        match self {
            Scalar::Text(text) => Ok(text.into_owned()),
            Scalar::Bool(is) => Ok(is.to_string()),
            Scalar::Int(number) => Ok(number.to_string()),
            Scalar::Float(number) => Ok(float_key(number)),
            Scalar::Null => Err("unsupported map key: null".to_owned()),
            Scalar::Large(number) => Err(format!("unsupported map key: {number}")),
        }
    }
}

/// As Go's `encoding/json` writes a double, and kubectl after it: one without a fraction is an integer.
pub(super) fn write_float(number: f64, json: &mut String) {
    let size = number.abs();
    // Not -0, which becomes an integer.
    if number == 0.0 {
        json.push('0');
    } else if (1e-6..1e21).contains(&size) {
        write!(json, "{number}").expect("text can be written");
    } else {
        let text = format!("{number:e}");
        let sign = if size < 1.0 { "e" } else { "e+" };
        json.push_str(&text.replace('e', sign));
    }
}

/// As Go's `FormatFloat` with format `g` and 32 bits.
fn float_key(number: f64) -> String {
    let number = number as f32;
    if number.is_nan() {
        return ".nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').expect("a number with an exponent");
    let exponent: i32 = exponent.parse().expect("a number");
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// The bytes that a JSON string has in another form.
const ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Writes text as a JSON string.
#[inline]
pub(super) fn quote(text: &str, json: &mut String) {
    json.push('"');
    if text.bytes().any(|byte| ESCAPED[usize::from(byte)]) {
        escape(text, json);
    } else {
        json.push_str(text);
    }
    json.push('"');
}

fn escape(text: &str, json: &mut String) {
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        if !ESCAPED[usize::from(byte)] {
            continue;
        }
        json.push_str(&text[written..at]);
        written = at + 1;
        match byte {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\t' => json.push_str("\\t"),
            b'\r' => json.push_str("\\r"),
            _ => write!(json, "\\u{byte:04x}").expect("text can be written"),
        }
    }
    json.push_str(&text[written..]);
}
