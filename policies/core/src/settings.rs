//! Settings: strict, with the ones that every policy has.

use alloc::{string::String, vec::Vec};

use crate::{
    json::{self, Text, pad},
    shape::{Entry, Field, Shape},
    text,
    view::{Type, View, Walk, types},
};

/// The settings of every policy.
pub mod common {
    crate::settings! {
        /// Images whose containers are not judged: exact, or a prefix with a trailing `*`. Compared with the
        /// image as it is written, so `nginx` is not `docker.io/library/nginx`.
        EXEMPT_IMAGES: Texts = "exempt.images", alias "exemptImages";
        /// Namespaces that are not judged.
        EXEMPT_NAMESPACES: Texts = "exempt.namespaces";
        /// Users whose requests are not judged. The user of a workload's pods is its controller.
        EXEMPT_USERS: Texts = "exempt.users";
        /// Groups whose users' requests are not judged.
        EXEMPT_GROUPS: Texts = "exempt.groups";
        /// Runtime classes whose pods are not judged.
        EXEMPT_RUNTIME_CLASSES: Texts = "exempt.runtimeClasses";
        /// Custom kinds that hold a pod template.
        POD_SPEC_PATHS: Objects = "podSpecPaths";
        /// API group of the kind.
        PATH_GROUP: Text = "podSpecPaths[*].group";
        /// The kind.
        PATH_KIND: Text = "podSpecPaths[*].kind";
        /// Dotted path to the pod template (the object that holds the pod's metadata and spec).
        PATH_PATH: Text = "podSpecPaths[*].path";
        /// What to do with kinds that hold no pod: reject them, or accept them where a rule matches by wildcard.
        OTHER_KINDS: Text = "otherKinds", one_of ["reject", "accept"], default "\"reject\"";
    }
}
use common::{PATH_GROUP, PATH_KIND, PATH_PATH, POD_SPEC_PATHS};

/// Longest path of a custom kind, in keys.
const MOST_KEYS: usize = 8;

/// What a policy knows about its settings.
pub struct Definition {
    /// The policy's own statement.
    pub entries: &'static [Entry],
    /// The table for the walker.
    pub shapes: &'static [Shape],
    /// The defaults as padded JSON.
    pub defaults: &'static [u8],
    /// What types cannot say; the error tells what is wrong.
    pub validate: Option<fn(&Settings) -> Result<(), String>>,
}

/// Settings as given, over the defaults.
pub struct Settings<'a> {
    given: View<'a>,
    defaults: View<'a>,
}

impl<'a> Settings<'a> {
    /// Reads the settings at an offset of a text, or only the defaults.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub(crate) fn read(definition: &Definition, text: &Text<'a>, at: Option<usize>) -> Result<Self, String> {
        let mut settings = Self { given: View::default(), defaults: View::default() };
        if let Some(at) = at {
            settings.given = read(definition, text, at)?;
        }
        if let Ok(text) = Text::new(definition.defaults) {
            settings.defaults = read(definition, &text, 0)?;
        }
        for entry in all(definition).filter(|entry| !entry.aliases.is_empty()) {
            settings.resolve(entry)?;
        }
        settings.validate(definition)?;
        Ok(settings)
    }

    /// Files what was given under an alias under the setting's own name.
    fn resolve(&mut self, entry: &Entry) -> Result<(), String> {
        let setting = Field::<types::Any>::new(entry.path);
        let is_given = self.is_given(setting);
        for alias in entry.aliases {
            let alias = Field::<types::Any>::new(alias);
            if !self.is_given(alias) {
                continue;
            }
            if is_given {
                return Err([alias.path, ": the same setting as ", entry.path, ", keep one"].concat());
            }
            self.given.rename(alias, setting);
        }
        Ok(())
    }

    /// Reads settings that stand alone.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub fn with<T>(definition: &Definition, json: &str, then: impl FnOnce(&Settings) -> T) -> Result<T, String> {
        let padded = pad(json.as_bytes());
        let text = Text::new(&padded).map_err(|malformed| malformed.expected)?;
        Ok(then(&Settings::read(definition, &text, Some(0))?))
    }

    /// A setting, or its default; `None` if it has neither.
    pub fn get<T: Type>(&self, setting: Field<T>) -> Option<T::Value<'_>> {
        self.given.root().get(setting).or_else(|| self.defaults.root().get(setting))
    }

    /// A setting that is on or off.
    pub fn is(&self, setting: Field<types::Bool>) -> bool {
        self.get(setting) == Some(true)
    }

    /// A setting that is a list of strings; empty if it has no default.
    pub fn texts(&self, setting: Field<types::Texts>) -> crate::List<'_> {
        self.get(setting).unwrap_or_default()
    }

    /// Whether the setting was given, be it with its default.
    pub fn is_given<T>(&self, setting: Field<T>) -> bool {
        self.given.root().find_raw(setting).is_some()
    }

    fn validate(&self, definition: &Definition) -> Result<(), String> {
        for entry in all(definition) {
            if !entry.options.is_empty() {
                self.validate_options(entry)?;
            }
        }
        for (index, custom) in self.get(POD_SPEC_PATHS).unwrap_or_default().objects().enumerate() {
            let wrong = |expected| {
                let index = text::number(index as i64);
                Err(["podSpecPaths[", &index, "]", expected].concat())
            };
            if custom.get(PATH_KIND).unwrap_or_default().is_empty() || custom.get(PATH_GROUP).is_none() {
                return wrong(": expected group, kind and path");
            }
            match custom.get(PATH_PATH) {
                None => return wrong(": expected group, kind and path"),
                Some(path) if path.split('.').any(str::is_empty) || path.split('.').count() > MOST_KEYS => {
                    return wrong(".path: expected one to eight keys with dots between them");
                }
                Some(_) => {}
            }
        }
        definition.validate.map_or(Ok(()), |validate| validate(self))
    }

    fn validate_options(&self, entry: &Entry) -> Result<(), String> {
        let Some(value) = self.get(Field::<types::Any>::new(entry.path)) else {
            return Ok(());
        };
        let elements = types::Texts::read(value).unwrap_or_default();
        for text in value.text().into_iter().chain(elements.texts()) {
            if !entry.options.contains(&text) {
                return Err([entry.path, ": ", &unlisted("value", text, entry.options)].concat());
            }
        }
        Ok(())
    }
}

fn all(definition: &Definition) -> impl Iterator<Item = &'static Entry> {
    common::SETTINGS.iter().chain(definition.entries)
}

fn read<'a>(definition: &Definition, text: &Text<'a>, at: usize) -> Result<View<'a>, String> {
    let mut walk = Walk::at(text, at, definition.shapes);
    walk.strict = true;
    match walk.value(0) {
        Ok(()) => Ok(walk.take()),
        Err(stop) => Err(walk.explain(stop, "")),
    }
}

/// Says that a key is unknown, and which one was probably meant.
pub(crate) fn unknown(key: &str, known: &[&str]) -> String {
    unlisted("setting", key, known)
}

fn unlisted(what: &str, word: &str, known: &[&str]) -> String {
    let mut message = ["unknown ", what, " "].concat();
    json::quote(word, &mut message);
    let (hint, words) = match text::nearest(word, known) {
        Some(nearest) => (", did you mean ", Vec::from([nearest])),
        None => (", known are ", known.to_vec()),
    };
    message.push_str(hint);
    for (index, word) in words.iter().enumerate() {
        message.push_str(if index == 0 { "" } else { ", " });
        json::quote(word, &mut message);
    }
    message.push_str(if words.len() == 1 && hint.contains("did") { "?" } else { "" });
    message
}
