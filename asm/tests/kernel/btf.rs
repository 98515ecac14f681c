//! As much BTF (`Documentation/bpf/btf.rst`) as finds a function of the kernel by name, and names our own.

const KIND_INT: u32 = 1;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;

/// BTF for functions `int f(void)` of these names. The first one has the id [`FIRST_FUNCTION`], the others follow.
pub fn functions(names: &[&str]) -> Vec<u8> {
    let mut strings = b"\0int\0".to_vec();
    // An integer: name, info, size, encoding (signed, 32 bits). A prototype that returns it.
    let mut types = vec![1, KIND_INT << 24, 4, 1 << 24 | 32];
    types.extend([0, KIND_FUNC_PROTO << 24, 1]);
    for name in names {
        types.extend([strings.len() as u32, KIND_FUNC << 24, 2]);
        strings.extend(name.bytes().chain([0]));
    }
    let types_len = types.len() as u32 * 4;
    // Magic, version, flags; header, offset and length of the types, of the strings.
    let header = [0x0001_eb9f, 24, 0, types_len, types_len, strings.len() as u32];
    header.into_iter().chain(types).flat_map(u32::to_le_bytes).chain(strings).collect()
}

pub const FIRST_FUNCTION: u32 = 3;

/// The BTF id of a function, if the running kernel has BTF and the function.
pub fn function(name: &str) -> Option<u32> {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let header = word(4)? as usize;
    let (types, types_len, strings) = (word(8)? as usize, word(12)? as usize, word(16)? as usize);
    let (mut at, end) = (header + types, header + types + types_len);
    let mut id = 1;
    while at < end {
        let (name_off, info) = (word(at)? as usize, word(at + 4)?);
        let text = bytes.get(header + strings + name_off..)?;
        if info >> 24 & 0x1f == KIND_FUNC
            && text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
        {
            return Some(id);
        }
        let members = (info & 0xffff) as usize;
        at += 12
            + match info >> 24 & 0x1f {
                1 | 14 | 17 => 4,                // an integer, a variable, a tag of a declaration
                3 => 12,                         // an array
                4 | 5 | 15 | 19 => 12 * members, // a struct, a union, a section, an enumeration of 64 bits
                6 | 13 => 8 * members,           // an enumeration, a prototype
                _ => 0,
            };
        id += 1;
    }
    None
}
