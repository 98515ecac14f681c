//! What is wrong with an expression, and where.

use std::fmt;
use std::ops::Range;

use crate::btf::{BtfError, FindError, PathErrorKind};

/// An expression that has no meaning here. `Display` is one line; [`Error::render`] shows the place as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub kind: Box<ErrorKind>,
    /// The bytes of the text that are to blame.
    pub span: Range<usize>,
    /// The whole text.
    pub text: String,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No expression has this character.
    Character(char),
    /// Not a number, though it begins like one.
    BadNumber(String),
    /// A constant that needs more than 64 bits.
    NumberTooLarge(String),
    /// A character constant that is not one ASCII character.
    BadCharacter,
    /// Something else should stand here; `found` is `None` at the end of the text.
    Expected {
        /// What could stand here.
        wanted: &'static str,
        /// What stands here.
        found: Option<String>,
    },
    /// An operator of C that expressions do not have.
    Operator(String),
    /// A function call.
    Call,
    /// Parentheses, casts and operators within each other, too deep.
    TooDeep,
    /// Neither the object that the expression is about nor an enumerator.
    Unknown {
        /// The name.
        name: String,
        /// The object that the expression is about.
        root: String,
        /// A name that exists.
        near: Option<String>,
    },
    /// Enumerators of this name have different values.
    AmbiguousEnumerator(String),
    /// A type that does not exist.
    Type(FindError),
    /// A member that cannot be reached.
    Path(PathErrorKind),
    /// What is needed here is a number or a pointer, and this is neither: the type.
    NotAValue(String),
    /// An operator with operands that it does not take.
    Operands {
        /// The operator.
        operator: &'static str,
        /// The type that does not fit.
        found: String,
    },
    /// An address of what has none: a value, or a bit field.
    NoAddress,
    /// Division by a constant zero.
    DivisionByZero,
    /// A shift by this constant, too far for a value of so many bits.
    LongShift {
        /// The count.
        count: i64,
        /// The bits of the value.
        bits: u32,
    },
    /// Damaged type information.
    Btf(BtfError),
    /// Not a value that can be printed: it has this many bytes.
    TooWide(u32),
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Character(c @ ('"' | '\'')) => write!(f, "unexpected character `{c}`"),
            ErrorKind::Character(c) => write!(f, "unexpected character `{}`", c.escape_debug()),
            ErrorKind::BadNumber(text) => write!(f, "`{text}` is not a number"),
            ErrorKind::NumberTooLarge(text) => write!(f, "`{text}` needs more than 64 bits"),
            ErrorKind::BadCharacter => f.write_str("a character constant is one ASCII character"),
            ErrorKind::Expected { wanted, found: Some(found) } => write!(f, "expected {wanted}, found `{found}`"),
            ErrorKind::Expected { wanted, found: None } => write!(f, "expected {wanted} at the end"),
            ErrorKind::Operator(text) => write!(f, "expressions have no operator `{text}`"),
            ErrorKind::Call => f.write_str("functions cannot be called"),
            ErrorKind::TooDeep => f.write_str("too many operators within each other"),
            ErrorKind::Unknown { name, root, .. } => write!(f, "`{name}` is neither `{root}` nor an enumerator"),
            ErrorKind::AmbiguousEnumerator(name) => write!(f, "several enumerators `{name}` have different values"),
            ErrorKind::Type(e) => e.fmt(f),
            ErrorKind::Path(e) => e.fmt(f),
            ErrorKind::NotAValue(title) => write!(f, "`{title}` is not a number"),
            ErrorKind::Operands { operator, found } => write!(f, "`{operator}` does not take `{found}`"),
            ErrorKind::NoAddress => f.write_str("this has no address"),
            ErrorKind::DivisionByZero => f.write_str("division by zero"),
            ErrorKind::LongShift { count, bits } => write!(f, "a value of {bits} bits cannot be shifted by {count}"),
            ErrorKind::Btf(e) => e.fmt(f),
            ErrorKind::TooWide(bytes) => {
                write!(f, "a value of {bytes} bytes cannot be shown; {} are the most", super::resolve::MAX_OUTPUT)
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Whether the type information is damaged, whatever was typed.
    pub fn is_damage(&self) -> bool {
        matches!(*self.kind, ErrorKind::Btf(_) | ErrorKind::Path(PathErrorKind::Btf(_)))
    }

    pub(super) fn new(kind: ErrorKind, span: Range<usize>, text: &str) -> Error {
        Error { kind: Box::new(kind), span, text: text.to_owned() }
    }

    /// What was probably meant: the chain of members up to the marked name, with a name that exists.
    pub fn hint(&self) -> Option<String> {
        let near = match &*self.kind {
            ErrorKind::Unknown { near, .. } => near.as_deref(),
            ErrorKind::Path(kind) => kind.hint(),
            _ => None,
        }?;
        let before = &self.text[..self.span.start];
        let is_chain = |c: char| c.is_ascii_alphanumeric() || "_.->[]".contains(c);
        let chain =
            before.rfind(|c| !is_chain(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        Some(format!("{}{near}", &before[chain..]))
    }

    /// The message, the line with the place marked, and the hint.
    pub fn render(&self) -> String {
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let line: String = self.text.chars().map(printable).collect();
        let before = self.text[..self.span.start].chars().count();
        let width = self.text[self.span.clone()].chars().count().max(1);
        let mut out = format!("error: {self}\n    {line}\n    {}{}", " ".repeat(before), "^".repeat(width));
        if let Some(hint) = self.hint() {
            out += &format!("\nhint: did you mean `{}`?", hint.chars().map(printable).collect::<String>());
        }
        out
    }
}
