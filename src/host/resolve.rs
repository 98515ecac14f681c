//! Where functions are and whether ftrace can trace them, asked of the kernel directly.
//!
//! The text files that say so are slow, because the kernel makes up every line of them: `/proc/kallsyms` and
//! `available_filter_functions_addrs` cost it most of a second on a slow machine, and lockdown refuses the latter.
//! A BPF program of type `syscall` (Linux 5.14) can look a name up (`bpf_kallsyms_lookup_name`, 5.16) and read the first
//! bytes of the function: a function that ftrace knows begins with the instruction that ftrace patches. Names are
//! looked up by bisection since Linux 6.2; before, each one takes a walk over all symbols, and the files are faster.
//!
//! Measured on an emulated CPU that counts instructions, 1,746 functions of Linux 6.12: 74 ms, against 1,012 ms for the
//! list and 536 ms for kallsyms, with the same result. Of several functions with one name only the first is found; the
//! others are looked for later ([`super::arrivals::further_places`]).

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use asm::{Asm, Helper, MapRef, R0, R1, R2, R3, R4, R6, R7, u32, u64};

use crate::btf::{Arch, Btf, Func, Struct};
use crate::sys::bpf::{self, AttachType, MapType, ProgLoad, ProgType};
use crate::sys::clock;

use super::targets::{LeftOut, Targets};

/// Bytes for a name, its NUL included. The kernel allows 512, its functions have at most half of this.
const NAME: usize = 128;
/// The first bytes of a function: `endbr64` (4) and a call (5), or `bti` and two instructions.
const CODE: usize = 16;
/// Name, address, code.
const ENTRY: usize = NAME + 8 + CODE;
/// Names per run of the program.
const BATCH: usize = 32;
const _: () = assert!(ENTRY.is_multiple_of(8));

/// A batch that takes longer than this is not looked up by bisection (0.1 ms), but by walking over all symbols (100 ms).
const SLOW: Duration = Duration::from_millis(20);

/// How long other tracers may take to patch the functions that are looked up, and how often it is looked whether they have.
const PATCHING: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// How a program reads kernel memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// `bpf_probe_read_kernel`. Refused under lockdown=confidentiality.
    Helper,
    /// `bpf_rdonly_cast` (Linux 6.2), to a struct of two words.
    Cast {
        /// The function's number in the kernel's BTF.
        kfunc: u32,
        /// The struct's.
        words: u32,
    },
}

impl Reading {
    /// With a cast, if the kernel's BTF has what it takes.
    pub fn cast(btf: &Btf) -> Option<Reading> {
        let kfunc = btf.find::<Func>("bpf_rdonly_cast").ok()?.id().0;
        Some(Reading::Cast { kfunc, words: btf.find::<Struct>("list_head").ok()?.id().0 })
    }
}

/// A function as it is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address.
    pub address: u64,
    /// Its first bytes; zeros if they could not be read.
    pub code: [u8; CODE],
}

/// Looks up functions, as often as it is asked to.
pub struct Lookup {
    program: OwnedFd,
    map: OwnedFd,
    names: usize,
    /// The map's only value: one entry per name.
    table: Vec<u8>,
}

impl Lookup {
    /// Loads the program. Functions of modules are called `module:function`.
    ///
    /// Fails where programs of this type cannot be loaded, or not read memory that way.
    pub fn load(names: &[String], reading: Reading) -> io::Result<Lookup> {
        if names.iter().any(|name| name.len() >= NAME || name.as_bytes().contains(&0)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let entries = names.len().next_multiple_of(BATCH).max(BATCH);
        let mut table = vec![0; entries * ENTRY];
        for (entry, name) in table.chunks_mut(ENTRY).zip(names) {
            entry[..name.len()].copy_from_slice(name.as_bytes());
        }
        let size = u32::try_from(table.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let map = bpf::map_create(MapType::Array, "whither_names", 4, size, 1)?;
        bpf::map_update(map.as_fd(), 0, &table)?;
        let program = program(size, reading).map_err(io::Error::other)?;
        let code = program.encode(|_| map.as_raw_fd()).map_err(io::Error::other)?;
        let load = ProgLoad {
            kind: ProgType::Syscall,
            attach: AttachType::None,
            name: program.name(),
            code: &code,
            attach_btf_id: 0,
            attach_to: None,
        };
        let program = bpf::prog_load(&load, &mut [])?;
        Ok(Lookup { program, map, names: names.len(), table })
    }

    /// Looks all of them up; `None` where there is none of that name.
    ///
    /// Fails with [`io::ErrorKind::TimedOut`] where the kernel walks over all symbols for each name.
    pub fn all(&mut self) -> io::Result<Vec<Option<Place>>> {
        let batches = self.table.len() / (BATCH * ENTRY);
        let slow = |time: Duration| time > SLOW;
        // What interrupts a thread counts as its own time, so one slow batch proves nothing.
        if slow(self.run(0)?) && slow(self.run(0)?) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        for batch in 1..batches {
            self.run(batch)?;
        }
        self.places()
    }

    /// Looks these once more, by their position among the names. The answer has all names; the others may be as they were.
    pub fn again(&mut self, which: &[usize]) -> io::Result<Vec<Option<Place>>> {
        let batches: BTreeSet<usize> = which.iter().map(|n| n / BATCH).collect();
        for batch in batches {
            self.run(batch)?;
        }
        self.places()
    }

    /// How long the thread took for it.
    fn run(&self, batch: usize) -> io::Result<Duration> {
        let begin = clock::thread_time();
        let first = (batch * BATCH * ENTRY / 8) as u32;
        bpf::run_syscall(self.program.as_fd(), &mut first.to_ne_bytes())?;
        Ok(clock::thread_time().saturating_sub(begin))
    }

    fn places(&mut self) -> io::Result<Vec<Option<Place>>> {
        bpf::map_lookup(self.map.as_fd(), 0, &mut self.table)?;
        Ok(self.table.chunks(ENTRY).take(self.names).map(place).collect())
    }
}

fn place(entry: &[u8]) -> Option<Place> {
    let (_, result) = entry.split_at(NAME);
    let (address, code) = result.split_first_chunk::<8>()?;
    let address = u64::from_ne_bytes(*address);
    (address != 0).then_some(Place { address, code: *code.first_chunk()? })
}

/// In: context = offset of the first entry of a batch, in words of eight bytes (so that the verifier knows what is
/// aligned), four bytes. `size` is that of the map's only value.
fn program(size: u32, reading: Reading) -> Result<asm::Program, asm::Error> {
    let mut a = Asm::new("whither_resolve");
    let end = a.label_named("end");
    a.load(R7, u32(R1));
    a.jgt(R7, (size as i32 - (BATCH * ENTRY) as i32) / 8, end);
    a.lsh(R7, 3);
    a.load_map_value(R6, MapRef(0), 0);
    a.add(R6, R7);
    for n in 0..BATCH {
        let entry = (n * ENTRY) as i32;
        let (address, code) = (entry + NAME as i32, entry + (NAME + 8) as i32);
        let next = a.label();
        a.lea(R1, R6 + entry);
        a.mov(R2, NAME as i32);
        a.mov(R3, 0);
        a.lea(R4, R6 + address);
        a.call(Helper::KallsymsLookupName);
        a.jne(R0, 0, next);
        match reading {
            Reading::Helper => {
                a.load(R3, u64(R6 + address));
                a.lea(R1, R6 + code);
                a.mov(R2, CODE as i32);
                a.call(Helper::ProbeReadKernel);
            }
            Reading::Cast { kfunc, words } => {
                a.load(R1, u64(R6 + address));
                a.mov(R2, words as i32);
                a.call_kfunc(kfunc, 0);
                a.load(R1, u64(R0));
                a.store(u64(R6 + code), R1);
                a.load(R1, u64(R0 + 8));
                a.store(u64(R6 + (code + 8)), R1);
            }
        }
        a.bind(next);
    }
    a.bind(end);
    a.mov(R0, 0);
    a.exit();
    a.finish()
}

/// True if a function that begins with `code` at `address` is one that ftrace can trace: it begins, after a landing pad
/// for indirect branches, with an instruction that does nothing, or with the call or jump that ftrace put in its place.
///
/// `is_text` tells the kernel's own code from the trampolines that ftrace calls.
pub fn is_traceable(place: &Place, arch: Arch, is_text: impl Fn(u64) -> bool) -> bool {
    let (code, address) = (&place.code[..], place.address);
    match arch {
        Arch::X86_64 => {
            let skip = pad(code);
            match code[skip..] {
                [0x0f, 0x1f, 0x44, 0x00, 0x00, ..] => true,
                // A jump where fexit is attached (`ftrace_is_jmp`, seen on 7.2).
                [0xe8 | 0xe9, a, b, c, d, ..] => {
                    let distance = i64::from(i32::from_le_bytes([a, b, c, d]));
                    !is_text(address.wrapping_add_signed(distance + skip as i64 + 5))
                }
                _ => false,
            }
        }
        Arch::Aarch64 => {
            let word = |n: usize| u32::from_le_bytes([code[n], code[n + 1], code[n + 2], code[n + 3]]);
            // `mov x9, x30`, then `nop` or `bl` (arch/arm64/kernel/ftrace.c); two `nop` before the first use. A kprobe
            // is a breakpoint in place of the first instruction (`BRK64_OPCODE_KPROBES`), which may be `bti c`.
            let (bti, nop, probe) = (0xd503_245f, 0xd503_201f, 0xd420_0080);
            let is_site = |first: u32, second: u32| match first {
                0xaa1e_03e9 => second == nop || second >> 26 == 0x25,
                _ => first == nop && second == nop,
            };
            let is_probed = word(0) == probe && (word(4) == nop || word(4) >> 26 == 0x25);
            is_probed || is_site(word(0), word(4)) || ([bti, probe].contains(&word(0)) && is_site(word(4), word(8)))
        }
    }
}

/// True if a function that is not [`is_traceable`] may be so a moment later, because ftrace was about to patch it for another
/// tracer. On x86_64 a breakpoint stands in the first byte meanwhile (`text_poke_bp_batch`,
/// arch/x86/kernel/alternative.c), and behind a landing pad the five bytes are in two words, which are read one by one. On
/// aarch64 instructions are replaced whole.
fn is_unclear(place: &Place, arch: Arch) -> bool {
    let skip = pad(&place.code);
    match place.code[skip..] {
        _ if arch != Arch::X86_64 => false,
        [0xcc, ..] => true,
        [0xe8, ..] | [0x0f, 0x1f, 0x44, ..] => skip > 0,
        _ => false,
    }
}

/// Length of the landing pad for indirect branches: `endbr64`, or what the kernel writes over it where nothing branches to the
/// function (`gen_endbr_poison`, arch/x86/include/asm/ibt.h).
fn pad(code: &[u8]) -> usize {
    let pads = [[0xf3, 0x0f, 0x1e, 0xfa], [0x66, 0x0f, 0x1f, 0x00], [0x0f, 0x1f, 0x40, 0xd6]];
    if pads.iter().any(|pad| code.starts_with(pad)) { 4 } else { 0 }
}

/// Functions that every kernel has and ftrace can trace. If none of them looks like it, the kernel has no ftrace, or
/// one that we do not understand.
const CONTROLS: [&str; 3] = ["vprintk", "kfree_skbmem", "ip_rcv"];

impl Targets {
    /// Sets the addresses and leaves out what ftrace cannot trace, without reading a list. Changes nothing if it fails.
    ///
    /// Fails where programs cannot do this, where addresses are hidden (`kernel.kptr_restrict`), without ftrace,
    /// where it would be slow, and where a function looks for long as if it were about to be patched.
    pub fn resolve(&mut self, reading: Reading, arch: Arch) -> io::Result<()> {
        let mut names: Vec<String> = Vec::new();
        for f in &self.functions {
            names.push(match &f.module {
                Some(module) => format!("{module}:{}", f.name),
                None => f.name.to_string(),
            });
        }
        let limits = ["_stext", "_etext", "ftrace_caller", "ftrace_regs_caller"];
        names.extend(limits.into_iter().chain(CONTROLS).map(str::to_owned));
        let mut lookup = Lookup::load(&names, reading)?;
        let mut places = lookup.all()?;
        let limits: Vec<u64> = places[self.functions.len()..].iter().map(|p| p.map_or(0, |p| p.address)).collect();
        if limits[0] == 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let is_text = |address: u64| (limits[0]..limits[1]).contains(&address) && !limits[2..4].contains(&address);
        let begin = Instant::now();
        loop {
            let is_unclear = |place: &Place| !is_traceable(place, arch, is_text) && is_unclear(place, arch);
            let unclear: Vec<usize> =
                (0..names.len()).filter(|&n| places[n].as_ref().is_some_and(is_unclear)).collect();
            if unclear.is_empty() {
                break;
            }
            if begin.elapsed() > PATCHING {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            thread::sleep(PAUSE);
            let again = lookup.again(&unclear)?;
            for n in unclear {
                places[n] = again[n];
            }
        }
        let controls = places.split_off(names.len() - CONTROLS.len());
        places.truncate(self.functions.len());
        if !controls.iter().flatten().any(|place| is_traceable(place, arch, is_text)) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut places = places.into_iter();
        self.retain(|f| {
            let Some(place) = places.next().flatten() else { return Err(LeftOut::NoSymbol) };
            if !is_traceable(&place, arch, is_text) {
                return Err(LeftOut::NotTraceable);
            }
            f.addresses = vec![place.address];
            Ok(())
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ftrace_patches() {
        let check = |arch, code: &[u8], expected: bool| {
            let mut place = Place { address: 0x1000, code: [0; CODE] };
            place.code[..code.len()].copy_from_slice(code);
            let text = |address: u64| (0x1000..0x9000).contains(&address) && address != 0x8000;
            assert_eq!(is_traceable(&place, arch, text), expected, "{arch:?} {code:x?}");
        };
        let nop = [0x0f, 0x1f, 0x44, 0, 0];
        check(Arch::X86_64, &nop, true);
        check(Arch::X86_64, &[&[0xf3, 0x0f, 0x1e, 0xfa][..], &nop].concat(), true);
        check(Arch::X86_64, &[&[0x66, 0x0f, 0x1f, 0x00][..], &nop].concat(), true);
        // push rbp; mov rbp, rsp
        check(Arch::X86_64, &[0x55, 0x48, 0x89, 0xe5], false);
        check(Arch::X86_64, &[0xf3, 0x0f, 0x1e, 0xfa, 0x55], false);
        // A call to ftrace's entry at 0x8000, to a trampoline outside, to a function.
        check(Arch::X86_64, &[0xe8, 0xfb, 0x6f, 0, 0], true);
        check(Arch::X86_64, &[0xe8, 0, 0, 0, 0x40], true);
        check(Arch::X86_64, &[0xe8, 0, 0x10, 0, 0], false);
        check(Arch::X86_64, &[0xe9, 0, 0, 0, 0x40], true);
        check(Arch::X86_64, &[0xe9, 0, 0x10, 0, 0], false);
        check(Arch::X86_64, &[], false);

        let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
        check(Arch::Aarch64, &words(&[0xaa1e_03e9, 0xd503_201f]), true);
        check(Arch::Aarch64, &words(&[0xd503_245f, 0xaa1e_03e9, 0x9400_1234]), true);
        check(Arch::Aarch64, &words(&[0xd503_201f, 0xd503_201f]), true);
        // A kprobe, in front of a site, in it, and elsewhere.
        check(Arch::Aarch64, &words(&[0xd420_0080, 0xaa1e_03e9, 0x9400_1234]), true);
        check(Arch::Aarch64, &words(&[0xd420_0080, 0xd503_201f, 0xa9bf_7bfd]), true);
        check(Arch::Aarch64, &words(&[0xd420_0080, 0x9400_1234, 0xa9bf_7bfd]), true);
        check(Arch::Aarch64, &words(&[0xd420_0080, 0xa9bf_7bfd, 0x9100_03fd]), false);
        // paciasp; stp x29, x30, [sp, #-16]!
        check(Arch::Aarch64, &words(&[0xd503_233f, 0xa9bf_7bfd]), false);
    }

    /// The five bytes of a site, at the start or behind a landing pad, while they are replaced.
    #[test]
    fn what_is_about_to_be_patched_is_looked_at_again() {
        let is_unclear = |code: &[u8]| {
            let mut place = Place { address: 0x1000, code: [0; CODE] };
            place.code[..code.len()].copy_from_slice(code);
            is_unclear(&place, Arch::X86_64)
        };
        let pad = [0xf3, 0x0f, 0x1e, 0xfa];
        for site in [[0xcc, 0x1f, 0x44, 0, 0], [0xcc, 0, 0, 0, 0x40]] {
            assert!(is_unclear(&site) && is_unclear(&[&pad[..], &site].concat()), "{site:x?}");
        }
        // The first four bytes are old, the fifth is new, and the other way round.
        for site in [[0x0f, 0x1f, 0x44, 0, 0x40], [0xe8, 0, 0, 0, 0]] {
            assert!(is_unclear(&[&pad[..], &site].concat()), "{site:x?}");
        }
        assert!(
            !is_unclear(&[0x55, 0x48, 0x89, 0xe5]) && !is_unclear(&[&pad[..], &[0x55]].concat()) && !is_unclear(&[])
        );
    }

    #[test]
    fn names_that_do_not_fit_are_an_error() {
        let error = Lookup::load(&["a".repeat(NAME)], Reading::Helper).err().map(|error| error.kind());
        assert_eq!(error, Some(io::ErrorKind::InvalidInput));
    }
}
