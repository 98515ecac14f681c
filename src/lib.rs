//! Traces packets through the Linux kernel.

pub mod btf;
pub mod cli;
pub mod host;
pub mod record;
pub mod sys;
