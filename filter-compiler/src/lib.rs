//! pcap-filter(7) expressions to classic BPF and eBPF, without libpcap.
//!
//! An expression goes through the stages that [`compile`] names; each has a text form.
//!
//! ```
//! use filter_compiler::{LinkType, compile, names::Builtin, to_cbpf};
//!
//! let graph = compile("tcp[tcpflags] & tcp-syn != 0", LinkType::En10Mb, &Builtin)?;
//! let program = to_cbpf(&graph)?;
//! assert!(program.0.len() <= 12);
//! println!("{graph}\n{program}\n{}", program.decimal());
//!
//! let error = compile("tcp port htpp", LinkType::En10Mb, &Builtin).unwrap_err();
//! assert_eq!(error.to_string(), "no port is named `htpp`");
//! eprintln!("{}", error.render());
//! # Ok::<(), filter_compiler::Error>(())
//! ```

mod arith;
pub mod ast;
pub mod cbpf;
pub mod ebpf;
mod error;
pub mod graph;
mod hash;
pub mod lexer;
mod lower;
pub mod names;
pub mod optimise;
mod parser;
mod show;
pub mod words;

pub use ast::Ast;
pub use cbpf::to_cbpf;
pub use error::{Error, ErrorKind, Limit, NameKind, Span};
pub use graph::Graph;
pub use names::Names;
pub use show::{Form, show};

/// What packets start with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkType {
    /// An Ethernet header: `DLT_EN10MB`.
    En10Mb,
    /// An IPv4 or IPv6 header: `DLT_RAW`.
    Raw,
}

/// Reads an expression without asking what it means.
pub fn parse(text: &str) -> Result<Ast, Error> {
    let tokens = lexer::lex(text);
    parser::parse(text, &tokens)
}

/// Compiles an expression for packets of one link type; `names` is asked for hosts, ports and protocols.
///
/// An expression that no packet can match is an error, [`Error::rejects_all`].
pub fn compile(text: &str, link: LinkType, names: &dyn Names) -> Result<Graph, Error> {
    let tokens = lexer::lex(text);
    let ast = match parser::parse(text, &tokens) {
        Ok(ast) => ast, // what was typed
        Err(error) => return Err(earlier_mistake(text, &tokens, &error, link, names).unwrap_or(error)),
    };
    let lowered = lower::lower(&ast, link, names)?; // what it means
    optimise::checked(lowered, text, || lower::lower(&ast, link, names)) // the same meaning in fewer tests
}

/// A mistake in what stands before a syntax error: the first one is told.
fn earlier_mistake(
    text: &str,
    tokens: &[lexer::Token],
    error: &Error,
    link: LinkType,
    names: &dyn Names,
) -> Option<Error> {
    use lexer::TokenKind::Word;
    let before = tokens.iter().take_while(|token| token.span.start < error.span().start).count();
    let joint =
        tokens[..before].iter().rposition(|token| matches!(token.kind, Word(words::Word::And | words::Word::Or)));
    // Only a complete expression can be understood; with parentheses open there is none.
    let ast = parser::parse(text, &tokens[..joint?]).ok()?;
    lower::lower(&ast, link, names).err()
}

/// Compiles an expression without optimising it: as many tests as were typed.
pub fn compile_unoptimised(text: &str, link: LinkType, names: &dyn Names) -> Result<Graph, Error> {
    Ok(lower::lower(&parse(text)?, link, names)?.graph)
}
