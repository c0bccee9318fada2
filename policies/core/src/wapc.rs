//! The waPC ABI, as Kubewarden's policy-server speaks it; see [`export_wapc!`](crate::export_wapc).
//!
//! A policy-server makes a new instance for every request, so the cost of starting counts: there is no
//! registry of functions, and memory is handed out from one end and never taken back before the next call.
#![allow(unsafe_code)]

use alloc::vec::Vec;
use core::{alloc::Layout, arch::wasm32, cell::UnsafeCell, ptr::NonNull};

use crate::{
    json::PADDING,
    policy::{Policy, validate, validate_settings},
};

#[link(wasm_import_module = "wapc")]
unsafe extern "C" {
    fn __guest_request(operation: *mut u8, payload: *mut u8);
    fn __guest_response(reply: *const u8, length: usize);
    fn __guest_error(message: *const u8, length: usize);
}

unsafe extern "C" {
    /// The linker puts it behind the static data.
    static __heap_base: u8;
}

const PAGE: usize = 65536;

/// The longest operation is `validate_settings`.
const LONGEST_OPERATION: usize = 32;

/// They are in a list, because comparing with each in turn is unfolded.
static OPERATIONS: [&[u8]; 3] = [b"validate", b"validate_settings", b"protocol_version"];

/// Answers one call of the host. Returns 1 if the reply is a response, 0 if it is an error.
pub fn call(policy: &Policy, operation_length: usize, payload_length: usize) -> i32 {
    // SAFETY: an instance has one thread, and nothing of the last call is in use any more.
    unsafe { (*HEAP.0.get()).next = 0 };
    let mut operation = [0u8; LONGEST_OPERATION];
    if operation_length > LONGEST_OPERATION {
        return fail(b"unknown operation");
    }
    let mut payload: Vec<u8> = Vec::with_capacity(payload_length + PADDING);
    // SAFETY: the host writes as many bytes as it announced, for which there is room in both; then
    // come the zero bytes that make the padding, and all bytes up to the length are written.
    unsafe {
        __guest_request(operation.as_mut_ptr(), payload.as_mut_ptr());
        payload.as_mut_ptr().add(payload_length).write_bytes(0, PADDING);
        payload.set_len(payload_length + PADDING);
    }
    let operation = operation.get(..operation_length);
    let reply = match OPERATIONS.iter().position(|&known| operation == Some(known)) {
        Some(0) => validate(policy, &payload),
        Some(1) => validate_settings(policy, &payload),
        Some(_) => return respond(br#""v1""#),
        None => return fail(b"unknown operation"),
    };
    respond(reply.as_bytes())
}

fn respond(reply: &[u8]) -> i32 {
    // SAFETY: the host copies from a slice that outlives the call.
    unsafe { __guest_response(reply.as_ptr(), reply.len()) }
    1
}

fn fail(message: &[u8]) -> i32 {
    // SAFETY: the host copies from a slice that outlives the call.
    unsafe { __guest_error(message.as_ptr(), message.len()) }
    0
}

/// What is free; see `heap.rs`.
struct Heap(UnsafeCell<Free>);

struct Free {
    /// The first free byte; 0 before the first allocation of a call.
    next: usize,
    end: usize,
}

// SAFETY: an instance has one thread.
unsafe impl Sync for Heap {}

static HEAP: Heap = Heap(UnsafeCell::new(Free { next: 0, end: 0 }));

/// The first free byte.
#[inline(always)]
pub(crate) fn next() -> usize {
    // SAFETY: an instance has one thread, and no reference to it exists.
    unsafe { (*HEAP.0.get()).next }
}

/// Hands out what is behind `start`, of new memory if need be.
pub(crate) fn take(start: usize, size: usize) {
    // SAFETY: an instance has one thread, and this reference does not leave the function.
    unsafe { &mut *HEAP.0.get() }.take(start, size);
}

/// Never null, so the compiler drops the null branch.
#[inline(never)]
pub(crate) fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: an instance has one thread, and this reference does not leave the function.
    let free = unsafe { &mut *HEAP.0.get() };
    if free.next == 0 {
        free.next = &raw const __heap_base as usize;
        free.end = wasm32::memory_size(0) * PAGE;
    }
    let start = (free.next + layout.align() - 1) & !(layout.align() - 1);
    free.take(start, layout.size());
    NonNull::new(start as *mut u8).unwrap_or(NonNull::dangling())
}

impl Free {
    /// Hands out what is behind `start`, of new memory if need be.
    fn take(&mut self, start: usize, size: usize) {
        let Some(next) = start.checked_add(size) else { wasm32::unreachable() };
        if next > self.end {
            let pages = (next - self.end).div_ceil(PAGE);
            if wasm32::memory_grow(0, pages) == usize::MAX {
                wasm32::unreachable();
            }
            self.end += pages * PAGE;
        }
        self.next = next;
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    wasm32::unreachable()
}

/// Exports a policy to waPC hosts.
#[doc(hidden)]
#[macro_export]
macro_rules! export_wapc {
    ($policy:path) => {
        // The host looks for this name.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn __guest_call(operation_length: usize, payload_length: usize) -> i32 {
            $crate::wapc::call(&$policy, operation_length, payload_length)
        }
    };
}
