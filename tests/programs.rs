//! Programs: each file of `tests/programs/` holds a command line, a recorded host, and what is emitted for them. Below
//! it are limits for all of them, and what they do: they are executed on memory that looks like a kernel's.
//!
//! `args` is the command line, `host` a directory of `tests/hosts`, `without` as in `tests/plan.rs`.
//! `BLESS=1 cargo test --test programs` rewrites the files.
#![cfg(target_arch = "x86_64")] // as the recorded hosts are

#[path = "support/golden.rs"]
mod golden;
#[path = "programs/hits.rs"]
mod hits;
#[path = "programs/kernel.rs"]
mod kernel;
#[path = "programs/limits.rs"]
mod limits;
#[path = "programs/machine.rs"]
mod machine;
#[path = "../asm/tests/support/model.rs"]
#[allow(dead_code)] // parts of it are enough here
mod model;
#[path = "programs/objects.rs"]
mod objects;
#[path = "programs/packets.rs"]
mod packets;
#[path = "programs/random.rs"]
mod random;
#[path = "support/recorded.rs"]
mod recorded;
#[path = "programs/rig.rs"]
mod rig;
#[path = "../filter-compiler/tests/support/rng.rs"]
#[allow(dead_code)] // as above
mod rng;
#[path = "../filter-compiler/tests/support/packets.rs"]
mod samples;

use rig::Rig;

#[path = "programs/traced.rs"]
mod traced;

#[test]
fn every_program_is_as_its_file_says() {
    golden::check("programs", "programs", |case| {
        let without: Vec<&str> = case.words("without").collect();
        let rig = Rig::new(case.get("host"), case.get("args"), &without);
        format!("--- programs\n{}", rig.programs)
    });
}
