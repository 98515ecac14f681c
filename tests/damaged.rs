//! Files of the kernel, captures and command lines with damage in them: an answer or a refusal, never a panic.
//!
//! Type information has `tests/btf_mutate.rs`, records `tests/lines/random.rs`. The default takes seconds; a longer run:
//!
//! ```text
//! WHITHER_DAMAGE_TIMES=500 WHITHER_DAMAGE_SEED=7 cargo test --release --test damaged
//! ```

#[path = "../filter-compiler/tests/support/rng.rs"]
#[allow(dead_code)] // parts of it are enough here
mod rng;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rng::Rng;
use whither::cli;
use whither::filter_command::capture;
use whither::host::features::Features;
use whither::host::functions::{self, List};
use whither::host::survey::Host;
use whither::host::{NameSet, Roots, Symbols, packed};
use whither::plan::{Plan, make};

const HOST: &str = "6.12-x86_64";

fn recorded(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(HOST).join(path)).expect(path)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// Calls `check` so often, `WHITHER_DAMAGE_TIMES` as often if it is set; says which round failed.
fn rounds(default: u64, check: impl Fn(&mut Rng)) {
    let seed = setting("WHITHER_DAMAGE_SEED", 1);
    for round in 0..default * setting("WHITHER_DAMAGE_TIMES", 1) {
        let mut rng = Rng::fork(seed, round);
        let fine = catch_unwind(AssertUnwindSafe(|| check(&mut rng))).is_ok();
        assert!(fine, "round {round} with WHITHER_DAMAGE_SEED={seed}");
    }
}

/// Bytes and lines of a text or of anything else: changed, doubled, swapped, lost.
fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.range(1, 12) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.below(bytes.len());
        let end = (at + rng.range(1, 64)).min(bytes.len());
        match rng.below(9) {
            0 => bytes[at] = rng.next() as u8,
            1 => bytes[at] ^= 1 << rng.below(8),
            2 => bytes[at..end].fill(rng.pick(b"\0\n\t 0f\xff[]")),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part.repeat(rng.range(1, 40)));
            }
            5 => bytes.insert(at, rng.pick(b"\0\n\t \xff\x1b")),
            6 => {
                let number = rng.pick(&[0, 1, 7, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff_u32]).to_le_bytes();
                bytes.splice(at..(at + 4).min(end), number);
            }
            7 if rng.chance(10) => bytes.truncate(at),
            _ => bytes.swap(at, end - 1),
        }
    }
}

#[test]
fn lists_of_functions_and_symbols() {
    let names = NameSet::new(["ip_rcv", "tcp_v4_rcv", "kfree_skbmem", "veth_xmit"]);
    let kallsyms = recorded("proc/kallsyms");
    let lists = [
        (List::Names, recorded("sys/kernel/tracing/available_filter_functions")),
        (List::Addresses, recorded("sys/kernel/tracing/available_filter_functions_addrs")),
    ];
    rounds(60, |rng| {
        let mut text = kallsyms.clone();
        damage(&mut text, rng);
        let symbols = Symbols::read(&text[..]).expect("memory can be read");
        for address in [0, rng.next(), u64::MAX, 0xffff_ffff_8100_0000 + rng.next() % 0x200_0000] {
            let nearest = symbols.nearest(address);
            assert!(nearest.is_none_or(|symbol| symbol.offset <= address));
            symbols.exact(address);
        }
        let (list, text) = &lists[rng.below(2)];
        let mut text = text.clone();
        damage(&mut text, rng);
        functions::parse(&text[..], *list, &names).expect("memory can be read");
    });
}

/// A directory with the files of a recorded host, removed in the end.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Copy {
        let to = std::env::temp_dir().join(format!("whither-damaged-{}", std::process::id()));
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(HOST);
        copy(&from, &to);
        Copy(to)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it is there");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else if fs::read_link(&path).map(|target| std::os::unix::fs::symlink(target, &to)).is_err() {
            fs::copy(&path, &to).expect("room");
        }
    }
}

#[test]
fn whole_hosts() {
    let files = [
        "proc/kallsyms",
        "proc/sys/kernel/osrelease",
        "sys/class/net/eth0/ifindex",
        "sys/kernel/tracing/available_filter_functions_addrs",
        "sys/kernel/tracing/available_filter_functions",
        "sys/kernel/btf/nf_conntrack",
        "sys/kernel/btf/vmlinux",
    ];
    let root = Copy::new();
    let words = "whither --all-kmods --filter-track-skb --filter-ifname eth0 host 10.0.0.2".split(' ');
    let Ok(cli::Command::Trace(args)) = cli::parse(words.map(Into::into)) else { panic!("these are flags") };
    let good = Host::with(&args, &Roots::under(&root.0), None, 2, |_, _| features());
    good.expect("nothing is damaged yet");
    let check = |rng: &mut Rng| {
        let file = rng.pick(&files);
        let mut bytes = recorded(file);
        damage(&mut bytes, rng);
        fs::write(root.0.join(file), bytes).expect("room");
        match Host::with(&args, &Roots::under(&root.0), None, 2, |_, _| features()) {
            Ok(host) => {
                for backend in make::ladder(&args, &host) {
                    match Plan::new(&args, &host, backend) {
                        Ok(plan) => drop(whither::program::build(&plan).map(|programs| programs.to_string())),
                        Err(error) => assert!(!error.to_string().is_empty()),
                    }
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        fs::write(root.0.join(file), recorded(file)).expect("room");
    };
    // A seed and a round that found a mistake: members of a size that no load has.
    check(&mut Rng::fork(11, 11951));
    rounds(15, check);
}

fn features() -> Features {
    let no = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
    Features {
        ring_buffer: Ok(()),
        cast: Err(no()),
        read_kernel: Ok(()),
        cookie: Err(no()),
        task: Ok(()),
        fentry: Some(Ok(())),
    }
}

#[test]
fn packed_types() {
    let packed: Vec<Vec<u8>> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packed"))
        .expect("they are there")
        .map(|entry| fs::read(entry.expect("it is there").path()).expect("it is there"))
        .collect();
    rounds(60, |rng| {
        let mut bytes = packed[rng.below(packed.len())].clone();
        damage(&mut bytes, rng);
        match packed::btf(bytes) {
            Ok(types) => assert!(types.len() < 1 << 30),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

/// A capture file of three packets, in either format.
fn captures() -> [Vec<u8>; 2] {
    let packet = [&[2; 12][..], &[8, 0, 0x45], &[0; 45]].concat();
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut old = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1]);
    let mut new = words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, !0, !0, 28, 1, 20, 1, 65535, 20]);
    for _ in 0..3 {
        old.extend(words(&[1, 2, 60, 60]));
        old.extend(&packet);
        new.extend(words(&[6, 92, 0, 0, 0, 60, 60]));
        new.extend(&packet);
        new.extend(words(&[92]));
    }
    [old, new]
}

#[test]
fn capture_files() {
    let count = |bytes: &[u8]| {
        let Ok(mut reader) = capture::Reader::new(bytes) else { return 0 };
        let mut count = 0;
        while let Ok(Some(packet)) = reader.next() {
            assert!(packet.data.len() <= bytes.len());
            count += 1;
        }
        count
    };
    let files = captures();
    assert_eq!(files.each_ref().map(|file| count(file)), [3, 3]);
    rounds(3000, |rng| {
        let mut bytes = files[rng.below(2)].clone();
        damage(&mut bytes, rng);
        count(&bytes);
    });
}

#[test]
fn command_lines() {
    let mut words: Vec<String> = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/help.txt"))
        .expect("it is there")
        .split(|c: char| c.is_whitespace() || "[]<>(),:;'".contains(c))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    words.extend(
        ["0", "-1", "4294967296", "64K", "0xa00/0xf00", "inode:1", "a:b", "", "=", "--", "-", "skb->mark"]
            .map(str::to_owned),
    );
    rounds(1000, |rng| {
        let line = (0..rng.range(1, 9)).map(|_| {
            let mut word = words[rng.below(words.len())].clone().into_bytes();
            if rng.chance(20) {
                damage(&mut word, rng);
                word.truncate(200);
            }
            // What may stand on a command line: any byte but 0.
            word.retain(|&byte| byte != 0);
            std::os::unix::ffi::OsStringExt::from_vec(word)
        });
        let line: Vec<std::ffi::OsString> = ["whither".into()].into_iter().chain(line).collect();
        match cli::parse(line) {
            Ok(cli::Command::Trace(args)) => {
                let _ = (make::expression(&args), make::inner(&args));
            }
            Ok(_) => {}
            Err(misuse) => assert!(misuse.to_string().starts_with("error: ")),
        }
    });
}
