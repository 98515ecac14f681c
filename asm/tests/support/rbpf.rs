//! What rbpf can be asked to execute.

use asm::{AluOp, Cmp, Op, Operand, Program, Width};

/// What rbpf 0.4.1 executes as the kernel does. It compares whole registers with zero-extended constants (the kernel
/// extends the sign), keeps the upper half after a 32-bit remainder by 0, and overflows when it negates the smallest
/// number.
pub fn executes(op: &Op) -> bool {
    match op {
        Op::Branch { cmp, width: Width::W64, rhs: Operand::Imm(imm), .. } => {
            *imm >= 0 || matches!(cmp, Cmp::Set | Cmp::Sgt | Cmp::Sge | Cmp::Slt | Cmp::Sle)
        }
        Op::Alu { op: AluOp::Rem, width: Width::W32, src: Operand::Reg(_), .. } => false,
        Op::Neg { width: Width::W64, .. } => false,
        Op::Atomic { .. } => false,
        _ => true,
    }
}

/// Runs the program on a context that R1 points to.
pub fn run(program: &Program, context: &mut [u8]) -> u64 {
    let bytes: Vec<u8> = program.encode_unresolved().into_iter().flat_map(u64::to_le_bytes).collect();
    let vm = rbpf::EbpfVmRaw::new(Some(&bytes)).unwrap_or_else(|error| panic!("{error}:\n{program}"));
    vm.execute_program(context).unwrap_or_else(|error| panic!("{error}:\n{program}"))
}
