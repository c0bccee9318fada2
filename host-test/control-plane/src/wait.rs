//! Waits for states. A time is only a limit, after which the state is said to never come.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// A state that did not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late(pub String);

/// How long a state may take. Slow machines are slow; a state that never comes costs this once.
const LIMIT: Duration = Duration::from_secs(180);

/// Asks until there is an answer.
///
/// # Errors
/// None came, with what was waited for.
pub fn until<T>(what: impl Fn() -> String, mut ask: impl FnMut() -> Option<T>) -> Result<T, Late> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if start.elapsed() > LIMIT {
            return Err(Late(format!("did not come in {} s: {}", LIMIT.as_secs(), what())));
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}
