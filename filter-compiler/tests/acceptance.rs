//! Which texts are expressions: random texts must be taken or refused as libpcap takes or refuses them.
//!
//! libpcap runs in this process, so that a second holds many texts; `differential.rs` does the same with fewer. A longer
//! run:
//! ```text
//! WHITHER_TEXTS=1000000 cargo test --release -p filter-compiler --test acceptance -- --nocapture
//! ```
//! `WHITHER_TEXTS_SEED` chooses other texts.

mod support;

use filter_compiler::lexer::{TokenKind, lex};
use filter_compiler::names::{Builtin, Names, System, Transport};
use filter_compiler::{compile, parse};
use support::judge::{REJECTS_ALL, is_false_alarm, is_folded_mistake};
use support::libpcap::Libpcap;
use support::packets::Link;
use support::rng::Rng;
use support::subject::link_type;
use support::{shrink, texts};

#[test]
fn random_texts() {
    let Some(libpcap) = Libpcap::for_tests() else { return };
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
    };
    let (count, seed) = (number("WHITHER_TEXTS", 4_000), number("WHITHER_TEXTS_SEED", 1));
    let names = System::new();
    let (mut compared, mut taken, mut mismatches) = (0, 0, 0);
    for index in 0..count {
        let mut rng = Rng::fork(seed, index);
        let link = if rng.chance(65) { Link::Ethernet } else { Link::Raw };
        let text = texts::random(&mut rng);
        if asks_a_resolver(&text) {
            continue;
        }
        compared += 1;
        match disagreement(&libpcap, &names, &text, link) {
            Ok(accepted) => taken += u64::from(accepted),
            Err(_) => {
                mismatches += 1;
                let letters: Vec<char> = text.chars().collect();
                let fails = |letters: &[char]| {
                    let text: String = letters.iter().collect();
                    !asks_a_resolver(&text) && disagreement(&libpcap, &names, &text, link).is_err()
                };
                let smallest: String = shrink::fewer(letters, fails).into_iter().collect();
                let message = disagreement(&libpcap, &names, &smallest, link).unwrap_err();
                println!("number {index}, {link:?}: {smallest:?}\n  {message}");
            }
        }
    }
    println!("{compared} texts compared, {taken} taken by both, {mismatches} mismatches, seed {seed}");
    assert_eq!(mismatches, 0, "see above");
    assert!(taken * 20 > compared, "too few texts are expressions");
}

/// Whether both take the text; the error says what both say when they differ.
fn disagreement(libpcap: &Libpcap, names: &System, text: &str, link: Link) -> Result<bool, String> {
    match (compile(text, link_type(link), names), libpcap.compile(text, link)) {
        (Ok(_), Ok(_)) => Ok(true),
        (Err(_), Err(_)) => Ok(false),
        // Both know that nothing matches, and differ in how much they know: verdicts are `differential.rs`'s.
        (Err(error), Ok(_)) if error.rejects_all() => Ok(true),
        (Ok(_), Err(message)) if message == REJECTS_ALL => Ok(true),
        (Err(error), Ok(_)) if is_folded_mistake(&error.to_string(), text) => Ok(false),
        (Ok(_), Err(message)) if is_false_alarm(&message, text) || message.contains("too many registers") => Ok(false),
        (Err(error), Ok(_)) => Err(format!("ours: {error}; libpcap takes it")),
        (Ok(_), Err(message)) => {
            let tree = parse(text).map(|ast| ast.to_string()).unwrap_or_default();
            Err(format!("ours takes it as {tree}; libpcap: {message}"))
        }
    }
}

/// Whether the text holds a name that libpcap could look up in the network.
fn asks_a_resolver(text: &str) -> bool {
    let known = |name: &str| {
        let port = |transport| Builtin.port(name, transport).is_some();
        port(Transport::Tcp) || port(Transport::Udp) || Builtin.protocol(name).is_some()
    };
    // libpcap reads the numbers of a range with sscanf("%d"), which does not tell when they are too large.
    let is_range = |name: &str| name.split('-').all(|n| n.len() < 10 && n.bytes().all(|byte| byte.is_ascii_digit()));
    let tokens = lex(text);
    // What libpcap makes of the text after a mistake is not known.
    let rest = tokens.iter().any(|token| matches!(token.kind, TokenKind::Bad(_)));
    let mut before = "";
    let strange = tokens.iter().any(|token| {
        let before = std::mem::replace(&mut before, &text[token.span.start..token.span.end]);
        let local = matches!(before, "port" | "portrange" | "proto" | "protochain" | "and" | "or" | "not");
        match &token.kind {
            TokenKind::Name(name) => !local || !known(name) && !is_range(name),
            _ => false,
        }
    });
    strange || text.contains('\0') || rest && text.len() > 200
}
