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

/// Writes `value` in decimal to the start of `to`; the number of digits.
#[inline]
fn digits(mut value: u64, to: &mut [u8; DECIMAL]) -> usize {
    let count = value.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut at = count;
    while at >= 2 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        to[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if at == 1 {
        to[0] = b'0' + value as u8;
    }
    count
}

/// `value` in decimal.
pub(super) fn decimal(out: &mut Vec<u8>, value: u64) {
    let mut buffer = [0; DECIMAL];
    let count = digits(value, &mut buffer);
    out.extend_from_slice(&buffer[..count]);
}

/// The first columns of a line, side by side. It starts as spaces, so that a column is padded by being left.
pub(super) struct Row {
    bytes: [u8; Row::ROOM],
    at: usize,
}

impl Row {
    /// Enough for all columns of this kind with the longest numbers there are.
    const ROOM: usize = 256;

    pub fn new() -> Row {
        Row { bytes: [b' '; Row::ROOM], at: 0 }
    }

    /// The next `N` bytes; past the end, which no line reaches, the last ones.
    #[inline]
    fn next<const N: usize>(&mut self) -> &mut [u8; N] {
        let at = self.at.min(Row::ROOM - N);
        let [next, ..] = self.bytes[at..].as_chunks_mut().0 else { unreachable!("there are N bytes from there") };
        next
    }

    /// Moves on by `written` bytes, or by `width` if that is more, and one space.
    #[inline]
    fn advance(&mut self, written: usize, width: usize) {
        self.at += written.max(width) + 1;
    }

    /// A number in decimal.
    #[inline]
    pub fn decimal(&mut self, value: u64, width: usize) {
        let count = digits(value, self.next());
        self.advance(count, width);
    }

    /// A number in decimal, with a sign if it is negative.
    #[inline]
    pub fn signed(&mut self, value: i64, width: usize) {
        let sign = usize::from(value < 0);
        if value < 0 {
            *self.next() = [b'-'];
        }
        self.at += sign;
        let count = digits(value.unsigned_abs(), self.next());
        self.advance(count, width - sign);
    }

    /// A number in lower-case hexadecimal.
    #[inline]
    pub fn hex(&mut self, value: u64, width: usize) {
        let (digits, count) = hex_from_left(value);
        *self.next() = digits;
        self.advance(count, width);
    }

    /// `0x` and a number in hexadecimal.
    #[inline]
    pub fn address(&mut self, value: u64, width: usize) {
        *self.next() = *b"0x";
        self.at += 2;
        self.hex(value, width - 2);
    }

    /// `0x` and four digits.
    #[inline]
    pub fn ethertype(&mut self, value: u16) {
        let [.., a, b, c, d] = hex_digits(value.into()).to_be_bytes();
        *self.next() = [b'0', b'x', a, b, c, d];
        self.advance(6, 6);
    }

    /// `[0xXXXXXXXX,...]`, in upper-case hexadecimal.
    pub fn words(&mut self, words: &[u32; 5]) {
        for (i, word) in words.iter().enumerate() {
            let [.., a, b, c, d, e, f, g, h] =
                hex_digits((*word).into()).to_be_bytes().map(|digit| digit.to_ascii_uppercase());
            *self.next() = [if i == 0 { b'[' } else { b',' }, b'0', b'x', a, b, c, d, e, f, g, h];
            self.at += 11;
        }
        *self.next() = [b']'];
        self.advance(1, 1);
    }

    /// Text of which the first `count` bytes count and the others are spaces.
    #[inline]
    pub fn text<const N: usize>(&mut self, text: &[u8; N], count: usize, width: usize) {
        *self.next() = *text;
        self.advance(count, width);
    }

    /// Everything written, and the space behind it.
    #[inline]
    pub fn finish(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.at.min(Row::ROOM)]);
    }
}

/// `value` in lower-case hexadecimal without leading zeros; 0 is `0`.
pub(super) fn hex(out: &mut Vec<u8>, value: u64) {
    let (digits, count) = hex_from_left(value);
    out.extend_from_slice(&digits[..count]);
}

/// The last `width` digits of `value` in lower-case hexadecimal.
pub(super) fn hex_fixed(out: &mut Vec<u8>, value: u64, width: usize) {
    out.extend_from_slice(&hex_digits(value).to_be_bytes()[16 - width..]);
}

const EACH: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;

/// The digits of `value` without leading zeros, with spaces behind them, and their number.
#[inline]
fn hex_from_left(value: u64) -> ([u8; 16], usize) {
    let zeros = (value.leading_zeros() / 4).min(15);
    let count = 16 - zeros;
    let spaces = (EACH * u128::from(b' ')).checked_shr(count * 8).unwrap_or(0);
    (((hex_digits(value) << (zeros * 8)) | spaces).to_be_bytes(), count as usize)
}

/// All 16 digits of `value`, the first in the highest byte: the nibbles are spread over the bytes and made letters
/// there.
#[inline]
fn hex_digits(value: u64) -> u128 {
    let mut spread = u128::from(value);
    spread = (spread | spread << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f;
    let is_letter = (spread + 6 * EACH) >> 4 & EACH;
    spread + u128::from(b'0') * EACH + is_letter * u128::from(b'a' - b'0' - 10)
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
            let mut row = Row::new();
            row.decimal(value, 12);
            row.signed(value as i64, 12);
            row.hex(value, 12);
            row.address(value, 12);
            row.ethertype(value as u16);
            row.text(b"ab  ", 2, 3);
            let (signed, short) = (value as i64, value as u16);
            let want = format!("{value:<12} {signed:<12} {value:<12x} {value:<#12x} {short:#06x} ab  ");
            assert_eq!(written(|out| row.finish(out)), want);
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
