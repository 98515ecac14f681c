//! Tokens to the tree.
//!
//! The grammar is libpcap's, with its consequences: `and` and `or` have the same precedence; a bare name or number
//! takes the qualifiers of what stands left of it; `%` and `^` bind everything right of them.

use std::net::Ipv4Addr;

use crate::arith;
use crate::ast::*;
use crate::error::{Error, ErrorKind, Limit, Span};
use crate::lexer::{Token, TokenKind};
use crate::words::Word;

/// Parses the tokens of `text`.
pub fn parse(text: &str, tokens: &[Token]) -> Result<Ast, Error> {
    let mut parser = Parser { text, tokens, at: 0, depth: 0 };
    let root = match parser.peek() {
        None => None,
        Some(_) => Some(parser.program()?),
    };
    Ok(Ast { root, text: text.to_string() })
}

pub(crate) struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

/// The qualifiers that a bare id inherits; `None` after something that has none.
type Inherited = Option<Qualifier>;

/// What an operand turned out to be. A parenthesis does not tell before its inside is known.
enum Item {
    /// A test, and what a bare id after it inherits.
    Bool(Expr, Inherited),
    /// A number that may be an id or the start of a comparison.
    Number(u32, Span),
    /// Arithmetic without a comparison.
    Arith(Arith),
    /// A name or address, or `not` and an id.
    Id(Expr),
    /// Ids in parentheses.
    IdList(Expr, Span),
}

/// What may stand in a place.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// A test, or an id that inherits.
    Any,
    /// Only ids: after a qualifier, or in a list of ids.
    Ids,
}

const TEST: &str = "a test such as `tcp` or `host NAME`";
const ID: &str = "a name, number or address";

impl<'a> Parser<'a> {
    fn program(&mut self) -> Result<Expr, Error> {
        let start = self.here();
        let expr = match self.item(&None, Place::Any)? {
            Item::Bool(first, inherited) => self.chain(first, inherited, Place::Any)?,
            Item::Arith(_) => return Err(self.expected(arith::COMPARISON)),
            Item::Number(..) | Item::Id(_) | Item::IdList(..) => {
                let all = start.to(self.before());
                return Err(self.error(all, ErrorKind::NoQualifier(self.slice(all).to_string())));
            }
        };
        match self.peek() {
            None => Ok(expr),
            Some(_) => Err(self.expected("`and`, `or` or the end")),
        }
    }

    /// `first`, and all the `and` and `or` that follow.
    fn chain(&mut self, first: Expr, mut inherited: Inherited, place: Place) -> Result<Expr, Error> {
        let mut rest = Vec::new();
        while let Some(join) = self.join() {
            self.at += 1;
            let expr = match self.item(&inherited, place)? {
                Item::Bool(expr, carries) => {
                    inherited = carries;
                    expr
                }
                Item::Arith(_) => return Err(self.expected(arith::COMPARISON)),
                Item::Number(number, span) => self.id(&inherited, Id::Number(number), span)?,
                Item::Id(expr) | Item::IdList(expr, _) => expr,
            };
            rest.push((join, expr));
        }
        Ok(if rest.is_empty() { first } else { Expr::Chain { first: Box::new(first), rest } })
    }

    fn join(&self) -> Option<Join> {
        match self.peek()? {
            TokenKind::Word(Word::And) => Some(Join::And),
            TokenKind::Word(Word::Or) => Some(Join::Or),
            _ => None,
        }
    }

    /// One operand of `and` and `or`, or the id after a qualifier.
    fn item(&mut self, inherited: &Inherited, place: Place) -> Result<Item, Error> {
        let start = self.at;
        while self.peek() == Some(&TokenKind::Word(Word::Not)) {
            self.at += 1;
        }
        let nots = self.at - start;
        let item = self.operand(inherited, place)?;
        if nots == 0 {
            return Ok(item);
        }
        let negate = |expr| if nots % 2 == 1 { Expr::Not(Box::new(expr)) } else { expr };
        Ok(match item {
            Item::Bool(expr, carries) => Item::Bool(negate(expr), carries),
            Item::Number(number, span) => Item::Id(negate(self.id(inherited, Id::Number(number), span)?)),
            Item::Id(expr) | Item::IdList(expr, _) => Item::Id(negate(expr)),
            Item::Arith(_) => return Err(self.expected(arith::COMPARISON)),
        })
    }

    fn operand(&mut self, inherited: &Inherited, place: Place) -> Result<Item, Error> {
        let span = self.here();
        let Some(token) = self.peek().cloned() else {
            return Err(self.expected(if place == Place::Any { TEST } else { ID }));
        };
        let item = match token {
            TokenKind::Number(number) => {
                self.at += 1;
                Item::Number(number, span)
            }
            TokenKind::Punct("(") => self.group(inherited, place)?,
            TokenKind::Name(_) | TokenKind::Dotted | TokenKind::Ipv6(_) | TokenKind::Mac(_) => {
                let decnet = inherited.as_ref().is_some_and(|q| q.protocol == Some(Protocol::Decnet));
                let id = self.address_or_name(decnet)?;
                let span = span.to(self.before());
                return Ok(Item::Id(self.id(inherited, id, span)?));
            }
            TokenKind::Bad(kind) => return Err(self.error(span, kind)),
            _ if place == Place::Ids => return Err(self.expected(ID)),
            TokenKind::Word(word) => return self.term(word, span),
            TokenKind::Punct("-") => Item::Arith(arith::parse(self, None)?),
            TokenKind::Punct(_) => return Err(self.expected(TEST)),
        };
        if place == Place::Ids {
            return Ok(item);
        }
        // A number or arithmetic so far: an operator makes it a comparison.
        match item {
            Item::Number(number, span) if arith::continues(self) => {
                let part = ArithPart { kind: ArithKind::Number(number), span };
                self.relation(Some(Arith { parts: vec![part] }), span)
            }
            Item::Arith(arith) if arith::continues(self) => self.relation(Some(arith), span),
            item => Ok(item),
        }
    }

    /// A parenthesis: tests, ids, a number, or arithmetic.
    fn group(&mut self, inherited: &Inherited, place: Place) -> Result<Item, Error> {
        let open = self.here();
        self.at += 1;
        self.descend(open)?;
        let item = match self.item(inherited, place)? {
            Item::Bool(first, carries) => Item::Bool(self.chain(first, carries, Place::Any)?, inherited.clone()),
            Item::Number(number, span) if self.join().is_some() => {
                let first = self.id(inherited, Id::Number(number), span)?;
                Item::IdList(self.chain(first, inherited.clone(), Place::Ids)?, open)
            }
            Item::Id(first) => Item::IdList(self.chain(first, inherited.clone(), Place::Ids)?, open),
            Item::IdList(_, inner) => {
                // libpcap's grammar has no list that starts with a list.
                let found = Some("(".to_string());
                return Err(self.error(inner, ErrorKind::Expected { wanted: ID, found }));
            }
            item => item,
        };
        self.punct(")", "`)`")?;
        self.depth -= 1;
        let span = open.to(self.before());
        Ok(match item {
            Item::Number(number, _) => Item::Number(number, span),
            item => item,
        })
    }

    /// A comparison; `left` is what was already read of its left side. Without a comparison sign it is arithmetic.
    fn relation(&mut self, left: Option<Arith>, span: Span) -> Result<Item, Error> {
        let left = arith::parse(self, left)?;
        let Some(op) = self.relop() else { return Ok(Item::Arith(left)) };
        self.at += 1;
        let right = arith::parse(self, None)?;
        let span = span.to(self.before());
        Ok(test(TestKind::Relation(Box::new(Relation { op, left, right })), span))
    }

    pub(crate) fn relop(&self) -> Option<Relop> {
        match self.peek()? {
            TokenKind::Punct("=") => Some(Relop::Equal),
            TokenKind::Punct("!=") => Some(Relop::NotEqual),
            TokenKind::Punct("<") => Some(Relop::Less),
            TokenKind::Punct("<=") => Some(Relop::LessOrEqual),
            TokenKind::Punct(">") => Some(Relop::Greater),
            TokenKind::Punct(">=") => Some(Relop::GreaterOrEqual),
            _ => None,
        }
    }

    /// A test that starts with a keyword.
    fn term(&mut self, word: Word, start: Span) -> Result<Item, Error> {
        if word == Word::Len {
            return self.relation(None, start);
        }
        if let Word::Protocol(_) = word
            && self.tokens.get(self.at + 1).map(|token| &token.kind) == Some(&TokenKind::Punct("["))
        {
            return self.relation(None, start);
        }
        self.at += 1;
        let kind = match word {
            Word::Protocol(protocol) => return self.after_protocol(protocol, start),
            Word::Src | Word::Dst | Word::Host | Word::Net | Word::Port | Word::PortRange => {
                return self.qualified(None, word, start);
            }
            Word::Proto | Word::ProtoChain | Word::Gateway => return self.qualified(None, word, start),
            Word::Broadcast => TestKind::Broadcast(None),
            Word::Multicast => TestKind::Multicast(None),
            Word::Less => TestKind::Less(self.number()?),
            Word::Greater => TestKind::Greater(self.number()?),
            Word::Byte => self.byte()?,
            Word::Inbound => TestKind::Inbound,
            Word::Outbound => TestKind::Outbound,
            Word::IfIndex => TestKind::IfIndex(self.number()?),
            Word::Vlan => TestKind::Vlan(self.optional_number()?),
            Word::Mpls => TestKind::Mpls(self.optional_number()?),
            Word::PppoeD => TestKind::PppoeD,
            Word::PppoeS => TestKind::PppoeS(self.optional_number()?),
            Word::Geneve => TestKind::Geneve(self.optional_number()?),
            Word::Vxlan => TestKind::Vxlan(self.optional_number()?),
            Word::Llc => TestKind::Llc(self.llc_type()),
            Word::Other(needs) => return Err(self.other_link(start, needs)),
            Word::Mask | Word::And | Word::Or | Word::Not | Word::Len => {
                self.at -= 1;
                return Err(self.expected(TEST));
            }
        };
        Ok(test(kind, start.to(self.before())))
    }

    /// What follows a protocol word: qualifiers and an id, `broadcast`, `multicast`, or nothing.
    fn after_protocol(&mut self, protocol: Protocol, start: Span) -> Result<Item, Error> {
        let next = match self.peek() {
            Some(TokenKind::Word(word)) => *word,
            _ => return Ok(test(TestKind::Protocol(protocol), start)),
        };
        let kind = match next {
            Word::Broadcast => TestKind::Broadcast(Some(protocol)),
            Word::Multicast => TestKind::Multicast(Some(protocol)),
            Word::Src | Word::Dst | Word::Host | Word::Net | Word::Port | Word::PortRange => {
                self.at += 1;
                return self.qualified(Some(protocol), next, start);
            }
            Word::Proto | Word::ProtoChain | Word::Gateway => {
                self.at += 1;
                return self.qualified(Some(protocol), next, start);
            }
            Word::Other(needs) => return Err(self.other_link(self.here(), needs)),
            _ => return Ok(test(TestKind::Protocol(protocol), start)),
        };
        self.at += 1;
        Ok(test(kind, start.to(self.before())))
    }

    /// Direction and kind words, of which `word` was the first, and the id or ids that they are about.
    fn qualified(&mut self, protocol: Option<Protocol>, word: Word, start: Span) -> Result<Item, Error> {
        let mut qualifier = Qualifier { protocol, span: start, ..Qualifier::default() };
        let direction = match word {
            Word::Src => Some((Direction::Source, Word::Dst)),
            Word::Dst => Some((Direction::Destination, Word::Src)),
            _ => None,
        };
        if let Some((one, other)) = direction {
            qualifier.direction = Some(one);
            let next = self.tokens.get(self.at + 1).map(|token| &token.kind);
            if next == Some(&TokenKind::Word(other))
                && let Some(join) = self.join()
            {
                self.at += 2;
                qualifier.direction = Some(if join == Join::Or { Direction::Either } else { Direction::Both });
            }
            qualifier.kind = match self.peek() {
                Some(TokenKind::Word(Word::Host)) => Some(Kind::Host),
                Some(TokenKind::Word(Word::Net)) => Some(Kind::Net),
                Some(TokenKind::Word(Word::Port)) => Some(Kind::Port),
                Some(TokenKind::Word(Word::PortRange)) => Some(Kind::PortRange),
                _ => None,
            };
            self.at += usize::from(qualifier.kind.is_some());
        } else {
            qualifier.kind = match word {
                Word::Host => Some(Kind::Host),
                Word::Net => Some(Kind::Net),
                Word::Port => Some(Kind::Port),
                Word::PortRange => Some(Kind::PortRange),
                Word::Proto => Some(Kind::Proto),
                Word::ProtoChain => Some(Kind::ProtoChain),
                _ => Some(Kind::Gateway),
            };
        }
        if protocol.is_none() {
            qualifier.span = start.to(self.before());
        }
        let inherited = Some(qualifier);
        let expr = match self.item(&inherited, Place::Ids)? {
            Item::Number(number, span) => self.id(&inherited, Id::Number(number), span)?,
            Item::Id(expr) | Item::IdList(expr, _) => expr,
            Item::Bool(..) | Item::Arith(_) => return Err(self.expected(ID)),
        };
        Ok(Item::Bool(expr, inherited))
    }

    fn id(&self, inherited: &Inherited, id: Id, at: Span) -> Result<Expr, Error> {
        let Some(qualifier) = inherited.clone() else {
            return Err(self.error(at, ErrorKind::NoQualifier(self.slice(at).to_string())));
        };
        Ok(Expr::Test(Test { kind: TestKind::Id { qualifier, id, at }, span: at }))
    }

    /// An id that is not a number, with a mask or prefix length if there is one.
    fn address_or_name(&mut self, decnet: bool) -> Result<Id, Error> {
        let at = self.here();
        let token = self.peek().cloned();
        self.at += 1;
        let slash = self.peek() == Some(&TokenKind::Punct("/"));
        match token {
            Some(TokenKind::Name(name)) => Ok(Id::Name(name)),
            Some(TokenKind::Mac(mac)) => Ok(Id::Mac(mac)),
            Some(TokenKind::Ipv6(address)) if slash => {
                self.at += 1;
                Ok(Id::Ipv6Prefix(address, self.number()?))
            }
            Some(TokenKind::Ipv6(address)) => Ok(Id::Ipv6(address)),
            Some(TokenKind::Dotted) if slash => {
                let (address, _) = self.dotted(at)?;
                self.at += 1;
                Ok(Id::Ipv4Prefix(address, self.number()?))
            }
            Some(TokenKind::Dotted) if self.peek() == Some(&TokenKind::Word(Word::Mask)) => {
                let (address, _) = self.dotted(at)?;
                self.at += 1;
                if self.peek() != Some(&TokenKind::Dotted) {
                    return Err(self.expected("a dotted mask"));
                }
                let (mask, _) = self.dotted(self.here())?;
                self.at += 1;
                Ok(Id::Ipv4Mask(address, mask))
            }
            Some(TokenKind::Dotted) if decnet => self.decnet(at),
            Some(TokenKind::Dotted) => {
                let (address, bits) = self.dotted(at)?;
                Ok(Id::Ipv4(address, bits))
            }
            _ => Err(self.expected(ID)),
        }
    }

    /// Two to four decimal parts: the address, missing parts zero, and how many bits were given. Leading zeros are
    /// harmless, there is no octal here.
    fn dotted(&self, at: Span) -> Result<(Ipv4Addr, u8), Error> {
        let mut bytes = [0; 4];
        let mut bits = 0;
        for (byte, part) in bytes.iter_mut().zip(self.slice(at).split('.')) {
            let digits = part.trim_start_matches('0');
            *byte = match digits.parse() {
                Ok(value) => value,
                Err(_) if digits.is_empty() => 0,
                Err(_) => return Err(self.error(at, ErrorKind::BadIpv4(self.slice(at).to_string()))),
            };
            bits += 8;
        }
        Ok((bytes.into(), bits))
    }

    /// `AREA.NODE`; what follows does not count, and neither do high bits: libpcap reads both with scanf("%d").
    fn decnet(&self, at: Span) -> Result<Id, Error> {
        let number = |part: &str| {
            let is_decimal = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            is_decimal.then(|| part.parse::<i64>().unwrap_or(i64::MAX) as u32)
        };
        let mut parts = self.slice(at).split('.').map(number);
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(area), Some(node)) => Ok(Id::Decnet { area, node }),
            _ => Err(self.error(at, ErrorKind::BadDecnet(self.slice(at).to_string()))),
        }
    }

    fn byte(&mut self) -> Result<TestKind, Error> {
        let index = self.number()?;
        let op = match self.peek() {
            Some(TokenKind::Punct("&")) => ByteOp::And,
            Some(TokenKind::Punct("|")) => ByteOp::Or,
            Some(TokenKind::Punct("<")) => ByteOp::Less,
            Some(TokenKind::Punct(">")) => ByteOp::Greater,
            Some(TokenKind::Punct("=")) => ByteOp::Equal,
            _ => return Err(self.expected("`=`, `<`, `>`, `&` or `|`")),
        };
        self.at += 1;
        Ok(TestKind::Byte { index, op, value: self.number()? })
    }

    /// `rnr` is a keyword of pf as well, hence by its spelling.
    fn llc_type(&mut self) -> Option<String> {
        let text = match self.peek()? {
            TokenKind::Name(name) => name.clone(),
            TokenKind::Word(Word::Other(_)) if self.slice(self.here()) == "rnr" => "rnr".to_string(),
            _ => return None,
        };
        self.at += 1;
        Some(text)
    }

    pub(crate) fn number(&mut self) -> Result<u32, Error> {
        match self.peek() {
            Some(&TokenKind::Number(number)) => {
                self.at += 1;
                Ok(number)
            }
            _ => Err(self.expected("a number")),
        }
    }

    /// A number, also in parentheses, if one of the two follows.
    fn optional_number(&mut self) -> Result<Option<u32>, Error> {
        let mut open = 0;
        while self.peek() == Some(&TokenKind::Punct("(")) {
            self.at += 1;
            open += 1;
        }
        if open == 0 && !matches!(self.peek(), Some(TokenKind::Number(_))) {
            return Ok(None);
        }
        let number = self.number()?;
        for _ in 0..open {
            self.punct(")", "`)`")?;
        }
        Ok(Some(number))
    }

    pub(crate) fn punct(&mut self, punct: &'static str, wanted: &'static str) -> Result<(), Error> {
        if self.peek() != Some(&TokenKind::Punct(punct)) {
            return Err(self.expected(wanted));
        }
        self.at += 1;
        Ok(())
    }

    /// Enters a parenthesis or bracket; the caller leaves it by subtracting one.
    pub(crate) fn descend(&mut self, at: Span) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > Limit::Nesting.max() {
            return Err(self.error(at, ErrorKind::TooLarge(Limit::Nesting)));
        }
        Ok(())
    }

    pub(crate) fn ascend(&mut self) {
        self.depth -= 1;
    }

    pub(crate) fn peek(&self) -> Option<&'a TokenKind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    pub(crate) fn advance(&mut self) {
        self.at += 1;
    }

    /// The place of the next token; at the end, the place after the last one.
    pub(crate) fn here(&self) -> Span {
        match self.tokens.get(self.at) {
            Some(token) => token.span,
            None => {
                let end = self.tokens.last().map_or(0, |token| token.span.end);
                Span { start: end, end }
            }
        }
    }

    /// The place of the last token taken.
    pub(crate) fn before(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    fn slice(&self, span: Span) -> &'a str {
        &self.text[span.start..span.end]
    }

    pub(crate) fn error(&self, span: Span, kind: ErrorKind) -> Error {
        Error::new(self.text, span, kind)
    }

    fn other_link(&self, span: Span, needs: &'static str) -> Error {
        self.error(span, ErrorKind::OtherLink { word: self.slice(span).to_string(), needs })
    }

    /// The next token is none of the `wanted`.
    pub(crate) fn expected(&self, wanted: &'static str) -> Error {
        let span = self.here();
        let kind = match self.peek() {
            Some(TokenKind::Bad(kind)) => kind.clone(),
            Some(_) => ErrorKind::Expected { wanted, found: Some(self.slice(span).to_string()) },
            None => ErrorKind::Expected { wanted, found: None },
        };
        self.error(span, kind)
    }
}

fn test(kind: TestKind, span: Span) -> Item {
    Item::Bool(Expr::Test(Test { kind, span }), None)
}
