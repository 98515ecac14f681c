//! Programs that others loaded: which there are, and what the kernel tells about them.

use super::bpf::{BtfGetFdById, Command, GetId, ObjGetInfo, ProgInfo};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

#[repr(transparent)]
struct NextProg(GetId);
// SAFETY: mirrors bpf_attr.start_id and what follows it; no pointers.
unsafe impl Command for NextProg {
    const CMD: libc::c_long = 11;
}

#[repr(transparent)]
struct OpenProg(GetId);
// SAFETY: mirrors bpf_attr.prog_id and what follows it; no pointers.
unsafe impl Command for OpenProg {
    const CMD: libc::c_long = 13;
}

/// The lowest id of a loaded program above `last`; `None` if there is none. Since Linux 4.13.
pub fn next_id(last: u32) -> io::Result<Option<u32>> {
    let mut next = NextProg(GetId { id: last, next_id: 0, open_flags: 0 });
    match next.call() {
        Ok(_) => Ok(Some(next.0.next_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The program with this id; ENOENT if it is gone.
pub fn open(id: u32) -> io::Result<OwnedFd> {
    OpenProg(GetId { id, next_id: 0, open_flags: 0 }).call_fd()
}

/// What the kernel tells about a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Its id.
    pub id: u32,
    /// `enum bpf_prog_type`.
    pub kind: u32,
    /// SHA-1 over its instructions, cut to eight bytes.
    pub tag: [u8; 8],
    /// The tag of its main function alone, which differs if it has others: the one in its symbol's name.
    pub main_tag: [u8; 8],
    /// Its name, at most 15 bytes.
    pub name: Vec<u8>,
    /// The id of its type information, 0 if it has none.
    pub btf_id: u32,
    /// The main function in that type information.
    pub main: Option<u32>,
    /// Where its main function's symbol is; 0 if addresses are hidden.
    pub address: u64,
}

/// Asks for everything about a program.
pub fn info(prog: BorrowedFd<'_>) -> io::Result<Info> {
    // `struct bpf_func_info`: offset of the function in slots, its BTF id.
    let (mut function, mut tag, mut address) = ([0u32; 2], [0u8; 8], 0u64);
    let mut info = ProgInfo {
        func_info_rec_size: size_of::<[u32; 2]>() as u32,
        nr_func_info: 1,
        func_info: &raw mut function as u64,
        nr_prog_tags: 1,
        prog_tags: &raw mut tag as u64,
        nr_jited_ksyms: 1,
        jited_ksyms: &raw mut address as u64,
        ..ProgInfo::default()
    };
    ObjGetInfo { bpf_fd: prog.as_raw_fd() as u32, info_len: size_of::<ProgInfo>() as u32, info: &raw mut info as u64 }
        .call()?;
    let end = info.name.iter().position(|&byte| byte == 0).unwrap_or(info.name.len());
    Ok(Info {
        id: info.id,
        kind: info.kind,
        tag: info.tag,
        main_tag: if info.nr_prog_tags > 0 { tag } else { info.tag },
        name: info.name[..end].to_vec(),
        btf_id: info.btf_id,
        main: (info.nr_func_info > 0).then_some(function[1]),
        address,
    })
}

/// Native code of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The code of all its functions, one after another.
    pub code: Vec<u8>,
    /// Where each of them is, and how long: address and bytes. Addresses are 0 if they are hidden.
    pub functions: Vec<(u64, u32)>,
}

/// Asks for the native code of a program; empty if it is interpreted, or if the kernel keeps it to itself.
pub fn image(prog: BorrowedFd<'_>) -> io::Result<Image> {
    let ask = |info: &mut ProgInfo| {
        let info_len = size_of::<ProgInfo>() as u32;
        ObjGetInfo { bpf_fd: prog.as_raw_fd() as u32, info_len, info: std::ptr::from_mut(info) as u64 }.call().map(drop)
    };
    let mut sizes = ProgInfo::default();
    ask(&mut sizes)?;
    let mut code = vec![0u8; sizes.jited_prog_len as usize];
    let mut addresses = vec![0u64; sizes.nr_jited_ksyms as usize];
    let mut lengths = vec![0u32; sizes.nr_jited_func_lens as usize];
    let mut info = ProgInfo {
        jited_prog_len: sizes.jited_prog_len,
        jited_prog_insns: code.as_mut_ptr() as u64,
        nr_jited_ksyms: sizes.nr_jited_ksyms,
        jited_ksyms: addresses.as_mut_ptr() as u64,
        nr_jited_func_lens: sizes.nr_jited_func_lens,
        jited_func_lens: lengths.as_mut_ptr() as u64,
        ..ProgInfo::default()
    };
    ask(&mut info)?;
    Ok(Image { code, functions: addresses.into_iter().zip(lengths).collect() })
}

/// `struct bpf_btf_info` of Linux 4.18.
#[repr(C)]
#[derive(Default)]
struct BtfInfo {
    btf: u64,
    btf_size: u32,
    id: u32,
}
const _: () = assert!(size_of::<BtfInfo>() == 16);

/// The type information with this id; ENOENT if it is gone.
pub fn btf(id: u32) -> io::Result<Vec<u8>> {
    let fd = BtfGetFdById(GetId { id, next_id: 0, open_flags: 0 }).call_fd()?;
    let ask = |info: &mut BtfInfo| {
        let info_len = size_of::<BtfInfo>() as u32;
        ObjGetInfo { bpf_fd: fd.as_raw_fd() as u32, info_len, info: std::ptr::from_mut(info) as u64 }.call().map(drop)
    };
    let mut info = BtfInfo::default();
    ask(&mut info)?;
    let mut bytes = vec![0; info.btf_size as usize];
    let mut info = BtfInfo { btf: bytes.as_mut_ptr() as u64, btf_size: info.btf_size, id: 0 };
    ask(&mut info)?;
    Ok(bytes)
}
