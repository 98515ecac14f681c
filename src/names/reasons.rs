//! Drop reasons by number.

use crate::clean::clean;

/// Names of drop reasons.
///
/// The upper 16 bits of a reason are its subsystem (`enum skb_drop_reason_subsys`, Linux 6.4); those of the core are 0.
/// Enumerators of the subsystems (`ovs_drop_reason`, `mac80211_drop_reason`) hold the whole number, so all enums share
/// one table.
#[derive(Debug, Default)]
pub struct Reasons {
    /// Sorted by number, one name each.
    names: Vec<(u32, Box<str>)>,
    /// Subsystems by number.
    subsystems: Vec<(u32, Box<str>)>,
}

impl Reasons {
    /// A table of the enumerators of `skb_drop_reason` and of the subsystems' enums, and of
    /// `skb_drop_reason_subsys`, all as the running kernel's BTF has them. Of two names for one number the first is
    /// kept: those that follow mark the end of a range.
    pub fn new<'n>(
        reasons: impl IntoIterator<Item = (u32, &'n str)>,
        subsystems: impl IntoIterator<Item = (u32, &'n str)>,
    ) -> Reasons {
        Reasons { names: table(reasons), subsystems: table(subsystems) }
    }

    /// The name of `reason`.
    pub fn get(&self, reason: u32) -> Option<&str> {
        // The core's numbers start at 0 without holes, so most are found at their own place.
        match self.names.get(reason as usize) {
            Some((number, name)) if *number == reason => Some(name),
            _ => find(&self.names, reason),
        }
    }

    /// The name of the subsystem that `reason` belongs to; `None` for the core and for an unknown one.
    pub fn subsystem(&self, reason: u32) -> Option<&str> {
        find(&self.subsystems, reason >> 16).filter(|_| reason >> 16 != 0)
    }
}

fn table<'n>(names: impl IntoIterator<Item = (u32, &'n str)>) -> Vec<(u32, Box<str>)> {
    let mut table: Vec<_> =
        names.into_iter().map(|(number, name)| (number, clean(name.as_bytes()).into_owned().into())).collect();
    // Stable, so that the first of a number stays the first.
    table.sort_by_key(|(number, _): &(u32, Box<str>)| *number);
    table.dedup_by_key(|(number, _)| *number);
    table
}

fn find(table: &[(u32, Box<str>)], number: u32) -> Option<&str> {
    let at = table.binary_search_by_key(&number, |(number, _)| *number).ok()?;
    Some(&table[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found_by_number() {
        let reasons = Reasons::new(
            [
                (0, "SKB_NOT_DROPPED_YET"),
                (2, "SKB_DROP_REASON_NOT_SPECIFIED"),
                (1, "SKB_CONSUMED"),
                (0x3_0001, "OVS_DROP_LAST_ACTION"),
                (2, "SKB_DROP_REASON_MAX"),
            ],
            [(0, "SKB_DROP_REASON_SUBSYS_CORE"), (3, "SKB_DROP_REASON_SUBSYS_OPENVSWITCH")],
        );
        assert_eq!(reasons.get(1), Some("SKB_CONSUMED"));
        assert_eq!(reasons.get(2), Some("SKB_DROP_REASON_NOT_SPECIFIED"));
        assert_eq!(reasons.get(0x3_0001), Some("OVS_DROP_LAST_ACTION"));
        assert_eq!(reasons.get(3), None);
        assert_eq!(reasons.subsystem(0x3_0007), Some("SKB_DROP_REASON_SUBSYS_OPENVSWITCH"));
        assert_eq!(reasons.subsystem(7), None);
        assert_eq!(reasons.subsystem(0x9_0007), None);
    }
}
