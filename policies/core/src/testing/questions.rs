//! The form for a policy's settings: `questions-ui.yml`, in the format of Rancher's charts.
//!
//! Every setting is asked for under its own name, with its default; those `of` another project are not.
//! Settings are strict, so each variable is a setting. A question is only shown where it has a meaning:
//! docs that start with "With `mutate`," are about a setting that needs another one, and docs that name
//! options of the setting beside it (`runAsUser.ranges`: "`MustRunAs` and `MayRunAs`") are about those.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    generate,
    metadata::Facts,
    settings::{default, validate, with},
};
use crate::{Entry, Kind, Policy, common};

#[derive(Serialize)]
struct Form {
    questions: Vec<Question>,
}

#[derive(Serialize)]
struct Question {
    variable: String,
    label: String,
    tooltip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'static str>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    options: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    show_if: Option<String>,
    /// What is asked for each element of a list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sequence_questions: Vec<Question>,
}

impl Facts<'_> {
    /// The questions, as YAML.
    ///
    /// # Errors
    /// The policy refuses the form as it is before anything is filled in.
    pub(super) fn questions(&self) -> Result<String, String> {
        let mut all = questions(self.policy.settings.entries, "", Some("Settings"));
        all.extend(questions(common::SETTINGS, "", Some("Settings of every policy")));
        validate_defaults(self.policy, &all)?;
        generate::yaml(&Form { questions: all })
    }

    /// `questions-ui.yml`.
    ///
    /// # Errors
    /// See [`Facts::questions`].
    pub(super) fn form(&self) -> Result<String, String> {
        Ok(generate::generated(&self.questions()?))
    }
}

/// The questions for the settings below a path, which ends in `[*].`, or for those that are in no list.
fn questions(settings: &[Entry], list: &str, group: Option<&'static str>) -> Vec<Question> {
    let inside = |setting: &&Entry| setting.path.strip_prefix(list).is_some_and(|path| !path.contains("[*]"));
    let asked = settings.iter().filter(|setting| setting.project.is_empty()).filter(inside);
    let question = |setting: &Entry| Question {
        variable: setting.path[list.len()..].to_owned(),
        label: label(&setting.path[list.len()..]),
        tooltip: setting.doc.lines().map(str::trim).collect::<Vec<_>>().join(" "),
        group,
        kind: kind(setting),
        options: setting.options,
        default: default(setting),
        show_if: condition(setting, settings),
        sequence_questions: match setting.kind {
            Kind::Objects => questions(settings, &format!("{}[*].", setting.path), None),
            _ => Vec::new(),
        },
    };
    asked.map(question).collect()
}

/// The type of the field in the form.
fn kind(setting: &Entry) -> &'static str {
    match setting.kind {
        Kind::Bool => "boolean",
        Kind::Integer => "int",
        Kind::Text if setting.options.is_empty() => "string",
        Kind::Text => "enum",
        Kind::Texts => "array[",
        Kind::Objects => "sequence[",
        Kind::Object | Kind::Any | Kind::Subject => "map[",
    }
}

/// Where a setting has a meaning; `None` if it always has.
fn condition(setting: &Entry, all: &[Entry]) -> Option<String> {
    let words: Vec<&str> = setting.doc.split('`').skip(1).step_by(2).collect();
    if setting.doc.trim_start().starts_with("With `") {
        let needed = all.iter().find(|other| other.kind == Kind::Bool && words.first() == Some(&other.path))?;
        return Some(format!("{}=true", needed.path));
    }
    let (parent, _) = setting.path.rsplit_once('.')?;
    let is_beside = |other: &&Entry| other.path.rsplit_once('.').is_some_and(|(beside, _)| beside == parent);
    let rule = all.iter().filter(is_beside).find(|other| !other.options.is_empty() && other.path != setting.path)?;
    let named: Vec<String> = words
        .iter()
        .filter(|word| rule.options.contains(word))
        .map(|option| format!("{}={option}", rule.path))
        .collect();
    (!named.is_empty()).then(|| named.join("||"))
}

/// A path as words: `exempt.runtimeClasses` is "Exempt runtime classes", `allowHostPID` is "Allow host PID".
fn label(path: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut was_lower = false;
    for character in path.chars() {
        if character == '.' || was_lower && character.is_uppercase() {
            words.push(String::new());
        }
        was_lower = character.is_lowercase();
        match words.last_mut() {
            _ if character == '.' => {}
            Some(word) => word.push(character),
            None => words.push(character.to_uppercase().collect()),
        }
    }
    // What is an abbreviation, or has one in it, stays as it is.
    let is_plain = |word: &str| word.chars().filter(|character| character.is_uppercase()).count() < 2;
    let words = words.iter().enumerate();
    let words = words.map(|(at, word)| if at > 0 && is_plain(word) { word.to_lowercase() } else { word.clone() });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether the policy accepts what the form sends before anything is filled in: every default.
fn validate_defaults(policy: &Policy, questions: &[Question]) -> Result<(), String> {
    let settings = questions.iter().fold(Value::Object(Map::new()), |settings, question| match &question.default {
        Some(default) => with(&settings, &question.variable, default.clone()),
        None => settings,
    });
    validate(policy, &settings)
        .map_err(|message| format!("a form with all defaults, {settings}, is refused: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_path_in_words() {
        let labels = [
            ("exempt.runtimeClasses", "Exempt runtime classes"),
            ("allowHostPID", "Allow host PID"),
            ("allowedSELinuxOptions", "Allowed SELinux options"),
            ("runAsUser.rule", "Run as user rule"),
            ("level", "Level"),
        ];
        for (path, expected) in labels {
            assert_eq!(label(path), expected);
        }
    }
}
