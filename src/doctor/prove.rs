//! Tracing a datagram that we send to ourselves.

use crate::cli::{self, Args, Command};
use crate::decode::{Function, decode};
use crate::error::Error;
use crate::events::{self, Next};
use crate::host::survey::Host;
use crate::late::Late;
use crate::plan::{Backend, make};
use crate::run::{Live, climb};
use crate::say::{self, Say};
use crate::sys::stop::Stop;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the datagram may stay unseen: where attaching is slow, its functions may come late.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often one is sent.
const PAUSE: Duration = Duration::from_millis(50);

/// What a proof showed.
pub struct Proof {
    /// The way in.
    pub backend: Backend,
    /// What a run says about it.
    pub says: String,
    /// How many places saw the datagram; or why none was sent.
    pub seen: Result<usize, io::Error>,
    /// From the first attached place to the first event.
    pub took: Duration,
}

/// A datagram on the loopback device, and the expression that only it matches.
pub struct Datagram {
    socket: UdpSocket,
    port: u16,
}

impl Datagram {
    /// Makes a socket for it.
    pub fn new() -> io::Result<Datagram> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let port = socket.local_addr()?.port();
        Ok(Datagram { socket, port })
    }

    /// The command line of a run that traces it, with `more` in front.
    pub fn args(&self, more: &str) -> Args {
        let line = format!("whither {more} udp and dst host 127.0.0.1 and dst port {}", self.port);
        match cli::parse(line.split_whitespace().map(OsString::from)) {
            Ok(Command::Trace(args)) => *args,
            // Every word of it is ours.
            _ => unreachable!("{line}"),
        }
    }

    fn send(&self) -> io::Result<()> {
        self.socket.send_to(b"whither", (Ipv4Addr::LOCALHOST, self.port))?;
        let _ = self.socket.recv(&mut [0; 16]);
        Ok(())
    }
}

/// Traces the datagram as a run with `args` would on `host`.
pub fn prove(datagram: &Datagram, args: &Args, host: &Host) -> Result<Proof, Error> {
    let stop = Arc::new(Stop::on_signals().map_err(Error::cannot("wait for signals"))?);
    let rungs = make::ladder(args, host);
    let packet = make::expression(args)?;
    let Live { plan, loaded, hooks, failed, .. } = climb(args, host, &rungs, packet, &stop, &Say::new(false))?;
    let says = say::way(&plan, host, &failed);
    let mut late = Late::new(&plan)?;
    let mut events = events::follow(&loaded, &plan, &stop).map_err(Error::cannot("follow events"))?;
    let begin = Instant::now();
    let (mut places, mut sent) = (BTreeSet::new(), Ok(()));
    let mut took = Duration::ZERO;
    let mut next_send = begin;
    let mut ending = false;
    loop {
        if !ending && sent.is_ok() && Instant::now() >= next_send {
            sent = datagram.send();
            next_send = Instant::now() + PAUSE;
        }
        match events.next(Some(PAUSE)).map_err(Error::cannot("read events"))? {
            Next::Batch(batch) => {
                for record in batch.records() {
                    let record = match &mut late {
                        Some(late) => late.pass(record),
                        None => Some(record),
                    };
                    if let Some(record) = record {
                        if places.is_empty() {
                            took = begin.elapsed();
                        }
                        places.insert(place(decode(record, &plan.layout)?.function));
                    }
                }
            }
            Next::Idle => {}
            Next::End => break,
        }
        let done = !places.is_empty() && begin.elapsed() > took + PAUSE;
        if !ending && (done || sent.is_err() || begin.elapsed() > PATIENCE || stop.is_requested()) {
            ending = true;
            stop.request();
            events.end().map_err(Error::cannot("silence programs"))?;
        }
    }
    drop(hooks);
    Ok(Proof { backend: plan.backend, says, seen: sent.map(|()| places.len()), took })
}

/// One number for each place.
fn place(function: Function) -> u64 {
    match function {
        Function::Unknown => 0,
        Function::Index(index) => u64::from(index) + 1,
        Function::Address(address) => address,
    }
}
