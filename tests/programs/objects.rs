//! Kernel memory with the objects that programs read, laid out as a kernel's types say.

use std::collections::BTreeMap;
use std::fmt;

use whither::btf::{Btf, Composite};

/// Pieces of memory at addresses of their own; everything between them faults.
#[derive(Clone, Debug)]
pub struct Memory {
    start: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
}

/// Where the first piece lies if nothing else is said: in the kernel's direct mapping.
const START: u64 = 0xffff_8881_0000_0000;
/// The distance of the pieces.
pub const STEP: u64 = 0x4000;

impl Memory {
    /// No pieces yet; the first one will be at `start`.
    pub fn at(start: u64) -> Memory {
        Memory { start, pieces: BTreeMap::new() }
    }

    /// Adds a piece and returns its address.
    pub fn add(&mut self, bytes: Vec<u8>) -> u64 {
        assert!((bytes.len() as u64) < STEP);
        let address = self.start + STEP * self.pieces.len() as u64;
        self.pieces.insert(address, bytes);
        address
    }

    /// The bytes at an address, if all of them are there.
    pub fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        let (start, bytes) = self.pieces.range(..=address).next_back()?;
        bytes.get((address - start) as usize..)?.get(..len)
    }

    /// All pieces, with their addresses.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pieces.iter().map(|(&address, bytes)| (address, bytes.as_slice()))
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        let (start, piece) = self.pieces.range_mut(..=address).next_back().expect("an address of a piece");
        piece[(address - start) as usize..][..bytes.len()].copy_from_slice(bytes);
    }
}

/// Objects in [`Memory`].
pub struct Objects<'b> {
    btf: &'b Btf,
    /// Where they are.
    pub memory: Memory,
}

impl<'b> Objects<'b> {
    /// No objects yet, of a kernel with these types.
    pub fn new(btf: &'b Btf) -> Objects<'b> {
        Objects::at(btf, START)
    }

    /// As [`Objects::new`], at addresses from `start` on.
    pub fn at(btf: &'b Btf, start: u64) -> Objects<'b> {
        Objects { btf, memory: Memory::at(start) }
    }

    /// An object whose members hold noise until they are set.
    pub fn make(&mut self, name: &str) -> Object {
        let size = self.btf.find::<Composite>(name).unwrap_or_else(|error| panic!("{name}: {error}")).size();
        // Noise in every byte, different in neighbours.
        let bytes = (0..size).map(|at| (at as u8).wrapping_mul(0x3d) | 0x81).collect();
        Object { name: name.to_owned(), address: self.memory.add(bytes) }
    }

    /// Whether objects of this kind have a member.
    pub fn has(&self, object: &Object, chain: &str) -> bool {
        self.btf.path(&object.name, chain).is_ok()
    }

    /// Sets a member, a bit field or one in network order included.
    pub fn set(&mut self, object: &Object, chain: &str, value: u64) {
        let path = self.btf.path(&object.name, chain).unwrap_or_else(|error| panic!("{}: {error}", object.name));
        assert!(path.hops.is_empty(), "{chain} is in another object");
        let (at, size) = (object.address + u64::from(path.leaf.offset), path.leaf.size as usize);
        let mut word = [0; 8];
        word[..size].copy_from_slice(self.memory.read(at, size).expect("members are inside"));
        let new = match path.leaf.bits {
            Some(bits) => {
                let mask = ((1u64 << bits.width) - 1) << bits.shift;
                u64::from_le_bytes(word) & !mask | (value << bits.shift) & mask
            }
            None if path.leaf.big_endian => value.swap_bytes() >> (64 - 8 * size),
            None => value,
        };
        self.memory.write(at, &new.to_le_bytes()[..size]);
    }

    /// Sets an array of bytes.
    pub fn set_bytes(&mut self, object: &Object, chain: &str, bytes: &[u8]) {
        let path = self.btf.path(&object.name, chain).unwrap_or_else(|error| panic!("{}: {error}", object.name));
        assert!(bytes.len() <= path.leaf.size as usize);
        self.memory.write(object.address + u64::from(path.leaf.offset), bytes);
    }

    /// Bytes from an object's start to a member.
    pub fn offset(&self, name: &str, chain: &str) -> usize {
        self.btf.path(name, chain).unwrap_or_else(|error| panic!("{name}: {error}")).leaf.offset as usize
    }
}

/// One object.
#[derive(Clone, Debug)]
pub struct Object {
    name: String,
    /// Where it is.
    pub address: u64,
}

/// A `struct sk_buff` with everything that hangs on it.
#[derive(Clone, Debug)]
pub struct Skb {
    /// The buffer from `head` on; what follows the tail is of no packet.
    pub buffer: Vec<u8>,
    /// `data`, from `head`.
    pub data: usize,
    /// `tail`, from `head`.
    pub tail: usize,
    /// `len`.
    pub len: u32,
    /// `data_len`: how much of `len` is in fragments.
    pub data_len: u32,
    /// `mac_header`.
    pub mac_header: u16,
    /// `network_header`.
    pub network_header: u16,
    /// `end`, from `head`: where the shared information lies.
    pub end: usize,
    /// `inner_mac_header`.
    pub inner_mac_header: u16,
    /// `inner_network_header`.
    pub inner_network_header: u16,
    /// `protocol`, an EtherType.
    pub protocol: u16,
    /// `mark`.
    pub mark: u32,
    /// `pkt_type`.
    pub pkt_type: u8,
    /// The VLAN tag beside the packet: protocol and TCI.
    pub tag: Option<(u16, u16)>,
    /// `dev`.
    pub dev: Option<Device>,
    /// `sk`: the inode of its network namespace.
    pub sk: Option<u32>,
    /// `_skb_refdst`.
    pub route: Option<Route>,
    /// What tc programs see as `cb`.
    pub cb: [u32; 5],
}

impl fmt::Display for Skb {
    /// The packet in hexadecimal, from the first header or the data to the tail, then the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = [self.mac_header, self.network_header].into_iter().filter(|&at| at != UNSET && at != 0);
        let start = headers.map(usize::from).chain([self.data]).min().unwrap_or(0).min(self.tail);
        for byte in &self.buffer[start..self.tail] {
            write!(f, "{byte:02x}")?;
        }
        let Skb { data, tail, len, data_len, mac_header, network_header, mark, pkt_type, tag, dev, sk, route, .. } =
            self;
        write!(f, " from {start}: mac {mac_header} network {network_header} data {data} tail {tail} len {len} ")?;
        write!(f, "of which paged {data_len} ")?;
        write!(f, "mark {mark:#x} type {pkt_type} tag {tag:x?} {dev:?} {sk:?} {route:?}")
    }
}

/// A `struct net_device`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// `ifindex`.
    pub ifindex: u32,
    /// `mtu`.
    pub mtu: u32,
    /// Inode of its network namespace; 0 for a device that is in none any more.
    pub netns: u32,
}

/// A `struct dst_entry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The metric, 0 if there is none.
    pub metric: u32,
    /// MTU of its device.
    pub device_mtu: u32,
    /// Whether the skb holds no reference (bit 0 of the pointer).
    pub is_borrowed: bool,
}

/// The value of `mac_header` that says that there is none.
pub const UNSET: u16 = 0xffff;

impl Skb {
    /// An skb without headers, such as those of AF_UNIX and netlink.
    pub fn bare(payload: &[u8]) -> Skb {
        let mut buffer = vec![0x5c; 512];
        buffer[..payload.len()].copy_from_slice(payload);
        Skb {
            buffer,
            data: 0,
            tail: payload.len(),
            len: payload.len() as u32,
            data_len: 0,
            mac_header: UNSET,
            network_header: 0,
            end: 0,
            inner_mac_header: 0,
            inner_network_header: 0,
            protocol: 0,
            mark: 0,
            pkt_type: 0,
            tag: None,
            dev: None,
            sk: None,
            route: None,
            cb: [0; 5],
        }
    }

    /// An Ethernet frame in a receive function of the network layer: `data` is at the network header.
    pub fn frame(frame: &[u8], headroom: usize) -> Skb {
        let mut skb = Skb::bare(&[]);
        skb.buffer = vec![0x5c; 2048];
        skb.buffer[headroom..][..frame.len()].copy_from_slice(frame);
        skb.mac_header = headroom as u16;
        skb.network_header = headroom as u16 + 14;
        skb.data = headroom + 14;
        skb.tail = headroom + frame.len();
        skb.len = frame.len() as u32 - 14;
        skb.protocol = u16::from_be_bytes([frame[12], frame[13]]);
        skb.dev = Some(Device { ifindex: 7, mtu: 1500, netns: 4_026_532_000 });
        skb
    }

    /// The same packet without its link header, as of a tunnel or on its way out.
    pub fn without_link(mut self) -> Skb {
        for byte in &mut self.buffer[..usize::from(self.network_header)] {
            *byte = 0x5c;
        }
        self.mac_header = UNSET;
        self
    }

    /// Puts everything into memory and returns the address.
    pub fn place(&self, objects: &mut Objects<'_>) -> u64 {
        let skb = objects.make("sk_buff");
        // Something else lies in front of it.
        let before = [0x6d; 64];
        let head = objects.memory.add([&before[..], &self.buffer].concat()) + before.len() as u64;
        objects.set(&skb, "head", head);
        objects.set(&skb, "data", head + self.data as u64);
        objects.set(&skb, "tail", self.tail as u64);
        objects.set(&skb, "len", self.len.into());
        objects.set(&skb, "data_len", self.data_len.into());
        objects.set(&skb, "mac_header", self.mac_header.into());
        objects.set(&skb, "network_header", self.network_header.into());
        objects.set(&skb, "end", self.end as u64);
        objects.set(&skb, "inner_mac_header", self.inner_mac_header.into());
        objects.set(&skb, "inner_network_header", self.inner_network_header.into());
        objects.set(&skb, "protocol", self.protocol.into());
        objects.set(&skb, "mark", self.mark.into());
        objects.set(&skb, "pkt_type", self.pkt_type.into());
        let (proto, tci) = self.tag.unwrap_or_default();
        if objects.has(&skb, "vlan_all") {
            objects.set(&skb, "vlan_proto", proto.into());
            objects.set(&skb, "vlan_tci", tci.into());
        } else {
            // Without a tag the two stay what they were for an earlier packet.
            objects.set(&skb, "vlan_present", self.tag.is_some().into());
            if self.tag.is_some() {
                objects.set(&skb, "vlan_proto", proto.into());
                objects.set(&skb, "vlan_tci", tci.into());
            }
        }
        let dev = self.dev.map_or(0, |dev| dev.place(objects));
        objects.set(&skb, "dev", dev);
        let sk = self.sk.map_or(0, |netns| {
            let (sk, net) = (objects.make("sock"), net(objects, netns));
            objects.set(&sk, "__sk_common.skc_net.net", net);
            sk.address
        });
        objects.set(&skb, "sk", sk);
        let route = self.route.map_or(0, |route| route.place(objects));
        objects.set(&skb, "_skb_refdst", route);
        // skb->cb is a struct qdisc_skb_cb where tc programs run.
        let mut cb = [0xc7; 48];
        let at = objects.offset("qdisc_skb_cb", "data");
        for (n, word) in self.cb.iter().enumerate() {
            cb[at + 4 * n..][..4].copy_from_slice(&word.to_le_bytes());
        }
        objects.set_bytes(&skb, "cb", &cb);
        skb.address
    }
}

/// A `struct xdp_buff` with what hangs on it.
#[derive(Clone, Debug)]
pub struct XdpBuff {
    /// The frame.
    pub frame: Vec<u8>,
    /// How many bytes of it lie before `data_end`; may be negative, as on its way through a careless program.
    pub length: i64,
    /// `rxq->dev`.
    pub dev: Option<Device>,
}

impl XdpBuff {
    /// A frame in one piece.
    pub fn new(frame: &[u8]) -> XdpBuff {
        let dev = Some(Device { ifindex: 7, mtu: 1500, netns: 4_026_532_000 });
        XdpBuff { frame: frame.to_vec(), length: frame.len() as i64, dev }
    }

    /// Puts everything into memory and returns the address.
    pub fn place(&self, objects: &mut Objects<'_>) -> u64 {
        let (xdp, rxq) = (objects.make("xdp_buff"), objects.make("xdp_rxq_info"));
        let mut page = vec![0x5c; 2048];
        page[256..][..self.frame.len()].copy_from_slice(&self.frame);
        let data = objects.memory.add(page) + 256;
        objects.set(&xdp, "data", data);
        objects.set(&xdp, "data_end", data.wrapping_add_signed(self.length));
        objects.set(&xdp, "rxq", rxq.address);
        let dev = self.dev.map_or(0, |dev| dev.place(objects));
        objects.set(&rxq, "dev", dev);
        xdp.address
    }
}

impl Device {
    fn place(self, objects: &mut Objects<'_>) -> u64 {
        let (dev, net) = (objects.make("net_device"), net(objects, self.netns));
        objects.set(&dev, "ifindex", self.ifindex.into());
        objects.set(&dev, "mtu", self.mtu.into());
        objects.set(&dev, "nd_net.net", net);
        dev.address
    }
}

impl Route {
    fn place(self, objects: &mut Objects<'_>) -> u64 {
        let (route, metrics) = (objects.make("dst_entry"), objects.make("dst_metrics"));
        // RTAX_MTU is 2, and the array begins at 1.
        objects.set(&metrics, "metrics[1]", self.metric.into());
        // DST_METRICS_READ_ONLY and DST_METRICS_REFCOUNTED are the low bits.
        objects.set(&route, "_metrics", metrics.address | 3);
        let dev = Device { ifindex: 99, mtu: self.device_mtu, netns: 1 }.place(objects);
        objects.set(&route, "dev", dev);
        route.address | u64::from(self.is_borrowed)
    }
}

/// The address of a network namespace; NULL for number 0.
fn net(objects: &mut Objects<'_>, inode: u32) -> u64 {
    if inode == 0 {
        return 0;
    }
    let net = objects.make("net");
    objects.set(&net, "ns.inum", inode.into());
    net.address
}
