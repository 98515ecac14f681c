//! Traces packets through the Linux kernel, function by function, and says where and why they died.

pub mod arrivals;
pub mod attach;
pub mod btf;
pub mod cli;
pub mod decode;
pub mod doctor;
pub mod error;
pub mod events;
pub mod expr;
pub mod filter_command;
pub mod funcs_command;
pub mod host;
pub mod late;
pub mod load;
pub mod names;
pub mod output;
pub mod plan;
pub mod privilege;
pub mod program;
pub mod progs;
pub mod record;
pub mod run;
mod say;
pub mod shrink;
pub mod status;
pub mod sys;
pub mod types_command;
