//! All contact with the kernel that Rust's standard library does not offer, and all `unsafe` code of whither.
//!
//! Every function here is one system call (or one mapping) with safe types around it; none decides anything.
//! One `repr(C)` structure per command of `bpf(2)`, sized by an assertion, with pointers that borrow.
#![allow(unsafe_code)]

pub mod alloc;
pub mod bpf;
pub mod clock;
pub mod mmap;
pub mod perf_event;
pub mod privilege;
pub mod process;
pub mod prog_arrays;
pub mod progs;
mod stack;
pub mod stop;

use std::io;
use std::marker::PhantomData;

/// The address of a slice that the kernel reads during one call.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct In<'a, T>(u64, PhantomData<&'a [T]>);

impl<'a, T> In<'a, T> {
    fn new(slice: &'a [T]) -> Self {
        In(slice.as_ptr() as u64, PhantomData)
    }

    fn none() -> Self {
        In(0, PhantomData)
    }
}

/// The address of a slice that the kernel writes during one call.
#[repr(transparent)]
struct Out<'a, T>(u64, PhantomData<&'a mut [T]>);

impl<'a, T> Out<'a, T> {
    fn new(slice: &'a mut [T]) -> Self {
        Out(slice.as_mut_ptr() as u64, PhantomData)
    }
}

/// Turns the result of `libc::syscall` into `io::Result`.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
