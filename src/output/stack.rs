//! Kernel stacks: which frames belong to the traced code, and how a frame is shown.

use crate::names::{Names, Symbols};

use super::number::hex;
use super::symbol;

/// What stands between a traced function and the program that unwinds the stack, by the start of its name: the program,
/// the trampoline of fentry, and the functions that call the programs of a tracepoint.
const BELOW: [&[u8]; 5] = [b"bpf_prog_", b"bpf_trampoline_", b"bpf_trace_run", b"__bpf_trace_", b"__traceiter_"];

/// The frames from the traced function on: those of tracing itself are left out.
pub(super) fn traced<'f>(frames: &'f [u64], symbols: &dyn Symbols) -> &'f [u64] {
    let mut name = Vec::new();
    let below = frames.iter().take_while(|&&address| {
        name.clear();
        symbols.write_nearest(address, &mut name) && BELOW.iter().any(|start| name.starts_with(start))
    });
    &frames[below.count()..]
}

/// The frames from a traced BPF program on. Its name is like that of the program that traces it, and the latter can be
/// younger than the table of symbols: so they are told apart by their place, behind the trampoline.
pub(super) fn traced_program(frames: &[u64]) -> &[u64] {
    frames.get(2..).unwrap_or_default()
}

/// Appends a frame: `symbol+0xOFFSET`, and ` [module]` if it is in one; without the offset at the start of a function.
///
/// All frames but the innermost are addresses behind a call, which can be the end of the function.
pub(super) fn frame(out: &mut Vec<u8>, address: u64, is_innermost: bool, names: &Names) {
    let inside = if is_innermost { address } else { address.saturating_sub(1) };
    let Some(offset) = names.symbols.offset(inside) else { return symbol(out, address, names) };
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
