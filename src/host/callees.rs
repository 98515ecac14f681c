//! Which functions native code calls: x86-64 instructions, told apart by their length.
//!
//! Code of the kernel's BPF compiler is a row of instructions without data between them, so the length of each says
//! where the next one begins (Intel's manual, volume 2, chapter 2 and appendix A). A byte that begins no instruction
//! that we know ends the walk: what would be read after it could be anything.

/// Where the walk through code ended too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Offset of the instruction that is not known.
    pub offset: usize,
}

/// The functions that `code`, which lies at `address`, calls directly, in order; and where it could not be read on.
pub fn calls(code: &[u8], address: u64) -> (Vec<u64>, Option<Unknown>) {
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let Some(length) = length(&code[at..]) else { return (found, Some(Unknown { offset: at })) };
        let next = at + length;
        if code[at] == 0xe8
            && let Some(distance) = code[at + 1..].first_chunk()
        {
            let distance = i64::from(i32::from_le_bytes(*distance));
            found.push(address.wrapping_add(next as u64).wrapping_add_signed(distance));
        }
        at = next;
    }
    (found, None)
}

/// The length of the instruction that `code` begins with; `None` if it is cut off or not known.
pub fn length(code: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut short = false;
    loop {
        match *code.get(at)? {
            0x66 => short = true,
            0x67 | 0xf0 | 0xf2 | 0xf3 | 0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 => {}
            _ => break,
        }
        at += 1;
    }
    let mut wide = false;
    if let rex @ 0x40..=0x4f = *code.get(at)? {
        wide = rex & 8 != 0;
        at += 1;
    }
    let opcode = *code.get(at)?;
    at += 1;
    let word = if short && !wide { 2 } else { 4 };
    // Whether a byte of operands (ModRM) follows, and how many bytes of a constant.
    let (operands, constant) = match opcode {
        0x0f => {
            let opcode = *code.get(at)?;
            at += 1;
            match opcode {
                0x38 => {
                    at += 1;
                    (true, 0)
                }
                0x3a => {
                    at += 1;
                    (true, 1)
                }
                _ => second(opcode)?,
            }
        }
        // VEX: the map of opcodes is in the prefix.
        0xc5 => {
            let opcode = *code.get(at + 1)?;
            at += 2;
            second(opcode)?
        }
        0xc4 => {
            let (map, opcode) = (*code.get(at)? & 0x1f, *code.get(at + 2)?);
            at += 3;
            match map {
                1 => second(opcode)?,
                2 => (true, 0),
                3 => (true, 1),
                _ => return None,
            }
        }
        _ => first(opcode, code.get(at).copied(), word, wide)?,
    };
    if operands {
        at += addressing(code.get(at..)?)?;
    }
    let end = at + constant;
    (end <= code.len()).then_some(end)
}

/// Opcodes of one byte.
fn first(opcode: u8, next: Option<u8>, word: usize, wide: bool) -> Option<(bool, usize)> {
    // TEST is the only one of its group with a constant.
    let tests = || next.map(|modrm| modrm & 0x30 == 0);
    Some(match opcode {
        0x00..=0x3f => match opcode & 7 {
            0..=3 => (true, 0),
            4 => (false, 1),
            5 => (false, word),
            _ => return None,
        },
        0x50..=0x5f | 0x90..=0x99 | 0x9b..=0x9f | 0xa4..=0xa7 | 0xaa..=0xaf => (false, 0),
        0xc3 | 0xc9 | 0xcc | 0xf4 | 0xf5 | 0xf8..=0xfd => (false, 0),
        0x63 | 0x84..=0x8f | 0xd0..=0xd3 | 0xd8..=0xdf | 0xfe | 0xff => (true, 0),
        0x68 | 0xa9 => (false, word),
        0x69 | 0x81 | 0xc7 => (true, word),
        0x6a | 0x70..=0x7f | 0xa8 | 0xb0..=0xb7 | 0xcd | 0xe0..=0xe3 | 0xeb => (false, 1),
        0x6b | 0x80 | 0x83 | 0xc0 | 0xc1 | 0xc6 => (true, 1),
        0xa0..=0xa3 => (false, 8),
        0xb8..=0xbf => (false, if wide { 8 } else { word }),
        0xc2 => (false, 2),
        0xe8 | 0xe9 => (false, 4),
        0xf6 => (true, usize::from(tests()?)),
        0xf7 => (true, if tests()? { word } else { 0 }),
        _ => return None,
    })
}

/// Opcodes behind 0x0f.
fn second(opcode: u8) -> Option<(bool, usize)> {
    Some(match opcode {
        0x05 | 0x06 | 0x08 | 0x09 | 0x0b | 0x30..=0x35 | 0x77 | 0xa0..=0xa2 | 0xa8..=0xaa | 0xc8..=0xcf => (false, 0),
        0x80..=0x8f => (false, 4),
        0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => (true, 1),
        0x00..=0x03 | 0x0d | 0x10..=0x1f | 0x20..=0x23 | 0x28..=0x2f | 0x40..=0x6f | 0x74..=0x76 | 0x78..=0x7f => {
            (true, 0)
        }
        0x90..=0x9f | 0xa3 | 0xa5 | 0xab | 0xad..=0xb9 | 0xbb..=0xc1 | 0xc3 | 0xc7 | 0xd0..=0xff => (true, 0),
        _ => return None,
    })
}

/// How many bytes of operands `code` begins with: ModRM, SIB and a displacement.
fn addressing(code: &[u8]) -> Option<usize> {
    let modrm = *code.first()?;
    let (mode, register) = (modrm >> 6, modrm & 7);
    if mode == 3 {
        return Some(1);
    }
    let base = if register == 4 { *code.get(1)? & 7 } else { register };
    let index = usize::from(register == 4);
    Some(match mode {
        0 if base == 5 => 1 + index + 4,
        0 => 1 + index,
        1 => 1 + index + 1,
        _ => 1 + index + 4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel's BPF compiler emits (arch/x86/net/bpf_jit_comp.c), as bytes.
    const INSTRUCTIONS: &[&[u8]] = &[
        &[0xf3, 0x0f, 0x1e, 0xfa],                   // endbr64
        &[0x0f, 0x1f, 0x44, 0x00, 0x00],             // nop, five bytes
        &[0x66, 0x90],                               // nop, two bytes
        &[0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],    // nop, nine bytes
        &[0x55],                                     // push rbp
        &[0x41, 0x55],                               // push r13
        &[0x48, 0x89, 0xe5],                         // mov rbp, rsp
        &[0x48, 0x81, 0xec, 0x20, 0, 0, 0],          // sub rsp, 32
        &[0x48, 0x83, 0xc7, 0xf8],                   // add rdi, -8
        &[0x31, 0xc0],                               // xor eax, eax
        &[0xb8, 1, 0, 0, 0],                         // mov eax, 1
        &[0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8],       // movabs rax, ...
        &[0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff], // mov rax, -1
        &[0x66, 0xc7, 0x45, 0xf8, 1, 0],             // mov word [rbp - 8], 1
        &[0xc6, 0x45, 0xf8, 1],                      // mov byte [rbp - 8], 1
        &[0x48, 0x8b, 0x77, 0x08],                   // mov rsi, [rdi + 8]
        &[0x48, 0x0f, 0xb6, 0x47, 0x10],             // movzx rax, byte [rdi + 16]
        &[0x49, 0x63, 0xc5],                         // movsxd rax, r13d
        &[0x41, 0x0f, 0xcd],                         // bswap r13d
        &[0x66, 0xc1, 0xc8, 0x08],                   // ror ax, 8
        &[0xc4, 0xe2, 0xf9, 0xf7, 0xc6],             // shlx rax, rsi, rax
        &[0xf0, 0x48, 0x01, 0x47, 0x00],             // lock add [rdi], rax
        &[0xf0, 0x49, 0x0f, 0xb1, 0x55, 0x00],       // lock cmpxchg [r13], rdx
        &[0x48, 0xf7, 0xc6, 1, 0, 0, 0],             // test rsi, 1
        &[0x48, 0xf7, 0xf1],                         // div rcx
        &[0x48, 0xf7, 0xd8],                         // neg rax
        &[0x0f, 0x84, 0, 0, 0, 0],                   // je
        &[0x74, 0x05],                               // je, near
        &[0xe9, 0, 0, 0, 0],                         // jmp
        &[0xe8, 0, 0, 0, 0],                         // call
        &[0xff, 0xd0],                               // call rax
        &[0xff, 0x25, 0, 0, 0, 0],                   // jmp [rip]
        &[0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0], // mov rax, gs:[...]
        &[0x65, 0x48, 0xc1, 0x3d, 0, 0, 0, 0, 5],    // sar gs:[rip], 5: call depth
        &[0x0f, 0xae, 0xe8],                         // lfence
        &[0x4c, 0x8b, 0xb5, 0xe8, 0xff, 0xff, 0xff], // mov r14, [rbp - 24]
        &[0x48, 0x8d, 0x44, 0x24, 0x08],             // lea rax, [rsp + 8]
        &[0x48, 0x69, 0xc0, 3, 0, 0, 0],             // imul rax, rax, 3
        &[0xc9],                                     // leave
        &[0xc3],                                     // ret
        &[0xcc],                                     // int3
    ];

    #[test]
    fn every_instruction_has_its_length() {
        for &bytes in INSTRUCTIONS {
            assert_eq!(length(bytes), Some(bytes.len()), "{bytes:02x?}");
            for cut in 0..bytes.len() {
                assert!(length(&bytes[..cut]).is_none_or(|length| length <= cut), "{bytes:02x?} cut to {cut}");
            }
        }
    }

    #[test]
    fn calls_are_found_between_bytes_that_look_like_them() {
        // mov eax, 0xe8e8e8e8; call +0x10; movabs rax, ...e8...; call -0x20
        let code = [
            &[0xb8, 0xe8, 0xe8, 0xe8, 0xe8][..],
            &[0xe8, 0x10, 0, 0, 0],
            &[0x48, 0xb8, 0xe8, 1, 0, 0, 0, 0xe8, 2, 3],
            &[0xe8, 0xe0, 0xff, 0xff, 0xff],
        ]
        .concat();
        assert_eq!(calls(&code, 0x1000), (vec![0x1000 + 10 + 0x10, 0x1000 + 25 - 0x20], None));
    }

    #[test]
    fn what_is_not_known_ends_the_walk() {
        // 0x06 is no instruction in 64-bit mode.
        assert_eq!(calls(&[0x90, 0x06, 0xe8, 0, 0, 0, 0], 0), (vec![], Some(Unknown { offset: 1 })));
        assert_eq!(calls(&[0xe8, 0, 0], 0), (vec![], Some(Unknown { offset: 0 })));
    }
}
