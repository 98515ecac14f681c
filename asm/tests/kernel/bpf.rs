//! The few commands of bpf(2) that the tests need (`include/uapi/linux/bpf.h`).
#![allow(unsafe_code)] // The system call itself; nothing outside this file is unsafe.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub const MAP_TYPE_ARRAY: u32 = 2;
pub const MAP_TYPE_ARENA: u32 = 33;
pub const PROG_TYPE_SOCKET_FILTER: u32 = 1;
pub const PROG_TYPE_SYSCALL: u32 = 31;

const MAP_CREATE: libc::c_int = 0;
const PROG_LOAD: libc::c_int = 5;
const PROG_TEST_RUN: libc::c_int = 10;
const BTF_LOAD: libc::c_int = 18;
const F_SLEEPABLE: u32 = 1 << 4;
const F_MMAPABLE: u32 = 1 << 10;

/// Start of `bpf_attr` for BPF_MAP_CREATE, up to `map_extra`.
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
    map_ifindex: u32,
    btf_fd: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
    btf_vmlinux_value_type_id: u32,
    map_extra: u64,
}

/// Start of `bpf_attr` for BPF_PROG_LOAD, up to `fd_array`.
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
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
    attach_prog_fd: u32,
    core_relo_cnt: u32,
    fd_array: u64,
}

/// Start of `bpf_attr` for BPF_BTF_LOAD.
#[repr(C)]
struct BtfLoad {
    btf: u64,
    log_buf: u64,
    btf_size: u32,
    log_size: u32,
    log_level: u32,
    log_true_size: u32,
}

/// Start of `bpf_attr` for BPF_PROG_TEST_RUN.
#[repr(C)]
struct TestRun {
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
}

const _: () = assert!(size_of::<MapCreate>() == 72);
const _: () = assert!(size_of::<ProgLoad>() == 128);
const _: () = assert!(size_of::<BtfLoad>() == 32);
const _: () = assert!(size_of::<TestRun>() == 64);

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `T` is one of the structs above, whose layout is the kernel's and has no padding; the kernel reads and
    // writes no more than the size that it is given, and the callers keep what the pointers in it refer to alive.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn descriptor(result: libc::c_long) -> OwnedFd {
    let fd = i32::try_from(result).expect("a descriptor fits into an int");
    // SAFETY: the command that gave the number made the descriptor for us; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// An array of one value, or an arena of one page.
pub fn map(map_type: u32, value_size: u32) -> io::Result<OwnedFd> {
    let arena = map_type == MAP_TYPE_ARENA;
    let mut attributes = MapCreate {
        map_type,
        key_size: if arena { 0 } else { 4 },
        value_size: if arena { 0 } else { value_size },
        max_entries: 1,
        map_flags: if arena { F_MMAPABLE } else { 0 },
        inner_map_fd: 0,
        numa_node: 0,
        map_name: [0; 16],
        map_ifindex: 0,
        btf_fd: 0,
        btf_key_type_id: 0,
        btf_value_type_id: 0,
        btf_vmlinux_value_type_id: 0,
        // Where an arena would be in the memory of this process; nothing is mapped there.
        map_extra: if arena { 0x1000_0000_0000 } else { 0 },
    };
    bpf(MAP_CREATE, &mut attributes).map(descriptor)
}

/// Types of a program's functions.
pub fn btf(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut attributes = BtfLoad {
        btf: bytes.as_ptr() as u64,
        log_buf: 0,
        btf_size: bytes.len() as u32,
        log_size: 0,
        log_level: 0,
        log_true_size: 0,
    };
    bpf(BTF_LOAD, &mut attributes).map(descriptor)
}

/// A program to be loaded.
#[derive(Clone, Copy)]
pub struct Blueprint<'a> {
    pub prog_type: u32,
    pub slots: &'a [u64],
    /// What instructions refer to by index.
    pub maps: &'a [&'a OwnedFd],
    /// Types, and for each subprogram its first slot and the id of its type.
    pub functions: Option<(&'a OwnedFd, &'a [[u32; 2]])>,
}

impl<'a> Blueprint<'a> {
    /// A program of type SYSCALL that needs nothing.
    pub fn new(slots: &'a [u64]) -> Blueprint<'a> {
        Blueprint { prog_type: PROG_TYPE_SYSCALL, slots, maps: &[], functions: None }
    }
}

/// A refusal, or an acceptance, with what the verifier wrote.
pub struct Loaded {
    pub program: io::Result<OwnedFd>,
    pub log: String,
}

/// Loads a program. `log_level` is 0 for no log, 2 for every instruction that is looked at.
pub fn load(blueprint: Blueprint<'_>, log_level: u32) -> Loaded {
    let Blueprint { prog_type, slots, maps, functions } = blueprint;
    let license = CString::new("Dual MIT/GPL").expect("there is no zero byte in it");
    let fds: Vec<i32> = maps.iter().map(|map| map.as_raw_fd()).collect();
    let mut log = vec![0_u8; if log_level == 0 { 0 } else { 16 << 20 }];
    let mut attributes = ProgLoad {
        prog_type,
        insn_cnt: u32::try_from(slots.len()).expect("a short program"),
        insns: slots.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level,
        log_size: log.len() as u32,
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        kern_version: 0,
        prog_flags: if prog_type == PROG_TYPE_SYSCALL { F_SLEEPABLE } else { 0 },
        prog_name: *b"asm_test\0\0\0\0\0\0\0\0",
        prog_ifindex: 0,
        expected_attach_type: 0,
        prog_btf_fd: functions.map_or(0, |(types, _)| types.as_raw_fd().cast_unsigned()),
        func_info_rec_size: functions.map_or(0, |_| size_of::<[u32; 2]>() as u32),
        func_info: functions.map_or(0, |(_, infos)| infos.as_ptr() as u64),
        func_info_cnt: functions.map_or(0, |(_, infos)| infos.len() as u32),
        line_info_rec_size: 0,
        line_info: 0,
        line_info_cnt: 0,
        attach_btf_id: 0,
        attach_prog_fd: 0,
        core_relo_cnt: 0,
        fd_array: fds.as_ptr() as u64,
    };
    let program = bpf(PROG_LOAD, &mut attributes).map(descriptor);
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    Loaded { program, log: String::from_utf8_lossy(&log[..end]).into_owned() }
}

/// Runs a program of type SYSCALL once on `context`, which it may change. Linux 5.14.
pub fn run(program: &OwnedFd, context: &mut [u8]) -> io::Result<u32> {
    let mut attributes = TestRun {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        retval: 0,
        data_size_in: 0,
        data_size_out: 0,
        data_in: 0,
        data_out: 0,
        repeat: 0,
        duration: 0,
        ctx_size_in: context.len() as u32,
        ctx_size_out: 0,
        ctx_in: context.as_mut_ptr() as u64,
        ctx_out: 0,
    };
    bpf(PROG_TEST_RUN, &mut attributes)?;
    Ok(attributes.retval)
}

/// Whether this process may load programs; else why not.
pub fn permitted() -> Result<(), String> {
    let exit = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];
    match load(Blueprint::new(&exit), 0).program {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
