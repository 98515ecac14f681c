//! A short text in a fixed place, as caches keep it.

/// At most `N` bytes of text, with spaces behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> Short<N> {
    /// The first `N` bytes of `text`.
    pub fn new(text: &[u8]) -> Short<N> {
        const { assert!(N < 256) };
        let length = text.len().min(N);
        let mut bytes = [b' '; N];
        bytes[..length].copy_from_slice(&text[..length]);
        Short { bytes, length: length as u8 }
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// The text and the spaces behind it.
    pub fn padded(&self) -> &[u8; N] {
        &self.bytes
    }

    /// Length of the text in bytes.
    pub fn len(&self) -> usize {
        usize::from(self.length).min(N)
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}
