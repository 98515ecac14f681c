//! Text to tokens.

use std::ops::Range;

use super::error::{Error, ErrorKind};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind<'a> {
    /// A name or keyword.
    Word(&'a str),
    /// A constant, and its type as far as its spelling says.
    Number(Number),
    /// An operator or a bracket.
    Symbol(&'static str),
}

/// An integer constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The value.
    pub value: u64,
    /// Not decimal: it may be unsigned without a suffix.
    pub hex: bool,
    /// With a suffix `u`.
    pub unsigned: bool,
    /// With a suffix `l` or `ll`.
    pub long: bool,
}

/// A token and its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind<'a>,
    /// Its bytes.
    pub span: Range<usize>,
}

/// Longer ones first, so that the first that fits is the right one. The second half is refused by the parser.
const SYMBOLS: [&str; 42] = [
    "<<=", ">>=", "->", "==", "!=", "<=", ">=", "<<", ">>", "&&", "||", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=",
    "|=", "^=", "(", ")", "[", "]", ".", "=", "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "~", "!", "?", ":",
    ",",
];

/// All tokens of `text`.
pub fn lex(text: &str) -> Result<Vec<Token<'_>>, Error> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let error = |kind, len: usize| Error::new(kind, at..at + len, text);
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        let (kind, len) = if c.is_ascii_whitespace() {
            at += 1;
            continue;
        } else if c.is_ascii_digit() {
            (TokenKind::Number(number(word).map_err(|kind| error(kind, word.len()))?), word.len())
        } else if !word.is_empty() {
            (TokenKind::Word(word), word.len())
        } else if c == '\'' {
            let (value, len) = character(rest).ok_or_else(|| error(ErrorKind::BadCharacter, 1))?;
            (TokenKind::Number(Number { value: value.into(), hex: false, unsigned: false, long: false }), len)
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            (TokenKind::Symbol(symbol), symbol.len())
        } else {
            return Err(error(ErrorKind::Character(c), c.len_utf8()));
        };
        tokens.push(Token { kind, span: at..at + len });
        at += len;
    }
    Ok(tokens)
}

/// Decimal, `0x`, `0b`, `0o`, and octal with a leading zero; suffixes as in C.
fn number(word: &str) -> Result<Number, ErrorKind> {
    let lower = word.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (digits, suffix) = digits.split_at(end);
    // `0u` is zero.
    let is_zero = digits.is_empty() && radix == 8 && !lower.starts_with("0o");
    let (unsigned, long) = match suffix {
        "" if !is_zero => (false, false),
        "u" => (true, false),
        "l" | "ll" => (false, true),
        "ul" | "ull" | "lu" | "llu" => (true, true),
        _ => return Err(ErrorKind::BadNumber(word.to_owned())),
    };
    if digits.is_empty() && !is_zero {
        return Err(ErrorKind::BadNumber(word.to_owned()));
    }
    let value = match is_zero {
        true => 0,
        false => u64::from_str_radix(digits, radix).map_err(|_| ErrorKind::NumberTooLarge(word.to_owned()))?,
    };
    Ok(Number { value, hex: radix != 10, unsigned, long })
}

/// `'a'`, `'\n'`: the value and the length with its quotes.
fn character(text: &str) -> Option<(u8, usize)> {
    let (value, len) = match *text.as_bytes().get(1..)? {
        [b'\\', c, ..] => (
            match c {
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'\\' | b'\'' | b'"' => c,
                _ => return None,
            },
            2,
        ),
        [c, ..] if (b' '..0x7f).contains(&c) && c != b'\'' => (c, 1),
        _ => return None,
    };
    (text.as_bytes().get(1 + len) == Some(&b'\'')).then_some((value, len + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<u64, ErrorKind>) {
        let found = lex(text).map_err(|e| *e.kind).map(|tokens| match tokens[..] {
            [Token { kind: TokenKind::Number(n), .. }] => n.value,
            _ => panic!("{text} has {tokens:?}"),
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn numbers() {
        check("0", Ok(0));
        check("42", Ok(42));
        check("0x1F", Ok(31));
        check("0b101", Ok(5));
        check("0o17", Ok(15));
        check("017", Ok(15));
        check("0u", Ok(0));
        check("18446744073709551615ull", Ok(u64::MAX));
        check("0xffffffffUL", Ok(0xffff_ffff));
        check("'a'", Ok(97));
        check("'\\n'", Ok(10));
        check("'\\''", Ok(39));
        check("18446744073709551616", Err(ErrorKind::NumberTooLarge("18446744073709551616".into())));
        for bad in ["0x", "0b", "0o", "12ab", "08", "1uu", "0b2", "0xg", "0ul1"] {
            check(bad, Err(ErrorKind::BadNumber(bad.into())));
        }
        for bad in ["'", "''", "'ab'", "'é'", "'\\"] {
            check(bad, Err(ErrorKind::BadCharacter));
        }
    }

    #[test]
    fn longest_symbol_wins() {
        let symbols = |text| -> Vec<&str> {
            let tokens = lex(text).unwrap().into_iter();
            tokens.map(|t| if let TokenKind::Symbol(s) = t.kind { s } else { "word" }).collect()
        };
        assert_eq!(symbols("a->b"), ["word", "->", "word"]);
        assert_eq!(symbols("a- >b"), ["word", "-", ">", "word"]);
        assert_eq!(symbols("<<<<="), ["<<", "<<="]);
        assert_eq!(symbols("&&&"), ["&&", "&"]);
        assert_eq!(lex("skb§").unwrap_err().span, 3..5);
    }
}
