//! Where programs may neither cast nor copy, typed tracepoints and `bpf_skb_output` still show packets. Tried on the
//! machine that runs the tests, as if it were locked down; without privileges nothing is shown.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;
use std::{ffi::OsString, io};

use whither::cli::{self, Args, Backend, Command};
use whither::decode::{Network, decode};
use whither::events::{self, Next};
use whither::host::Roots;
use whither::host::features::Features;
use whither::host::survey::Host;
use whither::late::Late;
use whither::plan::{Memory, Plan};
use whither::sys::stop::Stop;
use whither::{attach, load, program};

fn args(text: &str) -> Args {
    let words = ["whither"].into_iter().chain(text.split_whitespace()).map(OsString::from);
    match cli::parse(words) {
        Ok(Command::Trace(args)) => *args,
        other => panic!("{text}: {other:?}"),
    }
}

/// This host, locked down; `None` if it does not let us load anything anyway.
fn locked_down(args: &Args) -> Option<Host> {
    let closed = || io::Error::from(io::ErrorKind::PermissionDenied);
    let features = |btf: &_| {
        let features = Features::try_all(btf, true);
        features.read_kernel.is_ok().then_some(()).or_else(|| features.cast.as_ref().ok().map(|_| ()))?;
        Some(Features { cast: Err(closed()), read_kernel: Err(closed()), ..features })
    };
    let mut able = true;
    let cpus = whither::sys::bpf::possible_cpus().ok()? as u32;
    let host = Host::with(args, &Roots::default(), None, cpus, |btf, _| {
        features(btf).unwrap_or_else(|| {
            able = false;
            Features::try_all(btf, true)
        })
    });
    host.ok().filter(|_| able)
}

#[test]
fn packets_are_seen_without_reading_them() {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = receiver.local_addr().expect("an address").port();
    for (expression, expected) in [
        (format!("udp dst port {port}"), true),
        (format!("udp dst port {port} and len > 40 and udp[8] = 0x68 and greater 47 and less 47"), true),
        (format!("udp dst port {port} and udp[8] = 0x69"), false),
        (format!("--filter-mark 1 -- udp dst port {port}"), false),
        (format!("--filter-ifname lo --output-skb-cb --timestamp absolute -- udp dst port {port}"), true),
    ] {
        let args = args(&format!("--backend tracepoint {expression}"));
        let Some(host) = locked_down(&args) else { return };
        let plan = Plan::new(&args, &host, Backend::Tracepoint).expect("a plan");
        assert_eq!(plan.memory, Memory::Direct);
        let plan = Arc::new(plan);
        let programs = program::build(&plan).expect("programs");
        let stop = Arc::new(Stop::on_signals().expect("a stop"));
        let loaded = load::load(&programs, &stop).unwrap_or_else(|error| panic!("{expression}: {error}"));
        let hooks = attach::attach(&loaded, &plan, &stop).expect("tracepoints");
        let mut events = events::follow(&loaded, &plan, &stop).expect("perf buffers");
        let mut late = Late::new(&plan).expect("an expression").expect("packets behind records");
        UdpSocket::bind("127.0.0.1:0").and_then(|s| s.send_to(b"hello", ("127.0.0.1", port))).expect("a datagram");
        receiver.recv(&mut [0; 16]).expect("the datagram");
        stop.request();
        events.end().expect("silence");
        let mut shown = Vec::new();
        loop {
            match events.next(Some(Duration::from_secs(20))).expect("records") {
                Next::Batch(batch) => {
                    for record in batch.records() {
                        if let Some(record) = late.pass(record) {
                            shown.push(decode(record, &plan.layout).expect("an event"));
                        }
                    }
                }
                Next::End => break,
                Next::Idle => panic!("the reader does not end"),
            }
        }
        drop(hooks);
        assert_eq!(!shown.is_empty(), expected, "{expression}: {shown:?}");
        for event in &shown {
            let local = [127, 0, 0, 1];
            assert_eq!(event.tuple.network, Network::Ipv4 { source: local, destination: local }, "{event:?}");
            assert_eq!(event.tuple.ports.map(|ports| ports.destination), Some(port), "{event:?}");
            assert_eq!(event.meta.ifindex, 1, "{event:?}");
        }
    }
}
