//! Formats of text by their names, as `format.dns1123Label()`, and what a text lacks of one: the words of Kubernetes.

use std::sync::LazyLock;

use cel::common::types::CelOptional;
use chrono::NaiveDate;
use regex::Regex;

use super::*;
use super::{FORMAT, Opaque};
use crate::budget::{bytes, spend};

/// The formats.
const NAMES: [&str; 13] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uuid",
    "byte",
    "date",
    "datetime",
    "uri",
];

pub(super) fn declare(declare: &mut Declare<'_>) {
    declare.global("@format", [STRING_TYPE], |arguments| match find(text(&arguments, 0)?) {
        Some(name) => opaque(Opaque::Format(name)),
        None => fail("format", "this format cannot be evaluated here"),
    });
    declare.global("@named", [STRING_TYPE], |arguments| match (find(text(&arguments, 0)?), text(&arguments, 0)?) {
        (Some(name), _) => Ok(CowVal::owned(CelOptional::of(Box::new(Opaque::Format(name))))),
        (None, _) => Ok(CowVal::owned(CelOptional::none())),
    });
    declare.member("validate", [FORMAT, STRING_TYPE], validate);
}

fn find(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| *known == name)
}

/// What a text lacks; absent if that is nothing.
fn validate<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let Some(Opaque::Format(name)) = at(&arguments, 0)?.downcast_ref::<Opaque>() else {
        return Err(no_overload("validate"));
    };
    let text = text(&arguments, 1)?;
    spend(1 + 6 * bytes(text.len()))?;
    let problems = problems(name, text);
    if problems.is_empty() {
        return Ok(CowVal::owned(CelOptional::none()));
    }
    let problems = strings_list(problems.into_iter())?;
    Ok(CowVal::owned(CelOptional::of(problems.into_owned())))
}

fn problems(name: &str, text: &str) -> Vec<String> {
    let unless = |is_valid: bool, problem: &str| if is_valid { Vec::new() } else { vec![problem.to_owned()] };
    match name {
        "dns1123Label" => label(text),
        "dns1123Subdomain" => subdomain(text),
        "dns1035Label" => old_label(text),
        "dns1123LabelPrefix" => label(&without_dash(text)),
        "dns1123SubdomainPrefix" => subdomain(&without_dash(text)),
        "dns1035LabelPrefix" => old_label(&without_dash(text)),
        "qualifiedName" => qualified_name(text),
        "labelValue" => lacks(&LABEL_VALUE, 63, text),
        "uuid" => unless(UUID.is_match(text), "does not match the UUID format"),
        "byte" => unless(BASE64.is_match(text), "invalid base64"),
        "uri" => super::url::problem(text).into_iter().collect(),
        "date" => unless(is_date(text), "invalid date"),
        _ => unless(is_date_time(text), "invalid datetime"),
    }
}

/// A name that more is put behind may end with a dash.
fn without_dash(text: &str) -> String {
    match text.len() > 1 && text.ends_with('-') {
        true => String::from_utf8_lossy(&text.as_bytes()[..text.len() - 2]).into_owned() + "a",
        false => text.to_owned(),
    }
}

/// A pattern, and what is reported of a text that does not match it.
struct Pattern {
    whole: Regex,
    problem: String,
}

impl Pattern {
    fn new(pattern: &str, rule: &str, examples: &[&str]) -> Pattern {
        let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
        let problem = format!("{rule} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "));
        Pattern { whole: Regex::new(&format!("^{pattern}$")).expect("a regular expression"), problem }
    }
}

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

static DNS_LABEL: LazyLock<Pattern> = LazyLock::new(|| {
    let rule = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
                end with an alphanumeric character";
    Pattern::new(LABEL, rule, &["my-name", "123-abc"])
});
static DNS_SUBDOMAIN: LazyLock<Pattern> = LazyLock::new(|| {
    let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                start and end with an alphanumeric character";
    Pattern::new(&format!("{LABEL}(\\.{LABEL})*"), rule, &["example.com"])
});
static OLD_LABEL: LazyLock<Pattern> = LazyLock::new(|| {
    let rule = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                character, and end with an alphanumeric character";
    Pattern::new("[a-z]([-a-z0-9]*[a-z0-9])?", rule, &["my-name", "abc-123"])
});
static LABEL_KEY: LazyLock<Pattern> = LazyLock::new(|| {
    let rule = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
                character";
    Pattern::new(KEY, rule, &["MyName", "my.name", "123-abc"])
});
static LABEL_VALUE: LazyLock<Pattern> = LazyLock::new(|| {
    let rule = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
                start and end with an alphanumeric character";
    Pattern::new(&format!("({KEY})?"), rule, &["MyValue", "my_value", "12345"])
});
static UUID: LazyLock<Regex> =
    LazyLock::new(|| pattern("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"));
static BASE64: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$"));
static DATE: LazyLock<Regex> = LazyLock::new(|| pattern("^([0-9]{4})-([0-9]{2})-([0-9]{2})$"));
static TIME: LazyLock<Regex> =
    LazyLock::new(|| pattern("^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a regular expression")
}

/// That a text is too long, and that it does not match.
fn lacks(pattern: &Pattern, most: usize, text: &str) -> Vec<String> {
    let length = (text.len() > most).then(|| too_long(most));
    let form = (!pattern.whole.is_match(text)).then(|| pattern.problem.clone());
    length.into_iter().chain(form).collect()
}

fn too_long(most: usize) -> String {
    format!("must be no more than {most} bytes")
}

fn label(text: &str) -> Vec<String> {
    let mut problems = lacks(&DNS_LABEL, 63, text);
    if let Some(last) = problems.last_mut().filter(|last| **last == DNS_LABEL.problem)
        && DNS_SUBDOMAIN.whole.is_match(text)
    {
        *last = "must not contain dots".to_owned();
    }
    problems
}

fn subdomain(text: &str) -> Vec<String> {
    lacks(&DNS_SUBDOMAIN, 253, text)
}

fn old_label(text: &str) -> Vec<String> {
    lacks(&OLD_LABEL, 63, text)
}

fn qualified_name(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            let of_prefix = if prefix.is_empty() { vec!["must be non-empty".to_owned()] } else { subdomain(prefix) };
            problems.extend(of_prefix.into_iter().map(|problem| format!("prefix part {problem}")));
            *name
        }
        _ => {
            let behind = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {} {behind}", LABEL_KEY.problem)];
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    }
    problems.extend(lacks(&LABEL_KEY, 63, name).into_iter().map(|problem| format!("name part {problem}")));
    problems
}

fn is_date(text: &str) -> bool {
    let Some(found) = DATE.captures(text) else { return false };
    let number = |index: usize| found[index].parse::<u32>().unwrap_or_default();
    NaiveDate::from_ymd_opt(number(1) as i32, number(2), number(3)).is_some()
}

fn is_date_time(text: &str) -> bool {
    let text = text.to_lowercase();
    let mut parts = text.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    is_date(date) && TIME.captures(time).is_some_and(|of| &of[1] <= "23" && &of[2] <= "59" && &of[3] <= "59")
}
