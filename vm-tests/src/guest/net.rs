//! Networks inside the guest, and traffic through them.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::{Guest, sh};
use crate::error::{Context, Result};

/// How long anything on these networks may take; a lost packet is sent again after one second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who waits for so many silences of this length has not only been kept from running himself.
const SILENCE: Duration = Duration::from_millis(20);
const SILENCES: u32 = 25;

/// A named network namespace.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with its loopback device up.
    pub fn create(name: &str) -> Result<Self> {
        sh(&format!("ip netns add {name} && ip -n {name} link set lo up"))?;
        Ok(Self { name: name.to_owned() })
    }

    /// The file that stands for it.
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// Its number.
    pub fn inode(&self) -> Result<u64> {
        Ok(std::fs::metadata(self.path())?.ino())
    }

    /// Calls `f` on a thread that is in this namespace; so are the processes that it starts.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = File::open(self.path()).context(self.path())?;
        let inside = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            f()
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).map_err(|_| "a thread in a namespace panicked")?
    }

    /// Runs a shell command in it.
    pub fn sh(&self, command: &str) -> Result<String> {
        self.enter(|| sh(command))
    }
}

/// Runs lines of `ip`'s language, each without the word `ip`.
pub fn ip(lines: &str) -> Result<()> {
    let mut child =
        Command::new("/usr/bin/ip").args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("ip has no input")?.write_all(lines.as_bytes())?;
    let done = child.wait_with_output()?;
    ensure!(done.status.success(), "ip: {}\nin {lines}", String::from_utf8_lossy(&done.stderr).trim_end());
    Ok(())
}

/// Two namespaces, `left` and `right`, and a way between them.
#[derive(Debug)]
pub struct Net {
    /// Has 10.0.0.1 and fd00::1 (10.0.1.2 and fd01::2 behind a router); traffic starts here.
    pub left: Namespace,
    /// Has 10.0.0.2 and fd00::2; listens.
    pub right: Namespace,
    /// What is between them, if anything.
    pub router: Option<Namespace>,
    /// Destinations that are rewritten, and to what.
    rewritten: Vec<(SocketAddr, SocketAddr)>,
}

impl Guest {
    /// Two namespaces joined by a veth pair: `left0` with 10.0.0.1 and fd00::1, `right0` with 10.0.0.2 and fd00::2.
    pub fn two_namespaces(&self) -> Result<Net> {
        let net = Net {
            left: Namespace::create("left")?,
            right: Namespace::create("right")?,
            router: None,
            rewritten: Vec::new(),
        };
        ip("link add left0 netns left type veth peer name right0 netns right")?;
        net.left.enter(|| {
            ip("addr add 10.0.0.1/24 dev left0\naddr add fd00::1/64 dev left0 nodad\nlink set left0 addrgenmode none up")
        })?;
        net.right.enter(|| {
            ip("addr add 10.0.0.2/24 dev right0\naddr add fd00::2/64 dev right0 nodad\nlink set right0 addrgenmode none up")
        })?;
        Ok(net)
    }

    /// Three namespaces in a row. `left0` (10.0.1.2, fd01::2) - `router1` (10.0.1.1, fd01::1), `router0` (10.0.0.1,
    /// fd00::1) - `right0` (10.0.0.2, fd00::2); the one in the middle forwards.
    pub fn routed_namespaces(&self) -> Result<Net> {
        let (left, right) = (Namespace::create("left")?, Namespace::create("right")?);
        let router = Namespace::create("router")?;
        ip("link add left0 netns left type veth peer name router1 netns router
            link add router0 netns router type veth peer name right0 netns right")?;
        router.enter(|| {
            ip("addr add 10.0.1.1/24 dev router1\naddr add fd01::1/64 dev router1 nodad
                addr add 10.0.0.1/24 dev router0\naddr add fd00::1/64 dev router0 nodad
                link set router1 addrgenmode none up\nlink set router0 addrgenmode none up")?;
            sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
        })?;
        left.enter(|| {
            ip("addr add 10.0.1.2/24 dev left0\naddr add fd01::2/64 dev left0 nodad\nlink set left0 addrgenmode none up
                route add default via 10.0.1.1\nroute add default via fd01::1")
        })?;
        right.enter(|| {
            ip("addr add 10.0.0.2/24 dev right0\naddr add fd00::2/64 dev right0 nodad\nlink set right0 addrgenmode none up
                route add default via 10.0.0.1\nroute add default via fd00::1")
        })?;
        Ok(Net { left, right, router: Some(router), rewritten: Vec::new() })
    }
}

impl Net {
    /// Adds VLAN `id` on both sides: `left0.ID` with 10.ID.0.1 and `right0.ID` with 10.ID.0.2.
    pub fn vlan(&self, id: u8) -> Result<()> {
        for (namespace, device, last) in [(&self.left, "left0", 1), (&self.right, "right0", 2)] {
            let lines = format!(
                "link add link {device} name {device}.{id} type vlan id {id}\naddr add 10.{id}.0.{last}/24 dev {device}.{id}
                 link set {device}.{id} addrgenmode none up"
            );
            namespace.enter(|| ip(&lines))?;
        }
        Ok(())
    }

    /// Adds a tunnel of `kind` between the sides: `tun9` with 10.9.0.1 and 10.9.0.2. In `options`, OWN and OTHER are
    /// the addresses outside.
    pub fn tunnel(&self, kind: &str, options: &str) -> Result<()> {
        sh(&format!("modprobe -a {} 2>/dev/null || true", if kind == "gre" { "ip_gre" } else { kind }))?;
        for (namespace, own, other) in [(&self.left, 1, 2), (&self.right, 2, 1)] {
            let options = options.replace("OWN", &format!("10.0.0.{own}")).replace("OTHER", &format!("10.0.0.{other}"));
            let lines = format!(
                "link add tun9 type {kind} {options}\naddr add 10.9.0.{own}/24 dev tun9\nlink set tun9 addrgenmode none up"
            );
            namespace.enter(|| ip(&lines))?;
        }
        Ok(())
    }

    /// Takes the tunnel away.
    pub fn without_tunnel(&self) -> Result<()> {
        [&self.left, &self.right].into_iter().try_for_each(|namespace| namespace.enter(|| ip("link del tun9")))
    }

    /// Has the right side rewrite the destination of TCP from `from` to `to`, an IPv4 address that it gets for this;
    /// [`Net::connect`] listens there.
    pub fn dnat(mut self, from: &str, to: &str) -> Result<Self> {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().context(from)?, to.parse().context(to)?);
        self.right.sh(&format!(
            "ip addr add {}/24 dev right0 && nft add table ip rewrite && \
             nft add chain ip rewrite in '{{ type nat hook prerouting priority -100; }}' && \
             nft add rule ip rewrite in ip daddr {} tcp dport {} dnat to {to}",
            to.ip(),
            from.ip(),
            from.port()
        ))?;
        self.rewritten.push((from, to));
        Ok(self)
    }

    /// Fills the neighbour tables of both sides, so that a trace begins with the packet that it is about.
    pub fn greet(&self, address: &str) -> Result<()> {
        self.ping(address)
    }

    /// One echo request from the left, which must be answered.
    pub fn ping(&self, address: &str) -> Result<()> {
        let ping = if address.contains(':') { "ping6" } else { "ping" };
        self.left.sh(&format!("busybox {ping} -c 1 -W 20 {address}")).map(drop)
    }

    /// A TCP connection from the left to a listener on the right, a few bytes each way, closed by the left.
    /// Returns the address of the left end.
    pub fn connect(&self, to: &str) -> Result<SocketAddr> {
        let to: SocketAddr = to.parse().context(to)?;
        let at = self.rewritten.iter().find(|(from, _)| *from == to).map_or(to, |(_, to)| *to);
        let listener = self.right.enter(|| TcpListener::bind(at).context(at))?;
        let serve = || -> Result<()> {
            let (mut stream, _) = accept(&listener)?;
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes)?;
            stream.write_all(b"pong")?;
            Ok(io::copy(&mut stream, &mut io::sink()).map(drop)?)
        };
        std::thread::scope(|scope| {
            let server = scope.spawn(serve);
            let local = self.left.enter(|| {
                let mut stream = TcpStream::connect_timeout(&to, PATIENCE).context(to)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(b"ping")?;
                stream.read_exact(&mut [0; 4])?;
                Ok(stream.local_addr()?)
            })?;
            server.join().map_err(|_| "the server panicked")??;
            Ok(local)
        })
    }

    /// Tries to connect from the left, for at most `limit`, and expects silence.
    pub fn connect_in_vain(&self, to: &str, limit: Duration) -> Result<()> {
        let to: SocketAddr = to.parse().context(to)?;
        self.left.enter(|| match TcpStream::connect_timeout(&to, limit) {
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(()),
            Err(error) => Err(error).context(to),
            Ok(_) => Err(format!("{to} answered").into()),
        })
    }

    /// Sends `length` bytes by TCP from the left to a listener on the right, in one call.
    pub fn send(&self, to: &str, length: usize) -> Result<()> {
        let to: SocketAddr = to.parse().context(to)?;
        let listener = self.right.enter(|| TcpListener::bind(to).context(to))?;
        std::thread::scope(|scope| {
            let server = scope.spawn(|| -> Result<u64> {
                let (mut stream, _) = accept(&listener)?;
                Ok(io::copy(&mut stream, &mut io::sink())?)
            });
            self.left.enter(|| {
                let mut stream = TcpStream::connect_timeout(&to, PATIENCE).context(to)?;
                Ok(stream.write_all(&vec![0x55; length])?)
            })?;
            let arrived = server.join().map_err(|_| "the server panicked")??;
            ensure!(arrived == length as u64, "{arrived} of {length} bytes arrived");
            Ok(())
        })
    }

    /// Sends `count` small datagrams from the left to a socket on the right that nobody reads until all are there.
    pub fn pile_up(&self, to: &str, count: u32) -> Result<()> {
        let to: SocketAddr = to.parse().context(to)?;
        let _sink = self.right.enter(|| UdpSocket::bind(to).context(to))?;
        self.left.enter(|| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            for _ in 0..count {
                socket.send_to(b"hello", to)?;
            }
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        })
    }

    /// Sends `count` datagrams of `length` bytes from the left to a socket on the right that takes them all. Returns
    /// the address of the left end and how many arrived.
    pub fn udp(&self, to: &str, length: usize, count: u64) -> Result<(SocketAddr, u64)> {
        let to: SocketAddr = to.parse().context(to)?;
        let sink = self.right.enter(|| UdpSocket::bind(to).context(to))?;
        sink.set_read_timeout(Some(SILENCE))?;
        let sent = AtomicBool::new(false);
        let drain = || -> u64 {
            let mut buffer = [0; 65536];
            let (mut arrived, mut silences) = (0, 0);
            while arrived < count && silences < SILENCES {
                let all_sent = sent.load(Ordering::SeqCst);
                match sink.recv(&mut buffer) {
                    Ok(_) => (arrived, silences) = (arrived + 1, 0),
                    Err(_) => silences += u32::from(all_sent),
                }
            }
            arrived
        };
        std::thread::scope(|scope| {
            let drain = scope.spawn(drain);
            let local = self.left.enter(|| {
                let any: SocketAddr = if to.is_ipv4() { "0.0.0.0:0".parse()? } else { "[::]:0".parse()? };
                let socket = UdpSocket::bind(any)?;
                socket.connect(to)?;
                let payload = vec![0x55; length];
                for _ in 0..count {
                    socket.send(&payload)?;
                }
                Ok(socket.local_addr()?)
            });
            sent.store(true, Ordering::SeqCst);
            let local = local?;
            Ok((local, drain.join().map_err(|_| "the sink panicked")?))
        })
    }
}

fn accept(listener: &TcpListener) -> Result<(TcpStream, SocketAddr)> {
    listener.set_nonblocking(true)?;
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok((stream, peer));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && std::time::Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error).context("waiting for a connection"),
        }
    }
}
