//! The ABI of OPA's wasm modules, version 1.2 and later of major version 1: a module with the host's memory, and the
//! results of a query.
//!
//! The order of the calls is that of the reference client, npm's `@open-policy-agent/opa-wasm`.

use serde_json::value::RawValue;
use wasmtime::{
    Caller, ExternType, FuncType, Instance, Linker, Memory, MemoryType, Store, TypedFunc, Val, ValType, WasmParams,
    WasmResults,
};

use crate::engine::{Host, Limits, LoadError, MemoryCap, TICKS, is_function, wrong_export};
use crate::wapc::CallError;

/// The pages of memory that hosts bring, npm's client and Kubewarden's among them. The module lets them grow.
const PAGES: u32 = 5;

const PAGE: usize = 64 << 10;

/// The most that a reply or a message may have, in bytes: as much as of a waPC module.
const LONGEST_REPLY: usize = 4 << 20;

/// The globals that say which ABI it is.
const MAJOR: &str = "opa_wasm_abi_version";
const MINOR: &str = "opa_wasm_abi_minor_version";

/// The functions that this host calls, with how many numbers they take, and whether they return one.
const FUNCTIONS: [(&str, usize, bool, &str); 14] = [
    ("opa_eval", 7, true, "(i32, i32, i32, i32, i32, i32, i32) -> i32"),
    ("eval", 1, true, "(i32) -> i32"),
    ("opa_eval_ctx_new", 0, true, "() -> i32"),
    ("opa_eval_ctx_set_input", 2, false, "(i32, i32) -> ()"),
    ("opa_eval_ctx_set_data", 2, false, "(i32, i32) -> ()"),
    ("opa_eval_ctx_set_entrypoint", 2, false, "(i32, i32) -> ()"),
    ("opa_eval_ctx_get_result", 1, true, "(i32) -> i32"),
    ("opa_malloc", 1, true, "(i32) -> i32"),
    ("opa_json_parse", 2, true, "(i32, i32) -> i32"),
    ("opa_json_dump", 1, true, "(i32) -> i32"),
    ("opa_heap_ptr_get", 0, true, "() -> i32"),
    ("opa_heap_ptr_set", 1, false, "(i32) -> ()"),
    ("builtins", 0, true, "() -> i32"),
    ("entrypoints", 0, true, "() -> i32"),
];

/// Whether a module is for hosts of OPA: it exports the function that evaluates, and not waPC's.
pub(crate) fn is_opa(module: &wasmtime::Module) -> bool {
    module.get_export("eval").is_some() && module.get_export(crate::wapc::GUEST_CALL).is_none()
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `[{"result":…}]`.
    Json = 0,
    /// `{{"result":…}}`, a set, as Go's OPA asks for.
    Rego = 1,
}

/// What an evaluation returns: a list with one set of assignments, of which there is one.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Assignments<'r> {
    #[serde(borrow)]
    result: &'r RawValue,
}

/// The results of an evaluation, as JSON.
///
/// # Errors
/// They are undefined, which hosts take for an acceptance, or not of this form.
pub fn results(reply: &[u8]) -> Result<String, String> {
    let reply = str::from_utf8(reply).map_err(|error| error.to_string())?;
    match serde_json::from_str::<Vec<Assignments<'_>>>(reply) {
        Ok(sets) => match sets.as_slice() {
            [set] => Ok(set.result.get().to_owned()),
            [] => Err("the result is undefined".to_owned()),
            _ => Err(format!("{} results", sets.len())),
        },
        Err(error) => Err(format!("no results ({error}): {reply}")),
    }
}

/// What the host functions of one store share.
struct State {
    cap: MemoryCap,
}

/// A compiled module for hosts of OPA.
pub struct OpaModule {
    module: wasmtime::Module,
    linker: Linker<State>,
    limits: Limits,
}

impl Host {
    /// Compiles a module and checks that hosts of OPA would load it.
    ///
    /// # Errors
    /// When it is not a module of this ABI, or imports what hosts do not have.
    pub fn load_opa(&self, bytes: &[u8]) -> Result<OpaModule, LoadError> {
        self.link_opa(self.compile(bytes)?)
    }

    pub(crate) fn link_opa(&self, module: wasmtime::Module) -> Result<OpaModule, LoadError> {
        check_imports(&module)?;
        check_exports(&module)?;
        let mut linker = Linker::new(self.engine());
        link(&mut linker).map_err(|error| LoadError::ImportType(format!("{error:#}")))?;
        Ok(OpaModule { module, linker, limits: self.limits() })
    }
}

/// The number of parameters of each function that a module may import. All return a number but the first two.
const IMPORTS: [(&str, usize); 7] = [
    ("opa_abort", 1),
    ("opa_println", 1),
    ("opa_builtin0", 2),
    ("opa_builtin1", 3),
    ("opa_builtin2", 4),
    ("opa_builtin3", 5),
    ("opa_builtin4", 6),
];

fn check_imports(module: &wasmtime::Module) -> Result<(), LoadError> {
    let is_known = |module: &str, name: &str| {
        module == "env" && (name == "memory" || IMPORTS.iter().any(|(known, _)| *known == name))
    };
    let unknown: Vec<String> = module
        .imports()
        .filter(|import| !is_known(import.module(), import.name()))
        .map(|import| format!("{}::{}", import.module(), import.name()))
        .collect();
    if !unknown.is_empty() {
        return Err(LoadError::UnknownImports(unknown));
    }
    let memory = module.imports().find(|import| import.name() == "memory").map(|import| import.ty());
    match memory.as_ref().and_then(ExternType::memory) {
        Some(memory) if memory.minimum() > u64::from(PAGES) => Err(LoadError::ImportType(format!(
            "env::memory: at least {} pages, but hosts bring {PAGES}",
            memory.minimum()
        ))),
        Some(_) => Ok(()),
        None => Err(LoadError::ImportType("env::memory: expected the host's memory".to_owned())),
    }
}

fn check_exports(module: &wasmtime::Module) -> Result<(), LoadError> {
    match module.get_export("memory") {
        Some(ExternType::Memory(_)) => {}
        Some(other) => return Err(wrong_export("memory", "a memory", &other)),
        None => return Err(LoadError::MissingExport("memory")),
    }
    for name in [MAJOR, MINOR] {
        match module.get_export(name) {
            Some(ExternType::Global(_)) => {}
            Some(other) => return Err(wrong_export(name, "a global", &other)),
            None => return Err(LoadError::MissingExport(name)),
        }
    }
    for (name, parameters, returns, described) in FUNCTIONS {
        let results = returns.then_some(ValType::I32);
        let expected = FuncType::new(module.engine(), vec![ValType::I32; parameters], results);
        match module.get_export(name) {
            Some(found) if is_function(&found, &expected) => {}
            Some(found) => return Err(wrong_export(name, described, &found)),
            None => return Err(LoadError::MissingExport(name)),
        }
    }
    Ok(())
}

fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (name, parameters) in IMPORTS {
        let results = name.starts_with("opa_builtin").then_some(ValType::I32);
        let ty = FuncType::new(&engine, vec![ValType::I32; parameters], results);
        linker.func_new("env", name, ty, move |mut caller, parameters, _| match (name, parameters) {
            ("opa_abort", [Val::I32(address)]) => {
                let message = text(&mut caller, *address)?;
                Err(wasmtime::Error::new(CallError::Guest(String::from_utf8_lossy(&message).into_owned())))
            }
            // Logs are dropped.
            ("opa_println", _) => Ok(()),
            _ => {
                let message = format!("{name}: no functions are provided");
                Err(wasmtime::Error::new(CallError::Guest(message)))
            }
        })?;
    }
    Ok(())
}

/// The text at an address in the memory of the module that called.
fn text(caller: &mut Caller<'_, State>, address: i32) -> wasmtime::Result<Vec<u8>> {
    let memory = caller.get_export("memory").and_then(wasmtime::Extern::into_memory);
    let memory = memory.expect("a module without a memory is not loaded");
    text_in(memory.data(&*caller), "opa_abort", address).map_err(wasmtime::Error::new)
}

/// The text at an address, which ends before a zero byte.
fn text_in(memory: &[u8], function: &'static str, address: i32) -> Result<Vec<u8>, CallError> {
    let address = address as u32;
    let out_of_range = CallError::OutOfRange { function, address, length: 1, memory: memory.len() };
    let from = memory.get(address as usize..).ok_or_else(|| out_of_range.clone())?;
    let most = from.get(..=LONGEST_REPLY).unwrap_or(from);
    match most.iter().position(|byte| *byte == 0) {
        Some(length) => Ok(most[..length].to_vec()),
        None if most.len() > LONGEST_REPLY => {
            Err(CallError::TooLong { function, length: most.len(), most: LONGEST_REPLY })
        }
        None => Err(out_of_range),
    }
}

impl OpaModule {
    /// A fresh instance with a memory of its own.
    ///
    /// # Errors
    /// When it does not start, or has an ABI that is not known.
    pub fn instantiate(&self) -> Result<OpaInstance, CallError> {
        let mut store = Store::new(self.module.engine(), State { cap: MemoryCap::new(self.limits.memory) });
        store.limiter(|state| &mut state.cap);
        store.set_epoch_deadline(TICKS);
        let mut linker = self.linker.clone();
        let memory = Memory::new(&mut store, MemoryType::new(PAGES, None)).map_err(CallError::from_engine)?;
        linker.define(&mut store, "env", "memory", memory).map_err(CallError::from_engine)?;
        let instance = linker.instantiate(&mut store, &self.module).map_err(CallError::from_engine)?;
        let mut global = |name| instance.get_global(&mut store, name).and_then(|global| global.get(&mut store).i32());
        let abi = (global(MAJOR).unwrap_or_default(), global(MINOR).unwrap_or_default());
        if !matches!(abi, (1, 2..)) {
            let (major, minor) = abi;
            return Err(CallError::Guest(format!("ABI {major}.{minor}; known are 1.2 and later of 1")));
        }
        let mut running = OpaInstance { store, instance, memory, abi, heap: 0 };
        running.heap = running.invoke("opa_heap_ptr_get", ())?;
        Ok(running)
    }

    /// One evaluation in a fresh instance.
    ///
    /// # Errors
    /// When there are no results; see [`CallError`].
    pub fn evaluate(&self, input: &[u8]) -> Result<Vec<u8>, CallError> {
        self.instantiate()?.evaluate(input, Format::Json)
    }
}

/// A running module, for one evaluation after the other.
pub struct OpaInstance {
    store: Store<State>,
    instance: Instance,
    memory: Memory,
    abi: (i32, i32),
    /// The end of what is in use before an evaluation.
    heap: i32,
}

impl OpaInstance {
    /// Major and minor version of its ABI.
    pub fn abi(&self) -> (i32, i32) {
        self.abi
    }

    /// The JSON object of its entrypoints, each with its number.
    ///
    /// # Errors
    /// When the call fails.
    pub fn entrypoints(&mut self) -> Result<Vec<u8>, CallError> {
        self.listing("entrypoints")
    }

    /// The JSON object of the functions that it calls, each with its number.
    ///
    /// # Errors
    /// When the call fails.
    pub fn builtins(&mut self) -> Result<Vec<u8>, CallError> {
        self.listing("builtins")
    }

    fn listing(&mut self, name: &'static str) -> Result<Vec<u8>, CallError> {
        let value: i32 = self.invoke(name, ())?;
        let dumped = self.invoke("opa_json_dump", value)?;
        self.text(name, dumped)
    }

    /// The results of the first entrypoint. The input is where the module has nothing, as hosts write it since ABI 1.2.
    ///
    /// # Errors
    /// When there are no results; see [`CallError`].
    pub fn evaluate(&mut self, input: &[u8], format: Format) -> Result<Vec<u8>, CallError> {
        let (at, length) = (self.heap, length_of(input));
        self.write(at, input)?;
        let end = at.wrapping_add(length);
        let results = self.invoke("opa_eval", (0, 0, 0, at, length, end, format as i32))?;
        self.text("opa_eval", results)
    }

    /// The same by a context, as hosts of ABI 1.0 do it, and Kubewarden today.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    pub fn evaluate_in_context(&mut self, input: &[u8]) -> Result<Vec<u8>, CallError> {
        self.invoke::<_, ()>("opa_heap_ptr_set", self.heap)?;
        let data = self.parse(b"{}")?;
        let input = self.parse(input)?;
        let context: i32 = self.invoke("opa_eval_ctx_new", ())?;
        self.invoke::<_, ()>("opa_eval_ctx_set_input", (context, input))?;
        self.invoke::<_, ()>("opa_eval_ctx_set_data", (context, data))?;
        self.invoke::<_, ()>("opa_eval_ctx_set_entrypoint", (context, 0))?;
        self.invoke::<_, i32>("eval", context)?;
        let results: i32 = self.invoke("opa_eval_ctx_get_result", context)?;
        let dumped = self.invoke("opa_json_dump", results)?;
        self.text("eval", dumped)
    }

    /// Moves to a fresh instance as Go's OPA does: with a copy of the memory up to the end of what is in use.
    ///
    /// # Errors
    /// When the fresh instance does not start.
    pub fn moved(&mut self, module: &OpaModule) -> Result<OpaInstance, CallError> {
        let mut other = module.instantiate()?;
        self.invoke::<_, ()>("opa_heap_ptr_set", self.heap)?;
        let data = self.parse(b"{\"a\":[1]}")?;
        let end: i32 = self.invoke("opa_heap_ptr_get", ())?;
        let used = self.memory.data(&self.store)[other.heap as u32 as usize..end as u32 as usize].to_vec();
        other.write(other.heap, &used)?;
        other.invoke::<_, ()>("opa_heap_ptr_set", end)?;
        debug_assert_eq!(other.text("opa_json_parse", data), self.text("opa_json_parse", data));
        other.heap = end;
        Ok(other)
    }

    fn parse(&mut self, json: &[u8]) -> Result<i32, CallError> {
        let at: i32 = self.invoke("opa_malloc", length_of(json))?;
        self.write(at, json)?;
        match self.invoke("opa_json_parse", (at, length_of(json)))? {
            0 => Err(CallError::Guest("opa_json_parse: not JSON".to_owned())),
            value => Ok(value),
        }
    }

    fn write(&mut self, address: i32, bytes: &[u8]) -> Result<(), CallError> {
        let start = address as u32 as usize;
        let missing = start.saturating_add(bytes.len()).saturating_sub(self.memory.data_size(&self.store));
        if missing != 0 {
            let pages = missing.div_ceil(PAGE) as u64;
            self.memory.grow(&mut self.store, pages).map_err(CallError::from_engine)?;
        }
        self.memory.data_mut(&mut self.store)[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn text(&self, function: &'static str, address: i32) -> Result<Vec<u8>, CallError> {
        text_in(self.memory.data(&self.store), function, address)
    }

    fn invoke<P: WasmParams, R: WasmResults>(&mut self, name: &str, parameters: P) -> Result<R, CallError> {
        self.store.set_epoch_deadline(TICKS);
        let function: TypedFunc<P, R> =
            self.instance.get_typed_func(&mut self.store, name).map_err(CallError::from_engine)?;
        function.call(&mut self.store, parameters).map_err(CallError::from_engine)
    }
}

/// The ABI counts in 32 bits; inputs are limited to far less.
fn length_of(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).unwrap_or(i32::MAX)
}
