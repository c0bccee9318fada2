//! What a policy declares to read: fields and settings, made at compile time into the table that the decoder
//! follows.
//!
//! [`fields!`](crate::fields) and [`settings!`](macro@crate::settings) are the declarations. [`build`] merges their paths
//! into one tree of keys. A [`Field`] is found in a decoded [`Object`](crate::Object) by the hash of its path, so a
//! check works on any object that was decoded with its fields, whichever crate declares it.

use core::marker::PhantomData;

use crate::text::cut;

/// The JSON type that a field must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// `true` or `false`.
    Bool,
    /// An integer in the range of `i64`.
    Integer,
    /// A string.
    String,
    /// A list of strings.
    StringList,
    /// An object; only its presence is recorded.
    Object,
    /// A list of objects.
    ObjectList,
    /// Any value; it is skipped.
    Any,
    /// An object whose table depends on what was decoded before it: the object under review.
    Deferred,
}

impl JsonType {
    /// Its name in messages: `expected a boolean`.
    pub const fn expectation(self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Integer => "an integer",
            Self::String => "a string",
            Self::StringList | Self::ObjectList => "a list",
            Self::Object | Self::Deferred => "an object",
            Self::Any => "a value",
        }
    }
}

/// A type that [`fields!`](crate::fields) and [`settings!`](macro@crate::settings) name; see [`types`].
pub trait Typed {
    /// What the decoder accepts.
    const TYPE: JsonType;
}

/// The types of fields and settings.
pub mod types {
    macro_rules! types {
        ($($(#[$doc:meta])* $visibility:vis $name:ident;)*) => {$(
            $(#[$doc])*
            $visibility struct $name;
            impl super::Typed for $name {
                const TYPE: super::JsonType = super::JsonType::$name;
            }
        )*};
    }

    types! {
        /// `true` or `false`.
        pub Bool;
        /// An integer in the range of `i64`.
        pub Integer;
        /// A string.
        pub String;
        /// A list of strings.
        pub StringList;
        /// An object, of which only the presence matters, or which other fields go through.
        pub Object;
        /// A list of objects.
        pub ObjectList;
        /// Any value.
        pub Any;
        /// The object under review.
        pub(crate) Deferred;
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
    /// At the object that holds a pod template, outside of the template.
    Workload,
    /// At the object, of a policy that evaluates objects of its own kinds.
    Object,
    /// At the root of the settings or of the request.
    Root,
}

/// A place and the type that is expected there.
pub struct Field<T> {
    /// Dotted path from its scope; `[*]` behind a list that it goes through.
    pub path: &'static str,
    pub(crate) id: u32,
    field_type: PhantomData<fn() -> T>,
}

impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Field<T> {}

impl<T: Typed> Field<T> {
    /// The field at a path.
    pub const fn new(path: &'static str) -> Self {
        Self { path, id: id(path), field_type: PhantomData }
    }

    /// This field as a row of a declaration.
    pub const fn declared(self, scope: Scope) -> Declaration {
        Declaration {
            scope,
            path: self.path,
            json_type: T::TYPE,
            aliases: &[],
            options: &[],
            default: "",
            #[cfg(feature = "docs")]
            docs: Docs::NONE,
        }
    }
}

/// One row of a declaration: a field of the pod, or a setting.
#[derive(Clone, Copy)]
pub struct Declaration {
    /// Where the path starts.
    pub scope: Scope,
    /// See [`Field::path`].
    pub path: &'static str,
    /// What is expected there.
    pub json_type: JsonType,
    /// Of a setting: its names in other projects, at the root. If several are given, the first declared one counts;
    /// one beside the setting itself is an error.
    pub aliases: &'static [&'static str],
    /// Of a setting: the only strings that it, or an element of it, may be; empty if any may.
    pub options: &'static [&'static str],
    /// Of a setting: its default as JSON, empty if it has none.
    pub default: &'static str,
    /// What documentation, forms and tests need. No module has it.
    #[cfg(feature = "docs")]
    pub docs: Docs,
}

impl Declaration {
    /// This declaration with what documentation needs, if the feature `docs` keeps it.
    #[cfg_attr(not(feature = "docs"), allow(unused_variables))]
    pub const fn documented(self, docs: Docs) -> Self {
        Self {
            #[cfg(feature = "docs")]
            docs,
            ..self
        }
    }

    /// The lists of containers that have this field, of a field of containers.
    #[cfg(feature = "docs")]
    pub fn lists(&self) -> impl Iterator<Item = &'static str> + use<> {
        let except = self.docs.except;
        LISTS.into_iter().map(|list| list.path).filter(move |list| *list != except)
    }

    /// This field as a restricted one, with the allowed values.
    pub const fn allowing(self, allowed: &'static str) -> Self {
        self.documented(Docs { allowed, ..Docs::NONE })
    }
}

/// A setting that has aliases or options: all that a module needs of its declaration beside the table.
#[derive(Clone, Copy)]
pub struct Constrained {
    pub(crate) path: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) options: &'static [&'static str],
}

/// How many of the settings have aliases or options.
pub const fn count_constrained(declarations: &[Declaration]) -> usize {
    let (mut count, mut i) = (0, 0);
    while i < declarations.len() {
        count += is_constrained(&declarations[i]) as usize;
        i += 1;
    }
    count
}

const fn is_constrained(declaration: &Declaration) -> bool {
    !declaration.aliases.is_empty() || !declaration.options.is_empty()
}

/// The settings that have aliases or options, as many as [`count_constrained`] counts.
pub const fn constrained<const N: usize>(declarations: &[Declaration]) -> [Constrained; N] {
    let mut constrained = [Constrained { path: "", aliases: &[], options: &[] }; N];
    let (mut count, mut i) = (0, 0);
    while i < declarations.len() {
        if is_constrained(&declarations[i]) {
            let Declaration { path, aliases, options, .. } = declarations[i];
            constrained[count] = Constrained { path, aliases, options };
            count += 1;
        }
        i += 1;
    }
    constrained
}

/// What documentation, forms and tests need of a declaration.
#[derive(Clone, Copy)]
pub struct Docs {
    /// The doc comment.
    pub text: &'static str,
    /// Of a field: the allowed values, which makes it a restricted field; empty if a check only reads it.
    pub allowed: &'static str,
    /// Of a field of containers: the list of containers in which it is not evaluated; empty if it is in all.
    pub except: &'static str,
    /// Of a setting: the project whose policy has it, if it exists for that policy's settings alone; else empty. Forms
    /// do not ask for it.
    pub project: &'static str,
    /// Of a setting of another project: our setting with the same meaning, empty if there is none. The two together
    /// are an error.
    pub stands_for: &'static str,
    /// Of a setting: another setting and its values for which this one has a meaning; empty if it always has.
    pub shown_if: (&'static str, &'static [&'static str]),
    /// Of a setting: when it makes the policy change objects: `true`, `false` or `set`; empty if never.
    pub mutates_if: &'static str,
}

impl Docs {
    /// Nothing is documented.
    pub const NONE: Self =
        Self { text: "", allowed: "", except: "", project: "", stands_for: "", shown_if: ("", &[]), mutates_if: "" };
}

/// Declares the fields that a policy reads, as constants and as the table `FIELDS`. Of a policy that evaluates objects of
/// its own kinds, all have the scope `Object`.
///
/// `allowed` makes a field a restricted one: it gets a row in the documentation, and the fixtures must reject
/// something there. A field without it is only read. `except` names a list of containers in which Kubernetes refuses the
/// field, so that it is not evaluated there.
///
/// ```
/// podfence_core::fields! {
///     PRIVILEGED: Bool = Container "securityContext.privileged", allowed "unset, `false`";
///     /// Windows pods are not asked.
///     OS_NAME: String = Pod "os.name";
/// }
/// # fn main() { assert_eq!(FIELDS.len(), 2) }
/// ```
#[macro_export]
macro_rules! fields {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ident = $scope:ident $path:literal $(, allowed $allowed:literal)? $(, except $except:literal)?;)*) => {
        $(
            #[doc = concat!("`", $path, "`")]
            $(#[doc = $doc])*
            pub const $name: $crate::Field<$crate::types::$type> = $crate::Field::new($path);
        )*
        /// Every field that is read.
        pub const FIELDS: &[$crate::Declaration] = &[$(
            $name.declared($crate::Scope::$scope).documented($crate::Docs {
                text: concat!($($doc, "\n"),*),
                allowed: concat!($($allowed)?),
                except: concat!($($except)?),
                ..$crate::Docs::NONE
            })
        ),*];
    };
}

/// Declares the settings of a policy, as constants and as the table `SETTINGS`.
///
/// The doc comment becomes the documentation. Settings are strict: an unknown key, a wrong type and a string that is
/// not `one_of` are errors. In this order, a setting may have:
///
/// - `alias`: its name in another project
/// - `one_of`: the only strings that it may be
/// - `default`: in JSON
/// - `mutates if`: makes the policy change objects if it is `true`, `false`, or `set` at all
/// - `shown_if`: forms ask for it only where another setting has one of these values
/// - `of`: the project whose policy has it; it exists for that policy's settings alone, in place of the one it
///   stands `for`
///
/// ```
/// podfence_core::settings! {
///     /// Whether missing drops are added instead of rejected.
///     MUTATE: Bool = "mutate", default "false", mutates if true;
///     /// Which of two.
///     RULE: String = "rule", alias "fsGroupRule", one_of ["MayRunAs", "RunAsAny"], default "\"MayRunAs\"";
///     /// The allowed group.
///     GROUP: Integer = "group", shown_if "rule" = ["MayRunAs"];
///     /// The opposite of `mutate`.
///     VALIDATE_ONLY: Bool = "validate_only", of "Kubewarden" for "mutate";
/// }
/// # fn main() { assert_eq!(SETTINGS.len(), 4) }
/// ```
#[macro_export]
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])* $name:ident: $type:ident = $path:literal
        $(, alias $alias:literal)* $(, one_of [$($option:literal),*])? $(, default $default:literal)?
        $(, mutates if $mutates:tt)? $(, shown_if $other:literal = [$($value:literal),*])?
        $(, of $project:literal $(for $own:literal)?)?;
    )*) => {
        $(
            $(#[doc = $doc])*
            pub const $name: $crate::Field<$crate::types::$type> = $crate::Field::new($path);
        )*
        /// Every setting.
        pub const SETTINGS: &[$crate::Declaration] = &[$($crate::Declaration {
            aliases: &[$($alias),*],
            options: &[$($($option),*)?],
            default: concat!($($default)?),
            ..$name.declared($crate::Scope::Root)
        }.documented($crate::Docs {
            text: concat!($($doc, "\n"),*),
            project: concat!($($project)?),
            stands_for: concat!($($($own)?)?),
            shown_if: (concat!($($other)?), &[$($($value),*)?]),
            mutates_if: concat!($(stringify!($mutates))?),
            ..$crate::Docs::NONE
        })),*];
    };
}

/// The id of no field: of a node that is only on the way to one.
pub(crate) const NO_FIELD: u32 = 0;

/// The id of the elements of lists.
pub(crate) const ELEMENT: u32 = 1;

/// FNV-1a of a path: links a [`Field`] to its [`Node`]. [`build`] refuses collisions.
#[inline(never)]
pub(crate) const fn id(path: &str) -> u32 {
    let mut hash = 0x811c_9dc5u32;
    let mut i = 0;
    while i < path.len() {
        hash = (hash ^ path.as_bytes()[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash
}

/// A key that the decoder looks for, and what it does there.
#[derive(Clone, Copy)]
pub struct Node {
    /// The key; one that ends in `*` stands for each key that starts so.
    pub(crate) key: &'static str,
    pub(crate) json_type: JsonType,
    /// Whether the key stands for many.
    pub(crate) is_pattern: bool,
    /// Of the field, or [`NO_FIELD`].
    pub(crate) id: u32,
    /// Where the keys inside are in the table, and how many.
    pub(crate) first: u8,
    pub(crate) count: u8,
    /// The [`bit`] of each key inside, which are in the order of their bits; all bits if they are not.
    pub(crate) bits: u32,
}

/// One of 32 bits for a key, by its length and its last byte: most keys that are not inside a node have one that no key
/// inside it has.
#[inline(always)]
pub(crate) const fn bit(key: &str) -> u32 {
    let bytes = key.as_bytes();
    match bytes.last() {
        Some(last) => 1u32.rotate_left((*last as u32).wrapping_add(5 * bytes.len() as u32)),
        None => 1,
    }
}

impl Node {
    /// The index of the first key inside that may be one with this bit; `None` if none has it.
    #[inline(always)]
    pub(crate) fn first_with(&self, bit: u32) -> Option<usize> {
        match self.bits {
            u32::MAX => Some(0),
            bits if bits & bit == 0 => None,
            bits => Some((bits & (bit - 1)).count_ones() as usize),
        }
    }

    /// Which of the keys of an object come first. Exact keys come before patterns, over which they win.
    const fn rank(&self, by_bits: bool) -> u32 {
        match (self.is_pattern, by_bits) {
            (true, _) => PATTERNS,
            (false, true) => bit(self.key).trailing_zeros(),
            (false, false) => 0,
        }
    }

    /// What the keys that a pattern stands for start with.
    pub(crate) fn prefix(&self) -> &'static str {
        cut(self.key, 0, self.key.len() - 1)
    }
}

/// The [`Node::rank`] of patterns: behind that of any bit.
const PATTERNS: u32 = u32::BITS;

/// What the decoder skips.
pub(crate) static NOTHING: Node = NO_NODE;

const NO_NODE: Node =
    Node { key: "", json_type: JsonType::Object, is_pattern: false, id: NO_FIELD, first: 0, count: 0, bits: 0 };

/// The spec of a pod, in the pod or its template.
pub(crate) const SPEC: Field<types::Object> = Field::new("spec");

/// The three lists of containers, in the order of the built-in admission.
pub const LISTS: [Field<types::ObjectList>; 3] =
    [Field::new("initContainers"), Field::new("containers"), Field::new("ephemeralContainers")];

/// The nodes where decoding starts.
pub(crate) const POD: usize = 0;
pub(crate) const CONTAINER: usize = 1;
pub(crate) const PERSISTENT_VOLUME: usize = 2;
pub(crate) const WORKLOAD: usize = 3;
const ROOTS: usize = 4;
const MOST: usize = 240;

/// Most keys in one object: the decoder remembers in 64 bits which it has seen.
const MOST_KEYS: u8 = 64;

/// A tree that is being built: `first` is the first key inside, `next` the one beside.
struct Tree {
    nodes: [Node; MOST],
    /// The path of the field of each node.
    paths: [&'static str; MOST],
    next: [u8; MOST],
    length: usize,
}

impl Tree {
    const fn new(roots: usize) -> Self {
        Self { nodes: [NO_NODE; MOST], paths: [""; MOST], next: [0; MOST], length: roots }
    }

    /// The key inside a parent, which is added if it is not there.
    const fn child(&mut self, parent: usize, key: &'static str) -> usize {
        let mut last = 0;
        let mut at = self.nodes[parent].first as usize;
        while at != 0 {
            if equal(self.nodes[at].key, key) {
                return at;
            }
            last = at;
            at = self.next[at] as usize;
        }
        assert!(self.length < MOST, "too many fields");
        assert!(self.nodes[parent].count < MOST_KEYS, "too many fields in one object");
        let new = self.length;
        if last == 0 {
            self.nodes[parent].first = new as u8;
        } else {
            self.next[last] = new as u8;
        }
        self.nodes[parent].count += 1;
        self.nodes[new] = Node { key, is_pattern: matches!(key.as_bytes().last(), Some(b'*')), ..NO_NODE };
        self.length += 1;
        new
    }

    /// The table: the same nodes, but the keys of an object next to each other, in the order of their bits.
    const fn table<const N: usize>(&self, roots: usize) -> [Node; N] {
        self.table_by(roots, true)
    }

    /// The same, or in the order in which they were declared.
    const fn table_by<const N: usize>(&self, roots: usize, by_bits: bool) -> [Node; N] {
        let mut table = [NO_NODE; N];
        // Where each node of the table is in the tree, and where the keys inside one went.
        let mut origin = [0; N];
        let mut moved = [0; MOST];
        let mut length = roots;
        let mut i = 0;
        while i < length {
            if i < roots {
                origin[i] = i;
            }
            let node = self.nodes[origin[i]];
            table[i] = node;
            let first = node.first as usize;
            if first != 0 && moved[first] == 0 {
                moved[first] = length as u8;
                let mut rank = 0;
                while rank <= PATTERNS {
                    let mut child = first;
                    while child != 0 {
                        if self.nodes[child].rank(by_bits) == rank {
                            origin[length] = child;
                            length += 1;
                        }
                        child = self.next[child] as usize;
                    }
                    rank += 1;
                }
            }
            table[i].first = moved[first];
            let mut child = first;
            while child != 0 {
                let is_ranked = by_bits && !self.nodes[child].is_pattern;
                table[i].bits |= if is_ranked { bit(self.nodes[child].key) } else { u32::MAX };
                child = self.next[child] as usize;
            }
            i += 1;
        }
        table
    }

    /// Adds the keys of a path below a parent.
    const fn insert(&mut self, parent: usize, declaration: &Declaration) {
        let mut parent = parent;
        let mut rest = declaration.path;
        loop {
            let (key, is_list, behind) = first_key(rest);
            let at = self.child(parent, key);
            let Some(behind) = behind else {
                assert!(!is_list, "the type says that it is a list");
                let new_id = id(declaration.path);
                assert!(new_id > ELEMENT, "the hash of a path is an id with another meaning");
                let mut i = 0;
                while i < self.length {
                    let is_same = self.nodes[i].id == new_id;
                    assert!(!is_same || equal(self.paths[i], declaration.path), "two paths have one hash");
                    i += 1;
                }
                self.nodes[at].json_type = declaration.json_type;
                self.nodes[at].id = new_id;
                self.paths[at] = declaration.path;
                return;
            };
            if is_list {
                self.nodes[at].json_type = JsonType::ObjectList;
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

const fn tree(declarations: &[&[Declaration]]) -> Tree {
    let mut tree = Tree::new(ROOTS);
    tree.insert(POD, &SPEC.declared(Scope::Root));
    let spec = tree.child(POD, "spec");
    let mut s = 0;
    while s < declarations.len() {
        let mut i = 0;
        while i < declarations[s].len() {
            let declaration = &declarations[s][i];
            match declaration.scope {
                Scope::Pod => tree.insert(spec, declaration),
                Scope::Container => tree.insert(CONTAINER, declaration),
                Scope::Both => {
                    tree.insert(spec, declaration);
                    tree.insert(CONTAINER, declaration);
                }
                Scope::Metadata => {
                    let metadata = tree.child(POD, "metadata");
                    tree.insert(metadata, declaration);
                }
                Scope::PersistentVolume => {
                    tree.insert(PERSISTENT_VOLUME, &SPEC.declared(Scope::Root));
                    let spec = tree.child(PERSISTENT_VOLUME, "spec");
                    tree.insert(spec, declaration);
                }
                Scope::Workload => tree.insert(WORKLOAD, declaration),
                Scope::Object | Scope::Root => panic!("a pod has no such fields"),
            }
            i += 1;
        }
        s += 1;
    }
    let mut list = 0;
    while list < LISTS.len() {
        let field = &LISTS[list];
        tree.insert(spec, &field.declared(Scope::Pod));
        let at = tree.child(spec, first_key(field.path).0);
        tree.nodes[at].first = tree.nodes[CONTAINER].first;
        tree.nodes[at].count = tree.nodes[CONTAINER].count;
        list += 1;
    }
    tree
}

const fn flat(declarations: &[&[Declaration]]) -> Tree {
    let mut tree = Tree::new(1);
    let mut s = 0;
    while s < declarations.len() {
        let mut i = 0;
        while i < declarations[s].len() {
            let declaration = &declarations[s][i];
            tree.insert(0, declaration);
            let mut alias = 0;
            while alias < declaration.aliases.len() {
                tree.insert(0, &Declaration { path: declaration.aliases[alias], ..*declaration });
                alias += 1;
            }
            i += 1;
        }
        s += 1;
    }
    tree
}

/// How many nodes [`build`] makes.
pub const fn count(declarations: &[&[Declaration]]) -> usize {
    tree(declarations).length
}

/// The table for decoding a pod: the fields that core always reads, and these declarations.
pub const fn build<const N: usize>(declarations: &[&[Declaration]]) -> [Node; N] {
    tree(declarations).table(ROOTS)
}

/// The declarations, which are all of fields of an object.
const fn of_object(declarations: &'static [Declaration]) -> &'static [Declaration] {
    let mut i = 0;
    while i < declarations.len() {
        assert!(matches!(declarations[i].scope, Scope::Object), "the policy evaluates objects: expected scope Object");
        i += 1;
    }
    declarations
}

/// How many nodes [`build_object`] makes.
pub const fn count_object(base: &'static [Declaration], fields: &'static [Declaration]) -> usize {
    flat(&[base, of_object(fields)]).length
}

/// The table for decoding an object that is not a pod: the fields that core always reads, and these declarations.
pub const fn build_object<const N: usize>(base: &'static [Declaration], fields: &'static [Declaration]) -> [Node; N] {
    flat(&[base, of_object(fields)]).table(1)
}

/// How many nodes [`build_flat`] makes.
pub const fn count_flat(declarations: &[&[Declaration]]) -> usize {
    flat(declarations).length
}

/// The table for decoding a request or what is in it.
pub const fn build_flat<const N: usize>(declarations: &[&[Declaration]]) -> [Node; N] {
    flat(declarations).table(1)
}

/// The table for decoding settings, of which a text may list the names: they stay in the order of their declarations.
pub const fn build_settings<const N: usize>(declarations: &[&[Declaration]]) -> [Node; N] {
    flat(declarations).table_by(1, false)
}
