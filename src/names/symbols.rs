//! What the output needs from the kernel's symbol table.

/// Kernel addresses to names; `host` has the table.
pub trait Symbols {
    /// Appends the name of the last symbol not above `address`, as `/proc/kallsyms` spells it (`name` or
    /// `name[module]`, without an offset). Appends nothing and returns false if there is none.
    fn write_nearest(&self, address: u64, out: &mut Vec<u8>) -> bool;

    /// Bytes from that symbol to `address`.
    fn offset(&self, address: u64) -> Option<u64>;
}

impl Symbols for crate::host::Symbols {
    fn write_nearest(&self, address: u64, out: &mut Vec<u8>) -> bool {
        let Some(symbol) = self.nearest(address) else { return false };
        out.extend_from_slice(symbol.name.as_bytes());
        true
    }

    fn offset(&self, address: u64) -> Option<u64> {
        self.nearest(address).map(|symbol| symbol.offset)
    }
}

/// No symbols: every address stays a number.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSymbols;

impl Symbols for NoSymbols {
    fn write_nearest(&self, _: u64, _: &mut Vec<u8>) -> bool {
        false
    }

    fn offset(&self, _: u64) -> Option<u64> {
        None
    }
}
