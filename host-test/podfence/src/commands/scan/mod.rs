//! `podfence scan`

mod judge;
mod modules;
mod select;
