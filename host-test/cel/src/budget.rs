//! What an evaluation may still spend.
//!
//! The evaluator and the functions of the crate have no limits. So an expression is rewritten before it is evaluated
//! (`rewrite`): each value that is walked, copied or built passes through a function that spends for it first.

use std::cell::RefCell;
use std::collections::HashMap;

use cel::ExecutionError;
use cel::common::types::{CelBytes, CelList, CelMap, CelOptional, CelString};
use cel::common::value::Val;
use regex::Regex;

use crate::limits::BUDGET;
use crate::re2;

/// What an evaluation has at hand: functions of the crate are plain functions, so it is the thread's.
#[derive(Default)]
struct Purse {
    left: u64,
    overdrawn: bool,
    patterns: HashMap<String, Regex>,
}

thread_local!(static PURSE: RefCell<Purse> = RefCell::default());

/// Runs an evaluation with a full budget and with these patterns at hand. `None` if it spent more than it had: an
/// expression can absorb errors, but not this one.
pub(crate) fn within<T>(patterns: &HashMap<String, Regex>, evaluate: impl FnOnce() -> T) -> Option<T> {
    let purse = Purse { left: BUDGET, overdrawn: false, patterns: patterns.clone() };
    PURSE.set(purse);
    let result = evaluate();
    let spent = PURSE.take();
    (!spent.overdrawn).then_some(result)
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

fn add_weight(value: &dyn Val, limit: u64, total: &mut u64) {
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
pub(crate) fn pattern(text: &str) -> Result<Regex, ExecutionError> {
    if let Some(known) = PURSE.with_borrow(|purse| purse.patterns.get(text).cloned()) {
        return Ok(known);
    }
    spend(500 + 20 * text.len() as u64)?;
    let compiled = re2::compile(text).map_err(|error| ExecutionError::function_error("matches", error))?;
    PURSE.with_borrow_mut(|purse| purse.patterns.insert(text.to_owned(), compiled.clone()));
    Ok(compiled)
}
