//! What a policy reads, said once: the fields, their types, and the table that the walker follows.
//!
//! [`fields!`](crate::fields) and [`settings!`](crate::settings) are the statements; [`build`] turns
//! them into a tree of keys at compile time. A [`Field`] is found in an [`Object`](crate::Object) by
//! its path, so a check works on any that was read with its fields, whichever module it is in.

use core::marker::PhantomData;

/// What stands at a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number in the range of `i64`.
    Integer,
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    /// An object; a field of this kind tells that it is there.
    Object,
    /// A list of objects.
    Objects,
    /// Any value; it is skipped.
    Any,
    /// The object under review, whose shape depends on its kind.
    Subject,
}

impl Kind {
    /// Its name in messages: `expected a boolean`.
    pub const fn expectation(self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Integer => "an integer",
            Self::Text => "a string",
            Self::Texts | Self::Objects => "a list",
            Self::Object | Self::Subject => "an object",
            Self::Any => "a value",
        }
    }
}

/// Where the path of a field starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// At the pod spec.
    Pod,
    /// At each element of the three container lists.
    Container,
    /// At the pod spec and at each container, which wins.
    Both,
    /// At the metadata of the pod (of the template, for workloads).
    Metadata,
    /// At the spec of a PersistentVolume.
    PersistentVolume,
    /// At the root of the settings or of the request.
    Root,
}

/// A place and the type that is expected there.
pub struct Field<T> {
    /// Dotted path from its scope; `[*]` behind a list that it goes through.
    pub path: &'static str,
    pub(crate) id: u32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Field<T> {}

impl<T: crate::view::Type> Field<T> {
    /// The field at a path.
    pub const fn new(path: &'static str) -> Self {
        Self { path, id: id(path), kind: PhantomData }
    }

    /// This field as a row of a statement.
    pub const fn entry(self, scope: Scope) -> Entry {
        Entry {
            scope,
            path: self.path,
            kind: T::KIND,
            aliases: &[],
            options: &[],
            default: "",
            #[cfg(not(target_arch = "wasm32"))]
            project: "",
            #[cfg(not(target_arch = "wasm32"))]
            doc: "",
            #[cfg(not(target_arch = "wasm32"))]
            stands_for: "",
        }
    }
}

/// One row of a statement: a field of the pod, or a setting.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Where the path starts.
    pub scope: Scope,
    /// See [`Field::path`].
    pub path: &'static str,
    /// What is expected there.
    pub kind: Kind,
    /// Of a setting: the names that others know it by, at the root. If several are given, the first stated
    /// counts; one beside the setting itself is an error.
    pub aliases: &'static [&'static str],
    /// Of a setting: the only texts that it, or an element of it, may be; empty if any may.
    pub options: &'static [&'static str],
    /// Of a setting: its default as JSON, empty if it has none.
    pub default: &'static str,
    /// Of a setting: the project whose policy has it, where it is here for that policy's settings alone;
    /// empty if it is ours. Forms do not ask for it.
    #[cfg(not(target_arch = "wasm32"))]
    pub project: &'static str,
    /// Of a field: what is allowed there, empty if a check only reads it. Of a setting: its meaning.
    #[cfg(not(target_arch = "wasm32"))]
    pub doc: &'static str,
    /// Of a setting of another project: the one that says the same here, empty if none does. The two together
    /// are an error.
    #[cfg(not(target_arch = "wasm32"))]
    pub stands_for: &'static str,
}

/// States the fields that a policy reads, as constants and as the table `FIELDS`.
///
/// A doc comment says what is allowed there and makes the field a restricted one: it gets a row in
/// the documentation, and the fixtures must reject something there. A field without one is only read.
///
/// ```
/// podfence_core::fields! {
///     /// unset, `false`
///     PRIVILEGED: Bool = Container "securityContext.privileged";
/// }
/// # fn main() { assert_eq!(FIELDS.len(), 1) }
/// ```
#[macro_export]
macro_rules! fields {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ident = $scope:ident $path:literal;)*) => {
        $(
            #[doc = concat!("`", $path, "`")]
            pub const $name: $crate::Field<$crate::types::$type> = $crate::Field::new($path);
        )*
        /// Every field that is read.
        pub const FIELDS: &[$crate::Entry] = &[$($crate::Entry {
            #[cfg(not(target_arch = "wasm32"))]
            doc: concat!($($doc),*),
            ..$name.entry($crate::Scope::$scope)
        }),*];
    };
}

/// States the settings of a policy, as constants and as the table `SETTINGS`.
///
/// The doc comment becomes the documentation. Settings are strict: an unknown key, a wrong type and
/// a text that is not `one_of` are errors. A setting `of` another project is there so that the settings
/// of its policy can be taken over, instead of the one that it stands `for`.
///
/// ```
/// podfence_core::settings! {
///     /// Whether init containers are left out.
///     SKIP_INIT: Bool = "skipInitContainers", alias "skip_init_containers", default "false";
///     /// Which of two.
///     RULE: Text = "rule", one_of ["MayRunAs", "RunAsAny"], default "\"MayRunAs\"";
///     /// Another name's opposite.
///     VALIDATE_ONLY: Bool = "validate_only", of "Kubewarden";
/// }
/// # fn main() { assert_eq!(SETTINGS.len(), 3) }
/// ```
#[macro_export]
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])* $name:ident: $type:ident = $path:literal
        $(, alias $alias:literal)* $(, one_of [$($option:literal),*])? $(, default $default:literal)?
        $(, of $project:literal $(for $own:literal)?)?;
    )*) => {
        $(
            $(#[doc = $doc])*
            pub const $name: $crate::Field<$crate::types::$type> = $crate::Field::new($path);
        )*
        /// Every setting.
        pub const SETTINGS: &[$crate::Entry] = &[$($crate::Entry {
            aliases: &[$($alias),*],
            options: &[$($($option),*)?],
            default: concat!($($default)?),
            #[cfg(not(target_arch = "wasm32"))]
            project: concat!($($project)?),
            #[cfg(not(target_arch = "wasm32"))]
            doc: concat!($($doc, "\n"),*),
            #[cfg(not(target_arch = "wasm32"))]
            stands_for: concat!($($($own)?)?),
            ..$name.entry($crate::Scope::Root)
        }),*];
    };
}

/// FNV-1a of a path: what [`Field`] and [`Shape`] know each other by. [`build`] refuses collisions.
pub(crate) const fn id(path: &str) -> u32 {
    let mut hash = 0x811c_9dc5u32;
    let mut i = 0;
    while i < path.len() {
        hash = (hash ^ path.as_bytes()[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash
}

/// A key that the walker looks for, and what it does there.
#[derive(Clone, Copy)]
pub struct Shape {
    /// The key; one that ends in `*` stands for each key that starts so.
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    /// Whether the key stands for many.
    pub(crate) is_pattern: bool,
    /// Of the field; 0 if this is only on the way to one.
    pub(crate) id: u32,
    /// Where the keys inside are in the table, and how many.
    pub(crate) first: u8,
    pub(crate) count: u8,
}

impl Shape {
    /// What the keys that a pattern stands for start with.
    pub(crate) fn prefix(&self) -> &'static str {
        crate::text::cut(self.key, 0, self.key.len() - 1)
    }
}

const NOTHING: Shape = Shape { key: "", kind: Kind::Object, is_pattern: false, id: 0, first: 0, count: 0 };

/// The shapes where reading starts.
pub(crate) const POD: usize = 0;
pub(crate) const CONTAINER: usize = 1;
pub(crate) const PERSISTENT_VOLUME: usize = 2;
const ROOTS: usize = 3;
const MOST: usize = 240;

/// Most keys in one object: the walker remembers in 64 bits which it has seen.
const MOST_KEYS: u8 = 64;

/// A tree that is being built: `first` is the first key inside, `next` the one beside.
struct Tree {
    shapes: [Shape; MOST],
    next: [u8; MOST],
    length: usize,
}

impl Tree {
    const fn new(roots: usize) -> Self {
        Self { shapes: [NOTHING; MOST], next: [0; MOST], length: roots }
    }

    /// The key inside a parent, which is added if it is not there.
    const fn child(&mut self, parent: usize, key: &'static str) -> usize {
        let mut last = 0;
        let mut at = self.shapes[parent].first as usize;
        while at != 0 {
            if equal(self.shapes[at].key, key) {
                return at;
            }
            last = at;
            at = self.next[at] as usize;
        }
        assert!(self.length < MOST, "too many fields");
        assert!(self.shapes[parent].count < MOST_KEYS, "too many fields in one object");
        let new = self.length;
        if last == 0 {
            self.shapes[parent].first = new as u8;
        } else {
            self.next[last] = new as u8;
        }
        self.shapes[parent].count += 1;
        self.shapes[new] = Shape { key, is_pattern: matches!(key.as_bytes().last(), Some(b'*')), ..NOTHING };
        self.length += 1;
        new
    }

    /// The table: the same shapes, but the keys of an object next to each other.
    const fn table<const N: usize>(&self, roots: usize) -> [Shape; N] {
        let mut table = [NOTHING; N];
        // Where each shape of the table is in the tree, and where the keys inside one went.
        let mut origin = [0; N];
        let mut moved = [0; MOST];
        let mut length = roots;
        let mut i = 0;
        while i < length {
            if i < roots {
                origin[i] = i;
            }
            let shape = self.shapes[origin[i]];
            table[i] = shape;
            let first = shape.first as usize;
            if first != 0 && moved[first] == 0 {
                moved[first] = length as u8;
                // Patterns behind the keys that are whole, which count more.
                let mut is_pattern = false;
                loop {
                    let mut child = first;
                    while child != 0 {
                        if self.shapes[child].is_pattern == is_pattern {
                            origin[length] = child;
                            length += 1;
                        }
                        child = self.next[child] as usize;
                    }
                    if is_pattern {
                        break;
                    }
                    is_pattern = true;
                }
            }
            table[i].first = moved[shape.first as usize];
            i += 1;
        }
        table
    }

    /// Adds the keys of a path below a parent.
    const fn insert(&mut self, parent: usize, entry: &Entry) {
        let mut parent = parent;
        let mut rest = entry.path;
        loop {
            let (key, is_list, behind) = first_key(rest);
            let at = self.child(parent, key);
            let Some(behind) = behind else {
                assert!(!is_list, "the type says that it is a list");
                let new_id = id(entry.path);
                let mut i = 0;
                while i < self.length {
                    let other = &self.shapes[i];
                    assert!(other.id != new_id || equal(other.key, key), "two paths have one hash");
                    i += 1;
                }
                self.shapes[at].kind = entry.kind;
                self.shapes[at].id = new_id;
                return;
            };
            if is_list {
                self.shapes[at].kind = Kind::Objects;
            }
            rest = behind;
            parent = at;
        }
    }
}

/// The first key of a path, whether it names a list, and the path behind it.
const fn first_key(path: &'static str) -> (&'static str, bool, Option<&'static str>) {
    let bytes = path.as_bytes();
    // A key with dots in it is quoted: `annotations["a.b/*"]`.
    if bytes[0] == b'"' {
        let (_, quoted) = path.split_at(1);
        let (key, end) = quoted.split_at(quoted.len() - 2);
        assert!(equal(end, "\"]"), "a quoted key is the last one");
        return (key, false, None);
    }
    let mut i = 0;
    while i < bytes.len() && bytes[i] != b'.' && bytes[i] != b'[' {
        i += 1;
    }
    let (key, rest) = path.split_at(i);
    if rest.len() > 1 && rest.as_bytes()[0] == b'[' && rest.as_bytes()[1] == b'"' {
        return (key, false, Some(rest.split_at(1).1));
    }
    let is_list = rest.len() >= 3 && rest.as_bytes()[0] == b'[';
    let behind = if is_list { rest.split_at(3).1 } else { rest };
    (key, is_list, if behind.is_empty() { None } else { Some(behind.split_at(1).1) })
}

const fn equal(a: &str, b: &str) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a.as_bytes()[i] != b.as_bytes()[i] {
            return false;
        }
        i += 1;
    }
    true
}

const fn tree(statements: &[&[Entry]]) -> Tree {
    let mut tree = Tree::new(ROOTS);
    tree.insert(POD, &crate::pod::SPEC.entry(Scope::Root));
    let spec = tree.child(POD, "spec");
    let mut s = 0;
    while s < statements.len() {
        let mut i = 0;
        while i < statements[s].len() {
            let entry = &statements[s][i];
            match entry.scope {
                Scope::Pod => tree.insert(spec, entry),
                Scope::Container => tree.insert(CONTAINER, entry),
                Scope::Both => {
                    tree.insert(spec, entry);
                    tree.insert(CONTAINER, entry);
                }
                Scope::Metadata => {
                    let metadata = tree.child(POD, "metadata");
                    tree.insert(metadata, entry);
                }
                Scope::PersistentVolume => {
                    tree.insert(PERSISTENT_VOLUME, &crate::pod::SPEC.entry(Scope::Root));
                    let spec = tree.child(PERSISTENT_VOLUME, "spec");
                    tree.insert(spec, entry);
                }
                Scope::Root => panic!("a pod has no root fields"),
            }
            i += 1;
        }
        s += 1;
    }
    let mut list = 0;
    while list < crate::pod::LISTS.len() {
        let field = &crate::pod::LISTS[list];
        tree.insert(spec, &field.entry(Scope::Pod));
        let at = tree.child(spec, first_key(field.path).0);
        tree.shapes[at].first = tree.shapes[CONTAINER].first;
        tree.shapes[at].count = tree.shapes[CONTAINER].count;
        list += 1;
    }
    tree
}

const fn flat(statements: &[&[Entry]]) -> Tree {
    let mut tree = Tree::new(1);
    let mut s = 0;
    while s < statements.len() {
        let mut i = 0;
        while i < statements[s].len() {
            let entry = &statements[s][i];
            tree.insert(0, entry);
            let mut alias = 0;
            while alias < entry.aliases.len() {
                tree.insert(0, &Entry { path: entry.aliases[alias], ..*entry });
                alias += 1;
            }
            i += 1;
        }
        s += 1;
    }
    tree
}

/// How many shapes [`build`] makes.
pub const fn count(statements: &[&[Entry]]) -> usize {
    tree(statements).length
}

/// The table for reading a pod: what core always reads, and these statements.
pub const fn build<const N: usize>(statements: &[&[Entry]]) -> [Shape; N] {
    tree(statements).table(ROOTS)
}

/// How many shapes [`build_flat`] makes.
pub const fn count_flat(statements: &[&[Entry]]) -> usize {
    flat(statements).length
}

/// The table for reading settings or a request.
pub const fn build_flat<const N: usize>(statements: &[&[Entry]]) -> [Shape; N] {
    flat(statements).table(1)
}
