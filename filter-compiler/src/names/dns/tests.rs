//! Against name servers on the loopback interface, which answer from a table and misbehave on request.

use std::net::TcpListener;
use std::thread;

use super::*;

/// What a server does with a question for a name.
#[derive(Clone, Copy)]
enum Does {
    /// Answers with one address of each family that ends in this number.
    Know(u8),
    /// Answers over TCP only, with so many addresses of each family.
    KnowMany(u8),
    /// Knows an IPv4 address only.
    KnowV4,
    /// Answers with this code.
    Code(u8),
    /// Says nothing about IPv6 addresses, and answers the rest with an address.
    DropV6,
    /// Says nothing.
    Drop,
    /// Sends what somebody who guesses would send, and then the answer.
    Lie,
}

type Table = &'static [(&'static str, Does)];

/// Starts a server; it ends with the process. Names that it does not know do not exist.
fn server(table: Table) -> SocketAddr {
    let pair = || {
        let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let at = datagrams.local_addr().ok()?;
        Some((datagrams, TcpListener::bind(at).ok()?, at))
    };
    let (datagrams, streams, at) = (0..50).find_map(|_| pair()).expect("a port that is free for both protocols");
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, client)) = datagrams.recv_from(&mut question) {
            for answer in answers(table, &question[..length], true) {
                let _ = datagrams.send_to(&answer, client);
            }
        }
    });
    thread::spawn(move || {
        for mut stream in streams.incoming().flatten() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).expect("a length");
            let mut question = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut question).expect("a question");
            for answer in answers(table, &question, false) {
                // In two parts, as a network may deliver it.
                let answer = [&(answer.len() as u16).to_be_bytes(), &answer[..]].concat();
                let (start, rest) = answer.split_at(7);
                stream.write_all(start).and_then(|()| stream.flush()).expect("a listener");
                thread::sleep(Duration::from_millis(5));
                stream.write_all(rest).expect("a listener");
            }
        }
    });
    at
}

/// The messages that answer `question`.
fn answers(table: Table, question: &[u8], is_datagram: bool) -> Vec<Vec<u8>> {
    let name_end = 12 + question[12..].iter().position(|&byte| byte == 0).expect("a name");
    let (mut name, mut at) = (Vec::new(), 12);
    while at < name_end {
        let label = &question[at + 1..at + 1 + usize::from(question[at])];
        name.push(String::from_utf8_lossy(label));
        at += 1 + label.len();
    }
    let name = name.join(".");
    let is_v6 = question[name_end + 2] == 28;
    let respond = |code: u8, addresses: u8| {
        let mut message = question.to_vec();
        (message[2], message[3], message[7]) = (0x81, 0x80 | code, addresses);
        for last in 1..=addresses {
            message.extend([0xc0, 12, 0, question[name_end + 2], 0, 1, 0, 0, 0, 60, 0, if is_v6 { 16 } else { 4 }]);
            message.extend(if is_v6 { vec![0xfd; 15] } else { vec![10, 0, 0] });
            message.push(last);
        }
        message
    };
    let know = |last: u8| {
        let mut message = respond(0, 1);
        *message.last_mut().expect("an address") = last;
        message
    };
    match table.iter().find(|(known, _)| *known == name).map_or(Does::Code(3), |(_, does)| *does) {
        Does::Know(last) => vec![know(last)],
        Does::KnowMany(_) if is_datagram => {
            let mut message = respond(0, 0);
            message[2] |= 2;
            vec![message]
        }
        Does::KnowMany(count) => vec![respond(0, count)],
        Does::KnowV4 => vec![if is_v6 { respond(0, 0) } else { know(1) }],
        Does::Code(code) => vec![respond(code, 0)],
        Does::DropV6 if is_v6 => vec![],
        Does::DropV6 => vec![know(1)],
        Does::Drop => vec![],
        Does::Lie => {
            let (mut other_id, mut other_name) = (know(66), know(66));
            other_id[0] ^= 1;
            other_name[13] ^= 1;
            vec![vec![], b"nonsense".to_vec(), other_id, other_name, know(1)]
        }
    }
}

fn conf(servers: &[SocketAddr], search: &[&str]) -> Conf {
    Conf {
        servers: servers.to_vec(),
        search: search.iter().map(ToString::to_string).collect(),
        timeout: Duration::from_millis(300),
        ..Conf::default()
    }
}

/// The addresses or the error as text.
fn found(name: &str, conf: &Conf) -> String {
    match search(name, conf, Duration::from_secs(5)) {
        Ok(addresses) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Err(error) => format!("{error:?}"),
    }
}

const BOTH: &str = "10.0.0.1 fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fd01";

#[test]
fn both_families_are_found() {
    let server = server(&[("host", Does::Know(1)), ("four", Does::KnowV4), ("liar", Does::Lie)]);
    let conf = conf(&[server], &[]);
    assert_eq!(found("host", &conf), BOTH);
    assert_eq!(found("HOST.", &conf), BOTH);
    assert_eq!(found("four", &conf), "10.0.0.1");
    assert_eq!(found("liar", &conf), BOTH, "what was not asked is no answer");
    assert_eq!(found("nobody", &conf), "NotFound");
    assert_eq!(found("no body", &conf), "NotFound");
}

#[test]
fn long_answers_come_over_tcp() {
    let conf = conf(&[server(&[("many", Does::KnowMany(200))])], &[]);
    let addresses = search("many", &conf, Duration::from_secs(5)).expect("addresses");
    assert_eq!(addresses.len(), 400);
    assert_eq!(addresses[199].to_string(), "10.0.0.200");
}

#[test]
fn domains_are_searched_as_resolv_conf_has_it() {
    let server = server(&[
        ("www", Does::Know(1)),
        ("www.b.org", Does::Know(2)),
        ("a.b.c", Does::Know(3)),
        ("a.b.c.b.org", Does::Know(4)),
        ("c.b.org", Does::Code(2)),
        ("c", Does::Know(1)),
        ("d.b.org", Does::Code(2)),
    ]);
    let mut conf = conf(&[server], &["a.org", "b.org"]);
    assert!(found("www", &conf).starts_with("10.0.0.2 "), "a name without a dot is searched for first");
    assert!(found("www.", &conf).starts_with("10.0.0.1 "), "a final dot ends the search");
    assert!(found("a.b.c", &conf).starts_with("10.0.0.3 "), "a name with a dot is asked for first");
    assert_eq!(found("c", &conf), BOTH, "a domain that fails is passed over");
    assert_eq!(found("d", &conf), "Failure", "but whether the name is there is not known then");
    conf.ndots = 3;
    assert!(found("a.b.c", &conf).starts_with("10.0.0.4 "));
}

#[test]
fn the_next_server_is_asked() {
    let knows = server(&[("host", Does::Know(1))]);
    // A port where nobody listens: the socket that had it is closed.
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).expect("an address");
    let (silent, failing) = (server(&[("host", Does::Drop)]), server(&[("host", Does::Code(5))]));
    for first in [closed, silent, failing] {
        assert_eq!(found("host", &conf(&[first, knows], &[])), BOTH);
    }
    assert_eq!(found("host", &conf(&[closed], &[])), "NoAnswer");
    assert_eq!(found("host", &conf(&[failing], &[])), "Failure");
    assert_eq!(found("host", &conf(&[silent, failing], &[])), "Failure");
    assert_eq!(found("host", &conf(&[], &[])), "NoAnswer");
}

#[test]
fn one_family_is_enough_where_the_other_is_not_answered() {
    assert_eq!(found("host", &conf(&[server(&[("host", Does::DropV6)])], &[])), "10.0.0.1");
}

#[test]
fn time_is_limited() {
    let conf = Conf { timeout: Duration::from_secs(30), attempts: 5, ..conf(&[server(&[("host", Does::Drop)])], &[]) };
    let start = Instant::now();
    assert_eq!(search("host", &conf, Duration::from_millis(200)), Err(LookupError::NoAnswer));
    assert!(start.elapsed() < Duration::from_secs(2));
}
