//! The allocator of a guest that lives for one event: it hands out memory from the front and gives nothing
//! back, because the whole memory is thrown away after the call.
//!
//! What this buys is a guest of two wasm pages, whose memory the gateway resets in microseconds: Rust's usual
//! allocator would touch more pages, and page faults are what a fresh instance costs.
//!
//! The block handed out last is special: it grows in place and can be given back. That is what a `Vec` being
//! filled does, and most of what a JSON writer does.

use std::{
    alloc::{GlobalAlloc, Layout},
    ptr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Where an arena's memory comes from.
pub(crate) trait Memory {
    /// The first address that may be handed out.
    fn start(&self) -> usize;
    /// The first address beyond the memory there is.
    fn end(&self) -> usize;
    /// Adds at least so many bytes at the end; `false` if there is no more.
    fn grow(&self, bytes: usize) -> bool;
}

/// Hands out a memory from front to end. For one thread.
pub(crate) struct Arena<M> {
    memory: M,
    /// The first free address; 0 before the first use. Atomic only because a static must be `Sync`: without
    /// wasm threads it compiles to plain loads and stores.
    next: AtomicUsize,
}

impl<M: Memory> Arena<M> {
    pub(crate) const fn new(memory: M) -> Self {
        Self { memory, next: AtomicUsize::new(0) }
    }

    /// Makes sure that so many bytes are free, as far as there is memory at all.
    pub(crate) fn reserve(&self, bytes: usize) {
        let free = self.memory.end().saturating_sub(self.next());
        if free < bytes {
            self.memory.grow(bytes - free);
        }
    }

    fn next(&self) -> usize {
        match self.next.load(Relaxed) {
            0 => self.memory.start(),
            next => next,
        }
    }

    /// Moves the front to `end`, growing the memory if need be.
    fn advance(&self, end: usize) -> bool {
        let there = self.memory.end();
        let enough = end <= there || self.memory.grow(end - there);
        if enough {
            self.next.store(end, Relaxed);
        }
        enough
    }

    fn is_last(&self, block: *mut u8, size: usize) -> bool {
        block.addr() + size == self.next()
    }
}

#[expect(unsafe_code, reason = "an allocator is an unsafe contract")]
// SAFETY: blocks never overlap, because `next` only moves past a block when it is handed out, and back only to
// the start of the last one when it is given back; they lie within the memory, because `advance` refuses what
// `grow` can't provide; each start is aligned. One thread: `Memory` is the only one of its process to say so.
unsafe impl<M: Memory> GlobalAlloc for Arena<M> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(start) = self.next().checked_next_multiple_of(layout.align()) else {
            return ptr::null_mut();
        };
        match start.checked_add(layout.size()) {
            Some(end) if self.advance(end) => ptr::with_exposed_provenance_mut(start),
            _ => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_last(block, layout.size()) {
            self.next.store(block.addr(), Relaxed);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if self.is_last(block, layout.size()) {
            let end = block.addr().checked_add(new_size);
            return if end.is_some_and(|end| self.advance(end)) { block } else { ptr::null_mut() };
        }
        if new_size <= layout.size() {
            return block;
        }
        // SAFETY: the caller vouches that the new size is not zero and, rounded up, fits `isize`; the old block
        // is valid for its size, which is the smaller one, and the new block is apart from it.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size());
            }
            new
        }
    }
}

#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::reserve;

#[cfg(target_arch = "wasm32")]
mod wasm {
    use core::arch::wasm32::{memory_grow, memory_size};

    use super::{Arena, Memory};

    #[global_allocator]
    static ARENA: Arena<Linear> = Arena::new(Linear);

    const PAGE: usize = 64 << 10;

    /// Enough for an event of some 10 KiB and what is made of it.
    const FOR_AN_EVENT: usize = 48 << 10;

    /// Leaves enough free memory in the snapshot that common events need not ask for any.
    pub(crate) fn reserve() {
        ARENA.reserve(FOR_AN_EVENT);
    }

    /// The guest's linear memory, from where the linker's data ends.
    struct Linear;

    impl Memory for Linear {
        #[expect(unsafe_code, reason = "the linker says where data ends by the address of a symbol")]
        fn start(&self) -> usize {
            unsafe extern "C" {
                safe static __heap_base: u8;
            }
            (&raw const __heap_base).addr()
        }

        fn end(&self) -> usize {
            memory_size::<0>() * PAGE
        }

        fn grow(&self, bytes: usize) -> bool {
            memory_grow::<0>(bytes.div_ceil(PAGE)) != usize::MAX
        }
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "tests of an unsafe contract")]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A memory of 1 KiB, of which 256 bytes are there at first.
    struct Block {
        bytes: Box<[u128; 64]>,
        len: Cell<usize>,
        grown: Cell<usize>,
    }

    impl Memory for &Block {
        fn start(&self) -> usize {
            self.bytes.as_ptr().expose_provenance()
        }

        fn end(&self) -> usize {
            self.start() + self.len.get()
        }

        fn grow(&self, bytes: usize) -> bool {
            let len = self.len.get() + bytes.next_multiple_of(256);
            let fits = len <= size_of_val(&*self.bytes);
            if fits {
                self.len.set(len);
                self.grown.set(self.grown.get() + 1);
            }
            fits
        }
    }

    fn block() -> Block {
        Block { bytes: Box::new([0; 64]), len: Cell::new(256), grown: Cell::new(0) }
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn blocks_are_aligned_and_apart() {
        let memory = block();
        let arena = Arena::new(&memory);
        let (a, b) = unsafe { (arena.alloc(layout(3, 1)), arena.alloc(layout(8, 8))) };
        assert_eq!(b.addr() % 8, 0);
        assert!(a.addr() + 3 <= b.addr());
    }

    #[test]
    fn last_block_grows_and_shrinks_in_place() {
        let memory = block();
        let arena = Arena::new(&memory);
        unsafe {
            let a = arena.alloc(layout(8, 8));
            assert_eq!(arena.realloc(a, layout(8, 8), 64), a);
            assert_eq!(arena.realloc(a, layout(64, 8), 16), a);
            assert_eq!(arena.alloc(layout(1, 1)).addr(), a.addr() + 16);
        }
    }

    #[test]
    fn last_block_is_given_back() {
        let memory = block();
        let arena = Arena::new(&memory);
        unsafe {
            let a = arena.alloc(layout(8, 8));
            arena.dealloc(a, layout(8, 8));
            assert_eq!(arena.alloc(layout(8, 8)), a);
        }
    }

    #[test]
    fn earlier_block_moves_with_its_content() {
        let memory = block();
        let arena = Arena::new(&memory);
        unsafe {
            let a = arena.alloc(layout(2, 1));
            a.copy_from_nonoverlapping(b"hi".as_ptr(), 2);
            let b = arena.alloc(layout(1, 1));
            let moved = arena.realloc(a, layout(2, 1), 4);
            assert!(moved.addr() > b.addr());
            assert_eq!(std::slice::from_raw_parts(moved, 2), b"hi");
        }
    }

    #[test]
    fn memory_grows_when_exhausted_and_its_end_is_null() {
        let memory = block();
        let arena = Arena::new(&memory);
        unsafe {
            assert!(!arena.alloc(layout(300, 1)).is_null());
            assert_eq!(memory.grown.get(), 1);
            assert!(arena.alloc(layout(2000, 1)).is_null());
            assert!(!arena.alloc(layout(200, 1)).is_null(), "a refused block takes nothing");
        }
    }

    #[test]
    fn reserved_memory_is_not_asked_for_again() {
        let memory = block();
        let arena = Arena::new(&memory);
        arena.reserve(600);
        assert_eq!(memory.grown.get(), 1);
        assert!(!unsafe { arena.alloc(layout(600, 1)) }.is_null());
        assert_eq!(memory.grown.get(), 1);
    }
}
