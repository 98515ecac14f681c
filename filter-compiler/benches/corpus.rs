//! Ours against libpcap over the expressions of the corpus: time to compile, size, instructions executed per packet.
//!
//! `cargo bench -p filter-compiler`; `cargo bench -p filter-compiler -- --all` prints every expression. Without
//! `libpcap.so.0.8` (`apt-get install libpcap0.8`) there is nothing to compare with.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Instant;

use asm::{Asm, R7, R8};
use filter_compiler::ebpf::{self, Indexing, Needs, Packet, Place, StackWindow};
use filter_compiler::{Graph, compile, names, to_cbpf};
use support::judge;
use support::libpcap::Libpcap;
use support::packets::{self, Link};
use support::rng::Rng;
use support::subject::link_type;

/// Packets per expression: half random, half steered into the filter.
const PACKETS: usize = 400;
const ROUNDS: usize = 7;
/// Compilations per round.
const REPEAT: u32 = 10;

fn main() {
    // cargo test runs benches too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Some(libpcap) = Libpcap::open() else {
        println!("libpcap.so.0.8 is not installed: apt-get install libpcap0.8");
        return;
    };
    let all = std::env::args().any(|argument| argument == "--all");
    let mut rows = Vec::new();
    for (links, text) in support::corpus() {
        for &link in links {
            if let Some(row) = measure(&libpcap, text, link) {
                if all {
                    println!("{row}   {link:?} {text}");
                }
                rows.push(row);
            }
        }
    }
    println!(
        "{} expressions; geometric means, ours and libpcap's, and ours / libpcap's; median and worst of the latter:",
        rows.len()
    );
    let columns: [(&str, Column); 4] = [
        ("time to compile to classic BPF, us", |row| row.time),
        ("instructions of the classic program", |row| row.size),
        ("instructions executed per packet that passes", |row| row.passing),
        ("instructions executed per packet that is rejected", |row| row.rejected),
    ];
    for (title, column) in columns {
        let pairs: Vec<Pair> = rows.iter().map(column).filter(|pair| pair.0 > 0.0 && pair.1 > 0.0).collect();
        let mean = |values: &dyn Fn(&Pair) -> f64| {
            (pairs.iter().map(|pair| values(pair).ln()).sum::<f64>() / pairs.len() as f64).exp()
        };
        let (ours, theirs) = (mean(&|pair| pair.0), mean(&|pair| pair.1));
        let mut ratios: Vec<f64> = pairs.iter().map(|pair| pair.0 / pair.1).collect();
        ratios.sort_by(f64::total_cmp);
        let (median, worst) = (ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
        println!("  {title:<52} {ours:8.2} {theirs:8.2} {:6.2}   median {median:.2}, worst {worst:.2}", ours / theirs);
    }
    let mean = |value: fn(&Row) -> f64| rows.iter().map(value).sum::<f64>() / rows.len() as f64;
    println!("  time to emit eBPF from the graph, mean us {:32.2}", mean(|row| row.emit));
    println!("  instructions of the eBPF program, mean {:35.2}", mean(|row| row.ebpf));
}

/// Ours, libpcap's.
type Pair = (f64, f64);
type Column = fn(&Row) -> Pair;

struct Row {
    time: Pair,
    size: Pair,
    passing: Pair,
    rejected: Pair,
    emit: f64,
    ebpf: f64,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (ours, theirs) in [self.time, self.size, self.passing, self.rejected] {
            write!(f, "{ours:8.1} {theirs:8.1} |")?;
        }
        write!(f, "{:5}", self.ebpf)
    }
}

/// Both must compile the expression.
fn measure(libpcap: &Libpcap, text: &str, link: Link) -> Option<Row> {
    let graph = compile(text, link_type(link), &names::Builtin).ok()?;
    let ours = to_cbpf(&graph).ok()?;
    let theirs = libpcap.compile(text, link).ok()?;

    let (mut passing, mut rejected) = ((0, 0, 0), (0, 0, 0));
    let mut rng = Rng::new(11);
    let pool = packets::constants(&theirs);
    for round in 0..PACKETS {
        let base = packets::random(&mut rng, link, &pool);
        let sample = if round % 2 == 0 { packets::guided(&mut rng, &theirs, &base) } else { base };
        let (a, b) = (judge::run(&ours, &sample), judge::run(&theirs, &sample));
        let sums = if a.accepted() { &mut passing } else { &mut rejected };
        *sums = (sums.0 + a.executed, sums.1 + b.executed, sums.2 + 1);
    }
    let average = |(a, b, count): (u64, u64, u64)| match count {
        0 => (0.0, 0.0),
        _ => (a as f64 / count as f64, b as f64 / count as f64),
    };
    let (ebpf, emit) = timed(|| emit(&graph));
    Some(Row {
        time: (
            timed(|| to_cbpf(&compile(text, link_type(link), &names::Builtin).ok()?).ok()).1,
            timed(|| libpcap.compile(text, link)).1,
        ),
        size: (ours.0.len() as f64, theirs.0.len() as f64),
        passing: average(passing),
        rejected: average(rejected),
        emit,
        ebpf: ebpf as f64,
    })
}

/// The window's read included; the number of instructions.
fn emit(graph: &Graph) -> usize {
    let mut a = Asm::new("filter");
    let reject = a.label();
    a.mov(R7, 0);
    a.mov(R8, 0);
    let mut packet = Packet::new(Place::Reg(R7), Place::Reg(R8));
    (packet.length, packet.packet_type, packet.interface) =
        (Some(Place::Reg(R8)), Some(Place::Reg(R8)), Some(Place::Reg(R8)));
    let mut window = StackWindow::new(&mut a, &Needs::of(graph), packet, Indexing::Stack).expect("all is there");
    window.read(&mut a, reject);
    ebpf::emit(graph, &mut a, &mut window, reject).expect("it can be emitted");
    a.bind(reject);
    a.mov(asm::R0, 0);
    a.exit();
    a.finish().map_or(0, |program| program.slots())
}

/// A result, and the shortest time per call in microseconds.
fn timed<T>(mut work: impl FnMut() -> T) -> (T, f64) {
    let mut best = f64::MAX;
    let mut result = work();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        for _ in 0..REPEAT {
            result = black_box(work());
        }
        best = best.min(begin.elapsed().as_secs_f64() * 1e6 / f64::from(REPEAT));
    }
    (result, best)
}
