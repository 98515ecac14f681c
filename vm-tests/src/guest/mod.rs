//! The side that runs inside the virtual machine.

pub mod init;
pub mod report;
