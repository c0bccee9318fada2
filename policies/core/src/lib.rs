//! What every Podfence policy shares: decoding a request, evaluating it, explaining the verdict, and changing an
//! object without losing a byte.
//!
//! A policy declares the [`fields!`] and [`settings!`] that it reads, and a check: a pure function from a [`Pod`] and
//! its [`Settings`] to [`Violations`]. [`policy!`] makes a module of it. A policy may evaluate objects of its own kinds
//! instead: then its check gets a [`Resource`].
//!
//! The files stand in floors; each uses only files above it in this list:
//!
//! - `text`, `arena`: string helpers, and memory for decoded values
//! - `addresses`: IP addresses and blocks of them, for policies that read such
//! - `json`, `rego`: the parser, and Rego's notation of strings
//! - `schema`: the declarations of fields and settings, and the table made of them
//! - `decode`, `edit`: one pass over a text by that table, and changes that keep every other byte
//! - `settings`, `workload`: strict settings, and the kinds that hold a pod
//! - `request`: the admission request
//! - `place`, `pod`: places of violations, and the view of a pod that checks use
//! - `violation`, `exempt`, `update`, `profile`: the text of a verdict, exemptions, updates, and profiles
//! - `resource`: the kinds that a policy evaluates without a pod in them, and the view of such an object
//! - `policy`: the evaluation of one request
//! - `wapc`, `opa`: the ABIs of Kubewarden and of OPA, each with the feature of its name
//! - `heap`: the allocator of a module, over the pointer that its ABI keeps
//!
//! Features, none by default: `wapc` and `opa` are for a module, and for wasm32 alone. `arena` frees what was decoded, for
//! programs that evaluate more than one request. `docs` keeps what documentation and tests need.
#![no_std]
// Nobody reads Kubewarden's replies there.
#![cfg_attr(feature = "opa", allow(dead_code, unused_imports))]

extern crate alloc;

#[cfg(all(feature = "wapc", not(target_arch = "wasm32")))]
compile_error!("the feature `wapc` is the ABI of a wasm32 module");
#[cfg(all(feature = "opa", not(target_arch = "wasm32")))]
compile_error!("the feature `opa` is the ABI of a wasm32 module");
#[cfg(all(feature = "opa", feature = "wapc"))]
compile_error!("a module has one ABI: `opa` or `wapc`");

#[forbid(unsafe_code)]
mod addresses;
#[forbid(unsafe_code)]
mod arena;
#[forbid(unsafe_code)]
mod decode;
#[forbid(unsafe_code)]
mod edit;
#[forbid(unsafe_code)]
mod exempt;
#[cfg(all(any(feature = "opa", feature = "wapc"), target_arch = "wasm32"))]
mod heap;
pub mod json;
#[cfg(all(feature = "opa", target_arch = "wasm32"))]
pub mod opa;
#[forbid(unsafe_code)]
mod place;
#[forbid(unsafe_code)]
mod pod;
#[forbid(unsafe_code)]
mod policy;
#[forbid(unsafe_code)]
mod profile;
// Kubewarden's modules read JSON alone.
#[cfg(not(feature = "wapc"))]
#[forbid(unsafe_code)]
pub mod rego;
#[forbid(unsafe_code)]
mod request;
#[forbid(unsafe_code)]
mod resource;
#[forbid(unsafe_code)]
pub mod schema;
#[forbid(unsafe_code)]
mod settings;
#[forbid(unsafe_code)]
mod text;
#[forbid(unsafe_code)]
mod update;
#[forbid(unsafe_code)]
mod violation;
#[cfg(all(feature = "wapc", target_arch = "wasm32"))]
pub mod wapc;
#[forbid(unsafe_code)]
pub mod workload;

pub use addresses::{Block, Range};
pub use alloc::{string::String, vec, vec::Vec};
pub use arena::Arena;
pub use decode::{FieldType, List, Object, Value, count_defaults, default_elements, defaults};
pub use place::{Mend, Place, Role, joined, joined_length};
pub use pod::{Container, Edits, Pod};
#[cfg(feature = "docs")]
pub use policy::broken_rules;
pub use policy::{
    Check, CheckObject, Mutate, Mutation, ParsedRequest, Policy, Target, mutated, validate, validate_settings,
};
pub use profile::{Profile, Refusal};
pub use resource::{Element, Kind, Resource, object_fields};
pub use schema::{Declaration, Docs, Field, JsonType, LISTS, Scope, types};
pub use settings::{Definition, Settings, common, common_of_objects};
pub use text::{concat, problem, quote, sort, split};
pub use update::Before;
pub use violation::{Rule, Violations};

/// Makes a policy of a check: the constant `POLICY`, the exports of its module, and its tests.
///
/// It stands in a crate that declares its `fields!` and `settings!`. `mutate` and `validate` (of the settings) are
/// optional. A policy that `evaluates_resizes` is asked about updates that change nothing of a Pod but its resources, and
/// its rules name `pods/resize`. A policy that evaluates objects of its own kinds, `on` which it is, gets a
/// [`CheckObject`]; `exempt_users` are those that write such objects in every cluster.
#[macro_export]
macro_rules! policy {
    (
        name: $name:literal, check: $check:path $(, mutate: $mutate:path)? $(, validate: $validate:path)?
        $(, is_built_in: $is_built_in:literal)? $(, evaluates_resizes: $evaluates_resizes:literal)? $(,)?
    ) => {
        /// This policy.
        pub static POLICY: $crate::Policy = {
            const READ: &[&[$crate::Declaration]] = &[$crate::base_fields(), FIELDS];
            static NODES: [$crate::schema::Node; $crate::schema::count(READ)] = $crate::schema::build(READ);
            $crate::Policy::new(
                $name,
                &NODES,
                $crate::definition!($crate::common::SETTINGS $(, $validate)?),
                $crate::Target::Pods($check),
                $crate::mutation!($($mutate)?),
                false $(|| $is_built_in)?,
                FIELDS,
            )
            $(.evaluating_resizes($evaluates_resizes))?
        };

        $crate::policy!(@module $name);
    };
    (
        name: $name:literal, on: [$($kind:expr),+ $(,)?] $(, exempt_users: [$($user:literal),* $(,)?])?,
        check: $check:path $(, validate: $validate:path)? $(,)?
    ) => {
        /// This policy.
        pub static POLICY: $crate::Policy = {
            const BASE: &[$crate::Declaration] = $crate::object_fields();
            static NODES: [$crate::schema::Node; $crate::schema::count_object(BASE, FIELDS)] =
                $crate::schema::build_object(BASE, FIELDS);
            static KINDS: &[$crate::Kind] = &[$($kind),+];
            $crate::Policy::new(
                $name,
                &NODES,
                $crate::definition!($crate::common_of_objects::SETTINGS $(, $validate)?),
                $crate::Target::Objects { kinds: KINDS, exempt_users: &[$($($user),*)?], check: $check },
                None,
                false,
                FIELDS,
            )
        };

        $crate::policy!(@module $name);
    };
    (@module $name:literal) => {
        #[cfg(feature = "wapc")]
        $crate::export_wapc!(POLICY);
        #[cfg(feature = "opa")]
        $crate::export_opa!(POLICY, $name);

        #[cfg(test)]
        ::podfence_fixtures::policy_tests!(POLICY);
        #[cfg(test)]
        ::podfence_docs::policy_tests!(POLICY);
    };
}

/// The definition of a policy's settings, beside those that it has in common with others.
#[doc(hidden)]
#[macro_export]
macro_rules! definition {
    ($common:expr $(, $validate:path)?) => {{
        const SET: &[&[$crate::Declaration]] = &[$common, SETTINGS];
        static SETTINGS_NODES: [$crate::schema::Node; $crate::schema::count_flat(SET)] =
            $crate::schema::build_settings(SET);
        static CONSTRAINED: [$crate::schema::Constrained; $crate::schema::count_constrained(SETTINGS)] =
            $crate::schema::constrained(SETTINGS);
        static ELEMENTS: [$crate::Value<'static>; $crate::count_defaults(SET)[1]] = $crate::default_elements(SET);
        static DEFAULTS: [$crate::Value<'static>; $crate::count_defaults(SET)[0]] = $crate::defaults(SET, &ELEMENTS);
        $crate::Definition::new(
            SETTINGS,
            &CONSTRAINED,
            &SETTINGS_NODES,
            &DEFAULTS,
            $crate::optional!($($validate)?),
        )
    }};
}

/// `Some` of the argument, or `None`.
#[doc(hidden)]
#[macro_export]
macro_rules! optional {
    () => {
        None
    };
    ($value:path) => {
        Some($value)
    };
}

/// A [`Mutation`] of the argument, or `None`.
#[doc(hidden)]
#[macro_export]
macro_rules! mutation {
    () => {
        None
    };
    ($mutate:path) => {
        Some(|request| $crate::mutated($mutate, request))
    };
}

/// The fields that core reads for itself.
#[doc(hidden)]
pub const fn base_fields() -> &'static [Declaration] {
    pod::FIELDS
}
