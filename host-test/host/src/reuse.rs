//! One instance for many calls. A fresh instance costs several times what an evaluation does.
//!
//! Only for modules that keep nothing from one call to the next, such as Podfence's own: a module that does could
//! evaluate an object by what it saw in another one.

use crate::engine::Module;
use crate::wapc::{CallError, Instance};

/// A module with the instance that answers its next call.
pub struct Reused<'m> {
    module: &'m Module,
    /// None before the first call, and after a call that failed.
    instance: Option<Instance>,
}

impl<'m> Reused<'m> {
    /// Makes no instance yet.
    pub fn new(module: &'m Module) -> Self {
        Self { module, instance: None }
    }

    /// One call. If it fails, the instance is dropped, because a module that trapped is in no known state, and the
    /// next call gets a fresh one.
    ///
    /// # Errors
    /// As [`Module::call`].
    pub fn call(&mut self, operation: &str, payload: &[u8]) -> Result<Vec<u8>, CallError> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.module.instantiate()?,
        };
        let reply = instance.call(operation, payload)?;
        self.instance = Some(instance);
        Ok(reply)
    }
}
