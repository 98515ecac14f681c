//! Names as they may be shown: what a terminal would act on is escaped.

use std::borrow::Cow;
use std::path::Path;

/// `name` with control characters, invisible direction marks and bytes that are not UTF-8 written as `\xNN`, one
/// for each byte. The result is UTF-8.
pub fn clean(name: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(name)
        && !text.chars().any(is_unsafe)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_unsafe(c) {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| escape(&mut out, byte));
            } else {
                out.push(c);
            }
        }
        chunk.invalid().iter().for_each(|&byte| escape(&mut out, byte));
    }
    Cow::Owned(out)
}

/// The name of a file as it may be shown, see [`clean`].
pub fn path(path: &Path) -> Cow<'_, str> {
    clean(path.as_os_str().as_encoded_bytes())
}

/// Whether `bytes` are printable ASCII, so that [`clean`] would return them as they are.
pub fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e))
}

/// Keeps the last `width` bytes of `text` and puts `~` in place of the first kept one, as pwru does; a text that
/// fits is unchanged. Where the cut would go through a character, that character goes too.
pub fn cut_front(text: &str, width: usize) -> Cow<'_, str> {
    if text.len() <= width {
        return Cow::Borrowed(text);
    }
    let mut start = text.len() - width + 1;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    Cow::Owned(format!("~{}", &text[start..]))
}

/// Control characters, and the marks that reorder or hide text (Trojan Source, CVE-2021-42574).
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn escape(out: &mut String, byte: u8) {
    out.push_str("\\x");
    for digit in [byte >> 4, byte & 0xf] {
        out.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        for (name, want) in [
            (&b"eth0"[..], "eth0"),
            (b"\x1b[31m", r"\x1b[31m"),
            (b"a\nb\0", r"a\x0ab\x00"),
            (b"\x7f", r"\x7f"),
            ("grün".as_bytes(), "grün"),
            (b"\xc2\x9b", r"\xc2\x9b"),
            ("\u{202e}x".as_bytes(), r"\xe2\x80\xaex"),
            (b"\xff\xc3", r"\xff\xc3"),
        ] {
            assert_eq!(clean(name), want);
        }
    }

    #[test]
    fn a_cut_keeps_the_end() {
        assert_eq!(cut_front("/usr/bin/ping:85", 16), "/usr/bin/ping:85");
        assert_eq!(cut_front("/usr/bin/curl:780", 16), "~sr/bin/curl:780");
        assert_eq!(cut_front("kworker/0:2+events:61", 16), "~r/0:2+events:61");
        assert_eq!(cut_front("ööö", 4), "~ö");
    }
}
