//! `whither types export`: the part of a kernel's types that a run looks at, to carry to a host that has none.

use crate::btf::slice::Slicer;
use crate::btf::{Btf, BtfError, Func, Kind, PointerSet, Struct, TypeId};
use crate::clean;
use crate::cli::TypesArgs;
use crate::host::survey::HostError;
use crate::host::{Roots, modules};
use crate::sys::process;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

/// Kept with all members, where the kernel has them: what programs read and what expressions begin with.
pub const WHOLE: [&str; 37] = [
    "sk_buff",
    "skb_shared_info",
    "skb_frag",
    "bio_vec",
    "page",
    "net_device",
    "possible_net_t",
    "net",
    "ns_common",
    "sock",
    "sock_common",
    "dst_entry",
    "dst_metrics",
    "xdp_buff",
    "xdp_rxq_info",
    "qdisc_skb_cb",
    "bpf_map",
    "bpf_prog",
    "ethhdr",
    "vlan_hdr",
    "iphdr",
    "ipv6hdr",
    "in6_addr",
    "tcphdr",
    "udphdr",
    "icmphdr",
    "list_head",
    "irq_stack",
    "linux_binprm",
    "__kernel_sockaddr_storage",
    "skb_drop_reason",
    "skb_drop_reason_subsys",
    "mac80211_drop_reason",
    "ovs_drop_reason",
    "qdisc_drop_reason",
    "bpf_func_id",
    "task_struct",
];

/// Why nothing was written.
#[derive(Debug)]
pub enum Error {
    /// There are no types.
    Types(HostError),
    /// They cannot be cut.
    Cut(BtfError),
    /// They are not a kernel's.
    NoKernel(String),
    /// A type that was asked for.
    NoType(String),
    /// The output is a terminal.
    Terminal,
    /// The file cannot be written.
    Write(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Types(error) => error.fmt(f),
            Error::Cut(error) => write!(f, "the types cannot be cut: {error}"),
            Error::NoKernel(label) => {
                write!(f, "{label}: these are not the types of a kernel: there is no struct sk_buff")
            }
            Error::NoType(name) => {
                write!(f, "the kernel has no struct, union, enum or typedef `{}`", name.escape_debug())
            }
            Error::Terminal => f.write_str("types are no text for a terminal: name a file with --output"),
            Error::Write(path, error) => write!(f, "{}: {error}", clean::path(path)),
        }
    }
}

impl std::error::Error for Error {}

/// Writes the slice.
pub fn run(args: &TypesArgs) -> Result<(), Error> {
    let roots = Roots::default();
    let release = roots.release();
    let found = modules::load_kernel(&roots.sys, args.kernel_btf.as_deref(), &release, None);
    let (btf, _) = found.map_err(|error| Error::Types(HostError::Btf(error)))?;
    let slice = slice(&btf, &args.names)?;
    match &args.output {
        Some(path) => std::fs::write(path, &slice).map_err(|error| Error::Write(path.clone(), error))?,
        None if io::stdout().is_terminal() => return Err(Error::Terminal),
        None => process::print(&slice).map_err(|error| Error::Write("standard output".into(), error))?,
    }
    let _ = writeln!(io::stderr(), "{} bytes, for --kernel-btf on a host with the same kernel", slice.len());
    Ok(())
}

/// The types of `btf` that runs use, and those called `names`.
fn slice(btf: &Btf, names: &[String]) -> Result<Vec<u8>, Error> {
    let mut slicer = Slicer::new(btf);
    let skb = PointerSet::to_struct(btf, "sk_buff");
    let carries = |id: TypeId| {
        let target = btf.get(id).and_then(|t| t.peel()).ok().filter(|t| t.kind() == Kind::Ptr).and_then(|t| t.target());
        skb.has_pointer(id) || target.is_some_and(|target| skb.has_pointer(target))
    };
    for function in btf.functions() {
        let found = function.proto().is_ok_and(|proto| proto.param_types().any(carries));
        if found {
            slicer.keep(0, function.id()).map_err(Error::Cut)?;
        }
    }
    for point in btf.tracepoints().filter(|point| point.args().any(|arg| skb.has_pointer(arg))) {
        slicer.keep(0, point.id()).map_err(Error::Cut)?;
    }
    // Casts need its number, which a slice changes; that it is there still tells what the kernel can do.
    if let Ok(cast) = btf.find::<Func>("bpf_rdonly_cast") {
        slicer.keep(0, cast.id()).map_err(Error::Cut)?;
    }
    if btf.find::<Struct>("sk_buff").is_err() {
        return Err(Error::NoKernel(btf.label().to_owned()));
    }
    for name in WHOLE {
        slicer.keep_named(name).map_err(Error::Cut)?;
    }
    for name in names {
        if slicer.keep_named(name).map_err(Error::Cut)? == 0 {
            return Err(Error::NoType(name.clone()));
        }
    }
    Ok(slicer.finish().map_err(Error::Cut)?.swap_remove(0))
}
