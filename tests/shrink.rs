//! What a run does without where its programs are refused: which parts go, which come back, and why a run ends.
#![cfg(target_arch = "x86_64")] // as the recorded hosts are

#[path = "support/golden.rs"]
mod golden;
#[path = "support/recorded.rs"]
#[allow(dead_code)] // no test here tries the ways in
mod recorded;

use whither::plan::shrink::{Blame, PACKET_EXPRESSION, Part, settle};
use whither::plan::{Backend, Plan};
use whither::program;
use whither::record::{Dump, Field, Object};

const EVERYTHING: &str = "--filter-func ip_rcv --output-tunnel --output-skb --output-skb-metadata skb->mark \
                          --output-stack --output-caller icmp";

fn plan(host: &str, args: &str, backend: Backend) -> Plan {
    let args = recorded::args(args);
    let host = recorded::host(host, &args, &[]).expect("a recorded host");
    Plan::new(&args, &host, backend).expect("a plan")
}

fn whole() -> Plan {
    plan("6.12-x86_64", EVERYTHING, Backend::KprobeMulti)
}

/// Which parts of a plan are gone.
fn missing(whole: &Plan, plan: &Plan) -> Vec<Part> {
    let left = plan.optional();
    whole.optional().into_iter().filter(|part| !left.contains(part)).collect()
}

#[test]
fn parts_go_by_rank() {
    let plan = whole();
    let mut tried = Vec::new();
    let settled = settle(
        plan.clone(),
        |smaller| {
            tried.push(missing(&plan, smaller));
            if smaller.optional().is_empty() { Ok(()) } else { Err("too much") }
        },
        |_| Blame::Programs,
    );
    use Part::{Caller, Dumps, Filter, Stack, Tunnel, Values};
    let all = [Tunnel, Dumps, Values, Stack, Caller, Filter];
    for count in 0..=all.len() {
        assert_eq!(tried[count], all[..count], "try {count}");
    }
    let (gone, why) = settled.expect("the last one is taken").given_up.expect("not the whole plan");
    assert_eq!((&gone[..], why), (&all[..], "too much"));
}

#[test]
fn what_was_not_in_the_way_comes_back() {
    for culprit in whole().optional() {
        let settled = settle(
            whole(),
            |plan| if plan.optional().contains(&culprit) { Err(()) } else { Ok(plan.layout.size()) },
            |()| Blame::Programs,
        );
        let settled = settled.expect("without it the plan is taken");
        assert_eq!(settled.given_up, Some((vec![culprit], ())));
        assert_eq!(missing(&whole(), &settled.plan), [culprit]);
        assert_eq!(settled.made, settled.plan.layout.size(), "what was made is of this plan");
    }
}

#[test]
fn the_blamed_part_goes_first() {
    let mut tries = 0;
    let settled = settle(
        whole(),
        |plan| {
            tries += 1;
            if plan.layout.has(Field::Stack) { Err("--output-stack") } else { Ok(()) }
        },
        |flag| Part::of(flag).map_or(Blame::Programs, Blame::Part),
    );
    assert_eq!((settled.expect("it is taken").given_up, tries), (Some((vec![Part::Stack], "--output-stack")), 2));
}

#[test]
fn the_first_reason_is_told() {
    let mut count = 0;
    let mut fail = |_: &Plan| {
        count += 1;
        Err::<(), _>(count)
    };
    assert_eq!(settle(whole(), &mut fail, |_| Blame::Programs).err(), Some(1));
    // No smaller program helps.
    assert_eq!(settle(whole(), &mut fail, |_| Blame::Nothing).err(), Some(8), "six parts went");
    let end = settle(whole(), &mut fail, |&count| if count < 11 { Blame::Programs } else { Blame::Nothing });
    assert_eq!(end.err(), Some(11), "the run ends for another reason meanwhile");
}

#[test]
fn flags_name_their_parts() {
    for part in whole().optional() {
        let flags = ["--output-tunnel", "--output-skb", "--output-skb-metadata skb->mark", "--output-stack"];
        let more = ["--output-caller", PACKET_EXPRESSION];
        assert!(flags.iter().chain(&more).any(|flag| Part::of(flag) == Some(part)), "{part:?}");
    }
    assert_eq!(Part::of("--filter-skb-expr"), None, "there is nobody else to judge");
}

#[test]
fn a_smaller_plan_has_all_the_rest() {
    let plan = whole();
    let small = plan.without(&[Part::Tunnel, Part::Dumps, Part::Values, Part::Stack, Part::Caller]);
    assert_eq!(small.layout.dump(Dump::Skb), None);
    assert!(small.layout.values(Object::Skb).is_empty() && small.skb.shown.is_empty());
    let simple = plan_of("--filter-func ip_rcv icmp");
    assert_eq!(small.layout, simple.layout);
    let back = plan.without(&[]);
    assert_eq!(back.layout, plan.layout);
    let late = simple.without(&[Part::Filter]);
    assert!(late.matches_late() && late.layout.has(Field::Mark) && late.sent() > late.layout.size());
    assert!(program::build(&late).expect("programs").programs[0].code.slots() > 0);
}

fn plan_of(args: &str) -> Plan {
    plan("6.12-x86_64", args, Backend::KprobeMulti)
}

#[test]
fn where_packets_are_followed_the_kernel_must_judge() {
    let has_filter = |args| plan_of(args).optional().contains(&Part::Filter);
    assert!(has_filter("--filter-func ip_rcv icmp"));
    assert!(!has_filter("--filter-func ip_rcv --filter-track-skb icmp"));
    assert!(!has_filter("--filter-func ip_rcv"), "there is nothing to judge");
}

#[test]
fn callers_are_found_without_the_stack() {
    let args = "--filter-func ip_rcv --output-stack --output-caller icmp";
    let fentry = plan("6.12-x86_64", args, Backend::Fentry);
    assert!(fentry.without(&[Part::Stack]).layout.has(Field::Frames));
    assert!(!fentry.without(&[Part::Stack, Part::Caller]).layout.has(Field::Frames));
    assert!(!fentry.without(&[Part::Caller, Part::Stack]).layout.has(Field::Caller));
}

/// Every expression, with every other test before it: what does not fit into a program is judged in user space.
#[test]
fn every_expression_is_judged_somewhere() {
    let corpus = include_str!("../filter-compiler/tests/corpus.txt").lines().filter_map(|line| {
        let mut columns = line.splitn(3, '\t');
        let (link, verdict) = (columns.next()?, columns.next()?);
        (link != "RAW" && verdict == "ok").then(|| columns.next()).flatten()
    });
    let mut late = Vec::new();
    for expression in corpus {
        for (host, without) in [("5.10-x86_64", &[][..]), ("6.12-x86_64", &[]), ("6.12-x86_64", &["cast", "ring"])] {
            let args = recorded::args(&format!("--filter-func ip_rcv --output-tunnel --output-caller -- {expression}"));
            let found = recorded::host(host, &args, without).expect("a recorded host");
            let mut plan = Plan::new(&args, &found, Backend::Kprobe).expect("a plan");
            (plan.filters.ifindex, plan.filters.netns) = (Some(2), Some(4_026_531_840));
            let built = settle(plan, |plan| program::build(plan).map(drop), |_| Blame::Part(Part::Filter));
            let built = built.unwrap_or_else(|error| panic!("{host} {expression}: {error}"));
            late.extend(built.given_up.map(|(_, error)| format!("{host}: {expression}: {error}")));
        }
    }
    assert!(late.is_empty(), "{late:#?}");
}
