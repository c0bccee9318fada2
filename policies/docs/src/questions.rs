//! Generates the form for a policy's settings, `questions-ui.yml`, in the format of Rancher's charts.
//!
//! The form has a question for every setting, under its own name and with its default, except settings `of` another
//! project. A question with `shown_if` is only shown if its setting has an effect.

use podfence_core::{Declaration, JsonType, Policy};
use podfence_fixtures::settings::{default, validate, with};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{generate, metadata::Facts};

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
    /// The questions for each element of a list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sequence_questions: Vec<Question>,
}

impl Facts<'_> {
    /// Returns the questions as YAML.
    ///
    /// # Errors
    /// The policy rejects the form with its defaults.
    pub(crate) fn questions(&self) -> Result<String, String> {
        let mut all = questions(self.policy.settings.declarations, "", Some("Settings"));
        all.extend(questions(self.policy.common_settings(), "", Some("Settings of every policy")));
        validate_form(self.policy, &all)?;
        generate::yaml(&Form { questions: all })
    }

    /// Generates `questions-ui.yml`.
    ///
    /// # Errors
    /// See [`Facts::questions`].
    pub(crate) fn form(&self) -> Result<String, String> {
        Ok(generate::generated(&self.questions()?))
    }
}

/// Returns the questions for the settings in the list at a path, which ends in `[*].`; or, if it is empty, for those
/// outside of lists.
fn questions(settings: &[Declaration], list: &str, group: Option<&'static str>) -> Vec<Question> {
    // What is in an object of any members is asked for as the object.
    let inside = |setting: &&Declaration| setting.path.strip_prefix(list).is_some_and(|path| !path.contains('*'));
    let asked = settings.iter().filter(|setting| setting.docs.project.is_empty()).filter(inside);
    let question = |setting: &Declaration| Question {
        variable: setting.path[list.len()..].to_owned(),
        label: label(&setting.path[list.len()..]),
        tooltip: setting.docs.text.lines().map(str::trim).collect::<Vec<_>>().join(" "),
        group,
        kind: kind(setting),
        options: setting.options,
        default: default(setting),
        show_if: condition(setting),
        sequence_questions: match setting.json_type {
            JsonType::ObjectList => questions(settings, &format!("{}[*].", setting.path), None),
            _ => Vec::new(),
        },
    };
    asked.map(question).collect()
}

/// Returns the type of the field in the form.
fn kind(setting: &Declaration) -> &'static str {
    match setting.json_type {
        JsonType::Bool => "boolean",
        JsonType::Integer => "int",
        JsonType::String if setting.options.is_empty() => "string",
        JsonType::String => "enum",
        JsonType::StringList => "array[",
        JsonType::ObjectList => "sequence[",
        JsonType::Object | JsonType::Any | JsonType::Deferred => "map[",
    }
}

/// Returns the condition under which the form shows a setting, in Rancher's syntax; `None` if it always does.
fn condition(setting: &Declaration) -> Option<String> {
    let (other, values) = setting.docs.shown_if;
    let conditions: Vec<String> = values.iter().map(|value| format!("{other}={value}")).collect();
    (!conditions.is_empty()).then(|| conditions.join("||"))
}

/// Returns a path as words: `exempt.runtimeClasses` is "Exempt runtime classes", `allowHostPID` is "Allow host PID".
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
    // Words with an abbreviation keep their case.
    let is_plain = |word: &str| word.chars().filter(|character| character.is_uppercase()).count() < 2;
    let words = words.iter().enumerate();
    let words = words.map(|(at, word)| if at > 0 && is_plain(word) { word.to_lowercase() } else { word.clone() });
    words.collect::<Vec<_>>().join(" ")
}

/// Checks that the policy accepts the defaults of the form, and that each variable is one of its settings.
///
/// # Errors
/// A variable is not a setting, or the policy rejects the defaults.
fn validate_form(policy: &Policy, questions: &[Question]) -> Result<(), String> {
    for variable in questions.iter().map(|question| &question.variable) {
        // No setting can have this value. The message shows whether the setting is known.
        let settings = with(&Value::Object(Map::new()), variable, Value::from(0.5));
        let message = validate(policy, &settings).err().unwrap_or_default();
        if !message.starts_with(&format!("{variable}: expected ")) {
            return Err(format!("the form asks for {variable}, which is not a setting: {message}"));
        }
    }
    let settings = questions.iter().fold(Value::Object(Map::new()), |settings, question| match &question.default {
        Some(default) => with(&settings, &question.variable, default.clone()),
        None => settings,
    });
    validate(policy, &settings)
        .map_err(|message| format!("the policy rejects the defaults of the form, {settings}: {message}"))
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
