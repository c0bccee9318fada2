//! Settings: strict, with the ones that every policy has.

use alloc::string::String;

use crate::{
    decode::{self, Decoder, FieldType, List, Object, Value},
    json::Text,
    schema::{Declaration, Field, Node, id, types},
    text::{is_among, problem, split, unlisted},
};

/// The settings of every policy.
pub mod common {
    crate::settings! {
        /// Exempts containers by image: an exact name, or a prefix with a trailing `*`. The image is compared as it is
        /// written, so `nginx` does not match `docker.io/library/nginx`.
        EXEMPT_IMAGES: StringList = "exempt.images", alias "exemptImages";
        /// Exempts namespaces.
        EXEMPT_NAMESPACES: StringList = "exempt.namespaces";
        /// Exempts users. The user that creates a workload's pods is its controller.
        EXEMPT_USERS: StringList = "exempt.users";
        /// Exempts the users of groups.
        EXEMPT_GROUPS: StringList = "exempt.groups";
        /// Exempts pods by their runtime class.
        EXEMPT_RUNTIME_CLASSES: StringList = "exempt.runtimeClasses";
        /// Evaluates custom kinds that hold a pod template.
        POD_SPEC_PATHS: ObjectList = "podSpecPaths";
        /// The API group of the kind.
        PATH_GROUP: String = "podSpecPaths[*].group";
        /// The kind.
        PATH_KIND: String = "podSpecPaths[*].kind";
        /// The dotted path to the pod template (the object that holds the pod's metadata and spec).
        PATH_PATH: String = "podSpecPaths[*].path";
        /// Rejects kinds that hold no pod, or accepts them, for rules that match by wildcard.
        OTHER_KINDS: String = "otherKinds", one_of ["reject", "accept"], default "\"reject\"";
    }
}
use common::{PATH_GROUP, PATH_KIND, PATH_PATH, POD_SPEC_PATHS};

/// Longest path of a custom kind, in keys.
const MOST_KEYS: usize = 8;

/// Checks what the types of settings cannot express; the error is a sentence.
pub type Validate = fn(&Settings<'_>) -> Result<(), String>;

/// The settings of a policy.
pub struct Definition {
    /// The policy's own settings.
    pub declarations: &'static [Declaration],
    /// The table for the decoder.
    pub nodes: &'static [Node],
    /// The defaults, see [`crate::defaults`].
    pub defaults: &'static [Value<'static>],
    /// Checks what types cannot express.
    pub validate: Option<Validate>,
}

/// The given settings over the defaults.
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

    /// A setting, or its default; `None` if it has neither.
    pub fn get<T: FieldType>(&self, setting: Field<T>) -> Option<T::Value<'_>> {
        self.find(setting.id).and_then(T::read)
    }

    #[inline(never)]
    fn find(&self, id: u32) -> Option<Object<'_>> {
        self.given.find(id).or_else(|| decode::find(self.defaults, id))
    }

    /// Whether a setting is on.
    pub fn is(&self, setting: Field<types::Bool>) -> bool {
        self.get(setting) == Some(true)
    }

    /// A setting that is a list of strings; empty if it has no default.
    pub fn strings(&self, setting: Field<types::StringList>) -> List<'_> {
        self.list(setting.id)
    }

    #[inline(never)]
    fn list(&self, id: u32) -> List<'_> {
        self.find(id).map(List::of).unwrap_or_default()
    }

    /// Whether the setting was given, even if with the value of its default.
    pub fn is_given<T>(&self, setting: Field<T>) -> bool {
        self.given.at(setting).is_some()
    }

    fn validate(&self, definition: &Definition) -> Result<(), String> {
        for declarations in [common::SETTINGS, definition.declarations] {
            for declaration in declarations.iter().filter(|declaration| !declaration.options.is_empty()) {
                self.validate_options(declaration)?;
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

    fn validate_options(&self, declaration: &Declaration) -> Result<(), String> {
        let Some(value) = self.get(Field::<types::Any>::new(declaration.path)) else { return Ok(()) };
        // The elements of a list are its children, and a string has none.
        for string in value.string().into_iter().chain(List::of(value).strings()) {
            if !is_among(string, declaration.options) {
                return Err(problem(declaration.path, &unlisted("value", string, declaration.options), ""));
            }
        }
        Ok(())
    }
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
    let mut decoder = Decoder::at(text, at, definition.nodes);
    decoder.strict = true;
    if let Err(stop) = decoder.root(0) {
        return Err(decoder.explain(stop));
    }
    for declarations in [common::SETTINGS, definition.declarations] {
        for declaration in declarations.iter().filter(|declaration| !declaration.aliases.is_empty()) {
            resolve(&mut decoder.values, declaration)?;
        }
    }
    Ok(decoder.take())
}

/// Moves a value given under an alias to the setting's own name.
fn resolve(given: &mut [Value<'_>], declaration: &Declaration) -> Result<(), String> {
    let setting = id(declaration.path);
    let is_given = decode::find(given, setting).is_some();
    for alias in declaration.aliases {
        if !decode::rename(given, id(alias), setting) {
            continue;
        }
        if is_given {
            return Err(problem(alias, "the same setting as ", declaration.path));
        }
        break;
    }
    Ok(())
}
