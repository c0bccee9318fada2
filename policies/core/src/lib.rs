//! What every Podfence policy shares.
//!
//! A policy states the [`fields!`] and [`settings!`] that it reads, and a check: a pure function from
//! a [`Pod`] and its [`Settings`] to [`Violations`]. [`policy!`] makes a module of it. The rest is here:
//!
//! - `json`, `shape`, `view`: one pass over the payload, straight into what a check reads
//! - `request`, `workload`, `pod`: what is judged, and where it is
//! - `settings`, `exempt`: strict settings, and what is left out
//! - `violation`, `policy`, `edit`: the verdict, its text, and changes that lose nothing
//! - `wapc`: the only file that knows Kubewarden's ABI
//! - `testing`: the fixture format, its interpreter, and what is generated (not in a module)
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

#[forbid(unsafe_code)]
mod edit;
#[forbid(unsafe_code)]
mod exempt;
pub mod json;
#[forbid(unsafe_code)]
mod pod;
#[forbid(unsafe_code)]
mod policy;
#[forbid(unsafe_code)]
mod profile;
#[forbid(unsafe_code)]
mod request;
#[forbid(unsafe_code)]
mod settings;
#[forbid(unsafe_code)]
pub mod shape;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
#[forbid(unsafe_code)]
pub mod testing;
#[forbid(unsafe_code)]
mod text;
#[forbid(unsafe_code)]
mod view;
#[forbid(unsafe_code)]
mod violation;
#[cfg(target_arch = "wasm32")]
pub mod wapc;
#[forbid(unsafe_code)]
pub mod workload;

pub use alloc::{string::String, vec, vec::Vec};
pub use pod::{Container, Edits, LISTS, Pod, Role};
pub use policy::{Case, Check, Mutate, Mutation, Policy, mutated, validate, validate_settings};
pub use profile::Profile;
pub use settings::{Definition, Settings, common, problem};
pub use shape::{Entry, Field, Kind, Scope};
pub use text::{sort, split};
pub use view::{List, Object, Type, Value, count_defaults, default_elements, defaults, types};
pub use violation::{Place, Rule, Violations};

/// Makes a policy of a check: the constant `POLICY`, the exports of its module, and its tests.
///
/// It stands in a crate that states its `fields!` and `settings!`. `mutate` and `validate` (of the
/// settings) are optional.
#[macro_export]
macro_rules! policy {
    (name: $name:literal, check: $check:path $(, mutate: $mutate:path)? $(, validate: $validate:path)? $(,)?) => {
        /// This policy.
        pub static POLICY: $crate::Policy = {
            const STATEMENTS: &[&[$crate::Entry]] = &[$crate::base_fields(), FIELDS];
            const SETTINGS_STATEMENTS: &[&[$crate::Entry]] = &[$crate::common::SETTINGS, SETTINGS];
            static SHAPES: [$crate::shape::Shape; $crate::shape::count(STATEMENTS)] =
                $crate::shape::build(STATEMENTS);
            static SETTINGS_SHAPES: [$crate::shape::Shape; $crate::shape::count_flat(SETTINGS_STATEMENTS)] =
                $crate::shape::build_flat(SETTINGS_STATEMENTS);
            static ELEMENTS: [$crate::Value<'static>; $crate::count_defaults(SETTINGS_STATEMENTS)[1]] =
                $crate::default_elements(SETTINGS_STATEMENTS);
            static DEFAULTS: [$crate::Value<'static>; $crate::count_defaults(SETTINGS_STATEMENTS)[0]] =
                $crate::defaults(SETTINGS_STATEMENTS, &ELEMENTS);
            $crate::Policy {
                name: $name,
                shapes: &SHAPES,
                settings: $crate::Definition {
                    entries: SETTINGS,
                    shapes: &SETTINGS_SHAPES,
                    defaults: &DEFAULTS,
                    validate: $crate::optional!($($validate)?),
                },
                check: $check,
                mutate: $crate::mutation!($($mutate)?),
                #[cfg(not(target_arch = "wasm32"))]
                fields: FIELDS,
            }
        };

        #[cfg(all(target_arch = "wasm32", feature = "wapc"))]
        $crate::export_wapc!(POLICY);

        #[cfg(test)]
        $crate::policy_tests!(POLICY);
    };
}

/// `Some` of what is given, or `None`.
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

/// A [`policy::Mutation`] of what is given, or `None`.
#[doc(hidden)]
#[macro_export]
macro_rules! mutation {
    () => {
        None
    };
    ($mutate:path) => {
        Some(|case| $crate::mutated($mutate, case))
    };
}

/// The fields that core reads for itself.
#[doc(hidden)]
pub const fn base_fields() -> &'static [Entry] {
    pod::FIELDS
}
