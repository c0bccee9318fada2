//! Settings: strict, with the ones that every policy has.

use alloc::string::String;

use crate::{
    decode::{self, Decoder, FieldType, List, Object, Value},
    json::Text,
    schema::{self, Constrained, Declaration, Field, Node, id, types},
    text::{is_among, problem, split, unlisted},
};

/// The settings of every policy.
pub mod common {
    crate::settings! {
        /// Exempts containers by image. The image is compared as it is written, so `nginx` does not match
        /// `docker.io/library/nginx`. In all lists of exemptions an entry is a name, or a prefix with a `*` at its end.
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
        /// The dotted path to the pod template (the object that holds the pod's metadata and spec). `[*]` goes through
        /// each element of a list and each member of an object: `spec.replicatedJobs[*].template.spec.template`.
        PATH_PATH: String = "podSpecPaths[*].path";
        /// What the path leads to: a pod template, or a pod spec itself.
        PATH_AT: String = "podSpecPaths[*].at", one_of ["template", "spec"];
        /// Accepts objects in which nothing is at the path: there is no pod to evaluate.
        PATH_OPTIONAL: Bool = "podSpecPaths[*].optional";
        /// Rejects kinds that hold no pod, or accepts them, for rules that match by wildcard.
        OTHER_KINDS: String = "otherKinds", one_of ["reject", "accept"], default "\"reject\"";
        /// Repeats the verdict as a warning, which `kubectl` prints in monitor mode as well, and reports changes.
        WARN: Bool = "warn", default "false";
    }
}

/// The settings of every policy that evaluates objects of its own kinds: those of [`common`] that such objects have.
pub mod common_of_objects {
    crate::settings! {
        /// Exempts namespaces. In all lists of exemptions an entry is a name, or a prefix with a `*` at its end.
        NAMESPACES: StringList = "exempt.namespaces";
        /// Exempts users.
        USERS: StringList = "exempt.users";
        /// Exempts the users of groups.
        GROUPS: StringList = "exempt.groups";
        /// Rejects kinds that the policy does not evaluate, or accepts them, for rules that match by wildcard.
        OTHER_KINDS: String = "otherKinds", one_of ["reject", "accept"], default "\"reject\"";
        /// Repeats the verdict as a warning, which `kubectl` prints in monitor mode as well.
        WARN: Bool = "warn", default "false";
    }
}
use common::{
    EXEMPT_GROUPS, EXEMPT_IMAGES, EXEMPT_NAMESPACES, EXEMPT_RUNTIME_CLASSES, EXEMPT_USERS, PATH_GROUP, PATH_KIND,
    PATH_PATH, POD_SPEC_PATHS,
};

static EXEMPTIONS: [Field<types::StringList>; 5] =
    [EXEMPT_IMAGES, EXEMPT_NAMESPACES, EXEMPT_USERS, EXEMPT_GROUPS, EXEMPT_RUNTIME_CLASSES];

/// Those of the common settings that have aliases or options.
static CONSTRAINED: [Constrained; schema::count_constrained(common::SETTINGS)] = schema::constrained(common::SETTINGS);

/// Longest path of a custom kind, in keys.
const MOST_KEYS: usize = 8;

/// Checks what the types of settings cannot express; the error is a sentence.
pub type Validate = fn(&Settings<'_>) -> Result<(), String>;

/// The settings of a policy.
pub struct Definition {
    /// The policy's own settings.
    #[cfg(feature = "docs")]
    pub declarations: &'static [Declaration],
    /// Those of them that have aliases or options.
    pub constrained: &'static [Constrained],
    /// The table for the decoder.
    pub nodes: &'static [Node],
    /// The defaults, see [`crate::defaults`].
    pub defaults: &'static [Value<'static>],
    /// Checks what types cannot express.
    pub validate: Option<Validate>,
}

impl Definition {
    /// A definition of these parts.
    #[doc(hidden)]
    #[cfg_attr(not(feature = "docs"), allow(unused_variables))]
    pub const fn new(
        declarations: &'static [Declaration],
        constrained: &'static [Constrained],
        nodes: &'static [Node],
        defaults: &'static [Value<'static>],
        validate: Option<Validate>,
    ) -> Self {
        Self {
            #[cfg(feature = "docs")]
            declarations,
            constrained,
            nodes,
            defaults,
            validate,
        }
    }
}

/// The given settings over the defaults, and the namespace of the request that they are for.
pub struct Settings<'a> {
    given: Object<'a>,
    defaults: &'static [Value<'static>],
    namespace: &'a str,
}

impl<'a> Settings<'a> {
    /// Reads the settings at an offset of a text, or only the defaults, for a request in a namespace.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub(crate) fn read(
        definition: &Definition,
        text: &Text<'a>,
        at: Option<usize>,
        namespace: &'a str,
    ) -> Result<Self, String> {
        let mut settings = Self { given: Object::default(), defaults: definition.defaults, namespace };
        if let Some(at) = at {
            settings.given = read(definition, text, at)?;
            settings.validate(definition)?;
        }
        match definition.validate {
            Some(validate) => validate(&settings).map(|()| settings),
            None => Ok(settings),
        }
    }

    /// The namespace of the request, which settings may name; empty if there is none.
    pub fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// A setting, or its default; `None` if it has neither.
    pub fn get<T: FieldType>(&self, setting: Field<T>) -> Option<T::Value<'a>> {
        self.find(setting.id).and_then(T::read)
    }

    #[inline(never)]
    fn find(&self, id: u32) -> Option<Object<'a>> {
        self.given.find(id).or_else(|| decode::find(self.defaults, id))
    }

    /// Whether a setting is on.
    pub fn is(&self, setting: Field<types::Bool>) -> bool {
        self.get(setting) == Some(true)
    }

    /// A setting that is a list of strings; empty if it has no default.
    pub fn strings(&self, setting: Field<types::StringList>) -> List<'a> {
        self.list(setting.id)
    }

    #[inline(never)]
    pub(crate) fn list(&self, id: u32) -> List<'a> {
        self.find(id).map(List::of).unwrap_or_default()
    }

    /// Whether the setting was given, even if with the value of its default.
    pub fn is_given<T>(&self, setting: Field<T>) -> bool {
        self.given.at(setting).is_some()
    }

    fn validate(&self, definition: &Definition) -> Result<(), String> {
        validate_options(self.given, &CONSTRAINED)?;
        validate_options(self.given, definition.constrained)?;
        for custom in self.list(POD_SPEC_PATHS.id).objects() {
            let is_named = custom.at(PATH_GROUP).is_some() && custom.at(PATH_KIND).is_some();
            if !is_named || !is_path(custom.word(PATH_PATH)) {
                let expected = "expected group, kind and path (one to eight keys with dots between them, [*] behind a \
                                list or an object) in ";
                return Err(problem(POD_SPEC_PATHS.path, expected, custom.raw()));
            }
            validate_options(custom, &CONSTRAINED)?;
        }
        self.validate_exemptions()
    }

    /// A name, or a prefix with one trailing `*`; anything else would never match.
    fn validate_exemptions(&self) -> Result<(), String> {
        for list in &EXEMPTIONS {
            self.validate_patterns(*list)?;
        }
        Ok(())
    }

    /// Checks that each entry of a list is one that [`List::matches`] can match.
    ///
    /// # Errors
    /// An entry is neither a name nor a prefix with one trailing `*`; as a sentence.
    pub fn validate_patterns(&self, list: Field<types::StringList>) -> Result<(), String> {
        for entry in self.strings(list).objects() {
            let name = entry.string().unwrap_or_default();
            let (before, behind) = split(name, b'*');
            if name.is_empty() || !behind.is_empty() || before.len() + 1 < name.len() {
                let expected = "expected a name, or a prefix with one * at its end, found ";
                return Err(problem(list.path, expected, entry.raw()));
            }
        }
        Ok(())
    }
}

/// Checks the values that only may be one of a few.
#[inline(never)]
fn validate_options(given: Object<'_>, constrained: &[Constrained]) -> Result<(), String> {
    for &Constrained { path, options, .. } in constrained {
        if options.is_empty() {
            continue;
        }
        for word in given.find(id(path)).unwrap_or_default().words() {
            if !is_among(word, options) {
                return Err(problem(path, &unlisted("value", word, options), ""));
            }
        }
    }
    Ok(())
}

fn is_path(path: &str) -> bool {
    let mut rest = path;
    for _ in 0..MOST_KEYS {
        let (key, behind) = split(rest, b'.');
        let (name, stars) = split(key, b'[');
        let has_stars = name.len() == key.len() || is_among(stars, &["*]", "*][*]"]);
        if name.is_empty() || name.bytes().any(|byte| matches!(byte, b'*' | b']')) || !has_stars {
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
    decoder.root(false)?;
    resolve(&mut decoder.values, &CONSTRAINED)?;
    resolve(&mut decoder.values, definition.constrained)?;
    Ok(decoder.take())
}

/// Moves values given under an alias to the setting's own name.
#[inline(never)]
fn resolve(given: &mut [Value<'_>], constrained: &[Constrained]) -> Result<(), String> {
    for &Constrained { path, aliases, .. } in constrained {
        let setting = id(path);
        let is_given = decode::find(given, setting).is_some();
        for alias in aliases {
            if decode::rename(given, id(alias), setting) {
                if is_given {
                    return Err(problem(alias, "the same setting as ", path));
                }
                break;
            }
        }
    }
    Ok(())
}
