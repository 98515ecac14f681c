//! Numbers as text, appended to a buffer without a formatter's overhead.

const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut n = 0;
    while n < 100 {
        pairs[n * 2] = b'0' + (n / 10) as u8;
        pairs[n * 2 + 1] = b'0' + (n % 10) as u8;
        n += 1;
    }
    pairs
};

/// The longest u64 in decimal.
const DECIMAL: usize = 20;

/// Writes `value` to the end of `digits`; where it starts.
fn digits(mut value: u64, digits: &mut [u8; DECIMAL]) -> usize {
    let mut at = DECIMAL;
    while value >= 10 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    // An even number of digits leaves nothing.
    if value > 0 || at == DECIMAL {
        at -= 1;
        digits[at] = b'0' + value as u8;
    }
    at
}

/// `value` in decimal.
pub(super) fn decimal(out: &mut Vec<u8>, value: u64) {
    let mut buffer = [0; DECIMAL];
    let start = digits(value, &mut buffer);
    out.extend_from_slice(&buffer[start..]);
}

/// `value` in decimal, then spaces up to `width` bytes.
pub(super) fn decimal_padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let start = out.len();
    decimal(out, value);
    pad(out, start, width);
}

/// `value` in decimal with a sign, then spaces up to `width` bytes.
pub(super) fn signed_padded(out: &mut Vec<u8>, value: i64, width: usize) {
    let start = out.len();
    if value < 0 {
        out.push(b'-');
    }
    decimal(out, value.unsigned_abs());
    pad(out, start, width);
}

/// `value` in lower-case hexadecimal without leading zeros; 0 is `0`.
pub(super) fn hex(out: &mut Vec<u8>, value: u64) {
    let nibbles = (16 - value.leading_zeros() as usize / 4).max(1);
    out.extend_from_slice(&hex_digits(value)[16 - nibbles..]);
}

/// The last `width` digits of `value` in lower-case hexadecimal.
pub(super) fn hex_fixed(out: &mut Vec<u8>, value: u64, width: usize) {
    out.extend_from_slice(&hex_digits(value)[16 - width..]);
}

/// All 16 digits of `value`: the nibbles are spread over the bytes of a u128 and made letters there.
fn hex_digits(value: u64) -> [u8; 16] {
    let mut spread = u128::from(value);
    spread = (spread | spread << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f;
    const EACH: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;
    let is_letter = (spread + 6 * EACH) >> 4 & EACH;
    (spread + u128::from(b'0') * EACH + is_letter * u128::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// Spaces until what was appended since `start` is `width` bytes long.
pub(super) fn pad(out: &mut Vec<u8>, start: usize, width: usize) {
    let missing = width.saturating_sub(out.len() - start);
    spaces(out, missing);
}

/// `count` spaces.
pub(super) fn spaces(out: &mut Vec<u8>, mut count: usize) {
    const SPACES: [u8; 64] = [b' '; 64];
    while count > 0 {
        let part = count.min(SPACES.len());
        out.extend_from_slice(&SPACES[..part]);
        count -= part;
    }
}

/// `text` in the middle of `width` bytes; if the spaces are odd in number, the right side has one more. A longer text
/// is written as it is.
pub(super) fn centred(out: &mut Vec<u8>, text: &[u8], width: usize) {
    let missing = width.saturating_sub(text.len());
    spaces(out, missing / 2);
    out.extend_from_slice(text);
    spaces(out, missing - missing / 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_what_format_writes() {
        let mut values: Vec<u64> = vec![0, u64::MAX];
        for shift in 0..64 {
            values.extend([1 << shift, (1 << shift) - 1, 0x0123_4567_89ab_cdef >> shift]);
        }
        let mut power = 1u64;
        for _ in 0..20 {
            values.extend([power - 1, power, power + 1]);
            power = power.wrapping_mul(10);
        }
        for value in values {
            assert_eq!(written(|out| decimal(out, value)), format!("{value}"));
            assert_eq!(written(|out| hex(out, value)), format!("{value:x}"));
            assert_eq!(written(|out| hex_fixed(out, value, 16)), format!("{value:016x}"));
            assert_eq!(written(|out| decimal_padded(out, value, 12)), format!("{value:<12}"));
            assert_eq!(written(|out| signed_padded(out, value as i64, 12)), format!("{:<12}", value as i64));
        }
    }

    #[test]
    fn odd_spaces_go_to_the_right() {
        assert_eq!(written(|out| centred(out, b"lab0:8", 16)), "     lab0:8     ");
        assert_eq!(written(|out| centred(out, b"IFACE", 16)), "     IFACE      ");
        assert_eq!(written(|out| centred(out, b"longer", 4)), "longer");
        assert_eq!(written(|out| spaces(out, 130)), " ".repeat(130));
    }
}
