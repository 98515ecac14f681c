//! The record that a program sends to user space: which fields this run has and where they lie.
//!
//! One [`Layout`] is made per run and used by the emitter (`program`) and by the decoder (`decode`), so the two
//! cannot disagree. A record starts with a fixed head; what follows are exactly the fields of this run, each at
//! an offset aligned to its size (at most 8). All numbers are in the byte order of the host, except where a field
//! says otherwise.

use std::fmt;

/// Bytes of packet headers that a record carries, from the first byte of the network header.
///
/// 80 bytes hold an IPv4 header with all its options and the TCP flags, or an IPv6 header, 26 bytes of extension
/// headers and the TCP flags.
pub const HEADER_BYTES: u32 = 80;

/// As much as a record need carry of a packet that is IPv4 without options: both headers, with the TCP flags.
pub const PLAIN_BYTES: u32 = 40;

/// One field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// u64. Which function was hit. With the highest bit set an address in the kernel's text: of the function or of the
    /// probe in it. Else in the low 32 bits one more than the index into the plan's targets, or 0 if the kernel did not
    /// say. [`Identity`] says what programs send. Always there.
    Function,
    /// u64. Address of the `struct sk_buff`. Always there.
    Skb,
    /// u32. Thread group id of the task on whose CPU time the function ran. Always there.
    Pid,
    /// u32. Number of the CPU. Always there.
    Cpu,
    /// u32. Records lost so far on this CPU (wraps): a step between two records of one CPU is a gap there.
    /// Always there.
    Lost,
    /// u32. Captured bytes of the packet from its network header on, at most [`PLAIN_BYTES`] where no more were copied; 0
    /// if the network header is unknown. Says how much of [`Field::Headers`] is packet; may exceed [`HEADER_BYTES`]. Always
    /// there.
    HeaderLen,
    /// u64. `bpf_ktime_get_ns`: nanoseconds of CLOCK_MONOTONIC.
    Time,
    /// 16 bytes. Command name of the task, NUL-padded.
    Comm,
    /// u64. `enum skb_drop_reason` for the functions that take one (Linux 5.17), else [`NO_REASON`].
    Reason,
    /// u64. The word at the stack pointer on entry: the address that the function returns to.
    Caller,
    /// u32. Inode number of the network namespace: that of the device, else of the socket, else 0.
    Netns,
    /// u32. `skb->mark`.
    Mark,
    /// u32. `skb->dev->ifindex`, 0 without a device.
    Ifindex,
    /// u32. `skb->len`.
    Len,
    /// u32. MTU of the route if the packet has one, else of the device, else 0.
    Mtu,
    /// u16, network byte order. `skb->protocol`, an EtherType.
    Protocol,
    /// [`HEADER_BYTES`] bytes. The packet from its network header on.
    Headers,
    /// 20 bytes. Five u32 of `qdisc_skb_cb.data`, which tc programs see as `__sk_buff->cb[]`.
    Cb,
    /// 24 bytes, see [`place`]. Where the packet lies in its buffer, if the packet itself comes behind the record.
    Place,
    /// u32. Captured bytes of the packet inside a tunnel from its network header on, as [`Field::HeaderLen`]; 0 if there
    /// is none.
    InnerLen,
    /// u32. Bytes of [`Field::Stack`] that the kernel filled; 0 if it could not.
    StackLen,
    /// [`HEADER_BYTES`] bytes. The packet inside a tunnel from its network header on.
    InnerHeaders,
    /// [`FRAME_BYTES`] bytes, zeros behind the last frame. The innermost frames of the stack, from the program outwards:
    /// the caller is among them where the registers of the function are not known.
    Frames,
    /// [`STACK_BYTES`] bytes. Addresses on the kernel stack, the innermost first, u64 each.
    Stack,
}

/// As much of a stack as the kernel unwinds (`kernel.perf_event_max_stack` is 127 frames if nobody has changed it).
pub const STACK_BYTES: u32 = 127 * 8;

/// Eight frames: programs have at most five below the function that they were called for.
pub const FRAME_BYTES: u32 = 8 * 8;

/// A whole structure in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// The `struct sk_buff`.
    Skb,
    /// Its `struct skb_shared_info`.
    SharedInfo,
}

/// Parts of [`Field::Place`]: where each starts, in bytes from the start of the field, and its size.
///
/// For programs that cannot read the packet: they let the kernel append [`APPENDED_BYTES`] of it, from `skb->data` on.
pub mod place {
    /// u64. `skb->head`.
    pub const HEAD: (u32, u32) = (0, 8);
    /// u32. `skb->data - skb->head`.
    pub const DATA: (u32, u32) = (8, 4);
    /// u16. `skb->mac_header`.
    pub const MAC: (u32, u32) = (12, 2);
    /// u16. `skb->network_header`.
    pub const NETWORK: (u32, u32) = (14, 2);
    /// u16, network byte order. `skb->vlan_proto`.
    pub const VLAN_PROTO: (u32, u32) = (16, 2);
    /// u16. `skb->vlan_tci`.
    pub const VLAN_TCI: (u32, u32) = (18, 2);
    /// u8. 1 if there is a VLAN tag, else 0.
    pub const VLAN_PRESENT: (u32, u32) = (20, 1);
    /// u8. `skb->pkt_type` in its low three bits.
    pub const PKT_TYPE: (u32, u32) = (21, 1);
    /// u16. How many bytes of the packet are behind the record.
    pub const APPENDED: (u32, u32) = (22, 2);
}

/// What comes behind the record of a call that works on a BPF map: where each part starts, in bytes from the end of the
/// record, and its size. Behind other records there are zeros, or a few bytes of nothing in front of [`map::STATE`].
pub mod map {
    /// The map's name, NUL-padded.
    pub const NAME: (u32, u32) = (0, 16);
    /// u32. The map's id.
    pub const ID: (u32, u32) = (16, 4);
    /// u32. Kind of map (`enum bpf_map_type`).
    pub const KIND: (u32, u32) = (20, 4);
    /// u32. Size of a key in bytes.
    pub const KEY_SIZE: (u32, u32) = (24, 4);
    /// u32. Size of a value in bytes.
    pub const VALUE_SIZE: (u32, u32) = (28, 4);
    /// u64. 0 if this is not such a record, 1 with a key alone, 2 with a key and a value.
    pub const STATE: (u32, u32) = (32, 8);
    /// The first bytes of the key.
    pub const KEY: (u32, u32) = (40, MOST);
    /// The first bytes of the value.
    pub const VALUE: (u32, u32) = (40 + MOST, MOST);
    /// Bytes of all parts.
    pub const SIZE: u32 = 40 + 2 * MOST;
    /// As much as is shown of a key, and of a value.
    pub const MOST: u32 = 256;
}

/// Most bytes of a packet that come behind a record.
pub const APPENDED_BYTES: u32 = 256;

impl Field {
    /// Every field, in the order in which a record holds them.
    pub const ALL: [Field; 24] = [
        Field::Function,
        Field::Skb,
        Field::Pid,
        Field::Cpu,
        Field::Lost,
        Field::HeaderLen,
        Field::Time,
        Field::Comm,
        Field::Reason,
        Field::Caller,
        Field::Netns,
        Field::Mark,
        Field::Ifindex,
        Field::Len,
        Field::Mtu,
        Field::Protocol,
        Field::Headers,
        Field::Cb,
        Field::Place,
        Field::InnerLen,
        Field::StackLen,
        Field::InnerHeaders,
        Field::Frames,
        Field::Stack,
    ];

    /// Size in bytes.
    pub const fn size(self) -> u32 {
        match self {
            Field::Function | Field::Skb | Field::Time | Field::Reason | Field::Caller => 8,
            Field::Pid | Field::Cpu | Field::Lost | Field::HeaderLen => 4,
            Field::Netns | Field::Mark | Field::Ifindex | Field::Len | Field::Mtu => 4,
            Field::Comm => 16,
            Field::Protocol => 2,
            Field::InnerLen | Field::StackLen => 4,
            Field::Headers | Field::InnerHeaders => HEADER_BYTES,
            Field::Cb => 20,
            Field::Place => 24,
            Field::Frames => FRAME_BYTES,
            Field::Stack => STACK_BYTES,
        }
    }

    /// Alignment in bytes within the record.
    const fn align(self) -> u32 {
        match self {
            Field::Headers | Field::InnerHeaders | Field::Comm | Field::Place | Field::Frames | Field::Stack => 8,
            Field::Cb => 4,
            other => other.size(),
        }
    }

    /// Whether every record has this field.
    const fn is_head(self) -> bool {
        matches!(self, Field::Function | Field::Skb | Field::Pid | Field::Cpu | Field::Lost | Field::HeaderLen)
    }
}

/// Value of [`Field::Reason`] in records of functions that take no drop reason.
pub const NO_REASON: u64 = u64::MAX;

/// How programs that serve many functions tell which one was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// By the attach cookie, in whose low 32 bits is one more than the index of the target.
    Index,
    /// By `bpf_get_func_ip`: the address of the function. For kprobe-multi, where the kernel searches the link's whole
    /// list of functions for a cookie, which costs more than everything else that a program does for a record.
    Function,
    /// By the address of the instruction that was probed; the target is the largest symbol not above it.
    Address,
}

/// What a record is about: each kind has values of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A `struct sk_buff`.
    Skb,
    /// A `struct xdp_buff`.
    Xdp,
}

/// Where a value lies that the user asked for by an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the start of the record; a multiple of 8 unless the value has fewer.
    pub offset: u32,
    /// Bytes of the value.
    pub size: u32,
    /// A byte in the record: 1 if there is a value, 0 if it is behind a NULL pointer.
    pub known: u32,
}

/// The fields of this run and their offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    offsets: [Option<u16>; Field::ALL.len()],
    /// Whole structures: where they start, and their sizes.
    dumps: [Option<(u32, u32)>; 2],
    /// Values of skbs and of xdp_buffs. A record holds either, so they share their bytes.
    values: [Vec<Place>; 2],
    /// Where they start.
    values_at: u32,
    size: u32,
    /// Whether [`map`] comes behind some records.
    maps: bool,
    /// How programs that serve many functions tell which one was hit.
    pub identity: Identity,
}

impl Layout {
    /// The layout that holds the head and `fields`; order and repetition of `fields` do not matter.
    pub fn new(fields: &[Field], identity: Identity) -> Layout {
        let mut offsets = [None; Field::ALL.len()];
        let mut end = 0u32;
        for (slot, field) in offsets.iter_mut().zip(Field::ALL) {
            if field.is_head() || fields.contains(&field) {
                let at = end.next_multiple_of(field.align());
                *slot = Some(at as u16);
                end = at + field.size();
            }
        }
        let size = end.next_multiple_of(8);
        Layout {
            offsets,
            dumps: [None; 2],
            values: [Vec::new(), Vec::new()],
            values_at: size,
            size,
            maps: false,
            identity,
        }
    }

    /// The same with the head and `fields` alone; whole structures and values stay where `dumps` and `values` say so.
    pub fn with_fields(&self, fields: &[Field], dumps: bool, values: bool) -> Layout {
        let mut layout = Layout { maps: self.maps, ..Layout::new(fields, self.identity) };
        for dump in [Dump::Skb, Dump::SharedInfo] {
            if let Some((_, size)) = self.dump(dump).filter(|_| dumps) {
                layout = layout.with_dump(dump, size);
            }
        }
        for object in [Object::Skb, Object::Xdp] {
            let sizes = self.values(object).iter().map(|place| place.size);
            layout = layout.with_values(object, sizes.filter(|_| values));
        }
        layout
    }

    /// The same with a whole structure of `size` bytes. To be called before [`Layout::with_values`].
    pub fn with_dump(mut self, dump: Dump, size: u32) -> Layout {
        self.dumps[dump as usize] = Some((self.size, size));
        self.size += size.next_multiple_of(8);
        self.values_at = self.size;
        self
    }

    /// The same with [`map`] behind some records.
    pub fn with_maps(self) -> Layout {
        Layout { maps: true, ..self }
    }

    /// The parts of [`map`] behind `record`, which has [`Layout::room`]; `None` if it is about no map.
    pub fn map_part<'r>(&self, record: &'r [u8]) -> Option<&'r [u8]> {
        let part = record.get(self.size as usize..).filter(|part| self.maps && part.len() >= map::SIZE as usize)?;
        part[map::STATE.0 as usize..][..map::STATE.1 as usize].iter().any(|&byte| byte != 0).then_some(part)
    }

    /// Where a whole structure starts, and its size in bytes; `None` if this run does not have it.
    pub fn dump(&self, dump: Dump) -> Option<(u32, u32)> {
        self.dumps[dump as usize]
    }

    /// The bytes of a whole structure in `record`; `None` if this run does not have it or `record` is too short.
    pub fn dump_bytes<'r>(&self, record: &'r [u8], dump: Dump) -> Option<&'r [u8]> {
        let (offset, size) = self.dump(dump)?;
        record.get(offset as usize..(offset + size) as usize)
    }

    /// The same with values of these sizes, in this order, in records about `object`.
    pub fn with_values(mut self, object: Object, sizes: impl IntoIterator<Item = u32>) -> Layout {
        let mut places = Vec::new();
        let mut end = self.values_at;
        for size in sizes {
            let at = end.next_multiple_of(size.next_power_of_two().min(8));
            places.push(Place { offset: at, size, known: 0 });
            end = at + size;
        }
        for place in &mut places {
            place.known = end;
            end += 1;
        }
        self.size = self.size.max(end.next_multiple_of(8));
        self.values[object as usize] = places;
        self
    }

    /// The values in records about `object`.
    pub fn values(&self, object: Object) -> &[Place] {
        &self.values[object as usize]
    }

    /// The bytes of a value in `record`; `None` if it has none.
    pub fn value<'r>(&self, record: &'r [u8], place: Place) -> Option<&'r [u8]> {
        let is_known = record.get(place.known as usize).is_some_and(|&known| known != 0);
        record.get(place.offset as usize..(place.offset + place.size) as usize).filter(|_| is_known)
    }

    /// Where `field` starts, in bytes from the start of the record; `None` if this run does not have it.
    pub fn offset(&self, field: Field) -> Option<u32> {
        self.offsets[field as usize].map(u32::from)
    }

    /// Whether this run has `field`.
    pub fn has(&self, field: Field) -> bool {
        self.offsets[field as usize].is_some()
    }

    /// Size of what the reader hands on for a record: the record and room for what comes behind it.
    pub fn room(&self) -> u32 {
        self.size + if self.has(Field::Place) { APPENDED_BYTES } else { 0 } + if self.maps { map::SIZE } else { 0 }
    }

    /// Size of a record in bytes, a multiple of 8.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The bytes of `field` in `record`; `None` if this run does not have it or `record` is too short.
    pub fn bytes<'r>(&self, record: &'r [u8], field: Field) -> Option<&'r [u8]> {
        let at = self.offset(field)? as usize;
        record.get(at..at + field.size() as usize)
    }

    /// The number in `field` of at most 8 bytes, zero-extended; `None` as in [`Layout::bytes`].
    pub fn number(&self, record: &[u8], field: Field) -> Option<u64> {
        let bytes = self.bytes(record, field)?;
        match bytes.len() {
            2 => Some(u16::from_ne_bytes(bytes.try_into().ok()?).into()),
            4 => Some(u32::from_ne_bytes(bytes.try_into().ok()?).into()),
            8 => Some(u64::from_ne_bytes(bytes.try_into().ok()?)),
            _ => None,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "record   {} bytes, function by {:?}", self.size, self.identity)?;
        for field in Field::ALL {
            if let Some(at) = self.offset(field) {
                writeln!(f, "  {at:>3} {:>2} {field:?}", field.size())?;
            }
        }
        for (name, dump) in ["sk_buff", "skb_shared_info"].into_iter().zip(self.dumps) {
            if let Some((offset, size)) = dump {
                writeln!(f, "  {offset:>3} {size:>2} struct {name}")?;
            }
        }
        if self.maps {
            writeln!(f, "  {:>3} {:>2} map, key and value, behind some records", self.size, map::SIZE)?;
        }
        for (name, places) in ["skb", "xdp"].into_iter().zip(&self.values) {
            for Place { offset, size, known } in places {
                writeln!(f, "  {offset:>3} {size:>2} value of {name}, known by {known}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_overlap_and_are_aligned() {
        let layout = Layout::new(&Field::ALL, Identity::Index);
        let mut end = 0;
        for field in Field::ALL {
            let at = layout.offset(field).expect("every field was asked for");
            assert!(at >= end, "{field:?} starts at {at}, before {end}");
            assert_eq!(at % field.align(), 0, "{field:?} at {at}");
            end = at + field.size();
        }
        assert!(layout.size() >= end && layout.size().is_multiple_of(8));
    }

    #[test]
    fn values_are_aligned_and_those_of_two_objects_share_their_bytes() {
        let plain = Layout::new(&[Field::Mark], Identity::Index);
        let layout = plain.clone().with_values(Object::Skb, [1, 8, 6, 16, 2]).with_values(Object::Xdp, [4]);
        let at = |object| layout.values(object).iter().map(|place| (place.offset, place.known)).collect::<Vec<_>>();
        assert_eq!(plain.size(), 40);
        assert_eq!(at(Object::Skb), [(40, 82), (48, 83), (56, 84), (64, 85), (80, 86)]);
        assert_eq!(at(Object::Xdp), [(40, 44)]);
        assert_eq!(layout.size(), 88);
        assert_eq!(plain.clone().with_values(Object::Skb, []), plain);
        let dumps = plain.clone().with_dump(Dump::Skb, 232).with_dump(Dump::SharedInfo, 12);
        assert_eq!((dumps.dump(Dump::Skb), dumps.dump(Dump::SharedInfo)), (Some((40, 232)), Some((272, 12))));
        assert_eq!(dumps.with_values(Object::Xdp, [4]).values(Object::Xdp)[0].offset, 288);
        let mut record = vec![7; 88];
        record[44] = 0;
        assert_eq!(layout.value(&record, layout.values(Object::Skb)[2]), Some(&[7; 6][..]));
        assert_eq!(layout.value(&record, layout.values(Object::Xdp)[0]), None);
        assert_eq!(layout.value(&record[..80], layout.values(Object::Skb)[0]), None);
    }

    #[test]
    fn the_head_is_32_bytes() {
        assert_eq!(Layout::new(&[], Identity::Index).size(), 32);
    }

    #[test]
    fn a_short_record_has_no_value() {
        let layout = Layout::new(&[Field::Mark], Identity::Index);
        assert_eq!(layout.number(&[0; 33], Field::Mark), None);
        assert_eq!(layout.number(&[1; 40], Field::Mark), Some(0x0101_0101));
        assert_eq!(layout.number(&[1; 40], Field::Time), None);
    }
}
