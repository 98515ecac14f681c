//! Text to tokens. The longest match wins; among matches of one length, keywords before addresses before numbers
//! before names.

use std::net::Ipv6Addr;

use crate::error::{ErrorKind, Limit, Span};
use crate::words::{self, Word};

/// A token and its place in the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is.
    pub span: Span,
}

/// What a token is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// A keyword of the language.
    Word(Word),
    /// `+ - * / % : [ ] < > ( ) & | ^ =` and `>= <= != << >>`; `==` is `=`.
    Punct(&'static str),
    /// A number, or a named constant such as `tcp-syn`.
    Number(u32),
    /// Two to four dotted numbers: an IPv4 or DECnet address, not yet checked.
    Dotted,
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// A MAC address.
    Mac([u8; 6]),
    /// A name, without the backslash that may have escaped it.
    Name(String),
    /// Something that is no token: an error once the parser gets here, and the last token.
    Bad(ErrorKind),
}

/// Splits `text` into tokens; an error in it is the last token, so that an earlier mistake is reported first.
pub fn lex(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    if bytes.len() > Limit::Text.max() {
        let span = Span { start: 0, end: 1 };
        return vec![Token { kind: TokenKind::Bad(ErrorKind::TooLarge(Limit::Text)), span }];
    }
    let mut tokens = Vec::with_capacity(bytes.len() / 4 + 1);
    let mut at = 0;
    while at < bytes.len() {
        if matches!(bytes[at], b' ' | b'\t' | b'\r' | b'\n') {
            at += 1;
            continue;
        }
        let (kind, length) = token(text, at);
        let bad = matches!(kind, TokenKind::Bad(_));
        tokens.push(Token { kind, span: Span { start: at, end: at + length } });
        if bad {
            break;
        }
        at += length;
    }
    tokens
}

/// The keyword closest to `word`, if it is close enough to have been meant.
pub(crate) fn nearest_word(word: &str) -> Option<&'static str> {
    words::keyword(word).is_none().then(|| words::nearest(word, words::spellings()))?
}

fn token(text: &str, at: usize) -> (TokenKind, usize) {
    let rest = &text[at..];
    let bytes = rest.as_bytes();
    let name = name_length(bytes);
    let run = bytes.iter().take(MAX_ADDRESS).take_while(|b| b.is_ascii_hexdigit() || b"xX:.-".contains(b)).count();
    let run = &bytes[..run];
    let mac = mac_length(run);
    let ipv4 = ipv4_length(bytes);
    let ipv6 = ipv6_length(run);
    let bogus = bogus_mac_length(bytes);
    let number = number_length(bytes);
    let aid = aid_length(bytes);
    let longest = name.max(mac).max(ipv4).max(ipv6).max(bogus).max(number).max(aid);
    if longest == 0 {
        return punctuation(rest);
    }
    let word = &rest[..longest];
    let kind = if longest == name
        && let Some(keyword) = words::keyword(word)
    {
        TokenKind::Word(keyword)
    } else if longest == aid {
        TokenKind::Bad(ErrorKind::Arcnet(word.to_string()))
    } else if longest == mac {
        TokenKind::Mac(mac_value(word))
    } else if longest == number {
        number_token(word)
    } else if longest == ipv4 {
        TokenKind::Dotted
    } else if longest == ipv6 {
        word.parse().map_or_else(|_| TokenKind::Bad(ErrorKind::BadIpv6(word.to_string())), TokenKind::Ipv6)
    } else if longest == bogus {
        TokenKind::Bad(ErrorKind::BadMac(word.to_string()))
    } else if let Some(value) = words::constant(word) {
        TokenKind::Number(value)
    } else {
        TokenKind::Name(word.to_string())
    };
    (kind, longest)
}

/// No MAC or IPv6 address is longer: eight groups, or six and a dotted quad of hexadecimal numbers.
const MAX_ADDRESS: usize = 80;

fn punctuation(rest: &str) -> (TokenKind, usize) {
    const TWO: [(&str, &str); 6] = [(">=", ">="), ("<=", "<="), ("!=", "!="), ("==", "="), ("<<", "<<"), (">>", ">>")];
    const ONE: [&str; 15] = ["+", "-", "*", "/", "%", ":", "[", "]", "<", ">", "(", ")", "&", "|", "^"];
    if rest.starts_with("&&") {
        return (TokenKind::Word(Word::And), 2);
    }
    if rest.starts_with("||") {
        return (TokenKind::Word(Word::Or), 2);
    }
    if let Some(&(_, token)) = TWO.iter().find(|(typed, _)| rest.starts_with(typed)) {
        return (TokenKind::Punct(token), 2);
    }
    if let Some(token) = ONE.iter().find(|typed| rest.starts_with(**typed)) {
        return (TokenKind::Punct(token), 1);
    }
    if rest.starts_with('=') {
        return (TokenKind::Punct("="), 1);
    }
    if rest.starts_with('!') {
        return (TokenKind::Word(Word::Not), 1);
    }
    let first = rest.chars().next().unwrap_or('\0');
    if first == '\\' {
        let name: &str = rest[1..].split([' ', '!', '(', ')', '\n', '\t']).next().unwrap_or("");
        if !name.is_empty() {
            return (TokenKind::Name(name.to_string()), 1 + name.len());
        }
    }
    (TokenKind::Bad(ErrorKind::Character(first)), first.len_utf8())
}

/// `[A-Za-z0-9]([-_.A-Za-z0-9]*[.A-Za-z0-9])?`
fn name_length(bytes: &[u8]) -> usize {
    if !bytes.first().is_some_and(u8::is_ascii_alphanumeric) {
        return 0;
    }
    let run = bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b)).count();
    bytes[..run].iter().rposition(|b| !b"-_".contains(b)).map_or(0, |last| last + 1)
}

/// `[0-9]+` or `0x` and hexadecimal digits.
fn number_length(bytes: &[u8]) -> usize {
    if let [b'0', b'x' | b'X', rest @ ..] = bytes {
        let digits = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if digits > 0 {
            return 2 + digits;
        }
    }
    bytes.iter().take_while(|b| b.is_ascii_digit()).count()
}

fn number_token(word: &str) -> TokenKind {
    let (digits, radix) = match word.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&word[2..], 16),
        [b'0', _, ..] => (&word[1..], 8),
        _ => (word, 10),
    };
    if radix == 8 && digits.bytes().any(|b| b > b'7') {
        return TokenKind::Bad(ErrorKind::NotOctal(word.to_string()));
    }
    u32::from_str_radix(digits, radix)
        .map_or_else(|_| TokenKind::Bad(ErrorKind::NumberTooLarge(word.to_string())), TokenKind::Number)
}

/// Two to four numbers with dots between.
fn ipv4_length(bytes: &[u8]) -> usize {
    let mut length = number_length(bytes);
    for part in 1..4 {
        if length == 0 || bytes.get(length) != Some(&b'.') {
            return if part > 1 { length } else { 0 };
        }
        match number_length(&bytes[length + 1..]) {
            0 => return if part > 1 { length } else { 0 },
            more => length += 1 + more,
        }
    }
    length
}

/// The longest start of `run` that has the form of an IPv6 address.
fn ipv6_length(run: &[u8]) -> usize {
    if !run.contains(&b':') {
        return 0;
    }
    (2..=run.len()).rev().find(|&end| is_ipv6_form(&run[..end])).unwrap_or(0)
}

/// Eight groups of one to four digits; or fewer with one `::`; a dotted quad may stand for the last two.
fn is_ipv6_form(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let groups = |part: &str, may_have_quad: bool| -> Option<usize> {
        if part.is_empty() {
            return Some(0);
        }
        let mut count = 0;
        let mut pieces = part.split(':').peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            let bytes = piece.as_bytes();
            if (1..=4).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_hexdigit) {
                count += 1;
            } else if last && may_have_quad && ipv4_length(bytes) == bytes.len() && piece.split('.').count() == 4 {
                count += 2;
            } else {
                return None;
            }
        }
        Some(count)
    };
    match text.split_once("::") {
        None => groups(text, true) == Some(8),
        Some((before, after)) => match (groups(before, false), groups(after, true)) {
            (Some(before), Some(after)) => before + after <= 7,
            _ => false,
        },
    }
}

/// `B:B:B:B:B:B` with `:`, `-` or `.`, `hhhh.hhhh.hhhh`, or exactly twelve digits.
fn mac_length(run: &[u8]) -> usize {
    let digits = |at: usize, most: usize| run[at..].iter().take(most).take_while(|b| b.is_ascii_hexdigit()).count();
    let six = |separator: u8| -> usize {
        let mut at = digits(0, 2);
        for _ in 1..6 {
            if at == 0 || run.get(at) != Some(&separator) {
                return 0;
            }
            match digits(at + 1, 2) {
                0 => return 0,
                more => at += 1 + more,
            }
        }
        at
    };
    let quads = |at: usize| run.len() >= at + 4 && digits(at, 4) == 4;
    let three = run.len() >= 14 && quads(0) && run[4] == b'.' && quads(5) && run[9] == b'.' && quads(10);
    let twelve = if run.len() >= 12 && digits(0, 12) == 12 { 12 } else { 0 };
    six(b':').max(six(b'-')).max(six(b'.')).max(if three { 14 } else { 0 }).max(twelve)
}

fn mac_value(word: &str) -> [u8; 6] {
    let mut mac = [0; 6];
    let parts: Vec<&str> = word.split([':', '-', '.']).collect();
    let joined;
    let parts: Vec<&str> = if parts.len() == 6 {
        parts
    } else {
        joined = parts.concat();
        (0..6).map(|at| &joined[2 * at..2 * at + 2]).collect()
    };
    for (byte, part) in mac.iter_mut().zip(parts) {
        *byte = u8::from_str_radix(part, 16).unwrap_or(0);
    }
    mac
}

/// `B:+(B:+)+`: pairs of digits that end in a colon.
fn bogus_mac_length(bytes: &[u8]) -> usize {
    let (mut at, mut pieces, mut end) = (0, 0, 0);
    loop {
        let digits = bytes[at..].iter().take(2).take_while(|b| b.is_ascii_hexdigit()).count();
        let colons = bytes[at + digits..].iter().take_while(|b| **b == b':').count();
        if digits == 0 || colons == 0 {
            return end;
        }
        at += digits + colons;
        pieces += 1;
        if pieces >= 2 {
            end = at;
        }
    }
}

/// `$` and one or two digits.
fn aid_length(bytes: &[u8]) -> usize {
    match bytes {
        [b'$', rest @ ..] => match rest.iter().take(2).take_while(|b| b.is_ascii_hexdigit()).count() {
            0 => 0,
            digits => 1 + digits,
        },
        _ => 0,
    }
}
