//! The waPC protocol: one call into a guest, the nine functions it may call, and what went wrong.

use wasmtime::{Caller, Extern, Linker, Memory, Store, Trap, TypedFunc};

use crate::engine::MemoryCap;

pub(crate) const GUEST_CALL: &str = "__guest_call";

/// Called once per instance, in this order, where the module exports them. `_initialize` is not
/// among them: the policy-server never calls it.
pub(crate) const INITIALISERS: [&str; 2] = ["_start", "wapc_init"];

/// The most that a reply or an error may have, in bytes: twice the largest request.
const LONGEST_REPLY: usize = 4 << 20;

/// The most that each part of the name of a host call may have, in bytes.
const LONGEST_NAME: usize = 1 << 10;

/// The most that is kept of a backtrace, in bytes.
const LONGEST_BACKTRACE: usize = 64 << 10;

/// Why a call into a module has no reply. The display text is what the policy-server puts behind
/// `internal server error: Guest call failure: `, except for [`CallError::Timeout`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest reported an error with this text.
    #[error("{0}")]
    Guest(String),
    /// The call succeeded and set nothing.
    #[error("No error message OR response set for call success")]
    NoResponse,
    /// The call failed and set no error.
    #[error("No error message set for call failure")]
    NoMessage,
    /// A trap, with the text that the server shows and the reason that it does not.
    #[error("{shown}")]
    Trap {
        /// wasmtime's outermost message: the backtrace.
        shown: String,
        /// The innermost message, for example `wasm trap: integer divide by zero`.
        reason: String,
    },
    /// The deadline passed.
    #[error("Policy execution interrupted because it exceeded the allowed execution time")]
    Timeout,
    /// A pointer beyond the guest's memory.
    #[error("{function}: {length} bytes at address {address} are not within the module's memory of {memory} bytes")]
    OutOfRange {
        /// The host function that got the pointer.
        function: &'static str,
        /// The address.
        address: u32,
        /// How many bytes from there.
        length: usize,
        /// The size of the memory in bytes.
        memory: usize,
    },
    /// More bytes than this function takes, where a policy-server takes any number.
    #[error("{function}: {length} bytes, more than the limit of {most}")]
    TooLong {
        /// The host function that got them.
        function: &'static str,
        /// How many.
        length: usize,
        /// How many it takes.
        most: usize,
    },
    /// The memory cap, which a policy-server does not have.
    #[error("the module needs {wanted} bytes of memory, more than the limit of {limit}")]
    Memory {
        /// All memories together, in bytes.
        wanted: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// WASI `proc_exit` during a call, or with another code than 0 in an initialiser.
    #[error("the module exited with code {0}")]
    Exit(i32),
}

impl CallError {
    pub(crate) fn from_engine(error: wasmtime::Error) -> CallError {
        if let Some(ours) = error.downcast_ref::<CallError>() {
            return ours.clone();
        }
        if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
            return CallError::Timeout;
        }
        let mut shown = error.to_string();
        shown.truncate(shown.floor_char_boundary(LONGEST_BACKTRACE));
        CallError::Trap { shown, reason: error.root_cause().to_string() }
    }

    /// The cause in one line for a person: a trap's reason instead of its backtrace.
    pub fn reason(&self) -> String {
        match self {
            CallError::Trap { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }
}

/// What the host functions of one store share.
pub(crate) struct State {
    pub(crate) cap: MemoryCap,
    /// Calls to clock and random of WASI so far: time and randomness are made of it.
    pub(crate) wasi_ticks: u64,
    operation: Vec<u8>,
    payload: Vec<u8>,
    response: Option<Vec<u8>>,
    error: Option<String>,
    host_error: Vec<u8>,
}

impl State {
    pub(crate) fn new(memory: usize) -> Self {
        State {
            cap: MemoryCap::new(memory),
            wasi_ticks: 0,
            operation: Vec::new(),
            payload: Vec::new(),
            response: None,
            error: None,
            host_error: Vec::new(),
        }
    }
}

/// A running module. The policy-server makes one per request; reuse it only to measure.
pub struct Instance {
    store: Store<State>,
    guest_call: TypedFunc<(i32, i32), i32>,
    memory: Memory,
    ticks: u64,
    fuel_used: Option<u64>,
}

impl Instance {
    pub(crate) fn start(
        mut store: Store<State>,
        instance: wasmtime::Instance,
        ticks: u64,
        metered: bool,
    ) -> Result<Instance, CallError> {
        for name in INITIALISERS {
            let Some(initialiser) = instance.get_func(&mut store, name) else {
                continue;
            };
            let initialiser = initialiser.typed::<(), ()>(&store).map_err(CallError::from_engine)?;
            store.set_epoch_deadline(ticks);
            match initialiser.call(&mut store, ()).map_err(CallError::from_engine) {
                // A WASI command ends its `_start` this way.
                Ok(()) | Err(CallError::Exit(0)) => {}
                Err(error) => return Err(error),
            }
        }
        let guest_call = instance.get_typed_func(&mut store, GUEST_CALL).map_err(CallError::from_engine)?;
        let memory = instance.get_memory(&mut store, "memory").expect("a module without a memory is not loaded");
        Ok(Instance { store, guest_call, memory, ticks, fuel_used: metered.then_some(0) })
    }

    /// One waPC call. An instance that trapped may still be called, as in the server; what it
    /// answers then is up to the module.
    ///
    /// # Errors
    /// When there is no reply; see [`CallError`].
    pub fn call(&mut self, operation: &str, payload: &[u8]) -> Result<Vec<u8>, CallError> {
        let state = self.store.data_mut();
        state.operation.clear();
        state.operation.extend_from_slice(operation.as_bytes());
        state.payload.clear();
        state.payload.extend_from_slice(payload);
        state.response = None;
        state.error = None;
        let lengths = (length_of(operation.as_bytes()), length_of(payload));

        self.store.set_epoch_deadline(self.ticks);
        let before = self.fuel_left();
        let returned = self.guest_call.call(&mut self.store, lengths);
        self.fuel_used = before.zip(self.fuel_left()).map(|(before, after)| before - after);

        let returned = returned.map_err(CallError::from_engine)?;
        let state = self.store.data_mut();
        if returned == 0 {
            return Err(state.error.take().map_or(CallError::NoMessage, CallError::Guest));
        }
        match (state.response.take(), state.error.take()) {
            (Some(response), _) => Ok(response),
            (None, Some(error)) => Err(CallError::Guest(error)),
            (None, None) => Err(CallError::NoResponse),
        }
    }

    /// Fuel of the last call, without initialisers: about one unit per wasm instruction, the same
    /// on every machine. None unless the host is [metered](crate::Host::metered).
    pub fn fuel_used(&self) -> Option<u64> {
        self.fuel_used
    }

    /// Asked of a metered store only: the refusal of another costs more than a call.
    fn fuel_left(&self) -> Option<u64> {
        self.fuel_used.and_then(|_| self.store.get_fuel().ok())
    }

    /// The present size of the exported memory in bytes, which is also its peak: it never shrinks.
    pub fn memory_size(&self) -> usize {
        self.memory.data_size(&self.store)
    }
}

/// The protocol counts in 32 bits; inputs are limited to far less.
fn length_of(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).unwrap_or(i32::MAX)
}

/// Defines the nine functions of module `wapc`.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_request(linker)?;
    link_reply(linker)?;
    link_host_call(linker)
}

fn link_request(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("wapc", "__guest_request", |mut caller: Caller<'_, State>, operation: i32, payload: i32| {
        let mut guest = Guest::of(&mut caller, "__guest_request")?;
        let request = std::mem::take(&mut guest.state.payload);
        let name = std::mem::take(&mut guest.state.operation);
        let written = guest.write(operation, &name).and_then(|()| guest.write(payload, &request));
        // A guest may ask again.
        guest.state.payload = request;
        guest.state.operation = name;
        written
    })?;
    Ok(())
}

fn link_reply(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("wapc", "__guest_response", |mut caller: Caller<'_, State>, address: i32, length: i32| {
        let guest = Guest::of(&mut caller, "__guest_response")?;
        guest.state.response = Some(guest.read_most(address, length, LONGEST_REPLY)?.to_vec());
        wasmtime::Result::Ok(())
    })?;
    linker.func_wrap("wapc", "__guest_error", |mut caller: Caller<'_, State>, address: i32, length: i32| {
        let guest = Guest::of(&mut caller, "__guest_error")?;
        guest.state.error = Some(guest.text(address, length, LONGEST_REPLY)?);
        wasmtime::Result::Ok(())
    })?;
    // Logs are dropped, however long they are.
    linker.func_wrap("wapc", "__console_log", |mut caller: Caller<'_, State>, address: i32, length: i32| {
        Guest::of(&mut caller, "__console_log")?.read(address, length)?;
        wasmtime::Result::Ok(())
    })?;
    Ok(())
}

fn link_host_call(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "wapc",
        "__host_call",
        |mut caller: Caller<'_, State>,
         binding: i32,
         binding_length: i32,
         namespace: i32,
         namespace_length: i32,
         operation: i32,
         operation_length: i32,
         payload: i32,
         payload_length: i32| {
            let guest = Guest::of(&mut caller, "__host_call")?;
            let name = [
                guest.text(binding, binding_length, LONGEST_NAME)?,
                guest.text(namespace, namespace_length, LONGEST_NAME)?,
                guest.text(operation, operation_length, LONGEST_NAME)?,
            ]
            .join("/");
            guest.read(payload, payload_length)?;
            guest.state.host_error.clear();
            // The SDK's logger; everything else the policy-server denies by default.
            if name == "kubewarden/tracing/log" {
                return wasmtime::Result::Ok(1);
            }
            guest.state.host_error = format!("host call {name} is denied: no host capability is granted").into_bytes();
            Ok(0)
        },
    )?;
    // An allowed call has an empty response.
    linker.func_wrap("wapc", "__host_response", |_address: i32| {})?;
    linker.func_wrap("wapc", "__host_response_len", || 0_i32)?;
    linker.func_wrap("wapc", "__host_error", |mut caller: Caller<'_, State>, address: i32| {
        let mut guest = Guest::of(&mut caller, "__host_error")?;
        let error = std::mem::take(&mut guest.state.host_error);
        let written = guest.write(address, &error);
        guest.state.host_error = error;
        written
    })?;
    linker.func_wrap("wapc", "__host_error_len", |caller: Caller<'_, State>| length_of(&caller.data().host_error))?;
    Ok(())
}

/// The guest's memory and the host's state during a host function.
pub(crate) struct Guest<'a> {
    function: &'static str,
    memory: &'a mut [u8],
    pub(crate) state: &'a mut State,
}

impl<'a> Guest<'a> {
    pub(crate) fn of(caller: &'a mut Caller<'_, State>, function: &'static str) -> wasmtime::Result<Guest<'a>> {
        let memory =
            caller.get_export("memory").and_then(Extern::into_memory).expect("a module without a memory is not loaded");
        let (memory, state) = memory.data_and_store_mut(caller);
        Ok(Guest { function, memory, state })
    }

    pub(crate) fn read(&self, address: i32, length: i32) -> wasmtime::Result<&[u8]> {
        let (address, length) = (address as u32, length as u32 as usize);
        let start = address as usize;
        self.memory.get(start..start.saturating_add(length)).ok_or_else(|| self.out_of_range(address, length))
    }

    fn read_most(&self, address: i32, length: i32, most: usize) -> wasmtime::Result<&[u8]> {
        let bytes = self.read(address, length)?;
        let (function, length) = (self.function, bytes.len());
        if length > most {
            return Err(wasmtime::Error::new(CallError::TooLong { function, length, most }));
        }
        Ok(bytes)
    }

    fn text(&self, address: i32, length: i32, most: usize) -> wasmtime::Result<String> {
        let bytes = self.read_most(address, length, most)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    pub(crate) fn write(&mut self, address: i32, bytes: &[u8]) -> wasmtime::Result<()> {
        let address = address as u32;
        let start = address as usize;
        match self.memory.get_mut(start..start.saturating_add(bytes.len())) {
            Some(target) => {
                target.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(self.out_of_range(address, bytes.len())),
        }
    }

    fn out_of_range(&self, address: u32, length: usize) -> wasmtime::Error {
        wasmtime::Error::new(CallError::OutOfRange {
            function: self.function,
            address,
            length,
            memory: self.memory.len(),
        })
    }
}
