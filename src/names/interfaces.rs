//! Interfaces of all network namespaces by number.
//!
//! A thread of its own visits the namespaces, because `setns` changes the namespace of the calling thread: at the
//! start all of them, later the one in which an unknown number appears. It never holds a namespace open.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use super::netlink::{self, Changes, Link};
use super::short::Short;
use crate::clean::{clean, cut_front};
use crate::privilege::{self, Feature};

/// Width of the column, in bytes.
pub const WIDTH: usize = 16;

/// An interface that has no name is looked for again after this time.
const RETRY_MS: u64 = 1000;

/// How often changes are looked for.
const CHANGES_MS: u64 = 20;

/// Visits of namespaces per second, at most.
const VISITS_PER_SECOND: u64 = 20;

/// How long a line waits for the name of its interface.
const WAIT: Duration = Duration::from_millis(50);

/// Lines per second that wait; for the others the name comes late.
const WAITS_PER_SECOND: u64 = 4;

/// The time between two searches for namespaces.
const FIND: Duration = Duration::from_millis(500);

/// How long the first line waits for the first visit of all namespaces.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// More interfaces than this are forgotten, and asked for again.
const MAX_KNOWN: usize = 1 << 16;

/// Names of interfaces, as pwru prints them: `NAME:NUMBER`, cut to 16 bytes, or `NUMBER` if there is no name.
#[derive(Debug)]
pub struct Interfaces {
    known: HashMap<u64, Entry, BuildHasherDefault<Mix>>,
    worker: Option<Worker>,
    /// Tells when names are no longer what they were, and when that was looked at last.
    changes: Option<Changes>,
    looked_ms: u64,
    /// Why not all changes are heard of.
    deaf: Option<io::Error>,
    /// The last one that was asked for: one packet makes many lines in a row.
    last: (u64, Entry),
    now_ms: u64,
    /// Visits asked for in the second `budget.0`.
    budget: (u64, u64),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    text: Centred,
    has_name: bool,
    /// When to ask again.
    due_ms: u64,
}

/// A text, and how many bytes of space are before it if it stands in the middle of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Centred {
    /// The text as it is.
    pub text: Short<WIDTH>,
    /// The text in the middle of its column; if the spaces are odd in number, the right side has one more.
    pub column: [u8; WIDTH],
}

impl Centred {
    fn new(text: &[u8]) -> Centred {
        let text = Short::new(text);
        let mut column = [b' '; WIDTH];
        let left = (WIDTH - text.len()) / 2;
        column[left..left + text.len()].copy_from_slice(text.as_bytes());
        Centred { text, column }
    }
}

impl Entry {
    fn new(name: Option<&[u8]>, ifindex: u32, due_ms: u64) -> Entry {
        let text = match name {
            Some(name) => format!("{}:{ifindex}", clean(name)),
            None => ifindex.to_string(),
        };
        Entry { text: Centred::new(cut_front(&text, WIDTH).as_bytes()), has_name: name.is_some(), due_ms }
    }
}

impl Interfaces {
    /// A namespace whose interfaces are this old is visited again, without waiting for it: interfaces are renamed, and
    /// inode numbers of namespaces are used again.
    pub const MAX_AGE_MS: u64 = 5000;

    /// The interfaces of this machine. The namespaces are those of the processes in `/proc` and of the files in
    /// `/run/netns`; visiting them starts at once, in the background. An error is that there is no thread for it.
    pub fn of_host() -> io::Result<Interfaces> {
        let worker = Some(Worker::start()?);
        let (changes, deaf) = match Changes::listen() {
            Ok((changes, own_alone)) => (Some(changes), own_alone),
            Err(error) => (None, Some(error)),
        };
        Ok(Interfaces { worker, changes, deaf, ..Interfaces::fixed([]) })
    }

    /// Why changes of some interfaces are seen only when their names are [`Interfaces::MAX_AGE_MS`] old.
    pub fn deaf(&self) -> Option<&io::Error> {
        self.deaf.as_ref()
    }

    /// These interfaces and no others: namespace, number, name.
    pub fn fixed<'n>(interfaces: impl IntoIterator<Item = (u32, u32, &'n str)>) -> Interfaces {
        let known = interfaces
            .into_iter()
            .map(|(netns, ifindex, name)| (key(netns, ifindex), Entry::new(Some(name.as_bytes()), ifindex, u64::MAX)));
        let last = (0, Entry::new(None, 0, u64::MAX));
        Interfaces {
            known: known.collect(),
            worker: None,
            changes: None,
            looked_ms: 0,
            deaf: None,
            last,
            now_ms: 0,
            budget: (0, 0),
        }
    }

    /// Tells what time it is, in milliseconds from any start, and takes what the background has found.
    pub fn tick(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.look_for_changes();
        while let Some(visit) = self.worker.as_mut().and_then(|worker| worker.visits.try_recv().ok()) {
            self.learn(visit);
        }
    }

    /// Takes every name for outdated if an interface came, went or was renamed somewhere: who needs one waits for it.
    fn look_for_changes(&mut self) {
        if self.now_ms < self.looked_ms + CHANGES_MS {
            return;
        }
        self.looked_ms = self.now_ms;
        if self.changes.as_ref().is_some_and(Changes::any) {
            for entry in self.known.values_mut() {
                (entry.due_ms, entry.has_name) = (0, false);
            }
            self.last.1.due_ms = 0;
        }
    }

    /// The text for interface `ifindex` of the namespace with inode number `netns`.
    #[inline]
    pub fn text(&mut self, netns: u32, ifindex: u32) -> &Centred {
        let key = key(netns, ifindex);
        if self.last.0 != key || self.last.1.due_ms <= self.now_ms {
            self.last = (key, self.find(netns, ifindex));
        }
        &self.last.1.text
    }

    fn find(&mut self, netns: u32, ifindex: u32) -> Entry {
        let key = key(netns, ifindex);
        if ifindex == 0 {
            return Entry::new(None, 0, u64::MAX);
        }
        match self.known.get(&key) {
            Some(entry) if entry.due_ms > self.now_ms => *entry,
            _ => {
                self.refresh(netns, ifindex);
                self.known.get(&key).copied().unwrap_or(Entry::new(None, ifindex, 0))
            }
        }
    }

    /// Makes sure that there is an entry, with a name if one can be had soon.
    #[cold]
    fn refresh(&mut self, netns: u32, ifindex: u32) {
        self.tick(self.now_ms);
        self.await_first_visit();
        let key = key(netns, ifindex);
        let entry = self.known.get(&key).copied();
        if entry.is_some_and(|entry| entry.due_ms > self.now_ms) {
            return;
        }
        if entry.is_some_and(|entry| entry.has_name) {
            self.ask(netns);
        } else if netns != 0 && self.ask(netns) && self.budget.1 <= WAITS_PER_SECOND {
            self.await_visit(netns);
        }
        // No answer: what is known, or else the number, has to do for a while.
        let (old, due_ms) = (self.known.get(&key), self.now_ms + RETRY_MS);
        if old.is_none_or(|entry| entry.due_ms <= self.now_ms) {
            let entry = old.map_or(Entry::new(None, ifindex, due_ms), |old| Entry { due_ms, ..*old });
            self.insert(key, entry);
        }
    }

    /// Asks for a visit of `netns`, if there were not too many.
    fn ask(&mut self, netns: u32) -> bool {
        let second = self.now_ms / 1000;
        if self.budget.0 != second {
            self.budget = (second, 0);
        }
        self.budget.1 += 1;
        match &self.worker {
            Some(worker) if self.budget.1 <= VISITS_PER_SECOND => worker.requests.send(netns).is_ok(),
            _ => false,
        }
    }

    fn await_first_visit(&mut self) {
        let deadline = Instant::now() + FIRST_WAIT;
        while let Some(worker) = self.worker.as_mut().filter(|worker| !worker.is_ready) {
            match worker.visits.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(visit) => self.learn(visit),
                Err(_) => worker.is_ready = true,
            }
        }
    }

    fn await_visit(&mut self, netns: u32) {
        let deadline = Instant::now() + WAIT;
        while let Some(worker) = &self.worker {
            let Ok(visit) = worker.visits.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                return;
            };
            let is_answer = matches!(&visit, Visit::Links { netns: visited, .. } if *visited == netns);
            self.learn(visit);
            if is_answer {
                return;
            }
        }
    }

    fn learn(&mut self, visit: Visit) {
        match visit {
            Visit::Links { netns, links } => {
                for link in links {
                    let entry = Entry::new(Some(&link.name), link.ifindex, self.now_ms + Interfaces::MAX_AGE_MS);
                    self.insert(key(netns, link.ifindex), entry);
                }
            }
            Visit::First => {
                if let Some(worker) = &mut self.worker {
                    worker.is_ready = true;
                }
            }
        }
    }

    fn insert(&mut self, key: u64, entry: Entry) {
        if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&key) {
            self.known.clear();
        }
        self.known.insert(key, entry);
    }
}

fn key(netns: u32, ifindex: u32) -> u64 {
    u64::from(netns) << 32 | u64::from(ifindex)
}

/// Hash of one u64, for keys that no stranger chooses.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// The thread that visits namespaces.
#[derive(Debug)]
struct Worker {
    /// Inode numbers of namespaces to visit.
    requests: Sender<u32>,
    visits: Receiver<Visit>,
    /// Whether the first visit of all is over, or was waited for long enough.
    is_ready: bool,
}

/// What a visit found.
#[derive(Debug)]
enum Visit {
    /// The interfaces of one namespace; none if it could not be entered.
    Links { netns: u32, links: Vec<Link> },
    /// All namespaces were visited once.
    First,
}

impl Worker {
    fn start() -> io::Result<Worker> {
        let (requests, wanted) = channel();
        let (found, visits) = channel();
        thread::Builder::new().name("interfaces".into()).spawn(move || {
            privilege::keep_for_thread(Feature::Interfaces);
            visit_all(&wanted, &found);
        })?;
        Ok(Worker { requests, visits, is_ready: false })
    }
}

/// The life of the thread: every namespace once, then those that are asked for, until nobody listens.
fn visit_all(wanted: &Receiver<u32>, found: &Sender<Visit>) {
    let mut namespaces = Namespaces::new();
    let all: Vec<u32> = namespaces.places.keys().copied().collect();
    for netns in all {
        let links = namespaces.links(netns).unwrap_or_default();
        if found.send(Visit::Links { netns, links }).is_err() {
            return;
        }
    }
    if found.send(Visit::First).is_err() {
        return;
    }
    for netns in wanted {
        let links = match namespaces.links(netns) {
            Ok(links) => links,
            Err(_) if namespaces.found.elapsed() >= FIND => {
                namespaces.find();
                namespaces.links(netns).unwrap_or_default()
            }
            Err(_) => Vec::new(),
        };
        if found.send(Visit::Links { netns, links }).is_err() {
            return;
        }
    }
}

/// Where the namespaces of the host are.
struct Namespaces {
    home: Option<(u32, File)>,
    /// A file for each, by inode number. Paths, not descriptors: a descriptor would keep the namespace alive.
    places: HashMap<u32, PathBuf>,
    found: Instant,
}

impl Namespaces {
    fn new() -> Namespaces {
        let home = File::open("/proc/thread-self/ns/net").and_then(|file| Ok((file.metadata()?.ino() as u32, file)));
        let mut namespaces = Namespaces { home: home.ok(), places: HashMap::new(), found: Instant::now() };
        namespaces.find();
        namespaces
    }

    fn find(&mut self) {
        self.places.clear();
        self.found = Instant::now();
        let list = |dir: &str| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_process = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
        };
        let processes = list("/proc").filter(is_process).map(|path| path.join("ns/net"));
        for path in processes.chain(list("/run/netns")).chain(list("/run/docker/netns")) {
            if let Ok(file) = fs::metadata(&path) {
                self.places.entry(file.ino() as u32).or_insert(path);
            }
        }
    }

    /// Goes to `netns`, lists its interfaces and comes back.
    fn links(&mut self, netns: u32) -> io::Result<Vec<Link>> {
        let Some((home, home_file)) = &self.home else { return Err(io::ErrorKind::NotFound.into()) };
        if *home == netns {
            return netlink::links();
        }
        let path = self.places.get(&netns).ok_or(io::ErrorKind::NotFound)?;
        enter(path, netns)?;
        let links = netlink::links();
        if let Err(error) = setns(home_file, CloneFlags::CLONE_NEWNET) {
            // Lost in a foreign namespace: from here on no answer is better than a wrong one.
            self.home = None;
            return Err(error.into());
        }
        links
    }
}

/// Makes `netns` the network namespace of this thread; fails if `path` stands for another one by now.
fn enter(path: &Path, netns: u32) -> io::Result<()> {
    let file = File::open(path)?;
    if file.metadata()?.ino() as u32 != netns {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(setns(&file, CloneFlags::CLONE_NEWNET)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_its_name_and_number() {
        let mut interfaces = Interfaces::fixed([(1, 3, "lab0.5"), (2, 3, "a\x1b"), (1, 12, "vethabcdef01234")]);
        let mut text =
            |netns, ifindex| String::from_utf8(interfaces.text(netns, ifindex).text.as_bytes().to_vec()).unwrap();
        assert_eq!(text(1, 3), "lab0.5:3");
        assert_eq!(text(2, 3), r"a\x1b:3");
        assert_eq!(text(1, 12), "~habcdef01234:12");
        assert_eq!(text(1, 4), "4");
        assert_eq!(text(0, 4294967295), "4294967295");
        assert_eq!(text(1, 0), "0");
    }

    #[test]
    fn the_loopback_of_our_own_namespace_has_a_name() {
        let home = fs::metadata("/proc/self/ns/net").unwrap().ino() as u32;
        let mut interfaces = Interfaces::of_host().unwrap();
        assert_eq!(interfaces.text(home, 1).text.as_bytes(), b"lo:1");
        interfaces.tick(Interfaces::MAX_AGE_MS + 1);
        assert_eq!(interfaces.text(home, 1).text.as_bytes(), b"lo:1", "the old name stays while it is asked for again");
    }

    #[test]
    fn an_unknown_number_is_not_asked_for_at_every_line() {
        let home = fs::metadata("/proc/self/ns/net").unwrap().ino() as u32;
        let mut interfaces = Interfaces::of_host().unwrap();
        assert_eq!(interfaces.text(home, 0x7fff_ffff).text.as_bytes(), b"2147483647");
        let asked = interfaces.budget;
        for _ in 0..100 {
            assert_eq!(interfaces.text(home, 0x7fff_ffff).text.as_bytes(), b"2147483647");
        }
        assert_eq!(interfaces.budget, asked);
        // However many unknown ones there are.
        for ifindex in 0x7fff_0000..0x7fff_0100 {
            interfaces.text(1, ifindex);
        }
        assert!(interfaces.budget.1 <= 256 + 1);
    }
}
