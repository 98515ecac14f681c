//! Capture files: pcap in both byte orders and with both resolutions of time, and pcapng.
//!
//! Only what a filter looks at is read: the bytes of packets, their length on the wire, and what they start with. The
//! formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.

use crate::cli::LinkType;
use std::fmt;
use std::io::{self, Read};

/// A packet of a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'r> {
    /// `LINKTYPE_` number: what the packet starts with.
    pub link: u32,
    /// The captured bytes.
    pub data: &'r [u8],
    /// Length on the wire.
    pub wire_len: u32,
}

/// Why a file cannot be read, or not any further.
#[derive(Debug)]
pub enum CaptureError {
    /// Neither pcap nor pcapng.
    NotACapture,
    /// It ends within a packet or a block.
    Truncated,
    /// It says what cannot be.
    Malformed(&'static str),
    /// There are no filters for packets that start so.
    Link(u32),
    /// The kernel's answer.
    Io(io::Error),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaptureError::NotACapture => f.write_str("not a capture file"),
            CaptureError::Truncated => f.write_str("the file ends within a packet"),
            CaptureError::Malformed(what) => f.write_str(what),
            CaptureError::Link(number) => {
                f.write_str("packets start with ")?;
                match LINKS.iter().find(|(known, _)| known == number) {
                    Some((_, name)) => write!(f, "a header of {name}")?,
                    None => write!(f, "link type {number}")?,
                }
                f.write_str(", not with Ethernet or IP")
            }
            CaptureError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CaptureError {}

impl From<io::Error> for CaptureError {
    fn from(error: io::Error) -> CaptureError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => CaptureError::Truncated,
            _ => CaptureError::Io(error),
        }
    }
}

/// Link types that are often seen and that filters cannot be compiled for.
const LINKS: [(u32, &str); 9] = [
    (0, "BSD loopback (NULL)"),
    (9, "PPP"),
    (105, "IEEE 802.11"),
    (108, "OpenBSD loopback (LOOP)"),
    (113, "the interface `any` (LINUX_SLL)"),
    (127, "radiotap and IEEE 802.11"),
    (187, "Bluetooth"),
    (249, "USB"),
    (276, "the interface `any` (LINUX_SLL2)"),
];

/// The link type of filters for packets with this `LINKTYPE_` number.
pub fn link_type(number: u32) -> Option<LinkType> {
    match number {
        1 => Some(LinkType::En10mb),
        // RAW, as it is numbered in files and was on BSD systems; IPV4 and IPV6.
        101 | 12 | 14 | 228 | 229 => Some(LinkType::Raw),
        _ => None,
    }
}

/// No packet has more bytes; a length above it is no length.
const LARGEST_PACKET: u32 = 262_144;
/// No block of pcapng has more.
const LARGEST_BLOCK: u32 = 16 << 20;

/// Reads a capture file, packet by packet.
pub struct Reader<R> {
    input: io::BufReader<R>,
    format: Format,
    /// The packet or block that was read last.
    buffer: Vec<u8>,
}

/// What the file is.
enum Format {
    Pcap { order: Order, snaplen: u32, link: u32 },
    PcapNg { order: Order, interfaces: Vec<Interface> },
}

#[derive(Clone, Copy)]
struct Interface {
    link: u32,
    snaplen: u32,
}

/// How numbers are written.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> u32 {
        let word = [bytes[at], bytes[at + 1]];
        u32::from(match self {
            Order::Little => u16::from_le_bytes(word),
            Order::Big => u16::from_be_bytes(word),
        })
    }

    fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let word = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match self {
            Order::Little => u32::from_le_bytes(word),
            Order::Big => u32::from_be_bytes(word),
        }
    }
}

/// The first four bytes of a section of pcapng, the same in both orders.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// The number in a section header that tells the order.
const ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// The block types that matter here.
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

impl<R: Read> Reader<R> {
    /// Reads the header of the file.
    pub fn new(input: R) -> Result<Reader<R>, CaptureError> {
        let mut input = io::BufReader::new(input);
        let mut magic = [0; 4];
        input.read_exact(&mut magic).map_err(not_a_capture)?;
        // Seconds and microseconds, or nanoseconds: filters do not ask.
        let order = match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => Order::Little,
            [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => Order::Big,
            SECTION => {
                let format = Format::PcapNg { order: Order::Little, interfaces: Vec::new() };
                let mut reader = Reader { input, format, buffer: Vec::new() };
                reader.section().map_err(|error| match error {
                    CaptureError::Malformed(_) => CaptureError::NotACapture,
                    other => other,
                })?;
                return Ok(reader);
            }
            _ => return Err(CaptureError::NotACapture),
        };
        let mut header = [0; 20];
        input.read_exact(&mut header).map_err(not_a_capture)?;
        if order.u16(&header, 0) != 2 {
            return Err(CaptureError::Malformed("the file is of another version than 2"));
        }
        let snaplen = match order.u32(&header, 12) {
            0 => LARGEST_PACKET,
            snaplen => snaplen.min(LARGEST_PACKET),
        };
        // The upper bits tell the length of a frame check sequence.
        let link = order.u32(&header, 16) & 0x03ff_ffff;
        Ok(Reader { input, format: Format::Pcap { order, snaplen, link }, buffer: Vec::new() })
    }

    /// What all packets start with, where the file says so at its beginning.
    pub fn link(&self) -> Option<u32> {
        match self.format {
            Format::Pcap { link, .. } => Some(link),
            Format::PcapNg { .. } => None,
        }
    }

    /// The next packet; `None` at the end.
    #[allow(clippy::should_implement_trait)] // what is returned borrows the reader
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        match self.format {
            Format::Pcap { order, snaplen, link } => self.next_of_pcap(order, snaplen, link),
            Format::PcapNg { .. } => self.next_of_pcapng(),
        }
    }

    fn next_of_pcap(&mut self, order: Order, snaplen: u32, link: u32) -> Result<Option<Packet<'_>>, CaptureError> {
        let Some(header) = self.header::<16>()? else { return Ok(None) };
        let (captured, wire_len) = (order.u32(&header, 8), order.u32(&header, 12));
        if captured > LARGEST_PACKET {
            return Err(CaptureError::Malformed("a packet has more bytes than any can have"));
        }
        self.fill(captured)?;
        // Some writers do not keep to the length that they promised; libpcap then cuts the packet.
        let data = &self.buffer[..captured.min(snaplen) as usize];
        Ok(Some(Packet { link, data, wire_len }))
    }

    fn next_of_pcapng(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        let (start, length, wire_len, interface) = loop {
            let Some(header) = self.header::<4>()? else { return Ok(None) };
            if header == SECTION {
                self.section()?;
                continue;
            }
            let Format::PcapNg { order, .. } = self.format else { return Ok(None) };
            let mut length = [0; 4];
            self.input.read_exact(&mut length)?;
            self.block(order, order.u32(&length, 0), 8)?;
            let Format::PcapNg { interfaces, .. } = &mut self.format else { return Ok(None) };
            let block = &self.buffer;
            let interface = |number: u32| {
                let found = interfaces.get(number as usize).copied();
                found.ok_or(CaptureError::Malformed("a packet is of an interface that was not described"))
            };
            let whole = |header: usize| match block.len() < header {
                true => Err(CaptureError::Malformed("a block is too short for its kind")),
                false => Ok(()),
            };
            match order.u32(&header, 0) {
                INTERFACE => {
                    whole(8)?;
                    interfaces.push(Interface { link: order.u16(block, 0), snaplen: order.u32(block, 4) });
                }
                kind @ (ENHANCED_PACKET | OBSOLETE_PACKET) => {
                    whole(20)?;
                    let number = if kind == ENHANCED_PACKET { order.u32(block, 0) } else { order.u16(block, 0) };
                    break (20, order.u32(block, 12), order.u32(block, 16), interface(number)?);
                }
                SIMPLE_PACKET => {
                    whole(4)?;
                    let (wire_len, interface) = (order.u32(block, 0), interface(0)?);
                    let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
                    break (4, wire_len.min(limit), wire_len, interface);
                }
                _ => {}
            }
        };
        let data = self.buffer[start..].get(..length as usize).filter(|_| length <= LARGEST_PACKET);
        let data = data.ok_or(CaptureError::Malformed("a packet has more bytes than its block"))?;
        let limit = if interface.snaplen == 0 { usize::MAX } else { interface.snaplen as usize };
        Ok(Some(Packet { link: interface.link, data: &data[..data.len().min(limit)], wire_len }))
    }

    /// Reads the rest of a section header, behind its type.
    fn section(&mut self) -> Result<(), CaptureError> {
        let mut header = [0; 8];
        self.input.read_exact(&mut header)?;
        let order = match [Order::Little, Order::Big].into_iter().find(|order| order.u32(&header, 4) == ORDER_MAGIC) {
            Some(order) => order,
            None => return Err(CaptureError::Malformed("a section does not tell its byte order")),
        };
        self.block(order, order.u32(&header, 0), 12)?;
        if self.buffer.len() < 4 || order.u16(&self.buffer, 0) != 1 {
            return Err(CaptureError::Malformed("a section is of another version than 1"));
        }
        self.format = Format::PcapNg { order, interfaces: Vec::new() };
        Ok(())
    }

    /// Reads what is left of a block of `length` bytes of which `done` were read, without the length at its end.
    fn block(&mut self, order: Order, length: u32, done: u32) -> Result<(), CaptureError> {
        if length < done + 4 || !length.is_multiple_of(4) || length > LARGEST_BLOCK {
            return Err(CaptureError::Malformed("a block has an impossible length"));
        }
        self.fill(length - done)?;
        let body = self.buffer.len() - 4;
        if order.u32(&self.buffer, body) != length {
            return Err(CaptureError::Malformed("a block has two different lengths"));
        }
        self.buffer.truncate(body);
        Ok(())
    }

    /// Reads `length` bytes into the buffer; memory is taken as bytes come.
    fn fill(&mut self, length: u32) -> Result<(), CaptureError> {
        self.buffer.clear();
        let read = (&mut self.input).take(length.into()).read_to_end(&mut self.buffer)?;
        if read < length as usize { Err(CaptureError::Truncated) } else { Ok(()) }
    }

    /// The first bytes of a packet or block; `None` where the file ends in front of them.
    fn header<const N: usize>(&mut self) -> Result<Option<[u8; N]>, CaptureError> {
        self.fill(N as u32).map_or_else(
            |error| match error {
                CaptureError::Truncated if self.buffer.is_empty() => Ok(None),
                error => Err(error),
            },
            |()| Ok(self.buffer.first_chunk().copied()),
        )
    }
}

/// A file that ends within its first header is none.
fn not_a_capture(error: io::Error) -> CaptureError {
    match CaptureError::from(error) {
        CaptureError::Truncated => CaptureError::NotACapture,
        other => other,
    }
}
