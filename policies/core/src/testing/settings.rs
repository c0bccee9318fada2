//! Settings are the same under every name, and given or not.

use serde_json::{Map, Value, json};

use crate::{Entry, Kind, Policy, json::pad};

/// What stands at a dotted path.
pub(super) fn get<'s>(settings: &'s Value, path: &str) -> Option<&'s Value> {
    path.split('.').try_fold(settings, |value, key| value.get(key))
}

/// The settings with a value at a dotted path.
pub(super) fn with(settings: &Value, path: &str, value: Value) -> Value {
    let mut settings = settings.clone();
    let mut at = &mut settings;
    for key in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[key];
    }
    *at = value;
    settings
}

/// The settings with the value of a setting under another name; `None` if they do not have it.
pub(super) fn renamed(settings: &Value, from: &str, to: &str) -> Option<Value> {
    let value = get(settings, from)?.clone();
    let (parent, key) = from.rsplit_once('.').unwrap_or(("", from));
    let mut inside = if parent.is_empty() { settings.clone() } else { get(settings, parent)?.clone() };
    inside.as_object_mut()?.shift_remove(key);
    let rest = if parent.is_empty() { inside } else { with(settings, parent, inside) };
    Some(with(&rest, to, value))
}

/// The default of a setting as JSON.
pub(super) fn default(setting: &Entry) -> Option<Value> {
    (!setting.default.is_empty()).then(|| serde_json::from_str(setting.default).unwrap_or_default())
}

/// The settings with every default that is not given under any name, nor as another project has it.
pub(super) fn with_defaults(settings: &Value, entries: &[Entry]) -> Value {
    let mut all = settings.clone();
    for setting in entries {
        let others = entries.iter().filter(|other| other.stands_for == setting.path).map(|other| &other.path);
        let mut names = setting.aliases.iter().chain([&setting.path]).chain(others);
        if let (None, Some(default)) = (names.find(|name| get(settings, name).is_some()), default(setting)) {
            all = with(&all, setting.path, default);
        }
    }
    all
}

/// A value that a setting can have, as far as its type goes.
pub(super) fn sample(setting: &Entry) -> Value {
    default(setting).unwrap_or_else(|| match setting.kind {
        Kind::Bool => json!(true),
        Kind::Integer => json!(0),
        Kind::Text => json!(setting.options.first().copied().unwrap_or_default()),
        Kind::Texts | Kind::Objects => json!([]),
        Kind::Object | Kind::Any | Kind::Subject => json!({}),
    })
}

/// Whether a policy accepts settings, or else its message.
pub(super) fn validate(policy: &Policy, settings: &Value) -> Result<(), String> {
    let reply = crate::validate_settings(policy, &pad(settings.to_string().as_bytes()));
    let reply: Value = serde_json::from_str(&reply).unwrap_or_default();
    if reply["valid"] == json!(true) { Ok(()) } else { Err(reply["message"].as_str().unwrap_or_default().to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_in_an_object_gets_a_name_at_the_root() {
        let settings = json!({"exempt": {"images": ["a"], "users": ["u"]}, "x": 1});
        assert_eq!(
            renamed(&settings, "exempt.images", "exemptImages"),
            Some(json!({"exempt": {"users": ["u"]}, "x": 1, "exemptImages": ["a"]}))
        );
        assert_eq!(renamed(&settings, "y", "z"), None);
        assert_eq!(renamed(&settings, "x", "z"), Some(json!({"exempt": {"images": ["a"], "users": ["u"]}, "z": 1})));
    }
}
