//! Arithmetic in the parser: operands and operators in one list, by shifting and reducing.
//!
//! libpcap's grammar gives `%` and `^` no precedence. Its generated parser therefore never reduces when one of them is
//! involved: `7 % 4 + 1` is `7 % (4 + 1)`.

use crate::ast::{Arith, ArithKind, ArithPart, BinaryOp};
use crate::error::{Error, ErrorKind, Limit, Span};
use crate::lexer::TokenKind;
use crate::parser::Parser;
use crate::words::Word;

/// What is missing after arithmetic that nothing is compared with.
pub const COMPARISON: &str = "a comparison such as `=` or `>`";

const OPERAND: &str = "a number, `len` or bytes such as `ip[0]`";

/// Whether an operator or comparison sign follows.
pub fn continues(parser: &Parser<'_>) -> bool {
    binary(parser).is_some() || parser.relop().is_some()
}

/// Parses arithmetic; `first` is its first operand if that has been read.
pub fn parse(parser: &mut Parser<'_>, first: Option<Arith>) -> Result<Arith, Error> {
    let mut arith = first.unwrap_or_default();
    let first = arith.parts.len().checked_sub(1);
    expression(parser, &mut arith, first)?;
    Ok(arith)
}

/// An operator whose right operand is not complete: unary minus, or a binary one.
enum Pending {
    Minus(Span),
    Binary(BinaryOp),
}

impl Pending {
    fn precedence(&self) -> Option<u8> {
        match self {
            Pending::Minus(_) => Some(6),
            Pending::Binary(op) => precedence(*op),
        }
    }
}

fn precedence(op: BinaryOp) -> Option<u8> {
    match op {
        BinaryOp::Or => Some(1),
        BinaryOp::And => Some(2),
        BinaryOp::ShiftLeft | BinaryOp::ShiftRight => Some(3),
        BinaryOp::Add | BinaryOp::Subtract => Some(4),
        BinaryOp::Multiply | BinaryOp::Divide => Some(5),
        BinaryOp::Modulus | BinaryOp::Xor => None,
    }
}

/// Appends an expression to `arith` and returns the position of its result, the last part.
fn expression(parser: &mut Parser<'_>, arith: &mut Arith, first: Option<usize>) -> Result<usize, Error> {
    let mut operands = Vec::new();
    let mut pending = Vec::new();
    let mut first = first;
    loop {
        while first.is_none() && parser.peek() == Some(&TokenKind::Punct("-")) {
            pending.push(Pending::Minus(parser.here()));
            parser.advance();
        }
        operands.push(match first.take() {
            Some(operand) => operand,
            None => operand(parser, arith)?,
        });
        let next = binary(parser);
        while let Some(top) = pending.last() {
            let reduce = match next.map(precedence) {
                None => true,
                Some(next) => matches!((top.precedence(), next), (Some(top), Some(next)) if top >= next),
            };
            if !reduce {
                break;
            }
            if let Some(op) = pending.pop() {
                apply(parser, arith, &mut operands, op)?;
            }
        }
        let Some(op) = next else { break };
        parser.advance();
        pending.push(Pending::Binary(op));
    }
    Ok(operands.pop().unwrap_or(0))
}

fn apply(parser: &Parser<'_>, arith: &mut Arith, operands: &mut Vec<usize>, op: Pending) -> Result<(), Error> {
    let right = operands.pop().unwrap_or(0);
    let part = match op {
        Pending::Minus(sign) => ArithPart { kind: ArithKind::Negate(right), span: sign.to(arith.parts[right].span) },
        Pending::Binary(op) => {
            let left = operands.pop().unwrap_or(0);
            let span = arith.parts[left].span.to(arith.parts[right].span);
            ArithPart { kind: ArithKind::Binary(op, left, right), span }
        }
    };
    operands.push(push(parser, arith, part)?);
    Ok(())
}

fn push(parser: &Parser<'_>, arith: &mut Arith, part: ArithPart) -> Result<usize, Error> {
    // Every operator has at most one more operand than operators before it.
    if arith.parts.len() > 2 * Limit::Operators.max() {
        return Err(parser.error(part.span, ErrorKind::TooLarge(Limit::Operators)));
    }
    arith.parts.push(part);
    Ok(arith.parts.len() - 1)
}

fn operand(parser: &mut Parser<'_>, arith: &mut Arith) -> Result<usize, Error> {
    let start = parser.here();
    let kind = match parser.peek() {
        Some(&TokenKind::Number(number)) => ArithKind::Number(number),
        Some(TokenKind::Word(Word::Len)) => ArithKind::Length,
        Some(TokenKind::Punct("(")) => {
            parser.advance();
            parser.descend(start)?;
            let inner = expression(parser, arith, None)?;
            parser.punct(")", "`)`")?;
            parser.ascend();
            return Ok(inner);
        }
        Some(&TokenKind::Word(Word::Protocol(protocol))) => {
            parser.advance();
            let open = parser.here();
            parser.punct("[", "`[`")?;
            parser.descend(open)?;
            let index = expression(parser, arith, None)?;
            let mut size = 1;
            if parser.peek() == Some(&TokenKind::Punct(":")) {
                parser.advance();
                let at = parser.here();
                size = parser.number()?;
                if ![1, 2, 4].contains(&size) {
                    return Err(parser.error(at, ErrorKind::LoadSize(size)));
                }
            }
            parser.punct("]", "`]`")?;
            parser.ascend();
            let span = start.to(parser.before());
            return push(parser, arith, ArithPart { kind: ArithKind::Load { protocol, index, size }, span });
        }
        _ => return Err(parser.expected(OPERAND)),
    };
    parser.advance();
    push(parser, arith, ArithPart { kind, span: start })
}

fn binary(parser: &Parser<'_>) -> Option<BinaryOp> {
    Some(match parser.peek()? {
        TokenKind::Punct("+") => BinaryOp::Add,
        TokenKind::Punct("-") => BinaryOp::Subtract,
        TokenKind::Punct("*") => BinaryOp::Multiply,
        TokenKind::Punct("/") => BinaryOp::Divide,
        TokenKind::Punct("%") => BinaryOp::Modulus,
        TokenKind::Punct("&") => BinaryOp::And,
        TokenKind::Punct("|") => BinaryOp::Or,
        TokenKind::Punct("^") => BinaryOp::Xor,
        TokenKind::Punct("<<") => BinaryOp::ShiftLeft,
        TokenKind::Punct(">>") => BinaryOp::ShiftRight,
        _ => return None,
    })
}
