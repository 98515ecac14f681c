//! Kernel stacks: which frames belong to the traced code, and how a frame is shown.

use crate::names::{Names, Symbols};

use super::number::hex;
use super::{LARGEST, symbol};

/// How a program was entered that unwound its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// By a kprobe or a breakpoint: the stack begins at the function.
    Registers,
    /// By fentry: the program and the trampoline come first.
    Trampoline,
    /// By a tracepoint: the program and the functions that call it come first.
    Tracepoint,
}

/// The functions that call the programs of a tracepoint, by the start of their names.
const CALLERS: [&[u8]; 3] = [b"bpf_trace_run", b"__bpf_trace_", b"__traceiter_"];

/// Frames of tracing itself are looked for among so many.
const NEAR: usize = 6;

/// The frames from the traced `function` on: those of tracing itself are left out. Programs and trampolines can be
/// younger than the table of symbols, so they are not known by their names.
pub(super) fn traced<'f>(frames: &'f [u64], entry: Entry, function: &[u8], symbols: &dyn Symbols) -> &'f [u64] {
    let mut name = Vec::new();
    let mut find = |wanted: &dyn Fn(&[u8]) -> bool, frames: &[u64]| {
        frames.iter().take(NEAR).position(|&address| {
            name.clear();
            symbols.write_nearest(address, &mut name) && wanted(&name)
        })
    };
    let skip = match entry {
        Entry::Registers => 0,
        // A BPF program that is traced has no symbol yet either: it comes third.
        Entry::Trampoline => find(&|name| name == function, frames).unwrap_or(2),
        Entry::Tracepoint => {
            let is_caller = |name: &[u8]| CALLERS.iter().any(|start| name.starts_with(start));
            let first = find(&is_caller, frames).unwrap_or(0);
            first + find(&|name| !is_caller(name), &frames[first..]).unwrap_or(0)
        }
    };
    frames.get(skip..).unwrap_or_default()
}

/// Appends a frame: `symbol+0xOFFSET`, and ` [module]` if it is in one; without the offset at the start of a function.
///
/// All frames but the innermost are addresses behind a call, which can be the end of the function.
pub(super) fn frame(out: &mut Vec<u8>, address: u64, is_innermost: bool, names: &Names) {
    let inside = if is_innermost { address } else { address.saturating_sub(1) };
    let Some(offset) = names.symbols.offset(inside).filter(|&offset| offset < LARGEST) else {
        return symbol(out, address, names);
    };
    let start = out.len();
    symbol(out, inside, names);
    let offset = offset + (address - inside);
    let name = out.split_off(start);
    let (name, module) = match name.iter().position(|&byte| byte == b'[') {
        Some(at) => name.split_at(at),
        None => (&name[..], &[][..]),
    };
    out.extend_from_slice(name);
    if offset != 0 {
        out.extend_from_slice(b"+0x");
        hex(out, offset);
    }
    if !module.is_empty() {
        out.push(b' ');
        out.extend_from_slice(module);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of 0x1234 is that of 0x1200.
    struct Table(&'static [(u64, &'static str)]);

    impl Symbols for Table {
        fn write_nearest(&self, address: u64, out: &mut Vec<u8>) -> bool {
            let found = self.0.iter().rev().find(|(start, _)| *start <= address);
            found.is_some_and(|(_, name)| {
                out.extend_from_slice(name.as_bytes());
                true
            })
        }

        fn offset(&self, address: u64) -> Option<u64> {
            self.0.iter().rev().find(|(start, _)| *start <= address).map(|(start, _)| address - start)
        }
    }

    const TABLE: Table = Table(&[
        (0x1000, "ip_rcv"),
        (0x2000, "bpf_trace_run3"),
        (0x3000, "__traceiter_kfree_skb"),
        (0x4000, "kfree_skb[net]"),
    ]);

    #[test]
    fn frames_of_tracing_are_left_out() {
        let check = |frames: &[u64], entry, expected: &[u64]| {
            assert_eq!(traced(frames, entry, b"ip_rcv", &TABLE), expected, "{frames:x?}");
        };
        check(&[0x1000, 0x4010], Entry::Registers, &[0x1000, 0x4010]);
        check(&[0x9999_0000, 0x9999_1000, 0x1009, 0x4010], Entry::Trampoline, &[0x1009, 0x4010]);
        check(&[0x9999_1000, 0x1009, 0x4010], Entry::Trampoline, &[0x1009, 0x4010]);
        check(&[0x9999_0000, 0x9999_1000, 0x9999_2000, 0x4010], Entry::Trampoline, &[0x9999_2000, 0x4010]);
        check(&[0x9999_0000], Entry::Trampoline, &[]);
        check(&[0x9999_0000, 0x2010, 0x3010, 0x4010, 0x1010], Entry::Tracepoint, &[0x4010, 0x1010]);
        check(&[], Entry::Tracepoint, &[]);
    }

    #[test]
    fn a_frame_has_its_offset_and_module() {
        let mut names = Names::fixed(&[], crate::names::Reasons::new([], []), crate::names::Interfaces::fixed([]));
        names.symbols = Box::new(TABLE);
        let check = |address, is_innermost, expected: &str| {
            let mut out = Vec::new();
            frame(&mut out, address, is_innermost, &names);
            assert_eq!(str::from_utf8(&out).unwrap(), expected);
        };
        check(0x1000, true, "ip_rcv");
        check(0x1009, true, "ip_rcv+0x9");
        // The call is the last instruction of the function.
        check(0x2000, false, "ip_rcv+0x1000");
        check(0x4010, false, "kfree_skb+0x10 [net]");
        check(0x9999_0000, false, "0x99990000");
        check(0x10, false, "0x10");
    }
}
