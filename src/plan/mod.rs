//! Everything that is decided before the kernel is touched: what is traced, how, and what is sent.

pub mod fields;
pub mod kernel;
pub mod make;
pub mod maps;
pub mod shrink;
pub mod targets;
pub mod track;

use crate::btf::PathError;
pub use crate::cli::{Backend, Mark};
use crate::record::{Field, Identity, Layout};
use fields::Fields;
use filter_compiler::Graph;
use kernel::Kernel;
use maps::Maps;
use std::fmt;
pub use targets::Target;
use track::Tracking;

/// What will be traced and how. A pure function of the command line and the host.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The way in.
    pub backend: Backend,
    /// How programs read kernel memory.
    pub memory: Memory,
    /// How records reach user space.
    pub transport: Transport,
    /// The functions; a function's index here is its identity in records.
    pub targets: Vec<Target>,
    /// Where kprobes are the way in: indices of the functions that go by fentry if the kernel lets them, for a hit costs a
    /// packet less there.
    pub trampolines: Vec<u32>,
    /// What a packet must pass.
    pub filters: Filters,
    /// What follows a packet that matched once.
    pub tracking: Option<Tracking>,
    /// What is shown of BPF maps.
    pub maps: Option<Maps>,
    /// The user's expressions about skbs.
    pub skb: Fields,
    /// The user's expressions about XDP buffers.
    pub xdp: Fields,
    /// How many packets are followed in user space, where that is where they match ([`Memory::Direct`]).
    pub follow_late: Option<u32>,
    /// The fields of a record.
    pub layout: Layout,
    /// Where the members of kernel structures lie.
    pub kernel: Kernel,
}

/// How programs read kernel memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Plain loads after `bpf_rdonly_cast`, the function with this BTF id (Linux 6.2).
    Cast {
        /// BTF id of `bpf_rdonly_cast`.
        kfunc: u32,
        /// Whether `bpf_probe_read_kernel` works, too, which copies many bytes faster. Not under
        /// lockdown=confidentiality.
        helper: bool,
    },
    /// Plain loads: the verifier knows the type of the skb and of what it points to (fentry, `tp_btf`). The bytes of
    /// the packet cannot be loaded; `bpf_skb_output` (Linux 5.5) appends them to the record.
    Direct,
    /// `bpf_probe_read_kernel` (Linux 5.5).
    Read,
    /// Plain loads where the verifier knows the type, [`Memory::Read`] for the rest: in fentry programs.
    Typed,
}

impl Memory {
    /// How fentry programs read where those of kprobes read so.
    fn by_fentry(self) -> Memory {
        if self == Memory::Read { Memory::Typed } else { self }
    }

    /// How what lies behind a mere number is read.
    pub fn untyped(self) -> Memory {
        if self == Memory::Typed { Memory::Read } else { self }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Memory::Cast { kfunc, .. } => write!(f, "bpf_rdonly_cast, BTF id {kfunc}"),
            Memory::Direct => f.write_str("typed loads"),
            Memory::Read => f.write_str("bpf_probe_read_kernel"),
            Memory::Typed => f.write_str("typed loads, bpf_probe_read_kernel"),
        }
    }
}

/// How records reach user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A ring buffer for all CPUs (Linux 5.8).
    Ring {
        /// Size: a power of two, a multiple of the page size.
        bytes: u32,
    },
    /// A perf buffer for each CPU. Records of different CPUs come out of order.
    Perf {
        /// Size for each CPU: a power of two, a multiple of the page size.
        bytes: u32,
        /// How many CPUs there may be.
        cpus: u32,
    },
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transport::Ring { bytes } => write!(f, "ring buffer of {bytes} bytes"),
            Transport::Perf { bytes, cpus } => write!(f, "perf buffers of {bytes} bytes for each of {cpus} CPUs"),
        }
    }
}

/// What a packet must pass.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// `--filter-mark`.
    pub mark: Option<Mark>,
    /// `--filter-netns`: inode number of the network namespace.
    pub netns: Option<u32>,
    /// `--filter-ifname`: index of the interface.
    pub ifindex: Option<u32>,
    /// The pcap expression, for packets with an Ethernet header.
    pub packet: Option<Graph>,
    /// `--filter-tunnel-pcap-l2`: the expression about the frame inside a tunnel.
    pub inner_link: Option<Graph>,
    /// `--filter-tunnel-pcap-l3`: the expression about the packet inside a tunnel, without a link header.
    pub inner_network: Option<Graph>,
}

impl Filters {
    /// Whether every packet passes.
    pub fn is_empty(&self) -> bool {
        let is_unmarked = self.mark.is_none() && self.netns.is_none() && self.ifindex.is_none();
        is_unmarked && self.packet.is_none() && self.inner_link.is_none() && self.inner_network.is_none()
    }
}

/// What the columns of this run need from the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Columns {
    /// Time of the event.
    pub time: bool,
    /// Network namespace, mark, interface, protocol, MTU, length.
    pub meta: bool,
    /// Network namespace, even without the columns around it.
    pub netns: bool,
    /// Addresses and ports.
    pub tuple: bool,
    /// `__sk_buff->cb[]`.
    pub cb: bool,
    /// The caller of the function.
    pub caller: bool,
    /// Whether the caller must be looked for on the stack: the function's registers are not known.
    pub frames: bool,
    /// The kernel stack.
    pub stack: bool,
    /// Addresses and ports inside a tunnel.
    pub tunnel: bool,
    /// Drop reasons: some target has one.
    pub reason: bool,
    /// The packet comes behind the record.
    pub appended: bool,
}

impl Columns {
    /// The layout of the records that carry these columns.
    pub fn layout(self, identity: Identity) -> Layout {
        let mut fields = vec![Field::Comm];
        let mut want = |wanted: bool, more: &[Field]| {
            if wanted {
                fields.extend_from_slice(more);
            }
        };
        want(self.time, &[Field::Time]);
        want(self.meta, &[Field::Netns, Field::Mark, Field::Ifindex, Field::Len, Field::Mtu, Field::Protocol]);
        want(self.netns, &[Field::Netns]);
        // The tuple of an ARP or VLAN packet is told by the protocol.
        want(self.tuple, &[Field::Protocol, Field::Headers]);
        want(self.cb, &[Field::Cb]);
        want(self.caller, &[Field::Caller]);
        want(self.stack, &[Field::Stack, Field::StackLen]);
        want(self.caller && self.frames && !self.stack, &[Field::Frames]);
        want(self.tunnel, &[Field::InnerHeaders, Field::InnerLen]);
        want(self.reason, &[Field::Reason]);
        want(self.appended, &[Field::Place, Field::Len, Field::Ifindex, Field::Protocol]);
        Layout::new(&fields, identity)
    }
}

impl Plan {
    /// The indices of the targets that `wanted` holds for.
    pub fn targets_where(&self, wanted: impl Fn(&Target) -> bool) -> Vec<u32> {
        (0u32..).zip(&self.targets).filter(|(_, target)| wanted(target)).map(|(index, _)| index).collect()
    }
}

impl Plan {
    /// The same for [`Plan::trampolines`].
    pub fn by_fentry(&self) -> Plan {
        Plan { backend: Backend::Fentry, memory: self.memory.by_fentry(), ..self.clone() }
    }

    /// How many places are probed: more than functions where static functions share a name.
    pub fn places(&self) -> usize {
        self.targets.iter().map(|target| target.addresses.len().max(1)).sum()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "backend  {}", self.backend)?;
        writeln!(f, "memory   {}", self.memory)?;
        if !self.trampolines.is_empty() {
            writeln!(f, "fentry   memory by {}", self.memory.by_fentry())?;
        }
        writeln!(f, "records  {}", self.transport)?;
        if let Some(Mark { value, mask }) = self.filters.mark {
            writeln!(f, "filter   mark & {mask:#x} == {value:#x}")?;
        }
        if let Some(netns) = self.filters.netns {
            writeln!(f, "filter   netns {netns}")?;
        }
        if let Some(ifindex) = self.filters.ifindex {
            writeln!(f, "filter   ifindex {ifindex}")?;
        }
        let Filters { packet, inner_link, inner_network, .. } = &self.filters;
        for (title, graph) in [("filter  ", packet), ("frame   ", inner_link), ("inside  ", inner_network)] {
            for line in graph.iter().flat_map(|graph| graph.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
            {
                writeln!(f, "{title} {line}")?;
            }
        }
        if let Some(tracking) = &self.tracking {
            write!(f, "{tracking}")?;
        }
        write!(f, "{}{}{}", self.skb, self.xdp, self.layout)?;
        if let Some(maps) = &self.maps {
            write!(f, "{maps}")?;
        }
        for (index, target) in (0..).zip(&self.targets) {
            let way = if self.trampolines.contains(&index) { ", by fentry" } else { "" };
            writeln!(f, "target   {target}{way}")?;
        }
        Ok(())
    }
}

/// Why there is nothing to trace, or why it cannot be said what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// Functions that work on maps cannot be hooked.
    NoMaps {
        /// Why not.
        why: String,
    },
    /// The packet expression is wrong.
    Expression(filter_compiler::Error),
    /// An expression about the packet inside a tunnel is wrong.
    Inner {
        /// The flag that it belongs to.
        flag: &'static str,
        /// What is wrong.
        error: filter_compiler::Error,
    },
    /// An expression about a field is wrong.
    Field {
        /// The flag that it belongs to.
        flag: &'static str,
        /// What is wrong.
        error: crate::expr::Error,
    },
    /// The kernel has no type of the object that expressions are about.
    NoType {
        /// The flag that needs it.
        flag: &'static str,
        /// What was looked for.
        error: String,
    },
    /// Something that is to be shown cannot be read where programs read by type only.
    Untyped {
        /// The flag that asks for it.
        flag: &'static str,
    },
    /// The kernel's type information lacks something that every run needs.
    Kernel(PathError),
    /// Not one function takes an skb, by what this kernel shows.
    NoFunction {
        /// The way in.
        backend: &'static str,
    },
    /// Packets cannot be followed.
    NoTracking {
        /// What is missing.
        why: &'static str,
    },
    /// `--filter-func` keeps none.
    NoMatch {
        /// The way in that was asked for.
        backend: Option<&'static str>,
    },
    /// The functions have no addresses, which kprobes need.
    NoAddresses {
        /// Why not.
        why: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// Functions are named by their numbers in the kernel's types, and these are another kernel's.
    ForeignTypes,
    /// Programs of this kind cannot read what they would have to.
    Unreadable {
        /// The kernel's answers.
        why: String,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::NoMaps { why } => write!(f, "--output-bpfmap needs fentry (Linux 5.5 on x86_64): {why}"),
            PlanError::Expression(error) => f.write_str(error.render().trim_start_matches("error: ").trim_end()),
            PlanError::Inner { flag, error } => {
                write!(f, "{flag}: {}", error.render().trim_start_matches("error: ").trim_end())
            }
            PlanError::Field { flag, error } => {
                write!(f, "{flag}: {}", error.render().trim_start_matches("error: ").trim_end())
            }
            PlanError::NoType { flag, error } => write!(f, "{flag} cannot be used on this kernel: {error}"),
            PlanError::Untyped { flag } => {
                write!(f, "{flag} needs memory that programs cannot read here: they read by type only")
            }
            PlanError::Kernel(error) => write!(f, "the kernel's types are not as expected: {}", error.kind),
            PlanError::NoFunction { backend } => write!(f, "cannot find a kernel function to trace by {backend}"),
            PlanError::NoAddresses { why, .. } => write!(f, "functions have no addresses here: {why}"),
            PlanError::ForeignTypes => f.write_str("--kernel-btf holds other types than this kernel has"),
            PlanError::Unreadable { why } => write!(f, "programs may not read kernel memory: {why}"),
            PlanError::NoTracking { why } => write!(f, "packets cannot be followed: {why}"),
            PlanError::NoMatch { backend } => {
                f.write_str("cannot find a matching kernel function: --filter-func keeps none")?;
                backend.map_or(Ok(()), |backend| write!(f, " to trace by {backend}"))
            }
        }
    }
}

impl std::error::Error for PlanError {}
