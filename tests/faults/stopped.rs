//! A thread that stands before or behind a system call: its registers.

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::unistd::Pid;

/// A thread in a stop of ptrace at a system call.
pub struct Stopped {
    pid: Pid,
    registers: libc::user_regs_struct,
}

impl Stopped {
    /// Reads the registers of `pid`; `None` if it is gone.
    pub fn new(pid: Pid) -> Option<Stopped> {
        Some(Stopped { pid, registers: ptrace::getregs(pid).ok()? })
    }

    fn write(&self) {
        ptrace::setregs(self.pid, self.registers).expect("it is stopped");
    }
}

#[cfg(target_arch = "x86_64")]
impl Stopped {
    /// Number of the call.
    pub fn number(&self) -> i64 {
        self.registers.orig_rax as i64
    }

    /// Its arguments; before the call.
    pub fn arguments(&self) -> [u64; 6] {
        let at = &self.registers;
        [at.rdi, at.rsi, at.rdx, at.r10, at.r8, at.r9]
    }

    /// What it returned; behind the call.
    pub fn result(&self) -> u64 {
        self.registers.rax
    }

    /// Lets the kernel do nothing: no call has this number.
    pub fn skip(&mut self) {
        self.registers.orig_rax = u64::MAX;
        self.write();
    }

    /// Lets the call return an error; behind the call.
    pub fn answer(&mut self, errno: Errno) {
        self.registers.rax = -i64::from(errno as i32) as u64;
        self.write();
    }
}

#[cfg(target_arch = "aarch64")]
impl Stopped {
    /// Number of the call.
    pub fn number(&self) -> i64 {
        self.registers.regs[8] as i64
    }

    /// Its arguments; before the call.
    pub fn arguments(&self) -> [u64; 6] {
        std::array::from_fn(|argument| self.registers.regs[argument])
    }

    /// What it returned; behind the call.
    pub fn result(&self) -> u64 {
        self.registers.regs[0]
    }

    /// Lets the kernel do nothing: no call has this number, which is not in a register here (`NT_ARM_SYSTEM_CALL`).
    #[allow(unsafe_code)]
    pub fn skip(&mut self) {
        const NT_ARM_SYSTEM_CALL: libc::c_int = 0x404;
        let mut none: libc::c_int = -1;
        let mut part = libc::iovec { iov_base: (&raw mut none).cast(), iov_len: size_of_val(&none) };
        // SAFETY: `part` is as long as the number, and both live over the call.
        let result =
            unsafe { libc::ptrace(libc::PTRACE_SETREGSET as _, self.pid.as_raw(), NT_ARM_SYSTEM_CALL, &raw mut part) };
        assert_eq!(result, 0, "it is stopped");
    }

    /// Lets the call return an error; behind the call.
    pub fn answer(&mut self, errno: Errno) {
        self.registers.regs[0] = -i64::from(errno as i32) as u64;
        self.write();
    }
}
