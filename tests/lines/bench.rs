//! What a line costs in user space, from record bytes to the buffer that is written.
//!
//! `cargo bench -p whither --bench lines` prints nanoseconds per event. For instructions per event:
//! `valgrind --tool=callgrind BINARY text 200000`, divided by the number of events.

use std::io;
use std::time::Instant;

use whither::cli::{self, Command};
use whither::decode::decode;
use whither::names::{Interfaces, Names, Reasons, TargetKind, TargetName};
use whither::output::{Lines, Settings};
use whither::record::{Field, Identity, Layout, NO_REASON};

/// Hits of one packet on its way.
const HITS: usize = 68;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let events = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(3_000_000);
    for (name, flags) in [
        ("decode", ""),
        ("text", ""),
        ("text-flags-relative", "--output-tcp-flags --timestamp relative"),
        ("json", "--output-json"),
    ] {
        if words.first().is_none_or(|word| word == name) {
            let started = Instant::now();
            run(name, flags, events);
            let nanos = started.elapsed().as_nanos() as f64 / events as f64;
            println!("{name}: {nanos:.0} ns per event");
        }
    }
}

fn run(name: &str, flags: &str, events: usize) {
    let Ok(Command::Trace(args)) = cli::parse(["whither"].into_iter().chain(flags.split_whitespace()).map(Into::into))
    else {
        panic!("these flags are ours")
    };
    let layout = Layout::new(
        &[
            Field::Time,
            Field::Comm,
            Field::Reason,
            Field::Netns,
            Field::Mark,
            Field::Ifindex,
            Field::Len,
            Field::Mtu,
            Field::Protocol,
            Field::Headers,
        ],
        Identity::Index,
    );
    let targets: Vec<_> = (0..HITS)
        .map(|n| TargetName {
            name: format!("{}_{n}", ["ip_rcv", "nf_hook_slow", "tcp_v4_do_rcv", "__netif_receive_skb_core"][n % 4]),
            kind: TargetKind::Function,
            has_reason: n % 34 == 33,
            addresses: Vec::new(),
        })
        .collect();
    let interfaces = Interfaces::fixed([(4026531840, 4, "lab0"), (4026532159, 2, "eth0")]);
    let reasons = Reasons::new([(0, "SKB_NOT_DROPPED_YET"), (1, "SKB_CONSUMED")], []);
    let names = Names::fixed(&targets, reasons, interfaces);
    let mut lines = Lines::new(Settings::new(&args), names, Box::new(io::sink()));
    let mut records: Vec<_> = (0..HITS as u32 * 8).map(|n| record(&layout, n)).collect();
    let count = records.len();
    let at = layout.offset(Field::Time).expect("it is there") as usize;
    for n in 0..events {
        let record = &mut records[n % count];
        record[at..at + 8].copy_from_slice(&(n as u64 * 700).to_ne_bytes());
        let event = decode(record, &layout).expect("a whole record");
        if name == "decode" {
            std::hint::black_box(&event);
        } else {
            assert!(lines.event(&event).is_continue());
        }
    }
}

/// The `n`th hit: eight packets of two processes, each on its way through two namespaces.
fn record(layout: &Layout, n: u32) -> Vec<u8> {
    let mut record = vec![0; layout.size() as usize];
    let mut put = |field, bytes: &[u8]| {
        let at = layout.offset(field).expect("it is there") as usize;
        record[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let (packet, hit) = (n / HITS as u32, n % HITS as u32);
    let receives = hit > 34;
    put(Field::Function, &u64::from(hit + 1).to_ne_bytes());
    put(Field::Skb, &(0xff43_d674_64d3_7ae8 + u64::from(packet) * 0x100).to_ne_bytes());
    put(Field::Pid, &(3500 + packet % 2).to_ne_bytes());
    put(Field::Cpu, &(packet % 4).to_ne_bytes());
    put(Field::Comm, if packet % 2 == 0 { b"curl" } else { b"ping" });
    put(Field::Reason, &if hit % 34 == 33 { 1 } else { NO_REASON }.to_ne_bytes());
    put(Field::Netns, &if receives { 4026532159u32 } else { 4026531840 }.to_ne_bytes());
    put(Field::Ifindex, &if receives { 2u32 } else { 4 }.to_ne_bytes());
    put(Field::Len, &(60 + hit % 2 * 14).to_ne_bytes());
    put(Field::Mtu, &1500u32.to_ne_bytes());
    put(Field::Protocol, &0x0800u16.to_be_bytes());
    let mut packet_bytes = vec![0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 1, 2, 10, 0, 0, 2];
    packet_bytes.extend((48066 + packet as u16).to_be_bytes());
    packet_bytes.extend([0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    put(Field::HeaderLen, &60u32.to_ne_bytes());
    put(Field::Headers, &packet_bytes);
    record
}
