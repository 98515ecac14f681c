//! What the tests against libpcap and the kernel share.
#![allow(dead_code)] // no test uses all of it

pub mod exprs;
pub mod judge;
pub mod kernel;
pub mod libpcap;
pub mod machine;
pub mod oracle;
pub mod packets;
pub mod rng;
pub mod shrink;
pub mod subject;
pub mod texts;

/// The expressions of the corpus, and for which links; what must not compile is there too.
pub fn corpus() -> impl Iterator<Item = (&'static [packets::Link], &'static str)> {
    use packets::Link::{Ethernet, Raw};
    let rows = include_str!("../corpus.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| {
        let mut columns = line.splitn(3, '\t');
        let links: &[_] = match columns.next() {
            Some("EN10MB") => &[Ethernet],
            Some("RAW") => &[Raw],
            _ => &[Ethernet, Raw],
        };
        (links, columns.nth(1).expect("three columns"))
    })
}
