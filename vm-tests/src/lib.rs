//! Runs whither on real kernels in QEMU.
