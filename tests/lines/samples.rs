//! pwru's own output, printed again.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use whither::cli::{Args, Timestamp};
use whither::decode::{Event, Function, Network, Ports, Tuple};
use whither::names::{Interfaces, Names, NetnsNames, Processes, Reasons, Symbols, TargetKind, TargetName};
use whither::output::{Extra, Kind, Label, Lines, Metadata, Settings, Values};

use super::schema::Schema;
use super::{Buffer, args};

#[test]
fn every_sample_is_printed_as_pwru_printed_it() {
    // The whole samples, where they are at hand.
    let dir = std::env::var_os("WHITHER_SAMPLES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lines/samples"), PathBuf::from);
    let mut files: Vec<_> = fs::read_dir(&dir).expect("samples are there").map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut checked = 0;
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "out")) {
        let command = fs::read_to_string(path.with_extension("cmd")).expect("a command for each output");
        let text = fs::read_to_string(path).expect("a sample is text");
        // A long one ends in the middle of a line.
        let text = match text.split_once("\n[... cut here") {
            Some((text, _)) => text.rsplit_once('\n').map_or("", |(text, _)| text),
            None => text.trim_end_matches('\n'),
        };
        if !text.is_empty() {
            println!("{}", path.display());
            check(path, &args(&flags(&command)), text);
            checked += 1;
        }
    }
    assert!(checked > 0, "no sample in {}", dir.display());
}

/// The command without the expressions, which are of no interest here.
fn flags(command: &str) -> String {
    let mut words: Vec<_> = command.split_whitespace().collect();
    words.truncate(words.iter().position(|word| *word == "--filter-func").unwrap_or(words.len()));
    if let Some(at) = words.iter().position(|word| *word == "--filter-tunnel-pcap-l3") {
        let end = words[at..].iter().skip(1).position(|word| word.ends_with('\'')).map_or(words.len(), |n| at + n + 2);
        words.drain(at..end);
    }
    // Where the sample has it, the filter came before other flags.
    if command.contains("--output-caller") && !words.contains(&"--output-caller") {
        words.push("--output-caller");
    }
    words.join(" ")
}

fn check(path: &Path, args: &Args, text: &str) {
    let mut world = World::default();
    let rows = if args.output_json { json_rows(text, &mut world) } else { text_rows(text, args, &mut world) };
    let out = Buffer::default();
    let settings = Settings { is_terminal: false, ..Settings::new(args) };
    let proc = world.proc();
    let mut lines = Lines::new(settings, world.names(&proc.0), Box::new(out.clone()));
    for row in &rows {
        let (mut labels, mut values) = (Vec::new(), Values::default());
        for (name, value) in &row.metadata {
            labels.push(Label { text: name.clone(), key: Some(name.clone()) });
            values.push(value, Kind::Bare);
        }
        let extra = Extra {
            tunnel: row.tunnel,
            metadata: Some(Metadata { labels: &labels, values: &values }).filter(|_| !labels.is_empty()),
            stack: &row.stack,
            skb: row.skb.as_bytes(),
            shared_info: row.shared_info.as_bytes(),
            map: None,
        };
        assert!(lines.event_with(&row.event, &extra).is_continue());
    }
    let counts = lines.finish();
    assert_eq!((counts.written, counts.dropped), (rows.len() as u64, 0));
    let printed = out.text();
    let skip = if args.timestamp == Timestamp::Absolute && !args.output_json {
        // pwru shows when it printed, we show when it happened: not the same.
        24
    } else {
        0
    };
    if args.output_json {
        let schema = Schema::read();
        printed.lines().for_each(|line| schema.check(line));
    }
    assert_eq!(printed.lines().count(), text.lines().count(), "{}", path.display());
    for (number, (is, should)) in printed.lines().zip(text.lines()).enumerate() {
        // pwru prints an empty stack where it has deleted the one it needed: we leave it out.
        let should = should.replace(",\"stack\":\"\"", "");
        assert_eq!(&is[skip..], &should[skip..], "{}:{}", path.display(), number + 1);
    }
}

/// One line, with what is below it.
#[derive(Default)]
struct Row {
    event: Event,
    tunnel: Tuple,
    metadata: Vec<(String, String)>,
    stack: Vec<u64>,
    skb: String,
    shared_info: String,
}

/// What the names in a sample stand for.
#[derive(Default)]
struct World {
    targets: Vec<TargetName>,
    reasons: Vec<String>,
    symbols: Vec<String>,
    interfaces: Vec<(u32, u32, String)>,
    netns: HashMap<u32, String>,
    processes: HashMap<u32, String>,
    last_seen: HashMap<u64, u64>,
}

/// A directory that looks like `/proc`.
struct Proc(PathBuf);

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Table(Vec<String>);

impl Symbols for Table {
    fn write_nearest(&self, address: u64, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.0[address as usize].as_bytes());
        true
    }

    fn offset(&self, _: u64) -> Option<u64> {
        // pwru does not show it.
        None
    }
}

impl World {
    fn names(self, proc: &Path) -> Names {
        let reasons = self.reasons.iter().enumerate().map(|(number, name)| (number as u32, &**name));
        let reasons = Reasons::new(reasons, []);
        let interfaces = self.interfaces.iter().map(|(netns, ifindex, name)| (*netns, *ifindex, &**name));
        let mut names = Names::fixed(&self.targets, reasons, Interfaces::fixed(interfaces));
        names.symbols = Box::new(Table(self.symbols));
        names.processes = Processes::new(proc);
        names.netns = NetnsNames::fixed(self.netns);
        names
    }

    fn proc(&self) -> Proc {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Tests of one process run side by side.
        static LOCK: Mutex<()> = Mutex::new(());
        let _guard = LOCK.lock();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("whither-samples-{}-{number}", std::process::id()));
        for (pid, exe) in &self.processes {
            let process = dir.join(pid.to_string());
            fs::create_dir_all(&process).unwrap();
            symlink(exe, process.join("exe")).unwrap();
        }
        Proc(dir)
    }

    fn process(&mut self, text: &str) -> u32 {
        let (name, pid) = text.rsplit_once(':').expect("NAME:PID");
        let pid = pid.parse().expect("a number");
        let whole = match name.strip_prefix('~') {
            Some(end) => format!("/long{end}"),
            None => name.to_owned(),
        };
        if name != "<empty>" {
            self.processes.insert(pid, whole);
        }
        pid
    }

    fn interface(&mut self, text: &str, netns: u32) -> u32 {
        let Some((name, ifindex)) = text.rsplit_once(':') else { return text.parse().expect("a number") };
        let ifindex = ifindex.parse().expect("a number");
        let name = name.strip_prefix('~').map_or(name.to_owned(), |end| format!("long{end}"));
        self.interfaces.push((netns, ifindex, name));
        ifindex
    }

    fn function(&mut self, text: &str) -> (Function, Option<u32>) {
        let (name, inside) = text.strip_suffix(')').and_then(|text| text.split_once('(')).unwrap_or((text, ""));
        let kind = match inside {
            "tc" => TargetKind::Tc,
            "xdp" => TargetKind::Xdp,
            _ => TargetKind::Function,
        };
        let has_reason = kind == TargetKind::Function && !inside.is_empty();
        let target = TargetName { name: name.into(), kind, has_reason, addresses: Vec::new() };
        let index = place(&mut self.targets, target);
        let reason = has_reason.then(|| place(&mut self.reasons, inside.to_owned()));
        (Function::Index(index), reason)
    }

    fn symbol(&mut self, name: &str) -> u64 {
        place(&mut self.symbols, name.to_owned()).into()
    }
}

/// The index of `item`, which is appended if it is new.
fn place<T: PartialEq>(items: &mut Vec<T>, item: T) -> u32 {
    let at = items.iter().position(|old| *old == item).unwrap_or(items.len());
    if at == items.len() {
        items.push(item);
    }
    at as u32
}

fn text_rows(text: &str, args: &Args, world: &mut World) -> Vec<Row> {
    let mut rows = Vec::<Row>::new();
    let is_row = |line: &&str| {
        line.get(if args.timestamp == Timestamp::Absolute { 24.. } else { 0.. })
            .is_some_and(|rest| rest.starts_with("0x"))
    };
    for line in text.lines().skip(1) {
        if is_row(&line) {
            rows.push(text_row(line, args, world));
            continue;
        }
        let row = rows.last_mut().expect("a dump is below a row");
        if args.output_stack {
            row.stack.push(world.symbol(line));
        } else {
            let dump = if args.output_skb { &mut row.skb } else { &mut row.shared_info };
            *dump = if dump.is_empty() { line.to_owned() } else { format!("{dump}\n{line}") };
        }
    }
    rows
}

fn text_row(line: &str, args: &Args, world: &mut World) -> Row {
    let mut row = Row::default();
    let mut words = line.split_whitespace();
    let mut next = || words.next().unwrap_or_else(|| panic!("too few columns: {line}"));
    if args.timestamp == Timestamp::Absolute {
        next();
    }
    let event = &mut row.event;
    event.skb = number(next());
    event.cpu = number(next()) as u32;
    event.pid = world.process(next());
    if args.timestamp != Timestamp::None {
        event.time = number(next());
    }
    if args.timestamp == Timestamp::Relative {
        let last = world.last_seen.entry(event.skb).or_insert(1000);
        *last += event.time;
        event.time = *last;
    }
    if args.output_meta {
        let meta = &mut event.meta;
        meta.netns = number(next()) as u32;
        meta.mark = u32::from_str_radix(next(), 16).expect("hex");
        meta.ifindex = world.interface(next(), meta.netns);
        meta.protocol = number(next()) as u16;
        meta.mtu = number(next()) as u32;
        meta.len = number(next()) as u32;
        if args.output_skb_cb || args.filter_trace_tc {
            let words = next().trim_matches(['[', ']']).split(',').map(|word| number(word) as u32);
            event.cb.iter_mut().zip(words).for_each(|(to, from)| *to = from);
        }
    }
    if args.output_netns_names {
        // The column is blank for a namespace without a name.
        let name = next();
        if name.contains("->") {
            event.tuple = tuple(name);
        } else {
            world.netns.insert(event.meta.netns, name.to_owned());
            event.tuple = tuple(next());
        }
    } else {
        event.tuple = tuple(next());
    }
    (event.function, event.reason) = world.function(next());
    if args.output_caller {
        event.caller = world.symbol(next());
    }
    for _ in &args.output_skb_metadata {
        let (name, value) = next().split_once('=').expect("NAME=VALUE");
        row.metadata.push((name.into(), value.into()));
    }
    if args.output_tunnel {
        row.tunnel = tuple(next());
    }
    assert_eq!(words.next(), None, "too many columns: {line}");
    row
}

fn json_rows(text: &str, world: &mut World) -> Vec<Row> {
    text.lines().map(|line| json_row(&serde_json::from_str(line).expect("pwru writes JSON"), world)).collect()
}

fn json_row(value: &Value, world: &mut World) -> Row {
    let mut row = Row::default();
    let text = |key: &str| value[key].as_str().unwrap_or_default();
    let number_of = |key: &str| value[key].as_u64().unwrap_or(0);
    let event = &mut row.event;
    event.skb = number(text("skb"));
    event.cpu = number_of("cpu") as u32;
    event.pid = world.process(text("process"));
    (event.function, event.reason) = world.function(text("func"));
    if let Some(caller) = value["caller_func"].as_str() {
        event.caller = world.symbol(caller);
    }
    event.time = number_of("time");
    event.meta.netns = number_of("netns") as u32;
    event.meta.mark = number_of("mark") as u32;
    event.meta.ifindex = world.interface(text("iface"), event.meta.netns);
    event.meta.protocol = number_of("proto") as u16;
    event.meta.mtu = number_of("mtu") as u32;
    event.meta.len = number_of("len") as u32;
    if let Some(name) = value["netns_name"].as_str() {
        world.netns.insert(event.meta.netns, name.into());
    }
    for (to, from) in event.cb.iter_mut().zip(value["cb"].as_array().into_iter().flatten()) {
        *to = from.as_u64().expect("a number") as u32;
    }
    event.tuple = json_tuple(&value["tuple"]);
    row.tunnel = json_tuple(&value["tunnel_tuple"]);
    row.stack = text("stack").split('\n').skip(1).map(|name| world.symbol(name)).collect();
    row
}

fn json_tuple(value: &Value) -> Tuple {
    let Some(source) = value["saddr"].as_str() else { return Tuple::default() };
    let port = |key: &str| value[key].as_u64().map(|port| port as u16);
    Tuple {
        network: network(source, value["daddr"].as_str().expect("both addresses")),
        protocol: value["proto"].as_u64().unwrap_or(0) as u8,
        ports: port("sport").zip(port("dport")).map(|(source, destination)| Ports { source, destination }),
        tcp_flags: value["flags"].as_str().map_or(0, tcp_flags),
    }
}

/// `SOURCE:PORT->DESTINATION:PORT(PROTOCOL:FLAGS)`
fn tuple(text: &str) -> Tuple {
    let (ends, protocol) = text.trim_end_matches(')').split_once('(').expect("a protocol");
    let (source, destination) = ends.split_once("->").expect("two ends");
    let (source, source_port) = source.rsplit_once(':').expect("a port");
    let (destination, destination_port) = destination.rsplit_once(':').expect("a port");
    if source.is_empty() {
        return Tuple::default();
    }
    let (protocol, flags) = protocol.split_once(':').unwrap_or((protocol, ""));
    let ports = Ports { source: number(source_port) as u16, destination: number(destination_port) as u16 };
    Tuple {
        network: network(source, destination),
        protocol: match protocol {
            "tcp" => 6,
            "udp" => 17,
            "icmp" => 1,
            "icmp6" => 58,
            other => panic!("protocol {other}"),
        },
        ports: (ports.source != 0).then_some(ports),
        tcp_flags: tcp_flags(flags),
    }
}

fn tcp_flags(text: &str) -> u8 {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    text.split('|').filter_map(|flag| names.iter().position(|name| *name == flag)).map(|bit| 1 << bit).sum()
}

fn network(source: &str, destination: &str) -> Network {
    let address = |text: &str| text.trim_matches(['[', ']']).parse().expect("an address");
    match (address(source), address(destination)) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Network::Ipv4 { source: source.octets(), destination: destination.octets() }
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Network::Ipv6 { source: source.octets(), destination: destination.octets() }
        }
        _ => panic!("two families"),
    }
}

/// Decimal, or hexadecimal with `0x`.
fn number(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).expect("hex"),
        None => text.parse().expect("a number"),
    }
}
