//! Emitted filters as whole programs, run by rbpf and by the kernel.

use asm::{Asm, Helper, Label, MapRef, Program, R0, R1, R6, R7, R8, u32, u64};
use filter_compiler::ebpf::{self, Indexing, Needs, Packet, Place, Pointer, StackWindow};
use filter_compiler::graph::Graph;

use super::judge::META;
use super::kernel;
use super::packets::Sample;

/// How a program reaches the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Window on the stack, variable stack offsets.
    Stack,
    /// Windows on the stack, two reads.
    SecondRead,
    /// Loads through a register; only for rbpf.
    Pointer,
}

/// All of them.
pub const ALL: [Access; 3] = [Access::Stack, Access::SecondRead, Access::Pointer];

/// Those that the running kernel's verifier must take.
pub fn in_kernel() -> &'static [Access] {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    // Variable offsets into the stack may be read since Linux 5.12.
    if version >= (5, 12) { &[Access::Stack, Access::SecondRead] } else { &[Access::SecondRead] }
}

/// What R6 points to: 64 bytes about the packet; in a kernel map the packet follows.
mod context {
    pub const START: i32 = 0;
    pub const CAPTURED: i32 = 8;
    pub const LENGTH: i32 = 16;
    pub const PACKET_TYPE: i32 = 24;
    pub const INTERFACE: i32 = 32;
    pub const SIZE: usize = 64;
}

/// Where the context is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// R1 points to it.
    Argument,
    /// In the only element of a map, followed by the packet.
    Map,
}

fn build(graph: &Graph, access: Access, place: Where) -> Result<Program, String> {
    let mut a = Asm::new("filter");
    let reject = a.label_named("reject");
    let needs = Needs::of(graph);
    match place {
        Where::Argument => {
            a.mov(R6, R1);
            a.load(R7, u64(R6 + context::START));
        }
        Where::Map => {
            a.load_map_value(R6, MapRef(0), 0);
            // By way of memory: the verifier forgets that this is a pointer into the map, as with an skb's addresses.
            a.lea(R0, R6 + context::SIZE as i32);
            a.store(u64(R6 + context::START), R0);
            a.load(R7, u64(R6 + context::START));
        }
    }
    a.load(R8, u32(R6 + context::CAPTURED));
    let mut packet = Packet::new(Place::Reg(R7), Place::Reg(R8));
    let metadata = [
        (&mut packet.length, context::LENGTH),
        (&mut packet.packet_type, context::PACKET_TYPE),
        (&mut packet.interface, context::INTERFACE),
    ];
    for (place, offset) in metadata {
        let slot = a.stack(8);
        a.load(R0, u32(R6 + offset));
        a.store(u64(slot), R0);
        *place = Some(Place::Slot(slot));
    }
    let emitted = match access {
        Access::Pointer => {
            let mut pointer = Pointer::new(R7, &needs, packet).map_err(|error| error.to_string())?;
            ebpf::emit(graph, &mut a, &mut pointer, reject)
        }
        Access::Stack | Access::SecondRead => {
            let indexing = if access == Access::Stack { Indexing::Stack } else { Indexing::SecondRead };
            let mut window = StackWindow::new(&mut a, &needs, packet, indexing).map_err(|error| error.to_string())?;
            window.read(&mut a, reject);
            ebpf::emit(graph, &mut a, &mut window, reject)
        }
    };
    emitted.map_err(|error| error.to_string())?;
    finish(a, reject)
}

fn finish(mut a: Asm, reject: Label) -> Result<Program, String> {
    // Whatever the filter is, both ways out must look reachable.
    a.jeq(R6, 0, reject);
    a.mov(R0, 1);
    a.exit();
    a.bind(reject);
    a.mov(R0, 0);
    a.exit();
    a.finish().map_err(|error| error.to_string())
}

/// A program for rbpf.
pub struct Interpreted {
    code: Vec<u8>,
}

impl Interpreted {
    /// Emits the filter; the error is a mistake of ours.
    pub fn new(graph: &Graph, access: Access) -> Result<Interpreted, String> {
        let program = build(graph, access, Where::Argument)?;
        let code = program.encode_unresolved().iter().flat_map(|slot| slot.to_le_bytes()).collect();
        Ok(Interpreted { code })
    }

    /// Whether the filter lets the sample through, and how many helper calls that took. `behind` follows the captured
    /// bytes in memory: it must make no difference.
    pub fn run(&self, sample: &Sample, behind: &[u8]) -> Result<(bool, u32), String> {
        let mut memory = sample.data.clone();
        memory.extend(behind);
        let mut context = context(sample);
        context[..8].copy_from_slice(&(memory.as_ptr() as u64).to_le_bytes());
        let mut vm = rbpf::EbpfVmMbuff::new(Some(&self.code)).map_err(|error| error.to_string())?;
        vm.register_helper(Helper::ProbeReadKernel.id(), kernel::probe_read).map_err(|error| error.to_string())?;
        kernel::make_readable(&memory);
        let verdict = vm.execute_program(&memory, &context).map_err(|error| error.to_string())?;
        Ok((verdict != 0, kernel::probe_reads()))
    }
}

fn context(sample: &Sample) -> [u8; context::SIZE] {
    let mut bytes = [0; context::SIZE];
    let mut put = |at: i32, value: u32| bytes[at as usize..at as usize + 4].copy_from_slice(&value.to_le_bytes());
    put(context::CAPTURED, sample.data.len() as u32);
    put(context::LENGTH, sample.wire_len);
    put(context::PACKET_TYPE, META.pkt_type.into());
    put(context::INTERFACE, META.ifindex);
    bytes
}

/// A program in the kernel, and the map that it finds its packet in.
pub struct Loaded {
    program: std::os::fd::OwnedFd,
    map: kernel::Shared,
}

/// The largest packet that fits the map, with room behind it for the window.
const LARGEST: usize = 2048;
const BEHIND: usize = 256;

impl Loaded {
    /// Emits and loads; the error holds the verifier's message.
    pub fn new(graph: &Graph, access: Access) -> Result<Loaded, String> {
        let program = build(graph, access, Where::Map)?;
        let map = kernel::Shared::new(context::SIZE + LARGEST + BEHIND).map_err(|error| error.to_string())?;
        let slots = program.encode(|_| map.fd()).map_err(|error| error.to_string())?;
        let fd = kernel::load(&slots)
            .map_err(|(error, log)| format!("BPF_PROG_LOAD, {access:?}: {error}\n{log}\n{program}\n{graph}"))?;
        Ok(Loaded { program: fd, map })
    }

    /// Whether the filter lets the sample through; `None` if the sample is too large.
    pub fn run(&self, sample: &Sample) -> Option<bool> {
        if sample.data.len() > LARGEST {
            return None;
        }
        let mut value = vec![0xa5; context::SIZE + LARGEST + BEHIND];
        value[..context::SIZE].copy_from_slice(&context(sample));
        value[context::SIZE..][..sample.data.len()].copy_from_slice(&sample.data);
        self.map.write(&value).expect("the map takes the value");
        Some(kernel::run(&self.program).expect("BPF_PROG_TEST_RUN") != 0)
    }
}
