//! Questions to a name server and its answers, as bytes (RFC 1035, RFC 3596).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a name with its length bytes and the final zero.
const LONGEST_NAME: usize = 255;

/// How many aliases may lead to an address.
const LONGEST_CHAIN: usize = 16;

const HEADER: usize = 12;
const CLASS_INTERNET: u16 = 1;
const TYPE_CNAME: u16 = 5;

/// The family of addresses that is asked for; its number is the record's type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub(super) enum Family {
    V4 = 1,
    V6 = 28,
}

/// One question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Question {
    name: Vec<u8>,
    family: Family,
}

/// What a server says to a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// The addresses; none if the name exists without one of this family.
    Addresses(Vec<IpAddr>),
    /// Nothing has this name.
    NoSuchName,
    /// The answer is too long for a datagram.
    TooLong,
    /// The server could not find out, or does not want to.
    Failure,
}

impl Question {
    /// Asks for the addresses of `name`; `None` if no host can be named so.
    pub fn new(name: &str, family: Family) -> Option<Question> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut wire = Vec::with_capacity(name.len() + 2);
        for label in name.split('.') {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if label.is_empty() || label.len() > 63 || !label.bytes().all(plain) {
                return None;
            }
            wire.push(label.len() as u8);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.push(0);
        (wire.len() <= LONGEST_NAME).then_some(Question { name: wire, family })
    }

    /// The question as a message; recursion is desired.
    pub fn message(&self, id: u16) -> Vec<u8> {
        let mut message = id.to_be_bytes().to_vec();
        message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend(&self.name);
        message.extend((self.family as u16).to_be_bytes());
        message.extend(CLASS_INTERNET.to_be_bytes());
        message
    }

    /// What `message` says to the question that was sent with `id`; `None` if it is no answer to it.
    pub fn answer(&self, id: u16, message: &[u8]) -> Option<Answer> {
        let flags = u16_at(message, 2)?;
        // A response to a standard query, and the question is repeated in it.
        if u16_at(message, 0)? != id || flags & 0xf800 != 0x8000 || u16_at(message, 4)? != 1 {
            return None;
        }
        let (name, at) = name_at(message, HEADER)?;
        if name != self.name || u16_at(message, at)? != self.family as u16 || u16_at(message, at + 2)? != CLASS_INTERNET
        {
            return None;
        }
        Some(match flags & 0xf {
            _ if flags & 0x200 != 0 => Answer::TooLong,
            0 => self.records(message, at + 4).map_or(Answer::Failure, Answer::Addresses),
            3 => Answer::NoSuchName,
            _ => Answer::Failure,
        })
    }

    /// The addresses of the name, or of what it is an alias of, among the records at `at`; `None` if they are damaged.
    fn records(&self, message: &[u8], mut at: usize) -> Option<Vec<IpAddr>> {
        let mut addresses: Vec<(Vec<u8>, IpAddr)> = Vec::new();
        let mut aliases: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for _ in 0..u16_at(message, 6)? {
            let (owner, fixed) = name_at(message, at)?;
            let (kind, class, length) =
                (u16_at(message, fixed)?, u16_at(message, fixed + 2)?, u16_at(message, fixed + 8)?);
            let data = fixed + 10;
            at = data + usize::from(length);
            let bytes = message.get(data..at)?;
            if class != CLASS_INTERNET {
                continue;
            }
            if kind == self.family as u16 {
                addresses.push((owner, address(self.family, bytes)?));
            } else if kind == TYPE_CNAME {
                let (target, end) = name_at(message, data)?;
                aliases.push((owner, (end == at).then_some(target)?));
            }
        }
        let mut name = &self.name;
        for _ in 0..=LONGEST_CHAIN {
            let found: Vec<IpAddr> =
                addresses.iter().filter(|(owner, _)| owner == name).map(|(_, address)| *address).collect();
            if !found.is_empty() {
                return Some(found);
            }
            match aliases.iter().find(|(owner, _)| owner == name) {
                Some((_, target)) => name = target,
                None => return Some(Vec::new()),
            }
        }
        None
    }
}

fn address(family: Family, bytes: &[u8]) -> Option<IpAddr> {
    Some(match family {
        Family::V4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        Family::V6 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
    })
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// The name at `at`, in lower case and without pointers, and the place behind it.
///
/// A pointer must lead to a place before everything that was read of the name so far: this is what ends loops.
fn name_at(message: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let (mut at, mut start, mut behind) = (at, at, None);
    let mut name = Vec::new();
    loop {
        let length = *message.get(at)?;
        match length {
            0 => {
                name.push(0);
                return Some((name, behind.unwrap_or(at + 1)));
            }
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(length))?;
                name.push(length);
                name.extend(label.iter().map(u8::to_ascii_lowercase));
                if name.len() >= LONGEST_NAME {
                    return None;
                }
                at += 1 + label.len();
            }
            64..=191 => return None,
            192.. => {
                let target = usize::from(u16_at(message, at)? & 0x3fff);
                if target >= start {
                    return None;
                }
                behind.get_or_insert(at + 2);
                (at, start) = (target, target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u16 = 0x1234;

    fn question() -> Question {
        Question::new("www.Example.org", Family::V4).expect("a name")
    }

    /// A response with these flags and records, each behind the name at byte 12.
    fn response(flags: u16, count: u16, records: &[u8]) -> Vec<u8> {
        let mut message = question().message(ID);
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message.extend(records);
        message
    }

    /// `owner` as bytes, a type of the class Internet, its data.
    fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let mut record = owner.to_vec();
        record.extend(kind.to_be_bytes());
        record.extend([0, 1, 0, 0, 0, 60]);
        record.extend((data.len() as u16).to_be_bytes());
        record.extend(data);
        record
    }

    const SAME: &[u8] = &[0xc0, 12];
    const ALIAS: &[u8] = b"\x01a\xc0\x10"; // a.example.org

    #[test]
    fn a_question_is_a_message() {
        assert_eq!(question().message(ID), b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03org\0\0\x01\0\x01");
        assert_eq!(Question::new("a.", Family::V6), Question::new("A", Family::V6));
    }

    #[test]
    fn names_that_no_host_can_have_are_not_asked_for() {
        let (label, long) = ("a".repeat(64), ["a".repeat(63).as_str(); 4].join("."));
        for name in ["", ".", "a..b", ".a", "a b", "bücher", label.as_str(), long.as_str(), "a\0b"] {
            assert_eq!(Question::new(name, Family::V4), None, "{name:?}");
        }
    }

    #[test]
    fn addresses_are_found() {
        let records = [record(SAME, 1, &[10, 0, 0, 1]), record(SAME, 1, &[10, 0, 0, 2])].concat();
        let want = Answer::Addresses(vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()]);
        assert_eq!(question().answer(ID, &response(0x8180, 2, &records)), Some(want));
        let question = Question::new("h", Family::V6).expect("a name");
        let mut message = question.message(ID);
        (message[2], message[7]) = (0x81, 1);
        message.extend(record(SAME, 28, &[1; 16]));
        assert_eq!(question.answer(ID, &message), Some(Answer::Addresses(vec![[1u8; 16].into()])));
    }

    #[test]
    fn aliases_are_followed_in_any_order_but_not_for_ever() {
        let to_alias = record(SAME, 5, ALIAS);
        let address = record(ALIAS, 1, &[10, 0, 0, 1]);
        let stranger = record(b"\x01b\0", 1, &[10, 0, 0, 9]);
        let want = Some(Answer::Addresses(vec![[10, 0, 0, 1].into()]));
        let records = [to_alias.clone(), stranger.clone(), address.clone()].concat();
        assert_eq!(question().answer(ID, &response(0x8180, 3, &records)), want);
        assert_eq!(question().answer(ID, &response(0x8180, 3, &[address, stranger, to_alias.clone()].concat())), want);
        let nowhere = question().answer(ID, &response(0x8180, 1, &to_alias));
        assert_eq!(nowhere, Some(Answer::Addresses(vec![])));
        let around = [to_alias, record(ALIAS, 5, SAME)].concat();
        assert_eq!(question().answer(ID, &response(0x8180, 2, &around)), Some(Answer::Failure));
    }

    #[test]
    fn the_code_decides() {
        for (flags, want) in [
            (0x8180, Answer::Addresses(vec![])),
            (0x8183, Answer::NoSuchName),
            (0x8182, Answer::Failure),
            (0x8185, Answer::Failure),
            (0x8380, Answer::TooLong),
        ] {
            assert_eq!(question().answer(ID, &response(flags, 0, &[])), Some(want), "{flags:#x}");
        }
    }

    #[test]
    fn what_was_not_asked_is_no_answer() {
        let good = response(0x8180, 0, &[]);
        assert_eq!(question().answer(ID + 1, &good), None);
        assert_eq!(question().answer(ID, &response(0x0100, 0, &[])), None, "a query");
        assert_eq!(question().answer(ID, &response(0x9180, 0, &[])), None, "another operation");
        for other in [Question::new("www.example.com", Family::V4), Question::new("www.example.org", Family::V6)] {
            assert_eq!(other.expect("a name").answer(ID, &good), None);
        }
        for place in [5, good.len() - 1] {
            let mut message = good.clone();
            message[place] += 1;
            assert_eq!(question().answer(ID, &message), None, "count of questions, class");
        }
    }

    #[test]
    fn damaged_records_are_a_failure() {
        let a = record(SAME, 1, &[10, 0, 0, 1]);
        let here = (HEADER + question().name.len() + 4) as u8;
        for (why, count, records) in [
            ("fewer records than promised", 2, a.clone()),
            ("cut short", 1, a[..a.len() - 1].to_vec()),
            ("an address of three bytes", 1, record(SAME, 1, &[10, 0, 0])),
            ("a pointer to itself", 1, record(&[0xc0, here], 1, &[10, 0, 0, 1])),
            ("a pointer forward", 1, record(&[0xc0, here + 2], 1, &[10, 0, 0, 1])),
            ("labels in front of a pointer to them", 1, record(&[1, b'a', 0xc0, here], 1, &[10, 0, 0, 1])),
            ("a pointer behind the end", 1, record(&[0xff, 0xff], 1, &[10, 0, 0, 1])),
            ("a label of a reserved kind", 1, record(&[0x80, 0], 1, &[10, 0, 0, 1])),
            (
                "a name that is too long",
                1,
                record(&[[1, b'a'].repeat(127), vec![0xc0, 12]].concat(), 1, &[10, 0, 0, 1]),
            ),
            ("an alias that ends after its record", 1, record(SAME, 5, &ALIAS[..3])),
            ("an alias that ends before its record", 1, record(SAME, 5, b"\x01a\0\0")),
        ] {
            assert_eq!(question().answer(ID, &response(0x8180, count, &records)), Some(Answer::Failure), "{why}");
        }
    }

    #[test]
    fn no_bytes_are_too_much() {
        let records = [record(SAME, 5, ALIAS), record(ALIAS, 1, &[10, 0, 0, 1])].concat();
        let good = response(0x8180, 2, &records);
        for length in 0..good.len() {
            let _ = question().answer(ID, &good[..length]);
            for byte in [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff] {
                let mut message = good.clone();
                message[length] = byte;
                let _ = question().answer(ID, &message);
            }
        }
    }
}
