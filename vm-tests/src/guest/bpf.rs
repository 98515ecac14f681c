//! What the kernel knows about loaded BPF objects, by `bpf(2)`: to find what was left behind, to measure programs, and to
//! ask by trying whether something works here.
//!
//! Attributes and answers are arrays of 64-bit words laid out as `union bpf_attr`, `struct bpf_prog_info` and
//! `struct bpf_map_info` in `include/uapi/linux/bpf.h` on a little-endian machine.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

const MAP_CREATE: libc::c_long = 0;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const OBJ_PIN: libc::c_long = 6;
const PROG_GET_NEXT_ID: libc::c_long = 11;
const MAP_GET_NEXT_ID: libc::c_long = 12;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const MAP_GET_FD_BY_ID: libc::c_long = 14;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BTF_LOAD: libc::c_long = 18;
const LINK_CREATE: libc::c_long = 28;
const LINK_GET_NEXT_ID: libc::c_long = 31;

const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;
const PROG_TYPE_KPROBE: u64 = 2;
const PROG_TYPE_TRACING: u64 = 26;
const TRACE_FENTRY: u64 = 24;
const TRACE_KPROBE_MULTI: u64 = 42;
const MAP_TYPE_HASH: u64 = 1;
const MAP_TYPE_PROG_ARRAY: u64 = 3;
/// `r0 = 0; exit`.
const EMPTY_PROGRAM: [u64; 2] = [0xb7, 0x95];

/// A kind of BPF object with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A loaded program.
    Program,
    /// A map.
    Map,
    /// An attachment. Since Linux 5.8.
    Link,
}

/// The ids of all objects of `kind`.
pub fn ids(kind: Kind) -> io::Result<Vec<u32>> {
    let command = match kind {
        Kind::Program => PROG_GET_NEXT_ID,
        Kind::Map => MAP_GET_NEXT_ID,
        Kind::Link => LINK_GET_NEXT_ID,
    };
    let mut ids = Vec::new();
    let mut last = 0;
    loop {
        let mut attributes = [0; 16];
        attributes[0] = u64::from(last);
        match bpf(command, &mut attributes) {
            Ok(_) => {
                last = (attributes[0] >> 32) as u32;
                ids.push(last);
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(ids),
            Err(error) => return Err(error),
        }
    }
}

/// What the kernel says about a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its id.
    pub id: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Instructions after translation, eight bytes each.
    pub instructions: u32,
    /// Nanoseconds that it ran for, while `kernel.bpf_stats_enabled` was 1.
    pub run_time_ns: u64,
    /// How often it ran in that time.
    pub run_count: u64,
    /// Runs that were skipped because a program was running on that CPU. Since Linux 5.12, before that 0.
    pub recursion_misses: u64,
}

/// The program with this id; fails if it is gone.
pub fn program(id: u32) -> io::Result<Program> {
    let info = info(PROG_GET_FD_BY_ID, id)?;
    Ok(Program {
        id,
        name: text(&info[8..10]),
        instructions: (info[2] >> 32) as u32 / 8,
        run_time_ns: info[24],
        run_count: info[25],
        recursion_misses: info[26],
    })
}

/// The name of the map with this id; fails if it is gone.
pub fn map_name(id: u32) -> io::Result<String> {
    Ok(text(&info(MAP_GET_FD_BY_ID, id)?[3..5]))
}

/// Attaches a program that does nothing to the functions at all `addresses` at once. Since Linux 5.18, with `CONFIG_FPROBE`. It stays until
/// the descriptors are closed.
pub fn link_kprobe_multi(addresses: &[u64]) -> io::Result<Vec<OwnedFd>> {
    let program = load_empty(PROG_TYPE_KPROBE, TRACE_KPROBE_MULTI, 0)?;
    let mut link = [0; 16];
    link[0] = program.as_raw_fd() as u64;
    link[1] = TRACE_KPROBE_MULTI;
    link[2] = (addresses.len() as u64) << 32;
    link[4] = addresses.as_ptr() as u64;
    let link = descriptor(bpf(LINK_CREATE, &mut link)?);
    Ok(vec![program, link])
}

/// Attaches a program that does nothing to the function that is `type_id` in the kernel's types, by a trampoline. Since
/// Linux 5.5. It stays until the descriptors are closed.
pub fn attach_fentry(type_id: u32) -> io::Result<Vec<OwnedFd>> {
    let program = load_empty(PROG_TYPE_TRACING, TRACE_FENTRY, type_id)?;
    let mut open = [0; 16];
    open[1] = program.as_raw_fd() as u64;
    let link = descriptor(bpf(RAW_TRACEPOINT_OPEN, &mut open)?);
    Ok(vec![program, link])
}

/// Attaches a program that does nothing to `functions`, one kprobe each; functions that refuse are left out. The first
/// descriptor is the program's, each other one a kprobe's.
pub fn open_kprobes(functions: &[CString]) -> io::Result<Vec<OwnedFd>> {
    let kind = std::fs::read_to_string("/sys/bus/event_source/devices/kprobe/type")?;
    let kind: u64 = kind.trim().parse().map_err(io::Error::other)?;
    let program = load_empty(PROG_TYPE_KPROBE, 0, 0)?;
    let mut open = vec![program];
    for name in functions {
        // struct perf_event_attr, its 72 bytes of version 1: type and size, config, ..., config1, config2.
        let mut attributes = [0u64; 9];
        attributes[0] = kind | (size_of_val(&attributes) as u64) << 32;
        attributes[7] = name.as_ptr() as u64;
        let arguments = (attributes.as_mut_ptr(), -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
        // SAFETY: the attributes are as long as their size says; config1 is the address of a string that outlives the call.
        let result = unsafe {
            libc::syscall(libc::SYS_perf_event_open, arguments.0, arguments.1, arguments.2, arguments.3, arguments.4)
        };
        if result < 0 {
            continue;
        }
        let event = descriptor(result);
        for (request, argument) in [(PERF_EVENT_IOC_SET_BPF, open[0].as_raw_fd()), (PERF_EVENT_IOC_ENABLE, 0)] {
            // SAFETY: both requests take a number, not an address.
            if unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        open.push(event);
    }
    Ok(open)
}

/// A kind of program that works on packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packets {
    /// `BPF_PROG_TYPE_SCHED_CLS`.
    Tc = 3,
    /// `BPF_PROG_TYPE_XDP`.
    Xdp = 6,
}

/// `r0 = value; exit`.
pub fn returns(value: u32) -> Vec<u64> {
    vec![0xb7 | u64::from(value) << 32, 0x95]
}

/// Goes on with the first program of `array` instead of returning; returns `value` if there is none.
pub fn tail_call(array: &OwnedFd, value: u32) -> Vec<u64> {
    let map = array.as_raw_fd() as u64;
    let mut code = vec![0x1218 | map << 32, 0, 0x3b7, 0x85 | 12 << 32];
    code.extend(returns(value));
    code
}

/// One instruction: `opcode`, registers, offset and constant, as `struct bpf_insn` has them.
pub fn instruction(opcode: u8, target: u8, source: u8, offset: i16, constant: i32) -> u64 {
    let registers = u64::from(target | source << 4);
    u64::from(opcode) | registers << 8 | u64::from(offset as u16) << 16 | u64::from(constant as u32) << 32
}

/// Puts an entry into the hash table `map`, looks for it, deletes it, looks for it again and returns `value`. The key is
/// 0x44332211, the entry `size` bytes (a multiple of 4) of which the first are 0x88776655.
pub fn uses_map(map: &OwnedFd, size: i16, value: u32) -> Vec<u64> {
    let (key, entry) = (-4, -8 - (size + 7) / 8 * 8);
    let mut code = vec![instruction(0x62, 10, 0, key, 0x4433_2211)];
    code.extend((0..size).step_by(4).map(|at| instruction(0x62, 10, 0, entry + at, 0)));
    code.push(instruction(0x62, 10, 0, entry, 0x8877_6655_u32 as i32));
    let address =
        |register, at: i16| [instruction(0xbf, register, 10, 0, 0), instruction(0x07, register, 0, 0, at.into())];
    for helper in [2, 1, 3, 1] {
        code.extend([instruction(0x18, 1, 1, 0, map.as_raw_fd()), 0]);
        code.extend(address(2, key));
        if helper == 2 {
            code.extend(address(3, entry));
            code.push(instruction(0xb7, 4, 0, 0, 0));
        }
        code.push(instruction(0x85, 0, 0, 0, helper));
    }
    code.extend(returns(value));
    code
}

/// Loads a program. With `typed` it has type information, as that of a compiler: a function of its name.
pub fn load(kind: Packets, name: &str, code: &[u64], typed: bool) -> io::Result<OwnedFd> {
    let mut load = [0; 16];
    load[0] = kind as u64 | (code.len() as u64) << 32;
    load[1] = code.as_ptr() as u64;
    load[2] = c"GPL".as_ptr() as u64;
    let mut short = [0; 16];
    let length = name.len().min(15);
    short[..length].copy_from_slice(&name.as_bytes()[..length]);
    load[6] = u64::from_le_bytes(*short.first_chunk().unwrap_or(&[0; 8]));
    load[7] = u64::from_le_bytes(*short.last_chunk().unwrap_or(&[0; 8]));
    // struct bpf_func_info: the function starts at instruction 0 and is type 3.
    let functions = [0u32, 3];
    if !typed {
        return made(PROG_LOAD, &mut load);
    }
    let types = types(kind, name);
    let mut attributes = [0; 16];
    attributes[0] = types.as_ptr() as u64;
    attributes[2] = types.len() as u64;
    let types = descriptor(bpf(BTF_LOAD, &mut attributes)?);
    load[9] = types.as_raw_fd() as u64 | (size_of_val(&functions) as u64) << 32;
    load[10] = functions.as_ptr() as u64;
    load[11] = 1;
    made(PROG_LOAD, &mut load)
}

/// BTF with `int NAME(struct CONTEXT *ctx)`, which is type 3.
fn types(kind: Packets, name: &str) -> Vec<u8> {
    let context = match kind {
        Packets::Tc => "__sk_buff",
        Packets::Xdp => "xdp_md",
    };
    let mut strings = vec![0];
    let mut string = |text: &str| {
        let at = strings.len() as u32;
        strings.extend_from_slice(text.as_bytes());
        strings.push(0);
        at
    };
    const INT: u32 = 1 << 24;
    const PTR: u32 = 2 << 24;
    const STRUCT: u32 = 4 << 24;
    const FUNC: u32 = 12 << 24;
    const FUNC_PROTO: u32 = 13 << 24;
    let types = [
        // 1: int, 4 bytes, signed, 32 bits.
        vec![string("int"), INT, 4, 1 << 24 | 32],
        // 2: one parameter of type 5, returns type 1.
        vec![0, FUNC_PROTO | 1, 1, string("ctx"), 5],
        // 3: a global function of type 2.
        vec![string(name), FUNC | 1, 2],
        vec![string(context), STRUCT, 4],
        vec![0, PTR, 4],
    ];
    let types: Vec<u8> = types.concat().into_iter().flat_map(u32::to_le_bytes).collect();
    let mut blob = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
        blob.extend(u32::to_le_bytes(word));
    }
    blob.extend(types);
    blob.extend(strings);
    blob
}

/// The id of a program.
pub fn id_of(program: &OwnedFd) -> io::Result<u32> {
    Ok((info_of(program)?[0] >> 32) as u32)
}

/// A map of programs for [`tail_call`], with room for one.
pub fn program_array() -> io::Result<OwnedFd> {
    let mut create = [0; 16];
    create[0] = MAP_TYPE_PROG_ARRAY | 4 << 32;
    create[1] = 4 | 1 << 32;
    made(MAP_CREATE, &mut create)
}

/// A hash table with room for 16 entries; sizes in bytes.
pub fn hash_map(name: &str, key: u32, value: u32) -> io::Result<OwnedFd> {
    let mut short = [0; 20];
    short[4..4 + name.len().min(15)].copy_from_slice(&name.as_bytes()[..name.len().min(15)]);
    let word = |at: usize| short[at..].iter().take(8).rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let mut create = [0; 16];
    create[0] = MAP_TYPE_HASH | u64::from(key) << 32;
    create[1] = u64::from(value) | 16 << 32;
    create[3..6].copy_from_slice(&[word(0), word(8), word(16)]);
    made(MAP_CREATE, &mut create)
}

/// Puts `program` into an array.
pub fn put(array: &OwnedFd, program: &OwnedFd) -> io::Result<()> {
    let (key, value) = (0u32, program.as_raw_fd());
    let mut update = [0; 16];
    update[0] = array.as_raw_fd() as u64;
    update[1] = &raw const key as u64;
    update[2] = &raw const value as u64;
    bpf(MAP_UPDATE_ELEM, &mut update).map(drop)
}

/// Gives a program or map a name in a file system of type `bpf`.
pub fn pin(object: &OwnedFd, path: &str) -> io::Result<()> {
    let path = CString::new(path)?;
    let mut pin = [0; 16];
    pin[0] = path.as_ptr() as u64;
    pin[1] = object.as_raw_fd() as u64;
    bpf(OBJ_PIN, &mut pin).map(drop)
}

/// Attaches a tc program to an interface by tcx, incoming or outgoing. Since Linux 6.6. Ends when the result is closed.
pub fn attach_tcx(program: &OwnedFd, ifindex: u32, incoming: bool) -> io::Result<OwnedFd> {
    let mut link = [0; 16];
    link[0] = program.as_raw_fd() as u64 | u64::from(ifindex) << 32;
    link[1] = if incoming { 46 } else { 47 };
    Ok(descriptor(bpf(LINK_CREATE, &mut link)?))
}

/// A new program or map. Kernels before 5.11 count it as locked memory of the user, who may have a lot of that from processes
/// that ended just now. The limit is lifted meanwhile only: what is started later has to lift its own.
fn made(command: libc::c_long, attributes: &mut [u64; 16]) -> io::Result<OwnedFd> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)?;
    let result = bpf(command, attributes);
    setrlimit(Resource::RLIMIT_MEMLOCK, soft, hard)?;
    Ok(descriptor(result?))
}

fn load_empty(kind: u64, attach: u64, attach_to: u32) -> io::Result<OwnedFd> {
    let mut load = [0; 16];
    load[0] = kind | (EMPTY_PROGRAM.len() as u64) << 32;
    load[1] = EMPTY_PROGRAM.as_ptr() as u64;
    load[2] = c"GPL".as_ptr() as u64;
    load[8] = attach << 32;
    load[13] = u64::from(attach_to) << 32;
    made(PROG_LOAD, &mut load)
}

fn info(open: libc::c_long, id: u32) -> io::Result<[u64; 29]> {
    let mut attributes = [0; 16];
    attributes[0] = u64::from(id);
    info_of(&descriptor(bpf(open, &mut attributes)?))
}

fn info_of(object: &OwnedFd) -> io::Result<[u64; 29]> {
    // A kernel that knows fewer fields accepts zeros behind them, one that knows more fills as many as there is room for.
    let mut info = [0; 29];
    let mut attributes = [0; 16];
    attributes[0] = object.as_raw_fd() as u64 | (size_of_val(&info) as u64) << 32;
    attributes[1] = info.as_mut_ptr() as u64;
    bpf(OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(info)
}

fn text(words: &[u64]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8(bytes).unwrap_or_default()
}

/// Callers put only addresses of live values into `attributes`.
fn bpf(command: libc::c_long, attributes: &mut [u64; 16]) -> io::Result<libc::c_long> {
    let size = size_of_val(attributes);
    // SAFETY: `attributes` is `size` readable and writable bytes; the addresses in it, all made in this file, are those of
    // values that outlive the call and are as long as the command's lengths say.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn descriptor(number: libc::c_long) -> OwnedFd {
    // SAFETY: `number` is the descriptor that a successful system call just returned, and nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(number as i32) }
}
