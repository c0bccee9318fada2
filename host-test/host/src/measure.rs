//! Figures of a module that are the same on every machine: bytes, imports, fuel and memory.

use serde::Serialize;

use crate::engine::{Host, HostError, Limits, LoadError};
use crate::wapc::CallError;

/// What one call in a fresh instance costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// The size of the module.
    pub bytes: usize,
    /// Its imports as `module.name`, in the module's order.
    pub imports: Vec<String>,
    /// The size of the call's payload.
    pub payload_bytes: usize,
    /// Fuel of the call itself, initialisers left out.
    pub fuel: u64,
    /// The exported memory before anything runs, in bytes.
    pub initial_memory: u64,
    /// The exported memory after the call, in bytes.
    pub peak_memory: u64,
    /// What the module answered.
    #[serde(skip)]
    pub reply: Vec<u8>,
}

impl Measurement {
    /// Fuel for each byte of the payload.
    pub fn fuel_per_byte(&self) -> f64 {
        self.fuel as f64 / self.payload_bytes.max(1) as f64
    }

    /// Peak memory beyond the payload, which every module must hold, in bytes.
    pub fn peak_above_payload(&self) -> u64 {
        self.peak_memory.saturating_sub(self.payload_bytes as u64)
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// No engine.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Not a policy.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The call has no reply, so its cost means nothing.
    #[error("{}", .0.reason())]
    Call(CallError),
}

// Not a source: its text is the server's, the reason says more in less.
impl From<CallError> for MeasureError {
    fn from(error: CallError) -> Self {
        MeasureError::Call(error)
    }
}

/// Measures calls into any number of modules, with one engine.
pub struct Meter {
    host: Host,
}

impl Meter {
    /// A meter with generous limits: a comparison may need more than a policy of ours may use.
    ///
    /// # Errors
    /// As [`Host::new`].
    pub fn new() -> Result<Meter, HostError> {
        let host = Host::metered(Limits { memory: 1 << 30, ..Limits::default() })?;
        Ok(Meter { host })
    }

    /// One call in a fresh instance of the module in `bytes`.
    ///
    /// # Errors
    /// When it cannot be loaded or does not reply.
    pub fn measure(&self, bytes: &[u8], operation: &str, payload: &[u8]) -> Result<Measurement, MeasureError> {
        let compiled = self.host.compile(bytes)?;
        let module = self.host.link(&compiled)?;
        let mut instance = module.instantiate()?;
        let reply = instance.call(operation, payload)?;
        Ok(Measurement {
            bytes: bytes.len(),
            imports: compiled.imports().map(|import| format!("{}.{}", import.module(), import.name())).collect(),
            payload_bytes: payload.len(),
            fuel: instance.fuel_used().unwrap_or_default(),
            initial_memory: module.initial_memory(),
            peak_memory: instance.memory_size() as u64,
            reply,
        })
    }
}
