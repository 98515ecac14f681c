//! The kernel accepts the program of every expression, however its packets are read.

use super::load::loads;
use crate::error::Result;
use crate::guest::{Case, Guest};

pub const CASE: Case = Case { seconds: 300, ..Case::new(run) };

fn run(_: &Guest) -> Result<()> {
    let expressions = include_str!("expressions.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    loads(expressions.map(|expression| format!("--filter-func ip_rcv -- {expression}")).collect())
}
