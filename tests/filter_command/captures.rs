//! Capture files, written here in every format and read by `whither filter -r`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::run;

/// Whether there is somebody to compare with: always, unless tests were asked to do without.
pub fn has_tcpdump() -> bool {
    if std::env::var_os("WHITHER_NO_ORACLE").is_some() {
        return false;
    }
    let version = Command::new("tcpdump").arg("--version").output();
    assert!(
        version.is_ok(),
        "there is no tcpdump: apt-get install tcpdump (or set WHITHER_NO_ORACLE=1 to leave it out)"
    );
    true
}

/// `LINKTYPE_` numbers.
const ETHERNET: u32 = 1;
const RAW: u32 = 101;
const SLL: u32 = 113;

/// One packet: captured bytes and length on the wire.
type Packet = (Vec<u8>, u32);

/// Frames, and IP packets, of several kinds; the third one is cut.
fn packets(link: u32) -> Vec<Packet> {
    let udp = |port: u8| {
        let ip = [0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, port];
        [&ip[..], &[0x9c, 0x40, 0x13, 0x89, 0, 13, 0, 0], b"hello"].concat()
    };
    let icmp = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0].to_vec();
    let mut ip6 = vec![0x60, 0, 0, 0, 0, 8, 17, 64];
    ip6.extend([[0xfd; 16], [0xfe; 16]].concat());
    ip6.extend([0, 53, 0, 53, 0, 8, 0, 0]);
    let payloads = [(0x0800, udp(2)), (0x86dd, ip6), (0x0800, icmp), (0x0800, udp(3)), (0x0800, udp(2))];
    let frames = payloads.into_iter().map(|(kind, payload): (u16, Vec<u8>)| match link {
        ETHERNET => [&[2; 12][..], &kind.to_be_bytes(), &payload].concat(),
        _ => payload,
    });
    let mut packets: Vec<Packet> =
        frames.map(|frame| (frame.len() as u32, frame)).map(|(len, frame)| (frame, len)).collect();
    let cut = packets[2].0.len() - 4;
    packets[2].0.truncate(cut);
    packets
}

/// Writes numbers in one order.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }
}

/// A pcap file; packet n has the time n.
fn pcap(order: Order, magic: u32, snaplen: u32, link: u32, packets: &[Packet]) -> Vec<u8> {
    let mut file = order.u32(magic).to_vec();
    file.extend([order.u16(2), order.u16(4)].concat());
    file.extend([0, 0, snaplen, link].map(|word| order.u32(word)).concat());
    for (n, (data, wire_len)) in (1..).zip(packets) {
        file.extend([n, 0, data.len() as u32, *wire_len].map(|word| order.u32(word)).concat());
        file.extend(data);
    }
    file
}

/// A block of pcapng.
fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = body.len().next_multiple_of(4) - body.len();
    let length = order.u32((12 + body.len() + padding) as u32);
    [&order.u32(kind)[..], &length, body, &vec![0; padding], &length].concat()
}

fn section(order: Order) -> Vec<u8> {
    let body = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &[0xff; 8]].concat();
    block(order, 0x0a0d_0d0a, &body)
}

fn interface(order: Order, link: u32, snaplen: u32) -> Vec<u8> {
    // An option with the interface's name, and the end of options.
    let options = [&order.u16(2)[..], &order.u16(3), b"lo0\0", &[0; 4]].concat();
    block(order, 1, &[&order.u16(link as u16)[..], &[0; 2], &order.u32(snaplen), &options].concat())
}

fn enhanced(order: Order, interface: u32, n: u32, (data, wire_len): &Packet) -> Vec<u8> {
    let time = u64::from(n) * 1_000_000;
    let words = [interface, (time >> 32) as u32, time as u32, data.len() as u32, *wire_len];
    let padding = vec![0; data.len().next_multiple_of(4) - data.len()];
    // A comment: options follow the packet.
    let options = [&order.u16(1)[..], &order.u16(4), b"note", &[0; 4]].concat();
    block(order, 6, &[&words.map(|word| order.u32(word)).concat()[..], data, &padding, &options].concat())
}

fn obsolete(order: Order, interface: u16, n: u32, (data, wire_len): &Packet) -> Vec<u8> {
    let time = u64::from(n) * 1_000_000;
    let words = [(time >> 32) as u32, time as u32, data.len() as u32, *wire_len].map(|word| order.u32(word)).concat();
    block(order, 2, &[&order.u16(interface)[..], &[0; 2], &words, data].concat())
}

fn simple(order: Order, (data, wire_len): &Packet) -> Vec<u8> {
    block(order, 3, &[&order.u32(*wire_len)[..], data].concat())
}

/// Everything that pcapng has, in the order of the packets.
fn pcapng(order: Order, link: u32, packets: &[Packet]) -> Vec<u8> {
    let mut file = section(order);
    // A custom block, which nobody knows.
    file.extend(block(order, 0xbad, &order.u32(32473)));
    file.extend(interface(order, link, 0));
    for (n, packet) in (1..).zip(packets) {
        file.extend(match n {
            2 => obsolete(order, 0, n, packet),
            _ => enhanced(order, 0, n, packet),
        });
        // Names of addresses, and statistics.
        file.extend(block(order, 4, &[0; 4]));
        file.extend(block(order, 5, &[0; 12]));
    }
    file
}

/// A file that is gone at the end of the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, bytes: &[u8]) -> Temporary {
        let path = std::env::temp_dir().join(format!("whither-{}-{name}", std::process::id()));
        fs::write(&path, bytes).expect("it can be written");
        Temporary(path)
    }

    fn path(&self) -> String {
        self.0.to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What `whither filter -r` prints: numbers, exit code, the error with the path cut.
fn filter(file: &Temporary, expression: &str) -> (Vec<u32>, i32, String) {
    let output = run(&["-r".into(), file.path(), expression.into()], &[]);
    let numbers =
        String::from_utf8(output.stdout).expect("numbers").lines().map(|line| line.parse().unwrap()).collect();
    let error = String::from_utf8(output.stderr).expect("UTF-8").replace(&file.path(), "FILE");
    (numbers, output.status.code().expect("it ends by itself"), error)
}

fn numbers(file: &Temporary, expression: &str) -> Vec<u32> {
    let (numbers, code, error) = filter(file, expression);
    assert_eq!((code, error.as_str()), (0, ""), "{expression}");
    numbers
}

const FORMATS: [(&str, u32, u32); 4] = [
    ("microseconds", 0xa1b2_c3d4, ETHERNET),
    ("nanoseconds", 0xa1b2_3c4d, ETHERNET),
    ("raw-microseconds", 0xa1b2_c3d4, RAW),
    ("raw-nanoseconds", 0xa1b2_3c4d, RAW),
];

/// Files with the same packets, in every format.
fn files() -> Vec<(Temporary, u32)> {
    let mut files = Vec::new();
    for (name, order) in [("little", Order::Little), ("big", Order::Big)] {
        for (format, magic, link) in FORMATS {
            let bytes = pcap(order, magic, 262_144, link, &packets(link));
            files.push((Temporary::new(&format!("{name}-{format}.pcap"), &bytes), link));
        }
        for link in [ETHERNET, RAW] {
            let bytes = pcapng(order, link, &packets(link));
            files.push((Temporary::new(&format!("{name}-{link}.pcapng"), &bytes), link));
        }
    }
    files
}

#[test]
fn every_format_gives_the_same_numbers() {
    for (file, link) in files() {
        assert_eq!(numbers(&file, ""), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(&file, "udp port 5001"), [1, 4, 5]);
        assert_eq!(numbers(&file, "host 10.0.0.2"), [1, 3, 5]);
        assert_eq!(numbers(&file, "ip6"), [2]);
        assert_eq!(numbers(&file, "icmp[4:2] = 0"), [0; 0], "it was cut");
        let header = if link == ETHERNET { 14 } else { 0 };
        assert_eq!(numbers(&file, &format!("len = {}", 28 + header)), [3], "the length is that on the wire");
        assert_eq!(numbers(&file, "arp or greater 1000"), [0; 0]);
    }
}

#[test]
fn the_numbers_are_tcpdumps() {
    if !has_tcpdump() {
        return;
    }
    for (file, _) in files() {
        for expression in
            ["", "udp", "host 10.0.0.2", "udp port 5001 and not dst 10.0.0.3", "len > 45", "ip6 or icmp", "ip[19] = 3"]
        {
            let args = ["-tt", "-n", "-r", &file.path(), expression];
            let output = Command::new("tcpdump").args(args).output().expect("it is there");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            // Packet n has the time n.
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            let theirs: Vec<u32> =
                text.lines().filter_map(|line| line.split('.').next()?.trim().parse().ok()).collect();
            assert_eq!(numbers(&file, expression), theirs, "`{expression}` of {}", file.path());
        }
    }
}

#[test]
fn interfaces_may_differ() {
    let (frames, bare) = (packets(ETHERNET), packets(RAW));
    let order = Order::Little;
    let file = [
        section(order),
        interface(order, ETHERNET, 0),
        interface(order, RAW, 0),
        enhanced(order, 0, 1, &frames[0]),
        enhanced(order, 1, 2, &bare[0]),
        simple(order, &frames[3]),
        // Another section counts its interfaces anew, and may have another order.
        section(Order::Big),
        interface(Order::Big, RAW, 20),
        enhanced(Order::Big, 0, 4, &bare[4]),
        simple(Order::Big, &(bare[4].0[..20].to_vec(), 33)),
    ];
    let file = Temporary::new("mixed.pcapng", &file.concat());
    assert_eq!(numbers(&file, "host 10.0.0.1"), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&file, "udp port 5001"), [1, 2, 3], "the interface promised 20 bytes");
    assert_eq!(numbers(&file, "len = 33"), [2, 4, 5]);
}

#[test]
fn snapshots_are_cut_as_promised() {
    let file = Temporary::new("snaplen.pcap", &pcap(Order::Little, 0xa1b2_c3d4, 34, ETHERNET, &packets(ETHERNET)));
    assert_eq!(numbers(&file, "host 10.0.0.2"), [1, 3, 5]);
    assert_eq!(numbers(&file, "udp port 5001"), [0; 0]);
}

#[test]
fn a_pipe_is_a_file_too() {
    let bytes = pcap(Order::Big, 0xa1b2_c3d4, 0, ETHERNET, &packets(ETHERNET));
    let output = run(&["-r".into(), "-".into(), "ip6".into()], &bytes);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"2\n"[..]));
}

#[test]
fn a_damaged_file_gives_what_can_be_read() {
    let whole = pcap(Order::Little, 0xa1b2_c3d4, 0, ETHERNET, &packets(ETHERNET));
    let cut = Temporary::new("cut.pcap", &whole[..whole.len() - 1]);
    let expected = "error: FILE: the file ends within a packet, after 4 packets of which 2 match\n";
    assert_eq!(filter(&cut, "udp port 5001"), (vec![1, 4], 1, expected.into()));

    // Wherever it ends: the packets before are shown, and it is said.
    let all = packets(ETHERNET);
    let ends: Vec<usize> =
        all.iter().scan(24, |at, (data, _)| Some(std::mem::replace(at, *at + 16 + data.len()))).collect();
    for end in 24..whole.len() {
        let file = Temporary::new("ends.pcap", &whole[..end]);
        let (numbers, code, error) = filter(&file, "");
        let complete = ends.iter().filter(|&&start| start <= end).count() - 1;
        assert_eq!(numbers.len(), complete, "{end}");
        assert_eq!(code, i32::from(!ends.contains(&end)), "{end}: {error}");
    }

    let mut wild = whole.clone();
    wild[24 + 8..][..4].copy_from_slice(&[0xff; 4]);
    let wild = Temporary::new("wild.pcap", &wild);
    assert_eq!(filter(&wild, ""), (vec![], 1, "error: FILE: a packet has more bytes than any can have\n".into()));
}

#[test]
fn damaged_blocks_are_refused() {
    let order = Order::Little;
    let packet = packets(ETHERNET).remove(0);
    let start = [section(order), interface(order, ETHERNET, 0), enhanced(order, 0, 1, &packet)].concat();
    let refused = |name: &str, more: &[u8], expected: &str| {
        let file = Temporary::new(name, &[&start, more].concat());
        let expected = format!("error: FILE: {expected}, after 1 packets of which 1 match\n");
        assert_eq!(filter(&file, "udp"), (vec![1], 1, expected));
    };
    refused("foreign", &enhanced(order, 7, 2, &packet), "a packet is of an interface that was not described");
    refused("short", &block(order, 6, &[0; 16]), "a block is too short for its kind");
    let mut long = enhanced(order, 0, 2, &packet);
    long[20..24].copy_from_slice(&1000u32.to_le_bytes());
    refused("long", &long, "a packet has more bytes than its block");
    let mut twice = enhanced(order, 0, 2, &packet);
    let last = twice.len() - 1;
    twice[last] = 1;
    refused("twice", &twice, "a block has two different lengths");
    for length in [0u32, 8, 13, 0x7fff_fffc] {
        let odd = [6u32.to_le_bytes(), length.to_le_bytes()].concat();
        refused("odd", &odd, "a block has an impossible length");
    }
    refused("cut", &enhanced(order, 0, 2, &packet)[..30], "the file ends within a packet");
    let mut other = section(order);
    other[8..12].copy_from_slice(&[1; 4]);
    refused("order", &other, "a section does not tell its byte order");
    let mut newer = section(order);
    newer[12] = 2;
    refused("newer", &newer, "a section is of another version than 1");
}

#[test]
fn what_is_no_capture_is_refused() {
    let refused = |name: &str, bytes: &[u8], expected: &str| {
        let file = Temporary::new(name, bytes);
        assert_eq!(filter(&file, ""), (vec![], 1, format!("error: FILE: {expected}\n")));
    };
    let not = "not a capture file";
    refused("empty", b"", not);
    refused("text", b"hello, world, this is no capture", not);
    refused("header", &pcap(Order::Little, 0xa1b2_c3d4, 0, ETHERNET, &[])[..20], not);
    refused("section", &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 1, 2, 3, 4], not);
    for (link, what) in [
        (0, "a header of BSD loopback (NULL)"),
        (9, "a header of PPP"),
        (105, "a header of IEEE 802.11"),
        (108, "a header of OpenBSD loopback (LOOP)"),
        (SLL, "a header of the interface `any` (LINUX_SLL)"),
        (127, "a header of radiotap and IEEE 802.11"),
        (187, "a header of Bluetooth"),
        (249, "a header of USB"),
        (250, "link type 250"),
        (276, "a header of the interface `any` (LINUX_SLL2)"),
    ] {
        let file = pcap(Order::Little, 0xa1b2_c3d4, 0, link, &packets(RAW));
        refused(&format!("link-{link}"), &file, &format!("packets start with {what}, not with Ethernet or IP"));
    }
    let mut old = pcap(Order::Little, 0xa1b2_c3d4, 0, ETHERNET, &[]);
    old[4] = 1;
    refused("old", &old, "the file is of another version than 2");
}

#[test]
fn a_wrong_expression_is_told_first() {
    let empty = Temporary::new("none.pcap", &pcap(Order::Little, 0xa1b2_c3d4, 0, ETHERNET, &[]));
    let (numbers, code, error) = filter(&empty, "tcp port htpp");
    assert_eq!((numbers.len(), code), (0, 2));
    assert!(error.starts_with("error: no port is named `htpp`\n    tcp port htpp\n             ^^^^\n"), "{error}");
    for (expression, expected) in [
        ("inbound", "error: capture files do not tell the direction of packets\n"),
        ("ifindex 3", "error: capture files do not tell the interface of packets\n"),
    ] {
        assert_eq!(filter(&empty, expression), (vec![], 2, expected.into()), "{expression}");
    }
}

/// Nothing that a file can hold makes the reader panic, or take more memory than the file has bytes.
#[test]
fn noise_is_survived() {
    use whither::filter_command::capture::Reader;
    let mut state = 1u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let files: Vec<Vec<u8>> = files().iter().map(|(file, _)| fs::read(&file.0).expect("it is there")).collect();
    for n in 0..20_000 {
        let mut bytes = files[n % files.len()].clone();
        for _ in 0..random() % 6 {
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
        }
        bytes.truncate(bytes.len() - random() as usize % 40);
        let Ok(mut reader) = Reader::new(bytes.as_slice()) else { continue };
        let mut read = 0;
        while let Ok(Some(packet)) = reader.next() {
            read += packet.data.len();
        }
        assert!(read <= bytes.len());
    }
}
