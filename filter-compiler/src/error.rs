//! What is wrong with an expression, where, and what to type instead.

use std::fmt;

use crate::lexer::TokenKind;
use crate::names::LookupError;
use crate::words::Word;

/// A part of the text: byte positions, the end not included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// First byte after it.
    pub end: usize,
}

impl Span {
    /// From the start of this part to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end.max(self.start) }
    }
}

/// Why an expression was not compiled.
///
/// `Display` is one printable line; [`Error::render`] shows the place as well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error(Box<Mistake>);

/// Behind a pointer: results stay small, and so do the frames of the parser's recursion.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Mistake {
    kind: ErrorKind,
    span: Span,
    text: String,
}

/// The kinds of names that a filter can hold and that somebody has to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameKind {
    /// A host, after `host`, `src`, `dst`.
    Host,
    /// A host of the family that a protocol word asks for.
    HostOfFamily,
    /// A station of /etc/ethers, after `ether host`.
    EtherHost,
    /// A network of /etc/networks.
    Network,
    /// A port of /etc/services.
    Port,
    /// A protocol of /etc/protocols.
    IpProtocol,
    /// A protocol that Ethernet carries.
    EtherProtocol,
    /// A protocol that ISO carries.
    IsoProtocol,
    /// A type of LLC frame.
    LlcType,
}

/// A bound that keeps time and memory in hand, whatever the expression.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// Bytes of text.
    Text,
    /// Parentheses and brackets inside one another.
    Nesting,
    /// Operators in one arithmetic expression.
    Operators,
    /// `geneve` and `vxlan` after one another: each multiplies the places where headers may be.
    Tunnels,
    /// Tests in the graph.
    Tests,
}

impl Limit {
    /// The largest allowed number.
    pub const fn max(self) -> usize {
        match self {
            Limit::Text => 1 << 16,
            Limit::Nesting => 200,
            Limit::Operators => 500,
            Limit::Tunnels => 4,
            Limit::Tests => 1 << 16,
        }
    }
}

/// What is wrong. Words and names are as the user typed them, unless said otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// A character that no word and no operator of the language has.
    Character(char),
    /// A number that needs more than 32 bits.
    NumberTooLarge(String),
    /// A number with a leading zero, thus octal, with a digit 8 or 9.
    NotOctal(String),
    /// Dotted numbers that are no IPv4 address.
    BadIpv4(String),
    /// Dotted numbers that are no DECnet address, `AREA.NODE`.
    BadDecnet(String),
    /// Something with colons that is no IPv6 address.
    BadIpv6(String),
    /// Something with colons that is neither a MAC nor an IPv6 address.
    BadMac(String),
    /// An ARCnet address, `$7f`.
    Arcnet(String),
    /// Something else should stand here; `found` is `None` at the end of the text.
    Expected {
        /// What could stand here, as a phrase.
        wanted: &'static str,
        /// What stands here.
        found: Option<String>,
    },
    /// A name, number or address without a word such as `host` or `port` before it.
    NoQualifier(String),
    /// A word of another link type.
    OtherLink {
        /// The word.
        word: String,
        /// What kind of capture knows it.
        needs: &'static str,
    },
    /// A limit of this compiler, not of the language.
    TooLarge(Limit),
    /// Nobody knows this name.
    Unknown {
        /// What it should name.
        what: NameKind,
        /// The name.
        name: String,
        /// The most similar name there is.
        near: Option<String>,
    },
    /// Whether there is such a host could not be found out.
    Lookup {
        /// The name.
        name: String,
        /// Why not.
        why: LookupError,
    },
    /// A port name that belongs to another transport protocol.
    PortOfOtherProtocol {
        /// The name.
        name: String,
        /// The protocol that has it.
        owner: &'static str,
    },
    /// A port above 65535.
    PortTooLarge(u32),
    /// A number above the largest that a header field can hold.
    TooLargeFor {
        /// The field, as a phrase.
        what: &'static str,
        /// The number.
        value: u32,
        /// The largest possible.
        max: u32,
    },
    /// A protocol word in front of something that the protocol does not have.
    Misapplied {
        /// The protocol word, or what stands for it.
        word: String,
        /// What it was put in front of.
        to: &'static str,
    },
    /// An address of one kind where another is needed.
    WrongAddress {
        /// What is needed.
        needs: &'static str,
        /// The address.
        found: String,
    },
    /// `/len` or `mask` with something else than `net`.
    MaskWithoutNet,
    /// A prefix length above that of the address family.
    PrefixTooLong {
        /// The length.
        length: u32,
        /// The largest possible.
        max: u32,
    },
    /// Bits of the address outside of the mask are set.
    HostBits {
        /// The address and its mask.
        network: String,
        /// What was probably meant.
        near: Option<String>,
    },
    /// A load of some other number of bytes than 1, 2 or 4.
    LoadSize(u32),
    /// Bytes of a protocol that cannot be indexed.
    NoIndex(String),
    /// Division by a constant zero.
    DivisionByZero,
    /// Remainder of a division by a constant zero.
    ModulusByZero,
    /// A shift by a constant above 31.
    LongShift(u32),
    /// `ip broadcast`: the netmask of the interface would have to be known.
    NetmaskUnknown,
    /// `gateway`, which libpcap does not offer in its usual builds either.
    Gateway,
    /// A link-level test where packets have no (Ethernet) link-level header.
    NoLinkHeader {
        /// The word that asks for it.
        word: String,
        /// What the packets are instead.
        link: &'static str,
    },
    /// Something that cannot follow `mpls`.
    AfterMpls(String),
    /// `protochain` inside a tunnel whose header has a variable length.
    AfterTunnel(String),
    /// No packet can match.
    RejectsAll,
}

impl Error {
    /// Makes an error about `span` of `text`.
    pub(crate) fn new(text: &str, span: Span, kind: ErrorKind) -> Error {
        let clamp = |at: usize| (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let start = clamp(span.start);
        let span = Span { start, end: clamp(span.end).max(start) };
        Error(Box::new(Mistake { kind, span, text: text.to_string() }))
    }

    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Where: bytes of the text.
    pub fn span(&self) -> Span {
        self.0.span
    }

    /// Whether the same expression could compile for packets that start with an Ethernet header: it asks for
    /// something of the link-level header, or it rejects every packet here.
    ///
    /// A caller that compiles for Ethernet and for bare IP takes the second program as "reject" if this holds.
    pub fn needs_link_header(&self) -> bool {
        matches!(self.0.kind, ErrorKind::NoLinkHeader { .. } | ErrorKind::RejectsAll)
    }

    /// Whether the expression is well formed, but no packet can match.
    pub fn rejects_all(&self) -> bool {
        self.0.kind == ErrorKind::RejectsAll
    }

    /// Several lines, the last one not ended: the message, the line of text with the place marked, and at most one
    /// hint.
    pub fn render(&self) -> String {
        let mut out = format!("error: {self}");
        let (line, before, width) = self.excerpt();
        if !line.trim().is_empty() {
            out += &format!("\n    {line}\n    {}{}", " ".repeat(before), "^".repeat(width));
        }
        if let Some(hint) = self.hint() {
            out += &format!("\nhint: {hint}");
        }
        out
    }

    /// One line of at most about 100 characters around the span, the characters before the span, and its width.
    fn excerpt(&self) -> (String, usize, usize) {
        const BEFORE: usize = 60;
        const WIDTH: usize = 100;
        let chars: Vec<char> = self.0.text.chars().map(printable).collect();
        let start = self.0.text[..self.0.span.start].chars().count();
        let width = self.0.text[self.0.span.start..self.0.span.end].chars().count();
        let from = if chars.len() <= WIDTH { 0 } else { start.saturating_sub(BEFORE) };
        let shown: String = chars[from..].iter().take(WIDTH).collect();
        let before = start - from;
        let visible = shown.chars().count().saturating_sub(before);
        (shown, before, width.min(visible).max(1))
    }

    /// A thing to type: the whole expression with the marked part replaced. Only what can be parsed is offered.
    fn hint(&self) -> Option<String> {
        let candidates: Vec<String> = match &self.0.kind {
            ErrorKind::Unknown { near, .. } | ErrorKind::HostBits { near, .. } => near.iter().cloned().collect(),
            ErrorKind::Expected { found: Some(word), .. } | ErrorKind::NoQualifier(word) => {
                let keyword = crate::lexer::nearest_word(word).map(str::to_string);
                keyword.into_iter().chain(qualified(word)).collect()
            }
            _ => Vec::new(),
        };
        let fixed = |replacement: &String| {
            format!("{}{replacement}{}", &self.0.text[..self.0.span.start], &self.0.text[self.0.span.end..])
        };
        let fixed = candidates.iter().map(fixed).find(|fixed| crate::parse(fixed).is_ok())?;
        let fixed: String = fixed.chars().map(printable).collect();
        (fixed.chars().count() <= 100).then(|| format!("did you mean `{}`?", fixed.trim()))
    }
}

/// The word with what may be missing before it.
fn qualified(word: &str) -> Option<String> {
    Some(match crate::lexer::lex(word).first()?.kind {
        TokenKind::Number(_) => format!("port {word}"),
        TokenKind::Mac(_) => format!("ether host {word}"),
        TokenKind::Dotted | TokenKind::Ipv6(_) | TokenKind::Name(_) => format!("host {word}"),
        // The name of something is a keyword as well.
        TokenKind::Word(Word::Protocol(_)) => format!("\\{word}"),
        _ => return None,
    })
}

/// Keeps a line a line, and the mark under its place.
fn printable(c: char) -> char {
    match c {
        _ if is_plain(c) => c,
        _ if c.is_whitespace() || c.is_control() => ' ',
        _ => '?',
    }
}

/// Whether a terminal shows the character as itself, in order.
fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() || c == ' ' || (!c.is_ascii() && c.is_alphanumeric())
}

/// What the user typed, unusual characters escaped, cut to 64 characters.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        let mut room = 64usize;
        for c in self.0.chars() {
            let escaped = c.escape_default();
            let width = if is_plain(c) { 1 } else { escaped.len() };
            let Some(left) = room.checked_sub(width) else {
                f.write_str("...")?;
                break;
            };
            room = left;
            if is_plain(c) {
                write!(f, "{c}")?;
            } else {
                write!(f, "{escaped}")?;
            }
        }
        f.write_str("`")
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.kind.fmt(f)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Character(c) => write!(f, "a filter cannot hold the character {}", Quoted(&c.to_string())),
            ErrorKind::NumberTooLarge(word) => write!(f, "the number {} does not fit in 32 bits", Quoted(word)),
            ErrorKind::NotOctal(word) => {
                write!(f, "the number {} starts with 0 and is thus octal, but has a digit 8 or 9", Quoted(word))
            }
            ErrorKind::BadIpv4(word) => write!(f, "{} is not an IPv4 address", Quoted(word)),
            ErrorKind::BadDecnet(word) => write!(f, "{} is not a DECnet address such as 1.13", Quoted(word)),
            ErrorKind::BadIpv6(word) => write!(f, "{} is not an IPv6 address", Quoted(word)),
            ErrorKind::BadMac(word) => write!(f, "{} is neither a MAC nor an IPv6 address", Quoted(word)),
            ErrorKind::Arcnet(word) => {
                write!(f, "{} is an ARCnet address, and no ARCnet packet comes here", Quoted(word))
            }
            ErrorKind::Expected { wanted, found: Some(word) } => write!(f, "expected {wanted}, found {}", Quoted(word)),
            ErrorKind::Expected { wanted, found: None } => write!(f, "expected {wanted}, but the filter ends"),
            ErrorKind::NoQualifier(word) => {
                write!(f, "nothing says what {} is: put `host`, `net`, `port` or `proto` before it", Quoted(word))
            }
            ErrorKind::OtherLink { word, needs } => write!(f, "{} is known only {needs}", Quoted(word)),
            ErrorKind::TooLarge(limit) => limit.fmt(f),
            ErrorKind::Unknown { what, name, .. } => what.unknown(f, Quoted(name)),
            ErrorKind::Lookup { name, why } => why.explain(f, Quoted(name)),
            ErrorKind::PortOfOtherProtocol { name, owner } => write!(f, "port {} belongs to {owner}", Quoted(name)),
            ErrorKind::PortTooLarge(port) => write!(f, "there is no port {port}, the last one is 65535"),
            ErrorKind::TooLargeFor { what, value, max } => write!(f, "{value} is too large for {what}: at most {max}"),
            ErrorKind::Misapplied { word, to } => write!(f, "{} does not go with {to}", Quoted(word)),
            ErrorKind::WrongAddress { needs, found } => write!(f, "{needs} is needed here, not {}", Quoted(found)),
            ErrorKind::MaskWithoutNet => f.write_str("a mask or prefix length goes with `net` only"),
            ErrorKind::PrefixTooLong { length, max } => write!(f, "the prefix length {length} is above {max}"),
            ErrorKind::HostBits { network, .. } => write!(f, "{} has bits set outside of its mask", Quoted(network)),
            ErrorKind::LoadSize(size) => write!(f, "{size} bytes cannot be loaded at once, only 1, 2 or 4"),
            ErrorKind::NoIndex(word) => write!(f, "bytes of {} cannot be addressed with [ ]", Quoted(word)),
            ErrorKind::DivisionByZero => f.write_str("division by zero"),
            ErrorKind::ModulusByZero => f.write_str("remainder of a division by zero"),
            ErrorKind::LongShift(count) => write!(f, "a shift by {count} bits: at most 31 make sense"),
            ErrorKind::NetmaskUnknown => {
                f.write_str("`ip broadcast` needs the netmask of the network, which is not known here")
            }
            ErrorKind::Gateway => f.write_str(
                "`gateway` is not supported: it would need the Ethernet address and the IP address of one host",
            ),
            ErrorKind::NoLinkHeader { word, link } => {
                write!(f, "{} needs an Ethernet header, which {link} does not have", Quoted(word))
            }
            ErrorKind::AfterMpls(word) => write!(f, "{} cannot be found behind MPLS labels", Quoted(word)),
            ErrorKind::AfterTunnel(word) => {
                write!(f, "{} cannot be used behind a tunnel header of variable length", Quoted(word))
            }
            ErrorKind::RejectsAll => f.write_str("no packet can match this filter"),
        }
    }
}

impl NameKind {
    fn unknown(self, f: &mut fmt::Formatter<'_>, name: Quoted<'_>) -> fmt::Result {
        match self {
            NameKind::Host => write!(f, "no host is named {name}"),
            NameKind::HostOfFamily => write!(f, "host {name} has no address of this family"),
            NameKind::EtherHost => write!(f, "no Ethernet address is known for {name}"),
            NameKind::Network => write!(f, "no network is named {name}"),
            NameKind::Port => write!(f, "no port is named {name}"),
            NameKind::IpProtocol => write!(f, "no IP protocol is named {name}"),
            NameKind::EtherProtocol => write!(f, "no Ethernet protocol is named {name}"),
            NameKind::IsoProtocol => write!(f, "no ISO protocol is named {name}"),
            NameKind::LlcType => write!(f, "no LLC frame type is named {name}"),
        }
    }
}

impl LookupError {
    fn explain(self, f: &mut fmt::Formatter<'_>, name: Quoted<'_>) -> fmt::Result {
        match self {
            LookupError::NotFound => NameKind::Host.unknown(f, name),
            LookupError::NoServer => {
                write!(f, "host {name} is not in /etc/hosts, and /etc/resolv.conf names no name server")
            }
            LookupError::NoAnswer => write!(f, "no name server answered about host {name}"),
            LookupError::Failure => write!(f, "the name servers failed to look up host {name}"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = self.max();
        match self {
            Limit::Text => write!(f, "the filter is longer than {max} bytes"),
            Limit::Nesting => write!(f, "parentheses are nested more than {max} deep"),
            Limit::Operators => write!(f, "one arithmetic expression has more than {max} operators"),
            Limit::Tunnels => write!(f, "more than {max} tunnels inside one another"),
            Limit::Tests => write!(f, "the filter needs more than {max} tests"),
        }
    }
}
