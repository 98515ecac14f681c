//! Asks name servers for the addresses of a host.
//!
//! The C library's resolver is not used: where the C library is linked statically, it still loads the parts that
//! /etc/nsswitch.conf names from the machine that it runs on, where another version of them may be. So hosts are found
//! in /etc/hosts and by the servers of /etc/resolv.conf, and nowhere else.

mod conf;
mod message;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use super::LookupError;
use conf::Conf;
use message::{Answer, Family, Question};

/// How long a host may take to be found, whatever /etc/resolv.conf allows.
const PATIENCE: Duration = Duration::from_secs(10);

/// A datagram is not longer, because no more is asked for (EDNS).
const DATAGRAM: usize = 512;

/// The addresses of `name`, of both families, by the servers of this machine.
pub(super) fn lookup(name: &str) -> Result<Vec<IpAddr>, LookupError> {
    let interface = |name: &str| {
        // A name with a slash would lead elsewhere, but only the administrator writes that file.
        let index = std::fs::read_to_string(Path::new("/sys/class/net").join(name).join("ifindex")).ok()?;
        index.trim().parse().ok()
    };
    let text = std::fs::read("/etc/resolv.conf").unwrap_or_default();
    let mut conf = Conf::parse(&String::from_utf8_lossy(&text), interface);
    if conf.search.is_empty() {
        let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        conf.search.extend(own.trim().split_once('.').map(|(_, domain)| domain.to_string()));
    }
    let configured = !conf.servers.is_empty();
    if !configured {
        conf.servers.push((Ipv4Addr::LOCALHOST, 53).into()); // as resolv.conf(5) has it
    }
    search(name, &conf, PATIENCE).map_err(|error| match error {
        LookupError::NoAnswer if !configured => LookupError::NoServer,
        other => other,
    })
}

/// Asks for `name` in all domains in which it may be.
fn search(name: &str, conf: &Conf, patience: Duration) -> Result<Vec<IpAddr>, LookupError> {
    let deadline = Instant::now() + patience;
    let within = conf.search.iter().map(|domain| format!("{name}.{domain}"));
    let candidates: Vec<String> = if name.ends_with('.') {
        vec![name.to_string()]
    } else if name.matches('.').count() >= conf.ndots {
        std::iter::once(name.to_string()).chain(within).collect()
    } else {
        within.chain(std::iter::once(name.to_string())).collect()
    };
    let mut failure = LookupError::NotFound;
    for candidate in candidates {
        match ask_all(&candidate, conf, deadline) {
            Err(LookupError::NotFound) => {}
            Err(LookupError::Failure) => failure = LookupError::Failure,
            known => return known,
        }
    }
    Err(failure)
}

/// A question on its way.
struct Asked {
    question: Question,
    id: u16,
    answer: Option<Answer>,
}

impl Asked {
    /// Whether no other server has to be asked.
    fn is_settled(&self) -> bool {
        matches!(self.answer, Some(Answer::Addresses(_) | Answer::NoSuchName))
    }
}

/// Asks one server after the other for both families of addresses of exactly this name.
fn ask_all(name: &str, conf: &Conf, deadline: Instant) -> Result<Vec<IpAddr>, LookupError> {
    let asked = [Family::V4, Family::V6].map(|family| Question::new(name, family));
    let asked: Option<Vec<Asked>> =
        asked.into_iter().map(|question| Some(Asked { question: question?, id: 0, answer: None })).collect();
    let mut asked = asked.ok_or(LookupError::NotFound)?;
    let mut failure = LookupError::NoAnswer;
    let mut tries = conf.attempts * conf.servers.len() as u32;
    for server in (0..conf.attempts).flat_map(|_| &conf.servers) {
        // Every server gets its turn before all time is over.
        let left = deadline.saturating_duration_since(Instant::now());
        let until = Instant::now() + conf.timeout.min(left / tries);
        tries -= 1;
        // A server that cannot be reached is one that does not answer.
        let _ = ask(*server, &mut asked, until);
        if asked.iter().any(|asked| asked.answer == Some(Answer::Failure)) {
            failure = LookupError::Failure;
        }
        if asked.iter().all(Asked::is_settled) || asked.iter().any(|asked| asked.answer == Some(Answer::NoSuchName)) {
            failure = LookupError::NotFound;
            break;
        }
    }
    let mut found = Vec::new();
    for asked in asked {
        if let Some(Answer::Addresses(addresses)) = asked.answer {
            found.extend(addresses);
        }
    }
    if found.is_empty() { Err(failure) } else { Ok(found) }
}

/// Sends what is not settled to one server and waits for the answers until `until`.
fn ask(server: SocketAddr, asked: &mut [Asked], until: Instant) -> io::Result<()> {
    let own: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(own, 0))?;
    socket.connect(server)?; // only this server's datagrams arrive
    for asked in asked.iter_mut().filter(|asked| !asked.is_settled()) {
        (asked.id, asked.answer) = (random(), None);
        socket.send(&asked.question.message(asked.id))?;
    }
    let mut datagram = [0; DATAGRAM];
    while asked.iter().any(|asked| asked.answer.is_none()) {
        socket.set_read_timeout(Some(left(until)?))?;
        let length = match socket.recv(&mut datagram) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            received => received?,
        };
        for asked in asked.iter_mut().filter(|asked| asked.answer.is_none()) {
            asked.answer = asked.question.answer(asked.id, &datagram[..length]);
        }
    }
    for asked in asked.iter_mut().filter(|asked| asked.answer == Some(Answer::TooLong)) {
        asked.answer = ask_by_stream(server, asked, until)?;
    }
    Ok(())
}

/// Asks once more, where an answer has more room: over TCP, with two bytes of length in front.
fn ask_by_stream(server: SocketAddr, asked: &Asked, until: Instant) -> io::Result<Option<Answer>> {
    let mut stream = TcpStream::connect_timeout(&server, left(until)?)?;
    let message = asked.question.message(asked.id);
    stream.set_write_timeout(Some(left(until)?))?;
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), &message[..]].concat())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let [high, low, message @ ..] = &answer[..]
            && let Some(message) = message.get(..usize::from(u16::from_be_bytes([*high, *low])))
        {
            return Ok(asked.question.answer(asked.id, message));
        }
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            length => answer.extend(&chunk[..length]),
        }
    }
}

/// The time until then; an error if it is over.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A number that nobody who does not see the question can guess.
fn random() -> u16 {
    RandomState::new().build_hasher().finish() as u16
}

#[cfg(test)]
mod tests;
