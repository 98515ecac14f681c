//! The allocator of the standard library, with an end in one sentence where memory runs out.

use std::alloc::{GlobalAlloc, Layout, System};

/// [`System`], except that a failure ends the process with a sentence on standard error and exit code 1. By itself the
/// standard library aborts, which looks like a defect and leaves a core dump.
///
/// What the kernel was given goes with the process, as after SIGKILL.
#[derive(Clone, Copy, Debug)]
pub struct OrExit;

// SAFETY: every call is the system allocator's own, with the caller's arguments.
unsafe impl GlobalAlloc for OrExit {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        or_exit(unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        or_exit(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        or_exit(unsafe { System.realloc(memory, layout, size) })
    }
}

#[inline]
fn or_exit(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        exit();
    }
    memory
}

/// Allocates nothing.
#[cold]
fn exit() -> ! {
    const SENTENCE: &str =
        "error: there is not enough memory\nhint: `ulimit -v` and the memory limit of the cgroup bound it\n";
    // SAFETY: the bytes live as long as the program; _exit(2) takes a number and does not return.
    unsafe {
        libc::write(libc::STDERR_FILENO, SENTENCE.as_ptr().cast(), SENTENCE.len());
        libc::_exit(1)
    }
}
