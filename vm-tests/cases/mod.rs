//! The cases: one behaviour per file, named after it.

use crate::guest::Case;

macro_rules! cases {
    ($($name:ident,)*) => {
        $(mod $name;)*
        /// Every case with its name.
        pub const CASES: &[(&str, Case)] = &[$((stringify!($name), $name::CASE),)*];
    };
}

cases! {
    host_facts,
    lockdown_facts,
    lab_carries_traffic,
}
