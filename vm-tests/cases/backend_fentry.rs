//! The `fentry` backend traces when it is asked for.

use crate::error::Result;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::Fentry], ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    super::backend::follows_datagrams(vm, "fentry")
}
