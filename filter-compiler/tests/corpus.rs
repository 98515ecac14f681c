//! Every line of corpus.txt is accepted or rejected as it says.

use filter_compiler::names::Builtin;
use filter_compiler::{LinkType, compile, to_cbpf};

/// Link types, whether it compiles, and the expression, of each line.
fn corpus() -> Vec<(Vec<LinkType>, bool, &'static str)> {
    let lines = include_str!("corpus.txt").lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let mut columns = line.splitn(3, '\t');
        let links = match columns.next() {
            Some("EN10MB") => vec![LinkType::En10Mb],
            Some("RAW") => vec![LinkType::Raw],
            Some("BOTH") => vec![LinkType::En10Mb, LinkType::Raw],
            other => panic!("link type {other:?} in {line:?}"),
        };
        let ok = match columns.next() {
            Some("ok") => true,
            Some("error") => false,
            other => panic!("outcome {other:?} in {line:?}"),
        };
        (links, ok, columns.next().unwrap_or_else(|| panic!("no expression in {line:?}")))
    });
    parsed.collect()
}

#[test]
fn the_corpus_is_accepted_and_rejected_as_it_says() {
    let corpus = corpus();
    assert!(corpus.len() > 150, "only {} lines", corpus.len());
    let mut wrong = Vec::new();
    for (links, ok, text) in corpus {
        for link in links {
            let result = compile(text, link, &Builtin).and_then(|graph| to_cbpf(&graph));
            if result.is_ok() != ok {
                wrong.push(format!("{link:?} {text}: {:?}", result.map(|_| ())));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
