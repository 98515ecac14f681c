//! Expressions over kernel types, in C: `skb->mark & 0xf00 && skb->dev->ifindex != 2`.
//!
//! The text becomes tokens ([`lexer`]), what was typed ([`ast`], [`parser`]), and what it means ([`resolve`]): a tree of
//! loads, operations and comparisons ([`tree`]) that no longer needs types. [`eval`] is its meaning, [`emit`] its code.
//!
//! C's rules hold for operators, conversions and constants, with these differences:
//! - `.` and `->` mean the same: the type decides whether a pointer is followed.
//! - Fields in network order (`__be16`, `__be32`, `__be64`) have their value, not their bytes: `skb->protocol == 0x0800`
//!   is IPv4 on every machine.
//! - A NULL pointer that would have to be followed makes the comparison that it stands in false, negated or not; so
//!   does a division by zero.
//! - `=` compares, as in pwru. There are no assignments, function calls, `?:` and `,`.
//! - Shifts count modulo the width of the shifted value.
//!
//! An integer or pointer where a condition is wanted is true if it is not 0.

pub mod ast;
pub mod emit;
pub mod error;
pub mod eval;
pub mod lexer;
pub mod parser;
pub mod resolve;
pub mod tree;

pub use error::{Error, ErrorKind};
pub use resolve::{MAX_TEXT, Output, Root, Source, condition, output};
pub use tree::{BinaryOp, Cmp, Cond, UnaryOp, Value, Width};
