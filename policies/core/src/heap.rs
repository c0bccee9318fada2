//! The allocator of a module. It moves one pointer, which the ABI keeps, and never takes memory back: what starts over is
//! the ABI's, before a call or when the host says so.
#![allow(unsafe_code)]

use core::{
    alloc::{GlobalAlloc, Layout},
    ptr::NonNull,
};

#[cfg(feature = "opa")]
use crate::opa::{allocate, next, take};
#[cfg(feature = "wapc")]
use crate::wapc::{allocate, next, take};

struct Bump;

#[global_allocator]
static BUMP: Bump = Bump;

// SAFETY: every block is between the static data and the end of memory, and no two that are in use overlap.
unsafe impl GlobalAlloc for Bump {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocate(layout).as_ptr()
    }

    /// No code to free values is needed.
    #[inline(always)]
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        reallocate(block, layout, size).as_ptr()
    }
}

/// Never null, as [`allocate`].
#[inline(never)]
fn reallocate(block: *mut u8, layout: Layout, size: usize) -> NonNull<u8> {
    if block as usize + layout.size() == next() {
        take(block as usize, size);
        return NonNull::new(block).unwrap_or(NonNull::dangling());
    }
    // SAFETY: the alignment is a valid one, and the new block is apart from the old one and has room for what is copied.
    unsafe {
        let moved = allocate(Layout::from_size_align_unchecked(size, layout.align()));
        moved.as_ptr().copy_from_nonoverlapping(block, layout.size().min(size));
        moved
    }
}
