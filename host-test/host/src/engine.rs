//! The engine: what a policy-server configures, how a module is loaded, and what it may use.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, ExternType, FuncType, InstancePre, Linker, OptLevel, ResourceLimiter, Store, ValType};

use crate::bounds;
use crate::wapc::{self, CallError, Instance, State};
use crate::wasi;

/// The deadline in ticks of the engine's clock: a call ends between `TICKS - 1` and `TICKS` of them.
pub(crate) const TICKS: u64 = 20;

/// The most elements a table may hold: far above any policy, and 8 MB of memory at most.
const TABLE_ELEMENTS: usize = 1_000_000;

/// What one instance may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For each of: instantiation, each initialiser, each call.
    pub timeout: Duration,
    /// All linear memories of the instance together, in bytes.
    pub memory: usize,
    /// The wasm stack, in bytes.
    pub stack: usize,
    /// For compiling a module.
    pub compilation: Duration,
}

impl Default for Limits {
    /// The policy-server's 2 s and 512 KiB of stack. It has no memory cap; ours is 64 MiB. Nor has it a limit on
    /// compiling, which takes 1 s for the largest of its official policies.
    fn default() -> Self {
        Limits {
            timeout: Duration::from_secs(2),
            memory: 64 << 20,
            stack: 512 << 10,
            compilation: Duration::from_secs(30),
        }
    }
}

/// The engine could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// wasmtime refused the configuration, for example a stack of zero bytes.
    #[error("cannot set up wasmtime: {0}")]
    Engine(String),
    /// The thread that counts towards the deadline did not start.
    #[error("cannot start the clock of the deadline")]
    Clock(#[source] io::Error),
}

/// Why a module cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// The bytes do not start as a wasm module does.
    #[error("not a wasm module: it does not start with the bytes `\\0asm` and version 1")]
    NotWasm,
    /// A component of the component model.
    #[error("a WebAssembly component, not a module: policies are core modules that speak waPC")]
    Component,
    /// Invalid, or of a wasm feature that the server does not enable.
    #[error("invalid module: {0}")]
    Invalid(String),
    /// More of something than a policy needs.
    #[error("{found} {what}, more than the limit of {most}")]
    TooMuch {
        /// Of what, for example `functions`.
        what: &'static str,
        /// How many the module has, or so many that it does not matter how many more.
        found: usize,
        /// How many it may have.
        most: usize,
    },
    /// The deadline passed. The compiler cannot be stopped: its thread goes on until it is done or the process ends.
    #[error("compiling takes more than {} s, the limit", .0.as_secs_f64())]
    TooSlow(Duration),
    /// No thread to compile in.
    #[error("cannot start a thread to compile in: {0}")]
    Thread(io::ErrorKind),
    /// The compiler panicked.
    #[error("the compiler of wasmtime failed: its panic is on standard error")]
    Compiler,
    /// Imports that neither waPC nor WASI preview1 has, as `module::name`.
    #[error("unknown imports: {}", few(.0))]
    UnknownImports(Vec<String>),
    /// An import that exists with another type.
    #[error("import of an unexpected type: {0}")]
    ImportType(String),
    /// An export that waPC needs.
    #[error("no export `{0}`")]
    MissingExport(&'static str),
    /// An export that waPC calls, with another type.
    #[error("export `{name}` is {found}, not {expected}")]
    ExportType {
        /// The name of the export.
        name: &'static str,
        /// Its type in waPC.
        expected: &'static str,
        /// Its type in this module.
        found: String,
    },
}

/// What an engine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// What a policy-server does.
    ManyCalls,
    /// Calls that end before a better compilation would pay.
    FewCalls,
    /// Counting fuel.
    Fuel,
}

/// A wasmtime engine set up as the policy-server's, with the host functions of waPC and WASI.
pub struct Host {
    engine: Engine,
    linker: Linker<State>,
    limits: Limits,
    metered: bool,
}

impl Host {
    /// The engine of the policy-server within `limits`.
    ///
    /// # Errors
    /// When wasmtime refuses the limits, or no thread can be started.
    pub fn new(limits: Limits) -> Result<Host, HostError> {
        Host::build(limits, Purpose::ManyCalls)
    }

    /// The same engine, which compiles in three quarters of the time. Calls into policies take as long: what is theirs to
    /// optimise was optimised when they were built.
    ///
    /// # Errors
    /// As [`Host::new`].
    pub fn quick(limits: Limits) -> Result<Host, HostError> {
        Host::build(limits, Purpose::FewCalls)
    }

    /// The same engine, counting fuel. Its times mean nothing; see [`Instance::fuel_used`].
    ///
    /// # Errors
    /// As [`Host::new`].
    pub fn metered(limits: Limits) -> Result<Host, HostError> {
        Host::build(limits, Purpose::Fuel)
    }

    fn build(limits: Limits, purpose: Purpose) -> Result<Host, HostError> {
        let metered = purpose == Purpose::Fuel;
        let mut config = Config::default();
        config
            .wasm_function_references(true)
            .epoch_interruption(true)
            .max_wasm_stack(limits.stack)
            .consume_fuel(metered);
        if purpose == Purpose::FewCalls {
            config.cranelift_opt_level(OptLevel::None);
        }
        let refused = |error: wasmtime::Error| HostError::Engine(format!("{error:#}"));
        let engine = Engine::new(&config).map_err(refused)?;
        let mut linker = Linker::new(&engine);
        wapc::link(&mut linker).map_err(refused)?;
        wasi::link(&mut linker).map_err(refused)?;
        start_clock(&engine, limits.timeout).map_err(HostError::Clock)?;
        Ok(Host { engine, linker, limits, metered })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Compiles a module and links it, as a policy-server does at start.
    ///
    /// # Errors
    /// When it is not a module that speaks waPC, or imports what the server does not have.
    pub fn load(&self, bytes: &[u8]) -> Result<Module, LoadError> {
        self.link(&self.compile(bytes)?)
    }

    /// Compiles in a thread of its own, so that one module cannot keep everything waiting.
    pub(crate) fn compile(&self, bytes: &[u8]) -> Result<wasmtime::Module, LoadError> {
        check_header(bytes)?;
        bounds::check(bytes)?;
        let (engine, bytes) = (self.engine.clone(), bytes.to_vec());
        let (sender, receiver) = mpsc::channel();
        let compile = move || {
            // Nobody waits for it any more after the deadline.
            let _ = sender.send(wasmtime::Module::from_binary(&engine, &bytes));
        };
        let thread = thread::Builder::new().name("compiler".to_owned()).spawn(compile);
        thread.map_err(|error| LoadError::Thread(error.kind()))?;
        match receiver.recv_timeout(self.limits.compilation) {
            Ok(compiled) => compiled.map_err(|error| LoadError::Invalid(format!("{error:#}"))),
            Err(RecvTimeoutError::Timeout) => Err(LoadError::TooSlow(self.limits.compilation)),
            Err(RecvTimeoutError::Disconnected) => Err(LoadError::Compiler),
        }
    }

    pub(crate) fn link(&self, module: &wasmtime::Module) -> Result<Module, LoadError> {
        self.check_imports(module)?;
        check_exports(module)?;
        let pre = self.linker.instantiate_pre(module).map_err(|error| LoadError::ImportType(format!("{error:#}")))?;
        Ok(Module { pre, limits: self.limits, metered: self.metered })
    }

    fn check_imports(&self, module: &wasmtime::Module) -> Result<(), LoadError> {
        let mut store = new_store(&self.engine, self.limits, self.metered);
        let unknown: Vec<String> = module
            .imports()
            .filter(|import| self.linker.get(&mut store, import.module(), import.name()).is_err())
            .map(|import| format!("{}::{}", import.module(), import.name()))
            .collect();
        if unknown.is_empty() { Ok(()) } else { Err(LoadError::UnknownImports(unknown)) }
    }
}

/// Some names, and how many more there are.
fn few(names: &[String]) -> String {
    const FEW: usize = 20;
    let shown = names.get(..FEW).unwrap_or(names).join(", ");
    if names.len() > FEW { format!("{shown}, and {} more", names.len() - FEW) } else { shown }
}

/// A compiled and linked module. Cheap to clone; instances are made from it per request.
#[derive(Clone)]
pub struct Module {
    pre: InstancePre<State>,
    limits: Limits,
    metered: bool,
}

impl Module {
    /// A fresh instance in a store of its own, its initialisers run.
    ///
    /// # Errors
    /// When the start function or an initialiser fails, or a limit is too small for it.
    pub fn instantiate(&self) -> Result<Instance, CallError> {
        let mut store = new_store(self.pre.module().engine(), self.limits, self.metered);
        store.set_epoch_deadline(TICKS);
        let instance = self.pre.instantiate(&mut store).map_err(CallError::from_engine)?;
        Instance::start(store, instance, TICKS, self.metered)
    }

    /// One call in a fresh instance, as the policy-server answers one request.
    ///
    /// # Errors
    /// Whatever the server would turn into its verdict on a failed call.
    pub fn call(&self, operation: &str, payload: &[u8]) -> Result<Vec<u8>, CallError> {
        self.instantiate()?.call(operation, payload)
    }

    /// The initial size of the exported memory in bytes.
    pub fn initial_memory(&self) -> u64 {
        self.memory_type().map_or(0, |memory| memory.minimum() * memory.page_size())
    }

    fn memory_type(&self) -> Option<wasmtime::MemoryType> {
        self.pre.module().get_export("memory")?.memory().cloned()
    }
}

fn new_store(engine: &Engine, limits: Limits, metered: bool) -> Store<State> {
    let mut store = Store::new(engine, State::new(limits.memory));
    store.limiter(|state| &mut state.cap);
    if metered {
        store.set_fuel(u64::MAX).expect("an engine that counts fuel takes it");
    }
    store
}

/// Advances the engine's clock until the engine is dropped.
fn start_clock(engine: &Engine, timeout: Duration) -> io::Result<()> {
    let tick = (timeout / TICKS as u32).max(Duration::from_millis(1));
    let engine = engine.weak();
    thread::Builder::new().name("deadline".to_owned()).spawn(move || {
        loop {
            thread::sleep(tick);
            let Some(engine) = engine.upgrade() else {
                return;
            };
            engine.increment_epoch();
        }
    })?;
    Ok(())
}

fn check_header(bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.is_empty() {
        return Err(LoadError::Empty);
    }
    if wasmparser::Parser::is_component(bytes) {
        return Err(LoadError::Component);
    }
    if !wasmparser::Parser::is_core_wasm(bytes) {
        return Err(LoadError::NotWasm);
    }
    Ok(())
}

fn check_exports(module: &wasmtime::Module) -> Result<(), LoadError> {
    match module.get_export("memory") {
        Some(ExternType::Memory(_)) => {}
        Some(other) => return Err(wrong_export("memory", "a memory", &other)),
        None => return Err(LoadError::MissingExport("memory")),
    }
    let engine = module.engine();
    let guest_call = FuncType::new(engine, [ValType::I32, ValType::I32], [ValType::I32]);
    match module.get_export(wapc::GUEST_CALL) {
        Some(found) if is_function(&found, &guest_call) => {}
        Some(found) => {
            return Err(wrong_export(wapc::GUEST_CALL, "(i32, i32) -> i32", &found));
        }
        None => return Err(LoadError::MissingExport(wapc::GUEST_CALL)),
    }
    let initialiser = FuncType::new(engine, [], []);
    for name in wapc::INITIALISERS {
        match module.get_export(name) {
            Some(found) if !is_function(&found, &initialiser) => {
                return Err(wrong_export(name, "() -> ()", &found));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn is_function(found: &ExternType, expected: &FuncType) -> bool {
    found.func().is_some_and(|found| FuncType::eq(found, expected))
}

pub(crate) fn wrong_export(name: &'static str, expected: &'static str, found: &ExternType) -> LoadError {
    LoadError::ExportType { name, expected, found: describe(found) }
}

/// A type of an import or export in a few words.
pub(crate) fn describe(found: &ExternType) -> String {
    match found {
        ExternType::Func(function) => {
            let params: Vec<String> = function.params().map(|ty| ty.to_string()).collect();
            let results: Vec<String> = function.results().map(|ty| ty.to_string()).collect();
            let results = match results.as_slice() {
                [one] => one.clone(),
                many => format!("({})", many.join(", ")),
            };
            format!("({}) -> {results}", params.join(", "))
        }
        ExternType::Memory(_) => "a memory".to_owned(),
        ExternType::Global(_) => "a global".to_owned(),
        ExternType::Table(_) => "a table".to_owned(),
        ExternType::Tag(_) => "a tag".to_owned(),
    }
}

/// Refuses growth beyond a total, with an error that says so: a guest that meets a failed
/// `memory.grow` traps somewhere else, and the reason is lost.
pub(crate) struct MemoryCap {
    limit: usize,
    used: usize,
}

impl MemoryCap {
    pub(crate) fn new(limit: usize) -> Self {
        MemoryCap { limit, used: 0 }
    }
}

impl ResourceLimiter for MemoryCap {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.limit {
            return Err(wasmtime::Error::new(CallError::Memory { wanted, limit: self.limit }));
        }
        self.used = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        4
    }
}
