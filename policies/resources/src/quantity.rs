//! Kubernetes' quantities, exactly: `1`, `0.5`, `100m`, `1Gi`, `1e3`.
//!
//! The API server rounds what it stores up to thousandths, so these are the unit. Schedulers and nodes count in 63 bits,
//! and processors in thousandths; for larger quantities they calculate with another number, often 0. So these are refused.

/// The most thousandths.
const MOST: u64 = i64::MAX as u64;

/// The largest exponent. Larger ones only slow the API server down.
const MOST_EXPONENT: i32 = 9999;

/// Reads a quantity, and returns its thousandths; `None` if it cannot be read, is negative, or is too large.
///
/// The grammar is that of Kubernetes, except that there must be a digit: a suffix alone is 0 there.
pub fn thousandths(text: &str) -> Option<u64> {
    let text = text.trim_ascii();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, rest) = digits(unsigned);
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
    let count = whole.len() + fraction.len();
    if count == 0 {
        return None;
    }
    let (exponent, bits) = scale(suffix)?;
    let digits = || whole.bytes().chain(fraction.bytes()).map(|digit| u64::from(digit - b'0'));
    // The digits that count thousandths, if the point is moved behind them.
    let point = i32::try_from(whole.len()).ok()? + 3 + exponent;
    let point = usize::try_from(point).unwrap_or(0);
    let mut amount = 0;
    for digit in digits().take(point).chain(core::iter::repeat_n(0, point.saturating_sub(count))) {
        if amount > MOST / 10 {
            return None;
        }
        amount = amount * 10 + digit;
    }
    if amount > MOST >> bits {
        return None;
    }
    // The rest, rounded up. To round up at each digit makes no difference: what is added before is a whole number.
    let mut rest = 0;
    for digit in digits().rev().take(count.saturating_sub(point)) {
        rest = ((digit << bits) + rest).div_ceil(10);
    }
    let amount = (amount << bits) + rest;
    let is_right = amount <= MOST && (amount == 0 || !text.starts_with('-'));
    is_right.then_some(amount)
}

/// The digits at the start of a text, and what is behind them.
fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// What a suffix multiplies with: a power of ten, and one of two.
fn scale(suffix: &str) -> Option<(i32, u32)> {
    Some(match suffix.as_bytes() {
        [] => (0, 0),
        b"n" => (-9, 0),
        b"u" => (-6, 0),
        b"m" => (-3, 0),
        b"k" => (3, 0),
        b"M" => (6, 0),
        b"G" => (9, 0),
        b"T" => (12, 0),
        b"P" => (15, 0),
        b"E" => (18, 0),
        b"Ki" => (0, 10),
        b"Mi" => (0, 20),
        b"Gi" => (0, 30),
        b"Ti" => (0, 40),
        b"Pi" => (0, 50),
        b"Ei" => (0, 60),
        [b'e' | b'E', b'-', digits @ ..] => (-power(digits)?, 0),
        [b'e' | b'E', b'+', digits @ ..] | [b'e' | b'E', digits @ ..] => (power(digits)?, 0),
        _ => return None,
    })
}

fn power(digits: &[u8]) -> Option<i32> {
    let mut power = 0;
    for digit in digits {
        if !digit.is_ascii_digit() || power > MOST_EXPONENT {
            return None;
        }
        power = power * 10 + i32::from(digit - b'0');
    }
    (!digits.is_empty() && power <= MOST_EXPONENT).then_some(power)
}
