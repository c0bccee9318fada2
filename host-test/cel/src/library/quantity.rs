//! Quantities of Kubernetes: `100m`, `1.5Gi`, `1e3`.

use std::cmp::Ordering;

use cel::common::types::CelDouble;

use super::*;
use super::{Opaque, QUANTITY};

/// How many of the smallest parts make one.
const NANO: i128 = 1_000_000_000;

/// An amount. Only some amounts can be read as integers, which depends on how they were written: `1000m` cannot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantity {
    /// The amount in billionths.
    nanos: i128,
    /// A number and a power of ten, where the API server holds it so.
    scaled: Option<(i64, i32)>,
}

pub(super) fn declare(declare: &mut Declare<'_>) {
    declare.global("quantity", [STRING_TYPE], |arguments| match Quantity::read(text(&arguments, 0)?) {
        Read::Amount(amount) => opaque(Opaque::Quantity(amount)),
        Read::TooLarge => fail("quantity", "the amount is too large to be evaluated here"),
        Read::Invalid => {
            fail("quantity", format!("expected a quantity as in 100m or 1.5Gi, found {:?}", text(&arguments, 0)?))
        }
    });
    declare.global("isQuantity", [STRING_TYPE], |arguments| {
        yes(!matches!(Quantity::read(text(&arguments, 0)?), Read::Invalid))
    });
    declare.global("sign", [QUANTITY], |arguments| number(amount(&arguments, 0)?.nanos.signum() as i64));
    declare.member("isInteger", [QUANTITY], |arguments| yes(amount(&arguments, 0)?.integer().is_some()));
    declare.member("asInteger", [QUANTITY], |arguments| match amount(&arguments, 0)?.integer() {
        Some(integer) => number(integer),
        None => fail("asInteger", "cannot convert value to integer"),
    });
    declare.member("asApproximateFloat", [QUANTITY], |arguments| {
        Ok(CowVal::owned(CelDouble::from(amount(&arguments, 0)?.nanos as f64 / NANO as f64)))
    });
    declare.member("add", [QUANTITY, DYN_TYPE], |arguments| calculate(&arguments, 1));
    declare.member("sub", [QUANTITY, DYN_TYPE], |arguments| calculate(&arguments, -1));
    declare.member("compareTo", [QUANTITY, QUANTITY], |arguments| number(compared(&arguments)? as i64));
    declare.member("isLessThan", [QUANTITY, QUANTITY], |arguments| yes(compared(&arguments)?.is_lt()));
    declare.member("isGreaterThan", [QUANTITY, QUANTITY], |arguments| yes(compared(&arguments)?.is_gt()));
}

fn amount<'a>(arguments: &'a [CowVal<'_, '_>], index: usize) -> Result<&'a Quantity, ExecutionError> {
    match at(arguments, index)?.downcast_ref::<Opaque>() {
        Some(Opaque::Quantity(amount)) => Ok(amount),
        _ => Err(no_overload("quantity")),
    }
}

fn compared(arguments: &[CowVal<'_, '_>]) -> Result<Ordering, ExecutionError> {
    Ok(amount(arguments, 0)?.compare(amount(arguments, 1)?))
}

/// Adds a quantity or an integer, so many times.
fn calculate<'b, 'v>(arguments: &Arguments<'b, 'v>, times: i64) -> Answer<'b, 'v> {
    let left = amount(arguments, 0)?;
    let sum = match integer(arguments, 1) {
        Ok(integer) => left.plus(&Quantity::of(integer), times),
        Err(_) => left.plus(amount(arguments, 1)?, times),
    };
    match sum {
        Some(sum) => opaque(Opaque::Quantity(sum)),
        None => fail("quantity", "the amount is too large to be evaluated here"),
    }
}

/// What a text is.
enum Read {
    Amount(Quantity),
    /// A quantity, beyond what is held here.
    TooLarge,
    Invalid,
}

/// What a suffix multiplies with.
enum Suffix {
    Binary(u32),
    Decimal(i32),
}

impl Quantity {
    fn of(integer: i64) -> Quantity {
        Quantity { nanos: i128::from(integer) * NANO, scaled: Some((integer, 0)) }
    }

    pub fn compare(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }

    fn read(text: &str) -> Read {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let negative = text.starts_with('-');
        if text.is_empty() {
            return Read::Invalid;
        }
        let digits = |text: &str| text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        let (whole, rest) = unsigned.split_at(digits(unsigned));
        let (part, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits(rest)),
            None => ("", rest),
        };
        let Some(suffix) = suffix_of(suffix) else { return Read::Invalid };
        let whole = whole.trim_start_matches('0');
        match Quantity::made(negative, whole, part, &suffix) {
            Some(amount) => Read::Amount(amount),
            None => Read::TooLarge,
        }
    }

    /// `None` for what is too large.
    fn made(negative: bool, whole: &str, part: &str, suffix: &Suffix) -> Option<Quantity> {
        let sign = if negative { -1 } else { 1 };
        let written = whole.len().max(1) + part.len();
        if written > 60 {
            return None;
        }
        let all = format!("{whole}{part}");
        let all: i128 = if all.is_empty() { 0 } else { all.parse().ok()? };
        let places = part.len() as i32;
        let scaled = match *suffix {
            Suffix::Decimal(exponent) if written <= 18 && exponent - places >= -9 => {
                Some((sign * i64::try_from(all).ok()?, exponent - places))
            }
            Suffix::Binary(exponent) if part.is_empty() => {
                let room = 15 - written as i32 - (exponent as f32 * 3.0 / 10.0) as i32 - 1;
                let value = i64::try_from(all.checked_shl(exponent)?).ok();
                value.filter(|_| room >= 0).map(|value| (sign * value, 0))
            }
            _ => None,
        };
        let nanos = match *suffix {
            Suffix::Decimal(exponent) => power(all, 9 + exponent - places)?,
            Suffix::Binary(exponent) => {
                let most = i128::from(i64::MAX) * NANO;
                let shifted = all.checked_mul(1i128 << exponent);
                shifted.and_then(|shifted| power(shifted, 9 - places)).unwrap_or(most).min(most)
            }
        };
        Some(Quantity { nanos: i128::from(sign) * nanos, scaled })
    }

    /// The integer that the API server takes it for.
    fn integer(&self) -> Option<i64> {
        let (value, scale) = self.scaled?;
        (scale >= 0).then(|| raised(value, scale)).flatten()
    }

    /// This amount and another, so many times. `None` if the sum is too large.
    fn plus(&self, other: &Quantity, times: i64) -> Option<Quantity> {
        let nanos = self.nanos.checked_add(other.nanos.checked_mul(i128::from(times))?)?;
        let scaled = self.scaled.zip(other.scaled).and_then(|((one, scale), (other, other_scale))| {
            let other = other.checked_mul(times)?;
            match scale.cmp(&other_scale) {
                _ if other == 0 => Some((one, scale)),
                _ if one == 0 => Some((other, other_scale)),
                Ordering::Equal => Some((one.checked_add(other)?, scale)),
                Ordering::Greater => Some((raised(one, scale - other_scale)?.checked_add(other)?, other_scale)),
                Ordering::Less => Some((raised(other, other_scale - scale)?.checked_add(one)?, scale)),
            }
        });
        Some(Quantity { nanos, scaled })
    }
}

fn raised(value: i64, exponent: i32) -> Option<i64> {
    value.checked_mul(10i64.checked_pow(exponent.try_into().ok()?)?)
}

/// A number times a power of ten; what is below one is rounded away from zero.
fn power(value: i128, exponent: i32) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    if exponent >= 0 {
        return value.checked_mul(10i128.checked_pow(exponent.unsigned_abs())?);
    }
    match 10i128.checked_pow(exponent.unsigned_abs()) {
        Some(divisor) => Some(value / divisor + i128::from(value % divisor != 0)),
        None => Some(1),
    }
}

fn suffix_of(suffix: &str) -> Option<Suffix> {
    let decimal = |exponent| Some(Suffix::Decimal(exponent));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => Some(Suffix::Binary(10)),
        "Mi" => Some(Suffix::Binary(20)),
        "Gi" => Some(Suffix::Binary(30)),
        "Ti" => Some(Suffix::Binary(40)),
        "Pi" => Some(Suffix::Binary(50)),
        "Ei" => Some(Suffix::Binary(60)),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            decimal(exponent.parse::<i32>().unwrap_or(i32::MAX).clamp(-1000, 1000))
        }
    }
}

/// A quantity as the API server writes it. `None` for what is none, or too large.
pub(crate) fn canonical(text: &str) -> Option<String> {
    written(text, false)
}

/// A quantity as the API server writes it in a list of resources: rounded up to thousandths.
pub(crate) fn rounded(text: &str) -> Option<String> {
    written(text, true)
}

fn written(text: &str, milli: bool) -> Option<String> {
    let Read::Amount(amount) = Quantity::read(text) else { return None };
    if stays(text, &amount, milli) {
        return Some(text.to_owned());
    }
    let mut nanos = amount.nanos;
    if milli {
        let part = NANO / 1000;
        let away = if nanos % part == 0 { 0 } else { nanos.signum() };
        nanos = (nanos / part + away) * part;
    }
    let suffix = text.trim_start_matches(|character: char| character.is_ascii_digit() || "+-.".contains(character));
    let binary = suffix.ends_with('i') && nanos % NANO == 0 && nanos.abs() >= 1024 * NANO;
    if binary {
        Some(write_binary(nanos / NANO))
    } else {
        write_decimal(nanos, suffix.starts_with(['e', 'E']) && suffix.len() > 1)
    }
}

fn write_binary(mut value: i128) -> String {
    let suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut index = 0;
    while value % 1024 == 0 && index + 1 < suffixes.len() {
        value /= 1024;
        index += 1;
    }
    format!("{value}{}", suffixes[index])
}

/// The largest suffix that leaves an integer.
fn write_decimal(nanos: i128, exponents: bool) -> Option<String> {
    let suffixes = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    let (mut value, mut index) = (nanos, 0usize);
    if value == 0 {
        return Some("0".to_owned());
    }
    while value % 1000 == 0 && (exponents || index + 1 < suffixes.len()) {
        value /= 1000;
        index += 1;
    }
    let power = 3 * index as i32 - 9;
    match suffixes.get(index) {
        _ if exponents && power != 0 => Some(format!("{value}e{power}")),
        Some(suffix) => Some(format!("{value}{suffix}")),
        None => None,
    }
}

/// Whether the API server keeps a quantity as it was written, although there is a shorter way.
fn stays(text: &str, amount: &Quantity, milli: bool) -> bool {
    let Some((value, scale)) = amount.scaled else { return false };
    let unsigned = text.trim_start_matches(['+', '-']);
    let number = unsigned.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    if unsigned.ends_with('i') {
        let digits: i64 = number.parse().unwrap_or(0);
        return value != 0 && digits & 7 != 0;
    }
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let mantissa = mantissa.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let shifted = format!("{}{part}", whole.trim_start_matches('0'));
    let leading = whole.trim_start_matches('0').is_empty();
    value != 0 && scale % 3 == 0 && !shifted.ends_with("000") && !leading && (!milli || scale >= -3)
}
