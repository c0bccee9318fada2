//! Semantic versions: `1.2.3-alpha.1+build`.

use std::cmp::Ordering;

use super::*;
use super::{Opaque, SEMVER};

/// A version; what follows `+` does not count.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version {
    numbers: [u64; 3],
    /// What follows `-`, at its dots.
    prerelease: Vec<Identifier>,
}

/// A part of a prerelease. Numbers come before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

pub(super) fn declare(declare: &mut Declare<'_>) {
    declare.global("semver", [STRING_TYPE], |arguments| make(&arguments, false));
    declare.global("semver", [STRING_TYPE, BOOL_TYPE], |arguments| make(&arguments, boolean(&arguments, 1)?));
    declare.global("isSemver", [STRING_TYPE], |arguments| yes(Version::read(text(&arguments, 0)?, false).is_some()));
    declare.global("isSemver", [STRING_TYPE, BOOL_TYPE], |arguments| {
        yes(Version::read(text(&arguments, 0)?, boolean(&arguments, 1)?).is_some())
    });
    declare.member("major", [SEMVER], |arguments| part(&arguments, 0));
    declare.member("minor", [SEMVER], |arguments| part(&arguments, 1));
    declare.member("patch", [SEMVER], |arguments| part(&arguments, 2));
    declare.member("compareTo", [SEMVER, SEMVER], |arguments| number(compared(&arguments)? as i64));
    declare.member("isLessThan", [SEMVER, SEMVER], |arguments| yes(compared(&arguments)?.is_lt()));
    declare.member("isGreaterThan", [SEMVER, SEMVER], |arguments| yes(compared(&arguments)?.is_gt()));
}

fn make<'b, 'v>(arguments: &Arguments<'b, 'v>, normalize: bool) -> Answer<'b, 'v> {
    match Version::read(text(arguments, 0)?, normalize) {
        Some(version) => opaque(Opaque::Version(version)),
        None => fail("semver", format!("expected a version as in 1.2.3, found {:?}", text(arguments, 0)?)),
    }
}

fn version<'a>(arguments: &'a [CowVal<'_, '_>], index: usize) -> Result<&'a Version, ExecutionError> {
    match at(arguments, index)?.downcast_ref::<Opaque>() {
        Some(Opaque::Version(version)) => Ok(version),
        _ => Err(no_overload("semver")),
    }
}

fn part<'b, 'v>(arguments: &Arguments<'b, 'v>, index: usize) -> Answer<'b, 'v> {
    number(version(arguments, 0)?.numbers[index] as i64)
}

fn compared(arguments: &[CowVal<'_, '_>]) -> Result<Ordering, ExecutionError> {
    Ok(version(arguments, 0)?.compare(version(arguments, 1)?))
}

impl Version {
    /// Reads a version; a normalized one may have a `v`, leading zeros, and fewer than three numbers.
    fn read(text: &str, normalize: bool) -> Option<Version> {
        if !normalize {
            return Version::strict(text);
        }
        let text = text.strip_prefix('v').unwrap_or(text);
        if text.is_empty() {
            return None;
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let mut stripped: Vec<String> = parts.iter().map(|part| without_zeros(part)).collect();
        if stripped.len() < 3 {
            if stripped.last().is_some_and(|last| last.contains(['+', '-'])) {
                return None;
            }
            stripped.resize(3, "0".to_owned());
        }
        Version::strict(&stripped.join("."))
    }

    fn strict(text: &str) -> Option<Version> {
        let (text, build) = text.split_once('+').map_or((text, None), |(version, build)| (version, Some(build)));
        let (core, prerelease) =
            text.split_once('-').map_or((text, None), |(core, prerelease)| (core, Some(prerelease)));
        let numbers: Vec<u64> = core.split('.').map(number_of).collect::<Option<_>>()?;
        let build = build.into_iter().flat_map(|build| build.split('.'));
        if !build.into_iter().all(is_identifier) {
            return None;
        }
        let prerelease = prerelease.into_iter().flat_map(|prerelease| prerelease.split('.'));
        let prerelease = prerelease.map(identifier).collect::<Option<_>>()?;
        Some(Version { numbers: numbers.try_into().ok()?, prerelease })
    }

    pub fn compare(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.prerelease.cmp(&other.prerelease),
        })
    }
}

fn without_zeros(part: &str) -> String {
    let stripped = part.trim_start_matches('0');
    if stripped.is_empty() || !stripped.starts_with(|digit: char| digit.is_ascii_digit()) {
        return format!("0{stripped}");
    }
    stripped.to_owned()
}

/// A number without leading zeros.
fn number_of(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading = text.len() > 1 && text.starts_with('0');
    if digits && !leading { text.parse().ok() } else { None }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn identifier(text: &str) -> Option<Identifier> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number_of(text).map(Identifier::Number);
    }
    is_identifier(text).then(|| Identifier::Word(text.to_owned()))
}
