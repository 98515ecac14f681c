//! Where a tail call enters a BPF program: behind the place of fentry.
//!
//! On x86-64 native code of a program begins with room for fentry, then `push rbp; mov rbp, rsp`, and a tail call jumps
//! behind these (`X86_TAIL_CALL_OFFSET`, arch/x86/net/bpf_jit_comp.c). What is there is executed at every entry, with the
//! context in rdi and the caller's frame pointer on top of the stack.

use super::callees;
use crate::sys::progs;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

/// Why it is not known where tail calls enter a program.
#[derive(Debug)]
pub enum NoLanding {
    /// This processor's tail calls are not known.
    Processor,
    /// The kernel does not show the program's code or where it is: it is interpreted, or addresses are hidden.
    Hidden,
    /// The code begins in another way.
    Unknown,
    /// The kernel's answer.
    Kernel(io::Error),
}

impl fmt::Display for NoLanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoLanding::Processor => f.write_str("this is done on x86_64 only"),
            NoLanding::Hidden => {
                f.write_str("the kernel does not show its native code (CAP_SYSLOG, kernel.kptr_restrict below 2)")
            }
            NoLanding::Unknown => f.write_str("its native code begins in a way that is not known"),
            NoLanding::Kernel(error) => error.fmt(f),
        }
    }
}

/// The address of an instruction that is executed whenever `program` is entered, by a tail call, too, with its context in
/// the register of the first argument.
pub fn address(program: BorrowedFd<'_>) -> Result<u64, NoLanding> {
    if !cfg!(target_arch = "x86_64") {
        return Err(NoLanding::Processor);
    }
    let image = progs::image(program).map_err(NoLanding::Kernel)?;
    match image.functions.first() {
        Some(&(start, length)) if start != 0 && !image.code.is_empty() => {
            let code = &image.code[..image.code.len().min(length as usize)];
            offset(code).map(|offset| start + offset as u64).ok_or(NoLanding::Unknown)
        }
        _ => Err(NoLanding::Hidden),
    }
}

/// How far in front of the frame other instructions may be.
const PROLOGUE: usize = 32;

/// Where in `code`, which is a program's, every entry comes by, whether plain or by a tail call.
fn offset(code: &[u8]) -> Option<usize> {
    const FRAME: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
    // With CONFIG_X86_KERNEL_IBT; behind it, so that the processor has seen it when it stops.
    const ENDBR: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    let mut at = 0;
    while at < PROLOGUE {
        let rest = code.get(at..)?;
        if let Some(behind) = rest.strip_prefix(&FRAME) {
            let marked = behind.starts_with(&ENDBR);
            let landing = at + FRAME.len() + if marked { ENDBR.len() } else { 0 };
            return (landing < code.len()).then_some(landing);
        }
        at += callees::length(rest)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said() {
        for (error, text) in [
            (NoLanding::Processor, "this is done on x86_64 only"),
            (NoLanding::Hidden, "the kernel does not show its native code (CAP_SYSLOG, kernel.kptr_restrict below 2)"),
            (NoLanding::Unknown, "its native code begins in a way that is not known"),
            (NoLanding::Kernel(io::ErrorKind::NotFound.into()), "entity not found"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn the_frame_is_found_in_every_prologue() {
        let nop5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];
        let call = [0xe8, 0x55, 0x48, 0x89, 0xe5];
        let frame = [0x55, 0x48, 0x89, 0xe5];
        let endbr = [0xf3, 0x0f, 0x1e, 0xfa];
        let body = [0x31, 0xc0, 0xc9, 0xc3];
        // 5.10: fentry's place, nop or xor eax, eax.
        assert_eq!(offset(&[&nop5[..], &[0x66, 0x90], &frame, &body].concat()), Some(11));
        assert_eq!(offset(&[&nop5[..], &[0x31, 0xc0], &frame, &body].concat()), Some(11));
        // 6.12: nop of three bytes, or xor rax, rax.
        assert_eq!(offset(&[&nop5[..], &[0x0f, 0x1f, 0x00], &frame, &body].concat()), Some(12));
        // fentry is there already; its distance looks like a frame.
        assert_eq!(offset(&[&call[..], &[0x48, 0x31, 0xc0], &frame, &body].concat()), Some(12));
        // Marked for indirect jumps.
        let marked = [&endbr[..], &nop5, &[0x0f, 0x1f, 0x00], &frame, &endbr, &body].concat();
        assert_eq!(offset(&marked), Some(20));
    }

    #[test]
    fn other_code_is_left_alone() {
        assert_eq!(offset(&[]), None);
        assert_eq!(offset(&[0x55, 0x48, 0x89, 0xe5]), None, "nothing is behind it");
        assert_eq!(offset(&[0x06, 0x55, 0x48, 0x89, 0xe5, 0xc3]), None, "0x06 is no instruction");
        assert_eq!(offset(&[[0x90; 40].as_slice(), &[0x55, 0x48, 0x89, 0xe5, 0xc3]].concat()), None);
    }
}
