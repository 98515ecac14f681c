//! Traces packets through the Linux kernel.

pub mod record;
pub mod sys;
