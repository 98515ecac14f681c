//! libpcap's compiler in this process, where the time of a call counts. Opened at run time, linked to nothing.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

use filter_compiler::cbpf::{Insn, Program};

use super::oracle;
use super::packets::Link;

/// The functions that are used, and two handles without a device.
pub struct Libpcap {
    compile: Compile,
    free: unsafe extern "C" fn(*mut BpfProgram),
    error: unsafe extern "C" fn(*mut c_void) -> *mut c_char,
    ethernet: *mut c_void,
    raw: *mut c_void,
}

type Compile = unsafe extern "C" fn(*mut c_void, *mut BpfProgram, *const c_char, c_int, c_uint) -> c_int;

#[repr(C)]
struct BpfProgram {
    len: c_uint,
    insns: *mut Insn,
}

const SNAPLEN: c_int = 262_144;
const DLT_EN10MB: c_int = 1;
const DLT_RAW: c_int = 12;
const NETMASK_UNKNOWN: c_uint = c_uint::MAX;

impl Libpcap {
    /// Opens the shared library; `None` if the tests were asked to do without. Panics if there is none, with the command to
    /// install it.
    pub fn for_tests() -> Option<Libpcap> {
        let missing =
            "there is no libpcap.so.0.8: apt-get install libpcap0.8 (or set WHITHER_NO_ORACLE=1 to leave it out)";
        (!oracle::is_left_out()).then(|| Libpcap::open().expect(missing))
    }

    /// Opens the shared library, if there is one.
    pub fn open() -> Option<Libpcap> {
        let symbol = |library, name: &CStr| {
            // SAFETY: the library is open and the name ends with a zero.
            let address = unsafe { libc::dlsym(library, name.as_ptr()) };
            (!address.is_null()).then_some(address)
        };
        // SAFETY: the name ends with a zero; libpcap's initialisers have no preconditions.
        let library = unsafe { libc::dlopen(c"libpcap.so.0.8".as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            return None;
        }
        // SAFETY: these are the prototypes in pcap/pcap.h; the library is never closed.
        unsafe {
            let open_dead: unsafe extern "C" fn(c_int, c_int) -> *mut c_void =
                std::mem::transmute(symbol(library, c"pcap_open_dead")?);
            Some(Libpcap {
                compile: std::mem::transmute::<*mut c_void, Compile>(symbol(library, c"pcap_compile")?),
                free: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut BpfProgram)>(symbol(
                    library,
                    c"pcap_freecode",
                )?),
                error: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void) -> *mut c_char>(symbol(
                    library,
                    c"pcap_geterr",
                )?),
                ethernet: open_dead(DLT_EN10MB, SNAPLEN),
                raw: open_dead(DLT_RAW, SNAPLEN),
            })
        }
    }

    /// `pcap_compile()` with optimisation.
    pub fn compile(&self, expression: &str, link: Link) -> Result<Program, String> {
        let handle = if link == Link::Ethernet { self.ethernet } else { self.raw };
        let text = CString::new(expression).map_err(|error| error.to_string())?;
        let mut program = BpfProgram { len: 0, insns: std::ptr::null_mut() };
        // SAFETY: the handle is open, the text ends with a zero, and the program is an out parameter. After success it
        // holds `len` instructions, which are copied before they are freed.
        unsafe {
            if (self.compile)(handle, &mut program, text.as_ptr(), 1, NETMASK_UNKNOWN) != 0 {
                return Err(CStr::from_ptr((self.error)(handle)).to_string_lossy().into_owned());
            }
            let insns = std::slice::from_raw_parts(program.insns, program.len as usize).to_vec();
            (self.free)(&mut program);
            Ok(Program(insns))
        }
    }
}
