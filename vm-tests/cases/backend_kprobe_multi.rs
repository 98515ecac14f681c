//! The `kprobe-multi` backend traces when it is asked for.

use crate::error::Result;
use crate::guest::{Case, Feature, Guest};

pub const CASE: Case = Case { needs: &[Feature::KprobeMulti], ..Case::new(run) };

fn run(vm: &Guest) -> Result<()> {
    super::backend::follows_datagrams(vm, "kprobe-multi")
}
