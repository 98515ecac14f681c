//! The members of kernel structures that programs read, found in BTF: CO-RE by hand.

use crate::btf::{Btf, Composite, Path, PathError, PathErrorKind, Struct, TypeId};

/// One member: where it lies in its structure and how many bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Bytes from the start of the structure.
    pub offset: u32,
    /// 1, 2, 4 or 8, or the length of an array.
    pub size: u32,
}

impl Spot {
    /// The first byte behind the member.
    pub fn end(self) -> u32 {
        self.offset + self.size
    }
}

/// `struct sk_buff`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skb {
    /// The structure itself.
    pub id: TypeId,
    /// `unsigned char *head`: the start of the buffer that the header offsets count from.
    pub head: Spot,
    /// `unsigned char *data`: where the current layer starts.
    pub data: Spot,
    /// `sk_buff_data_t tail`: end of the linear data, counted from `head`.
    pub tail: Spot,
    /// `sk_buff_data_t end`: end of the buffer, counted from `head`, where `struct skb_shared_info` lies.
    pub end: Spot,
    /// `unsigned int len`: all data from `data` on, fragments included.
    pub len: Spot,
    /// `unsigned int data_len`: how much of `len` is in fragments, behind the linear data.
    pub data_len: Spot,
    /// `__u16 mac_header`: from `head`; 0xffff if unset.
    pub mac_header: Spot,
    /// `__u16 network_header`: from `head`; 0 if never set.
    pub network_header: Spot,
    /// `__u16 inner_mac_header`: as `mac_header`, of the packet inside a tunnel; 0 if there is none.
    pub inner_mac_header: Spot,
    /// `__u16 inner_network_header`: as `network_header`, of the packet inside a tunnel; 0 if there is none.
    pub inner_network_header: Spot,
    /// `__u8 pkt_type:3` at bit 0 of this byte: `PACKET_HOST` and so on of include/uapi/linux/if_packet.h.
    pub pkt_type: Spot,
    /// The VLAN tag that was taken out of the packet.
    pub vlan: Vlan,
    /// `__be16 protocol`.
    pub protocol: Spot,
    /// `__u32 mark`.
    pub mark: Spot,
    /// `struct net_device *dev`.
    pub dev: Spot,
    /// `struct sock *sk`.
    pub sk: Spot,
    /// `unsigned long _skb_refdst`: a `struct dst_entry *` with flags in bit 0.
    pub refdst: Spot,
    /// The 20 bytes of `cb` that tc programs see: `qdisc_skb_cb.data`.
    pub tc_cb: Spot,
}

/// Where `struct sk_buff` keeps a VLAN tag that is not in the packet's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// `__be16 vlan_proto`: the type field of the tag.
    pub proto: Spot,
    /// `__u16 vlan_tci`.
    pub tci: Spot,
    /// Whether there is a tag: a byte and a mask. `None`: if `proto` and `tci` are not both 0 (Linux 6.2).
    pub present: Option<(Spot, u8)>,
}

/// `struct net_device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetDevice {
    /// The structure itself.
    pub id: TypeId,
    /// `int ifindex`.
    pub ifindex: Spot,
    /// `unsigned int mtu`.
    pub mtu: Spot,
    /// `struct net *nd_net.net`.
    pub net: Spot,
}

/// `struct dst_entry` and the metrics that it points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dst {
    /// The structure itself.
    pub id: TypeId,
    /// `unsigned long _metrics`: a pointer with flags in bits 0 and 1.
    pub metrics: Spot,
    /// `struct net_device *dev`.
    pub dev: Spot,
    /// `struct dst_metrics`.
    pub metrics_id: TypeId,
    /// `metrics[RTAX_MTU - 1]` (include/uapi/linux/rtnetlink.h).
    pub metrics_mtu: Spot,
}

/// `struct task_struct`, as the program gets it by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// `pid_t tgid`.
    pub tgid: Spot,
    /// `char comm[TASK_COMM_LEN]`.
    pub comm: Spot,
}

/// `struct xdp_buff`, and what is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// The structure itself.
    pub id: TypeId,
    /// `void *data`: the link header.
    pub data: Spot,
    /// `void *data_end`: the end of what lies there in one piece.
    pub data_end: Spot,
    /// `struct xdp_rxq_info *rxq`: the queue that the frame came from.
    pub rxq: Spot,
    /// `struct xdp_rxq_info` and `dev` in it.
    pub rxq_dev: (TypeId, Spot),
    /// `struct ethhdr` and `h_proto` in it.
    pub ether_type: (TypeId, Spot),
}

/// A structure with a long array of bytes, through which any memory can be read after a cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// The structure.
    pub id: TypeId,
    /// Its array.
    pub array: Spot,
}

impl Bytes {
    /// Whether a pointer to it can stand for one to any other structure.
    pub fn is_anything(&self) -> bool {
        self.array.offset == 0 && self.array.size >= 4096
    }
}

/// All members that programs may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// `struct sk_buff`.
    pub skb: Skb,
    /// `struct net_device`.
    pub dev: NetDevice,
    /// `struct net` and `ns.inum` in it.
    pub net: (TypeId, Spot),
    /// `struct sock` and `__sk_common.skc_net.net` in it.
    pub sock: (TypeId, Spot),
    /// `struct dst_entry`.
    pub dst: Dst,
    /// `struct task_struct`; `None` where programs cannot load from it by its type.
    pub task: Option<Task>,
    /// `struct xdp_buff`; `None` in a kernel without it.
    pub xdp: Option<Xdp>,
    /// A structure for reading bytes, `None` if this kernel has none of those known.
    pub bytes: Option<Bytes>,
}

impl Kernel {
    /// What an skb is cast to: bytes if possible, which can be loaded across members.
    pub fn skb_cast(&self) -> TypeId {
        self.bytes.filter(Bytes::is_anything).map_or(self.skb.id, |bytes| bytes.id)
    }

    /// Finds all members in `btf`.
    pub fn find(btf: &Btf) -> Result<Kernel, PathError> {
        let spot = |root: &str, chain: &str| number(btf, root, chain);
        let id = |name: &str| id(btf, name);
        let cb = place(btf, "sk_buff", "cb")?;
        let tc_cb = place(btf, "qdisc_skb_cb", "data")?;
        Ok(Kernel {
            skb: Skb {
                id: id("sk_buff")?,
                head: spot("sk_buff", "head")?,
                data: spot("sk_buff", "data")?,
                tail: spot("sk_buff", "tail")?,
                end: spot("sk_buff", "end")?,
                len: spot("sk_buff", "len")?,
                data_len: spot("sk_buff", "data_len")?,
                mac_header: spot("sk_buff", "mac_header")?,
                network_header: spot("sk_buff", "network_header")?,
                inner_mac_header: spot("sk_buff", "inner_mac_header")?,
                inner_network_header: spot("sk_buff", "inner_network_header")?,
                pkt_type: spot("sk_buff", "pkt_type")?,
                vlan: Vlan {
                    proto: spot("sk_buff", "vlan_proto")?,
                    tci: spot("sk_buff", "vlan_tci")?,
                    present: match btf.path("sk_buff", "vlan_all") {
                        Ok(_) => None,
                        Err(_) => {
                            let path = btf.path("sk_buff", "vlan_present")?;
                            Some((
                                spot("sk_buff", "vlan_present")?,
                                path.leaf.bits.map_or(1, |bits| 1 << (bits.shift & 7)),
                            ))
                        }
                    },
                },
                protocol: spot("sk_buff", "protocol")?,
                mark: spot("sk_buff", "mark")?,
                dev: spot("sk_buff", "dev")?,
                sk: spot("sk_buff", "sk")?,
                refdst: spot("sk_buff", "_skb_refdst")?,
                tc_cb: Spot { offset: cb.offset + tc_cb.offset, size: 20 },
            },
            dev: NetDevice {
                id: id("net_device")?,
                ifindex: spot("net_device", "ifindex")?,
                mtu: spot("net_device", "mtu")?,
                net: spot("net_device", "nd_net.net")?,
            },
            net: (id("net")?, spot("net", "ns.inum")?),
            sock: (id("sock")?, spot("sock", "__sk_common.skc_net.net")?),
            dst: Dst {
                id: id("dst_entry")?,
                metrics: spot("dst_entry", "_metrics")?,
                dev: spot("dst_entry", "dev")?,
                metrics_id: id("dst_metrics")?,
                metrics_mtu: spot("dst_metrics", "metrics[1]")?,
            },
            task: Task::find(btf),
            xdp: Xdp::find(btf).ok(),
            bytes: BYTES.iter().find_map(|&(root, chain)| {
                let array = place(btf, root, chain).ok().filter(|array| array.size >= 128)?;
                Some(Bytes { id: btf.find::<Composite>(root).ok()?.id(), array })
            }),
        })
    }
}

impl Task {
    /// Finds the members; `None` if they are not what records hold, or lie where no load reaches.
    fn find(btf: &Btf) -> Option<Task> {
        let spot = |chain, size| {
            let spot = place(btf, "task_struct", chain).ok()?;
            (spot.size == size && spot.end() <= i16::MAX as u32).then_some(spot)
        };
        Some(Task { tgid: spot("tgid", 4)?, comm: spot("comm", 16)? })
    }
}

impl Xdp {
    fn find(btf: &Btf) -> Result<Xdp, PathError> {
        Ok(Xdp {
            id: id(btf, "xdp_buff")?,
            data: number(btf, "xdp_buff", "data")?,
            data_end: number(btf, "xdp_buff", "data_end")?,
            rxq: number(btf, "xdp_buff", "rxq")?,
            rxq_dev: (id(btf, "xdp_rxq_info")?, number(btf, "xdp_rxq_info", "dev")?),
            ether_type: (id(btf, "ethhdr")?, number(btf, "ethhdr", "h_proto")?),
        })
    }
}

fn place(btf: &Btf, root: &str, chain: &str) -> Result<Spot, PathError> {
    btf.path(root, chain).map(|path| Spot::of(&path))
}

/// A member that one load reads.
pub(super) fn number(btf: &Btf, root: &str, chain: &str) -> Result<Spot, PathError> {
    let spot = place(btf, root, chain)?;
    match spot.size {
        1 | 2 | 4 | 8 => Ok(spot),
        _ => Err(PathError { kind: PathErrorKind::Expected("a number of 1, 2, 4 or 8 bytes"), span: 0..chain.len() }),
    }
}

fn id(btf: &Btf, name: &str) -> Result<TypeId, PathError> {
    btf.find::<Struct>(name)
        .map(|found| found.id())
        .map_err(|error| PathError { kind: PathErrorKind::Root(error), span: 0..name.len() })
}

/// Structures that end in a long array of characters, the longest first. The first is nothing else (x86).
const BYTES: [(&str, &str); 3] =
    [("irq_stack", "stack"), ("linux_binprm", "buf"), ("__kernel_sockaddr_storage", "__data")];

impl Spot {
    /// Where a chain without pointers ends.
    fn of(path: &Path) -> Spot {
        Spot { offset: path.leaf.offset, size: path.leaf.size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_load_reads_is_no_number() {
        let types = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosts/6.12-x86_64/sys/kernel/btf/vmlinux");
        let btf = Btf::parse(std::fs::read(types).unwrap(), "vmlinux").unwrap();
        assert_eq!(number(&btf, "sk_buff", "mark").unwrap().size, 4);
        let error = number(&btf, "sk_buff", "cb").unwrap_err();
        assert_eq!(error.to_string(), "expected a number of 1, 2, 4 or 8 bytes");
    }
}
