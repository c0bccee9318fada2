//! Settings: strict, with the ones that every policy has.

use alloc::string::String;

use crate::{
    json::{self, Text, pad},
    shape::{self, Entry, Field, Shape},
    text::{self, is_among, own, put, split},
    view::{self, List, Object, Type, Value, Walk, types},
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

/// Looks for what the types of settings cannot say; the error tells what is wrong.
pub type Validate = fn(&Settings<'_>) -> Result<(), String>;

/// What a policy knows about its settings.
pub struct Definition {
    /// The policy's own statement.
    pub entries: &'static [Entry],
    /// The table for the walker.
    pub shapes: &'static [Shape],
    /// The defaults, see [`crate::defaults`].
    pub defaults: &'static [Value<'static>],
    /// What types cannot say; the error tells what is wrong.
    pub validate: Option<Validate>,
}

/// Settings as given, over the defaults.
pub struct Settings<'a> {
    given: Object<'a>,
    defaults: &'static [Value<'static>],
}

impl<'a> Settings<'a> {
    /// Reads the settings at an offset of a text, or only the defaults.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub(crate) fn read(definition: &Definition, text: &Text<'a>, at: Option<usize>) -> Result<Self, String> {
        let mut settings = Self { given: Object::default(), defaults: definition.defaults };
        if let Some(at) = at {
            settings.given = read(definition, text, at)?;
            settings.validate(definition)?;
        }
        match definition.validate {
            Some(validate) => validate(&settings).map(|()| settings),
            None => Ok(settings),
        }
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
        self.find(setting.id).and_then(T::read)
    }

    #[inline(never)]
    fn find(&self, id: u32) -> Option<Object<'_>> {
        self.given.find(id).or_else(|| view::find(self.defaults, id))
    }

    /// A setting that is on or off.
    pub fn is(&self, setting: Field<types::Bool>) -> bool {
        self.get(setting) == Some(true)
    }

    /// A setting that is a list of strings; empty if it has no default.
    pub fn texts(&self, setting: Field<types::Texts>) -> List<'_> {
        self.list(setting.id)
    }

    #[inline(never)]
    fn list(&self, id: u32) -> List<'_> {
        self.find(id).map(List::of).unwrap_or_default()
    }

    /// Whether the setting was given, be it with its default.
    pub fn is_given<T>(&self, setting: Field<T>) -> bool {
        self.given.at(setting).is_some()
    }

    fn validate(&self, definition: &Definition) -> Result<(), String> {
        for entries in [common::SETTINGS, definition.entries] {
            for entry in entries.iter().filter(|entry| !entry.options.is_empty()) {
                self.validate_options(entry)?;
            }
        }
        for custom in self.get(POD_SPEC_PATHS).unwrap_or_default().objects() {
            let is_named = custom.at(PATH_GROUP).is_some() && custom.at(PATH_KIND).is_some();
            if !is_named || !is_path(custom.word(PATH_PATH)) {
                let expected = "expected group, kind and path (one to eight keys with dots between them) in ";
                return Err(problem(POD_SPEC_PATHS.path, expected, custom.raw()));
            }
        }
        Ok(())
    }

    fn validate_options(&self, entry: &Entry) -> Result<(), String> {
        let Some(value) = self.get(Field::<types::Any>::new(entry.path)) else { return Ok(()) };
        // The elements of a list are its children, and a string has none.
        for text in value.text().into_iter().chain(List::of(value).texts()) {
            if !is_among(text, entry.options) {
                return Err(problem(entry.path, &unlisted("value", text, entry.options), ""));
            }
        }
        Ok(())
    }
}

/// What is wrong with a setting, as a sentence.
#[cold]
#[inline(never)]
pub fn problem(setting: &str, what: &str, with: &str) -> String {
    let mut message = own(setting);
    put(&mut message, ": ");
    put(&mut message, what);
    put(&mut message, with);
    message
}

fn is_path(path: &str) -> bool {
    let mut rest = path;
    for _ in 0..MOST_KEYS {
        let (key, behind) = split(rest, b'.');
        if key.is_empty() {
            return false;
        }
        // A dot at the end leaves an empty key behind it.
        if key.len() == rest.len() {
            return true;
        }
        rest = behind;
    }
    false
}

fn read<'a>(definition: &Definition, text: &Text<'a>, at: usize) -> Result<Object<'a>, String> {
    let mut walk = Walk::at(text, at, definition.shapes);
    walk.strict = true;
    if let Err(stop) = walk.root(0) {
        return Err(walk.explain(stop));
    }
    for entries in [common::SETTINGS, definition.entries] {
        for entry in entries.iter().filter(|entry| !entry.aliases.is_empty()) {
            resolve(&mut walk.values, entry)?;
        }
    }
    Ok(walk.take())
}

/// Files what was given under an alias under the setting's own name.
fn resolve(given: &mut [Value<'_>], entry: &Entry) -> Result<(), String> {
    let setting = shape::id(entry.path);
    let is_given = view::find(given, setting).is_some();
    for alias in entry.aliases {
        if !view::rename(given, shape::id(alias), setting) {
            continue;
        }
        if is_given {
            return Err(problem(alias, "the same setting as ", entry.path));
        }
        break;
    }
    Ok(())
}

/// Says that a word is not one of those that are known, and which one was probably meant.
#[cold]
#[inline(never)]
pub(crate) fn unlisted(what: &str, word: &str, known: &[&str]) -> String {
    let mut message = own("unknown ");
    put(&mut message, what);
    put(&mut message, " ");
    json::quote(word, &mut message);
    if let Some(nearest) = text::nearest(word, known) {
        put(&mut message, ", did you mean ");
        json::quote(nearest, &mut message);
        put(&mut message, "?");
        return message;
    }
    let mut separator = ", known are ";
    for word in known {
        put(&mut message, separator);
        json::quote(word, &mut message);
        separator = ", ";
    }
    message
}
