//! Maps that others made, as far as they hold programs.

use super::bpf::{self, Command, GetId, ObjGetInfo};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

#[repr(transparent)]
struct NextMap(GetId);
// SAFETY: mirrors bpf_attr.start_id and what follows it; no pointers.
unsafe impl Command for NextMap {
    const CMD: libc::c_long = 12;
}

#[repr(transparent)]
struct OpenMap(GetId);
// SAFETY: mirrors bpf_attr.map_id and what follows it; no pointers.
unsafe impl Command for OpenMap {
    const CMD: libc::c_long = 14;
}

/// `struct bpf_map_info` of Linux 4.15.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    name: [u8; 16],
}
const _: () = assert!(size_of::<MapInfo>() == 40);

/// `BPF_MAP_TYPE_PROG_ARRAY`.
const PROG_ARRAY: u32 = 3;

/// The lowest id of a map above `last`; `None` if there is none. Since Linux 4.13; needs CAP_SYS_ADMIN.
pub fn next_id(last: u32) -> io::Result<Option<u32>> {
    let mut next = NextMap(GetId { id: last, next_id: 0, open_flags: 0 });
    match next.call() {
        Ok(_) => Ok(Some(next.0.next_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The map with this id; ENOENT if it is gone.
pub fn open(id: u32) -> io::Result<OwnedFd> {
    OpenMap(GetId { id, next_id: 0, open_flags: 0 }).call_fd()
}

/// How many programs there is room for, and the map's name, at most 15 bytes; `None` if it holds something else.
pub fn info(map: BorrowedFd<'_>) -> io::Result<Option<(u32, Vec<u8>)>> {
    let mut info = MapInfo::default();
    ObjGetInfo { bpf_fd: map.as_raw_fd() as u32, info_len: size_of::<MapInfo>() as u32, info: &raw mut info as u64 }
        .call()?;
    let end = info.name.iter().position(|&byte| byte == 0).unwrap_or(info.name.len());
    Ok((info.kind == PROG_ARRAY).then(|| (info.max_entries, info.name[..end].to_vec())))
}

/// The id of the program at this place; `None` if there is none.
pub fn element(map: BorrowedFd<'_>, place: u32) -> io::Result<Option<u32>> {
    let mut id = [0; 4];
    match bpf::map_lookup(map, place, &mut id) {
        Ok(()) => Ok(Some(u32::from_ne_bytes(id))),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
