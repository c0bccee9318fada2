//! The walker: a strict pull parser over one JSON text, which skips what nobody reads.
//!
//! It accepts what `serde_json` accepts and refuses what `serde_json` refuses (RFC 8259, UTF-8, at
//! most 127 levels, no number beyond an `f64`, no lone surrogate). Skipping is a loop, not a
//! recursion, so that a small stack is enough.

use alloc::{borrow::Cow, string::String, vec::Vec};

/// How many zero bytes follow a text, so that it can be scanned sixteen bytes at a time.
pub const PADDING: usize = 16;

/// As deep as `serde_json` goes.
const MAX_DEPTH: u32 = 127;

/// A JSON text in UTF-8 with [`PADDING`] zero bytes behind it.
pub struct Text<'a> {
    text: &'a str,
    padded: &'a [u8],
}

impl<'a> Text<'a> {
    /// Takes bytes that end in [`PADDING`] zero bytes, which are not part of the text.
    ///
    /// # Errors
    /// Bytes that are not UTF-8, or not padded.
    pub fn new(padded: &'a [u8]) -> Result<Self, Malformed> {
        let refuse = |expected| Malformed { at: 0, expected };
        let (text, padding) = padded.split_last_chunk::<PADDING>().ok_or(refuse("zero bytes behind the text"))?;
        if *padding != [0; PADDING] {
            return Err(refuse("zero bytes behind the text"));
        }
        match core::str::from_utf8(text) {
            Ok(text) => Ok(Self { text, padded }),
            Err(error) => Err(Malformed { at: error.valid_up_to(), expected: "UTF-8" }),
        }
    }

    /// The part between two offsets.
    pub fn part(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or("")
    }

    /// Where in the text a part that was borrowed from it starts.
    pub fn offset_of(&self, part: &str) -> usize {
        (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize)
    }
}

/// Copies a text and pads it.
pub fn pad(text: &[u8]) -> Vec<u8> {
    let mut padded = Vec::with_capacity(text.len() + PADDING);
    padded.extend_from_slice(text);
    padded.extend_from_slice(&[0; PADDING]);
    padded
}

/// Where a text stops being JSON, and what would have been JSON there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Offset in bytes from the start of the text.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

/// The text is not JSON; [`Reader::malformed`] has the details.
///
/// It is empty so that the walker's results fit in a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotJson;

type Result<T = (), E = NotJson> = core::result::Result<T, E>;

/// A position in a [`Text`].
///
/// The position never passes the zero byte behind the text: it moves only over a byte that was
/// looked at and was not zero.
pub struct Reader<'a> {
    text: &'a str,
    padded: &'a [u8],
    position: usize,
    depth: u32,
    expected: &'static str,
}

impl<'a> Reader<'a> {
    /// Starts at an offset, or at the end if that is beyond it.
    pub fn at(text: &Text<'a>, offset: usize) -> Self {
        Self { text: text.text, padded: text.padded, position: offset.min(text.text.len()), depth: 0, expected: "" }
    }

    /// Offset of the next byte.
    pub fn position(&self) -> usize {
        self.position
    }

    /// How many objects and arrays are open here.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Goes back to where [`Self::position`] and [`Self::depth`] once stood.
    pub fn rewind(&mut self, position: usize, depth: u32) {
        self.position = position.min(self.position);
        self.depth = depth;
    }

    /// The text from an earlier position to this one.
    pub fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.position).unwrap_or("")
    }

    /// After [`NotJson`]: where, and what was expected.
    pub fn malformed(&self) -> Malformed {
        Malformed { at: self.position, expected: self.expected }
    }

    /// An error at this position.
    #[cold]
    #[inline(never)]
    pub fn expected(&mut self, expected: &'static str) -> NotJson {
        self.expected = expected;
        NotJson
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn byte(&self) -> u8 {
        debug_assert!(self.position < self.padded.len());
        // SAFETY: `position` is at most the index of the first zero byte of the padding (see the type).
        unsafe { *self.padded.get_unchecked(self.position) }
    }

    /// The first byte of the next token, after white space; 0 at the end.
    #[inline(always)]
    pub fn peek(&mut self) -> u8 {
        loop {
            let byte = self.byte();
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.position += 1;
        }
    }

    /// Steps over the token that [`Self::peek`] showed, if it is this one.
    #[inline(always)]
    pub fn eat(&mut self, token: u8) -> bool {
        let found = self.peek() == token;
        self.position += usize::from(found);
        found
    }

    /// Opens the object or array that starts here.
    ///
    /// # Errors
    /// Something else is here, or it is nested too deep.
    pub fn open(&mut self, bracket: u8) -> Result {
        if !self.eat(bracket) {
            return Err(self.expected(if bracket == b'{' { "'{'" } else { "'['" }));
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.expected("at most 127 levels"));
        }
        Ok(())
    }

    /// After [`Self::open`]: whether nothing is inside.
    pub fn is_empty(&mut self, bracket: u8) -> bool {
        let empty = self.eat(bracket);
        self.depth -= u32::from(empty);
        empty
    }

    /// After a member: whether another follows. Steps over the comma or the closing bracket.
    ///
    /// # Errors
    /// Neither is here.
    pub fn more(&mut self, bracket: u8) -> Result<bool> {
        if self.eat(b',') {
            return Ok(true);
        }
        if self.eat(bracket) {
            self.depth -= 1;
            return Ok(false);
        }
        Err(self.expected(if bracket == b'}' { "',' or '}'" } else { "',' or ']'" }))
    }

    /// Reads a member's key and the colon behind it.
    ///
    /// # Errors
    /// No key and colon are here.
    pub fn key(&mut self) -> Result<Cow<'a, str>> {
        let key = self.string()?;
        if !self.eat(b':') {
            return Err(self.expected("':'"));
        }
        Ok(key)
    }

    /// Reads a string; borrowed unless it has escapes.
    ///
    /// # Errors
    /// No well-formed string is here.
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        if !self.eat(b'"') {
            return Err(self.expected("'\"'"));
        }
        let start = self.position;
        let escaped = self.string_tail()?;
        let raw = self.text.get(start..self.position - 1).unwrap_or("");
        Ok(if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) })
    }

    /// Reads a number that is an integer in the range of `i64`; `None` if it is another number.
    ///
    /// # Errors
    /// No number is here.
    pub fn integer(&mut self) -> Result<Option<i64>> {
        self.peek();
        let start = self.position;
        self.number()?;
        let digits = self.since(start).as_bytes();
        let (negative, digits) = match digits {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, digits),
        };
        let mut value = 0i64;
        for digit in digits {
            // Below zero, because `i64` reaches further there.
            let next = match digit {
                b'0'..=b'9' => value.checked_mul(10).and_then(|v| v.checked_sub(i64::from(digit - b'0'))),
                _ => None,
            };
            match next {
                Some(next) => value = next,
                None => return Ok(None),
            }
        }
        Ok(if negative { Some(value) } else { value.checked_neg() })
    }

    /// Checks that nothing but white space is left.
    ///
    /// # Errors
    /// Something is left.
    pub fn end(&mut self) -> Result {
        self.peek();
        if self.position == self.text.len() { Ok(()) } else { Err(self.expected("the end")) }
    }

    /// Steps over one value of any kind.
    ///
    /// # Errors
    /// No well-formed value is here.
    #[inline(never)]
    pub fn skip(&mut self) -> Result {
        // One bit for each open bracket: 1 for an object.
        let mut outer = 0u128;
        let mut in_object = false;
        let base = self.depth;
        loop {
            match self.peek() {
                b'"' => {
                    self.position += 1;
                    self.string_tail()?;
                }
                bracket @ (b'{' | b'[') => {
                    self.position += 1;
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(self.expected("at most 127 levels"));
                    }
                    outer = outer << 1 | u128::from(in_object);
                    in_object = bracket == b'{';
                    if in_object {
                        if self.peek() != b'}' {
                            self.skip_key()?;
                            continue;
                        }
                    } else if self.peek() != b']' {
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => return Err(self.expected("a value")),
            }
            loop {
                if self.depth == base {
                    return Ok(());
                }
                let token = self.peek();
                if token == b',' {
                    self.position += 1;
                    if in_object {
                        self.skip_key()?;
                    }
                    break;
                }
                if token != if in_object { b'}' } else { b']' } {
                    return Err(self.expected(if in_object { "',' or '}'" } else { "',' or ']'" }));
                }
                self.position += 1;
                self.depth -= 1;
                in_object = outer & 1 == 1;
                outer >>= 1;
            }
        }
    }

    #[inline(always)]
    fn skip_key(&mut self) -> Result {
        if !self.eat(b'"') {
            return Err(self.expected("'\"'"));
        }
        self.string_tail()?;
        if !self.eat(b':') {
            return Err(self.expected("':'"));
        }
        Ok(())
    }

    /// From behind the opening quote to behind the closing one; says whether there are escapes.
    #[inline(always)]
    fn string_tail(&mut self) -> Result<bool> {
        let mut escaped = false;
        loop {
            self.find_special();
            match self.byte() {
                b'"' => {
                    self.position += 1;
                    return Ok(escaped);
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.expected("'\"'")),
            }
        }
    }

    /// Moves to the next quote, backslash or control character; the padding is one.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[inline(always)]
    #[allow(unsafe_code)]
    fn find_special(&mut self) {
        use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, v128, v128_load, v128_or};
        let (quote, backslash, space) = (u8x16_splat(b'"'), u8x16_splat(b'\\'), u8x16_splat(b' '));
        loop {
            // SAFETY: `position` is in front of the padding, which is as long as what is loaded; and
            // the loop ends in the padding at the latest, since zero is a control character.
            let bytes = unsafe { v128_load(self.padded.as_ptr().add(self.position).cast::<v128>()) };
            let special = u8x16_bitmask(v128_or(
                v128_or(u8x16_eq(bytes, quote), u8x16_eq(bytes, backslash)),
                u8x16_lt(bytes, space),
            ));
            if special != 0 {
                self.position += special.trailing_zeros() as usize;
                return;
            }
            self.position += 16;
        }
    }

    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    #[inline(always)]
    fn find_special(&mut self) {
        while !matches!(self.byte(), b'"' | b'\\' | 0..=0x1f) {
            self.position += 1;
        }
    }

    #[cold]
    fn escape(&mut self) -> Result {
        self.position += 1;
        match self.byte() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.position += 1,
            b'u' => {
                let unit = self.hex()?;
                if is_low_surrogate(unit) {
                    return Err(self.expected("a high surrogate first"));
                }
                if is_high_surrogate(unit) {
                    let paired = self.byte() == b'\\' && {
                        self.position += 1;
                        self.byte() == b'u'
                    };
                    if !paired || !is_low_surrogate(self.hex()?) {
                        return Err(self.expected("a low surrogate"));
                    }
                }
            }
            _ => return Err(self.expected("an escape")),
        }
        Ok(())
    }

    /// From the `u` to behind its four digits.
    fn hex(&mut self) -> Result<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            self.position += 1;
            match char::from(self.byte()).to_digit(16) {
                Some(digit) => unit = unit << 4 | digit,
                None => return Err(self.expected("a hexadecimal digit")),
            }
        }
        self.position += 1;
        Ok(unit)
    }

    #[inline(always)]
    fn number(&mut self) -> Result {
        let start = self.position;
        self.position += usize::from(self.byte() == b'-');
        if self.byte() == b'0' {
            self.position += 1;
        } else {
            self.digits()?;
        }
        if matches!(self.byte(), b'.' | b'e' | b'E') || self.position - start > 300 {
            self.fraction(start)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Result {
        if !self.byte().is_ascii_digit() {
            return Err(self.expected("a digit"));
        }
        while self.byte().is_ascii_digit() {
            self.position += 1;
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn fraction(&mut self, start: usize) -> Result {
        if self.byte() == b'.' {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.position += 1;
            self.position += usize::from(matches!(self.byte(), b'+' | b'-'));
            self.digits()?;
        }
        if is_infinite(self.since(start).as_bytes()) {
            return Err(self.expected("a number in the range of a double"));
        }
        Ok(())
    }

    #[inline(always)]
    fn literal(&mut self, literal: &'static [u8]) -> Result {
        for &expected in literal {
            if self.byte() != expected {
                return Err(self.expected("a value"));
            }
            self.position += 1;
        }
        Ok(())
    }
}

/// Whether a well-formed number is beyond the largest `f64`.
fn is_infinite(number: &[u8]) -> bool {
    const LARGEST: [u8; 17] = *b"17976931348623157";
    let mut significant = [b'0'; LARGEST.len()];
    let (mut known, mut magnitude) = (0, -1i32);
    let (mut after_point, mut exponent, mut exponent_negative, mut in_exponent) = (false, 0i32, false, false);
    for &byte in number {
        match byte {
            b'.' => after_point = true,
            b'e' | b'E' => in_exponent = true,
            b'-' => exponent_negative = in_exponent,
            b'0'..=b'9' if in_exponent => {
                exponent = exponent.saturating_mul(10).saturating_add(i32::from(byte - b'0'));
            }
            b'0'..=b'9' => {
                let leading_zero = known == 0 && byte == b'0';
                // The magnitude is the power of ten of the first significant digit.
                magnitude += match (leading_zero, after_point) {
                    (true, true) => -1,
                    (false, false) => 1,
                    _ => 0,
                };
                if !leading_zero {
                    if let Some(digit) = significant.get_mut(known) {
                        *digit = byte;
                    }
                    known += 1;
                }
            }
            _ => {}
        }
    }
    let magnitude = magnitude.saturating_add(if exponent_negative { -exponent } else { exponent });
    known > 0 && (magnitude > 308 || magnitude == 308 && significant > LARGEST)
}

fn is_high_surrogate(unit: u32) -> bool {
    unit & 0xfc00 == 0xd800
}

fn is_low_surrogate(unit: u32) -> bool {
    unit & 0xfc00 == 0xdc00
}

/// What a string means, from what stands between its quotes; it was found well-formed before.
#[cold]
#[inline(never)]
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let unit = |escape: &str, at: usize| {
            escape.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0)
        };
        let (char, length) = match escape.as_bytes().first() {
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            Some(b'u') => match unit(escape, 1) {
                high if is_high_surrogate(high) => {
                    let code = 0x10000 + ((high & 0x3ff) << 10 | unit(escape, 7) & 0x3ff);
                    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 11)
                }
                code => (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 5),
            },
            Some(&byte) => (char::from(byte), 1),
            None => break,
        };
        text.push(char);
        rest = escape.get(length..).unwrap_or("");
    }
    text.push_str(rest);
    text
}

/// Appends a JSON string that means `text`.
pub fn quote(text: &str, json: &mut String) {
    json.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        let byte = rest.as_bytes()[at];
        json.push_str(rest.get(..at).unwrap_or(""));
        match byte {
            b'\n' => json.push_str("\\n"),
            0..=0x1f => {
                json.push_str("\\u00");
                json.push(if byte < 16 { '0' } else { '1' });
                json.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
            }
            _ => {
                json.push('\\');
                json.push(char::from(byte));
            }
        }
        rest = rest.get(at + 1..).unwrap_or("");
    }
    json.push_str(rest);
    json.push('"');
}
