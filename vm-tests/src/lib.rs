//! Runs whither on real kernels in QEMU.
//!
//! The same program is both sides. On the machine it fetches kernels, packs an initramfs and boots it; as the guest's
//! first process it does the job that it finds there and reports over the second serial port.

#[macro_use]
pub mod error;
#[path = "../bench/mod.rs"]
pub mod bench;
#[path = "../cases/mod.rs"]
pub mod cases;
pub mod guest;
pub mod host;
pub mod matrix;
pub mod protocol;
