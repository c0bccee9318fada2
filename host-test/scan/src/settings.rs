//! The settings of a policy as the text that it reads.

use serde_json::{Map, Value};

use crate::custom_kinds::{self, CustomKind};
use crate::kinds::Known;

/// Settings as a policy gets them: compact JSON with sorted keys.
pub fn settings_text(settings: &Map<String, Value>) -> String {
    sorted(settings).to_string()
}

/// A policy-server's JSON values keep no order of keys.
pub fn sorted(settings: &Map<String, Value>) -> Value {
    let mut settings = Value::Object(settings.clone());
    settings.sort_all_objects();
    settings
}

/// Takes out exemptions of users and groups, since a file has neither; says so, if there were some.
pub fn take_out_requesters(settings: &mut Map<String, Value>) -> Option<String> {
    let exempt = settings.get_mut("exempt").and_then(Value::as_object_mut)?;
    let removed = ["users", "groups"].into_iter().filter(|key| exempt.remove(*key).is_some());
    let removed = removed.map(|key| format!("exempt.{key}")).collect::<Vec<_>>().join(" and ");
    (!removed.is_empty()).then(|| format!("{removed} do not count in a scan: nobody sends a request"))
}

/// Settings as JSON.
pub struct SettingsText {
    plain: String,
    /// With the places of the pods in a custom kind. A policy reads its settings in each call, so that each object
    /// comes with no more of them than it needs.
    custom: Vec<(&'static CustomKind, String)>,
}

impl SettingsText {
    /// As they are.
    pub fn plain(settings: &Map<String, Value>) -> Self {
        Self { plain: settings_text(settings), custom: Vec::new() }
    }

    /// With the custom kinds of the table.
    pub fn with_custom_kinds(settings: &Map<String, Value>) -> Self {
        let with = |kind| {
            let mut settings = settings.clone();
            custom_kinds::add_to_settings(&[kind], &mut settings);
            settings_text(&settings)
        };
        let kinds = custom_kinds::projects().flat_map(|(_, kinds)| kinds);
        Self { plain: settings_text(settings), custom: kinds.map(|kind| (kind, with(kind))).collect() }
    }

    /// For an object of a kind.
    pub fn of(&self, known: &Known) -> &str {
        let Known::Custom(kind) = *known else { return &self.plain };
        self.custom.iter().find(|(of, _)| std::ptr::eq(*of, kind)).map_or(&self.plain, |(_, settings)| settings)
    }

    /// Without the custom kinds.
    pub fn object(&self) -> Map<String, Value> {
        serde_json::from_str(&self.plain).expect("settings are an object")
    }
}
