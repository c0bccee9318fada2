//! Strings: conversions as Go writes them, regular expressions, and what builds text.

use std::sync::Arc;

use cel::common::types::{CelBytes, CelDouble, CelDuration, CelMap, CelTimestamp};
use chrono::SecondsFormat;

use super::*;
use crate::budget::{bytes, pattern, spend, weight};

pub(super) fn declare(declare: &mut Declare<'_>) {
    declare.global("@string", [DYN_TYPE], convert);
    declare.global("@int", [DYN_TYPE], to_integer);
    declare.global("@double", [DYN_TYPE], to_double);
    declare.member("@replace", [STRING_TYPE, STRING_TYPE, STRING_TYPE], |arguments| replace(&arguments, -1));
    declare.member("@replace", [STRING_TYPE, STRING_TYPE, STRING_TYPE, INT_TYPE], |arguments| {
        replace(&arguments, integer(&arguments, 3)?)
    });
    declare.member("@contains", [STRING_TYPE, STRING_TYPE], |arguments| {
        spend_search(&arguments)?;
        yes(text(&arguments, 0)?.contains(text(&arguments, 1)?))
    });
    declare.global("@formattable", [LIST_TYPE], formattable);
    declare.global("@matches", [STRING_TYPE, STRING_TYPE], |arguments| {
        yes(searched(&arguments)?.is_match(text(&arguments, 0)?))
    });
    declare.member("find", [STRING_TYPE, STRING_TYPE], |arguments| {
        let found = searched(&arguments)?.find(text(&arguments, 0)?).map_or("", |found| found.as_str());
        string(found)
    });
    declare.member("findAll", [STRING_TYPE, STRING_TYPE], |arguments| find_all(&arguments, -1));
    declare.member("findAll", [STRING_TYPE, STRING_TYPE, INT_TYPE], |arguments| {
        find_all(&arguments, integer(&arguments, 2)?)
    });
    declare.member("@indexOf", [STRING_TYPE, STRING_TYPE], |arguments| first_index(&arguments, 0));
    declare.member("@indexOf", [STRING_TYPE, STRING_TYPE, INT_TYPE], |arguments| {
        first_index(&arguments, integer(&arguments, 2)?)
    });
    declare.member("@lastIndexOf", [STRING_TYPE, STRING_TYPE], |arguments| last_index(&arguments, None));
    declare.member("@lastIndexOf", [STRING_TYPE, STRING_TYPE, INT_TYPE], |arguments| {
        last_index(&arguments, Some(integer(&arguments, 2)?))
    });
}

/// Spends for a search of one text in another, as the API server counts it.
fn spend_search(arguments: &Arguments<'_, '_>) -> Result<(), ExecutionError> {
    let units = |index| Ok(bytes(text(arguments, index)?.len()) + 1);
    spend(units(0)?.saturating_mul(units(1)?))
}

/// The pattern that the second argument is, with what its use costs spent.
fn searched(arguments: &Arguments<'_, '_>) -> Result<Arc<regex::Regex>, ExecutionError> {
    let compiled = pattern(text(arguments, 1)?)?;
    let length = text(arguments, 1)?.len() as u64;
    spend((bytes(text(arguments, 0)?.len()) + 1).saturating_mul(length / 4 + 1))?;
    Ok(compiled)
}

/// The characters of the first two arguments, with what a search in them costs spent, and the start of the search.
fn characters(
    arguments: &Arguments<'_, '_>,
    start: i64,
    function: &str,
) -> Result<(Vec<char>, Vec<char>, usize), ExecutionError> {
    spend_search(arguments)?;
    let (whole, part): (Vec<char>, Vec<char>) =
        (text(arguments, 0)?.chars().collect(), text(arguments, 1)?.chars().collect());
    match usize::try_from(start) {
        Ok(start) => Ok((whole, part, start)),
        Err(_) => fail(function, format!("index out of range: {start}")),
    }
}

/// The index of the first occurrence from a character on, or -1.
fn first_index<'b, 'v>(arguments: &Arguments<'b, 'v>, start: i64) -> Answer<'b, 'v> {
    let (whole, part, start) = characters(arguments, start, "indexOf")?;
    if part.is_empty() {
        return number(start.min(whole.len()) as i64);
    }
    let mut windows = whole.windows(part.len()).enumerate().skip(start);
    number(windows.find(|(_, window)| *window == part).map_or(-1, |(index, _)| index as i64))
}

/// The index of the last occurrence that starts up to a character, or -1.
fn last_index<'b, 'v>(arguments: &Arguments<'b, 'v>, start: Option<i64>) -> Answer<'b, 'v> {
    let (whole, part, last) = characters(arguments, start.unwrap_or(i64::MAX), "lastIndexOf")?;
    if part.is_empty() {
        return number(last.min(whole.len()) as i64);
    }
    // As the API server: a start behind the end finds nothing.
    if start.is_some() && last >= whole.len() {
        return number(-1);
    }
    let mut windows = whole.windows(part.len()).enumerate().take(last.saturating_add(1));
    let found = windows.rfind(|(_, window)| *window == part);
    number(found.map_or(-1, |(index, _)| index as i64))
}

fn find_all<'b, 'v>(arguments: &Arguments<'b, 'v>, most: i64) -> Answer<'b, 'v> {
    let searched_text = text(arguments, 0)?;
    spend(2 * searched_text.len() as u64)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let found = searched(arguments)?;
    strings_list(found.find_iter(searched_text).take(most).map(|found| found.as_str().to_owned()))
}

fn replace<'b, 'v>(arguments: &Arguments<'b, 'v>, most: i64) -> Answer<'b, 'v> {
    let (whole, old, new) = (text(arguments, 0)?, text(arguments, 1)?, text(arguments, 2)?);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let count = whole.matches(old).take(most).count();
    spend(1 + bytes(whole.len()).saturating_add(bytes(count.saturating_mul(new.len()))))?;
    string(whole.replacen(old, new, most))
}

/// The arguments of `format`. The API server writes doubles by locale, which the crate does not.
fn formattable<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let list = at(&arguments, 0)?;
    spend(2 * weight(list.as_ref()))?;
    if holds_double(list.as_ref()) {
        return fail("format", "a double cannot be formatted here; convert it with string(…)");
    }
    arguments.into_iter().next().ok_or_else(|| no_overload("format"))
}

fn holds_double(value: &dyn Val) -> bool {
    if let Some(list) = value.downcast_ref::<CelList>() {
        return list.inner().iter().any(|element| holds_double(element.as_ref()));
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        return map.inner().values().any(|value| holds_double(value.as_ref()));
    }
    value.downcast_ref::<CelDouble>().is_some()
}

/// `string(x)`: doubles, bytes and durations as Go writes them; the rest is the crate's.
fn convert<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let value = at(&arguments, 0)?;
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        return string(double(*number.inner()));
    }
    if let Some(found) = value.downcast_ref::<Opaque>() {
        return match found {
            Opaque::Ip(address) => string(address.to_string()),
            Opaque::Cidr(address, length) => string(format!("{address}/{length}")),
            Opaque::Quantity(_) | Opaque::Version(_) | Opaque::Url(_) | Opaque::Format(_) => Err(no_overload("string")),
        };
    }
    if let Some(length) = value.downcast_ref::<CelBytes>().map(|data| data.inner().len()) {
        spend(bytes(length))?;
    }
    if let Some(duration) = value.downcast_ref::<CelDuration>() {
        return string(seconds(duration.inner()));
    }
    if let Some(time) = value.downcast_ref::<CelTimestamp>() {
        return string(time.inner().to_rfc3339_opts(SecondsFormat::AutoSi, true));
    }
    original("string", arguments)
}

/// The conversion that the crate has.
fn original<'b, 'v>(name: &str, arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let found = ENVIRONMENT.find_overload(name, &arguments).ok_or_else(|| no_overload(name))?;
    found(arguments)
}

/// `int(x)`, which takes durations as well: in nanoseconds.
fn to_integer<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    if let Some(duration) = at(&arguments, 0)?.downcast_ref::<CelDuration>() {
        return match duration.inner().num_nanoseconds() {
            Some(nanos) => number(nanos),
            None => fail("int", "integer overflow"),
        };
    }
    original("int", arguments)
}

/// `double(x)`, which does not take text beyond the range of a double.
fn to_double<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let digits = text(&arguments, 0).is_ok_and(|text| text.bytes().any(|byte| byte.is_ascii_digit()));
    let converted = original("double", arguments)?;
    if digits && converted.downcast_ref::<CelDouble>().is_some_and(|number| number.inner().is_infinite()) {
        return fail("double", "type conversion error from 'string' to 'double'");
    }
    Ok(converted)
}

/// A duration in seconds, as cel-go: `5400s`, `1.5s`.
fn seconds(duration: &chrono::Duration) -> String {
    let nanos = i128::from(duration.num_seconds()) * 1_000_000_000 + i128::from(duration.subsec_nanos());
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let (whole, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let part = format!("{part:09}");
    let part = part.trim_end_matches('0');
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{part}s")
}

/// A double as Go's `%g` writes it: with an exponent from 1e+06 on, and below 0.0001.
fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_go_writes_them() {
        let cases = [
            (1.5, "1.5"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.234567e+06"),
            (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.0, "-2"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (number, expected) in cases {
            assert_eq!(double(number), expected);
        }
    }
}
