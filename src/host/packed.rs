//! Files that hold a kernel's types: raw BTF, an ELF file with a `.BTF` section, or either packed, also in an archive.
//!
//! So an unpacked `vmlinux`, the files of a debug package and those of public collections of BTF (`.btf.tar.xz`) can be
//! named as they are.

use crate::sys::process;
use crate::sys::stop::Stop;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

/// No kernel with its debug information is larger.
const LIMIT: u64 = 1 << 30;
/// Packed, in an archive, ELF, and one to spare.
const DEPTH: usize = 4;
/// Largest window that a compressed file may ask for.
const WINDOW: usize = 128 << 20;

/// Why a file holds no types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackedError {
    /// It is none of the formats that are read.
    Unknown,
    /// A kernel image as boot loaders take it.
    BootImage,
    /// ELF without types.
    NoSection,
    /// ELF of another kind, or cut off.
    BadElf,
    /// It does not unpack.
    Unpack(&'static str, String),
    /// It unpacks to more than any kernel has.
    TooLarge,
    /// The archive holds no file.
    EmptyArchive,
}

/// What is read, for messages.
const FORMATS: &str =
    "raw BTF, an ELF file with a .BTF section, or one of them packed by gzip, xz or zstd, or in a tar archive";

impl fmt::Display for PackedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PackedError::Unknown => write!(f, "this is not {FORMATS}"),
            PackedError::BootImage => {
                write!(f, "this is a boot image; take its vmlinux (scripts/extract-vmlinux of the kernel), {FORMATS}")
            }
            PackedError::NoSection => f.write_str("this ELF file has no .BTF section"),
            PackedError::BadElf => f.write_str("this ELF file is cut off, or not 64-bit little-endian"),
            PackedError::Unpack(format, error) => write!(f, "the {format} data is damaged: {error}"),
            PackedError::TooLarge => f.write_str("this unpacks to more than 1 GiB"),
            PackedError::EmptyArchive => f.write_str("this archive holds no file"),
        }
    }
}

impl std::error::Error for PackedError {}

/// The bytes of a file. Of one without an end, such as a device, as many as are too many for [`btf`]. Nothing if `stop` asks
/// for the end before, see [`process::read_file`].
pub fn read(path: &Path, stop: Option<&Stop>) -> io::Result<Option<Vec<u8>>> {
    process::read_file(path, LIMIT + 1, stop)
}

/// The BTF in `bytes`, which is a file as [`FORMATS`] has it.
pub fn btf(bytes: Vec<u8>) -> Result<Vec<u8>, PackedError> {
    let mut bytes = bytes;
    for _ in 0..DEPTH {
        bytes = match &bytes[..] {
            [0x9f, 0xeb, ..] | [0xeb, 0x9f, ..] => return Ok(bytes),
            [0x7f, b'E', b'L', b'F', ..] => section(&bytes)?.to_vec(),
            [0x1f, 0x8b, ..] => unpack("gzip", flate2::read::MultiGzDecoder::new(&bytes[..]))?,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => xz(&bytes)?,
            // Whatever is in front of the first frame may be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => zstd(&bytes)?,
            packed if packed.get(257..262) == Some(b"ustar") => first_file(packed)?.to_vec(),
            image if image.get(0x202..0x206) == Some(b"HdrS") => return Err(PackedError::BootImage),
            _ => return Err(PackedError::Unknown),
        };
    }
    Err(PackedError::Unknown)
}

fn unpack(format: &'static str, reader: impl Read) -> Result<Vec<u8>, PackedError> {
    let mut out = Vec::new();
    let read = reader.take(LIMIT + 1).read_to_end(&mut out);
    read.map_err(|error| PackedError::Unpack(format, error.to_string()))?;
    if out.len() as u64 > LIMIT { Err(PackedError::TooLarge) } else { Ok(out) }
}

fn xz(bytes: &[u8]) -> Result<Vec<u8>, PackedError> {
    let ends_early = || PackedError::Unpack("xz", "it ends early".into());
    let mut decoder = xz4rust::XzDecoder::in_heap_with_alloc_dict_size(1 << 20, WINDOW);
    let mut out = Vec::new();
    let mut chunk = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        let done = decoder.decode(&bytes[at..], &mut chunk);
        let done = done.map_err(|error| match error {
            xz4rust::XzError::NeedsLargerInputBuffer => ends_early(),
            error => PackedError::Unpack("xz", error.to_string()),
        })?;
        let (read, written) = (done.input_consumed(), done.output_produced());
        at += read;
        out.extend_from_slice(&chunk[..written]);
        if out.len() as u64 > LIMIT {
            return Err(PackedError::TooLarge);
        }
        if done.is_end_of_stream() {
            return Ok(out);
        }
        if read == 0 && written == 0 {
            return Err(ends_early());
        }
    }
}

/// All frames of `bytes` (RFC 8878).
fn zstd(bytes: &[u8]) -> Result<Vec<u8>, PackedError> {
    let damaged = |what: &str| PackedError::Unpack("zstd", what.to_owned());
    let refused = |error, rest: &[u8]| match error {
        FrameDecoderError::WindowSizeTooBig { .. } => damaged("it needs a window of more than 128 MiB"),
        FrameDecoderError::DictNotProvided { .. } => damaged("it needs a dictionary"),
        _ if rest.is_empty() => damaged("it ends early"),
        FrameDecoderError::ReadFrameHeaderError(_) => damaged("something else follows"),
        _ => damaged("a block cannot be unpacked"),
    };
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW as u64);
    let (mut rest, mut out) = (bytes, Vec::new());
    while !rest.is_empty() {
        match decoder.reset(&mut rest) {
            Ok(()) => {}
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                rest = rest.get(length as usize..).ok_or_else(|| damaged("it ends early"))?;
                continue;
            }
            Err(error) => return Err(refused(error, rest)),
        }
        while !decoder.is_finished() {
            let some = BlockDecodingStrategy::UptoBytes(1 << 20);
            decoder.decode_blocks(&mut rest, some).map_err(|error| refused(error, rest))?;
            decoder.collect_to_writer(&mut out).map_err(|error| damaged(&error.to_string()))?;
            if out.len() as u64 > LIMIT {
                return Err(PackedError::TooLarge);
            }
        }
        if decoder.get_checksum_from_data().is_some_and(|sum| decoder.get_calculated_checksum() != Some(sum)) {
            return Err(damaged("its checksum is another"));
        }
    }
    Ok(out)
}

/// The section `.BTF` of a 64-bit little-endian ELF file (`include/uapi/linux/elf.h`).
fn section(elf: &[u8]) -> Result<&[u8], PackedError> {
    let bad = || PackedError::BadElf;
    let number = |at: u64, size: usize| -> Result<u64, PackedError> {
        let at = usize::try_from(at).map_err(|_| bad())?;
        let bytes = at.checked_add(size).and_then(|end| elf.get(at..end)).ok_or_else(bad)?;
        Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    };
    let slice = |at: u64, size: u64| -> Result<&[u8], PackedError> {
        let (at, end) = (usize::try_from(at), usize::try_from(at.checked_add(size).ok_or_else(bad)?));
        elf.get(at.map_err(|_| bad())?..end.map_err(|_| bad())?).ok_or_else(bad)
    };
    if elf.get(4..6) != Some(&[2, 1]) {
        return Err(bad());
    }
    let (headers, size, names) = (number(40, 8)?, number(58, 2)?, number(62, 2)?);
    let count = match number(60, 2)? {
        // More sections than fit: the first header says how many.
        0 => number(headers.checked_add(32).ok_or_else(bad)?, 8)?,
        count => count,
    };
    let header = |index: u64| headers.checked_add(index.checked_mul(size)?);
    let body = |index: u64| -> Result<&[u8], PackedError> {
        let at = header(index).ok_or_else(bad)?;
        slice(number(at.saturating_add(24), 8)?, number(at.saturating_add(32), 8)?)
    };
    let names = body(names)?;
    // Each header takes room in the file, so this ends.
    for index in 0..count {
        let at = header(index).ok_or_else(bad)?;
        let name = usize::try_from(number(at, 4)?).map_err(|_| bad())?;
        if names.get(name..).is_some_and(|name| name.starts_with(b".BTF\0")) {
            return body(index);
        }
    }
    Err(PackedError::NoSection)
}

/// The first plain file of a tar archive (POSIX.1-1988 ustar).
fn first_file(tar: &[u8]) -> Result<&[u8], PackedError> {
    const BLOCK: usize = 512;
    let damaged = |text: &str| PackedError::Unpack("tar", text.to_owned());
    let mut at = 0;
    while let Some(header) = tar.get(at..at + BLOCK).filter(|header| header.iter().any(|&byte| byte != 0)) {
        let digits = header[124..136].iter().take_while(|byte| !matches!(byte, 0)).filter(|byte| **byte != b' ');
        let mut size = 0u64;
        for &digit in digits {
            let value =
                digit.checked_sub(b'0').filter(|value| *value < 8).ok_or_else(|| damaged("a size is no number"))?;
            // Twelve digits at most.
            size = size * 8 + u64::from(value);
        }
        let begin = at + BLOCK;
        let end = usize::try_from(size).ok().and_then(|size| begin.checked_add(size));
        let end = end.filter(|&end| end <= tar.len()).ok_or_else(|| damaged("it ends early"))?;
        if matches!(header[156], 0 | b'0') && end > begin {
            return Ok(&tar[begin..end]);
        }
        at = end.next_multiple_of(BLOCK);
    }
    Err(PackedError::EmptyArchive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const TYPES: &[u8] = b"\x9f\xeb\x01\0 and so on, and so on, and so on, and so on, and so on";

    fn elf(name: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        let names = [&b"\0.shstrtab\0"[..], name, b"\0"].concat();
        let (names_at, types_at) = (file.len(), file.len() + names.len());
        file.extend(&names);
        file.extend(TYPES);
        let headers = file.len() as u64;
        for (name, at, size) in [(0, 0, 0), (11u32, types_at, TYPES.len()), (1, names_at, names.len())] {
            let mut header = [0; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
            file.extend(header);
        }
        file[40..48].copy_from_slice(&headers.to_le_bytes());
        file[58..64].copy_from_slice(&[64, 0, 3, 0, 2, 0]);
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    /// A zstd frame of one block that is not packed.
    fn frame(bytes: &[u8]) -> Vec<u8> {
        let block = ((bytes.len() as u32) << 3 | 1).to_le_bytes();
        [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, bytes.len() as u8], &block[..3], bytes].concat()
    }

    fn tar(bytes: &[u8]) -> Vec<u8> {
        let mut directory = vec![0; 512];
        directory[156] = b'5';
        directory[257..262].copy_from_slice(b"ustar");
        let mut header = directory.clone();
        header[156] = b'0';
        header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
        let mut archive = [directory, header, bytes.to_vec()].concat();
        archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
        archive
    }

    #[test]
    fn every_format_is_read() {
        let check = |bytes: Vec<u8>| assert_eq!(btf(bytes).as_deref(), Ok(TYPES));
        check(TYPES.to_vec());
        check(elf(b".BTF"));
        check(gzip(TYPES));
        check(gzip(&elf(b".BTF")));
        check(tar(TYPES));
        check(gzip(&tar(&elf(b".BTF"))));
        check(include_bytes!("../../tests/packed/types.xz").to_vec());
        check(include_bytes!("../../tests/packed/types.tar.xz").to_vec());
        check(include_bytes!("../../tests/packed/types.zst").to_vec());
        check(include_bytes!("../../tests/packed/types.tar.zst").to_vec());
        let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
        check([skipped, &frame(&TYPES[..20])[..], skipped, &frame(&TYPES[20..])[..], skipped].concat());
    }

    #[test]
    fn what_is_refused_is_said() {
        let check = |bytes: Vec<u8>, text: &str| assert_eq!(btf(bytes).unwrap_err().to_string(), text);
        let formats =
            "raw BTF, an ELF file with a .BTF section, or one of them packed by gzip, xz or zstd, or in a tar archive";
        check(Vec::new(), &format!("this is not {formats}"));
        check(b"hello".to_vec(), &format!("this is not {formats}"));
        check(elf(b".BTF.ext"), "this ELF file has no .BTF section");
        let mut image = vec![0; 1024];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        let text = "this is a boot image; take its vmlinux (scripts/extract-vmlinux of the kernel)";
        check(image, &format!("{text}, {formats}"));
        check(tar(b""), "this archive holds no file");
        let with_size = |size: &[u8]| {
            let mut archive = tar(TYPES);
            archive[512 + 124..512 + 136].fill(0);
            archive[512 + 124..512 + 124 + size.len()].copy_from_slice(size);
            archive
        };
        check(with_size(b"12x"), "the tar data is damaged: a size is no number");
        check(with_size(b"777777777777"), "the tar data is damaged: it ends early");
        let packed = include_bytes!("../../tests/packed/types.xz");
        check(packed[..packed.len() - 20].to_vec(), "the xz data is damaged: it ends early");
        let packed = include_bytes!("../../tests/packed/types.zst");
        let zstd = |bytes: &[u8], text: &str| check(bytes.to_vec(), &format!("the zstd data is damaged: {text}"));
        zstd(&packed[..packed.len() - 20], "it ends early");
        zstd(&packed[..5], "it ends early");
        zstd(b"\x50\x2a\x4d\x18\x03\0\0\0ab", "it ends early");
        zstd(&[&frame(TYPES)[..], b"and more"].concat(), "something else follows");
        zstd(b"\x28\xb5\x2f\xfd\x00\xa8\x01\0\0", "it needs a window of more than 128 MiB");
        zstd(b"\x28\xb5\x2f\xfd\x21\x07\x01\x01\0\0", "it needs a dictionary");
        zstd(b"\x28\xb5\x2f\xfd\x20\x01\x07\0\0and more", "a block cannot be unpacked");
        let mut another = packed.to_vec();
        *another.last_mut().expect("it is not empty") ^= 1;
        zstd(&another, "its checksum is another");
        let cut = btf(gzip(TYPES)[..20].to_vec()).unwrap_err().to_string();
        assert!(cut.starts_with("the gzip data is damaged: "), "{cut}");
        // Nobody unpacks that much for a test.
        assert_eq!(PackedError::TooLarge.to_string(), "this unpacks to more than 1 GiB");
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        let packed =
            [&include_bytes!("../../tests/packed/types.xz")[..], include_bytes!("../../tests/packed/types.zst")];
        let files = [elf(b".BTF"), tar(TYPES), packed[0].to_vec(), packed[1].to_vec()];
        for file in files {
            for at in 0..file.len() {
                for value in [0, 0x7f, 0xff] {
                    let mut bytes = file.clone();
                    bytes[at] = value;
                    let _ = btf(bytes);
                }
                let _ = btf(file[..at].to_vec());
            }
        }
    }
}
