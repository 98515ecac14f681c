//! What differs between processors: where `struct pt_regs` holds arguments, the probed address and the stack.

/// Offsets into `struct pt_regs`, in bytes.
pub struct Registers {
    /// The first five integer arguments of a kernel function.
    pub args: [i32; 5],
    /// The instruction pointer.
    pub ip: i32,
    /// The stack pointer.
    pub sp: i32,
}

/// arch/x86/include/asm/ptrace.h: rdi, rsi, rdx, rcx, r8; rip; rsp.
#[cfg(target_arch = "x86_64")]
pub const REGISTERS: Registers = Registers { args: [112, 104, 96, 88, 72], ip: 128, sp: 152 };

/// arch/arm64/include/asm/ptrace.h: x0 to x4; pc; sp.
#[cfg(target_arch = "aarch64")]
pub const REGISTERS: Registers = Registers { args: [0, 8, 16, 24, 32], ip: 256, sp: 248 };

/// How far `pt_regs.ip` is behind the probed instruction: x86 reports the byte after the breakpoint or call.
#[cfg(target_arch = "x86_64")]
pub const IP_AFTER_PROBE: i32 = 1;
/// How far `pt_regs.pc` is behind the probed instruction: not at all.
#[cfg(target_arch = "aarch64")]
pub const IP_AFTER_PROBE: i32 = 0;
