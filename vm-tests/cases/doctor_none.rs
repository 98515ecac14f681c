//! Lockdown none: the doctor says what a run then does.

use crate::guest::{Boot, Case};

pub const CASE: Case = super::doctor::case(Boot::Plain);
