//! The two things that packing wants from an ELF file: the libraries that a program needs, and the strings that a kernel
//! module says about itself.

use crate::error::{Error, Result};

const DT_NEEDED: u64 = 1;

struct Section<'a> {
    name: u32,
    link: usize,
    content: &'a [u8],
}

/// The names of the shared libraries that a 64-bit little-endian ELF file needs; none if it is static.
pub fn needed(file: &[u8]) -> Result<Vec<String>> {
    let (sections, names) = sections(file)?;
    let Some(dynamic) = sections.iter().find(|section| string(names, section.name as usize) == b".dynamic") else {
        return Ok(Vec::new());
    };
    let strings = sections.get(dynamic.link).ok_or_else(broken)?.content;
    let entries = dynamic.content.chunks_exact(16);
    let wanted = entries.filter(|entry| number(entry, 0, 8) == Some(DT_NEEDED));
    wanted
        .map(|entry| {
            let at = number(entry, 8, 8).ok_or_else(broken)? as usize;
            Ok(String::from_utf8_lossy(string(strings, at)).into_owned())
        })
        .collect()
}

/// The values of `key` in a module's `.modinfo`.
pub fn modinfo(file: &[u8], key: &str) -> Result<Vec<String>> {
    let (sections, names) = sections(file)?;
    let info = sections.iter().find(|section| string(names, section.name as usize) == b".modinfo");
    let info = info.ok_or_else(|| Error::new("the module has no .modinfo"))?.content;
    let pairs = info.split(|byte| *byte == 0).filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='));
    Ok(pairs.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).collect())
}

fn sections(file: &[u8]) -> Result<(Vec<Section<'_>>, &[u8])> {
    if file.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err(Error::new("not a 64-bit little-endian ELF file"));
    }
    let field = |at, size| number(file, at, size).ok_or_else(broken);
    let (table, size) = (field(0x28, 8)? as usize, field(0x3a, 2)? as usize);
    let (count, names) = (field(0x3c, 2)? as usize, field(0x3e, 2)? as usize);
    let read = |index: usize| {
        let start = size.checked_mul(index)?.checked_add(table)?;
        let header = file.get(start..start.checked_add(64)?)?;
        let (offset, length) = (number(header, 24, 8)? as usize, number(header, 32, 8)? as usize);
        // A section without bytes in the file (.bss) has an offset and a size that need not fit.
        let content = if number(header, 4, 4)? == 8 { &[] } else { file.get(offset..offset.checked_add(length)?)? };
        Some(Section { name: number(header, 0, 4)? as u32, link: number(header, 40, 4)? as usize, content })
    };
    let sections: Vec<_> = (0..count).map(|index| read(index).ok_or_else(broken)).collect::<Result<_>>()?;
    let names = sections.get(names).ok_or_else(broken)?.content;
    Ok((sections, names))
}

fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn string(table: &[u8], at: usize) -> &[u8] {
    let tail = table.get(at..).unwrap_or_default();
    &tail[..tail.iter().position(|byte| *byte == 0).unwrap_or(tail.len())]
}

fn broken() -> Error {
    Error::new("the ELF file ends too early")
}

#[cfg(test)]
mod tests {
    #[test]
    fn our_own_test_binary_needs_libc() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(super::needed(&file).unwrap().iter().any(|name| name.starts_with("libc.so")));
    }

    #[test]
    fn a_cut_file_is_refused() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in [0, 4, 20, 63, 64, 1000, file.len() / 2] {
            assert!(super::needed(&file[..length]).is_err());
        }
    }
}
