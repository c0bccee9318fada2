//! What an expression may cost. The API server has the first two as well, with other numbers.

/// How many characters an expression has at most.
pub const TEXT: usize = 20_000;

/// How deep an expression is nested at most, as for the API server.
pub(crate) const DEPTH: usize = 250;

/// The units that one evaluation may spend: the number of the API server, which counts a little less for each step.
pub(crate) const BUDGET: u64 = 1_000_000;

/// The stack of the thread in which expressions are read, and deep ones evaluated: both call themselves for each level,
/// and the parser needs about 50 KiB for one.
pub(crate) const STACK: usize = 256 << 20;

/// How deep the tree of an expression is at most that is evaluated on the stack of any thread. A level needs about
/// 3 KiB, and much more where nothing is optimised.
pub(crate) const SHALLOW: usize = if cfg!(debug_assertions) { 0 } else { 60 };

/// How many elements of a list are tried to find the one that fails.
pub(crate) const ELEMENTS: usize = 64;
