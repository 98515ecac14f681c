//! The running kernel as a third opinion: its verifier takes our programs, and on skbs that we made up, in a map, they
//! send what our machine says. Where programs cannot be loaded there is nothing to test.
//!
//! Nothing is attached: a program for a raw tracepoint can be run by itself (BPF_PROG_TEST_RUN, Linux 5.10).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use asm::{Asm, MapRef, R0, R1, R2, u64};
use whither::btf::Btf;
use whither::decode::Event;
use whither::events::{self, Next};
use whither::host::Roots;
use whither::host::features::Features;
use whither::host::survey::Host;
use whither::load;
use whither::plan::Backend;
use whither::sys::bpf::{self, AttachType, MapType, ProgLoad, ProgType};
use whither::sys::stop::Stop;

use super::machine::Surroundings;
use super::objects::{Device, Objects, Route, STEP, Skb};
use super::packets::{ethernet, ipv4, tagged, udp};
use super::random::{Oracle, expressions};
use super::recorded;
use super::rig::Rig;
use super::rng::Rng;

const TARGET: &str = "net_dev_queue";

/// Room for this many objects.
const PIECES: u64 = 16;

/// Kernel memory that we may write: the only value of a map, whose address a program told us.
struct Lab {
    map: OwnedFd,
    base: u64,
}

/// Bytes between the memory of one skb and that of the next, so that their records can be told apart.
const SHIFT: u64 = 64;

impl Lab {
    /// `None` where the kernel lets us load nothing.
    fn open() -> Option<Lab> {
        let made = bpf::map_create(MapType::Array, "lab", 4, (STEP * PIECES) as u32, 1);
        let map = match made {
            Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
                return None;
            }
            made => made.expect("an array map"),
        };
        let mut a = Asm::new("lab");
        a.load_map_value(R1, MapRef(0), 0);
        a.mov(R2, R1);
        a.store(u64(R1), R2);
        a.mov(R0, 0);
        a.exit();
        let program = a.finish().expect("a program").encode(|_| fd(&map)).expect("it encodes");
        let load = ProgLoad {
            kind: ProgType::RawTracepoint,
            attach: AttachType::None,
            name: "lab",
            code: &program,
            attach_btf_id: 0,
            attach_to: None,
        };
        let program = match bpf::prog_load(&load, &mut []) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
            loaded => loaded.expect("the verifier lets the privileged store addresses"),
        };
        bpf::run_syscall(program.as_fd(), &mut [0; 8]).expect("BPF_PROG_TEST_RUN");
        let mut value = vec![0; (STEP * PIECES) as usize];
        bpf::map_lookup(map.as_fd(), 0, &mut value).expect("the value");
        let base = u64::from_ne_bytes(value[..8].try_into().expect("eight bytes"));
        assert!(base >> 63 == 1, "{base:#x} is no address of the kernel");
        Some(Lab { map, base })
    }

    /// Writes the objects into the kernel's memory.
    fn write(&self, objects: &Objects<'_>) {
        let mut value = vec![0; (STEP * PIECES) as usize];
        for (address, bytes) in objects.memory.pieces() {
            value[(address - self.base) as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        bpf::map_update(self.map.as_fd(), 0, &value).expect("the value");
    }
}

fn fd(fd: &OwnedFd) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(fd)
}

/// This host, with and without casts; `None` where it has no types.
fn here() -> Option<[Host; 2]> {
    let args = recorded::args(&format!("--backend tracepoint --filter-func {TARGET}"));
    let read = |features: fn(&Btf, bool) -> Features| Host::with(&args, &Roots::default(), None, 2, features).ok();
    let without_cast = |btf: &Btf, own| Features {
        cast: Err(io::Error::from(io::ErrorKind::Unsupported)),
        ..Features::try_all(btf, own)
    };
    Some([read(Features::try_all)?, read(without_cast)?])
}

#[test]
fn the_kernel_and_the_machine_agree() {
    let (Some(lab), Some(hosts)) = (Lab::open(), here()) else { return };
    let mut records = 0;
    for host in &hosts {
        for (n, text) in expressions().enumerate() {
            // Every third is plenty, together with those that are ours.
            if n % 3 != 0 && !text.contains("vlan") {
                continue;
            }
            let oracle = Oracle::new(text);
            let mut rng = Rng::fork(0xbeef, n as u64);
            let skbs: Vec<Skb> = (0..20).map(|_| oracle.random(&mut rng)).collect();
            records += compare(&lab, host, &format!("-- {text}"), &skbs);
        }
    }
    assert!(records > 500, "only {records} skbs match");
}

#[test]
fn the_kernel_and_the_machine_agree_about_every_field() {
    let (Some(lab), Some(hosts)) = (Lab::open(), here()) else { return };
    let frame = ethernet(0x0800, &ipv4(17, [10, 0, 0, 1], [10, 0, 0, 2], &[], &udp(40000, 5001, b"hello")));
    let plain = Skb::frame(&frame, 64);
    let mut full = plain.clone();
    full.mark = 0xffff_0a01;
    full.cb = [1, 2, 3, 4, 5];
    full.sk = Some(17);
    full.route = Some(Route { metric: 1400, device_mtu: 9000, is_borrowed: true });
    full.tag = Some((0x8100, 5));
    let mut of_socket = full.clone();
    of_socket.dev = None;
    of_socket.route = Some(Route { metric: 0, device_mtu: 9000, is_borrowed: false });
    let mut homeless = full.clone();
    homeless.dev = Some(Device { ifindex: 7, mtu: 1500, netns: 0 });
    let mut early = plain.clone();
    early.network_header = 0;
    let inside = Skb::frame(&tagged(&frame, 0x8100, 5), 64);
    let bare = Skb::bare(b"not a packet");
    let skbs = [plain.clone(), full, of_socket, homeless, early, inside, bare, plain.without_link()];
    for host in &hosts {
        for args in [
            "",
            "--timestamp absolute --output-skb-cb --output-caller --output-netns-names",
            "--output-meta=false",
            "--output-tuple=false",
            "--filter-mark 0xa01/0xfff",
            "--filter-netns inode:17",
            "--event-buffer perf",
            "--event-buffer perf --timestamp absolute --output-skb-cb --output-netns-names vlan 5",
            "--output-skb --output-skb-shared-info --output-tunnel --output-stack",
            "--output-skb --output-skb-shared-info --output-tunnel --output-caller --event-buffer perf",
            "--filter-skb-expr 'skb->dev->ifindex == 7 && (skb->protocol == 0x800 || skb->mark / 3 > skb->len)'",
            "--filter-skb-expr 'skb->dev->nd_net.net->ns.inum' host 10.0.0.1",
            "--filter-skb-expr '((struct iphdr *)(skb->head + skb->network_header))->saddr == 0x0a000001'",
            "--filter-skb-expr '(unsigned long)skb->dev & ~7 && skb->dev > 1' --event-buffer perf",
            "--output-skb-metadata 'skb->mark,skb->dev->ifindex,skb->pkt_type,skb->cb,skb->dev->nd_net.net->ns.inum,skb'",
            "--output-skb-metadata '*(struct udphdr *)(skb->data + 20),(char *)skb->data,*(char *)skb->data,&skb->mark'",
            "--output-skb-metadata 'skb->mark / skb->len,skb->mark,skb->sk->__sk_common.skc_family' --event-buffer perf",
        ] {
            assert_ne!(compare(&lab, host, args, &skbs), 0, "{args}");
        }
    }
}

/// Runs the program for `args` on every skb, in the kernel and in the machine; returns how many records they sent.
fn compare(lab: &Lab, host: &Host, args: &str, skbs: &[Skb]) -> usize {
    let args = format!("--backend tracepoint --filter-func {TARGET} {args}");
    // What only the host was asked for before.
    let netns = recorded::args(&args).filter_netns.is_some().then_some(17);
    let mut rig = Rig::of(host, &args, Backend::Tracepoint);
    rig.restrict(netns);
    let stop = Arc::new(Stop::on_signals().expect("a stop"));
    let loaded = load::load(&rig.programs, &stop).unwrap_or_else(|error| panic!("{args}: {error}\n{}", rig.programs));
    let mut events = events::follow(&loaded, &rig.plan, &stop).expect("the buffer can be read");
    let mut expected = Vec::new();
    for (n, skb) in skbs.iter().enumerate() {
        let mut objects = Objects::at(host.btf.as_ref(), lab.base + SHIFT * n as u64);
        let address = skb.place(&mut objects);
        lab.write(&objects);
        let mut context: Vec<u8> = [address, 0, 0, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        bpf::run_syscall(loaded.programs[0].fd.as_fd(), &mut context).expect("BPF_PROG_TEST_RUN");
        let hit = rig.enter(TARGET, address, objects, &Surroundings::default());
        expected.extend(hit.outcome.record.as_deref().map(|record| told(&rig, record)));
    }
    stop.request();
    events.end().expect("programs can be silenced");
    let mut found = Vec::new();
    loop {
        match events.next(Some(Duration::from_secs(20))).expect("the buffer can be read") {
            Next::Batch(batch) => found.extend(batch.records().map(|record| told(&rig, record))),
            Next::End => break,
            Next::Idle => panic!("the reader does not end"),
        }
    }
    assert_eq!(found, expected, "{args}, memory by {}\n{}", rig.plan.memory, rig.programs);
    found.len()
}

/// What a record tells that does not depend on the moment.
fn told(rig: &Rig, record: &[u8]) -> (Event, Vec<u8>, Vec<Option<Vec<u8>>>) {
    let event = Event { pid: 0, cpu: 0, comm: [0; 16], time: 0, lost: 0, ..rig.decode(record) };
    (event, rig.headers(record), rig.values(record))
}
