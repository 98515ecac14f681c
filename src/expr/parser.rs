//! Tokens to what was typed: C's expression grammar, without assignments, calls, `?:` and `,`.

use super::ast::{Binary, Expr, ExprKind, Span, Tag, TypeName, Unary};
use super::error::{Error, ErrorKind};
use super::lexer::{Token, TokenKind, lex};

/// Brackets, unary operators and casts within each other, at most.
const MAX_NESTING: usize = 64;

/// Binary operators in one expression, at most: trees of them are as deep as there are operators.
const MAX_OPERATORS: usize = 256;

/// Parses the whole of `text` as one expression.
pub fn parse(text: &str) -> Result<Expr, Error> {
    let tokens = lex(text)?;
    let mut parser = Parser { text, tokens: &tokens, at: 0, nesting: 0, operators: 0 };
    let expr = parser.binary(1)?;
    match parser.peek() {
        None => Ok(expr),
        Some(TokenKind::Symbol("(")) => Err(parser.error(ErrorKind::Call)),
        Some(TokenKind::Symbol(symbol @ ("?" | ":" | "," | "++" | "--"))) => {
            Err(parser.error(ErrorKind::Operator(symbol.to_owned())))
        }
        Some(TokenKind::Symbol(symbol)) if symbol.ends_with('=') => {
            Err(parser.error(ErrorKind::Operator(symbol.to_owned())))
        }
        Some(_) => Err(parser.expected("an operator")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
    at: usize,
    nesting: usize,
    operators: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<TokenKind<'a>> {
        self.peek_at(0)
    }

    fn peek_at(&self, n: usize) -> Option<TokenKind<'a>> {
        self.tokens.get(self.at + n).map(|token| token.kind)
    }

    /// The place of the next token, or of the end.
    fn span(&self) -> Span {
        match self.tokens.get(self.at) {
            Some(token) => token.span.clone(),
            None => self.text.len()..self.text.len(),
        }
    }

    /// Where the last token that was taken ends.
    fn end(&self) -> usize {
        self.at.checked_sub(1).and_then(|n| self.tokens.get(n)).map_or(0, |token| token.span.end)
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let is_next = matches!(self.peek(), Some(TokenKind::Symbol(s)) if s == symbol);
        self.at += usize::from(is_next);
        is_next
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.span(), self.text)
    }

    fn expected(&self, wanted: &'static str) -> Error {
        let found = self.tokens.get(self.at).map(|token| self.text[token.span.clone()].to_owned());
        self.error(ErrorKind::Expected { wanted, found })
    }

    /// Operators that bind at least as tightly as `least`; those of one precedence group to the left.
    fn binary(&mut self, least: u8) -> Result<Expr, Error> {
        let mut left = self.unary()?;
        while let Some(op) = self.operator().filter(|op| op.precedence() >= least) {
            self.operators += 1;
            if self.operators > MAX_OPERATORS {
                return Err(self.error(ErrorKind::TooDeep));
            }
            self.at += 1;
            let right = self.binary(op.precedence() + 1)?;
            let span = left.span.start..right.span.end;
            left = Expr { kind: ExprKind::Binary(op, Box::new(left), Box::new(right)), span };
        }
        Ok(left)
    }

    fn operator(&self) -> Option<Binary> {
        match self.peek()? {
            TokenKind::Symbol("=") => Some(Binary::Eq),
            TokenKind::Symbol(symbol) => Binary::ALL.into_iter().find(|op| op.symbol() == symbol),
            _ => None,
        }
    }

    fn unary(&mut self) -> Result<Expr, Error> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.error(ErrorKind::TooDeep));
        }
        let begin = self.span().start;
        let op = match self.peek() {
            Some(TokenKind::Symbol("!")) => Some(Unary::Not),
            Some(TokenKind::Symbol("~")) => Some(Unary::Complement),
            Some(TokenKind::Symbol("-")) => Some(Unary::Minus),
            Some(TokenKind::Symbol("+")) => Some(Unary::Plus),
            Some(TokenKind::Symbol("*")) => Some(Unary::Deref),
            Some(TokenKind::Symbol("&")) => Some(Unary::Address),
            _ => None,
        };
        let expr = if let Some(op) = op {
            self.at += 1;
            let of = Box::new(self.unary()?);
            Expr { span: begin..of.span.end, kind: ExprKind::Unary(op, of) }
        } else if let Some(to) = self.cast()? {
            let of = Box::new(self.unary()?);
            Expr { span: begin..of.span.end, kind: ExprKind::Cast { to, of } }
        } else {
            self.postfix()?
        };
        self.nesting -= 1;
        Ok(expr)
    }

    fn postfix(&mut self) -> Result<Expr, Error> {
        let begin = self.span().start;
        let mut expr = self.primary()?;
        loop {
            let kind = if self.take_symbol("->") || self.take_symbol(".") {
                let name_span = self.span();
                let Some(TokenKind::Word(name)) = self.peek() else { return Err(self.expected("the name of a field")) };
                self.at += 1;
                ExprKind::Member { of: Box::new(expr), name: name.to_owned(), name_span }
            } else if self.take_symbol("[") {
                let index = Box::new(self.binary(1)?);
                if !self.take_symbol("]") {
                    return Err(self.expected("`]`"));
                }
                ExprKind::Index { of: Box::new(expr), index }
            } else {
                return Ok(expr);
            };
            self.operators += 1;
            if self.operators > MAX_OPERATORS {
                return Err(self.error(ErrorKind::TooDeep));
            }
            expr = Expr { kind, span: begin..self.end() };
        }
    }

    fn primary(&mut self) -> Result<Expr, Error> {
        let span = self.span();
        let kind = match self.peek() {
            Some(TokenKind::Word(name)) => ExprKind::Name(name.to_owned()),
            Some(TokenKind::Number(number)) => ExprKind::Number(number),
            Some(TokenKind::Symbol("(")) => {
                self.at += 1;
                let mut inner = self.binary(1)?;
                if !self.take_symbol(")") {
                    return Err(self.expected("`)`"));
                }
                inner.span = span.start..self.end();
                return Ok(inner);
            }
            _ => return Err(self.expected("a value")),
        };
        self.at += 1;
        Ok(Expr { kind, span })
    }

    /// Takes `(type)`, if that is what comes next. A parenthesis is a cast if it holds a keyword, or a name (and
    /// possibly a `*`) that would otherwise be followed by something that cannot follow it.
    fn cast(&mut self) -> Result<Option<TypeName>, Error> {
        let (Some(TokenKind::Symbol("(")), Some(TokenKind::Word(first))) = (self.peek(), self.peek_at(1)) else {
            return Ok(None);
        };
        let is_name = !KEYWORDS.contains(&first);
        if is_name {
            let star = usize::from(self.peek_at(2) == Some(TokenKind::Symbol("*")));
            if self.peek_at(2 + star) != Some(TokenKind::Symbol(")")) {
                return Ok(None);
            }
            let follows = self.peek_at(3);
            let operand =
                matches!(follows, Some(TokenKind::Word(_) | TokenKind::Number(_) | TokenKind::Symbol("(" | "~")));
            if star == 0 && !operand {
                return Ok(None);
            }
        }
        self.at += 1;
        let begin = self.span().start;
        let mut words = Vec::new();
        while let Some(TokenKind::Word(word)) = self.peek() {
            words.push(word);
            self.at += 1;
        }
        let (tag, name) = type_name(&words).ok_or_else(|| {
            let span = begin..self.end();
            let found = Some(self.text[span.clone()].to_owned());
            Error::new(ErrorKind::Expected { wanted: "a type", found }, span, self.text)
        })?;
        let pointer = self.take_symbol("*");
        let span = begin..self.end();
        if !self.take_symbol(")") {
            return Err(self.expected("`)`"));
        }
        Ok(Some(TypeName { tag, name, pointer, span }))
    }
}

/// Words that can only be part of a type.
const KEYWORDS: [&str; 13] = [
    "struct", "union", "enum", "const", "volatile", "unsigned", "signed", "char", "short", "int", "long", "void",
    "_Bool",
];

/// The type that these words name.
fn type_name(words: &[&str]) -> Option<(Tag, String)> {
    let words: Vec<&str> = words.iter().copied().filter(|word| !matches!(*word, "const" | "volatile")).collect();
    let tag = match *words.first()? {
        "struct" => Tag::Struct,
        "union" => Tag::Union,
        "enum" => Tag::Enum,
        _ => Tag::None,
    };
    if tag != Tag::None {
        return match words[1..] {
            [name] if !KEYWORDS.contains(&name) => Some((tag, name.to_owned())),
            _ => None,
        };
    }
    let count = |wanted: &str| words.iter().filter(|word| **word == wanted).count();
    let unsigned = match (count("unsigned"), count("signed")) {
        (0, 0) => None,
        (1, 0) => Some(true),
        (0, 1) => Some(false),
        _ => return None,
    };
    let rest: Vec<&str> = words.iter().copied().filter(|word| !matches!(*word, "unsigned" | "signed")).collect();
    let longs = count("long");
    let ints = count("int");
    let others: Vec<&str> = rest.iter().copied().filter(|word| !matches!(*word, "long" | "int")).collect();
    let base = match (&others[..], longs, ints) {
        ([], 0, 0) if unsigned.is_none() => return None,
        ([], 0, 0 | 1) => "",
        ([], 1, 0 | 1) => "long ",
        ([], 2, 0 | 1) => "long long ",
        (["short"], 0, 0 | 1) => "short ",
        (["char"], 0, 0) => {
            let sign = unsigned.map_or("", |unsigned| if unsigned { "unsigned " } else { "signed " });
            return Some((Tag::None, format!("{sign}char")));
        }
        ([name], 0, 0) if unsigned.is_none() => return Some((Tag::None, (*name).to_owned())),
        _ => return None,
    };
    Some((Tag::None, format!("{base}{}int", if unsigned == Some(true) { "unsigned " } else { "" })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        match parse(text) {
            Ok(expr) => {
                assert_eq!(expr.to_string(), expected, "{text}");
                assert_eq!(parse(expected).unwrap().to_string(), expected, "printed again");
            }
            Err(e) => panic!("{}", e.render()),
        }
    }

    #[test]
    fn precedence_is_that_of_c() {
        check("a + b * c - d", "((a + (b * c)) - d)");
        check("a << 1 + 2 >> 3", "((a << (1 + 2)) >> 3)");
        check("a & 0xf00 == 0x100", "(a & (0xf00 == 0x100))");
        check("a || b && c | d ^ e & f == g < h << i", "(a || (b && (c | (d ^ (e & (f == (g < (h << i))))))))");
        check("a == 1 || b = 2 && !c", "((a == 1) || ((b == 2) && (!c)))");
        check("-a * ~b", "((-a) * (~b))");
        check("-a.b[c]->d", "(-a->b[c]->d)");
        check("(a + b) * c", "((a + b) * c)");
        check("- - a", "(-(-a))");
    }

    #[test]
    fn casts() {
        check("(struct iphdr *)(a + b)", "((struct iphdr *)(a + b))");
        check("((struct iphdr*)a)->ttl", "((struct iphdr *)a)->ttl");
        check("*(const u32 *)a", "(*((u32 *)a))");
        check("(unsigned)a", "((unsigned int)a)");
        check("(unsigned long long int)a", "((long long unsigned int)a)");
        check("(short)a", "((short int)a)");
        check("(unsigned char)a", "((unsigned char)a)");
        check("(u8)a + 1", "(((u8)a) + 1)");
        check("(u8)(a) & 1", "(((u8)a) & 1)");
        check("(enum tcp_state)a", "((enum tcp_state)a)");
        // Not casts.
        check("(a) + 1", "(a + 1)");
        check("(a) - b", "(a - b)");
        check("(a) * b", "(a * b)");
        check("(a)->b", "a->b");
    }

    fn refuse(text: &str, expected: ErrorKind, marked: &str) {
        let error = parse(text).expect_err(text);
        assert_eq!((*error.kind, &text[error.span]), (expected, marked), "{text}");
    }

    #[test]
    fn refusals() {
        let expected =
            |wanted, found: &str| ErrorKind::Expected { wanted, found: (!found.is_empty()).then(|| found.to_owned()) };
        refuse("", expected("a value", ""), "");
        refuse("a +", expected("a value", ""), "");
        refuse("a + )", expected("a value", ")"), ")");
        refuse("(a", expected("`)`", ""), "");
        refuse("a[1", expected("`]`", ""), "");
        refuse("a->1", expected("the name of a field", "1"), "1");
        refuse("a b", expected("an operator", "b"), "b");
        refuse("(struct)a", expected("a type", "struct"), "struct");
        refuse("(unsigned signed)a", expected("a type", "unsigned signed"), "unsigned signed");
        refuse("htons(1)", ErrorKind::Call, "(");
        refuse("a += 1", ErrorKind::Operator("+=".into()), "+=");
        refuse("a ? 1 : 2", ErrorKind::Operator("?".into()), "?");
        refuse("a++", ErrorKind::Operator("++".into()), "++");
        refuse(&"(".repeat(100), ErrorKind::TooDeep, "(");
        refuse(&"-".repeat(100), expected("a value", "--"), "--");
        refuse(&format!("a{}", " + a".repeat(300)), ErrorKind::TooDeep, "+");
        refuse(&format!("a{}", "[0]".repeat(300)), ErrorKind::TooDeep, "[");
    }
}
