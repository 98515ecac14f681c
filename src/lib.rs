//! Traces packets through the Linux kernel.
