//! What was typed.

use std::fmt;
use std::ops::Range;

use super::lexer::Number;

/// A part of the text.
pub type Span = Range<usize>;

/// An expression and its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its bytes.
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExprKind {
    /// A name: the root object or an enumerator.
    Name(String),
    /// A constant.
    Number(Number),
    /// `of.name` or `of->name`.
    Member {
        /// What has the member.
        of: Box<Expr>,
        /// Its name.
        name: String,
        /// The place of the name.
        name_span: Span,
    },
    /// `of[index]`.
    Index {
        /// An array or pointer.
        of: Box<Expr>,
        /// Which element.
        index: Box<Expr>,
    },
    /// An operator before its operand.
    Unary(Unary, Box<Expr>),
    /// `(type)of`.
    Cast {
        /// The type.
        to: TypeName,
        /// What is converted.
        of: Box<Expr>,
    },
    /// An operator between its operands.
    Binary(Binary, Box<Expr>, Box<Expr>),
}

/// Operators before their operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Unary {
    Not,
    Complement,
    Minus,
    Plus,
    Deref,
    Address,
}

impl Unary {
    /// As typed.
    pub fn symbol(self) -> &'static str {
        match self {
            Unary::Not => "!",
            Unary::Complement => "~",
            Unary::Minus => "-",
            Unary::Plus => "+",
            Unary::Deref => "*",
            Unary::Address => "&",
        }
    }
}

/// Operators between their operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Binary {
    Mul,
    Div,
    Rem,
    Add,
    Sub,
    Shl,
    Shr,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    And,
    Xor,
    Or,
    LogicalAnd,
    LogicalOr,
}

impl Binary {
    /// All of them, in the order of precedence.
    pub const ALL: [Binary; 18] = [
        Binary::Mul,
        Binary::Div,
        Binary::Rem,
        Binary::Add,
        Binary::Sub,
        Binary::Shl,
        Binary::Shr,
        Binary::Lt,
        Binary::Le,
        Binary::Gt,
        Binary::Ge,
        Binary::Eq,
        Binary::Ne,
        Binary::And,
        Binary::Xor,
        Binary::Or,
        Binary::LogicalAnd,
        Binary::LogicalOr,
    ];

    /// As typed.
    pub fn symbol(self) -> &'static str {
        match self {
            Binary::Mul => "*",
            Binary::Div => "/",
            Binary::Rem => "%",
            Binary::Add => "+",
            Binary::Sub => "-",
            Binary::Shl => "<<",
            Binary::Shr => ">>",
            Binary::Lt => "<",
            Binary::Le => "<=",
            Binary::Gt => ">",
            Binary::Ge => ">=",
            Binary::Eq => "==",
            Binary::Ne => "!=",
            Binary::And => "&",
            Binary::Xor => "^",
            Binary::Or => "|",
            Binary::LogicalAnd => "&&",
            Binary::LogicalOr => "||",
        }
    }

    /// How tightly it binds: 10 the most, 1 the least.
    pub fn precedence(self) -> u8 {
        match self {
            Binary::Mul | Binary::Div | Binary::Rem => 10,
            Binary::Add | Binary::Sub => 9,
            Binary::Shl | Binary::Shr => 8,
            Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => 7,
            Binary::Eq | Binary::Ne => 6,
            Binary::And => 5,
            Binary::Xor => 4,
            Binary::Or => 3,
            Binary::LogicalAnd => 2,
            Binary::LogicalOr => 1,
        }
    }
}

/// A type in a cast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// What the name belongs to.
    pub tag: Tag,
    /// The name; for C's own integer types with several words in the order that BTF uses: `long unsigned int`.
    pub name: String,
    /// A pointer to the type.
    pub pointer: bool,
    /// The bytes between the parentheses.
    pub span: Span,
}

/// The keyword before a type's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `struct`
    Struct,
    /// `union`
    Union,
    /// `enum`
    Enum,
    /// None: a typedef or one of C's own.
    None,
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.tag {
            Tag::Struct => "struct ",
            Tag::Union => "union ",
            Tag::Enum => "enum ",
            Tag::None => "",
        })?;
        write!(f, "{}{}", self.name, if self.pointer { " *" } else { "" })
    }
}

impl fmt::Display for Expr {
    /// With parentheses around every operator, so that nothing depends on precedence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Name(name) => f.write_str(name),
            ExprKind::Number(n) => {
                let suffix = (if n.unsigned { "u" } else { "" }, if n.long { "l" } else { "" });
                match n.hex {
                    true => write!(f, "{:#x}{}{}", n.value, suffix.0, suffix.1),
                    false => write!(f, "{}{}{}", n.value, suffix.0, suffix.1),
                }
            }
            ExprKind::Member { of, name, .. } => write!(f, "{of}->{name}"),
            ExprKind::Index { of, index } => write!(f, "{of}[{index}]"),
            ExprKind::Unary(op, of) => write!(f, "({}{of})", op.symbol()),
            ExprKind::Cast { to, of } => write!(f, "(({to}){of})"),
            ExprKind::Binary(op, left, right) => write!(f, "({left} {} {right})", op.symbol()),
        }
    }
}
