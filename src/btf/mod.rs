//! The kernel's type information (BTF), read in place.
//!
//! ```no_run
//! use whither::btf::{Btf, Func};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let btf = Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux")?, "/sys/kernel/btf/vmlinux")?;
//! let ifindex = btf.path("sk_buff", "dev->ifindex")?;
//! assert_eq!(ifindex.to_string(), "+16 -> +224 s32"); // on some kernel
//! assert_eq!(btf.find::<Func>("ip_rcv")?.proto()?.param_count(), 4);
//! # Ok(()) }
//! ```
//!
//! [`raw`] finds the records, [`types`] shows them as C types, [`lookup`] finds them by name, [`path`] turns
//! `skb->dev->ifindex` into offsets (what clang and libbpf call CO-RE), [`dump`] prints declarations, [`abi`] says in
//! which register an argument is, [`look`] how a value is shown, [`show`] prints a whole structure,
//! [`slice`] cuts out what a test or a report needs.

pub mod abi;
pub mod dump;
pub mod look;
pub mod lookup;
pub mod path;
pub mod raw;
pub mod show;
pub mod slice;
pub mod types;

pub use abi::{Arch, FentryLimit};
pub use look::Look;
pub use lookup::{FindError, PointerSet, Tracepoint, closest};
pub use path::{Bits, Hop, Leaf, Path, PathError, PathErrorKind, TypeName, Value};
pub use raw::{Btf, BtfError, Kind, TypeId};
pub use types::{Array, Composite, DataSec, DeclTag, Enum, Enumerator, Float, Func, FuncProto, Int, Linkage, Member};
pub use types::{Param, SectionVar, Struct, Type, Typedef, Union, Var, View};

#[cfg(test)]
mod tests;
