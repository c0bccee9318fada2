//! Memory for what is decoded and does not stand in the text: unescaped strings, and values next to each other.
//!
//! With the feature `arena`, it is given back when the arena is dropped. Without it, it never is: a module's
//! instance starts over with each call (see `wapc`), and code that frees would be paid for by every policy.

use alloc::{string::String, vec::Vec};

/// Owns what was decoded of one request.
#[derive(Default)]
pub struct Arena {
    #[cfg(feature = "arena")]
    bump: bumpalo::Bump,
}

impl Arena {
    /// An empty arena.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the items from an index on out of a list.
    #[inline(always)]
    pub(crate) fn keep_from<T: Copy>(&self, items: &mut Vec<T>, first: usize) -> &[T] {
        if first == items.len() { &[] } else { self.move_from(items, first) }
    }

    /// As `items.split_off`, which can panic with a text.
    #[inline(never)]
    fn move_from<T: Copy>(&self, items: &mut Vec<T>, first: usize) -> &[T] {
        let moved = items.get(first..).unwrap_or_default();
        #[cfg(feature = "arena")]
        let kept = self.bump.alloc_slice_copy(moved);
        #[cfg(not(feature = "arena"))]
        let kept = moved.to_vec().leak();
        items.truncate(first);
        kept
    }

    /// Moves a whole list.
    pub(crate) fn keep_all<T: Copy>(&self, items: Vec<T>) -> &[T] {
        #[cfg(feature = "arena")]
        {
            self.bump.alloc_slice_copy(&items)
        }
        #[cfg(not(feature = "arena"))]
        items.leak()
    }

    /// Moves an item.
    pub(crate) fn keep<T: Copy>(&self, item: T) -> &T {
        #[cfg(feature = "arena")]
        {
            self.bump.alloc(item)
        }
        #[cfg(not(feature = "arena"))]
        alloc::boxed::Box::leak(alloc::boxed::Box::new(item))
    }

    /// Moves a string.
    pub(crate) fn keep_string(&self, string: String) -> &str {
        #[cfg(feature = "arena")]
        {
            self.bump.alloc_str(&string)
        }
        #[cfg(not(feature = "arena"))]
        string.leak()
    }
}
