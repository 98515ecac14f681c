//! Every stage of one compilation as text, for `whither filter`, bug reports and curiosity.

use std::fmt::Write;

use crate::error::Error;
use crate::names::Names;
use crate::{LinkType, compile, compile_unoptimised, lexer, parse, to_cbpf};

/// A stage, or a form of the last one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The tokens, one per line, with their place in the text.
    Tokens,
    /// The tree, fully parenthesised.
    Ast,
    /// The graph of all tests that were typed.
    Lowered,
    /// The optimised graph.
    Graph,
    /// Classic BPF, exactly as `tcpdump -d` lists it.
    Listing,
    /// Classic BPF in decimal, exactly as `tcpdump -ddd` prints it.
    Cbpf,
}

impl Form {
    /// All forms with the words for them, in the order of the stages.
    pub const ALL: [(&str, Form); 6] = [
        ("tokens", Form::Tokens),
        ("ast", Form::Ast),
        ("lowered", Form::Lowered),
        ("graph", Form::Graph),
        ("listing", Form::Listing),
        ("cbpf", Form::Cbpf),
    ];

    /// The form that a word names.
    pub fn from_word(word: &str) -> Option<Form> {
        Form::ALL.iter().find(|(known, _)| *known == word).map(|(_, form)| *form)
    }
}

/// Compiles as far as `form` asks and shows the result; every line is ended.
pub fn show(text: &str, link: LinkType, names: &dyn Names, form: Form) -> Result<String, Error> {
    let mut out = match form {
        Form::Tokens => {
            // A mistake in the text is told by the parser.
            parse(text)?;
            let mut out = String::new();
            for token in lexer::lex(text) {
                let word = &text[token.span.start..token.span.end];
                // Writing to a string does not fail.
                let _ = writeln!(out, "{}..{} {word} {:?}", token.span.start, token.span.end, token.kind);
            }
            out
        }
        Form::Ast => parse(text)?.to_string(),
        Form::Lowered => compile_unoptimised(text, link, names)?.to_string(),
        Form::Graph => compile(text, link, names)?.to_string(),
        Form::Listing => to_cbpf(&compile(text, link, names)?)?.to_string(),
        Form::Cbpf => to_cbpf(&compile(text, link, names)?)?.decimal().to_string(),
    };
    if !out.ends_with('\n') {
        out.push('\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Builtin;

    fn check(form: Form, wanted: &str) {
        assert_eq!(show("ip and not tcp", LinkType::En10Mb, &Builtin, form).as_deref(), Ok(wanted));
    }

    #[test]
    fn every_stage_can_be_seen() {
        check(
            Form::Tokens,
            "0..2 ip Word(Protocol(Ip))\n3..6 and Word(And)\n7..10 not Word(Not)\n11..14 tcp Word(Protocol(Tcp))\n",
        );
        check(Form::Ast, "(ip and not tcp)\n");
        check(
            Form::Lowered,
            "n0: u16[12] == 0x800 ? n1 : reject\n\
             n1: u16[12] == 0x800 ? n2 : n3\n\
             n2: u8[23] == 0x6 ? reject : n3\n\
             n3: u16[12] == 0x86dd ? n4 : accept\n\
             n4: u8[20] == 0x6 ? reject : n5\n\
             n5: u8[20] == 0x2c ? n6 : accept\n\
             n6: u8[54] == 0x6 ? reject : accept\n",
        );
        check(Form::Graph, "n0: u16[12] == 0x800 ? n1 : reject\nn1: u8[23] == 0x6 ? reject : accept\n");
        check(
            Form::Listing,
            "(000) ldh      [12]\n\
             (001) jeq      #0x800           jt 2\tjf 5\n\
             (002) ldb      [23]\n\
             (003) jeq      #0x6             jt 5\tjf 4\n\
             (004) ret      #262144\n\
             (005) ret      #0\n",
        );
        check(Form::Cbpf, "6\n40 0 0 12\n21 0 3 2048\n48 0 0 23\n21 1 0 6\n6 0 0 262144\n6 0 0 0\n");
    }

    #[test]
    fn forms_have_words() {
        assert!(Form::ALL.iter().all(|(word, form)| Form::from_word(word) == Some(*form)));
        assert_eq!(Form::from_word("elf"), None);
    }
}
