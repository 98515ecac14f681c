//! Lockdown none: a connection and a drop are shown without `--backend`.

use crate::guest::{Boot, Case};

pub const CASE: Case = super::anywhere::case(Boot::Plain);
