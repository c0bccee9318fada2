//! Days of the calendar: enough to compare `until` with today.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A day of the Gregorian calendar, written `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// A text is not a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a date as YYYY-MM-DD, found `{0}`")]
pub struct DateError(String);

impl Date {
    /// Returns the day in UTC that is this many seconds after the start of 1970.
    pub fn at(seconds: u64) -> Self {
        Self { year: 1970, month: 1, day: 1 }.plus_days(seconds / 86_400)
    }

    /// Returns the day that is this many days later, or the last day that can be written.
    #[must_use]
    pub fn plus_days(self, days: u64) -> Self {
        let (mut date, mut left) = (self, days);
        loop {
            let rest = u64::from(days_of_month(date.year, date.month) - date.day);
            if left <= rest {
                return Self { day: date.day + left as u8, ..date };
            }
            left -= rest + 1;
            date = match (date.year, date.month) {
                (9999, 12) => return Self { day: 31, ..date },
                (year, 12) => Self { year: year + 1, month: 1, day: 1 },
                (year, month) => Self { year, month: month + 1, day: 1 },
            };
        }
    }
}

fn days_of_month(year: u16, month: u8) -> u8 {
    let is_leap_year = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u8::from(is_leap_year),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let parse = || {
            let bytes = text.as_bytes();
            let is_shaped = bytes.len() == 10
                && bytes.iter().enumerate().all(|(at, byte)| match at {
                    4 | 7 => *byte == b'-',
                    _ => byte.is_ascii_digit(),
                });
            if !is_shaped {
                return None;
            }
            let date =
                Self { year: text[..4].parse().ok()?, month: text[5..7].parse().ok()?, day: text[8..].parse().ok()? };
            let is_real =
                (1..=12).contains(&date.month) && (1..=days_of_month(date.year, date.month)).contains(&date.day);
            is_real.then_some(date)
        };
        parse().ok_or_else(|| DateError(text.to_owned()))
    }
}

impl TryFrom<String> for Date {
    type Error = DateError;

    fn try_from(text: String) -> Result<Self, DateError> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_day_that_exists() {
        for text in ["2027-06-30", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(text.parse::<Date>().map(|date| date.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "2027-6-30",
            "2027-06-31",
            "2027-13-01",
            "2027-00-01",
            "2027-01-00",
            "2023-02-29",
            "1900-02-29",
            "2027-06-30T00:00",
            "30.06.2027",
            "+027-06-30",
            "2027/06/30",
            "２０２７-06-3",
            "never",
        ] {
            let error = text.parse::<Date>().unwrap_err().to_string();
            assert_eq!(error, format!("expected a date as YYYY-MM-DD, found `{text}`"));
        }
    }

    #[test]
    fn days_are_added_across_months_and_years() {
        for (from, days, expected) in [
            ("2027-06-30", 0, "2027-06-30"),
            ("2027-06-30", 1, "2027-07-01"),
            ("2026-11-26", 90, "2027-02-24"),
            ("2023-12-01", 90, "2024-02-29"),
            ("2024-01-01", 366, "2025-01-01"),
            ("9999-12-30", 90, "9999-12-31"),
        ] {
            assert_eq!(from.parse::<Date>().unwrap().plus_days(days).to_string(), expected, "{from} + {days}");
        }
    }

    #[test]
    fn seconds_are_a_day_in_utc() {
        for (seconds, expected) in
            [(0, "1970-01-01"), (86_399, "1970-01-01"), (951_782_400, "2000-02-29"), (1_795_653_232, "2026-11-26")]
        {
            assert_eq!(Date::at(seconds).to_string(), expected, "{seconds}");
        }
    }
}
