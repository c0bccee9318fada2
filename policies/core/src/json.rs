//! The parser: a strict pull parser over one JSON text, which skips what nobody reads.
//!
//! It accepts what `serde_json` accepts and refuses what `serde_json` refuses (RFC 8259, UTF-8, at
//! most 127 levels, no number beyond an `f64`, no lone surrogate). Skipping is a loop, not a
//! recursion, so that a small stack is enough.

use alloc::{string::String, vec::Vec};

use crate::{
    arena::Arena,
    text::{cut, put},
};

/// How many zero bytes follow a text, so that it can be scanned up to so many bytes at a time.
pub const PADDING: usize = 64;

/// As deep as `serde_json` goes.
const MAX_DEPTH: usize = 127;
/// A power of two, so that an index is brought below it without a branch.
const OUTER: usize = MAX_DEPTH + 1;
const TOO_DEEP: &str = "at most 127 levels";

/// A JSON text in UTF-8 with [`PADDING`] zero bytes behind it.
pub struct Text<'a> {
    text: &'a str,
    padded: &'a [u8],
    arena: &'a Arena,
}

impl<'a> Text<'a> {
    /// Takes bytes that end in [`PADDING`] zero bytes, which are not part of the text. What is decoded of it and does
    /// not stand in it goes into the arena.
    ///
    /// # Errors
    /// Bytes that are not UTF-8, or not padded.
    pub fn new(padded: &'a [u8], arena: &'a Arena) -> Result<Self, Malformed> {
        let refuse = |expected| Malformed { at: 0, expected };
        let (text, padding) = padded.split_last_chunk::<PADDING>().ok_or(refuse("zero bytes behind the text"))?;
        if padding.as_chunks::<8>().0.iter().any(|bytes| u64::from_ne_bytes(*bytes) != 0) {
            return Err(refuse("zero bytes behind the text"));
        }
        match utf8(text, padded) {
            Ok(text) => Ok(Self { text, padded, arena }),
            Err(at) => Err(Malformed { at, expected: "UTF-8" }),
        }
    }

    /// Where values that are decoded of it live.
    pub(crate) fn arena(&self) -> &'a Arena {
        self.arena
    }

    /// The part between two offsets.
    pub fn part(&self, start: usize, end: usize) -> &'a str {
        cut(self.text, start, end)
    }

    /// Where in the text a part that was borrowed from it starts.
    pub fn offset_of(&self, part: &str) -> usize {
        (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize)
    }
}

/// The bytes as text, or where they stop being UTF-8.
///
/// The standard library's way is the fastest for prose, with a kilobyte of code and tables. Most requests
/// are ASCII, and few bytes of the others are not.
#[allow(unsafe_code)]
fn utf8<'a>(text: &'a [u8], padded: &[u8]) -> Result<&'a str, usize> {
    let mut at = 0;
    if !is_ascii(text, padded) {
        while at < text.len() {
            at += character(text, at).ok_or(at)?;
        }
    }
    // SAFETY: it is ASCII, or one character behind the other up to the end.
    Ok(unsafe { core::str::from_utf8_unchecked(text) })
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[allow(unsafe_code)]
fn is_ascii(text: &[u8], padded: &[u8]) -> bool {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_splat, v128, v128_load, v128_or};
    let mut any = u8x16_splat(0);
    let mut start = 0;
    while start < text.len() {
        // SAFETY: `start` is in the text, and the padding behind it is as long as what is loaded.
        unsafe {
            let at = padded.as_ptr().add(start).cast::<v128>();
            let (first, second) =
                (v128_or(v128_load(at), v128_load(at.add(1))), v128_or(v128_load(at.add(2)), v128_load(at.add(3))));
            any = v128_or(any, v128_or(first, second));
        }
        start += PADDING;
    }
    u8x16_bitmask(any) == 0
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
fn is_ascii(text: &[u8], _: &[u8]) -> bool {
    text.is_ascii()
}

/// The length of the character that starts here; `None` if none does.
fn character(text: &[u8], at: usize) -> Option<usize> {
    let lead = *text.get(at)?;
    // What the first byte has of the code, the least code of the length, and the length.
    let (bits, least, length) = match lead {
        0..=0x7f => (lead, 0, 1),
        0xc0..=0xdf => (lead & 0x1f, 0x80, 2),
        0xe0..=0xef => (lead & 0xf, 0x800, 3),
        0xf0..=0xf7 => (lead & 7, 0x1_0000, 4),
        _ => return None,
    };
    let mut code = u32::from(bits);
    for &byte in text.get(at + 1..at + length)? {
        if byte & 0xc0 != 0x80 {
            return None;
        }
        code = code << 6 | u32::from(byte & 0x3f);
    }
    // Neither a surrogate nor beyond the last one, and not in more bytes than it takes.
    (code >= least && char::from_u32(code).is_some()).then_some(length)
}

/// Copies a text and pads it.
pub fn pad(text: &[u8]) -> Vec<u8> {
    let mut padded = Vec::with_capacity(text.len() + PADDING);
    padded.extend_from_slice(text);
    padded.extend_from_slice(&[0; PADDING]);
    padded
}

/// What opens and closes a value that has others inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bracket {
    /// `{` and `}`.
    Object = b'{' as isize,
    /// `[` and `]`.
    List = b'[' as isize,
}

impl Bracket {
    /// In ASCII, both are two before the ones that close them.
    #[inline(always)]
    const fn closing(self) -> u8 {
        self as u8 + 2
    }
}

/// A position to go back to.
#[derive(Clone, Copy)]
pub struct Mark {
    offset: usize,
    depth: usize,
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
/// It is empty so that results fit in a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotJson;

type Result<T = (), E = NotJson> = core::result::Result<T, E>;

/// An address in a padded text.
///
/// It never passes the first zero byte of the padding: it moves only over bytes that were looked at and
/// were not zero, or to one that [`Cursor::special`] found.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cursor(*const u8);

#[allow(unsafe_code)]
impl Cursor {
    #[inline(always)]
    fn byte(self) -> u8 {
        // SAFETY: see the type.
        unsafe { *self.0 }
    }

    /// Behind the byte here, which is not zero.
    #[inline(always)]
    fn next(self) -> Self {
        // SAFETY: see the type.
        Self(unsafe { self.0.add(1) })
    }

    /// Before the byte here, inside a string.
    #[cold]
    fn before(self) -> Self {
        // SAFETY: the string's opening quote is before it.
        Self(unsafe { self.0.sub(1) })
    }

    /// At the next quote, backslash or control character; the padding is one.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[inline(always)]
    fn special(self) -> Self {
        match self.specials() {
            0 => self.far_special(),
            // SAFETY: it moves to the first special byte, hence over no zero byte.
            specials => Self(unsafe { self.0.add(specials.trailing_zeros() as usize) }),
        }
    }

    /// The same, if it is not among the next sixteen bytes, as it is for most strings.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[inline(never)]
    fn far_special(self) -> Self {
        let mut at = self;
        loop {
            // SAFETY: there is no special byte, hence no zero byte, in what it moves over.
            at = Self(unsafe { at.0.add(16) });
            let specials = at.specials();
            if specials != 0 {
                // SAFETY: as above.
                return Self(unsafe { at.0.add(specials.trailing_zeros() as usize) });
            }
        }
    }

    /// Which of the next sixteen bytes are special: one bit for each.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[inline(always)]
    fn specials(self) -> u16 {
        use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, v128, v128_load, v128_or, v128_xor};
        // SAFETY: this is not behind the first zero byte, and there are as many as are loaded.
        let bytes = unsafe { v128_load(self.0.cast::<v128>()) };
        // The quote is the second after the control characters; with this bit turned it is the first.
        let quote_or_control = u8x16_lt(v128_xor(bytes, u8x16_splat(2)), u8x16_splat(b'"' - 1));
        u8x16_bitmask(v128_or(quote_or_control, u8x16_eq(bytes, u8x16_splat(b'\\'))))
    }

    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    fn special(self) -> Self {
        let mut at = self;
        while !matches!(at.byte(), b'"' | b'\\' | 0..=0x1f) {
            at = at.next();
        }
        at
    }

    /// Advances to the next token unless it already matches.
    #[inline(always)]
    fn to(self, token: u8) -> Self {
        if self.byte() == token { self } else { self.after_space() }
    }

    /// White space is rare: hosts send compact JSON.
    #[cold]
    #[inline(never)]
    fn after_space(self) -> Self {
        let mut at = self;
        while matches!(at.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            at = at.next();
        }
        at
    }
}

/// A position in a [`Text`].
pub struct Reader<'a> {
    text: &'a str,
    padded: &'a [u8],
    arena: &'a Arena,
    at: Cursor,
    depth: usize,
    expected: &'static str,
    /// While skipping: for each open bracket, what closes the one around it.
    outer: [u8; OUTER],
}

impl<'a> Reader<'a> {
    /// Starts at an offset, or at the start if that is not in the text.
    pub fn at(text: &Text<'a>, offset: usize) -> Self {
        let Text { text, padded, arena } = *text;
        Self { text, padded, arena, at: cursor(padded, offset), depth: 0, expected: "", outer: [0; OUTER] }
    }

    /// Offset of the next byte.
    pub fn position(&self) -> usize {
        self.at.0 as usize - self.text.as_ptr() as usize
    }

    /// Goes back to an earlier position in the same text.
    pub fn rewind(&mut self, mark: Mark) {
        (self.at, self.depth) = (cursor(self.padded, mark.offset), mark.depth);
    }

    /// This position, for [`Self::rewind`].
    pub fn mark(&self) -> Mark {
        Mark { offset: self.position(), depth: self.depth }
    }

    /// The text from an earlier position to this one.
    pub fn since(&self, start: usize) -> &'a str {
        cut(self.text, start, self.position())
    }

    /// After [`NotJson`]: where, and what was expected.
    pub fn malformed(&self) -> Malformed {
        Malformed { at: self.position(), expected: self.expected }
    }

    /// An error at this position.
    #[cold]
    #[inline(never)]
    pub fn expected(&mut self, expected: &'static str) -> NotJson {
        self.expected = expected;
        NotJson
    }

    #[inline(always)]
    fn byte(&self) -> u8 {
        self.at.byte()
    }

    /// The first byte of the next token, after white space; 0 at the end.
    #[inline(always)]
    pub fn peek(&mut self) -> u8 {
        if self.at.byte() <= b' ' {
            self.at = self.at.after_space();
        }
        self.at.byte()
    }

    /// Steps over the token that [`Self::peek`] showed, if it is this one, which is not zero.
    #[inline(never)]
    fn eat(&mut self, token: u8) -> bool {
        let found = self.peek() == token;
        if found {
            self.at = self.at.next();
        }
        found
    }

    /// Opens the object or array that starts here.
    ///
    /// # Errors
    /// Something else is here, or it is nested too deep.
    pub fn open(&mut self, bracket: Bracket) -> Result {
        if !self.eat(bracket as u8) {
            return Err(self.expected(if bracket == Bracket::Object { "'{'" } else { "'['" }));
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.expected(TOO_DEEP));
        }
        Ok(())
    }

    /// After [`Self::open`]: whether nothing is inside.
    pub fn is_empty(&mut self, bracket: Bracket) -> bool {
        let empty = self.eat(bracket.closing());
        self.depth = self.depth.wrapping_sub(usize::from(empty));
        empty
    }

    /// After a member: whether another follows. Steps over the comma or the closing bracket.
    ///
    /// # Errors
    /// Neither is here.
    #[inline(always)]
    pub fn more(&mut self, bracket: Bracket) -> Result<bool> {
        let byte = self.peek();
        if byte != b',' && byte != bracket.closing() {
            return Err(self.expected(if bracket == Bracket::Object { "',' or '}'" } else { "',' or ']'" }));
        }
        self.at = self.at.next();
        self.depth = self.depth.wrapping_sub(usize::from(byte == bracket.closing()));
        Ok(byte == b',')
    }

    /// Reads a member's key and the colon behind it.
    ///
    /// # Errors
    /// No key and colon are here.
    #[inline(never)]
    pub fn key(&mut self) -> Result<&'a str> {
        let key = self.quoted()?;
        if self.peek() != b':' {
            return Err(self.expected("':'"));
        }
        self.at = self.at.next();
        Ok(key)
    }

    /// Reads a string.
    ///
    /// # Errors
    /// No well-formed string is here.
    #[inline(never)]
    pub fn string(&mut self) -> Result<&'a str> {
        self.quoted()
    }

    #[inline(always)]
    fn quoted(&mut self) -> Result<&'a str> {
        if self.peek() != b'"' {
            return Err(self.expected("'\"'"));
        }
        let start = self.at.next();
        let end = start.special();
        if end.byte() != b'"' {
            self.at = start;
            return self.escaped_string();
        }
        self.at = end.next();
        Ok(self.between_quotes(start, end))
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn between_quotes(&self, start: Cursor, end: Cursor) -> &'a str {
        let length = end.0 as usize - start.0 as usize;
        // SAFETY: both are in the text, which is UTF-8, and next to a quote, hence between two characters.
        unsafe { core::str::from_utf8_unchecked(core::slice::from_raw_parts(start.0, length)) }
    }

    /// Reads a string that has escapes, from behind its opening quote.
    ///
    /// Its meaning is nowhere in the text, so it goes into the arena. Few of the strings that are read have escapes.
    #[cold]
    #[inline(never)]
    fn escaped_string(&mut self) -> Result<&'a str> {
        let mut string = String::new();
        loop {
            let start = self.position();
            self.at = self.at.special();
            put(&mut string, self.since(start));
            match self.byte() {
                b'"' => {
                    self.at = self.at.next();
                    return Ok(self.arena.keep_string(string));
                }
                b'\\' => put(&mut string, self.escape()?.encode_utf8(&mut [0; 4])),
                _ => return Err(self.expected("'\"'")),
            }
        }
    }

    /// Reads a number that is an integer in the range of `i64`; `None` if it is another number.
    ///
    /// # Errors
    /// No number is here.
    pub fn integer(&mut self) -> Result<Option<i64>> {
        self.peek();
        let start = self.position();
        self.number()?;
        Ok(integer(self.since(start)))
    }

    /// Checks that nothing but white space is left.
    ///
    /// # Errors
    /// Something is left.
    pub fn end(&mut self) -> Result {
        self.peek();
        if self.position() == self.text.len() { Ok(()) } else { Err(self.expected("the end")) }
    }

    /// Steps over one value of any kind.
    ///
    /// This is where a policy spends its time: what is usual in compact JSON comes first, and what is rare
    /// is elsewhere.
    ///
    /// # Errors
    /// No well-formed value is here.
    #[inline(never)]
    pub fn skip(&mut self) -> Result {
        let (outermost, mut depth) = (self.depth, self.depth);
        // What closes the object or array that is open here, if that is inside the value.
        let mut closing = 0;
        let mut at = self.at;
        'member: loop {
            if closing == u32::from(b'}') {
                at = self.key_end(at);
            }
            loop {
                let byte = at.byte();
                if byte == b'"' {
                    at = self.string_end(at).next();
                    break;
                }
                if is_bracket(byte) {
                    if depth == MAX_DEPTH {
                        return self.fail(at, TOO_DEEP);
                    }
                    self.outer[depth % OUTER] = closing as u8;
                    depth += 1;
                    closing = closing_of(byte);
                    at = at.next();
                    if at.byte() <= b' ' {
                        at = at.after_space();
                    }
                    if u32::from(at.byte()) == closing {
                        break;
                    }
                    continue 'member;
                }
                if byte > b' ' {
                    self.at = at;
                    self.scalar(byte)?;
                    at = self.at;
                    break;
                }
                let token = at.after_space();
                if token == at {
                    return self.fail(at, "a value");
                }
                at = token;
            }
            while depth != outermost {
                let byte = at.byte();
                if byte == b',' {
                    at = at.next();
                    continue 'member;
                }
                if u32::from(byte) == closing {
                    at = at.next();
                    depth -= 1;
                    closing = u32::from(self.outer[depth % OUTER]);
                    continue;
                }
                let token = at.after_space();
                if token == at {
                    let is_object = closing == u32::from(b'}');
                    return self.fail(at, if is_object { "',' or '}'" } else { "',' or ']'" });
                }
                at = token;
            }
            self.at = at;
            return if self.expected.is_empty() { Ok(()) } else { Err(NotJson) };
        }
    }

    /// From before a key to behind the colon; to the end of the text if there are none.
    #[inline(always)]
    fn key_end(&mut self, at: Cursor) -> Cursor {
        let at = at.to(b'"');
        if at.byte() != b'"' {
            return self.give_up(at, "'\"'");
        }
        let at = self.string_end(at).next().to(b':');
        if at.byte() != b':' {
            return self.give_up(at, "':'");
        }
        at.next()
    }

    /// From the opening quote to the closing one; to before the end of the text if there is none.
    #[inline(always)]
    fn string_end(&mut self, at: Cursor) -> Cursor {
        let end = at.next().special();
        if end.byte() == b'"' { end } else { self.escaped_string_end(end) }
    }

    #[cold]
    #[inline(never)]
    fn escaped_string_end(&mut self, at: Cursor) -> Cursor {
        self.at = at;
        while self.byte() == b'\\' {
            if self.escape().is_err() {
                return self.give_up(self.at, self.expected).before();
            }
            self.at = self.at.special();
        }
        if self.byte() == b'"' { self.at } else { self.give_up(self.at, "'\"'").before() }
    }

    /// Fails, unless it failed before.
    #[cold]
    #[inline(never)]
    fn fail(&mut self, at: Cursor, expected: &'static str) -> Result {
        if self.expected.is_empty() {
            (self.at, self.expected) = (at, expected);
        }
        Err(NotJson)
    }

    /// Fails, and goes to the end of the text, so that the success path needs no error check per token.
    #[cold]
    #[inline(never)]
    fn give_up(&mut self, at: Cursor, expected: &'static str) -> Cursor {
        (self.at, self.expected) = (at, expected);
        let mut end = at;
        while end.byte() != 0 {
            end = end.next();
        }
        end
    }

    /// Reads the escape that starts here.
    #[cold]
    #[inline(never)]
    fn escape(&mut self) -> Result<char> {
        self.at = self.at.next();
        let byte = self.byte();
        let char = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.expected("an escape")),
        };
        self.at = self.at.next();
        Ok(char::from(char))
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let mut unit = self.hex()?;
        if unit & 0xfc00 == 0xd800 && self.byte() == b'\\' {
            self.at = self.at.next();
            if self.byte() == b'u' {
                let low = self.hex()?;
                // Anything but a low surrogate leaves a code beyond the last one.
                unit = if low & 0xfc00 == 0xdc00 { 0x10000 + ((unit & 0x3ff) << 10 | low & 0x3ff) } else { u32::MAX };
            }
        }
        char::from_u32(unit).ok_or_else(|| self.expected("a pair of surrogates"))
    }

    /// From the `u` to behind its four digits.
    fn hex(&mut self) -> Result<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            self.at = self.at.next();
            match char::from(self.byte()).to_digit(16) {
                Some(digit) => unit = unit << 4 | digit,
                None => return Err(self.expected("a hexadecimal digit")),
            }
        }
        self.at = self.at.next();
        Ok(unit)
    }

    /// Steps over a number or a literal, which starts with this byte.
    #[inline(never)]
    fn scalar(&mut self, byte: u8) -> Result {
        let literal: &[u8] = match byte {
            b't' => b"true",
            b'f' => b"false",
            b'n' => b"null",
            _ => return self.number(),
        };
        let mut at = self.at;
        for &expected in literal {
            if at.byte() != expected {
                self.at = at;
                return Err(self.expected("a value"));
            }
            at = at.next();
        }
        self.at = at;
        Ok(())
    }

    #[inline(never)]
    fn number(&mut self) -> Result {
        let start = self.position();
        if self.byte() == b'-' {
            self.at = self.at.next();
        }
        if self.byte() == b'0' {
            self.at = self.at.next();
        } else {
            self.digits("a value")?;
        }
        if matches!(self.byte(), b'.' | b'e' | b'E') || self.position() - start > 300 {
            self.fraction(start)?;
        }
        Ok(())
    }

    fn digits(&mut self, expected: &'static str) -> Result {
        if !self.byte().is_ascii_digit() {
            return Err(self.expected(expected));
        }
        let mut at = self.at;
        while at.byte().is_ascii_digit() {
            at = at.next();
        }
        self.at = at;
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn fraction(&mut self, start: usize) -> Result {
        if self.byte() == b'.' {
            self.at = self.at.next();
            self.digits("a digit")?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at = self.at.next();
            if matches!(self.byte(), b'+' | b'-') {
                self.at = self.at.next();
            }
            self.digits("a digit")?;
        }
        if is_infinite(self.since(start).as_bytes()) {
            return Err(self.expected("a number in the range of a double"));
        }
        Ok(())
    }
}

/// The address at an offset of a padded text, or at its start if that is not in the text.
fn cursor(padded: &[u8], offset: usize) -> Cursor {
    Cursor(padded.get(offset..).filter(|rest| rest.len() >= PADDING).unwrap_or(padded).as_ptr())
}

/// In ASCII they differ in one bit from each other.
const fn is_bracket(byte: u8) -> bool {
    byte | (b'[' ^ b'{') == b'{'
}

/// In ASCII both brackets are two before the ones that close them.
const fn closing_of(bracket: u8) -> u32 {
    bracket as u32 + 2
}

/// The value of a well-formed number that is an integer in the range of `i64`.
pub fn integer(number: &str) -> Option<i64> {
    let is_negative = number.starts_with('-');
    let mut value = 0i64;
    for digit in number.bytes().skip(usize::from(is_negative)) {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Not `checked_mul`, which multiplies to 128 bits.
        if value < i64::MIN / 10 {
            return None;
        }
        // Below zero, because `i64` reaches further there.
        value = (10 * value).checked_sub(i64::from(digit - b'0'))?;
    }
    if is_negative { Some(value) } else { value.checked_neg() }
}

/// Whether a well-formed number is beyond the largest `f64`.
fn is_infinite(number: &[u8]) -> bool {
    const LARGEST: &[u8; 17] = b"17976931348623157";
    let (mut digits, mut order) = (LARGEST.iter(), core::cmp::Ordering::Equal);
    // The power of ten of the first digit that is not zero.
    let mut magnitude = -1i32;
    let (mut is_zero, mut after_point, mut in_exponent) = (true, false, false);
    let (mut exponent, mut sign) = (0i32, 1);
    for &byte in number {
        let digit = i32::from(byte) - i32::from(b'0');
        match byte {
            b'.' => after_point = true,
            b'e' | b'E' => in_exponent = true,
            b'-' => sign = -1,
            b'+' => {}
            _ if in_exponent => exponent = exponent.saturating_mul(10).saturating_add(digit),
            _ => {
                is_zero &= digit == 0;
                magnitude += i32::from(!is_zero && !after_point) - i32::from(is_zero && after_point);
                if !is_zero {
                    order = order.then(digits.next().map_or(core::cmp::Ordering::Equal, |largest| byte.cmp(largest)));
                }
            }
        }
        // The sign of the number itself does not count.
        sign = if in_exponent { sign } else { 1 };
    }
    let magnitude = magnitude.saturating_add(sign * exponent);
    !is_zero && (magnitude > 308 || magnitude == 308 && order.is_gt())
}
