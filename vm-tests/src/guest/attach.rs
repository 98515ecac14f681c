//! The floor of every measurement: an empty program on the same functions.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;

use nix::sys::resource::{Resource, setrlimit};

use super::bpf;
use crate::error::{Context, Result};

/// An empty program that runs at every one of some functions, until this is dropped.
pub struct Empty {
    /// Its id, for [`bpf::program`].
    pub id: u32,
    /// To how many functions it is attached.
    pub functions: usize,
    /// Whether by kprobe-multi.
    pub multi: bool,
    _open: Vec<OwnedFd>,
}

impl Empty {
    /// Attaches to `functions` through kprobe-multi where it works, else one by one; what refuses is left out.
    pub fn attach(functions: &[String]) -> Result<Self> {
        let before = bpf::ids(bpf::Kind::Program)?;
        let addresses = addresses(functions);
        let (open, functions, multi) = match bpf::link_kprobe_multi(&addresses) {
            Ok(open) => (open, addresses.len(), true),
            Err(_) => {
                // One descriptor each.
                setrlimit(Resource::RLIMIT_NOFILE, 65536, 65536).context("the limit of open files")?;
                let names: Vec<CString> =
                    functions.iter().filter_map(|name| CString::new(name.as_str()).ok()).collect();
                let open = bpf::open_kprobes(&names).context("kprobes")?;
                let count = open.len() - 1;
                (open, count, false)
            }
        };
        let now = bpf::ids(bpf::Kind::Program)?;
        let id = now.into_iter().find(|id| !before.contains(id)).ok_or("the empty program has no id")?;
        Ok(Self { id, functions, multi, _open: open })
    }
}

/// Where the traceable functions with these names are; several can have one name. Since Linux 6.5, before that nothing.
fn addresses(functions: &[String]) -> Vec<u64> {
    let wanted: HashSet<&str> = functions.iter().map(String::as_str).collect();
    let listed = fs::read_to_string("/sys/kernel/tracing/available_filter_functions_addrs").unwrap_or_default();
    let pairs = listed.lines().filter_map(|line| line.split_once(' '));
    pairs.filter(|(_, name)| wanted.contains(name)).filter_map(|(at, _)| u64::from_str_radix(at, 16).ok()).collect()
}
