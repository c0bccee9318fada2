//! What the tests beside this directory share; each is a crate of its own and uses a part of it.
#![allow(dead_code)]

pub mod differential;
pub mod texts;
