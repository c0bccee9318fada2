//! A thread with room for deep expressions.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use crate::limits::STACK;

thread_local!(static ROOMY: Cell<bool> = const { Cell::new(false) });

/// Works in a thread with a large stack, which is this one if it already is such a thread. An error says why it could
/// not, and holds the words of a panic.
pub(crate) fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    if ROOMY.get() {
        return here(work);
    }
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("cel".to_owned()).stack_size(STACK);
        let started = builder.spawn_scoped(scope, || {
            ROOMY.set(true);
            work()
        });
        let handle = started.map_err(|error| error.to_string())?;
        handle.join().map_err(|panic| words(panic.as_ref()))
    })
}

/// Works on the stack of this thread. An error holds the words of a panic.
pub(crate) fn here<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| words(panic.as_ref()))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the evaluator failed: {}", text.unwrap_or("no reason given"))
}
