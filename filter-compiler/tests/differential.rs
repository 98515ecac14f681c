//! Random expressions and random packets: our programs must give the verdicts that libpcap's give.
//!
//! `cargo test` does a short run. A long one, which says its seed and can be repeated:
//! ```text
//! WHITHER_DIFF_EXPRESSIONS=25000 cargo test --release -p filter-compiler --test differential -- --nocapture
//! ```
//! `WHITHER_DIFF_PACKETS` (packets per expression, 50), `WHITHER_DIFF_SEED` (which expressions), `WHITHER_DIFF_FIRST`
//! (number of the first expression: with `WHITHER_DIFF_EXPRESSIONS=1` one expression is repeated). The oracle is the
//! installed tcpdump; the rule is "Judging" in `support/judge.rs`.

mod support;

use std::collections::HashSet;
use std::fmt;
use std::time::Instant;

use support::exprs::{self, Expression, Word};
use support::judge::{Answer, CHAIN_STEPS, Oracle, is_false_alarm, is_folded_mistake};
use support::packets::{self, Link, Sample};
use support::rng::Rng;
use support::subject::{INTERPRETER, Subject, Verdicts};
use support::{oracle, shrink};

#[test]
fn random_expressions() {
    let Some(version) = oracle::version() else { return };
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => default,
    };
    let expressions = number("WHITHER_DIFF_EXPRESSIONS", 400);
    let packets = number("WHITHER_DIFF_PACKETS", 50);
    let seed = number("WHITHER_DIFF_SEED", 1);
    let first = number("WHITHER_DIFF_FIRST", 0);

    let started = Instant::now();
    let mut totals = Totals::default();
    let mut seen = HashSet::new();
    for index in first..first.saturating_add(expressions) {
        let mut rng = Rng::fork(seed, index);
        let link = if rng.chance(65) { Link::Ethernet } else { Link::Raw };
        let expression = exprs::random(&mut rng, link);
        if !seen.insert((link, expression.text())) {
            continue;
        }
        totals.expressions += 1;
        let samples = packets as usize;
        if let Err(mismatch) = examine(&expression, link, samples, &mut rng, &mut totals) {
            totals.mismatches += 1;
            let smallest = smallest(*mismatch, samples, &Rng::fork(seed, index));
            println!("mismatch at WHITHER_DIFF_SEED={seed} WHITHER_DIFF_FIRST={index}\n{smallest}");
            if totals.mismatches == 20 {
                break;
            }
        }
        if totals.expressions % 2000 == 0 {
            println!("{totals}");
        }
    }
    println!("{totals}\nseed {seed}, from {first}, {version}, {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(totals.mismatches, 0, "see the mismatches above");
}

/// The expressions of `corpus.txt`, each with its own packets.
#[test]
fn corpus() {
    if oracle::version().is_none() {
        return;
    }
    let mut totals = Totals::default();
    for (index, (links, text)) in support::corpus().enumerate() {
        for &link in links {
            let mut rng = Rng::fork(99, index as u64);
            totals.expressions += 1;
            if let Err(mismatch) = examine(&Expression::from_text(text), link, 60, &mut rng, &mut totals) {
                totals.mismatches += 1;
                println!("{mismatch}");
            }
        }
    }
    println!("{totals}");
    assert_eq!(totals.mismatches, 0, "see the mismatches above");
}

/// The same disagreement with fewer words and fewer bytes.
fn smallest(mismatch: Mismatch, samples: usize, rng: &Rng) -> Mismatch {
    let link = mismatch.link;
    let disagree = |words: &[Word]| {
        let expression = Expression(words.to_vec());
        examine(&expression, link, samples, &mut rng.clone(), &mut Totals::default()).err().map(|found| *found)
    };
    let same_kind = |found: &Mismatch| std::mem::discriminant(&found.what) == std::mem::discriminant(&mismatch.what);
    let words = shrink::fewer(mismatch.expression.0.clone(), |words| disagree(words).as_ref().is_some_and(same_kind));
    let mut found = disagree(&words).unwrap_or(mismatch);
    if let What::Packet { sample, runner, accepted } = &mut found.what
        && let (Ok(mut subject), Ok(oracle)) =
            (Subject::new(&found.expression.text(), link), Oracle::new(&found.expression, link))
    {
        subject.load();
        let wrong = |bytes: &[u8]| {
            let sample = Sample { data: bytes.to_vec(), wire_len: sample.wire_len };
            subject.verdicts(&sample, &mut rng.clone()).iter().any(|&(name, verdict)| {
                name == *runner && verdict == *accepted && judge(&oracle, &sample, name, verdict) == Answer::Wrong
            })
        };
        let mut bytes = sample.data.clone();
        while !bytes.is_empty() && wrong(&bytes[..bytes.len() - 1]) {
            bytes.pop();
        }
        let bytes = shrink::zeroes(bytes, wrong);
        sample.data = bytes;
    }
    found
}

/// Counters of one run, printed as its summary.
#[derive(Default)]
struct Totals {
    expressions: u64,
    refused: u64,
    false_alarms: u64,
    rejects_all: u64,
    rejects_all_differs: u64,
    pairs: u64,
    accepted: u64,
    either: u64,
    load_removed: u64,
    endless: u64,
    long_chain: u64,
    undefined: u64,
    verdicts: Verdicts,
    mismatches: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} expressions ({} refused by both, {} for a constant by one only, {} reject all; {} reject all for one only), {} pairs ({} accepted); \
             libpcap disagrees with itself: {}, load removed: {}, endless: {}, chain over {CHAIN_STEPS}: {}, undefined: {}; \
             {} mismatches{}",
            self.expressions,
            self.refused,
            self.false_alarms,
            self.rejects_all,
            self.rejects_all_differs,
            self.pairs,
            self.accepted,
            self.either,
            self.load_removed,
            self.endless,
            self.long_chain,
            self.undefined,
            self.mismatches,
            self.verdicts
        )
    }
}

/// Something that our compiler and libpcap do not agree on.
pub struct Mismatch {
    link: Link,
    expression: Expression,
    what: What,
}

enum What {
    Text { ours: Option<String>, theirs: Option<String> },
    Kernel(String),
    Packet { sample: Sample, runner: &'static str, accepted: bool },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:?}: {}", self.link, self.expression.text())?;
        match &self.what {
            What::Text { ours, theirs } => {
                let verdict = |error: &Option<String>| error.clone().unwrap_or_else(|| "compiled".to_owned());
                write!(f, "  ours: {}\n  libpcap: {}", verdict(ours), verdict(theirs))
            }
            What::Kernel(message) => write!(f, "  {message}"),
            What::Packet { sample, runner, accepted } => {
                let hex = oracle::hex(&sample.data);
                let verdict = if *accepted { "accepts" } else { "rejects" };
                write!(f, "  packet {hex} wire length {}\n  {runner} {verdict}", sample.wire_len)
            }
        }
    }
}

/// Compiles with both and compares the verdicts on `samples` packets.
fn examine(
    expression: &Expression,
    link: Link,
    samples: usize,
    rng: &mut Rng,
    totals: &mut Totals,
) -> Result<(), Box<Mismatch>> {
    let mismatch = |what| Err(Box::new(Mismatch { link, expression: expression.clone(), what }));
    let ours = Subject::new(&expression.text(), link);
    let theirs = Oracle::new(expression, link);
    let (mut subject, oracle) = match (ours, theirs) {
        (Err(_), Err(_)) => {
            totals.refused += 1;
            return Ok(());
        }
        // libpcap has 16 scratch cells and no better register allocation; more may be accepted.
        (Ok(_), Err(message)) if message.contains("too many registers") => return Ok(()),
        (Ok(_), Err(message)) if is_false_alarm(&message, &expression.text()) => {
            totals.false_alarms += 1;
            return Ok(());
        }
        (Ok(_), Err(message)) => return mismatch(What::Text { ours: None, theirs: Some(message) }),
        // Ours knows more constants, and looks for them in code that libpcap finds dead: the relation cannot hold.
        (Err(message), Ok(_)) if is_folded_mistake(&message, &expression.text()) => {
            totals.false_alarms += 1;
            return Ok(());
        }
        (Err(message), Ok(_)) => return mismatch(What::Text { ours: Some(message), theirs: None }),
        (Ok(subject), Ok(oracle)) => (subject, oracle),
    };
    totals.rejects_all += u64::from(oracle.rejects_all && subject.rejects_all());
    if std::env::var_os("WHITHER_DIFF_SHOW").is_some() && oracle.rejects_all != subject.rejects_all() {
        println!("rejects all for {}: {}", if oracle.rejects_all { "libpcap" } else { "us" }, expression.text());
    }
    totals.rejects_all_differs += u64::from(oracle.rejects_all != subject.rejects_all());
    // Every eighth expression also runs as eBPF in the kernel, and the verifier sees it.
    if totals.expressions % 8 <= 1 {
        subject.load();
    }
    if let Some(message) = subject.refused() {
        return mismatch(What::Kernel(message));
    }
    // A constant verdict can be wrong too, so it is not exempt from packets.
    let guide = if oracle.rejects_all { oracle.unoptimised() } else { oracle.program() };
    let pool = packets::constants(guide);
    for round in 0..samples {
        let base = packets::random(rng, link, &pool);
        let sample = if round % 2 == 0 { packets::guided(rng, guide, &base) } else { base };
        totals.pairs += 1;
        for (runner, accepted) in subject.verdicts(&sample, rng) {
            totals.verdicts.count(runner);
            totals.accepted += u64::from(accepted && runner == INTERPRETER);
            match judge(&oracle, &sample, runner, accepted) {
                Answer::Same => {}
                Answer::Either => totals.either += 1,
                Answer::LoadRemoved => totals.load_removed += 1,
                Answer::Endless => totals.endless += 1,
                Answer::Undefined => totals.undefined += 1,
                Answer::LongChain => totals.long_chain += 1,
                Answer::Wrong => return mismatch(What::Packet { sample, runner, accepted }),
            }
        }
    }
    Ok(())
}

fn judge(oracle: &Oracle, sample: &Sample, runner: &str, accepted: bool) -> Answer {
    let answer = oracle.judge(sample, accepted);
    let bounded = runner != INTERPRETER && !accepted;
    if answer == Answer::Wrong && bounded && oracle.chain_steps(sample) > CHAIN_STEPS {
        return Answer::LongChain;
    }
    answer
}
