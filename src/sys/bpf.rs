//! `bpf(2)`: maps, programs, links and what the kernel tells about them.
//!
//! Structures mirror the members of `union bpf_attr` in `include/uapi/linux/bpf.h`.

use super::{In, Out, check};
use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Kinds of maps that whither uses (`enum bpf_map_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapType {
    /// Hash table, preallocated.
    Hash = 1,
    /// Array of values.
    Array = 2,
    /// One perf buffer for each CPU.
    PerfEventArray = 4,
    /// One array for each CPU.
    PerCpuArray = 6,
    /// Hash table that forgets the least recently used element when full.
    LruHash = 9,
    /// Ring buffer shared by all CPUs. Since Linux 5.8.
    RingBuf = 27,
}

/// Kinds of programs that whither uses (`enum bpf_prog_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProgType {
    /// Runs at kprobes; the context is `struct pt_regs`.
    Kprobe = 2,
    /// Runs at events of perf, such as breakpoints; the context begins with `struct pt_regs` (`bpf_perf_event_data`).
    PerfEvent = 7,
    /// Runs at raw tracepoints; the context is the array of arguments. Since Linux 4.17.
    RawTracepoint = 17,
    /// fentry, fexit and typed tracepoints; the context is the array of arguments. Since Linux 5.5.
    Tracing = 26,
    /// Runs when it is told to ([`run_syscall`]), and may sleep; the context is the caller's. Since Linux 5.14.
    Syscall = 31,
}

/// How a program or link is attached (`enum bpf_attach_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum AttachType {
    /// None was asked for.
    None = 0,
    /// Raw tracepoint with arguments typed by BTF (`tp_btf`).
    TraceRawTp = 23,
    /// Entry of a kernel function or BPF program.
    TraceFentry = 24,
    /// Return from a kernel function or BPF program.
    TraceFexit = 25,
    /// Perf event (kprobe, tracepoint). Since Linux 5.15.
    PerfEvent = 41,
    /// Many kprobes at once. Since Linux 5.18.
    TraceKprobeMulti = 42,
}

/// One command: a structure that mirrors a member of `union bpf_attr`, and its number.
///
/// # Safety
/// The structure is `repr(C)`, without padding, and its pointers are valid for what the command does with them.
pub(super) unsafe trait Command: Sized {
    const CMD: libc::c_long;

    fn call(&mut self) -> io::Result<libc::c_long> {
        // SAFETY: by the trait's contract `self` is a valid attribute structure of this size for `CMD`.
        check(unsafe { libc::syscall(libc::SYS_bpf, Self::CMD, self as *mut Self, size_of::<Self>()) })
    }

    fn call_fd(&mut self) -> io::Result<OwnedFd> {
        let fd = self.call()?;
        // SAFETY: the command returned a new descriptor that nothing else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}

/// The first 15 bytes of `name` that the kernel accepts in an object name, NUL-padded.
fn object_name(name: &str) -> [u8; 16] {
    let mut out = [0; 16];
    for (to, byte) in out[..15].iter_mut().zip(name.bytes()) {
        *to = if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' { byte } else { b'_' };
    }
    out
}

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}
const _: () = assert!(size_of::<MapCreate>() == 44);
// SAFETY: mirrors bpf_attr.map_create without trailing fields; the assert rules out padding; no pointers.
unsafe impl Command for MapCreate {
    const CMD: libc::c_long = 0;
}

/// Creates a map. Sizes in bytes; for a ring buffer `max_entries` is its size in bytes, a power of two of pages.
pub fn map_create(kind: MapType, name: &str, key_size: u32, value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    MapCreate {
        map_type: kind as u32,
        key_size,
        value_size,
        max_entries,
        map_flags: 0,
        inner_map_fd: 0,
        numa_node: 0,
        map_name: object_name(name),
    }
    .call_fd()
}

#[repr(C)]
struct MapElem<'a> {
    map_fd: u32,
    pad: u32,
    key: In<'a, u8>,
    value: u64,
    flags: u64,
}
const _: () = assert!(size_of::<MapElem<'_>>() == 32);

#[repr(transparent)]
struct MapLookup<'a>(MapElem<'a>);
// SAFETY: mirrors the anonymous element structure of bpf_attr; `value` points to a buffer that `map_lookup` sized.
unsafe impl Command for MapLookup<'_> {
    const CMD: libc::c_long = 1;
}

#[repr(transparent)]
struct MapUpdate<'a>(MapElem<'a>);
// SAFETY: as `MapLookup`; the kernel only reads through `value`.
unsafe impl Command for MapUpdate<'_> {
    const CMD: libc::c_long = 2;
}

/// Reads the element with index `key` of an array map into `value`.
///
/// `value` must have the map's value size; for a per-CPU map that size (rounded up to 8) times [`possible_cpus`].
pub fn map_lookup(map: BorrowedFd<'_>, key: u32, value: &mut [u8]) -> io::Result<()> {
    let key = key.to_ne_bytes();
    let value = Out::new(value);
    MapLookup(MapElem { map_fd: map.as_raw_fd() as u32, pad: 0, key: In::new(&key), value: value.0, flags: 0 })
        .call()
        .map(drop)
}

/// Writes the element with index `key` of an array map; sizes as in [`map_lookup`].
pub fn map_update(map: BorrowedFd<'_>, key: u32, value: &[u8]) -> io::Result<()> {
    let key = key.to_ne_bytes();
    MapUpdate(MapElem {
        map_fd: map.as_raw_fd() as u32,
        pad: 0,
        key: In::new(&key),
        value: value.as_ptr() as u64,
        flags: 0,
    })
    .call()
    .map(drop)
}

/// A program to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct ProgLoad<'a> {
    /// Kind of program.
    pub kind: ProgType,
    /// How it will be attached, where the kernel wants to know at load time.
    pub attach: AttachType,
    /// Name that `bpftool prog` shows; cut to 15 bytes.
    pub name: &'a str,
    /// Instruction slots in host byte order.
    pub code: &'a [u64],
    /// BTF id of the function or tracepoint typedef for [`ProgType::Tracing`], else 0.
    pub attach_btf_id: u32,
    /// Where `attach_btf_id` is looked up: module BTF or a BPF program; `None` is vmlinux.
    pub attach_to: Option<BorrowedFd<'a>>,
}

#[repr(C)]
struct ProgLoadAttr<'a> {
    prog_type: u32,
    insn_cnt: u32,
    insns: In<'a, u64>,
    license: In<'a, u8>,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_fd: u32,
    pad: u32,
}
const _: () = assert!(size_of::<ProgLoadAttr<'_>>() == 120);
// SAFETY: mirrors bpf_attr.prog_load up to attach_btf_obj_fd (120 bytes with the tail padding spelled out).
unsafe impl Command for ProgLoadAttr<'_> {
    const CMD: libc::c_long = 5;
}

/// Licence string of the loaded programs; GPL-compatible, as the read helpers and kfuncs require.
pub const LICENSE: &CStr = c"Dual MIT/GPL";

/// How often a program is loaded that the verifier has no time for: it gives up with EAGAIN where its thread has something
/// else to do, as to freeze (`signal_pending` in `do_check`, kernel/bpf/verifier.c).
const LOADS: usize = 5;

/// Loads a program. `log` receives the verifier's text if it is not empty (log level 1).
pub fn prog_load(prog: &ProgLoad<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    for _ in 1..LOADS {
        match prog_load_once(prog, log) {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            loaded => return loaded,
        }
    }
    prog_load_once(prog, log)
}

fn prog_load_once(prog: &ProgLoad<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let (log_level, log_size) = (u32::from(!log.is_empty()), log.len() as u32);
    let log_buf = if log.is_empty() { 0 } else { Out::new(log).0 };
    ProgLoadAttr {
        prog_type: prog.kind as u32,
        insn_cnt: prog.code.len() as u32,
        insns: In::new(prog.code),
        license: In::new(LICENSE.to_bytes_with_nul()),
        log_level,
        log_size,
        log_buf,
        kern_version: 0,
        // Programs of this type must be loaded as sleepable (`BPF_F_SLEEPABLE`).
        prog_flags: if prog.kind == ProgType::Syscall { 1 << 4 } else { 0 },
        prog_name: object_name(prog.name),
        prog_ifindex: 0,
        expected_attach_type: prog.attach as u32,
        prog_btf_fd: 0,
        func_info_rec_size: 0,
        func_info: 0,
        func_info_cnt: 0,
        line_info_rec_size: 0,
        line_info: 0,
        line_info_cnt: 0,
        attach_btf_id: prog.attach_btf_id,
        attach_fd: prog.attach_to.map_or(0, |fd| fd.as_raw_fd() as u32),
        pad: 0,
    }
    .call_fd()
}

#[repr(C)]
struct ProgRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}
const _: () = assert!(size_of::<ProgRun>() == 80);
// SAFETY: mirrors bpf_attr.test with its tail padding; `ctx_in` points to `ctx_size_in` bytes that may be written.
unsafe impl Command for ProgRun {
    const CMD: libc::c_long = 10;
}

/// Runs a program of type [`ProgType::Syscall`] once, with `context`, which it may change. Returns its result.
pub fn run_syscall(prog: BorrowedFd<'_>, context: &mut [u8]) -> io::Result<u32> {
    let mut run = ProgRun {
        prog_fd: prog.as_raw_fd() as u32,
        retval: 0,
        data_size_in: 0,
        data_size_out: 0,
        data_in: 0,
        data_out: 0,
        repeat: 0,
        duration: 0,
        ctx_size_in: context.len() as u32,
        ctx_size_out: 0,
        ctx_in: Out::new(context).0,
        ctx_out: 0,
        flags: 0,
        cpu: 0,
        batch_size: 0,
        pad: 0,
    };
    run.call()?;
    Ok(run.retval)
}

/// One function of a kprobe-multi link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Address of the function's entry, as in `/proc/kallsyms`.
    pub address: u64,
    /// What `bpf_get_attach_cookie` returns in the program.
    pub cookie: u64,
}

#[repr(C)]
struct LinkCreateKprobeMulti<'a> {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    multi_flags: u32,
    count: u32,
    syms: u64,
    addrs: In<'a, u64>,
    cookies: In<'a, u64>,
}
const _: () = assert!(size_of::<LinkCreateKprobeMulti<'_>>() == 48);
// SAFETY: mirrors bpf_attr.link_create.kprobe_multi; the assert rules out padding; both slices have `count` elements.
unsafe impl Command for LinkCreateKprobeMulti<'_> {
    const CMD: libc::c_long = 28;
}

/// Attaches `prog` to the entry of every function in `sites`. Since Linux 5.18 with CONFIG_FPROBE.
///
/// EINVAL if one address is no traced function entry; EOPNOTSUPP without CONFIG_FPROBE.
pub fn link_kprobe_multi(prog: BorrowedFd<'_>, sites: &[Site]) -> io::Result<OwnedFd> {
    let addrs: Vec<u64> = sites.iter().map(|site| site.address).collect();
    let cookies: Vec<u64> = sites.iter().map(|site| site.cookie).collect();
    LinkCreateKprobeMulti {
        prog_fd: prog.as_raw_fd() as u32,
        target_fd: 0,
        attach_type: AttachType::TraceKprobeMulti as u32,
        flags: 0,
        multi_flags: 0,
        count: sites.len() as u32,
        syms: 0,
        addrs: In::new(&addrs),
        cookies: In::new(&cookies),
    }
    .call_fd()
}

#[repr(C)]
struct LinkCreateCookie {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    cookie: u64,
}
const _: () = assert!(size_of::<LinkCreateCookie>() == 24);
// SAFETY: mirrors bpf_attr.link_create.perf_event; no pointers.
unsafe impl Command for LinkCreateCookie {
    const CMD: libc::c_long = 28;
}

/// Attaches `prog` to an open perf event (kprobe or tracepoint). Since Linux 5.15.
pub fn link_perf_event(prog: BorrowedFd<'_>, event: BorrowedFd<'_>, cookie: u64) -> io::Result<OwnedFd> {
    LinkCreateCookie {
        prog_fd: prog.as_raw_fd() as u32,
        target_fd: event.as_raw_fd() as u32,
        attach_type: AttachType::PerfEvent as u32,
        flags: 0,
        cookie,
    }
    .call_fd()
}

#[repr(C)]
struct RawTracepointOpen<'a> {
    name: In<'a, u8>,
    prog_fd: u32,
    pad: u32,
}
const _: () = assert!(size_of::<RawTracepointOpen<'_>>() == 16);
// SAFETY: mirrors bpf_attr.raw_tracepoint before its cookie was added; `name` is NUL-terminated or null.
unsafe impl Command for RawTracepointOpen<'_> {
    const CMD: libc::c_long = 17;
}

/// Attaches `prog` to the raw tracepoint `name`; without a name, to what a [`ProgType::Tracing`] program was
/// loaded for (fentry: since Linux 5.5).
pub fn raw_tracepoint_open(prog: BorrowedFd<'_>, name: Option<&CStr>) -> io::Result<OwnedFd> {
    let name = name.map_or(In::none(), |name| In::new(name.to_bytes_with_nul()));
    RawTracepointOpen { name, prog_fd: prog.as_raw_fd() as u32, pad: 0 }.call_fd()
}

#[repr(C)]
pub(super) struct ObjGetInfo {
    pub(super) bpf_fd: u32,
    pub(super) info_len: u32,
    pub(super) info: u64,
}
const _: () = assert!(size_of::<ObjGetInfo>() == 16);
// SAFETY: mirrors bpf_attr.info; callers pass a structure of `info_len` bytes that lives over the call.
unsafe impl Command for ObjGetInfo {
    const CMD: libc::c_long = 15;
}

/// `struct bpf_prog_info` up to `verified_insns`; fields that whither does not name are left out of the interface.
#[repr(C)]
#[derive(Default)]
pub(super) struct ProgInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) tag: [u8; 8],
    pub(super) jited_prog_len: u32,
    pub(super) xlated_prog_len: u32,
    pub(super) jited_prog_insns: u64,
    pub(super) xlated_prog_insns: u64,
    pub(super) load_time: u64,
    pub(super) created_by_uid: u32,
    pub(super) nr_map_ids: u32,
    pub(super) map_ids: u64,
    pub(super) name: [u8; 16],
    pub(super) ifindex: u32,
    pub(super) gpl_compatible: u32,
    pub(super) netns_dev: u64,
    pub(super) netns_ino: u64,
    pub(super) nr_jited_ksyms: u32,
    pub(super) nr_jited_func_lens: u32,
    pub(super) jited_ksyms: u64,
    pub(super) jited_func_lens: u64,
    pub(super) btf_id: u32,
    pub(super) func_info_rec_size: u32,
    pub(super) func_info: u64,
    pub(super) nr_func_info: u32,
    pub(super) nr_line_info: u32,
    pub(super) line_info: u64,
    pub(super) jited_line_info: u64,
    pub(super) nr_jited_line_info: u32,
    pub(super) line_info_rec_size: u32,
    pub(super) jited_line_info_rec_size: u32,
    pub(super) nr_prog_tags: u32,
    pub(super) prog_tags: u64,
    pub(super) run_time_ns: u64,
    pub(super) run_cnt: u64,
    pub(super) recursion_misses: u64,
    pub(super) verified_insns: u32,
    pub(super) attach_btf_obj_id: u32,
}
const _: () = assert!(size_of::<ProgInfo>() == 224);

/// What the kernel counts for a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgStats {
    /// Id of the program.
    pub id: u32,
    /// Instructions after the verifier's rewriting, in 8-byte slots.
    pub translated_slots: u32,
    /// Size of the native code in bytes.
    pub jited_bytes: u32,
    /// Nanoseconds spent in the program; counted only while `kernel.bpf_stats_enabled` is 1.
    pub run_time_ns: u64,
    /// Number of runs; counted only while `kernel.bpf_stats_enabled` is 1.
    pub run_count: u64,
    /// Runs that the kernel skipped because a probe program was already running on that CPU. Since Linux 5.12.
    pub recursion_misses: u64,
}

/// The start of `struct bpf_link_info`, with what a perf event's link has in it.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    prog_id: u32,
    pad: u32,
    /// Of a perf event its kind, else other things.
    event: u64,
    other: u64,
    /// Of a kprobe-multi link.
    multi_missed: u64,
    other_too: u64,
    /// Of a kprobe.
    kprobe_missed: u64,
}
const _: () = assert!(size_of::<LinkInfo>() == 56);

/// How many hits the probes of `link` missed, because a probe was being handled on their CPU: what kprobes and fprobe count
/// (`nmissed`), beside what [`prog_stats`] tells. Since Linux 6.7; 0 before, and for links of other kinds.
pub fn link_missed(link: BorrowedFd<'_>) -> io::Result<u64> {
    const BPF_LINK_TYPE_PERF_EVENT: u32 = 7;
    const BPF_LINK_TYPE_KPROBE_MULTI: u32 = 8;
    const BPF_PERF_EVENT_KPROBE: u32 = 3;
    let mut info = LinkInfo::default();
    let (bpf_fd, info_len) = (link.as_raw_fd() as u32, size_of::<LinkInfo>() as u32);
    ObjGetInfo { bpf_fd, info_len, info: &raw mut info as u64 }.call()?;
    Ok(match info.kind {
        BPF_LINK_TYPE_KPROBE_MULTI => info.multi_missed,
        BPF_LINK_TYPE_PERF_EVENT if info.event as u32 == BPF_PERF_EVENT_KPROBE => info.kprobe_missed,
        _ => 0,
    })
}

#[repr(C)]
struct EnableStats {
    kind: u32,
}
// SAFETY: mirrors the anonymous structure of bpf_attr for BPF_ENABLE_STATS; no pointers.
unsafe impl Command for EnableStats {
    const CMD: libc::c_long = 32;
}

/// Lets the kernel count the run times of all programs until the descriptor is closed. Since Linux 5.8; needs CAP_SYS_ADMIN.
pub fn enable_stats() -> io::Result<OwnedFd> {
    const BPF_STATS_RUN_TIME: u32 = 0;
    EnableStats { kind: BPF_STATS_RUN_TIME }.call_fd()
}

/// Asks the kernel for the counters of `prog`.
pub fn prog_stats(prog: BorrowedFd<'_>) -> io::Result<ProgStats> {
    let mut info = ProgInfo::default();
    ObjGetInfo { bpf_fd: prog.as_raw_fd() as u32, info_len: size_of::<ProgInfo>() as u32, info: &raw mut info as u64 }
        .call()?;
    Ok(ProgStats {
        id: info.id,
        translated_slots: info.xlated_prog_len / 8,
        jited_bytes: info.jited_prog_len,
        run_time_ns: info.run_time_ns,
        run_count: info.run_cnt,
        recursion_misses: info.recursion_misses,
    })
}

#[repr(C)]
pub(super) struct GetId {
    pub(super) id: u32,
    pub(super) next_id: u32,
    pub(super) open_flags: u32,
}
const _: () = assert!(size_of::<GetId>() == 12);

#[repr(transparent)]
pub(super) struct BtfGetFdById(pub(super) GetId);
// SAFETY: mirrors the anonymous id structure of bpf_attr; no pointers.
unsafe impl Command for BtfGetFdById {
    const CMD: libc::c_long = 19;
}

#[repr(transparent)]
struct BtfGetNextId(GetId);
// SAFETY: as `BtfGetFdById`; the kernel writes `next_id`.
unsafe impl Command for BtfGetNextId {
    const CMD: libc::c_long = 23;
}

/// `struct bpf_btf_info`.
#[repr(C)]
#[derive(Default)]
struct BtfInfo {
    btf: u64,
    btf_size: u32,
    id: u32,
    name: u64,
    name_len: u32,
    kernel_btf: u32,
}
const _: () = assert!(size_of::<BtfInfo>() == 32);

#[repr(transparent)]
struct BtfGetInfo(ObjGetInfo);
// SAFETY: as `ObjGetInfo`; `btf_name` passes a structure whose `name` points to `name_len` bytes that may be written.
unsafe impl Command for BtfGetInfo {
    const CMD: libc::c_long = 15;
}

/// The type information of the loaded module `name`, as programs that are attached to its functions name it. Since Linux
/// 5.11. NotFound if no such module is loaded or it comes without types.
pub fn module_btf(name: &str) -> io::Result<OwnedFd> {
    let mut id = 0;
    loop {
        let mut next = BtfGetNextId(GetId { id, next_id: 0, open_flags: 0 });
        next.call().map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT) => io::ErrorKind::NotFound.into(),
            _ => error,
        })?;
        id = next.0.next_id;
        let fd = match (BtfGetFdById(GetId { id, next_id: 0, open_flags: 0 })).call_fd() {
            // Gone already.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            fd => fd?,
        };
        if btf_name(fd.as_fd())? == name.as_bytes() {
            return Ok(fd);
        }
    }
}

/// The name of the module that BTF belongs to, `vmlinux` for the kernel's own, empty for that of programs.
fn btf_name(btf: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut name = [0; 64];
    let mut info = BtfInfo { name: Out::new(&mut name).0, name_len: 64, ..BtfInfo::default() };
    let info_len = size_of::<BtfInfo>() as u32;
    BtfGetInfo(ObjGetInfo { bpf_fd: btf.as_raw_fd() as u32, info_len, info: &raw mut info as u64 }).call()?;
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    Ok(if info.kernel_btf == 0 { Vec::new() } else { name[..end].to_vec() })
}

/// Number of CPUs that per-CPU maps have room for: one more than the highest number in
/// `/sys/devices/system/cpu/possible` (for example `0-3` or `0,2-7`).
pub fn possible_cpus() -> io::Result<usize> {
    const FILE: &str = "/sys/devices/system/cpu/possible";
    let text =
        std::fs::read_to_string(FILE).map_err(|e| io::Error::new(e.kind(), format!("cannot read {FILE}: {e}")))?;
    let last = text.trim().rsplit([',', '-']).next().and_then(|last| last.parse::<usize>().ok());
    last.map(|last| last + 1).ok_or_else(|| io::Error::other(format!("{FILE} holds {:?}", text.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_hold_only_what_the_kernel_accepts() {
        assert_eq!(&object_name("entry-arg1"), b"entry_arg1\0\0\0\0\0\0");
        assert_eq!(&object_name("a_name_that_is_too_long"), b"a_name_that_is_\0");
    }
}
