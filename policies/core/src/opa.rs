//! The ABI of OPA's wasm modules, version 1.3; see [`export_opa!`](crate::export_opa).
//!
//! A host never looks into a value: it gets an address, and hands it back. Here it is the address of a JSON text that
//! ends with a zero byte. The documents that a host calls data are read by nobody.
//!
//! The memory is the host's, and so is the end of what is in use: a host sets it back between evaluations, writes the
//! input behind it without asking, and Go's OPA copies everything up to it into another instance. So the allocator is
//! that one pointer, and nothing else stays from call to call.
#![allow(unsafe_code)]

use alloc::{string::String, vec::Vec};
use core::{alloc::Layout, arch::wasm32, cell::UnsafeCell, ffi::CStr, ptr::NonNull};

use crate::{
    json::PADDING,
    policy::{Policy, results},
    rego,
};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn opa_abort(message: *const u8);
}

unsafe extern "C" {
    /// The linker puts it behind the static data.
    static __heap_base: u8;
}

const PAGE: usize = 65536;

/// How the results of an evaluation start as JSON, and no value of a host that is ever shown to anybody.
const RESULTS: &str = "[{\"result\":";

/// The results of an input in the format of a host: 0 is JSON, 1 is Rego. The address of a text.
pub fn evaluate(policy: &Policy, input: &[u8], format: i32) -> usize {
    let mut payload: Vec<u8> = Vec::with_capacity(input.len() + PADDING);
    rego::put_json(input, &mut payload);
    payload.extend_from_slice(&[0; PADDING]);
    let found = results(policy, &payload);
    let mut reply = String::with_capacity(RESULTS.len() + found.len() + 3);
    reply.push_str(RESULTS);
    reply.push_str(&found);
    reply.push_str("}]\0");
    let reply = reply.leak().as_ptr() as usize;
    if format == 1 { opa_value_dump(reply) } else { reply }
}

/// Evaluates an input that the host has just written, and sets the end of what is in use behind it.
pub fn evaluate_input(policy: &Policy, entrypoint: i32, input: (usize, usize), heap: usize, format: i32) -> usize {
    check_entrypoint(entrypoint);
    let (start, length) = input;
    opa_heap_ptr_set(heap.max(start.saturating_add(length)));
    evaluate(policy, bytes(start, length), format)
}

/// What a host builds up before it calls `eval`.
pub struct Context {
    input: usize,
    results: usize,
}

/// Evaluates the input of a context.
///
/// # Safety
/// The address is one of [`opa_eval_ctx_new`].
pub unsafe fn evaluate_context(policy: &Policy, context: *mut Context) -> i32 {
    // SAFETY: the caller's.
    let context = unsafe { &mut *context };
    context.results = evaluate(policy, value(context.input), 0);
    0
}

/// The text of a value; `null` for one that was never set.
fn value<'v>(address: usize) -> &'v [u8] {
    if address == 0 {
        return b"null";
    }
    // SAFETY: a value ends with a zero byte, and stays until the host takes back the memory behind it. Reading beyond
    // the memory traps.
    unsafe { CStr::from_ptr(address as *const _) }.to_bytes()
}

/// What the host has written somewhere.
fn bytes<'b>(start: usize, length: usize) -> &'b [u8] {
    if length == 0 {
        return b"";
    }
    // SAFETY: the host keeps it until the call ends. Reading beyond the memory traps.
    unsafe { core::slice::from_raw_parts(start as *const u8, length) }
}

/// A text that ends with a zero byte, and has no other.
pub fn text(bytes: &[u8]) -> usize {
    let mut text = Vec::with_capacity(bytes.len() + 1);
    // What is behind a zero byte would be lost. JSON has no place for the character that stands in for it.
    text.extend(bytes.iter().map(|&byte| if byte == 0 { 1 } else { byte }));
    text.push(0);
    text.leak().as_ptr() as usize
}

fn check_entrypoint(entrypoint: i32) {
    if entrypoint != 0 {
        abort(c"podfence: unknown entrypoint");
    }
}

/// Stops the instance, whatever the host does with the message.
#[cold]
fn abort(message: &CStr) -> ! {
    // SAFETY: the text ends with a zero byte.
    unsafe { opa_abort(message.as_ptr().cast()) }
    wasm32::unreachable()
}

/// The first free byte; see `heap.rs`.
struct Heap(UnsafeCell<usize>);

// SAFETY: an instance has one thread.
unsafe impl Sync for Heap {}

/// Stands for the end of the static data. It is not 0: the memory of a host may hold anything, so what is 0 at the start
/// would need a start function.
const UNSET: usize = 1;

static HEAP: Heap = Heap(UnsafeCell::new(UNSET));

/// Never null, so the compiler drops the null branch.
#[inline(never)]
pub(crate) fn allocate(layout: Layout) -> NonNull<u8> {
    NonNull::new(reserve(layout.size(), layout.align()) as *mut u8).unwrap_or(NonNull::dangling())
}

pub(crate) use opa_heap_ptr_get as next;

/// Hands out so many bytes at the next address of this alignment, a power of two.
fn reserve(size: usize, align: usize) -> usize {
    let Some(start) = opa_heap_ptr_get().checked_add(align - 1) else { abort(c"podfence: out of memory") };
    let start = start & !(align - 1);
    take(start, size);
    start
}

/// Hands out what is behind `start`, of new memory if need be. The host may have grown the memory as well.
pub(crate) fn take(start: usize, size: usize) {
    let Some(next) = start.checked_add(size) else { abort(c"podfence: out of memory") };
    let missing = next.div_ceil(PAGE).saturating_sub(wasm32::memory_size(0));
    if missing != 0 && wasm32::memory_grow(0, missing) == usize::MAX {
        abort(c"podfence: out of memory");
    }
    // SAFETY: an instance has one thread, and no reference to it exists.
    unsafe { *HEAP.0.get() = next }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    abort(c"podfence: panic")
}

/// Reserves memory for the host.
#[unsafe(no_mangle)]
pub extern "C" fn opa_malloc(size: usize) -> usize {
    reserve(size, 8)
}

/// Frees nothing: the host sets the end of what is in use back.
#[unsafe(no_mangle)]
pub extern "C" fn opa_free(_: usize) {}

/// The end of what is in use.
#[unsafe(no_mangle)]
pub extern "C" fn opa_heap_ptr_get() -> usize {
    // SAFETY: an instance has one thread.
    let next = unsafe { *HEAP.0.get() };
    if next == UNSET { &raw const __heap_base as usize } else { next }
}

/// Sets the end of what is in use, which is never before the end of the static data.
#[unsafe(no_mangle)]
pub extern "C" fn opa_heap_ptr_set(next: usize) {
    // SAFETY: an instance has one thread, and no reference to it exists.
    unsafe { *HEAP.0.get() = next.max(&raw const __heap_base as usize) }
}

/// Does nothing: no block is free.
#[unsafe(no_mangle)]
pub extern "C" fn opa_heap_blocks_stash() {}

/// Does nothing: no block is free.
#[unsafe(no_mangle)]
pub extern "C" fn opa_heap_blocks_restore() {}

/// Does nothing: no block is free.
#[unsafe(no_mangle)]
pub extern "C" fn opa_heap_stash_clear() {}

/// The value of a JSON text. It is read in the evaluation: text that is not JSON is a violation there.
#[unsafe(no_mangle)]
pub extern "C" fn opa_json_parse(start: usize, length: usize) -> usize {
    text(bytes(start, length))
}

/// The value of a text in Rego's notation.
#[unsafe(no_mangle)]
pub extern "C" fn opa_value_parse(start: usize, length: usize) -> usize {
    text(bytes(start, length))
}

/// Frees nothing, as [`opa_free`].
#[unsafe(no_mangle)]
pub extern "C" fn opa_value_free(_: usize) {}

/// The text of a value in JSON.
#[unsafe(no_mangle)]
pub extern "C" fn opa_json_dump(value: usize) -> usize {
    value
}

/// The text of a value in Rego's notation, in which results are a set.
#[unsafe(no_mangle)]
pub extern "C" fn opa_value_dump(address: usize) -> usize {
    let value = value(address);
    let Some(found) = value.strip_prefix(RESULTS.as_bytes()) else { return address };
    let mut set = Vec::with_capacity(value.len() + 1);
    set.extend_from_slice(b"{{\"result\":");
    set.extend_from_slice(found);
    if let Some(last) = set.last_mut() {
        *last = b'}';
    }
    text(&set)
}

/// Changes no data, which nobody reads. 0 is success.
#[unsafe(no_mangle)]
pub extern "C" fn opa_value_add_path(_: usize, _: usize, _: usize) -> i32 {
    0
}

/// Changes no data, which nobody reads. 0 is success.
#[unsafe(no_mangle)]
pub extern "C" fn opa_value_remove_path(_: usize, _: usize) -> i32 {
    0
}

/// The functions of the host that are called: none.
#[unsafe(no_mangle)]
pub extern "C" fn builtins() -> usize {
    text(b"{}")
}

/// A new context.
#[unsafe(no_mangle)]
pub extern "C" fn opa_eval_ctx_new() -> *mut Context {
    let context = allocate(Layout::new::<Context>()).cast::<Context>().as_ptr();
    // SAFETY: there is room for one.
    unsafe { context.write(Context { input: 0, results: 0 }) }
    context
}

/// Sets the input of a context.
///
/// # Safety
/// The context is one of [`opa_eval_ctx_new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opa_eval_ctx_set_input(context: *mut Context, value: usize) {
    // SAFETY: the caller's.
    unsafe { (*context).input = value }
}

/// Sets no data, which nobody reads.
#[unsafe(no_mangle)]
pub extern "C" fn opa_eval_ctx_set_data(_: *mut Context, _: usize) {}

/// Takes the one entrypoint, whose number is 0.
#[unsafe(no_mangle)]
pub extern "C" fn opa_eval_ctx_set_entrypoint(_: *mut Context, entrypoint: i32) {
    check_entrypoint(entrypoint);
}

/// The results of a context.
///
/// # Safety
/// The context is one of [`opa_eval_ctx_new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opa_eval_ctx_get_result(context: *mut Context) -> usize {
    // SAFETY: the caller's.
    unsafe { (*context).results }
}

/// Exports a policy to the hosts of OPA's modules. What needs no policy, the core exports.
#[doc(hidden)]
#[macro_export]
macro_rules! export_opa {
    ($policy:ident, $name:literal) => {
        /// The exports that hosts look for by these names.
        #[allow(unsafe_code)]
        mod opa_exports {
            #[unsafe(no_mangle)]
            extern "C" fn entrypoints() -> usize {
                $crate::opa::text(concat!("{\"podfence/", $name, "/violation\":0}").as_bytes())
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn eval(context: *mut $crate::opa::Context) -> i32 {
                // SAFETY: the host got it of `opa_eval_ctx_new`.
                unsafe { $crate::opa::evaluate_context(&super::$policy, context) }
            }

            #[unsafe(no_mangle)]
            extern "C" fn opa_eval(
                _: usize,
                entrypoint: i32,
                _: usize,
                input: usize,
                length: usize,
                heap: usize,
                format: i32,
            ) -> usize {
                $crate::opa::evaluate_input(&super::$policy, entrypoint, (input, length), heap, format)
            }
        }
    };
}
