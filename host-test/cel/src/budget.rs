//! What an evaluation may still spend.
//!
//! The evaluator and the functions of the crate have no limits. So an expression is rewritten before it is evaluated
//! (`rewrite`): each value that is walked, copied or built passes through a function that spends for it first.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use cel::ExecutionError;
use cel::common::types::{CelBytes, CelList, CelMap, CelOptional, CelString};
use cel::common::value::Val;
use regex::Regex;

use crate::held::{HeldList, HeldMap};
use crate::re2;
use crate::reading::At;

/// What an evaluation has at hand: functions of the crate are plain functions, so it is the thread's.
#[derive(Default)]
struct Purse {
    left: u64,
    overdrawn: bool,
    /// The patterns that the text of the expression has.
    patterns: Patterns,
    /// Those that were made while it was evaluated.
    made: HashMap<String, Arc<Regex>>,
    /// Loops that see one element alone.
    narrowed: Vec<At>,
    /// How many elements the last of these loops had.
    elements: u64,
}

/// Regular expressions by their texts. Shared, not copied: a copy would make the memory of its searches anew.
pub(crate) type Patterns = Arc<HashMap<String, Arc<Regex>>>;

thread_local!(static PURSE: RefCell<Purse> = RefCell::default());

/// Runs an evaluation with a budget and with these patterns at hand, and takes from the budget what it spent. `None` if
/// that is more than there was: an expression can absorb errors, but not this one.
pub(crate) fn within<T>(budget: &mut u64, patterns: &Patterns, evaluate: impl FnOnce() -> T) -> Option<T> {
    PURSE.set(Purse { left: *budget, patterns: Arc::clone(patterns), ..Purse::default() });
    let result = evaluate();
    let spent = PURSE.take();
    *budget = if spent.overdrawn { 0 } else { spent.left };
    (!spent.overdrawn).then_some(result)
}

/// Works with half of what is left; what it spends is spent. `None` if that was not enough, which does not count as a
/// failure of the evaluation.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> Option<T> {
    let (is_overdrawn, kept) = PURSE.with_borrow_mut(|purse| {
        let kept = purse.left - purse.left / 2;
        purse.left -= kept;
        (purse.overdrawn, kept)
    });
    let result = work();
    PURSE.with_borrow_mut(|purse| {
        let was_enough = !purse.overdrawn;
        purse.left = if was_enough { purse.left + kept } else { kept };
        purse.overdrawn = is_overdrawn;
        was_enough.then_some(result)
    })
}

/// Has loops see one element alone, in the evaluation that runs.
pub(crate) fn narrow(loops: &[At]) {
    PURSE.with_borrow_mut(|purse| purse.narrowed = loops.to_vec());
}

/// The only element that a loop is to see, of so many.
pub(crate) fn narrowed(node: i64, elements: u64) -> Option<usize> {
    PURSE.with_borrow_mut(|purse| {
        let at = purse.narrowed.iter().position(|(of, _)| *of as i64 == node)?;
        if at + 1 == purse.narrowed.len() {
            purse.elements = purse.elements.max(elements);
        }
        Some(purse.narrowed[at].1)
    })
}

/// How many elements the last loop had that is narrowed.
pub(crate) fn elements() -> u64 {
    PURSE.with_borrow(|purse| purse.elements)
}

/// Takes units, or fails if there are not as many.
pub(crate) fn spend(units: u64) -> Result<(), ExecutionError> {
    PURSE.with_borrow_mut(|purse| {
        if purse.overdrawn || units > purse.left {
            purse.overdrawn = true;
            return Err(ExecutionError::function_error("budget", "the expression costs too much"));
        }
        purse.left -= units;
        Ok(())
    })
}

/// What it costs to walk a value: one for a node, one for ten bytes. Stops counting above what is left.
pub(crate) fn weight(value: &dyn Val) -> u64 {
    let limit = PURSE.with_borrow(|purse| purse.left).saturating_add(1);
    let mut total = 0;
    add_weight(value, limit, &mut total);
    total
}

/// The same, of which everything is counted.
pub(crate) fn whole_weight(value: &dyn Val) -> u64 {
    let mut total = 0;
    add_weight(value, u64::MAX, &mut total);
    total
}

/// What it costs to walk text.
pub(crate) fn weight_of_text(text: &str) -> u64 {
    1 + bytes(text.len())
}

fn add_weight(value: &dyn Val, limit: u64, total: &mut u64) {
    if let Some(list) = value.downcast_ref::<HeldList>() {
        *total += list.weight();
        return;
    }
    if let Some(map) = value.downcast_ref::<HeldMap>() {
        *total += map.weight();
        return;
    }
    *total += 1;
    if let Some(text) = value.downcast_ref::<CelString>() {
        *total += bytes(text.inner().len());
    } else if let Some(data) = value.downcast_ref::<CelBytes>() {
        *total += bytes(data.inner().len());
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        for element in list.inner() {
            if *total > limit {
                return;
            }
            add_weight(element.as_ref(), limit, total);
        }
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        for (key, value) in map.inner() {
            if *total > limit {
                return;
            }
            add_weight(key.inner(), limit, total);
            add_weight(value.as_ref(), limit, total);
        }
    } else if let Some(inner) = value.downcast_ref::<CelOptional>().and_then(CelOptional::option) {
        add_weight(inner, limit, total);
    }
}

/// What bytes cost.
pub(crate) fn bytes(count: usize) -> u64 {
    count as u64 / 10
}

/// The pattern, compiled: once for the whole evaluation.
pub(crate) fn pattern(text: &str) -> Result<Arc<Regex>, ExecutionError> {
    let known = |purse: &Purse| purse.patterns.get(text).or_else(|| purse.made.get(text)).cloned();
    if let Some(known) = PURSE.with_borrow(known) {
        return Ok(known);
    }
    spend(500 + 20 * text.len() as u64)?;
    let compiled = re2::compile(text).map_err(|error| ExecutionError::function_error("matches", error))?;
    let compiled = Arc::new(compiled);
    PURSE.with_borrow_mut(|purse| purse.made.insert(text.to_owned(), Arc::clone(&compiled)));
    Ok(compiled)
}
