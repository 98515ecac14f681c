//! What differs between processors: where `struct pt_regs` holds arguments, the probed address and the stack.

/// Offsets into `struct pt_regs`, in bytes.
pub struct Registers {
    /// The first five integer arguments of a kernel function.
    pub args: [i32; 5],
    /// The instruction pointer.
    pub ip: i32,
    /// The stack pointer.
    pub sp: i32,
    /// Where a function finds the address that it returns to.
    pub caller: Caller,
}

/// Where a function finds the address that it returns to, at its entry.
#[allow(dead_code)] // each processor has one of them
pub enum Caller {
    /// In the word that the register at this offset points to.
    Behind(i32),
    /// In the register at this offset.
    In(i32),
}

/// arch/x86/include/asm/ptrace.h: rdi, rsi, rdx, rcx, r8; rip; rsp.
#[cfg(target_arch = "x86_64")]
pub const REGISTERS: Registers =
    Registers { args: [112, 104, 96, 88, 72], ip: 128, sp: 152, caller: Caller::Behind(152) };

/// arch/arm64/include/asm/ptrace.h: x0 to x4; pc; x30, the link register.
#[cfg(target_arch = "aarch64")]
pub const REGISTERS: Registers = Registers { args: [0, 8, 16, 24, 32], ip: 256, sp: 248, caller: Caller::In(240) };

/// How far `pt_regs.ip` is behind the probed instruction: x86 reports the byte after the breakpoint or call.
#[cfg(target_arch = "x86_64")]
pub const IP_AFTER_PROBE: i32 = 1;
/// How far `pt_regs.pc` is behind the probed instruction: not at all.
#[cfg(target_arch = "aarch64")]
pub const IP_AFTER_PROBE: i32 = 0;
