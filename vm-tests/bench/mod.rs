//! What tracing costs, measured inside a guest whose clock counts instructions: one boot, one processor, the same traffic
//! without a tracer, with an empty program on the same functions, and with a tracer that matches nothing or everything.

pub mod measure;
pub mod table;
