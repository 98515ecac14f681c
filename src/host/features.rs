//! What this kernel lets programs do, found by doing it: tiny programs are loaded and dropped again.

use crate::btf::{Btf, Func, Struct};
use crate::sys::bpf::{self, AttachType, MapType, ProgLoad, ProgType};
use asm::{Asm, Helper, R0, R1, R2, R3, u32, u64};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The kernel's answer to a try: `Ok` if it works, else what it said.
pub type Answer = io::Result<()>;

/// How much the kernel hides from root (`/sys/kernel/security/lockdown`, Linux 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Nothing.
    Off,
    /// Userland may not change the kernel.
    Integrity,
    /// Userland may not read its memory either.
    Confidentiality,
}

impl Lockdown {
    /// Reads the state; `None` where the kernel does not say, or securityfs is not mounted.
    pub fn read(sys: &Path) -> Option<Lockdown> {
        let text = std::fs::read_to_string(sys.join("kernel/security/lockdown")).ok()?;
        match text.split_once('[')?.1.split_once(']')?.0 {
            "none" => Some(Lockdown::Off),
            "integrity" => Some(Lockdown::Integrity),
            "confidentiality" => Some(Lockdown::Confidentiality),
            _ => None,
        }
    }

    /// As the kernel's command line has it.
    pub fn word(self) -> &'static str {
        match self {
            Lockdown::Off => "none",
            Lockdown::Integrity => "integrity",
            Lockdown::Confidentiality => "confidentiality",
        }
    }
}

/// What was tried.
#[derive(Debug)]
pub struct Features {
    /// `BPF_MAP_TYPE_RINGBUF` (Linux 5.8).
    pub ring_buffer: Answer,
    /// `bpf_rdonly_cast` (Linux 6.2): plain loads from any address. The BTF id of the function.
    pub cast: io::Result<u32>,
    /// `bpf_probe_read_kernel` (Linux 5.5); refused under lockdown=confidentiality.
    pub read_kernel: Answer,
    /// `bpf_get_attach_cookie` in kprobe programs (Linux 5.15).
    pub cookie: Answer,
    /// `bpf_get_current_task_btf` (Linux 5.11): plain loads from the current task.
    pub task: Answer,
    /// fentry (Linux 5.5 on x86_64, 6.0 on arm64). `None` if nobody asked.
    pub fentry: Option<Answer>,
}

impl Features {
    /// Tries everything. `own_types` says that `btf` is the running kernel's: no number of another's is shown to it.
    pub fn try_all(btf: &Btf, own_types: bool) -> Features {
        let foreign = || io::Error::other("--kernel-btf names other types than this kernel's");
        Features {
            ring_buffer: bpf::map_create(MapType::RingBuf, "whither_try", 0, 0, 64 << 10).map(drop),
            cast: if own_types { cast(btf) } else { Err(foreign()) },
            read_kernel: read_kernel(),
            cookie: cookie(),
            task: if own_types { task(btf) } else { Err(foreign()) },
            fentry: None,
        }
    }

    /// Tries fentry, too.
    #[must_use]
    pub fn and_fentry(self, btf: &Btf) -> Features {
        Features { fentry: Some(fentry(btf)), ..self }
    }
}

fn cast(btf: &Btf) -> io::Result<u32> {
    let missing = |_| io::Error::new(io::ErrorKind::Unsupported, "this kernel has no bpf_rdonly_cast (Linux 6.2)");
    let kfunc = btf.find::<Func>("bpf_rdonly_cast").map_err(missing)?.id().0;
    let skb = btf.find::<Struct>("sk_buff").map_err(missing)?.id().0;
    let mut a = Asm::new("try_cast");
    a.load(R1, u64(R1));
    a.mov(R2, skb as i32);
    a.call_kfunc(kfunc, 0);
    a.load(R1, u64(R0));
    finish(a, ProgType::RawTracepoint)?;
    Ok(kfunc)
}

fn read_kernel() -> Answer {
    let mut a = Asm::new("try_read");
    let slot = a.stack(8);
    a.load(R3, u64(R1));
    a.lea(R1, slot);
    a.mov(R2, 8);
    a.call(Helper::ProbeReadKernel);
    finish(a, ProgType::RawTracepoint).map(drop)
}

fn cookie() -> Answer {
    let mut a = Asm::new("try_cookie");
    a.call(Helper::GetAttachCookie);
    finish(a, ProgType::Kprobe).map(drop)
}

fn task(btf: &Btf) -> Answer {
    let missing = |_| io::Error::new(io::ErrorKind::Unsupported, "the kernel's types have no usual task_struct");
    let tgid = btf.path("task_struct", "tgid").map_err(missing)?;
    let comm = btf.path("task_struct", "comm").map_err(missing)?;
    let mut a = Asm::new("try_task");
    a.call(Helper::GetCurrentTaskBtf);
    a.load(R1, u32(R0 + tgid.leaf.offset as i32));
    a.load(R1, u64(R0 + comm.leaf.offset as i32));
    finish(a, ProgType::Kprobe).map(drop)
}

/// A program for a function that every kernel has; where loading does not tell, it is attached for a moment.
fn fentry(btf: &Btf) -> Answer {
    let missing = |_| io::Error::new(io::ErrorKind::Unsupported, "kfree_skbmem is not in the kernel's BTF");
    let function = btf.find::<Func>("kfree_skbmem").map_err(missing)?.id().0;
    let program = load(Asm::new("try_fentry"), ProgType::Tracing, AttachType::TraceFentry, function)?;
    match cfg!(target_arch = "x86_64") {
        true => Ok(()),
        false => bpf::raw_tracepoint_open(program.as_fd(), None).map(drop),
    }
}

/// Adds the end of a program and loads it.
fn finish(a: Asm, kind: ProgType) -> io::Result<OwnedFd> {
    load(a, kind, AttachType::None, 0)
}

fn load(mut a: Asm, kind: ProgType, attach: AttachType, attach_btf_id: u32) -> io::Result<OwnedFd> {
    a.mov(R0, 0);
    a.exit();
    let program = a.finish().map_err(|error| io::Error::other(error.to_string()))?;
    let code = program.encode(|_| -1).map_err(|error| io::Error::other(error.to_string()))?;
    let load = ProgLoad { kind, attach, name: program.name(), code: &code, attach_btf_id, attach_to: None };
    bpf::prog_load(&load, &mut [])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not among the kernel's types is missing before a program is loaded.
    #[test]
    fn what_the_kernel_does_not_have_is_named() {
        let none = Btf::parse(b"\x9f\xeb\x01\0\x18\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0".to_vec(), "").unwrap();
        assert_eq!(cast(&none).unwrap_err().to_string(), "this kernel has no bpf_rdonly_cast (Linux 6.2)");
        assert_eq!(fentry(&none).unwrap_err().to_string(), "kfree_skbmem is not in the kernel's BTF");
        assert_eq!(task(&none).unwrap_err().to_string(), "the kernel's types have no usual task_struct");
        let foreign = Features::try_all(&none, false).cast.unwrap_err().to_string();
        assert_eq!(foreign, "--kernel-btf names other types than this kernel's");
    }
}
