//! File capabilities, for programs that are started by a user without privileges.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;

/// `struct vfs_cap_data`, revision 2, all of them effective.
const MAGIC: u32 = 0x0200_0001;

/// Gives `capabilities` (their numbers) to whoever executes `file`.
pub fn set_file_capabilities(file: &str, capabilities: &[u8]) -> io::Result<()> {
    let bits = capabilities.iter().fold(0u64, |bits, capability| bits | 1 << capability);
    let words = [MAGIC, bits as u32, 0, (bits >> 32) as u32, 0];
    let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let file = CString::new(file)?;
    // SAFETY: the strings end with NUL, the value is as long as is said, and all live over the call.
    let result = unsafe {
        libc::setxattr(file.as_ptr(), c"security.capability".as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
