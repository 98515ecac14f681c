//! The interfaces of one network namespace, by rtnetlink(7).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sys::process;
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType};

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number within the namespace.
    pub ifindex: u32,
    /// Its name, any bytes but NUL and `/`.
    pub name: Vec<u8>,
}

/// The group of RTM_NEWLINK and RTM_DELLINK.
const RTMGRP_LINK: u32 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const IFLA_IFNAME: u16 = 3;
const IFLA_EXT_MASK: u16 = 29;
/// Leaves the counters out: they are most of a reply. Linux 4.4.
const RTEXT_FILTER_SKIP_STATS: u32 = 8;

/// The interfaces of the calling thread's network namespace.
pub fn links() -> io::Result<Vec<Link>> {
    let socket =
        socket::socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    let fd = socket.as_raw_fd();
    socket::sendto(fd, &request(), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut links = Vec::new();
    // The kernel fills what it is given, up to 32 KiB.
    let mut buffer = vec![0; 32 << 10];
    loop {
        let length = match socket::recv(fd, &mut buffer, MsgFlags::empty()) {
            Err(nix::Error::EINTR) => continue,
            other => other?,
        };
        if length == 0 || read(&buffer[..length], &mut links)? {
            return Ok(links);
        }
    }
}

/// Tells that interfaces came, went or were renamed: in the network namespace of the thread that made it, and in those
/// that this namespace knows by a number. It holds no other namespace open.
#[derive(Debug)]
pub struct Changes(OwnedFd);

impl Changes {
    /// Begins to listen; also, why only the own namespace is heard of.
    pub fn listen() -> io::Result<(Changes, Option<io::Error>)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket::socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        let own_alone = process::hear_all_namespaces(&socket).err();
        socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_LINK))?;
        Ok((Changes(socket), own_alone))
    }

    /// Whether something changed since the last call.
    pub fn any(&self) -> bool {
        let mut buffer = [0; 4096];
        let mut any = false;
        // What does not fit is cut, and what the kernel had no room for is ENOBUFS: both are changes.
        loop {
            match socket::recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) | Err(nix::Error::EAGAIN) => return any,
                Ok(_) | Err(nix::Error::ENOBUFS | nix::Error::EINTR) => any = true,
                Err(_) => return any,
            }
        }
    }
}

/// RTM_GETLINK for all interfaces.
fn request() -> Vec<u8> {
    let mut message = Vec::with_capacity(40);
    message.extend(40u32.to_ne_bytes());
    message.extend(RTM_GETLINK.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message.extend([0; 8]); // sequence number, port
    message.extend([0; 16]); // struct ifinfomsg: any family, any interface
    message.extend(8u16.to_ne_bytes());
    message.extend(IFLA_EXT_MASK.to_ne_bytes());
    message.extend(RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    message
}

/// Appends the interfaces in `messages`; true at the end of the dump. A truncated message ends the reading.
fn read(mut messages: &[u8], links: &mut Vec<Link>) -> io::Result<bool> {
    while let Some((header, _)) = messages.split_first_chunk::<16>() {
        let [a, b, c, d, e, f, ..] = *header;
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        let Some(payload) = messages.get(16..length) else { return Ok(true) };
        match u16::from_ne_bytes([e, f]) {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let errno = payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                return Err(io::Error::from_raw_os_error(errno.wrapping_neg()));
            }
            RTM_NEWLINK => links.extend(link(payload)),
            _ => {}
        }
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// One RTM_NEWLINK: `struct ifinfomsg`, then attributes.
fn link(payload: &[u8]) -> Option<Link> {
    let (info, mut attributes) = payload.split_first_chunk::<16>()?;
    let [_, _, _, _, a, b, c, d, ..] = *info;
    let ifindex = u32::from_ne_bytes([a, b, c, d]);
    while let Some(&[a, b, c, d]) = attributes.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([c, d]) == IFLA_IFNAME {
            let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
            return Some(Link { ifindex, name: value[..end].to_vec() });
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut message = (16 + payload.len() as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(payload);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn new_link(ifindex: u32, name: &str) -> Vec<u8> {
        let mut payload = vec![0; 4];
        payload.extend(ifindex.to_ne_bytes());
        payload.extend([0; 8]);
        payload.extend([8, 0, 99, 0, 1, 2, 3, 4]); // an attribute that does not matter, little-endian hosts only
        payload.extend((4 + name.len() as u16 + 1).to_ne_bytes());
        payload.extend(IFLA_IFNAME.to_ne_bytes());
        payload.extend(name.as_bytes());
        payload.push(0);
        message(RTM_NEWLINK, &payload)
    }

    #[test]
    fn a_dump_is_read_to_its_end() {
        let mut bytes = new_link(1, "lo");
        bytes.extend(new_link(7, "eth0.5"));
        let mut links = Vec::new();
        assert!(!read(&bytes, &mut links).unwrap());
        assert!(read(&message(NLMSG_DONE, &[0; 4]), &mut links).unwrap());
        let want = [(1, "lo"), (7, "eth0.5")].map(|(ifindex, name)| Link { ifindex, name: name.into() });
        assert_eq!(links, want);
    }

    #[test]
    fn an_error_is_the_kernels() {
        let error = read(&message(NLMSG_ERROR, &(-1i32).to_ne_bytes()), &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(1));
    }

    #[test]
    fn truncated_messages_are_no_panic() {
        let mut bytes = new_link(1, "lo");
        bytes.extend(new_link(2, "eth0"));
        for end in 0..bytes.len() {
            let _ = read(&bytes[..end], &mut Vec::new());
            let mut broken = bytes.clone();
            broken[end] ^= 0xff;
            let _ = read(&broken, &mut Vec::new());
        }
    }

    #[test]
    fn the_loopback_interface_is_there() {
        let links = links().expect("rtnetlink needs no rights");
        assert!(links.iter().any(|link| link.ifindex == 1 && link.name == b"lo"), "{links:?}");
    }
}
