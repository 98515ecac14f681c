//! What a run does without where the kernel refuses its programs.
//!
//! Decided here, tried elsewhere: a plan has parts that are not needed to show which functions a packet visits, and
//! [`settle`] finds out which of them have to go.

use super::{Backend, Memory, Plan};
use crate::record::{APPENDED_BYTES, Dump, Field};
use std::fmt;

/// A part that a run can do without. The order is that in which they are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `--output-tunnel`.
    Tunnel,
    /// `--output-skb`, `--output-skb-shared-info`.
    Dumps,
    /// `--output-skb-metadata`, `--output-xdp-metadata`.
    Values,
    /// `--output-stack`.
    Stack,
    /// `--output-caller`.
    Caller,
    /// The packet expression as code: packets are matched in user space then.
    Filter,
}

impl Part {
    const ALL: [Part; 6] = [Part::Tunnel, Part::Dumps, Part::Values, Part::Stack, Part::Caller, Part::Filter];

    /// The part that code was emitted for, by what programs say of it: a flag, perhaps with its value behind it.
    pub fn of(behalf: &str) -> Option<Part> {
        Some(match behalf.split(' ').next()? {
            "--output-tunnel" => Part::Tunnel,
            "--output-skb" | "--output-skb-shared-info" => Part::Dumps,
            "--output-skb-metadata" | "--output-xdp-metadata" => Part::Values,
            "--output-stack" => Part::Stack,
            "--output-caller" => Part::Caller,
            _ if behalf == PACKET_EXPRESSION => Part::Filter,
            _ => return None,
        })
    }
}

/// On whose behalf the code of the packet expression is.
pub const PACKET_EXPRESSION: &str = "the packet expression";

impl fmt::Display for Part {
    /// What is lost.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Tunnel => "addresses inside tunnels",
            Part::Dumps => "whole structures",
            Part::Values => "values of expressions",
            Part::Stack => "kernel stacks",
            Part::Caller => "callers",
            Part::Filter => {
                "filtering in the kernel (packets are matched in user space, by the first 256 bytes of each)"
            }
        })
    }
}

impl Plan {
    /// The parts that this run could do without, the first to go first.
    ///
    /// The packet expression is one only where user space can judge instead: not where programs have to know which
    /// packets to follow.
    pub fn optional(&self) -> Vec<Part> {
        let layout = &self.layout;
        let has = |part: &Part| match part {
            Part::Tunnel => layout.has(Field::InnerLen),
            Part::Dumps => layout.dump(Dump::Skb).or(layout.dump(Dump::SharedInfo)).is_some(),
            Part::Values => !self.skb.shown.is_empty() || !self.xdp.shown.is_empty(),
            Part::Stack => layout.has(Field::Stack),
            Part::Caller => layout.has(Field::Caller),
            Part::Filter => {
                let is_needed = self.tracking.is_some() || self.maps.is_some() || self.matches_late();
                self.filters.packet.is_some() && !is_needed
            }
        };
        Part::ALL.into_iter().filter(has).collect()
    }

    /// Whether user space decides which packets match: their first bytes come with the record.
    pub fn matches_late(&self) -> bool {
        self.layout.has(Field::Place)
    }

    /// The same without `parts`.
    pub fn without(&self, parts: &[Part]) -> Plan {
        let mut plan = self.clone();
        let mut fields: Vec<Field> = Field::ALL.into_iter().filter(|&field| self.layout.has(field)).collect();
        for part in parts {
            match part {
                Part::Tunnel => fields.retain(|field| !matches!(field, Field::InnerLen | Field::InnerHeaders)),
                Part::Dumps => {}
                Part::Values => {
                    plan.skb.shown.clear();
                    plan.xdp.shown.clear();
                }
                Part::Stack => {
                    fields.retain(|field| !matches!(field, Field::Stack | Field::StackLen));
                    // The caller was found on the stack.
                    if matches!(self.backend, Backend::Fentry | Backend::Tracepoint) && self.layout.has(Field::Caller) {
                        fields.push(Field::Frames);
                    }
                }
                Part::Caller => fields.retain(|field| !matches!(field, Field::Caller | Field::Frames)),
                Part::Filter => fields.extend([Field::Place, Field::Len, Field::Ifindex, Field::Protocol]),
            }
        }
        if parts.contains(&Part::Caller) {
            fields.retain(|&field| field != Field::Frames);
        }
        plan.layout = self.layout.with_fields(&fields, !parts.contains(&Part::Dumps), !parts.contains(&Part::Values));
        plan
    }

    /// How many bytes a program sends: the packet's first bytes are among them where it can read them.
    pub fn sent(&self) -> u32 {
        let behind = if self.matches_late() && self.memory != Memory::Direct { APPENDED_BYTES } else { 0 };
        self.layout.size() + behind
    }
}

/// What somebody who tries a plan makes of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// A smaller program would fare no better.
    Nothing,
    /// The programs; nobody knows which part of them.
    Programs,
    /// This part.
    Part(Part),
}

/// A plan that was taken.
#[derive(Debug)]
pub struct Settled<T, E> {
    /// The plan.
    pub plan: Plan,
    /// What came of it.
    pub made: T,
    /// What had to go, and why the whole plan was not taken; `None` if it was.
    pub given_up: Option<(Vec<Part>, E)>,
}

/// Finds the most of `plan` that `take` succeeds with.
///
/// Parts go one after another, those that are blamed before the others; then each comes back that was not in the way.
/// The error is that of the whole plan, or one that no smaller program helps against.
pub fn settle<T, E>(
    plan: Plan,
    mut take: impl FnMut(&Plan) -> Result<T, E>,
    blame: impl Fn(&E) -> Blame,
) -> Result<Settled<T, E>, E> {
    let mut error = match take(&plan) {
        Ok(made) => return Ok(Settled { plan, made, given_up: None }),
        Err(error) => error,
    };
    let mut left = plan.optional();
    let mut gone = Vec::new();
    let mut first = None;
    let (mut smaller, mut made) = loop {
        let at = match blame(&error) {
            Blame::Nothing => return Err(error),
            Blame::Part(part) => left.iter().position(|&other| other == part).unwrap_or(0),
            Blame::Programs => 0,
        };
        if at >= left.len() {
            return Err(first.unwrap_or(error));
        }
        first.get_or_insert(error);
        gone.push(left.remove(at));
        let smaller = plan.without(&gone);
        match take(&smaller) {
            Ok(made) => break (smaller, made),
            Err(next) => error = next,
        }
    };
    for part in gone.clone().into_iter().rev().skip(1) {
        let fewer: Vec<Part> = gone.iter().copied().filter(|&other| other != part).collect();
        let larger = plan.without(&fewer);
        if let Ok(with) = take(&larger) {
            (smaller, made, gone) = (larger, with, fewer);
        }
    }
    gone.sort_unstable();
    Ok(Settled { plan: smaller, made, given_up: first.map(|error| (gone, error)) })
}
