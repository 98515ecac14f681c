//! A text, a NUL, a packet: whatever compiles gives a valid classic program, which runs on the packet, and valid eBPF.
#![no_main]

use asm::{Asm, R0, R1, R7, R8, u64};
use filter_compiler::cbpf::{End, Packet, Runner};
use filter_compiler::ebpf::{self, Indexing, Needs, Place, StackWindow};
use filter_compiler::{LinkType, compile, names, to_cbpf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |&byte| byte == 0);
    let (text, packet) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(text) = std::str::from_utf8(text) else { return };
    for link in [LinkType::En10Mb, LinkType::Raw] {
        let Ok(graph) = compile(text, link, &names::Builtin) else { continue };
        if let Ok(program) = to_cbpf(&graph) {
            program.check(Runner::Userland).expect("our own program");
            assert_ne!(program.run(&Packet::whole(packet)).end, End::Invalid);
            assert_eq!(program.decimal().to_string().parse().as_ref(), Ok(&program));
        }
        let mut a = Asm::new("filter");
        let reject = a.label();
        a.load(R7, u64(R1));
        a.load(R8, u64(R1 + 8));
        let mut access = ebpf::Packet::new(Place::Reg(R7), Place::Reg(R8));
        let any = Some(Place::Reg(R8));
        (access.length, access.packet_type, access.interface) = (any, any, any);
        let window = StackWindow::new(&mut a, &Needs::of(&graph), access, Indexing::SecondRead);
        let mut window = window.expect("all metadata is there");
        window.read(&mut a, reject);
        match ebpf::emit(&graph, &mut a, &mut window, reject) {
            Err(ebpf::Error::TooLong(_)) => continue,
            emitted => emitted.expect("it can be emitted"),
        }
        a.jeq(R7, 0, reject);
        a.mov(R0, 1);
        a.exit();
        a.bind(reject);
        a.mov(R0, 0);
        a.exit();
        a.finish().expect("the assembler takes it");
    }
});
